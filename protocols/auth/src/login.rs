//! A client's whole side of HTTP authentication: which challenge of a 401 to answer, and how.
//!
//! Digest is answered for each request, NTLM once for each connection, in two steps. The caller
//! has the connection and says when it is gone.

use crate::digest::{Ask, Challenge, Client as Digest, Style};
use crate::ntlm;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// A scheme that a [`Login`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP Digest.
    Digest,
    /// NTLM, version 2.
    Ntlm,
}

/// Fresh for each answer; the caller has randomness and clock.
#[derive(Clone, Copy, Debug)]
pub struct Fresh {
    /// Unpredictable.
    pub random: [u8; 24],
    /// Seconds since 1970.
    pub now: u64,
}

/// A user's side, for one connection at a time.
#[derive(Clone, Debug)]
pub struct Login {
    digest: Digest,
    ntlm: ntlm::Client,
    /// In order of preference.
    schemes: Vec<Scheme>,
    leg: Leg,
}

/// How far NTLM has got on the connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Leg {
    #[default]
    Nothing,
    /// This NEGOTIATE message was sent.
    Negotiated(Vec<u8>),
    /// The AUTHENTICATE message was sent: taken unless a 401 comes.
    Proved,
}

/// Seconds between 1601 and 1970.
const EPOCHS: u64 = 11_644_473_600;

impl Login {
    /// For `user`, `user@domain` or `DOMAIN\user`, answering these schemes, the first offered one
    /// of them.
    pub fn new(user: &str, password: &str, schemes: &[Scheme]) -> Self {
        let (domain, name) = match user.split_once(['\\', '/']) {
            Some((domain, name)) => (domain, name),
            None => ("", user),
        };
        Self {
            digest: Digest::new(user, password).with_style(Style::Plain),
            ntlm: ntlm::Client::new(name, domain, password),
            schemes: schemes.to_vec(),
            leg: Leg::Nothing,
        }
    }

    /// The connection is gone, and what it proved with it.
    pub fn disconnected(&mut self) {
        self.leg = Leg::Nothing;
    }

    /// `Authorization` of a request before anybody asked: with what is known of earlier ones.
    /// `None` = without.
    pub fn first(&mut self, ask: &Ask<'_>) -> Option<String> {
        if self.leg == Leg::Proved {
            return None;
        }
        self.leg = Leg::Nothing;
        self.digest.again(ask)
    }

    /// `Authorization` of the same request once more, after a 401 with these `WWW-Authenticate`
    /// values; `tried` = the request that was refused carried credentials. `None` = it is over:
    /// nothing offered can be answered, or what was answered was not believed.
    pub fn answer(
        &mut self,
        values: &[&str],
        tried: bool,
        ask: &Ask<'_>,
        fresh: &Fresh,
    ) -> Option<String> {
        if let Leg::Negotiated(negotiate) = &self.leg {
            let message = self.authenticate(&negotiate.clone(), values, fresh);
            self.leg = message.as_ref().map_or(Leg::Nothing, |_| Leg::Proved);
            return message;
        }
        if self.leg == Leg::Proved && tried {
            self.leg = Leg::Nothing;
            return None;
        }
        // Proved, but for a request without credentials: the connection counts for nothing more.
        self.leg = Leg::Nothing;
        let digests: Vec<Challenge> = values
            .iter()
            .filter_map(|value| Challenge::parse(value).ok())
            .collect();
        let has_ntlm = values.iter().any(|value| token(value).is_some());
        let offered = |scheme: &&Scheme| match scheme {
            Scheme::Digest => !digests.is_empty(),
            Scheme::Ntlm => has_ntlm,
        };
        match self.schemes.iter().find(offered)? {
            // Refused although the nonce was fresh: the password is wrong.
            Scheme::Digest if tried && !digests.iter().any(|digest| digest.stale) => None,
            Scheme::Digest => self.digest.answer(&digests, ask),
            Scheme::Ntlm => {
                let negotiate = self.ntlm.negotiate();
                let value = format!("NTLM {}", BASE64.encode(&negotiate));
                self.leg = Leg::Negotiated(negotiate);
                Some(value)
            }
        }
    }

