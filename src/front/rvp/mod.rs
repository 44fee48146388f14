//! The RVP front: HTTP requests in, core commands; core events, NOTIFY out.
//!
//! `listen` and `inspect` speak HTTP, `callback` dials clients; the rest translates.

pub mod callback;
mod handle;
mod inspect;
mod listen;
mod names;
mod status;

pub use inspect::{BadHead, HeadLimits};
pub use listen::ServeLimits;
pub use names::Names;
