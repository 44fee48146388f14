//! Outside peers: whether they are there, and what they say.
//!
//! A peer that is not installed is "left out" in plain `cargo test`; under `tests/run`, which sets
//! TRISTACK_TEST_REQUIRE_PEERS=1, it is a failure.

use std::process::{Command, Output, Stdio};

/// Whether a command succeeds; if not, the peer is left out, or fails where peers are required.
pub fn have(peer: &str, probe: &mut Command) -> bool {
    let found = probe
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let required = std::env::var_os("TRISTACK_TEST_REQUIRE_PEERS").is_some();
    assert!(
        found || !required,
        "{peer} is not installed, and peers are required"
    );
    if !found {
        println!("left out: {peer} is not installed");
    }
    found
}

/// The same by a line of shell.
pub fn have_by(peer: &str, script: &str) -> bool {
    have(peer, Command::new("sh").args(["-c", script]))
}

/// Everything a command wrote, without the ends of lines.
pub fn said(output: &Output) -> String {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).trim().to_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}
