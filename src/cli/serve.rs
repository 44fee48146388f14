//! `tristack serve`: puts the parts together, runs them, drains them.

use super::fronts::{Addresses, Fronts, Parts};
use super::out::print;
use super::{Exit, Failure, archivist, compose, filters};
use crate::admin::{self, Readiness};
use crate::config::Config;
use crate::control::{self, Accounts, Backend, Lock, Services};
use crate::gate::Gate;
use crate::hub::{Clock, Hub, SystemClock};
use crate::net::{Listener, Tasks};
use crate::portal;
use crate::storage::{self, Database};
use crate::telemetry;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A server that runs.
pub(super) struct Server {
    config: Config,
    tasks: Tasks,
    hub: Hub,
    store: Arc<Database>,
    readiness: Readiness,
    addresses: Addresses,
    admin: SocketAddr,
    portals: Vec<SocketAddr>,
    /// For accounts of the demo.
    pub(super) accounts: Accounts,
    _lock: Lock,
}

/// Runs until a signal ends it.
pub(super) async fn run(config: Config) -> Result<Exit, Failure> {
    compose::environment(&config)?;
    telemetry::start(&config.log);
    let mut signals = Signals::new()?;
    let server = tokio::select! {
        started = Server::start(config) => started?,
        () = signals.next() => return Ok(Exit::Done),
    };
    print(&format!("{}\n", server.ready_line()));
    server.until_stopped(signals).await
}

impl Server {
    /// Config, telemetry, lock, storage, hub, gate, fronts, admin, control; then the hub opens.
    pub(super) async fn start(config: Config) -> Result<Self, Failure> {
        let unavailable = |error: &dyn std::fmt::Display| Failure::new(Exit::Unavailable, error);
        let lock = Lock::take(&config.lock_file()).map_err(|e| unavailable(&e))?;
        let opened = storage::open(&config.storage.url).await;
        let store = Arc::new(opened.map_err(|e| unavailable(&e))?);
        let credentials = compose::credentials(&config)?;
        let sealed = credentials.seal_stored_targets(&*store).await;
        sealed.map_err(|e| unavailable(&e))?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let hub = Hub::start(
            Arc::clone(&store),
            config.server.domains.clone(),
            compose::hub(&config),
            Arc::clone(&clock),
        )
        .await
        .map_err(|e| unavailable(&e))?;
        let filters = filters::attach(&config, &hub, &clock)?.into();
        let gate = Gate::new(
            Arc::new(hub.clone()),
            Arc::clone(&credentials),
            compose::gate(&config),
            hub.now(),
        );
        let gate = gate.with_judge(compose::judge(&config));
        let gate = Arc::new(gate.with_kerberos(compose::kerberos(&config)?));
        let (tasks, caps) = (Tasks::new(), compose::caps(&config));
        let parts = Parts {
            config: &config,
            hub: &hub,
            gate: &gate,
            caps: &caps,
            tasks: &tasks,
        };
        let admin = Listener::bind("[admin] listen", config.admin.listen, caps.clone())
            .map_err(|e| unavailable(&e))?;
        let portals = compose::portals(&config, &caps)?;
        let fronts = Fronts::start(&parts)?;
        let addresses = fronts.addresses.clone();
        hub.open().await.map_err(|e| unavailable(&e))?;
        let (callbacks, peers) = (fronts.callbacks(), fronts.peers());
        let notified = fronts.notified();
        fronts.serve(&tasks);
        let readiness = Readiness::default();
        let admin_at = admin.local();
        tasks.spawn(admin::serve(admin, tasks.clone(), readiness.clone()));
        let accounts = Accounts::new(
            Backend::Hub(hub.clone()),
            compose::seal(&config, &credentials),
            Arc::clone(&credentials),
        );
        let portal = compose::portal(&config, &hub, &credentials)?;
        let portals_at = portals.iter().map(Listener::local).collect();
        for listener in portals {
            if let Some(portal) = &portal {
                tracing::info!(at = %listener.local(), "portal listens");
                tasks.spawn(portal::serve(listener, tasks.clone(), Arc::clone(portal)));
            }
        }
        let archive = Arc::new(archivist::of_hub(&config, &hub, &store));
        let archives = archivist::rules(&config).is_on();
        let work = archivist::work(Arc::clone(&archive), hub.clone(), archives, tasks.clone());
        tasks.spawn(work);
        let watched = hub.clone();
        readiness.watch(Box::new(move || archivist::health(&watched)));
        let services = Services {
            portal,
            filters,
            archive,
            hub: hub.clone(),
            accounts: accounts.clone(),
            gate,
            callbacks,
            peers,
            notified,
        };
        control::serve(&config.control_socket(), services, &tasks)
            .map_err(|e| unavailable(&format!("{}: {e}", config.control_socket().display())))?;
        readiness.ready();
        Ok(Self {
            config,
            tasks,
            hub,
            store,
            readiness,
            addresses,
            admin: admin_at,
            portals: portals_at,
            accounts,
            _lock: lock,
        })
    }

