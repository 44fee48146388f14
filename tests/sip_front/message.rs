//! MESSAGE (RFC 3428): between SIP clients, and to and from elsewhere.

use crate::house::{House, Ua, address, person};
use bytes::Bytes;
use std::time::Duration;
use tristack::core::access::Scheme;
use tristack::core::command::{Caller, Command, Fate, Reply, Route, Submit, Whence};
use tristack::core::error::Error;
use tristack::core::id::{ConversationId, MessageId, Stack};
use tristack::core::message::{Ack, Content, Message, Original, Text};
use tristack::core::time::Time;

#[tokio::test]
async fn sip_to_sip_is_forwarded_untouched() {
    let house = House::new().await;
    let mut bob = house.tcp("bob").await;
    bob.register().await;
    let mut alice = house.udp("alice").await;
    let mut say = alice.say("MESSAGE", "bob");
    say.from = "\"Al, Ice\" <sip:alice@example.com;x=y>;tag=77".to_owned();
    say.headers = "Content-Type: text/html;charset=utf-8\r\nX-Own: kept\r\n\
                   P-Preferred-Identity: <sip:alice@example.com>\r\nRoute: <sip:127.0.0.1;lr>\r\n"
        .to_owned();
    say.body = "<b>\u{1f600} &amp;</b>\r\n".to_owned();
    let (answer, told) = tokio::join!(alice.ask(&say), bob.told("200 OK"));
    assert_eq!(answer.status(), 200);
    assert_eq!(told.line, format!("MESSAGE {} SIP/2.0", bob.contact()));
    assert_eq!(told.header("From"), say.from);
    assert_eq!(told.header("Call-ID"), say.call_id);
    assert_eq!(told.header("X-Own"), "kept");
    assert_eq!(told.header("Content-Type"), "text/html;charset=utf-8");
    assert_eq!(told.header("Max-Forwards"), "69");
    assert_eq!(told.body, say.body);
    assert_eq!(told.all("Via").len(), 2, "ours before the sender's");
    assert!(told.all("Proxy-Authorization").is_empty() && told.all("Route").is_empty());
}

#[tokio::test]
async fn every_point_gets_it_and_the_best_answer_counts() {
    let house = House::new().await;
    let (mut one, mut two) = (house.udp("bob").await, house.tcp("bob").await);
    one.register().await;
    two.register().await;
    let mut alice = house.udp("alice").await;
    let (answer, _, _) = tokio::join!(
        alice.text("bob", "both"),
        one.told("486 Busy Here"),
        two.told("200 OK")
    );
    assert_eq!(answer.status(), 200);
    for (status, expected) in [
        ("486 Busy Here", 480),
        ("415 Unsupported Media Type", 415),
        ("404 Not Found", 404),
        ("403 Forbidden", 403),
        ("503 Service Unavailable", 503),
    ] {
        let (answer, _, _) = tokio::join!(
            alice.text("bob", "none"),
            one.told(status),
            two.told(status)
        );
        assert_eq!(answer.status(), expected, "{status}");
    }
}

#[tokio::test]
async fn who_is_not_there_has_one_status_each() {
    let house = House::new().await;
    let mut alice = house.udp("alice").await;
    for (to, status) in [
        ("bob", 480),
        ("nobody", 404),
        ("sip:x@elsewhere.org", 404),
        ("sip:example.com", 404),
    ] {
        assert_eq!(alice.text(to, "?").await.status(), status, "{to}");
    }
}

#[tokio::test]
async fn a_repeat_is_absorbed_and_delivered_once() {
    let house = House::new().await;
    let mut bob = house.udp("bob").await;
    bob.register().await;
    let mut alice = house.udp("alice").await;
    let mut say = alice.say("MESSAGE", "bob");
    say.headers = "Content-Type: text/plain\r\n".to_owned();
    say.body = "once".to_owned();
    let first = alice.write(&say, "");
    alice.send(&first).await;
    let challenge = alice.receive().await;
    let credentials = alice.credentials(&challenge, &say);
    let text = alice.write(&say, &credentials);
    alice.send(&text).await;
    alice.send(&text).await;
    assert_eq!(bob.told("200 OK").await.body, "once");
    assert_eq!(alice.response().await.status(), 200);
    alice.send(&text).await;
    assert_eq!(
        alice.response().await.status(),
        200,
        "the same answer again"
    );
    let (_, told) = tokio::join!(alice.text("bob", "next"), bob.told("200 OK"));
    assert_eq!(told.body, "next");
}

fn elsewhere() -> Caller {
    Caller {
        address: address("alice"),
        person: Some(person("alice")),
        scheme: Scheme::Digest,
        route: Route::Point(Stack::named("rvp")),
    }
}

