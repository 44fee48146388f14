//! Kerberos at the gate: whose a ticket is and whether it counts here (RFC 4121, RFC 4559).
//!
//! The system's library is behind [`Tickets`] and knows nothing of accounts or fronts: whatever
//! carries a token (HTTP now) asks the same acceptor and then this module.

use super::link::{Known, On, Whose};
use super::ntlm::Failed;
use super::{Attempt, Cause, Fault, Gate};
use crate::core::access::Scheme;
use crate::core::address::Address;
use crate::core::time::Time;
use crate::hub::Resolution;
use auth::ntlm::Identity;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// What is awaited of the system's library.
pub type Acceptance<'t> = Pin<Box<dyn Future<Output = Result<Accepted, NoTicket>> + Send + 't>>;

/// Who checks tickets.
pub trait Tickets: Send + Sync + 'static {
    /// Checks the initiator's first token. `binding` is the application data of channel bindings;
    /// an initiator that binds itself to another channel is refused, one that binds itself to
    /// none is not.
    fn accept(&self, token: Vec<u8>, binding: Option<Vec<u8>>) -> Acceptance<'_>;
}

/// A ticket that holds.
#[derive(Debug)]
pub struct Accepted {
    /// The principal it was given to: `alice@EXAMPLE.COM`.
    pub client: String,
    /// The principal it is for: `HTTP/im.example.com@EXAMPLE.COM`.
    pub service: String,
    /// Our proof for the initiator, if it asked for one.
    pub answer: Option<Vec<u8>>,
    /// How long the ticket is still good.
    pub lifetime: Duration,
    /// Codes under the session key.
    pub codes: Box<dyn Codes>,
}

/// Integrity codes of an accepted context.
pub trait Codes: std::fmt::Debug + Send {
    /// Ours over these octets.
    fn sign(&mut self, octets: &[u8]) -> Option<Vec<u8>>;
    /// Whether that is the initiator's.
    fn verify(&mut self, octets: &[u8], code: &[u8]) -> bool;
}

/// Why a ticket does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTicket {
    /// The clocks of client and server are too far apart.
    #[error("{0}")]
    Clock(String),
    /// Its time is over, or has not begun.
    #[error("the ticket is not valid now: {0}")]
    Expired(String),
    /// It was shown before.
    #[error("replayed: this authenticator was used before")]
    Replayed,
    /// It is for another service, or for a key that was replaced.
    #[error("no key for this ticket in the keytab: {0}")]
    NoKey(String),
    /// It was made for another TLS connection.
    #[error("bound to another TLS channel")]
    Binding,
    /// Anything else that is the client's doing.
    #[error("{0}")]
    Refused(String),
    /// The library or its keytab can't be used.
    #[error("not available: {0}")]
    Unavailable(String),
}

/// GSS-API's words for every error that it has no number for.
const VAGUE: &str = "Unspecified GSS failure.  Minor code may provide more information";

impl NoTicket {
    /// By the number of RFC 4120 7.5.9 if it is one (libraries may pass on others), else by the
    /// words that MIT's library has for it.
    pub fn named(number: i32, text: &str) -> Self {
        // What the mechanism says stands in parentheses behind what GSS-API makes of it.
        let own = text.strip_prefix(VAGUE).unwrap_or(text).trim();
        let own = own
            .strip_prefix('(')
            .and_then(|own| own.strip_suffix(')'))
            .unwrap_or(own);
        let text: String = own.chars().take(300).collect();
        let lower = text.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        if number == 37 || says(&["clock skew"]) {
            Self::Clock(text)
        } else if number == 34 || says(&["replay"]) {
            Self::Replayed
        } else if matches!(number, 32 | 33) || says(&["expired", "not yet valid"]) {
            Self::Expired(text)
        } else if matches!(number, 35 | 44 | 45)
            || says(&[
                "key table",
                "keytab",
                "wrong principal",
                "cannot decrypt ticket",
            ])
        {
            Self::NoKey(text)
        } else {
            Self::Refused(text)
        }
    }
}

/// What counts as a sign-in by ticket.
#[derive(Clone)]
pub struct Kerberos {
    /// Who checks tickets.
    pub tickets: Arc<dyn Tickets>,
    /// Services whose tickets count: `HTTP` for any host, or `HTTP/im.example.com`.
    pub services: Vec<String>,
    /// Our domains by the realm whose people are theirs.
    pub realms: BTreeMap<String, String>,
}

