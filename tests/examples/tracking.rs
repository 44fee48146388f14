//! Shipments: the schema both ways, the follower's side, and both sides over a node.

use crate::package_tracking::{Event, NoEvent, What, follow, node, publish};
use crate::peer::{PATIENCE, send};
use crate::support::server::Server;
use rvp::client::{Client, ClientError, Settings};
use tokio::sync::mpsc;
use tokio::time::timeout;

const NUMBER: &str = "1Z999AA10123456784";

fn event(sequence: u32, what: What) -> Event {
    Event {
        number: NUMBER.to_owned(),
        sequence,
        at: "2026-11-21T09:00:00Z".to_owned(),
        what,
    }
}

fn all() -> Vec<Event> {
    let kinds = [
        What::PickedUp("Bergen".into()),
        What::Scanned("Oslo & <Drammen>".into()),
        What::OutForDelivery("Malmö".into()),
        What::Delivered("\"A\" Olsen".into()),
        What::Delayed("snow".into()),
    ];
    (1..).zip(kinds).map(|(n, what)| event(n, what)).collect()
}

fn read(text: &str) -> Result<Event, NoEvent> {
    let root = xml::parse(text.as_bytes(), &xml::Limits::default()).expect("well-formed");
    Event::from_xml(&root)
}

#[test]
fn events_are_written_and_read_by_the_schema() {
    for event in all() {
        assert_eq!(read(&event.to_xml()), Ok(event));
    }
    let good = event(1, What::Scanned("Oslo".into())).to_xml();
    for (from, to, wanted) in [
        ("shipments:1", "shipments:2", NoEvent::Root),
        ("1Z999", "2Z999", NoEvent::Part("number")),
        ("1Z999", "1Z/..", NoEvent::Part("number")),
        (">1<", ">-1<", NoEvent::Part("sequence")),
        ("place=", "palce=", NoEvent::Part("what happened")),
        ("s:scanned", "s:eaten", NoEvent::Part("what happened")),
        (
            "<s:at>",
            "<s:delayed reason=\"x\"/><s:at>",
            NoEvent::Part("what happened"),
        ),
    ] {
        assert_eq!(read(&good.replace(from, to)), Err(wanted), "{from} -> {to}");
    }
    assert!(node("im.example.com", "../x").is_err());
}

#[tokio::test]
async fn a_follower_receives_typed_events_and_nothing_else() {
    let (sender, mut events) = mpsc::channel(8);
    let loopback = [127, 0, 0, 1].into();
    let following = follow(loopback, None, &[], sender)
        .await
        .expect("it listens");
    let address = following.address;
    for event in all() {
        let body = event.to_xml();
        let sent = tokio::task::spawn_blocking(move || send(address, "NOTIFY", "", &body));
        let head = sent.await.expect("it is sent");
        assert!(head.starts_with("HTTP/1.1 200 Successful\r\n"), "{head}");
        let got = timeout(PATIENCE, events.recv()).await.expect("in time");
        assert_eq!(got, Some(event));
    }
    for (status, body) in [("403", "<x/>"), ("400", "<x>")] {
        let sent = tokio::task::spawn_blocking(move || send(address, "NOTIFY", "", body));
        let head = sent.await.expect("it is sent");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
    // No room: the sender is to come again.
    for wanted in (0..9).map(|n| if n < 8 { "200" } else { "503" }) {
        let body = event(1, What::Scanned("Oslo".into())).to_xml();
        let sent = tokio::task::spawn_blocking(move || send(address, "NOTIFY", "", &body));
        let head = sent.await.expect("it is sent");
        assert!(head.starts_with(&format!("HTTP/1.1 {wanted} ")), "{head}");
    }
    following.end().await;
}

/// Both sides over a node of the real server: a carrier, two followers, an event byte for byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_reach_every_follower_of_a_shipments_node() {
    let server = Server::start(&["depot", "alice", "bob"]);
    let path = format!("/shipments/{NUMBER}");
    let output = server
        .command(&["node", "add", &path, "--owner", "depot@example.com"])
        .output()
        .expect("the command runs");
    assert!(output.status.success(), "{output:?}");
    let settings = |user: &str| {
        let address = format!("{user}@example.com");
        Settings::new(server.rvp, "localhost", &address, user)
    };
    let loopback = [127, 0, 0, 1].into();
    let mut followers = Vec::new();
    for user in ["alice", "bob"] {
        let (sender, events) = mpsc::channel(8);
        let settings = settings(user);
        let following = follow(loopback, Some(&settings), &[NUMBER], sender).await;
        let following = following.expect("it listens");
        let sink = following.sink.as_ref().expect("a sink");
        sink.settled().await;
        let held = sink.held();
        assert!(held[0].id.is_some(), "{held:?}\n{}", server.log_tail(20));
        followers.push((following, events));
    }
    let signed_in = Client::sign_in(settings("depot")).await;
    let (mut depot, _own) = signed_in.expect("sign-in");
    for event in all() {
        let sent = publish(&mut depot, "localhost", &event).await;
        assert!(sent.is_ok(), "{sent:?}\n{}", server.log_tail(20));
        for (_, events) in &mut followers {
            let got = timeout(PATIENCE, events.recv()).await.expect("in time");
            assert_eq!(got.as_ref(), Some(&event));
        }
    }
    for (following, _) in followers {
        following.end().await;
    }
    // Nobody follows any more: the carrier is told.
    let event = event(9, What::Delayed("snow".into()));
    let sent = publish(&mut depot, "localhost", &event).await;
    assert!(matches!(sent, Err(ClientError::Status(412))), "{sent:?}");
}
