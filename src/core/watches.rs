//! Watches: who is told of the person's presence, what each may see, and when
//! (`decisions.md` 13, 16).

use crate::core::access::{Detail, Right, Verdict};
use crate::core::address::Address;
use crate::core::command::{
    Caller, Change, Command, Ended, PropertyName, PropertyValue, Relay, Reply, Topic, Via, Watch,
    WatchInfo, WatchState,
};
use crate::core::consent::watcher_of;
use crate::core::effect::{Forward, Notice, ReplyTag, Rules, Why};
use crate::core::error::{Error, Limit};
use crate::core::event::Event;
use crate::core::fold::{as_shown, fold, same, same_to};
use crate::core::id::{Handle, PointId, WatchId};
use crate::core::pairing::echo;
use crate::core::port::{WatchRecord, Write};
use crate::core::presence::{Presence, State, View};
use crate::core::time::Time;
use crate::core::user::{Fx, User};
use crate::core::watchers::Happening;
use std::sync::Arc;
use std::time::Duration;

/// One watch, live.
#[derive(Clone, Debug)]
pub(super) struct Watching {
    pub(super) record: WatchRecord,
    /// May see what he watches.
    pub(super) sees: bool,
    /// How much of presence.
    pub(super) detail: Detail,
    /// May read properties.
    pub(super) reads: bool,
    /// What the watcher believes.
    pub(super) shown: View,
    /// What happened to it last, for those who watch the watchers.
    pub(super) event: Happening,
    /// The watcher is to be told although nothing he sees has changed: he was decided about.
    pub(super) owed: bool,
    /// How sure it is what he believes.
    pub(super) belief: Belief,
}

/// How well we know what a watcher believes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Belief {
    /// He was told what is in [`Watching::shown`].
    Sure,
    /// We were down: what he alone was shown then ([`Command::ShowTo`]) is not stored.
    Restored,
    /// He is to be told even if nothing seems to differ.
    Doubtful,
}

impl Watching {
    /// A watch that sees nothing.
    pub(super) fn new(record: WatchRecord, event: Happening, now: Time) -> Self {
        Self {
            record,
            sees: false,
            detail: Detail::NONE,
            reads: false,
            shown: View::offline(now),
            event,
            owed: false,
            belief: Belief::Sure,
        }
    }

    /// When its time is over.
    pub(super) fn due(&self, rules: &Rules) -> Time {
        let record = &self.record;
        if record.state == WatchState::Pending {
            return record.expires.min(record.since.after(rules.waiting_for));
        }
        record.expires
    }
}

/// When watchers were and will be told.
#[derive(Clone, Debug, Default)]
pub(super) struct Telling {
    /// When they were told last.
    last: Option<Time>,
    /// When they will be.
    pub(super) at: Option<Time>,
    /// What changed the fold last.
    cause: Option<(Time, PointId)>,
}

