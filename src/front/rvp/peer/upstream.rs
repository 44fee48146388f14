//! One watcher's subscription at another server: made, renewed and ended in his name, and what it
//! tells shown to him alone.

use super::exchange::{Fault, Got, Outgoing};
use super::upkeep::PAUSE;
use super::{Pair, Peers, Route, lock};
use crate::core::access::Scheme;
use crate::core::address::Address;
use crate::core::command::{Caller, Command, PropertyValue, Route as Way};
use crate::core::id::PersonId;
use crate::core::presence::{Presence, State};
use crate::front::rvp::translate;
use crate::hub::ReplyTo;
use bytes::Bytes;
use hyper::Method;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use rvp::document::{Change, Multistatus, Property, PropertyUpdate};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Lease asked for.
const LEASE: Duration = Duration::from_secs(3600);
/// What a server said to a subscription or a renewal.
pub(super) struct Answered {
    pub(super) pair: Pair,
    pub(super) key: Arc<str>,
    pub(super) renewal: bool,
    pub(super) result: Result<Got, Fault>,
}

/// What is known of a subscription where notifications arrive.
#[derive(Default)]
pub(super) struct Live {
    /// Its id; `None` = being made.
    id: Option<String>,
    /// It has told something already.
    told: bool,
}

/// One watcher's view of a person at another server.
pub(super) struct Watched {
    pub(super) person: PersonId,
    pub(super) route: Route,
    pub(super) state: Subscription,
    pub(super) pause: Duration,
    pub(super) offline: bool,
    pub(super) since: Instant,
}

pub(super) enum Subscription {
    /// To be made when the server has time.
    Waiting,
    /// Asked, not answered yet.
    Asked,
    /// Subscribed until then; `busy` = to be renewed, or being renewed.
    Live {
        id: String,
        renew: Instant,
        busy: bool,
    },
    /// To be tried again then.
    Down(Instant),
}

impl Peers {
    pub(super) fn subscribe(
        self: &Arc<Self>,
        pair: &Pair,
        watched: &Watched,
        answers: &mpsc::UnboundedSender<Answered>,
    ) {
        lock(&self.live).insert(pair.clone(), Live::default());
        let headers = [
            ("notification-type", "update/propchange".to_owned()),
            ("call-back", self.href(&pair.1)),
            ("subscription-lifetime", LEASE.as_secs().to_string()),
        ];
        let answers = Some((answers, false));
        self.request("SUBSCRIBE", pair, &watched.route, &headers, answers);
    }

    pub(super) fn renew(
        self: &Arc<Self>,
        pair: &Pair,
        watched: &Watched,
        id: &str,
        answers: &mpsc::UnboundedSender<Answered>,
    ) {
        let headers = [
            ("subscription-id", id.to_owned()),
            ("subscription-lifetime", LEASE.as_secs().to_string()),
        ];
        let answers = Some((answers, true));
        self.request("SUBSCRIBE", pair, &watched.route, &headers, answers);
    }

    pub(super) fn unsubscribe(self: &Arc<Self>, pair: &Pair, key: &Arc<str>, id: String) {
        let route = self.route(&pair.0).filter(|route| route.key == *key);
        if let Some(route) = route {
            let headers = [("subscription-id", id)];
            self.request("UNSUBSCRIBE", pair, &route, &headers, None);
        }
    }

