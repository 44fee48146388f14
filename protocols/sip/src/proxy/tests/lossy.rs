//! Callers, the proxy and phones on links that lose, double and reorder: every call ends, each of
//! its parties hears the same, nothing stays behind.

use std::collections::BTreeMap;

use bytes::Bytes;
use testkit::{Link, Weather};

use super::*;
use crate::build::{Request, Response};
use crate::transaction::{Outgoing, Retention};

/// What a phone does with a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    /// Rings, then answers so.
    Says(u16),
    /// Rings until it is cancelled.
    Rings,
}

/// A user agent: calls, or is called.
struct Phone {
    port: u16,
    engine: Engine<RawMessage>,
    does: Does,
    /// The INVITE it has, and when to answer it.
    ringing: Option<(TxId, RawMessage, u64)>,
    /// Its 2xx, said again until it is acknowledged (13.3.1.4): next time, interval.
    said: Option<(TxId, Bytes, u64, u64)>,
    acknowledged: u32,
    cancelled: bool,
    /// A caller's final answers by token.
    heard: BTreeMap<u64, Vec<u16>>,
    /// Octets to phones, of ACKs and what the engine sends.
    out: Vec<Bytes>,
}

const PROXY: u16 = 99;

impl Phone {
    fn new(port: u16, does: Does) -> Self {
        Self {
            port,
            engine: Engine::new(transaction::Settings::default(), [u64::from(port), 1]),
            does,
            ringing: None,
            said: None,
            acknowledged: 0,
            cancelled: false,
            heard: BTreeMap::new(),
            out: Vec::new(),
        }
    }

    fn call(&mut self, now: u64, method: &str) -> TxId {
        let request = Request::new(
            &Method::parse(method.as_bytes()).unwrap(),
            "sip:bob@example.com",
        )
        .header(
            HeaderId::Via,
            format_args!("SIP/2.0/UDP 192.0.2.1:{};branch=z9hG4bKcall", self.port),
        )
        .header(HeaderId::From, "<sip:alice@example.com>;tag=a1")
        .header(HeaderId::To, "<sip:bob@example.com>")
        .header(HeaderId::CallId, "call")
        .header(HeaderId::CSeq, format_args!("1 {method}"))
        .finish();
        let tx = self.engine.start(
            now,
            Outgoing {
                method: method.as_bytes(),
                branch: b"z9hG4bKcall",
                flow: flow(PROXY),
                bytes: request,
                token: 1,
            },
        );
        self.drain(now);
        tx
    }

    fn drain(&mut self, now: u64) {
        loop {
            match self.engine.poll() {
                Output::Send { bytes, .. } => self.out.push(bytes),
                Output::Event(event) => self.event(now, event),
                Output::Idle { .. } => return,
            }
        }
    }

    fn event(&mut self, now: u64, event: Event<RawMessage>) {
        match event {
            Event::Request { tx, message, .. } => {
                self.respond(now, tx, &message, 180);
                self.ringing = Some((tx, message, now + 700));
            }
            Event::Cancel {
                tx,
                target,
                message,
                ..
            } => {
                self.respond(now, tx, &message, 200);
                if let (Some(target), Some((_, invite, _))) = (target, self.ringing.take()) {
                    self.cancelled = true;
                    self.respond(now, target, &invite, 487);
                }
            }
            Event::Ack { .. } => {
                self.acknowledged += 1;
                self.said = None;
            }
            Event::Response {
                token,
                status,
                message,
                ..
            } if status >= 200 => {
                self.heard.entry(token).or_default().push(status);
                if status < 300 && message.cseq().unwrap().method == Method::Invite {
                    self.acknowledge(&message);
                }
            }
            Event::Failed { token, .. } => self.heard.entry(token).or_default().push(0),
            _ => {}
        }
    }

    fn respond(&mut self, now: u64, tx: TxId, request: &RawMessage, status: u16) -> Bytes {
        let response = Response::to(request, status)
            .to_tag(format_args!("t{}", self.port))
            .copy(HeaderId::RecordRoute)
            .header(
                HeaderId::Contact,
                format_args!("<sip:b@192.0.2.1:{}>", self.port),
            )
            .finish();
        let _ = self
            .engine
            .respond(now, tx, status, response.clone(), Retention::Transaction);
        response
    }

    /// The caller's ACK of a 2xx, once for each that comes (13.2.2.4).
    fn acknowledge(&mut self, ok: &RawMessage) {
        let to = ok.text(HeaderId::To).unwrap();
        let contact = ok.contact().unwrap().unwrap().uri().text.to_owned();
        let ack = Request::new(&Method::Ack, contact)
            .header(
                HeaderId::Via,
                format_args!("SIP/2.0/UDP 192.0.2.1:{};branch=z9hG4bKack", self.port),
            )
            .header(HeaderId::From, "<sip:alice@example.com>;tag=a1")
            .header(HeaderId::To, to)
            .header(HeaderId::CallId, "call")
            .header(HeaderId::CSeq, "1 ACK")
            .header(HeaderId::Route, ok.text(HeaderId::RecordRoute).unwrap());
        self.out.push(ack.finish());
    }

