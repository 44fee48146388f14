//! What a client does by itself, against a server of a few lines on virtual time.

use super::*;
use crate::document::{Ace, AcePrincipal, Change, Credentials, Right, Rights, StateValue};
use auth::ntlm::{Acceptor, Policy, nt_hash};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex as Lock;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

#[derive(Default)]
struct State_ {
    next: u32,
    live: HashSet<String>,
    /// Method, path and what came of it.
    log: Vec<String>,
    /// Everything is answered so, if it is set.
    refuse: Option<u16>,
    /// Every SUBSCRIBE is referred there.
    refer: Option<String>,
    ntlm: bool,
    stored: String,
}

type Shared = Arc<Lock<State_>>;

async fn server(state: &Shared) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let state = Arc::clone(state);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream, Arc::clone(&state)));
        }
    });
    address
}

async fn talk(mut stream: TcpStream, state: Shared) {
    let mut bytes = Vec::new();
    let mut exchange = None;
    let mut proved = false;
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let headers = headers(head);
            let length: usize = headers["content-length"].parse().unwrap();
            if body.len() >= length {
                let ntlm = state.lock().unwrap().ntlm && !proved;
                let answer = if ntlm {
                    let value = headers.get("authorization").map(|v| BASE64.decode(&v[5..]));
                    let mut challenge = "NTLM".to_owned();
                    if let Some(Ok(token)) = value {
                        let acceptor = Acceptor::new("EXAMPLE", "im", Policy::default());
                        match exchange.take() {
                            None => {
                                let made = acceptor.challenge(&token, [1; 8], 0).unwrap();
                                challenge = format!("NTLM {}", BASE64.encode(made.message()));
                                exchange = Some(made);
                            }
                            Some(made) => {
                                let proof = made.authenticate(&token, None).unwrap();
                                proved = proof.verify(Some(nt_hash("secret"))).is_ok();
                            }
                        }
                    }
                    let header = format!("WWW-Authenticate: {challenge}\r\n");
                    (!proved).then(|| answer("401 Access Denied", &header, ""))
                } else {
                    None
                };
                let answer = answer
                    .unwrap_or_else(|| respond(head, &headers, body, &mut state.lock().unwrap()));
                bytes.clear();
                stream.write_all(answer.as_bytes()).await.unwrap();
                continue;
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
}

fn headers(head: &str) -> HashMap<String, String> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect()
}

fn answer(line: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {line}\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}

fn respond(
    head: &str,
    headers: &HashMap<String, String>,
    body: &str,
    state: &mut State_,
) -> String {
    let line = head.lines().next().unwrap();
    let line = line.strip_suffix(" HTTP/1.1").unwrap().to_owned();
    let method = line.split(' ').next().unwrap();
    if let Some(status) = state.refuse {
        state.log.push(format!("{line} {status}"));
        return answer(&format!("{status} No"), "", "");
    }
    if let (Some(to), "SUBSCRIBE") = (&state.refer, method) {
        let path = line.split(' ').nth(1).unwrap();
        let location = format!("Location: {to}{path}\r\n");
        state.log.push(format!("{line} referred"));
        return answer("302 Object moved", &location, "");
    }
    let id = headers.get("subscription-id");
    let (what, text) = match (method, id) {
        ("SUBSCRIBE", None) => {
            state.next += 1;
            let id = state.next.to_string();
            state.live.insert(id.clone());
            let granted = format!("Subscription-Id: {id}\r\nSubscription-Lifetime: 1000\r\n");
            let kind = headers["notification-type"].clone();
            if kind == "update/propchange" {
                let away = StateValue::bare(State::Away);
                let found = Multistatus::watched("http://h/x", vec![Property::State(away)]);
                (kind, answer("207 Multi-Status", &granted, &found.to_xml()))
            } else {
                (kind, answer("200 Successful", &granted, ""))
            }
        }
        ("SUBSCRIBE", Some(id)) if state.live.contains(id) => {
            let granted = "Subscription-Lifetime: 1000\r\n";
            ("renewed".to_owned(), answer("200 Successful", granted, ""))
        }
        ("UNSUBSCRIBE", Some(id)) if state.live.remove(id) => {
            ("ended".to_owned(), answer("200 Successful", "", ""))
        }
        ("PROPPATCH", _) if body.contains("r:state") => {
            let found = Multistatus::watched("http://h/x", vec![]);
            let text = answer("207 Multi-Status", "", &found.to_xml());
            ("published".to_owned(), text)
        }
        ("PROPPATCH", _) => {
            let status = if body.contains("refuse") { 403 } else { 200 };
            let name = Property::Name(PropertyName::DisplayName);
            let status = crate::Status::from_code(status).unwrap();
            let part = Propstat::new(status, vec![name]);
            let found = Multistatus::one("http://h/x", vec![part]);
            (
                "set".to_owned(),
                answer("207 Multi-Status", "", &found.to_xml()),
            )
        }
        ("PROPFIND", _) => {
            assert_eq!(headers["depth"], "0");
            let name = Property::DisplayName("Bob".into());
            let none = Property::Name(PropertyName::Email);
            let parts = vec![
                Propstat::new(crate::Status::Successful, vec![name]),
                Propstat::new(crate::Status::NotFound, vec![none]),
            ];
            let found = Multistatus::one("http://h/x", parts);
            (
                "found".to_owned(),
                answer("207 Multi-Status", "", &found.to_xml()),
            )
        }
        ("ACL", _) if body.is_empty() => (
            "read".to_owned(),
            answer("200 Successful", "", &state.stored),
        ),
        ("ACL", _) => {
            state.stored = body.to_owned();
            ("written".to_owned(), answer("200 Successful", "", ""))
        }
        _ => (
            "unknown".to_owned(),
            answer("412 Precondition Failed", "", ""),
        ),
    };
    state.log.push(format!("{line} {what}"));
    text
}

