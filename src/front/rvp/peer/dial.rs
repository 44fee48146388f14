//! Where a connection to another server may lead, and where it comes from.

use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::net::{TcpSocket, TcpStream};

/// Never ourselves, never what is no host; what name servers say must not lead into our own
/// machine or link, unless we stand on loopback ourselves (`decisions.md` 28).
pub(super) fn may_dial(place: SocketAddr, ours: &[SocketAddr], looked_up: bool) -> bool {
    let ip = place.ip().to_canonical();
    let no_host = match ip {
        IpAddr::V4(v4) => {
            v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast() || v4.octets()[0] == 0
        }
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_multicast(),
    };
    let own = |our: &SocketAddr| {
        our.port() == place.port()
            && (our.ip().to_canonical() == ip || our.ip().is_unspecified() && ip.is_loopback())
    };
    if no_host || place.port() == 0 || ours.iter().any(own) {
        return false;
    }
    let link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let on_loopback = !ours.is_empty() && ours.iter().all(|our| our.ip().is_loopback());
    !looked_up || !(link_local || ip.is_loopback() && !on_loopback)
}

pub(super) async fn dial(place: SocketAddr, ours: &[SocketAddr]) -> io::Result<TcpStream> {
    let fits = |our: &&SocketAddr| {
        !our.ip().is_unspecified()
            && our.is_ipv4() == place.is_ipv4()
            && our.ip().is_loopback() == place.ip().is_loopback()
    };
    let socket = if place.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(our) = ours.iter().find(fits) {
        socket.bind(SocketAddr::new(our.ip(), 0))?;
    }
    socket.connect(place).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decision_28_where_a_peer_may_be() {
        let at = |text: &str| text.parse::<SocketAddr>().expect("address");
        let (public, local) = ([at("192.0.2.1:80")], [at("127.0.0.5:80")]);
        for (place, ours, looked_up, want) in [
            ("198.51.100.1:80", &public, true, true),
            ("127.0.0.1:80", &public, true, false),
            ("127.0.0.1:80", &public, false, true),
            ("127.0.0.1:80", &local, true, true),
            ("[::ffff:127.0.0.1]:80", &public, true, false),
            ("169.254.169.254:80", &public, true, false),
            ("[fe80::1]:80", &local, true, false),
            ("192.0.2.1:80", &public, false, false),
            ("0.0.0.0:80", &public, false, false),
            ("224.0.0.1:80", &public, false, false),
            ("198.51.100.1:0", &public, false, false),
        ] {
            assert_eq!(may_dial(at(place), ours, looked_up), want, "{place}");
        }
    }
}
