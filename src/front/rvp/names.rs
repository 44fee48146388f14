//! Node URLs and addresses: `http://im.example.com/instmsg/aliases/alice` is `alice@example.com`.

use crate::core::address::{Address, normal_domain, normal_local};
use rvp::{Authority, CallBack, Host, NodeUrl, Principal};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Which hosts mean us, and for which domain (`decisions.md` 2).
#[derive(Clone, Debug)]
pub struct Names {
    /// The default domain.
    first: String,
    /// All domains served.
    domains: Vec<String>,
    /// Host, lower case, to domain.
    hosts: BTreeMap<String, String>,
    /// Domain to the host that we write for it when the client's own spelling says nothing.
    canonical: BTreeMap<String, String>,
    /// Ports of our RVP listeners.
    ports: Vec<u16>,
}

/// Why a URL names no person of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotOurs {
    /// The host is not ours.
    Host,
    /// Ours, but neither `/instmsg/aliases/ALIAS` nor another path that can be a node's.
    Node,
}

/// What a Call-Back means (`decisions.md` 28).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A node of ours: delivered inside, never dialled.
    Logical(Address),
    /// Our own address and port without a node.
    Ourselves,
    /// A place to connect to, if policy allows.
    Endpoint,
}

impl Names {
    /// `hosts` mean the first domain (first = canonical), `host_domains` other ones.
    pub fn new<'a>(
        domains: &[String],
        hosts: impl IntoIterator<Item = &'a str>,
        host_domains: impl IntoIterator<Item = (&'a str, &'a str)>,
        ports: Vec<u16>,
    ) -> Self {
        let first = domains.first().cloned().unwrap_or_default();
        let mut names = Self {
            domains: domains.to_vec(),
            hosts: BTreeMap::new(),
            canonical: BTreeMap::new(),
            ports,
            first: first.clone(),
        };
        for host in hosts {
            names.add(host, &first);
        }
        for (host, domain) in host_domains {
            names.add(host, domain);
        }
        names
    }

    fn add(&mut self, host: &str, domain: &str) {
        let host = host_key(host);
        self.canonical
            .entry(domain.to_owned())
            .or_insert_with(|| host.clone());
        self.hosts.insert(host, domain.to_owned());
    }

    /// The domain that a host stands for. `local` is our end of the connection: our own address
    /// means the first domain.
    pub(super) fn domain_of(&self, host: &Host, local: Option<IpAddr>) -> Option<&str> {
        // As nearly all write it: one look, nothing folded.
        if let Host::Name(name) = host
            && let Some(domain) = self.hosts.get(&**name)
        {
            return Some(domain);
        }
        let key = host_key(&host.to_string());
        if let Some(domain) = self.hosts.get(&key) {
            return Some(domain);
        }
        if let (Some(ip), Some(local)) = (host.ip(), local) {
            return (ip.to_canonical() == local.to_canonical()).then_some(self.first.as_str());
        }
        let domain = normal_domain(&key).ok()?;
        self.domains
            .iter()
            .find(|ours| **ours == domain)
            .map(String::as_str)
    }

    /// The person or node a URL names.
    pub(super) fn address(
        &self,
        node: &NodeUrl,
        local: Option<IpAddr>,
    ) -> Result<Address, NotOurs> {
        let domain = self
            .domain_of(&node.authority.host, local)
            .ok_or(NotOurs::Host)?;
        let Some(alias) = node.alias() else {
            return Address::of_path(node.path(), domain).map_err(|_| NotOurs::Node);
        };
        if is_plain(alias) {
            return Address::from_normal(&format!("{alias}@{domain}")).map_err(|_| NotOurs::Node);
        }
        // `alias` is decoded already; a `%` in it must not be decoded again.
        let local = normal_local(&alias.replace('%', "%25")).map_err(|_| NotOurs::Node)?;
        // The domain is one of ours, normalised already; folding it again costs more than all else.
        Address::from_normal(&format!("{local}@{domain}")).map_err(|_| NotOurs::Node)
    }

    /// The person whom a claim names; a server names nobody.
    pub(super) fn claimed(&self, claim: &Principal, local: Option<IpAddr>) -> Option<Address> {
        claim.node().and_then(|node| self.address(node, local).ok())
    }

    /// The logical URL of a person as a client that calls us `spoken` knows it (`rvp.md` 8.8).
    pub(super) fn href(&self, address: &Address, spoken: &str) -> String {
        let host = if self.is_spoken_for(spoken, address.domain()) {
            spoken.to_owned()
        } else {
            self.host_of(address.domain())
        };
        if address.path().is_none() && is_plain(address.local()) {
            return format!("http://{host}/instmsg/aliases/{}", address.local());
        }
        if let Some(path) = address.path() {
            return format!("http://{host}{}", encoded(path));
        }
        Authority::parse(&host)
            .and_then(|authority| NodeUrl::of_alias(authority, address.local()))
            .map_or_else(
                |_| format!("http://{host}/instmsg/aliases/{}", address.local()),
                |node| node.href(),
            )
    }

    /// Whether a client that calls us `spoken` means this domain by it.
    fn is_spoken_for(&self, spoken: &str, domain: &str) -> bool {
        if let Some(known) = self.hosts.get(spoken) {
            return known == domain;
        }
        let known = Authority::parse(spoken).ok();
        let known = known.and_then(|authority| self.domain_of(&authority.host, None));
        // A client that dialled our bare address is of the first domain.
        known.map_or_else(
            || spoken.parse::<IpAddr>().is_ok() && domain == self.first,
            |known| known == domain,
        )
    }

    /// The host that logical URLs of a domain of somebody else name.
    pub(super) fn abroad(&mut self, domain: &str, host: &str) {
        let host = host_key(host);
        self.canonical.insert(domain.to_owned(), host);
    }

    /// The host that we write for a domain.
    pub(super) fn host_of(&self, domain: &str) -> String {
        self.canonical
            .get(domain)
            .cloned()
            .unwrap_or_else(|| format!("im.{domain}"))
    }

    /// What a Call-Back means. `ours` tells whether an endpoint is one of our listeners.
    pub(super) fn way(
        &self,
        call_back: &CallBack,
        local: IpAddr,
        ours: impl Fn(std::net::SocketAddr) -> bool,
    ) -> Way {
        let authority = call_back.authority();
        let is_own_port = authority.port.is_none_or(|port| self.ports.contains(&port));
        let is_own_host = self.domain_of(&authority.host, Some(local)).is_some();
        if !(is_own_host && is_own_port) {
            return Way::Endpoint;
        }
        // Only people have inboxes that a Call-Back can mean.
        if let Some(node) = call_back.node().filter(|node| node.alias().is_some()) {
            return self
                .address(&node, Some(local))
                .map_or(Way::Ourselves, Way::Logical);
        }
        // A client on our own machine may well listen on port 80 of another address, so an
        // address counts as ourselves only where one of our listeners stands.
        match call_back.address() {
            Some(address) if !ours(address) => Way::Endpoint,
            _ => Way::Ourselves,
        }
    }
}

