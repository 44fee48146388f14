//! The message: one buffer and spans into it.

use super::{Field, Header, HeaderId, Method, Span, Values};
use bytes::Bytes;

/// A SIP message as it came, or as it will go. Cloning shares the buffer.
#[derive(Clone, Debug)]
pub struct RawMessage {
    pub(crate) buf: Bytes,
    pub(crate) start: Start,
    pub(crate) fields: Vec<Field>,
    pub(crate) body: Span,
}

/// The start line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Request {
        method: Method,
        uri: Span,
        version: Span,
    },
    Response {
        version: Span,
        status: u16,
        reason: Span,
    },
}

impl RawMessage {
    /// All octets, byte-identical to what was read.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.buf
    }

    /// The same, shared.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.buf.clone()
    }

    /// Whether it is a request.
    #[must_use]
    pub fn is_request(&self) -> bool {
        matches!(self.start, Start::Request { .. })
    }

    /// The method of a request.
    #[must_use]
    pub fn method(&self) -> Option<&Method> {
        match &self.start {
            Start::Request { method, .. } => Some(method),
            Start::Response { .. } => None,
        }
    }

    /// The Request-URI's octets as written; `None` for a response.
    #[must_use]
    pub fn uri(&self) -> Option<&[u8]> {
        match self.start {
            Start::Request { uri, .. } => Some(uri.of(&self.buf)),
            Start::Response { .. } => None,
        }
    }

    /// The status code of a response, 100 to 699.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self.start {
            Start::Request { .. } => None,
            Start::Response { status, .. } => Some(status),
        }
    }

    /// The reason phrase of a response (UTF-8 by the RFC, not checked).
    #[must_use]
    pub fn reason(&self) -> Option<&[u8]> {
        match self.start {
            Start::Request { .. } => None,
            Start::Response { reason, .. } => Some(reason.of(&self.buf)),
        }
    }

    /// The version as written, `SIP/2.0` in all we accept.
    #[must_use]
    pub fn version(&self) -> &[u8] {
        match self.start {
            Start::Request { version, .. } | Start::Response { version, .. } => {
                version.of(&self.buf)
            }
        }
    }

    /// Start line and headers, with the empty line.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        self.buf.get(..self.body.start as usize).unwrap_or_default()
    }

    /// The body's octets.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.body.of(&self.buf)
    }

    /// The body, shared with the message's buffer.
    #[must_use]
    pub fn body_bytes(&self) -> Bytes {
        if self.body().is_empty() {
            Bytes::new()
        } else {
            self.buf.slice(self.body.range())
        }
    }

    /// Number of header fields.
    #[must_use]
    pub fn header_count(&self) -> usize {
        self.fields.len()
    }

    /// All fields, in their order.
    pub fn headers(&self) -> impl DoubleEndedIterator<Item = Header<'_>> + ExactSizeIterator {
        self.fields.iter().map(|field| Header {
            id: field.id,
            name: field.name.of(&self.buf),
            value: field.value.of(&self.buf),
        })
    }

    /// The value of the first field of that name, white space around it cut.
    #[must_use]
    pub fn first(&self, id: HeaderId) -> Option<&[u8]> {
        self.fields
            .iter()
            .find(|field| field.id == id)
            .map(|field| field.value.of(&self.buf))
    }

    /// The first field's value as text; `None` also when it is not UTF-8.
    #[must_use]
    pub fn text(&self, id: HeaderId) -> Option<&str> {
        self.first(id)
            .and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The values of all fields of that name, unsplit.
    pub fn all(&self, id: HeaderId) -> impl Iterator<Item = &[u8]> {
        self.fields
            .iter()
            .filter(move |field| field.id == id)
            .map(|field| field.value.of(&self.buf))
    }

    /// The values of all fields of that name, comma-separated lists split.
    pub fn values(&self, id: HeaderId) -> impl Iterator<Item = &[u8]> {
        self.all(id).flat_map(Values::new)
    }

    /// The fields of a name this crate does not know, compared without case.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers()
            .filter(move |header| header.name.eq_ignore_ascii_case(name.as_bytes()))
            .map(|header| header.value)
    }

    /// Whether a field of that name is there.
    #[must_use]
    pub fn has(&self, id: HeaderId) -> bool {
        self.fields.iter().any(|field| field.id == id)
    }
}

impl PartialEq for RawMessage {
    /// Equal octets.
    fn eq(&self, other: &Self) -> bool {
        self.buf == other.buf
    }
}

impl Eq for RawMessage {}
