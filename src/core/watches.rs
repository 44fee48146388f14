//! Watches: who is told of the person's presence, what each may see, and when
//! (`decisions.md` 13, 16).

use crate::core::access::{Right, Verdict};
use crate::core::address::Address;
use crate::core::command::{
    Caller, Change, Command, Ended, PropertyName, PropertyValue, Relay, Reply, Via, Watch,
    WatchInfo,
};
use crate::core::effect::{Forward, Notice, ReplyTag, Why};
use crate::core::error::{Error, Limit};
use crate::core::event::Event;
use crate::core::fold::{as_shown, fold, pair, same};
use crate::core::id::{Handle, PointId, WatchId};
use crate::core::port::{WatchRecord, Write};
use crate::core::presence::{Presence, State, View};
use crate::core::time::Time;
use crate::core::user::{Fx, User};
use std::sync::Arc;
use std::time::Duration;

/// One watch, live.
#[derive(Clone, Debug)]
pub(super) struct Watching {
    pub(super) record: WatchRecord,
    /// May see presence.
    pub(super) sees: bool,
    /// May read properties.
    pub(super) reads: bool,
    /// What the watcher believes.
    pub(super) shown: View,
    /// How sure that is.
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
        let sees = self.may_see(fx, caller)?;
        let known = self.watches.iter().position(|w| {
            watch.key.is_some()
                && w.record.key == watch.key
                && w.record.stack == watch.stack
                && is_watcher(&w.record, caller)
        });
        if known.is_none() && self.watches.len() >= fx.rules().watches {
            return Err(Error::LimitReached(Limit::Watches));
        }
        let now = fx.now();
        let lease = watch.lease.min(fx.rules().lease_max);
        let notify = watch.notify;
        let id = match known {
            Some(at) => self.watches[at].record.id,
            None => WatchId(fx.next_number()),
        };
        let record = WatchRecord {
            person: self.person(),
            id,
            of: self.account().address.clone(),
            watcher: caller.address.clone(),
            watcher_person: caller.person,
            scheme: caller.scheme,
            stack: watch.stack,
            via: watch.via,
            key: watch.key,
            handle: watch.handle,
            lease,
            expires: now.after(lease),
        };
        let fresh = Watching {
            sees,
            reads: self.may_record(fx, &record, Right::Read),
            shown: self.view_for(sees, &record.watcher, now),
            belief: Belief::Sure,
            record,
        };
        let view = fresh.shown.clone();
        let at = match known {
            Some(at) => {
                self.watches[at] = fresh;
                at
            }
            None => {
                self.watches.push(fresh);
                self.watches.len() - 1
            }
        };
        if lease.is_zero() {
            // A fetch: told once, and that it is over (RFC 6665 4.4.3).
            let watch = self.watches.remove(at);
            if known.is_some() {
                fx.store(Write::DeleteWatch(self.person(), id));
            }
            if notify {
                let over = Change::Ended(Ended::Expired, watch.shown);
                self.send(fx, &watch.record, over);
            }
        } else {
            self.granted(fx, at, notify);
        }
        Ok(Reply::Watching {
            watch: Some(id),
            lease,
            view,
        })
    }

    /// A watch has a new lease: stored, armed, and told what is so if that is wanted.
    fn granted(&mut self, fx: &mut Fx<'_, '_>, at: usize, notify: bool) {
        let watch = &self.watches[at];
        fx.store(Write::PutWatch(watch.record.clone()));
        if notify {
            self.send(fx, &watch.record, Change::Presence(watch.shown.clone()));
        }
        self.arm(watch.record.expires);
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
        let at = self.watch_at(caller, id)?;
        let now = fx.now();
        let lease = lease.min(fx.rules().lease_max);
        let watch = &self.watches[at];
        let view = self.view_for(watch.sees, &watch.record.watcher, now);
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
        let at = self.watch_at(caller, id)?;
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
        let at = self.watch_at(caller, id)?;
        let record = &mut self.watches[at].record;
        if record.handle != handle {
            record.handle = handle;
            fx.store(Write::PutWatch(record.clone()));
        }
        Ok(Reply::Done)
    }

    /// Executes [`Command::Look`].
    pub(super) fn look(&self, fx: &Fx<'_, '_>, caller: &Caller) -> Result<Reply, Error> {
        let sees = self.may_see(fx, caller)?;
        Ok(Reply::Watching {
            watch: None,
            lease: Duration::ZERO,
            view: self.view_for(sees, &caller.address, fx.now()),
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

    /// Whether a caller may see presence. A personal block is told nobody: it reads as "sees
    /// nobody there". What policy withholds is refused openly (`decisions.md` 16).
    fn may_see(&self, fx: &Fx<'_, '_>, caller: &Caller) -> Result<bool, Error> {
        match self.verdict(fx.rules(), caller, Right::Presence) {
            Verdict::Granted => Ok(true),
            Verdict::Blocked if !self.is_node() => Ok(false),
            Verdict::Blocked | Verdict::Withheld => Err(Error::Denied("presence")),
        }
    }

    /// Whether a stored watcher has a right now.
    pub(super) fn may_record(&self, fx: &Fx<'_, '_>, record: &WatchRecord, right: Right) -> bool {
        let caller = Caller {
            address: record.watcher.clone(),
            person: record.watcher_person,
            scheme: record.scheme,
            route: crate::core::command::Route::Point(record.stack),
        };
        self.verdict(fx.rules(), &caller, right) == Verdict::Granted
    }

    /// What somebody is shown who starts looking now.
    pub(super) fn view_for(&self, sees: bool, watcher: &Address, now: Time) -> View {
        let view = self.shown_to.get(watcher).unwrap_or(&self.fold);
        if sees && view.state != State::Offline {
            view.clone()
        } else {
            View::offline(now)
        }
    }

    /// The access list changed: everybody's rights anew, and who sees something else is told.
    pub(super) fn reconsider_watches(&mut self, fx: &Fx<'_, '_>) {
        let mut watches = std::mem::take(&mut self.watches);
        for watch in &mut watches {
            watch.sees = self.may_record(fx, &watch.record, Right::Presence);
            watch.reads = self.may_record(fx, &watch.record, Right::Read);
        }
        self.watches = watches;
        self.stale = true;
        self.untold = true;
    }

    /// Brings the fold up to date and tells watchers: a first change at once, its followers
    /// merged, the echo of the other half of a pair only if it still makes a difference
    /// (`decisions.md` 13).
    pub(super) fn settle(&mut self, fx: &mut Fx<'_, '_>) {
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
                    if now.since(at) < rules.echo && pair(&self.points, point, other) =>
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
            let view = self.shown_to.get(&watch.record.watcher).unwrap_or(&fold);
            let there = watch.sees && view.state != State::Offline;
            let unchanged = if there {
                same(&watch.shown, view)
            } else {
                watch.shown.state == State::Offline
            };
            if unchanged && watch.belief != Belief::Doubtful {
                continue;
            }
            if watch.belief == Belief::Doubtful {
                watch.belief = Belief::Sure;
            }
            watch.shown = if there {
                view.clone()
            } else {
                View::offline(now)
            };
            self.send(fx, &watch.record, Change::Presence(watch.shown.clone()));
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
        for watch in self.watches.iter().filter(|watch| watch.reads) {
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

    /// The watch with that id if the caller may handle it: the watcher, the owner, this server.
    fn watch_at(&self, caller: &Caller, id: WatchId) -> Result<usize, Error> {
        let at = self.watches.iter().position(|w| w.record.id == id);
        at.filter(|at| self.owns(caller) || is_watcher(&self.watches[*at].record, caller))
            .ok_or(Error::StaleId)
    }

    /// Removes a watch; with a reason, the watcher is told.
    pub(super) fn end_watch(&mut self, fx: &mut Fx<'_, '_>, at: usize, told: Option<Ended>) {
        let watch = self.watches.remove(at);
        fx.store(Write::DeleteWatch(self.person(), watch.record.id));
        if let Some(reason) = told {
            self.send(fx, &watch.record, Change::Ended(reason, watch.shown));
        }
    }

    pub(super) fn expire_watches(&mut self, fx: &mut Fx<'_, '_>) {
        let now = fx.now();
        let mut at = 0;
        while let Some(watch) = self.watches.get(at) {
            if now < watch.record.expires {
                at += 1;
                continue;
            }
            fx.log(Notice::WatchEnded(
                self.person(),
                watch.record.id,
                Why::LeaseEnded,
            ));
            self.end_watch(fx, at, Some(Ended::Expired));
        }
    }

    pub(super) fn watch_infos(&self) -> Vec<WatchInfo> {
        let info = |watch: &Watching| WatchInfo {
            id: watch.record.id,
            watcher: watch.record.watcher.clone(),
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
