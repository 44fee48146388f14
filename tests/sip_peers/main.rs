//! SIP neighbours: two processes of two domains that find each other by a small name server, and
//! Kamailio from Debian as a neighbouring domain; a telephone system that is asked what lines do.
#![allow(
    clippy::unwrap_used,
    clippy::format_collect,
    clippy::format_push_string,
    dead_code,
    unreachable_pub,
    unused_imports
)]

#[path = "../support/actor/mod.rs"]
mod actor;
#[path = "../support/resolver.rs"]
mod resolver;
#[path = "../support/server.rs"]
mod server;

mod calls;
mod challenges;
mod kamailio;
mod lines;
mod on_phone;
mod outside;
mod pair;
mod phone;
mod scene;
mod secure;
mod strange;
