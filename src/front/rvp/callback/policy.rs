//! Where we may connect: a Call-Back is an instruction to dial (`decisions.md` 28, `rvp.md` 7).

use crate::config::Network;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What to do with a Call-Back that policy does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mismatch {
    /// The sign-in succeeds, the point is never dialled.
    #[default]
    SendOnly,
    /// 403.
    Refuse,
}

/// Where we may connect.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Networks that may be dialled besides the request's own source.
    pub networks: Vec<Network>,
    /// Ports below 1024 that may be dialled at the request's own source.
    pub ports: Vec<u16>,
    /// Addresses our own listeners stand on: never dialled.
    pub ours: Arc<[SocketAddr]>,
    /// See [`Mismatch`].
    pub mismatch: Mismatch,
}

/// Why an endpoint is not dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDialled {
    /// A name, not an address: we resolve nothing on a client's word.
    #[error("the Call-Back names a host instead of an address")]
    Name,
    /// Not the address the request came from.
    #[error("the Call-Back is not at the address the request came from")]
    OtherAddress,
    /// A privileged port that is not 80 or 443.
    #[error("the Call-Back's port is a privileged one")]
    Port,
    /// Unspecified, multicast, broadcast.
    #[error("the Call-Back is no address of a host")]
    NoHost,
    /// Link-local: one cable's, and where clouds keep their secrets.
    #[error("the Call-Back is a link-local address")]
    LinkLocal,
    /// Loopback, but the request did not come over a loopback listener.
    #[error("the Call-Back is a loopback address")]
    Loopback,
    /// One of our own listeners.
    #[error("the Call-Back is this server")]
    Ours,
}

/// Whence a Call-Back came.
#[derive(Clone, Copy, Debug)]
pub struct From<'a> {
    /// Address of the authenticated request.
    pub source: IpAddr,
    /// Our end of its connection.
    pub local: IpAddr,
    /// Addresses of other live authenticated connections of the same principal.
    pub others: &'a [IpAddr],
}

impl Policy {
    /// Judges an endpoint named in a request.
    ///
    /// # Errors
    /// [`NotDialled`] says why nothing is ever dialled for it.
    pub fn judge(&self, endpoint: SocketAddr, from: &From<'_>) -> Result<SocketAddr, NotDialled> {
        let address = endpoint.ip().to_canonical();
        let source = from.source.to_canonical();
        let endpoint = SocketAddr::new(address, endpoint.port());
        if endpoint.port() == 0 {
            return Err(NotDialled::NoHost);
        }
        // A translator on the way would dial the address inside.
        for address in [Some(address), embedded(address)].into_iter().flatten() {
            self.forbid(SocketAddr::new(address, endpoint.port()), from, source)?;
        }
        if self
            .networks
            .iter()
            .any(|network| network.contains(address))
        {
            return Ok(endpoint);
        }
        let others = from.others.iter().map(IpAddr::to_canonical);
        if address != source && !others.into_iter().any(|other| other == address) {
            return Err(NotDialled::OtherAddress);
        }
        let port = endpoint.port();
        if port > 1023 || matches!(port, 80 | 443) || self.ports.contains(&port) {
            Ok(endpoint)
        } else {
            Err(NotDialled::Port)
        }
    }

    /// What no configuration allows.
    fn forbid(
        &self,
        endpoint: SocketAddr,
        from: &From<'_>,
        source: IpAddr,
    ) -> Result<(), NotDialled> {
        let address = endpoint.ip();
        if is_no_host(address) {
            return Err(NotDialled::NoHost);
        }
        if is_link_local(address) {
            return Err(NotDialled::LinkLocal);
        }
        if self.is_ours(endpoint, from.local) {
            return Err(NotDialled::Ours);
        }
        let inside = from.local.to_canonical().is_loopback() && source.is_loopback();
        if address.is_loopback() && !inside {
            return Err(NotDialled::Loopback);
        }
        Ok(())
    }

    /// Whether the endpoint is one of our listeners; `local` is our end of the connection.
    pub fn is_ours(&self, endpoint: SocketAddr, local: IpAddr) -> bool {
        let at = endpoint.ip().to_canonical();
        self.ours.iter().any(|ours| {
            ours.port() == endpoint.port()
                && (ours.ip().to_canonical() == at
                    || ours.ip().is_unspecified()
                        && (at.is_loopback() || at == local.to_canonical() || is_here(at)))
        })
    }
}

/// Whether an address is one of this machine's: a listener on all addresses stands there, too.
/// Only such an address can be bound; asked for nothing but the ports of such listeners.
fn is_here(address: IpAddr) -> bool {
    std::net::UdpSocket::bind(SocketAddr::new(address, 0)).is_ok()
}

fn is_no_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast() || v4.octets()[0] == 0
        }
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_multicast(),
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// The IPv4 address inside an IPv6 one: compatible (RFC 4291 2.5.5.1), 6to4 (RFC 3056 2), NAT64
/// (RFC 6052 2.1, RFC 8215). Mapped ones are plain IPv4 already.
fn embedded(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(v6) = address else {
        return None;
    };
    if v6.is_loopback() || v6.is_unspecified() {
        return None;
    }
    let inner = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(IpAddr::from([a, b, c, d]))
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 0 | 1, _, _, _, high, low] => {
            inner(high, low)
        }
        [0x2002, high, low, ..] => inner(high, low),
        _ => None,
    }
}
