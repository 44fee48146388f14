//! Calls of real peers through the proxy: SIPp against SIPp, baresip against baresip.

use super::support::baresip::Baresip;
use super::support::server::Server;
use super::{Sipp, have, scenarios};
use auth::digest::{Ask, Challenge, Client};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Registers a contact at this port of ours by hand; the port is free again then.
fn register(server: &Server, user: &str) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(server.sip_udp).expect("the server");
    let patience = Some(Duration::from_secs(20));
    socket.set_read_timeout(patience).expect("a time-out");
    let local = socket.local_addr().expect("its address");
    let mut digest = Client::new(user, user);
    let mut credentials = String::new();
    for cseq in 1..=2 {
        let text = format!(
            "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKr{cseq};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}@example.com>;tag=r\r\nTo: <sip:{user}@example.com>\r\n\
             Call-ID: register-{local}\r\nCSeq: {cseq} REGISTER\r\nContact: <sip:{user}@{local}>\r\n\
             Expires: 600\r\n{credentials}Content-Length: 0\r\n\r\n"
        );
        socket.send(text.as_bytes()).expect("it goes out");
        let mut buffer = [0; 4096];
        let count = socket.recv(&mut buffer).expect("an answer");
        let answer = String::from_utf8_lossy(&buffer[..count]).into_owned();
        if cseq == 2 {
            assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
            break;
        }
        let asked = answer
            .lines()
            .filter_map(|line| line.strip_prefix("WWW-Authenticate: "));
        let asked: Vec<_> = asked
            .filter_map(|value| Challenge::parse(value).ok())
            .collect();
        let ask = Ask {
            method: "REGISTER",
            uri: "sip:example.com",
            body: b"",
            cnonce: "c",
        };
        let value = digest.answer(&asked, &ask).expect("it can be answered");
        credentials = format!("Authorization: {value}\r\n");
    }
    local.port()
}

/// A SIPp that takes calls at a port.
struct Answering(Child);

impl Answering {
    fn start(server: &Server, scenario: &str, port: u16, count: u32) -> Self {
        let folder = server.scratch(&format!("sipp-{scenario}"));
        let child = Command::new("sipp")
            .current_dir(&folder)
            .args([
                "-t",
                "u1",
                "-i",
                "127.0.0.1",
                "-nostdin",
                "-p",
                &port.to_string(),
            ])
            .arg("-sf")
            .arg(scenarios().join(format!("{scenario}.xml")))
            .args([
                "-m",
                &count.to_string(),
                "-timeout",
                "120s",
                "-timeout_error",
                "-trace_err",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sipp runs");
        Self(child)
    }

    /// Each of its calls went as its scenario says.
    fn passed(mut self) {
        let status = self.0.wait().expect("it ends");
        assert!(status.success(), "the answering sipp ended with {status}");
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn sipp_calls_sipp_through_the_proxy() {
    if !have("sipp") {
        return;
    }
    for tcp in [false, true] {
        let server = Server::start(&["alice", "bob"]);
        let sipp = Sipp::new(&server);
        let port = register(&server, "bob");
        let bob = Answering::start(&server, "answer", port, 100);
        sipp.passes("call", "alice", "bob", 100, tcp);
        bob.passed();
    }
}

#[test]
fn sipp_gives_up_and_the_other_sipp_is_cancelled() {
    if !have("sipp") {
        return;
    }
    let server = Server::start(&["alice", "bob"]);
    let sipp = Sipp::new(&server);
    let port = register(&server, "bob");
    let bob = Answering::start(&server, "ring", port, 50);
    sipp.passes("give_up", "alice", "bob", 50, false);
    bob.passed();
}

#[test]
fn baresip_calls_two_phones_of_one_person() {
    if !have("baresip") {
        return;
    }
    let server = Server::start(&["alice", "bob"]);
    let mut alice = Baresip::start(&server, "alice", "bob", "udp");
    let mut desk = Baresip::start(&server, "bob", "alice", "udp");
    let mut cell = Baresip::start(&server, "bob", "alice", "tcp");
    for phone in [&mut alice, &mut desk, &mut cell] {
        phone.wait_for(" binding");
    }
    // One answers: the other stops ringing; then the callee hangs up.
    alice.command("dial", "sip:bob@example.com");
    desk.wait_for("CALL_INCOMING");
    cell.wait_for("CALL_INCOMING");
    cell.command("accept", "");
    cell.wait_for("CALL_ESTABLISHED");
    alice.wait_for("CALL_ESTABLISHED");
    desk.wait_for("CALL_CLOSED");
    cell.command("hangup", "");
    alice.wait_for("CALL_CLOSED");
    // One declines for all (603 or 486): the caller hears it once the other has ended.
    for phone in [&mut alice, &mut desk, &mut cell] {
        phone.forget();
    }
    alice.command("dial", "sip:bob@example.com");
    desk.wait_for("CALL_INCOMING");
    cell.wait_for("CALL_INCOMING");
    desk.command("hangup", "");
    desk.wait_for("CALL_CLOSED");
    cell.command("hangup", "");
    cell.wait_for("CALL_CLOSED");
    alice.wait_for("CALL_CLOSED");
    // The caller gives up: both stop.
    for phone in [&mut alice, &mut desk, &mut cell] {
        phone.forget();
    }
    alice.command("dial", "sip:bob@example.com");
    desk.wait_for("CALL_INCOMING");
    cell.wait_for("CALL_INCOMING");
    alice.wait_for("CALL_RINGING");
    alice.command("hangup", "");
    desk.wait_for("CALL_CLOSED");
    cell.wait_for("CALL_CLOSED");
}
