//! The programs below `examples/`, each against what it is made for.
//!
//! Their sources are modules here, so that what runs is what is shown; the Python and Java targets
//! run as programs of their own. A program that is not installed is "left out" in plain
//! `cargo test`; under `tests/run`, which sets TRISTACK_TEST_REQUIRE_PEERS=1, it is a failure.

mod support;

#[path = "../examples/helpdesk/main.rs"]
mod helpdesk;
#[path = "../examples/notification_target.rs"]
#[allow(dead_code)] // Its `main`.
mod notification_target;
#[path = "../examples/package_tracking.rs"]
mod package_tracking;
#[path = "../examples/presence_alert.rs"]
mod presence_alert;

#[path = "examples/alert.rs"]
mod alert;
#[path = "examples/desk.rs"]
mod desk;
#[path = "examples/peer.rs"]
mod peer;
#[path = "examples/targets.rs"]
mod targets;
#[path = "examples/tracking.rs"]
mod tracking;
