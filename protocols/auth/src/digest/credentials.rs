//! What a client answers, and whether it proves anything.

use super::compute::{Algorithm, Hex, Inputs, Qop};
use super::params::{Malformed, Param, Params, after_scheme, push_bare, push_quoted};
use std::borrow::Cow;

/// Digest credentials: the value of one Authorization or Proxy-Authorization header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// The user name as meant.
    pub username: Cow<'a, str>,
    /// The user name as written between the quotes; some clients hash this one.
    pub username_raw: &'a str,
    /// The realm.
    pub realm: Cow<'a, str>,
    /// The nonce.
    pub nonce: Cow<'a, str>,
    /// What was asked for, in the client's spelling.
    pub uri: Cow<'a, str>,
    /// The proof.
    pub response: Cow<'a, str>,
    /// The algorithm; MD5 when not named.
    pub algorithm: Algorithm,
    /// `None`: the form of RFC 2069.
    pub qop: Option<Qop>,
    /// The client's nonce.
    pub cnonce: Option<Cow<'a, str>>,
    /// The nonce count as written.
    pub nc: Option<Cow<'a, str>>,
    /// Sent back.
    pub opaque: Option<Cow<'a, str>>,
}

/// What the proof is about.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// The request's method.
    pub method: &'a str,
    /// The request's body, for `auth-int`.
    pub body: &'a [u8],
}

#[derive(Default)]
struct Found<'a> {
    username: Option<Param<'a>>,
    realm: Option<Param<'a>>,
    nonce: Option<Param<'a>>,
    uri: Option<Param<'a>>,
    response: Option<Param<'a>>,
    algorithm: Option<Param<'a>>,
    qop: Option<Param<'a>>,
    cnonce: Option<Param<'a>>,
    nc: Option<Param<'a>>,
    opaque: Option<Param<'a>>,
}

impl<'a> Found<'a> {
    fn slot(&mut self, name: &str) -> Option<&mut Option<Param<'a>>> {
        const NAMES: [&str; 10] = [
            "username",
            "realm",
            "nonce",
            "uri",
            "response",
            "algorithm",
            "qop",
            "cnonce",
            "nc",
            "opaque",
        ];
        let slots = [
            &mut self.username,
            &mut self.realm,
            &mut self.nonce,
            &mut self.uri,
            &mut self.response,
            &mut self.algorithm,
            &mut self.qop,
            &mut self.cnonce,
            &mut self.nc,
            &mut self.opaque,
        ];
        NAMES
            .iter()
            .zip(slots)
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, slot)| slot)
    }
}

impl<'a> Credentials<'a> {
    /// Reads one header value. Quotes may stand everywhere or nowhere, `opaque` may be missing,
    /// names come in any case, unknown parameters are skipped (rvp.md 8.4, client-quirks).
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(value: &'a str) -> Result<Self, Malformed> {
        let mut found = Found::default();
        for param in Params::new(after_scheme(value)?) {
            let param = param?;
            let Some(slot) = found.slot(param.name) else {
                continue;
            };
            if slot.replace(param).is_some() {
                return Err(Malformed::Twice);
            }
        }
        let need = |param: Option<Param<'a>>, name: &'static str| {
            param.ok_or(Malformed::Missing(name)).map(|p| p.text)
        };
        let username = found.username.ok_or(Malformed::Missing("username"))?;
        let algorithm = match found.algorithm {
            None => Algorithm::Md5,
            Some(token) => Algorithm::parse(&token.text).ok_or(Malformed::Value("algorithm"))?,
        };
        let qop = match found.qop.filter(|token| !token.text.is_empty()) {
            None => None,
            Some(token) => Some(Qop::parse(&token.text).ok_or(Malformed::Value("qop"))?),
        };
        let credentials = Self {
            username_raw: username.raw,
            username: username.text,
            realm: need(found.realm, "realm")?,
            nonce: need(found.nonce, "nonce")?,
            uri: need(found.uri, "uri")?,
            response: need(found.response, "response")?,
            algorithm,
            qop,
            cnonce: found.cnonce.map(|p| p.text),
            nc: found.nc.map(|p| p.text),
            opaque: found.opaque.map(|p| p.text),
        };
        if credentials.qop.is_some() {
            if credentials.cnonce.is_none() {
                return Err(Malformed::Missing("cnonce"));
            }
            credentials.count().ok_or(Malformed::Value("nc"))?;
        }
        if algorithm.is_session() && credentials.cnonce.is_none() {
            return Err(Malformed::Missing("cnonce"));
        }
        Ok(credentials)
    }

