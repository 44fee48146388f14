//! Node URLs: logical and physical form, and what names a principal (`RVP 1`).

use crate::error::UrlError;
use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `http` or `https`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scheme {
    /// Plain.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// With `://`.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Http => "http://",
            Self::Https => "https://",
        }
    }

    /// The port that is meant when none is written.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// Takes `http://` or `https://`, in any case, off a URL.
    pub(crate) fn strip(url: &str) -> Option<(Self, &str)> {
        [Self::Http, Self::Https].into_iter().find_map(|scheme| {
            let (head, rest) = url.split_at_checked(scheme.prefix().len())?;
            head.eq_ignore_ascii_case(scheme.prefix())
                .then_some((scheme, rest))
        })
    }
}

/// A host as written.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Host {
    /// An IPv4 address in dotted form.
    V4(Ipv4Addr),
    /// An IPv6 address, written in brackets.
    V6(Ipv6Addr),
    /// A name, spelling kept. Odd spellings of addresses (`127.1`) count as names.
    Name(Box<str>),
}

impl Host {
    /// The address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::V4(ip) => Some(IpAddr::V4(*ip)),
            Self::V6(ip) => Some(IpAddr::V6(*ip)),
            Self::Name(_) => None,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(ip) => write!(f, "{ip}"),
            Self::V6(ip) => write!(f, "[{ip}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Host and port as written.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Authority {
    /// The host.
    pub host: Host,
    /// The port, if written.
    pub port: Option<u16>,
}

impl Authority {
    /// Parses `host[:port]`; no user part, port 1-65535.
    ///
    /// # Errors
    /// [`UrlError::Authority`].
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let bad = UrlError::Authority;
        let (host, port) = if let Some(inner) = text.strip_prefix('[') {
            let (ip, rest) = inner.split_once(']').ok_or(bad)?;
            let port = match rest {
                "" => None,
                _ => Some(rest.strip_prefix(':').ok_or(bad)?),
            };
            (Host::V6(ip.parse().map_err(|_| bad)?), port)
        } else {
            let (host, port) = match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            };
            (parse_host(host).ok_or(bad)?, port)
        };
        let port = match port {
            None | Some("") => None,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                Some(digits.parse().ok().filter(|port| *port != 0).ok_or(bad)?)
            }
            Some(_) => return Err(bad),
        };
        Ok(Self { host, port })
    }

    /// Whether both name the same host, ports and letter case ignored.
    pub fn same_host(&self, other: &Self) -> bool {
        match (&self.host, &other.host) {
            (Host::Name(a), Host::Name(b)) => a.eq_ignore_ascii_case(b),
            (a, b) => a == b,
        }
    }

    fn lower_case(mut self) -> Self {
        if let Host::Name(name) = &mut self.host {
            name.make_ascii_lowercase();
        }
        self
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => write!(f, "{}", self.host),
        }
    }
}

fn parse_host(text: &str) -> Option<Host> {
    let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if text.is_empty() || text.len() > 253 || !text.bytes().all(name) {
        return None;
    }
    if text.starts_with('.') || text.contains("..") {
        return None;
    }
    Some(
        text.parse()
            .map_or_else(|_| Host::Name(text.into()), Host::V4),
    )
}

/// Longest URL, bytes.
pub(crate) const MAX_URL: usize = 2048;
/// A path that fits however it is encoded: scheme and two hosts with ports take 560 octets at most.
const SURELY_SHORT: usize = (MAX_URL - 560) / 3;
const ALIASES: &str = "/instmsg/aliases/";
const LOCAL: &str = "/instmsg/local/";

/// The URL of a node.
///
/// The path is kept normalised: percent-decoded once, lower-case (`RVP 1`: paths compare without
/// case), no trailing slash. Host spellings are kept; the node's identity ([`NodeUrl::same_node`])
/// ignores port and letter case of the host and the home server of a physical URL.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct NodeUrl {
    /// The scheme written; what is written by us without reason is `http`.
    pub scheme: Scheme,
    /// The host that the logical URL names.
    pub authority: Authority,
    /// The home server, when the URL is a physical one.
    pub home: Option<Authority>,
    path: Box<str>,
}

