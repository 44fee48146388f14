//! Differential test: our raw layer against `sipx-sip`, on the torture messages and on thousands of
//! mutations of them. Where the two differ, the rule that makes them differ is named here.

mod wire_support;

use bytes::Bytes;
use sip::flow::{Flow, Transport};
use sip::proxy::{Marks, Onward, Plan, Target};
use sip::raw::{Datagram, HeaderId, Limits, RawMessage, RefusalKind, frame_datagram};
use sip::verdict::verdict;
use testkit::Rng;
use wire_support::rows;

enum Theirs {
    Message {
        headers: usize,
        body: Vec<u8>,
        written: Vec<u8>,
    },
    Refused(String),
}

fn theirs(octets: &Bytes) -> Theirs {
    match sipx_sip::parse_datagram(octets.clone(), &sipx_sip::Limits::datagram()) {
        Err(error) => Theirs::Refused(error.to_string()),
        Ok(message) => {
            let mut written = Vec::new();
            let (headers, body) = match &message {
                sipx_sip::Message::Request(request) => {
                    request.write_to(&mut written);
                    (request.headers.len(), request.body().to_vec())
                }
                sipx_sip::Message::Response(response) => {
                    response.write_to(&mut written);
                    (response.headers.len(), response.body().to_vec())
                }
            };
            Theirs::Message {
                headers,
                body,
                written,
            }
        }
    }
}

/// `None` when both agree, or the difference.
fn compare(octets: &Bytes) -> Option<String> {
    let ours = frame_datagram(octets.clone(), &Limits::default());
    match (ours, theirs(octets)) {
        (Ok(Datagram::KeepAlive), _) | (Err(_), Theirs::Refused(_)) => None,
        (
            Ok(Datagram::Message(message)),
            Theirs::Message {
                headers,
                body,
                written,
            },
        ) => {
            let same = message.header_count() == headers
                && message.body() == body
                && message.as_bytes() == written;
            (!same).then(|| format!("{} fields against {headers}", message.header_count()))
        }
        (Ok(Datagram::Message(message)), Theirs::Refused(why)) => {
            (!explained(octets, &message, &why)).then(|| format!("they refuse: {why}"))
        }
        (Err(refusal), Theirs::Message { .. }) => {
            (!we_are_stricter(refusal.kind)).then(|| format!("we refuse: {refusal}"))
        }
    }
}

/// They judge Request-URI and version while they frame; we frame and let the verdict judge.
/// Line ends and NUL octets before the start line are skipped by us (RFC 3261 7.5).
fn explained(octets: &Bytes, message: &RawMessage, why: &str) -> bool {
    if matches!(octets.first(), Some(b'\r' | b'\n' | 0)) {
        return true;
    }
    let judged = ["Request-URI", "space-separated", "version"]
        .iter()
        .any(|part| why.contains(part));
    judged && verdict(message).is_err()
}

/// A start line without SIP/x.y is no SIP to us and another version to them. Bare CR is refused by us
/// and data to them; an unending head is theirs to bound otherwise.
fn we_are_stricter(kind: RefusalKind) -> bool {
    matches!(
        kind,
        RefusalKind::StartLine
            | RefusalKind::BareCr
            | RefusalKind::HeadTooLarge
            | RefusalKind::TooManyHeaders
    )
}

#[test]
fn the_torture_messages_agree() {
    let differ: Vec<String> = rows()
        .iter()
        .filter_map(|row| compare(&row.octets).map(|why| format!("{}: {why}", row.file)))
        .collect();
    assert!(differ.is_empty(), "{differ:#?}");
}

