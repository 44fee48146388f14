//! What a server asks.

use super::compute::{Algorithm, Qop};
use super::params::{Malformed, Params, after_scheme, push_bare, push_quoted};
use std::borrow::Cow;

/// A Digest challenge: the value of one WWW-Authenticate or Proxy-Authenticate header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The realm.
    pub realm: String,
    /// The nonce.
    pub nonce: String,
    /// To be sent back as it is.
    pub opaque: Option<String>,
    /// The algorithm; `None` if it is one that we do not know.
    pub algorithm: Option<Algorithm>,
    /// Whether the algorithm is named (RFC 2069 servers leave it out).
    pub names_algorithm: bool,
    /// qop values offered that we know; empty = none offered.
    pub qop: Vec<Qop>,
    /// The answer before was right, only its nonce was not.
    pub stale: bool,
}

impl Challenge {
    /// Reads one header value.
    ///
    /// # Errors
    /// [`Malformed`]: another scheme, broken syntax, no realm or nonce.
    pub fn parse(value: &str) -> Result<Self, Malformed> {
        let (mut realm, mut nonce, mut opaque, mut algorithm, mut qop) =
            (None, None, None, None, None);
        let mut stale = false;
        for param in Params::new(after_scheme(value)?) {
            let param = param?;
            let slot = match param.name.to_ascii_lowercase().as_str() {
                "realm" => &mut realm,
                "nonce" => &mut nonce,
                "opaque" => &mut opaque,
                "algorithm" => &mut algorithm,
                "qop" => &mut qop,
                "stale" => {
                    stale = param.text.eq_ignore_ascii_case("true");
                    continue;
                }
                _ => continue,
            };
            if slot.replace(param.text).is_some() {
                return Err(Malformed::Twice);
            }
        }
        Ok(Self {
            realm: realm.ok_or(Malformed::Missing("realm"))?.into_owned(),
            nonce: nonce.ok_or(Malformed::Missing("nonce"))?.into_owned(),
            opaque: opaque.map(Cow::into_owned),
            names_algorithm: algorithm.is_some(),
            algorithm: algorithm.map_or(Some(Algorithm::Md5), |token: Cow<'_, str>| {
                Algorithm::parse(&token)
            }),
            qop: qop
                .map(|list: Cow<'_, str>| {
                    list.split(',')
                        .filter_map(|token| Qop::parse(token.trim()))
                        .collect()
                })
                .unwrap_or_default(),
            stale,
        })
    }

    /// A challenge with `qop="auth"`, as this server asks.
    pub fn ask(realm: &str, nonce: String, algorithm: Algorithm, stale: bool) -> Self {
        Self {
            realm: realm.to_owned(),
            nonce,
            opaque: None,
            algorithm: Some(algorithm),
            names_algorithm: true,
            qop: vec![Qop::Auth],
            stale,
        }
    }

    /// The header value. Old clients split it at every comma and compare names in lower case, so
    /// no value holds a comma unless several qop values are offered, and names are in lower case
    /// (rvp.md 8.4).
    pub fn write(&self) -> String {
        let mut out = String::with_capacity(160);
        out.push_str("Digest ");
        push_quoted(&mut out, "realm", &self.realm);
        push_quoted(&mut out, "nonce", &self.nonce);
        if let Some(opaque) = &self.opaque {
            push_quoted(&mut out, "opaque", opaque);
        }
        if self.stale {
            push_bare(&mut out, "stale", "true");
        }
        if let Some(algorithm) = self.algorithm.filter(|_| self.names_algorithm) {
            push_bare(&mut out, "algorithm", algorithm.token());
        }
        if !self.qop.is_empty() {
            let list: Vec<&str> = self.qop.iter().map(|qop| qop.token()).collect();
            push_quoted(&mut out, "qop", &list.join(","));
        }
        out
    }
}