impl NodeUrl {
    /// The logical URL of an alias: `http://HOST/instmsg/aliases/ALIAS`.
    ///
    /// # Errors
    /// Host or alias that no URL can carry.
    pub fn of_alias(authority: Authority, alias: &str) -> Result<Self, UrlError> {
        let mut path = String::from(ALIASES);
        path.push_str(checked_segment(alias)?.as_str());
        Self::limited(Self {
            scheme: Scheme::Http,
            authority,
            home: None,
            path: path.into(),
        })
    }

    /// Parses an absolute URL; white space around it is trimmed, and white space inside (an href
    /// split by a line break, `RVP 4`) is dropped.
    ///
    /// # Errors
    /// [`UrlError`].
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let joined: String;
        let mut url = url.trim_matches(is_blank);
        if url.contains(is_blank) {
            joined = url
                .chars()
                .take(MAX_URL + 1)
                .filter(|c| !is_blank(*c))
                .collect();
            url = &joined;
        }
        if url.is_empty() || url.len() > MAX_URL {
            return Err(UrlError::Length);
        }
        let (scheme, rest) = Scheme::strip(url).ok_or(UrlError::Scheme)?;
        let (authority, path) = split_authority(rest);
        Self::build(scheme, Authority::parse(authority)?, path)
    }

    /// Parses a request target, in origin form with the `Host` value, or in absolute form (which
    /// beats `Host`, RFC 9112 3.2.2).
    ///
    /// # Errors
    /// [`UrlError`].
    pub fn from_target(target: &str, host: &Authority) -> Result<Self, UrlError> {
        if target.is_empty() || target.len() > MAX_URL {
            return Err(UrlError::Length);
        }
        if target.starts_with('/') {
            return Self::build(Scheme::Http, host.clone(), target);
        }
        if target.contains(is_blank) {
            return Err(UrlError::Path);
        }
        Self::parse(target)
    }

    fn build(scheme: Scheme, authority: Authority, raw: &str) -> Result<Self, UrlError> {
        if raw.contains(['?', '#']) {
            return Err(UrlError::Query);
        }
        let path = normal_path(raw)?;
        let Some(rest) = path.strip_prefix(LOCAL) else {
            return Self::limited(Self {
                scheme,
                authority,
                home: None,
                path: path.into(),
            });
        };
        let (host, _) = split_authority(rest);
        let inner = rest.get(host.len()..).filter(|inner| !inner.is_empty());
        let inner = inner.ok_or(UrlError::Path)?;
        // A physical URL names one home; one inside another is a trap for whoever unfolds them.
        if inner.starts_with(LOCAL) {
            return Err(UrlError::Path);
        }
        let logical = Authority::parse(host)?;
        Self::limited(Self {
            scheme,
            authority: logical,
            home: Some(authority),
            path: inner.into(),
        })
    }

    /// Percent-encoding may lengthen a path; what is accepted must be printable within the limit.
    fn limited(self) -> Result<Self, UrlError> {
        // An octet is three at most; where even that fits, nothing has to be written to know it.
        if self.path.len() <= SURELY_SHORT {
            return Ok(self);
        }
        if self.to_string().len() > MAX_URL {
            Err(UrlError::Length)
        } else {
            Ok(self)
        }
    }

    /// The normalised path, decoded: `/instmsg/aliases/alice`, `/groups/x`; `/` for the root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The alias, if the node is `/instmsg/aliases/ALIAS`: decoded and lower-case.
    pub fn alias(&self) -> Option<&str> {
        self.path
            .strip_prefix(ALIASES)
            .filter(|alias| !alias.is_empty() && !alias.contains('/'))
    }

    /// Whether both name the same node.
    pub fn same_node(&self, other: &Self) -> bool {
        self.path == other.path && self.authority.same_host(&other.authority)
    }

    /// The logical URL as clients expect it in hrefs: `http://HOST/path`, no port, no trailing
    /// slash (`RVP 8.8`).
    pub fn href(&self) -> String {
        let mut out = format!("http://{}", self.authority.host);
        push_encoded(&mut out, &self.path);
        out
    }

    /// The same node in physical form at that home server.
    #[must_use]
    pub fn at_home(&self, home: Authority) -> Self {
        Self {
            home: Some(home),
            ..self.clone()
        }
    }

    /// The same node under another spelling of its host.
    #[must_use]
    pub fn with_authority(&self, authority: Authority) -> Self {
        Self {
            authority,
            ..self.clone()
        }
    }

    /// The request target in origin form.
    pub fn target(&self) -> String {
        let mut out = String::new();
        self.push_target(&mut out);
        out
    }

    fn push_target(&self, out: &mut String) {
        if self.home.is_some() {
            let _ = write!(out, "{LOCAL}{}", self.authority.clone().lower_case());
        }
        push_encoded(out, &self.path);
    }
}

