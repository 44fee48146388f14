//! Registered targets.

use crate::house::*;
use crate::support::actor::between;
use crate::support::server::Server;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

#[test]
fn a_registered_target_gets_signed_notifications_and_what_it_missed() {
    let mut server = Server::start(&["alice", "bob"]);
    done(&server, &["node", "add", "/devices/7"]);
    let sink = Sink::new();
    let secret = server.scratch("secrets").join("hook");
    std::fs::write(&secret, "s3cret\n").expect("a secret");
    let url = format!("http://localhost:{}/in/Box%20A?k=V", sink.at.port());
    let secret = secret.to_string_lossy().into_owned();
    done(
        &server,
        &[
            "target",
            "add",
            "/devices/7",
            &url,
            "--secret-file",
            &secret,
        ],
    );
    let (fine, why) = tool(
        &server,
        &["target", "add", "/devices/7", "https://x.example/"],
    );
    assert!(!fine && why.contains("http://"), "{why}");
    let mut alice = rvp(&server, "alice");
    assert_eq!(notify(&mut alice, "/devices/7", "DeepAnd", SHIPMENT), 200);
    let (head, body) = sink.next();
    assert!(
        head.starts_with("NOTIFY /in/Box%20A?k=V HTTP/1.1\r\n"),
        "{head}"
    );
    assert_eq!(body, SHIPMENT);
    for wanted in [
        format!("Host: localhost:{}\r\n", sink.at.port()),
        "Tristack-Node: http://im.example.com/devices/7\r\n".to_owned(),
        "Rvp-Hop-Count: 2\r\n".to_owned(),
    ] {
        assert!(head.contains(&wanted), "{wanted} in {head}");
    }
    let value = between(&head, "Tristack-Signature: ", "\r\n").expect("a signature");
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock")
        .as_secs();
    let signed = rvp::signature::verify(b"s3cret", value, body.as_bytes(), now, 60);
    assert!(signed.is_ok(), "{value}: {signed:?}");
    // It fails for a while: the sender is told success, because it waits durably.
    sink.status.store(503, Ordering::Relaxed);
    for number in 0..3 {
        let body = SHIPMENT.replace("Rotterdam", &number.to_string());
        assert_eq!(notify(&mut alice, "/devices/7", "DeepOr", &body), 200);
    }
    assert!(sink.next().1.contains("at='0'"));
    let listed = done(&server, &["target", "list", "--json"]);
    assert!(listed.contains("\"waiting\":3"), "{listed}");
    server.kill_and_restart();
    sink.status.store(200, Ordering::Relaxed);
    let mut seen = Vec::new();
    while seen.last().map(String::as_str) != Some("2") {
        let (_, body) = sink.next();
        let number = between(&body, "at='", "'").expect("a number").to_owned();
        seen.push(number);
    }
    // In order; the first one may have been seen more often.
    seen.dedup();
    assert_eq!(seen, ["0", "1", "2"]);
    // Removing works by URL; nothing more comes, and the node has no subscriber left.
    done(&server, &["target", "remove", "/devices/7", &url]);
    let listed = done(&server, &["target", "list", "--json"]);
    assert_eq!(listed.trim(), "[]");
    assert_eq!(notify(&mut alice, "/devices/7", "DeepOr", SHIPMENT), 412);
}