    fn wake(&mut self, now: u64) {
        self.engine.handle(now, Input::Tick);
        self.drain(now);
        let due = self.ringing.as_ref().is_some_and(|(.., at)| *at <= now);
        if due
            && let Does::Says(status) = self.does
            && let Some((tx, invite, _)) = self.ringing.take()
        {
            let bytes = self.respond(now, tx, &invite, status);
            if status < 300 && invite.method() == Some(&Method::Invite) {
                self.said = Some((tx, bytes, now + 500, 500));
            }
        }
        if let Some((tx, bytes, at, interval)) = self.said.take_if(|(.., at, _)| *at <= now) {
            let again = self
                .engine
                .respond(now, tx, 200, bytes.clone(), Retention::Transaction);
            if again.is_ok() {
                self.said = Some((tx, bytes, at + interval, (interval * 2).min(4_000)));
            }
        }
        self.drain(now);
    }

    fn wake_at(&mut self) -> Option<u64> {
        let Output::Idle { wake_at } = self.engine.poll() else {
            panic!("not drained");
        };
        let rings = self.ringing.as_ref().map(|(.., at)| *at);
        let rings = rings.filter(|_| self.does != Does::Rings);
        let says = self.said.as_ref().map(|(.., at, _)| *at);
        [wake_at, rings, says].into_iter().flatten().min()
    }
}

/// All of it, on links to and from the proxy.
struct World {
    bench: Bench,
    phones: Vec<Phone>,
    /// To the proxy, and from it, by phone.
    links: Vec<(Link, Link)>,
    sent: usize,
    /// The target of an ACK.
    ends: Option<String>,
}

impl World {
    fn new(phones: &[Does], weather: Weather, seed: u64) -> Self {
        let mut all = vec![Phone::new(CALLER, Does::Rings)];
        for (port, does) in (10..).zip(phones) {
            all.push(Phone::new(port, *does));
        }
        let links = (0..all.len()).map(|n| {
            let seed = seed * 100 + u64::try_from(n).unwrap();
            (Link::new(weather, seed), Link::new(weather, !seed))
        });
        Self {
            bench: Bench::new(),
            links: links.collect(),
            phones: all,
            sent: 0,
            ends: None,
        }
    }

    fn now(&self) -> u64 {
        self.bench.now
    }

    /// Moves what was said onto the links.
    fn move_all(&mut self) {
        let now = self.now();
        for (phone, (there, _)) in self.phones.iter_mut().zip(&mut self.links) {
            for bytes in phone.out.drain(..) {
                there.send(now, &bytes);
            }
        }
        while let Some((port, message)) = self.bench.sent.get(self.sent) {
            self.sent += 1;
            let at = self.phones.iter().position(|phone| phone.port == *port);
            if let Some((_, back)) = at.and_then(|at| self.links.get_mut(at)) {
                back.send(now, message.as_bytes());
            }
        }
    }

    /// What reaches the proxy.
    fn arrives(&mut self, octets: &[u8], from: u16) {
        let message = read_octets(octets);
        let bench = &mut self.bench;
        bench
            .engine
            .receive(bench.now, flow(from), message)
            .unwrap();
        loop {
            match bench.engine.poll() {
                Output::Event(Event::Request { tx, message, .. }) => {
                    let targets = (10..).zip(self.phones.iter().skip(1)).map(|(port, _)| {
                        let mut target = target(port, 5);
                        let ends = Ends {
                            caller: flow(CALLER),
                            callee: flow(port),
                            boot: 0,
                            caller_abroad: false,
                            callee_abroad: false,
                        };
                        let token = bench.proxy.marks().token(&ends, b"call", b"a1");
                        target.record = vec![format!("<sip:{token}@192.0.2.99;lr>")];
                        target
                    });
                    let order = Order {
                        tx,
                        plan: Plan::of(&message, bench.proxy.marks(), &|_| false),
                        request: message,
                        source: flow(CALLER).peer,
                        tag: "ours".to_owned(),
                        targets: targets.collect(),
                        failover: false,
                        proves: false,
                        held: "held",
                    };
                    bench
                        .proxy
                        .open(bench.now, &mut bench.engine, order)
                        .unwrap();
                }
                Output::Event(Event::Ack {
                    message,
                    flow: came,
                    ..
                }) => {
                    let plan = Plan::of(&message, bench.proxy.marks(), &|_| false);
                    if let Some((ends, toward)) = plan.dialog {
                        let flow = ends.way(toward);
                        let target = Target {
                            uri: plan.uri.clone(),
                            flow,
                            ..target(10, 0)
                        };
                        let bytes = bench.proxy.acknowledge(&message, &plan, came.peer, &target);
                        bench.sent.push((flow.peer.port(), read_octets(&bytes)));
                        self.ends = Some(plan.uri);
                    }
                }
                Output::Send { flow, bytes, .. } => {
                    bench.sent.push((flow.peer.port(), read_octets(&bytes)));
                }
                Output::Event(event) => bench.event(event),
                Output::Idle { .. } => break,
            }
        }
        bench.drain();
    }

