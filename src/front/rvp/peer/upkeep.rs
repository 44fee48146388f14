//! Presence of people at other servers: one subscription per person there, shared by everybody
//! here who watches, held as long as somebody does.
//!
//! One task owns all of it. A subscription is made in the name of the first watcher with his
//! logical URL as Call-Back, so that the other server tells ours. Once per `peer_check` one
//! subscription of each server is renewed: that is how we notice that a server is gone (its
//! people are shown offline) or has forgotten us (subscribed anew).

use super::exchange::{Fault, Got, Outgoing};
use super::{Peers, Route, inbox, lock};
use crate::core::access::Scheme;
use crate::core::address::Address;
use crate::core::command::{
    Caller, Command, PointHint, PropertyValue, Publish, Reply, Route as Way,
};
use crate::core::id::PersonId;
use crate::core::presence::{Presence, State};
use crate::front::RVP;
use crate::front::rvp::translate;
use crate::hub::{ReplyTo, Resolution};
use bytes::Bytes;
use hyper::Method;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use rvp::document::{Change, Multistatus, Property, PropertyUpdate};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Lease asked for.
const LEASE: Duration = Duration::from_secs(3600);
/// Longest pause between two attempts; a refusal waits that long at once.
const PAUSE: Duration = Duration::from_secs(60);
/// Ticks between two looks at whether anybody still watches.
const LOOKS: u32 = 8;

/// What the upkeep is told.
#[derive(Debug)]
pub(super) enum Order {
    /// Somebody watches.
    Watch {
        of: Address,
        person: PersonId,
        by: Option<Address>,
    },
    /// A subscription was answered.
    Answered {
        of: Address,
        renewal: bool,
        result: Result<Got, Fault>,
    },
}

/// A person at another server.
struct Watched {
    person: PersonId,
    by: Address,
    route: Route,
    state: Subscription,
    pause: Duration,
    offline: bool,
}

enum Subscription {
    /// Asked, not answered yet.
    Asked,
    /// Subscribed until then.
    Live { id: String, renew: Instant },
    /// To be tried again then.
    Down(Instant),
}

struct Upkeep {
    peers: Arc<Peers>,
    watched: HashMap<Address, Watched>,
    /// Failures in a row, by server.
    failing: HashMap<Arc<str>, u32>,
    looks: u32,
}

/// Runs until dropped.
pub(super) async fn run(peers: Arc<Peers>, mut orders: mpsc::Receiver<Order>) {
    let mut tick = interval(peers.check);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut upkeep = Upkeep {
        peers,
        watched: HashMap::new(),
        failing: HashMap::new(),
        looks: 0,
    };
    upkeep.resume().await;
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(order) => upkeep.order(order).await,
                None => return,
            },
            _ = tick.tick() => upkeep.tick().await,
        }
    }
}

impl Upkeep {
    /// After a restart: whoever is elsewhere and was watched is subscribed to again.
    async fn resume(&mut self) {
        let directory = self.peers.hub.directory();
        let mut people = directory.guests();
        let elsewhere =
            |account: &Arc<crate::core::port::Account>| self.peers.is_elsewhere(&account.address);
        people.extend(directory.all().into_iter().filter(elsewhere));
        for account in people {
            if let Some(by) = self.watcher(account.person, &account.address).await {
                self.peers.stand(account.person, &account.address);
                let of = account.address.clone();
                self.watch(of, account.person, by);
            }
        }
    }

    async fn order(&mut self, order: Order) {
        match order {
            Order::Watch { of, person, by } => {
                if self.watched.contains_key(&of) {
                    return;
                }
                let by = match by {
                    Some(by) => Some(by),
                    None => self.watcher(person, &of).await,
                };
                if let Some(by) = by {
                    self.watch(of, person, by);
                }
            }
            Order::Answered {
                of,
                renewal,
                result,
            } => self.answered(&of, renewal, result),
        }
    }

    /// Somebody here who watches a person.
    async fn watcher(&self, person: PersonId, address: &Address) -> Option<Address> {
        let caller = internal(address);
        let standing = self
            .peers
            .hub
            .call(person, &caller, Command::Standing)
            .await;
        let Ok(Reply::Standing(standing)) = standing else {
            return None;
        };
        let directory = self.peers.hub.directory();
        let mut watchers = standing.watches.into_iter().map(|watch| watch.watcher);
        watchers.find(|watcher| {
            let local = matches!(directory.resolve(watcher), Resolution::Local(_));
            local && !self.peers.is_elsewhere(watcher)
        })
    }

    fn watch(&mut self, of: Address, person: PersonId, by: Address) {
        let Some(route) = self.peers.route(&of) else {
            return;
        };
        // A person of another server who watches through us is that server's to serve.
        if self.peers.is_elsewhere(&by) {
            return;
        }
        let mut watched = Watched {
            person,
            by,
            route,
            state: Subscription::Asked,
            pause: Duration::ZERO,
            offline: false,
        };
        self.peers.subscribe(&of, &mut watched);
        self.watched.insert(of, watched);
    }

