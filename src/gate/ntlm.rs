//! Authentication of connections over HTTP (MS-NTHT, RFC 4559), and NTLM's three legs.
//!
//! First message -> 401 with the challenge; last message -> verdict. From then on requests of that
//! connection need no credentials; other credentials on it start afresh.

use super::judge::{Judge, NoVerdict, Question};
use super::link::{Asked, Known, On, State, Step, Whose, Wrap};
use super::{Attempt, Cause, Decision, Fault, Gate, Granted, names, shared};
use crate::config::Scheme as Offered;
use crate::core::access::Scheme;
use crate::core::address::Address;
use crate::core::command::{Caller, Route};
use crate::core::port::Account;
use crate::core::time::Time;
use crate::hub::Resolution;
use auth::ntlm::{Acceptor, Exchange, Identity, Policy, Proof, Refusal, Strength};
use auth::spnego::{self, Mechanism, Token};
use auth::{digest, ntlm};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;

/// Milliseconds from 1601 to 1970: Windows file times start there.
const EPOCHS_APART: u64 = 11_644_473_600_000;

/// What a request carries.
pub(super) enum Carried<'a> {
    Nothing,
    Digest,
    Token(Offered, &'a str),
    /// A scheme that is not offered here, or none we know.
    Foreign(String),
}

/// A leg that failed, and whose it was if that is known.
pub(super) struct Failed {
    pub(super) user: Identity,
    pub(super) cause: Cause,
}

impl<C: Into<Cause>> From<C> for Failed {
    fn from(cause: C) -> Self {
        Self {
            user: Identity::default(),
            cause: cause.into(),
        }
    }
}

/// What a leg leads to.
pub(super) enum Leg {
    /// 401 with this token.
    Ask(Vec<u8>),
    /// Authenticated, with this last token.
    Done(Known, Option<Vec<u8>>),
}

impl Gate {
    /// Judges one request of a connection that may authenticate as a whole.
    pub async fn check_on(&self, attempt: &Attempt<'_>, on: &On<'_>) -> Decision {
        match carried(attempt.values, on.schemes) {
            Carried::Nothing => self.known(attempt, on),
            Carried::Digest => {
                // Other credentials end what the connection had proved.
                on.link.take();
                Self::offer(self.check(attempt), on)
            }
            Carried::Token(scheme, text) => {
                if on.relayed {
                    on.link.take();
                    return self.refused(attempt, on, &Identity::default(), Cause::Relayed);
                }
                match self.leg(attempt, on, scheme, text).await {
                    Ok(Leg::Ask(token)) => {
                        self.stats.asked.add(1);
                        Decision::Challenge {
                            values: vec![value(scheme, &token)],
                            stale: false,
                            cause: None,
                        }
                    }
                    Ok(Leg::Done(known, token)) => {
                        self.stats.granted.add(1);
                        on.link.put(State::Known(known.clone()));
                        let token = token.map(|token| value(scheme, &token));
                        self.granted(attempt, on, known, token)
                    }
                    Err(failed) => self.refused(attempt, on, &failed.user, failed.cause),
                }
            }
            Carried::Foreign(name) => {
                on.link.take();
                self.refused(attempt, on, &Identity::default(), Cause::NotOffered(name))
            }
        }
    }

    /// A request without credentials: whose the connection is, or a challenge.
    fn known(&self, attempt: &Attempt<'_>, on: &On<'_>) -> Decision {
        let nobody = Identity::default();
        let Some(State::Known(known)) = on.link.take() else {
            let challenge = self.challenge(attempt, false, None);
            self.stats.asked.add(1);
            return Self::offer(challenge, on);
        };
        if on.relayed {
            return self.refused(attempt, on, &nobody, Cause::Relayed);
        }
        if known.until.is_some_and(|until| attempt.now >= until) {
            return self.refused(attempt, on, &nobody, Cause::Ended);
        }
        let Whose::Account(account) = &known.whose else {
            // A server's connection is nobody's who comes without its name.
            let challenge = self.challenge(attempt, false, None);
            return Self::offer(challenge, on);
        };
        // A removed account, a new password: the connection proved something that is no more.
        let now = match self.accounts.directory().resolve(&account.address) {
            Resolution::Local(now) => Some(now),
            Resolution::UnknownUser | Resolution::Foreign => None,
        };
        let same = |now: &Arc<Account>| {
            now.person == account.person && now.secret == account.secret && !now.suspended
        };
        let Some(now) = now.filter(same) else {
            return self.refused(attempt, on, &nobody, Cause::Changed);
        };
        let known = Known {
            whose: Whose::Account(now),
            ..known
        };
        on.link.put(State::Known(known.clone()));
        self.stats.granted.add(1);
        self.granted(attempt, on, known, None)
    }

