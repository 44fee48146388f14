//! The RVP front over real sockets, octet for octet: what `rvp.md` asks of a server.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::format_push_string,
    clippy::decimal_bitwise_operands
)]

mod edge;
mod house;
mod matrix;
mod methods;
mod rules;
mod section8;
mod secure;
mod talk;
