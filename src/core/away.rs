//! Texts for people who are away, where their domain keeps them: stored, and delivered in order when
//! somebody signs in (`decisions.md` 16, 18, 19).
//!
//! One is under way at a time, so that the order holds whatever a client's connection does; a text
//! of somebody who has others here waits behind them. A blocked sender's are stored and counted like
//! all others, expire like all others and are never delivered: nobody can tell a block from absence.

use crate::core::access::{Right, Scheme, Verdict};
use crate::core::address::Address;
use crate::core::attempts::failure_notice;
use crate::core::command::{Caller, Fate, Outcome, Refusal, Route as Way};
use crate::core::delivery::{Delivery, Phase};
use crate::core::effect::{Notice, ReplyTag};
use crate::core::error::{Error, Unreachable};
use crate::core::message::{Content, Kind, Message, ReceiptFate};
use crate::core::notices::{post, text};
use crate::core::port::{KeptRecord, Stay, Write};
use crate::core::receipts::receipt;
use crate::core::routing::{Route, Try};
use crate::core::time::Time;
use crate::core::trace::Step;
use crate::core::user::{Fx, User};
use std::sync::Arc;

/// A text that waits for its recipient.
#[derive(Clone, Debug)]
pub(super) struct Away {
    message: Arc<Message>,
    /// Its end, if nobody comes.
    pub(super) until: Time,
    /// Never delivered: the recipient blocks its sender.
    withheld: bool,
    /// May have been delivered before a crash.
    redelivered: bool,
}

impl Away {
    fn octets(&self) -> usize {
        octets(&self.message)
    }
}

impl User {
    /// Whether such a text waits here when nobody is there to take it.
    pub(super) fn keeps(&self, fx: &Fx<'_, '_>, message: &Message) -> bool {
        message.content.kind() == Kind::Text
            && !self.is_node()
            && fx.rules().keeps_texts(self.account().address.domain())
    }

    /// The text that is under way to somebody who came.
    fn leaving(&self) -> Option<&Delivery> {
        let mut all = self.deliveries.iter();
        all.find(|delivery| delivery.away.is_some() && delivery.phase == Phase::Kept)
    }

    /// Whether the text has to wait because others of its sender do.
    pub(super) fn stands_behind(&self, message: &Message) -> bool {
        let leaving = self.leaving().map(|delivery| &delivery.message);
        let waiting = self.away.iter().filter(|away| !away.withheld);
        let mut all = waiting.map(|away| &away.message).chain(leaving);
        all.any(|other| same_sender(other, message))
    }

    /// Keeps a text for a person who is away, or, `withheld`, only seems to.
    pub(super) fn put_away(
        &mut self,
        fx: &mut Fx<'_, '_>,
        message: Arc<Message>,
        tag: ReplyTag,
        withheld: bool,
    ) -> Result<Option<Fate>, Error> {
        if withheld && let Some(known) = self.duplicate(fx, &message, tag) {
            return known;
        }
        if !self.has_room(fx, &message) {
            return Err(Error::NotReachable(Unreachable::BoxFull));
        }
        self.remember(fx, &message);
        self.seen_result(message.id, Ok(Fate::Kept));
        self.box_up(fx, message, withheld);
        self.drain(fx);
        Ok(Some(Fate::Kept))
    }

    fn box_up(&mut self, fx: &mut Fx<'_, '_>, message: Arc<Message>, withheld: bool) {
        let away = Away {
            until: fx.now().after(fx.rules().away_for),
            message,
            withheld,
            redelivered: false,
        };
        let stay = if withheld { Stay::Withheld } else { Stay::Away };
        fx.store(Write::PutKept(self.away_record(&away, stay)));
        fx.trace(
            away.message.id,
            if withheld {
                Step::Dropped("blocked; the sender is told that it is kept")
            } else {
                Step::Kept
            },
        );
        receipt(fx, &away.message, ReceiptFate::Kept);
        self.arm(away.until);
        self.away.push_back(away);
    }

    /// What a text may cost others: so many of one sender, so many and so large of all whose texts
    /// are delivered some day.
    fn has_room(&self, fx: &Fx<'_, '_>, message: &Message) -> bool {
        let rules = fx.rules();
        let own = self
            .away
            .iter()
            .filter(|a| same_sender(&a.message, message));
        // A blocked sender sees his own ones count, as he would if he was not.
        let counts = |a: &&Away| !a.withheld || same_sender(&a.message, message);
        let all = || self.away.iter().filter(counts);
        let size: usize = all().map(Away::octets).sum();
        own.count() < rules.away_sender
            && all().count() < rules.away_texts
            && size + octets(message) <= rules.away_octets
    }

    fn away_record(&self, away: &Away, stay: Stay) -> KeptRecord {
        KeptRecord {
            person: self.person(),
            message: Arc::clone(&away.message),
            until: away.until,
            delivered: Vec::new(),
            stay,
        }
    }

