//! Watchers as their owner sees them (RFC 3857): who watches, who waits for consent, and those who
//! came while he could not be asked.

use crate::core::address::Address;
use crate::core::command::{Change, Ended, Topic, WatchState};
use crate::core::id::WatchId;
use crate::core::port::{WatchRecord, Write};
use crate::core::time::Time;
use crate::core::user::{Fx, User};
use crate::core::watches::{Watching, same_watcher};
use std::collections::VecDeque;
use std::sync::Arc;

/// Ends remembered for those who were told of the watches' beginnings.
const ENDS: usize = 32;

/// All watchers of a person's presence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WatcherReport {
    /// The person watched.
    pub of: Address,
    /// When this was true.
    pub at: Time,
    /// Those there are, oldest first.
    pub live: Vec<WatcherEntry>,
    /// The newest of those that are gone.
    pub gone: Vec<WatcherEntry>,
}

/// One watcher.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WatcherEntry {
    /// The watch.
    pub id: WatchId,
    /// Who.
    pub watcher: Address,
    /// Where it stands, or stood.
    pub state: WatchState,
    /// What happened to it last.
    pub event: Happening,
    /// When it began.
    pub since: Time,
    /// When it ends.
    pub expires: Time,
}

/// What happened to a watch last (RFC 3857 4.7.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Happening {
    /// It began.
    Subscribe,
    /// The owner or the policy allows it.
    Approved,
    /// It is to come again at once.
    Deactivated,
    /// The owner or the policy does not allow it.
    Rejected,
    /// Its lease ran out, or the watcher ended it.
    Timeout,
    /// Nobody decided for too long.
    GiveUp,
    /// The person watched is gone.
    NoResource,
}

impl Happening {
    /// What a decision is.
    pub(super) fn of(accepted: bool) -> Self {
        if accepted {
            Self::Approved
        } else {
            Self::Rejected
        }
    }
}

impl From<Ended> for Happening {
    fn from(why: Ended) -> Self {
        match why {
            Ended::Expired | Ended::Unwatched | Ended::Replaced => Self::Timeout,
            Ended::NoResource => Self::NoResource,
            Ended::Deactivated => Self::Deactivated,
            Ended::Rejected => Self::Rejected,
            Ended::GaveUp => Self::GiveUp,
        }
    }
}

/// The list of watchers as those who watch it know it.
#[derive(Debug, Default)]
pub(super) struct Roll {
    last: Option<Time>,
    /// When they will be told.
    pub(super) at: Option<Time>,
    gone: VecDeque<WatcherEntry>,
}

impl User {
    /// All watchers, now.
    pub(super) fn watcher_report(&self, now: Time) -> Arc<WatcherReport> {
        let presence = |watch: &&Watching| watch.record.topic == Topic::Presence;
        let live = self.watches.iter().filter(presence);
        Arc::new(WatcherReport {
            of: self.account().address.clone(),
            at: now,
            live: live.map(|w| entry(&w.record, w.event)).collect(),
            gone: self.roll.gone.iter().cloned().collect(),
        })
    }

    /// A watch is gone, for that reason.
    pub(super) fn strike(&mut self, record: &WatchRecord, why: Happening) {
        if record.topic != Topic::Presence {
            return;
        }
        self.roll_changed = true;
        if !self.has_roll_readers() {
            return;
        }
        if self.roll.gone.len() >= ENDS {
            self.roll.gone.pop_front();
        }
        self.roll.gone.push_back(entry(record, why));
    }

    fn has_roll_readers(&self) -> bool {
        let mut all = self.watches.iter();
        all.any(|watch| watch.record.topic == Topic::Watchers)
    }

    /// Tells those who watch the watchers: a first change at once, followers merged (RFC 3857
    /// 4.10).
    pub(super) fn tell_roll(&mut self, fx: &mut Fx<'_, '_>) {
        if !self.roll_changed {
            return;
        }
        if !self.has_roll_readers() {
            self.roll = Roll::default();
            self.roll_changed = false;
            return;
        }
        let now = fx.now();
        let merge = fx.rules().watchers_merge;
        let due = self.roll.last.map_or(now, |last| last.after(merge));
        if due > now {
            self.roll.at = Some(due);
            return self.arm(due);
        }
        self.roll_changed = false;
        self.roll.at = None;
        self.roll.last = Some(now);
        let report = self.watcher_report(now);
        for watch in &self.watches {
            if watch.record.topic == Topic::Watchers {
                self.send(fx, &watch.record, Change::Watchers(Arc::clone(&report)));
            }
        }
    }

    /// A watch ended while the owner was being asked: remembered, one per watcher, the newest.
    pub(super) fn keep_waiting(&mut self, fx: &mut Fx<'_, '_>, mut record: WatchRecord) {
        let (now, rules) = (fx.now(), fx.rules());
        self.drop_waiting(fx, |other| same_watcher(other, &record));
        let waiting = |watch: &&Watching| watch.record.state == WatchState::Waiting;
        if self.watches.iter().filter(waiting).count() >= rules.waiting
            && let Some(oldest) = self.watches.iter().position(|w| waiting(&w))
        {
            self.forget_waiting(fx, oldest, Happening::GiveUp);
        }
        record.state = WatchState::Waiting;
        record.key = None;
        record.lease = rules.waiting_for;
        record.expires = now.after(rules.waiting_for);
        fx.store(Write::PutWatch(record.clone()));
        self.arm(record.expires);
        self.watches
            .push(Watching::new(record, Happening::Timeout, now));
        self.roll_changed = true;
    }

    /// The id of the waiting watcher of that kind, who is there again.
    pub(super) fn take_waiting(
        &mut self,
        fits: impl Fn(&WatchRecord) -> bool,
    ) -> Option<WatchRecord> {
        let at = self
            .watches
            .iter()
            .position(|w| w.record.state == WatchState::Waiting && fits(&w.record))?;
        Some(self.watches.remove(at).record)
    }

    fn drop_waiting(&mut self, fx: &mut Fx<'_, '_>, fits: impl Fn(&WatchRecord) -> bool) {
        while let Some(record) = self.take_waiting(&fits) {
            fx.store(Write::DeleteWatch(self.person(), record.id));
            self.strike(&record, Happening::Timeout);
        }
    }

    /// A waiting watcher is remembered no longer.
    pub(super) fn forget_waiting(&mut self, fx: &mut Fx<'_, '_>, at: usize, why: Happening) {
        let record = self.watches.remove(at).record;
        fx.store(Write::DeleteWatch(self.person(), record.id));
        self.strike(&record, why);
    }
}

fn entry(record: &WatchRecord, event: Happening) -> WatcherEntry {
    WatcherEntry {
        id: record.id,
        watcher: record.watcher.clone(),
        state: record.state,
        event,
        since: record.since,
        expires: record.expires,
    }
}