    /// `tristack ready rvp=http://ADDR:PORT sip=udp:ADDR:PORT,tcp:ADDR:PORT admin=http://ADDR:PORT`
    /// (behind `sip=` also `tls:`, `ws:` and `wss:` where SIP listens so), and
    /// ` rvps=https://ADDR:PORT`, ` portal=https://ADDR:PORT` behind it if they listen.
    pub(super) fn ready_line(&self) -> String {
        let mut line = "tristack ready".to_owned();
        let rvp: Vec<_> = self
            .addresses
            .rvp
            .iter()
            .map(|a| format!("http://{a}"))
            .collect();
        if !rvp.is_empty() {
            let _ = write!(line, " rvp={}", rvp.join(","));
        }
        let at = &self.addresses;
        let kinds = [
            ("udp", &at.udp),
            ("tcp", &at.tcp),
            ("tls", &at.tls),
            ("ws", &at.ws),
            ("wss", &at.wss),
        ];
        let sip: Vec<_> = kinds
            .iter()
            .flat_map(|(kind, list)| list.iter().map(move |at| format!("{kind}:{at}")))
            .collect();
        if !sip.is_empty() {
            let _ = write!(line, " sip={}", sip.join(","));
        }
        let _ = write!(line, " admin=http://{}", self.admin);
        let rvps = self.addresses.rvps.iter().map(|a| format!("https://{a}"));
        let rvps: Vec<_> = rvps.collect();
        if !rvps.is_empty() {
            let _ = write!(line, " rvps={}", rvps.join(","));
        }
        let scheme = if self.config.portal.tls {
            "https"
        } else {
            "http"
        };
        let portals = self.portals.iter().map(|a| format!("{scheme}://{a}"));
        let portals: Vec<_> = portals.collect();
        if !portals.is_empty() {
            let _ = write!(line, " portal={}", portals.join(","));
        }
        line
    }

    /// Where the fronts listen.
    pub(super) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Where administration listens.
    pub(super) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Waits for a signal, then drains.
    pub(super) async fn until_stopped(self, mut signals: Signals) -> Result<Exit, Failure> {
        signals.next().await;
        tracing::info!("stopping; a second signal stops at once");
        tokio::select! {
            exit = self.drain() => Ok(exit),
            () = signals.next() => {
                tracing::warn!("stopped at once");
                Ok(Exit::Hard)
            }
        }
    }

    /// Ends everything within `[limits] drain`.
    pub(super) async fn drain(self) -> Exit {
        self.readiness.stopping();
        let within = self.config.limits.drain;
        let work = async {
            // Fronts first: what they have taken is finished by the hub, and stored.
            let quiet = self.tasks.finish(within / 2).await;
            self.hub.stop().await;
            self.store.close().await;
            quiet
        };
        match tokio::time::timeout(within, work).await {
            Ok(true) => Exit::Done,
            Ok(false) => {
                tracing::warn!(alive = self.tasks.alive(), "connections cut while stopping");
                Exit::Done
            }
            Err(_) => {
                tracing::error!(?within, "could not finish in time");
                Exit::Hard
            }
        }
    }
}

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|e| Failure::new(Exit::Unavailable, e));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
