//! Real peers from packages against the real binary: SIPp, sipsak, baresip, curl.
//!
//! A peer that is not installed is "left out" in plain `cargo test`; under `tests/run`, which
//! sets TRISTACK_TEST_REQUIRE_PEERS=1, it is a failure.

#[path = "peers/calls.rs"]
mod calls;
#[path = "peers/conversation.rs"]
mod conversation;
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use support::actor::{Actor, Encoding, Heard, RvpActor, SipActor};
use support::baresip::Baresip;
use support::server::Server;

const PATIENCE: Duration = Duration::from_secs(15);

/// Whether the peer is there; if not, says so, or fails where peers are required.
fn have(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let required = std::env::var_os("TRISTACK_TEST_REQUIRE_PEERS").is_some();
    assert!(
        found || !required,
        "{program} is not installed, and peers are required"
    );
    if !found {
        println!("left out: {program} is not installed");
    }
    found
}

struct Sipp<'a> {
    server: &'a Server,
    folder: PathBuf,
}

impl<'a> Sipp<'a> {
    fn new(server: &'a Server) -> Self {
        let folder = server.scratch("sipp");
        Self { server, folder }
    }

    /// Runs a scenario for `count` calls as `user`, towards `to`, over UDP or TCP.
    fn run(
        &self,
        scenario: &str,
        user: &str,
        to: &str,
        count: u32,
        tcp: bool,
        contact: u16,
    ) -> Output {
        let file = self.folder.join(format!("{scenario}-{user}.csv"));
        let credentials = format!("[authentication username={user} password={user}]");
        let line = format!("SEQUENTIAL\n{user};{credentials};{contact};{to}\n");
        std::fs::write(&file, line).expect("a users file");
        let target = if tcp {
            self.server.sip_tcp
        } else {
            self.server.sip_udp
        };
        Command::new("sipp")
            .current_dir(&self.folder)
            .arg(target.to_string())
            .args([
                "-t",
                if tcp { "t1" } else { "u1" },
                "-i",
                "127.0.0.1",
                "-nostdin",
            ])
            .arg("-sf")
            .arg(scenarios().join(format!("{scenario}.xml")))
            .arg("-inf")
            .arg(&file)
            .args([
                "-m",
                &count.to_string(),
                "-r",
                "50",
                "-timeout",
                "30s",
                "-timeout_error",
            ])
            .args(["-trace_err", "-trace_msg", "-message_file"])
            .arg(self.folder.join(format!("{scenario}-{user}.log")))
            .output()
            .expect("sipp runs")
    }

    fn passes(&self, scenario: &str, user: &str, to: &str, count: u32, tcp: bool) {
        let output = self.run(scenario, user, to, count, tcp, 9);
        let log = self.folder.join(format!("{scenario}-{user}.log"));
        let messages = std::fs::read_to_string(log).unwrap_or_default();
        let tail: String = messages
            .chars()
            .rev()
            .take(6000)
            .collect::<Vec<_>>()
            .iter()
            .rev()
            .collect();
        assert!(
            output.status.success(),
            "sipp {scenario} ended with {}\n{}\n{tail}\n--- server ---\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr),
            self.server.log_tail(30),
        );
    }
}

fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/sipp")
}

#[test]
fn sipp_registers() {
    if !have("sipp") {
        return;
    }
    let server = Server::start(&["alice", "bob"]);
    let sipp = Sipp::new(&server);
    sipp.passes("register", "alice", "bob", 20, false);
    sipp.passes("register", "bob", "alice", 20, true);
}

#[test]
fn sipp_sends_messages_to_both_stacks() {
    if !have("sipp") {
        return;
    }
    let server = Server::start(&["alice", "bob", "carol"]);
    let mut rvp = RvpActor::new("bob", server.rvp, Encoding::Characters).expect("bob");
    rvp.sign_in().expect("bob signs in");
    let mut sip = SipActor::udp("carol", server.sip_udp).expect("carol");
    sip.sign_in().expect("carol signs in");
    let sipp = Sipp::new(&server);
    sipp.passes("message", "alice", "bob", 10, false);
    sipp.passes("message", "alice", "carol", 10, true);
    for actor in [&rvp as &dyn Actor, &sip] {
        let mut texts: Vec<String> = (0..10)
            .map(|_| match actor.next(PATIENCE) {
                Some(Heard::Text { from, text }) if from == "alice" => text,
                other => panic!("a text from alice expected, heard {other:?}"),
            })
            .collect();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), 10, "each of ten texts once: {texts:?}");
        assert_eq!(actor.next(Duration::from_secs(1)), None);
    }
}

