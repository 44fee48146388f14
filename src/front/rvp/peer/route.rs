//! Which server a person is at, and which servers may speak for whom.

use crate::config::{Config, Homed, Peer, Role, Scheme};
use crate::core::address::{Address, normal_domain};
use crate::net::Identities;
use rvp::{Authority, Host, NodeUrl, Principal};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The way to one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// One connection pool per key.
    pub(super) key: Arc<str>,
    /// Domain of the people there.
    pub(super) domain: String,
    /// Host in their logical URLs.
    pub(super) host: String,
    /// The home server, when the way leads to one of our own domain's.
    pub(super) home: Option<Authority>,
    /// Where to connect to, where that is known.
    pub(super) places: Vec<SocketAddr>,
    /// Its section of the configuration, by number.
    pub(super) peer: Option<usize>,
    /// Speak TLS to it.
    pub(super) tls: bool,
    /// The name that its certificate must speak for then.
    pub(super) tls_name: String,
}

/// A configured server with what it proves itself by.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) config: Peer,
    /// User and password shared with it.
    pub(super) shared: Option<(String, String)>,
    /// How we prove ourselves by them, in order of preference.
    pub(super) schemes: Vec<auth::login::Scheme>,
}

impl Known {
    fn is_at(&self, source: IpAddr) -> bool {
        self.config.trust.iter().any(|net| net.contains(source))
    }

    fn shows(&self, shown: Option<&Identities>) -> bool {
        match (&self.config.tls_name, shown) {
            (Some(name), Some(shown)) => {
                shown.speaks_for(name) && shown.vouched(self.config.own_authorities())
            }
            _ => false,
        }
    }
}

fn tls_name(peer: Option<&Peer>, host: &str) -> String {
    let named = peer.and_then(|peer| peer.tls_name.clone());
    named.unwrap_or_else(|| host.to_owned())
}

/// All ways.
#[derive(Debug)]
pub(super) struct Routes {
    domains: Vec<String>,
    roles: HashMap<String, Role>,
    /// Host in logical URLs of each domain of ours.
    hosts: HashMap<String, String>,
    /// Our own physical base, `host[:port]`.
    own: Option<Authority>,
    named: HashMap<String, Authority>,
    rest: HashMap<String, Authority>,
    pub(super) peers: Vec<Known>,
    outbound: Vec<String>,
    /// Domains that are reached by SIP: configured there, or named there.
    sip: Vec<String>,
}

impl Routes {
    /// From the configuration; `hosts` are the canonical hosts of our domains.
    pub(super) fn new(config: &Config, hosts: HashMap<String, String>) -> Self {
        let peers = &config.rvp.peers;
        let (mut named, mut rest) = (HashMap::new(), HashMap::new());
        for Homed { who, base } in &peers.homes {
            let Some(at) = authority(base) else { continue };
            match who.strip_prefix("*@") {
                Some(domain) => rest.insert(domain.to_owned(), at),
                None => named.insert(who.clone(), at),
            };
        }
        let domains = &config.server.domains;
        Self {
            domains: domains.clone(),
            roles: domains
                .iter()
                .map(|d| (d.clone(), config.role(d)))
                .collect(),
            hosts,
            own: peers.home.as_deref().and_then(authority),
            named,
            rest,
            peers: peers.known.iter().map(known).collect(),
            outbound: peers.outbound.clone(),
            sip: by_sip(config),
        }
    }

    /// What we are to a domain of ours.
    pub(super) fn role(&self, domain: &str) -> Role {
        self.roles.get(domain).copied().unwrap_or(Role::Both)
    }

    /// Whether a domain is ours.
    pub(super) fn is_ours(&self, domain: &str) -> bool {
        self.domains.iter().any(|ours| ours == domain)
    }

