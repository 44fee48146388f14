//! The SIP front over real sockets, octet for octet.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod events;
mod form;
mod house;
mod lists;
mod message;
mod presence;
mod register;
mod restart;
mod torture;
mod xcap;
