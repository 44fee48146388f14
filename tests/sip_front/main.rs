//! The SIP front over real sockets, octet for octet.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod abuse;
mod calls;
mod detail;
mod events;
mod flows;
mod form;
mod house;
mod lines;
mod lists;
mod message;
mod on_phone;
mod presence;
mod register;
mod restart;
mod torture;
mod transports;
mod websocket;
mod wrapped;
mod xcap;
