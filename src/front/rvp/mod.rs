//! The RVP front: HTTP requests in, core commands; core events, NOTIFY out.
//!
//! `listen` and `inspect` speak HTTP, `callback` dials clients; the rest translates.

pub mod callback;
mod inspect;
mod listen;

pub use inspect::{BadHead, HeadLimits};
pub use listen::ServeLimits;
