//! The fronts, as they are put together.

use super::{Exit, Failure};
use crate::config::Config;
use crate::control::{CallbackLine, Callbacks, LastNotified, PeerRow, Peers};
use crate::front::rvp::{Line, PeerLine, RvpFront};
use crate::front::sip::{NeighbourLine, SipFront};
use crate::gate::Gate;
use crate::hub::Hub;
use crate::net::{Caps, OpenError, Tasks};
use std::net::SocketAddr;
use std::sync::Arc;

/// What every front is given.
pub(super) struct Parts<'a> {
    pub(super) config: &'a Config,
    pub(super) hub: &'a Hub,
    pub(super) gate: &'a Arc<Gate>,
    pub(super) caps: &'a Caps,
    pub(super) tasks: &'a Tasks,
}

/// Where the fronts listen.
#[derive(Clone, Default)]
pub(super) struct Addresses {
    pub(super) rvp: Vec<SocketAddr>,
    pub(super) rvps: Vec<SocketAddr>,
    pub(super) udp: Vec<SocketAddr>,
    pub(super) tcp: Vec<SocketAddr>,
    pub(super) tls: Vec<SocketAddr>,
    pub(super) ws: Vec<SocketAddr>,
    pub(super) wss: Vec<SocketAddr>,
}

/// The fronts, attached to the hub, their sockets open.
pub(super) struct Fronts {
    pub(super) addresses: Addresses,
    rvp: RvpFront,
    sip: SipFront,
}

impl Fronts {
    /// Opens all sockets and attaches the fronts: before [`Hub::open`].
    pub(super) fn start(parts: &Parts<'_>) -> Result<Self, Failure> {
        Self::open(parts).map_err(|error| Failure::new(Exit::Unavailable, error))
    }

    fn open(parts: &Parts<'_>) -> Result<Self, OpenError> {
        let rvp = RvpFront::start(
            parts.hub,
            Arc::clone(parts.gate),
            parts.config,
            parts.caps,
            parts.tasks,
        )?;
        let sip = SipFront::start(
            parts.hub,
            Arc::clone(parts.gate),
            parts.config,
            parts.caps,
            parts.tasks,
        )?;
        let addresses = Addresses {
            rvp: rvp.addresses.clone(),
            udp: sip.udp.clone(),
            tcp: sip.tcp.clone(),
            tls: sip.tls.clone(),
            ws: sip.ws.clone(),
            wss: sip.wss.clone(),
            rvps: rvp.tls_addresses.clone(),
        };
        Ok(Self {
            addresses,
            rvp,
            sip,
        })
    }

    /// Who makes us connect where.
    pub(super) fn callbacks(&self) -> Callbacks {
        let book = self.rvp.callbacks.clone();
        let line = |line: Line| CallbackLine {
            endpoint: line.endpoint,
            proven: line.proven,
            failures: line.failures,
            last: line.last,
        };
        Arc::new(move |person| book.lines(person).into_iter().map(line).collect())
    }

    /// Servers of other domains.
    pub(super) fn peers(&self) -> Peers {
        let (rvp, sip) = (self.rvp.peers(), self.sip.neighbours());
        Arc::new(move || {
            let mut rows: Vec<PeerRow> = rvp().into_iter().map(rvp_row).collect();
            rows.extend(sip().into_iter().map(sip_row));
            rows
        })
    }

    /// What became of the last notification of a watch.
    pub(super) fn notified(&self) -> LastNotified {
        let sip = self.sip.notified();
        Arc::new(move |watch| sip.last(watch))
    }

    /// Serves from now on: after [`Hub::open`].
    pub(super) fn serve(mut self, tasks: &Tasks) {
        self.rvp.serve(tasks);
        self.sip.serve();
    }
}

fn rvp_row(line: PeerLine) -> PeerRow {
    PeerRow {
        stack: "rvp".to_owned(),
        name: line.name,
        route: line.route,
        trust: line.trust.to_owned(),
        state: line.state.to_owned(),
        failures: line.failures,
        sent: line.sent,
        failed: line.failed,
        last: line.last,
        ago: None,
    }
}

fn sip_row(line: NeighbourLine) -> PeerRow {
    let (last, ago) = line.last.unzip();
    PeerRow {
        stack: "sip".to_owned(),
        name: line.name,
        route: Some(line.route).filter(|route| !route.is_empty()),
        trust: line.trust.to_owned(),
        state: line.state.to_owned(),
        failures: line.failures,
        sent: line.sent,
        failed: line.failed,
        last,
        ago,
    }
}
