//! Framing of datagrams (RFC 3261 18.3) and of WebSocket messages (RFC 7118 5).

use super::parse::Head;
use super::{Limits, RawMessage, Refusal, RefusalKind, Span, StreamEvent};
use bytes::Bytes;

/// What a datagram held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// One message; octets behind its Content-Length are dropped.
    Message(RawMessage),
    /// Nothing but NUL octets or line ends.
    KeepAlive,
}

/// Reads one datagram. Without Content-Length the body runs to the datagram's end.
///
/// # Errors
/// A [`Refusal`], with the head for an answer where there is one.
pub fn frame_datagram(datagram: Bytes, limits: &Limits) -> Result<Datagram, Refusal> {
    // RFC 3261 7.5: line ends before the start line are ignored. COMPAT(Pidgin): one NUL octet.
    let lead = datagram
        .iter()
        .take_while(|octet| matches!(octet, b'\r' | b'\n' | 0))
        .count();
    if lead == datagram.len() {
        return Ok(Datagram::KeepAlive);
    }
    let buf = if lead == 0 {
        datagram
    } else {
        datagram.slice(lead..)
    };
    let head = Head::read(&buf, limits);
    let end = head.end;
    let available = buf.len().saturating_sub(end);
    let length = head.length.unwrap_or(available);
    let fault = head.fault.or(if length > limits.body {
        Some(RefusalKind::BodyTooLarge)
    } else if length > available {
        Some(RefusalKind::ShortBody)
    } else {
        None
    });
    if let Some(kind) = fault {
        return Err(refuse(kind, head, &buf));
    }
    let total = end + length;
    head.into_message(buf.slice(..total), Span::new(end, total))
        .map(Datagram::Message)
        .ok_or(Refusal {
            kind: RefusalKind::StartLine,
            salvage: None,
        })
}

/// Reads one WebSocket message, text or binary: exactly one SIP message, which may do without
/// Content-Length, or a keep-alive of RFC 5626 4.4.1 (RFC 7118 6).
///
/// # Errors
/// A [`Refusal`], with the head for an answer where there is one. It concerns this message only.
pub fn frame_websocket(message: &Bytes, limits: &Limits) -> Result<StreamEvent, Refusal> {
    let filler = |octet: &&u8| matches!(**octet, b'\r' | b'\n' | 0);
    let lead = message.iter().take_while(filler).count();
    match frame_datagram(message.clone(), limits)? {
        Datagram::KeepAlive if lead >= 4 => Ok(StreamEvent::Ping),
        Datagram::KeepAlive => Ok(StreamEvent::Crlf),
        Datagram::Message(whole) => {
            let end = lead + whole.as_bytes().len();
            let behind = message.get(end..).unwrap_or_default();
            if behind.iter().all(|octet| filler(&octet)) {
                return Ok(StreamEvent::Message(whole));
            }
            Err(Refusal {
                kind: RefusalKind::Surplus,
                salvage: Some(Box::new(whole)),
            })
        }
    }
}

/// A refusal that keeps the head (copied, so that it pins no receive buffer) and no body.
pub(crate) fn refuse(kind: RefusalKind, head: Head, buf: &[u8]) -> Refusal {
    let end = head.end.min(buf.len());
    let copy = Bytes::copy_from_slice(buf.get(..end).unwrap_or_default());
    Refusal {
        kind,
        salvage: head.into_message(copy, Span::new(end, end)).map(Box::new),
    }
}
