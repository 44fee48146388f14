//! Messages: from the sender's person to the recipient's points and back to an honest answer
//! (`decisions.md` 16-19).

use crate::core::access::{Right, Scheme, Verdict};
use crate::core::command::{
    self, Caller, Command, Condition, Fate, PointInfo, Reach, Reply, Sent, Submit,
};
use crate::core::conversation::Peer;
use crate::core::effect::{Forward, ReplyTag};
use crate::core::error::{Error, Unreachable};
use crate::core::event::Event;
use crate::core::id::{ConversationId, MessageId, PointId};
use crate::core::message::{Ack, Content, Message};
use crate::core::node::INSIDE;
use crate::core::routing::{Attempt, Route, Try};
use crate::core::time::Time;
use crate::core::trace::Step;
use crate::core::user::{Fx, User};
use std::sync::Arc;

/// A message under way to this person.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) message: Arc<Message>,
    /// Who waits for the answer (several, when a duplicate came meanwhile).
    pub(super) tags: Vec<ReplyTag>,
    pub(super) phase: Phase,
    /// Tried until then.
    pub(super) until: Time,
    /// May have been delivered before a crash.
    pub(super) redelivered: bool,
    /// Its recipient was away; its end then.
    pub(super) away: Option<Time>,
    pub(super) attempts: Vec<Attempt>,
}

/// What the sender knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing yet; will be told then at the latest.
    Awaiting(Time),
    /// That it is stored.
    Kept,
    /// The end of it; other inboxes may still get their copies.
    Told,
}

impl User {
    /// Executes [`Command::Submit`]: identity, conversation, then on to the recipient.
    pub(super) fn submit(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        mut submit: Submit,
        tag: ReplyTag,
    ) -> Result<(), Error> {
        let message = &mut submit.message;
        self.vet(fx, caller, message)?;
        let peer = Peer::Person(submit.to);
        if submit.to == self.person() && self.crosses_to_itself(&submit.message) {
            return Err(self.refuse_self_chat(fx, &submit));
        }
        let mut message = submit.message;
        let writer = self.writer(message.original.stack, &submit.whence);
        message.conversation = self.converse(fx, peer.clone(), submit.conversation);
        fx.trace(message.id, accepted(&message));
        if let Some(writer) = writer
            && !self.speaks(fx, &peer, writer, &message.content)
        {
            fx.trace(message.id, Step::Dropped("another sign-in goes on"));
            fx.reply(
                tag,
                Ok(sent(message.id, message.conversation, Fate::Dropped)),
            );
            return Ok(());
        }
        if message.content == Content::Leave {
            self.part(&peer, message.conversation);
        }
        if self.adds_a_third(&message, submit.to) {
            self.open_chat(fx, caller, (message, submit.to), tag);
            return Ok(());
        }
        fx.forward(Forward {
            to: submit.to,
            caller: caller.clone(),
            command: Command::Deliver(Arc::new(message)),
            reply: tag,
        });
        Ok(())
    }

    /// The sender's own part: it is his word, and now it has a name.
    pub(super) fn vet(
        &self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        message: &mut Message,
    ) -> Result<(), Error> {
        self.must_own(caller)?;
        let account = self.account();
        if message.from != account.address && !account.aliases.contains(&message.from) {
            return Err(Error::Spoofed);
        }
        if message.hops > fx.rules().hops {
            return Err(Error::Loop);
        }
        message.id = fx.message_id();
        message.at = fx.now();
        message.from_person = Some(self.person());
        Ok(())
    }

    /// Executes [`Command::Deliver`]. `None`: the answer comes when delivery is decided.
    pub(super) fn deliver(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        message: Arc<Message>,
        tag: ReplyTag,
    ) -> Result<Option<Reply>, Error> {
        let message = self.entered(fx, message);
        let (id, conversation) = (message.id, message.conversation);
        let answer = self.admit(fx, caller, message, tag);
        match &answer {
            Err(error) => fx.trace(id, Step::Failed(error.clone())),
            Ok(Some(fate)) => {
                let message = id;
                return Ok(Some(sent(message, conversation, *fate)));
            }
            Ok(None) => {}
        }
        answer.map(|_| None)
    }

