//! What became of the last NOTIFY of each subscription, for the operator's table.

use crate::core::id::WatchId;
use sip::transaction::Failure;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// By subscription; those that are gone leave it.
#[derive(Debug, Default)]
pub struct Notified(Mutex<HashMap<WatchId, Outcome>>);

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Status(u16),
    Silence,
    Unreachable,
}

impl Notified {
    pub(super) fn note(&self, watch: WatchId, result: Result<u16, Failure>) {
        let outcome = match result {
            Ok(status) => Outcome::Status(status),
            Err(Failure::Timeout) => Outcome::Silence,
            Err(Failure::Transport) => Outcome::Unreachable,
        };
        self.lock().insert(watch, outcome);
    }

    pub(super) fn forget(&self, watch: WatchId) {
        self.lock().remove(&watch);
    }

    /// In words; `None` if none was answered or given up yet.
    pub fn last(&self, watch: WatchId) -> Option<String> {
        let outcome = self.lock().get(&watch).copied()?;
        Some(match outcome {
            Outcome::Status(status) => status.to_string(),
            Outcome::Silence => "no answer".to_owned(),
            Outcome::Unreachable => "unreachable".to_owned(),
        })
    }

    /// Subscriptions that something is known of.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WatchId, Outcome>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
