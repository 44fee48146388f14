//! Any sequence of operations against the proxy, with what must hold whatever happens: every
//! request ends and is told once, no caller hears two final answers (further 2xx apart), no phone
//! is cancelled before it has spoken, nothing stays behind. Run by `cargo test` and by fuzzing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use bytes::Bytes;

use super::{Marks, Order, Plan, Proxy, Settings, Target};
use crate::build::Response;
use crate::flow::{Flow, Transport};
use crate::raw::{Datagram, Limits, Method, RawMessage, frame_datagram};
use crate::transaction::{self, Engine, Event, Input, Output, TxId};

/// What, which, and how much time passes before.
type Operation = (u8, u8, u16);

struct World {
    engine: Engine<RawMessage>,
    proxy: Proxy<u64>,
    now: u64,
    /// Requests at phones: each once.
    asked: Vec<RawMessage>,
    /// Branches that a phone has said something provisional on.
    spoken: BTreeSet<String>,
    /// Final answers that callers have heard, by their branch.
    finals: BTreeMap<String, BTreeSet<(u16, Bytes)>>,
    opened: u64,
    told: BTreeSet<u64>,
    transactions: Vec<TxId>,
}

/// Runs the operations, then lets everything come to rest.
///
/// # Panics
/// When something that must hold does not: that is the finding.
pub(crate) fn exercise(operations: &[Operation]) {
    let settings = transaction::Settings {
        capacity: 64,
        ..transaction::Settings::default()
    };
    let mut world = World {
        engine: Engine::new(settings, [3, 4]),
        proxy: Proxy::new(
            Settings::default(),
            Marks::new([5; 32], 6),
            Vec::new(),
            Vec::new(),
        ),
        now: 0,
        asked: Vec::new(),
        spoken: BTreeSet::new(),
        finals: BTreeMap::new(),
        opened: 0,
        told: BTreeSet::new(),
        transactions: Vec::new(),
    };
    for operation in operations.iter().take(200) {
        world.step(*operation);
    }
    world.rest();
}

impl World {
    fn step(&mut self, (what, which, span): Operation) {
        let until = self.now + u64::from(span);
        self.pass(until);
        let pick = usize::from(which);
        match what % 8 {
            0 | 1 => {
                let method = ["INVITE", "INVITE", "MESSAGE", "BYE"];
                let method = method.get(pick % 4).copied().unwrap_or("INVITE");
                self.arrives(method, which >> 2);
            }
            2 => self.arrives("CANCEL", which >> 2),
            3 => self.arrives("ACK", which >> 2),
            4 | 5 => self.answers(pick),
            6 => {
                let tx = self.transactions.get(pick % self.transactions.len().max(1));
                if let Some(tx) = tx.copied() {
                    self.engine.handle(self.now, Input::SendFailed { tx });
                }
            }
            _ => self.engine.handle(
                self.now,
                Input::FlowClosed {
                    flow: u64::from(which % 4),
                },
            ),
        }
        self.drain();
    }

    fn arrives(&mut self, method: &str, which: u8) {
        let (number, breadth) = (which % 16, which / 16);
        let breadth = match breadth {
            0 => String::new(),
            some => format!("Max-Breadth: {}\r\n", some - 1),
        };
        let text = format!(
            "{method} sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKc{number}\r\n\
             From: <sip:a@h>;tag=a{number}\r\nTo: <sip:bob@example.com>\r\nCall-ID: c{number}\r\n\
             CSeq: 1 {method}\r\n{breadth}Content-Length: 0\r\n\r\n"
        );
        if let Some(message) = parse(text.into_bytes().into()) {
            let _ = self.engine.receive(self.now, way(0), message);
        }
    }

    /// A phone says something about a request that it has.
    fn answers(&mut self, pick: usize) {
        const STATUSES: [u16; 12] = [100, 180, 183, 200, 202, 302, 407, 486, 487, 503, 603, 408];
        let Some(request) = self.asked.get(pick / 12 % self.asked.len().max(1)) else {
            return;
        };
        let status = STATUSES.get(pick % 12).copied().unwrap_or(200);
        if status < 200
            && let Some(branch) = branch(request)
        {
            self.spoken.insert(branch);
        }
        let response = Response::to(request, status).to_tag("t").finish();
        if let Some(response) = parse(response) {
            let _ = self.engine.receive(self.now, way(1), response);
        }
    }

    fn drain(&mut self) {
        loop {
            match self.engine.poll() {
                Output::Send { bytes, tx, .. } => {
                    if !self.transactions.contains(&tx) {
                        self.transactions.push(tx);
                    }
                    self.sent(bytes);
                }
                Output::Event(event) => self.event(event),
                Output::Idle { .. } => break,
            }
        }
        while let Some(ended) = self.proxy.poll() {
            assert!(self.told.insert(ended.held), "told once");
            assert!(ended.status == 0 || ended.status >= 200);
        }
    }

    fn sent(&mut self, bytes: Bytes) {
        let Some(message) = parse(bytes.clone()) else {
            unreachable!("what goes out can be read");
        };
        let Some(branch) = branch(&message) else {
            unreachable!("it has a branch");
        };
        match (message.method(), message.status()) {
            (Some(Method::Cancel), _) => {
                assert!(self.spoken.contains(&branch), "cancelled before it spoke");
            }
            (Some(Method::Ack), _) | (_, Some(..200)) | (None, None) => {}
            (Some(_), _) => {
                if !self.asked.contains(&message) {
                    self.asked.push(message);
                }
            }
            (None, Some(status)) => {
                let method = message.cseq().map(|cseq| cseq.method.to_string());
                let key = format!("{branch} {}", method.unwrap_or_default());
                let heard = self.finals.entry(key).or_default();
                heard.insert((status, bytes));
            }
        }
    }

