use super::*;
use std::collections::HashMap;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server of subscriptions with scripted faults.
#[derive(Default)]
struct State {
    next: u32,
    live: HashMap<String, String>,
    /// Method, path and what came of it.
    log: Vec<String>,
    challenges: u32,
    refuse: Option<u16>,
}

type Shared = Arc<Mutex<State>>;

async fn server(lease: u32) -> (std::net::SocketAddr, Shared) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let state = Shared::default();
    let shared = Arc::clone(&state);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream, Arc::clone(&shared), lease));
        }
    });
    (address, state)
}

async fn talk(mut stream: TcpStream, state: Shared, lease: u32) {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some(end) = text.find("\r\n\r\n") {
            let answer = respond(&text[..end], &mut state.lock().unwrap(), lease);
            bytes.drain(..end + 4);
            stream.write_all(answer.as_bytes()).await.unwrap();
            continue;
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
}

fn respond(head: &str, state: &mut State, lease: u32) -> String {
    let header = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v)
            .next()
    };
    let answer = |line: &str, headers: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 {line}\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
    };
    if header("Authorization").is_none() {
        state.challenges += 1;
        let challenge =
            "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=MD5\r\n";
        return answer("401 Access Denied", challenge, "");
    }
    let line = head
        .lines()
        .next()
        .unwrap()
        .strip_suffix(" HTTP/1.1")
        .unwrap();
    if let Some(status) = state.refuse {
        state.log.push(format!("{line} {status}"));
        return answer(&format!("{status} No"), "", "");
    }
    let id = header("Subscription-Id").map(str::to_owned);
    let known = id.as_ref().map(|id| state.live.contains_key(id));
    let (what, text) = match (line.starts_with("SUBSCRIBE"), known) {
        (true, None) => {
            state.next += 1;
            let id = state.next.to_string();
            state
                .live
                .insert(id.clone(), header("Call-Back").unwrap().to_owned());
            let headers = format!("Subscription-Id: {id}\r\nSubscription-Lifetime: {lease}\r\n");
            let kind = header("Notification-Type").unwrap().to_owned();
            if kind == "update/propchange" {
                let state = crate::document::StateValue::bare(crate::document::State::Away);
                let body =
                    Multistatus::watched("http://h/x", vec![Property::State(state)]).to_xml();
                (kind, answer("207 Multi-Status", &headers, &body))
            } else {
                (kind, answer("200 Successful", &headers, ""))
            }
        }
        (true, Some(true)) => {
            let headers = format!("Subscription-Lifetime: {lease}\r\n");
            ("renewed".to_owned(), answer("200 Successful", &headers, ""))
        }
        (false, Some(true)) => {
            state.live.remove(&id.unwrap());
            ("ended".to_owned(), answer("200 Successful", "", ""))
        }
        _ => (
            "unknown".to_owned(),
            answer("412 Precondition Failed", "", ""),
        ),
    };
    state.log.push(format!("{line} {what}"));
    text
}

fn open(server: std::net::SocketAddr) -> Sink {
    let node = |path: &str| NodeUrl::parse(&format!("http://im.example.com{path}")).unwrap();
    let settings = Settings::new(server, "im.example.com", "desk@example.com", "secret");
    let call_back = CallBack::parse("http://127.0.0.1:9/hook").unwrap();
    let wanted = vec![
        Wanted::notifications(node("/shipments/1z")),
        Wanted::properties(node("/instmsg/aliases/bob")),
    ];
    Sink::open(&settings, &call_back, wanted).unwrap()
}

fn log(state: &Shared) -> Vec<String> {
    std::mem::take(&mut state.lock().unwrap().log)
}

async fn until(sink: &mut Sink, fits: impl Fn(&[Held]) -> bool) {
    while !fits(&sink.held()) {
        sink.changed().await;
    }
}

const SUBSCRIBED: [&str; 2] = [
    "SUBSCRIBE /shipments/1z pragma/notify",
    "SUBSCRIBE /instmsg/aliases/bob update/propchange",
];
const RENEWED: [&str; 2] = [
    "SUBSCRIBE /shipments/1z renewed",
    "SUBSCRIBE /instmsg/aliases/bob renewed",
];

#[tokio::test(start_paused = true)]
async fn subscribes_renews_at_four_fifths_and_unsubscribes() {
    let (address, state) = server(1_000).await;
    let sink = open(address);
    sink.settled().await;
    assert_eq!(log(&state), SUBSCRIBED);
    let held = sink.held();
    assert_eq!(held[0].id.as_ref().map(SubscriptionId::as_str), Some("1"));
    assert!(
        matches!(&held[1].properties[..], [Property::State(s)] if s.state == crate::document::State::Away)
    );
    assert_eq!(state.lock().unwrap().live["1"], "http://127.0.0.1:9/hook");
    assert_eq!(state.lock().unwrap().challenges, 1, "one nonce serves all");
    // The server's lease counts, not the 14,400 s that were asked for.
    tokio::time::sleep(Duration::from_secs(795)).await;
    assert!(log(&state).is_empty());
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(log(&state), RENEWED);
    tokio::time::sleep(Duration::from_secs(800)).await;
    assert_eq!(log(&state), RENEWED);
    sink.close().await;
    assert_eq!(
        log(&state),
        [
            "UNSUBSCRIBE /shipments/1z ended",
            "UNSUBSCRIBE /instmsg/aliases/bob ended"
        ]
    );
    assert!(state.lock().unwrap().live.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_the_server_forgot_is_subscribed_anew() {
    let (address, state) = server(1_000).await;
    let mut sink = open(address);
    sink.settled().await;
    log(&state);
    state.lock().unwrap().live.remove("1");
    until(&mut sink, |held| held[0].subscribed == 2).await;
    assert_eq!(
        log(&state)[..2],
        [
            "SUBSCRIBE /shipments/1z unknown",
            "SUBSCRIBE /shipments/1z pragma/notify"
        ]
    );
    until(&mut sink, |held| held[0].error.is_none()).await;
    let held = sink.held();
    assert_eq!(held[0].id.as_ref().map(SubscriptionId::as_str), Some("3"));
    assert_eq!(held[1].subscribed, 1);
}

#[tokio::test(start_paused = true)]
async fn failures_are_shown_and_tried_again_ever_more_slowly() {
    let (address, state) = server(1_000).await;
    state.lock().unwrap().refuse = Some(503);
    let mut sink = open(address);
    sink.settled().await;
    let held = sink.held();
    assert!(
        held.iter()
            .all(|held| matches!(held.error.as_deref(), Some(ClientError::Status(503))))
    );
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let tries = log(&state).len();
    // 1, 2, 4 ... 60 s: about 65 each in an hour.
    assert!((120..140).contains(&tries), "{tries}");
    state.lock().unwrap().refuse = None;
    until(&mut sink, |held| {
        held.iter().all(|h| h.id.is_some() && h.error.is_none())
    })
    .await;
}

#[tokio::test]
async fn a_sink_is_bounded() {
    let node = NodeUrl::parse("http://h/x").unwrap();
    let address = "127.0.0.1:9".parse().unwrap();
    let settings = Settings::new(address, "h", "a@b", "c");
    let call_back = CallBack::parse("http://127.0.0.1:9").unwrap();
    let many = vec![Wanted::properties(node); Sink::MAX + 1];
    let refused = Sink::open(&settings, &call_back, many);
    assert!(matches!(refused, Err(SinkError::TooMany)));
}
