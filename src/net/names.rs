//! Questions to name servers: what both fronts need to find other servers. The resolver remembers
//! answers, and that there are none, for as long as they say, within bounds.

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Patience for one question.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Names remembered, with and without answers.
const CACHE: u64 = 4096;
/// Longest time that an answer, or the lack of one, is remembered.
const KEPT: (Duration, Duration) = (Duration::from_secs(3600), Duration::from_secs(60));
/// Records of one answer that are looked at.
const RECORDS: usize = 64;

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// There is nothing of the kind.
    #[error("there is no such record")]
    Nothing,
    /// No name server said so.
    #[error("no name server answers")]
    Failed,
}

/// An SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Lower first.
    pub priority: u16,
    /// Share among equal priority.
    pub weight: u16,
    /// Its port.
    pub port: u16,
    /// Its host.
    pub target: String,
}

/// A NAPTR record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// Lower first.
    pub order: u16,
    /// Lower first among equal order.
    pub preference: u16,
    /// What the replacement is.
    pub flags: String,
    /// Which service.
    pub service: String,
    /// A rewriting rule.
    pub regexp: String,
    /// Where to go on.
    pub replacement: String,
}

/// What was found, and until when it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<T> {
    /// The records, as they came.
    pub records: Vec<T>,
    /// Until then.
    pub until: Instant,
}

/// Asks name servers; remembers what they said.
#[derive(Debug)]
pub struct NameServers {
    resolver: Option<TokioResolver>,
}

impl NameServers {
    /// With these name servers; none = the system's.
    pub fn new(servers: &[SocketAddr]) -> Self {
        let resolver = build(servers)
            .inspect_err(|error| tracing::error!(%error, "no name server can be asked"))
            .ok();
        Self { resolver }
    }

    /// Addresses of a host, of either family, as the system prefers them.
    pub async fn addresses(&self, host: &str) -> Vec<IpAddr> {
        let found = match &self.resolver {
            Some(resolver) => resolver.lookup_ip(absolute(host)).await.ok(),
            None => None,
        };
        let addresses = found.iter().flat_map(|found| found.iter());
        addresses.take(RECORDS).collect()
    }

    /// IPv4 addresses of a host.
    pub async fn v4(&self, host: &str) -> Result<Found<IpAddr>, NoAnswer> {
        self.ask(host, RecordType::A, |data| match data {
            RData::A(a) => Some(IpAddr::V4(a.0)),
            _ => None,
        })
        .await
    }

    /// IPv6 addresses of a host.
    pub async fn v6(&self, host: &str) -> Result<Found<IpAddr>, NoAnswer> {
        self.ask(host, RecordType::AAAA, |data| match data {
            RData::AAAA(a) => Some(IpAddr::V6(a.0)),
            _ => None,
        })
        .await
    }

    /// SRV records of a name.
    pub async fn services(&self, name: &str) -> Result<Found<Service>, NoAnswer> {
        self.ask(name, RecordType::SRV, |data| match data {
            RData::SRV(srv) => Some(Service {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: srv.target.to_ascii(),
            }),
            _ => None,
        })
        .await
    }

    /// NAPTR records of a name.
    pub async fn pointers(&self, name: &str) -> Result<Found<Pointer>, NoAnswer> {
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        self.ask(name, RecordType::NAPTR, |data| match data {
            RData::NAPTR(naptr) => Some(Pointer {
                order: naptr.order,
                preference: naptr.preference,
                flags: text(&naptr.flags),
                service: text(&naptr.services),
                regexp: text(&naptr.regexp),
                replacement: naptr.replacement.to_ascii(),
            }),
            _ => None,
        })
        .await
    }

    async fn ask<T>(
        &self,
        name: &str,
        kind: RecordType,
        read: impl Fn(&RData) -> Option<T>,
    ) -> Result<Found<T>, NoAnswer> {
        let resolver = self.resolver.as_ref().ok_or(NoAnswer::Failed)?;
        let found = resolver.lookup(absolute(name), kind).await;
        let found = found.map_err(|error| why(&error))?;
        let records: Vec<T> = found
            .answers()
            .iter()
            .filter_map(|record| read(&record.data))
            .take(RECORDS)
            .collect();
        if records.is_empty() {
            return Err(NoAnswer::Nothing);
        }
        Ok(Found {
            records,
            until: found.valid_until(),
        })
    }
}

fn why(error: &NetError) -> NoAnswer {
    // A name that can't be written asks for nothing that could be there.
    if error.is_no_records_found() || matches!(error, NetError::Proto(_)) {
        NoAnswer::Nothing
    } else {
        NoAnswer::Failed
    }
}

fn absolute(name: &str) -> String {
    let mut name = name.trim_end_matches('.').to_owned();
    name.push('.');
    name
}

fn build(nameservers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
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
