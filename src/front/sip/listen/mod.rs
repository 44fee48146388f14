//! Sockets of the SIP front: octets in, whole messages out to the shards; octets out again.
//!
//! A [`Flow`] names where a message came from and where answers go (RFC 3261 18.2.2, RFC 5626 in
//! spirit): for UDP our socket and the peer's address, for streams one connection. Sending never
//! waits: UDP drops when the system's buffer is full (retransmission recovers), a stream whose
//! queue is full is closed (it hurts itself only).

mod stream;
mod udp;

use crate::net::{BindError, Caps, Listener, Tasks};
use bytes::Bytes;
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
    /// A connection, by its number, which is never used again.
    Tcp(u64),
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
}

/// All sockets of the front. Cloning shares.
#[derive(Clone)]
pub(super) struct Sockets(Arc<Shared>);

struct Shared {
    bounds: Bounds,
    tasks: Tasks,
    udp: Vec<Socket>,
    connections: RwLock<Connections>,
    next: AtomicU64,
    intake: OnceLock<Arc<dyn Intake>>,
}

#[derive(Default)]
struct Connections {
    by_number: HashMap<u64, Arc<Connection>>,
    /// Connections that we opened, by the address dialled.
    dialled: HashMap<SocketAddr, u64>,
}

impl Sockets {
    /// Opens the UDP sockets. Nothing is read before [`Sockets::start`].
    pub(super) fn bind(
        udp: &[SocketAddr],
        bounds: Bounds,
        tasks: &Tasks,
    ) -> Result<Self, BindError> {
        let udp = udp
            .iter()
            .map(|address| Socket::bind(*address, bounds.udp_buffer))
            .collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(Shared {
            bounds,
            tasks: tasks.clone(),
            udp,
            connections: RwLock::default(),
            next: AtomicU64::new(1),
            intake: OnceLock::new(),
        })))
    }

    /// Starts reading: datagrams at once, connections of these listeners as they come.
    pub(super) fn start(&self, listeners: Vec<Listener>, intake: Arc<dyn Intake>) {
        let _ = self.0.intake.set(intake);
        for number in 0..self.0.udp.len() {
            let shared = Arc::clone(&self.0);
            self.0
                .tasks
                .spawn_until_stop(async move { udp::read(shared, number).await });
        }
        for listener in listeners {
            let sockets = self.clone();
            let serve = listener.serve(self.0.tasks.clone(), move |conn| {
                let flow = Flow {
                    transport: Wire::Tcp(sockets.0.next.fetch_add(1, Ordering::Relaxed)),
                    peer: conn.peer,
                    local: conn.local,
                };
                let connection = sockets.enter(flow);
                stream::converse(sockets.clone(), connection, conn.stream)
            });
            self.0.tasks.spawn(serve);
        }
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
            Wire::Tcp(number) => {
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

    /// A connection to this address: one that we opened before, else a new one, on which octets
    /// wait until it stands. A failure shows as [`Inbound::Closed`].
    pub(super) fn dial(&self, peer: SocketAddr) -> Flow {
        let number = {
            let mut table = self
                .0
                .connections
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(connection) = table
                .dialled
                .get(&peer)
                .and_then(|number| table.by_number.get(number))
            {
                return connection.flow;
            }
            let number = self.0.next.fetch_add(1, Ordering::Relaxed);
            table.dialled.insert(peer, number);
            number
        };
        let unspecified: SocketAddr = if peer.is_ipv4() {
            ([0, 0, 0, 0], 0).into()
        } else {
            ([0u16; 8], 0).into()
        };
        let local = self
            .0
            .udp
            .iter()
            .find(|s| s.local.is_ipv4() == peer.is_ipv4());
        let local = local.map_or(unspecified, |socket| socket.local);
        let flow = Flow {
            transport: Wire::Tcp(number),
            peer,
            local,
        };
        let connection = self.enter(flow);
        self.0.tasks.spawn(stream::dial(self.clone(), connection));
        flow
    }

    /// The connection of that number, while it is open.
    pub(super) fn connection_flow(&self, number: u64) -> Option<Flow> {
        self.0.connection(number).map(|connection| connection.flow)
    }

    /// Whether the flow can still be used.
    pub(super) fn is_open(&self, flow: &Flow) -> bool {
        match flow.transport {
            Wire::Udp(number) => usize::from(number) < self.0.udp.len(),
            Wire::Tcp(number) => self.0.connection(number).is_some(),
        }
    }

    /// Somebody registered over this connection: it may stay idle as long as its client likes.
    pub(super) fn hold(&self, flow: &Flow) {
        if let Wire::Tcp(number) = flow.transport
            && let Some(connection) = self.0.connection(number)
        {
            connection.hold();
        }
    }

    /// COMPAT(libpurple): its SIMPLE client handles one message per read, so each is written on
    /// its own with a pause between (`decisions.md` 26).
    pub(super) fn pace(&self, flow: &Flow) {
        if let Wire::Tcp(number) = flow.transport
            && let Some(connection) = self.0.connection(number)
        {
            connection.pace();
        }
    }

    /// Closes a connection after what is queued was written.
    pub(super) fn close(&self, flow: &Flow) {
        if let Wire::Tcp(number) = flow.transport
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

    fn enter(&self, flow: Flow) -> Arc<Connection> {
        let connection = Arc::new(Connection::new(flow));
        if let Wire::Tcp(number) = flow.transport {
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
        let Wire::Tcp(number) = flow.transport else {
            return;
        };
        {
            let mut table = self
                .0
                .connections
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            table.by_number.remove(&number);
            if table.dialled.get(&flow.peer) == Some(&number) {
                table.dialled.remove(&flow.peer);
            }
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

/// Opens the TCP listeners of the front.
pub(super) fn bind_tcp(addresses: &[SocketAddr], caps: &Caps) -> Result<Vec<Listener>, BindError> {
    let bind = |address: &SocketAddr| Listener::bind("[sip] tcp", *address, caps.clone());
    addresses.iter().map(bind).collect()
}

#[cfg(test)]
mod tests;
