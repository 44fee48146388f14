//! `[sip]`

use super::neighbours::{Neighbour, Neighbours};
use super::reader::Reader;
use super::value::{Names, Network, Octets, words};
use crate::core::address::Address;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

words! {
    /// Digest algorithms offered to SIP clients (RFC 8760).
    Algorithm {
        /// MD5: all clients know it.
        Md5 = "md5",
        /// SHA-256.
        Sha256 = "sha-256",
        /// SHA-512 cut to 256 bits.
        Sha512 = "sha-512-256",
    }
}

words! {
    /// Whether clients of `[sip] tls` are asked for a certificate (mutual TLS).
    ClientCertificate {
        /// No.
        Off = "off",
        /// Asked; those that have none are served all the same.
        Ask = "ask",
        /// Without one nobody is served.
        Require = "require",
    }
}

/// `[sip]`
#[derive(Clone, Debug)]
pub struct Sip {
    /// UDP addresses to listen on; none = no SIP over UDP.
    pub udp: Vec<SocketAddr>,
    /// TCP addresses to listen on; none = no SIP over TCP.
    pub tcp: Vec<SocketAddr>,
    /// Addresses to listen on for SIP over TLS.
    pub tls: Vec<SocketAddr>,
    /// HTTP addresses to listen on: WebSocket at `/ws` (RFC 7118), XCAP at `/xcap`.
    pub ws: Vec<SocketAddr>,
    /// The same with TLS.
    pub wss: Vec<SocketAddr>,
    /// What we are called in Via, Contact and Record-Route, where it is not the address of the
    /// listener.
    pub advertise: Advertise,
    /// Digest algorithms offered, in this order.
    pub digest: Vec<Algorithm>,
    /// Networks that must, and may, say by a PROXY header for whom they speak (streams only).
    pub proxy_protocol_from: Vec<Network>,
    /// Whether clients of `tls` are asked for a certificate.
    pub client_certificates: ClientCertificate,
    /// Web origins whose pages may open a WebSocket, `https://chat.example.com`; `*` = all. Clients
    /// that name no origin are no browsers and always may.
    pub ws_origins: Vec<String>,
    /// The URL of `/xcap` as clients reach it, where that is not the first listener's.
    pub xcap_root: Option<String>,
    /// People who may read and write everybody's XCAP documents.
    pub xcap_operators: Vec<Address>,
    /// Largest message ever sent over UDP (`decisions.md` 24).
    pub udp_max: usize,
    /// Neighbouring domains.
    pub peers: Neighbours,
    /// Telephone lines by the user part of their URI, and whose they are: a call on one makes its
    /// owner on-phone.
    pub lines: BTreeMap<String, Address>,
    /// Telephone systems that may publish what lines do, by address and without credentials.
    pub line_networks: Vec<Network>,
    /// The same by account, with credentials.
    pub line_users: Vec<Address>,
    /// Whether people who talk in a call that runs through us are on-phone.
    pub calls_make_on_phone: bool,
    /// A telephone system that is asked what its lines do, instead of publishing it.
    pub line_server: Option<Neighbour>,
}

impl Sip {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> Self {
        let default = SocketAddr::from(([127, 0, 0, 1], 5060));
        let sip = Self {
            udp: r.get("udp", vec![default]),
            tcp: r.get("tcp", vec![default]),
            tls: r.get("tls", Vec::new()),
            ws: r.get("ws", Vec::new()),
            wss: r.get("wss", Vec::new()),
            advertise: Advertise::read(r),
            digest: r.get("digest", vec![Algorithm::Md5, Algorithm::Sha256]),
            proxy_protocol_from: r.get("proxy_protocol_from", Vec::new()),
            client_certificates: r.get("client_certificates", ClientCertificate::Off),
            ws_origins: r.get("ws_origins", vec!["*".to_owned()]),
            xcap_root: r.option("xcap_root"),
            xcap_operators: operators(r),
            udp_max: r.get("udp_max", Octets(16 * 1024)).0,
            peers: Neighbours::read(r),
            lines: lines(r),
            line_networks: r.get("line_networks", Vec::new()),
            line_users: line_users(r),
            calls_make_on_phone: r.get("calls_make_on_phone", false),
            line_server: Neighbour::line_server(r),
        };
        if sip.digest.is_empty() {
            r.refuse("digest", "at least one algorithm is needed");
        }
        if let Some(bad) = sip.ws_origins.iter().find(|origin| !is_origin(origin)) {
            let what = "is no web origin; write https://chat.example.com, or * for all";
            r.refuse("ws_origins", format!("{bad:?} {what}"));
        }
        if !(1300..=65_000).contains(&sip.udp_max) {
            r.refuse("udp_max", "must be between 1300 and 65000 octets");
        }
        sip
    }
}

