//! Hostile and odd input, one row per case, with our verdict.

mod wire_support;

use bytes::Bytes;
use sip::edit::Edit;
use sip::header::Contacts;
use sip::raw::{HeaderId, Limits, RefusalKind, StreamEvent, StreamFramer};
use sip::verdict::{FaultReason, verdict};
use wire_support::parse;

const GOOD: &str = "MESSAGE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: x\r\nCSeq: 1 MESSAGE\r\nContent-Length: 5\r\n\r\nhello";

fn swap(from: &str, to: &str) -> Bytes {
    let text = GOOD.replacen(from, to, 1);
    assert_ne!(text, GOOD);
    Bytes::from(text)
}

fn kind(octets: Bytes) -> Option<RefusalKind> {
    parse(octets).err().map(|refusal| refusal.kind)
}

fn stream(octets: &[u8]) -> Vec<Result<usize, RefusalKind>> {
    let mut framer = StreamFramer::new(Limits::default());
    framer.push(octets);
    let mut out = Vec::new();
    while let Some(event) = framer.next() {
        match event {
            Ok(StreamEvent::Message(message)) => out.push(Ok(message.body().len())),
            Ok(_) => {}
            Err(refusal) => out.push(Err(refusal.kind)),
        }
    }
    out
}

#[test]
fn legal_and_odd_is_read() {
    for (from, to) in [
        ("To: <sip:bob", "To:\r\n <sip:bob"),
        ("Via:", "v:"),
        ("Content-Length:", "Content-Length \t :"),
        ("Content-Length: 5", "l: 5\r\nContent-Length: 5"),
        ("From: <sip:a@b>", "From: \"J \\\"R\\\"\" <sip:a@b>"),
        ("From: <sip:a@b>", "From: \"Jörg\" <sip:a@b>"),
        ("From: <sip:a@b>", "From: sip:a@b"),
        ("Via: ", "Via: SIP/2.0/TCP first;branch=z9hG4bK0, "),
        ("MESSAGE", "FOO"),
        (
            "Call-ID",
            "Contact: <sip:a@b>;+sip.instance=\"<urn:uuid:0>\", <sip:c@d>\r\nCall-ID",
        ),
    ] {
        let octets = if from == "MESSAGE" {
            Bytes::from(GOOD.replace(from, to))
        } else {
            swap(from, to)
        };
        let message = parse(octets.clone()).unwrap_or_else(|refusal| panic!("{to}: {refusal}"));
        assert_eq!(
            (verdict(&message), message.body()),
            (Ok(()), &b"hello"[..]),
            "{to}"
        );
        assert_eq!(message.as_bytes(), &octets[..]);
        assert_eq!(stream(&octets), [Ok(5)], "{to}");
    }
}

#[test]
fn octets_that_are_no_utf8_are_kept() {
    let octets = [&b"MESSAGE sip:b SIP/2.0\r\nSubject: caf\xe9\r\nFrom: \"Ren\xe9\" <sip:a@b>;tag=1\r\nl: 3\r\n\r\n"[..], b"\xff\x00\xe9"].concat();
    let message = parse(octets.clone()).unwrap();
    assert_eq!(
        (message.as_bytes(), message.body()),
        (&octets[..], &b"\xff\x00\xe9"[..])
    );
    assert_eq!(message.from().unwrap().tag(), Some("1"));
    assert_eq!(&Edit::new(&message).write()[..], &octets[..]);
}

