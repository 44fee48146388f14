//! Answers to a neighbour's challenges, with the credentials that are configured for it.

use super::route::Proof;
use auth::digest::{Ask, Challenge, Client as Digest, Style};
use sip::{HeaderId, RawMessage};

/// Challenges answered for one request: a first one and a stale nonce.
const PROOFS: u8 = 2;

/// Challenges of one request so far.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct Proofs(u8);

impl Proofs {
    /// What answers a 401 or 407: header and value. `None`: it is not in the realm that the
    /// credentials are for, or they were shown and not taken.
    pub(in super::super) fn answer(
        &mut self,
        proof: &Proof,
        response: &RawMessage,
        asked: (&str, &str, &[u8]),
    ) -> Option<(&'static str, String)> {
        self.0 = self.0.saturating_add(1);
        let (asks, name) = match response.status() {
            Some(401) => (HeaderId::WwwAuthenticate, "Authorization"),
            _ => (HeaderId::ProxyAuthenticate, "Proxy-Authorization"),
        };
        let challenges: Vec<Challenge> = response
            .all(asks)
            .filter_map(|value| Challenge::parse(std::str::from_utf8(value).ok()?).ok())
            .filter(|challenge| proof.realm.is_empty() || challenge.realm == proof.realm)
            .collect();
        let repeated = self.0 > 1 && !challenges.iter().any(|c| c.stale);
        if self.0 > PROOFS || repeated {
            return None;
        }
        let (method, uri, body) = asked;
        let cnonce = super::own_id();
        let ask = Ask {
            method,
            uri,
            body,
            cnonce: &cnonce,
        };
        let mut digest = Digest::new(&proof.user, &proof.password).with_style(Style::Plain);
        Some((name, digest.answer(&challenges, &ask)?))
    }
}
