//! Clients of our own, for `tristack chat`, the scripted demo, tests and load: the protocol crates
//! have the engines, here are the sockets.

pub mod sip;
