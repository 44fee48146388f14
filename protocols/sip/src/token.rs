//! Flow tokens (RFC 5626 5.2): a flow written into the user part of a Path or Record-Route URI of
//! ours, so that requests which come back with that route find it. Nobody else can make one.

use crate::flow::{Flow, Transport};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// Octets of the proof: 80 bits, as in the RFC's own example.
const PROOF: usize = 10;
const VERSION: u8 = 1;
/// Marks a user part as a token.
const MARK: &str = "f-";
/// Version, transport, id, boot, port, address.
const SHORT: usize = 1 + 1 + 8 + 8 + 2 + 4;
const LONG: usize = SHORT - 4 + 16;

/// A flow, and the run of the server that its number is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowToken {
    /// The flow.
    pub flow: Flow,
    /// The run.
    pub boot: u64,
}

impl FlowToken {
    /// As a user part: letters, digits and a hyphen, which nothing escapes.
    #[must_use]
    pub fn seal(&self, key: &[u8; 32]) -> String {
        let octets = self.octets();
        let mut out = String::with_capacity(MARK.len() + 2 * (LONG + PROOF));
        out.push_str(MARK);
        for octet in octets.iter().chain(&proof(key, &octets)) {
            let _ = write!(out, "{octet:02x}");
        }
        out
    }

    /// Whether a user part claims to be a token: if it then can't be opened, the request is refused
    /// (RFC 5626 5.3).
    #[must_use]
    pub fn is_meant(user: &str) -> bool {
        user.starts_with(MARK)
    }

    /// Opens a token of ours; `None`: nobody with this key made it.
    #[must_use]
    pub fn open(user: &str, key: &[u8; 32]) -> Option<Self> {
        let octets = unhex(user.strip_prefix(MARK)?)?;
        let (octets, shown) = octets.split_at_checked(octets.len().checked_sub(PROOF)?)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
        mac.update(octets);
        mac.verify_truncated_left(shown).ok()?;
        Self::read(octets)
    }

    fn octets(&self) -> Vec<u8> {
        let flow = &self.flow;
        let transport = match flow.transport {
            Transport::Udp => 0,
            Transport::Tcp => 1,
            Transport::Tls => 2,
            Transport::Ws => 3,
            Transport::Wss => 4,
        };
        let mut out = vec![VERSION, transport];
        out.extend(flow.id.to_be_bytes());
        out.extend(self.boot.to_be_bytes());
        out.extend(flow.peer.port().to_be_bytes());
        match flow.peer.ip() {
            IpAddr::V4(v4) => out.extend(v4.octets()),
            IpAddr::V6(v6) => out.extend(v6.octets()),
        }
        out
    }

    fn read(octets: &[u8]) -> Option<Self> {
        let transport = match octets.get(..2)? {
            [VERSION, 0] => Transport::Udp,
            [VERSION, 1] => Transport::Tcp,
            [VERSION, 2] => Transport::Tls,
            [VERSION, 3] => Transport::Ws,
            [VERSION, 4] => Transport::Wss,
            _ => return None,
        };
        let number = |at: usize| {
            let octets = octets.get(at..at + 8)?.try_into().ok()?;
            Some(u64::from_be_bytes(octets))
        };
        let port = u16::from_be_bytes(octets.get(18..20)?.try_into().ok()?);
        let address = octets.get(20..)?;
        let ip = match octets.len() {
            SHORT => IpAddr::from(<[u8; 4]>::try_from(address).ok()?),
            LONG => IpAddr::from(<[u8; 16]>::try_from(address).ok()?),
            _ => return None,
        };
        Some(Self {
            flow: Flow {
                transport,
                peer: SocketAddr::new(ip, port),
                id: number(2)?,
            },
            boot: number(10)?,
        })
    }
}

fn proof(key: &[u8; 32], octets: &[u8]) -> [u8; PROOF] {
    let mut out = [0; PROOF];
    // Any length of key will do for an HMAC.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) {
        mac.update(octets);
        let whole = mac.finalize().into_bytes();
        for (to, from) in out.iter_mut().zip(whole) {
            *to = from;
        }
    }
    out
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 2 * (SHORT + PROOF) && text.len() != 2 * (LONG + PROOF) {
        return None;
    }
    let digit = |octet: u8| {
        char::from(octet)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn token(peer: &str, transport: Transport) -> FlowToken {
        FlowToken {
            flow: Flow {
                transport,
                peer: peer.parse().unwrap(),
                id: u64::MAX - 5,
            },
            boot: 9,
        }
    }

    #[test]
    fn what_was_sealed_is_opened_by_its_maker_only() {
        for (peer, transport) in [
            ("192.0.2.1:5060", Transport::Udp),
            ("[2001:db8::1]:9", Transport::Wss),
            ("192.0.2.1:1", Transport::Ws),
            ("192.0.2.1:1", Transport::Tls),
            ("192.0.2.1:1", Transport::Tcp),
        ] {
            let token = token(peer, transport);
            let text = token.seal(&KEY);
            assert!(FlowToken::is_meant(&text));
            assert_eq!(FlowToken::open(&text, &KEY), Some(token));
            assert_eq!(FlowToken::open(&text, &[8; 32]), None);
            assert!(text.bytes().all(|o| o.is_ascii_alphanumeric() || o == b'-'));
        }
    }

    #[test]
    fn every_changed_octet_is_noticed() {
        let text = token("192.0.2.1:5060", Transport::Tcp).seal(&KEY);
        for at in 0..text.len() {
            let mut octets = text.clone().into_bytes();
            octets[at] = if octets[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(octets).unwrap();
            assert_eq!(FlowToken::open(&changed, &KEY), None, "{at}");
            assert_eq!(FlowToken::open(&text[..at], &KEY), None, "{at}");
        }
        for other in ["", "f-", "alice", "f-zz"] {
            assert_eq!(FlowToken::open(other, &KEY), None);
        }
    }
}
