//! `[rvp]`

use super::peers::Peers;
use super::reader::Reader;
use super::value::{Names, Network, Value as _, words};
use crate::core::address::normal_domain;
use crate::core::node::is_pattern;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

words! {
    /// Authentication schemes offered (`decisions.md` 31).
    Scheme {
        /// SPNEGO: NTLM inside.
        Negotiate = "negotiate",
        /// NTLM.
        Ntlm = "ntlm",
        /// HTTP Digest.
        Digest = "digest",
    }
}

words! {
    /// Form of non-ASCII text towards inboxes (rvp.md 8.13, `decisions.md` 25).
    TextEncoding {
        /// By what each inbox was seen to send.
        Auto = "auto",
        /// UTF-8 octets written as characters, as Microsoft clients do.
        Octets = "octets",
        /// Characters, once.
        Characters = "characters",
    }
}

words! {
    /// What a Call-Back that policy does not allow leads to (`decisions.md` 28).
    Mismatch {
        /// Signed in, but nothing is ever dialled.
        SendOnly = "send-only",
        /// 403.
        Refuse = "refuse",
    }
}

/// `[rvp]`
#[derive(Clone, Debug)]
pub struct Rvp {
    /// Addresses to listen on; none = no RVP.
    pub listen: Vec<SocketAddr>,
    /// Addresses to listen on with TLS.
    pub tls_listen: Vec<SocketAddr>,
    /// Networks that must, and may, say by a PROXY header for whom they speak.
    pub proxy_protocol_from: Vec<Network>,
    /// Host names that mean us in logical URLs, lower case, without port; first = canonical.
    pub hosts: Vec<String>,
    /// Hosts that stand for another domain than the first one.
    pub host_domains: BTreeMap<String, String>,
    /// Schemes offered, in this order.
    pub auth: Vec<Scheme>,
    /// The same on listeners with TLS.
    pub tls_auth: Vec<Scheme>,
    /// The same for clients of some networks, before all else; the narrowest network counts.
    pub auth_networks: Vec<(Network, Vec<Scheme>)>,
    /// Networks whose clients may use NTLMv1 and "NTLM2 session".
    pub ntlm_v1_networks: Vec<Network>,
    /// Text encoding towards inboxes.
    pub text_encoding: TextEncoding,
    /// Networks whose addresses may be dialled whatever address asked.
    pub callback_networks: Vec<Network>,
    /// What happens to other addresses.
    pub callback_mismatch: Mismatch,
    /// NetBIOS name (upper case) to domain, for `DOMAIN\user`.
    pub netbios: BTreeMap<String, String>,
    /// Other servers.
    pub peers: Peers,
    /// Paths that come to be by their first use: `/shipments/*`; `*` is one segment, `**` at the
    /// end any number.
    pub node_patterns: Vec<String>,
    /// Nodes that one person may own by such use.
    pub nodes_per_owner: usize,
}

impl Rvp {
    pub(super) fn read(r: &mut Reader<'_, '_>, first: &str, domains: &[String]) -> Self {
        let listen = r.get("listen", vec![SocketAddr::from(([127, 0, 0, 1], 80))]);
        let hosts = r.get("hosts", default_hosts(first));
        let hosts = hosts.iter().map(|host| host_name(host)).collect::<Vec<_>>();
        if hosts.is_empty() {
            r.refuse("hosts", "at least one host name is needed");
        }
        let host_domains = names(r, "host_domains", domains, host_name);
        let auth = r.get("auth", vec![Scheme::Digest]);
        if auth.is_empty() {
            r.refuse("auth", "at least one scheme is needed");
        }
        let tls_auth = r.get("tls_auth", auth.clone());
        if tls_auth.is_empty() {
            r.refuse("tls_auth", "at least one scheme is needed");
        }
        let node_patterns: Vec<String> = r.get("node_patterns", Vec::new());
        if let Some(bad) = node_patterns.iter().find(|text| !is_pattern(text)) {
            let what =
                "is no pattern of paths; write lower case, a fixed first part, as /shipments/*";
            r.refuse("node_patterns", format!("{bad:?} {what}"));
        }
        Self {
            listen,
            tls_listen: r.get("tls_listen", Vec::new()),
            proxy_protocol_from: r.get("proxy_protocol_from", Vec::new()),
            tls_auth,
            auth_networks: auth_networks(r),
            ntlm_v1_networks: r.get("ntlm_v1_networks", Vec::new()),
            hosts,
            host_domains,
            auth,
            text_encoding: r.get("text_encoding", TextEncoding::Auto),
            callback_networks: r.get("callback_networks", Vec::new()),
            callback_mismatch: r.get("callback_mismatch", Mismatch::SendOnly),
            netbios: names(r, "netbios", domains, str::to_uppercase),
            peers: Peers::read(r, domains),
            node_patterns,
            nodes_per_owner: r.get("nodes_per_owner", 100),
        }
    }

    /// The schemes offered to a client at that address, in order.
    pub fn schemes(&self, peer: IpAddr, encrypted: bool) -> &[Scheme] {
        let narrowest = self
            .auth_networks
            .iter()
            .filter(|(network, _)| network.contains(peer))
            .max_by_key(|(network, _)| network.bits());
        match narrowest {
            Some((_, schemes)) => schemes,
            None if encrypted => &self.tls_auth,
            None => &self.auth,
        }
    }

    /// The domain a host stands for in logical URLs; `None` if the host is not ours. Ports and
    /// case don't matter.
    pub fn domain_of_host<'c>(&'c self, host: &str, first: &'c str) -> Option<&'c str> {
        let host = host_name(host);
        if let Some(domain) = self.host_domains.get(&host) {
            return Some(domain);
        }
        self.hosts.contains(&host).then_some(first)
    }
}

/// `{ "10.1.0.0/16" = "negotiate ntlm" }`
fn auth_networks(r: &mut Reader<'_, '_>) -> Vec<(Network, Vec<Scheme>)> {
    let key = "auth_networks";
    let mut table = Vec::new();
    for (network, schemes) in r.get(key, Names::default()).0 {
        let schemes = schemes.split_whitespace().collect::<Vec<_>>().join(",");
        match (Network::from_text(&network), Vec::from_text(&schemes)) {
            (Ok(_), Ok(schemes)) if schemes.is_empty() => {
                r.refuse(key, format!("{network}: at least one scheme is needed"));
            }
            (Ok(network), Ok(schemes)) => table.push((network, schemes)),
            (Err(why), _) | (_, Err(why)) => r.refuse(key, why),
        }
    }
    table
}

fn default_hosts(first: &str) -> Vec<String> {
    [
        format!("im.{first}"),
        "localhost".into(),
        "127.0.0.1".into(),
    ]
    .into()
}

/// Lower case, no port, no brackets, no trailing dot.
fn host_name(host: &str) -> String {
    let host = host.trim().to_ascii_lowercase();
    if let Some((inside, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return inside.to_owned();
    }
    let name = match host.split_once(':') {
        Some((name, port)) if !port.contains(':') => name,
        _ => &host,
    };
    name.trim_end_matches('.').to_owned()
}

fn names(
    r: &mut Reader<'_, '_>,
    key: &'static str,
    domains: &[String],
    normal: impl Fn(&str) -> String,
) -> BTreeMap<String, String> {
    let mut table = BTreeMap::new();
    for (name, domain) in r.get(key, Names::default()).0 {
        match normal_domain(&domain) {
            Ok(domain) if domains.contains(&domain) => {
                table.insert(normal(&name), domain);
            }
            _ => r.refuse(key, format!("{domain:?} is not one of [server] domains")),
        }
    }
    table
}
