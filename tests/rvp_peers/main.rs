//! Server to server: three processes of one domain (router, two homes) and one of another, on
//! loopback addresses of their own, names from a small resolver; and peers that misbehave.
#![allow(
    clippy::unwrap_used,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::decimal_bitwise_operands,
    dead_code,
    unreachable_pub,
    unused_imports
)]

mod acks;
#[path = "../support/actor/mod.rs"]
mod actor;
#[path = "../rvp_front/house.rs"]
mod house;
mod login;
mod mock;
mod ntlm;
#[path = "../support/peer.rs"]
mod peer;
#[path = "../support/resolver.rs"]
mod resolver;
mod secure;
mod site;
mod talk;
mod views;