fn log(state: &Shared) -> Vec<String> {
    std::mem::take(&mut state.lock().unwrap().log)
}

fn settings(server: SocketAddr) -> Settings {
    Settings::new(server, "im.example.com", "alice@example.com", "secret")
}

const ME: &str = "/instmsg/aliases/alice";
const BOB: &str = "/instmsg/aliases/bob";

#[tokio::test(start_paused = true)]
async fn leases_are_kept_and_what_was_forgotten_is_made_anew() {
    let state = Shared::default();
    let (mut client, mut events) = Client::sign_in(settings(server(&state).await))
        .await
        .unwrap();
    client.publish(State::Busy).await.unwrap();
    let bob = client.node_of("bob").unwrap();
    let found = client.watch(&bob).await.unwrap();
    assert!(matches!(&found[..], [Property::State(value)] if value.state == State::Away));
    log(&state);
    // Four fifths of what was granted, not of what was asked for; 1200 s of presence likewise.
    tokio::time::sleep(Duration::from_secs(795)).await;
    assert!(log(&state).is_empty());
    tokio::time::sleep(Duration::from_secs(10)).await;
    let renewed = [
        format!("SUBSCRIBE {ME} renewed"),
        format!("SUBSCRIBE {BOB} renewed"),
    ];
    assert_eq!(log(&state), renewed);
    tokio::time::sleep(Duration::from_secs(160)).await;
    assert_eq!(log(&state), [format!("PROPPATCH {ME} published")]);
    // The server has lost everything.
    state.lock().unwrap().live.clear();
    tokio::time::sleep(Duration::from_secs(660)).await;
    let anew = [
        format!("SUBSCRIBE {ME} unknown"),
        format!("SUBSCRIBE {ME} pragma/notify"),
        format!("PROPPATCH {ME} published"),
        format!("SUBSCRIBE {BOB} unknown"),
        format!("SUBSCRIBE {BOB} update/propchange"),
    ];
    assert_eq!(log(&state), anew);
    assert_eq!(client.subscription().await, "3");
    let Some(Event::Presence { from, state: shown }) = events.recv().await else {
        panic!("what was found anew is an event");
    };
    assert_eq!(
        (from.href.as_str(), shown),
        (bob.href().as_str(), State::Away)
    );
    client.sign_out().await.unwrap();
    assert!(state.lock().unwrap().live.is_empty());
    assert!(
        events.recv().await.is_none(),
        "the stream ends with the client"
    );
}

#[tokio::test(start_paused = true)]
async fn an_interruption_is_told_once_and_so_is_its_end() {
    let state = Shared::default();
    let (mut client, mut events) = Client::sign_in(settings(server(&state).await))
        .await
        .unwrap();
    client.publish(State::Online).await.unwrap();
    state.lock().unwrap().refuse = Some(503);
    let Some(Event::Interrupted { why }) = events.recv().await else {
        panic!("not told");
    };
    assert!(why.contains("503"), "{why}");
    tokio::time::sleep(Duration::from_secs(600)).await;
    let tries = log(&state).len();
    assert!((12..24).contains(&tries), "1, 2, 4 ... 60 s: {tries}");
    assert!(events.try_recv().is_err());
    state.lock().unwrap().refuse = None;
    assert_eq!(events.recv().await, Some(Event::Resumed));
}

