//! What must not spread: dead, slow, vanished and hostile clients beside ordinary ones, a crash
//! with many leases, a day of coming and going. Conditions only; the numbers are the load tool's
//! (`tests/bench/README.md`).
#![allow(clippy::unwrap_used)]

#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::format_collect,
    reason = "shared with other test programs, each uses its part"
)]
#[path = "../support"]
mod support {
    pub mod actor;
    pub mod records;
    pub mod server;
    pub mod stage;
}

mod churn;
mod clients;
mod half_open;
mod restart;
mod slowloris;
