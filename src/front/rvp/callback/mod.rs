//! NOTIFY to clients: where we may connect, how we connect, what waits in which queue.

pub mod client;
pub mod policy;
