//! Calls: what a person's telephone lines do, and that a call in progress means "on the phone"
//! (`decisions.md` 10).

use crate::core::command::{Change, Topic};
use crate::core::error::Error;
use crate::core::presence::{Presence, State};
use crate::core::user::{Fx, User};
use std::sync::Arc;

/// Calls remembered of one publication.
const MOST: usize = 64;

/// What one source says of the calls of a person.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Calls {
    /// All calls there are; else only those that changed.
    pub full: bool,
    /// Rises with each report of that source.
    pub version: u32,
    /// The calls.
    pub list: Vec<Call>,
}

/// One call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// Its name at its source.
    pub id: Arc<str>,
    /// How far it is.
    pub state: CallState,
    /// The front's own form of all it knows of it.
    pub detail: Arc<str>,
}

/// How far a call is (RFC 4235 3.7.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CallState {
    /// Asked for.
    Trying,
    /// Somebody answered something.
    Proceeding,
    /// It rings.
    Early,
    /// People are talking.
    Confirmed,
    /// Over.
    Terminated,
}

impl Calls {
    /// Whether somebody is talking.
    pub fn is_busy(&self) -> bool {
        let mut all = self.list.iter();
        all.any(|call| call.state == CallState::Confirmed)
    }

    /// The presence value it comes to; `Offline` stands for "says nothing".
    pub(super) fn presence(&self) -> Presence {
        Presence::of(if self.is_busy() {
            State::OnPhone
        } else {
            State::Offline
        })
    }

    /// Takes a report: all of it if it is full or nothing is known, else call by call. Calls that
    /// are over are forgotten.
    ///
    /// # Errors
    /// `OutOfOrder` for a partial report that is not newer (RFC 4235 4.3).
    pub fn take(&mut self, report: Self) -> Result<(), Error> {
        if report.full {
            *self = report;
        } else {
            if report.version <= self.version {
                return Err(Error::OutOfOrder);
            }
            self.version = report.version;
            for call in report.list {
                match self.list.iter_mut().find(|known| known.id == call.id) {
                    Some(known) => *known = call,
                    None => self.list.push(call),
                }
            }
        }
        self.full = true;
        self.list.retain(|call| call.state != CallState::Terminated);
        self.list.truncate(MOST);
        Ok(())
    }
}

impl User {
    /// All calls that are known, by publication and then as reported.
    pub(super) fn all_calls(&self) -> Arc<[Call]> {
        let all = self.publications.iter().filter_map(|p| p.calls.as_ref());
        all.flat_map(|calls| calls.list.iter().cloned()).collect()
    }

    /// Tells those who watch the calls.
    pub(super) fn tell_calls(&mut self, fx: &mut Fx<'_, '_>) {
        if !std::mem::take(&mut self.calls_changed) {
            return;
        }
        let mut watches = self.watches.iter();
        if !watches.any(|watch| watch.record.topic == Topic::Calls) {
            return;
        }
        let calls = self.all_calls();
        for watch in &self.watches {
            if watch.record.topic == Topic::Calls && watch.sees {
                self.send(fx, &watch.record, Change::Calls(Arc::clone(&calls)));
            }
        }
    }
}