    /// The way to a person who is not held here.
    pub(super) fn of(&self, address: &Address) -> Option<Route> {
        let domain = address.domain();
        if !self.is_ours(domain) {
            return self.foreign(domain);
        }
        let named = self.named.get(&address.to_string());
        let home = named.or_else(|| self.rest.get(domain))?;
        if self.own.as_ref() == Some(home) {
            return None;
        }
        let text = home.to_string();
        let fits = |known: &Known| known.config.host.as_deref() == Some(&text);
        let literal = home
            .host
            .ip()
            .map(|ip| (ip, home.port.unwrap_or(80)).into());
        let peer = self.peers.iter().position(fits);
        let config = peer.map(|at| &self.peers[at].config);
        let configured = config.map(|peer| peer.address.clone());
        Some(Route {
            tls: config.is_some_and(|peer| peer.tls),
            tls_name: tls_name(config, &home.host.to_string()),
            key: format!("home {text}").into(),
            domain: domain.to_owned(),
            host: self.hosts.get(domain).cloned().unwrap_or_default(),
            places: configured
                .filter(|places| !places.is_empty())
                .unwrap_or_else(|| literal.into_iter().collect()),
            home: Some(home.clone()),
            peer,
        })
    }

    fn foreign(&self, domain: &str) -> Option<Route> {
        let speaks = |known: &Known| known.config.domains.iter().any(|d| d == domain);
        let peer = self.peers.iter().position(speaks);
        let config = peer.map(|at| &self.peers[at].config);
        if config.is_none() && self.sip.iter().any(|other| other == domain) {
            return None;
        }
        if config.is_none() && !self.outbound.iter().any(|out| out == "*" || out == domain) {
            return None;
        }
        let host = config.and_then(|peer| peer.host.clone());
        let host = host.unwrap_or_else(|| format!("im.{domain}"));
        Some(Route {
            tls: config.is_some_and(|peer| peer.tls),
            tls_name: tls_name(config, &host),
            key: format!("domain {domain}").into(),
            domain: domain.to_owned(),
            host,
            home: None,
            places: config.map(|peer| peer.address.clone()).unwrap_or_default(),
            peer,
        })
    }

    /// The foreign person that a node URL names; `None` if the host is of no domain that we may
    /// reach.
    pub(super) fn foreigner(&self, node: &NodeUrl) -> Option<Address> {
        let domain = self.domain_of(&node.authority.host)?;
        let alias = node.alias()?;
        Address::new(&alias.replace('%', "%25"), &domain).ok()
    }

    /// The foreign person or server that a claim names.
    pub(super) fn claimed(&self, claim: &Principal) -> Option<Address> {
        match claim {
            Principal::Node(node) => self.foreigner(node),
            Principal::Server(at) => {
                Address::of_server(&at.host.to_string(), &self.domain_of(&at.host)?).ok()
            }
        }
    }

    fn domain_of(&self, host: &Host) -> Option<String> {
        let Host::Name(name) = host else { return None };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let mut peers = self.peers.iter().map(|known| &known.config);
        let by_host = peers.find(|peer| peer.host.as_deref() == Some(&name));
        if let Some(domain) = by_host.and_then(|peer| peer.domains.first()) {
            return (!self.is_ours(domain)).then(|| domain.clone());
        }
        let domain = normal_domain(name.strip_prefix("im.").unwrap_or(&name)).ok()?;
        (!self.is_ours(&domain) && self.foreign(&domain).is_some()).then_some(domain)
    }

    /// Whether a server that speaks for this domain may be at that address, without proof.
    /// `shown`: whom the certificate speaks for that it has shown.
    /// Who may speak for our own people may speak for strangers as well: a router carries what
    /// other domains send.
    pub(super) fn trusts(&self, domain: &str, source: IpAddr, shown: Option<&Identities>) -> bool {
        let named = |domain: &str| {
            self.of_domain(domain)
                .any(|known| known.is_at(source) || known.shows(shown))
        };
        named(domain) || !self.is_ours(domain) && self.domains.iter().any(|ours| named(ours))
    }

