//! The one TCP listener: accept, cap, \[PROXY\], \[TLS\], front (`decisions.md` 29).

use super::{BindError, Conn, Layers, Stream, Tasks};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Connections waiting for accept.
const BACKLOG: i32 = 1024;
/// First and longest pause after an accept that failed for want of resources.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// How many connections may be open, over all listeners that share it. Cloning shares.
#[derive(Clone, Debug)]
pub struct Caps(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    per_address: usize,
    total: usize,
    loopback_too: bool,
    vanished: Option<Duration>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Caps {
    /// At most `per_address` connections from one address (a /64 counts as one in IPv6) and
    /// `total` altogether. Loopback is counted per address only if `loopback_too`
    /// (`decisions.md` 30).
    pub fn new(per_address: usize, total: usize, loopback_too: bool) -> Self {
        Self(Arc::new(Shared {
            per_address,
            total,
            loopback_too,
            vanished: None,
            counts: Mutex::default(),
        }))
    }

    /// Connections whose client has vanished end after that long: an idle one never sends, so only
    /// the system's own probes find out. Before the first listener.
    #[must_use]
    pub fn vanished_after(mut self, span: Duration) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.0) {
            shared.vanished = Some(span);
        }
        self
    }

    /// Open connections.
    pub fn open(&self) -> usize {
        self.0.lock().total
    }

    /// A place for a connection from there.
    fn enter(&self, peer: IpAddr) -> Result<Slot, &'static str> {
        let mut slot = self.enter_unnamed()?;
        slot.name(peer)?;
        Ok(slot)
    }

    /// A place for a connection whose client is still to be named ([`Slot::name`]).
    fn enter_unnamed(&self) -> Result<Slot, &'static str> {
        let mut counts = self.0.lock();
        if counts.total >= self.0.total {
            return Err("total connections");
        }
        counts.total += 1;
        Ok(Slot {
            caps: self.clone(),
            source: None,
        })
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What counts as one source: the address itself, its IPv4 form if mapped, its /64 in IPv6.
pub fn source_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        other => other,
    }
}

/// A place under the caps, freed on drop.
#[derive(Debug)]
pub(super) struct Slot {
    caps: Caps,
    source: Option<IpAddr>,
}

impl Slot {
    /// Counts the connection for that client; once.
    pub(super) fn name(&mut self, peer: IpAddr) -> Result<(), &'static str> {
        let source = source_of(peer);
        let shared = &self.caps.0;
        if source.is_loopback() && !shared.loopback_too {
            return Ok(());
        }
        let mut counts = shared.lock();
        let here = counts.by_address.entry(source).or_default();
        if *here >= shared.per_address {
            return Err("connections of this address");
        }
        *here += 1;
        self.source = Some(source);
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.caps.0.lock();
        counts.total = counts.total.saturating_sub(1);
        if let Some(source) = self.source
            && let Some(here) = counts.by_address.get_mut(&source)
        {
            *here = here.saturating_sub(1);
            if *here == 0 {
                counts.by_address.remove(&source);
            }
        }
    }
}

/// A listening TCP socket.
#[derive(Debug)]
pub struct Listener {
    purpose: String,
    socket: TcpListener,
    local: SocketAddr,
    caps: Caps,
    layers: Layers,
}

impl Listener {
    /// Opens the socket; port 0 picks a free port, see [`Listener::local`]. `purpose` is the
    /// operator's name for it (`[rvp] listen`). Must run inside the runtime.
    ///
    /// # Errors
    /// [`BindError`] names the purpose and the port.
    pub fn bind(purpose: &str, address: SocketAddr, caps: Caps) -> Result<Self, BindError> {
        let opened = open(address).and_then(|socket| Ok((socket.local_addr()?, socket)));
        match opened {
            Ok((local, socket)) => Ok(Self {
                purpose: purpose.to_owned(),
                socket,
                local,
                caps,
                layers: Layers::default(),
            }),
            Err(cause) => Err(BindError {
                purpose: purpose.to_owned(),
                address,
                cause,
            }),
        }
    }

    /// With these layers between the socket and the front.
    #[must_use]
    pub fn with(mut self, layers: Layers) -> Self {
        self.layers = layers;
        self
    }

    /// The address it listens on, with the real port.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Accepts until the process stops; each connection runs `front` in a task of its own (one per
    /// connection: connection-bound authentication needs it). Returns when stopped; connections
    /// that are open then are the front's to end (it sees `tasks.stopped()`).
    pub async fn serve<F, Fut>(self, tasks: Tasks, front: F)
    where
        F: Fn(Conn) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let front = Arc::new(front);
        let mut pause = PAUSE.0;
        loop {
            let accepted = tokio::select! {
                () = tasks.stopped() => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    pause = PAUSE.0;
                    if let Some(conn) = self.admit(stream, peer) {
                        self.start(conn, &tasks, &front);
                    }
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    // EMFILE and friends: the connection stays in the queue, so trying again at
                    // once would spin.
                    tracing::warn!(listener = %self.purpose, %error, ?pause, "accept failed");
                    tokio::select! {
                        () = tasks.stopped() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
        }
    }

    /// Starts the connection's task. PROXY and TLS speak inside it, so that a slow handshake delays
    /// nobody; a plain connection is the front's alone from the start, and no larger for them.
    fn start<F, Fut>(&self, conn: Conn, tasks: &Tasks, front: &Arc<F>)
    where
        F: Fn(Conn) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        if !self.layers.concern(conn.direct_peer.ip()) {
            tasks.spawn(front(conn));
            return;
        }
        let (front, layers, inner) = (Arc::clone(front), self.layers.clone(), tasks.clone());
        let purpose = self.purpose.clone();
        tasks.spawn(async move {
            let direct_peer = conn.direct_peer;
            let built = tokio::select! {
                () = inner.stopped() => return,
                // Boxed: freed when done, not kept for the life of the connection.
                built = Box::pin(layers.build(conn)) => built,
            };
            match built {
                // A task of its own, no larger than that of a plain connection: most of them are
                // idle most of the time.
                Ok(conn) => drop(inner.spawn(front(conn))),
                Err(cause) => {
                    tracing::info!(listener = %purpose, peer = %direct_peer, %cause, "connection refused");
                }
            }
        });
    }

