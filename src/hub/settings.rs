//! What an operator may turn on the hub itself. The core's own limits travel inside.

use super::ArchiveRules;
use crate::core::effect::Rules;
use std::time::Duration;

/// Settings of the hub.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The core's limits, spans and policies.
    pub rules: Rules,
    /// Shard tasks; 0 = as many as the machine runs at once.
    pub shards: usize,
    /// Commands that may wait in front of one shard before fronts are told `Overloaded`.
    pub mailbox: usize,
    /// Further places for what shards pass to each other, so that a full mailbox of outside work
    /// never refuses the inside work that would empty it.
    pub reserve: usize,
    /// Commands that may wait for one person to be read from storage.
    pub load_queue: usize,
    /// Loads under way at once.
    pub loads: usize,
    /// Longest time that the writer collects before it commits (`decisions.md` 33).
    pub commit_wait: Duration,
    /// Most rows of one commit (`decisions.md` 33).
    pub commit_rows: usize,
    /// A person without live state is dropped from memory after this long without a command.
    pub idle: Duration,
    /// Messages whose trace is kept.
    pub trace_messages: usize,
    /// Who is archived.
    pub archive: ArchiveRules,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            shards: 0,
            mailbox: 16_384,
            reserve: 16_384,
            load_queue: 256,
            loads: 32,
            commit_wait: Duration::from_millis(5),
            commit_rows: 1_000,
            idle: Duration::from_mins(5),
            trace_messages: 20_000,
            archive: ArchiveRules::default(),
        }
    }
}
