//! The SIP front: SIP/SIMPLE clients in, core commands; core events, SIP out.
//!
//! Path of a request: `listen` (sockets) -> `inbox` of the shard that its Call-ID names -> `request`
//! (order of checks, `decisions.md` 7) -> one file per method -> the hub -> the same shard answers.
//! Path of an event: `outbound` -> `inbox` -> `deliver` or `event` -> `listen`.

mod content;
mod deliver;
mod event;
mod front;
mod handle;
mod identity;
mod inbox;
mod listen;
mod load;
mod locate;
mod message;
mod neighbour;
mod notified;
mod outbound;
mod place;
mod proxy;
mod publish;
mod registrar;
mod request;
mod shard;
mod status;
mod translate;
mod unproven;
mod xcap;

pub use neighbour::NeighbourLine;
pub use notified::Notified;
pub use status::status_of;

use self::xcap::Xcap;
use crate::config::{Algorithm, Config};
use crate::core::documents::KEEPER;
use crate::core::id::Stack;
use crate::core::message::Fidelity;
use crate::front::SIP;
use crate::gate::{Gate, Offer};
use crate::hub::{FidelityColumn, Hub};
use crate::net::http::{HttpLimits, Routes, Service};
use crate::net::{Caps, OpenError, Tasks};
use event::lines::Lines;
use front::{Door, Fairness, Front, Parts, Settings};
use inbox::Inbox;
use listen::{Bounds, Doors, Sockets};
use locate::Locator;
use neighbour::{Neighbours, Orders};
use place::Places;
use sip::flow::Transport;
use sip::locate::Abilities;
use sip::subscription::Durations;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How SIP clients show what came by other stacks.
pub const FIDELITY: FidelityColumn = FidelityColumn {
    text: Fidelity::Adapted,
    typing: Fidelity::Adapted,
    typing_beat: None,
    // Answered for SIP by the core: a pager-mode client knows no join (decisions 21).
    join: Fidelity::Dropped,
    leave: Fidelity::Dropped,
    invitation: Fidelity::Refused,
    // Made here for people whose clients make none (RFC 5438).
    receipt: Fidelity::Adapted,
    opaque: Fidelity::Refused,
    // A MESSAGE from oneself would be a text to oneself.
    own_texts: Fidelity::Dropped,
    // By a subscription to oneself.
    own_state: Fidelity::Adapted,
    // `presence.winfo`.
    shows_waiting: true,
};

/// The front: its sockets are open, and it is attached to the hub.
pub struct SipFront {
    /// UDP addresses, with real ports.
    pub udp: Vec<SocketAddr>,
    /// TCP addresses, with real ports.
    pub tcp: Vec<SocketAddr>,
    /// TLS addresses, with real ports.
    pub tls: Vec<SocketAddr>,
    /// HTTP addresses with WebSocket (and XCAP), with real ports.
    pub ws: Vec<SocketAddr>,
    /// The same with TLS.
    pub wss: Vec<SocketAddr>,
    doors: Doors,
    routes: Routes,
    front: Arc<Front>,
    tasks: Tasks,
}

