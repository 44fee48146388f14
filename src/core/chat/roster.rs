//! Who is in a conversation: asked in, there, gone, away and back. Every change is stored before
//! anybody is told of it.

use super::{Chat, ChatRecord, FORMER, Invited, Member};
use crate::core::address::Address;
use crate::core::command::{Command, Outcome, Refusal};
use crate::core::delivery::Delivery;
use crate::core::effect::{Forward, ReplyTag};
use crate::core::error::Error;
use crate::core::event::Event;
use crate::core::id::{ConversationId, MessageId, PersonId, PointId};
use crate::core::message::{Ack, Content, Decoded, InChat, Message, Original};
use crate::core::node::{INSIDE, member_point};
use crate::core::port::{Account, Write};
use crate::core::routing::Attempt;
use crate::core::time::Time;
use crate::core::user::{Fx, User};
use std::sync::Arc;

impl User {
    /// Stores it as it is now.
    pub(super) fn chat_store(&self, fx: &mut Fx<'_, '_>) {
        if let Some(chat) = &self.chat {
            fx.store(Write::PutChat(Box::new(chat.record.clone())));
        }
    }

    /// Members are asked in by address: the hub finds out who that is.
    pub(super) fn chat_want(
        &mut self,
        fx: &mut Fx<'_, '_>,
        by: PersonId,
        named: impl IntoIterator<Item = Result<Address, String>>,
    ) {
        for named in named {
            match named {
                Err(word) => self.chat_tell(fx, by, format!("{word} is no address.")),
                Ok(who) => {
                    if let Some(chat) = &mut self.chat {
                        chat.wanted += 1;
                    }
                    let chat = self.person();
                    fx.emit(INSIDE, Event::ChatWants { chat, who, by });
                }
            }
        }
    }

    /// That is who it is.
    pub(super) fn chat_found(
        &mut self,
        fx: &mut Fx<'_, '_>,
        who: &Address,
        by: PersonId,
        account: Option<&Account>,
    ) {
        let Some(chat) = &mut self.chat else {
            return;
        };
        chat.wanted = chat.wanted.saturating_sub(1);
        let Some(chat) = &self.chat else {
            return;
        };
        let Some(asker) = chat.member(by) else {
            return;
        };
        let Some(account) = account.filter(|account| account.node.is_none()) else {
            return self.chat_tell(fx, by, format!("There is nobody called {who}."));
        };
        if chat.everybody().any(|m| m.person == account.person) {
            return self.chat_tell(fx, by, format!("{who} is here already."));
        }
        let join = self.chat_says(fx, asker, &account.address, Content::Join);
        if self
            .chat_invite(fx, account, join, ReplyTag::NOBODY)
            .is_err()
        {
            self.chat_tell(
                fx,
                by,
                format!("{who} was not added: the conversation is full."),
            );
        }
    }

    /// Something that the conversation says in the name of a member.
    fn chat_says(
        &self,
        fx: &mut Fx<'_, '_>,
        from: &Member,
        to: &Address,
        content: Content,
    ) -> Message {
        let named = self.chat.as_ref().map(|chat| chat.record.conversation);
        Message {
            id: fx.message_id(),
            at: fx.now(),
            from: from.address.clone(),
            from_person: Some(from.person),
            from_name: "".into(),
            to: to.clone(),
            conversation: named.unwrap_or(ConversationId(0)),
            content,
            original: Original {
                stack: INSIDE,
                bytes: bytes::Bytes::new(),
                key: None,
                decoded: Decoded::default(),
            },
            ack: Ack::Any,
            hops: 1,
            wants: None,
            chat: None,
        }
    }

    /// Asks somebody in. Whether he is, the outcome tells.
    pub(super) fn chat_invite(
        &mut self,
        fx: &mut Fx<'_, '_>,
        account: &Account,
        mut join: Message,
        tag: ReplyTag,
    ) -> Result<(), Error> {
        self.chat_room(fx)?;
        let now = fx.now();
        let Some((chat, by)) = self.chat.as_mut().zip(join.from_person) else {
            return Err(Error::UnknownUser);
        };
        chat.record.invited.push(Invited {
            member: Member::of(account, now, false),
            by,
            told: tag == ReplyTag::NOBODY,
        });
        let line = chat.welcome(by).into();
        join.chat = Some(Arc::new(InChat {
            address: chat.record.address.clone(),
            line,
        }));
        join.to = account.address.clone();
        self.chat_store(fx);
        let sent = self.chat_send(fx, join, tag).map(|_| ());
        if sent.is_err() {
            self.chat_uninvite(fx, account.person);
        }
        sent
    }

