//! What operators see of registered targets, and how the front that serves them hears of changes.

use crate::core::id::PersonId;
use crate::core::time::Time;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// How one target is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetState {
    /// Notifications that wait.
    pub waiting: usize,
    /// Their octets.
    pub octets: usize,
    /// Notifications it has taken since the server started.
    pub delivered: u64,
    /// Notifications given up since the server started.
    pub dropped: u64,
    /// Failed attempts in a row.
    pub failures: u32,
    /// What the last attempt came to, in words; empty = none yet.
    pub last: String,
    /// When it is tried next; `None` = now, or nothing waits.
    pub next: Option<Time>,
}

/// All of them, by node and id.
#[derive(Debug)]
pub struct TargetBoard {
    states: Mutex<BTreeMap<(PersonId, u32), TargetState>>,
    changed: watch::Sender<u64>,
}

impl Default for TargetBoard {
    fn default() -> Self {
        Self {
            states: Mutex::default(),
            changed: watch::Sender::new(0),
        }
    }
}

impl TargetBoard {
    /// Notes how a target is doing.
    pub fn put(&self, person: PersonId, id: u32, state: TargetState) {
        self.lock().insert((person, id), state);
    }

    /// The target is gone.
    pub fn remove(&self, person: PersonId, id: u32) {
        self.lock().remove(&(person, id));
    }

    /// How a target is doing, if it is served.
    pub fn get(&self, person: PersonId, id: u32) -> Option<TargetState> {
        self.lock().get(&(person, id)).cloned()
    }

    /// Targets were added or removed: they have to be read again.
    pub fn change(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Wakes at each [`Self::change`].
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(PersonId, u32), TargetState>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
