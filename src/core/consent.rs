//! Consent: what a watcher may see, and what becomes of watches when the owner has decided
//! (`decisions.md` 15, 16; RFC 3856 6.6, RFC 3857 4.7).

use crate::core::access::{
    AccessEntry, Defaults, Detail, Right, Rights, Scheme, Subject, Verdict, detail, verdict,
};
use crate::core::address::Address;
use crate::core::command::{Caller, Command, Ended, Reply, Route, Topic, WatchState};
use crate::core::effect::{Forward, ReplyTag, Rules};
use crate::core::error::{Error, Limit};
use crate::core::port::{WatchRecord, Write};
use crate::core::time::Time;
use crate::core::user::{Fx, User};
use crate::core::watchers::Happening;

/// How a watcher is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Admitted {
    pub(super) state: WatchState,
    /// May see what he watches.
    pub(super) sees: bool,
    /// How much of presence.
    pub(super) detail: Detail,
}

const SEES: Admitted = Admitted {
    state: WatchState::Active,
    sees: true,
    detail: Detail::ALL,
};
/// A personal block is told nobody: it reads as "sees nobody there" (`decisions.md` 16).
const BLIND: Admitted = Admitted {
    state: WatchState::Active,
    sees: false,
    detail: Detail::NONE,
};
const ASKED: Admitted = Admitted {
    state: WatchState::Pending,
    sees: false,
    detail: Detail::NONE,
};

/// Somebody this person watches, see [`Command::Acquaint`].
#[derive(Clone, Debug)]
pub(super) struct Acquaintance {
    with: Address,
    pub(super) until: Time,
}

impl User {
    /// What the list, the defaults and the policy of the domain say about a right of a caller.
    pub(super) fn verdict(&self, rules: &Rules, caller: &Caller, right: Right) -> Verdict {
        if self.owns(caller) {
            return Verdict::Granted;
        }
        let home = self.account().address.domain();
        let asks = right == Right::Presence && !self.is_node() && rules.confirms(home);
        let default = Defaults {
            grant: rules.rights_of(caller, home),
            ask: if asks {
                Rights::default().with(Right::Presence)
            } else {
                Rights::default()
            },
        };
        let list = self.access.as_deref().unwrap_or_default();
        match verdict(list, default, &caller.address, caller.scheme, right) {
            Verdict::Asked if self.knows(&caller.address) => Verdict::Granted,
            other => other,
        }
    }

    /// How much of presence a caller sees who may see it.
    fn detail(&self, caller: &Caller) -> Detail {
        if self.owns(caller) {
            return Detail::ALL;
        }
        let list = self.access.as_deref().unwrap_or_default();
        detail(list, &caller.address, caller.scheme)
    }

    /// How a caller is let in to watch; what policy withholds is refused openly.
    pub(super) fn admit_watcher(
        &self,
        rules: &Rules,
        caller: &Caller,
        topic: Topic,
    ) -> Result<Admitted, Error> {
        let openly = self.is_node() || rules.blocks_openly(self.account().address.domain());
        match topic {
            Topic::Presence => match self.verdict(rules, caller, Right::Presence) {
                Verdict::Granted => Ok(Admitted {
                    detail: self.detail(caller),
                    ..SEES
                }),
                Verdict::Asked => Ok(ASKED),
                Verdict::Blocked if !openly => Ok(BLIND),
                Verdict::Blocked | Verdict::Withheld => Err(Error::Denied("presence")),
            },
            Topic::Watchers => self
                .must(rules, caller, Right::Subscriptions)
                .map(|()| SEES),
            Topic::Documents => self.must_own(caller).map(|()| SEES),
            Topic::Calls if self.owns(caller) => Ok(SEES),
            Topic::Calls => {
                let list = self.access.as_deref().unwrap_or_default();
                let none = Defaults::default();
                let (address, scheme) = (&caller.address, caller.scheme);
                match verdict(list, none, address, scheme, Right::Presence) {
                    Verdict::Granted => Ok(SEES),
                    Verdict::Blocked if !openly => Ok(BLIND),
                    _ => Err(Error::Denied("calls")),
                }
            }
        }
    }

    /// The same for a watch that is there.
    pub(super) fn admit_record(
        &self,
        rules: &Rules,
        record: &WatchRecord,
    ) -> Result<Admitted, Error> {
        self.admit_watcher(rules, &watcher_of(record), record.topic)
    }