/// Whether this is a normal local part that needs no encoding in URLs: what nearly all names are.
fn is_plain(local: &str) -> bool {
    let plain = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'_';
    let inner = |octet: u8| plain(octet) || octet == b'-' || octet == b'.';
    let octets = local.as_bytes();
    let ends = [octets.first(), octets.last()];
    octets.len() <= 64
        && octets.iter().all(|octet| inner(*octet))
        && ends.iter().all(|end| end.is_some_and(|end| plain(*end)))
}

/// A decoded path as it is written in URLs.
fn encoded(path: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(path.len());
    for octet in path.bytes() {
        if octet.is_ascii_alphanumeric() || b"/-._~!$'()*+,;=:".contains(&octet) {
            text.push(char::from(octet));
        } else {
            let _ = write!(text, "%{octet:02X}");
        }
    }
    text
}

/// Lower case, no port, no brackets, no trailing dot.
fn host_key(text: &str) -> String {
    let host = Authority::parse(text.trim())
        .map_or_else(|_| text.trim().to_owned(), |a| a.host.to_string());
    host.trim_matches(['[', ']'])
        .trim_end_matches('.')
        .to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::new(
            &["example.com".into(), "b.example".into()],
            ["im.example.com", "localhost", "127.0.0.1"],
            [("im.b.example", "b.example")],
            vec![8080],
        )
    }

    #[test]
    fn hosts_stand_for_domains() {
        let local = Some(IpAddr::from([192, 168, 0, 9]));
        for (url, want) in [
            (
                "http://im.example.com/instmsg/aliases/Alice",
                Ok("alice@example.com"),
            ),
            (
                "http://IM.example.com:8080/instmsg/aliases/alice/",
                Ok("alice@example.com"),
            ),
            (
                "http://localhost/instmsg/aliases/alice",
                Ok("alice@example.com"),
            ),
            (
                "http://192.168.0.9/instmsg/aliases/alice",
                Ok("alice@example.com"),
            ),
            (
                "http://192.168.0.8/instmsg/aliases/alice",
                Err(NotOurs::Host),
            ),
            (
                "http://im.b.example/instmsg/aliases/al%20ice",
                Err(NotOurs::Node),
            ),
            (
                "http://im.b.example/instmsg/aliases/%61l",
                Ok("al@b.example"),
            ),
            ("http://b.example/instmsg/aliases/al", Ok("al@b.example")),
            (
                "http://im.example.com/Groups/X/",
                Ok("/groups/x@example.com"),
            ),
            ("http://im.example.com/j%C3%B6", Ok("/j\u{f6}@example.com")),
            ("http://im.example.com/instmsg/x", Err(NotOurs::Node)),
            ("http://im.example.com/", Err(NotOurs::Node)),
            (
                "http://im.other.example/instmsg/aliases/x",
                Err(NotOurs::Host),
            ),
            (
                "http://home1.example.com/instmsg/local/im.example.com/instmsg/aliases/alice",
                Ok("alice@example.com"),
            ),
        ] {
            let got = names().address(&NodeUrl::parse(url).expect(url), local);
            assert_eq!(
                got.map(|address| address.to_string()),
                want.map(str::to_owned),
                "{url}"
            );
        }
    }

    #[test]
    fn rvp_8_8_hrefs_use_the_host_as_the_client_spells_it() {
        let names = names();
        let alice = Address::parse("alice@example.com").expect("address");
        let al = Address::parse("al@b.example").expect("address");
        let other = Address::parse("x@other.example").expect("address");
        let group = Address::of_path("/groups/j\u{f6} 1", "example.com");
        assert!(group.is_err(), "white space");
        let group = Address::of_path("/groups/j\u{f6}", "example.com").expect("address");
        assert_eq!(
            names.href(&group, "localhost"),
            "http://localhost/groups/j%C3%B6"
        );
        assert_eq!(
            names.href(&group, ""),
            "http://im.example.com/groups/j%C3%B6"
        );
        for (address, spoken, want) in [
            (
                &alice,
                "IM.Example.COM",
                "http://IM.Example.COM/instmsg/aliases/alice",
            ),
            (
                &alice,
                "localhost",
                "http://localhost/instmsg/aliases/alice",
            ),
            (
                &alice,
                "192.168.0.9",
                "http://192.168.0.9/instmsg/aliases/alice",
            ),
            (&al, "localhost", "http://im.b.example/instmsg/aliases/al"),
            (
                &other,
                "localhost",
                "http://im.other.example/instmsg/aliases/x",
            ),
            (
                &alice,
                "im.b.example",
                "http://im.example.com/instmsg/aliases/alice",
            ),
        ] {
            assert_eq!(names.href(address, spoken), want);
        }
    }

    #[test]
    fn decision_28_logical_ours_endpoint() {
        let local = IpAddr::from([127, 0, 0, 1]);
        let alice = Address::parse("alice@example.com").expect("address");
        for (text, want) in [
            (
                "http://im.example.com/instmsg/aliases/alice",
                Way::Logical(alice.clone()),
            ),
            (
                "http://127.0.0.1:8080/instmsg/aliases/alice",
                Way::Logical(alice),
            ),
            ("http://127.0.0.1:9999/instmsg/aliases/alice", Way::Endpoint),
            ("http://127.0.0.1:8080", Way::Ourselves),
            ("http://127.0.0.1:8080/x", Way::Ourselves),
            ("http://im.example.com", Way::Ourselves),
            ("http://127.0.0.1", Way::Endpoint),
            ("http://127.0.0.1:1234", Way::Endpoint),
            ("http://198.51.100.7:1234", Way::Endpoint),
            ("http://other.example/instmsg/aliases/x", Way::Endpoint),
        ] {
            let call_back = CallBack::parse(text).expect(text);
            let got = names().way(&call_back, local, |at| at.port() == 8080);
            assert_eq!(got, want, "{text}");
        }
    }
}
