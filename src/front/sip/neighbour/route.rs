//! Which server a foreign domain is at.

use crate::config::{Config, Neighbour, Network, Trust};
use crate::net::Identities;
use sip::build::escape_user;
use sip::header::Uri;
use sip::locate::{Place, Target};
use std::net::IpAddr;
use std::sync::Arc;

/// The way to a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Route {
    /// One state of health per key.
    pub(in super::super) key: Arc<str>,
    /// Where to look, one after the other.
    pub(in super::super) targets: Vec<Target>,
    /// Its section of the configuration, by number.
    pub(in super::super) peer: Option<usize>,
}

/// A configured neighbour.
#[derive(Debug)]
pub(in super::super) struct Known {
    pub(in super::super) config: Neighbour,
    pub(in super::super) key: Arc<str>,
    targets: Vec<Target>,
    /// User, password and realm (empty = any) that we prove ourselves by.
    pub(in super::super) proof: Option<Proof>,
}

/// Digest credentials for one neighbour.
#[derive(Clone)]
pub(in super::super) struct Proof {
    pub(in super::super) user: String,
    pub(in super::super) password: String,
    pub(in super::super) realm: String,
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proof")
            .field("user", &self.user)
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}

/// All ways.
#[derive(Debug)]
pub(in super::super) struct Routes {
    ours: Vec<String>,
    pub(in super::super) known: Vec<Known>,
    /// Which of these is the telephone system that is asked what lines do.
    line_server: Option<usize>,
    outbound: Vec<String>,
    /// Domains that RVP leads to, and those that it may look up: theirs first.
    rvp: Vec<String>,
    rvp_outbound: Vec<String>,
}

impl Routes {
    /// From the configuration.
    pub(in super::super) fn new(config: &Config) -> Self {
        let rvp = config.rvp.peers.known.iter();
        let peers = &config.sip.peers.known;
        Self {
            ours: config.server.domains.clone(),
            known: peers
                .iter()
                .chain(&config.sip.line_server)
                .map(known)
                .collect(),
            line_server: config.sip.line_server.as_ref().map(|_| peers.len()),
            outbound: config.sip.peers.outbound.clone(),
            rvp: rvp.flat_map(|peer| peer.domains.clone()).collect(),
            rvp_outbound: config.rvp.peers.outbound.clone(),
        }
    }

    /// The way to a foreign domain; `None` if policy lets nobody go there by SIP.
    pub(in super::super) fn of(&self, domain: &str) -> Option<Route> {
        if self.ours.iter().any(|ours| ours == domain) {
            return None;
        }
        if let Some(at) = self.speaker(domain) {
            let known = self.known.get(at)?;
            let targets = if known.targets.is_empty() {
                vec![Target::domain(domain)]
            } else {
                known.targets.clone()
            };
            return Some(Route {
                key: Arc::clone(&known.key),
                targets,
                peer: Some(at),
            });
        }
        let named = |list: &[String]| list.iter().any(|out| out == domain);
        let any = |list: &[String]| list.iter().any(|out| out == "*");
        let by_rvp = named(&self.rvp) || named(&self.rvp_outbound) || any(&self.rvp_outbound);
        // A domain that is named goes before one that is only allowed.
        let open = named(&self.outbound) && !named(&self.rvp) || any(&self.outbound) && !by_rvp;
        open.then(|| Route {
            key: domain.into(),
            targets: vec![Target::domain(domain)],
            peer: None,
        })
    }

    /// The first domain of ours.
    pub(in super::super) fn home(&self) -> Option<&str> {
        self.ours.first().map(String::as_str)
    }

    /// The way to the telephone system that is asked what lines do.
    pub(in super::super) fn line_server(&self) -> Option<Route> {
        let known = self.known.get(self.line_server?)?;
        Some(Route {
            key: Arc::clone(&known.key),
            targets: known.targets.clone(),
            peer: self.line_server,
        })
    }

