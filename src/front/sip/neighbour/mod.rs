//! Neighbouring SIP domains: whom they may speak for, where they are, how they are doing.
//!
//! A person there has a stand-in here ([`Elsewhere`]), as one at another RVP server has: its one
//! point is that domain's server. `route` knows the ways, `vouch` says whom to believe, `errand`
//! carries a request to a server with all its places, `outbox` writes messages and notifications,
//! `upstream` holds the subscriptions there, one for each watcher here in his own name.

mod errand;
mod outbox;
mod prove;
mod route;
mod tls;
mod upkeep;
mod upstream;
mod vouch;
pub(super) mod wire;

pub(super) use errand::{Errand, Purpose};
pub(super) use outbox::uri_of;
pub(super) use prove::Proofs;
pub(super) use route::Route;
use route::Routes;
pub(super) use tls::{authorities, believe};
pub(super) use upstream::{Order, Pair, Upstreams};
pub(super) use vouch::Vouch;

use crate::config::Config;
use crate::core::address::Address;
use crate::core::id::PersonId;
use crate::core::port::Account;
use crate::front::SIP;
use crate::hub::{Elsewhere, Hub, StandIns, Want};
use crate::net::Breaker;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// Servers known at once.
const SERVERS: usize = 2_000;

/// Who takes orders to watch; the front, once it is there.
pub(super) trait Orders: Send + Sync {
    /// Takes an order; false if there is no room.
    fn order(&self, order: Order) -> bool;
}

/// Everything about neighbouring domains.
pub(super) struct Neighbours {
    hub: Hub,
    pub(super) routes: Routes,
    /// Tells us in our mark.
    pub(super) id: String,
    /// Pause between two looks at a server.
    pub(super) check: Duration,
    /// Requests under way at one server.
    capacity: usize,
    orders: OnceLock<Weak<dyn Orders>>,
    /// Lines to ask the telephone system for, and whose they are.
    asked: Vec<(String, Address)>,
    stand_ins: StandIns,
    servers: Mutex<HashMap<Arc<str>, Arc<Server>>>,
}

/// How one server is doing.
#[derive(Debug, Default)]
pub(super) struct Server {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    breaker: Breaker,
    /// Requests under way.
    busy: usize,
    sent: u64,
    failed: u64,
    /// The last failure and when.
    last: Option<(String, Instant)>,
}

/// Why a request to a neighbour had no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// Nobody knows where that server is.
    #[error("no place is known")]
    Nowhere,
    /// Name servers don't answer.
    #[error("name servers don't answer")]
    Unknown,
    /// Nobody there answers.
    #[error("no answer in time")]
    Late,
    /// No connection.
    #[error("can't connect")]
    Connect,
    /// Too many requests are under way there.
    #[error("too many requests under way")]
    Full,
    /// Left alone after failures.
    #[error("left alone after failures")]
    Resting,
    /// It wants credentials that we don't have, or does not take ours.
    #[error("it does not let us in")]
    Denied,
    /// It fits in no way that leads there.
    #[error("too large for any way there")]
    TooLarge,
    /// It can't be written.
    #[error("can't be written")]
    Unwritable,
}

impl Fault {
    /// Whether the server is to blame, not this one request.
    fn counts(self) -> bool {
        matches!(
            self,
            Self::Nowhere | Self::Unknown | Self::Late | Self::Connect
        )
    }
}

/// One line about a neighbour, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeighbourLine {
    /// Its domain or the name of its section.
    pub name: String,
    /// Where it is reached, as configured; empty = looked up.
    pub route: String,
    /// How it is believed.
    pub trust: &'static str,
    /// `unused`, `up`, `failing` or `resting`.
    pub state: &'static str,
    /// Failures in a row.
    pub failures: u32,
    /// Requests answered, and not.
    pub sent: u64,
    /// Of these, not.
    pub failed: u64,
    /// The last failure, and how many seconds ago.
    pub last: Option<(String, u64)>,
}

/// What the directory asks.
#[derive(Debug)]
struct Ways(Weak<Neighbours>);

impl Elsewhere for Ways {
    fn reach(
        &self,
        address: &Address,
        account: Option<Arc<Account>>,
        want: Want<'_>,
    ) -> Option<Arc<Account>> {
        // Our own people are never held by a neighbour.
        if account.is_some() {
            return None;
        }
        self.0.upgrade()?.reach(address, want)
    }

    fn leads_to(&self, address: &Address) -> bool {
        let ways = self.0.upgrade();
        ways.is_some_and(|ways| ways.routes.of(address.domain()).is_some())
    }
}

impl std::fmt::Debug for Neighbours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Neighbours").finish_non_exhaustive()
    }
}

impl Neighbours {
    /// Reads the configuration and tells the directory: before the hub opens.
    pub(super) fn new(hub: &Hub, config: &Config) -> Arc<Self> {
        let neighbours = Arc::new(Self {
            hub: hub.clone(),
            routes: Routes::new(config),
            id: own_id(),
            check: config.sip.peers.check,
            capacity: config.limits.inbox_queue,
            orders: OnceLock::new(),
            asked: match &config.sip.line_server {
                Some(_) => config.sip.lines.clone().into_iter().collect(),
                None => Vec::new(),
            },
            stand_ins: StandIns::new(hub, SIP, wire::handle),
            servers: Mutex::default(),
        });
        hub.directory()
            .add_elsewhere(Arc::new(Ways(Arc::downgrade(&neighbours))));
        neighbours
    }

