//! Engine pairs on virtual time, lossy links, transcripts (dev only).
//!
//! * [`pair`]: two sans-IO engines joined by a [`link::Link`] that loses, doubles, delays and
//!   reorders by a seed; time jumps to the next thing that happens.
//! * [`transcript`]: plain-text scripts ("alice sends: ...", "bob receives: ...") played against a
//!   [`transcript::Driver`], in memory or over sockets.
//!
//! Times are milliseconds on an arbitrary axis, as everywhere in the protocol crates.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub mod link;
pub mod pair;
pub mod pattern;
pub mod rng;
pub mod transcript;

pub use link::{Link, Weather};
pub use pair::{Endpoint, Pair, Side, Step};
pub use rng::Rng;
pub use transcript::{Driver, Failure, Transcript};
