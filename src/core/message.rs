//! A message: neutral fields and the bytes it came in (`design.md` 6).

use crate::core::address::Address;
use crate::core::id::{ConversationId, MessageId, PersonId, Stack};
use crate::core::time::Time;
use bytes::Bytes;
use std::sync::Arc;

/// One message between people. Shared, never changed after admission.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// From ingress to archive.
    pub id: MessageId,
    /// When it was accepted.
    pub at: Time,
    /// Who wrote it, authenticated.
    pub from: Address,
    /// The sender's person, when local.
    pub from_person: Option<PersonId>,
    /// Display name as the sender's client gave it, may be empty.
    pub from_name: Arc<str>,
    /// The address it was sent to (one of the recipient's).
    pub to: Address,
    /// The conversation it belongs to.
    pub conversation: ConversationId,
    /// What it is.
    pub content: Content,
    /// What it looked like on the wire where it entered.
    pub original: Original,
    /// How many of several recipients must have it before the sender is told success.
    pub ack: Ack,
    /// Servers it passed, this one included (loop guard).
    pub hops: u8,
    /// Which notices the sender's client asked for, where its protocol knows them.
    pub wants: Option<Arc<Wants>>,
    /// Set on the copies of what is said in a conversation of many.
    pub chat: Option<Arc<InChat>>,
}

/// What a copy of a message in a conversation of many carries along for stacks that know none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InChat {
    /// The conversation's own address: whom clients of such stacks are shown as the sender.
    pub address: Address,
    /// What they are shown of a text, a join or a leave; empty = nothing.
    pub line: Arc<str>,
}

/// Notices that a sender's client asks for (SIP: RFC 5438 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wants {
    /// The name by which that client knows its message.
    pub id: Arc<str>,
    /// Told when somebody has it.
    pub delivered: bool,
    /// Told when nobody will have it.
    pub failed: bool,
    /// Told when it is kept here for later.
    pub kept: bool,
}

/// A notice about an earlier message, made here for people whose client can't make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// [`Wants::id`] of that message.
    pub of: Arc<str>,
    /// When that message was sent.
    pub sent: Time,
    /// What became of it.
    pub fate: ReceiptFate,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReceiptFate {
    /// Somebody has it.
    Delivered,
    /// Nobody will have it.
    Failed,
    /// It is kept here for later.
    Kept,
}

/// The neutral content.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Something to read.
    Text(Text),
    /// The sender is typing (`true`) or has stopped (`false`). Never stored; valid this long.
    Typing {
        /// Still typing?
        active: bool,
        /// Until when a receiver may believe it without a refresh.
        valid: std::time::Duration,
    },
    /// "I add you to this conversation".
    Join,
    /// The sender leaves the conversation.
    Leave,
    /// An invitation to an application session (file, whiteboard ...), opaque; only the original
    /// bytes carry it.
    Invitation {
        /// Cookie that pairs answers with the offer, if the front could read one.
        cookie: Option<Arc<str>>,
        /// True for the offer itself, false for accept, cancel and other follow-ups.
        offer: bool,
    },
    /// A delivery or display receipt: ours, or (`None`) one that only its original bytes tell.
    Receipt(Option<Arc<Receipt>>),
    /// An application's own notification: opaque, for the same stack only.
    Opaque {
        /// Content type or root element, for the log.
        what: Arc<str>,
    },
}

/// Something to read.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// The text, line ends as CRLF or LF exactly as written.
    pub body: Arc<str>,
    /// Media type without parameters, `text/plain` usually.
    pub media: Arc<str>,
    /// How the sender wants it shown.
    pub format: Option<Format>,
}

/// Font and colour, as old clients send them along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// Font name.
    pub font: Arc<str>,
    /// Bold.
    pub bold: bool,
    /// Italic.
    pub italic: bool,
    /// Underlined.
    pub underline: bool,
    /// Struck through.
    pub strike: bool,
    /// 0xRRGGBB.
    pub colour: u32,
    /// Windows character set number.
    pub charset: u8,
    /// Windows pitch and family.
    pub pitch: u8,
}

/// The ingress bytes. The same stack gets these, another a rendering.
#[derive(Clone, PartialEq)]
pub struct Original {
    /// Stack it entered by.
    pub stack: Stack,
    /// Complete octets, in the form that stack's front needs to pass it on.
    pub bytes: Bytes,
    /// Protocol identity for duplicate detection within 10 minutes, if the protocol has one
    /// (`decisions.md` 19). Never derived from content.
    pub key: Option<Arc<str>>,
    /// How its octets were read.
    pub decoded: Decoded,
}

/// How ingress octets became text (`rvp.md` 8.13): what a body in the archive once was on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Decoded {
    /// As characters of the document or of the declared charset.
    #[default]
    Characters,
    /// Each character of the document was one octet of UTF-8.
    Octets,
}

impl Original {
    /// Whether its octets can be sent to that stack's clients: they came by it, and no filter has
    /// changed what they say since.
    pub fn is_of(&self, stack: Stack) -> bool {
        self.stack == stack && !self.bytes.is_empty()
    }
}

impl std::fmt::Debug for Original {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Original({}, {} octets, {:?})",
            self.stack,
            self.bytes.len(),
            self.key
        )
    }
}

/// When the sender is told success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Ack {
    /// As soon as this server has it (delivered or stored all the same).
    Hop,
    /// When at least one inbox has it.
    #[default]
    Any,
    /// When every inbox has it.
    All,
}

impl Message {
    /// The line that stands for it on stacks that know no conversations, if there is one.
    pub fn line(&self) -> Option<&Arc<str>> {
        let chat = self.chat.as_ref()?;
        Some(&chat.line).filter(|line| !line.is_empty())
    }

    /// Whom clients of such stacks are shown as the sender.
    pub fn speaker(&self) -> &Address {
        self.chat.as_ref().map_or(&self.from, |chat| &chat.address)
    }
}

impl Content {
    /// Whether anything is lost if it can't be delivered at once.
    pub fn ephemeral(&self) -> bool {
        matches!(self, Self::Typing { .. } | Self::Receipt(_))
    }

    /// Name for logs, traces and the fidelity table.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Typing { .. } => Kind::Typing,
            Self::Join => Kind::Join,
            Self::Leave => Kind::Leave,
            Self::Invitation { .. } => Kind::Invitation,
            Self::Receipt(_) => Kind::Receipt,
            Self::Opaque { .. } => Kind::Opaque,
        }
    }
}

/// [`Content`] without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Text to read.
    Text,
    /// Typing notice.
    Typing,
    /// Join.
    Join,
    /// Leave.
    Leave,
    /// Application invitation.
    Invitation,
    /// Receipt.
    Receipt,
    /// Application's own.
    Opaque,
}

/// How well a stack shows a kind that entered by another stack (`design.md` 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fidelity {
    /// Nothing is lost.
    Exact,
    /// Shown, in another form.
    Adapted,
    /// Accepted and not shown; the sender is told success.
    Dropped,
    /// Refused; the sender is told.
    Refused,
}