    /// `answers`: where the answer goes, and whether it is to a renewal; `None` = nobody waits.
    fn request(
        self: &Arc<Self>,
        method: &str,
        pair: &Pair,
        route: &Route,
        special: &[(&'static str, String)],
        answers: Option<(&mpsc::UnboundedSender<Answered>, bool)>,
    ) {
        let (of, by) = pair;
        let answers = answers.map(|(answers, renewal)| (answers.clone(), renewal));
        let (key, about) = (Arc::clone(&route.key), pair.clone());
        let done: super::link::Done = Box::new(move |result| {
            let Some((answers, renewal)) = answers else {
                return;
            };
            let answered = Answered {
                pair: about,
                key,
                renewal,
                result,
            };
            // Nobody listens only when we stop.
            let _ = answers.send(answered);
        });
        let mut headers = HeaderMap::new();
        let general = [
            ("rvp-notifications-version", "0.2".to_owned()),
            ("rvp-from-principal", self.href(by)),
        ];
        for (name, value) in general.iter().chain(special) {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        let (Some(node), Ok(method)) = (self.node(of), Method::from_bytes(method.as_bytes()))
        else {
            return done(Err(Fault::Request));
        };
        let wanted = Outgoing {
            method,
            node,
            headers,
            body: Bytes::new(),
        };
        self.links.send(route, &of.to_string(), wanted, done);
    }

    pub(super) fn subscribed(&self, pair: &Pair, watched: &mut Watched, got: &Got, renewal: bool) {
        let lease = header(got, "subscription-lifetime").and_then(|text| text.parse().ok());
        let lease = Duration::from_secs(lease.unwrap_or(LEASE.as_secs())).min(LEASE);
        let renew = Instant::now() + lease.mul_f32(0.8).max(Duration::from_secs(1));
        if renewal {
            if let Subscription::Live {
                renew: at, busy, ..
            } = &mut watched.state
            {
                (*at, *busy) = (renew, false);
            }
            return;
        }
        let (of, by) = pair;
        let Some(id) = subscription_id(got) else {
            tracing::warn!(%of, %by, peer = %watched.route.key, "a subscription without an id");
            return self.down(pair, watched, PAUSE);
        };
        let told = {
            let mut live = lock(&self.live);
            let known = live.entry(pair.clone()).or_default();
            known.id = Some(id.clone());
            known.told
        };
        watched.state = Subscription::Live {
            id,
            renew,
            busy: false,
        };
        watched.pause = Duration::ZERO;
        watched.offline = false;
        tracing::debug!(%of, %by, peer = %watched.route.key, "watching");
        if told {
            // A notification that came before the answer is newer than it (`rvp.md` 7).
            return;
        }
        match Multistatus::parse(&got.body, self.body) {
            Ok(found) => {
                let update = PropertyUpdate::set(found.properties().cloned());
                self.learn(pair, watched.person, &update);
            }
            Err(error) => tracing::info!(%of, %error, "the answer tells no presence"),
        }
    }

    pub(super) fn down(&self, pair: &Pair, watched: &mut Watched, pause: Duration) {
        watched.pause = pause;
        watched.state = Subscription::Down(Instant::now() + pause);
        lock(&self.live).remove(pair);
    }

    pub(super) fn show_offline(&self, pair: &Pair, watched: &mut Watched) {
        if !std::mem::replace(&mut watched.offline, true) {
            let offline = Presence::of(State::Offline);
            self.show(pair, watched.person, Some(offline));
        }
    }

    /// A change that another server tells one of ours; `false` if it is not for the stand-in, but
    /// for a client that subscribed there by itself.
    pub(in super::super) fn notified(
        &self,
        of: &Address,
        by: &Address,
        id: Option<&str>,
        update: &PropertyUpdate,
    ) -> bool {
        let pair = (of.clone(), by.clone());
        let known = match lock(&self.live).get_mut(&pair) {
            // It may tell before it answers (`rvp.md` 7).
            Some(live) => {
                let ours = live.id.is_none() || id.is_none() || live.id.as_deref() == id;
                live.told |= ours;
                ours
            }
            None => false,
        };
        if !known {
            return false;
        }
        let person = self.stand_ins.person(of);
        if let Some(person) = person {
            self.learn(&pair, person, update);
        }
        person.is_some()
    }

    fn learn(&self, pair: &Pair, person: PersonId, update: &PropertyUpdate) {
        let mut changes = Vec::new();
        for change in &update.changes {
            match change {
                Change::Set(Property::State(value)) => {
                    self.show(pair, person, Some(translate::presence(&value.state)));
                }
                Change::Set(property @ (Property::DisplayName(_) | Property::Email(_))) => {
                    let value: Option<PropertyValue> = translate::value(property);
                    changes.push((translate::name(&property.name()), value));
                }
                Change::Set(_) | Change::Remove(_) => {}
            }
        }
        if !changes.is_empty() {
            self.order_of(&pair.0, person, Command::SetProperties { changes });
        }
    }

    pub(super) fn show(&self, (of, by): &Pair, person: PersonId, presence: Option<Presence>) {
        let command = Command::ShowTo {
            watcher: by.clone(),
            presence,
        };
        self.order_of(of, person, command);
    }

    fn order_of(&self, of: &Address, person: PersonId, command: Command) {
        self.hub
            .send(person, internal(of), command, ReplyTo::Nobody);
    }
}

fn header<'g>(got: &'g Got, name: &str) -> Option<&'g str> {
    let value = got.headers.get(name)?.to_str().ok()?;
    Some(value.trim())
}

pub(super) fn subscription_id(got: &Got) -> Option<String> {
    header(got, "subscription-id").map(str::to_owned)
}

pub(super) fn internal(address: &Address) -> Caller {
    Caller {
        address: address.clone(),
        person: None,
        scheme: Scheme::Internal,
        route: Way::Internal,
    }
}
