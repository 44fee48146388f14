//! Presence of people at other servers, as each watcher here may see it.
//!
//! Who may see what is for the other server to say, so every watcher has a subscription of his own
//! there, made in his name with his logical URL as Call-Back, and what it tells is shown to him
//! alone. One task owns all of them. Once per `peer_check` one subscription of each server is
//! renewed: that is how we notice that a server is gone (its people are shown offline) or has
//! forgotten us (subscribed anew).

use super::exchange::{Fault, Got};
use super::upstream::{Answered, Subscription, Watched, subscription_id};
use super::{Pair, Peers, lock};
use crate::core::address::Address;
use crate::core::id::PersonId;
use crate::hub::Resolution;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Longest pause between two attempts; a refusal waits that long at once.
pub(super) const PAUSE: Duration = Duration::from_secs(60);
/// Ticks between two looks at whether anybody still watches.
const LOOKS: u32 = 8;
/// Subscriptions held at all servers together.
const MOST: usize = 50_000;
/// Requests under way at one server: far below what its queue takes, which is for messages, too.
const BUSY: usize = 32;

/// Somebody watches.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) of: Address,
    pub(super) person: PersonId,
    pub(super) by: Address,
}

/// What is under way at one server.
#[derive(Default)]
struct Server {
    /// Failures in a row.
    failures: u32,
    asked: usize,
    waiting: VecDeque<Pair>,
}

impl Server {
    fn is_dead(&self) -> bool {
        self.failures >= 2
    }
}

struct Upkeep {
    peers: Arc<Peers>,
    /// By person watched, then by watcher.
    watched: BTreeMap<Pair, Watched>,
    servers: HashMap<Arc<str>, Server>,
    /// Bounded by [`BUSY`] for each server.
    answers: mpsc::UnboundedSender<Answered>,
    looks: u32,
}

/// Runs until dropped.
pub(super) async fn run(peers: Arc<Peers>, mut orders: mpsc::Receiver<Order>) {
    let mut tick = interval(peers.check);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (answers, mut answered) = mpsc::unbounded_channel();
    let mut upkeep = Upkeep {
        peers,
        watched: BTreeMap::new(),
        servers: HashMap::new(),
        answers,
        looks: 0,
    };
    upkeep.resume().await;
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order { of, person, by }) => upkeep.watch((of, by), person),
                None => return,
            },
            Some(answer) = answered.recv() => upkeep.answered(answer),
            _ = tick.tick() => upkeep.tick().await,
        }
    }
}

impl Upkeep {
    /// After a restart: whoever is elsewhere and was watched is subscribed to again.
    async fn resume(&mut self) {
        let directory = self.peers.hub.directory();
        let mut people = directory.guests();
        // Guests of another stack are its to serve.
        people.retain(|account| self.peers.is_elsewhere(&account.address));
        for guest in &people {
            self.peers.stand_ins.adopt(guest);
        }
        let held = directory.all().into_iter();
        people.extend(held.filter(|account| self.peers.is_elsewhere(&account.address)));
        for account in people {
            for by in self.watchers(account.person, &account.address).await {
                let own = Some(Arc::clone(&account));
                self.peers.stand_ins.stand(&account.address, own);
                self.watch((account.address.clone(), by), account.person);
            }
        }
    }

    /// Everybody here who watches a person. Who watches through us from another server is that
    /// server's to serve.
    async fn watchers(&self, person: PersonId, address: &Address) -> Vec<Address> {
        let standing = self.peers.stand_ins.standing(person, address).await;
        let Some(standing) = standing else {
            return Vec::new();
        };
        let directory = self.peers.hub.directory();
        let watchers = standing.watches.into_iter().map(|watch| watch.watcher);
        watchers
            .filter(|watcher| {
                let local = matches!(directory.resolve(watcher), Resolution::Local(_));
                local && !self.peers.is_elsewhere(watcher)
            })
            .collect()
    }