    fn chat_uninvite(&mut self, fx: &mut Fx<'_, '_>, person: PersonId) -> Option<Invited> {
        let chat = self.chat.as_mut()?;
        let mut invited = chat.record.invited.iter();
        let at = invited.position(|invited| invited.member.person == person)?;
        let invited = chat.record.invited.remove(at);
        self.chat_store(fx);
        Some(invited)
    }

    /// What became of one copy: before anybody is answered, because it may change the roster.
    pub(in crate::core) fn chat_outcome(
        &mut self,
        fx: &mut Fx<'_, '_>,
        message: MessageId,
        point: PointId,
        outcome: Outcome,
    ) {
        let Some(chat) = &self.chat else {
            return;
        };
        let here = |member: &&Member| member_point(&member.address) == point;
        let Some(person) = chat.everybody().find(here).map(|member| member.person) else {
            return;
        };
        let Some(copy) = self
            .delivery_at(message)
            .and_then(|at| self.deliveries.get(at))
        else {
            return;
        };
        // Of an introduction only clients with the word can say anything: he may have others.
        let for_all_clients = copy.message.line().is_some();
        if chat.member(person).is_none() {
            if copy.message.content == Content::Join {
                self.chat_answered(fx, person, outcome);
            }
            return;
        }
        let Some(chat) = &mut self.chat else {
            return;
        };
        let met = chat.member(person).is_some_and(|member| member.met);
        match outcome {
            Outcome::Delivered => {
                let returns = chat.returns(person, fx.now());
                self.chat_met(fx, Some(person));
                if returns {
                    self.chat_introduce(fx, person, None);
                }
            }
            _ if !for_all_clients => {}
            Outcome::HasLeft | Outcome::Refused(Refusal::UnknownUser) => {
                self.chat_leave(fx, Some(person));
            }
            // The second of the pair that it began as was never there.
            _ if !met => self.chat_leave(fx, Some(person)),
            _ => chat.is_absent(person),
        }
    }

    /// Who was asked in has been reached, or has not.
    pub(super) fn chat_answered(
        &mut self,
        fx: &mut Fx<'_, '_>,
        person: PersonId,
        outcome: Outcome,
    ) {
        let Some(mut invited) = self.chat_uninvite(fx, person) else {
            return;
        };
        if outcome != Outcome::Delivered {
            if invited.told {
                let name = invited.member.address;
                let line = format!("{name} was not added: not to be reached.");
                self.chat_tell(fx, invited.by, line);
            }
            return;
        }
        invited.member.met = true;
        invited.member.since = fx.now();
        self.chat_enter(fx, &invited.member, invited.by);
    }

    /// Somebody is in: all others are told, and he is told of them.
    fn chat_enter(&mut self, fx: &mut Fx<'_, '_>, member: &Member, by: PersonId) {
        let Some(chat) = &mut self.chat else {
            return;
        };
        let person = member.person;
        chat.record.former.retain(|former| former.person != person);
        chat.record.members.push(member.clone());
        let first = chat.record.members.len() == 3 && !chat.record.grown;
        chat.record.grown |= chat.record.members.len() > 2;
        let line = chat.added(by, member, first);
        let conversation = chat.record.conversation;
        let detached: Vec<PersonId> = if first {
            chat.record.members.iter().map(|m| m.person).collect()
        } else {
            vec![person]
        };
        self.chat_store(fx);
        for person in detached {
            fx.forward(Forward {
                to: person,
                caller: self.internal(),
                command: Command::Detach(conversation),
                reply: ReplyTag::NOBODY,
            });
        }
        self.chat_announce(fx, member, Content::Join, line);
        self.chat_introduce(fx, person, Some(by));
    }

    /// Tells all others that somebody came or went.
    fn chat_announce(&mut self, fx: &mut Fx<'_, '_>, who: &Member, what: Content, line: String) {
        let address = self.account().address.clone();
        let mut message = self.chat_says(fx, who, &address, what);
        message.chat = Some(Arc::new(InChat {
            address,
            line: line.into(),
        }));
        // Nobody there to be told, or too much under way: those who are told later learn of it by
        // what is said.
        let _ = self.chat_send(fx, message, ReplyTag::NOBODY);
    }

