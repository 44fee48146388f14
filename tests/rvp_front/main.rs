//! The RVP front over real sockets, octet for octet: what `rvp.md` asks of a server.
#![allow(clippy::unwrap_used, clippy::format_collect)]

mod edge;
mod house;
mod methods;
mod section8;
mod talk;
