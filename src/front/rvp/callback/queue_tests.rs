use super::super::book::Quotas;
use super::super::outgoing::Writer;
use super::*;
use crate::core::command::{Condition, Reach};
use crate::core::id::{ConversationId, Stack};
use crate::core::message::{Ack, Content, Original};
use crate::core::presence::{State as Presence, View};
use crate::core::time::Time;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

struct Recorder(UnboundedSender<(String, Fate)>);

fn name(job: &Job) -> String {
    match &job.work {
        Work::Message { message, .. } => format!("message {}", message.id.0),
        Work::Change { watch, change, .. } => match change {
            Change::Presence(view) => format!("watch {} {:?}", watch.0.0, view.state),
            Change::Properties(changes) => {
                format!("watch {} {} properties", watch.0.0, changes.len())
            }
            _ => "ended".into(),
        },
    }
}

impl Post for Recorder {
    fn request(&self, job: &Job) -> Option<Outgoing> {
        let body = name(job);
        Writer::new("NOTIFY", "/", body.len())
            .field("Host", "x")
            .body(body.as_bytes())
            .ok()
    }

    fn report(&self, job: &Job, fate: Fate) {
        let _ = self.0.send((name(job), fate));
    }

    fn unproven(&self, job: &Job) {
        let _ = self
            .0
            .send((format!("{} unproven", name(job)), Fate::GivenUp));
    }
}

fn dialler(messages: usize) -> (Dialler, Gates, UnboundedReceiver<(String, Fate)>) {
    let (sender, receiver) = unbounded_channel();
    let gates = Gates::default();
    let patience = Patience::default();
    let post = Arc::new(Recorder(sender));
    let capacity = Capacity {
        messages,
        octets: 1 << 20,
    };
    (
        Dialler::new(
            post,
            gates.clone(),
            patience,
            capacity,
            Tasks::new(),
            Book::new(Quotas::default()),
        ),
        gates,
        receiver,
    )
}

fn point(id: u32) -> PointInfo {
    PointInfo {
        id: PointId(id),
        stack: Stack::named("rvp"),
        key: None,
        inbox: "x".into(),
        expires: Time(0),
        reach: Reach::Full,
        preference: 0,
        source: None,
        client: "".into(),
        holder: None,
        condition: Condition::Live,
        handle: Arc::from(&b""[..]),
        active: Time(0),
    }
}

fn address(text: &str) -> Address {
    Address::parse(text).expect("address")
}

fn message(point_id: u32, id: u128) -> Job {
    let message = Message {
        id: MessageId(id),
        at: Time(0),
        from: address("a@example.com"),
        from_person: None,
        from_name: "".into(),
        to: address("b@example.com"),
        conversation: ConversationId(0),
        content: Content::Join,
        original: Original {
            stack: Stack::named("rvp"),
            bytes: Bytes::new(),
            key: None,
            decoded: crate::core::message::Decoded::Characters,
        },
        ack: Ack::Any,
        hops: 1,
        wants: None,
        chat: None,
    };
    Job {
        person: PersonId(1),
        point: Some(point(point_id)),
        work: Work::Message {
            message: Arc::new(message),
            redelivered: false,
            away: false,
        },
    }
}

fn change(watch: u32, state: Presence) -> Job {
    Job {
        person: PersonId(1),
        point: Some(point(1)),
        work: Work::Change {
            watched: None,
            of: address("c@example.com"),
            watcher: address("a@example.com"),
            watch: (WatchId(watch), Arc::from(&b""[..])),
            change: Change::Presence(View {
                state,
                token: None,
                note: None,
                since: Time(0),
                documents: None,
            }),
        },
    }
}

/// Accepts connections one after the other and answers every NOTIFY with 200 once `go` allows.
async fn listener(connections: usize) -> (SocketAddr, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let at = listener.local_addr().expect("address");
    let task = tokio::spawn(async move {
        let mut bodies = Vec::new();
        for _ in 0..connections {
            let (mut stream, _) = listener.accept().await.expect("accept");
            let mut seen = Vec::new();
            let mut space = [0u8; 4096];
            while let Ok(count @ 1..) = stream.read(&mut space).await {
                seen.extend_from_slice(&space[..count]);
                while let Some(body) = take_request(&mut seen) {
                    bodies.push(body);
                    let _ = stream
                        .write_all(b"HTTP/1.1 200 Successful\r\nContent-Length: 0\r\n\r\n")
                        .await;
                }
            }
        }
        bodies
    });
    (at, task)
}

fn take_request(seen: &mut Vec<u8>) -> Option<String> {
    let text = String::from_utf8(seen.clone()).ok()?;
    let (head, rest) = text.split_once("\r\n\r\n")?;
    let length: usize = head
        .split("\r\n")
        .find_map(|line| line.strip_prefix("Content-Length: "))?
        .parse()
        .ok()?;
    let body = rest.get(..length)?.to_owned();
    seen.drain(..head.len() + 4 + length);
    Some(body)
}

