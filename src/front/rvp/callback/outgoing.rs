//! A NOTIFY as it goes over the wire: head and body in one piece.

use bytes::{BufMut as _, Bytes, BytesMut};
use std::fmt;

/// Octets kept free for the head.
const HEAD: usize = 512;

/// A request, ready to be written.
#[derive(Clone, Debug)]
pub struct Outgoing(Bytes);

impl Outgoing {
    /// All of it.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

/// Writes the head of a request, then its body.
pub struct Writer {
    out: BytesMut,
    /// What can't be written, if there was something.
    bad: Option<&'static str>,
}

impl Writer {
    /// `METHOD target HTTP/1.1`, for a body of that many octets.
    pub fn new(method: &str, target: &str, body: usize) -> Self {
        let mut out = BytesMut::with_capacity(HEAD + body);
        for piece in [method, " ", target, " HTTP/1.1\r\n"] {
            out.put_slice(piece.as_bytes());
        }
        let plain = !target.is_empty() && target.bytes().all(|octet| octet.is_ascii_graphic());
        Self {
            out,
            bad: (!plain).then_some("request target"),
        }
    }

    /// A header line. A value that is no visible ASCII spoils the whole request: nothing that
    /// somebody else wrote may end a line of ours.
    #[must_use]
    pub fn field(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        use fmt::Write as _;
        self.out.put_slice(name.as_bytes());
        self.out.put_slice(b": ");
        let from = self.out.len();
        let written = write!(self.out, "{value}");
        let value = self.out.get(from..).unwrap_or_default();
        let plain = value.iter().all(|octet| (0x20..0x7f).contains(octet));
        if written.is_err() || !plain {
            self.bad = Some(name);
        }
        self.out.put_slice(b"\r\n");
        self
    }

    /// The whole request, with Content-Length and body.
    ///
    /// # Errors
    /// The name of the field that can't be written.
    pub fn body(self, body: &[u8]) -> Result<Outgoing, &'static str> {
        let mut whole = self.field("Content-Length", body.len());
        if let Some(bad) = whole.bad {
            return Err(bad);
        }
        whole.out.put_slice(b"\r\n");
        whole.out.put_slice(body);
        Ok(Outgoing(whole.out.freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_body_are_one_piece() {
        let whole = Writer::new("NOTIFY", "/x", 4)
            .field("Host", "127.0.0.1:1234")
            .field("RVP-Hop-Count", 2)
            .body(b"body")
            .expect("request");
        assert_eq!(
            whole.octets(),
            b"NOTIFY /x HTTP/1.1\r\nHost: 127.0.0.1:1234\r\nRVP-Hop-Count: 2\r\n\
              Content-Length: 4\r\n\r\nbody"
        );
    }

    #[test]
    fn nothing_can_end_a_line() {
        for (target, value, bad) in [
            ("/", "a\r\nX: y", "Host"),
            ("/", "a\nb", "Host"),
            ("/", "j\u{f6}", "Host"),
            ("/a b", "a", "request target"),
            ("", "a", "request target"),
            ("/\r\nX: y", "a", "request target"),
        ] {
            let written = Writer::new("NOTIFY", target, 0)
                .field("Host", value)
                .body(b"");
            assert_eq!(written.expect_err(value), bad, "{target:?} {value:?}");
        }
    }
}