impl User {
    /// Executes [`Command::Watch`].
    pub(super) fn watch(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        watch: Watch,
    ) -> Result<Reply, Error> {
        let admitted = self.admit_watcher(fx.rules(), caller, watch.topic)?;
        let fetch = watch.lease.is_zero();
        let known = self.watches.iter().position(|w| {
            watch.key.is_some()
                && w.record.key == watch.key
                && w.record.stack == watch.stack
                && w.record.topic == watch.topic
                && is_watcher(&w.record, caller)
        });
        if known.is_none() && !fetch && self.standing_watches() >= fx.rules().watches {
            return Err(Error::LimitReached(Limit::Watches));
        }
        let now = fx.now();
        let lease = watch.lease.min(fx.rules().lease_max);
        let mut record = WatchRecord {
            person: self.person(),
            id: WatchId(0),
            of: self.account().address.clone(),
            watcher: caller.address.clone(),
            watcher_person: caller.person,
            scheme: caller.scheme,
            topic: watch.topic,
            state: admitted.state,
            notify: watch.notify,
            since: now,
            stack: watch.stack,
            via: watch.via,
            key: watch.key,
            handle: watch.handle,
            lease,
            expires: now.after(lease),
        };
        if !fetch {
            if let Some(at) = known {
                self.end_watch(fx, at, Some(Ended::Replaced));
            }
            // Who was remembered as having come in vain has the same name now that he is here.
            let waiting = self.take_waiting(|known| same_watcher(known, &record));
            record.id = waiting.map_or(WatchId(0), |known| known.id);
        }
        if record.id == WatchId(0) {
            record.id = WatchId(fx.next_number());
        }
        let id = record.id;
        let reads = self.may_record(fx, &record, Right::Read);
        let fresh = Watching {
            sees: admitted.sees,
            detail: admitted.detail,
            reads,
            shown: self.view_for(admitted.sees, admitted.detail, &record.watcher, now),
            ..Watching::new(record, Happening::Subscribe, now)
        };
        let view = match watch.topic {
            Topic::Presence => fresh.shown.clone(),
            Topic::Watchers | Topic::Calls | Topic::Documents => View::offline(now),
        };
        if fetch {
            self.fetched(fx, fresh);
        } else {
            self.roll_changed |= watch.topic == Topic::Presence;
            self.watches.push(fresh);
            self.granted(fx, self.watches.len() - 1, watch.notify);
        }
        if admitted.state == WatchState::Pending {
            self.announce_waiting(fx);
        }
        Ok(Reply::Watching {
            watch: Some(id),
            lease,
            view,
        })
    }

    /// A fetch: told once, and that it is over (RFC 6665 4.4.3). Who may not see yet is remembered.
    fn fetched(&mut self, fx: &mut Fx<'_, '_>, watch: Watching) {
        if watch.record.notify {
            let last = self.last(fx.now(), &watch, Ended::Expired);
            self.send(fx, &watch.record, last);
        }
        if watch.record.state == WatchState::Pending {
            self.keep_waiting(fx, watch.record);
        }
    }

    /// Watches that somebody has now.
    fn standing_watches(&self) -> usize {
        let all = self.watches.iter();
        all.filter(|w| w.record.state != WatchState::Waiting)
            .count()
    }

    /// A watch has a new lease: stored, armed, and told what is so if that is wanted.
    fn granted(&mut self, fx: &mut Fx<'_, '_>, at: usize, notify: bool) {
        let watch = &mut self.watches[at];
        fx.store(Write::PutWatch(watch.record.clone()));
        let due = watch.due(fx.rules());
        if notify {
            watch.owed = false;
            let watch = &self.watches[at];
            let present = self.present(fx.now(), watch);
            self.send(fx, &watch.record, present);
        }
        self.acquaint_watcher(fx, &self.watches[at].record);
        self.arm(due);
    }

    /// What is so, for that watcher.
    pub(super) fn present(&self, now: Time, watch: &Watching) -> Change {
        match watch.record.topic {
            Topic::Presence => presence_of(watch),
            Topic::Watchers => Change::Watchers(self.watcher_report(now)),
            Topic::Calls if watch.sees => Change::Calls(self.all_calls()),
            Topic::Calls => Change::Calls(Arc::new([])),
            Topic::Documents => Change::Documents(self.documents.as_slice().into()),
        }
    }

    /// The last that a watcher is told.
    fn last(&self, now: Time, watch: &Watching, why: Ended) -> Change {
        match watch.record.topic {
            Topic::Presence => Change::Ended(why, watch.shown.clone()),
            Topic::Watchers | Topic::Calls | Topic::Documents => {
                Change::Last(why, Box::new(self.present(now, watch)))
            }
        }
    }

    /// Executes [`Command::RenewWatch`].
    pub(super) fn renew_watch(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        id: WatchId,
        renewal: (Duration, Option<Handle>, bool),
    ) -> Result<Reply, Error> {
        let (lease, handle, notify) = renewal;
        let at = self.watch_at(fx.rules(), caller, id)?;
        let now = fx.now();
        let lease = lease.min(fx.rules().lease_max);
        let watch = &self.watches[at];
        let view = self.view_for(watch.sees, watch.detail, &watch.record.watcher, now);
        let watch = &mut self.watches[at];
        if let Some(handle) = handle {
            watch.record.handle = handle;
        }
        // An unchanged offline view keeps its age: being blocked and being absent look alike.
        if !same(&watch.shown, &view) && (notify || lease.is_zero()) {
            watch.shown = view;
        }
        let view = watch.shown.clone();
        watch.record.lease = lease;
        watch.record.expires = now.after(lease);
        if lease.is_zero() {
            self.end_watch(fx, at, notify.then_some(Ended::Unwatched));
        } else {
            self.granted(fx, at, notify);
        }
        Ok(Reply::Watching {
            watch: Some(id),
            lease,
            view,
        })
    }

