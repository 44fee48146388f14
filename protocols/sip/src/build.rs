//! Writing messages that are born here: responses to a request, and requests.
//!
//! Values may be anything that prints; line ends in them become spaces. Content-Length is always
//! written, last.

use crate::edit::{clean, stamped_via};
use crate::header::NameAddr;
use crate::raw::{HeaderId, Method, RawMessage};
use crate::status;
use bytes::Bytes;
use std::borrow::Cow;
use std::fmt::Display;
use std::io::Write;
use std::net::SocketAddr;

/// A response being written.
#[derive(Clone, Debug)]
pub struct Response<'m> {
    request: &'m RawMessage,
    status: u16,
    reason: Option<String>,
    source: Option<SocketAddr>,
    to_tag: Option<String>,
    compact: bool,
    tail: Tail,
}

/// A request being written.
#[derive(Clone, Debug)]
pub struct Request {
    out: Vec<u8>,
    tail: Tail,
}

/// Headers in the order they were given, and the body.
#[derive(Clone, Debug, Default)]
struct Tail {
    headers: Vec<u8>,
    body: Bytes,
}

impl<'m> Response<'m> {
    /// A response to a request (RFC 3261 8.2.6): Via, From, To, Call-ID and CSeq are copied as they
    /// stand, good or bad.
    #[must_use]
    pub fn to(request: &'m RawMessage, status: u16) -> Self {
        Self {
            request,
            status,
            reason: None,
            source: None,
            to_tag: None,
            compact: false,
            tail: Tail::default(),
        }
    }

    /// With the short names of what is copied (RFC 3261 7.3.3), for answers that must be small.
    #[must_use]
    pub fn compact(mut self) -> Self {
        self.compact = true;
        self
    }

    /// Another phrase than that of the table.
    #[must_use]
    pub fn reason(mut self, reason: impl Display) -> Self {
        self.reason = Some(clean(reason));
        self
    }

    /// Where the request came from: writes `received` and `rport` into the topmost Via (RFC 3581 4).
    #[must_use]
    pub fn received(mut self, source: SocketAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// The tag To gets if it has none. A 100 gets none.
    #[must_use]
    pub fn to_tag(mut self, tag: impl Display) -> Self {
        self.to_tag = Some(clean(tag));
        self
    }

    /// A header.
    #[must_use]
    pub fn header(mut self, id: HeaderId, value: impl Display) -> Self {
        self.tail
            .line(id.name().as_bytes(), clean(value).as_bytes());
        self
    }

    /// A header of any name.
    #[must_use]
    pub fn named(mut self, name: &str, value: impl Display) -> Self {
        self.tail
            .line(clean(name).as_bytes(), clean(value).as_bytes());
        self
    }

    /// Copies every field of that name from the request (Record-Route, Timestamp).
    #[must_use]
    pub fn copy(mut self, id: HeaderId) -> Self {
        for value in self.request.all(id) {
            self.tail.line(id.name().as_bytes(), value);
        }
        self
    }

    /// The body and its type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.tail.body(content_type, body.into());
        self
    }

    /// The octets.
    #[must_use]
    pub fn finish(self) -> Bytes {
        let mut out = Vec::with_capacity(
            self.request.head().len() + self.tail.headers.len() + self.tail.body.len() + 128,
        );
        let reason = self
            .reason
            .as_deref()
            .unwrap_or_else(|| status::reason(self.status));
        put(
            &mut out,
            format_args!("SIP/2.0 {} {reason}\r\n", self.status),
        );
        self.write_vias(&mut out);
        for id in [
            HeaderId::From,
            HeaderId::To,
            HeaderId::CallId,
            HeaderId::CSeq,
        ] {
            // A repeated one is a fault; the first stands for it in the answer.
            let Some(value) = self.request.first(id) else {
                continue;
            };
            self.copied(&mut out, id, value);
            if id == HeaderId::To {
                self.write_to_tag(&mut out, value);
            }
        }
        self.tail.finish(out)
    }