    fn watch(&mut self, pair: Pair, person: PersonId) {
        if self.watched.contains_key(&pair) || self.peers.is_elsewhere(&pair.1) {
            return;
        }
        let Some(route) = self.peers.route(&pair.0) else {
            return;
        };
        if self.watched.len() >= MOST {
            let (of, by) = &pair;
            tracing::warn!(%of, %by, "too many watches at other servers: shown as offline");
            return;
        }
        let key = Arc::clone(&route.key);
        let watched = Watched {
            person,
            route,
            state: Subscription::Waiting,
            pause: Duration::ZERO,
            offline: false,
            since: Instant::now(),
        };
        self.watched.insert(pair.clone(), watched);
        let server = self.servers.entry(Arc::clone(&key)).or_default();
        server.waiting.push_back(pair);
        self.pump(&key);
    }

    /// Sends what waits for a server, as far as it may.
    fn pump(&mut self, key: &Arc<str>) {
        let Some(server) = self.servers.get_mut(key) else {
            return;
        };
        while server.asked < BUSY {
            let Some(pair) = server.waiting.pop_front() else {
                return;
            };
            let Some(watched) = self.watched.get_mut(&pair) else {
                continue;
            };
            match &watched.state {
                Subscription::Waiting => {
                    watched.state = Subscription::Asked;
                    self.peers.subscribe(&pair, watched, &self.answers);
                }
                Subscription::Live { id, busy: true, .. } => {
                    self.peers.renew(&pair, watched, id, &self.answers);
                }
                Subscription::Live { .. } | Subscription::Asked | Subscription::Down(_) => continue,
            }
            server.asked += 1;
        }
    }

    fn answered(&mut self, answer: Answered) {
        let Answered {
            pair,
            key,
            renewal,
            result,
        } = answer;
        let server = self.servers.entry(Arc::clone(&key)).or_default();
        server.asked = server.asked.saturating_sub(1);
        match result {
            Ok(got) => {
                let revived = server.is_dead();
                server.failures = 0;
                self.told(&pair, &key, renewal, &got);
                if revived {
                    self.revive(&key);
                }
            }
            Err(fault) => self.failed(&pair, &key, renewal, &fault),
        }
        self.pump(&key);
    }

    fn told(&mut self, pair: &Pair, key: &Arc<str>, renewal: bool, got: &Got) {
        let Some(watched) = self.watched.get_mut(pair) else {
            // Nobody watches any more.
            if let (false, Some(id)) = (renewal, subscription_id(got)) {
                self.peers.unsubscribe(pair, key, id);
            }
            return;
        };
        match got.status {
            200..=299 => self.peers.subscribed(pair, watched, got, renewal),
            // It has forgotten us.
            412 if renewal => {
                watched.state = Subscription::Waiting;
                let server = self.servers.entry(Arc::clone(key)).or_default();
                server.waiting.push_back(pair.clone());
            }
            status => {
                let (of, by) = pair;
                tracing::info!(%of, %by, peer = %key, status, "can't watch");
                self.peers.down(pair, watched, PAUSE);
                self.peers.show_offline(pair, watched);
            }
        }
    }

    fn failed(&mut self, pair: &Pair, key: &Arc<str>, renewal: bool, fault: &Fault) {
        let server = self.servers.entry(Arc::clone(key)).or_default();
        match fault {
            Fault::Connect(_) | Fault::Resting => server.failures += 2,
            // Our own trouble says nothing about the server.
            Fault::Full | Fault::Request => {}
            _ => server.failures += 1,
        }
        let dead = server.is_dead();
        if dead {
            server.waiting.clear();
        }
        if let Some(watched) = self.watched.get_mut(pair) {
            if !renewal || dead {
                let pause = (watched.pause * 2).clamp(self.peers.check, PAUSE);
                self.peers.down(pair, watched, pause);
            } else if let Subscription::Live { busy, .. } = &mut watched.state {
                *busy = false;
            }
        }
        if dead {
            self.dead(key, fault);
        }
    }

