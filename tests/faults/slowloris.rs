//! Heads that never end.

use crate::support::actor::{Actor, Encoding, Heard, RvpActor};
use crate::support::server::Server;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 300;
const PATIENCE: Duration = Duration::from_secs(60);

/// Issue 3 section 7: many connections that send a head octet by octet keep nobody out, and each
/// is ended by the server.
#[test]
fn slow_heads_keep_nobody_out_and_are_ended() {
    let limits = "[limits]\nhead_timeout = \"3s\"\n";
    let server = Server::start_with(&["alice", "bob"], limits);
    let mut slow: Vec<TcpStream> = (0..CONNECTIONS)
        .map(|_| {
            let mut stream = TcpStream::connect(server.rvp).unwrap();
            let head = "SUBSCRIBE /instmsg/aliases/bob HTTP/1.1\r\nHost: localhost\r\nX-Long: ";
            stream.write_all(head.as_bytes()).unwrap();
            stream.set_nonblocking(true).unwrap();
            stream
        })
        .collect();
    let mut alice = RvpActor::new("alice", server.rvp, Encoding::Characters).unwrap();
    let mut bob = RvpActor::new("bob", server.rvp, Encoding::Characters).unwrap();
    alice.sign_in().unwrap();
    bob.sign_in().unwrap();
    assert_eq!(alice.say("bob", "all well?").unwrap(), 200);
    let text = Heard::Text {
        from: "alice".into(),
        text: "all well?".into(),
    };
    assert_eq!(bob.next_kind(false, PATIENCE), Some(text));
    let start = Instant::now();
    while !slow.is_empty() {
        assert!(
            start.elapsed() < PATIENCE,
            "{} of {CONNECTIONS} are still open",
            slow.len()
        );
        slow.retain_mut(|stream| stream.write_all(b"x").is_ok() && is_open(stream));
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Reads away what the server says; false at the end.
fn is_open(stream: &mut TcpStream) -> bool {
    let mut answer = [0u8; 512];
    loop {
        match stream.read(&mut answer) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}