    /// The octets, with a body whose type stands among the headers already.
    #[cfg(feature = "rsip")]
    pub(crate) fn finish_with(mut self, body: Bytes) -> Bytes {
        self.tail.body = body;
        self.finish()
    }

    /// A copied field under its long or short name.
    fn copied(&self, out: &mut Vec<u8>, id: HeaderId, value: &[u8]) {
        match id.compact().filter(|_| self.compact) {
            Some(letter) => write_line(out, letter.encode_utf8(&mut [0; 4]).as_bytes(), value),
            None => write_line(out, id.name().as_bytes(), value),
        }
    }

    fn write_vias(&self, out: &mut Vec<u8>) {
        for (index, value) in self.request.values(HeaderId::Via).enumerate() {
            let stamped = self
                .source
                .filter(|_| index == 0)
                .and_then(|source| stamped_via(value, source));
            self.copied(out, HeaderId::Via, stamped.as_deref().unwrap_or(value));
        }
    }

    /// Puts the tag behind the To that was just written.
    fn write_to_tag(&self, out: &mut Vec<u8>, value: &[u8]) {
        let has_tag = NameAddr::parse(value)
            .map_or(memchr::memmem::find(value, b"tag=").is_some(), |to| {
                to.tag().is_some()
            });
        if let Some(tag) = self
            .to_tag
            .as_deref()
            .filter(|_| !has_tag && self.status != 100)
        {
            out.truncate(out.len().saturating_sub(2));
            put(out, format_args!(";tag={tag}\r\n"));
        }
    }
}

impl Request {
    /// A request without any header yet. Via should be the first.
    #[must_use]
    pub fn new(method: &Method, uri: impl Display) -> Self {
        let mut out = Vec::with_capacity(512);
        put(
            &mut out,
            format_args!("{method} {} SIP/2.0\r\n", clean(uri)),
        );
        Self {
            out,
            tail: Tail::default(),
        }
    }

    /// A Via of ours that asks for `rport` (RFC 3581 3).
    #[must_use]
    pub fn via(self, transport: &str, sent_by: impl Display, branch: impl Display) -> Self {
        self.header(
            HeaderId::Via,
            format_args!("SIP/2.0/{transport} {sent_by};branch={branch};rport"),
        )
    }

    /// A header.
    #[must_use]
    pub fn header(mut self, id: HeaderId, value: impl Display) -> Self {
        self.tail
            .line(id.name().as_bytes(), clean(value).as_bytes());
        self
    }

    /// A header of any name.
    #[must_use]
    pub fn named(mut self, name: &str, value: impl Display) -> Self {
        self.tail
            .line(clean(name).as_bytes(), clean(value).as_bytes());
        self
    }

    /// The body and its type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.tail.body(content_type, body.into());
        self
    }

    /// The octets.
    #[must_use]
    pub fn finish(self) -> Bytes {
        self.tail.finish(self.out)
    }

    /// The octets, with a body whose type stands among the headers already.
    #[cfg(feature = "rsip")]
    pub(crate) fn finish_with(mut self, body: Bytes) -> Bytes {
        self.tail.body = body;
        self.finish()
    }
}

impl Tail {
    fn line(&mut self, name: &[u8], value: &[u8]) {
        write_line(&mut self.headers, name, value);
    }

    fn body(&mut self, content_type: &str, body: Bytes) {
        self.line(
            HeaderId::ContentType.name().as_bytes(),
            clean(content_type).as_bytes(),
        );
        self.body = body;
    }

    fn finish(self, mut out: Vec<u8>) -> Bytes {
        out.extend_from_slice(&self.headers);
        put(
            &mut out,
            format_args!("Content-Length: {}\r\n\r\n", self.body.len()),
        );
        out.extend_from_slice(&self.body);
        Bytes::from(out)
    }
}

/// A display name as a quoted string.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            out.push('\\');
        }
        out.push(if letter.is_control() { ' ' } else { letter });
    }
    out.push('"');
    out
}

