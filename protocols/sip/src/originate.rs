//! `rsip` as the vocabulary for messages that are born here.
//!
//! Its limits, measured: it refuses IPv6 literals, `+sip.instance`, folding and unknown methods when
//! it reads, replaces body octets that are no UTF-8 and reason phrases when it writes, and knows
//! no compact names. Its `Accepted` is 201; here it is 202. So it never reads the wire, never touches a forwarded message, a body or a
//! digest. It names methods, statuses and headers; start line, Content-Length and body are
//! written here. The hot path uses [`crate::build`] and not this.

use crate::build::{Request, Response};
use crate::edit::clean;
use crate::raw::{HeaderId, Method, RawMessage};
use bytes::Bytes;
use rsip::prelude::UntypedHeader;

/// The octets of a request made of `rsip` values. The URI is given as text, for `rsip` has no IPv6.
/// A Content-Length among the headers is left out; ours is right.
#[must_use]
pub fn request(
    method: rsip::Method,
    uri: &str,
    headers: &rsip::Headers,
    body: impl Into<Bytes>,
) -> Bytes {
    let text = method.to_string();
    let method = Method::parse(text.as_bytes()).unwrap_or(Method::Options);
    let mut out = Request::new(&method, uri);
    for (name, value) in lines(headers) {
        out = out.named(&name, value);
    }
    out.finish_with(body.into())
}

/// The octets of a response to a request, made of `rsip` values. Via, From, To, Call-ID and CSeq
/// are copied from the request; those among the headers are left out.
#[must_use]
pub fn response(
    to: &RawMessage,
    code: &rsip::StatusCode,
    to_tag: &str,
    headers: &rsip::Headers,
    body: impl Into<Bytes>,
) -> Bytes {
    const COPIED: [HeaderId; 5] = [
        HeaderId::Via,
        HeaderId::From,
        HeaderId::To,
        HeaderId::CallId,
        HeaderId::CSeq,
    ];
    let mut out = Response::to(to, number(code)).to_tag(to_tag);
    for (name, value) in lines(headers) {
        if !COPIED.contains(&HeaderId::of(name.as_bytes())) {
            out = out.named(&name, value);
        }
    }
    out.finish_with(body.into())
}

/// One header of ours as `rsip` has it, where it has it as text.
#[must_use]
pub fn header(name: &str, value: &str) -> rsip::Header {
    match HeaderId::of(name.as_bytes()) {
        HeaderId::Expires => rsip::headers::Expires::new(clean(value)).into(),
        HeaderId::Event => rsip::headers::Event::new(clean(value)).into(),
        HeaderId::ContentType => rsip::headers::ContentType::new(clean(value)).into(),
        _ => rsip::Header::Other(clean(name), clean(value)),
    }
}

/// The status code that the RFC gives the name.
fn number(code: &rsip::StatusCode) -> u16 {
    if *code == rsip::StatusCode::Accepted {
        202
    } else {
        code.code()
    }
}

fn lines(headers: &rsip::Headers) -> impl Iterator<Item = (String, String)> + '_ {
    headers.iter().filter_map(|header| {
        let text = header.to_string();
        let (name, value) = text.split_once(':')?;
        let own = HeaderId::of(name.trim().as_bytes()) == HeaderId::ContentLength;
        (!own).then(|| (name.trim().to_owned(), value.trim().to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::{Datagram, Limits, frame_datagram};

    fn read(octets: Bytes) -> RawMessage {
        match frame_datagram(octets, &Limits::default()) {
            Ok(Datagram::Message(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rsip_names_and_we_write() {
        let headers: rsip::Headers = vec![
            header("Via", "SIP/2.0/UDP [::1];branch=z9hG4bK1"),
            header("From", "<sip:a@b>;tag=1"),
            header("To", "<sip:b@[2001:db8::1]>"),
            header("Call-ID", "x"),
            header("CSeq", "1 MESSAGE"),
            header("Content-Type", "application/octet-stream"),
            rsip::headers::ContentLength::new("99").into(),
        ]
        .into();
        let octets = request(
            rsip::Method::Message,
            "sip:b@[2001:db8::1]",
            &headers,
            &b"\xff\x00\xe9"[..],
        );
        let message = read(octets);
        assert_eq!(message.body(), b"\xff\x00\xe9");
        assert!(message.request_uri().is_ok());
        assert_eq!(message.text(HeaderId::ContentLength), Some("3"));
        let answer = read(response(
            &message,
            &rsip::StatusCode::Accepted,
            "t",
            &vec![header("Expires", "60")].into(),
            Bytes::new(),
        ));
        assert_eq!(
            (answer.status(), answer.expires()),
            (Some(202), Ok(Some(60)))
        );
        assert_eq!(answer.to().unwrap().tag(), Some("t"));
    }
}
