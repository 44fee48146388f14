//! Which hosts mean us, and which person a URI names (`decisions.md` 2).

use crate::core::address::{Address, normal_domain};
use sip::header::{Host, Uri};
use std::collections::HashMap;
use std::net::IpAddr;

/// Hosts that stand for our domains.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    domains: Vec<String>,
    /// Other names of ours, lower case, with the domain each stands for.
    names: HashMap<String, String>,
    ips: Vec<IpAddr>,
    /// We listen on a wildcard address: every address of this machine is ours.
    any: bool,
}

/// Whom a URI names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// Ourselves: a domain or address of ours without a user.
    Server,
    /// Somebody, here or elsewhere.
    Person(Address),
    /// Nobody that has an address.
    Nobody,
}

impl Places {
    /// `domains` with the default one first; `names` with the domain each stands for; `ips` that
    /// we listen on.
    pub(super) fn new(
        domains: &[String],
        names: impl IntoIterator<Item = (String, String)>,
        ips: impl IntoIterator<Item = IpAddr>,
    ) -> Self {
        let (any, ips): (Vec<_>, Vec<_>) = ips.into_iter().partition(IpAddr::is_unspecified);
        let names = names
            .into_iter()
            .map(|(name, domain)| (name.to_ascii_lowercase(), domain));
        Self {
            domains: domains.to_vec(),
            names: names.collect(),
            ips: ips.iter().map(IpAddr::to_canonical).collect(),
            any: !any.is_empty(),
        }
    }

    /// The domain that requests without a better one concern.
    pub(super) fn default_domain(&self) -> &str {
        self.domains.first().map_or("", String::as_str)
    }

    /// The domain of ours that a host stands for, whatever its port. `local` is our end of the
    /// flow: what a client dialled to reach us is us.
    pub(super) fn domain_of(&self, host: &Host<'_>, local: IpAddr) -> Option<&str> {
        match host {
            Host::Ip(ip) => {
                let ip = ip.to_canonical();
                let ours = self.ips.contains(&ip)
                    || ip == local.to_canonical()
                    || ip.is_loopback()
                    || (self.any && is_here(ip));
                let named = self.names.get(&ip.to_string()).map(String::as_str);
                named.or_else(|| ours.then(|| self.default_domain()))
            }
            Host::Name(name) => {
                // The common spelling first: no allocation on the hot path.
                let name = name.strip_suffix('.').unwrap_or(name);
                let same = |domain: &&String| domain.eq_ignore_ascii_case(name);
                if let Some(domain) = self.domains.iter().find(same) {
                    return Some(domain);
                }
                let lower = name.to_ascii_lowercase();
                self.names.get(&lower).map(String::as_str)
            }
        }
    }

    /// Whom a URI names.
    pub(super) fn named(&self, uri: &Uri<'_>, local: IpAddr) -> Named {
        let Some(place) = uri.host else {
            return Named::Nobody;
        };
        let ours = self.domain_of(&place.host, local);
        let Some(user) = uri.user else {
            return if ours.is_some() {
                Named::Server
            } else {
                Named::Nobody
            };
        };
        let domain = match (&place.host, ours) {
            (_, Some(domain)) => domain,
            (Host::Name(name), None) => name,
            (Host::Ip(_), None) => return Named::Nobody,
        };
        // Address decodes percent escapes, once.
        Address::new(user, domain).map_or(Named::Nobody, Named::Person)
    }

    /// The domain that another name of ours stands for.
    pub(super) fn alias(&self, name: &str) -> Option<&str> {
        self.names.get(name).map(String::as_str)
    }

    /// Whether a normalised domain is ours.
    pub(super) fn is_ours(&self, domain: &str) -> bool {
        let normal = normal_domain(domain);
        normal.is_ok_and(|normal| self.domains.contains(&normal))
    }
}

/// Whether an address belongs to this machine: only those can be bound.
fn is_here(ip: IpAddr) -> bool {
    std::net::UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_addresses_and_names_are_us_whatever_the_port() {
        let names = [("im.example.com".to_owned(), "example.com".to_owned())];
        let domains = ["example.com".to_owned(), "b.example".to_owned()];
        let places = Places::new(&domains, names, ["192.0.2.7".parse().unwrap()]);
        let local: IpAddr = "198.51.100.1".parse().unwrap();
        let named = |text: &str| places.named(&Uri::parse(text).unwrap(), local);
        let bob = |domain: &str| Named::Person(Address::new("bob", domain).unwrap());
        for text in [
            "sip:bob@example.com",
            "sip:Bob@EXAMPLE.com:5099",
            "sips:%62ob@192.0.2.7:1;transport=tcp",
            "sip:bob@im.Example.com",
            "sip:bob@198.51.100.1",
            "sip:bob@127.0.0.1:50",
            "sip:bob:pw@example.com.",
        ] {
            assert_eq!(named(text), bob("example.com"), "{text}");
        }
        assert_eq!(named("sip:bob@b.example"), bob("b.example"));
        assert_eq!(named("sip:bob@elsewhere.org"), bob("elsewhere.org"));
        assert_eq!(named("sip:192.0.2.7"), Named::Server);
        assert_eq!(named("sip:bob@203.0.113.9"), Named::Nobody);
        assert_eq!(named("tel:+1"), Named::Nobody);
        assert!(places.is_ours("B.example"));
    }
}