    /// A message that came from another server has no id and perhaps no conversation yet.
    fn entered(&mut self, fx: &mut Fx<'_, '_>, message: Arc<Message>) -> Arc<Message> {
        if message.id.0 != 0 {
            return message;
        }
        let mut entered = (*message).clone();
        entered.id = fx.message_id();
        entered.at = fx.now();
        if entered.conversation.0 == 0 {
            entered.conversation = self.converse(fx, Peer::sender(&entered), None);
        }
        fx.trace(entered.id, accepted(&entered));
        Arc::new(entered)
    }

    fn admit(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        message: Arc<Message>,
        tag: ReplyTag,
    ) -> Result<Option<Fate>, Error> {
        let ephemeral = message.content.ephemeral();
        // Before the list: whoever is blocked is told the same.
        if message.hops > fx.rules().hops {
            return Err(Error::Loop);
        }
        match self.verdict(fx.rules(), caller, Right::SendTo) {
            Verdict::Granted => {}
            Verdict::Blocked
                if self.is_node() || fx.rules().blocks_openly(self.account().address.domain()) =>
            {
                return Err(Error::Denied("send-to"));
            }
            // Exactly what the sender would get if nobody were there.
            Verdict::Blocked if ephemeral => return Ok(Some(Fate::Dropped)),
            Verdict::Blocked if self.keeps(fx, &message) => {
                return self.put_away(fx, message, tag, true);
            }
            Verdict::Blocked => return Err(Error::NotReachable(Unreachable::Blocked)),
            Verdict::Asked | Verdict::Withheld => return Err(Error::Denied("send-to")),
        }
        if !ephemeral && let Some(known) = self.duplicate(fx, &message, tag) {
            return known;
        }
        if !ephemeral {
            let copied = caller.route == command::Route::Internal;
            let copied = copied && caller.scheme != Scheme::Internal;
            fx.admitted(&message, copied, Vec::new());
        }
        fx.trace(message.id, Step::Authorised);
        let peer = Peer::sender(&message);
        // What is said among many is no pair's.
        if message.chat.is_none() {
            self.converse(fx, peer.clone(), Some(message.conversation));
        }
        if matches!(message.content, Content::Text(_) | Content::Leave) {
            self.typed(&peer);
        }
        if message.content == Content::Leave {
            self.part(&peer, message.conversation);
        }
        if self.stands_behind(&message) && self.keeps(fx, &message) {
            return self.put_away(fx, message, tag, false);
        }
        let attempts = match self.route(fx, &message) {
            Route::To(attempts) => attempts,
            Route::Unshown => {
                fx.trace(message.id, Step::Dropped("no client there shows this kind"));
                return Ok(Some(Fate::Dropped));
            }
            _ if ephemeral => {
                fx.trace(message.id, Step::Dropped("nobody there to see it"));
                return Ok(Some(Fate::Dropped));
            }
            Route::Nobody(_) if self.keeps(fx, &message) => {
                return self.put_away(fx, message, tag, false);
            }
            Route::Unsupported => return self.decline(fx, &message),
            Route::Nobody(why) => return Err(Error::NotReachable(why)),
        };
        if ephemeral {
            return Ok(Some(self.show(fx, &message, &attempts)));
        }
        if self.deliveries.len() >= fx.rules().pending {
            return Err(Error::Overloaded);
        }
        self.begin(fx, message, attempts, tag);
        Ok(None)
    }

    /// Typing and receipts: to whoever is there now, nobody waits for the outcome.
    fn show(&mut self, fx: &mut Fx<'_, '_>, message: &Arc<Message>, attempts: &[Attempt]) -> Fate {
        let mut fate = Fate::Dropped;
        let showing = self.typist(fx, message);
        for attempt in attempts.iter().filter(|a| a.state != Try::Reserve) {
            if let Some((point, true)) = self.point_for(attempt.stack, &attempt.inbox) {
                fate = Fate::Delivered;
                // Within a stack its clients keep the time themselves.
                if attempt.stack != message.original.stack {
                    match fx.typing_beat(attempt.stack) {
                        Some(beat) => self.beat(fx, message, beat),
                        None if !showing.refresh => continue,
                        None => {}
                    }
                }
                self.emit_attempt(fx, message, (point, &attempt.inbox), (false, false));
            }
        }
        fate
    }

