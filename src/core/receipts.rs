//! Notices about messages that a client asked for (`Wants`), made here where none of the
//! recipient's clients can make them: a client on the sender's own stack speaks for itself.
//! Display is never claimed: no client of another stack tells it.

use crate::core::address::Address;
use crate::core::command::{Caller, Command};
use crate::core::delivery::Delivery;
use crate::core::effect::{Forward, ReplyTag};
use crate::core::id::{PersonId, Stack};
use crate::core::message::{Ack, Content, Message, Original, Receipt, ReceiptFate};
use crate::core::trace::Step;
use crate::core::user::{Fx, User};
use std::sync::Arc;

impl Delivery {
    /// Whether a client that knows receipts has, or may yet have, the message.
    fn speaks_for_itself(&self) -> bool {
        let own = self.message.original.stack;
        let mut own_attempts = self.attempts.iter().filter(|a| a.stack == own);
        own_attempts.any(|a| a.delivered() || !a.over())
    }

    /// Whether exactly one inbox has it so far.
    fn first_delivery(&self) -> bool {
        self.attempts.iter().filter(|a| a.delivered()).count() == 1
    }
}

impl User {
    /// An inbox has taken the message.
    pub(super) fn receipt_delivered(&self, fx: &mut Fx<'_, '_>, delivery: &Delivery) {
        if delivery.first_delivery() && !delivery.speaks_for_itself() {
            self.receipt(fx, &delivery.message, ReceiptFate::Delivered);
        }
    }

    /// Tells the sender's client, if it asked and is one of ours.
    pub(super) fn receipt(&self, fx: &mut Fx<'_, '_>, message: &Message, fate: ReceiptFate) {
        let Some((wants, to)) = message.wants.as_ref().zip(message.from_person) else {
            return;
        };
        let asked = match fate {
            ReceiptFate::Delivered => wants.delivered,
            ReceiptFate::Failed => wants.failed,
            ReceiptFate::Kept => wants.kept,
        };
        if !asked {
            return;
        }
        fx.trace(message.id, Step::Receipt(fate));
        let receipt = Receipt {
            of: Arc::clone(&wants.id),
            sent: message.at,
            fate,
        };
        let content = Content::Receipt(Some(Arc::new(receipt)));
        self.tell_sender(fx, to, message.to.clone(), message, content);
    }

    /// Sends the sender of a message something in the same conversation, from that address.
    pub(super) fn tell_sender(
        &self,
        fx: &mut Fx<'_, '_>,
        sender: PersonId,
        from: Address,
        about: &Message,
        content: Content,
    ) {
        let notice = Message {
            id: fx.message_id(),
            at: fx.now(),
            from,
            from_person: None,
            from_name: "".into(),
            to: about.from.clone(),
            conversation: about.conversation,
            content,
            original: Original {
                stack: Stack::named("system"),
                bytes: bytes::Bytes::new(),
                key: None,
            },
            ack: Ack::Any,
            hops: 1,
            wants: None,
        };
        fx.forward(Forward {
            to: sender,
            caller: Caller {
                address: notice.from.clone(),
                ..self.internal()
            },
            command: Command::Deliver(Arc::new(notice)),
            reply: ReplyTag::NOBODY,
        });
    }
}
