//! STUN binding requests on a SIP port (RFC 5626 4.4.2 and 8, RFC 5389): keep-alives of NAT
//! bindings. No authentication, no other method.
//!
//! An answer is 12 octets longer than the shortest request over IPv4, 24 over IPv6: with the heads
//! of IP and UDP never 1.5 times the request, so nobody gains by a forged source.

use std::net::{IpAddr, SocketAddr};

/// Distinguishes STUN from all else on the port (RFC 5389 6, 8).
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const HEAD: usize = 20;
/// Binding, as request, success and error (RFC 5389 6).
const REQUEST: [u8; 2] = [0x00, 0x01];
const SUCCESS: [u8; 2] = [0x01, 0x01];
const ERROR: [u8; 2] = [0x01, 0x11];
/// Attributes (RFC 5389 15, 18.2).
const MAPPED_ADDRESS: u16 = 0x0001;
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const REALM: u16 = 0x0014;
const NONCE: u16 = 0x0015;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const FINGERPRINT: u16 = 0x8028;
/// XORed into a fingerprint (RFC 5389 15.5).
const FINGERPRINT_MARK: u32 = 0x5354_554e;
/// Larger requests are no keep-alives.
const LARGEST: usize = 548;
/// Unknown attributes that an error names: no more fit an answer that is no larger than needed.
const NAMED: usize = 4;

/// Whether a datagram is STUN and no SIP: no SIP message starts with two zero bits
/// (RFC 5626 8).
#[must_use]
pub fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first & 0xc0 == 0)
        && datagram.get(4..8) == Some(&COOKIE)
        && datagram.len() >= HEAD
}

/// The answer to a binding request that came from `peer`; `None` if it needs none: it is no
/// request, or broken (RFC 5389 7.3).
#[must_use]
pub fn answer(datagram: &[u8], peer: SocketAddr) -> Option<Vec<u8>> {
    let request = Request::read(datagram)?;
    if !request.unknown.is_empty() {
        return Some(request.unknown_attributes());
    }
    let mut out = request.head(SUCCESS);
    let value = xor_mapped(peer, request.transaction);
    attribute(&mut out, XOR_MAPPED_ADDRESS, &value);
    Some(request.close(out))
}

struct Request<'a> {
    transaction: &'a [u8],
    /// Attributes that must be understood and are not.
    unknown: Vec<u16>,
    /// It had a fingerprint, so the answer has one (RFC 5389 8).
    marked: bool,
}

impl<'a> Request<'a> {
    fn read(datagram: &'a [u8]) -> Option<Self> {
        if !is_stun(datagram) || datagram.len() > LARGEST || datagram.get(..2)? != REQUEST {
            return None;
        }
        let length = usize::from(u16::from_be_bytes(datagram.get(2..4)?.try_into().ok()?));
        if !length.is_multiple_of(4) || HEAD + length != datagram.len() {
            return None;
        }
        let mut request = Self {
            transaction: datagram.get(8..HEAD)?,
            unknown: Vec::new(),
            marked: false,
        };
        let mut at = HEAD;
        let mut sealed = false;
        while at < datagram.len() {
            let kind = u16::from_be_bytes(datagram.get(at..at + 2)?.try_into().ok()?);
            let size = u16::from_be_bytes(datagram.get(at + 2..at + 4)?.try_into().ok()?);
            let value = datagram.get(at + 4..at + 4 + usize::from(size))?;
            if kind == FINGERPRINT {
                // RFC 5389 15.5: the last one, over all before it.
                let last = at + 8 == datagram.len();
                let told = u32::from_be_bytes(value.try_into().ok()?);
                let right = crc32(datagram.get(..at)?) ^ FINGERPRINT_MARK;
                if !last || told != right {
                    return None;
                }
                request.marked = true;
            } else if !sealed {
                sealed = kind == MESSAGE_INTEGRITY;
                request.note(kind);
            }
            at += 4 + usize::from(size).next_multiple_of(4);
        }
        (at == datagram.len()).then_some(request)
    }

    /// RFC 5389 7.3.1: what is below 0x8000 must be understood. Credentials are, as far as that
    /// nobody asked for them.
    fn note(&mut self, kind: u16) {
        let known = [
            MAPPED_ADDRESS,
            USERNAME,
            MESSAGE_INTEGRITY,
            ERROR_CODE,
            UNKNOWN_ATTRIBUTES,
            REALM,
            NONCE,
            XOR_MAPPED_ADDRESS,
        ];
        if kind < 0x8000 && !known.contains(&kind) && self.unknown.len() < NAMED {
            self.unknown.push(kind);
        }
    }

    fn head(&self, kind: [u8; 2]) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.extend(kind);
        out.extend([0, 0]);
        out.extend(COOKIE);
        out.extend(self.transaction);
        out
    }

    /// 420 (RFC 5389 15.6), with the attributes named and no phrase.
    fn unknown_attributes(&self) -> Vec<u8> {
        let mut out = self.head(ERROR);
        attribute(&mut out, ERROR_CODE, &[0, 0, 4, 20]);
        let named: Vec<u8> = self.unknown.iter().flat_map(|a| a.to_be_bytes()).collect();
        attribute(&mut out, UNKNOWN_ATTRIBUTES, &named);
        self.close(out)
    }

    fn close(&self, mut out: Vec<u8>) -> Vec<u8> {
        if self.marked {
            // The length counts the fingerprint before it is computed.
            set_length(&mut out, 8);
            let mark = crc32(&out) ^ FINGERPRINT_MARK;
            attribute(&mut out, FINGERPRINT, &mark.to_be_bytes());
        }
        set_length(&mut out, 0);
        out
    }
}

fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let size = u16::try_from(value.len()).unwrap_or(0);
    out.extend(kind.to_be_bytes());
    out.extend(size.to_be_bytes());
    out.extend(value);
    while !out.len().is_multiple_of(4) {
        out.push(0);
    }
}

fn set_length(out: &mut [u8], more: usize) {
    let length = u16::try_from(out.len() - HEAD + more).unwrap_or(0);
    if let Some(place) = out.get_mut(2..4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

/// RFC 5389 15.2.
fn xor_mapped(peer: SocketAddr, transaction: &[u8]) -> Vec<u8> {
    let pad: Vec<u8> = COOKIE.iter().chain(transaction).copied().collect();
    let xor = |octets: &[u8]| -> Vec<u8> {
        let pairs = octets.iter().zip(&pad);
        pairs.map(|(octet, pad)| octet ^ pad).collect()
    };
    let (family, octets) = match peer.ip().to_canonical() {
        IpAddr::V4(v4) => (1, xor(&v4.octets())),
        IpAddr::V6(v6) => (2, xor(&v6.octets())),
    };
    let mut value = vec![0, family];
    value.extend(xor(&peer.port().to_be_bytes()));
    value.extend(octets);
    value
}

/// ITU V.42, bit by bit: a few dozen octets, once per keep-alive.
fn crc32(octets: &[u8]) -> u32 {
    let step = |crc: u32, octet: &u8| {
        (0..8).fold(crc ^ u32::from(*octet), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    };
    !octets.iter().fold(u32::MAX, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRANSACTION: [u8; 12] = *b"transaction!";

    fn request(attributes: &[(u16, &[u8])], marked: bool) -> Vec<u8> {
        let request = Request {
            transaction: &TRANSACTION,
            unknown: Vec::new(),
            marked,
        };
        let mut out = request.head(REQUEST);
        for (kind, value) in attributes {
            attribute(&mut out, *kind, value);
        }
        request.close(out)
    }

    fn from(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_keep_alive_is_told_where_it_came_from() {
        let out = answer(&request(&[], false), from("192.0.2.1:32853")).unwrap();
        // RFC 5769 2.2 has this address and port under the same cookie.
        assert_eq!(out.get(..4), Some(&[1, 1, 0, 12][..]));
        assert_eq!(out.get(8..20), Some(&TRANSACTION[..]));
        let value = [0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
        assert_eq!(out.get(20..), Some(&value[..]));
        let six = answer(&request(&[], false), from("[2001:db8::1]:5060")).unwrap();
        assert_eq!(six.len(), 44);
        let mapped = answer(&request(&[], false), from("[::ffff:192.0.2.1]:32853"));
        assert_eq!(mapped.as_deref(), Some(&out[..]));
    }

    #[test]
    fn fingerprints_are_checked_and_returned() {
        // "123456789" is the usual check of the CRC.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let mut asked = request(&[(0x8022, b"client")], true);
        let out = answer(&asked, from("192.0.2.1:1")).unwrap();
        assert_eq!(out.get(32..36), Some(&[0x80, 0x28, 0, 4][..]));
        let told = u32::from_be_bytes(out[36..40].try_into().unwrap());
        assert_eq!(told, crc32(&out[..32]) ^ FINGERPRINT_MARK);
        let last = asked.len() - 1;
        asked[last] ^= 1;
        assert_eq!(answer(&asked, from("192.0.2.1:1")), None);
    }

    #[test]
    fn what_must_be_understood_and_is_not_is_named() {
        let out = answer(&request(&[(0x0024, &[0; 4])], false), from("192.0.2.1:1")).unwrap();
        assert_eq!(out.get(..2), Some(&ERROR[..]));
        assert_eq!(out.get(20..28), Some(&[0, 9, 0, 4, 0, 0, 4, 20][..]));
        assert_eq!(out.get(28..34), Some(&[0, 10, 0, 2, 0, 0x24][..]));
        // Optional ones are passed over.
        let software = request(&[(0x8022, b"x")], false);
        assert_eq!(
            answer(&software, from("192.0.2.1:1")).unwrap()[..2],
            SUCCESS
        );
    }

    #[test]
    fn answers_never_grow_by_half() {
        let unknown: Vec<(u16, &[u8])> = (1..9).map(|n| (0x0100 + n, &[][..])).collect();
        for asked in [
            request(&[], false),
            request(&[], true),
            request(&unknown, true),
            request(&unknown[..1], false),
        ] {
            for (peer, heads) in [("192.0.2.1:1", 28), ("[2001:db8::1]:1", 48)] {
                let answer = answer(&asked, from(peer)).unwrap();
                assert!((answer.len() + heads) * 2 <= (asked.len() + heads) * 3);
            }
        }
    }

    #[test]
    fn everything_else_is_left_alone() {
        let good = request(&[], false);
        let broken = |at: usize, octet: u8| {
            let mut out = good.clone();
            out[at] = octet;
            answer(&out, from("192.0.2.1:1"))
        };
        assert_eq!(broken(0, 0x01), None, "an answer");
        assert_eq!(broken(1, 0x11), None, "an indication");
        assert_eq!(broken(3, 4), None, "a wrong length");
        assert_eq!(broken(4, 0x22), None, "no cookie");
        assert!(!is_stun(b"OPTIONS sip:a SIP/2.0"));
        assert!(!is_stun(&good[..19]));
        let mut cut = request(&[(0x8022, b"12345678")], false);
        cut[23] = 200;
        assert_eq!(answer(&cut, from("192.0.2.1:1")), None);
    }
}
