//! The fronts, as they are put together.

use super::{Exit, Failure};
use crate::config::Config;
use crate::gate::Gate;
use crate::hub::Hub;
use crate::net::{Caps, Listener, Tasks, bind_udp};
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
#[derive(Default)]
pub(super) struct Addresses {
    pub(super) rvp: Vec<SocketAddr>,
    pub(super) udp: Vec<SocketAddr>,
    pub(super) tcp: Vec<SocketAddr>,
}

/// Opens all sockets and attaches the fronts to the hub; they serve from now on. The hub is not
/// open yet: it answers `Stopping` until [`Hub::open`].
pub(super) fn start(parts: &Parts<'_>) -> Result<Addresses, Failure> {
    let mut addresses = Addresses::default();
    rvp(parts, &mut addresses).map_err(|e| Failure::new(Exit::Unavailable, e))?;
    sip(parts, &mut addresses).map_err(|e| Failure::new(Exit::Unavailable, e))?;
    Ok(addresses)
}

fn rvp(parts: &Parts<'_>, addresses: &mut Addresses) -> Result<(), crate::net::BindError> {
    for address in &parts.config.rvp.listen {
        let listener = Listener::bind("[rvp] listen", *address, parts.caps.clone())?;
        addresses.rvp.push(listener.local());
        let tasks = parts.tasks.clone();
        parts
            .tasks
            .spawn(listener.serve(tasks, |conn| async move { drop(conn) }));
    }
    let _ = (parts.hub, parts.gate);
    Ok(())
}

fn sip(parts: &Parts<'_>, addresses: &mut Addresses) -> Result<(), crate::net::BindError> {
    for address in &parts.config.sip.udp {
        let (socket, _) = bind_udp("[sip] udp", *address, parts.config.limits.udp_buffer)?;
        addresses.udp.extend(socket.local_addr());
    }
    for address in &parts.config.sip.tcp {
        let listener = Listener::bind("[sip] tcp", *address, parts.caps.clone())?;
        addresses.tcp.push(listener.local());
        let tasks = parts.tasks.clone();
        parts
            .tasks
            .spawn(listener.serve(tasks, |conn| async move { drop(conn) }));
    }
    Ok(())
}
