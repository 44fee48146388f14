//! The answering side, for clients, peers and tests.

use super::challenge::Challenge;
use super::compute::{Algorithm, Hex, Inputs, Qop, ha1};
use super::credentials::Credentials;
use std::borrow::Cow;

/// How answers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// As RFC 7616 says: qop when offered, the best algorithm that was offered.
    #[default]
    Modern,
    /// As RFC 2617 clients do: the first challenge they know, MD5, qop when offered.
    Plain,
    /// As RFC 2069 clients do: no qop, no cnonce, MD5 (what libpurple sends).
    Rfc2069,
}

/// One request to be answered for.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its request target, as it will stand in the request.
    pub uri: &'a str,
    /// Its body, for `auth-int`.
    pub body: &'a [u8],
    /// A fresh random text: the caller has the randomness.
    pub cnonce: &'a str,
}

/// A user's side of Digest: remembers the last challenge and counts.
#[derive(Clone, Debug)]
pub struct Client {
    user: String,
    password: String,
    style: Style,
    current: Option<Current>,
}

#[derive(Clone, Debug)]
struct Current {
    challenge: Challenge,
    algorithm: Algorithm,
    ha1: Hex,
    count: u32,
}

impl Client {
    /// For this user name, exactly as it shall be sent, and password.
    pub fn new(user: &str, password: &str) -> Self {
        Self {
            user: user.to_owned(),
            password: password.to_owned(),
            style: Style::default(),
            current: None,
        }
    }

    /// The same with another way of writing.
    #[must_use]
    pub fn with_style(mut self, style: Style) -> Self {
        self.style = style;
        self
    }

    /// The user name as sent.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Takes the challenges of one 401 or 407 and answers one of them; `None` if none can be.
    pub fn answer(&mut self, challenges: &[Challenge], ask: &Ask<'_>) -> Option<String> {
        let known = |c: &&Challenge| c.algorithm.is_some();
        let chosen = match self.style {
            Style::Modern => challenges
                .iter()
                .filter(known)
                .max_by_key(|c| c.algorithm.map(Algorithm::base)),
            Style::Plain | Style::Rfc2069 => challenges
                .iter()
                .find(|c| c.algorithm == Some(Algorithm::Md5)),
        }?;
        let algorithm = chosen.algorithm?;
        self.current = Some(Current {
            ha1: ha1(algorithm, &self.user, &chosen.realm, &self.password),
            challenge: chosen.clone(),
            algorithm,
            count: 0,
        });
        self.again(ask)
    }

    /// Header values of the last challenge, for the next request without waiting to be asked;
    /// `nc` rises. `None` before the first challenge.
    pub fn again(&mut self, ask: &Ask<'_>) -> Option<String> {
        let style = self.style;
        let current = self.current.as_mut()?;
        current.count += 1;
        let offered = &current.challenge.qop;
        let qop = match style {
            Style::Rfc2069 => None,
            _ if offered.contains(&Qop::Auth) => Some(Qop::Auth),
            _ => offered.first().copied(),
        };
        let cnonce = qop.is_some() || current.algorithm.is_session();
        let nc = format!("{:08x}", current.count);
        let inputs = Inputs {
            algorithm: current.algorithm,
            nonce: &current.challenge.nonce,
            cnonce: if cnonce { ask.cnonce } else { "" },
            nc: &nc,
            qop,
            method: ask.method,
            uri: ask.uri,
            body: ask.body,
        };
        let response = inputs.response(&current.ha1);
        let credentials = Credentials {
            username: Cow::Borrowed(&self.user),
            username_raw: &self.user,
            realm: Cow::Borrowed(&current.challenge.realm),
            nonce: Cow::Borrowed(&current.challenge.nonce),
            uri: Cow::Borrowed(ask.uri),
            response: Cow::Borrowed(response.as_str()),
            algorithm: current.algorithm,
            qop,
            cnonce: cnonce.then_some(Cow::Borrowed(ask.cnonce)),
            nc: qop.is_some().then_some(Cow::Borrowed(&nc)),
            opaque: current.challenge.opaque.as_deref().map(Cow::Borrowed),
        };
        Some(credentials.write())
    }
}
