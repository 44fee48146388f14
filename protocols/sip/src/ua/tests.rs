//! The agent against a small server that challenges, forgets, notifies and echoes, on links of
//! both kinds.

use auth::digest::{Algorithm, Challenge, Credentials, Exchange, ha1};
use testkit::{Endpoint, Pair, Rng, Step, Weather};

use super::*;
use crate::build::Response;
use crate::dialog::Stamp;
use crate::flow::Transport;
use crate::raw::{Datagram, HeaderId, Limits, frame_datagram};
use crate::scan::text;
use crate::subscription::{Content, Durations, Notifier, Reason, expires_of};
use crate::transaction::{self, Engine, Outgoing, Retention, Settings, TxId};

fn flow(transport: Transport) -> Flow {
    let peer = "192.0.2.1:5060".parse().unwrap();
    Flow {
        transport,
        peer,
        id: 1,
    }
}

fn read(bytes: &[u8]) -> RawMessage {
    let bytes = Bytes::copy_from_slice(bytes);
    match frame_datagram(bytes, &Limits::default()) {
        Ok(Datagram::Message(message)) => message,
        other => panic!("{other:?}"),
    }
}

struct Client(Ua);

impl Endpoint for Client {
    type Event = Event;
    fn receive(&mut self, now: u64, bytes: &[u8]) {
        self.0.handle(now, Input::Message(read(bytes)));
    }
    fn wake(&mut self, now: u64) {
        self.0.handle(now, Input::Tick);
    }
    fn poll(&mut self, now: u64) -> Step<Event> {
        match self.0.poll(now) {
            Output::Send(bytes) => Step::Send(bytes.to_vec()),
            Output::Event(event) => Step::Event(event),
            Output::Idle { wake_at } => Step::Idle(wake_at),
        }
    }
}

/// Knows alice. Echoes her texts as bob, notifies her of bob's state.
struct Server {
    engine: Engine<RawMessage>,
    flow: Flow,
    nonce: &'static str,
    sent: u64,
    etag: Option<String>,
    published: Vec<String>,
    watch: Option<Notifier>,
    registered: Option<u32>,
    min_expires: u32,
    challenges: usize,
}

impl Server {
    fn new(transport: Transport) -> Self {
        Self {
            engine: Engine::new(Settings::default(), [3, 4]),
            flow: flow(transport),
            nonce: "n1",
            sent: 0,
            etag: None,
            published: Vec::new(),
            watch: None,
            registered: None,
            min_expires: 60,
            challenges: 0,
        }
    }

    fn branch(&mut self) -> String {
        self.sent += 1;
        format!("z9hG4bKserver{}", self.sent)
    }

    fn proved(&self, request: &RawMessage, header: HeaderId) -> bool {
        let Some(value) = request.text(header) else {
            return false;
        };
        let credentials = Credentials::parse(value).unwrap();
        let exchange = Exchange {
            method: request.method().unwrap().as_str(),
            body: request.body(),
        };
        assert_eq!(credentials.uri.as_bytes(), request.uri().unwrap());
        credentials.nonce == self.nonce
            && credentials.proves(
                &ha1(Algorithm::Md5, "alice", "example.com", "secret"),
                &exchange,
            )
    }

    fn reply(&mut self, now: u64, tx: TxId, response: Response<'_>, status: u16) {
        let bytes = response.to_tag("srv").finish();
        let keep = if matches!(status, 401 | 407) {
            Retention::Stateless
        } else {
            Retention::Transaction
        };
        let _ = self.engine.respond(now, tx, status, bytes, keep);
    }

