//! The gate: the only place that authenticates and binds senders, for every front
//! (`decisions.md` 4-8, `design.md` 12).
//!
//! A front hands in what a request carries and gets back who asks, or what to ask for. Failures
//! look the same on the wire whatever their cause (an unknown user, a wrong password); the log and
//! [`Gate::refusals`] tell them apart.

mod cause;
mod judge;
mod kerberos;
mod link;
mod modern;
mod names;
mod negotiate;
mod ntlm;
mod refusals;
mod shared;
#[cfg(test)]
mod tests;

pub use cause::Cause;
pub use judge::{Judge, NoVerdict, Question, Verdicts};
pub use kerberos::{Acceptance, Accepted, Codes, Kerberos, NoTicket, Tickets};
pub use link::{Link, On};
pub use refusals::Refusal;
pub use shared::Shared;

use crate::config::Network;
use crate::core::access::Scheme;
use crate::core::address::Address;
use crate::core::command::{Caller, Route};
use crate::core::error::Error;
use crate::core::id::Stack;
use crate::core::port::Account;
use crate::core::time::Time;
use crate::credentials::Credentials as Secrets;
use crate::hub::{Counter, Directory, Hub, Resolution};
use auth::digest::{
    Algorithm, Cause as Fault, Challenge, Credentials, Exchange, NonceSettings, Nonces, Verdict,
    uri_agrees,
};
use refusals::Refusals;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Where accounts are found.
pub trait Accounts: Send + Sync + 'static {
    /// The directory.
    fn directory(&self) -> &Directory;
}

impl Accounts for Hub {
    fn directory(&self) -> &Directory {
        Self::directory(self)
    }
}

impl Accounts for Directory {
    fn directory(&self) -> &Directory {
        self
    }
}

/// What an operator may say about authentication.
#[derive(Clone, Debug, Default)]
pub struct GateSettings {
    /// Realms that are not their domain's name, by domain (`decisions.md` 4).
    pub realms: HashMap<String, String>,
    /// Domains by their NetBIOS name in upper case.
    pub netbios: HashMap<String, String>,
    /// Refuse answers without qop, and MD5 of accounts that have shown they know SHA-256.
    pub strict_digest: bool,
    /// Age and number of nonces.
    pub nonces: NonceSettings,
    /// The DNS name this server has in NTLM challenges.
    pub host: String,
    /// Networks whose clients may use NTLMv1 and "NTLM2 session".
    pub weak_ntlm: Vec<Network>,
}

/// Algorithms that a front's clients may be offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// MD5 alone (RVP: RFC 2617 clients).
    Md5,
    /// MD5 first, then SHA-256 (SIP, RFC 8760); the other way round for accounts that used it.
    Both,
    /// SHA-256 first, then MD5.
    Sha256First,
    /// SHA-256 alone.
    Sha256,
    /// These in this order: SHA-512-256 is offered only where the configuration says so, since
    /// clients that know it are few, and accounts whose password is not kept can't prove it.
    These([Option<Algorithm>; 3]),
}

impl Offer {
    /// Whether an answer by MD5 is taken.
    #[must_use]
    pub fn takes_md5(self) -> bool {
        match self {
            Self::Md5 | Self::Both | Self::Sha256First => true,
            Self::Sha256 => false,
            Self::These(list) => list.contains(&Some(Algorithm::Md5)),
        }
    }
}

/// One request at the gate.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Values of all Authorization (Proxy-Authorization) fields.
    pub values: &'a [&'a str],
    /// The method.
    pub method: &'a str,
    /// The request target as written.
    pub uri: &'a str,
    /// The body, for `auth-int`.
    pub body: &'a [u8],
    /// The peer, for the log.
    pub peer: IpAddr,
    /// The front's stack.
    pub stack: Stack,
    /// The domain whose realm is asked for; one of ours.
    pub domain: &'a str,
    /// Who the request says it is from, if it says so: decides what is offered first.
    pub claimed: Option<&'a Address>,
    /// What may be offered.
    pub offer: Offer,
    /// Now.
    pub now: Time,
}