#[tokio::test]
async fn redirects_are_followed_within_the_domain_and_remembered() {
    let (router, home) = (Shared::default(), Shared::default());
    let at = server(&home).await;
    // The home's address is the router's: that is known to be of the domain.
    router.lock().unwrap().refer = Some(format!("http://{at}/instmsg/local/im.example.com"));
    let (mut client, _events) = Client::sign_in(settings(server(&router).await))
        .await
        .unwrap();
    client.renew().await.unwrap();
    assert_eq!(log(&router)[0], format!("SUBSCRIBE {ME} referred"));
    let seen = log(&home);
    let physical = format!("SUBSCRIBE /instmsg/local/im.example.com{ME}");
    assert_eq!(
        seen[..2],
        [
            format!("{physical} pragma/notify"),
            format!("{physical} renewed")
        ]
    );
    assert!(log(&router).is_empty(), "remembered");

    for foreign in [
        "victim.example",
        "evil-example.com",
        "192.0.2.9",
        "example.com.victim.example",
    ] {
        let router = Shared::default();
        let to = format!(
            "http://{foreign}:{}/instmsg/local/im.example.com",
            at.port()
        );
        router.lock().unwrap().refer = Some(to);
        let refused = Client::sign_in(settings(server(&router).await)).await;
        assert!(matches!(refused, Err(ClientError::Redirected)), "{foreign}");
        assert_eq!(log(&router).len(), 1, "{foreign}");
    }
    let round = Shared::default();
    let own = server(&round).await;
    round.lock().unwrap().refer = Some(format!("http://{own}"));
    let refused = Client::sign_in(settings(own)).await;
    assert!(matches!(refused, Err(ClientError::Redirected)));
    assert_eq!(log(&round).len(), REDIRECTED, "no circles");
}

const REDIRECTED: usize = 4;

#[tokio::test]
async fn ntlm_signs_in_where_it_is_offered() {
    let state = Shared::default();
    state.lock().unwrap().ntlm = true;
    let at = server(&state).await;
    let mut right = settings(at);
    right.user = "EXAMPLE\\alice".into();
    let (mut client, _events) = Client::sign_in(right.clone()).await.unwrap();
    let bob = client.node_of("bob").unwrap();
    client.watch(&bob).await.unwrap();
    right.password = "wrong".into();
    let refused = timeout(Duration::from_secs(5), Client::sign_in(right))
        .await
        .unwrap();
    assert!(matches!(refused, Err(ClientError::Denied)), "{refused:?}");
}

#[tokio::test]
async fn properties_and_access_lists() {
    let state = Shared::default();
    let (mut client, _events) = Client::sign_in(settings(server(&state).await))
        .await
        .unwrap();
    let bob = client.node_of("bob").unwrap();
    let names = [PropertyName::DisplayName, PropertyName::Email];
    let parts = client.properties(&bob, Some(&names)).await.unwrap();
    assert_eq!(
        parts.iter().map(|part| part.status).collect::<Vec<_>>(),
        [200, 404]
    );
    assert_eq!(parts[0].properties, [Property::DisplayName("Bob".into())]);
    let me = client.node().clone();
    let set = PropertyUpdate::set([Property::DisplayName("Al".into())]);
    client.change(&me, &set).await.unwrap();
    let refused = PropertyUpdate {
        changes: vec![Change::Set(Property::DisplayName("refuse".into()))],
    };
    let refused = client.change(&me, &refused).await;
    assert!(
        matches!(refused, Err(ClientError::Status(403))),
        "{refused:?}"
    );
    let list = Acl {
        aces: vec![Ace {
            principal: AcePrincipal::All,
            credentials: Credentials::Any,
            grant: Rights::default().with(Right::Presence),
            deny: Rights::default().with(Right::SendTo),
        }],
    };
    client.set_access(&me, &list).await.unwrap();
    assert_eq!(client.access(&me).await.unwrap(), list);
}

#[tokio::test]
async fn a_conversation_of_many_is_a_full_mesh() {
    let state = Shared::default();
    let (mut client, _events) = Client::sign_in(settings(server(&state).await))
        .await
        .unwrap();
    let mut talk = Conversation::new(client.new_session());
    let nodes = ["bob", "carol"].map(|name| client.node_of(name).unwrap());
    // This server takes no NOTIFY: nobody joins.
    assert!(talk.add(&mut client, &nodes[0]).await.is_err());
    assert!(talk.members().is_empty());
    for node in nodes.iter().chain([&nodes[0]]) {
        talk.joined(node);
    }
    assert_eq!(talk.members().len(), 2, "once each");
    log(&state);
    assert_eq!(talk.say(&mut client, "hello").await.len(), 2);
    assert_eq!(talk.typing(&mut client).await.len(), 2);
    assert_eq!(log(&state).len(), 4);
    state.lock().unwrap().refuse = Some(500);
    assert_eq!(talk.say(&mut client, "anybody?").await.len(), 2);
    assert!(talk.members().is_empty(), "they have left");
    talk.joined(&nodes[1]);
    talk.left(&Contact::new(nodes[1].href()));
    assert!(talk.members().is_empty());
}
