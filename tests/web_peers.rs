//! Real peers on encrypted and web transports: JsSIP (a browser's library) over WebSockets,
//! `openssl s_client` and baresip over TLS. (Debian's SIPp is built without TLS.)

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use support::actor::{Actor, Encoding, Heard, RvpActor};
use support::server::Server;

const PATIENCE: Duration = Duration::from_secs(30);
const LISTEN: &str = "tls = [\"127.0.0.1:0\"]\nws = [\"127.0.0.1:0\"]\nwss = [\"127.0.0.1:0\"]\n";

/// Whether a program (or a folder) is there; if not, says so, or fails where peers are required.
fn have(what: &str) -> bool {
    let found = if what.contains('/') {
        Path::new(what).exists()
    } else {
        Command::new("sh")
            .args(["-c", &format!("command -v {what}")])
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    let required = std::env::var_os("TRISTACK_TEST_REQUIRE_PEERS").is_some();
    assert!(
        found || !required,
        "{what} is not installed, and peers are required"
    );
    if !found {
        println!("left out: {what} is not installed");
    }
    found
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A page with JsSIP; ended (by its own process) when dropped.
struct Page {
    child: Child,
    lines: mpsc::Receiver<serde_json::Value>,
    seen: Vec<serde_json::Value>,
}

impl Page {
    fn open(url: &str, user: &str, server: &Server) -> Self {
        let mut child = Command::new("node")
            .arg(here("tests/peers/jssip/peer.js"))
            .arg(here("target/peers/jssip/node_modules"))
            .args([url, user])
            // What a browser's user would have clicked through, or his administrator installed.
            .env("NODE_EXTRA_CA_CERTS", server.certificate())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node runs");
        let stdout = child.stdout.take().expect("its output");
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Ok(value) = serde_json::from_str(&line) {
                    let _ = tell.send(value);
                }
            }
        });
        Self {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    fn command(&mut self, command: &serde_json::Value) {
        let stdin = self.child.stdin.as_mut().expect("its input");
        writeln!(stdin, "{command}").expect("it reads");
    }

    /// The next event of that kind for which the test holds.
    fn wait(&mut self, what: &str, test: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(event) = self.lines.recv_timeout(left) else {
                panic!("no {what}; so far: {:#?}", self.seen)
            };
            let fits = event["what"] == what && test(&event);
            self.seen.push(event.clone());
            if fits {
                return event;
            }
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// RFC 7118 with a library that browsers run: REGISTER, MESSAGE both ways, presence both ways,
/// with an RVP user on the other side.
#[test]
fn a_page_with_jssip_talks_with_an_rvp_user() {
    if !have("node") || !have(&here("target/peers/jssip/node_modules/jssip").to_string_lossy()) {
        return;
    }
    for secure in [false, true] {
        let server = Server::start_sip(&["alice", "bob"], LISTEN, "");
        // The certificate is for the domain and `localhost`.
        let url = if secure {
            let at = server.sip_wss.expect("wss");
            format!("wss://localhost:{}/ws", at.port())
        } else {
            format!("ws://{}/ws", server.sip_ws.expect("ws"))
        };
        let mut alice = RvpActor::new("alice", server.rvp, Encoding::Characters).expect("alice");
        alice.sign_in().expect("alice signs in");
        let mut bob = Page::open(&url, "bob", &server);
        let registered = bob.wait("registered", |_| true);
        let contact = registered["contact"].as_str().unwrap_or_default();
        assert!(contact.contains(".invalid;transport=ws"), "{contact}");

        bob.command(&serde_json::json!({"do": "watch", "to": "alice"}));
        bob.wait("state", |event| event["body"].to_string().contains("open"));
        alice.set_state("busy").expect("alice is busy");
        bob.wait("state", |event| event["body"].to_string().contains("busy"));

        bob.command(
            &serde_json::json!({"do": "message", "to": "alice", "text": "grüße from a page"}),
        );
        match alice.next_kind(false, PATIENCE) {
            Some(Heard::Text { from, text }) => {
                assert_eq!((from.as_str(), text.as_str()), ("bob", "grüße from a page"));
            }
            other => panic!("a text expected, heard {other:?}\n{}", server.log_tail(30)),
        }
        bob.wait("sent", |event| event["status"] == 200);

        assert_eq!(alice.say("bob", "grüße to a page").expect("an answer"), 200);
        bob.wait("message", |event| {
            event["from"] == "alice" && event["text"] == "grüße to a page"
        });

        alice.watch("bob").expect("alice watches bob");
        match alice.next_kind(true, PATIENCE) {
            Some(Heard::Presence { state, .. }) => assert_eq!(state, "online"),
            other => panic!("bob's state expected, saw {other:?}"),
        }
        bob.command(&serde_json::json!({"do": "quit"}));
        match alice.next_kind(true, PATIENCE) {
            Some(Heard::Presence { state, .. }) => assert_eq!(state, "offline"),
            other => panic!("bob's end expected, saw {other:?}"),
        }
    }
}

/// OpenSSL's client verifies our certificate, in both versions of TLS, and speaks SIP by hand.
#[test]
fn openssl_verifies_us_and_is_answered() {
    if !have("openssl") {
        return;
    }
    let server = Server::start_sip(&["alice"], LISTEN, "");
    let at = server.sip_tls.expect("tls").to_string();
    for version in ["-tls1_2", "-tls1_3"] {
        let mut child = Command::new("openssl")
            .args([
                "s_client",
                "-connect",
                &at,
                "-servername",
                "example.com",
                version,
            ])
            .args([
                "-verify_hostname",
                "example.com",
                "-verify_return_error",
                "-quiet",
            ])
            .arg("-CAfile")
            .arg(server.certificate())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl runs");
        let mut stdin = child.stdin.take().expect("its input");
        let request = "OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bK1\r\n\
            Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=1\r\nTo: <sip:example.com>\r\n\
            Call-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
        stdin.write_all(request.as_bytes()).expect("it reads");
        let stdout = child.stdout.take().expect("its output");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        drop(stdin);
        let _ = child.kill();
        let _ = child.wait();
        assert_eq!(line.trim_end(), "SIP/2.0 200 OK", "{version}");
    }
    // What is out of date is refused.
    let old = Command::new("openssl")
        .args([
            "s_client",
            "-connect",
            &at,
            "-tls1_1",
            "-cipher",
            "ALL:@SECLEVEL=0",
        ])
        .stdin(Stdio::null())
        .output()
        .expect("openssl runs");
    assert!(!old.status.success(), "TLS 1.1 is not spoken");
}

/// baresip over TLS: it verifies us, registers, talks and sees presence.
#[test]
fn baresip_talks_over_tls() {
    use support::baresip::Baresip;
    if !have("baresip") {
        return;
    }
    let server = Server::start_sip(&["alice", "bob"], LISTEN, "");
    let mut alice = RvpActor::new("alice", server.rvp, Encoding::Characters).expect("alice");
    alice.sign_in().expect("alice signs in");
    let mut bob = Baresip::start(&server, "bob", "alice", "tls");
    bob.wait_for("1 binding");
    bob.wait_for_contact("Online");
    bob.command("message", "greetings over TLS");
    match alice.next_kind(false, PATIENCE) {
        Some(Heard::Text { from, text }) => {
            assert_eq!(
                (from.as_str(), text.as_str()),
                ("bob", "greetings over TLS")
            );
        }
        other => panic!("a text expected, heard {other:?}\n{}", server.log_tail(30)),
    }
    assert_eq!(
        alice.say("bob", "greetings to TLS").expect("an answer"),
        200
    );
    bob.wait_for("greetings to TLS");
}
