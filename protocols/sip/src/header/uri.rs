//! URIs (RFC 3261 19.1, RFC 3966 as far as to know it is one).

use super::host::{HostPort, Space};
use super::scan::Scan;
use super::{FaultKind, Host};
use std::borrow::Cow;
use thiserror::Error;

/// A malformed URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed URI")]
pub struct UriError;

/// What a URI's scheme means to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip`
    Sip,
    /// `sips`
    Sips,
    /// `tel`
    Tel,
    /// Anything else, kept as it is (RFC 3261 21.4.18: 416).
    Other,
}

/// A URI, borrowed. Parts are as written; compare with [`Uri::equivalent`].
#[derive(Clone, Copy, Debug)]
pub struct Uri<'a> {
    /// The whole text.
    pub text: &'a str,
    /// The scheme.
    pub scheme: Scheme,
    /// The user part, still escaped, without password. A semicolon in it is part of it.
    pub user: Option<&'a str>,
    /// The password, still escaped.
    pub password: Option<&'a str>,
    /// Host and port; `None` unless the scheme is `sip` or `sips`.
    pub host: Option<HostPort<'a>>,
    /// Parameters, with the first `;`; empty if none.
    params: &'a str,
    /// Headers, behind the `?`; empty if none.
    headers: &'a str,
}

impl<'a> Uri<'a> {
    /// Reads a URI that fills the text.
    ///
    /// # Errors
    /// No scheme, a control octet or space, a broken escape, a bad host or port.
    pub fn parse(text: &'a str) -> Result<Self, UriError> {
        let (name, rest) = text.split_once(':').ok_or(UriError)?;
        if !is_scheme(name) || rest.is_empty() || text.bytes().any(is_forbidden) {
            return Err(UriError);
        }
        let scheme = scheme(name);
        match scheme {
            Scheme::Sip | Scheme::Sips => Self::sip(text, scheme, rest),
            Scheme::Tel | Scheme::Other => Ok(Self {
                text,
                scheme,
                user: None,
                password: None,
                host: None,
                params: "",
                headers: "",
            }),
        }
    }

    fn sip(text: &'a str, scheme: Scheme, rest: &'a str) -> Result<Self, UriError> {
        // An unescaped `@` can only end the user part (RFC 4475 3.1.1.9: before it, `;` and `?` are data).
        let (info, place) = match rest.split_once('@') {
            Some((info, place)) => (Some(info), place),
            None => (None, rest),
        };
        let (user, password) = match info.map(|info| info.split_once(':').ok_or(info)) {
            None => (None, None),
            Some(Ok((user, password))) => (Some(user), Some(password)),
            Some(Err(user)) => (Some(user), None),
        };
        if user.is_some_and(str::is_empty) || !escapes_hold(rest) {
            return Err(UriError);
        }
        let (place, headers) = place.split_once('?').unwrap_or((place, ""));
        let cut = place.find(';').unwrap_or(place.len());
        let (place, params) = place.split_at_checked(cut).ok_or(UriError)?;
        let mut scan = Scan::new(place.as_bytes());
        let host = HostPort::read(&mut scan, Space::Refused).map_err(|_: FaultKind| UriError)?;
        if !scan.rest.is_empty() || params.split(';').skip(1).any(bad_param) {
            return Err(UriError);
        }
        Ok(Self {
            text,
            scheme,
            user,
            password,
            host: Some(host),
            params,
            headers,
        })
    }

    /// Whether the scheme is `sip` or `sips`.
    #[must_use]
    pub fn is_sip(&self) -> bool {
        matches!(self.scheme, Scheme::Sip | Scheme::Sips)
    }

