//! Both ends on a link with weather: whatever happens on the way, a request is seen once, its
//! sender hears one final word, and nothing stays behind.

use std::collections::BTreeMap;

use testkit::{Endpoint, Pair, Step, Weather};

use super::*;

/// An engine with a transaction user that answers each request after a while.
struct Node {
    engine: Engine<Text>,
    transport: Transport,
    think: u64,
    status: u16,
    pending: Vec<(u64, TxId, String)>,
}

impl Node {
    fn new(think: u64, status: u16) -> Self {
        Self {
            engine: engine(),
            transport: UDP,
            think,
            status,
            pending: Vec::new(),
        }
    }

    fn ask(&mut self, now: u64, method: &str, n: u64) {
        let branch = format!("z9hG4bK{n}");
        let text = request(method, &branch);
        self.engine.start(
            now,
            Outgoing {
                method: method.as_bytes(),
                branch: branch.as_bytes(),
                flow: flow(self.transport),
                bytes: octets(&text),
                token: n,
            },
        );
    }

    fn answer_due(&mut self, now: u64) {
        while let Some(at) = self.pending.iter().position(|(at, ..)| *at <= now) {
            let (_, tx, text) = self.pending.remove(at);
            let _ = self.engine.respond(
                now,
                tx,
                self.status,
                octets(&response(self.status, &text)),
                Retention::Transaction,
            );
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    Request(String),
    Final(u64, u16),
    Failed(u64),
    Unacknowledged,
}

impl Endpoint for Node {
    type Event = Seen;

    fn receive(&mut self, now: u64, bytes: &[u8]) {
        receive(
            &mut self.engine,
            now,
            std::str::from_utf8(bytes).unwrap(),
            self.transport,
        );
    }

    fn wake(&mut self, now: u64) {
        self.answer_due(now);
        self.engine.handle(now, Input::Tick);
    }

    fn poll(&mut self, now: u64) -> Step<Seen> {
        loop {
            match self.engine.poll() {
                Output::Send { bytes, .. } => return Step::Send(bytes.to_vec()),
                Output::Event(Event::Request { tx, message, .. }) => {
                    self.pending.push((now + self.think, tx, message.clone()));
                    return Step::Event(Seen::Request(parse(&message).branch));
                }
                Output::Event(Event::Response { token, status, .. }) if status >= 200 => {
                    return Step::Event(Seen::Final(token, status));
                }
                Output::Event(Event::Failed { token, .. }) => {
                    return Step::Event(Seen::Failed(token));
                }
                Output::Event(Event::Unacknowledged { .. }) => {
                    return Step::Event(Seen::Unacknowledged);
                }
                Output::Event(_) => {}
                Output::Idle { wake_at } => {
                    let answer = self.pending.iter().map(|(at, ..)| *at).min();
                    return Step::Idle([answer, wake_at].into_iter().flatten().min());
                }
            }
        }
    }
}

fn run(method: &str, think: u64, status: u16, weather: Weather, seed: u64) -> Pair<Node, Node> {
    let mut pair = Pair::new(Node::new(0, 200), Node::new(think, status), weather, seed);
    for n in 0..20 {
        pair.a.ask(pair.now, method, n);
        pair.run_until(pair.now + 50);
    }
    assert!(pair.run_idle(100_000), "it rests in the end");
    pair
}

fn check(pair: &Pair<Node, Node>, status: u16) {
    assert!(
        pair.a.engine.is_empty() && pair.b.engine.is_empty(),
        "nothing stays behind"
    );
    let mut requests = BTreeMap::new();
    for (_, seen) in &pair.b_events {
        if let Seen::Request(branch) = seen {
            *requests.entry(branch.clone()).or_insert(0) += 1;
        }
    }
    assert!(requests.values().all(|count| *count == 1), "{requests:?}");
    let mut ends: Vec<u64> = Vec::new();
    for (_, seen) in &pair.a_events {
        match seen {
            Seen::Final(token, got) => {
                assert_eq!(*got, status);
                ends.push(*token);
            }
            Seen::Failed(token) => ends.push(*token),
            other => panic!("{other:?}"),
        }
    }
    ends.sort_unstable();
    assert_eq!(ends, (0..20).collect::<Vec<_>>(), "each ends once");
}

#[test]
fn foul_weather_other_requests() {
    for seed in 0..30 {
        let pair = run("MESSAGE", 700, 200, Weather::FOUL, seed);
        check(&pair, 200);
        let failed = pair
            .a_events
            .iter()
            .any(|(_, seen)| matches!(seen, Seen::Failed(_)));
        assert!(!failed, "a fifth lost each way is no reason to fail");
    }
}

#[test]
fn foul_weather_invites_that_fail() {
    for seed in 0..30 {
        let pair = run("INVITE", 100, 486, Weather::FOUL, seed);
        check(&pair, 486);
        assert!(
            !pair
                .b_events
                .iter()
                .any(|(_, seen)| *seen == Seen::Unacknowledged)
        );
    }
}

#[test]
fn a_cut_link_fails_all_in_time() {
    let pair = run("MESSAGE", 100, 200, Weather::CUT, 1);
    check(&pair, 200);
    assert_eq!(pair.b_events.len(), 0);
    assert!(
        pair.a_events
            .iter()
            .all(|(_, seen)| matches!(seen, Seen::Failed(_)))
    );
    assert_eq!(pair.a_events[0].0, 32_000);
}

/// Any sequence of operations: no panic, no transaction without an end, no wake-up in the past.
#[test]
fn operation_sequences() {
    bolero::check!()
        .with_type::<Vec<(u8, u8, u16)>>()
        .for_each(|operations| {
            let mut engine = engine();
            let mut now = 0;
            let mut known: Vec<TxId> = Vec::new();
            for (what, which, span) in operations.iter().take(200) {
                now += u64::from(*span);
                let method = ["INVITE", "MESSAGE", "ACK", "CANCEL"][usize::from(which & 3)];
                let text = request(method, &format!("z9hG4bK{}", which >> 4));
                let on = if which & 4 == 0 { UDP } else { TCP };
                let status = [100, 180, 200, 407, 486, 408][usize::from(what % 6)];
                let tx = known.get(usize::from(*which) % known.len().max(1)).copied();
                match (what >> 4, tx) {
                    (0..=4, _) => receive(&mut engine, now, &text, on),
                    (5..=6, _) if method != "ACK" => {
                        let branch = format!("z9hG4bK{}", which >> 4);
                        known.push(engine.start(
                            now,
                            Outgoing {
                                method: method.as_bytes(),
                                branch: branch.as_bytes(),
                                flow: flow(on),
                                bytes: octets(&text),
                                token: 1,
                            },
                        ));
                    }
                    (7..=8, _) => receive(&mut engine, now, &response(status, &text), on),
                    (9..=11, Some(tx)) => {
                        let keep = if which & 8 == 0 {
                            Retention::Transaction
                        } else {
                            Retention::Stateless
                        };
                        let _ =
                            engine.respond(now, tx, status, octets(&response(status, &text)), keep);
                    }
                    (12, Some(tx)) => engine.cancel(now, tx),
                    (13, Some(tx)) => engine.handle(now, Input::SendFailed { tx }),
                    (14, Some(tx)) => engine.forget(tx),
                    (15, _) => engine.handle(now, Input::FlowClosed { flow: 1 }),
                    _ => engine.handle(now, Input::Tick),
                }
                loop {
                    match engine.poll() {
                        Output::Event(Event::Request { tx, .. } | Event::Cancel { tx, .. }) => {
                            known.push(tx);
                        }
                        Output::Event(_) | Output::Send { .. } => {}
                        Output::Idle { .. } => break,
                    }
                }
            }
            let mut steps = 0;
            engine.handle(now, Input::Tick);
            drain(&mut engine);
            while let Some(at) = wake_at(&mut engine) {
                assert!(at > now, "timers due by now have fired");
                now = at;
                engine.handle(now, Input::Tick);
                drain(&mut engine);
                steps += 1;
                assert!(steps < 20_000, "it never rests");
            }
            assert!(engine.is_empty());
            assert!(engine.store.flows_is_empty());
        });
}
