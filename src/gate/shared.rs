//! Credentials shared with another server, under a name that is no account: Digest proves a
//! request by them, NTLM (bare or in Negotiate) a connection.

use super::link::{Known, On, Sharer, State, Whose};
use super::ntlm::{Carried, Failed, Leg, carried, value};
use super::{Attempt, Cause, Decision, Fault, Gate};
use crate::config::Scheme as Offered;
use crate::core::access::Scheme;
use crate::core::port::TargetRecord;
use crate::credentials::CredentialError;
use auth::digest::{Credentials, Exchange, ha1, uri_agrees};
use auth::ntlm::{self, Identity, Proof, Refusal, nt_hash};
use auth::spnego::{self, Token};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::sync::PoisonError;

/// What the gate says to a server that may hold shared credentials.
#[derive(Clone, Debug)]
pub enum Shared {
    /// The credentials are under none of these names.
    NotNamed,
    /// The holder of one of the pairs; with a value for WWW-Authenticate that goes with the
    /// success (the end of Negotiate).
    Proved(Option<String>),
    /// Ask (again), or refuse.
    Not(Decision),
}

impl Gate {
    /// What a registered target and we have in common, to sign with.
    ///
    /// # Errors
    /// The key is another one than it was sealed with.
    pub fn target_secret(
        &self,
        record: &TargetRecord,
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, CredentialError> {
        self.secrets.target_secret(record)
    }

    /// Judges a request by the shared accounts of `on` instead of people's. `alone`: nobody but a
    /// server may speak here, so that even NTLM's first message, which names nobody, is a server's.
    pub async fn check_shared(&self, attempt: &Attempt<'_>, on: &On<'_>, alone: bool) -> Shared {
        if on.servers.is_empty() {
            return Shared::NotNamed;
        }
        match carried(attempt.values, on.schemes) {
            Carried::Digest => self.shared_digest(attempt, on),
            Carried::Token(scheme, text) => {
                let named = claimed(scheme, text).is_some_and(|who| of(on, &who).is_some());
                if on.relayed || !(alone || named) {
                    return Shared::NotNamed;
                }
                self.shared_leg(attempt, on, scheme, text).await
            }
            Carried::Nothing => match on.link.sharer() {
                // A proxy may share its connection between many.
                Some(proved)
                    if !on.relayed && on.servers.iter().any(|pair| sharer(*pair) == proved) =>
                {
                    self.stats.granted.add(1);
                    Shared::Proved(None)
                }
                _ => Shared::NotNamed,
            },
            Carried::Foreign(_) => Shared::NotNamed,
        }
    }

    /// A challenge by all schemes of this connection.
    pub fn ask(&self, attempt: &Attempt<'_>, on: &On<'_>) -> Decision {
        self.stats.asked.add(1);
        Self::offer(self.challenge(attempt, false, None), on)
    }

    async fn shared_leg(
        &self,
        attempt: &Attempt<'_>,
        on: &On<'_>,
        scheme: Offered,
        text: &str,
    ) -> Shared {
        let failed = match self.leg(attempt, on, scheme, text).await {
            Ok(Leg::Ask(token)) => {
                self.stats.asked.add(1);
                return Shared::Not(Decision::Challenge {
                    values: vec![value(scheme, &token)],
                    stale: false,
                    cause: None,
                });
            }
            Ok(Leg::Done(known, token)) if matches!(known.whose, Whose::Server(_)) => {
                self.stats.granted.add(1);
                on.link.put(State::Known(known));
                return Shared::Proved(token.map(|token| value(scheme, &token)));
            }
            // A ticket: it is a person's.
            Ok(Leg::Done(..)) => Fault::UnknownUser.into(),
            Err(failed) => failed,
        };
        Shared::Not(self.refused(attempt, on, &failed.user, failed.cause))
    }

    fn shared_digest(&self, attempt: &Attempt<'_>, on: &On<'_>) -> Shared {
        let Some(Ok(credentials)) = self.pick(attempt) else {
            return Shared::NotNamed;
        };
        let named = |(user, _): &&(&str, &str)| *user == &*credentials.username;
        let Some(pair) = on.servers.iter().find(named) else {
            return Shared::NotNamed;
        };
        match self.prove_shared(attempt, &credentials, *pair) {
            Ok(()) => {
                self.stats.granted.add(1);
                Shared::Proved(None)
            }
            Err((stale, cause)) => {
                if !stale {
                    self.stats.refused.add(1);
                    tracing::info!(peer = %attempt.peer, user = %credentials.username, %cause, "server refused");
                }
                let challenge = self.challenge(attempt, stale, Some(cause.into()));
                Shared::Not(Self::offer(challenge, on))
            }
        }
    }

    /// `Err((true, _))`: right, but under a nonce that is used up.
    fn prove_shared(
        &self,
        attempt: &Attempt<'_>,
        credentials: &Credentials<'_>,
        (user, password): (&str, &str),
    ) -> Result<(), (bool, Fault)> {
        let exchange = Exchange {
            method: attempt.method,
            body: attempt.body,
        };
        let expected = ha1(credentials.algorithm, user, &credentials.realm, password);
        if !credentials.proves(&expected, &exchange) {
            return Err((false, Fault::WrongResponse));
        }
        if !uri_agrees(&credentials.uri, attempt.uri) {
            return Err((false, Fault::Uri));
        }
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        let mint = nonces
            .judge(&credentials.nonce, &credentials.realm, attempt.now.0)
            .map_err(|cause| (true, cause))?;
        // Nonces are tied to whoever used them first: a server counts as one more somebody.
        let owner = user.bytes().fold(1u128 << 127, |hash, octet| {
            (hash ^ u128::from(octet)).wrapping_mul(0x0100_0000_0000_0000_0000_013b)
        });
        nonces
            .record(mint, owner, credentials.count())
            .map_err(|cause| (true, cause))
    }
}

/// NTLM's last message, judged by the shared accounts.
pub(super) fn prove(on: &On<'_>, proof: Proof) -> Result<(Known, ntlm::Verdict), Failed> {
    let user = proof.identity().clone();
    let named = of(on, &user).map(sharer);
    let hash = named.as_ref().map(|sharer| sharer.nt_hash);
    let verdict = proof.verify(hash).map_err(|refusal| Failed {
        user,
        cause: match refusal {
            _ if hash.is_none() => Fault::UnknownUser.into(),
            Refusal::BadProof => Cause::WrongPassword,
            other => other.into(),
        },
    })?;
    let server = named.ok_or(Fault::UnknownUser)?;
    let known = Known {
        whose: Whose::Server(server),
        scheme: Scheme::Ntlm,
        until: None,
        machine: None,
    };
    Ok((known, verdict))
}

/// The pair that an NTLM identity names. Names of accounts have no case there, and the domain is
/// whatever the account is said to be of: the password decides.
fn of<'a>(on: &On<'a>, who: &Identity) -> Option<(&'a str, &'a str)> {
    let shown = account(&who.user).to_lowercase();
    let named = |(user, _): &&(&str, &str)| account(user).to_lowercase() == shown;
    on.servers.iter().find(named).copied()
}

/// `server` of `DOMAIN\server`.
fn account(user: &str) -> &str {
    user.rsplit(['\\', '/']).next().unwrap_or(user)
}

fn sharer((user, password): (&str, &str)) -> Sharer {
    Sharer {
        user: user.to_owned(),
        nt_hash: nt_hash(password),
    }
}

/// Whom a token names, if it is NTLM's last message.
fn claimed(scheme: Offered, text: &str) -> Option<Identity> {
    let octets = STANDARD.decode(text).ok()?;
    let inner = match scheme {
        Offered::Negotiate => match spnego::parse(&octets).ok()? {
            Token::Bare(_, octets) => octets,
            Token::Init(init) => init.token?,
            Token::Continue(further) => further.token?,
        },
        Offered::Ntlm | Offered::Digest => octets,
    };
    ntlm::claimed(&inner)
}

#[cfg(test)]
#[path = "shared_tests.rs"]
mod tests;
