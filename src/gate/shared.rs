//! Credentials shared with another server: Digest under a name that is no account.

use super::{Attempt, Decision, Gate};
use crate::core::port::TargetRecord;
use crate::credentials::CredentialError;
use auth::digest::{Cause, Credentials, Exchange, ha1, uri_agrees};
use std::sync::PoisonError;

/// What the gate says to a server that may hold shared credentials.
#[derive(Clone, Debug)]
pub enum Shared {
    /// The credentials are under none of these names.
    NotNamed,
    /// The holder of this one of the pairs.
    Proved(usize),
    /// Ask (again), or refuse.
    Not(Decision),
}

impl Gate {
    /// Judges a request by (user, password) pairs instead of accounts.
    pub fn check_shared(&self, attempt: &Attempt<'_>, pairs: &[(&str, &str)]) -> Shared {
        if pairs.is_empty() {
            return Shared::NotNamed;
        }
        let Some(Ok(credentials)) = self.pick(attempt) else {
            return Shared::NotNamed;
        };
        let named = |(user, _): &(&str, &str)| *user == &*credentials.username;
        let Some(at) = pairs.iter().position(named) else {
            return Shared::NotNamed;
        };
        match self.prove_shared(attempt, &credentials, pairs[at]) {
            Ok(()) => {
                self.stats.granted.add(1);
                Shared::Proved(at)
            }
            Err((stale, cause)) => {
                if !stale {
                    self.stats.refused.add(1);
                    tracing::info!(peer = %attempt.peer, user = %credentials.username, %cause, "server refused");
                }
                Shared::Not(self.challenge(attempt, stale, Some(cause.into())))
            }
        }
    }

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

    /// `Err((true, _))`: right, but under a nonce that is used up.
    fn prove_shared(
        &self,
        attempt: &Attempt<'_>,
        credentials: &Credentials<'_>,
        (user, password): (&str, &str),
    ) -> Result<(), (bool, Cause)> {
        let exchange = Exchange {
            method: attempt.method,
            body: attempt.body,
        };
        let expected = ha1(credentials.algorithm, user, &credentials.realm, password);
        if !credentials.proves(&expected, &exchange) {
            return Err((false, Cause::WrongResponse));
        }
        if !uri_agrees(&credentials.uri, attempt.uri) {
            return Err((false, Cause::Uri));
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
