//! The PROXY protocol, versions 1 and 2: a terminator in front of us says who the client is.
//!
//! Accepted only from configured addresses, and from those it is required: an address that may
//! speak for others must always say for whom (otherwise its own clients could forge the header).

use std::net::{IpAddr, SocketAddr};

/// Longest version 1 line (the specification's own bound, CRLF included).
const V1_LONGEST: usize = 107;
/// Signature of version 2.
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Longest version 2 header we read: addresses and a few TLVs.
const V2_LONGEST: usize = 16 + 2048;

/// What the first octets of a connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// More octets are needed.
    Incomplete,
    /// A header of so many octets, for this client; `None` = the proxy speaks for itself (health
    /// check, LOCAL or UNKNOWN).
    Complete(usize, Option<SocketAddr>),
}

/// The octets are no PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a PROXY protocol header")]
pub(super) struct NotProxy;

/// Reads the start of a connection.
pub(super) fn read(octets: &[u8]) -> Result<Header, NotProxy> {
    let same = octets.len().min(V2_SIGNATURE.len());
    if octets.get(..same) == V2_SIGNATURE.get(..same) {
        return if same < V2_SIGNATURE.len() {
            Ok(Header::Incomplete)
        } else {
            version_2(octets)
        };
    }
    let prefix = b"PROXY ";
    let same = octets.len().min(prefix.len());
    if octets.get(..same) != prefix.get(..same) {
        return Err(NotProxy);
    }
    let line = octets
        .get(..octets.len().min(V1_LONGEST))
        .unwrap_or_default();
    match line.windows(2).position(|two| two == b"\r\n") {
        Some(end) => version_1(octets.get(..end).unwrap_or_default())
            .map(|client| Header::Complete(end + 2, client)),
        None if octets.len() >= V1_LONGEST => Err(NotProxy),
        None => Ok(Header::Incomplete),
    }
}

fn version_1(line: &[u8]) -> Result<Option<SocketAddr>, NotProxy> {
    let text = std::str::from_utf8(line).map_err(|_| NotProxy)?;
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Ok(None),
        [
            "PROXY",
            family @ ("TCP4" | "TCP6"),
            source,
            target,
            from,
            to,
        ] => {
            let source: IpAddr = source.parse().map_err(|_| NotProxy)?;
            let target: IpAddr = target.parse().map_err(|_| NotProxy)?;
            let from: u16 = from.parse().map_err(|_| NotProxy)?;
            let _: u16 = to.parse().map_err(|_| NotProxy)?;
            let v4 = *family == "TCP4";
            if source.is_ipv4() != v4 || target.is_ipv4() != v4 {
                return Err(NotProxy);
            }
            Ok(Some(SocketAddr::new(source, from)))
        }
        _ => Err(NotProxy),
    }
}

fn version_2(octets: &[u8]) -> Result<Header, NotProxy> {
    let Some((head, rest)) = octets.split_at_checked(16) else {
        return Ok(Header::Incomplete);
    };
    let (Some(&version_command), Some(&family), Some(length)) =
        (head.get(12), head.get(13), head.get(14..16))
    else {
        return Err(NotProxy);
    };
    let length = length
        .iter()
        .fold(0usize, |length, octet| length << 8 | usize::from(*octet));
    if version_command >> 4 != 2 || 16 + length > V2_LONGEST {
        return Err(NotProxy);
    }
    let Some(body) = rest.get(..length) else {
        return Ok(Header::Incomplete);
    };
    let client = match (version_command & 15, family) {
        (1, 0x11) => Some(address::<4>(body)?),
        (1, 0x21) => Some(address::<16>(body)?),
        // LOCAL, and families that carry no client address (UNSPEC, UNIX, datagrams).
        (0 | 1, _) => None,
        _ => return Err(NotProxy),
    };
    Ok(Header::Complete(16 + length, client))
}

/// Source address and port of a version 2 address block: source, target, ports.
fn address<const N: usize>(body: &[u8]) -> Result<SocketAddr, NotProxy>
where
    IpAddr: From<[u8; N]>,
{
    let source: [u8; N] = body
        .get(..N)
        .and_then(|s| s.try_into().ok())
        .ok_or(NotProxy)?;
    let port = body
        .get(2 * N..2 * N + 2)
        .and_then(|p| p.try_into().ok())
        .ok_or(NotProxy)?;
    body.get(2 * N + 2..2 * N + 4).ok_or(NotProxy)?;
    Ok(SocketAddr::new(
        IpAddr::from(source),
        u16::from_be_bytes(port),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn version_1_lines() {
        for (line, expected) in [
            (
                "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443",
                Ok(Some(client("192.0.2.1:56324"))),
            ),
            (
                "PROXY TCP6 2001:db8::1 2001:db8::2 1 2",
                Ok(Some(client("[2001:db8::1]:1"))),
            ),
            ("PROXY UNKNOWN", Ok(None)),
            ("PROXY UNKNOWN ff 00 x", Ok(None)),
            ("PROXY TCP4 2001:db8::1 2001:db8::2 1 2", Err(NotProxy)),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 99999 443", Err(NotProxy)),
            ("PROXY TCP4 192.0.2.1  198.51.100.1 1 443", Err(NotProxy)),
            ("PROXY UDP4 192.0.2.1 198.51.100.1 1 443", Err(NotProxy)),
        ] {
            let whole = format!("{line}\r\nGET / HTTP/1.1\r\n");
            let expected = expected.map(|client| Header::Complete(line.len() + 2, client));
            assert_eq!(read(whole.as_bytes()), expected, "{line}");
        }
        assert_eq!(read(b"GET / HTTP/1.1\r\n"), Err(NotProxy));
        assert_eq!(read(&[b'x'; 4]), Err(NotProxy));
        assert_eq!(
            read(format!("PROXY {}", "x".repeat(200)).as_bytes()),
            Err(NotProxy)
        );
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).expect("short");
        [
            V2_SIGNATURE.as_slice(),
            &[0x20 | command, family],
            &length.to_be_bytes(),
            body,
        ]
        .concat()
    }

    #[test]
    fn version_2_headers() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 1, 0xbb];
        let with_tlv = [v4.as_slice(), &[4, 0, 1, 0]].concat();
        let mut v6 = vec![0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        v6.extend([0; 16]);
        v6.extend([0, 7, 0, 8]);
        for (header, expected) in [
            (v2(1, 0x11, &v4), Some(client("192.0.2.1:56324"))),
            (v2(1, 0x11, &with_tlv), Some(client("192.0.2.1:56324"))),
            (v2(1, 0x21, &v6), Some(client("[2001:db8::1]:7"))),
            (v2(0, 0, &[]), None),
            (v2(1, 0x31, &[0; 216]), None),
        ] {
            let whole = [header.clone(), b"rest".to_vec()].concat();
            assert_eq!(read(&whole), Ok(Header::Complete(header.len(), expected)));
            for end in 0..header.len() {
                assert_eq!(read(&header[..end]), Ok(Header::Incomplete), "cut at {end}");
            }
        }
        assert_eq!(read(&v2(1, 0x11, &v4[..8])), Err(NotProxy));
        assert_eq!(read(&v2(7, 0x11, &v4)), Err(NotProxy));
        assert_eq!(read(&v2(1, 0x11, &[0; 4000])), Err(NotProxy));
    }

    #[test]
    fn hostile_octets_never_panic() {
        bolero::check!().with_type::<Vec<u8>>().for_each(|octets| {
            if let Ok(Header::Complete(length, _)) = read(octets) {
                assert!(length <= octets.len());
            }
        });
    }
}