    /// One message of an exchange, and what it leads to.
    pub(super) async fn leg(
        &self,
        attempt: &Attempt<'_>,
        on: &On<'_>,
        scheme: Offered,
        text: &str,
    ) -> Result<Leg, Failed> {
        let before = on.link.take();
        let asked = match before {
            Some(State::Asked(asked)) if asked.scheme == scheme => Some(asked),
            _ => None,
        };
        let octets = STANDARD
            .decode(text)
            .map_err(|_| Cause::Token(name(scheme)))?;
        if scheme == Offered::Ntlm {
            return self.bare(attempt, on, scheme, &octets, asked).await;
        }
        match spnego::parse(&octets).map_err(|_| Cause::Token("Negotiate"))? {
            Token::Bare(Mechanism::Ntlm, octets) => {
                self.bare(attempt, on, scheme, &octets, asked).await
            }
            // COMPAT(old Mozilla): a ticket without SPNEGO round it.
            Token::Bare(Mechanism::Kerberos | Mechanism::WindowsKerberos, octets) => {
                let shown = self.ticket(attempt, on, octets).await?;
                Ok(Leg::Done(shown.known, shown.answer))
            }
            Token::Init(init) => self.first(attempt, on, init).await,
            Token::Continue(further) => {
                let asked = asked.ok_or(Cause::NotChallenged)?;
                self.further(attempt, on, further, asked).await
            }
        }
    }

    /// NTLM without wrapping, under either name.
    async fn bare(
        &self,
        attempt: &Attempt<'_>,
        on: &On<'_>,
        scheme: Offered,
        octets: &[u8],
        asked: Option<Asked>,
    ) -> Result<Leg, Failed> {
        if ntlm::message_type(octets) == Some(1) {
            let exchange = self.exchange(attempt, octets)?;
            let token = exchange.message().to_vec();
            on.link.put(State::Asked(Asked {
                scheme,
                wrap: Wrap::Bare,
                step: Step::Challenged(exchange),
            }));
            return Ok(Leg::Ask(token));
        }
        let Some(Asked {
            wrap: Wrap::Bare,
            step: Step::Challenged(exchange),
            ..
        }) = asked
        else {
            return Err(not_challenged(octets));
        };
        let (known, _) = self.prove(attempt, on, exchange, octets).await?;
        Ok(Leg::Done(known, None))
    }

    pub(super) fn exchange(
        &self,
        attempt: &Attempt<'_>,
        negotiate: &[u8],
    ) -> Result<Exchange, Cause> {
        if ntlm::message_type(negotiate) == Some(3) {
            return Err(Cause::NotChallenged);
        }
        let mut challenge = [0; 8];
        getrandom::fill(&mut challenge).map_err(|_| Cause::Randomness)?;
        let weak = self.settings.weak_ntlm.iter();
        let weakest = if weak.into_iter().any(|n| n.contains(attempt.peer)) {
            Strength::V1
        } else {
            Strength::V2
        };
        let domain = self.netbios_of(attempt.domain);
        let acceptor = Acceptor::new(&domain, &self.settings.host, Policy { weakest });
        let now = file_time(attempt.now);
        Ok(acceptor.challenge(negotiate, challenge, now)?)
    }