    fn event(&mut self, event: Event<RawMessage>) {
        let (now, engine) = (self.now, &mut self.engine);
        match event {
            Event::Request { tx, message, .. } => self.open(tx, message),
            Event::Response {
                token,
                status,
                message,
                ..
            } => {
                let kept = matches!(status, 401 | 407) && self.proxy.asked(token).is_some();
                if !kept {
                    return self.proxy.response(now, engine, token, status, message);
                }
                let line = ("Proxy-Authorization", "Digest x".to_owned());
                if self.opened.is_multiple_of(4) || !self.proxy.again(now, engine, token, line) {
                    let told = (502, "399 us \"no account\"".to_owned());
                    self.proxy.unproved(now, engine, token, told);
                }
            }
            Event::Failed { token, why, .. } => self.proxy.failed(now, engine, token, why),
            Event::TryingDue { tx } => {
                let _ = self.proxy.trying(now, engine, tx);
            }
            Event::Expired { tx } => self.proxy.expired(now, engine, tx),
            Event::Cancel { target, .. } => {
                if let Some(target) = target {
                    let _ = self.proxy.cancel(now, engine, target);
                }
            }
            Event::Ack { .. }
            | Event::Overloaded { .. }
            | Event::Stray { .. }
            | Event::Unacknowledged { .. } => {}
        }
    }

    fn open(&mut self, tx: TxId, request: RawMessage) {
        // A caller's number comes again once its transaction is over: that is another request.
        if let Some(branch) = branch(&request) {
            let method = request.method().map(ToString::to_string);
            self.finals
                .remove(&format!("{branch} {}", method.unwrap_or_default()));
        }
        let plan = Plan::of(&request, self.proxy.marks(), &|_| false);
        self.opened += 1;
        let order = Order {
            tx,
            plan,
            source: way(0).peer,
            tag: "us".to_owned(),
            targets: targets(self.opened),
            // Whatever holds, holds for places of one server, too.
            failover: self.opened.is_multiple_of(3),
            proves: self.opened.is_multiple_of(2),
            held: self.opened,
            request,
        };
        if let Err((unfit, order)) = self.proxy.open(self.now, &mut self.engine, order) {
            assert_eq!(unfit.status(), 440);
            let bytes = Response::to(&order.request, 440).to_tag("us").finish();
            let _ = self.engine.respond(
                self.now,
                order.tx,
                440,
                bytes,
                transaction::Retention::Transaction,
            );
            self.told.insert(order.held);
        }
    }

    fn wake_at(&mut self) -> Option<u64> {
        let Output::Idle { wake_at } = self.engine.poll() else {
            unreachable!("it was drained");
        };
        [wake_at, self.proxy.wake_at()].into_iter().flatten().min()
    }

    fn pass(&mut self, until: u64) {
        self.drain();
        let mut steps = 0;
        while let Some(at) = self.wake_at().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.engine.handle(self.now, Input::Tick);
            self.drain();
            self.proxy.tick(self.now, &mut self.engine);
            self.drain();
            steps += 1;
            assert!(steps < 50_000, "it never rests");
        }
        self.now = self.now.max(until.min(u64::MAX - 1_000_000));
    }

    fn rest(&mut self) {
        self.drain();
        while let Some(at) = self.wake_at() {
            self.pass(at);
        }
        assert!(
            self.engine.is_empty() && self.proxy.is_empty(),
            "nothing stays behind"
        );
        let told = u64::try_from(self.told.len()).unwrap_or(0);
        assert_eq!(told, self.opened, "each is told");
        for (branch, heard) in &self.finals {
            let failures = heard.iter().filter(|(status, _)| *status >= 300).count();
            assert!(failures <= 1, "{branch}: two failures");
            assert!(
                failures == 0 || heard.len() == 1,
                "{branch}: a failure and a success"
            );
        }
    }
}

/// One to three phones, in changing order, some over streams.
fn targets(seed: u64) -> Vec<Target> {
    (0..=seed % 3)
        .map(|at| Target {
            uri: format!("sip:phone{at}@h"),
            flow: way(u16::try_from(at + seed % 2 * 2).unwrap_or(0)),
            routes: Vec::new(),
            q: u16::try_from(at * (seed % 4) % 3).unwrap_or(0),
            via: "SIP/2.0/UDP us".to_owned(),
            record: Vec::new(),
            lines: Vec::new(),
        })
        .collect()
}

/// Even ways are datagrams, odd ones streams.
fn way(number: u16) -> Flow {
    Flow {
        transport: if number.is_multiple_of(2) {
            Transport::Udp
        } else {
            Transport::Tcp
        },
        peer: SocketAddr::from(([192, 0, 2, 1], number + 1)),
        id: u64::from(number),
    }
}

fn parse(octets: Bytes) -> Option<RawMessage> {
    match frame_datagram(octets, &Limits::default()) {
        Ok(Datagram::Message(message)) => Some(message),
        Ok(Datagram::KeepAlive) | Err(_) => None,
    }
}

fn branch(message: &RawMessage) -> Option<String> {
    Some(message.top_via().ok()?.branch()?.to_owned())
}
