//! Whom to believe: a request that speaks for somebody at another server (`rvp.md` 6).

use super::Peers;
use crate::core::access::Scheme;
use crate::core::address::Address;
use crate::core::command::{Caller, Route};
use crate::core::id::PersonId;
use crate::front::RVP;
use crate::gate::{Attempt, Decision, Gate, Shared};
use crate::hub::Resolution;
use crate::net::Identities;
use rvp::Principal;
use std::net::IpAddr;

/// What is thought of a claim.
pub(in super::super) enum Vouch {
    /// Nobody's business here: the gate decides.
    Stranger,
    /// A server that may speak for this person.
    Peer(Caller),
    /// It has to prove itself.
    Ask(Decision),
    /// It may not speak for that person.
    Spoofed(Address),
}

impl Peers {
    /// Judges who speaks. Servers are believed by address, by certificate or by shared credentials, and only for
    /// people of the domains that they are configured for.
    pub(in super::super) fn vouch(
        &self,
        gate: &Gate,
        attempt: &Attempt<'_>,
        claim: &Principal,
        local: IpAddr,
        shown: Option<&Identities>,
    ) -> Vouch {
        let ours = self.names.claimed(claim, Some(local));
        let is_ours = ours.is_some();
        let Some(address) = ours.or_else(|| self.routes.claimed(claim)) else {
            return Vouch::Stranger;
        };
        let domain = address.domain();
        let pairs: Vec<(&str, &str)> = self
            .routes
            .of_domain(domain)
            .filter_map(|known| known.shared.as_ref())
            .map(|(user, password)| (user.as_str(), password.as_str()))
            .collect();
        match gate.check_shared(attempt, &pairs) {
            Shared::Proved(_) => return Vouch::Peer(self.caller(address)),
            Shared::Not(decision) => return Vouch::Ask(decision),
            Shared::NotNamed => {}
        }
        // One of our own people at the address of a trusted server proves himself as usual.
        let proves_himself = is_ours && !attempt.values.is_empty();
        if !proves_himself && self.routes.trusts(domain, attempt.peer, shown) {
            return Vouch::Peer(self.caller(address));
        }
        if is_ours {
            Vouch::Stranger
        } else if pairs.is_empty() {
            Vouch::Spoofed(address)
        } else {
            let nobody = Attempt {
                values: &[],
                ..*attempt
            };
            Vouch::Ask(gate.check(&nobody))
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
        let guest = self.hub.directory().guest(&caller.address)?;
        self.stand(guest.person, &caller.address);
        Some(guest.person)
    }

    /// Most servers that a NOTIFY of this caller may have passed.
    pub(in super::super) fn max_hops(&self, caller: &Caller) -> u32 {
        self.routes.max_hops(caller.address.domain())
    }
}