#[test]
fn what_cannot_be_framed_is_refused() {
    let table = [
        (
            "Content-Length: 5",
            "Content-Length: 6",
            RefusalKind::ShortBody,
        ),
        (
            "Content-Length: 5",
            "Content-Length: 18446744073709551615",
            RefusalKind::BodyTooLarge,
        ),
        (
            "Content-Length: 5",
            "Content-Length: 99999999999999999999999",
            RefusalKind::BodyTooLarge,
        ),
        (
            "Content-Length: 5",
            "Content-Length: 5\r\nl: 4",
            RefusalKind::ContentLengthConflict,
        ),
        (
            "Content-Length: 5",
            "Content-Length: +5",
            RefusalKind::ContentLength,
        ),
        (
            "Content-Length: 5",
            "Content-Length: 5, 5",
            RefusalKind::ContentLength,
        ),
        (
            "Content-Length: 5",
            "Content-Length:",
            RefusalKind::ContentLength,
        ),
        ("Call-ID: x", "Call-ID x", RefusalKind::NoColon),
        ("Call-ID: x", "Call ID: x", RefusalKind::HeaderName),
        ("Call-ID: x", "Call-ID\r\n : x", RefusalKind::HeaderName),
        ("Call-ID: x", "Call-ID: x\nTo: y", RefusalKind::BareLf),
        ("Call-ID: x", "Call-ID: x\rTo: y", RefusalKind::BareCr),
        ("Call-ID: x", "Call-ID: x\n", RefusalKind::BareLf),
        (" SIP/2.0\r\n", "\r\n", RefusalKind::StartLine),
        (" SIP/2.0\r\n", " SIP/2\r\n", RefusalKind::StartLine),
        ("MESSAGE sip", "MESS\u{e9}GE sip", RefusalKind::StartLine),
        ("MESSAGE sip", " MESSAGE sip", RefusalKind::StartLine),
        (
            "SIP/2.0\r\n",
            "SIP/2.0\r\n folded: 1\r\n",
            RefusalKind::StartLine,
        ),
    ];
    for (from, to, expected) in table {
        assert_eq!(kind(swap(from, to)), Some(expected), "{to}");
        let got = stream(&swap(from, to));
        // A stream waits for the rest of a body.
        let expected = if expected == RefusalKind::ShortBody {
            vec![]
        } else {
            vec![Err(expected)]
        };
        assert_eq!(got, expected, "stream: {to}");
    }
}

#[test]
fn a_stream_is_not_smuggled_through() {
    let hidden = "MESSAGE sip:victim SIP/2.0\r\nl: 0\r\n\r\n";
    let long = GOOD.replacen("hello", hidden, 1);
    let spaced = long.replacen(
        "Content-Length: 5",
        &format!("Content-Length : {}", hidden.len()),
        1,
    );
    assert_eq!(stream(spaced.as_bytes()), [Ok(hidden.len())]);
    let folded = long.replacen(
        "Content-Length: 5",
        &format!("Content-Length:\r\n {}", hidden.len()),
        1,
    );
    assert_eq!(stream(folded.as_bytes()), [Ok(hidden.len())]);
    let missing = long.replacen("Content-Length: 5\r\n", "", 1);
    assert_eq!(
        stream(missing.as_bytes()),
        [Err(RefusalKind::NoContentLength)]
    );
    let twice = long.replacen(
        "Content-Length: 5",
        &format!("l: 0\r\nl: {}", hidden.len()),
        1,
    );
    assert_eq!(
        stream(twice.as_bytes()),
        [Err(RefusalKind::ContentLengthConflict)]
    );
}

