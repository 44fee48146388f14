//! Hosts and ports (RFC 3261 25.1; RFC 5118 4.1 to 4.10 for IPv6).

use super::FaultKind;
use super::scan::Scan;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A host.
#[derive(Clone, Copy, Debug, Eq)]
pub enum Host<'a> {
    /// A name, as written; compare without case.
    Name(&'a str),
    /// An address; an IPv6 one was in brackets.
    Ip(IpAddr),
}

impl PartialEq for Host<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(a), Self::Name(b)) => a.eq_ignore_ascii_case(b),
            (Self::Ip(a), Self::Ip(b)) => a == b,
            _ => false,
        }
    }
}

/// Host and optional port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPort<'a> {
    /// The host.
    pub host: Host<'a>,
    /// The host as written, brackets included.
    pub text: &'a str,
    /// The port, if one is written.
    pub port: Option<u16>,
}

impl<'a> HostPort<'a> {
    /// Reads `host [":" port]`; white space around the colon is taken where `Via` allows it.
    pub(crate) fn read(scan: &mut Scan<'a>, space: Space) -> Result<Self, FaultKind> {
        let before = scan.rest;
        let host = if scan.eat(b'[') {
            bracketed(scan)?
        } else {
            plain(scan)?
        };
        let length = before.len() - scan.rest.len();
        let text = before
            .get(..length)
            .and_then(|text| std::str::from_utf8(text).ok());
        Ok(Self {
            host,
            text: text.ok_or(FaultKind::Syntax)?,
            port: port(scan, space)?,
        })
    }
}

fn plain<'a>(scan: &mut Scan<'a>) -> Result<Host<'a>, FaultKind> {
    // COMPAT(Windows): host names with underscores.
    let text = scan
        .take_while(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_'));
    let text = std::str::from_utf8(text).map_err(|_| FaultKind::Syntax)?;
    if text.is_empty() {
        return Err(FaultKind::Syntax);
    }
    Ok(text
        .parse::<Ipv4Addr>()
        .map_or(Host::Name(text), |ip| Host::Ip(IpAddr::V4(ip))))
}

/// Behind the opening bracket.
fn bracketed<'a>(scan: &mut Scan<'a>) -> Result<Host<'a>, FaultKind> {
    let text = scan.take_while(|octet| octet.is_ascii_hexdigit() || matches!(octet, b':' | b'.'));
    let text = std::str::from_utf8(text).map_err(|_| FaultKind::Syntax)?;
    if !scan.eat(b']') {
        return Err(FaultKind::Syntax);
    }
    ipv6(text)
        .map(|ip| Host::Ip(IpAddr::V6(ip)))
        .ok_or(FaultKind::Syntax)
}

/// RFC 5118 4.10: the first grammar of RFC 3261 allowed three colons before an IPv4 tail.
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    text.parse().ok().or_else(|| {
        text.contains(":::")
            .then(|| text.replacen(":::", "::", 1).parse().ok())?
    })
}

/// An address of a parameter: IPv6 with or without brackets (RFC 5118 4.5).
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match bare {
        Some(inner) => ipv6(inner).map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

/// Whether white space may stand around the colon.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    Allowed,
    Refused,
}

fn port(scan: &mut Scan<'_>, space: Space) -> Result<Option<u16>, FaultKind> {
    let colon = match space {
        Space::Allowed => scan.separator(b':'),
        Space::Refused => scan.eat(b':'),
    };
    if !colon {
        return Ok(None);
    }
    let number = scan.number()?;
    u16::try_from(number)
        .map(Some)
        .map_err(|_| FaultKind::Range)
}
