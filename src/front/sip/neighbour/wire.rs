//! Wire state of points that stand for a neighbouring domain's server, and our mark against
//! circles.

use crate::core::address::Address;
use crate::core::id::Handle;
use sip::RawMessage;
use std::sync::Arc;

const VERSION: &str = "sip-peer1";
/// Which servers of our kind a request has passed: one behind the other, as Via says it of
/// proxies. A message may change its protocol on its way, and its Via is gone then.
pub(in super::super) const MARK: &str = "X-Tristack-Passed";
/// Servers in one mark.
const SERVERS: usize = 10;

/// Somebody at a neighbour: where exactly is looked up when something is sent.
pub(in super::super) fn handle(address: &Address) -> Handle {
    Arc::from(format!("{VERSION}\n{address}\n").into_bytes())
}

/// Reads it again; `None` for all other handles.
pub(in super::super) fn read(handle: &[u8]) -> Option<Address> {
    let text = std::str::from_utf8(handle).ok()?;
    let rest = text.strip_prefix(VERSION)?.strip_prefix('\n')?;
    Address::from_normal(rest.strip_suffix('\n')?).ok()
}

/// How often a request has passed servers of our kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Passed {
    /// So many others.
    Times(u8),
    /// Here, or too many: it goes round in circles.
    Circle,
}

/// Reads the mark.
pub(in super::super) fn passed(message: &RawMessage, own: &str) -> Passed {
    let mut times = 0;
    for value in message.named(MARK) {
        let text = std::str::from_utf8(value).unwrap_or_default();
        for id in text.split(',').map(str::trim).filter(|id| !id.is_empty()) {
            times += 1;
            if id == own || times >= SERVERS {
                return Passed::Circle;
            }
        }
    }
    Passed::Times(u8::try_from(times).unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use sip::raw::{Datagram, Limits, frame_datagram};

    #[test]
    fn what_is_written_is_read_again() {
        let carol = Address::parse("carol%25@b.example").expect("address");
        assert_eq!(read(&handle(&carol)), Some(carol));
        for other in [&b"{}"[..], b"sip-peer1\n", b"sip-peer1\nx\n", b"\xff"] {
            assert_eq!(read(other), None);
        }
    }

    #[test]
    fn circles_are_known_by_our_own_mark_and_by_their_length() {
        let read = |lines: &str| {
            let text = format!(
                "MESSAGE sip:a@b SIP/2.0\r\nCall-ID: 1\r\n{lines}Content-Length: 0\r\n\r\n"
            );
            let Ok(Datagram::Message(message)) =
                frame_datagram(Bytes::from(text), &Limits::default())
            else {
                panic!("no message");
            };
            passed(&message, "me")
        };
        assert_eq!(read(""), Passed::Times(0));
        assert_eq!(read("X-Tristack-Passed: a, b\r\n"), Passed::Times(2));
        assert_eq!(read("x-tristack-passed: a, me\r\n"), Passed::Circle);
        let eight = "X-Tristack-Passed: a\r\n".repeat(9);
        assert_eq!(read(&eight), Passed::Times(9));
        let ten = "X-Tristack-Passed: a, b\r\n".repeat(5);
        assert_eq!(read(&ten), Passed::Circle);
    }
}