    pub(super) fn begin(
        &mut self,
        fx: &mut Fx<'_, '_>,
        message: Arc<Message>,
        attempts: Vec<Attempt>,
        tag: ReplyTag,
    ) {
        let (now, rules) = (fx.now(), fx.rules());
        let routed = attempts.iter().map(|a| (a.point, a.stack)).collect();
        fx.trace(message.id, Step::Routed(routed));
        self.remember(fx, &message);
        let ack = message.ack;
        let mut delivery = Delivery {
            message,
            tags: if tag == ReplyTag::NOBODY {
                Vec::new()
            } else {
                vec![tag]
            },
            phase: Phase::Awaiting(now.after(rules.answer)),
            until: now.after(rules.keep),
            redelivered: false,
            away: None,
            attempts,
        };
        self.open_waiting(fx, &mut delivery);
        self.arm(now.after(rules.answer));
        self.deliveries.push_back(delivery);
        if ack == Ack::Hop {
            self.keep(fx, self.deliveries.len() - 1);
        }
    }

    /// Opens attempts that wait for a point that is there now.
    pub(super) fn open_waiting(&self, fx: &mut Fx<'_, '_>, delivery: &mut Delivery) {
        for attempt in &mut delivery.attempts {
            if attempt.state != Try::Waiting {
                continue;
            }
            if let Some((point, live)) = self.point_for(attempt.stack, &attempt.inbox) {
                attempt.point = point;
                if live {
                    attempt.state = Try::Open;
                    let inbox = (point, &attempt.inbox);
                    let late = (delivery.redelivered, delivery.away.is_some());
                    self.emit_attempt(fx, &delivery.message, inbox, late);
                }
            }
        }
    }

    pub(super) fn emit_attempt(
        &self,
        fx: &mut Fx<'_, '_>,
        message: &Arc<Message>,
        (point, inbox): (PointId, &Arc<str>),
        (redelivered, away): (bool, bool),
    ) {
        let point = match self.point(point) {
            Some(point) => point.info(),
            None if self.is_node() => member_info(point, inbox, fx.now()),
            None => return,
        };
        if redelivered {
            fx.trace(message.id, Step::Redelivered(point.id));
        }
        fx.emit(
            point.stack,
            Event::Deliver {
                person: self.person(),
                point,
                message: Arc::clone(message),
                redelivered,
                away,
            },
        );
    }
}

impl Delivery {
    /// Whether every group has it.
    pub(super) fn everywhere(&self) -> bool {
        let has = |group| {
            let mut of = self.attempts.iter().filter(|a| a.group == group);
            of.any(Attempt::delivered)
        };
        self.attempts.iter().all(|a| has(a.group))
    }

    /// When something about it is due next.
    pub(super) fn due(&self) -> Option<Time> {
        let retry = self.attempts.iter().filter_map(|a| match a.state {
            Try::Retry(then) => Some(then),
            _ => None,
        });
        let answer = match self.phase {
            Phase::Awaiting(at) => Some(at),
            _ => None,
        };
        retry.chain(answer).chain([self.until]).min()
    }
}

/// What stands for the inbox of a member of a distribution list.
fn member_info(id: PointId, inbox: &Arc<str>, now: Time) -> PointInfo {
    PointInfo {
        id,
        stack: INSIDE,
        key: None,
        inbox: Arc::clone(inbox),
        expires: now,
        reach: Reach::Full,
        preference: 0,
        source: None,
        client: "".into(),
        condition: Condition::Live,
        holder: None,
        handle: Arc::from([]),
        active: now,
    }
}

pub(super) fn sent(message: MessageId, conversation: ConversationId, fate: Fate) -> Reply {
    Reply::Sent(Sent {
        message,
        conversation,
        fate,
    })
}

pub(super) fn accepted(message: &Message) -> Step {
    Step::Accepted {
        from: message.from.clone(),
        to: message.to.clone(),
        stack: message.original.stack,
        kind: message.content.kind(),
        conversation: message.conversation,
    }
}
