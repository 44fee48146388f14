//! What operators see and rely on: who is there, what became of a message, signals, ports,
//! addresses and settings from the environment, the demo's printed lines, and what is still
//! there after kill -9. The real binary over real sockets.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::actor::{Actor, Encoding, Heard, RvpActor, SipActor};
use support::server::{Server, get};
use support::temporary::Temporary;

const PATIENCE: Duration = Duration::from_secs(10);

fn rvp(server: &Server, name: &str) -> RvpActor {
    RvpActor::new(name, server.rvp, Encoding::Characters).expect("a user")
}

fn asks(server: &Server, arguments: &[&str]) -> String {
    let output = server.command(arguments).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {text}{errors}");
    text
}

#[test]
fn operators_see_who_is_there_and_what_became_of_a_message() {
    let server = Server::start(&["alice", "bob", "carol"]);
    assert!(get(server.admin, "/readyz").starts_with("HTTP/1.1 200"));
    assert!(asks(&server, &["who"]).contains("Nobody"));
    let (mut alice, mut bob) = (
        rvp(&server, "alice"),
        SipActor::tcp("bob", server.sip_tcp).expect("bob"),
    );
    alice.sign_in().expect("alice signs in");
    bob.sign_in().expect("bob signs in");
    bob.set_state("busy").expect("bob is busy");
    let who = asks(&server, &["who"]);
    let row = |name: &str| {
        let mut lines = who.lines();
        let line = lines.find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("no {name} in\n{who}"))
            .to_owned()
    };
    assert!(row("alice@").contains("online") && row("alice@").contains("rvp"));
    assert!(row("bob@").contains("busy") && row("bob@").contains("sip"));
    assert!(!who.contains("carol"), "{who}");
    let one = asks(&server, &["who", "alice@example.com"]);
    assert!(one.contains("127.0.0.1"), "the point and its source: {one}");

    assert_eq!(alice.say("bob", "hello").expect("an answer"), 200);
    assert_eq!(alice.say("carol", "hello").expect("an answer"), 412);
    let json = asks(&server, &["trace", "--user", "alice@example.com", "--json"]);
    let rows: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(rows.as_array().map(Vec::len), Some(2), "{json}");
    let text = asks(&server, &["trace", "--user", "alice@example.com"]);
    assert!(
        text.contains("NobodySignedIn") || text.contains("nobody"),
        "{text}"
    );
    let id = rows
        .as_array()
        .and_then(|rows| {
            let arrived = rows
                .iter()
                .find(|row| row.to_string().contains("delivered"));
            arrived?.get("message")?.as_str()
        })
        .unwrap_or_else(|| panic!("a delivered message in {json}"));
    let steps = asks(&server, &["trace", "--message", id]);
    let mut at = 0;
    for step in ["accepted", "authorised", "routed", "delivered"] {
        let found = steps[at..].find(step);
        at += found.unwrap_or_else(|| panic!("{step} in its place:\n{steps}"));
    }
}

#[test]
fn operators_see_devices_and_rule_on_them() {
    let server = Server::start(&["alice", "bob"]);
    let (mut letters, mut phone) = (
        rvp(&server, "alice"),
        SipActor::udp("alice", server.sip_udp).expect("alice"),
    );
    letters.sign_in().expect("signs in");
    phone.sign_in().expect("signs in");
    let alice = "alice@example.com";
    let who = || asks(&server, &["who", alice]);
    let count = || who().matches("- device ").count();
    assert_eq!(
        count(),
        2,
        "two clients, as far as anybody knows:\n{}",
        who()
    );
    let json = asks(&server, &["who", alice, "--json"]);
    let rows: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let points = rows.pointer("/0/points").and_then(|p| p.as_array());
    let points: Vec<String> = points
        .expect("points")
        .iter()
        .map(|point| point["id"].to_string())
        .collect();
    let device = |what: &str| asks(&server, &["device", what, alice, &points[0], &points[1]]);
    device("pin");
    assert_eq!(count(), 1);
    assert!(who().contains("pinned by an operator"), "{}", who());
    device("split");
    assert_eq!(count(), 2);
    assert!(who().contains("two devices, by an operator"), "{}", who());
    device("free");
    assert!(!who().contains("by an operator"), "{}", who());
    asks(
        &server,
        &[
            "user",
            "set",
            alice,
            "--delivery",
            "most_active",
            "--prefer",
            "sip",
        ],
    );
    let told = "texts go to: most_active (this person's own), sip preferred";
    assert!(who().contains(told), "{}", who());
    asks(&server, &["user", "rename", alice, "alicia@example.com"]);
    assert!(who().contains("also alice@example.com"), "{}", who());
    let mut bob = rvp(&server, "bob");
    bob.sign_in().expect("bob signs in");
    assert_eq!(bob.say("alice", "by the old name").expect("an answer"), 200);
    assert_eq!(
        bob.say("alicia", "by the new name").expect("an answer"),
        200
    );
    let wrong = server
        .command(&["device", "pin", alice, "1", "2"])
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&wrong.stdout).into_owned();
    assert!(
        !wrong.status.success() && said.contains("no such sign-in"),
        "{said}"
    );
}

