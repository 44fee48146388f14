//! SIP over WebSockets (RFC 7118), frame by frame.

use crate::house::{ALL, House, PATIENCE, Wire};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

const OPTIONS: &str = "OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/WS x.invalid;branch=z9hG4bKo\r\n\
    Max-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag=1\r\nTo: <sip:example.com>\r\n\
    Call-ID: o\r\nCSeq: 1 OPTIONS\r\n";

async fn next(wire: &mut Wire) -> Message {
    let Wire::Ws(socket) = wire else {
        unreachable!()
    };
    let read = tokio::time::timeout(PATIENCE, socket.next()).await;
    read.expect("in time").expect("it goes on").unwrap()
}

async fn send(wire: &mut Wire, message: Message) {
    let Wire::Ws(socket) = wire else {
        unreachable!()
    };
    socket.send(message).await.unwrap();
}

/// RFC 7118 5: one message per WebSocket message, text or binary, with or without Content-Length.
#[tokio::test]
async fn a_message_is_a_frame_of_either_kind() {
    let house = House::with(ALL).await;
    let mut wire = house.ws("bob").await.wire;
    for message in [
        Message::text(format!("{OPTIONS}\r\n")),
        Message::binary(format!("{OPTIONS}\r\n").replace("z9hG4bKo", "z9hG4bKp")),
        Message::text(format!("{OPTIONS}l: 0\r\n\r\n").replace("z9hG4bKo", "z9hG4bKq")),
    ] {
        send(&mut wire, message).await;
        let Message::Text(answer) = next(&mut wire).await else {
            panic!("text")
        };
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    }
    // Two in one are refused, and the connection goes on.
    let two = format!("{OPTIONS}l: 0\r\n\r\n{OPTIONS}l: 0\r\n\r\n").replace("z9hG4bKo", "z9hG4bKr");
    send(&mut wire, Message::text(two)).await;
    let Message::Text(answer) = next(&mut wire).await else {
        panic!("text")
    };
    assert!(answer.starts_with("SIP/2.0 400 "), "{answer}");
    let last = format!("{OPTIONS}\r\n").replace("z9hG4bKo", "z9hG4bKs");
    send(&mut wire, Message::text(last)).await;
    let Message::Text(answer) = next(&mut wire).await else {
        panic!("text")
    };
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
}

/// RFC 7118 6: both kinds of keep-alive.
#[tokio::test]
async fn pings_of_both_kinds_are_answered() {
    let house = House::with(ALL).await;
    let mut wire = house.ws("bob").await.wire;
    send(&mut wire, Message::Ping("are you there".into())).await;
    assert_eq!(next(&mut wire).await, Message::Pong("are you there".into()));
    send(&mut wire, Message::text("\r\n\r\n")).await;
    assert_eq!(next(&mut wire).await, Message::text("\r\n"));
}

/// Limits hold before anything is allocated, and the close code says why (RFC 6455 7.4.1).
#[tokio::test]
async fn what_is_too_large_or_no_text_is_closed_with_its_code() {
    let house = House::with(ALL).await;
    let large = vec![b'x'; 200 * 1024];
    // A frame that announces a gigabyte: never waited for.
    let gigabyte = [0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4];
    for (octets, code) in [
        (None, CloseCode::Size),
        (Some(&gigabyte[..]), CloseCode::Size),
        // A masked text frame of one octet that is no UTF-8.
        (
            Some(&[0x81, 0x81, 0, 0, 0, 0, 0xff][..]),
            CloseCode::Invalid,
        ),
        // Not masked (RFC 6455 5.1).
        (Some(&[0x81, 0x01, b'x'][..]), CloseCode::Protocol),
    ] {
        let mut wire = house.ws("bob").await.wire;
        let Wire::Ws(socket) = &mut wire else {
            unreachable!()
        };
        match octets {
            None => {
                // It may be closed before all of it is written.
                let _ = socket.send(Message::binary(large.clone())).await;
            }
            Some(octets) => {
                socket.get_mut().write_all(octets).await.unwrap();
                socket.get_mut().flush().await.unwrap();
            }
        }
        let Message::Close(Some(frame)) = next(&mut wire).await else {
            panic!("closed")
        };
        assert_eq!(frame.code, code);
    }
    // The other side's own close is confirmed.
    let mut wire = house.ws("bob").await.wire;
    send(&mut wire, Message::Close(None)).await;
    assert!(matches!(next(&mut wire).await, Message::Close(_)));
}

async fn asked(house: &House, head: &str) -> String {
    let mut stream = TcpStream::connect(house.front.ws[0]).await.unwrap();
    let text = format!("{head}\r\nHost: example.com\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1024];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await;
    answer.truncate(read.expect("an answer").unwrap());
    String::from_utf8(answer).unwrap()
}

/// RFC 6455 4.2, RFC 7118 4: who may open one, and how.
#[tokio::test]
async fn handshakes_are_judged_one_by_one() {
    let text = format!("{ALL}ws_origins = [\"https://chat.example.com\"]\n");
    let house = House::with(&text).await;
    let good = "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: msrp, sip";
    let answer = asked(&house, good).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    // The key and answer of RFC 6455 1.3.
    assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
    let origin = |origin: &str| format!("{good}\r\nOrigin: {origin}");
    for (head, status) in [
        (origin("https://chat.example.com"), "101"),
        (origin("https://evil.example"), "403"),
        (origin("null"), "403"),
        (good.replace("msrp, sip", "msrp"), "400"),
        (good.replace("Version: 13", "Version: 8"), "426"),
        (good.replace("Upgrade: websocket\r\n", ""), "426"),
        (good.replace("bXBsZSBub25jZQ==", ""), "400"),
        (good.replace("GET", "PUT"), "405"),
        (good.replace("/ws", "/ws/other"), "404"),
        (good.replace("/ws", "/elsewhere"), "404"),
    ] {
        let answer = asked(&house, &head).await;
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{head}\n{answer}");
        if status == "426" {
            assert!(answer.to_lowercase().contains("sec-websocket-version: 13"));
        }
    }
}
