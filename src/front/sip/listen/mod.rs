//! Sockets of the SIP front: octets in, whole messages out to the shards; octets out again.
//!
//! A [`Flow`] names where a message came from and where answers go (RFC 3261 18.2.2, RFC 5626 in
//! spirit): for UDP our socket and the peer's address, for streams one connection. Sending never
//! waits: UDP drops when the system's buffer is full (retransmission recovers), a stream whose
//! queue is full is closed (it hurts itself only).

mod doors;
mod reach;
mod stream;
mod udp;
mod ws;

pub(super) use doors::Doors;
pub(super) use reach::Hop;

use crate::config::{Advertise, Place};
use crate::net::http::{HttpLimits, Routes};
use crate::net::{BindError, Tasks, Tls, Verifier};
use bytes::Bytes;
use sip::flow::Transport;
use sip::raw::{Limits, RawMessage, Refusal};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;
use stream::Connection;
use udp::Socket;

/// Where a message came from, or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Flow {
    pub(super) transport: Wire,
    /// The peer as the socket sees it, IPv4 never mapped.
    pub(super) peer: SocketAddr,
    /// Our end.
    pub(super) local: SocketAddr,
}

/// The kind of a flow, with what identifies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Wire {
    /// UDP, by the number of our socket.
    Udp(u16),
    /// A connection of this kind (anything but UDP), by its number, which is never used again.
    Stream(Transport, u64),
}

impl Wire {
    /// The number of a connection.
    pub(super) fn number(self) -> Option<u64> {
        match self {
            Self::Udp(_) => None,
            Self::Stream(_, number) => Some(number),
        }
    }
}

/// What sockets tell the shards.
#[derive(Debug)]
pub(super) enum Inbound {
    /// A whole message.
    Message(Flow, RawMessage),
    /// Octets that are none; the flow's answer, if any, is the shard's to send.
    Refused(Flow, Refusal),
    /// A connection has ended.
    Closed(Flow),
}

/// Takes what came in; must not block. Full queues are the taker's to answer (503).
pub(super) trait Intake: Send + Sync + 'static {
    fn take(&self, inbound: Inbound);
}

/// Why octets could not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SendError {
    /// The connection or socket does not exist (any more).
    #[error("the connection is gone")]
    Gone,
    /// The connection's queue is full; it is being closed.
    #[error("the connection's queue is full")]
    Full,
    /// The system refused the datagram.
    #[error("the system refused the datagram")]
    Refused,
}

/// Bounds of the sockets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Of one message.
    pub(super) message: Limits,
    /// Messages waiting for one connection.
    pub(super) queue: usize,
    /// Octets waiting for one connection.
    pub(super) queue_octets: usize,
    /// From the first octet of a message to its end.
    pub(super) head_time: Duration,
    /// A connection on which nobody has registered is closed after this without a message.
    pub(super) idle: Duration,
    /// For a connection of ours to be established.
    pub(super) connect: Duration,
    /// UDP socket buffers asked for, in octets.
    pub(super) udp_buffer: usize,
    /// For the HTTP requests that become WebSockets.
    pub(super) http: HttpLimits,
}

/// All sockets of the front. Cloning shares.
#[derive(Clone)]
pub(super) struct Sockets(Arc<Shared>);

struct Shared {
    bounds: Bounds,
    tasks: Tasks,
    udp: Vec<Socket>,
    /// Where connections are accepted, in order of configuration.
    streams: Vec<(Transport, SocketAddr)>,
    /// What listeners are called outside, by their bound address.
    called: Vec<(Transport, SocketAddr, Place)>,
    connections: RwLock<Connections>,
    next: AtomicU64,
    intake: OnceLock<Arc<dyn Intake>>,
    /// How certificates of other servers are checked.
    trust: reach::Trust,
}

#[derive(Default)]
struct Connections {
    by_number: HashMap<u64, Arc<Connection>>,
    /// Connections that we opened, by what was dialled.
    dialled: HashMap<Hop, u64>,
    /// Connections that others opened and lend us for requests of ours (RFC 5923), by the address
    /// they listen on.
    lent: HashMap<SocketAddr, u64>,
}

impl Sockets {
    /// Opens the UDP sockets; `doors` are the listeners that [`Sockets::start`] will get. Nothing
    /// is read before that.
    pub(super) fn bind(
        udp: &[SocketAddr],
        doors: &Doors,
        advertise: &Advertise,
        bounds: Bounds,
        tasks: &Tasks,
    ) -> Result<Self, BindError> {
        let mut called = doors.called(advertise);
        let mut sockets = Vec::new();
        for address in udp {
            let socket = Socket::bind(*address, bounds.udp_buffer)?;
            if let Some(place) = advertise.of("udp", *address) {
                called.push((Transport::Udp, socket.local, place.clone()));
            }
            sockets.push(socket);
        }
        Ok(Self(Arc::new(Shared {
            bounds,
            tasks: tasks.clone(),
            udp: sockets,
            streams: doors.addresses(),
            called,
            connections: RwLock::default(),
            next: AtomicU64::new(1),
            intake: OnceLock::new(),
            trust: reach::Trust::default(),
        })))
    }

    /// Certificates of other servers are checked so from now on; without it nothing is dialled
    /// over TLS. `name`: for peers that must prove that name only.
    pub(super) fn trust(&self, name: Option<&str>, verifier: Verifier) {
        self.0.trust.set(name, verifier);
    }

