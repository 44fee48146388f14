//! A message that had to be stored before anybody may have it, and could not be: not delivered, both
//! sides told (`reference/migration-practice.md` 4.8).

use crate::core::address::Address;
use crate::core::effect::{Context, Effect};
use crate::core::error::Error;
use crate::core::id::ConversationId;
use crate::core::message::Message;
use crate::core::notices::{post, text};
use crate::core::user::{Fx, User};
use std::time::Duration;

/// The recipient is told once in this span: a full disk must not fill his screen.
const AGAIN: Duration = Duration::from_mins(1);

impl User {
    /// Takes back a message none of whose deliveries has been let out. Whoever waits is answered, the
    /// recipient is told by a text.
    pub fn unarchived(&mut self, cx: &mut Context<'_>, message: &Message, out: &mut Vec<Effect>) {
        let mut fx = Fx::new(cx, out);
        if let Some(at) = self.delivery_at(message.id) {
            self.refuse(&mut fx, at, &Error::Storage);
        }
        self.tell_unarchived(&mut fx, message);
        fx.flush();
    }

    fn tell_unarchived(&mut self, fx: &mut Fx<'_, '_>, message: &Message) {
        let now = fx.now();
        let recently = |told| now.since(told) < AGAIN;
        let system = &fx.rules().system_local;
        if self.is_node()
            || self.unarchived_told.is_some_and(recently)
            || message.from.local() == &**system
        {
            return;
        }
        let to = self.account().address.clone();
        let Ok(from) = Address::new(system, to.domain()) else {
            return;
        };
        self.unarchived_told = Some(now);
        let body = format!(
            "A message to you from {} was not delivered: it could not be archived, and here nothing \
             may be delivered that is not archived. Your administrator has been told; {} was told as \
             well.",
            message.from, message.from
        );
        let conversation = ConversationId(fx.random());
        let person = self.person();
        post(fx, person, (from, to), conversation, text(body));
    }
}
