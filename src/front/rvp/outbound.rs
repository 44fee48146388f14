//! The core's events, as NOTIFYs to clients, and what became of them.
//!
//! Events are only sorted here, on the shard that emits them; documents are written by the task of
//! the inbox they go to.

use super::RVP;
use super::callback::outgoing::{Outgoing, Writer};
use super::callback::queue::{Dialler, Fate, Job, Post, Work};
use super::encoding::Dialects;
use super::handle::Wire;
use super::names::Names;
use super::peer::Peers;
use super::{render, status};
use crate::core::access::Scheme;
use crate::core::address::Address;
use crate::core::command::{Caller, Command, Condition, Outcome, PointChange, Register, Route};
use crate::core::event::{Event, Outbound};
use crate::core::id::PersonId;
use crate::core::message::Message;
use crate::hub::{Hub, ReplyTo, Resolution};
use std::sync::Arc;

/// Writes requests and reports results.
pub(super) struct Postman {
    pub(super) hub: Hub,
    pub(super) names: Names,
    pub(super) dialects: Arc<Dialects>,
    /// Address that speaks for the server.
    pub(super) system: Address,
}

/// Takes events from shards.
pub(super) struct Outbox {
    pub(super) hub: Hub,
    pub(super) dialler: Dialler,
    pub(super) postman: Arc<Postman>,
    pub(super) peers: Arc<Peers>,
}

impl Outbound for Outbox {
    fn take(&self, event: Event) {
        let Some(event) = self.peers.take(event) else {
            return;
        };
        match event {
            Event::Deliver {
                person,
                point,
                message,
                redelivered,
                away,
            } => {
                let endpoint = Wire::endpoint_of(&point.handle);
                let work = Work::Message {
                    message,
                    redelivered,
                    away,
                };
                let job = Job {
                    person,
                    point: Some(point),
                    work,
                };
                match endpoint {
                    Some(endpoint) => self.dialler.push(endpoint, job),
                    None => self.postman.outcome(&job, Outcome::Unreached),
                }
            }
            Event::InboxPresence {
                person,
                watcher,
                point,
                of,
                watch,
                change,
            } => {
                let Some(endpoint) = Wire::endpoint_of(&point.handle) else {
                    return;
                };
                let work = Work::Change {
                    watched: None,
                    of,
                    watcher,
                    watch,
                    change,
                };
                let job = Job {
                    person,
                    point: Some(point),
                    work,
                };
                self.dialler.push(endpoint, job);
            }
            Event::Presence {
                person,
                of,
                watcher,
                watch,
                handle,
                change,
            } => self.direct(person, of, watcher, (watch, handle), change),
            Event::Cancel { point, message } => self.dialler.cancel(point, message),
            Event::PointEnded { person, point } => {
                if let Some(endpoint) = Wire::endpoint_of(&point.handle) {
                    self.dialler.point_ended(person, endpoint, point.id);
                }
            }
            Event::PointRestored { person, point, .. } => {
                if let Some(endpoint) = Wire::endpoint_of(&point.handle) {
                    self.dialler.restored(person, endpoint);
                }
            }
            // Everything needed is in the events themselves.
            Event::WatchRestored { .. }
            | Event::ChatWants { .. }
            | Event::ChatEnded { .. }
            | Event::AccessChanged { .. }
            | Event::DocumentChanged { .. } => {}
        }
    }
}

impl Outbox {
    fn direct(
        &self,
        watched: PersonId,
        of: Address,
        watcher: Address,
        watch: (crate::core::id::WatchId, crate::core::id::Handle),
        change: crate::core::command::Change,
    ) {
        let Some(endpoint) = Wire::endpoint_of(&watch.1) else {
            return;
        };
        let Resolution::Local(account) = self.hub.directory().resolve(&watcher) else {
            return;
        };
        let work = Work::Change {
            watched: Some(watched),
            of,
            watcher,
            watch,
            change,
        };
        let job = Job {
            person: account.person,
            point: None,
            work,
        };
        self.dialler.push(endpoint, job);
    }
}

impl Post for Postman {
    fn request(&self, job: &Job) -> Option<Outgoing> {
        match &job.work {
            Work::Message { message, away, .. } => self.message(job, message, *away),
            Work::Change {
                of,
                watcher,
                watch,
                change,
                ..
            } => {
                let handle = job.point.as_ref().map_or(&watch.1, |point| &point.handle);
                let wire = Wire::read(handle)?;
                let body = render::change(self, &wire, of, watcher, change)?;
                let head = Head {
                    from: self.names.href(of, &wire.spoken),
                    subscription: watch.0.0,
                    ack: "SingleHop",
                    hops: 1,
                };
                finish(self::head(&wire, &head, body.len()), &body)
            }
        }
    }