    /// The URIs of a SUBSCRIBE to one line there: of the line, and of us.
    pub(in super::super) fn line_ends(&self, line: &str) -> Option<(String, String)> {
        let config = &self.known.get(self.line_server?)?.config;
        let (scheme, place) = config.route.first()?.split_once(':')?;
        let home = self.home().unwrap_or_default();
        let us = match &config.user {
            Some(user) => format!("sip:{}@{home}", escape_user(user)),
            None => format!("sip:{home}"),
        };
        Some((format!("{scheme}:{}@{place}", escape_user(line)), us))
    }

    /// The neighbour that may speak for a domain.
    pub(in super::super) fn speaker(&self, domain: &str) -> Option<usize> {
        self.known
            .iter()
            .position(|known| known.config.domains.iter().any(|d| d == domain))
    }

    /// The neighbours that are believed by this address.
    pub(in super::super) fn at(&self, source: IpAddr) -> impl Iterator<Item = &Known> {
        let at = move |net: &Network| net.contains(source);
        self.known.iter().filter(move |known| {
            known.config.trust == Trust::Address && known.config.addresses.iter().any(at)
        })
    }

    /// The neighbours that are believed by what a verified certificate says (RFC 5922 7.2).
    pub(in super::super) fn proved<'a>(
        &'a self,
        identities: Option<&'a Identities>,
    ) -> impl Iterator<Item = &'a Known> {
        self.known.iter().filter(move |known| {
            let mut own = known.config.tls_names.iter();
            let own_authorities = known.config.own_authorities();
            let vouched = identities.filter(|id| id.vouched(own_authorities));
            let speaks = |name: &String| vouched.is_some_and(|id| id.speaks_for(name));
            known.config.trust == Trust::Tls && own.any(speaks)
        })
    }

    /// Whether an address belongs to that neighbour as far as the configuration says.
    pub(in super::super) fn is_place_of(&self, peer: Option<usize>, ip: IpAddr) -> bool {
        let Some(known) = peer.and_then(|at| self.known.get(at)) else {
            return false;
        };
        let written = |target: &Target| target.place == Place::Ip(ip);
        known.config.addresses.iter().any(|net| net.contains(ip))
            || known.targets.iter().any(written)
    }

    /// Whether we say to that neighbour for whom we speak (RFC 3325: only within a trust).
    pub(in super::super) fn asserts(&self, peer: Option<usize>) -> bool {
        let known = peer.and_then(|at| self.known.get(at));
        known.is_some_and(|known| known.config.trust != Trust::None)
    }
}

/// The word in the configuration.
pub(in super::super) fn trust(trust: Trust) -> &'static str {
    match trust {
        Trust::None => "none",
        Trust::Address => "address",
        Trust::Tls => "tls",
    }
}

