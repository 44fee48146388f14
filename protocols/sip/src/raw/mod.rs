//! The raw layer: octets to spans, byte-preserving.
//!
//! Law of this layer: what it accepts it keeps; [`RawMessage::as_bytes`] is what came from the wire
//! (octets beyond Content-Length in a datagram excepted, RFC 3261 18.3). What it refuses, it refuses
//! with a [`Refusal`] that says whether a response can be built and with which status.

mod field;
mod frame;
mod message;
mod method;
mod name;
pub(crate) mod parse;
mod refusal;
mod stream;

pub use field::{Header, Values};
pub use frame::{Datagram, frame_datagram, frame_websocket};
pub use message::RawMessage;
pub use method::Method;
pub use name::HeaderId;
pub use refusal::{Refusal, RefusalKind};
pub use stream::{StreamEvent, StreamFramer};

pub(crate) use field::{Field, Span};
pub(crate) use message::Start;

/// Bounds that hold before anything is allocated for a message. All in octets but `headers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Start line, header lines and the empty line together.
    pub head: usize,
    /// Header fields of one message.
    pub headers: usize,
    /// The body.
    pub body: usize,
}

impl Default for Limits {
    /// 32 KiB of head, 128 headers, 64 KiB of body (decisions 30).
    fn default() -> Self {
        Self {
            head: 32 * 1024,
            headers: 128,
            body: 64 * 1024,
        }
    }
}

#[cfg(test)]
mod tests;
