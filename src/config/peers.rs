//! `[rvp]` `role`, `homes`, `peers` and what goes with them: other servers, of our own domains and
//! of foreign ones.

use super::reader::Reader;
use super::rvp::Scheme;
use super::value::{Names, Network, words};
use crate::core::address::normal_domain;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

words! {
    /// What this server is to its domains (rvp.md 1).
    Role {
        /// Holds users; leads nobody elsewhere.
        Home = "home",
        /// The public face: refers or carries traffic to homes, holds nobody.
        Router = "router",
        /// Both at once.
        Both = "both",
    }
}

/// Where the people of our own domains are held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Homed {
    /// `alice@example.com`, or `*@example.com` for everybody who is not named.
    pub who: String,
    /// Base of the physical URLs there, without a trailing slash: `http://home1.example.com`.
    pub base: String,
}

/// Another server.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// The name of its section: its domain, or any name for a server of our own domains.
    pub name: String,
    /// Domains for whose people it may speak; the section's name if nothing is said.
    pub domains: Vec<String>,
    /// Host in logical URLs of its people; `im.DOMAIN` if nothing is said.
    pub host: Option<String>,
    /// Where to connect to; looked up if nothing is said.
    pub address: Vec<SocketAddr>,
    /// Addresses that are taken at their word.
    pub trust: Vec<Network>,
    /// User name of the shared credentials: ours there (`DOMAIN\user`, for NTLM), and the one that
    /// it has here (for NTLM without regard to case and domain).
    pub user: Option<String>,
    /// File with their password: its first line.
    pub password_file: Option<PathBuf>,
    /// Speak TLS to it (`https`).
    pub tls: bool,
    /// The name that its certificate must speak for, by its authorities; its
    /// host if nothing is said. Connections to `tls_listen` that show such a certificate are taken
    /// at their word, for its domains, if it is said.
    pub tls_name: Option<String>,
    /// PEM files of the authorities that vouch for it, and for nobody else; those of `[tls]
    /// authorities` if nothing is said.
    pub authorities: Vec<PathBuf>,
    /// Schemes that we prove ourselves to it by, the first that it offers, and that it may prove
    /// itself to us by; with `ntlm` it may wrap that in Negotiate.
    pub auth: Vec<Scheme>,
    /// NOTIFYs that have passed more servers than this are refused.
    pub max_hops: usize,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Peers {
    /// What we are, where `[domain]` says nothing else.
    pub role: Role,
    /// Base of our own physical URLs.
    pub home: Option<String>,
    /// Who is held where.
    pub homes: Vec<Homed>,
    /// Clients from there are referred to homes, all others are carried; none = carry always.
    pub inside: Vec<Network>,
    /// Foreign domains that may be looked up; `*` = any. Configured peers need not be named.
    pub outbound: Vec<String>,
    /// Name servers; none = the system's.
    pub nameservers: Vec<SocketAddr>,
    /// Pause between two looks at whether peers are there.
    pub check: Duration,
    /// Other servers.
    pub known: Vec<Peer>,
}

impl Default for Peers {
    fn default() -> Self {
        Self {
            role: Role::Both,
            home: None,
            homes: Vec::new(),
            inside: Vec::new(),
            outbound: Vec::new(),
            nameservers: Vec::new(),
            check: Duration::from_secs(15),
            known: Vec::new(),
        }
    }
}

impl Peers {
    pub(super) fn read(r: &mut Reader<'_, '_>, domains: &[String]) -> Self {
        r.elsewhere("peers");
        let default = Self::default();
        let home = r.option::<String>("home").map(|text| trimmed(&text));
        if home.as_deref().is_some_and(|base| !is_base(base)) {
            r.refuse("home", "must be like http://home1.example.com");
        }
        let homes = r.get("homes", Names::default()).0;
        let homes = homes
            .into_iter()
            .filter_map(|(who, base)| homed(r, &who, &base, domains))
            .collect();
        let outbound = outbound(r);
        Self {
            role: r.get("role", default.role),
            home,
            homes,
            inside: r.get("inside_networks", default.inside),
            outbound,
            nameservers: r.get("nameservers", default.nameservers),
            check: r
                .get("peer_check", default.check)
                .max(Duration::from_millis(50)),
            known: default.known,
        }
    }
}

