//! Wrapped messages (RFC 3862) and receipts (RFC 5438) towards people on another stack.

use crate::house::{House, PATIENCE, Ua, address, person};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tristack::core::access::Scheme;
use tristack::core::command::{
    Caller, Command, Outcome, PointChange, PointSpec, Reach, Refusal, Register, Route, Tether,
};
use tristack::core::effect::Rules;
use tristack::core::event::{Event, Outbound};
use tristack::core::id::Stack;
use tristack::core::message::{Content, Fidelity, Message};
use tristack::hub::{FidelityColumn, Hub, ReplyTo};

const LETTERS: Stack = Stack::named("letters");

/// A front of another protocol: it shows texts and knows no receipts.
struct Letters {
    hub: Hub,
    outcome: Option<Outcome>,
    seen: Mutex<Vec<Arc<Message>>>,
}

impl Outbound for Letters {
    fn take(&self, event: Event) {
        let Event::Deliver {
            person,
            point,
            message,
            ..
        } = event
        else {
            return;
        };
        self.seen.lock().unwrap().push(Arc::clone(&message));
        if let Some(outcome) = self.outcome {
            let command = Command::Outcome {
                message: message.id,
                point: point.id,
                outcome,
            };
            let caller = caller("bob", Route::Internal);
            self.hub.send(person, caller, command, ReplyTo::Nobody);
        }
    }
}

fn caller(name: &str, route: Route) -> Caller {
    Caller {
        address: address(name),
        person: Some(person(name)),
        scheme: Scheme::Digest,
        route,
    }
}

/// A house where Bob is signed in by letters alone.
async fn bob_by_letters(
    outcome: Option<Outcome>,
    change: impl FnOnce(&mut Rules),
) -> (House, Arc<Letters>) {
    let column = FidelityColumn {
        text: Fidelity::Adapted,
        typing: Fidelity::Adapted,
        typing_beat: None,
        join: Fidelity::Exact,
        leave: Fidelity::Exact,
        invitation: Fidelity::Refused,
        receipt: Fidelity::Dropped,
        opaque: Fidelity::Refused,
        own_texts: Fidelity::Dropped,
        own_state: Fidelity::Dropped,
        shows_waiting: true,
    };
    let mut letters = None;
    let house = House::built("", change, |hub| {
        let front = Arc::new(Letters {
            hub: hub.clone(),
            outcome,
            seen: Mutex::default(),
        });
        hub.attach(LETTERS, Arc::clone(&front) as Arc<_>, column);
        letters = Some(front);
    })
    .await;
    let spec = PointSpec {
        key: None,
        inbox: "box".into(),
        lease: Duration::from_mins(10),
        tether: Tether::Address,
        reach: Reach::Full,
        implies: None,
        preference: 0,
        source: None,
        client: "".into(),
        machine: None,
        family: None,
        handle: Arc::from([]),
    };
    let command = Command::Register(Register {
        stack: LETTERS,
        lineage: None,
        changes: vec![PointChange::Put(Box::new(spec))],
    });
    let caller = caller("bob", Route::Point(LETTERS));
    house
        .hub
        .call(person("bob"), &caller, command)
        .await
        .unwrap();
    (house, letters.unwrap())
}

fn wrapped(asked: &str, kind: &str, body: &str) -> String {
    format!(
        "From: <im:alice@example.com>\r\nTo: <im:bob@example.com>\r\n\
         NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: m-1\r\n\
         imdn.Disposition-Notification: {asked}\r\n\r\nContent-Type: {kind}\r\n\r\n{body}"
    )
}

async fn say_wrapped(alice: &mut Ua, asked: &str) -> crate::house::Sip {
    let mut say = alice.say("MESSAGE", "bob");
    "Content-Type: message/cpim\r\n".clone_into(&mut say.headers);
    say.body = wrapped(asked, "text/plain;charset=utf-8", "gr\u{fc}\u{df}e");
    alice.ask(&say).await
}

