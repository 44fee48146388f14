//! Whom to believe: a request that speaks for somebody at another server (`rvp.md` 6).

use super::Peers;
use crate::core::access::Scheme;
use crate::core::address::Address;
use crate::core::command::{Caller, Route};
use crate::core::id::PersonId;
use crate::front::RVP;
use crate::gate::{Attempt, Decision, Gate, On, Shared};
use crate::hub::Resolution;
use crate::net::Identities;
use rvp::Principal;
use std::net::IpAddr;

/// Whom a request speaks for.
pub(in super::super) struct Claim<'a> {
    pub(in super::super) principal: &'a Principal,
    /// Our address that it came to.
    pub(in super::super) local: IpAddr,
    /// Whom the certificate of the connection speaks for.
    pub(in super::super) shown: Option<&'a Identities>,
}

/// What is thought of a claim.
pub(in super::super) enum Vouch {
    /// Nobody's business here: the gate decides.
    Stranger,
    /// A server that may speak for this person, and what the answer has to carry.
    Peer(Caller, Option<String>),
    /// It has to prove itself.
    Ask(Decision),
    /// It may not speak for that person.
    Spoofed(Address),
}

impl Peers {
    /// Judges who speaks. Servers are believed by address, by certificate or by shared credentials, and only for
    /// people of the domains that they are configured for.
    pub(in super::super) async fn vouch(
        &self,
        gate: &Gate,
        attempt: &Attempt<'_>,
        on: &On<'_>,
        who: &Claim<'_>,
    ) -> Vouch {
        let ours = self.names.claimed(who.principal, Some(who.local));
        let is_ours = ours.is_some();
        let Some(address) = ours.or_else(|| self.routes.claimed(who.principal)) else {
            return Vouch::Stranger;
        };
        let domain = address.domain();
        let (pairs, schemes) = self.routes.shared_of(domain);
        let on = On {
            // For our own people a server is asked as they are, since nobody knows yet which it is.
            schemes: if is_ours { on.schemes } else { &schemes },
            servers: &pairs,
            ..*on
        };
        match gate.check_shared(attempt, &on, !is_ours).await {
            Shared::Proved(answer) => return Vouch::Peer(self.caller(address), answer),
            Shared::Not(decision) => return Vouch::Ask(decision),
            Shared::NotNamed => {}
        }
        // One of our own people at the address of a trusted server proves himself as usual.
        let proves_himself = is_ours && !attempt.values.is_empty();
        if !proves_himself && self.routes.trusts(domain, attempt.peer, who.shown) {
            return Vouch::Peer(self.caller(address), None);
        }
        if is_ours {
            Vouch::Stranger
        } else if pairs.is_empty() {
            Vouch::Spoofed(address)
        } else {
            if !attempt.values.is_empty() {
                let peer = attempt.peer;
                tracing::info!(%peer, domain, "server refused: its credentials name no shared account of that domain");
            }
            Vouch::Ask(gate.ask(attempt, &on))
        }
    }

    fn caller(&self, address: Address) -> Caller {
        let person = self.person(&address);
        Caller {
            address,
            person,
            scheme: Scheme::Peer,
            route: Route::Peer(RVP),
        }
    }

    /// Somebody of our own domains: he has the rights of local people wherever he is held.
    fn person(&self, address: &Address) -> Option<PersonId> {
        match self.hub.directory().resolve(address) {
            Resolution::Local(account) => Some(account.person),
            Resolution::UnknownUser if self.is_elsewhere(address) => self
                .hub
                .directory()
                .guest(address)
                .map(|guest| guest.person),
            Resolution::UnknownUser | Resolution::Foreign => None,
        }
    }

    /// The person whose conversation a message from another server belongs to: replies find it.
    pub(in super::super) fn sender(&self, caller: &Caller) -> Option<PersonId> {
        if caller.person.is_some() {
            return caller.person;
        }
        self.route(&caller.address)?;
        let guest = self.stand_ins.stand(&caller.address, None)?;
        Some(guest.person)
    }

    /// Most servers that a NOTIFY of this caller may have passed.
    pub(in super::super) fn max_hops(&self, caller: &Caller) -> u32 {
        self.routes.max_hops(caller.address.domain())
    }
}