    /// The last leg: whose proof it is and whether it holds.
    pub(super) async fn prove(
        &self,
        attempt: &Attempt<'_>,
        on: &On<'_>,
        exchange: Exchange,
        octets: &[u8],
    ) -> Result<(Known, ntlm::Verdict), Failed> {
        let binding = on.certificate.map(ntlm::end_point_binding);
        let proof = exchange.authenticate(octets, binding)?;
        let user = proof.identity().clone();
        let failed = |cause| Failed {
            user: user.clone(),
            cause,
        };
        if !on.servers.is_empty() {
            return shared::prove(on, proof);
        }
        let account = self.account_of(&user, attempt.domain);
        let verdict = match &self.judge {
            Judge::Local => self.prove_here(proof, account.as_deref()),
            Judge::Directory(directory) => match directory.judge(question(&proof)).await {
                Ok(base) => proof.conclude(base).map_err(Cause::from),
                Err(NoVerdict::Refused(why)) => Err(said(why)),
                Err(NoVerdict::Unavailable(why)) => Err(Cause::Unavailable(why)),
            },
        };
        let verdict = verdict.map_err(failed)?;
        // Only now: before the proof nobody learns who exists.
        let account = account.ok_or_else(|| failed(Fault::UnknownUser.into()))?;
        if account.suspended {
            return Err(failed(Fault::Suspended.into()));
        }
        let known = Known {
            whose: Whose::Account(account),
            scheme: Scheme::Ntlm,
            until: None,
            machine: machine(&user),
        };
        Ok((known, verdict))
    }

    fn granted(
        &self,
        attempt: &Attempt<'_>,
        on: &On<'_>,
        known: Known,
        answer: Option<String>,
    ) -> Decision {
        let Whose::Account(account) = known.whose else {
            return Self::offer(self.challenge(attempt, false, None), on);
        };
        Decision::Granted(Granted {
            caller: Caller {
                address: account.address.clone(),
                person: Some(account.person),
                scheme: known.scheme,
                route: Route::Point(attempt.stack),
            },
            account,
            answer,
            machine: known.machine,
        })
    }

    fn prove_here(&self, proof: Proof, account: Option<&Account>) -> Result<ntlm::Verdict, Cause> {
        let hash = account.and_then(|account| self.secrets.nt_hash(account));
        proof.verify(hash).map_err(|refusal| match (account, hash) {
            (None, _) => Fault::UnknownUser.into(),
            (Some(_), None) => Fault::NoSecret.into(),
            (Some(_), Some(_)) if refusal == Refusal::BadProof => Cause::WrongPassword,
            _ => refusal.into(),
        })
    }

    fn account_of(&self, user: &Identity, domain: &str) -> Option<Arc<Account>> {
        let address = self.address_of(user, domain)?;
        match self.accounts.directory().resolve(&address) {
            Resolution::Local(account) => Some(account),
            Resolution::UnknownUser | Resolution::Foreign => None,
        }
    }

    /// The address behind an NTLM identity, by the same tables as Digest names (`decisions.md` 2).
    fn address_of(&self, user: &Identity, domain: &str) -> Option<Address> {
        let whole = user.user.contains(['@', '\\']);
        if whole || user.domain.is_empty() {
            return self.address(&user.user, domain);
        }
        // COMPAT(Windows 2000 and later): the DNS name of the domain instead of the NetBIOS one.
        let ours = self.accounts.directory().domains().iter();
        let named = ours
            .map(String::as_str)
            .find(|ours| ours.eq_ignore_ascii_case(&user.domain));
        if let Some(domain) = named {
            return Address::new(&user.user, domain).ok();
        }
        let text = format!("{}\\{}", user.domain, user.user);
        names::address(&text, domain, &self.settings.netbios)
    }

    /// The NetBIOS name of one of our domains: as configured, else its first label.
    fn netbios_of(&self, domain: &str) -> String {
        let mut names: Vec<&str> = self
            .settings
            .netbios
            .iter()
            .filter(|(_, stands_for)| *stands_for == domain)
            .map(|(name, _)| name.as_str())
            .collect();
        names.sort_unstable();
        let own = names.first().copied();
        let label = own.unwrap_or_else(|| domain.split('.').next().unwrap_or(domain));
        label.chars().take(15).collect()
    }