    fn asked(&mut self, now: u64, tx: TxId, request: &RawMessage) {
        let method = request.method().unwrap().as_str().to_owned();
        let plain = |status| Response::to(request, status);
        let (status, header, ask) = match method.as_str() {
            "REGISTER" => (401, HeaderId::Authorization, HeaderId::WwwAuthenticate),
            _ => (
                407,
                HeaderId::ProxyAuthorization,
                HeaderId::ProxyAuthenticate,
            ),
        };
        if method != "OPTIONS" && !self.proved(request, header) {
            self.challenges += 1;
            let challenge =
                Challenge::ask("example.com", self.nonce.to_owned(), Algorithm::Md5, false);
            let response = plain(status).header(ask, challenge.write());
            return self.reply(now, tx, response, status);
        }
        let expires = expires_of(request);
        match method.as_str() {
            "REGISTER" => {
                let asked = expires.unwrap_or(0);
                if asked > 0 && asked < self.min_expires {
                    let response = plain(423).header(HeaderId::MinExpires, self.min_expires);
                    return self.reply(now, tx, response, 423);
                }
                self.registered = (asked > 0).then_some(asked);
                let contact = format!(
                    "{};expires={asked}",
                    text(request.first(HeaderId::Contact).unwrap())
                );
                self.reply(now, tx, plain(200).header(HeaderId::Contact, contact), 200);
            }
            "PUBLISH" => {
                let etag = request.first(HeaderId::SipIfMatch).map(text);
                if etag != self.etag {
                    self.etag = None;
                    return self.reply(now, tx, plain(412), 412);
                }
                let new = format!("e{now}");
                self.etag = (expires != Some(0)).then(|| new.clone());
                self.published.push(text(request.body()));
                let response = plain(200)
                    .header(HeaderId::SipEtag, new)
                    .header(HeaderId::Expires, 600);
                self.reply(now, tx, response, 200);
            }
            "SUBSCRIBE" => self.subscribed(now, tx, request),
            "MESSAGE" => {
                self.reply(now, tx, plain(200), 200);
                self.echo(now, request);
            }
            _ => self.reply(now, tx, plain(200), 200),
        }
    }

    fn subscribed(&mut self, now: u64, tx: TxId, request: &RawMessage) {
        let granted = Durations::default().grant(expires_of(request)).unwrap();
        let ends = now + u64::from(granted) * 1000;
        let found = self.watch.as_mut().filter(|watch| watch.holds(request));
        if let Some(watch) = found {
            watch.refresh(request, ends).unwrap();
        } else if request.text(HeaderId::To).unwrap().contains("tag=") {
            return self.reply(now, tx, Response::to(request, 481), 481);
        } else {
            self.watch = Some(Notifier::accept(request, "srv", "sip:192.0.2.1", ends).unwrap());
        }
        let response = Response::to(request, 200)
            .header(HeaderId::Contact, "<sip:192.0.2.1>")
            .header(HeaderId::Expires, granted);
        self.reply(now, tx, response, 200);
        let state = Status::doing(Activity::Busy).to_pidf("sip:bob@example.com");
        self.notify(now, state, (granted == 0).then_some(Reason::Timeout));
    }

    fn notify(&mut self, now: u64, document: String, end: Option<Reason>) {
        let branch = self.branch();
        let stamp = Stamp {
            via: "SIP/2.0/UDP 192.0.2.1",
            branch: &branch,
        };
        let content = Content::new("application/pidf+xml", document);
        let Some(watch) = &mut self.watch else { return };
        let notify = match end {
            Some(reason) => watch.terminate(now, reason, Some(content), stamp),
            None => watch.notify(now, content, stamp),
        };
        if let Some(notify) = notify {
            self.start(now, b"NOTIFY", &branch, notify.bytes, 1);
        }
    }

