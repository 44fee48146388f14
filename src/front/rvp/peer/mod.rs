//! Other servers: homes of our own domains, and other domains (`rvp.md` 1 and 6).
//!
//! A person at another server has a stand-in here ([`Elsewhere`]): its one point is that server,
//! its presence what that server tells. So everything that works between two people here works
//! across servers, whatever stack the one here is on. `route` knows the ways, `resolve` asks name
//! servers, `exchange` and `link` carry requests, `outbox` writes them, `upkeep` holds the
//! subscriptions at other servers (`upstream`), `inbound` says whom to believe, `relay` is the router.

mod dial;
mod door;
mod exchange;
mod inbound;
mod link;
mod outbox;
mod relay;
mod resolve;
mod route;
pub(super) mod tls;
mod upkeep;
mod upstream;
pub(super) mod wire;

pub(super) use door::{Place, is_peer};
use inbound::{Claim, Vouch};
use relay::Lead;

use super::RVP;
use super::names::Names;
use super::outbound::Postman;
use crate::config::Config;
use crate::core::address::Address;
use crate::core::port::Account;
use crate::hub::{Elsewhere, Hub, Resolution, StandIns, Want};
use crate::net::{OpenError, Tasks};
use exchange::{Means, Patience};
use link::Links;
pub use link::PeerLine;
use resolve::Finder;
use route::{Route, Routes};
use rvp::Authority;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tls::Verifiers;
use tokio::sync::mpsc;
use upkeep::Order;
use upstream::Live;

/// Orders that may wait for the upkeep.
const ORDERS: usize = 4096;

/// Everything about other servers.
pub(super) struct Peers {
    hub: Hub,
    names: Names,
    /// Writes documents; set once.
    postman: OnceLock<Arc<Postman>>,
    routes: Arc<Routes>,
    links: Links,
    /// Clients from there are referred, others are carried.
    inside: Vec<crate::config::Network>,
    /// Tells us in a relay's mark.
    id: String,
    body: usize,
    check: Duration,
    orders: mpsc::Sender<Order>,
    /// Taken by the upkeep when it starts.
    waiting: Mutex<Option<mpsc::Receiver<Order>>>,
    stand_ins: StandIns,
    /// Subscriptions at other servers.
    live: Mutex<HashMap<Pair, Live>>,
    /// Changes that another server did not take yet.
    owed: outbox::Owed,
}

/// Somebody at another server, and somebody here who watches him.
type Pair = (Address, Address);

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers").finish_non_exhaustive()
    }
}

/// What the directory asks; the front owns the rest.
#[derive(Debug)]
struct Ways(Weak<Peers>);

impl Elsewhere for Ways {
    fn reach(
        &self,
        address: &Address,
        account: Option<Arc<Account>>,
        want: Want<'_>,
    ) -> Option<Arc<Account>> {
        self.0.upgrade()?.reach(address, account, want)
    }

    fn leads_to(&self, address: &Address) -> bool {
        let peers = self.0.upgrade();
        peers.is_some_and(|peers| peers.is_elsewhere(address))
    }
}

impl Peers {
    /// Reads the configuration and tells the directory: before the hub opens. `ours` are our
    /// listeners.
    pub(super) fn new(
        hub: &Hub,
        names: &Names,
        config: &Config,
        ours: &[SocketAddr],
        tasks: &Tasks,
    ) -> Result<Arc<Self>, OpenError> {
        let hosts = config.server.domains.iter();
        let hosts = hosts.map(|domain| (domain.clone(), names.host_of(domain)));
        let routes = Arc::new(Routes::new(config, hosts.collect()));
        let means = Means {
            finder: Finder::new(&config.rvp.peers.nameservers),
            routes: Arc::clone(&routes),
            patience: Patience {
                connect: config.limits.callback_connect,
                answer: config.limits.callback_answer * 2,
                body: config.limits.body,
                idle: Duration::from_secs(60),
            },
            ours: ours.to_vec(),
            verifiers: Verifiers::new(config)?,
        };
        let (orders, waiting) = mpsc::channel(ORDERS);
        let peers = Arc::new(Self {
            hub: hub.clone(),
            names: names.clone(),
            postman: OnceLock::new(),
            links: Links::new(Arc::new(means), config.limits.inbox_queue, tasks.clone()),
            routes,
            inside: config.rvp.peers.inside.clone(),
            id: relay::own_id(),
            body: config.limits.body,
            check: config.rvp.peers.check,
            orders,
            waiting: Mutex::new(Some(waiting)),
            stand_ins: StandIns::new(hub, RVP, wire::handle),
            live: Mutex::default(),
            owed: outbox::Owed::default(),
        });
        hub.directory()
            .add_elsewhere(Arc::new(Ways(Arc::downgrade(&peers))));
        Ok(peers)
    }

