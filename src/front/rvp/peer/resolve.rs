//! Where a domain's RVP servers are: SRV `_rvp._tcp.DOMAIN`, else the addresses of `im.DOMAIN`,
//! else of the domain itself, on port 80 (`rvp.md` 1).

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Patience for one question.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Longest look-up of one domain, all questions together.
const ALL: Duration = Duration::from_secs(6);
/// Places of one domain that are tried.
const PLACES: usize = 8;
/// SRV records that are followed.
const TARGETS: usize = 4;
/// Names remembered, with and without answers.
const CACHE: u64 = 4096;
/// Longest time that an answer, or the lack of one, is remembered.
const KEPT: (Duration, Duration) = (Duration::from_secs(3600), Duration::from_secs(60));

/// Asks name servers; remembers what they said.
pub(super) struct Finder {
    resolver: Option<TokioResolver>,
}

impl Finder {
    /// With these name servers; none = the system's.
    pub(super) fn new(nameservers: &[SocketAddr]) -> Self {
        let resolver = build(nameservers)
            .inspect_err(|error| tracing::error!(%error, "no name server can be asked"))
            .ok();
        Self { resolver }
    }

    /// Places of a domain, in the order in which to try them.
    pub(super) async fn domain(&self, domain: &str) -> Vec<SocketAddr> {
        let search = async {
            let mut places = self.service(domain).await;
            for host in [format!("im.{domain}"), domain.to_owned()] {
                if !places.is_empty() {
                    break;
                }
                places.extend(
                    self.addresses(&host)
                        .await
                        .map(|ip| SocketAddr::new(ip, 80)),
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
        let Some(resolver) = &self.resolver else {
            return Vec::new();
        };
        let Ok(found) = resolver.srv_lookup(format!("_rvp._tcp.{domain}.")).await else {
            return Vec::new();
        };
        let mut targets: Vec<(u16, u16, u16, String)> = found
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(srv) if srv.port != 0 => {
                    let weight = u16::MAX - srv.weight;
                    Some((srv.priority, weight, srv.port, srv.target.to_ascii()))
                }
                _ => None,
            })
            .collect();
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
        let mut name = host.trim_end_matches('.').to_owned();
        name.push('.');
        let found = match &self.resolver {
            Some(resolver) => resolver.lookup_ip(name).await.ok(),
            None => None,
        };
        let addresses: Vec<IpAddr> = found
            .iter()
            .flat_map(|found| found.iter())
            .take(PLACES)
            .collect();
        addresses.into_iter()
    }
}

fn build(nameservers: &[SocketAddr]) -> Result<TokioResolver, hickory_resolver::net::NetError> {
    let provider = TokioRuntimeProvider::default();
    let mut builder = if nameservers.is_empty() {
        TokioResolver::builder(provider)?
    } else {
        let servers = nameservers.iter().map(|at| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut way| {
                way.port = at.port();
                way
            });
            NameServerConfig::new(at.ip(), true, connections.into())
        });
        let config = ResolverConfig::from_name_servers(servers.collect());
        TokioResolver::builder_with_config(config, provider)
    };
    let options = builder.options_mut();
    options.timeout = TIMEOUT;
    options.attempts = 1;
    options.cache_size = CACHE;
    options.positive_max_ttl = Some(KEPT.0);
    options.negative_max_ttl = Some(KEPT.1);
    builder.build()
}