    fn answered(&mut self, of: &Address, renewal: bool, result: Result<Got, Fault>) {
        let Some(watched) = self.watched.get_mut(of) else {
            return;
        };
        let key = Arc::clone(&watched.route.key);
        match result {
            Ok(got) => {
                self.failing.remove(&key);
                match got.status {
                    200..=299 => self.peers.subscribed(of, watched, &got, renewal),
                    // It has forgotten us.
                    412 if renewal => self.peers.subscribe(of, watched),
                    status => {
                        tracing::info!(%of, peer = %key, status, "can't watch");
                        self.peers.down(of, watched, PAUSE);
                        self.peers.show_offline(of, watched);
                    }
                }
            }
            Err(fault) => {
                let definite = matches!(fault, Fault::Connect(_) | Fault::Resting);
                let failures = self.failing.entry(Arc::clone(&key)).or_default();
                *failures += if definite { 2 } else { 1 };
                let dead = *failures >= 2;
                if !renewal || dead {
                    let pause = (watched.pause * 2).clamp(self.peers.check, PAUSE);
                    self.peers.down(of, watched, pause);
                }
                if dead {
                    self.dead(&key, &fault);
                }
            }
        }
    }

    /// A server is gone: nobody knows how its people are.
    fn dead(&mut self, key: &Arc<str>, fault: &Fault) {
        let peers = Arc::clone(&self.peers);
        let mut count = 0;
        for (of, watched) in &mut self.watched {
            if watched.route.key != *key {
                continue;
            }
            if matches!(watched.state, Subscription::Live { .. }) {
                peers.down(of, watched, peers.check);
                count += 1;
            }
            peers.show_offline(of, watched);
        }
        if count > 0 {
            tracing::warn!(peer = %key, count, cause = %fault, "peer is gone: its people are shown offline");
        }
    }

    async fn tick(&mut self) {
        self.peers.pay();
        self.looks += 1;
        if self.looks >= LOOKS {
            self.looks = 0;
            self.let_go().await;
        }
        let now = Instant::now();
        let peers = Arc::clone(&self.peers);
        let mut probed: HashSet<Arc<str>> = HashSet::new();
        let mut sorted: Vec<(&Address, &mut Watched)> = self.watched.iter_mut().collect();
        sorted.sort_by(|a, b| a.0.cmp(b.0));
        for (of, watched) in sorted {
            peers.stand(watched.person, of);
            match &watched.state {
                Subscription::Live { id, renew } => {
                    let first = probed.insert(Arc::clone(&watched.route.key));
                    if first || *renew <= now {
                        peers.renew(of, watched, id.clone());
                    }
                }
                Subscription::Down(next) if *next <= now => peers.subscribe(of, watched),
                Subscription::Down(_) | Subscription::Asked => {}
            }
        }
    }

    /// Ends subscriptions that nobody needs any more, and forgets stand-ins.
    async fn let_go(&mut self) {
        let all: Vec<(Address, PersonId)> = self
            .watched
            .iter()
            .map(|(of, watched)| (of.clone(), watched.person))
            .collect();
        for (of, person) in all {
            if let Some(by) = self.watcher(person, &of).await {
                if let Some(watched) = self.watched.get_mut(&of) {
                    watched.by = by;
                }
            } else if let Some(watched) = self.watched.remove(&of) {
                self.peers.unsubscribe(&of, &watched);
                self.peers.show_offline(&of, &mut { watched });
                lock(&self.peers.live).remove(&of);
            }
        }
        let now = Instant::now();
        let mut standing = lock(&self.peers.standing);
        let ended: Vec<Address> = standing
            .iter()
            .filter(|(of, known)| known.until < now && !self.watched.contains_key(of))
            .map(|(of, _)| of.clone())
            .collect();
        for of in ended {
            standing.remove(&of);
            self.peers.hub.directory().forget_guest(&of);
        }
    }
}

impl Peers {
    fn subscribe(self: &Arc<Self>, of: &Address, watched: &mut Watched) {
        watched.state = Subscription::Asked;
        lock(&self.live).insert(of.clone(), None);
        let headers = [
            ("notification-type", "update/propchange".to_owned()),
            ("call-back", self.href(&watched.by)),
            ("subscription-lifetime", LEASE.as_secs().to_string()),
        ];
        self.request("SUBSCRIBE", of, watched, &headers, Some(false));
    }

    fn renew(self: &Arc<Self>, of: &Address, watched: &Watched, id: String) {
        let headers = [
            ("subscription-id", id),
            ("subscription-lifetime", LEASE.as_secs().to_string()),
        ];
        self.request("SUBSCRIBE", of, watched, &headers, Some(true));
    }

    fn unsubscribe(self: &Arc<Self>, of: &Address, watched: &Watched) {
        if let Subscription::Live { id, .. } = &watched.state {
            let headers = [("subscription-id", id.clone())];
            self.request("UNSUBSCRIBE", of, watched, &headers, None);
        }
    }

