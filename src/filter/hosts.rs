//! Where links in texts may lead.

use crate::core::address::normal_domain;
use regex::Regex;
use std::borrow::Cow;

/// What looks like a link to people: a scheme or `www.`, then an authority (RFC 3986 3.2). What
/// browsers take for a slash ends it, too.
const LINK: &str = r#"(?i)(?:\b[a-z][a-z0-9+.-]*:[/\\]{2,}|\bwww\.)[^\s<>"'/\\?#]*"#;

/// A list of hosts. A host stands for itself and for what is below it.
pub struct Hosts {
    link: Regex,
    listed: Vec<String>,
    /// Only what is listed may be linked to; else, only what is not.
    only: bool,
}

impl Hosts {
    /// Only to these hosts (`true`), or to all but these.
    ///
    /// # Errors
    /// A host that can't be read.
    pub fn new(listed: &[String], only: bool) -> Result<Self, String> {
        let read = |name: &String| {
            let name = name.trim().trim_start_matches("*.");
            host(name).ok_or_else(|| format!("{name:?} is no host"))
        };
        Ok(Self {
            link: Regex::new(LINK).map_err(|error| error.to_string())?,
            listed: listed.iter().map(read).collect::<Result<_, _>>()?,
            only,
        })
    }

    /// The first host linked to that may not be.
    pub fn refused(&self, text: &str) -> Option<String> {
        let links = self.link.find_iter(text).map(|found| found.as_str());
        links
            .filter(|link| !self.may(link))
            .map(|link| shown(authority(link)))
            .next()
    }

    /// The text with such links replaced, up to the end of their hosts.
    pub fn without(&self, text: &str, by: &str) -> String {
        let replaced = self.link.replace_all(text, |found: &regex::Captures<'_>| {
            let link = found.get(0).map_or("", |all| all.as_str());
            if self.may(link) {
                link.to_owned()
            } else {
                by.to_owned()
            }
        });
        replaced.into_owned()
    }

    fn may(&self, link: &str) -> bool {
        // What can't be read is no host that was allowed, nor one that was named.
        let Some(host) = host(authority(link)) else {
            return !self.only;
        };
        let below = |name: &String| {
            let rest = host.strip_suffix(name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        self.listed.iter().any(below) == self.only
    }
}

/// The authority of a link: `www.` begins one, a scheme stands before one.
fn authority(link: &str) -> &str {
    let behind = link.find(':').filter(|at| {
        let rest = link.get(at + 1..).unwrap_or_default();
        rest.starts_with(['/', '\\'])
    });
    behind.map_or(link, |at| {
        let rest = link.get(at + 1..).unwrap_or_default();
        rest.trim_start_matches(['/', '\\'])
    })
}

/// The host of an authority, normalised: without user and port.
fn host(authority: &str) -> Option<String> {
    let host = authority.rsplit('@').next().unwrap_or_default();
    if let Some(literal) = host.strip_prefix('[') {
        let (address, _) = literal.split_once(']')?;
        let address: std::net::Ipv6Addr = address.parse().ok()?;
        return Some(address.to_string());
    }
    let host = host.split(':').next().unwrap_or_default();
    if let Ok(address) = host.parse::<std::net::Ipv4Addr>() {
        return Some(address.to_string());
    }
    let end = |c: char| !(c.is_alphanumeric() || c == '-');
    let host = decoded(host);
    let host = host.trim_end_matches(end);
    let normal = normal_domain(host).unwrap_or_else(|_| host.to_lowercase());
    Some(normal).filter(|host| !host.is_empty())
}

/// Browsers decode what is percent-encoded in a host (RFC 3986 3.2.2).
fn decoded(host: &str) -> Cow<'_, str> {
    if !host.contains('%') {
        return Cow::Borrowed(host);
    }
    let mut octets = Vec::with_capacity(host.len());
    let mut rest = host.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |octet: &u8| char::from(*octet).to_digit(16);
        rest = match (first, tail) {
            (b'%', [high, low, after @ ..]) if hex(high).is_some() && hex(low).is_some() => {
                let value = hex(high).unwrap_or(0) * 16 + hex(low).unwrap_or(0);
                octets.push(u8::try_from(value).unwrap_or(b'?'));
                after
            }
            _ => {
                octets.push(*first);
                tail
            }
        };
    }
    Cow::Owned(String::from_utf8_lossy(&octets).into_owned())
}

/// A host as the sender may be shown it.
fn shown(authority: &str) -> String {
    host(authority).unwrap_or_else(|| super::one_line(authority))
}