async fn next(reports: &mut UnboundedReceiver<(String, Fate)>) -> (String, Fate) {
    reports.recv().await.expect("report")
}

#[tokio::test]
async fn one_connection_keeps_the_order_and_newer_changes_overtake() {
    let (dialler, gates, mut reports) = dialler(256);
    let (at, task) = listener(1).await;
    let hold = gates.hold(PersonId(1));
    dialler.push(at, change(1, Presence::Online));
    tokio::task::yield_now().await;
    // The first is on its way to the gate; these wait behind it.
    dialler.push(at, change(2, Presence::Online));
    dialler.push(at, message(1, 7));
    dialler.push(at, change(2, Presence::Busy));
    dialler.push(at, message(1, 8));
    drop(hold);
    let mut got = Vec::new();
    for _ in 0..4 {
        let (name, fate) = next(&mut reports).await;
        assert_eq!(fate, Fate::Answered(200), "{name}");
        got.push(name);
    }
    assert_eq!(
        got,
        ["watch 1 Online", "watch 2 Busy", "message 7", "message 8"]
    );
    drop(dialler);
    task.abort();
}

#[tokio::test]
async fn a_full_queue_says_so_and_a_withdrawn_message_is_gone() {
    let (dialler, gates, mut reports) = dialler(2);
    let (at, task) = listener(1).await;
    let hold = gates.hold(PersonId(1));
    dialler.push(at, change(1, Presence::Online));
    tokio::task::yield_now().await;
    dialler.push(at, message(1, 1));
    dialler.push(at, message(2, 2));
    dialler.push(at, message(1, 3));
    assert_eq!(
        next(&mut reports).await,
        ("message 3".into(), Fate::QueueFull)
    );
    dialler.cancel(PointId(1), MessageId(1));
    dialler.push(at, message(3, 4));
    dialler.point_ended(PersonId(1), at, PointId(2));
    drop(hold);
    assert_eq!(next(&mut reports).await.0, "watch 1 Online");
    assert_eq!(next(&mut reports).await.0, "message 4");
    task.abort();
}

#[tokio::test]
async fn when_nobody_listens_texts_fail_at_once_and_changes_wait() {
    let (dialler, gates, mut reports) = dialler(256);
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let at = socket.local_addr().expect("address");
    drop(socket);
    let hold = gates.hold(PersonId(1));
    dialler.push(at, change(1, Presence::Online));
    tokio::task::yield_now().await;
    dialler.push(at, message(1, 1));
    dialler.push(at, message(1, 2));
    drop(hold);
    for expected in ["watch 1 Online", "message 1", "message 2"] {
        let (name, fate) = next(&mut reports).await;
        assert_eq!(name, expected);
        assert!(
            matches!(fate, Fate::Unanswered(NoAnswer::Connect(_))),
            "{name} {fate:?}"
        );
    }
    assert!(reports.try_recv().is_err());
    assert_eq!(dialler.active(), 1);
}

#[tokio::test]
async fn an_idle_inbox_costs_nothing() {
    let (dialler, _gates, mut reports) = dialler(256);
    let (at, task) = listener(1).await;
    dialler.push(at, message(1, 1));
    assert_eq!(next(&mut reports).await.1, Fate::Answered(200));
    tokio::time::pause();
    tokio::time::advance(Patience::default().idle).await;
    while dialler.active() > 0 {
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    tokio::time::resume();
    assert_eq!(task.await.expect("bodies"), ["message 1"]);
}

#[tokio::test]
async fn issue_3_a_callback_that_never_answered_is_removed_after_three_failures() {
    for known in [false, true] {
        let (dialler, _gates, mut reports) = dialler(256);
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("listener");
        let at = socket.local_addr().expect("address");
        drop(socket);
        if known {
            dialler.restored(PersonId(1), at);
        }
        tokio::time::pause();
        let from = Instant::now();
        dialler.push(at, change(1, Presence::Online));
        for _ in 0..3 {
            let (_, fate) = next(&mut reports).await;
            assert!(matches!(fate, Fate::Unanswered(_)), "{fate:?}");
        }
        if known {
            let (_, fate) = next(&mut reports).await;
            assert!(matches!(fate, Fate::Unanswered(_)), "tried on: {fate:?}");
        } else {
            assert_eq!(next(&mut reports).await.1, Fate::GivenUp);
            assert_eq!(next(&mut reports).await.0, "watch 1 Online unproven");
            assert!(from.elapsed() < Duration::from_secs(60));
        }
        tokio::time::resume();
    }
}