#[test]
fn mutations_agree() {
    let rows = rows();
    let mut rng = Rng::new(4475);
    let mut differ = Vec::new();
    let mut accepted = 0;
    for round in 0..20_000 {
        let row = &rows[usize::try_from(rng.below(rows.len() as u64)).unwrap()];
        let octets = mutate(&row.octets, &mut rng);
        accepted += u32::from(frame_datagram(octets.clone(), &Limits::default()).is_ok());
        if let Some(why) = compare(&octets) {
            differ.push(format!(
                "round {round} of {}: {why}\n{}",
                row.file,
                octets.escape_ascii()
            ));
        }
    }
    assert!(accepted > 2_000, "{accepted} of the mutations are messages");
    assert!(
        differ.is_empty(),
        "{} differ; first:\n{}",
        differ.len(),
        differ[..differ.len().min(4)].join("\n")
    );
}

fn mutate(octets: &Bytes, rng: &mut Rng) -> Bytes {
    const BITS: [&[u8]; 16] = [
        b"\r\n",
        b"\n",
        b" ",
        b":",
        b",",
        b"\"",
        b"<",
        b">",
        b";",
        b"\0",
        b"\r\n ",
        b"l: 1\r\n",
        b"Via: x\r\n",
        b"\xe9",
        b"%",
        b"\r\n\r\n",
    ];
    let mut out = octets.to_vec();
    for _ in 0..=rng.below(3) {
        let at = usize::try_from(rng.below(out.len() as u64 + 1)).unwrap();
        let bit = BITS[usize::try_from(rng.below(16)).unwrap()];
        match rng.below(4) {
            0 => {
                out.splice(at..at, bit.iter().copied());
            }
            1 if at < out.len() => {
                out.remove(at);
            }
            2 if at < out.len() => out[at] = u8::try_from(rng.below(256)).unwrap(),
            _ => out.truncate(at.max(out.len() / 2)),
        }
    }
    out.into()
}

#[test]
fn the_comparison_can_fail() {
    // A bare LF that only one side took would show: both refuse it.
    let octets = Bytes::from_static(b"OPTIONS sip:a SIP/2.0\r\nA: 1\nB: 2\r\nl: 0\r\n\r\n");
    assert!(matches!(theirs(&octets), Theirs::Refused(_)));
    let good = Bytes::from_static(b"OPTIONS sip:a SIP/2.0\r\nA: 1\r\nl: 0\r\n\r\n");
    assert!(matches!(theirs(&good), Theirs::Message { headers: 2, .. }));
    assert_eq!(HeaderId::of(b"l"), HeaderId::ContentLength);
}

/// What our proxy writes is read alike: as many fields, the same body.
#[test]
fn what_we_forward_they_read() {
    let marks = Marks::new([1; 32], 1);
    let target = Target {
        uri: "sip:phone@192.0.2.7;transport=udp".to_owned(),
        flow: Flow {
            transport: Transport::Udp,
            peer: "192.0.2.7:5060".parse().unwrap(),
            id: 0,
        },
        routes: vec!["<sip:edge.example;lr>".to_owned()],
        q: 1000,
        via: "SIP/2.0/UDP 192.0.2.1".to_owned(),
        record: vec!["<sip:192.0.2.1;lr>".to_owned()],
        lines: Vec::new(),
    };
    let mut seen = 0;
    for row in rows() {
        let Ok(Datagram::Message(came)) = frame_datagram(row.octets.clone(), &Limits::default())
        else {
            continue;
        };
        if !came.is_request() || verdict(&came).is_err() {
            continue;
        }
        let Theirs::Message { body, .. } = theirs(&row.octets) else {
            continue;
        };
        let onward = Onward {
            request: &came,
            plan: &Plan::of(&came, &marks, &|_| false),
            source: "192.0.2.9:5060".parse().unwrap(),
            realms: &[],
            strip: &[],
            breadth: Some(60),
        };
        let went = onward.to(&target, "z9hG4bKp1");
        assert_eq!(compare(&went), None, "{}", row.file);
        let Theirs::Message { body: after, .. } = theirs(&went) else {
            panic!("{}: they refuse what we forward", row.file);
        };
        assert_eq!(after, body, "{}", row.file);
        seen += 1;
    }
    assert!(seen >= 20, "{seen}");
}