    /// Executes [`Command::Unwatch`].
    pub(super) fn unwatch(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        id: WatchId,
        notify: bool,
    ) -> Result<Reply, Error> {
        let at = self.watch_at(fx.rules(), caller, id)?;
        self.end_watch(fx, at, notify.then_some(Ended::Unwatched));
        Ok(Reply::Done)
    }

    /// Executes [`Command::SaveWatch`].
    pub(super) fn save_watch(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        id: WatchId,
        handle: Handle,
    ) -> Result<Reply, Error> {
        let at = self.watch_at(fx.rules(), caller, id)?;
        let record = &mut self.watches[at].record;
        if record.handle != handle {
            record.handle = handle;
            fx.store(Write::PutWatch(record.clone()));
        }
        Ok(Reply::Done)
    }

    /// Executes [`Command::Look`].
    pub(super) fn look(&self, fx: &Fx<'_, '_>, caller: &Caller) -> Result<Reply, Error> {
        let admitted = self.admit_watcher(fx.rules(), caller, Topic::Presence)?;
        Ok(Reply::Watching {
            watch: None,
            lease: Duration::ZERO,
            view: self.view_for(admitted.sees, admitted.detail, &caller.address, fx.now()),
        })
    }

    /// Executes [`Command::ShowTo`].
    pub(super) fn show_to(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        watcher: Address,
        presence: Option<Presence>,
    ) -> Result<Reply, Error> {
        self.must_own(caller)?;
        for watch in &mut self.watches {
            if watch.record.watcher == watcher && watch.belief == Belief::Restored {
                watch.belief = Belief::Doubtful;
            }
        }
        let view = presence.map(|presence| as_shown(&presence, fx.now()));
        match view {
            None => drop(self.shown_to.remove(&watcher)),
            Some(view) => {
                let known = self.shown_to.get(&watcher);
                if known.is_none() && self.shown_to.len() >= fx.rules().watches {
                    return Err(Error::LimitReached(Limit::Watches));
                }
                if !known.is_some_and(|known| same(known, &view)) {
                    self.shown_to.insert(watcher, view);
                }
            }
        }
        self.stale = true;
        self.untold = true;
        Ok(Reply::Done)
    }

    /// Executes [`Command::Relay`]: somebody this person watches has changed.
    pub(super) fn relay(&self, fx: &mut Fx<'_, '_>, relay: &Relay) {
        for point in self.inboxes() {
            if point.record.stack != relay.stack
                || point.record.spec.reach == crate::core::command::Reach::SendOnly
            {
                continue;
            }
            fx.emit(
                relay.stack,
                Event::InboxPresence {
                    person: self.person(),
                    watcher: self.account().address.clone(),
                    point: point.info(),
                    of: relay.of.clone(),
                    watch: relay.watch.clone(),
                    change: relay.change.clone(),
                },
            );
        }
    }

    /// Whether a stored watcher has a right now.
    pub(super) fn may_record(&self, fx: &Fx<'_, '_>, record: &WatchRecord, right: Right) -> bool {
        self.verdict(fx.rules(), &watcher_of(record), right) == Verdict::Granted
    }

    /// What somebody is shown who starts looking now.
    pub(super) fn view_for(
        &self,
        sees: bool,
        detail: Detail,
        watcher: &Address,
        now: Time,
    ) -> View {
        let view = self.shown_to.get(watcher).unwrap_or(&self.fold);
        if sees && view.state != State::Offline {
            view.cut(detail).into_owned()
        } else {
            View::offline(now)
        }
    }