    /// Somebody may be there: the oldest text goes out, the next when that is through.
    pub(super) fn drain(&mut self, fx: &mut Fx<'_, '_>) {
        while self.leaving().is_none()
            && let Some(at) = self.away.iter().position(|away| !away.withheld)
        {
            if self.blocks(fx, &self.away[at].message) {
                self.away[at].withheld = true;
                let record = self.away_record(&self.away[at], Stay::Withheld);
                fx.store(Write::PutKept(record));
                continue;
            }
            let Route::To(attempts) = self.route(fx, &self.away[at].message) else {
                return;
            };
            let live = |stack, inbox: &str| self.point_for(stack, inbox).is_some_and(|p| p.1);
            if !attempts.iter().any(|a| live(a.stack, &a.inbox)) {
                return;
            }
            let Some(away) = self.away.remove(at) else {
                return;
            };
            // Written down first: if we die after the octets have left us, this may be a double.
            fx.store(Write::PutKept(self.away_record(&away, Stay::Leaving)));
            let routed = attempts.iter().map(|a| (a.point, a.stack)).collect();
            fx.trace(away.message.id, Step::Routed(routed));
            let mut delivery = Delivery {
                message: away.message,
                tags: Vec::new(),
                phase: Phase::Kept,
                until: fx.now().after(fx.rules().keep),
                redelivered: away.redelivered,
                away: Some(away.until),
                attempts,
            };
            self.open_waiting(fx, &mut delivery);
            self.arm(delivery.until);
            self.deliveries.push_back(delivery);
        }
    }

    /// Whether the list has come to block the sender of a text meanwhile.
    fn blocks(&self, fx: &Fx<'_, '_>, message: &Message) -> bool {
        let scheme = match message.from_person {
            _ if message.from.local() == &*fx.rules().system_local => Scheme::Internal,
            Some(_) => Scheme::Digest,
            None => Scheme::Peer,
        };
        let caller = Caller {
            address: message.from.clone(),
            person: message.from_person,
            scheme,
            route: Way::Internal,
        };
        self.verdict(fx.rules(), &caller, Right::SendTo) == Verdict::Blocked
    }

    /// Nobody took the delivery at `at`: it waits (on) for somebody to come, if that can lead to no
    /// double. False: it has failed.
    pub(super) fn waits_on(&mut self, fx: &mut Fx<'_, '_>, at: usize) -> bool {
        let delivery = &self.deliveries[at];
        let nothing_left_us = |state: Try| {
            matches!(
                state,
                Try::Over(
                    Outcome::Unreached
                        | Outcome::QueueFull
                        | Outcome::Gone
                        | Outcome::Refused(Refusal::Unavailable | Refusal::Overloaded)
                ) | Try::Spared
            )
        };
        if !delivery.attempts.iter().all(|a| nothing_left_us(a.state))
            || delivery.away.is_none() && !self.has_room(fx, &delivery.message)
            || !self.keeps(fx, &delivery.message)
        {
            return false;
        }
        let Some(delivery) = self.deliveries.remove(at) else {
            return false;
        };
        let id = delivery.message.id;
        let Some(until) = delivery.away else {
            let (message, conversation) =
                (Arc::clone(&delivery.message), delivery.message.conversation);
            self.box_up(fx, message, false);
            for tag in delivery.tags {
                let kept = crate::core::delivery::sent(id, conversation, Fate::Kept);
                fx.reply(tag, Ok(kept));
            }
            self.seen_result(id, Ok(Fate::Kept));
            return true;
        };
        let away = Away {
            message: delivery.message,
            until,
            withheld: false,
            redelivered: delivery.redelivered,
        };
        fx.store(Write::PutKept(self.away_record(&away, Stay::Away)));
        self.arm(until);
        self.away.push_front(away);
        // Not at once again: the next sign-in, or the next text, wakes it.
        true
    }

    /// Takes up a text as it was stored.
    pub(super) fn restore_away(&mut self, fx: &Fx<'_, '_>, record: KeptRecord) {
        self.away.push_back(Away {
            until: record.until.max(fx.now().after(fx.rules().restored)),
            message: record.message,
            withheld: record.stay == Stay::Withheld,
            redelivered: record.stay == Stay::Leaving,
        });
    }

    /// Whose time is up: the sender is told, blocked or not.
    pub(super) fn expire_away(&mut self, fx: &mut Fx<'_, '_>) {
        let now = fx.now();
        let mut at = 0;
        while let Some(away) = self.away.get(at) {
            if now < away.until {
                at += 1;
            } else if let Some(away) = self.away.remove(at) {
                fx.store(Write::DeleteKept(self.person(), away.message.id));
                let error = Error::NotReachable(Unreachable::NobodySignedIn);
                self.tell_failed(fx, &away.message, error);
            }
        }
    }

    /// The account is gone.
    pub(super) fn abandon_away(&mut self, fx: &mut Fx<'_, '_>) {
        for away in std::mem::take(&mut self.away) {
            self.tell_failed(fx, &away.message, Error::UnknownUser);
        }
    }

    /// A message whose sender was told that it is kept can't be delivered after all: he is told.
    pub(super) fn tell_failed(&mut self, fx: &mut Fx<'_, '_>, message: &Message, error: Error) {
        self.seen_result(message.id, Err(error.clone()));
        fx.trace(message.id, Step::Failed(error));
        receipt(fx, message, ReceiptFate::Failed);
        if message.content.kind() != Kind::Text || message.from.local() == &*fx.rules().system_local
        {
            return;
        }
        let system = Address::new(&fx.rules().system_local, message.from.domain());
        let (Some(to), Ok(from)) = (message.from_person, system) else {
            fx.log(Notice::SenderNotTold(self.person(), message.id));
            return;
        };
        fx.trace(message.id, Step::SenderTold);
        let ends = (from, message.from.clone());
        let content = text(failure_notice(message));
        post(fx, to, ends, message.conversation, content);
    }
}

fn same_sender(a: &Message, b: &Message) -> bool {
    match (a.from_person, b.from_person) {
        (Some(one), Some(other)) => one == other,
        _ => a.from == b.from,
    }
}

fn octets(message: &Message) -> usize {
    let body = match &message.content {
        Content::Text(text) => text.body.len(),
        _ => 0,
    };
    body + message.original.bytes.len()
}
