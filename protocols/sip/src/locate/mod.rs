//! Where a SIP URI leads (RFC 3263, with RFC 4321's consequences left to the caller): a procedure
//! that asks questions and is given answers, and ends with the hops in the order to try them.
//!
//! ```
//! use sip::header::Uri;
//! use sip::locate::{Abilities, Answer, Search, Target};
//!
//! let uri = Uri::parse("sip:bob@192.0.2.1;transport=tcp").unwrap();
//! let target = Target::of(&uri).unwrap();
//! let mut search = Search::new(&target, Abilities::default(), 7);
//! assert!(search.questions().is_empty(), "an address needs no name server");
//! let hops = search.hops();
//! assert_eq!(hops[0].address, "192.0.2.1:5060".parse().unwrap());
//! ```

mod order;
mod search;
#[cfg(test)]
mod tests;

pub use search::Search;

use crate::flow::Transport;
use crate::header::{Host, Scheme, Uri};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What we are able to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// Datagrams.
    pub udp: bool,
    /// Streams.
    pub tcp: bool,
    /// Streams under TLS.
    pub tls: bool,
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

impl Default for Abilities {
    fn default() -> Self {
        Self {
            udp: true,
            tcp: true,
            tls: true,
            v4: true,
            v6: true,
        }
    }
}

impl Abilities {
    fn has(self, transport: Transport) -> bool {
        match transport {
            Transport::Udp => self.udp,
            Transport::Tcp => self.tcp,
            Transport::Tls => self.tls,
            // Servers are not reached by WebSocket (RFC 7118 5.5).
            Transport::Ws | Transport::Wss => false,
        }
    }

    fn speaks(self, ip: IpAddr) -> bool {
        if ip.is_ipv4() { self.v4 } else { self.v6 }
    }
}

/// A host: a name (lower case, without the last dot) or an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// To be looked up.
    Name(Arc<str>),
    /// Known.
    Ip(IpAddr),
}

/// What is looked for: the part of a URI that decides where it leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// `sips`: every hop under TLS.
    pub secure: bool,
    /// `maddr` if there is one, else the host (RFC 3263 4).
    pub place: Place,
    /// What a certificate of the other side has to name (RFC 5922 4): the domain, whatever the
    /// name servers make of it.
    pub name: Arc<str>,
    /// The port, if written.
    pub port: Option<u16>,
    /// The transport, if written.
    pub transport: Option<Transport>,
}

impl Target {
    /// The target of a URI. `None`: not `sip` or `sips`, or a transport that we don't know.
    #[must_use]
    pub fn of(uri: &Uri<'_>) -> Option<Self> {
        let secure = match uri.scheme {
            Scheme::Sip => false,
            Scheme::Sips => true,
            Scheme::Tel | Scheme::Other => return None,
        };
        let host = uri.host?;
        let place = match uri.param("maddr").flatten() {
            Some(text) => match crate::header::literal(text) {
                Some(ip) => Place::Ip(ip),
                None => Place::Name(lower(text)),
            },
            None => match host.host {
                Host::Ip(ip) => Place::Ip(ip),
                Host::Name(name) => Place::Name(lower(name)),
            },
        };
        let transport = match uri.param("transport").flatten() {
            None => None,
            Some(word) => Some(transport(word, secure)?),
        };
        Some(Self {
            secure,
            place,
            name: match host.host {
                Host::Ip(ip) => ip.to_string().into(),
                Host::Name(name) => lower(name),
            },
            port: host.port,
            transport,
        })
    }

    /// A domain, nothing else known.
    #[must_use]
    pub fn domain(domain: &str) -> Self {
        let name = lower(domain);
        Self {
            secure: false,
            place: Place::Name(Arc::clone(&name)),
            name,
            port: None,
            transport: None,
        }
    }
}

fn lower(name: &str) -> Arc<str> {
    name.trim_end_matches('.').to_ascii_lowercase().into()
}

/// `sips` means TLS over TCP, whatever `transport` says, as long as that is a stream
/// (RFC 3261 26.2.2, RFC 5630 3.1.3). `transport=tls` is old, but in use.
fn transport(word: &str, secure: bool) -> Option<Transport> {
    let known = [
        ("udp", Transport::Udp),
        ("tcp", Transport::Tcp),
        ("tls", Transport::Tls),
        ("ws", Transport::Ws),
        ("wss", Transport::Wss),
    ];
    let found = known
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(word))
        .map(|(_, transport)| *transport)?;
    match (found, secure) {
        (Transport::Udp, true) => None,
        (Transport::Tcp, true) => Some(Transport::Tls),
        (Transport::Ws, true) => Some(Transport::Wss),
        (other, _) => Some(other),
    }
}

/// A question for name servers. Names are absolute, without the last dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Question {
    /// NAPTR records (RFC 3403).
    Naptr(Arc<str>),
    /// SRV records (RFC 2782).
    Srv(Arc<str>),
    /// IPv4 addresses.
    A(Arc<str>),
    /// IPv6 addresses.
    Aaaa(Arc<str>),
}

/// A NAPTR record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naptr {
    /// Lower first.
    pub order: u16,
    /// Lower first among equal order.
    pub preference: u16,
    /// `s`: a name with SRV records; `a`: a host.
    pub flags: String,
    /// `SIP+D2U` and the like.
    pub service: String,
    /// Not for us if it is not empty.
    pub regexp: String,
    /// Where to go on.
    pub replacement: String,
}

/// An SRV record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Srv {
    /// Lower first.
    pub priority: u16,
    /// Share among equal priority.
    pub weight: u16,
    /// Its port.
    pub port: u16,
    /// Its host; `.` or nothing: the service is decidedly not there.
    pub target: String,
}

/// What name servers said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Question::Naptr`].
    Naptr(Vec<Naptr>),
    /// To [`Question::Srv`].
    Srv(Vec<Srv>),
    /// To [`Question::A`] and [`Question::Aaaa`].
    Addresses(Vec<IpAddr>),
    /// There is nothing of the kind.
    Nothing,
    /// They did not answer.
    Failed,
}

/// One place to try.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hop {
    /// How.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
    /// What its certificate has to name.
    pub name: Arc<str>,
}
