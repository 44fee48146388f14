//! Authentication exchanges as values: challenge, answer, verdict.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub mod digest;
pub mod login;
pub mod ntlm;
pub mod seal;
pub mod spnego;
