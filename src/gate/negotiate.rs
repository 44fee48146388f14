//! Negotiate (RFC 4178 over RFC 4559): agreeing on a mechanism, and what is wrapped in it.
//!
//! The client's order decides among the mechanisms spoken here. Whenever its first choice is not
//! taken, both sides prove by a code over the list that nobody shortened it on the way.

use super::kerberos::Shown;
use super::link::{Asked, On, State, Step, Wrap};
use super::ntlm::{Failed, Leg};
use super::{Attempt, Cause, Gate};
use crate::config::Scheme as Offered;
use auth::ntlm::{Exchange, Session, Side};
use auth::spnego::{self, Mechanism};

impl Gate {
    /// The first mechanism of the client's list that is spoken here, and its place.
    fn choose(
        &self,
        attempt: &Attempt<'_>,
        on: &On<'_>,
        init: &spnego::Init,
    ) -> Option<(usize, Mechanism)> {
        // Tickets are people's: another server shares a password with us.
        let tickets = self.kerberos.is_some() && on.servers.is_empty();
        let spoken = |mechanism: Mechanism| !mechanism.is_kerberos() || tickets;
        let mut offered = init.offered.iter().copied();
        let chosen = offered.find(|(_, mechanism)| spoken(*mechanism))?;
        if !chosen.1.is_kerberos()
            && init
                .offered
                .iter()
                .any(|(at, m)| m.is_kerberos() && *at < chosen.0)
        {
            self.kerberos_passed_over(attempt);
        }
        Some(chosen)
    }

    /// The first SPNEGO token.
    pub(super) async fn first(
        &self,
        attempt: &Attempt<'_>,
        on: &On<'_>,
        init: spnego::Init,
    ) -> Result<Leg, Failed> {
        let (place, mechanism) = self.choose(attempt, on, &init).ok_or(Cause::Mechanism)?;
        let first = place == 0;
        // The token, if there is one, is of the client's first choice.
        let token = init.token.filter(|_| first);
        let (step, answered) = match (mechanism.is_kerberos(), token) {
            (true, Some(token)) => {
                let shown = self.ticket(attempt, on, token).await?;
                let answer = shown.answer.as_deref();
                let done = spnego::answer(spnego::State::Completed, Some(mechanism), answer, None);
                return Ok(Leg::Done(shown.known, Some(done)));
            }
            (true, None) => (Step::Ticket, None),
            (false, Some(token)) => {
                let exchange = self.exchange(attempt, &token)?;
                let challenge = exchange.message().to_vec();
                (Step::Challenged(exchange), Some(challenge))
            }
            (false, None) => (Step::Agreed, None),
        };
        let state = if first {
            spnego::State::Incomplete
        } else {
            spnego::State::RequestIntegrity
        };
        let answer = spnego::answer(state, Some(mechanism), answered.as_deref(), None);
        let list = init.list;
        ask(on, Wrap::Spnego { list, first }, step);
        Ok(Leg::Ask(answer))
    }

    /// A further SPNEGO token.
    pub(super) async fn further(
        &self,
        attempt: &Attempt<'_>,
        on: &On<'_>,
        further: spnego::Continue,
        asked: Asked,
    ) -> Result<Leg, Failed> {
        let Wrap::Spnego { list, first } = asked.wrap else {
            return Err(Cause::NotChallenged.into());
        };
        let no_token = Cause::Token("Negotiate");
        match asked.step {
            Step::Agreed => {
                let exchange = self.exchange(attempt, &further.token.ok_or(no_token)?)?;
                let challenge = Some(exchange.message());
                let answer = spnego::answer(spnego::State::Incomplete, None, challenge, None);
                let step = Step::Challenged(exchange);
                ask(on, Wrap::Spnego { list, first }, step);
                Ok(Leg::Ask(answer))
            }
            Step::Challenged(exchange) => {
                let token = further.token.ok_or(no_token)?;
                let list = (list.as_slice(), first);
                let code = further.integrity.as_deref();
                self.last_ntlm(attempt, on, exchange, &token, code, list)
                    .await
            }
            Step::Ticket => {
                let shown = self
                    .ticket(attempt, on, further.token.ok_or(no_token)?)
                    .await?;
                let code = further.integrity.as_deref();
                sealed(on, shown, list, first, code)
            }
            Step::Sealed(known, mut codes) => {
                let code = further.integrity.unwrap_or_default();
                if !codes.verify(&list, &code) {
                    return Err(Cause::ListIntegrity.into());
                }
                let answer = spnego::answer(spnego::State::Completed, None, None, None);
                Ok(Leg::Done(known, Some(answer)))
            }
        }
    }

    /// The last NTLM message, and the codes over the list.
    async fn last_ntlm(
        &self,
        attempt: &Attempt<'_>,
        on: &On<'_>,
        exchange: Exchange,
        token: &[u8],
        code: Option<&[u8]>,
        (list, first): (&[u8], bool),
    ) -> Result<Leg, Failed> {
        let (known, verdict) = self.prove(attempt, on, exchange, token).await?;
        let failed = |cause: Cause| Failed {
            user: verdict.identity.clone(),
            cause,
        };
        let session = |side| Session::new(side, &verdict.session_key, verdict.flags);
        let ours = match (code, session(Side::Client)) {
            (Some(code), Some(mut client)) => {
                if !client.verify(list, code) {
                    return Err(failed(Cause::ListIntegrity));
                }
                session(Side::Server).map(|mut server| server.sign(list))
            }
            // Without it anybody on the way could have taken a better mechanism off the list.
            _ if !first => return Err(failed(Cause::ListIntegrity)),
            _ => None,
        };
        let ours = ours.as_ref().map(<[u8; 16]>::as_slice);
        let answer = spnego::answer(spnego::State::Completed, None, None, ours);
        Ok(Leg::Done(known, Some(answer)))
    }
}

/// A ticket that holds, of a client that had to be asked for it.
fn sealed(
    on: &On<'_>,
    mut shown: Shown,
    list: Vec<u8>,
    first: bool,
    code: Option<&[u8]>,
) -> Result<Leg, Failed> {
    let token = shown.answer.as_deref();
    if first {
        let answer = spnego::answer(spnego::State::Completed, None, token, None);
        return Ok(Leg::Done(shown.known, Some(answer)));
    }
    let ours = shown.codes.sign(&list).ok_or(Cause::ListIntegrity)?;
    let state = match code {
        // A client that wants no proof of us is through with its tokens and sends its code along.
        Some(code) if shown.codes.verify(&list, code) => spnego::State::Completed,
        Some(_) => return Err(Cause::ListIntegrity.into()),
        None => spnego::State::Incomplete,
    };
    let answer = spnego::answer(state, None, token, Some(&ours));
    if code.is_some() {
        return Ok(Leg::Done(shown.known, Some(answer)));
    }
    let step = Step::Sealed(shown.known, shown.codes);
    ask(on, Wrap::Spnego { list, first }, step);
    Ok(Leg::Ask(answer))
}

fn ask(on: &On<'_>, wrap: Wrap, step: Step) {
    let scheme = Offered::Negotiate;
    on.link.put(State::Asked(Asked { scheme, wrap, step }));
}
