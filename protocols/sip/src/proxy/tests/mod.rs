//! The proxy on virtual time.

mod challenge;
mod failover;
mod forks;
mod lossy;
mod marks;
mod operations;
mod timers;
mod wire;

use std::net::SocketAddr;

use super::*;
use crate::flow::{Flow, Transport};
use crate::raw::{Datagram, HeaderId, Limits, Method, RawMessage, frame_datagram};
use crate::transaction::{self, Engine, Event, Input, Output, TxId};

pub(super) const KEY: [u8; 32] = [9; 32];

pub(super) fn read(text: &str) -> RawMessage {
    read_octets(text.as_bytes())
}

pub(super) fn read_octets(octets: &[u8]) -> RawMessage {
    match frame_datagram(octets.to_vec().into(), &Limits::default()) {
        Ok(Datagram::Message(message)) => message,
        other => panic!("{other:?}\n{}", String::from_utf8_lossy(octets)),
    }
}

pub(super) fn text(octets: &[u8]) -> &str {
    std::str::from_utf8(octets).unwrap()
}

pub(super) fn flow(port: u16) -> Flow {
    Flow {
        transport: Transport::Udp,
        peer: SocketAddr::from(([192, 0, 2, 1], port)),
        id: 0,
    }
}

/// A phone's number is its port.
pub(super) fn target(port: u16, q: u16) -> Target {
    Target {
        uri: format!("sip:b{port}@192.0.2.1:{port}"),
        flow: flow(port),
        routes: Vec::new(),
        q,
        via: "SIP/2.0/UDP 192.0.2.99:5060".to_owned(),
        record: vec!["<sip:token@192.0.2.99;lr>".to_owned()],
        lines: Vec::new(),
    }
}

pub(super) const CALLER: u16 = 1;

pub(super) fn request(method: &str, more: &str) -> RawMessage {
    read(&format!(
        "{method} sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:1;branch=z9hG4bKcaller\r\n\
         Max-Forwards: 20\r\nFrom: <sip:alice@example.com>;tag=a1\r\nTo: <sip:bob@example.com>\r\n\
         Call-ID: call\r\nCSeq: 1 {method}\r\n{more}Content-Length: 0\r\n\r\n"
    ))
}

