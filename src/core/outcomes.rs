//! One table: what can keep a text from its recipient, and what the core answers. Fronts print
//! their status codes beside it (`status.rs` of each), a snapshot test holds the whole.

use crate::core::error::{Error, Limit, Unreachable};
use std::time::Duration;

/// Every situation with the core's answer. The first seven are the ones that users meet.
pub fn outcomes() -> Vec<(&'static str, Error)> {
    vec![
        ("unknown user", Error::UnknownUser),
        ("unknown domain", Error::UnknownDomain),
        ("blocked sender", Error::NotReachable(Unreachable::Blocked)),
        ("full inbox", Error::Overloaded),
        (
            "dead callback",
            Error::NotReachable(Unreachable::DeliveryFailed),
        ),
        (
            "doubted callback",
            Error::NotReachable(Unreachable::Doubted),
        ),
        (
            "send-only point",
            Error::NotReachable(Unreachable::SendOnly),
        ),
        (
            "nobody signed in",
            Error::NotReachable(Unreachable::NobodySignedIn),
        ),
        (
            "no room for more kept texts",
            Error::NotReachable(Unreachable::BoxFull),
        ),
        ("has left the conversation", Error::HasLeft),
        ("client refuses the size", Error::TooLarge),
        ("client refuses the content", Error::Unsupported),
        ("client or policy forbids", Error::Denied("policy")),
        ("spoofed sender", Error::Spoofed),
        ("operator's filter", Error::Refused("filter".into())),
        ("too many hops", Error::Loop),
        ("recipient's side too slow", Error::TimedOut),
        ("limit reached", Error::LimitReached(Limit::Points)),
        ("stale id", Error::StaleId),
        ("out of order", Error::OutOfOrder),
        ("lease too short", Error::TooBrief(Duration::from_mins(1))),
        ("storage failed", Error::Storage),
        ("server stopping", Error::Stopping),
    ]
}