    /// Starts reading: datagrams at once, connections of these listeners as they come. HTTP
    /// requests that are no WebSockets go to `routes`.
    pub(super) fn start(&self, doors: Doors, routes: Routes, intake: Arc<dyn Intake>) {
        let _ = self.0.intake.set(intake);
        for number in 0..self.0.udp.len() {
            let shared = Arc::clone(&self.0);
            self.0
                .tasks
                .spawn_until_stop(async move { udp::read(shared, number).await });
        }
        doors.open(self, routes);
    }

    /// Takes up a connection that somebody opened.
    fn accepted(
        &self,
        transport: Transport,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> Arc<Connection> {
        self.enter(Flow {
            transport: Wire::Stream(transport, self.number()),
            peer,
            local,
        })
    }

    fn number(&self) -> u64 {
        self.0.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Addresses of the UDP sockets, with their real ports.
    pub(super) fn udp_addresses(&self) -> Vec<SocketAddr> {
        self.0.udp.iter().map(|socket| socket.local).collect()
    }

    /// Sends octets of one whole message; never waits.
    pub(super) fn send(&self, flow: &Flow, octets: Bytes) -> Result<(), SendError> {
        match flow.transport {
            Wire::Udp(number) => {
                let socket = self.0.udp.get(usize::from(number)).ok_or(SendError::Gone)?;
                socket.send(&octets, flow.peer)
            }
            Wire::Stream(_, number) => {
                let connection = self.0.connection(number).ok_or(SendError::Gone)?;
                connection.send(octets, &self.0.bounds)
            }
        }
    }

    /// A flow over UDP to this address, from the socket of that number if it fits the family, else
    /// from the first that does.
    pub(super) fn udp_flow(&self, peer: SocketAddr, preferred: Option<u16>) -> Option<Flow> {
        let fits = |socket: &Socket| socket.local.is_ipv4() == peer.is_ipv4();
        let number = preferred
            .filter(|number| self.0.udp.get(usize::from(*number)).is_some_and(fits))
            .or_else(|| u16::try_from(self.0.udp.iter().position(fits)?).ok())?;
        let local = self.0.udp.get(usize::from(number))?.local;
        Some(Flow {
            transport: Wire::Udp(number),
            peer,
            local,
        })
    }

    /// The connection of that number, while it is open.
    pub(super) fn connection_flow(&self, number: u64) -> Option<Flow> {
        self.0.connection(number).map(|connection| connection.flow)
    }

    /// Whether the flow can still be used.
    pub(super) fn is_open(&self, flow: &Flow) -> bool {
        match flow.transport {
            Wire::Udp(number) => usize::from(number) < self.0.udp.len(),
            Wire::Stream(_, number) => self.0.connection(number).is_some(),
        }
    }

    /// Somebody registered over this connection: it may stay idle as long as its client likes, or,
    /// if keep-alives were agreed on (RFC 5626 3.5), as long as those come.
    pub(super) fn hold(&self, flow: &Flow, kept_alive: bool) {
        if let Some(number) = flow.transport.number()
            && let Some(connection) = self.0.connection(number)
        {
            connection.hold(kept_alive);
        }
    }

    /// COMPAT(libpurple): its SIMPLE client handles one message per read, so each is written on
    /// its own with a pause between (`decisions.md` 26).
    pub(super) fn pace(&self, flow: &Flow) {
        if let Some(number) = flow.transport.number()
            && let Some(connection) = self.0.connection(number)
        {
            connection.pace();
        }
    }

    /// Closes a connection after what is queued was written.
    pub(super) fn close(&self, flow: &Flow) {
        if let Some(number) = flow.transport.number()
            && let Some(connection) = self.0.connection(number)
        {
            connection.close();
        }
    }

    /// Open connections.
    pub(super) fn connections(&self) -> usize {
        self.0
            .connections
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .by_number
            .len()
    }

    /// What our end of a flow is called outside, if that is not its address.
    pub(super) fn called(&self, flow: &Flow) -> Option<(&Place, u16)> {
        let transport = match flow.transport {
            Wire::Udp(_) => Transport::Udp,
            Wire::Stream(transport, _) => transport,
        };
        let here = |(kind, at, _): &&(Transport, SocketAddr, Place)| {
            let same_ip = at.ip() == flow.local.ip() || at.ip().is_unspecified();
            *kind == transport && at.port() == flow.local.port() && same_ip
        };
        let found = self.0.called.iter().find(here)?;
        Some((&found.2, found.1.port()))
    }

    /// What TLS negotiated on a connection, with the names that the other side has proved: the
    /// certificate that it showed has been verified.
    pub(super) fn proved(&self, flow: &Flow) -> Option<Arc<Tls>> {
        let connection = self.0.connection(flow.transport.number()?)?;
        connection.tls()
    }

    fn enter(&self, flow: Flow) -> Arc<Connection> {
        let connection = Arc::new(Connection::new(flow));
        if let Some(number) = flow.transport.number() {
            let mut table = self
                .0
                .connections
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            table.by_number.insert(number, Arc::clone(&connection));
        }
        connection
    }

    fn leave(&self, flow: Flow) {
        let Some(number) = flow.transport.number() else {
            return;
        };
        {
            let mut table = self
                .0
                .connections
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            table.by_number.remove(&number);
            table.dialled.retain(|_, other| *other != number);
            table.lent.retain(|_, other| *other != number);
        }
        self.0.tell(Inbound::Closed(flow));
    }
}

impl Shared {
    fn connection(&self, number: u64) -> Option<Arc<Connection>> {
        let table = self
            .connections
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        table.by_number.get(&number).cloned()
    }

    fn tell(&self, inbound: Inbound) {
        if let Some(intake) = self.intake.get() {
            intake.take(inbound);
        }
    }
}

#[cfg(test)]
mod tests;