    /// Tells one member, on stacks that know conversations, of each other; `besides` is known.
    fn chat_introduce(&mut self, fx: &mut Fx<'_, '_>, person: PersonId, besides: Option<PersonId>) {
        let Some(chat) = &self.chat else {
            return;
        };
        let Some(to) = chat.member(person).map(|member| member.address.clone()) else {
            return;
        };
        let known = |m: &&Member| m.person != person && Some(m.person) != besides;
        let others: Vec<Member> = chat.record.members.iter().filter(known).cloned().collect();
        for other in others {
            let message = self.chat_says(fx, &other, &to, Content::Join);
            let _ = self.chat_send(fx, message, ReplyTag::NOBODY);
        }
    }

    /// Somebody goes, or is known to have gone.
    pub(super) fn chat_leave(&mut self, fx: &mut Fx<'_, '_>, person: Option<PersonId>) {
        let Some(chat) = &mut self.chat else {
            return;
        };
        let members = &mut chat.record.members;
        let Some(at) = members.iter().position(|m| Some(m.person) == person) else {
            return;
        };
        let line = format!("{} left.", chat.name_of(chat.record.members[at].person));
        let member = chat.record.members.remove(at);
        let former = &mut chat.record.former;
        if former.len() >= FORMER {
            former.remove(0);
        }
        former.push(member.clone());
        chat.absences
            .retain(|absence| absence.person != member.person);
        self.chat_store(fx);
        self.chat_announce(fx, &member, Content::Leave, line);
    }

    /// Who left speaks again: he is back.
    pub(super) fn chat_rejoin(&mut self, fx: &mut Fx<'_, '_>, person: Option<PersonId>) {
        let Some(chat) = &mut self.chat else {
            return;
        };
        let former = &mut chat.record.former;
        let Some(at) = former.iter().position(|m| Some(m.person) == person) else {
            return;
        };
        let mut member = former.remove(at);
        member.since = fx.now();
        chat.record.members.push(member.clone());
        let line = format!("{} is back.", chat.shown(&member));
        self.chat_store(fx);
        self.chat_announce(fx, &member, Content::Join, line);
        self.chat_introduce(fx, member.person, None);
    }

    /// A message has come to its end: the sender of a text to all is told whom it did not reach.
    pub(in crate::core) fn chat_finished(&mut self, fx: &mut Fx<'_, '_>, delivery: &Delivery) {
        let Some(chat) = &self.chat else {
            return;
        };
        let message = &delivery.message;
        let to_all = message.to == chat.record.address;
        let some = delivery.attempts.iter().any(Attempt::delivered);
        let Some(sender) = message.from_person else {
            return;
        };
        if !(to_all && some && matches!(message.content, Content::Text(_))) {
            return;
        }
        let missed = delivery
            .attempts
            .iter()
            .filter(|attempt| !attempt.delivered());
        let members = missed.filter_map(|attempt| {
            let mut all = chat.record.members.iter();
            all.find(|m| member_point(&m.address) == attempt.point)
        });
        let names: Vec<String> = members.map(|member| chat.shown(member)).collect();
        if !names.is_empty() {
            let line = format!("Not delivered to {}.", names.join(", "));
            self.chat_tell(fx, sender, line);
        }
    }

    /// It ends when nobody is left to talk to, or nothing was said for long, once nothing is under
    /// way any more.
    pub(in crate::core) fn chat_settle(&mut self, fx: &mut Fx<'_, '_>) {
        let Some(chat) = &self.chat else {
            return;
        };
        let quiet = fx.now() >= chat.ends(fx.rules());
        if !(chat.is_over() || quiet) {
            let ends = chat.ends(fx.rules());
            return self.arm(ends);
        }
        if !self.deliveries.is_empty() {
            return;
        }
        if let (true, [last]) = (chat.record.grown, chat.record.members.as_slice()) {
            let line = "Nobody else is here any more. This conversation is over.";
            self.chat_tell(fx, last.person, line.to_owned());
        }
        let person = self.person();
        self.chat = None;
        fx.store(Write::DeleteAccount(person));
        fx.emit(INSIDE, Event::ChatEnded { chat: person });
    }
}

impl Chat {
    /// As it was stored. That nothing was said since is not known: it lasts its full time.
    pub(in crate::core) fn restored(record: ChatRecord, now: Time) -> Self {
        Self::new(record, now)
    }
}