fn only_text(letters: &Letters) -> String {
    let seen = letters.seen.lock().unwrap();
    assert_eq!(seen.len(), 1);
    match &seen[0].content {
        Content::Text(text) => text.body.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn rfc_5438_delivery_elsewhere_is_told_to_whoever_asked() {
    let (house, letters) = bob_by_letters(Some(Outcome::Delivered), |_| {}).await;
    let mut alice = house.tcp("alice").await;
    alice.register().await;
    let answer = say_wrapped(&mut alice, "positive-delivery").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(only_text(&letters), "gr\u{fc}\u{df}e");
    let told = alice.told("200 OK").await;
    assert_eq!(told.header("Content-Type"), "message/cpim");
    assert!(told.header("From").contains("<sip:bob@example.com>"));
    assert!(told.body.contains("Content-Disposition: notification\r\n"));
    assert!(told.body.contains("<message-id>m-1</message-id>"));
    assert!(
        told.body
            .contains("<recipient-uri>sip:bob@example.com</recipient-uri>")
    );
    assert!(told.body.contains("<delivered/>"));
    // Her client's receipt about something of Bob's is taken and goes nowhere.
    let mut say = alice.say("MESSAGE", "bob");
    "Content-Type: message/cpim\r\n".clone_into(&mut say.headers);
    say.body = wrapped("display", "message/imdn+xml", "<imdn/>");
    assert_eq!(alice.ask(&say).await.status(), 200);
    assert_eq!(letters.seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn rfc_5438_nobody_is_told_who_did_not_ask_or_was_told_by_the_answer() {
    let refused = Outcome::Refused(Refusal::Unavailable);
    let (house, letters) = bob_by_letters(Some(refused), |_| {}).await;
    let mut alice = house.tcp("alice").await;
    alice.register().await;
    // A failure that the answer tells is not told again.
    let answer = say_wrapped(&mut alice, "positive-delivery, negative-delivery").await;
    assert_eq!(answer.status(), 480);
    only_text(&letters);
    let answer = alice.text("carol", "?").await;
    assert_eq!(answer.status(), 480, "and nothing came before it");
}

#[tokio::test]
async fn rfc_5438_a_kept_text_is_stored_and_its_failure_told() {
    let (house, letters) = bob_by_letters(None, |rules| {
        rules.answer = Duration::from_millis(100);
        rules.keep = Duration::from_millis(300);
    })
    .await;
    let mut alice = house.tcp("alice").await;
    alice.register().await;
    let answer = say_wrapped(&mut alice, "processing, negative-delivery").await;
    assert_eq!(answer.status(), 202);
    only_text(&letters);
    let stored = alice.told("200 OK").await;
    assert!(stored.body.contains("<stored/>"), "{}", stored.body);
    let mut failed = Vec::new();
    for _ in 0..2 {
        failed.push(alice.told("200 OK").await.body);
    }
    assert!(
        failed.iter().any(|body| body.contains("<failed/>")),
        "{failed:?}"
    );
    assert!(
        failed
            .iter()
            .any(|body| body.contains("could not be delivered")),
        "{failed:?}"
    );
}

#[tokio::test]
async fn rfc_3862_a_client_that_takes_only_wrapped_messages_gets_them() {
    let house = House::new().await;
    let mut bob = house.tcp("bob").await;
    bob.register().await;
    let sender = caller("alice", Route::Point(LETTERS));
    let send = house.hub.call(
        person("alice"),
        &sender,
        crate::message::submit(crate::message::text("hello <bob>")),
    );
    let client = async {
        let first = bob.receive().await;
        assert_eq!(first.header("Content-Type"), "text/plain;charset=UTF-8");
        bob.reply(
            &first,
            "415 Unsupported Media Type\r\nAccept: message/cpim, x/y",
        )
        .await;
        let again = bob.told("200 OK").await;
        assert_eq!(again.header("Call-ID"), first.header("Call-ID"));
        assert_eq!(again.header("CSeq"), "2 MESSAGE");
        assert_eq!(again.header("Content-Type"), "message/cpim");
        assert!(again.body.starts_with("From: <sip:alice@example.com>\r\n"));
        assert!(again.body.ends_with("\r\n\r\nhello <bob>"));
    };
    let (answer, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(send, client) })
        .await
        .unwrap();
    assert!(answer.is_ok(), "{answer:?}");
}

#[tokio::test]
async fn rfc_2046_alternatives_are_read_for_the_text_among_them() {
    let (house, letters) = bob_by_letters(Some(Outcome::Delivered), |_| {}).await;
    let mut alice = house.tcp("alice").await;
    let body = "--x\r\nContent-Type: text/plain\r\n\r\nplain\r\n--x\r\nContent-Type: text/html\r\n\r\n\
                <b>plain</b>\r\n--x--\r\n";
    for (kind, status) in [("alternative", 200), ("mixed", 415)] {
        let mut say = alice.say("MESSAGE", "bob");
        say.headers = format!("Content-Type: multipart/{kind};boundary=x\r\n");
        say.body = body.to_owned();
        let answer = alice.ask(&say).await;
        assert_eq!(answer.status(), status, "{kind}");
        if status == 415 {
            assert!(answer.header("Accept").contains("message/cpim"));
        }
    }
    assert_eq!(only_text(&letters), "plain");
}