    /// Executes [`Command::Decide`].
    pub(super) fn decide(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        watcher: &Address,
        accept: bool,
    ) -> Result<Reply, Error> {
        self.must(fx.rules(), caller, Right::WriteAcl)?;
        let mut list = self.access.clone().unwrap_or_default();
        let subject = Subject::Address(watcher.clone());
        // Saying yes once more shows no more than the first time.
        let grants = |entry: &&AccessEntry| {
            entry.subject == subject && entry.schemes.is_empty() && entry.grant.has(Right::Presence)
        };
        let known = list.iter().find(grants).map(|entry| entry.detail);
        // Whatever was said about his presence is said anew; other rights stay as they are.
        for entry in list.iter_mut().filter(|entry| entry.subject == subject) {
            entry.grant = entry.grant.without(Right::Presence);
            entry.deny = entry.deny.without(Right::Presence);
            entry.ask = entry.ask.without(Right::Presence);
        }
        list.retain(|entry| entry.subject != subject || !entry.is_silent());
        let presence = Rights::default().with(Right::Presence);
        let (grant, deny) = if accept {
            (presence, Rights::default())
        } else {
            (Rights::default(), presence)
        };
        list.push(AccessEntry {
            subject,
            schemes: Vec::new(),
            grant,
            deny,
            ask: Rights::default(),
            detail: known.unwrap_or_default(),
        });
        if list.len() > fx.rules().access_entries {
            return Err(Error::LimitReached(Limit::AccessEntries));
        }
        self.replace_access(fx, list);
        Ok(Reply::Done)
    }

    /// The access list is this from now on.
    pub(super) fn replace_access(&mut self, fx: &mut Fx<'_, '_>, list: Vec<AccessEntry>) {
        fx.store(Write::PutAccess(self.person(), list.clone()));
        self.access = Some(list);
        self.reconsider_watches(fx);
        self.tell_access(fx);
    }

    /// Who may see what has changed: everybody's rights anew, and who sees something else is told.
    pub(super) fn reconsider_watches(&mut self, fx: &mut Fx<'_, '_>) {
        let mut at = 0;
        while at < self.watches.len() {
            at += usize::from(self.reconsider(fx, at));
        }
        self.stale = true;
        self.untold = true;
    }

    /// Whether the watch is still there.
    fn reconsider(&mut self, fx: &mut Fx<'_, '_>, at: usize) -> bool {
        let rules = fx.rules();
        let record = &self.watches[at].record;
        let admitted = self.admit_record(rules, record);
        let blocked = self.is_node() || rules.blocks_openly(self.account().address.domain());
        let (topic, state) = (record.topic, record.state);
        if state == WatchState::Waiting {
            let now = admitted.unwrap_or(BLIND);
            if now == ASKED {
                return true;
            }
            self.forget_waiting(fx, at, Happening::of(now.sees));
            return false;
        }
        let now = match admitted {
            Ok(now) => now,
            // What policy withholds from somebody who watches already looks like absence; the
            // owner's own no is said where that is wanted.
            Err(_) if topic == Topic::Presence && !blocked => BLIND,
            Err(_) => {
                self.end_watch(fx, at, Some(Ended::Rejected));
                return false;
            }
        };
        let reads = self.may_record(fx, &self.watches[at].record, Right::Read);
        let watch = &mut self.watches[at];
        watch.reads = reads;
        watch.sees = now.sees;
        watch.detail = now.detail;
        if now.state != state {
            watch.record.state = now.state;
            watch.event = Happening::of(now.state == WatchState::Active);
            // The stack of the watcher must learn of it even where there is nothing new to see.
            watch.owed = watch.record.notify;
            fx.store(Write::PutWatch(watch.record.clone()));
            self.roll_changed = true;
        }
        true
    }

    /// A watch of a person here was granted or extended: where that means consent to being watched
    /// by the one who is watched, his shard is told.
    pub(super) fn acquaint_watcher(&self, fx: &mut Fx<'_, '_>, record: &WatchRecord) {
        let Some(to) = record.watcher_person else {
            return;
        };
        if record.topic != Topic::Presence || !fx.rules().is_mutual(record.watcher.domain()) {
            return;
        }
        fx.forward(Forward {
            to,
            caller: self.internal(),
            command: Command::Acquaint {
                with: self.account().address.clone(),
                until: record.expires,
            },
            reply: ReplyTag::NOBODY,
        });
    }

    /// Executes [`Command::Acquaint`].
    pub(super) fn acquaint(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        with: Address,
        until: Time,
    ) -> Result<Reply, Error> {
        if caller.scheme != Scheme::Internal {
            return Err(Error::Denied("acquaint"));
        }
        self.acquaintances.retain(|known| known.with != with);
        // Everybody watches fewer people than that; the oldest makes room.
        if self.acquaintances.len() >= fx.rules().watches {
            self.acquaintances.remove(0);
        }
        self.acquaintances.push(Acquaintance { with, until });
        self.arm(until);
        self.reconsider_watches(fx);
        Ok(Reply::Done)
    }

    pub(super) fn expire_acquaintances(&mut self, fx: &mut Fx<'_, '_>) {
        let now = fx.now();
        let before = self.acquaintances.len();
        self.acquaintances.retain(|known| now < known.until);
        if self.acquaintances.len() != before {
            self.reconsider_watches(fx);
        }
    }

    fn knows(&self, address: &Address) -> bool {
        let mut all = self.acquaintances.iter();
        all.any(|known| known.with == *address)
    }
}

/// A stored watcher as a caller.
pub(super) fn watcher_of(record: &WatchRecord) -> Caller {
    Caller {
        address: record.watcher.clone(),
        person: record.watcher_person,
        scheme: record.scheme,
        route: Route::Point(record.stack),
    }
}