    /// `renewal`: what the answer is to; `None` = nobody waits for it.
    fn request(
        self: &Arc<Self>,
        method: &str,
        of: &Address,
        watched: &Watched,
        special: &[(&'static str, String)],
        renewal: Option<bool>,
    ) {
        let orders = self.orders.clone();
        let address = of.clone();
        let done: super::link::Done = Box::new(move |result| {
            let Some(renewal) = renewal else { return };
            let order = Order::Answered {
                of: address,
                renewal,
                result,
            };
            // Full: the next tick finds the person as he was, and asks again in time.
            let _ = orders.try_send(order);
        });
        let mut headers = HeaderMap::new();
        let from = self.href(&watched.by);
        let general = [
            ("rvp-notifications-version", "0.2".to_owned()),
            ("rvp-from-principal", from),
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
        self.links
            .send(&watched.route, &of.to_string(), wanted, done);
    }

    fn subscribed(&self, of: &Address, watched: &mut Watched, got: &Got, renewal: bool) {
        let text = |name: &str| got.headers.get(name).and_then(|value| value.to_str().ok());
        let lease = text("subscription-lifetime").and_then(|text| text.trim().parse().ok());
        let lease = Duration::from_secs(lease.unwrap_or(LEASE.as_secs())).min(LEASE);
        let renew = Instant::now() + lease.mul_f32(0.8).max(Duration::from_secs(1));
        if renewal {
            if let Subscription::Live { renew: at, .. } = &mut watched.state {
                *at = renew;
            }
            return;
        }
        let Some(id) = text("subscription-id").map(|id| id.trim().to_owned()) else {
            tracing::warn!(%of, peer = %watched.route.key, "a subscription without an id");
            return self.down(of, watched, PAUSE);
        };
        lock(&self.live).insert(of.clone(), Some(id.clone()));
        watched.state = Subscription::Live { id, renew };
        watched.pause = Duration::ZERO;
        watched.offline = false;
        tracing::debug!(%of, peer = %watched.route.key, "watching");
        match Multistatus::parse(&got.body, self.body) {
            Ok(found) => {
                let update = PropertyUpdate::set(found.properties().cloned());
                self.learn(of, watched.person, &update);
            }
            Err(error) => tracing::info!(%of, %error, "the answer tells no presence"),
        }
    }

    fn down(&self, of: &Address, watched: &mut Watched, pause: Duration) {
        watched.pause = pause;
        watched.state = Subscription::Down(Instant::now() + pause);
        lock(&self.live).remove(of);
    }

    fn show_offline(&self, of: &Address, watched: &mut Watched) {
        if !std::mem::replace(&mut watched.offline, true) {
            self.publish(of, watched.person, Presence::of(State::Offline));
        }
    }

    /// A change that another server tells; `false` if it is not for the stand-in, but for a
    /// client that subscribed there by itself.
    pub(in super::super) fn notified(
        &self,
        of: &Address,
        id: Option<&str>,
        update: &PropertyUpdate,
    ) -> bool {
        let known = match lock(&self.live).get(of) {
            // It may tell before it answers (`rvp.md` 7).
            Some(None) => true,
            Some(Some(live)) => id.is_none_or(|id| id == live),
            None => false,
        };
        if !known {
            return false;
        }
        let person = lock(&self.standing).get(of).map(|known| known.person);
        if let Some(person) = person {
            self.learn(of, person, update);
        }
        person.is_some()
    }

    fn learn(&self, of: &Address, person: PersonId, update: &PropertyUpdate) {
        let mut changes = Vec::new();
        for change in &update.changes {
            match change {
                Change::Set(Property::State(value)) => {
                    self.publish(of, person, translate::presence(&value.state));
                }
                Change::Set(property @ (Property::DisplayName(_) | Property::Email(_))) => {
                    let value: Option<PropertyValue> = translate::value(property);
                    changes.push((translate::name(&property.name()), value));
                }
                Change::Set(_) | Change::Remove(_) => {}
            }
        }
        if !changes.is_empty() {
            self.order_of(of, person, Command::SetProperties { changes });
        }
    }

    fn publish(&self, of: &Address, person: PersonId, presence: Presence) {
        let command = Command::Publish(Publish {
            stack: RVP,
            target: None,
            adopt: true,
            hint: PointHint {
                inbox: Some(inbox(of)),
                ..PointHint::default()
            },
            key: None,
            presence: Some(presence),
            calls: None,
            lease: None,
        });
        self.order_of(of, person, command);
    }

    fn order_of(&self, of: &Address, person: PersonId, command: Command) {
        self.hub
            .send(person, internal(of), command, ReplyTo::Nobody);
    }
}

fn internal(address: &Address) -> Caller {
    Caller {
        address: address.clone(),
        person: None,
        scheme: Scheme::Internal,
        route: Way::Internal,
    }
}