#[test]
fn sipp_publishes_and_an_rvp_user_sees_it() {
    if !have("sipp") {
        return;
    }
    let server = Server::start(&["alice", "bob"]);
    let mut bob = RvpActor::new("bob", server.rvp, Encoding::Characters).expect("bob");
    bob.sign_in().expect("bob signs in");
    bob.watch("alice").expect("bob watches alice");
    let sipp = Sipp::new(&server);
    sipp.passes("publish", "alice", "bob", 1, false);
    let mut seen = Vec::new();
    while let Some(Heard::Presence { state, .. }) = bob.next(Duration::from_secs(2)) {
        seen.push(state);
    }
    // The modification may merge with what stands within 250 ms of it (decisions 13).
    assert_eq!(
        seen.first().map(String::as_str),
        Some("offline"),
        "{seen:?}"
    );
    assert_eq!(seen.last().map(String::as_str), Some("offline"), "{seen:?}");
    assert!(
        seen.iter().any(|state| state == "busy" || state == "away"),
        "{seen:?}"
    );
}

#[test]
fn sipp_subscribes_and_is_notified() {
    if !have("sipp") {
        return;
    }
    let server = Server::start(&["alice", "bob"]);
    let sipp = Sipp::new(&server);
    sipp.passes("subscribe", "alice", "bob", 10, false);
    sipp.passes("subscribe", "alice", "bob", 10, true);
}

const CONFIRM: &str = "[domain.\"example.com\"]\nconsent = \"confirm\"\n";

/// A row of `tristack who --subscriptions --json`.
fn subscription(server: &Server, watcher: &str, package: &str) -> Option<serde_json::Value> {
    let mut command = server.command(&["who", "--subscriptions", "--json"]);
    let output = command.output().expect("the command runs");
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).ok()?;
    let watcher = format!("{watcher}@example.com");
    let fits = |row: &serde_json::Value| row["watcher"] == *watcher && row["package"] == *package;
    rows.into_iter().find(fits)
}

/// Until the table shows the subscription in that state, its last NOTIFY answered.
fn wait_for_subscription(server: &Server, watcher: &str, package: &str, state: &str) {
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let row = subscription(server, watcher, package);
        let there = row
            .as_ref()
            .is_some_and(|row| row["state"] == *state && row["last"] == *"200");
        if there {
            return;
        }
        assert!(
            std::time::Instant::now() < end,
            "{watcher} {package} {state}: {row:?}\n{}",
            server.log_tail(30)
        );
        std::thread::yield_now();
    }
}

#[test]
fn sipp_waits_for_consent_while_sipp_watches_its_watchers() {
    if !have("sipp") {
        return;
    }
    for tcp in [false, true] {
        let server = Server::start_with(&["alice", "bob"], CONFIRM);
        let sipp = Sipp::new(&server);
        std::thread::scope(|scope| {
            let owner = scope.spawn(|| sipp.passes("winfo", "bob", "bob", 1, tcp));
            wait_for_subscription(&server, "bob", "presence.winfo", "active");
            let watcher = scope.spawn(|| sipp.passes("consent", "alice", "bob", 1, tcp));
            wait_for_subscription(&server, "alice", "presence", "pending");
            let arguments = ["consent", "bob@example.com", "accept", "alice@example.com"];
            let done = server.command(&arguments).status();
            assert!(done.is_ok_and(|status| status.success()));
            owner.join().expect("the owner's scenario");
            watcher.join().expect("the watcher's scenario");
        });
    }
}

#[test]
fn sipp_reports_a_call_and_an_rvp_user_sees_on_phone() {
    if !have("sipp") {
        return;
    }
    let server = Server::start(&["alice", "bob"]);
    let mut alice = RvpActor::new("alice", server.rvp, Encoding::Characters).expect("alice");
    alice.sign_in().expect("alice signs in");
    let mut bob = RvpActor::new("bob", server.rvp, Encoding::Characters).expect("bob");
    bob.sign_in().expect("bob signs in");
    bob.watch("alice").expect("bob watches alice");
    let sipp = Sipp::new(&server);
    sipp.passes("dialog", "alice", "bob", 1, false);
    let mut seen = Vec::new();
    while let Some(Heard::Presence { state, .. }) = bob.next(Duration::from_secs(2)) {
        seen.push(state);
    }
    assert_eq!(seen, ["online", "on-phone", "online"]);
}