impl fmt::Display for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::from(self.scheme.prefix());
        let _ = write!(out, "{}", self.home.as_ref().unwrap_or(&self.authority));
        self.push_target(&mut out);
        f.write_str(&out)
    }
}

/// Who a request claims to be from: a node, or a whole server (`RVP 2`).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Principal {
    /// A user or other node.
    Node(NodeUrl),
    /// A server's host name alone; it does not stand for the server's users.
    Server(Authority),
}

impl Principal {
    /// Parses a URL or a bare host name.
    ///
    /// # Errors
    /// [`UrlError`].
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let text = text.trim_matches(is_blank);
        if let Some((_, rest)) = Scheme::strip(text) {
            let (authority, path) = split_authority(rest);
            return match path {
                "" | "/" => Authority::parse(authority).map(Self::Server),
                _ => NodeUrl::parse(text).map(Self::Node),
            };
        }
        Authority::parse(text).map(Self::Server)
    }

    /// The node, if it is one.
    pub fn node(&self) -> Option<&NodeUrl> {
        match self {
            Self::Node(node) => Some(node),
            Self::Server(_) => None,
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "{node}"),
            Self::Server(host) => write!(f, "{host}"),
        }
    }
}

pub(crate) fn split_authority(rest: &str) -> (&str, &str) {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    rest.split_at_checked(end).unwrap_or((rest, ""))
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn normal_path(raw: &str) -> Result<String, UrlError> {
    let trimmed = raw.strip_suffix('/').unwrap_or(raw);
    if trimmed.is_empty() {
        return Ok("/".into());
    }
    if is_plain_path(trimmed) {
        return Ok(trimmed.to_ascii_lowercase());
    }
    let mut out = String::with_capacity(trimmed.len());
    for segment in trimmed.strip_prefix('/').ok_or(UrlError::Path)?.split('/') {
        out.push('/');
        out.push_str(&checked_segment(&percent_decode(segment)?)?);
    }
    Ok(out)
}

/// Whether a path is made of letters, digits, `-` and `_` alone: then nothing in it is encoded or
/// changes its structure, and all it needs is lower case.
fn is_plain_path(path: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'/');
    path.starts_with('/') && path.bytes().all(plain) && !path.contains("//") && !path.ends_with('/')
}

/// A decoded segment, lower-cased; refuses what could change the path's structure.
fn checked_segment(segment: &str) -> Result<String, UrlError> {
    let odd = |c: char| c.is_control() || matches!(c, '/' | '\\');
    if matches!(segment, "" | "." | "..") || segment.contains(odd) {
        return Err(UrlError::Path);
    }
    let lower = segment.to_lowercase();
    // Lower-casing is not idempotent for a few characters; what is kept must be.
    if lower.to_lowercase() == lower {
        Ok(lower)
    } else {
        Err(UrlError::Path)
    }
}

fn percent_decode(segment: &str) -> Result<String, UrlError> {
    if segment.contains(is_blank) {
        return Err(UrlError::Path);
    }
    if !segment.contains('%') {
        return Ok(segment.into());
    }
    let mut out = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(UrlError::Path);
        };
        out.push(u8::try_from(high * 16 + low).map_err(|_| UrlError::Path)?);
    }
    String::from_utf8(out).map_err(|_| UrlError::Path)
}

fn push_encoded(out: &mut String, path: &str) {
    for byte in path.bytes() {
        let plain = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'/' | b'-'
                    | b'.'
                    | b'_'
                    | b'~'
                    | b'!'
                    | b'$'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b','
                    | b';'
                    | b'='
                    | b':'
                    | b'@'
            );
        if plain {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
