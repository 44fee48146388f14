//! ACK and CANCEL made from the octets of the INVITE they belong to (RFC 3261 9.1, 17.1.1.3).

use bytes::{BufMut, Bytes, BytesMut};

/// The ACK of a 3xx-6xx: Request-URI, top Via, From, Call-ID, `CSeq` number and Route of the INVITE,
/// To of the response. `None` if the octets are no request.
pub fn ack_for(invite: &[u8], to: &[u8]) -> Option<Bytes> {
    derive(invite, b"ACK", Some(to))
}

/// The CANCEL of an INVITE: as the ACK, with the INVITE's own To.
pub fn cancel_for(invite: &[u8]) -> Option<Bytes> {
    derive(invite, b"CANCEL", None)
}

fn derive(invite: &[u8], method: &[u8], to: Option<&[u8]>) -> Option<Bytes> {
    let mut lines = Lines(invite);
    let start = lines.next()?;
    let space = memchr::memchr(b' ', start)?;
    let mut out = BytesMut::with_capacity(512);
    out.put_slice(method);
    out.put_slice(start.get(space..)?);
    let mut via_seen = false;
    for line in lines {
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        let name = line.get(..colon)?.trim_ascii();
        let value = line.get(colon + 1..)?.trim_ascii();
        let is = |names: &[&[u8]]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
        if is(&[b"Via", b"v"]) {
            if !via_seen {
                header(&mut out, b"Via", top_value(value));
                via_seen = true;
            }
        } else if is(&[b"From", b"f"]) {
            header(&mut out, b"From", value);
        } else if is(&[b"To", b"t"]) {
            header(&mut out, b"To", to.unwrap_or(value));
        } else if is(&[b"Call-ID", b"i"]) {
            header(&mut out, b"Call-ID", value);
        } else if is(&[b"Route"]) {
            header(&mut out, b"Route", value);
        } else if is(&[b"CSeq"]) {
            let digits = value.split(|b| !b.is_ascii_digit()).next()?;
            header(&mut out, b"CSeq", digits);
            out.put_u8(b' ');
            out.put_slice(method);
        }
    }
    out.put_slice(b"\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n");
    Some(out.freeze())
}

fn header(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    out.put_slice(b"\r\n");
    out.put_slice(name);
    out.put_slice(b": ");
    out.put_slice(value);
}

/// The first of several comma-separated Via values; quoted strings are skipped.
fn top_value(value: &[u8]) -> &[u8] {
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in value.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return value.get(..at).unwrap_or(value).trim_ascii(),
            _ => {}
        }
    }
    value
}

/// Lines of a head, folded ones whole, up to the empty line.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let mut from = 0;
        loop {
            let end = from + memchr::memmem::find(self.0.get(from..)?, b"\r\n")?;
            if end == 0 {
                return None;
            }
            let rest = self.0.get(end + 2..)?;
            if matches!(rest.first(), Some(b' ' | b'\t')) {
                from = end + 2;
                continue;
            }
            let line = self.0.get(..end)?;
            self.0 = rest;
            return Some(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &[u8] = b"INVITE sip:bob@h SIP/2.0\r\n\
        v: SIP/2.0/UDP me;branch=z9hG4bK1, SIP/2.0/UDP other;branch=z9hG4bK0\r\n\
        Via: SIP/2.0/UDP third\r\n\
        Max-Forwards: 70\r\nf: <sip:a@h>;tag=1\r\nTo: <sip:bob@h>\r\n\
        Call-ID: c\r\nCSeq: 7 INVITE\r\nRoute: <sip:p1;lr>,\r\n <sip:p2;lr>\r\n\
        Authorization: Digest x\r\nContent-Length: 4\r\n\r\nTo: ";

    #[test]
    fn ack_takes_the_to_of_the_response() {
        let ack = ack_for(INVITE, b"<sip:bob@h>;tag=9").unwrap();
        assert_eq!(
            std::str::from_utf8(&ack).unwrap(),
            "ACK sip:bob@h SIP/2.0\r\nVia: SIP/2.0/UDP me;branch=z9hG4bK1\r\n\
             From: <sip:a@h>;tag=1\r\nTo: <sip:bob@h>;tag=9\r\nCall-ID: c\r\nCSeq: 7 ACK\r\n\
             Route: <sip:p1;lr>,\r\n <sip:p2;lr>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn cancel_takes_the_to_of_the_invite() {
        let cancel = cancel_for(INVITE).unwrap();
        let text = std::str::from_utf8(&cancel).unwrap();
        assert!(text.starts_with("CANCEL sip:bob@h SIP/2.0\r\n"));
        assert!(text.contains("\r\nTo: <sip:bob@h>\r\n"));
        assert!(text.contains("\r\nCSeq: 7 CANCEL\r\n"));
    }

    #[test]
    fn nonsense_makes_nothing_or_something_but_never_panics() {
        assert_eq!(ack_for(b"", b""), None);
        assert_eq!(ack_for(b"\r\n", b""), None);
        bolero::check!().for_each(|input: &[u8]| {
            let _ = ack_for(input, b"x");
        });
    }
}
