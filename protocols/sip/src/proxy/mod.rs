//! A stateful forking proxy (RFC 3261 16) without sockets, clock or tasks, on top of
//! [`crate::transaction`].
//!
//! A request that arrived in a server transaction is read ([`Plan`], [`check`]), the caller finds
//! its targets, and [`Proxy::open`] forks it: groups of equal preference one after another, the
//! members of a group at once. What the transaction engine reports about tokens that are
//! [`Proxy::owns`] goes to [`Proxy::response`] and [`Proxy::failed`]; a CANCEL, the time for a 100
//! and the end of a server transaction have their functions, too. What became of each request
//! comes out of [`Proxy::poll`].
//!
//! Two things a proxy might do and this one never does: follow a 3xx by itself (the best one is
//! passed back), and forward a response that belongs to no transaction (RFC 6026 7.3): nobody can
//! bounce octets off us.

mod best;
mod context;
mod engine;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod exercise;
mod forward;
mod launch;
mod marks;
mod plan;
#[cfg(test)]
mod tests;
mod text64;

pub use context::Cause;
pub use engine::{Ended, Order, Proxy};
pub use forward::{Onward, Target, back, records};
pub use marks::{Ends, Marks, Toward};
pub use plan::{Plan, Unfit, check};

use crate::flow::Millis;

/// The timers and bounds of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Timer C: how long an INVITE may ring without a further provisional response (16.6 step 11:
    /// more than three minutes).
    pub ring: Millis,
    /// How long a group of targets may ring while others wait for their turn.
    pub turn: Millis,
    /// How long one place of a server may say nothing while it has others (RFC 3263 4.3; RFC 4321 2:
    /// who waits the whole time for one has none left for the next).
    pub hop: Millis,
    /// How long a request that was accepted is remembered for further 2xx: as long as the
    /// transactions are (RFC 6026 timers L and M).
    pub linger: Millis,
    /// Branches of one request at most.
    pub branches: usize,
    /// Max-Breadth of requests that came without (RFC 5393 5.3.1).
    pub breadth: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ring: 185_000,
            turn: 20_000,
            hop: 5_000,
            linger: 34_000,
            branches: 64,
            breadth: 60,
        }
    }
}