    /// The peers that may speak for a domain.
    pub(super) fn of_domain<'a>(
        &'a self,
        domain: &'a str,
    ) -> impl Iterator<Item = &'a Known> + use<'a> {
        let speaks = move |known: &&Known| known.config.domains.iter().any(|d| d == domain);
        self.peers.iter().filter(speaks)
    }

    /// The credentials shared with the servers of a domain, and the schemes that they may be
    /// proved by: those that we would use there, NTLM bare or wrapped in Negotiate.
    pub(super) fn shared_of<'a>(
        &'a self,
        domain: &'a str,
    ) -> (Vec<(&'a str, &'a str)>, Vec<Scheme>) {
        let (mut pairs, mut schemes) = (Vec::new(), Vec::new());
        for known in self.of_domain(domain) {
            let Some((user, password)) = &known.shared else {
                continue;
            };
            pairs.push((user.as_str(), password.as_str()));
            for scheme in &known.config.auth {
                let wrapped = (*scheme == Scheme::Ntlm).then_some(Scheme::Negotiate);
                for offered in wrapped.into_iter().chain([*scheme]) {
                    if !schemes.contains(&offered) {
                        schemes.push(offered);
                    }
                }
            }
        }
        (pairs, schemes)
    }

    /// Whether any peer is at that address, or shows that certificate.
    pub(super) fn is_peer(&self, source: IpAddr, shown: Option<&Identities>) -> bool {
        let mut peers = self.peers.iter();
        peers.any(|known| known.is_at(source) || known.shows(shown))
    }

    /// Most servers that a NOTIFY from a domain may have passed.
    pub(super) fn max_hops(&self, domain: &str) -> u32 {
        let most = self.of_domain(domain).map(|known| known.config.max_hops);
        most.max()
            .and_then(|hops| u32::try_from(hops).ok())
            .unwrap_or(10)
    }

    /// Whether a redirect of that server may be followed there: the same host, or below the same
    /// domain; an address only where the configuration names it.
    pub(super) fn may_redirect(&self, route: &Route, to: &Authority) -> bool {
        let Host::Name(name) = &to.host else {
            let ip = to.host.ip();
            let named = |known: &Known| {
                let at = known.config.address.iter().map(SocketAddr::ip);
                at.chain(None).any(|known| Some(known) == ip)
            };
            return self.of_domain(&route.domain).any(named);
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let below = |domain: &str| {
            name == domain
                || name
                    .strip_suffix(domain)
                    .is_some_and(|rest| rest.ends_with('.'))
        };
        name == route.host || below(&route.domain)
    }

    /// Every domain with the host that its logical URLs name, as far as they are configured.
    pub(super) fn foreign_hosts(&self) -> impl Iterator<Item = (&str, String)> {
        let foreign = self.peers.iter().flat_map(|known| {
            let hosts = known.config.domains.iter();
            hosts.map(move |domain| (domain.as_str(), known.config.host.clone()))
        });
        foreign.filter_map(|(domain, host)| {
            (!self.is_ours(domain))
                .then(|| (domain, host.unwrap_or_else(|| format!("im.{domain}"))))
        })
    }
}

fn by_sip(config: &Config) -> Vec<String> {
    let peers = &config.sip.peers;
    let known = peers.known.iter().flat_map(|peer| &peer.domains);
    known.chain(&peers.outbound).cloned().collect()
}

fn known(peer: &Peer) -> Known {
    let password = peer.password_file.as_ref().and_then(|file| {
        std::fs::read_to_string(file)
            .inspect_err(|error| {
                tracing::error!(peer = peer.name, file = %file.display(), %error, "no password");
            })
            .ok()
    });
    let password = password.and_then(|text| text.lines().next().map(str::to_owned));
    let schemes = peer.auth.iter().filter_map(|scheme| match scheme {
        Scheme::Digest => Some(auth::login::Scheme::Digest),
        Scheme::Ntlm => Some(auth::login::Scheme::Ntlm),
        Scheme::Negotiate => None,
    });
    Known {
        schemes: schemes.collect(),
        shared: peer.user.clone().zip(password),
        config: peer.clone(),
    }
}

