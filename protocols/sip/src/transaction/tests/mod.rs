//! Section 17 on virtual time.

mod client;
mod lossy;
mod server;

use std::net::SocketAddr;

use bytes::Bytes;

use super::*;
use crate::flow::{Flow, Transport};

pub(super) type Text = String;

pub(super) fn flow(transport: Transport) -> Flow {
    let peer: SocketAddr = "192.0.2.7:5060".parse().unwrap();
    Flow {
        transport,
        peer,
        id: 1,
    }
}

pub(super) const UDP: Transport = Transport::Udp;
pub(super) const TCP: Transport = Transport::Tcp;

pub(super) fn engine() -> Engine<Text> {
    Engine::new(Settings::default(), [1, 2])
}

/// Reads the messages that the tests write: one header a line, no folding.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) start: String,
    via: String,
    branch: String,
    call_id: String,
    cseq: u32,
    cseq_method: String,
    from_tag: String,
    to: String,
    credentials: Credentials,
}

pub(super) fn parse(text: &str) -> Parsed {
    let head = text.split("\r\n\r\n").next().unwrap();
    let mut lines = head.lines();
    let start = lines.next().unwrap().to_owned();
    let header = |name: &str| {
        let prefix = format!("{name}: ");
        let found = head.lines().find_map(|line| line.strip_prefix(&prefix));
        found.unwrap_or("").to_owned()
    };
    let via = header("Via");
    let branch = via.split(";branch=").nth(1).unwrap_or("").to_owned();
    let cseq = header("CSeq");
    let (number, method) = cseq.split_once(' ').unwrap();
    Parsed {
        start,
        branch,
        call_id: header("Call-ID"),
        cseq: number.parse().unwrap(),
        cseq_method: method.to_owned(),
        from_tag: header("From")
            .split(";tag=")
            .nth(1)
            .unwrap_or("")
            .to_owned(),
        to: header("To"),
        credentials: if head.contains("\r\nAuthorization: ") {
            Credentials::Present
        } else {
            Credentials::Absent
        },
        via,
    }
}

impl Parsed {
    pub(super) fn method(&self) -> &str {
        self.start.split(' ').next().unwrap()
    }

    pub(super) fn facts(&self) -> RequestFacts<'_> {
        RequestFacts {
            method: self.method().as_bytes(),
            uri: self.start.split(' ').nth(1).unwrap().as_bytes(),
            via: self.via.as_bytes(),
            sent_by: b"client.example:5060",
            branch: (!self.branch.is_empty()).then_some(self.branch.as_bytes()),
            call_id: self.call_id.as_bytes(),
            cseq: self.cseq,
            from_tag: Some(self.from_tag.as_bytes()),
            credentials: self.credentials,
        }
    }

    pub(super) fn status(&self) -> u16 {
        self.method().strip_prefix("SIP/2.0").map_or(0, |_| {
            self.start.split(' ').nth(1).unwrap().parse().unwrap()
        })
    }

    pub(super) fn response_facts(&self) -> ResponseFacts<'_> {
        ResponseFacts {
            status: self.status(),
            branch: self.branch.as_bytes(),
            method: self.cseq_method.as_bytes(),
            to: self.to.as_bytes(),
        }
    }
}

pub(super) fn request(method: &str, branch: &str) -> String {
    format!(
        "{method} sip:bob@example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP client.example:5060;branch={branch}\r\n\
         From: <sip:alice@example.com>;tag=a1\r\nTo: <sip:bob@example.com>\r\n\
         Call-ID: call-{branch}\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    )
}

pub(super) fn response(status: u16, to: &str) -> String {
    let head = to.split_once("\r\n").unwrap().1;
    let head = head.replace(
        "To: <sip:bob@example.com>",
        "To: <sip:bob@example.com>;tag=b1",
    );
    format!("SIP/2.0 {status} Some\r\n{head}")
}

pub(super) fn receive(engine: &mut Engine<Text>, now: u64, text: &str, transport: Transport) {
    let parsed = parse(text);
    let flow = flow(transport);
    let message = text.to_owned();
    if parsed.status() == 0 {
        let facts = parsed.facts();
        engine.handle(
            now,
            Input::Request {
                facts,
                flow,
                reply: flow,
                message,
            },
        );
    } else {
        let facts = parsed.response_facts();
        engine.handle(
            now,
            Input::Response {
                facts,
                flow,
                message,
            },
        );
    }
}

/// Short form of what came out: "send METHOD|STATUS", or the event.
pub(super) fn drain(engine: &mut Engine<Text>) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        seen.push(match engine.poll() {
            Output::Idle { .. } => return seen,
            Output::Send { bytes, .. } => {
                let parsed = parse(std::str::from_utf8(&bytes).unwrap());
                match parsed.status() {
                    0 => format!("send {}", parsed.method()),
                    status => format!("send {status}"),
                }
            }
            Output::Event(event) => match event {
                Event::Request { .. } => "request".to_owned(),
                Event::Ack { tx, .. } => format!("ack {}", tx.is_some()),
                Event::Cancel { target, .. } => format!("cancel {}", target.is_some()),
                Event::Overloaded { .. } => "overloaded".to_owned(),
                Event::TryingDue { .. } => "trying due".to_owned(),
                Event::Response { status, .. } => format!("response {status}"),
                Event::Stray { .. } => "stray".to_owned(),
                Event::Failed { why, .. } => format!("failed {why:?}"),
                Event::Expired { .. } => "expired".to_owned(),
                Event::Unacknowledged { .. } => "unacknowledged".to_owned(),
            },
        });
    }
}

/// As [`drain`], for a request whose transaction is wanted.
pub(super) fn accept(engine: &mut Engine<Text>, now: u64, text: &str, on: Transport) -> TxId {
    receive(engine, now, text, on);
    let Output::Event(Event::Request { tx, .. }) = engine.poll() else {
        panic!("no request");
    };
    assert!(matches!(engine.poll(), Output::Idle { .. }));
    tx
}

pub(super) fn wake_at(engine: &mut Engine<Text>) -> Option<u64> {
    match engine.poll() {
        Output::Idle { wake_at } => wake_at,
        other => panic!("not idle: {other:?}"),
    }
}

/// Runs the timers up to `until` and tells what happened when.
pub(super) fn timeline(engine: &mut Engine<Text>, until: u64) -> Vec<(u64, String)> {
    let mut seen = Vec::new();
    while let Some(at) = wake_at(engine).filter(|at| *at <= until) {
        engine.handle(at, Input::Tick);
        seen.extend(drain(engine).into_iter().map(|what| (at, what)));
    }
    seen
}

pub(super) fn times(line: &[(u64, String)], what: &str) -> Vec<u64> {
    line.iter()
        .filter(|(_, seen)| seen == what)
        .map(|(at, _)| *at)
        .collect()
}

pub(super) fn octets(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