impl Peer {
    /// Its name, if it has authorities of its own.
    pub fn own_authorities(&self) -> Option<&str> {
        (!self.authorities.is_empty()).then_some(&*self.name)
    }

    pub(super) fn read(r: &mut Reader<'_, '_>, name: &str) -> Self {
        let domains = domains(r, name);
        let peer = Self {
            name: name.to_owned(),
            host: r
                .option::<String>("host")
                .map(|host| host.trim().to_ascii_lowercase()),
            address: r.get("address", Vec::new()),
            trust: r.get("trust", Vec::new()),
            user: r.option("user"),
            password_file: r.option_path("password_file"),
            tls: r.get("tls", false),
            tls_name: r.option::<String>("tls_name"),
            authorities: r.paths("authorities"),
            auth: r.get("auth", vec![Scheme::Digest, Scheme::Ntlm]),
            max_hops: r.get("max_hops", 10),
            domains,
        };
        if peer.user.is_some() != peer.password_file.is_some() {
            r.refuse("user", "user and password_file go together");
        }
        if peer.auth.is_empty() || peer.auth.contains(&Scheme::Negotiate) {
            r.refuse("auth", "must be digest, ntlm or both");
        }
        if !(peer.authorities.is_empty() || peer.tls || peer.tls_name.is_some()) {
            r.refuse("authorities", "vouch for nobody without tls or tls_name");
        }
        not_everybody(r, "trust", &peer.trust);
        peer
    }
}

fn homed(r: &mut Reader<'_, '_>, who: &str, base: &str, domains: &[String]) -> Option<Homed> {
    let (local, domain) = match who.rsplit_once('@') {
        Some((local, domain)) => (local, normal_domain(domain).ok()?),
        None => (who, domains.first().cloned().unwrap_or_default()),
    };
    let base = trimmed(base);
    if !domains.contains(&domain) || !is_base(&base) {
        let what = format!(
            "{who:?}: a user or *@DOMAIN of [server] domains, and a URL like http://home1.example.com"
        );
        r.refuse("homes", what);
        return None;
    }
    let who = match local {
        "*" => format!("*@{domain}"),
        local => match crate::core::address::Address::new(local, &domain) {
            Ok(address) => address.to_string(),
            Err(error) => {
                r.refuse("homes", format!("{who:?}: {error}"));
                return None;
            }
        },
    };
    Some(Homed { who, base })
}

/// Foreign domains that may be looked up.
pub(super) fn outbound(r: &mut Reader<'_, '_>) -> Vec<String> {
    let names = r.get("outbound_domains", Vec::<String>::new());
    let read = names.iter().filter_map(|name| match name.as_str() {
        "*" => Some("*".to_owned()),
        name => domain(r, "outbound_domains", name),
    });
    read.collect()
}

/// Domains that a peer speaks for: the name of its section, if nothing else is said.
pub(super) fn domains(r: &mut Reader<'_, '_>, name: &str) -> Vec<String> {
    let own: Vec<String> = normal_domain(name).into_iter().collect();
    let names = r.get("domains", own);
    let read = names.iter().filter_map(|name| domain(r, "domains", name));
    read.collect()
}

/// Believing every address would be believing everybody.
pub(super) fn not_everybody(r: &mut Reader<'_, '_>, key: &'static str, nets: &[Network]) {
    let any = |net: &Network| {
        net.contains(IpAddr::from([0, 0, 0, 0])) && net.contains(IpAddr::from([255; 4]))
    };
    if nets.iter().any(any) {
        r.refuse(key, "trusting every address would let anybody be anybody");
    }
}

fn domain(r: &mut Reader<'_, '_>, key: &'static str, name: &str) -> Option<String> {
    match normal_domain(name) {
        Ok(domain) => Some(domain),
        Err(error) => {
            r.refuse(key, format!("{name:?}: {error}"));
            None
        }
    }
}

fn trimmed(base: &str) -> String {
    base.trim().trim_end_matches('/').to_owned()
}

/// `http://host[:port]`, nothing after it.
fn is_base(base: &str) -> bool {
    base.strip_prefix("http://")
        .is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', '?', '#', '@', ' ']))
}
