//! Checkpoints of a message: where it stood, when, and why (`design.md` 6).

use crate::core::address::Address;
use crate::core::error::Error;
use crate::core::id::{ConversationId, MessageId, PointId, Stack};
use crate::core::message::Kind;
use crate::core::time::Time;
use std::sync::Arc;

/// One checkpoint of one message.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The message.
    pub message: MessageId,
    /// When.
    pub at: Time,
    /// What happened.
    pub step: Step,
}

/// What can happen to a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It entered.
    Accepted {
        /// Sender.
        from: Address,
        /// Recipient.
        to: Address,
        /// Stack of entry.
        stack: Stack,
        /// What it is.
        kind: Kind,
        /// Its conversation.
        conversation: ConversationId,
    },
    /// A filter, by its name, did something.
    Filtered(Arc<str>, Filtered),
    /// The recipient's access list lets it in.
    Authorised,
    /// Points it goes to.
    Routed(Vec<(PointId, Stack)>),
    /// One point has it.
    Delivered(PointId),
    /// One attempt failed.
    AttemptFailed(PointId, crate::core::command::Outcome),
    /// Stored to be tried on.
    Kept,
    /// The sender's client, which asked for it, was sent this receipt.
    Receipt(crate::core::message::ReceiptFate),
    /// Sent again after a restart; may be a double there.
    Redelivered(PointId),
    /// Known already by its protocol identity; not delivered again.
    Duplicate,
    /// Accepted and not shown, as the fidelity table says.
    Dropped(&'static str),
    /// The sender was told this. Operators see the true reason, the sender a mapped one.
    Failed(Error),
    /// The sender was told later by a text from the system address.
    SenderTold,
}

/// What a filter did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filtered {
    /// It passed, changed.
    Changed,
    /// The sender is told why it did not pass.
    Refused,
    /// It is kept until an operator decides.
    Held,
    /// It went to somebody else.
    Routed,
    /// Its sender was answered.
    Answered,
}
