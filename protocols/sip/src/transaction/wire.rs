//! Reading the facts of a transaction from messages, and choosing where responses go.
//!
//! Facts are slices of the message: no typed header is built on the hot path.

use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use super::engine::Engine;
use super::key::{Credentials, RequestFacts, ResponseFacts};
use crate::flow::{Flow, Millis};
use crate::raw::{HeaderId, RawMessage};
use crate::scan::{cseq, params, tag};

/// A message that names no transaction: a request gets a stateless 400, a response is dropped.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("no readable Via, From, Call-ID or CSeq")]
pub struct Nameless(pub RawMessage);

impl Engine<RawMessage> {
    /// Takes a message from the wire: [`Engine::handle`] with the facts read from it.
    pub fn receive(
        &mut self,
        now: Millis,
        flow: Flow,
        message: RawMessage,
    ) -> Result<(), Box<Nameless>> {
        if message.is_request() {
            let Some(named) = request_facts(&message).map(|facts| self.keys.name(&facts)) else {
                return Err(Box::new(Nameless(message)));
            };
            let reply = reply_flow(&message, flow);
            self.request(now, named, flow, reply, message);
        } else {
            let Some(answer) = response_facts(&message).map(|facts| self.keys.answer(&facts))
            else {
                return Err(Box::new(Nameless(message)));
            };
            self.response(now, &answer, flow, message);
        }
        Ok(())
    }
}

/// The facts of a request; `None` if a header without which there is no transaction is missing or
/// unreadable (Via, Call-ID, `CSeq`, From): such a request gets a stateless 400.
pub fn request_facts(message: &RawMessage) -> Option<RequestFacts<'_>> {
    let via = message.values(HeaderId::Via).next()?;
    let (number, _) = cseq(message.first(HeaderId::CSeq)?)?;
    let signed = message.has(HeaderId::Authorization) || message.has(HeaderId::ProxyAuthorization);
    Some(RequestFacts {
        method: message.method()?.as_str().as_bytes(),
        uri: message.uri()?,
        via,
        sent_by: sent_by(via)?,
        branch: params(via).find(|p| p.is(b"branch")).map(|p| p.value),
        call_id: message.first(HeaderId::CallId)?,
        cseq: number,
        from_tag: tag(message.first(HeaderId::From)?),
        credentials: if signed {
            Credentials::Present
        } else {
            Credentials::Absent
        },
    })
}

/// The facts of a response; `None` if no transaction of ours can be named by it.
pub fn response_facts(message: &RawMessage) -> Option<ResponseFacts<'_>> {
    let via = message.values(HeaderId::Via).next()?;
    Some(ResponseFacts {
        status: message.status()?,
        branch: params(via).find(|p| p.is(b"branch"))?.value,
        method: cseq(message.first(HeaderId::CSeq)?)?.1,
        to: message.first(HeaderId::To)?,
    })
}

/// Where the responses to a request go (RFC 3261 18.2.2, RFC 3581 4): on a stream the same way
/// back; on UDP to the source, at its own port with `rport`, else at the port of sent-by.
///
/// COMPAT(NAT): without `rport`, a sent-by that is not the source's address says that something
/// stands between; only the source port leads back.
pub fn reply_flow(message: &RawMessage, flow: Flow) -> Flow {
    if flow.transport.is_reliable() {
        return flow;
    }
    let Some(via) = message.values(HeaderId::Via).next() else {
        return flow;
    };
    if params(via).any(|p| p.is(b"rport")) {
        return flow;
    }
    let Some((host, port)) = sent_by(via).and_then(host_port) else {
        return flow;
    };
    if host != flow.peer.ip().to_canonical() {
        return flow;
    }
    Flow {
        peer: SocketAddr::new(flow.peer.ip(), port),
        ..flow
    }
}