    /// The user part with its escapes decoded, once; `None` if there is none or it is not UTF-8.
    #[must_use]
    pub fn user_decoded(&self) -> Option<Cow<'a, str>> {
        match decode(self.user?) {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
        }
    }

    /// The host as written, brackets included; empty for other schemes.
    #[must_use]
    pub fn host_text(&self) -> &'a str {
        self.host.map_or("", |place| place.text)
    }

    /// The port, if one is written.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.host.and_then(|place| place.port)
    }

    /// The parameters: name and value as written.
    pub fn params(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + use<'a> {
        self.params
            .split(';')
            .skip(1)
            .map(|param| match param.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (param, None),
            })
    }

    /// The value of a parameter: `Some(None)` when it is there without one.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<Option<&'a str>> {
        self.params()
            .find(|(own, _)| decoded_eq_ignore_case(own, name))
            .map(|(_, value)| value)
    }

    /// The header part, behind the `?`; empty if none.
    #[must_use]
    pub fn headers(&self) -> &'a str {
        self.headers
    }

    /// RFC 3261 19.1.4, the comparison of Contacts: user and password with case, all else without;
    /// escapes are decoded first; a port written differs from none; a parameter in only one of
    /// them matters only for user, ttl, method, maddr and transport; headers must all match.
    #[must_use]
    pub fn equivalent(&self, other: &Uri<'_>) -> bool {
        if self.scheme != other.scheme {
            return false;
        }
        let (Some(own), Some(their)) = (self.host, other.host) else {
            return self.text == other.text;
        };
        let same_user =
            opt_decoded_eq(self.user, other.user) && opt_decoded_eq(self.password, other.password);
        same_user
            && own.host == their.host
            && own.port == their.port
            && self.same_params(other)
            && self.same_headers(other)
    }

    fn same_params(&self, other: &Uri<'_>) -> bool {
        const TELLING: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];
        let agrees =
            |name: &str, value: Option<&str>, in_other: Option<Option<&str>>| match in_other {
                Some(theirs) => decoded_eq_ignore_case(value.unwrap_or(""), theirs.unwrap_or("")),
                None => !TELLING
                    .iter()
                    .any(|telling| decoded_eq_ignore_case(name, telling)),
            };
        // Bounded by the head's limit, but two long lists would still be quadratic: refuse to agree.
        if self.params().count().max(other.params().count()) > MOST_PARAMS {
            return self.params == other.params;
        }
        self.params()
            .all(|(name, value)| agrees(name, value, other.param(name)))
            && other
                .params()
                .all(|(name, value)| agrees(name, value, self.param(name)))
    }

    fn same_headers(&self, other: &Uri<'_>) -> bool {
        if self.headers == other.headers {
            return true;
        }
        let own: Vec<&str> = self.headers.split('&').collect();
        let mut theirs: Vec<&str> = other.headers.split('&').collect();
        if own.len() != theirs.len() || own.len() > MOST_PARAMS {
            return false;
        }
        own.iter().all(|header| {
            let at = theirs.iter().position(|their| same_header(header, their));
            at.map(|at| theirs.swap_remove(at)).is_some()
        })
    }
}

impl PartialEq for Uri<'_> {
    /// Equal text; see [`Uri::equivalent`] for equal meaning.
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Uri<'_> {}

impl std::fmt::Display for Uri<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.text)
    }
}

impl Host<'_> {
    /// The address, when it is one.
    #[must_use]
    pub fn ip(&self) -> Option<std::net::IpAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            Self::Name(_) => None,
        }
    }
}

/// Parameters or headers compared one by one; beyond that, as written.
const MOST_PARAMS: usize = 32;

/// Decodes percent escapes, once. What is no escape stays.
#[must_use]
pub fn decode(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.contains(&b'%') {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        rest = match rest {
            [] => return Cow::Owned(out),
            [b'%', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(hex(*high) << 4 | hex(*low));
                tail
            }
            [octet, tail @ ..] => {
                out.push(*octet);
                tail
            }
        };
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20).wrapping_sub(b'a').wrapping_add(10),
    }
}

fn same_header(own: &str, their: &str) -> bool {
    let (name, value) = own.split_once('=').unwrap_or((own, ""));
    let (other, theirs) = their.split_once('=').unwrap_or((their, ""));
    decoded_eq_ignore_case(name, other) && decode(value) == decode(theirs)
}

fn opt_decoded_eq(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a == b || decode(a) == decode(b),
        (None, None) => true,
        _ => false,
    }
}

fn decoded_eq_ignore_case(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || decode(a).eq_ignore_ascii_case(&decode(b))
}

fn scheme(name: &str) -> Scheme {
    if name.eq_ignore_ascii_case("sip") {
        Scheme::Sip
    } else if name.eq_ignore_ascii_case("sips") {
        Scheme::Sips
    } else if name.eq_ignore_ascii_case("tel") {
        Scheme::Tel
    } else {
        Scheme::Other
    }
}

fn is_scheme(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'-' | b'.'))
}

/// Never in a URI: it would break out of angle brackets, lists or lines.
fn is_forbidden(octet: u8) -> bool {
    octet <= b' ' || matches!(octet, 0x7f | b'<' | b'>' | b'"' | b'\\')
}

/// Every `%` is followed by two hex digits.
fn escapes_hold(text: &str) -> bool {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'%', bytes).all(|at| {
        bytes
            .get(at + 1..at + 3)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

fn bad_param(param: &str) -> bool {
    param.is_empty() || param.starts_with('=')
}