    fn step(&mut self) -> bool {
        self.move_all();
        let links = self.links.iter();
        let links =
            links.filter_map(|(a, b)| [a.next_at(), b.next_at()].into_iter().flatten().min());
        let links = links.min();
        let phones = self.phones.iter_mut().filter_map(Phone::wake_at).min();
        let Some(at) = [links, phones, self.bench.wake_at()]
            .into_iter()
            .flatten()
            .min()
        else {
            return false;
        };
        let now = at.max(self.now());
        self.bench.now = now;
        for at in 0..self.phones.len() {
            while let Some(octets) = self.links[at].0.land(now) {
                let port = self.phones[at].port;
                self.arrives(&octets, port);
            }
            while let Some(octets) = self.links[at].1.land(now) {
                let phone = &mut self.phones[at];
                phone
                    .engine
                    .receive(now, flow(PROXY), read_octets(&octets))
                    .unwrap();
                phone.drain(now);
            }
            self.phones[at].wake(now);
        }
        self.bench.tick();
        true
    }

    fn run(&mut self, until: impl Fn(&Self) -> bool) {
        for _ in 0..100_000 {
            if until(self) || !self.step() {
                return;
            }
        }
        panic!("it never rests");
    }

    fn check(&self) -> Vec<u16> {
        assert!(self.bench.is_quiet(), "nothing stays behind");
        assert!(self.phones.iter().all(|phone| phone.engine.is_empty()));
        assert_eq!(self.bench.ended.len(), 1);
        self.phones[0].heard.get(&1).cloned().unwrap_or_default()
    }
}

#[test]
fn foul_weather_calls_that_are_answered() {
    let mut through = 0;
    for seed in 0..40 {
        let mut world = World::new(&[Does::Says(200), Does::Rings], Weather::FOUL, seed);
        world.phones[0].call(0, "INVITE");
        world.run(|_| false);
        let heard = world.check();
        // Lost for good, at times, is a CANCEL or a whole branch; never the truth.
        assert!(
            heard.iter().all(|status| *status == 200),
            "{seed}: {heard:?}"
        );
        through += usize::from(!heard.is_empty() && world.phones[1].acknowledged > 0);
        assert!(world.phones[2].cancelled, "{seed}: the other phone stops");
    }
    assert_eq!(through, 40, "all of them, acknowledged");
}

#[test]
fn foul_weather_calls_that_fail() {
    for seed in 0..40 {
        let mut world = World::new(&[Does::Says(486), Does::Says(404)], Weather::FOUL, seed);
        world.phones[0].call(0, "INVITE");
        world.run(|_| false);
        let heard = world.check();
        assert_eq!(heard.len(), 1, "{seed}");
        assert!([486, 404].contains(&heard[0]), "{seed}: {heard:?}");
    }
}

#[test]
fn foul_weather_calls_that_are_cancelled() {
    for seed in 0..40 {
        let mut world = World::new(&[Does::Rings, Does::Rings], Weather::FOUL, seed);
        let tx = world.phones[0].call(0, "INVITE");
        world.run(|world| world.phones[1].ringing.is_some() && world.phones[2].ringing.is_some());
        let now = world.now();
        world.phones[0].engine.cancel(now, tx);
        world.phones[0].drain(now);
        world.run(|_| false);
        assert_eq!(world.check(), [487], "{seed}");
        assert!(
            world.phones[1].cancelled && world.phones[2].cancelled,
            "{seed}"
        );
    }
}

#[test]
fn foul_weather_other_requests() {
    for seed in 0..40 {
        let mut world = World::new(&[Does::Says(200), Does::Says(200)], Weather::FOUL, seed);
        world.phones[0].call(0, "MESSAGE");
        world.run(|_| false);
        assert_eq!(world.check(), [200], "{seed}");
    }
}

#[test]
fn a_cut_link_to_the_phones_is_told_in_time() {
    let mut world = World::new(&[Does::Says(200)], Weather::FAIR, 1);
    world.links[1].0.set_weather(Weather::CUT);
    world.links[1].1.set_weather(Weather::CUT);
    world.phones[0].call(0, "INVITE");
    world.run(|_| false);
    assert_eq!(world.check(), [408]);
}
