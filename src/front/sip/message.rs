//! MESSAGE (RFC 3428) towards the core.

use super::content;
use super::neighbour::wire::{Passed, passed};
use super::place::Named;
use super::request::Known;
use super::shard::{Pending, Req, Shard};
use super::status::{About, accepted};
use super::translate::shared;
use crate::core::command::{Command, Reply, Route, Submit, Whence};
use crate::core::error::Error;
use crate::core::id::{ConversationId, MessageId, PersonId};
use crate::core::message::{Ack, Decoded, Message, Original};
use crate::core::time::Time;
use crate::front::SIP;
use crate::hub::Answer;
use sip::flow::{Flow, Millis};
use sip::{HeaderId, RawMessage};
use std::sync::Arc;

/// A MESSAGE under way.
pub(super) struct Texting {
    req: Req,
}

impl Shard {
    pub(super) fn message(&mut self, now: Millis, req: Req, known: Known, target: &Named) {
        let (to, account) = match self.target(target, crate::hub::Want::Send) {
            Ok(found) => found,
            Err(error) => return self.fail(now, &req, &error, About::Person),
        };
        let caller = known.granted.caller;
        let abroad = matches!(caller.route, Route::Peer(_));
        let person = if abroad {
            self.front.neighbours.sender(&caller.address)
        } else {
            caller.person
        };
        let Some(person) = person else {
            let error = if abroad {
                // No room for one more stand-in.
                Error::Overloaded
            } else {
                Error::UnknownUser
            };
            return self.fail(now, &req, &error, About::Person);
        };
        let hops = match passed(&req.message, &self.front.neighbours.id) {
            Passed::Times(times) => times.saturating_add(1),
            Passed::Circle => u8::MAX,
        };
        let message = &req.message;
        let media = message.content_type().unwrap_or(None);
        let encoded = message
            .first(HeaderId::ContentEncoding)
            .is_some_and(|value| !value.eq_ignore_ascii_case(b"identity"));
        let name = message.from().ok().and_then(|from| {
            let name = from.display_name()?;
            Some(shared(&name))
        });
        let carried = content::read(media.as_ref(), encoded, message.body());
        let message = Message {
            id: MessageId(0),
            at: Time(now),
            from: known.from,
            from_person: Some(person),
            from_name: name.unwrap_or_else(|| shared(&known.granted.account.display_name)),
            to,
            conversation: ConversationId(0),
            content: carried.content,
            original: Original {
                stack: SIP,
                bytes: message.bytes(),
                key: duplicate_key(message),
                decoded: Decoded::Characters,
            },
            ack: Ack::Any,
            hops,
            wants: carried.wants,
            chat: None,
        };
        if abroad {
            // Its own server has submitted it: what is left is to deliver it.
            let command = Command::Deliver(Arc::new(message));
            let reply = self.wait(Pending::Message(Texting { req }));
            let to = account.person;
            return self.front.hub.send(to, caller, command, reply);
        }
        let command = Command::Submit(Submit {
            message,
            conversation: None,
            to: account.person,
            whence: self.whence(req.flow, person),
        });
        let reply = self.wait(Pending::Message(Texting { req }));
        self.front.hub.send(person, caller, command, reply);
    }

    /// Which of a person's sign-ins that came from.
    fn whence(&self, flow: Flow, person: PersonId) -> Whence {
        match self.front.inbox_on(flow, person) {
            Some(inbox) => Whence::Inbox(inbox),
            None => Whence::Source(flow.peer.ip()),
        }
    }

    pub(super) fn texted(&mut self, now: Millis, texting: &Texting, answer: Answer) {
        match answer {
            Ok(Reply::Sent(sent)) => self.respond(now, &texting.req, accepted(sent.fate), |r| r),
            Ok(_) => self.respond(now, &texting.req, 200, |r| r),
            Err(error) => self.fail(now, &texting.req, &error, About::Person),
        }
    }
}

/// Call-ID, CSeq and From tag (`decisions.md` 19).
fn duplicate_key(message: &RawMessage) -> Option<Arc<str>> {
    let call_id = message.call_id().ok()?;
    let cseq = message.cseq().ok()?.number;
    let from = message.from().ok()?;
    let tag = from.tag().unwrap_or_default();
    Some(format!("{call_id} {cseq} {tag}").into())
}
