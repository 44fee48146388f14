//! Where a domain's RVP servers are: SRV `_rvp._tcp.DOMAIN`, else the addresses of `im.DOMAIN`,
//! else of the domain itself, on port 80 (`rvp.md` 1).

use crate::net::{NameServers, Service};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Longest look-up of one domain, all questions together.
const ALL: Duration = Duration::from_secs(6);
/// Places of one domain that are tried.
const PLACES: usize = 8;
/// SRV records that are followed.
const TARGETS: usize = 4;

/// Asks name servers; remembers what they said.
pub(super) struct Finder {
    servers: NameServers,
}

impl Finder {
    /// With these name servers; none = the system's.
    pub(super) fn new(nameservers: &[SocketAddr]) -> Self {
        Self {
            servers: NameServers::new(nameservers),
        }
    }

    /// Places of a domain, in the order in which to try them.
    /// `port` is the usual one, where no SRV record says another.
    pub(super) async fn domain(&self, domain: &str, port: u16) -> Vec<SocketAddr> {
        let search = async {
            let mut places = self.service(domain).await;
            for host in [format!("im.{domain}"), domain.to_owned()] {
                if !places.is_empty() {
                    break;
                }
                places.extend(
                    self.addresses(&host)
                        .await
                        .map(|ip| SocketAddr::new(ip, port)),
                );
            }
            places
        };
        tokio::time::timeout(ALL, search).await.unwrap_or_default()
    }

    /// Places of a host, on that port.
    pub(super) async fn host(&self, host: &str, port: u16) -> Vec<SocketAddr> {
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return vec![(ip, port).into()];
        }
        let found = tokio::time::timeout(ALL, self.addresses(host)).await;
        found.map_or_else(
            |_| Vec::new(),
            |found| found.map(|ip| SocketAddr::new(ip, port)).collect(),
        )
    }

    async fn service(&self, domain: &str) -> Vec<SocketAddr> {
        let Ok(found) = self.servers.services(&format!("_rvp._tcp.{domain}")).await else {
            return Vec::new();
        };
        let of_service = |srv: Service| {
            let weight = u16::MAX - srv.weight;
            (srv.port != 0).then_some((srv.priority, weight, srv.port, srv.target))
        };
        let mut targets: Vec<_> = found.records.into_iter().filter_map(of_service).collect();
        targets.sort();
        targets.truncate(TARGETS);
        let mut places = Vec::new();
        for (_, _, port, host) in targets {
            places.extend(
                self.addresses(&host)
                    .await
                    .map(|ip| SocketAddr::new(ip, port)),
            );
        }
        places.truncate(PLACES);
        places
    }

    async fn addresses(&self, host: &str) -> std::vec::IntoIter<IpAddr> {
        let mut addresses = self.servers.addresses(host).await;
        addresses.truncate(PLACES);
        addresses.into_iter()
    }
}