/// A literal host and its port, 5060 if absent.
fn host_port(sent_by: &[u8]) -> Option<(IpAddr, u16)> {
    let text = std::str::from_utf8(sent_by).ok()?;
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, tail) = rest.split_once(']')?;
            (host, tail.trim().strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        Some(port) => port.trim().parse().ok()?,
        None => 5060,
    };
    let host: IpAddr = host.trim().parse().ok()?;
    Some((host.to_canonical(), port))
}

/// `SIP/2.0/UDP host:port;...` to `host:port`; white space around each part is legal.
fn sent_by(via: &[u8]) -> Option<&[u8]> {
    let mut slashes = memchr::memchr_iter(b'/', via);
    let second = slashes.nth(1)?;
    let rest = via.get(second + 1..)?.trim_ascii_start();
    let token = rest.iter().position(u8::is_ascii_whitespace)?;
    let rest = rest.get(token..)?.trim_ascii_start();
    let end = rest.iter().position(|b| matches!(b, b';' | b','));
    let host = rest.get(..end.unwrap_or(rest.len()))?.trim_ascii_end();
    (!host.is_empty()).then_some(host)
}

/// The branch of the top Via of octets that we wrote ourselves.
pub(super) fn branch_of(request: &[u8]) -> Option<&[u8]> {
    let at = memchr::memmem::find(request, b";branch=")?;
    let value = request.get(at + b";branch=".len()..)?;
    value
        .split(|b| matches!(b, b';' | b',' | b'\r' | b' ' | b'\t'))
        .next()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::flow::Transport;
    use crate::raw::{Datagram, Limits, frame_datagram};

    fn read(via: &str) -> RawMessage {
        let text = format!(
            "MESSAGE sip:bob@h SIP/2.0\r\n{via}\r\nFrom: \"a;tag=no\" <sip:a@h;tag=no>;x;TAG = yes\r\n\
             To: sip:b@h\r\nCall-ID: c\r\nCSeq: 0009   MESSAGE\r\nContent-Length: 0\r\n\r\n"
        );
        match frame_datagram(Bytes::from(text), &Limits::default()) {
            Ok(Datagram::Message(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn facts_of_an_odd_request() {
        let message = read(
            "v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n \
             SIP/2.0/UDP 192.168.255.111   ; branch=z9hG4bK30239",
        );
        let facts = request_facts(&message).unwrap();
        assert_eq!(facts.sent_by, b"spindle.example.com");
        assert_eq!(facts.branch, Some(&b"z9hG4bK9ikj8"[..]));
        assert_eq!(facts.from_tag, Some(&b"yes"[..]));
        assert_eq!((facts.cseq, facts.method), (9, &b"MESSAGE"[..]));
    }

    #[test]
    fn responses_go_where_the_client_is() {
        let came = |port: u16| Flow {
            transport: Transport::Udp,
            peer: SocketAddr::from(([192, 0, 2, 1], port)),
            id: 1,
        };
        let port = |via: &str| reply_flow(&read(via), came(4444)).peer.port();
        assert_eq!(port("Via: SIP/2.0/UDP 192.0.2.1:5070;branch=1"), 5070);
        assert_eq!(port("Via: SIP/2.0/UDP 192.0.2.1;branch=1"), 5060);
        assert_eq!(port("Via: SIP/2.0/UDP 192.0.2.1:5070;rport;branch=1"), 4444);
        assert_eq!(port("Via: SIP/2.0/UDP 10.0.0.1:5070;branch=1"), 4444);
        assert_eq!(port("Via: SIP/2.0/UDP pc.example:5070;branch=1"), 4444);
        let stream = Flow {
            transport: Transport::Tcp,
            ..came(4444)
        };
        let via = read("Via: SIP/2.0/TCP 192.0.2.1:5070;branch=1");
        assert_eq!(reply_flow(&via, stream), stream);
    }

    #[test]
    fn ipv6_literals() {
        assert_eq!(
            host_port(b"[2001:db8::9]:5070"),
            Some(("2001:db8::9".parse().unwrap(), 5070))
        );
        assert_eq!(host_port(b"[2001:db8::9").map(|h| h.1), None);
    }
}
