//! The RVP front: HTTP requests in, core commands; core events, NOTIFY out.
//!
//! `listen` and `inspect` speak HTTP, `app` and `method` answer requests, `callback` dials
//! clients, `outbound` and `render` write to them; the rest translates.

mod app;
mod auth;
pub mod callback;
mod channel;
mod content;
mod encoding;
mod first_use;
mod handle;
mod head;
mod inspect;
mod listen;
mod method;
mod names;
mod outbound;
mod peer;
mod render;
mod reply;
mod status;
mod targets;
mod translate;

pub use head::BadHead;
pub use inspect::HeadLimits;
pub use listen::ServeLimits;
pub use names::Names;
pub use peer::PeerLine;
pub use status::status_of;

use super::RVP;
use crate::config::{self, Config};
use crate::core::address::Address;
use crate::core::message::Fidelity;
use crate::gate::Gate;
use crate::hub::{FidelityColumn, Hub};
use crate::net::{Caps, Certificates, Conn, Layers, Listener, OpenError, Tasks};
use app::Front;
use auth::Entrance;
use callback::book::Quotas;
pub use callback::book::{Book, Line};
use callback::client::Patience;
use callback::gate::Gates;
use callback::policy::{Mismatch, Policy};
use callback::queue::{Capacity, Dialler};
use callback::sightings::Sightings;
use channel::Channel;
use encoding::Dialects;
use listen::Ends;
use outbound::{Outbox, Postman};
use peer::Peers;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use targets::{TARGET, Targets};

/// How well RVP shows what came by other stacks.
pub const FIDELITY: FidelityColumn = FidelityColumn {
    text: Fidelity::Adapted,
    typing: Fidelity::Adapted,
    // rvp.md 5: sent every 4 s while typing.
    typing_beat: Some(Duration::from_secs(4)),
    join: Fidelity::Exact,
    leave: Fidelity::Exact,
    // Born elsewhere are only the refusals of its own clients' invitations.
    invitation: Fidelity::Adapted,
    receipt: Fidelity::Dropped,
    opaque: Fidelity::Refused,
    // A NOTIFY from oneself would be a text to oneself.
    own_texts: Fidelity::Dropped,
    // Clients watch their own node (rvp.md 4).
    own_state: Fidelity::Adapted,
    // RVP has no word for it.
    shows_waiting: false,
};

/// The same for registered targets, which read RVP's documents, an application's own among them;
/// what is gone a moment later is not kept for them.
const TARGET_FIDELITY: FidelityColumn = FidelityColumn {
    text: Fidelity::Exact,
    typing: Fidelity::Dropped,
    typing_beat: None,
    // They are nobody's eyes.
    shows_waiting: true,
    join: Fidelity::Exact,
    leave: Fidelity::Exact,
    invitation: Fidelity::Exact,
    receipt: Fidelity::Dropped,
    opaque: Fidelity::Exact,
    own_texts: Fidelity::Dropped,
    own_state: Fidelity::Dropped,
};

/// How much longer than the sender we wait for the answer to a message.
const LATE: Duration = Duration::from_secs(8);

/// The front, listening.
pub struct RvpFront {
    /// Where, with real ports.
    pub addresses: Vec<SocketAddr>,
    /// The same with TLS.
    pub tls_addresses: Vec<SocketAddr>,
    certificates: Option<Certificates>,
    listeners: Vec<Listener>,
    front: Arc<Front>,
    targets: Targets,
    limits: ServeLimits,
    /// Who makes us connect where.
    pub callbacks: Book,
}

impl RvpFront {
    /// Opens the listeners and attaches the front to the hub: before [`Hub::open`].
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
        let Listeners {
            open: listeners,
            addresses,
            tls_addresses,
            certificates,
        } = Listeners::open(config, caps)?;
        let all = [addresses.as_slice(), &tls_addresses].concat();
        let mut names = names(config, &all);
        for (domain, host) in Peers::foreign_hosts(config) {
            names.abroad(&domain, &host);
        }
        let peers = Peers::new(hub, &names, config, &all, tasks)?;
        let gates = Gates::default();
        let dialects = Arc::new(Dialects::new(config.rvp.text_encoding));
        let postman = Arc::new(Postman {
            hub: hub.clone(),
            names: names.clone(),
            dialects: Arc::clone(&dialects),
            system: system_address(config),
        });
        peers.write_by(&postman);
        let dialler = dialler(config, &postman, &gates, tasks);
        let callbacks = dialler.book().clone();
        let targets = Targets::new(hub.clone(), Arc::clone(&postman), Arc::clone(&gate));
        let outbox = Outbox {
            hub: hub.clone(),
            dialler,
            postman,
            peers: Arc::clone(&peers),
        };
        hub.attach(RVP, Arc::new(outbox), FIDELITY);
        hub.attach(TARGET, Arc::new(targets.clone()), TARGET_FIDELITY);
        let front = Front {
            hub: hub.clone(),
            gate,
            entrance: Entrance {
                rvp: config.rvp.clone(),
            },
            names,
            policy: policy(config, &all),
            sightings: Sightings::default(),
            gates,
            dialects,
            peers,
            body: config.limits.body,
            patterns: config.rvp.node_patterns.clone(),
            nodes: config.rvp.nodes_per_owner,
        };
        Ok(Self {
            addresses,
            tls_addresses,
            certificates,
            listeners,
            front: Arc::new(front),
            targets,
            limits: serve_limits(&config.limits),
            callbacks,
        })
    }

    /// Other servers and how they are doing.
    pub fn peers(&self) -> Arc<dyn Fn() -> Vec<PeerLine> + Send + Sync> {
        let peers = Arc::clone(&self.front.peers);
        Arc::new(move || peers.lines())
    }

    /// Accepts connections until the process stops: after [`Hub::open`].
    pub fn serve(self, tasks: &Tasks) {
        if let Some(certificates) = self.certificates {
            tasks.spawn_until_stop(certificates.follow());
        }
        self.front.peers.serve(tasks);
        let targets = self.targets.run(tasks.clone());
        tasks.spawn_until_stop(targets);
        let limits = self.limits;
        for listener in self.listeners {
            let (front, inner) = (Arc::clone(&self.front), tasks.clone());
            tasks.spawn(listener.serve(tasks.clone(), move |conn: Conn| {
                let (front, tasks) = (Arc::clone(&front), inner.clone());
                async move {
                    let ends = Ends {
                        peer: conn.peer,
                        local: conn.local,
                    };
                    let on = (ends, Channel::of(&conn));
                    listen::serve(front, conn.stream, on, limits, tasks.stopped()).await;
                }
            }));
        }
    }
}

