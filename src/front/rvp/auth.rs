//! The seam to the gate: nothing here decides who anybody is.

use super::RVP;
use super::app::No;
use super::listen::{Arrived, Payload};
use crate::config;
use crate::core::address::Address;
use crate::core::time::Time;
use crate::gate::{Attempt, Cause, Decision, Gate, Granted, Offer, On, Refusal};
use hyper::header::{AUTHORIZATION, FORWARDED, HeaderMap, VIA};
use rvp::Status;
use std::net::IpAddr;

/// Who may sign in how.
pub(super) struct Entrance {
    /// `[rvp]`: schemes per listener and network.
    pub(super) rvp: config::Rvp,
}

/// Where a request leads, as far as the gate needs it.
pub(super) struct Way<'a> {
    /// The request target as written.
    pub(super) target: &'a str,
    /// The domain of the host in the URL.
    pub(super) domain: &'a str,
    /// The sender that the request names.
    pub(super) claimed: Option<&'a Address>,
}

impl Entrance {
    /// Asks the gate who asks.
    pub(super) async fn check(
        &self,
        gate: &Gate,
        arrived: &Arrived,
        way: &Way<'_>,
        now: Time,
    ) -> Result<Granted, No> {
        let values = values(arrived);
        let mut attempt = attempt(arrived, &values, way.target, way.domain, now);
        attempt.claimed = way.claimed;
        answer(gate.check_on(&attempt, &self.on(arrived)).await)
    }

    /// The connection of a request, as the gate sees it.
    pub(super) fn on<'a>(&'a self, arrived: &'a Arrived) -> On<'a> {
        let channel = &arrived.channel;
        On {
            link: &channel.link,
            schemes: self.rvp.schemes(arrived.ends.peer.ip(), channel.encrypted),
            certificate: channel.certificate.as_deref(),
            relayed: is_relayed(&arrived.headers),
            servers: &[],
        }
    }
}

/// All credentials of a request.
pub(super) fn values(arrived: &Arrived) -> Vec<&str> {
    let values = arrived.headers.get_all(AUTHORIZATION).iter();
    values.filter_map(|value| value.to_str().ok()).collect()
}

/// The request as the gate sees it, nobody claimed.
pub(super) fn attempt<'a>(
    arrived: &'a Arrived,
    values: &'a [&'a str],
    target: &'a str,
    domain: &'a str,
    now: Time,
) -> Attempt<'a> {
    Attempt {
        values,
        method: arrived.method.as_str(),
        uri: target,
        body: match &arrived.body {
            Payload::Whole(octets) => octets,
            Payload::TooLarge => &[],
        },
        peer: arrived.ends.peer.ip(),
        stack: RVP,
        domain,
        claimed: None,
        // Old clients know RFC 2617 alone, and some take the first or last value unseen.
        offer: Offer::Md5,
        now,
    }
}

/// What the gate says, as the front says it.
pub(super) fn answer(decision: Decision) -> Result<Granted, No> {
    match decision {
        Decision::Granted(granted) => Ok(granted),
        Decision::Challenge { values, .. } => Err(No::Challenge(values)),
        Decision::Refused(cause) => Err(if cause.is_unavailable() {
            // What is wrong with our side is for the log alone.
            let told = "Signing in is not possible just now".to_owned();
            No::Judged(Status::Unavailable, told)
        } else if cause.is_suspended() {
            No::Judged(Status::Forbidden, cause.to_string())
        } else {
            No::Judged(Status::BadRequest, cause.to_string())
        }),
    }
}

/// Whether an HTTP proxy passed the request on: it may use one connection for several people.
fn is_relayed(headers: &HeaderMap) -> bool {
    headers.contains_key(VIA)
        || headers.contains_key(FORWARDED)
        || headers.contains_key("x-forwarded-for")
}

/// Keeps what a front decided after the sign-in for `explain`.
pub(super) fn note(gate: &Gate, peer: IpAddr, who: &Address, now: Time, cause: Cause) {
    let refusal = Refusal {
        at: now,
        peer,
        stack: RVP,
        cause,
    };
    gate.note(who, refusal);
}
