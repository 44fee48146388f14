//! The order of checks (`decisions.md` 7), challenges, and what is answered without credentials.

use crate::house::House;
use auth::digest::Style;

const GOOD: &str = "MESSAGE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK1;rport\r\n\
    Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\n\
    Call-ID: form\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n";

/// What a client says of itself: with it the answer may be as long as it likes.
const TALKATIVE: &str = "Max-Forwards: 70\r\nUser-Agent: a client that says a lot about itself, so \
    that an answer with all challenges is not half as long again as its own request; its maker and \
    version, its system and the day it was built\r\nAllow: MESSAGE, OPTIONS, NOTIFY, SUBSCRIBE\r\n\
    Accept: text/plain";

#[tokio::test]
async fn faults_are_answered_in_their_order() {
    let house = House::new().await;
    let mut ua = house.udp("alice").await;
    let cases: [(u16, &[(&str, &str)]); 9] = [
        (400, &[("Call-ID: form\r\n", "")]),
        (400, &[("CSeq: 1 MESSAGE", "CSeq: 1 PUBLISH")]),
        (
            505,
            &[
                ("SIP/2.0\r\nVia", "SIP/7.0\r\nVia"),
                ("Max-Forwards: 70", "Max-Forwards: 0"),
            ],
        ),
        (
            416,
            &[
                ("MESSAGE sip:bob@", "MESSAGE http:bob@"),
                ("Max-Forwards: 70", "Max-Forwards: 0"),
            ],
        ),
        (
            405,
            &[
                ("MESSAGE sip:bob@", "INVITE sip:"),
                ("1 MESSAGE", "1 INVITE"),
            ],
        ),
        (
            501,
            &[("MESSAGE sip:bob@", "DANCE sip:"), ("1 MESSAGE", "1 DANCE")],
        ),
        (
            483,
            &[("Max-Forwards: 70", "Max-Forwards: 0\r\nRequire: x")],
        ),
        (
            420,
            &[(
                "Max-Forwards: 70",
                "Max-Forwards: 70\r\nRequire: precondition",
            )],
        ),
        (407, &[("Max-Forwards: 70", TALKATIVE)]),
    ];
    for (at, (status, changes)) in cases.into_iter().enumerate() {
        let mut text = GOOD.replace("z9hG4bK1", &format!("z9hG4bK1{at}"));
        for (from, to) in changes {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        ua.send(&text).await;
        let answer = ua.receive().await;
        assert_eq!(answer.status(), status, "{text}");
        match status {
            405 | 501 => assert!(answer.header("Allow").contains("MESSAGE")),
            420 => assert_eq!(answer.header("Unsupported"), "precondition"),
            407 => {
                let asked = answer.all("Proxy-Authenticate");
                assert_eq!(asked.len(), 2, "each scheme in its own header");
                assert!(asked[0].contains("algorithm=MD5") && asked[0].ends_with("qop=\"auth\""));
            }
            _ => {}
        }
        let via = answer.header("Via");
        let port = ua.local.port();
        assert!(
            via.contains(&format!(";received=127.0.0.1;rport={port}")),
            "{via}"
        );
    }
}

#[tokio::test]
async fn options_to_the_server_needs_nobody() {
    let house = House::new().await;
    for uri in ["sip:example.com", "sip:127.0.0.1:5", "sip:localhost"] {
        let mut ua = house.udp("alice").await;
        let mut say = ua.say("OPTIONS", uri);
        say.headers = format!("{TALKATIVE}\r\n").replace("Max-Forwards: 70\r\n", "");
        let text = ua.write(&say, "");
        ua.send(&text).await;
        let answer = ua.receive().await;
        assert_eq!(answer.status(), 200, "{uri}");
        assert_eq!(
            answer.header("Allow-Events"),
            "presence, presence.winfo, dialog, xcap-diff"
        );
    }
    let mut ua = house.tcp("alice").await;
    // RFC 3261 11.2: as an INVITE would be answered.
    let say = ua.say("OPTIONS", "bob");
    assert_eq!(ua.ask(&say).await.status(), 480);
    let say = ua.say("OPTIONS", "nobody");
    assert_eq!(ua.ask(&say).await.status(), 404);
}

#[tokio::test]
async fn ack_and_cancel_are_never_challenged() {
    let house = House::new().await;
    let mut ua = house.udp("alice").await;
    let ack = GOOD.replace("MESSAGE", "ACK");
    ua.send(&ack).await;
    let cancel = GOOD.replace("MESSAGE", "CANCEL");
    ua.send(&cancel).await;
    let answer = ua.receive().await;
    assert_eq!(answer.status(), 481);
    assert!(answer.header("CSeq").ends_with("CANCEL"));
}

#[tokio::test]
async fn nobody_speaks_for_another() {
    let house = House::new().await;
    let mut bob = house.udp("bob").await;
    bob.register().await;
    for method in [
        "MESSAGE",
        "PUBLISH",
        "SUBSCRIBE",
        "REGISTER",
        "OPTIONS",
        "INVITE",
        "INFO",
        "REFER",
        "X-NEW",
    ] {
        for tcp in [false, true] {
            let mut ua = if tcp {
                house.tcp("alice").await
            } else {
                house.udp("alice").await
            };
            for from in [
                "<sip:carol@example.com>",
                "<sip:alice@elsewhere.org>",
                "<tel:+15>",
                "<sip:example.com>",
            ] {
                let mut say = ua.say(method, "bob");
                say.from = format!("{from};tag=x");
                say.headers = "Event: presence\r\nContact: <sip:x@127.0.0.1>\r\n".to_owned();
                let answer = ua.ask(&say).await;
                assert_eq!(answer.status(), 403, "{method} {from}");
            }
        }
    }
    let mut alice = house.udp("alice").await;
    let (_, told) = tokio::join!(alice.text("bob", "after"), bob.told("200 OK"));
    assert_eq!(told.body, "after", "nothing came before it");
}

#[tokio::test]
async fn libpurple_repeats_under_the_same_branch_and_cseq() {
    let house = House::new().await;
    let mut bob = house.udp("bob").await;
    bob.register().await;
    let mut alice = house.udp("alice").await.style(Style::Rfc2069);
    let mut say = alice.say("MESSAGE", "bob");
    say.headers = "Content-Type: text/plain\r\nUser-Agent: Purple/2.14\r\n".to_owned();
    say.body = "hi".to_owned();
    alice.cseq = 7;
    let first = alice.write_as(&say, "", "z9hG4bKsame");
    alice.send(&first).await;
    let challenge = alice.receive().await;
    assert_eq!(challenge.status(), 407);
    let credentials = alice.credentials(&challenge, &say);
    assert!(!credentials.contains("qop"));
    let second = alice.write_as(&say, &credentials, "z9hG4bKsame");
    alice.send(&second).await;
    assert_eq!(bob.told("200 OK").await.body, "hi");
    assert_eq!(alice.response().await.status(), 200);
}

#[tokio::test]
async fn every_style_and_wrong_passwords() {
    let house = House::new().await;
    for style in [Style::Modern, Style::Plain, Style::Rfc2069] {
        let mut ua = house.udp("alice").await.style(style);
        assert_eq!(ua.register().await.status(), 200, "{style:?}");
    }
    for name in ["alice", "nobody"] {
        let mut ua = house.udp("alice").await;
        ua.digest = auth::digest::Client::new(name, "wrong");
        assert_eq!(ua.register().await.status(), 401, "{name}");
    }
}

#[tokio::test]
async fn streams_ping_and_refuse_what_is_no_message() {
    let house = House::new().await;
    let mut ua = house.tcp("alice").await;
    ua.send("\r\n\r\n").await;
    assert_eq!(ua.register().await.status(), 200, "the pong is no message");
    let mut ua = house.tcp("alice").await;
    ua.send(&GOOD.replace("Content-Length: 0\r\n", "")).await;
    assert_eq!(ua.receive().await.status(), 400);
}
