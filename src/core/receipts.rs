//! Notices about messages that a client asked for (`Wants`), made here where none of the
//! recipient's clients can make them: a client on the sender's own stack speaks for itself.
//! Display is never claimed: no client of another stack tells it.

use crate::core::delivery::Delivery;
use crate::core::message::{Content, Message, Receipt, ReceiptFate};
use crate::core::notices::post;
use crate::core::trace::Step;
use crate::core::user::Fx;
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

/// An inbox has taken the message.
pub(super) fn receipt_delivered(fx: &mut Fx<'_, '_>, delivery: &Delivery) {
    if delivery.first_delivery() && !delivery.speaks_for_itself() {
        receipt(fx, &delivery.message, ReceiptFate::Delivered);
    }
}

/// Tells the sender's client, if it asked and is one of ours.
pub(super) fn receipt(fx: &mut Fx<'_, '_>, message: &Message, fate: ReceiptFate) {
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
    let ends = (message.to.clone(), message.from.clone());
    let content = Content::Receipt(Some(Arc::new(receipt)));
    post(fx, to, ends, message.conversation, content);
}