pub fn submit(content: Content) -> Command {
    Command::Submit(Submit {
        message: Message {
            id: MessageId(0),
            at: Time(0),
            from: address("alice"),
            from_person: Some(person("alice")),
            from_name: "Al \"Ice\"".into(),
            to: address("bob"),
            conversation: ConversationId(0),
            content,
            original: Original {
                stack: Stack::named("rvp"),
                bytes: Bytes::from_static(b"x"),
                key: None,
                decoded: tristack::core::message::Decoded::Characters,
            },
            ack: Ack::Any,
            hops: 1,
            wants: None,
            chat: None,
        },
        conversation: None,
        to: person("bob"),
        whence: Whence::Unknown,
    })
}

pub fn text(body: &str) -> Content {
    Content::Text(Text {
        body: body.into(),
        media: "text/plain".into(),
        format: None,
    })
}

async fn born_elsewhere(house: &House, bob: &mut Ua, content: Content) -> crate::house::Sip {
    let caller = elsewhere();
    let (answer, told) = tokio::join!(
        house.hub.call(person("alice"), &caller, submit(content)),
        bob.told("200 OK")
    );
    let Ok(Reply::Sent(sent)) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(sent.fate, Fate::Delivered);
    told
}

#[tokio::test]
async fn what_was_born_elsewhere_is_written_here() {
    let house = House::new().await;
    let mut bob = house.tcp("bob").await;
    bob.register().await;
    let body = "<&> \u{1f600}\r\nline";
    let told = born_elsewhere(&house, &mut bob, text(body)).await;
    assert_eq!(told.body, body);
    assert_eq!(told.header("Content-Type"), "text/plain;charset=UTF-8");
    let from = told.header("From");
    assert!(
        from.starts_with("\"Al \\\"Ice\\\"\" <sip:alice@example.com>;tag="),
        "{from}"
    );
    let typing = Content::Typing {
        active: true,
        valid: Duration::from_secs(6),
    };
    let told = born_elsewhere(&house, &mut bob, typing).await;
    assert_eq!(
        told.header("Content-Type"),
        "application/im-iscomposing+xml"
    );
    assert!(told.body.contains("<state>active</state>"));
    let opaque = Content::Opaque { what: "x".into() };
    let answer = house
        .hub
        .call(person("alice"), &elsewhere(), submit(opaque))
        .await;
    assert_eq!(answer.err(), Some(Error::Unsupported));
}

#[tokio::test]
async fn large_texts_go_over_udp_up_to_the_bound() {
    let house = House::new().await;
    let mut bob = house.udp("bob").await;
    bob.register().await;
    let mut alice = house.tcp("alice").await;
    let body = "x".repeat(8 * 1024);
    let (answer, told) = tokio::join!(alice.text("bob", &body), bob.told("200 OK"));
    assert_eq!((answer.status(), told.body.len()), (200, body.len()));
    let answer = alice.text("bob", &"x".repeat(20 * 1024)).await;
    assert_eq!(answer.status(), 413);
    let answer = alice.text("bob", &"x".repeat(70 * 1024)).await;
    assert_eq!(answer.status(), 413, "over the limit of all messages");
}

#[tokio::test]
async fn issue_5_4_a_kept_text_says_when_it_was_sent() {
    let keep = |rules: &mut tristack::core::effect::Rules| {
        rules.away = ["example.com".to_owned()].into();
    };
    let house = House::built("", keep, |_| {}).await;
    let mut alice = house.udp("alice").await;
    assert_eq!(alice.text("bob", "by SIP").await.status(), 202);
    let mut dated = alice.say("MESSAGE", "bob");
    dated.headers =
        "Content-Type: text/plain\r\nDate: Sat, 13 Nov 2010 23:29:00 GMT\r\n".to_owned();
    dated.body = "dated".to_owned();
    assert_eq!(alice.ask(&dated).await.status(), 202);
    let kept = house
        .hub
        .call(person("alice"), &elsewhere(), submit(text("by another")))
        .await;
    assert!(matches!(kept, Ok(Reply::Sent(sent)) if sent.fate == Fate::Kept));
    let mut bob = house.tcp("bob").await;
    bob.register().await;
    for (body, date) in [
        ("by SIP", None),
        ("dated", Some("Sat, 13 Nov 2010 23:29:00 GMT")),
        ("by another", None),
    ] {
        let told = bob.told("200 OK").await;
        assert_eq!(told.body, body);
        let said = told.header("Date");
        assert!(said.ends_with(" GMT"), "RFC 3261 20.17: {said}");
        assert_eq!(date.unwrap_or(said), said, "the sender's own stays");
    }
    let (_, told) = tokio::join!(alice.text("bob", "at once"), bob.told("200 OK"));
    assert!(told.all("Date").is_empty(), "what is not late needs none");
}
