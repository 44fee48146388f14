//! Duplicates, known by protocol identity and never by content (`decisions.md` 19).

use crate::core::command::Fate;
use crate::core::delivery::sent;
use crate::core::effect::ReplyTag;
use crate::core::error::Error;
use crate::core::id::{ConversationId, MessageId};
use crate::core::message::Message;
use crate::core::time::Time;
use crate::core::trace::Step;
use crate::core::user::{Fx, User};

/// A message known by its protocol identity. Small, because a busy person has many.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    identity: u128,
    message: MessageId,
    conversation: ConversationId,
    pub(super) at: Time,
    /// What the sender was told; `None` = not yet.
    result: Option<Result<Fate, Box<Error>>>,
}

/// Duplicates remembered per person.
const SEEN: usize = 128;
/// Duplicates that may wait for the first one's answer.
const WAITING: usize = 16;

impl User {
    /// Whether the message is known already; a duplicate gets the answer of the first.
    pub(super) fn duplicate(
        &mut self,
        fx: &mut Fx<'_, '_>,
        message: &Message,
        tag: ReplyTag,
    ) -> Option<Result<Option<Fate>, Error>> {
        let identity = identity(message)?;
        let known = |seen: &&Seen| {
            seen.identity == identity && fx.now().since(seen.at) < fx.rules().duplicate
        };
        let seen = self.seen.iter().rev().find(known)?;
        fx.trace(message.id, Step::Duplicate);
        let (first, conversation, result) = (seen.message, seen.conversation, seen.result.clone());
        match result {
            Some(Ok(fate)) => {
                fx.reply(tag, Ok(sent(first, conversation, fate)));
            }
            Some(Err(error)) => return Some(Err(*error)),
            None if tag == ReplyTag::NOBODY => {}
            None => {
                let first = self.delivery_at(first).map(|at| &mut self.deliveries[at]);
                match first.filter(|first| first.tags.len() < WAITING) {
                    Some(first) => first.tags.push(tag),
                    None => return Some(Err(Error::Overloaded)),
                }
            }
        }
        Some(Ok(None))
    }

    /// What duplicates of that message are told from now on.
    pub(super) fn seen_result(&mut self, message: MessageId, result: Result<Fate, Error>) {
        let mut newest_first = self.seen.iter_mut().rev();
        if let Some(seen) = newest_first.find(|seen| seen.message == message) {
            seen.result = Some(result.map_err(Box::new));
        }
    }

    pub(super) fn remember(&mut self, fx: &Fx<'_, '_>, message: &Message) {
        self.remember_as(fx.now(), message, None);
        self.arm(fx.now().after(fx.rules().duplicate));
    }

    pub(super) fn remember_as(
        &mut self,
        at: Time,
        message: &Message,
        result: Option<Result<Fate, Error>>,
    ) {
        let Some(identity) = identity(message) else {
            return;
        };
        if self.seen.len() >= SEEN {
            self.seen.pop_front();
        }
        self.seen.push_back(Seen {
            identity,
            message: message.id,
            conversation: message.conversation,
            at,
            result: result.map(|result| result.map_err(Box::new)),
        });
    }

    pub(super) fn expire_seen(&mut self, fx: &Fx<'_, '_>) {
        let (now, span) = (fx.now(), fx.rules().duplicate);
        while self.seen.front().is_some_and(|s| now.since(s.at) >= span) {
            self.seen.pop_front();
        }
    }
}

/// Sender, stack and key in 128 bits (FNV-1a). A collision could only be forged by somebody who
/// knows another sender's key before it is used.
fn identity(message: &Message) -> Option<u128> {
    let key = message.original.key.as_deref()?;
    let from = &message.from;
    let parts = [
        from.local(),
        from.domain(),
        message.original.stack.name(),
        key,
    ];
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for part in parts {
        // 0xff occurs in no text: it parts them.
        for octet in part.bytes().chain([0xff]) {
            hash = (hash ^ u128::from(octet)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
        }
    }
    Some(hash)
}