fn authority(base: &str) -> Option<Authority> {
    let rest = base.strip_prefix("http://").unwrap_or(base);
    Authority::parse(rest.trim_end_matches('/')).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn routes() -> Routes {
        let text = r#"
            [server]
            domains = ["a.example"]
            [rvp]
            home = "http://127.0.0.9:81"
            homes = { "alice" = "http://127.0.0.9:81/", "bob@a.example" = "http://home2.a.example", "*@a.example" = "http://127.0.0.7:82" }
            outbound_domains = ["c.example"]
            [rvp.peers."b.example"]
            host = "rendezvous.b.example"
            address = ["127.0.0.8:83"]
            trust = ["127.0.0.8"]
            max_hops = 3
        "#;
        let config = Config::from_text(text, None, BTreeMap::new()).expect("configuration");
        let hosts = [("a.example".to_owned(), "im.a.example".to_owned())];
        Routes::new(&config, hosts.into())
    }

    #[test]
    fn rvp_1_who_is_where() {
        let routes = routes();
        let of = |who: &str| {
            let route = routes.of(&Address::parse(who).expect("address"))?;
            let home = route.home.map(|home| home.to_string()).unwrap_or_default();
            Some((route.host, home, route.places.len()))
        };
        let way = |host: &str, home: &str, places| Some((host.to_owned(), home.to_owned(), places));
        assert_eq!(of("alice@a.example"), None);
        assert_eq!(
            of("bob@a.example"),
            way("im.a.example", "home2.a.example", 0)
        );
        assert_eq!(of("x@a.example"), way("im.a.example", "127.0.0.7:82", 1));
        assert_eq!(of("x@b.example"), way("rendezvous.b.example", "", 1));
        assert_eq!(of("x@c.example"), way("im.c.example", "", 0));
        assert_eq!(of("x@d.example"), None);
    }

    #[test]
    fn hosts_of_foreigners_and_who_may_speak_for_them() {
        let routes = routes();
        for (url, want) in [
            (
                "http://rendezvous.b.example/instmsg/aliases/Carol",
                Some("carol@b.example"),
            ),
            (
                "http://im.b.example/instmsg/aliases/carol",
                Some("carol@b.example"),
            ),
            ("http://c.example/instmsg/aliases/x", Some("x@c.example")),
            ("http://im.a.example/instmsg/aliases/x", None),
            ("http://im.d.example/instmsg/aliases/x", None),
            ("http://127.0.0.8/instmsg/aliases/x", None),
            ("http://im.b.example", Some("/im.b.example@b.example")),
        ] {
            let claim = Principal::parse(url).expect(url);
            let got = routes.claimed(&claim).map(|address| address.to_string());
            assert_eq!(got.as_deref(), want, "{url}");
        }
        let ip = |text: &str| text.parse().expect("address");
        assert!(routes.trusts("b.example", ip("127.0.0.8"), None));
        assert!(!routes.trusts("b.example", ip("127.0.0.9"), None));
        assert!(!routes.trusts("a.example", ip("127.0.0.8"), None));
        assert_eq!(
            (routes.max_hops("b.example"), routes.max_hops("c.example")),
            (3, 10)
        );
    }

    #[test]
    fn redirects_stay_within_the_domain() {
        let routes = routes();
        let b = routes
            .of(&Address::parse("x@b.example").expect("address"))
            .expect("way");
        for (to, want) in [
            ("rendezvous.b.example", true),
            ("Home7.B.example:8080", true),
            ("b.example", true),
            ("evil-b.example", false),
            ("b.example.evil.example", false),
            ("c.example", false),
            ("im.a.example", false),
            ("127.0.0.8:99", true),
            ("127.0.0.1", false),
            ("169.254.169.254", false),
        ] {
            let at = Authority::parse(to).expect(to);
            assert_eq!(routes.may_redirect(&b, &at), want, "{to}");
        }
    }
}