    fn unproven(&self, job: &Job) {
        if let Some(point) = &job.point {
            let command = Command::Register(Register {
                stack: point.stack,
                lineage: None,
                changes: vec![PointChange::RemoveId(point.id)],
            });
            self.send(job.person, command);
        }
    }

    fn report(&self, job: &Job, fate: Fate) {
        match &job.work {
            Work::Message { message, .. } => {
                let outcome = match fate {
                    // Typing that has stopped, receipts: RVP has no word for them.
                    Fate::Nothing if message.content.ephemeral() => Outcome::Delivered,
                    fate => status::of_fate(fate),
                };
                self.outcome(job, outcome);
            }
            Work::Change { watched, watch, .. } => {
                if let Some(point) = &job.point {
                    let alive = match fate {
                        Fate::Answered(_) if point.condition == Condition::Doubted => true,
                        Fate::Unanswered(_) | Fate::GivenUp => false,
                        Fate::Answered(_) | Fate::Nothing | Fate::QueueFull => return,
                    };
                    let command = Command::Health {
                        point: point.id,
                        alive,
                    };
                    self.send(job.person, command);
                } else if let (Fate::GivenUp, Some(watched)) = (fate, watched) {
                    let command = Command::Unwatch {
                        watch: watch.0,
                        notify: false,
                    };
                    self.send(*watched, command);
                }
            }
        }
    }
}

impl Postman {
    fn message(&self, job: &Job, message: &Message, away: bool) -> Option<Outgoing> {
        let point = job.point.as_ref()?;
        let wire = Wire::read(&point.handle)?;
        let at = wire.endpoint.map(|endpoint| endpoint.ip());
        let form = self.dialects.form(job.person, at, &wire.agent);
        let body = if away {
            render::late(self, &wire, message, form)
        } else {
            render::message(self, &wire, message, form)
        }?;
        self.hub.rendered(message.id, point.id, &body);
        let head = Head {
            from: self.names.href(&message.from, &wire.spoken),
            subscription: point.id.0,
            ack: "DeepOr",
            hops: message.hops.saturating_add(1),
        };
        finish(self::head(&wire, &head, body.len()), &body)
    }

    fn outcome(&self, job: &Job, outcome: Outcome) {
        if let (Work::Message { message, .. }, Some(point)) = (&job.work, &job.point) {
            let command = Command::Outcome {
                message: message.id,
                point: point.id,
                outcome,
            };
            self.send(job.person, command);
        }
    }

    pub(super) fn send(&self, person: PersonId, command: Command) {
        let caller = Caller {
            address: self.system.clone(),
            person: None,
            scheme: Scheme::Internal,
            route: Route::Internal,
        };
        self.hub.send(person, caller, command, ReplyTo::Nobody);
    }

    /// The name that is shown for an address of ours.
    pub(super) fn display_name(&self, address: &Address) -> String {
        match self.hub.directory().resolve(address) {
            Resolution::Local(account) => super::translate::display_name(&account),
            Resolution::UnknownUser | Resolution::Foreign => address.local().to_owned(),
        }
    }
}

/// What differs between NOTIFYs.
pub(super) struct Head {
    pub(super) from: String,
    pub(super) subscription: u32,
    pub(super) ack: &'static str,
    pub(super) hops: u8,
}

/// The head that all NOTIFYs have, for a body of that many octets.
///
/// COMPAT(libraries): some listeners look at exactly these headers; never more than needed and
/// never credentials. Names are in Title-Case as everywhere (`decisions.md` 37).
pub(super) fn head(wire: &Wire, head: &Head, body: usize) -> Writer {
    Writer::new("NOTIFY", &wire.target, body)
        .field("Host", &wire.host)
        .field("Rvp-Notifications-Version", &wire.version)
        .field("Rvp-From-Principal", &head.from)
        .field("Rvp-Ack-Type", head.ack)
        .field("Rvp-Hop-Count", head.hops)
        .field("Subscription-Id", head.subscription)
        .field("Content-Type", "text/xml")
}

pub(super) fn finish(head: Writer, body: &[u8]) -> Option<Outgoing> {
    head.body(body)
        .inspect_err(|field| tracing::warn!(field, stack = %RVP, "NOTIFY can't be written"))
        .ok()
}
