use super::*;
use bytes::Bytes;

const MESSAGE: &[u8] = b"MESSAGE sip:bob@example.com SIP/2.0\r\nv: SIP/2.0/TCP a;branch=z9hG4bK1, SIP/2.0/UDP b\r\nf : <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\nCall-ID: x\r\nCSeq: 1\r\n MESSAGE\r\nl: 5\r\n\r\nhello";

fn datagram(octets: &[u8]) -> Result<Datagram, Refusal> {
    frame_datagram(Bytes::copy_from_slice(octets), &Limits::default())
}

fn message(octets: &[u8]) -> RawMessage {
    match datagram(octets) {
        Ok(Datagram::Message(message)) => message,
        other => panic!("{other:?}"),
    }
}

fn events(chunks: &[&[u8]]) -> Vec<Result<StreamEvent, RefusalKind>> {
    let mut framer = StreamFramer::new(Limits::default());
    let mut out = Vec::new();
    for chunk in chunks {
        framer.push(chunk);
        while let Some(event) = framer.next() {
            out.push(event.map_err(|refusal| refusal.kind));
        }
    }
    out
}

#[test]
fn reads_compact_folded_and_spaced_headers() {
    let message = message(MESSAGE);
    assert_eq!(message.method(), Some(&Method::Message));
    assert_eq!(message.uri(), Some(&b"sip:bob@example.com"[..]));
    assert_eq!(message.values(HeaderId::Via).count(), 2);
    assert_eq!(
        message.text(HeaderId::From),
        Some("<sip:a@example.com>;tag=1")
    );
    assert_eq!(message.text(HeaderId::CSeq), Some("1\r\n MESSAGE"));
    assert_eq!(message.body(), b"hello");
    assert_eq!(message.as_bytes(), MESSAGE);
    assert_eq!(&message.head()[message.head().len() - 4..], b"\r\n\r\n");
}

#[test]
fn cuts_pipelined_messages_the_same_at_every_octet() {
    let mut stream = b"\r\n\r\n".to_vec();
    stream.extend_from_slice(MESSAGE);
    stream.extend_from_slice(b"\r\n");
    stream.extend_from_slice(MESSAGE);
    let whole = events(&[&stream]);
    assert_eq!(whole.len(), 4);
    assert_eq!(whole[0], Ok(StreamEvent::Ping));
    assert_eq!(whole[2], Ok(StreamEvent::Crlf));
    assert_eq!(whole[3], Ok(StreamEvent::Message(message(MESSAGE))));
    for cut in 0..=stream.len() {
        assert_eq!(
            events(&[&stream[..cut], &stream[cut..]]),
            whole,
            "cut at {cut}"
        );
    }
    let octets: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(events(&octets), whole);
}

#[test]
fn keep_alives() {
    for octets in [&b""[..], b"\0", b"\r\n\r\n", b"\0\0"] {
        assert_eq!(datagram(octets).unwrap(), Datagram::KeepAlive);
    }
    let mut framer = StreamFramer::new(Limits::default());
    framer.push(b"\r\n");
    assert!(framer.next().is_none());
    assert!(framer.crlf_pending());
}

#[test]
fn a_refusal_can_be_answered_when_the_head_allows_it() {
    let text = std::str::from_utf8(MESSAGE).unwrap();
    let broken = text.replace("l: 5\r\n", "junk\r\nl: 5\r\n");
    let refusal = datagram(broken.as_bytes()).unwrap_err();
    assert_eq!(
        (refusal.kind, refusal.status()),
        (RefusalKind::NoColon, 400)
    );
    assert_eq!(
        refusal.answerable().and_then(|m| m.text(HeaderId::CallId)),
        Some("x")
    );
    let ack = broken.replace("MESSAGE", "ACK");
    assert!(datagram(ack.as_bytes()).unwrap_err().answerable().is_none());
    assert!(
        datagram(b"GET / HTTP/1.1\r\n\r\n")
            .unwrap_err()
            .answerable()
            .is_none()
    );
}

#[test]
fn limits_hold() {
    let limits = Limits {
        head: 200,
        headers: 8,
        body: 4,
    };
    let get =
        |octets: &[u8]| frame_datagram(Bytes::copy_from_slice(octets), &limits).map_err(|e| e.kind);
    assert_eq!(get(MESSAGE), Err(RefusalKind::BodyTooLarge));
    let long = [
        b"OPTIONS sip:a SIP/2.0\r\nX: ".as_slice(),
        &[b'x'; 300],
        b"\r\n\r\n",
    ]
    .concat();
    assert_eq!(get(&long), Err(RefusalKind::HeadTooLarge));
    let many = [
        b"OPTIONS sip:a SIP/2.0\r\n".as_slice(),
        &b"X:1\r\n".repeat(9),
        b"\r\n",
    ]
    .concat();
    assert_eq!(get(&many), Err(RefusalKind::TooManyHeaders));
    let mut framer = StreamFramer::new(limits);
    framer.push(&long[..200]);
    assert_eq!(
        framer.next().unwrap().unwrap_err().kind,
        RefusalKind::HeadTooLarge
    );
    framer.push(&long);
    assert!(framer.next().is_none());
    assert_eq!(framer.pending(), 0);
}

/// RFC 7118 5: a WebSocket message is one SIP message, with or without Content-Length.
#[test]
fn websocket_messages_hold_one_message_each() {
    let limits = Limits::default();
    let frame = |text: &str| frame_websocket(&Bytes::copy_from_slice(text.as_bytes()), &limits);
    let head = "OPTIONS sip:a@b SIP/2.0\r\nCall-ID: 1\r\n";
    let whole = format!("{head}\r\nbody");
    let Ok(StreamEvent::Message(message)) = frame(&whole) else {
        panic!("a message")
    };
    assert_eq!(message.body(), b"body");
    let counted = format!("\r\n{head}l: 4\r\n\r\nbody");
    assert!(matches!(frame(&counted), Ok(StreamEvent::Message(_))));
    for two in [format!("{counted}{whole}"), format!("{counted}x")] {
        let refusal = frame(&two).expect_err("octets behind it");
        assert_eq!(
            (refusal.kind, refusal.status()),
            (RefusalKind::Surplus, 400)
        );
        assert!(refusal.salvage.is_some(), "it can be answered");
    }
    assert!(matches!(frame("\r\n\r\n"), Ok(StreamEvent::Ping)));
    assert!(matches!(frame("\r\n"), Ok(StreamEvent::Crlf)));
    assert!(matches!(frame(""), Ok(StreamEvent::Crlf)));
    let short = frame(&format!("{head}l: 9\r\n\r\nbody")).expect_err("too short");
    assert_eq!(short.kind, RefusalKind::ShortBody);
}
