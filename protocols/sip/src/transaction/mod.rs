//! Transactions (RFC 3261 17, RFC 6026, RFC 4320), without sockets, clock or tasks.
//!
//! [`Engine::handle`] takes what happened, [`Engine::poll`] is drained to [`Output::Idle`] after
//! each. A transaction keeps the serialised request or response only, never the message: what
//! arrives is handed on by value. On reliable transports timers D, I, J and K are zero, so a
//! transaction goes with its last response.
//!
//! Requests that are refused without state (400, 401, 407, 416, 420, 482, 483, 505, 513) either
//! never reach the engine, or are answered with [`Retention::Stateless`] (decisions 6).

mod derive;
mod engine;
mod key;
mod machine;
mod store;
#[cfg(test)]
mod tests;
mod wire;

pub use derive::{ack_for, cancel_for};
pub use engine::{Absorbed, Engine, Event, Failure, Input, Outgoing, Output, Retention};
pub use key::{Credentials, RequestFacts, ResponseFacts};
pub use store::TxId;
pub use wire::{Nameless, reply_flow, request_facts, response_facts};

use crate::flow::Millis;

/// The timers of RFC 3261 17 and the bounds of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// T1, the round-trip estimate.
    pub t1: Millis,
    /// T2, the longest interval between repeats.
    pub t2: Millis,
    /// T4, how long a message stays in the network.
    pub t4: Millis,
    /// Timer D on unreliable transports.
    pub d: Millis,
    /// An INVITE without any answer asks for its 100 after this (RFC 3261 17.2.1).
    pub trying_invite: Millis,
    /// Any other request asks for its 100 after this: what Timer E takes to reach T2 (RFC 4320 4.1).
    pub trying_other: Millis,
    /// An INVITE that stays unanswered this long is dropped: a bound on leaks, not of the RFC.
    pub invite_max: Millis,
    /// Most transactions alive. Above it the oldest ones that only absorb repeats make room; if
    /// there are none, the request is reported as [`Event::Overloaded`].
    pub capacity: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            t1: 500,
            t2: 4_000,
            t4: 5_000,
            d: 32_000,
            trying_invite: 200,
            trying_other: 3_500,
            invite_max: 600_000,
            capacity: 1_000_000,
        }
    }
}

impl Settings {
    /// 64 times T1: timers B, F, H, J, L and M.
    pub(crate) fn give_up(&self) -> Millis {
        self.t1.saturating_mul(64)
    }
}