    /// Every foreign domain that is configured, with the host in its logical URLs.
    pub(super) fn foreign_hosts(config: &Config) -> Vec<(String, String)> {
        let routes = Routes::new(config, HashMap::new());
        let hosts = routes.foreign_hosts();
        hosts
            .map(|(domain, host)| (domain.to_owned(), host))
            .collect()
    }

    /// All servers, configured ones first, for the operator.
    pub(super) fn lines(&self) -> Vec<PeerLine> {
        let configured = self.routes.peers.iter().flat_map(|known| {
            let config = &known.config;
            let places: Vec<String> = config.address.iter().map(ToString::to_string).collect();
            let route = (!places.is_empty()).then(|| places.join(", "));
            let trust = match (config.trust.is_empty(), &config.tls_name, &known.shared) {
                (false, ..) => "address",
                (true, Some(_), _) => "certificate",
                (true, None, Some(_)) => "account",
                (true, None, None) => "none",
            };
            let line = move |domain: &String| {
                let name = format!("domain {domain}");
                PeerLine {
                    route: route.clone(),
                    trust,
                    ..PeerLine::unused(name)
                }
            };
            config.domains.iter().map(line)
        });
        let mut lines: Vec<PeerLine> = configured.collect();
        lines.retain(|line| {
            let domain = line.name.strip_prefix("domain ").unwrap_or_default();
            !self.routes.is_ours(domain)
        });
        for key in self.links.keys() {
            if !lines.iter().any(|line| *line.name == *key) {
                lines.push(PeerLine::unused(key.to_string()));
            }
        }
        for line in &mut lines {
            let key = line.name.clone();
            self.links.tell(&key, line);
        }
        lines
    }

    /// Says who writes documents: before the hub opens.
    pub(super) fn write_by(&self, postman: &Arc<Postman>) {
        let _ = self.postman.set(Arc::clone(postman));
    }

    fn writer(&self) -> Option<Arc<Postman>> {
        self.postman.get().cloned()
    }

    /// Starts the upkeep: after the hub has opened.
    pub(super) fn serve(self: &Arc<Self>, tasks: &Tasks) {
        if let Some(waiting) = lock(&self.waiting).take() {
            tasks.spawn_until_stop(upkeep::run(Arc::clone(self), waiting));
        }
    }

    fn reach(
        &self,
        address: &Address,
        account: Option<Arc<Account>>,
        want: Want<'_>,
    ) -> Option<Arc<Account>> {
        let route = self.route(address)?;
        // Nobody routes for others: whoever has an account here is held by a home that we know,
        // everybody else by the domain that the route leads to.
        let account = self.stand_ins.stand(address, account)?;
        if let Want::Watch(by) = want {
            let order = Order {
                of: address.clone(),
                person: account.person,
                by: by.clone(),
            };
            if self.orders.try_send(order).is_err() {
                tracing::warn!(%address, peer = %route.key, "too many people to watch at once");
            }
        }
        Some(account)
    }

    /// The way to a person who is not held here. Accounts are known everywhere, nodes only where
    /// they are held: whatever `homes` says of everybody else.
    fn route(&self, address: &Address) -> Option<Route> {
        match self.hub.directory().resolve(address) {
            Resolution::Local(account) if account.node.is_some() => None,
            _ => self.routes.of(address),
        }
    }

    /// Whether a person is held by another server.
    pub(super) fn is_elsewhere(&self, address: &Address) -> bool {
        self.route(address).is_some()
    }

    /// The foreign person that a node URL names.
    pub(super) fn foreigner(&self, node: &rvp::NodeUrl) -> Option<Address> {
        self.routes.foreigner(node)
    }

    /// The person that a claim names, here or elsewhere.
    pub(super) fn claimed(&self, claim: &rvp::Principal, local: IpAddr) -> Option<Address> {
        let ours = self.names.claimed(claim, Some(local));
        ours.or_else(|| self.routes.claimed(claim))
    }

    /// The logical URL of anybody, as other servers know it.
    fn href(&self, address: &Address) -> String {
        self.names.href(address, "")
    }

    /// The node of somebody.
    fn node(&self, address: &Address) -> Option<rvp::NodeUrl> {
        rvp::NodeUrl::parse(&self.href(address)).ok()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