impl SipFront {
    /// Opens the sockets of `[sip]` and attaches the front to the hub: before [`Hub::open`], so
    /// that restored subscriptions are taken up.
    ///
    /// # Errors
    /// A socket that can't be opened, a certificate that can't be used.
    pub fn start(
        hub: &Hub,
        gate: Arc<Gate>,
        config: &Config,
        caps: &Caps,
        tasks: &Tasks,
    ) -> Result<Self, OpenError> {
        let doors = Doors::of(config, caps)?;
        let advertise = &config.sip.advertise;
        let sockets = Sockets::bind(&config.sip.udp, &doors, advertise, bounds(config), tasks)?;
        if !config.sip.tls.is_empty() {
            neighbour::believe(config, &sockets, doors.own().as_ref())?;
        }
        let udp = sockets.udp_addresses();
        let streams = doors.addresses();
        let of = |kind| {
            let same = streams.iter().filter(move |(other, _)| *other == kind);
            same.map(|(_, at)| *at).collect::<Vec<_>>()
        };
        let listening = udp.iter().chain(streams.iter().map(|(_, at)| at));
        let shards = std::thread::available_parallelism().map_or(1, usize::from);
        let neighbours = Neighbours::new(hub, config);
        let locator = Locator::new(&nameservers(config), abilities(config, &udp));
        let inboxes = (0..shards).map(|_| Arc::new(Inbox::new(config.limits.shard_queue)));
        let places = places(config, listening);
        let xcap = Xcap::new(
            hub,
            Arc::clone(&gate),
            places.clone(),
            root(config, &of(Transport::Ws), &of(Transport::Wss)),
            config,
        );
        let keeper = Arc::new(xcap::Keeper(Arc::downgrade(&xcap)));
        hub.attach(Stack::named(KEEPER), keeper, FIDELITY);
        let front = Arc::new(Front::new(Parts {
            hub: hub.clone(),
            gate,
            sockets,
            places,
            xcap,
            inboxes: inboxes.collect(),
            settings: settings(config, shards),
            neighbours,
            locator: Arc::new(locator),
            quotas: proxy::Quotas::new(&config.limits),
            lines: Lines::new(&config.sip),
        }));
        let orders: Weak<Front> = Arc::downgrade(&front);
        front.neighbours.order_at(orders as Weak<dyn Orders>);
        let door = Arc::new(Door(Arc::downgrade(&front)));
        hub.attach(SIP, door, FIDELITY);
        for inbox in front.inboxes() {
            let shard = shard::Shard::new(Arc::clone(&front), Arc::clone(inbox));
            tasks.spawn_until_stop(shard.run());
        }
        Ok(Self {
            tcp: of(Transport::Tcp),
            tls: of(Transport::Tls),
            ws: of(Transport::Ws),
            wss: of(Transport::Wss),
            udp,
            doors,
            routes: Routes::default(),
            front,
            tasks: tasks.clone(),
        })
    }

    /// Has another service answer HTTP requests for this path (`/xcap`) and what is below it, on
    /// the listeners `[sip] ws` and `wss`: before [`SipFront::serve`].
    pub fn route(&mut self, path: &'static str, service: Service) {
        self.routes.add(path, service);
    }

    /// Neighbours and how they are doing.
    pub fn neighbours(&self) -> Arc<dyn Fn() -> Vec<NeighbourLine> + Send + Sync> {
        let neighbours = Arc::clone(&self.front.neighbours);
        Arc::new(move || neighbours.lines())
    }

    /// Reads and accepts until the process stops: after [`Hub::open`]. Once.
    pub fn serve(&mut self) {
        let tasks = &self.tasks;
        tasks.spawn_until_stop(Arc::clone(&self.front.locator).run());
        tasks.spawn_until_stop(Arc::clone(&self.front.neighbours).run());
        let doors = std::mem::take(&mut self.doors);
        let mut routes = std::mem::take(&mut self.routes);
        routes.add(xcap::ROOT, self.front.xcap.service());
        self.front.xcap.keep(&self.tasks);
        let door = Arc::new(Door(Arc::downgrade(&self.front)));
        self.front.sockets.start(doors, routes, door);
    }

    /// What became of the last NOTIFY of each subscription.
    pub fn notified(&self) -> Arc<Notified> {
        Arc::clone(&self.front.notified)
    }

    /// Open stream connections.
    pub fn connections(&self) -> usize {
        self.front.sockets.connections()
    }
}

/// The XCAP root: as configured, else the first listener's.
fn root(config: &Config, ws: &[SocketAddr], wss: &[SocketAddr]) -> String {
    if let Some(root) = &config.sip.xcap_root {
        return root.trim_end_matches('/').to_owned();
    }
    match (wss.first(), ws.first()) {
        (Some(at), _) => format!("https://{at}{}", xcap::ROOT),
        (None, Some(at)) => format!("http://{at}{}", xcap::ROOT),
        (None, None) => String::new(),
    }
}