/// What the gate says.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Proved.
    Granted(Granted),
    /// Ask (again): one header per value, in this order.
    Challenge {
        /// Values for WWW-Authenticate or Proxy-Authenticate.
        values: Vec<String>,
        /// The answer was right, only its nonce was not.
        stale: bool,
        /// Why what came was not enough; `None` if nothing came.
        cause: Option<Cause>,
    },
    /// Asking again would not help: malformed credentials (400), a suspended account (403), a
    /// directory that does not answer (503).
    Refused(Cause),
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Granted {
    /// As commands need it.
    pub caller: Caller,
    /// The account.
    pub account: Arc<Account>,
    /// A value for WWW-Authenticate that goes with the success (the end of Negotiate).
    pub answer: Option<String>,
    /// The machine it came from, where the proof names it (NTLM).
    pub machine: Option<Arc<str>>,
}

/// What the gate counts.
#[derive(Debug, Default)]
pub struct GateStats {
    /// Requests let in.
    pub granted: Counter,
    /// Challenges to requests without credentials.
    pub asked: Counter,
    /// Right answers under a nonce that was too old or used up.
    pub stale: Counter,
    /// Everything else.
    pub refused: Counter,
    /// Claimed senders that were not the caller.
    pub spoofed: Counter,
}

/// The gate. Shared by all fronts.
pub struct Gate {
    accounts: Arc<dyn Accounts>,
    secrets: Arc<Secrets>,
    settings: GateSettings,
    nonces: Mutex<Nonces>,
    salt: AtomicU32,
    /// Whose clients have used SHA-256.
    modern: modern::Modern,
    refusals: Mutex<Refusals>,
    stats: GateStats,
    judge: Judge,
    kerberos: Option<Kerberos>,
}

impl Gate {
    /// A gate before these accounts.
    pub fn new(
        accounts: Arc<dyn Accounts>,
        secrets: Arc<Secrets>,
        settings: GateSettings,
        now: Time,
    ) -> Self {
        Self {
            nonces: Mutex::new(Nonces::new(secrets.nonce_secret(), settings.nonces, now.0)),
            accounts,
            secrets,
            settings,
            salt: AtomicU32::new(0),
            modern: modern::Modern::default(),
            refusals: Mutex::default(),
            stats: GateStats::default(),
            judge: Judge::Local,
            kerberos: None,
        }
    }

    /// With another judge of NTLM proofs than the passwords kept here.
    #[must_use]
    pub fn with_judge(mut self, judge: Judge) -> Self {
        self.judge = judge;
        self
    }

    /// The realm of a domain.
    pub fn realm<'a>(&'a self, domain: &'a str) -> &'a str {
        self.settings
            .realms
            .get(domain)
            .map_or(domain, String::as_str)
    }

    /// A key for one purpose, the same after a restart: from the secret of nonces.
    pub fn key(&self, purpose: &str) -> [u8; 32] {
        auth::seal::mark(&self.secrets.nonce_secret(), purpose, &[])
    }

    /// Counters.
    pub fn stats(&self) -> &GateStats {
        &self.stats
    }

    /// The last refusals for an address, newest first (`explain`).
    pub fn refusals(&self, address: &Address) -> Vec<Refusal> {
        self.refusals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .of(&address.to_string())
    }

    /// Judges one request.
    pub fn check(&self, attempt: &Attempt<'_>) -> Decision {
        let Some(found) = self.pick(attempt) else {
            self.stats.asked.add(1);
            return self.challenge(attempt, false, None);
        };
        let credentials = match found {
            Ok(credentials) => credentials,
            Err(cause) => return self.refuse(attempt, "", cause),
        };
        let (verdict, account) = self.judge(attempt, &credentials);
        match (verdict, account) {
            (Verdict::Valid, Some(account)) => {
                self.stats.granted.add(1);
                Decision::Granted(Granted {
                    caller: Caller {
                        address: account.address.clone(),
                        person: Some(account.person),
                        scheme: Scheme::Digest,
                        route: Route::Point(attempt.stack),
                    },
                    account,
                    answer: None,
                    machine: None,
                })
            }
            (Verdict::Stale(cause), _) => {
                self.stats.stale.add(1);
                tracing::debug!(peer = %attempt.peer, user = %credentials.username, %cause, "nonce renewed");
                self.challenge(attempt, true, Some(cause.into()))
            }
            (Verdict::Refused(cause), _) => self.refuse(attempt, &credentials.username, cause),
            (Verdict::Valid, None) => {
                self.refuse(attempt, &credentials.username, Fault::UnknownUser)
            }
        }
    }

