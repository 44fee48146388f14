//! Nodes beyond people, against the real binary over real sockets.

#![allow(
    unreachable_pub,
    clippy::expect_used,
    clippy::too_many_lines,
    clippy::unnecessary_wraps
)]

#[path = "../support/mod.rs"]
mod support;

mod acks;
mod house;
mod rights;
mod sinks;
mod targets;
