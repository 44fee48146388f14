//! Conversations of pairs: what belongs together where the protocol does not say
//! (`decisions.md` 21).

use crate::core::address::Address;
use crate::core::id::{ConversationId, PersonId};
use crate::core::message::Message;
use crate::core::time::Time;
use crate::core::user::{Fx, User};

/// A running conversation with one other.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    pub(super) peer: Peer,
    pub(super) id: ConversationId,
    pub(super) last: Time,
}

/// The other one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// Somebody here, whatever address was used.
    Person(PersonId),
    /// Somebody elsewhere.
    Foreign(Address),
}

impl Peer {
    /// Who wrote the message.
    pub(super) fn sender(message: &Message) -> Self {
        message
            .from_person
            .map_or_else(|| Self::Foreign(message.from.clone()), Self::Person)
    }
}

impl User {
    /// The conversation a message belongs to: the one it names, else the running one of the pair,
    /// else a new one. It runs on from now.
    pub(super) fn converse(
        &mut self,
        fx: &mut Fx<'_, '_>,
        peer: Peer,
        named: Option<ConversationId>,
    ) -> ConversationId {
        let (now, rules) = (fx.now(), fx.rules());
        if let Some(talk) = self.talks.iter_mut().find(|talk| talk.peer == peer) {
            let running = now.since(talk.last) < rules.conversation;
            talk.id = match named {
                Some(id) => id,
                None if running => talk.id,
                None => ConversationId(fx.random()),
            };
            talk.last = now;
            return talk.id;
        }
        let id = named.unwrap_or_else(|| ConversationId(fx.random()));
        if self.talks.len() >= rules.conversations.max(1)
            && let Some(oldest) = (0..self.talks.len()).min_by_key(|at| self.talks[*at].last)
        {
            self.talks.remove(oldest);
        }
        self.talks.push(Talk {
            peer,
            id,
            last: now,
        });
        self.arm(now.after(rules.conversation));
        id
    }

    /// The conversation is over; the next message of the pair opens another.
    pub(super) fn part(&mut self, peer: &Peer, id: ConversationId) {
        self.talks
            .retain(|talk| talk.id != id || talk.peer != *peer);
    }

    pub(super) fn expire_talks(&mut self, fx: &Fx<'_, '_>) {
        let (now, span) = (fx.now(), fx.rules().conversation);
        self.talks.retain(|talk| now.since(talk.last) < span);
    }
}
