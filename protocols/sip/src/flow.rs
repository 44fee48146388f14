//! Where octets come from and go to, as the engines see it.

use std::net::SocketAddr;

/// Milliseconds on a monotonic axis chosen by the caller.
pub type Millis = u64;

/// A time that never comes.
pub(crate) const NEVER: Millis = Millis::MAX;

/// The transports of RFC 3261, RFC 7118.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Datagrams: lost, doubled, reordered.
    Udp,
    /// A byte stream.
    Tcp,
    /// A byte stream under TLS.
    Tls,
    /// WebSocket frames.
    Ws,
    /// WebSocket frames under TLS.
    Wss,
}

impl Transport {
    /// True where the transport itself repeats what is lost (RFC 3261 17).
    pub fn is_reliable(self) -> bool {
        self != Self::Udp
    }

    /// The token in a Via.
    pub fn via_token(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }
}

/// One way to a peer: a stream connection, or a peer's address as seen by one of our UDP sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flow {
    /// What carries it.
    pub transport: Transport,
    /// The peer's address; for UDP what each packet goes to.
    pub peer: SocketAddr,
    /// The connection (streams) or local socket (UDP); numbered by the shell, never reused for
    /// streams. Zero: no connection yet, the shell is to open one to `peer`.
    pub id: u64,
}