    /// Compares the sender that a request claims with the caller (`decisions.md` 8). The result
    /// is the address to write: an alias stays the alias the client used.
    ///
    /// # Errors
    /// [`Error::Spoofed`].
    pub fn bind(&self, caller: &Caller, claimed: Option<&Address>) -> Result<Address, Error> {
        let Some(claimed) = claimed.filter(|claimed| **claimed != caller.address) else {
            return Ok(caller.address.clone());
        };
        if let Resolution::Local(account) = self.accounts.directory().resolve(claimed)
            && Some(account.person) == caller.person
        {
            return Ok(claimed.clone());
        }
        self.stats.spoofed.add(1);
        tracing::info!(caller = %caller.address, %claimed, "refused: the sender named is not the caller");
        Err(Error::Spoofed)
    }

    /// The Digest value for one of our realms, among all that came; `None` if there is none.
    fn pick<'a>(&self, attempt: &Attempt<'a>) -> Option<Result<Credentials<'a>, Fault>> {
        let mut fault = None;
        for value in attempt.values {
            match Credentials::parse(value) {
                Ok(credentials) if self.domain_of(&credentials.realm).is_some() => {
                    return Some(Ok(credentials));
                }
                Ok(_) => fault = fault.or(Some(Fault::WrongRealm)),
                // Another scheme than Digest proves nothing here; ask for Digest.
                Err(auth::digest::Malformed::Scheme) => {}
                Err(malformed) => fault = Some(Fault::Malformed(malformed)),
            }
        }
        fault.map(Err)
    }

    fn domain_of(&self, realm: &str) -> Option<&str> {
        let domains = self.accounts.directory().domains();
        domains
            .iter()
            .map(String::as_str)
            .find(|domain| self.realm(domain) == realm)
    }

    fn judge(
        &self,
        attempt: &Attempt<'_>,
        credentials: &Credentials<'_>,
    ) -> (Verdict, Option<Arc<Account>>) {
        let refused = |cause| (Verdict::Refused(cause), None);
        let realm = &*credentials.realm;
        let account = self
            .domain_of(realm)
            .and_then(|domain| self.account(&credentials.username, domain));
        let age = self
            .nonces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .judge(&credentials.nonce, realm, attempt.now.0);
        // The digest is computed before anything else is looked at, and for an unknown user as
        // well, so that neither answer nor time tells users from strangers.
        let proved = self.proved(attempt, credentials, account.as_deref());
        let Some(account) = account else {
            return refused(Fault::UnknownUser);
        };
        if matches!(age, Err(Fault::ForgedNonce)) {
            // A right answer to a nonce that we do not know: a client that kept one from another
            // installation may go on with a fresh one.
            let verdict = match proved {
                Ok(()) => Verdict::Stale(Fault::ForgedNonce),
                Err(_) => Verdict::Refused(Fault::ForgedNonce),
            };
            return (verdict, Some(account));
        }
        if let Err(cause) = proved {
            return refused(cause);
        }
        if let Some(cause) = self.unfit(attempt, credentials, &account) {
            return refused(cause);
        }
        let recorded = age.and_then(|mint| {
            self.nonces
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .record(mint, account.person.0, credentials.count())
        });
        match recorded {
            Ok(()) => {
                if credentials.algorithm.base() != Algorithm::Md5 {
                    self.modern.remember(account.person.0);
                }
                (Verdict::Valid, Some(account))
            }
            Err(cause) => (Verdict::Stale(cause), Some(account)),
        }
    }

    fn proved(
        &self,
        attempt: &Attempt<'_>,
        credentials: &Credentials<'_>,
        account: Option<&Account>,
    ) -> Result<(), Fault> {
        let exchange = Exchange {
            method: attempt.method,
            body: attempt.body,
        };
        let algorithm = credentials.algorithm;
        let Some(account) = account else {
            let nobody = auth::digest::ha1(algorithm, &credentials.username, "", "");
            let _ = credentials.proves(&nobody, &exchange);
            return Err(Fault::UnknownUser);
        };
        let ha1 = |user: &str| {
            self.secrets
                .ha1(account, algorithm, user, &credentials.realm)
        };
        let first = ha1(&credentials.username);
        if first.is_some_and(|ha1| credentials.proves(&ha1, &exchange)) {
            return Ok(());
        }
        // COMPAT(Windows): some hash the name with its backslash still doubled.
        let raw = credentials.username_raw;
        if raw != credentials.username
            && ha1(raw).is_some_and(|ha1| credentials.proves(&ha1, &exchange))
        {
            return Ok(());
        }
        Err(if first.is_some() {
            Fault::WrongResponse
        } else {
            Fault::NoSecret
        })
    }

    /// What is wrong with an answer that proves the password.
    fn unfit(
        &self,
        attempt: &Attempt<'_>,
        credentials: &Credentials<'_>,
        account: &Account,
    ) -> Option<Fault> {
        if account.suspended {
            return Some(Fault::Suspended);
        }
        if !uri_agrees(&credentials.uri, attempt.uri) {
            return Some(Fault::Uri);
        }
        let weak = credentials.algorithm.base() == Algorithm::Md5;
        if weak && !attempt.offer.takes_md5() {
            return Some(Fault::Algorithm);
        }
        if self.settings.strict_digest {
            if credentials.qop.is_none() {
                return Some(Fault::Qop);
            }
            if weak && self.modern.knows(account.person.0) {
                return Some(Fault::Algorithm);
            }
        }
        None
    }

    fn refuse(&self, attempt: &Attempt<'_>, user: &str, cause: Fault) -> Decision {
        let cause = Cause::from(cause);
        let address = self.address(user, attempt.domain);
        self.note_refusal(attempt, user, address, cause.clone());
        if cause.is_final() {
            Decision::Refused(cause)
        } else {
            self.challenge(attempt, false, Some(cause))
        }
    }

    /// One log line and one entry for `explain`; `user` as the client wrote it.
    fn note_refusal(
        &self,
        attempt: &Attempt<'_>,
        user: &str,
        address: Option<Address>,
        cause: Cause,
    ) {
        self.stats.refused.add(1);
        tracing::info!(
            stack = %attempt.stack, peer = %attempt.peer, method = attempt.method, user, %cause,
            "authentication refused"
        );
        if let Some(address) = address.or_else(|| attempt.claimed.cloned()) {
            self.note(
                &address,
                Refusal {
                    at: attempt.now,
                    peer: attempt.peer,
                    stack: attempt.stack,
                    cause,
                },
            );
        }
    }

    /// Remembers a refusal for [`Gate::refusals`]: the gate's own, and those that a front decides
    /// and logs itself (a wrong host, an unknown alias, policy).
    pub fn note(&self, address: &Address, refusal: Refusal) {
        self.refusals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .note(address.to_string(), refusal);
    }

    fn challenge(&self, attempt: &Attempt<'_>, stale: bool, cause: Option<Cause>) -> Decision {
        let realm = self.realm(attempt.domain);
        let salt = self.salt.fetch_add(1, Ordering::Relaxed);
        let nonce = self
            .nonces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .mint(attempt.now.0, salt, realm);
        let ask = |algorithm| Challenge::ask(realm, nonce.clone(), algorithm, stale).write();
        let values = match attempt.offer {
            Offer::Md5 => vec![ask(Algorithm::Md5)],
            Offer::Both if self.claims_modern(attempt.claimed) => {
                if self.settings.strict_digest {
                    vec![ask(Algorithm::Sha256)]
                } else {
                    vec![ask(Algorithm::Sha256), ask(Algorithm::Md5)]
                }
            }
            Offer::Both => vec![ask(Algorithm::Md5), ask(Algorithm::Sha256)],
            Offer::Sha256First => vec![ask(Algorithm::Sha256), ask(Algorithm::Md5)],
            Offer::Sha256 => vec![ask(Algorithm::Sha256)],
            Offer::These(list) => list.into_iter().flatten().map(ask).collect(),
        };
        Decision::Challenge {
            values,
            stale,
            cause,
        }
    }

    fn claims_modern(&self, claimed: Option<&Address>) -> bool {
        let Some(address) = claimed else {
            return false;
        };
        match self.accounts.directory().resolve(address) {
            Resolution::Local(account) => self.modern.knows(account.person.0),
            Resolution::UnknownUser => {
                let accounts = self.accounts.directory().len();
                self.modern.pretends(address, accounts)
            }
            Resolution::Foreign => false,
        }
    }

    fn account(&self, user: &str, domain: &str) -> Option<Arc<Account>> {
        let address = self.address(user, domain)?;
        match self.accounts.directory().resolve(&address) {
            Resolution::Local(account) => Some(account),
            Resolution::UnknownUser | Resolution::Foreign => None,
        }
    }

    fn address(&self, user: &str, domain: &str) -> Option<Address> {
        names::address(user, domain, &self.settings.netbios)
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