    /// Applies the caps. What comes through a proxy is counted for its client once that is known.
    fn admit(&self, stream: TcpStream, direct_peer: SocketAddr) -> Option<Conn> {
        let entered = if self.layers.is_proxy(direct_peer.ip()) {
            self.caps.enter_unnamed()
        } else {
            self.caps.enter(direct_peer.ip())
        };
        let slot = match entered {
            Ok(slot) => slot,
            Err(limit) => {
                tracing::info!(listener = %self.purpose, peer = %direct_peer, limit, "connection refused");
                return None;
            }
        };
        // Without it small answers wait for the client's delayed ACK.
        let _ = stream.set_nodelay(true);
        if let Some(span) = self.caps.0.vanished {
            probe(&stream, span);
        }
        let local = stream.local_addr().unwrap_or(self.local);
        Some(Conn {
            peer: SocketAddr::new(direct_peer.ip().to_canonical(), direct_peer.port()),
            direct_peer,
            local: SocketAddr::new(local.ip().to_canonical(), local.port()),
            tls: None,
            channel_binding: None,
            stream: Stream::plain(stream, slot),
        })
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of a former run in TIME_WAIT must not keep us from starting again.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Lets the system ask a silent peer whether it is still there. After half the span four probes
/// follow in the other half; what we sent meanwhile and nobody acknowledged ends it as well.
fn probe(stream: &TcpStream, span: Duration) {
    let second = Duration::from_secs(1);
    let keep_alive = TcpKeepalive::new()
        .with_time((span / 2).max(second))
        .with_interval((span / 8).max(second))
        .with_retries(4);
    let socket = SockRef::from(stream);
    let set = socket
        .set_tcp_keepalive(&keep_alive)
        .and_then(|()| socket.set_tcp_user_timeout(Some(span)));
    if let Err(error) = set {
        tracing::debug!(%error, "no probes for silent connections");
    }
}

/// Whether the error concerns only the connection that was to be accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn caps(per_address: usize, total: usize) -> Caps {
        Caps::new(per_address, total, true)
    }

    #[test]
    fn places_are_counted_and_freed() {
        let caps = caps(2, 3);
        let here: IpAddr = [10, 0, 0, 1].into();
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().expect("address");
        let first = caps.enter(here).expect("first");
        let _second = caps.enter(mapped).expect("second");
        assert_eq!(caps.enter(here).err(), Some("connections of this address"));
        let _third = caps.enter([10, 0, 0, 2].into()).expect("another address");
        assert_eq!(
            caps.enter([10, 0, 0, 3].into()).err(),
            Some("total connections")
        );
        drop(first);
        assert_eq!(caps.open(), 2);
        assert!(caps.enter(here).is_ok());
    }

    #[test]
    fn one_v6_network_is_one_source_and_loopback_is_free() {
        let caps = Caps::new(1, 100, false);
        let first: IpAddr = "2001:db8::1".parse().expect("address");
        let same: IpAddr = "2001:db8::ffff:2".parse().expect("address");
        let _held = caps.enter(first).expect("first");
        assert!(caps.enter(same).is_err());
        let held: Vec<_> = (0..5)
            .map(|_| caps.enter([127, 0, 0, 1].into()).expect("loopback"))
            .collect();
        assert_eq!(caps.open(), 6);
        drop(held);
        assert_eq!(caps.open(), 1);
    }

    #[tokio::test]
    async fn connections_reach_the_front_and_surplus_ones_are_closed() {
        let tasks = Tasks::new();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind("[rvp] listen", any, caps(1, 10)).expect("free port");
        let at = listener.local();
        let error = Listener::bind("[rvp] listen", at, caps(1, 1)).expect_err("taken");
        assert!(
            error.to_string().contains(&at.port().to_string()),
            "{error}"
        );

        let front = |mut conn: Conn| async move {
            let mut octets = [0u8; 4];
            if conn.stream.read_exact(&mut octets).await.is_ok() {
                let _ = conn.stream.write_all(&octets).await;
            }
        };
        let inner = tasks.clone();
        let serving = tasks.spawn(async move { listener.serve(inner, front).await });

        let mut first = TcpStream::connect(at).await.expect("connect");
        first.write_all(b"pi").await.expect("write");
        let mut surplus = TcpStream::connect(at).await.expect("connect");
        let mut rest = Vec::new();
        // Closed without a byte; a reset is as good.
        let _ = surplus.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
        first.write_all(b"ng").await.expect("write");
        let mut answer = Vec::new();
        first.read_to_end(&mut answer).await.expect("answer");
        assert_eq!(answer, b"ping");

        assert!(tasks.finish(Duration::from_secs(10)).await);
        assert!(serving.await.is_ok());
        assert!(TcpStream::connect(at).await.is_err());
    }
}
