//! Writing to oneself by accident: whoever is signed in on several stacks sees himself among his
//! contacts, and a text to that entry would only go round.

use crate::core::address::Address;
use crate::core::command::{Reach, Submit};
use crate::core::conversation::Peer;
use crate::core::error::Error;
use crate::core::message::Message;
use crate::core::notices::{post, text};
use crate::core::trace::Step;
use crate::core::user::{Fx, User};

/// What the front may say.
const TOLD: &str = "this is yourself, signed in on another service";

impl User {
    /// Whether that would go to the writer's own sign-in on another stack.
    pub(super) fn crosses_to_itself(&self, message: &Message) -> bool {
        let crosses = |point: &crate::core::points::Point| {
            point.record.stack != message.original.stack && point.record.spec.reach == Reach::Full
        };
        !self.is_node() && !message.content.ephemeral() && self.points.iter().any(crosses)
    }

    /// Refuses it. Clients have one text for every error, so that the reason is also told by a
    /// text, once per conversation.
    pub(super) fn refuse_self_chat(&mut self, fx: &mut Fx<'_, '_>, submit: &Submit) -> Error {
        let error = Error::Denied(TOLD);
        let peer = Peer::Person(self.person());
        let (now, span) = (fx.now(), fx.rules().conversation);
        let told = self
            .talk(&peer)
            .is_some_and(|talk| now.since(talk.last) < span);
        let conversation = self.converse(fx, peer, submit.conversation);
        fx.trace(submit.message.id, Step::Failed(error.clone()));
        let to = submit.message.from.clone();
        if let (false, Ok(from)) = (told, Address::new(&fx.rules().system_local, to.domain())) {
            let notice = format!(
                "Your message to {} was not delivered: that is you, on another service you are \
                 signed in to.",
                submit.message.to
            );
            post(fx, self.person(), (from, to), conversation, text(notice));
        }
        error
    }
}