impl Kerberos {
    fn serves(&self, principal: &str) -> bool {
        let name = principal
            .rsplit_once('@')
            .map_or(principal, |(name, _)| name);
        self.services.iter().any(|service| {
            let (named, host) = service.split_once('/').unwrap_or((service, ""));
            match name.split_once('/') {
                // Names of hosts have no case; those of services do.
                Some((kind, at)) => {
                    kind == named && (host.is_empty() || at.eq_ignore_ascii_case(host))
                }
                None => false,
            }
        })
    }

    /// The address of a principal: one name without instance, in a realm of the table.
    fn address(&self, principal: &str) -> Result<Address, Cause> {
        let nobody = || Cause::Principal(principal.to_owned());
        let (name, realm) = principal.rsplit_once('@').ok_or_else(nobody)?;
        if name.contains(['/', '\\', '@']) {
            return Err(nobody());
        }
        let domain = self.realms.get(realm);
        let domain = domain.ok_or_else(|| Cause::Realm(realm.to_owned()))?;
        Address::new(name, domain).map_err(|_| nobody())
    }
}

/// What a ticket leads to: who the connection belongs to now, and the rest of the exchange.
pub(super) struct Shown {
    pub(super) known: Known,
    pub(super) answer: Option<Vec<u8>>,
    pub(super) codes: Box<dyn Codes>,
}

impl Gate {
    /// With tickets.
    #[must_use]
    pub fn with_kerberos(mut self, kerberos: Option<Kerberos>) -> Self {
        self.kerberos = kerberos;
        self
    }

    /// Judges a token of Kerberos' own.
    pub(super) async fn ticket(
        &self,
        attempt: &Attempt<'_>,
        on: &On<'_>,
        token: Vec<u8>,
    ) -> Result<Shown, Failed> {
        let kerberos = self.kerberos.as_ref().ok_or(Cause::Mechanism)?;
        let binding = on.certificate.map(end_point);
        let accepted = match kerberos.tickets.accept(token, binding).await {
            Ok(accepted) => accepted,
            Err(NoTicket::Clock(why)) => return Err(Cause::Clock(why).into()),
            Err(other) => return Err(Cause::Ticket(other).into()),
        };
        let failed = |cause| Failed {
            user: Identity {
                user: accepted.client.clone(),
                ..Identity::default()
            },
            cause,
        };
        if !kerberos.serves(&accepted.service) {
            return Err(failed(Cause::Service(accepted.service.clone())));
        }
        let address = kerberos.address(&accepted.client).map_err(failed)?;
        let account = match self.accounts.directory().resolve(&address) {
            Resolution::Local(account) => account,
            Resolution::UnknownUser | Resolution::Foreign => {
                // `explain` finds it under the address it would have had.
                let user = Identity {
                    user: address.to_string(),
                    ..Identity::default()
                };
                let cause = Fault::UnknownUser.into();
                return Err(Failed { user, cause });
            }
        };
        if account.suspended {
            let user = Identity {
                user: address.to_string(),
                ..Identity::default()
            };
            let cause = Fault::Suspended.into();
            return Err(Failed { user, cause });
        }
        let lifetime = u64::try_from(accepted.lifetime.as_millis()).unwrap_or(u64::MAX);
        Ok(Shown {
            known: Known {
                whose: Whose::Account(account),
                scheme: Scheme::Kerberos,
                until: Some(Time(attempt.now.0.saturating_add(lifetime))),
                machine: None,
            },
            answer: accepted.answer,
            codes: accepted.codes,
        })
    }

    /// Said once per connection whose client would rather have used Kerberos.
    pub(super) fn kerberos_passed_over(&self, attempt: &Attempt<'_>) {
        if self.kerberos.is_none() {
            let why = if cfg!(feature = "gssapi") {
                "[auth] kerberos_keytab is not set"
            } else {
                "this binary was built without the feature gssapi"
            };
            tracing::info!(
                peer = %attempt.peer, why,
                "Negotiate: the client prefers Kerberos, which is not spoken here; asked for NTLM"
            );
        }
    }
}

/// Application data of `tls-server-end-point` bindings (RFC 5929 4).
fn end_point(hash: &[u8]) -> Vec<u8> {
    [b"tls-server-end-point:".as_slice(), hash].concat()
}

impl std::fmt::Debug for Kerberos {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kerberos")
            .field("services", &self.services)
            .field("realms", &self.realms)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "kerberos_tests.rs"]
mod tests;
