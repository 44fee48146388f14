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
    /// Loopback, but the request did not come over a loopback listener.
    #[error("the Call-Back is a loopback address")]
    Loopback,
    /// One of our own listeners.
    #[error("the Call-Back is this server")]
    Ours,
}

impl Policy {
    /// Judges an endpoint named in a request from `source` that arrived on `local`.
    ///
    /// # Errors
    /// [`NotDialled`] says why nothing is ever dialled for it.
    pub fn judge(
        &self,
        endpoint: SocketAddr,
        source: IpAddr,
        local: IpAddr,
    ) -> Result<SocketAddr, NotDialled> {
        let address = endpoint.ip().to_canonical();
        let source = source.to_canonical();
        let endpoint = SocketAddr::new(address, endpoint.port());
        if is_no_host(address) || endpoint.port() == 0 {
            return Err(NotDialled::NoHost);
        }
        if self.is_ours(endpoint) {
            return Err(NotDialled::Ours);
        }
        if address.is_loopback() && !(local.to_canonical().is_loopback() && source.is_loopback()) {
            return Err(NotDialled::Loopback);
        }
        if self
            .networks
            .iter()
            .any(|network| network.contains(address))
        {
            return Ok(endpoint);
        }
        if address != source {
            return Err(NotDialled::OtherAddress);
        }
        let port = endpoint.port();
        if port > 1023 || matches!(port, 80 | 443) || self.ports.contains(&port) {
            Ok(endpoint)
        } else {
            Err(NotDialled::Port)
        }
    }

    /// Whether the endpoint is one of our listeners.
    pub fn is_ours(&self, endpoint: SocketAddr) -> bool {
        self.ours.iter().any(|ours| {
            ours.port() == endpoint.port()
                && (ours.ip().to_canonical() == endpoint.ip().to_canonical()
                    || ours.ip().is_unspecified() && endpoint.ip().is_loopback())
        })
    }
}

fn is_no_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast() || v4.octets()[0] == 0
        }
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_multicast(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Value as _;

    fn judge(endpoint: &str, source: &str, local: &str) -> Result<SocketAddr, NotDialled> {
        let policy = Policy {
            networks: vec![Network::from_text("10.1.0.0/16").expect("network")],
            ports: vec![],
            ours: vec!["192.0.2.1:80".parse().expect("address")].into(),
            mismatch: Mismatch::SendOnly,
        };
        policy.judge(
            endpoint.parse().expect("endpoint"),
            source.parse().expect("source"),
            local.parse().expect("local"),
        )
    }

    #[test]
    fn only_the_source_itself_and_configured_networks_are_dialled() {
        use NotDialled::{Loopback, NoHost, OtherAddress, Ours, Port};
        let l = "192.0.2.1";
        for (endpoint, source, local, want) in [
            ("198.51.100.7:1234", "198.51.100.7", l, None),
            ("198.51.100.7:80", "198.51.100.7", l, None),
            ("198.51.100.7:443", "198.51.100.7", l, None),
            ("198.51.100.7:1023", "198.51.100.7", l, Some(Port)),
            ("198.51.100.7:25", "198.51.100.7", l, Some(Port)),
            ("198.51.100.8:1234", "198.51.100.7", l, Some(OtherAddress)),
            ("10.1.2.3:25", "198.51.100.7", l, None),
            ("10.2.2.3:2500", "198.51.100.7", l, Some(OtherAddress)),
            ("[::ffff:198.51.100.7]:1234", "198.51.100.7", l, None),
            ("198.51.100.7:1234", "::ffff:198.51.100.7", l, None),
            ("127.0.0.1:1234", "198.51.100.7", l, Some(Loopback)),
            ("127.0.0.1:1234", "127.0.0.1", l, Some(Loopback)),
            ("127.0.0.1:1234", "127.0.0.1", "127.0.0.1", None),
            (
                "127.0.0.2:1234",
                "127.0.0.1",
                "127.0.0.1",
                Some(OtherAddress),
            ),
            ("[::1]:1234", "::1", "::1", None),
            ("0.0.0.0:1234", "0.0.0.0", l, Some(NoHost)),
            ("224.0.0.1:1234", "224.0.0.1", l, Some(NoHost)),
            ("255.255.255.255:1234", "255.255.255.255", l, Some(NoHost)),
            ("198.51.100.7:0", "198.51.100.7", l, Some(NoHost)),
            ("192.0.2.1:80", "192.0.2.1", l, Some(Ours)),
            ("169.254.169.254:80", "198.51.100.7", l, Some(OtherAddress)),
        ] {
            let got = judge(endpoint, source, local);
            assert_eq!(got.err(), want, "{endpoint} from {source} on {local}");
        }
    }
}