    fn authenticate(&self, negotiate: &[u8], values: &[&str], fresh: &Fresh) -> Option<String> {
        let mut token = values.iter().filter_map(|value| token(value));
        let token = token.rfind(|token| !token.is_empty())?;
        let challenge = BASE64.decode(token).ok()?;
        let (nonce, session_key) = fresh.random.split_at(8);
        let with = ntlm::Ingredients {
            nonce: nonce.try_into().ok()?,
            session_key: session_key.try_into().ok()?,
            now: (fresh.now + EPOCHS) * 10_000_000,
            binding: None,
        };
        let answer = self.ntlm.authenticate(negotiate, &challenge, &with).ok()?;
        Some(format!("NTLM {}", BASE64.encode(answer.message)))
    }
}

/// What follows `NTLM` in a challenge.
fn token(value: &str) -> Option<&str> {
    let value = value.trim();
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    scheme.eq_ignore_ascii_case("NTLM").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ntlm::{Acceptor, Policy, nt_hash};

    const ASK: Ask<'static> = Ask {
        method: "NOTIFY",
        uri: "/x",
        body: b"",
        cnonce: "c",
    };
    const FRESH: Fresh = Fresh {
        random: [9; 24],
        now: 1_700_000_000,
    };
    const DIGEST: &str = "Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=MD5";
    const STALE: &str = "Digest realm=\"r\", nonce=\"m\", qop=\"auth\", algorithm=MD5, stale=true";

    fn decode(value: &str) -> Vec<u8> {
        BASE64.decode(token(value).unwrap()).unwrap()
    }

    #[test]
    fn ntlm_proves_a_connection_in_two_steps() {
        let mut login = Login::new("EXAMPLE\\alice", "secret", &[Scheme::Ntlm, Scheme::Digest]);
        assert_eq!(login.first(&ASK), None);
        let first = login
            .answer(&[DIGEST, "NTLM"], false, &ASK, &FRESH)
            .unwrap();
        let acceptor = Acceptor::new("EXAMPLE", "im.example.com", Policy::default());
        let exchange = acceptor.challenge(&decode(&first), [7; 8], 0).unwrap();
        let challenge = format!("NTLM {}", BASE64.encode(exchange.message()));
        let second = login.answer(&[&challenge], true, &ASK, &FRESH).unwrap();
        let pending = exchange.authenticate(&decode(&second), None).unwrap();
        assert_eq!(pending.identity().user, "alice");
        assert!(pending.verify(Some(nt_hash("secret"))).is_ok());
        // The connection is proved; a new one is not.
        assert_eq!(login.first(&ASK), None);
        login.disconnected();
        assert!(login.answer(&["NTLM"], false, &ASK, &FRESH).is_some());
    }

    #[test]
    fn a_proof_that_is_not_believed_is_the_end() {
        let mut login = Login::new("alice", "wrong", &[Scheme::Ntlm]);
        let first = login.answer(&["NTLM"], false, &ASK, &FRESH).unwrap();
        let acceptor = Acceptor::new("EXAMPLE", "im.example.com", Policy::default());
        let exchange = acceptor.challenge(&decode(&first), [7; 8], 0).unwrap();
        let challenge = format!("ntlm {}", BASE64.encode(exchange.message()));
        assert!(login.answer(&[&challenge], true, &ASK, &FRESH).is_some());
        assert_eq!(login.answer(&["NTLM"], true, &ASK, &FRESH), None);
        // Later the server may have learned better: it is tried anew.
        assert!(login.answer(&["NTLM"], false, &ASK, &FRESH).is_some());
        assert_eq!(login.answer(&["NTLM !"], true, &ASK, &FRESH), None);
    }

    #[test]
    fn digest_is_answered_in_order_of_preference_and_once() {
        let mut login = Login::new("alice", "secret", &[Scheme::Digest, Scheme::Ntlm]);
        let value = login
            .answer(&["NTLM", DIGEST], false, &ASK, &FRESH)
            .unwrap();
        assert!(value.starts_with("Digest "), "{value}");
        assert_eq!(login.answer(&["NTLM", DIGEST], true, &ASK, &FRESH), None);
        assert!(login.answer(&[STALE], true, &ASK, &FRESH).is_some());
        assert!(
            login
                .first(&ASK)
                .is_some_and(|value| value.contains("nonce=\"m\""))
        );
        assert_eq!(
            login.answer(&["Basic realm=\"x\""], false, &ASK, &FRESH),
            None
        );
    }
}
