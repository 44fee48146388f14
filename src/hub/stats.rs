//! Counters that operators read. Plain atomics: cheap enough to be always on.

use std::sync::atomic::{AtomicU64, Ordering};

/// One number.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Fewer, for numbers that tell a level.
    pub fn sub(&self, count: u64) {
        self.0.fetch_sub(count, Ordering::Relaxed);
    }

    /// As it stands.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the hub counts.
#[derive(Debug, Default)]
pub struct Stats {
    /// Commands applied.
    pub commands: Counter,
    /// Commands refused because a queue was full.
    pub overloaded: Counter,
    /// Events handed to fronts.
    pub events: Counter,
    /// Events for a stack that no front serves.
    pub orphaned: Counter,
    /// People in memory (level).
    pub people: Counter,
    /// People read from storage.
    pub loads: Counter,
    /// Loads that failed.
    pub load_failures: Counter,
    /// Commits.
    pub commits: Counter,
    /// Rows committed.
    pub rows: Counter,
    /// Commits that failed.
    pub commit_failures: Counter,
    /// Panics caught while a command was applied.
    pub panics: Counter,
    /// Rows of the archive that were stored.
    pub archived: Counter,
    /// Rows of the archive that were not.
    pub archive_failures: Counter,
    /// Messages refused by an admission hook.
    pub refused: Counter,
    /// Requests that proved nothing and got no answer: too many, or any answer would be too large.
    pub unanswered: Counter,
    /// Attempts repeated after a restart that may be doubles (`decisions.md` 19).
    pub redelivered: Counter,
}