/// Algorithms in the order of the configuration, each once.
fn exactly(list: &[Algorithm]) -> [Option<auth::digest::Algorithm>; 3] {
    use auth::digest::Algorithm as Digest;
    let mut out = [None; 3];
    let mut free = 0..out.len();
    for algorithm in list {
        let digest = match algorithm {
            Algorithm::Md5 => Digest::Md5,
            Algorithm::Sha256 => Digest::Sha256,
            Algorithm::Sha512 => Digest::Sha512_256,
        };
        if !out.contains(&Some(digest))
            && let Some(place) = free.next().and_then(|at| out.get_mut(at))
        {
            *place = Some(digest);
        }
    }
    out
}

fn settings(config: &Config, shards: usize) -> Settings {
    let limits = &config.limits;
    let secs = |span: Duration| u32::try_from(span.as_secs()).unwrap_or(u32::MAX);
    Settings {
        udp_max: config.sip.udp_max,
        calls_make_on_phone: config.sip.calls_make_on_phone,
        leases: Durations {
            min: secs(limits.lease_min),
            max: secs(limits.lease_max),
            default: secs(limits.lease_max).min(3600),
        },
        bindings: limits.bindings,
        publication: limits.publication_octets,
        transactions: (limits.transactions / shards).max(1),
        message: sockets_limits(config),
        streams: !config.sip.tcp.is_empty(),
        offer: match config.sip.digest.as_slice() {
            list if list.contains(&Algorithm::Sha512) => Offer::These(exactly(list)),
            [Algorithm::Md5] => Offer::Md5,
            [Algorithm::Sha256] => Offer::Sha256,
            [Algorithm::Sha256, ..] => Offer::Sha256First,
            _ => Offer::Both,
        },
        fairness: Fairness {
            rate: limits.unproven_rate,
            burst: limits.unproven_burst,
            per_person: limits.requests_per_person,
            per_source: limits.requests_per_source,
            loopback: limits.loopback,
        },
    }
}

/// Name servers: those of `[sip]`, else those of `[rvp]`, else the system's.
fn nameservers(config: &Config) -> Vec<SocketAddr> {
    match config.sip.peers.nameservers.as_slice() {
        [] => config.rvp.peers.nameservers.clone(),
        own => own.to_vec(),
    }
}

/// What we use towards other domains: what we listen on, so that they can answer the same way.
fn abilities(config: &Config, udp: &[SocketAddr]) -> Abilities {
    let streams = config.sip.tcp.iter().chain(&config.sip.tls);
    let all: Vec<SocketAddr> = udp.iter().chain(streams).copied().collect();
    Abilities {
        udp: !udp.is_empty(),
        tcp: !config.sip.tcp.is_empty(),
        tls: !config.sip.tls.is_empty(),
        v4: all.iter().any(SocketAddr::is_ipv4),
        v6: all.iter().any(SocketAddr::is_ipv6),
    }
}

fn sockets_limits(config: &Config) -> sip::Limits {
    sip::Limits {
        head: config.limits.head,
        headers: config.limits.sip_headers,
        body: config.limits.body,
    }
}

fn bounds(config: &Config) -> Bounds {
    let limits = &config.limits;
    Bounds {
        message: sockets_limits(config),
        queue: limits.inbox_queue,
        queue_octets: limits.inbox_octets,
        head_time: limits.head_timeout,
        idle: limits.idle_timeout,
        connect: limits.callback_connect,
        udp_buffer: limits.udp_buffer,
        http: HttpLimits {
            head: limits.head,
            headers: limits.headers,
            body: limits.body,
            head_time: limits.head_timeout,
            body_time: limits.body_timeout,
        },
    }
}

fn places<'a>(config: &Config, listening: impl Iterator<Item = &'a SocketAddr>) -> Places {
    let first = config.server.domains.first().cloned().unwrap_or_default();
    let hosts = config
        .rvp
        .hosts
        .iter()
        .map(|host| (host.clone(), first.clone()));
    let mapped = config.rvp.host_domains.iter();
    let mapped = mapped.map(|(host, domain)| (host.clone(), domain.clone()));
    let called = config.sip.advertise.hosts();
    let called = called.map(|host| (host.trim_matches(['[', ']']).to_owned(), first.clone()));
    Places::new(
        &config.server.domains,
        hosts.chain(called.collect::<Vec<_>>()).chain(mapped),
        listening.map(SocketAddr::ip),
    )
}