#[test]
fn what_is_malformed_is_400_and_names_its_header() {
    let table = [
        ("CSeq: 1 MESSAGE", "CSeq: -1 MESSAGE", HeaderId::CSeq),
        (
            "CSeq: 1 MESSAGE",
            "CSeq: 4294967296 MESSAGE",
            HeaderId::CSeq,
        ),
        ("CSeq: 1 MESSAGE", "CSeq: 1 PUBLISH", HeaderId::CSeq),
        ("CSeq: 1 MESSAGE\r\n", "", HeaderId::CSeq),
        ("From: <sip:a@b>;tag=1\r\n", "", HeaderId::From),
        (
            "From: <sip:a@b>;tag=1\r\n",
            "From: <sip:a@b>;tag=1\r\nf: <sip:c@d>;tag=1\r\n",
            HeaderId::From,
        ),
        ("To: <sip:bob@example.com>\r\n", "", HeaderId::To),
        ("To: <sip:bob@example.com>\r\n", "To:\r\n", HeaderId::To),
        ("Call-ID: x\r\n", "", HeaderId::CallId),
        ("Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\n", "", HeaderId::Via),
        (
            "Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\n",
            "Via:\r\n",
            HeaderId::Via,
        ),
        (
            "Max-Forwards: 70",
            "Max-Forwards: -1",
            HeaderId::MaxForwards,
        ),
        (
            "Max-Forwards: 70",
            "Max-Forwards: 70\r\nMax-Forwards: 70",
            HeaderId::MaxForwards,
        ),
        (
            "Call-ID: x",
            "Call-ID: x\r\nContact: <sip:a",
            HeaderId::Contact,
        ),
        ("Call-ID: x", "Call-ID: x\r\nRoute: junk", HeaderId::Route),
        (
            "Call-ID: x",
            "Call-ID: x\r\nContent-Type: text",
            HeaderId::ContentType,
        ),
    ];
    for (from, to, header) in table {
        let message = parse(swap(from, to)).unwrap_or_else(|refusal| panic!("{to}: {refusal}"));
        let fault = verdict(&message).unwrap_err();
        assert_eq!((fault.status, fault.header), (400, Some(header)), "{to}");
        assert!(matches!(fault.reason, FaultReason::Header(_)));
    }
}

#[test]
fn size_costs_nothing_and_is_refused() {
    let head = |lines: &str| Bytes::from(GOOD.replacen("Call-ID", &format!("{lines}Call-ID"), 1));
    assert_eq!(
        kind(head(&format!("X: {}\r\n", "x".repeat(64 * 1024)))),
        Some(RefusalKind::HeadTooLarge)
    );
    assert_eq!(
        kind(head(&"X: 1\r\n".repeat(10_000))),
        Some(RefusalKind::TooManyHeaders)
    );
    assert_eq!(
        kind(head(&format!(
            "Via: {}\r\n",
            "SIP/2.0/UDP h,".repeat(10_000)
        ))),
        Some(RefusalKind::HeadTooLarge)
    );
    assert_eq!(
        stream("x".repeat(40_000).as_bytes()),
        [Err(RefusalKind::HeadTooLarge)]
    );
    // What the limits let through is counted in linear time.
    let message = parse(head(&format!(
        "Contact: {}<sip:a@b>\r\n",
        "<sip:a@b>,".repeat(2_500)
    )))
    .unwrap();
    assert!(matches!(message.contacts(), Ok(Contacts::List(list)) if list.len() == 2_501));
}

#[test]
fn a_slow_head_is_scanned_once() {
    // 30 KiB in single octets: a rescan from the start would look at 470 million octets.
    let mut framer = StreamFramer::new(Limits::default());
    let octets = format!(
        "MESSAGE sip:a SIP/2.0\r\nX: {}\r\nl: 0\r\n\r\n",
        "x".repeat(30_000)
    );
    let mut messages = 0;
    for octet in octets.as_bytes() {
        framer.push(&[*octet]);
        while let Some(event) = framer.next() {
            assert!(matches!(event, Ok(StreamEvent::Message(_))));
            messages += 1;
        }
    }
    assert_eq!((messages, framer.pending()), (1, 0));
}

#[test]
fn a_second_fault_ends_the_reading() {
    for octets in [
        &b"junk\r\nA: 1\nB: 2\r\n\r\n"[..],
        b"junk\r\nA: 1\rB: 2\r\n\r\n",
        b"x\r\nno colon\r\n\n",
    ] {
        assert_eq!(
            kind(Bytes::from_static(octets)),
            Some(RefusalKind::StartLine)
        );
    }
}
