//! Why octets were not a message, and what can be answered.

use super::{HeaderId, Method, RawMessage};
use thiserror::Error;

/// Octets that are no acceptable message.
#[derive(Clone, Debug, Error)]
#[error("{kind}")]
pub struct Refusal {
    /// The rule that was broken.
    pub kind: RefusalKind,
    /// What could be read of the head, with an empty body: enough to answer if
    /// [`Refusal::answerable`].
    pub salvage: Option<Box<RawMessage>>,
}

/// The closed list of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum RefusalKind {
    /// The head has no end (datagram cut short).
    #[error("head without final empty line")]
    Truncated,
    /// Neither a request line nor a status line.
    #[error("malformed start line")]
    StartLine,
    /// LF without CR in the head (decisions 27: smuggling).
    #[error("bare LF in the head")]
    BareLf,
    /// CR without LF in the head.
    #[error("bare CR in the head")]
    BareCr,
    /// A header line without a colon.
    #[error("header line without a colon")]
    NoColon,
    /// A header name that is no token.
    #[error("malformed header name")]
    HeaderName,
    /// A Content-Length that is not a plain number.
    #[error("malformed Content-Length")]
    ContentLength,
    /// Two Content-Lengths that differ.
    #[error("differing Content-Lengths")]
    ContentLengthConflict,
    /// A stream message without Content-Length (RFC 3261 18.3).
    #[error("stream message without Content-Length")]
    NoContentLength,
    /// Content-Length is larger than the datagram.
    #[error("body shorter than Content-Length")]
    ShortBody,
    /// Octets behind the message where there is one to a unit (RFC 7118 5).
    #[error("octets behind the message")]
    Surplus,
    /// The head is over its limit.
    #[error("head too large")]
    HeadTooLarge,
    /// Too many header fields.
    #[error("too many headers")]
    TooManyHeaders,
    /// The body is over its limit.
    #[error("body too large")]
    BodyTooLarge,
}

impl RefusalKind {
    /// The status that fits: 413 for the body's size, 513 for the head's, 400 otherwise.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::BodyTooLarge => 413,
            Self::HeadTooLarge | Self::TooManyHeaders => 513,
            _ => 400,
        }
    }
}

impl Refusal {
    /// The status to answer with.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.kind.status()
    }

    /// The broken request, when a response to it can be built: not an ACK, not a response, and with
    /// Via, From, To, Call-ID and CSeq at hand (RFC 3261 8.2.6.2).
    #[must_use]
    pub fn answerable(&self) -> Option<&RawMessage> {
        const NEEDED: [HeaderId; 5] = [
            HeaderId::Via,
            HeaderId::From,
            HeaderId::To,
            HeaderId::CallId,
            HeaderId::CSeq,
        ];
        let message = self.salvage.as_deref()?;
        let method = message.method()?;
        let whole = NEEDED.iter().all(|id| message.first(*id).is_some());
        (whole && *method != Method::Ack).then_some(message)
    }
}