    fn echo(&mut self, now: u64, request: &RawMessage) {
        let branch = self.branch();
        let body = text(request.body());
        let kind = text(request.first(HeaderId::ContentType).unwrap());
        let wire = format!(
            "MESSAGE sip:alice@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch={branch}\r\n\
             From: \"Bob\" <sip:bob@example.com;x=1>;tag=b\r\nTo: <sip:alice@example.com>\r\n\
             Call-ID: {branch}\r\nCSeq: 1 MESSAGE\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.start(now, b"MESSAGE", &branch, Bytes::from(wire), 0);
    }

    fn start(&mut self, now: u64, method: &[u8], branch: &str, bytes: Bytes, token: u64) {
        let branch = branch.as_bytes();
        self.engine.start(
            now,
            Outgoing {
                method,
                branch,
                flow: self.flow,
                bytes,
                token,
            },
        );
    }

    fn notified(&mut self, now: u64, status: u16) {
        let Some(watch) = &mut self.watch else { return };
        if watch.answered(status) == crate::subscription::After::More {
            let branch = self.branch();
            let stamp = Stamp {
                via: "SIP/2.0/UDP 192.0.2.1",
                branch: &branch,
            };
            let next = self.watch.as_mut().and_then(|watch| watch.next(now, stamp));
            if let Some(notify) = next {
                self.start(now, b"NOTIFY", &branch, notify.bytes, 1);
            }
        }
    }
}

impl Endpoint for Server {
    type Event = String;
    fn receive(&mut self, now: u64, bytes: &[u8]) {
        self.engine.receive(now, self.flow, read(bytes)).unwrap();
    }
    fn wake(&mut self, now: u64) {
        self.engine.handle(now, transaction::Input::Tick);
    }
    fn poll(&mut self, now: u64) -> Step<String> {
        loop {
            match self.engine.poll() {
                transaction::Output::Send { bytes, .. } => return Step::Send(bytes.to_vec()),
                transaction::Output::Event(transaction::Event::Request { tx, message, .. }) => {
                    self.asked(now, tx, &message);
                }
                transaction::Output::Event(transaction::Event::Response {
                    token: 1,
                    status,
                    ..
                }) => {
                    self.notified(now, status);
                }
                transaction::Output::Event(transaction::Event::Failed { .. }) => {
                    return Step::Event("failed".to_owned());
                }
                transaction::Output::Event(_) => {}
                transaction::Output::Idle { wake_at } => return Step::Idle(wake_at),
            }
        }
    }
}

fn pair(transport: Transport, weather: Weather, seed: u64) -> Pair<Client, Server> {
    let link = Link {
        flow: flow(transport),
        local: "10.0.0.1:5062".parse().unwrap(),
    };
    let mut rng = Rng::new(seed + 1);
    let ua = Ua::new(
        Account::new("alice@example.com", "secret"),
        link,
        move || rng.next_u64(),
    );
    Pair::new(Client(ua), Server::new(transport), weather, seed)
}

fn events(pair: &mut Pair<Client, Server>) -> Vec<Event> {
    pair.a_events.drain(..).map(|(_, event)| event).collect()
}

fn bob() -> String {
    "bob@example.com".to_owned()
}

fn conversation(transport: Transport, weather: Weather, seed: u64) {
    let mut pair = pair(transport, weather, seed);
    pair.a.0.register(0);
    pair.run_until(40_000);
    assert_eq!(events(&mut pair), [Event::Registered { expires: 3_600 }]);

    pair.a.0.publish(pair.now, Status::online());
    pair.a.0.publish(pair.now, Status::doing(Activity::Away));
    pair.run_until(80_000);
    assert_eq!(
        events(&mut pair),
        [Event::Published],
        "the newest waited for the first"
    );
    assert_eq!(pair.b.published.len(), 2);
    assert!(pair.b.published[1].contains("rpid:away"));

    pair.a.0.watch(pair.now, "sip:bob@example.com");
    pair.run_until(120_000);
    let mut seen = events(&mut pair);
    seen.sort_by_key(|event| matches!(event, Event::Presence { .. }));
    let busy = Status::doing(Activity::Busy);
    assert_eq!(
        seen,
        [
            Event::Watching { who: bob() },
            Event::Presence {
                who: bob(),
                status: busy.clone()
            }
        ]
    );

    let id = pair
        .a
        .0
        .text(pair.now, "bob@example.com", "h\u{e9}llo <&>\r\nthere");
    pair.a.0.typing(pair.now, "bob@example.com", true);
    pair.run_until(160_000);
    let seen = events(&mut pair);
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert!(seen.contains(&Event::Sent { id, status: 200 }));
    assert!(seen.contains(&Event::Text {
        from: bob(),
        text: "h\u{e9}llo <&>\r\nthere".to_owned()
    }));
    assert!(seen.contains(&Event::Typing {
        from: bob(),
        active: true
    }));

    pair.a.0.unregister(pair.now);
    pair.run_until(240_000);
    let mut seen = events(&mut pair);
    seen.sort_by_key(|event| format!("{event:?}"));
    assert_eq!(
        seen,
        [
            Event::Presence {
                who: bob(),
                status: busy
            },
            Event::Unregistered,
            Event::WatchEnded {
                who: bob(),
                why: "timeout".to_owned()
            },
        ]
    );
    assert_eq!((pair.b.registered, pair.b.etag.clone()), (None, None));
    assert!(pair.run_idle(1_000), "nothing goes on after signing out");
}

#[test]
fn a_conversation_on_a_stream() {
    conversation(Transport::Tcp, Weather::FAIR, 1);
}

#[test]
fn a_conversation_on_datagrams() {
    conversation(Transport::Udp, Weather::FAIR, 1);
}

#[test]
fn a_conversation_in_foul_weather() {
    let weather = Weather {
        loss: 150,
        ..Weather::FOUL
    };
    for seed in 0..20 {
        conversation(Transport::Udp, weather, seed);
    }
}

#[test]
fn one_challenge_is_enough_for_many_requests() {
    let mut pair = pair(Transport::Tcp, Weather::FAIR, 1);
    pair.a.0.register(0);
    pair.run_until(1_000);
    for _ in 0..10 {
        pair.a.0.text(pair.now, "bob@example.com", "x");
        pair.run_until(pair.now + 1_000);
    }
    assert_eq!(pair.b.challenges, 2, "one 401, one 407");
    pair.b.nonce = "n2";
    let id = pair.a.0.text(pair.now, "bob@example.com", "x");
    pair.a_events.clear();
    pair.run_until(pair.now + 1_000);
    assert!(events(&mut pair).contains(&Event::Sent { id, status: 200 }));
    assert_eq!(pair.b.challenges, 3);
}

#[test]
fn all_that_is_granted_is_refreshed() {
    let mut pair = pair(Transport::Tcp, Weather::FAIR, 1);
    pair.a.0.register(0);
    pair.a.0.publish(0, Status::online());
    pair.a.0.watch(0, "bob@example.com");
    pair.run_until(3 * 3_600_000);
    let seen = events(&mut pair);
    let count = |f: fn(&Event) -> bool| seen.iter().filter(|event| f(event)).count();
    assert_eq!(count(|e| matches!(e, Event::Registered { .. })), 4);
    assert_eq!(count(|e| matches!(e, Event::Presence { .. })), 4);
    assert_eq!(count(|e| matches!(e, Event::Watching { .. })), 1);
    assert!(count(|e| matches!(e, Event::Published)) > 15);
    assert!(pair.b.watch.as_ref().unwrap().expires_at() > pair.now);
}

#[test]
fn what_the_server_forgot_is_made_anew() {
    let mut pair = pair(Transport::Tcp, Weather::FAIR, 1);
    pair.a.0.publish(0, Status::online());
    pair.a.0.watch(0, "bob@example.com");
    pair.run_until(10_000);
    events(&mut pair);
    pair.b.etag = None;
    pair.b.watch = None;
    pair.run_until(4_000_000);
    let seen = events(&mut pair);
    assert!(seen.contains(&Event::Published));
    assert!(
        seen.iter()
            .any(|event| matches!(event, Event::Presence { .. }))
    );
    assert!(
        !seen
            .iter()
            .any(|event| matches!(event, Event::WatchEnded { .. } | Event::Failed { .. }))
    );
}

#[test]
fn too_brief_a_registration_is_asked_for_longer() {
    let mut pair = pair(Transport::Tcp, Weather::FAIR, 1);
    pair.b.min_expires = 7_200;
    pair.a.0.register(0);
    pair.run_until(1_000);
    assert_eq!(events(&mut pair), [Event::Registered { expires: 7_200 }]);
}

#[test]
fn a_wrong_password_fails_and_does_not_go_on_for_ever() {
    let mut pair = pair(Transport::Tcp, Weather::FAIR, 1);
    let link = pair.a.0.link;
    pair.a.0 = Ua::new(Account::new("alice@example.com", "wrong"), link, || 7);
    let id = pair.a.0.register(0);
    pair.run_until(60_000);
    let seen = events(&mut pair);
    assert!(
        matches!(&seen[..], [Event::Failed { id: failed, status: 401, .. }] if *failed == id),
        "{seen:?}"
    );
    assert!(pair.b.challenges <= 3);
}

#[test]
fn a_lost_connection_fails_what_waits() {
    let mut pair = pair(Transport::Tcp, Weather::CUT, 1);
    let id = pair.a.0.text(0, "bob@example.com", "x");
    pair.settle();
    pair.a.0.handle(10, Input::Closed);
    pair.settle();
    let seen = events(&mut pair);
    assert_eq!(seen[0], Event::Disconnected);
    assert!(matches!(seen[1], Event::Failed { id: failed, status: 503, .. } if failed == id));
}

#[test]
fn strangers_are_answered_as_the_rfcs_say() {
    let mut pair = pair(Transport::Tcp, Weather::FAIR, 1);
    let mut ask = |method: &str, extra: &str, want: u16| {
        let wire = format!(
            "{method} sip:alice@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK{method}{want}\r\n\
             From: <sip:x@h>;tag=1\r\nTo: <sip:alice@h>\r\nCall-ID: {method}{want}\r\n\
             CSeq: 1 {method}\r\n{extra}Content-Length: 0\r\n\r\n"
        );
        pair.a.0.handle(0, Input::Message(read(wire.as_bytes())));
        let Output::Send(bytes) = pair.a.0.poll(0) else {
            panic!("{method}: no answer")
        };
        assert_eq!(read(&bytes).status(), Some(want), "{method}");
        assert!(
            matches!(pair.a.0.poll(0), Output::Idle { .. }),
            "{method}: no event"
        );
    };
    ask("OPTIONS", "", 200);
    ask("INVITE", "", 405);
    ask("CANCEL", "", 481);
    ask(
        "NOTIFY",
        "Event: presence\r\nSubscription-State: active\r\n",
        481,
    );
    ask("MESSAGE", "Content-Type: image/png\r\n", 415);
    ask(
        "MESSAGE",
        "Content-Type: application/im-iscomposing+xml\r\n",
        400,
    );
}

/// Whatever a server sends, well-formed as SIP or not: no panic, and it rests in the end.
#[test]
fn hostile_servers() {
    let starts = [
        "MESSAGE sip:a SIP/2.0",
        "NOTIFY sip:a SIP/2.0",
        "SIP/2.0 200 OK",
        "SIP/2.0 407 x",
        "SIP/2.0 423 x",
    ];
    bolero::check!()
        .with_type::<Vec<(u8, Vec<u8>)>>()
        .for_each(|messages| {
            let link = Link {
                flow: flow(Transport::Tcp),
                local: "10.0.0.1:1".parse().unwrap(),
            };
            let mut rng = Rng::new(1);
            let mut ua = Ua::new(Account::new("a@h", "p"), link, move || rng.next_u64());
            ua.register(0);
            ua.watch(0, "b@h");
            ua.text(0, "b@h", "x");
            let mut last = String::new();
            for (now, (which, garbage)) in messages.iter().take(20).enumerate() {
                while let Output::Send(bytes) = ua.poll(now as u64) {
                    last = text(&bytes);
                }
                let start = starts[usize::from(*which) % starts.len()];
                let head = last.split_once("\r\n").map_or("", |(_, head)| head);
                let head = head.split("\r\nContent-").next().unwrap_or("");
                let noise = text(garbage).replace(['\r', '\n'], " ");
                let wire = format!(
                    "{start}\r\n{head}\r\nMin-Expires: 9999\r\nSubscription-State: {noise}\r\n\
                Proxy-Authenticate: Digest realm=\"r\",nonce=\"{noise}\"\r\nContact: {noise}\r\n\
                Content-Length: 0\r\n\r\n"
                );
                let read = frame_datagram(Bytes::from(wire), &Limits::default());
                if let Ok(Datagram::Message(message)) = read {
                    ua.handle(now as u64, Input::Message(message));
                }
            }
            for _ in 0..200 {
                if matches!(ua.poll(100), Output::Idle { .. }) {
                    return;
                }
            }
            panic!("it never rests");
        });
}