/// The proxy and its transactions, and what it has sent to each phone.
pub(super) struct Bench {
    pub(super) engine: Engine<RawMessage>,
    pub(super) proxy: Proxy<&'static str>,
    pub(super) now: u64,
    /// What phones were sent, newest last.
    pub(super) sent: Vec<(u16, RawMessage)>,
    pub(super) ended: Vec<Ended<&'static str>>,
    pub(super) server: Option<TxId>,
    /// Targets are places of one server.
    pub(super) failover: bool,
    /// Challenges are kept back: these branches have got one.
    pub(super) proves: bool,
    pub(super) challenged: Vec<u64>,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self {
            engine: Engine::new(transaction::Settings::default(), [1, 2]),
            proxy: Proxy::new(
                Settings::default(),
                Marks::new(KEY, 7),
                vec!["example.com".to_owned()],
                vec![HeaderId::PAssertedIdentity],
            ),
            now: 0,
            sent: Vec::new(),
            ended: Vec::new(),
            server: None,
            failover: false,
            proves: false,
            challenged: Vec::new(),
        }
    }

    /// One request of the caller, forked to these targets.
    pub(super) fn fork(method: &str, targets: Vec<Target>) -> Self {
        let mut bench = Self::new();
        bench.open(request(method, ""), targets).unwrap();
        bench
    }

    /// One request of the caller, to these places of one server.
    pub(super) fn places(method: &str, targets: Vec<Target>) -> Self {
        let mut bench = Self::new();
        bench.failover = true;
        bench.open(request(method, ""), targets).unwrap();
        bench
    }

    pub(super) fn open(&mut self, request: RawMessage, targets: Vec<Target>) -> Result<(), Unfit> {
        self.engine
            .receive(self.now, flow(CALLER), request)
            .unwrap();
        let Output::Event(Event::Request { tx, message, .. }) = self.engine.poll() else {
            panic!("no request");
        };
        self.server = Some(tx);
        let order = Order {
            tx,
            plan: Plan::of(&message, self.proxy.marks(), &|_| false),
            request: message,
            source: flow(CALLER).peer,
            tag: "ours".to_owned(),
            targets,
            failover: self.failover,
            proves: self.proves,
            held: "held",
        };
        let opened = self.proxy.open(self.now, &mut self.engine, order);
        self.drain();
        opened.map_err(|(unfit, _)| unfit)
    }

    pub(super) fn drain(&mut self) {
        loop {
            match self.engine.poll() {
                Output::Send { flow, bytes, .. } => {
                    self.sent.push((flow.peer.port(), read_octets(&bytes)));
                }
                Output::Event(event) => self.event(event),
                Output::Idle { .. } => break,
            }
        }
        while let Some(ended) = self.proxy.poll() {
            self.ended.push(ended);
        }
    }

    pub(super) fn event(&mut self, event: Event<RawMessage>) {
        let (now, engine) = (self.now, &mut self.engine);
        match event {
            Event::Response {
                token,
                status,
                message,
                ..
            } => {
                assert!(Proxy::<()>::owns(token));
                if self.proves && matches!(status, 401 | 407) {
                    return self.challenged.push(token);
                }
                self.proxy.response(now, engine, token, status, message);
            }
            Event::Failed { token, why, .. } => self.proxy.failed(now, engine, token, why),
            Event::TryingDue { tx } => assert!(self.proxy.trying(now, engine, tx)),
            Event::Expired { tx } => self.proxy.expired(now, engine, tx),
            Event::Cancel {
                tx,
                target,
                message,
                ..
            } => {
                let ok = crate::build::Response::to(&message, 200).to_tag("ours");
                let keep = transaction::Retention::Transaction;
                engine.respond(now, tx, 200, ok.finish(), keep).unwrap();
                if let Some(tx) = target {
                    self.proxy.cancel(now, engine, tx);
                }
            }
            Event::Request { .. }
            | Event::Ack { .. }
            | Event::Overloaded { .. }
            | Event::Stray { .. }
            | Event::Unacknowledged { .. } => {}
        }
    }

    /// The newest request of this method that a phone was sent.
    pub(super) fn got(&self, port: u16, method: &str) -> Option<&RawMessage> {
        let meant = |(to, message): &&(u16, RawMessage)| {
            *to == port && message.method().is_some_and(|own| own.as_str() == method)
        };
        self.sent
            .iter()
            .rev()
            .find(meant)
            .map(|(_, message)| message)
    }

    pub(super) fn count(&self, port: u16, method: &str) -> usize {
        let meant = |(to, message): &&(u16, RawMessage)| {
            *to == port && message.method().is_some_and(|own| own.as_str() == method)
        };
        self.sent.iter().filter(meant).count()
    }

    /// Statuses that the caller has got to its request.
    pub(super) fn heard(&self) -> Vec<u16> {
        let own = |m: &RawMessage| m.cseq().unwrap().method != Method::Cancel;
        let to_caller = self.sent.iter().filter(|(to, m)| *to == CALLER && own(m));
        to_caller
            .filter_map(|(_, message)| message.status())
            .collect()
    }

    pub(super) fn last_heard(&self) -> &RawMessage {
        let heard = |(to, m): &&(u16, RawMessage)| *to == CALLER && m.status().is_some();
        &self.sent.iter().rev().find(heard).unwrap().1
    }

    /// A phone answers the request that it got.
    pub(super) fn answer(&mut self, port: u16, status: u16) {
        let method = self.open_method(port);
        self.answer_to(port, &method, status, "");
    }

    fn open_method(&self, port: u16) -> String {
        let first = self.sent.iter().find(|(to, m)| {
            *to == port
                && m.method()
                    .is_some_and(|m| !matches!(m, Method::Cancel | Method::Ack))
        });
        first.unwrap().1.method().unwrap().as_str().to_owned()
    }

    pub(super) fn answer_to(&mut self, port: u16, method: &str, status: u16, more: &str) {
        let request = self.got(port, method).expect("the phone has it").clone();
        let mut response = crate::build::Response::to(&request, status).to_tag(format!("t{port}"));
        for line in more.lines() {
            let (name, value) = line.split_once(": ").unwrap();
            response = response.named(name, value);
        }
        let response = read_octets(&response.finish());
        let _ = self.engine.receive(self.now, flow(port), response);
        self.drain();
    }

    /// Lets time pass, each timer at its own time.
    pub(super) fn pass(&mut self, span: u64) {
        let end = self.now + span;
        while let Some(at) = self.wake_at().filter(|at| *at <= end) {
            assert!(at > self.now, "timers that are due have fired");
            self.now = at;
            self.tick();
        }
        self.now = end;
    }

    pub(super) fn tick(&mut self) {
        self.engine.handle(self.now, Input::Tick);
        self.drain();
        self.proxy.tick(self.now, &mut self.engine);
        self.drain();
    }

    pub(super) fn wake_at(&mut self) -> Option<u64> {
        let Output::Idle { wake_at } = self.engine.poll() else {
            panic!("not drained");
        };
        [wake_at, self.proxy.wake_at()].into_iter().flatten().min()
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.engine.is_empty() && self.proxy.is_empty()
    }

    /// Until nothing is left; nothing may stay behind.
    pub(super) fn rest(&mut self) {
        let mut steps = 0;
        while let Some(at) = self.wake_at() {
            self.now = at;
            self.tick();
            steps += 1;
            assert!(steps < 10_000, "it never rests");
        }
        assert!(self.is_quiet(), "nothing stays behind");
    }
}