/// SIGTERM to a process of ours.
fn terminate(child: &Child) {
    let sent = Command::new("kill").arg(child.id().to_string()).status();
    assert!(sent.is_ok_and(|status| status.success()));
}

/// A server started by the environment alone; its ready line.
struct Bare {
    child: Child,
    ready: String,
    errors: std::sync::mpsc::Receiver<String>,
    folder: Temporary,
}

impl Bare {
    fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let folder = Temporary::new("operate");
        let mut child = Command::new(env!("CARGO_BIN_EXE_tristack"))
            .args(arguments)
            .current_dir(folder.path())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let (tell, errors) = std::sync::mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().expect("its errors"));
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).for_each(|line| {
                let _ = tell.send(line);
            });
        });
        let mut out = BufReader::new(child.stdout.take().expect("its output"));
        let mut ready = String::new();
        while !ready.contains("tristack ready") {
            let count = out.read_line(&mut ready).expect("a line");
            assert!(
                count > 0,
                "no ready line: {ready} {:?}",
                errors.try_iter().collect::<Vec<_>>()
            );
        }
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        Self {
            child,
            ready,
            errors,
            folder,
        }
    }

    /// An account whose password is its name.
    fn add(&self, name: &str) {
        let mut add = Command::new(env!("CARGO_BIN_EXE_tristack"))
            .args(["user", "add", &format!("{name}@example.com")])
            .arg("--password-stdin")
            .current_dir(self.folder.path())
            .env("TRISTACK_SERVER_DATA_DIR", "kept")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("it runs");
        let mut input = add.stdin.take().expect("its input");
        writeln!(input, "{name}").expect("written");
        drop(input);
        assert!(add.wait().expect("it ends").success());
    }

    /// The first address behind `mark`.
    fn address(&self, mark: &str) -> SocketAddr {
        let found = self.ready.split_once(mark).map(|(_, rest)| rest);
        let rest = found.unwrap_or_else(|| panic!("{mark} in {}", self.ready));
        let end = rest.find([' ', ',', '\n']).unwrap_or(rest.len());
        rest[..end].parse().expect("an address")
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_environment_sets_every_key_and_both_families_are_served() {
    let both = "127.0.0.1:0, [::1]:0";
    let bare = Bare::start(
        &["serve"],
        &[
            ("TRISTACK_SERVER_DATA_DIR", "kept"),
            ("TRISTACK_SERVER_DOMAINS", "example.com, b.example"),
            ("TRISTACK_RVP_LISTEN", both),
            ("TRISTACK_SIP_UDP", both),
            ("TRISTACK_SIP_TCP", both),
            ("TRISTACK_ADMIN_LISTEN", "127.0.0.1:0"),
        ],
    );
    assert_eq!(bare.ready.lines().count(), 1, "one line: {}", bare.ready);
    let kept = bare.folder.path().join("kept");
    assert!(kept.join("tristack.db").is_file() && kept.join("secret.key").is_file());
    bare.add("alice");
    bare.add("bob");
    for (http, udp, tcp) in [
        ("http://127.0.0.1:", "udp:127.0.0.1:", "tcp:127.0.0.1:"),
        ("http://[::1]:", "udp:[::1]:", "tcp:[::1]:"),
    ] {
        let at = |mark: &str| {
            let start = bare
                .ready
                .find(mark)
                .unwrap_or_else(|| panic!("{mark}: {}", bare.ready));
            let skip = mark.find(['1', '[']).unwrap_or(0);
            let rest = &bare.ready[start + skip..];
            let end = rest.find([' ', ',', '\n']).unwrap_or(rest.len());
            rest[..end].parse::<SocketAddr>().expect("an address")
        };
        for by_tcp in [false, true] {
            let mut alice = RvpActor::new("alice", at(http), Encoding::Characters).expect("alice");
            let mut bob = if by_tcp {
                SipActor::tcp("bob", at(tcp))
            } else {
                SipActor::udp("bob", at(udp))
            }
            .expect("bob");
            alice.sign_in().expect("alice signs in");
            bob.sign_in().expect("bob signs in");
            assert_eq!(alice.say("bob", "hello").expect("an answer"), 200, "{http}");
            assert!(matches!(
                bob.next_kind(false, PATIENCE),
                Some(Heard::Text { .. })
            ));
            assert_eq!(bob.say("alice", "hello").expect("an answer"), 200, "{http}");
            let heard = alice.next_kind(false, PATIENCE);
            assert!(
                matches!(heard, Some(Heard::Text { .. })),
                "{http} {by_tcp}: {heard:?}"
            );
            bob.sign_out().expect("bob signs out");
            alice.sign_out().expect("alice signs out");
        }
    }
}

#[test]
fn a_second_sigterm_stops_at_once() {
    let any = "127.0.0.1:0";
    let mut bare = Bare::start(
        &["serve"],
        &[
            ("TRISTACK_SERVER_DATA_DIR", "kept"),
            ("TRISTACK_RVP_LISTEN", any),
            ("TRISTACK_SIP_UDP", any),
            ("TRISTACK_SIP_TCP", any),
            ("TRISTACK_ADMIN_LISTEN", any),
        ],
    );
    bare.add("alice");
    bare.add("bob");
    let server = bare.address("rvp=http://");
    // A text that is under way: bob's client takes it and does not answer.
    let inbox = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let back = inbox.local_addr().expect("its address");
    let mut bob = RvpActor::new("bob", server, Encoding::Characters).expect("bob");
    let headers = format!(
        "Notification-Type: pragma/notify\r\nSubscription-Lifetime: 600\r\nCall-Back: http://{back}\r\n"
    );
    let signed_in = bob
        .request("SUBSCRIBE", "bob", &headers, "")
        .expect("an answer");
    assert_eq!(signed_in.0, 200);
    let sender = std::thread::spawn(move || {
        let mut alice = RvpActor::new("alice", server, Encoding::Characters).expect("alice");
        alice.say("bob", "slowly")
    });
    let (mut held, _) = inbox.accept().expect("the text");
    let _ = held.read(&mut [0; 1]).expect("its first octet");
    terminate(&bare.child);
    let announced = |line: &String| line.contains("a second signal stops at once");
    assert!(
        bare.errors.iter().any(|line| announced(&line)),
        "drains first"
    );
    let start = Instant::now();
    terminate(&bare.child);
    let status = bare.child.wait().expect("it ends");
    assert_eq!(status.code(), Some(6), "stopped hard");
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    let _ = sender.join();
}

/// `decisions.md` 33: what was answered is kept, whenever we are killed.
#[test]
fn accounts_access_and_properties_outlive_kill_9() {
    let mut server = Server::start(&["alice", "bob"]);
    let mut alice = rvp(&server, "alice");
    alice.sign_in().expect("alice signs in");
    alice.block("bob", true).expect("a block");
    let named = "<?xml version=\"1.0\"?><d:propertyupdate xmlns:d=\"DAV:\"><d:set><d:prop>\
                 <d:displayname>Alice in Chains</d:displayname></d:prop></d:set></d:propertyupdate>";
    let (status, ..) = alice
        .request("PROPPATCH", "alice", "", named)
        .expect("an answer");
    assert_eq!(status, 207);
    let mut add = server
        .command(&["user", "add", "eve@example.com", "--password-stdin"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut input = add.stdin.take().expect("its input");
    writeln!(input, "eve").expect("written");
    drop(input);
    assert!(add.wait().expect("it ends").success());
    server.kill_and_restart();

    let mut eve = rvp(&server, "eve");
    eve.sign_in().expect("the new account is there");
    let everything = "<d:propfind xmlns:d=\"DAV:\"><d:prop><d:displayname/></d:prop></d:propfind>";
    let (status, _, body) = eve
        .request("PROPFIND", "alice", "Depth: 0\r\n", everything)
        .expect("an answer");
    assert_eq!(status, 207);
    assert!(body.contains("Alice in Chains"), "{body}");
    let mut bob = rvp(&server, "bob");
    assert_eq!(
        bob.say("alice", "hello?").expect("an answer"),
        412,
        "still blocked"
    );
    assert_eq!(
        eve.say("alice", "hello").expect("an answer"),
        200,
        "still signed in"
    );
    assert!(
        matches!(alice.next_kind(false, PATIENCE), Some(Heard::Text { from, .. }) if from == "eve")
    );
}

#[test]
fn the_demo_prints_lines_that_work_as_printed() {
    let folder = Temporary::new("operate");
    let mut child = Command::new(env!("CARGO_BIN_EXE_tristack"))
        .args([
            "demo",
            "--rvp-port",
            "0",
            "--sip-port",
            "0",
            "--admin-port",
            "0",
        ])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let out = BufReader::new(child.stdout.take().expect("its output"));
    let page: Vec<String> = out
        .lines()
        .map_while(Result::ok)
        .take_while(|line| !line.starts_with("Ctrl-C"))
        .collect();
    for (tool, wanted) in [("curl", "multistatus"), ("sipsak", "200 OK")] {
        let line = page.iter().find(|line| line.trim_start().starts_with(tool));
        let line = line.unwrap_or_else(|| panic!("a {tool} line in {page:?}"));
        if let Err(error) = Command::new(tool).arg("-V").output() {
            let required = std::env::var_os("TRISTACK_TEST_REQUIRE_PEERS").is_some();
            assert!(!required, "{tool} is missing: {error}");
            println!("left out: {tool} is not installed");
            continue;
        }
        let output = Command::new("sh")
            .args(["-c", line])
            .output()
            .expect("a shell");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains(wanted),
            "{line}: {text}"
        );
    }
    terminate(&child);
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}
