//! Tristack: RVP and SIP/SIMPLE over one presence and instant-messaging core.

pub mod admin;
pub mod archive;
pub mod cli;
pub mod client;
pub mod config;
pub mod control;
pub mod core;
pub mod credentials;
pub mod front;
pub mod gate;
pub mod hub;
#[cfg(feature = "gssapi")]
pub mod kerberos;
pub mod net;
pub mod portal;
pub mod storage;
pub mod telemetry;
pub mod winbind;
