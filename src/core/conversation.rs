//! Conversations of pairs: what belongs together where the protocol does not say
//! (`decisions.md` 21).

use crate::core::address::Address;
use crate::core::id::{ConversationId, PersonId, PointId};
use crate::core::message::{Content, Message};
use crate::core::time::Time;
use crate::core::user::{Fx, User};

/// A running conversation with one other.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    pub(super) peer: Peer,
    pub(super) id: ConversationId,
    pub(super) last: Time,
    /// The point that wrote last: the conversation is held there.
    pub(super) held: Option<PointId>,
    /// Points that wrote in it or were told something.
    pub(super) here: Vec<PointId>,
    /// The point that is typing.
    pub(super) typing: Option<PointId>,
}

/// Points remembered per conversation.
const HERE: usize = 32;

impl Talk {
    fn new(peer: Peer, id: ConversationId, last: Time) -> Self {
        Self {
            peer,
            id,
            last,
            held: None,
            here: Vec::new(),
            typing: None,
        }
    }

    fn joined_by(&mut self, point: PointId) {
        if self.here.contains(&point) {
            return;
        }
        if self.here.len() >= HERE {
            self.here.remove(0);
        }
        self.here.push(point);
    }
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
            if !running {
                (talk.held, talk.typing) = (None, None);
                talk.here.clear();
            }
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
        self.talks.push(Talk::new(peer, id, now));
        self.arm(now.after(rules.conversation));
        id
    }

    /// The conversation with that one, if one runs.
    pub(super) fn talk(&self, peer: &Peer) -> Option<&Talk> {
        self.talks.iter().find(|talk| talk.peer == *peer)
    }

    /// A point of ours was told something in the conversation with that one.
    pub(super) fn heard(&mut self, peer: &Peer, point: PointId) {
        if let Some(talk) = self.talks.iter_mut().find(|talk| talk.peer == *peer) {
            talk.joined_by(point);
        }
    }

    /// A point of ours is out of all conversations with that one (its window is closed).
    pub(super) fn unheard(&mut self, peer: &Peer, point: PointId) {
        if let Some(talk) = self.talks.iter_mut().find(|talk| talk.peer == *peer) {
            talk.here.retain(|known| *known != point);
            if talk.held == Some(point) {
                talk.held = None;
            }
        }
    }

    /// A point of ours says something in the conversation with that one, which is held there from
    /// now. False: it is over for that point alone, because others take part, and nothing of it is
    /// passed on.
    pub(super) fn speaks(
        &mut self,
        fx: &mut Fx<'_, '_>,
        peer: &Peer,
        writer: PointId,
        content: &Content,
    ) -> bool {
        self.touch(fx, writer);
        let Some(at) = self.talks.iter().position(|talk| talk.peer == *peer) else {
            return true;
        };
        match content {
            Content::Leave => {
                self.unheard(peer, writer);
                !self.others_take_part(&self.talks[at], Some(writer))
            }
            Content::Typing { active: true, .. } => {
                self.talks[at].typing = Some(writer);
                true
            }
            Content::Typing { active: false, .. } => {
                let typing = self.talks[at].typing;
                let other = typing.is_some_and(|typing| typing != writer);
                if !other {
                    self.talks[at].typing = None;
                }
                // Somebody else of this person still does.
                !other
            }
            Content::Receipt(_) => true,
            _ => {
                if !self.talks[at].here.contains(&writer) {
                    let heard = std::mem::take(&mut self.talks[at].here);
                    self.wrote(fx, writer, &heard);
                    self.talks[at].here = heard;
                }
                let talk = &mut self.talks[at];
                (talk.held, talk.typing) = (Some(writer), None);
                talk.joined_by(writer);
                true
            }
        }
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