/// A user part with everything escaped that may not stand there (RFC 3261 25.1).
#[must_use]
pub fn escape_user(user: &str) -> Cow<'_, str> {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&octet);
    if user.bytes().all(plain) {
        return Cow::Borrowed(user);
    }
    let mut out = String::with_capacity(user.len() + 8);
    for octet in user.bytes() {
        if plain(octet) {
            out.push(char::from(octet));
        } else {
            let _ = std::fmt::Write::write_fmt(&mut out, format_args!("%{octet:02X}"));
        }
    }
    Cow::Owned(out)
}

/// Copies a value; one from the wire keeps its folds, which are legal in the copy too.
fn write_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writing into memory cannot fail.
fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::{Datagram, Limits, frame_datagram};

    fn read(octets: impl Into<Bytes>) -> RawMessage {
        match frame_datagram(octets.into(), &Limits::default()) {
            Ok(Datagram::Message(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    const REQUEST: &str = "MESSAGE sip:b@c SIP/2.0\r\nv: SIP/2.0/UDP h;rport;branch=z9hG4bK1, SIP/2.0/TCP i\r\nf: <sip:a@b>;tag=1\r\nt: \"tag=\" <sip:b@c>\r\ni: x\r\nCSeq: 7\r\n MESSAGE\r\nl: 0\r\n\r\n";

    #[test]
    fn a_response_answers_its_request() {
        let request = read(REQUEST);
        let octets = Response::to(&request, 407)
            .received("192.0.2.1:4444".parse().unwrap())
            .to_tag("t1")
            .header(HeaderId::ProxyAuthenticate, "Digest realm=\"x\r\nEvil: 1\"")
            .body("text/plain", "hej")
            .finish();
        let expected = "SIP/2.0 407 Proxy Authentication Required\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1;received=192.0.2.1;rport=4444\r\nVia: SIP/2.0/TCP i\r\nFrom: <sip:a@b>;tag=1\r\nTo: \"tag=\" <sip:b@c>;tag=t1\r\nCall-ID: x\r\nCSeq: 7\r\n MESSAGE\r\nProxy-Authenticate: Digest realm=\"x  Evil: 1\"\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nhej";
        assert_eq!(std::str::from_utf8(&octets).unwrap(), expected);
        assert_eq!(read(octets).status(), Some(407));
    }

    #[test]
    fn tags_are_neither_doubled_nor_on_100() {
        let request = read(REQUEST.replace("<sip:b@c>", "<sip:b@c>;tag=9"));
        assert_eq!(
            read(Response::to(&request, 200).to_tag("t").finish())
                .to()
                .unwrap()
                .tag(),
            Some("9")
        );
        let request = read(REQUEST);
        assert_eq!(
            read(Response::to(&request, 100).to_tag("t").finish())
                .to()
                .unwrap()
                .tag(),
            None
        );
    }

    #[test]
    fn a_request_is_written_in_order() {
        let octets = Request::new(&Method::Notify, "sip:a@[::1]:5060;transport=tcp")
            .via("TCP", "example.com", "z9hG4bKa")
            .header(HeaderId::MaxForwards, 70)
            .named("X-A", 1)
            .body("application/pidf+xml", "<x/>")
            .finish();
        let expected = "NOTIFY sip:a@[::1]:5060;transport=tcp SIP/2.0\r\nVia: SIP/2.0/TCP example.com;branch=z9hG4bKa;rport\r\nMax-Forwards: 70\r\nX-A: 1\r\nContent-Type: application/pidf+xml\r\nContent-Length: 4\r\n\r\n<x/>";
        assert_eq!(std::str::from_utf8(&octets).unwrap(), expected);
    }

    #[test]
    fn names_and_users_are_made_safe() {
        assert_eq!(quote("J \"R\" \\\r\n"), "\"J \\\"R\\\" \\\\  \"");
        assert_eq!(escape_user("a.b+c"), "a.b+c");
        assert_eq!(escape_user("a@b é%"), "a%40b%20%C3%A9%25");
    }
}