fn known(peer: &Neighbour) -> Known {
    let target = |uri: &String| {
        let target = Uri::parse(uri).ok().and_then(|uri| Target::of(&uri));
        let Some(mut target) = target else {
            tracing::error!(peer = peer.name, uri, "route can't be used");
            return None;
        };
        // An address proves nothing: who is meant is the configured name (RFC 5922 4).
        if let (Place::Ip(_), Some(name)) = (&target.place, peer.tls_names.first()) {
            target.name = name.to_ascii_lowercase().into();
        }
        Some(target)
    };
    let password = peer.password_file.as_ref().and_then(|file| {
        std::fs::read_to_string(file)
            .inspect_err(|error| {
                tracing::error!(peer = peer.name, file = %file.display(), %error, "no password");
            })
            .ok()
    });
    let password = password.and_then(|text| text.lines().next().map(str::to_owned));
    let realm = peer.realm.clone().or_else(|| peer.domains.first().cloned());
    Known {
        key: peer.name.as_str().into(),
        targets: peer.route.iter().filter_map(target).collect(),
        proof: peer
            .user
            .clone()
            .zip(password)
            .map(|(user, password)| Proof {
                user,
                password,
                realm: realm.unwrap_or_default(),
            }),
        config: peer.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Vouchers;
    use std::collections::BTreeMap;

    fn routes(text: &str) -> Routes {
        let config = Config::from_text(text, None, BTreeMap::new()).expect("configuration");
        Routes::new(&config)
    }

    #[test]
    fn no_open_relay_and_one_way_to_each_domain() {
        let routes = routes(
            r#"
            [server]
            domains = ["a.example"]
            [rvp]
            outbound_domains = ["e.example", "f.example"]
            [rvp.peers."r.example"]
            [sip]
            outbound_domains = ["c.example", "f.example"]
            [sip.peers."b.example"]
            route = "sip:192.0.2.1:5070;transport=tcp"
            trust = "address"
            [sip.peers."hoster"]
            domains = ["x.example", "y.example"]
            "#,
        );
        let way = |domain: &str| {
            let route = routes.of(domain)?;
            let place = match &route.targets.first()?.place {
                Place::Ip(ip) => ip.to_string(),
                Place::Name(name) => name.to_string(),
            };
            Some(format!("{} at {place}", route.key))
        };
        for (domain, want) in [
            ("a.example", None),
            ("b.example", Some("b.example at 192.0.2.1")),
            ("x.example", Some("hoster at x.example")),
            ("y.example", Some("hoster at y.example")),
            ("c.example", Some("c.example at c.example")),
            ("f.example", Some("f.example at f.example")),
            ("d.example", None),
            ("e.example", None),
            ("r.example", None),
        ] {
            assert_eq!(way(domain).as_deref(), want, "{domain}");
        }
        let ip = |text: &str| text.parse().expect("address");
        assert_eq!(routes.at(ip("192.0.2.1")).count(), 1);
        assert_eq!(routes.at(ip("192.0.2.2")).count(), 0);
        assert!(routes.asserts(Some(0)) && !routes.asserts(Some(1)) && !routes.asserts(None));
        assert!(routes.is_place_of(Some(0), ip("192.0.2.1")));
        assert!(!routes.is_place_of(Some(1), ip("192.0.2.1")));
    }

    #[test]
    fn rfc5922_who_vouches_for_one_neighbour_vouches_for_no_other() {
        let routes = routes(
            r#"
            [sip.peers."b.example"]
            trust = "tls"
            authorities = ["b.pem"]
            [sip.peers."c.example"]
            trust = "tls"
            authorities = ["c.pem"]
            [sip.peers."d.example"]
            trust = "tls"
            "#,
        );
        let proved = |name: &str, vouchers: Vouchers| {
            let shown = Identities {
                dns: vec![name.to_owned()],
                vouchers,
                ..Identities::default()
            };
            let believed = routes
                .proved(Some(&shown))
                .map(|known| known.key.to_string());
            believed.collect::<Vec<_>>()
        };
        for (name, own, common) in [
            ("b.example", "b.example", "d.example"),
            ("c.example", "c.example", "b.example"),
        ] {
            assert_eq!(proved(name, Vouchers::of(own)), [name]);
            assert!(proved(name, Vouchers::of(common)).is_empty());
            assert!(proved(name, Vouchers::common()).is_empty());
            assert!(proved(name, Vouchers::default()).is_empty());
        }
        assert_eq!(proved("d.example", Vouchers::common()), ["d.example"]);
        assert!(proved("d.example", Vouchers::of("b.example")).is_empty());
    }

    #[test]
    fn whatever_is_open_to_both_goes_by_rvp_unless_named() {
        let routes = routes(
            r#"
            [rvp]
            outbound_domains = ["*"]
            [sip]
            outbound_domains = ["*", "c.example"]
            [sip.peers."b.example"]
            "#,
        );
        assert!(routes.of("b.example").is_some());
        assert!(routes.of("c.example").is_some());
        assert!(routes.of("d.example").is_none());
    }
}