    /// The nonce count, where a qop gives it meaning.
    pub fn count(&self) -> Option<u32> {
        self.qop?;
        let nc = self.nc.as_deref()?;
        let plain = (1..=8).contains(&nc.len()) && nc.bytes().all(|b| b.is_ascii_hexdigit());
        plain.then(|| u32::from_str_radix(nc, 16).ok()).flatten()
    }

    /// Whether the response fits: takes the same time whatever it is.
    pub fn proves(&self, ha1: &Hex, exchange: &Exchange<'_>) -> bool {
        let inputs = Inputs {
            algorithm: self.algorithm,
            nonce: &self.nonce,
            cnonce: self.cnonce.as_deref().unwrap_or_default(),
            nc: self.nc.as_deref().unwrap_or_default(),
            qop: self.qop,
            method: exchange.method,
            uri: &self.uri,
            body: exchange.body,
        };
        inputs.response(ha1).agrees(&self.response)
    }

    /// The header value.
    pub fn write(&self) -> String {
        let mut out = String::with_capacity(256);
        out.push_str("Digest ");
        push_quoted(&mut out, "username", &self.username);
        push_quoted(&mut out, "realm", &self.realm);
        push_quoted(&mut out, "nonce", &self.nonce);
        push_quoted(&mut out, "uri", &self.uri);
        push_quoted(&mut out, "response", &self.response);
        if self.algorithm != Algorithm::Md5 || self.qop.is_some() {
            push_bare(&mut out, "algorithm", self.algorithm.token());
        }
        if let Some(cnonce) = &self.cnonce {
            push_quoted(&mut out, "cnonce", cnonce);
        }
        if let Some(opaque) = &self.opaque {
            push_quoted(&mut out, "opaque", opaque);
        }
        if let Some(qop) = self.qop {
            push_bare(&mut out, "qop", qop.token());
        }
        if let Some(nc) = &self.nc {
            push_bare(&mut out, "nc", nc);
        }
        out
    }
}

/// Whether the `uri` of credentials names what the request asked for. Loose where real clients
/// are: scheme, port, parameters, query-less path against an absolute URL, case; a SIP URI of the
/// domain alone stands for everything in it.
pub fn uri_agrees(sent: &str, actual: &str) -> bool {
    if sent == actual {
        return true;
    }
    let (left, right) = (Loose::of(sent), Loose::of(actual));
    match (&left, &right) {
        (Loose::Path(a), Loose::Path(b)) => a == b,
        (Loose::Sip { user: a, host: x }, Loose::Sip { user: b, host: y }) => {
            a.is_none() || (a == b && x.eq_ignore_ascii_case(y))
        }
        _ => false,
    }
}

enum Loose<'a> {
    Path(&'a str),
    Sip {
        user: Option<&'a str>,
        host: &'a str,
    },
}

impl<'a> Loose<'a> {
    fn of(uri: &'a str) -> Self {
        let uri = uri.trim();
        if let Some((scheme, rest)) = uri.split_once(':')
            && matches!(scheme.to_ascii_lowercase().as_str(), "sip" | "sips")
        {
            let rest = rest.split(['?', ';']).next().unwrap_or_default();
            let (user, host) = match rest.rsplit_once('@') {
                Some((user, host)) => (Some(user), host),
                None => (None, rest),
            };
            let end = host.rfind(']').map_or(0, |at| at + 1);
            let port = host.get(end..).and_then(|tail| tail.find(':'));
            let host = port.and_then(|at| host.get(..end + at)).unwrap_or(host);
            return Self::Sip { user, host };
        }
        let path = uri.split_once("://").map_or(uri, |(_, rest)| {
            rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
        });
        Self::Path(path)
    }
}
