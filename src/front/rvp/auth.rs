//! The seam to the gate: nothing here decides who anybody is.

use super::RVP;
use super::app::{No, Refused};
use super::listen::{Arrived, Payload};
use crate::core::address::Address;
use crate::core::command::Caller;
use crate::core::time::Time;
use crate::gate::{Attempt, Cause, Decision, Gate, Offer};
use hyper::header::AUTHORIZATION;
use rvp::Status;

/// Asks the gate who asks. `domain` is that of the host in the URL, `claimed` the sender that the
/// request names.
pub(super) fn check(
    gate: &Gate,
    arrived: &Arrived,
    target: &str,
    domain: &str,
    claimed: Option<&Address>,
    now: Time,
) -> Result<Caller, No> {
    let values: Vec<&str> = arrived
        .headers
        .get_all(AUTHORIZATION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let decision = gate.check(&Attempt {
        values: &values,
        method: arrived.method.as_str(),
        uri: target,
        body: match &arrived.body {
            Payload::Whole(octets) => octets,
            Payload::TooLarge => &[],
        },
        peer: arrived.ends.peer.ip(),
        stack: RVP,
        domain,
        claimed,
        // Old clients know RFC 2617 alone, and some take the first or last value unseen.
        offer: Offer::Md5,
        now,
    });
    match decision {
        Decision::Granted(granted) => Ok(granted.caller),
        Decision::Challenge { values, .. } => Err(No::Challenge(values)),
        Decision::Refused(cause) => {
            let status = match cause {
                Cause::Suspended => Status::Forbidden,
                _ => Status::BadRequest,
            };
            Err(No::Refused(Refused::new(status, cause.to_string()), None))
        }
    }
}