    /// Brings the fold up to date and tells watchers: a first change at once, its followers
    /// merged, the echo of the other half of a pair only if it still makes a difference
    /// (`decisions.md` 13).
    pub(super) fn settle(&mut self, fx: &mut Fx<'_, '_>) {
        self.settle_presence(fx);
        self.tell_calls(fx);
        self.tell_roll(fx);
    }

    fn settle_presence(&mut self, fx: &mut Fx<'_, '_>) {
        if !self.stale {
            return;
        }
        self.stale = false;
        let (now, rules) = (fx.now(), fx.rules());
        let view = fold(&self.points, &self.publications, now, rules);
        let cause = self.cause.take();
        let merged = self
            .telling
            .last
            .map_or(now, |last| last.after(rules.merge).max(now));
        if !same(&view, &self.fold) {
            let echo = match (cause, self.telling.cause) {
                (Some(point), Some((at, other)))
                    if now.since(at) < rules.echo && echo(&self.points, point, other) =>
                {
                    at.after(rules.echo)
                }
                _ => now,
            };
            self.fold = View { since: now, ..view };
            self.telling.cause = cause.map(|point| (now, point));
            self.telling.at = Some(merged.max(echo));
            self.untold = true;
        }
        if !self.untold {
            return;
        }
        if !self.watches.is_empty() {
            fx.store(Write::PutChange(self.person(), now));
        }
        let due = *self.telling.at.get_or_insert(merged);
        if due <= now {
            self.tell(fx);
        } else {
            self.arm(due);
        }
    }

    /// Tells everybody whose view differs from what they were shown.
    pub(super) fn tell(&mut self, fx: &mut Fx<'_, '_>) {
        let now = fx.now();
        self.untold = false;
        self.telling.at = None;
        let fold = self.fold.clone();
        let mut watches = std::mem::take(&mut self.watches);
        let mut told = false;
        for watch in &mut watches {
            if watch.record.topic != Topic::Presence || watch.record.state == WatchState::Waiting {
                continue;
            }
            let view = self.shown_to.get(&watch.record.watcher).unwrap_or(&fold);
            let view = view.cut(watch.detail);
            let there = watch.sees && view.state != State::Offline;
            let unchanged = if there {
                same_to(watch.record.stack, &watch.shown, &view)
            } else {
                watch.shown.state == State::Offline
            };
            let due = std::mem::take(&mut watch.owed) || watch.belief == Belief::Doubtful;
            if unchanged && !due {
                continue;
            }
            if watch.belief == Belief::Doubtful {
                watch.belief = Belief::Sure;
            }
            if there {
                watch.shown = view.into_owned();
            } else if watch.shown.state != State::Offline {
                watch.shown = View::offline(now);
            }
            self.send(fx, &watch.record, presence_of(watch));
            told = true;
        }
        self.watches = watches;
        if told {
            self.telling.last = Some(now);
        }
    }

    /// Tells watchers who may read that properties changed.
    pub(super) fn tell_properties(
        &self,
        fx: &mut Fx<'_, '_>,
        changes: &[(PropertyName, Option<PropertyValue>)],
    ) {
        if changes.is_empty() {
            return;
        }
        let reads = |watch: &&Watching| watch.reads && watch.record.topic == Topic::Presence;
        for watch in self.watches.iter().filter(reads) {
            self.send(fx, &watch.record, Change::Properties(changes.to_vec()));
        }
    }

    /// Sends a change by the way the watch names.
    pub(super) fn send(&self, fx: &mut Fx<'_, '_>, watch: &WatchRecord, change: Change) {
        match (watch.via, watch.watcher_person) {
            (Via::Direct, _) => fx.emit(
                watch.stack,
                Event::Presence {
                    person: self.person(),
                    of: watch.of.clone(),
                    watcher: watch.watcher.clone(),
                    watch: watch.id,
                    handle: watch.handle.clone(),
                    change,
                },
            ),
            (Via::Inboxes, Some(to)) => fx.forward(Forward {
                to,
                caller: self.internal(),
                command: Command::Relay(Arc::new(Relay {
                    of: watch.of.clone(),
                    stack: watch.stack,
                    watch: (watch.id, watch.handle.clone()),
                    change,
                })),
                reply: ReplyTag::NOBODY,
            }),
            (Via::Inboxes, None) => fx.log(Notice::NoInboxes(self.person(), watch.id)),
        }
    }