/// Addresses of people.
fn operators(r: &mut Reader<'_, '_>) -> Vec<Address> {
    let mut found = Vec::new();
    for text in r.get("xcap_operators", Vec::<String>::new()) {
        match Address::parse(&text) {
            Ok(address) => found.push(address),
            Err(why) => r.refuse("xcap_operators", format!("{text:?}: {why}")),
        }
    }
    found
}

/// Scheme, host, maybe a port, nothing behind (RFC 6454 6.2).
fn is_origin(text: &str) -> bool {
    let Some((scheme, place)) = text.split_once("://") else {
        return text == "*" || text == "null";
    };
    let fine = |c: char| !c.is_whitespace() && !matches!(c, '/' | '?' | '#' | '@');
    !scheme.is_empty() && !place.is_empty() && place.chars().all(fine)
}

/// `[sip] advertise`: `{ tls = "sip.example.com:5061", "10.0.0.1:5060" = "203.0.113.5" }`. A key is
/// a transport (`udp`, `tcp`, `tls`, `ws`, `wss`) or the address of one listener, which counts more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertise {
    transports: Vec<(String, Place)>,
    listeners: Vec<(SocketAddr, Place)>,
}

/// A host, maybe with a port, as it is written into SIP headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name or address; IPv6 in brackets.
    pub host: String,
    /// `None`: the port of the listener.
    pub port: Option<u16>,
}

const TRANSPORTS: [&str; 5] = ["udp", "tcp", "tls", "ws", "wss"];

impl Advertise {
    fn read(r: &mut Reader<'_, '_>) -> Self {
        let key = "advertise";
        let mut out = Self::default();
        for (of, place) in r.get(key, Names::default()).0 {
            let Some(place) = Place::read(&place) else {
                let what = "is no host with a port, as sip.example.com:5061";
                r.refuse(key, format!("{place:?} {what}"));
                continue;
            };
            let word = of.to_ascii_lowercase();
            if TRANSPORTS.contains(&word.as_str()) {
                out.transports.push((word, place));
            } else if let Ok(listener) = of.parse() {
                out.listeners.push((listener, place));
            } else {
                let what =
                    "is neither a transport (udp, tcp, tls, ws, wss) nor the address of a listener";
                r.refuse(key, format!("{of:?} {what}"));
            }
        }
        out
    }

    /// What a listener of this transport (`udp` ...), configured with this address, is called
    /// outside.
    pub fn of(&self, transport: &str, listener: SocketAddr) -> Option<&Place> {
        let listed = self.listeners.iter().find(|(at, _)| *at == listener);
        let named = self.transports.iter().find(|(word, _)| word == transport);
        listed
            .map(|(_, place)| place)
            .or(named.map(|(_, place)| place))
    }

    /// All hosts that are called ours.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        let listed = self.listeners.iter().map(|(_, place)| place);
        let named = self.transports.iter().map(|(_, place)| place);
        listed.chain(named).map(|place| place.host.as_str())
    }
}

impl Place {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(at) = text.parse::<SocketAddr>() {
            return Some(Self::of(at.ip(), Some(at.port())));
        }
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        if let Ok(ip) = bare.unwrap_or(text).parse() {
            return Some(Self::of(ip, None));
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (text, None),
        };
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        (!host.is_empty() && host.chars().all(fine)).then(|| Self {
            host: host.to_ascii_lowercase(),
            port,
        })
    }

    fn of(ip: IpAddr, port: Option<u16>) -> Self {
        let host = match ip {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("[{v6}]"),
        };
        Self { host, port }
    }
}

/// `[sip.lines]`: `"1001" = "alice@example.com"`.
fn lines(r: &mut Reader<'_, '_>) -> BTreeMap<String, Address> {
    let mut lines = BTreeMap::new();
    for (line, owner) in r.get("lines", Names::default()).0 {
        match Address::parse(&owner) {
            Ok(owner) => {
                lines.insert(line, owner);
            }
            Err(error) => r.refuse("lines", format!("{line:?} = {owner:?}: {error}")),
        }
    }
    lines
}

fn line_users(r: &mut Reader<'_, '_>) -> Vec<Address> {
    let mut users = Vec::new();
    for user in r.get("line_users", Vec::<String>::new()) {
        match Address::parse(&user) {
            Ok(address) => users.push(address),
            Err(error) => r.refuse("line_users", format!("{user:?}: {error}")),
        }
    }
    users
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_names_or_addresses_with_or_without_a_port() {
        let read = |text: &str| Place::read(text).map(|place| (place.host, place.port));
        let place = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(
            read("SIP.example.com:5061"),
            place("sip.example.com", Some(5061))
        );
        assert_eq!(read("203.0.113.5"), place("203.0.113.5", None));
        assert_eq!(read("2001:db8::1"), place("[2001:db8::1]", None));
        assert_eq!(
            read("[2001:db8::1]:5070"),
            place("[2001:db8::1]", Some(5070))
        );
        for bad in ["", "a b", "host:port", "sip:host", "h:70000", "[::1"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
