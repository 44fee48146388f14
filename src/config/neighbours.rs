//! `[sip]` `peers` and what goes with them: neighbouring SIP domains. The RVP counterpart is
//! `peers.rs`.

use super::peers::{domains, not_everybody, outbound};
use super::reader::Reader;
use super::value::{Network, words};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

words! {
    /// How a neighbour's word is believed.
    Trust {
        /// Not at all: it is only sent to.
        None = "none",
        /// By the address that its requests come from.
        Address = "address",
        /// By the certificate of its connection.
        Tls = "tls",
    }
}

/// A neighbouring domain's server.
#[derive(Clone, Debug)]
pub struct Neighbour {
    /// The name of its section: its domain, usually.
    pub name: String,
    /// Domains for whose people it may speak; the section's name if nothing is said.
    pub domains: Vec<String>,
    /// Where to send, as SIP URIs, in order; looked up (RFC 3263) if nothing is said.
    pub route: Vec<String>,
    /// How it is believed.
    pub trust: Trust,
    /// Addresses its requests come from; those written in `route` if nothing is said.
    pub addresses: Vec<Network>,
    /// Names its certificate may have; its domains if nothing is said.
    pub tls_names: Vec<String>,
    /// PEM files of the authorities that vouch for it, and for nobody else; those of `[tls]
    /// authorities` if nothing is said.
    pub authorities: Vec<PathBuf>,
    /// User name that we prove ourselves with, by Digest, to it alone.
    pub user: Option<String>,
    /// File with the password: its first line.
    pub password_file: Option<PathBuf>,
    /// The realm in which that is done; its first domain if nothing is said.
    pub realm: Option<String>,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Neighbours {
    /// Foreign domains that may be looked up; `*` = any. Configured peers need not be named.
    pub outbound: Vec<String>,
    /// Name servers; none = the system's.
    pub nameservers: Vec<SocketAddr>,
    /// Pause between two looks at whether peers are there.
    pub check: Duration,
    /// Configured ones.
    pub known: Vec<Neighbour>,
}

impl Default for Neighbours {
    fn default() -> Self {
        Self {
            outbound: Vec::new(),
            nameservers: Vec::new(),
            check: Duration::from_secs(30),
            known: Vec::new(),
        }
    }
}

impl Neighbours {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> Self {
        r.elsewhere("peers");
        let default = Self::default();
        let outbound = outbound(r);
        Self {
            outbound,
            nameservers: r.get("nameservers", default.nameservers),
            check: r
                .get("peer_check", default.check)
                .max(Duration::from_millis(50)),
            known: default.known,
        }
    }
}

impl Neighbour {
    /// Its name, if it has authorities of its own.
    pub fn own_authorities(&self) -> Option<&str> {
        (!self.authorities.is_empty()).then_some(&*self.name)
    }

    pub(super) fn read(r: &mut Reader<'_, '_>, name: &str) -> Self {
        let domains = domains(r, name);
        if domains.is_empty() {
            r.refuse("domains", "at least one domain is needed");
        }
        let route: Vec<String> = r.get("route", Vec::new());
        for uri in route.iter().filter(|uri| !is_route(uri)) {
            let what = "write a place as sip:192.0.2.1:5060;transport=tcp, without a user";
            r.refuse("route", format!("{uri:?}: {what}"));
        }
        let peer = Self {
            name: name.to_owned(),
            trust: r.get("trust", Trust::None),
            addresses: r.get("addresses", written(&route)),
            tls_names: r.get("tls_names", domains.clone()),
            authorities: r.paths("authorities"),
            user: r.option("user"),
            password_file: r.option_path("password_file"),
            realm: r.option("realm"),
            route,
            domains,
        };
        peer.check(r);
        peer
    }

    /// `[sip]` `line_server` and what goes with it: a telephone system is a neighbour that speaks
    /// for nobody. Any realm of its own is answered unless one is named.
    pub(super) fn line_server(r: &mut Reader<'_, '_>) -> Option<Self> {
        let route: Option<String> = r.option("line_server");
        let user: Option<String> = r.option("line_server_user");
        let password_file = r.option_path("line_server_password_file");
        let realm: Option<String> = r.option("line_server_realm");
        if user.is_some() != password_file.is_some() {
            let what = "line_server_user and line_server_password_file go together";
            r.refuse("line_server_user", what);
        }
        let Some(route) = route else {
            if user.is_some() || realm.is_some() {
                let what =
                    "missing; its user, password_file and realm are for no system without it";
                r.refuse("line_server", what);
            }
            return None;
        };
        if !is_route(&route) {
            let what = "write a place as sip:192.0.2.7:5060;transport=tcp, without a user";
            r.refuse("line_server", format!("{route:?}: {what}"));
            return None;
        }
        let route = vec![route];
        Some(Self {
            name: "line_server".to_owned(),
            domains: Vec::new(),
            trust: Trust::None,
            addresses: written(&route),
            tls_names: Vec::new(),
            authorities: Vec::new(),
            user,
            password_file,
            realm,
            route,
        })
    }

    fn check(&self, r: &mut Reader<'_, '_>) {
        if self.user.is_some() != self.password_file.is_some() {
            r.refuse("user", "user and password_file go together");
        }
        if self.trust == Trust::Address && self.addresses.is_empty() {
            let what = "trust = \"address\" needs addresses, or addresses in route";
            r.refuse("addresses", what);
        }
        if self.trust == Trust::Tls && self.tls_names.is_empty() {
            r.refuse("tls_names", "trust = \"tls\" needs at least one name");
        }
        not_everybody(r, "addresses", &self.addresses);
    }
}

/// `sip:` or `sips:`, a host, maybe a port and parameters. The front reads it in earnest.
fn is_route(uri: &str) -> bool {
    place(uri).is_some_and(|place| !place.is_empty())
        && !uri.contains(['@', '<', '>', '?', ' ', '"'])
}

fn place(uri: &str) -> Option<&str> {
    let rest = uri.strip_prefix("sip:").or(uri.strip_prefix("sips:"))?;
    Some(rest.split(';').next().unwrap_or(rest))
}

/// The addresses that routes name as such.
fn written(route: &[String]) -> Vec<Network> {
    use super::value::Value as _;
    let ip = |uri: &String| {
        let place = place(uri)?;
        let at: Option<SocketAddr> = place.parse().ok();
        let bare = place.trim_matches(['[', ']']);
        at.map(|at| at.ip()).or_else(|| bare.parse().ok())
    };
    let found = route.iter().filter_map(ip);
    found
        .filter_map(|ip| Network::from_text(&ip.to_string()).ok())
        .collect()
}