    pub(super) fn refused(
        &self,
        attempt: &Attempt<'_>,
        on: &On<'_>,
        user: &Identity,
        cause: Cause,
    ) -> Decision {
        let shown = match user.domain.as_str() {
            "" => user.user.clone(),
            domain => format!("{domain}\\{}", user.user),
        };
        let address = self
            .address_of(user, attempt.domain)
            .filter(|_| !user.user.is_empty());
        self.note_refusal(attempt, &shown, address, cause.clone());
        if cause.is_final() {
            return Decision::Refused(cause);
        }
        Self::offer(self.challenge(attempt, false, Some(cause)), on)
    }

    /// Puts the schemes of this connection into a challenge that has Digest's values alone.
    pub(super) fn offer(decision: Decision, on: &On<'_>) -> Decision {
        let Decision::Challenge {
            values: digest,
            stale,
            cause,
        } = decision
        else {
            return decision;
        };
        let mut values = Vec::with_capacity(on.schemes.len() + digest.len());
        for scheme in on.schemes {
            match scheme {
                Offered::Digest => values.extend(digest.iter().cloned()),
                Offered::Negotiate | Offered::Ntlm if on.relayed => {}
                Offered::Negotiate | Offered::Ntlm => values.push(name(*scheme).to_owned()),
            }
        }
        Decision::Challenge {
            values,
            stale,
            cause,
        }
    }
}

/// The first value of a scheme that is offered.
pub(super) fn carried<'a>(values: &[&'a str], schemes: &[Offered]) -> Carried<'a> {
    let mut foreign = None;
    for text in values {
        let (word, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let known = [Offered::Negotiate, Offered::Ntlm, Offered::Digest]
            .into_iter()
            .find(|scheme| name(*scheme).eq_ignore_ascii_case(word));
        match known.filter(|scheme| schemes.contains(scheme)) {
            Some(Offered::Digest) => return Carried::Digest,
            Some(scheme) => return Carried::Token(scheme, rest.trim()),
            None => {
                foreign.get_or_insert_with(|| word.chars().take(32).collect());
            }
        }
    }
    foreign.map_or(Carried::Nothing, Carried::Foreign)
}

fn name(scheme: Offered) -> &'static str {
    match scheme {
        Offered::Negotiate => "Negotiate",
        Offered::Ntlm => "NTLM",
        Offered::Digest => "Digest",
    }
}

pub(super) fn value(scheme: Offered, token: &[u8]) -> String {
    format!("{} {}", name(scheme), STANDARD.encode(token))
}

/// The machine as it names itself.
fn machine(user: &Identity) -> Option<Arc<str>> {
    let name = user.workstation.trim();
    // What has a colon would pass for an instance.
    let plain = !name.is_empty() && name.len() <= 64 && !name.contains([':', '\\']);
    plain.then(|| name.into())
}

/// What is no first message and was not asked for.
fn not_challenged(octets: &[u8]) -> Failed {
    if ntlm::message_type(octets) == Some(3) {
        Cause::NotChallenged.into()
    } else {
        Refusal::Malformed.into()
    }
}

fn question(proof: &Proof) -> Question {
    let identity = proof.identity();
    Question {
        user: identity.user.clone(),
        domain: identity.domain.clone(),
        workstation: identity.workstation.clone(),
        challenge: proof.server_challenge(),
        nt_response: proof.nt_response().to_vec(),
        lm_response: proof.lm_response().to_vec(),
    }
}

/// The cause behind a directory's words: NTSTATUS names, or the texts Samba has for them.
fn said(why: String) -> Cause {
    let lower = why.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if has(&["date difference", "time_difference"]) {
        Cause::Clock(why)
    } else if has(&[
        "current password is not correct",
        "wrong_password",
        "logon_failure",
    ]) {
        Cause::WrongPassword
    } else if has(&["account does not exist", "no_such_user"]) {
        Cause::Digest(digest::Cause::UnknownUser)
    } else {
        Cause::Directory(why)
    }
}

/// Windows file time: 100 ns since 1601.
fn file_time(now: Time) -> u64 {
    now.0.saturating_add(EPOCHS_APART).saturating_mul(10_000)
}

#[cfg(test)]
#[path = "ntlm_tests.rs"]
pub(super) mod tests;