    /// Says who takes orders.
    pub(super) fn order_at(&self, orders: Weak<dyn Orders>) {
        let _ = self.orders.set(orders);
    }

    fn reach(&self, address: &Address, want: Want<'_>) -> Option<Arc<Account>> {
        self.routes.of(address.domain())?;
        let guest = self.stand_ins.stand(address, None)?;
        if let Want::Watch(by) = want {
            self.watch(address, guest.person, by);
        }
        Some(guest)
    }

    fn watch(&self, of: &Address, person: PersonId, by: &Address) {
        // Nobody is a bridge between two other domains.
        if !self.hub.directory().is_ours(by.domain()) {
            return;
        }
        let orders = self.orders.get().and_then(Weak::upgrade);
        let order = Order {
            of: of.clone(),
            person,
            by: by.clone(),
            line: None,
        };
        if orders.is_some_and(|orders| !orders.order(order)) {
            tracing::warn!(%of, %by, "too many people at neighbours to watch at once");
        }
    }

    /// The stand-in of somebody there who writes: replies find his conversation.
    pub(super) fn sender(&self, address: &Address) -> Option<PersonId> {
        self.routes.of(address.domain())?;
        let guest = self.stand_ins.stand(address, None)?;
        Some(guest.person)
    }

    /// The point of a stand-in has ended: made anew when it is needed, or forgotten in time.
    pub(super) fn ended(&self, address: &Address) {
        self.stand_ins.ended(address);
    }

    /// A request may go to that server; ends with [`Neighbours::answered`]. Subscriptions leave
    /// room for messages (`share` = 4: a quarter is theirs).
    pub(super) fn enter(&self, key: &Arc<str>, share: usize) -> Result<Arc<Server>, Fault> {
        let server = {
            let mut servers = lock(&self.servers);
            match servers.get(key) {
                Some(server) => Arc::clone(server),
                None if servers.len() >= SERVERS => return Err(Fault::Full),
                None => Arc::clone(servers.entry(Arc::clone(key)).or_default()),
            }
        };
        let mut state = lock(&server.state);
        if state.busy >= (self.capacity / share).max(1) {
            return Err(Fault::Full);
        }
        if !state.breaker.lets_pass() {
            return Err(Fault::Resting);
        }
        state.busy += 1;
        drop(state);
        Ok(server)
    }

    /// What became of it.
    pub(super) fn answered(key: &str, server: &Server, result: Result<(), Fault>) {
        let mut state = lock(&server.state);
        state.busy = state.busy.saturating_sub(1);
        state.sent += 1;
        let Err(fault) = result else {
            if state.breaker.worked() {
                tracing::info!(peer = %key, "neighbour answers again");
            }
            return;
        };
        state.failed += 1;
        state.last = Some((fault.to_string(), Instant::now()));
        if !fault.counts() {
            state.breaker.gave_up();
            return;
        }
        if let Some(pause) = state.breaker.failed() {
            let failed = state.failed;
            tracing::warn!(peer = %key, ?pause, cause = %fault, failed, "neighbour does not answer: left alone for a while");
        }
    }

    /// A request on which nothing was learned of that server.
    pub(super) fn left(server: &Server) {
        let mut state = lock(&server.state);
        state.busy = state.busy.saturating_sub(1);
        state.breaker.gave_up();
    }

    /// All neighbours, configured ones first, for the operator.
    pub(super) fn lines(&self) -> Vec<NeighbourLine> {
        let servers = lock(&self.servers);
        let configured = self.routes.known.iter().map(|known| {
            let config = &known.config;
            let line = NeighbourLine {
                name: config.name.clone(),
                route: config.route.join(", "),
                trust: route::trust(config.trust),
                ..NeighbourLine::unused()
            };
            (Arc::clone(&known.key), line)
        });
        let mut lines: Vec<(Arc<str>, NeighbourLine)> = configured.collect();
        let mut others: Vec<&Arc<str>> = servers
            .keys()
            .filter(|key| !lines.iter().any(|(known, _)| known == *key))
            .collect();
        others.sort();
        let others = others.into_iter().map(|key| {
            let line = NeighbourLine {
                name: key.to_string(),
                ..NeighbourLine::unused()
            };
            (Arc::clone(key), line)
        });
        let others: Vec<_> = others.collect();
        lines.extend(others);
        for (key, line) in &mut lines {
            if let Some(server) = servers.get(key) {
                lock(&server.state).tell(line);
            }
        }
        lines.into_iter().map(|(_, line)| line).collect()
    }
}

impl NeighbourLine {
    fn unused() -> Self {
        Self {
            name: String::new(),
            route: String::new(),
            trust: route::trust(crate::config::Trust::None),
            state: "unused",
            failures: 0,
            sent: 0,
            failed: 0,
            last: None,
        }
    }
}

impl State {
    fn tell(&self, line: &mut NeighbourLine) {
        line.failures = self.breaker.failures();
        line.state = match (self.breaker.rests(), line.failures) {
            (true, _) => "resting",
            (false, 0) if self.sent == 0 => "unused",
            (false, 0) => "up",
            (false, _) => "failing",
        };
        line.sent = self.sent;
        line.failed = self.failed;
        let last = self.last.as_ref();
        line.last = last.map(|(what, at)| (what.clone(), at.elapsed().as_secs()));
    }
}

/// A name for this process that tells nothing.
fn own_id() -> String {
    let mut octets = [0u8; 8];
    let _ = getrandom::fill(&mut octets);
    format!("{:016x}", u64::from_be_bytes(octets))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
