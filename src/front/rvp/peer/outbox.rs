//! What the core says to people at other servers: NOTIFYs to their logical URLs.

use super::exchange::{Fault, Got, Outgoing};
use super::{Peers, lock, wire};
use crate::core::address::Address;
use crate::core::command::{Change, Command, Outcome, Refusal};
use crate::core::event::Event;
use crate::core::id::{PersonId, PointId, WatchId};
use crate::core::message::{Ack, Message};
use crate::front::rvp::callback::queue::Fate;
use crate::front::rvp::handle::Wire;
use crate::front::rvp::{render, status};
use bytes::Bytes;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use rvp::text::Form;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Changes that wait for a server to come back; beyond it the newest are dropped (the watcher's
/// server subscribes anew when it comes back).
const OWED: usize = 10_000;

/// Changes that a server did not take, newest per watch.
#[derive(Default)]
pub(super) struct Owed {
    changes: Mutex<HashMap<WatchId, Telling>>,
}

/// A change for somebody at another server.
#[derive(Clone)]
pub(super) struct Telling {
    of: Address,
    to: Address,
    watch: WatchId,
    change: Change,
}

impl Peers {
    /// Takes an event for somebody at another server; gives back all others.
    pub(in super::super) fn take(self: &Arc<Self>, event: Event) -> Option<Event> {
        match event {
            Event::Deliver {
                person,
                ref point,
                ref message,
                ..
            } => {
                let Some(to) = wire::read(&point.handle) else {
                    return Some(event);
                };
                self.deliver(person, point.id, &to, message);
            }
            Event::Presence {
                ref of,
                watch,
                ref handle,
                ref change,
                ..
            } => {
                let Some(to) = wire::read(handle) else {
                    return Some(event);
                };
                self.change(of, to, watch, change);
            }
            Event::InboxPresence {
                ref point,
                ref of,
                ref watch,
                ref change,
                ..
            } => {
                let Some(to) = wire::read(&point.handle) else {
                    return Some(event);
                };
                self.change(of, to, watch.0, change);
            }
            Event::PointEnded { ref point, .. } => {
                let Some(of) = wire::read(&point.handle) else {
                    return Some(event);
                };
                self.stand_ins.ended(&of);
            }
            Event::PointRestored { ref point, .. } => {
                wire::read(&point.handle)?;
                return None;
            }
            other => return Some(other),
        }
        None
    }

    fn deliver(
        self: &Arc<Self>,
        person: PersonId,
        point: PointId,
        to: &Address,
        message: &Arc<Message>,
    ) {
        let Some(postman) = self.writer() else { return };
        let id = message.id;
        let writer = Arc::clone(&postman);
        let report = move |outcome| {
            let command = Command::Outcome {
                message: id,
                point,
                outcome,
            };
            postman.send(person, command);
        };
        let form = Form::Characters;
        let Some(body) = render::message(&writer, &Wire::default(), message, form) else {
            // Typing that has stopped, receipts: RVP has no word for them.
            return report(if message.content.ephemeral() {
                Outcome::Delivered
            } else {
                Outcome::Refused(Refusal::Unsupported)
            });
        };
        writer.hub.rendered(id, point, &body);
        let ack = match message.ack {
            Ack::Hop => "SingleHop",
            Ack::Any => "DeepOr",
            Ack::All => "DeepAnd",
        };
        let head = Head {
            from: self.href(&message.from),
            ack,
            hops: message.hops.saturating_add(1),
            watch: None,
        };
        let done = Box::new(move |result: Result<Got, Fault>| report(outcome(&result)));
        self.post(to, &head, body, done);
    }

    fn change(self: &Arc<Self>, of: &Address, to: Address, watch: WatchId, change: &Change) {
        self.tell(Telling {
            of: of.clone(),
            to,
            watch,
            change: change.clone(),
        });
    }

    fn tell(self: &Arc<Self>, telling: Telling) {
        let Some(postman) = self.writer() else { return };
        let Telling {
            of,
            to,
            watch,
            change,
        } = &telling;
        let Some(body) = render::change(&postman, &Wire::default(), of, to, change) else {
            return;
        };
        let head = Head {
            from: self.href(of),
            ack: "SingleHop",
            hops: 2,
            watch: Some(*watch),
        };
        let (peers, watch, to) = (Arc::downgrade(self), *watch, to.clone());
        let done = Box::new(move |result: Result<Got, Fault>| {
            let Some(peers) = peers.upgrade() else { return };
            let mut owed = lock(&peers.owed.changes);
            match result {
                Ok(_) => drop(owed.remove(&watch)),
                // A newer one may have failed already.
                Err(_) if owed.len() < OWED => drop(owed.entry(watch).or_insert(telling)),
                Err(_) => {}
            }
        });
        self.post(&to, &head, body, done);
    }

    /// Sends once more what could not be sent, where the server does not rest.
    pub(super) fn pay(self: &Arc<Self>) {
        let mut owed = lock(&self.owed.changes);
        let due: Vec<WatchId> = owed
            .iter()
            .filter(|(_, telling)| {
                let route = self.route(&telling.to);
                route.is_none_or(|route| !self.links.rests(&route.key))
            })
            .map(|(watch, _)| *watch)
            .take(256)
            .collect();
        let due: Vec<Telling> = due.iter().filter_map(|watch| owed.remove(watch)).collect();
        drop(owed);
        for telling in due {
            self.tell(telling);
        }
    }

    fn post(&self, to: &Address, head: &Head, body: Bytes, done: super::link::Done) {
        let (Some(route), Some(node), Some(headers)) =
            (self.route(to), self.node(to), head.headers())
        else {
            return done(Err(Fault::Nowhere));
        };
        let wanted = Outgoing {
            method: notify(),
            node,
            headers,
            body,
        };
        self.links.send(&route, &to.to_string(), wanted, done);
    }
}

fn notify() -> Method {
    // The name is a token, whatever else happens.
    Method::from_bytes(b"NOTIFY").unwrap_or(Method::POST)
}

struct Head {
    from: String,
    ack: &'static str,
    hops: u8,
    watch: Option<WatchId>,
}

impl Head {
    fn headers(&self) -> Option<HeaderMap> {
        let mut headers = HeaderMap::with_capacity(8);
        let mut put = |name, value| headers.insert(HeaderName::from_static(name), value);
        put("rvp-notifications-version", HeaderValue::from_static("0.2"));
        put(
            "rvp-from-principal",
            HeaderValue::from_str(&self.from).ok()?,
        );
        put("rvp-ack-type", HeaderValue::from_static(self.ack));
        put("rvp-hop-count", u16::from(self.hops).into());
        if let Some(watch) = self.watch {
            put("subscription-id", watch.0.into());
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/xml"));
        Some(headers)
    }
}

/// What a server's answer to a message means. No failure of a server casts doubt on the way to
/// it: the breaker does that better (`decisions.md` 14 is about clients).
fn outcome(result: &Result<Got, Fault>) -> Outcome {
    match result {
        Ok(got) => match got.status {
            // Its own trouble; 500 alone says that the person has left.
            401 | 501..=599 => Outcome::Refused(Refusal::Unavailable),
            answered => status::of_fate(Fate::Answered(answered)),
        },
        Err(Fault::Full) => Outcome::QueueFull,
        Err(_) => Outcome::Refused(Refusal::Unavailable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decision_23_answers_of_servers() {
        let got = |status| {
            Ok(Got {
                status,
                headers: HeaderMap::new(),
                body: Bytes::new(),
            })
        };
        for (result, want) in [
            (got(200), Outcome::Delivered),
            (got(500), Outcome::HasLeft),
            (got(401), Outcome::Refused(Refusal::Unavailable)),
            (got(302), Outcome::Refused(Refusal::Unavailable)),
            (got(404), Outcome::Refused(Refusal::UnknownUser)),
            (got(412), Outcome::Refused(Refusal::Unavailable)),
            (got(413), Outcome::Refused(Refusal::TooLarge)),
            (got(403), Outcome::Refused(Refusal::Denied)),
            (got(502), Outcome::Refused(Refusal::Unavailable)),
            (got(503), Outcome::Refused(Refusal::Unavailable)),
            (Err(Fault::Late), Outcome::Refused(Refusal::Unavailable)),
            (Err(Fault::Denied), Outcome::Refused(Refusal::Unavailable)),
            (Err(Fault::TooLarge), Outcome::Refused(Refusal::Unavailable)),
            (Err(Fault::Full), Outcome::QueueFull),
        ] {
            assert_eq!(outcome(&result), want, "{result:?}");
        }
    }
}
