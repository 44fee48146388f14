//! Whom to believe: a request from a neighbouring domain's server (RFC 3325).

use super::Neighbours;
use crate::core::access::Scheme;
use crate::core::address::Address;
use crate::core::command::{Caller, Route};
use crate::front::SIP;
use crate::front::sip::front::Front;
use crate::front::sip::place::Named;
use crate::front::sip::request::Known;
use crate::gate::Granted;
use crate::hub::stranger;
use crate::net::Tls;
use sip::header::NameAddr;
use sip::{HeaderId, RawMessage};
use std::net::IpAddr;
use std::sync::Arc;

/// What is thought of who asks.
pub(in super::super) enum Vouch {
    /// No neighbour's business: he proves himself.
    Stranger,
    /// Somebody there, for whom his server speaks.
    Neighbour(Box<Known>),
    /// Not believed; the cause.
    Refused(String),
}

impl Neighbours {
    /// Judges who speaks. `source` is where the request came from, `tls` what its
    /// connection has proved.
    pub(in super::super) fn vouch(
        &self,
        front: &Front,
        message: &RawMessage,
        (source, local): (IpAddr, IpAddr),
        tls: Option<&Tls>,
    ) -> Vouch {
        if self.routes.known.is_empty() {
            return Vouch::Stranger;
        }
        let trusted: Vec<_> = self
            .routes
            .at(source)
            .chain(
                self.routes
                    .proved(tls.and_then(|tls| tls.identities.as_ref())),
            )
            .collect();
        // RFC 3325 6: what others assert counts for nothing.
        let asserted = (!trusted.is_empty()).then(|| asserted(front, message, local));
        let Some(who) = asserted.flatten().or_else(|| from(front, message, local)) else {
            return Vouch::Stranger;
        };
        let domain = who.domain();
        if front.places.is_ours(domain) {
            // One of our own people, by way of a neighbour: he proves himself as usual.
            return Vouch::Stranger;
        }
        let speaks = |known: &&_| speaks(known, domain);
        if trusted.iter().copied().any(|known| speaks(&known)) {
            return caller(who);
        }
        if trusted.is_empty() && self.routes.speaker(domain).is_none() {
            return Vouch::Stranger;
        }
        Vouch::Refused(format!("{source} may not speak for {who}"))
    }
}

fn caller(who: Address) -> Vouch {
    let caller = Caller {
        address: who.clone(),
        person: None,
        scheme: Scheme::Peer,
        route: Route::Peer(SIP),
    };
    let granted = Granted {
        caller,
        account: Arc::new(stranger(&who)),
        answer: None,
        machine: None,
    };
    Vouch::Neighbour(Box::new(Known { granted, from: who }))
}

fn speaks(known: &super::route::Known, domain: &str) -> bool {
    known.config.domains.iter().any(|d| d == domain)
}

/// RFC 3325 9.1: the first identity that is a SIP address.
fn asserted(front: &Front, message: &RawMessage, local: IpAddr) -> Option<Address> {
    let values = message.values(HeaderId::PAssertedIdentity);
    let mut read = values.filter_map(|value| NameAddr::parse(value).ok());
    read.find_map(|name| person(front.places.named(&name.uri, local)))
}

fn from(front: &Front, message: &RawMessage, local: IpAddr) -> Option<Address> {
    let from = message.from().ok()?;
    person(front.places.named(&from.uri, local))
}

fn person(named: Named) -> Option<Address> {
    match named {
        Named::Person(address) => Some(address),
        Named::Server | Named::Nobody => None,
    }
}
