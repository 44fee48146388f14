//! Duplicates, known by protocol identity and never by content (`decisions.md` 19).

use crate::core::address::Address;
use crate::core::command::Fate;
use crate::core::delivery::sent;
use crate::core::effect::ReplyTag;
use crate::core::error::Error;
use crate::core::id::{ConversationId, MessageId, Stack};
use crate::core::message::Message;
use crate::core::time::Time;
use crate::core::trace::Step;
use crate::core::user::{Fx, User};
use std::sync::Arc;

/// A message known by its protocol identity (`decisions.md` 19).
#[derive(Clone, Debug)]
pub(super) struct Seen {
    hash: u64,
    from: Address,
    stack: Stack,
    key: Arc<str>,
    message: MessageId,
    conversation: ConversationId,
    pub(super) at: Time,
    /// What the sender was told; `None` = not yet.
    result: Option<Result<Fate, Error>>,
}

/// Duplicates remembered per person.
const SEEN: usize = 256;

impl User {
    /// Whether the message is known already; a duplicate gets the answer of the first.
    pub(super) fn duplicate(
        &mut self,
        fx: &mut Fx<'_, '_>,
        message: &Message,
        tag: ReplyTag,
    ) -> Option<Result<Option<Fate>, Error>> {
        let key = message.original.key.as_deref()?;
        let hash = fnv(key);
        let seen = self.seen.iter().find(|seen| {
            seen.hash == hash
                && *seen.key == *key
                && seen.stack == message.original.stack
                && seen.from == message.from
                && fx.now().since(seen.at) < fx.rules().duplicate
        })?;
        fx.trace(message.id, Step::Duplicate);
        let (first, conversation, result) = (seen.message, seen.conversation, seen.result.clone());
        match result {
            Some(Ok(fate)) => {
                fx.reply(tag, Ok(sent(first, conversation, fate)));
            }
            Some(Err(error)) => return Some(Err(error)),
            None => {
                if let Some(at) = self.delivery_at(first)
                    && tag != ReplyTag::NOBODY
                {
                    self.deliveries[at].tags.push(tag);
                }
            }
        }
        Some(Ok(None))
    }

    /// What duplicates of that message are told from now on.
    pub(super) fn seen_result(&mut self, message: MessageId, result: Result<Fate, Error>) {
        if let Some(seen) = self.seen.iter_mut().find(|seen| seen.message == message) {
            seen.result = Some(result);
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
        let Some(key) = &message.original.key else {
            return;
        };
        if self.seen.len() >= SEEN {
            self.seen.pop_front();
        }
        self.seen.push_back(Seen {
            hash: fnv(key),
            from: message.from.clone(),
            stack: message.original.stack,
            key: Arc::clone(key),
            message: message.id,
            conversation: message.conversation,
            at,
            result,
        });
    }

    pub(super) fn expire_seen(&mut self, fx: &Fx<'_, '_>) {
        let (now, span) = (fx.now(), fx.rules().duplicate);
        while self.seen.front().is_some_and(|s| now.since(s.at) >= span) {
            self.seen.pop_front();
        }
    }
}

/// FNV-1a: a quick first look before comparing keys.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
    })
}
