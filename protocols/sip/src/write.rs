//! Heads of requests that the dialog and user-agent engines make.

use std::fmt::Display;

use bytes::{BufMut, Bytes, BytesMut};

use crate::raw::{HeaderId, RawMessage};
use crate::scan::tag;

/// A request in the making. Values are ours or were taken from parsed messages; line ends inside
/// them become spaces, so nothing can add a header.
#[derive(Debug)]
pub(crate) struct Head(BytesMut);

impl Head {
    pub(crate) fn request(method: &str, uri: &str) -> Self {
        let mut head = Self(BytesMut::with_capacity(768));
        head.safe(method.as_bytes());
        head.0.put_u8(b' ');
        head.safe(uri.as_bytes());
        head.0.put_slice(b" SIP/2.0\r\n");
        head
    }

    /// A response to a request (RFC 3261 8.2.6.2): Via, From, To with our tag, Call-ID, CSeq.
    pub(crate) fn answer(request: &RawMessage, status: u16, reason: &str, local_tag: &str) -> Self {
        let mut head = Self(BytesMut::with_capacity(512));
        head.safe(format!("SIP/2.0 {status} {reason}").as_bytes());
        head.0.put_slice(b"\r\n");
        for via in request.all(HeaderId::Via) {
            head.raw("Via", via);
        }
        head.raw("From", request.first(HeaderId::From).unwrap_or_default());
        let to = request.first(HeaderId::To).unwrap_or_default();
        if tag(to).is_some() {
            head.raw("To", to);
        } else {
            head.raw("To", &[to, b";tag=", local_tag.as_bytes()].concat());
        }
        head.raw(
            "Call-ID",
            request.first(HeaderId::CallId).unwrap_or_default(),
        )
        .raw("CSeq", request.first(HeaderId::CSeq).unwrap_or_default());
        head
    }

    pub(crate) fn raw(&mut self, name: &str, value: &[u8]) -> &mut Self {
        self.0.put_slice(name.as_bytes());
        self.0.put_slice(b": ");
        self.safe(value);
        self.0.put_slice(b"\r\n");
        self
    }

    pub(crate) fn header(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.raw(name, value.to_string().as_bytes())
    }

    /// Content-Type (if there is a body type), Content-Length, the empty line and the body.
    pub(crate) fn body(&mut self, body: Option<(&str, &[u8])>) -> Bytes {
        let (kind, octets) = body.map_or((None, &b""[..]), |(kind, octets)| (Some(kind), octets));
        if let Some(kind) = kind {
            self.header("Content-Type", kind);
        }
        self.header("Content-Length", octets.len());
        self.0.put_slice(b"\r\n");
        self.0.put_slice(octets);
        self.0.split().freeze()
    }

    fn safe(&mut self, value: &[u8]) {
        if !value.iter().any(|b| matches!(b, b'\r' | b'\n')) {
            return self.0.put_slice(value);
        }
        for byte in value {
            self.0.put_u8(if matches!(byte, b'\r' | b'\n') {
                b' '
            } else {
                *byte
            });
        }
    }
}