#[test]
fn sipsak_gets_its_answers() {
    if !have("sipsak") {
        return;
    }
    let server = Server::start(&["alice", "bob"]);
    let mut bob = RvpActor::new("bob", server.rvp, Encoding::Characters).expect("bob");
    bob.sign_in().expect("bob signs in");
    let at = server.sip_udp;
    let run = |arguments: &[&str]| {
        let output = Command::new("sipsak")
            .args(arguments)
            .output()
            .expect("sipsak runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "sipsak {arguments:?}: {text}\n{}",
            server.log_tail(30)
        );
        text
    };
    // OPTIONS to the server itself, by address.
    run(&["-v", "-s", &format!("sip:{at}")]);
    // REGISTER with a contact of its own. Without -u it names its user "alice@".
    let user = format!("sip:alice@{at}");
    run(&[
        "-U",
        "-C",
        "sip:alice@127.0.0.1:9",
        "-x",
        "60",
        "-a",
        "alice",
        "-s",
        &user,
    ]);
    let contact = ["-U", "-C", "sip:alice@127.0.0.1:9", "-x", "60"];
    run(&[&contact[..], &["-u", "alice", "-a", "alice", "-s", &user]].concat());
    // Debian's sipsak 0.9.8.1 crashes by itself on -M, so its texts are not tried.
    bob.watch("alice").expect("bob watches alice");
    match bob.next_kind(true, PATIENCE) {
        Some(Heard::Presence { state, .. }) => assert_eq!(state, "online"),
        other => panic!("alice's state expected, saw {other:?}"),
    }
}

#[test]
fn baresip_registers_talks_and_sees_presence() {
    if !have("baresip") {
        return;
    }
    for transport in ["udp", "tcp"] {
        let server = Server::start(&["alice", "bob"]);
        let mut alice = RvpActor::new("alice", server.rvp, Encoding::Characters).expect("alice");
        alice.sign_in().expect("alice signs in");
        let mut bob = Baresip::start(&server, "bob", "alice", transport);
        bob.wait_for("1 binding");
        bob.wait_for_contact("Online");
        alice.set_state("busy").expect("alice is busy");
        bob.wait_for_contact("Busy");
        bob.command("message", "greetings from baresip");
        match alice.next_kind(false, PATIENCE) {
            Some(Heard::Text { from, text }) => {
                assert_eq!(
                    (from.as_str(), text.as_str()),
                    ("bob", "greetings from baresip")
                );
            }
            other => panic!(
                "a text from bob expected, heard {other:?}\n{}",
                server.log_tail(30)
            ),
        }
        assert_eq!(
            alice.say("bob", "greetings to baresip").expect("an answer"),
            200
        );
        bob.wait_for("greetings to baresip");
        alice.watch("bob").expect("alice watches bob");
        match alice.next_kind(true, PATIENCE) {
            Some(Heard::Presence { state, .. }) => assert_eq!(state, "online"),
            other => panic!("bob's state expected, saw {other:?}"),
        }
    }
}

#[test]
fn curl_signs_in_over_rvp_with_digest() {
    if !have("curl") {
        return;
    }
    let server = Server::start(&["alice", "bob"]);
    let curl = |arguments: &[&str]| {
        let url = format!("http://{}/instmsg/aliases/alice", server.rvp);
        let output = Command::new("curl")
            .args([
                "-sS",
                "-i",
                "--digest",
                "-u",
                "alice:alice",
                "--max-time",
                "20",
            ])
            .args(["-H", "RVP-Notifications-Version: 0.2"])
            .args(arguments)
            .arg(url)
            .output()
            .expect("curl runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "curl: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        text
    };
    let signed = curl(&[
        "-X",
        "SUBSCRIBE",
        "-H",
        "Notification-Type: pragma/notify",
        "-H",
        "Subscription-Lifetime: 14400",
        "-H",
        "Call-Back: http://127.0.0.1:9999",
        "-H",
        "RVP-From-Principal: http://localhost/instmsg/aliases/alice",
    ]);
    assert!(
        signed.contains("HTTP/1.1 401 Access Denied\r\n"),
        "{signed}"
    );
    assert!(signed.contains("HTTP/1.1 200 Successful\r\n"), "{signed}");
    assert!(signed.contains("Subscription-Id: "), "{signed}");
    let find = "<?xml version=\"1.0\"?><d:propfind xmlns:d=\"DAV:\" \
                xmlns:r=\"http://schemas.microsoft.com/rvp/\"><d:prop><r:state/></d:prop></d:propfind>";
    let found = curl(&[
        "-X",
        "PROPFIND",
        "-H",
        "Depth: 0",
        "-H",
        "Content-Type: text/xml",
        "-d",
        find,
    ]);
    assert!(found.contains("HTTP/1.1 207 Multi-Status\r\n"), "{found}");
    assert!(found.contains("<r:state><r:offline/></r:state>"), "{found}");
    let refused = curl(&["-X", "PROPFIND", "-H", "Content-Type: text/xml", "-d", find]);
    assert!(
        refused.contains("HTTP/1.1 412 Precondition Failed\r\n"),
        "{refused}"
    );
    assert!(
        curl(&["-X", "PUT"]).contains("HTTP/1.1 501 "),
        "PUT is not RVP"
    );
}
