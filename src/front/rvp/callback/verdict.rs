//! What a Call-Back comes to: grammar, our own names, then policy (`decisions.md` 28).

use super::super::names::{Names, Way};
use super::policy::{From, NotDialled, Policy};
use crate::core::address::Address;
use rvp::CallBack;
use std::net::SocketAddr;

/// See [`weigh`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Verdict {
    /// A node of ours: delivered inside, never dialled.
    Logical(Address),
    /// This server, but no node: 400.
    Ourselves,
    /// May be dialled, at exactly this address.
    Dial(SocketAddr),
    /// Never dialled.
    Not(NotDialled),
}

/// Judges a well-formed Call-Back.
pub(in super::super) fn weigh(
    names: &Names,
    policy: &Policy,
    call_back: &CallBack,
    from: &From<'_>,
) -> Verdict {
    match names.way(call_back, from.local, |at| policy.is_ours(at, from.local)) {
        Way::Logical(address) => Verdict::Logical(address),
        Way::Ourselves => Verdict::Ourselves,
        Way::Endpoint => match call_back.address().map(|at| policy.judge(at, from)) {
            Some(Ok(endpoint)) => Verdict::Dial(endpoint),
            Some(Err(NotDialled::Ours)) => Verdict::Ourselves,
            Some(Err(why)) => Verdict::Not(why),
            None => Verdict::Not(NotDialled::Name),
        },
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