    /// The watch with that id if the caller may handle it: the watcher, the owner, who may
    /// subscribe others, this server.
    fn watch_at(&self, rules: &Rules, caller: &Caller, id: WatchId) -> Result<usize, Error> {
        let at = self.watches.iter().position(|w| w.record.id == id);
        let his = |at: &usize| {
            is_watcher(&self.watches[*at].record, caller)
                || self.verdict(rules, caller, Right::SubscribeOthers) == Verdict::Granted
        };
        at.filter(his).ok_or(Error::StaleId)
    }

    /// Removes a watch; with a reason, the watcher is told.
    pub(super) fn end_watch(&mut self, fx: &mut Fx<'_, '_>, at: usize, told: Option<Ended>) {
        let watch = self.watches.remove(at);
        self.ended(fx, watch, told);
    }

    /// What the end of a watch brings about. One about which the owner is being asked leaves a
    /// trace, so that he learns of it.
    fn ended(&mut self, fx: &mut Fx<'_, '_>, watch: Watching, told: Option<Ended>) {
        if let Some(reason) = told {
            let last = self.last(fx.now(), &watch, reason);
            self.send(fx, &watch.record, last);
        }
        let asked = watch.record.state == WatchState::Pending;
        if asked && !matches!(told, Some(Ended::GaveUp | Ended::Replaced)) {
            return self.keep_waiting(fx, watch.record);
        }
        fx.store(Write::DeleteWatch(self.person(), watch.record.id));
        self.strike(&watch.record, told.map_or(Happening::Timeout, Into::into));
    }

    /// Ends watches whose time is over, in one pass: a thousand of one person may end at once.
    pub(super) fn expire_watches(&mut self, fx: &mut Fx<'_, '_>) {
        let (now, rules) = (fx.now(), fx.rules());
        if self.watches.iter().all(|watch| now < watch.due(rules)) {
            return;
        }
        let all = std::mem::take(&mut self.watches);
        let (over, left): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|watch| now >= watch.due(rules));
        self.watches = left;
        for watch in over {
            let record = &watch.record;
            if record.state == WatchState::Waiting {
                fx.store(Write::DeleteWatch(self.person(), record.id));
                self.strike(record, Happening::GiveUp);
                continue;
            }
            fx.log(Notice::WatchEnded(
                self.person(),
                record.id,
                Why::LeaseEnded,
            ));
            let why = if now < record.expires {
                Ended::GaveUp
            } else {
                Ended::Expired
            };
            self.ended(fx, watch, Some(why));
        }
    }

    pub(super) fn watch_infos(&self) -> Vec<WatchInfo> {
        let info = |watch: &Watching| WatchInfo {
            id: watch.record.id,
            watcher: watch.record.watcher.clone(),
            topic: watch.record.topic,
            state: watch.record.state,
            stack: watch.record.stack,
            expires: watch.record.expires,
            handle: watch.record.handle.clone(),
        };
        self.watches.iter().map(info).collect()
    }
}

/// Whether the caller is the one who watches, under whatever address.
fn is_watcher(record: &WatchRecord, caller: &Caller) -> bool {
    match (record.watcher_person, caller.person) {
        (Some(one), Some(other)) => one == other,
        _ => record.watcher == caller.address,
    }
}

/// Whether both watch, or watched, the same of the same person under whatever address.
pub(super) fn same_watcher(a: &WatchRecord, b: &WatchRecord) -> bool {
    let same = match (a.watcher_person, b.watcher_person) {
        (Some(one), Some(other)) => one == other,
        _ => a.watcher == b.watcher,
    };
    same && a.stack == b.stack && a.topic == b.topic
}

/// The presence a watcher is shown.
fn presence_of(watch: &Watching) -> Change {
    if watch.record.state == WatchState::Pending && watch.record.notify {
        Change::Pending(watch.shown.clone())
    } else {
        Change::Presence(watch.shown.clone())
    }
}