    /// A server is gone: nobody knows how its people are.
    fn dead(&mut self, key: &Arc<str>, fault: &Fault) {
        let peers = &self.peers;
        let mut count = 0;
        for (pair, watched) in &mut self.watched {
            if watched.route.key != *key {
                continue;
            }
            match watched.state {
                Subscription::Live { .. } => {
                    peers.down(pair, watched, peers.check);
                    count += 1;
                }
                Subscription::Waiting => peers.down(pair, watched, peers.check),
                Subscription::Asked | Subscription::Down(_) => {}
            }
            peers.show_offline(pair, watched);
        }
        if count > 0 {
            tracing::warn!(peer = %key, count, cause = %fault, "peer is gone: its people are shown offline");
        }
    }

    /// A server is back: all that was lost is asked for again.
    fn revive(&mut self, key: &Arc<str>) {
        let server = self.servers.entry(Arc::clone(key)).or_default();
        for (pair, watched) in &mut self.watched {
            if watched.route.key == *key && matches!(watched.state, Subscription::Down(_)) {
                watched.state = Subscription::Waiting;
                server.waiting.push_back(pair.clone());
            }
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
        let mut probed: HashSet<Arc<str>> = HashSet::new();
        let mut before: Option<&Address> = None;
        for (pair, watched) in &mut self.watched {
            if before != Some(&pair.0) {
                let account = self.peers.hub.directory().account(watched.person);
                self.peers.stand_ins.stand(&pair.0, account);
                before = Some(&pair.0);
            }
            let server = self
                .servers
                .entry(Arc::clone(&watched.route.key))
                .or_default();
            match &mut watched.state {
                Subscription::Live { renew, busy, .. } if !*busy => {
                    if probed.insert(Arc::clone(&watched.route.key)) {
                        *busy = true;
                        server.waiting.push_front(pair.clone());
                    } else if *renew <= now {
                        *busy = true;
                        server.waiting.push_back(pair.clone());
                    }
                }
                Subscription::Down(next) if *next <= now => {
                    // A dead server is asked one thing at a time.
                    if server.is_dead() && !probed.insert(Arc::clone(&watched.route.key)) {
                        continue;
                    }
                    watched.state = Subscription::Waiting;
                    server.waiting.push_back(pair.clone());
                }
                Subscription::Live { .. }
                | Subscription::Down(_)
                | Subscription::Asked
                | Subscription::Waiting => {}
            }
        }
        let keys: Vec<Arc<str>> = self.servers.keys().cloned().collect();
        for key in keys {
            self.pump(&key);
        }
    }

    /// Ends subscriptions that nobody needs any more, makes those that are missing, and forgets
    /// stand-ins.
    async fn let_go(&mut self) {
        let pairs = self.watched.iter();
        let mut people: Vec<(Pair, PersonId)> = pairs
            .map(|(pair, watched)| (pair.clone(), watched.person))
            .collect();
        people.dedup_by(|later, first| later.0.0 == first.0.0);
        for (first, person) in people {
            let of = first.0.clone();
            let watchers = self.watchers(person, &of).await;
            let over = |(pair, watched): (&Pair, &Watched)| {
                let young = watched.since.elapsed() < self.peers.check;
                let gone = !young && !watchers.contains(&pair.1);
                gone.then(|| pair.clone())
            };
            let from_first = self.watched.range(first..);
            let his = from_first.take_while(|(pair, _)| pair.0 == of);
            let over: Vec<Pair> = his.filter_map(over).collect();
            for pair in over {
                if let Some(watched) = self.watched.remove(&pair) {
                    if let Subscription::Live { id, .. } = watched.state {
                        self.peers.unsubscribe(&pair, &watched.route.key, id);
                    }
                    lock(&self.peers.live).remove(&pair);
                    self.peers.show(&pair, watched.person, None);
                }
            }
            for by in watchers {
                self.watch((of.clone(), by), person);
            }
        }
        let idle = |server: &Server| server.asked == 0 && server.waiting.is_empty();
        let used: HashSet<&Arc<str>> = self.watched.values().map(|w| &w.route.key).collect();
        self.servers
            .retain(|key, server| used.contains(key) || !idle(server));
        self.peers.stand_ins.forget().await;
    }
}