/// All sockets of the front.
struct Listeners {
    open: Vec<Listener>,
    addresses: Vec<SocketAddr>,
    tls_addresses: Vec<SocketAddr>,
    certificates: Option<Certificates>,
}

impl Listeners {
    fn open(config: &Config, caps: &Caps) -> Result<Self, OpenError> {
        let rvp = &config.rvp;
        let plain = Layers::within(config.limits.head_timeout).proxies(&rvp.proxy_protocol_from);
        let certificates = match rvp.tls_listen.as_slice() {
            [] => None,
            _ => Some(certificates(config)?),
        };
        let mut listeners = Vec::new();
        let mut open = |purpose, address: SocketAddr, layers: &Layers| {
            let listener = Listener::bind(purpose, address, caps.clone())?.with(layers.clone());
            let local = listener.local();
            listeners.push(listener);
            Ok::<_, OpenError>(local)
        };
        let opened = rvp.listen.iter();
        let addresses = opened
            .map(|address| open("[rvp] listen", *address, &plain))
            .collect::<Result<_, _>>()?;
        let mut tls_addresses = Vec::new();
        if let Some(certificates) = &certificates {
            let layers = plain.tls(certificates.clone());
            for address in &rvp.tls_listen {
                tls_addresses.push(open("[rvp] tls_listen", *address, &layers)?);
            }
        }
        Ok(Self {
            open: listeners,
            addresses,
            tls_addresses,
            certificates,
        })
    }
}

/// What our TLS listeners show; clients are asked for a certificate only where one can count.
fn certificates(config: &Config) -> Result<Certificates, OpenError> {
    let own = Certificates::of(config)?;
    let mut known = config.rvp.peers.known.iter();
    if known.all(|peer| peer.tls_name.is_none()) {
        return Ok(own);
    }
    Ok(own.for_peers(&peer::tls::authorities(config)?)?)
}

fn names(config: &Config, addresses: &[SocketAddr]) -> Names {
    let rvp = &config.rvp;
    let pairs = rvp.host_domains.iter();
    Names::new(
        &config.server.domains,
        rvp.hosts.iter().map(String::as_str),
        pairs.map(|(host, domain)| (host.as_str(), domain.as_str())),
        addresses.iter().map(SocketAddr::port).collect(),
    )
}

fn policy(config: &Config, addresses: &[SocketAddr]) -> Policy {
    Policy {
        networks: config.rvp.callback_networks.clone(),
        ports: Vec::new(),
        ours: ours(config, addresses),
        mismatch: match config.rvp.callback_mismatch {
            config::Mismatch::SendOnly => Mismatch::SendOnly,
            config::Mismatch::Refuse => Mismatch::Refuse,
        },
    }
}

/// All listeners of this server, whatever they speak.
fn ours(config: &Config, addresses: &[SocketAddr]) -> Arc<[SocketAddr]> {
    let others = config.sip.udp.iter().chain(&config.sip.tcp);
    let others = others.chain(std::iter::once(&config.admin.listen)).copied();
    let others = others.filter(|at| at.port() != 0);
    addresses.iter().copied().chain(others).collect()
}

fn system_address(config: &Config) -> Address {
    let domain = config
        .server
        .domains
        .first()
        .map_or("localhost", String::as_str);
    Address::new("postmaster", domain).expect("the configuration has checked its domains")
}

fn dialler(config: &Config, postman: &Arc<Postman>, gates: &Gates, tasks: &Tasks) -> Dialler {
    let patience = Patience {
        connect: config.limits.callback_connect,
        answer: config.limits.callback_answer,
        message: config.limits.answer.max(config.limits.callback_answer) + LATE,
        ..Patience::default()
    };
    let quotas = Quotas {
        per_person: config.limits.callbacks_per_person,
        per_target: config.limits.callbacks_per_target,
        per_second: config.limits.callback_connects,
        loopback: config.limits.loopback,
    };
    let post = Arc::clone(postman) as Arc<dyn callback::queue::Post>;
    Dialler::new(
        post,
        gates.clone(),
        patience,
        Capacity {
            messages: config.limits.inbox_queue,
            octets: config.limits.inbox_octets,
        },
        tasks.clone(),
        Book::new(quotas),
    )
}

fn serve_limits(limits: &config::Limits) -> ServeLimits {
    ServeLimits {
        head: HeadLimits {
            head: limits.head,
            lines: limits.headers,
            first_byte: limits.head_timeout,
            head_time: limits.head_timeout,
            idle: limits.idle_timeout,
            body_time: limits.body_timeout,
        },
        body: limits.body,
    }
}
