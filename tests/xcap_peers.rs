//! XCAP with clients that are not ours, and blocks that cross between XCAP, SIP and RVP, against
//! the real binary.
//!
//! No registry that Debian 12 can install from has an XCAP client to use here. Looked for, in vain:
//! - PyPI: `python-xcaplib`, `python3-xcaplib`, `sipsimple`, `python-sipsimple` (the one known client
//!   library is published by its makers alone); npm: nothing under that name.
//! - Debian: no package says XCAP but Kamailio's (`kamailio-presence-modules`: `xcap_client.so`), and
//!   that client only reads: a GET without credentials, while documents here are their owner's.
//!
//! So curl and Python's urllib do HTTP and Digest, and lxml says what a node selector means.

mod support;

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::actor::{Actor, Encoding, Heard, RvpActor, SipActor};
use support::server::Server;

const PATIENCE: Duration = Duration::from_secs(15);
const WS: &str = "ws = [\"127.0.0.1:0\"]";
const RULES: &str = "Content-Type: application/auth-policy+xml";

fn have(what: &str, probe: &[&str]) -> bool {
    let found = Command::new(probe[0])
        .args(&probe[1..])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
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

fn curl_is_here() -> bool {
    have("curl", &["curl", "--version"])
}

/// Status and body of a request with curl.
fn curl(at: SocketAddr, user: &str, path: &str, more: &[&str]) -> (u16, String) {
    let output = Command::new("curl")
        .args(["--silent", "--noproxy", "*", "--digest", "--user"])
        .arg(format!("{user}:{user}"))
        .args(["--globoff", "--write-out", "\n%{http_code}"])
        .args(more)
        .arg(format!("http://{at}/xcap/{path}"))
        .output()
        .expect("curl runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').expect("a status");
    (status.parse().expect("a number"), body.to_owned())
}

fn rules_of(user: &str) -> String {
    format!("pres-rules/users/sip:{user}@example.com/index")
}

fn sees(watcher: &dyn Actor, of: &str, state: &str) {
    let wanted = Heard::Presence {
        of: of.to_owned(),
        state: state.to_owned(),
    };
    let heard = watcher.next_kind(true, PATIENCE);
    assert_eq!(heard, Some(wanted));
}

#[test]
fn lxml_means_the_same_by_selectors_and_edits() {
    let probe = ["/usr/bin/python3", "-c", "from lxml import etree"];
    if !have("python3-lxml", &probe) {
        return;
    }
    let server = Server::start_sip(&["alice", "bob", "carol"], WS, "");
    let at = server.sip_ws.expect("a listener");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/xcap.py");
    for (seed, user) in ["alice", "bob", "carol"].into_iter().enumerate() {
        let output = Command::new("/usr/bin/python3")
            .arg(script)
            .args([&format!("http://{at}/xcap"), user, user, "250"])
            .arg(seed.to_string())
            .output()
            .expect("python runs");
        assert!(
            output.status.success(),
            "{user}: {}{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            server.log_tail(20)
        );
    }
}

#[test]
fn curl_reads_and_writes_documents_and_nodes() {
    if !curl_is_here() {
        return;
    }
    let mut server = Server::start_sip(&["alice", "bob"], WS, "");
    let at = server.sip_ws.expect("a listener");
    let index = "resource-lists/users/sip:alice@example.com/index";
    let lists = "<resource-lists xmlns='urn:ietf:params:xml:ns:resource-lists'><list name='l'/></resource-lists>";
    let kind = "Content-Type: application/resource-lists+xml";
    let put = curl(
        at,
        "alice",
        index,
        &["-X", "PUT", "-H", kind, "--data-binary", lists],
    );
    assert_eq!(put.0, 201, "{put:?}");
    let node = format!(
        "{index}/~~/resource-lists/list%5B@name=%22l%22%5D/entry%5B@uri=%22sip:bob@example.com%22%5D"
    );
    let entry = "<entry uri='sip:bob@example.com'/>";
    let element = "Content-Type: application/xcap-el+xml";
    let put = curl(
        at,
        "alice",
        &node,
        &["-X", "PUT", "-H", element, "--data-binary", entry],
    );
    assert_eq!(put.0, 201, "{put:?}");
    // What was acknowledged outlives a kill.
    server.kill_and_restart();
    let at = server.sip_ws.expect("a listener");
    assert_eq!(curl(at, "alice", &node, &[]), (200, entry.to_owned()));
    let whole = lists.replace(
        "<list name='l'/>",
        &format!("<list name='l'>{entry}</list>"),
    );
    assert_eq!(curl(at, "alice", index, &[]), (200, whole));
    assert_eq!(curl(at, "bob", index, &[]).0, 403);
    assert_eq!(curl(at, "alice", &node, &["-X", "DELETE"]).0, 200);
    assert_eq!(curl(at, "alice", &node, &[]).0, 404);
    assert_eq!(curl(at, "alice", index, &["-X", "POST"]).0, 405);
}

#[test]
fn an_rvp_block_is_seen_in_xcap_and_by_sip() {
    if !curl_is_here() {
        return;
    }
    let server = Server::start_sip(&["alice", "bob"], WS, "");
    let at = server.sip_ws.expect("a listener");
    let mut alice = RvpActor::new("alice", server.rvp, Encoding::Characters).expect("alice");
    alice.sign_in().expect("alice signs in");
    let mut bob = SipActor::udp("bob", server.sip_udp).expect("bob");
    bob.sign_in().expect("bob signs in");
    bob.watch("alice").expect("bob watches");
    sees(&bob, "alice", "online");
    alice.block("bob", true).expect("alice blocks bob");
    sees(&bob, "alice", "offline");
    let (status, rules) = curl(at, "alice", &rules_of("alice"), &[]);
    assert_eq!(status, 200);
    assert!(
        rules.contains("<one id=\"sip:bob@example.com\"/>"),
        "{rules}"
    );
    assert!(rules.contains(">polite-block<"), "{rules}");
    // She takes it back with her SIP client: the whole document goes.
    assert_eq!(
        curl(at, "alice", &rules_of("alice"), &["-X", "DELETE"]).0,
        200
    );
    sees(&bob, "alice", "online");
}

#[test]
fn an_xcap_block_binds_rvp_and_is_seen_in_its_access_list() {
    if !curl_is_here() {
        return;
    }
    let server = Server::start_sip(&["alice", "bob"], WS, "");
    let at = server.sip_ws.expect("a listener");
    let mut alice = RvpActor::new("alice", server.rvp, Encoding::Characters).expect("alice");
    alice.sign_in().expect("alice signs in");
    let mut bob = RvpActor::new("bob", server.rvp, Encoding::Characters).expect("bob");
    bob.sign_in().expect("bob signs in");
    bob.watch("alice").expect("bob watches");
    sees(&bob, "alice", "online");
    let rules = "<ruleset xmlns='urn:ietf:params:xml:ns:common-policy'>\
        <rule id='all'><conditions><identity><many><except id='sip:bob@example.com'/></many></identity></conditions>\
        <actions><sub-handling xmlns='urn:ietf:params:xml:ns:pres-rules'>allow</sub-handling></actions></rule>\
        <rule id='bob'><conditions><identity><one id='sip:bob@example.com'/></identity></conditions>\
        <actions><sub-handling xmlns='urn:ietf:params:xml:ns:pres-rules'>block</sub-handling></actions></rule></ruleset>";
    let put = curl(
        at,
        "alice",
        &rules_of("alice"),
        &["-X", "PUT", "-H", RULES, "--data-binary", rules],
    );
    assert_eq!(put.0, 201, "{put:?}");
    sees(&bob, "alice", "offline");
    let (status, _, acl) = alice
        .request("ACL", "alice", "", "")
        .expect("her access list");
    assert_eq!(status, 200);
    let of_bob = acl.split("<a:ace>").find(|ace| ace.contains("/bob"));
    let of_bob = of_bob.unwrap_or_else(|| panic!("nothing about bob: {acl}"));
    assert!(
        of_bob.contains("<a:deny>") && of_bob.contains("presence"),
        "{acl}"
    );
    // Rules are about presence: his texts still arrive.
    assert_eq!(bob.say("alice", "hello"), Ok(200));
    assert_eq!(
        curl(at, "alice", &rules_of("alice"), &["-X", "DELETE"]).0,
        200
    );
    sees(&bob, "alice", "online");
}

/// What everybody gets.
fn everybody(at: SocketAddr, handling: &str, shows: &str) {
    let rules = format!(
        "<c:ruleset xmlns='urn:ietf:params:xml:ns:pres-rules' xmlns:c='urn:ietf:params:xml:ns:common-policy'>\
         <c:rule id='all'><c:conditions><c:identity><c:many/></c:identity></c:conditions>\
         <c:actions><sub-handling>{handling}</sub-handling></c:actions>\
         <c:transformations>{shows}</c:transformations></c:rule></c:ruleset>"
    );
    let put = curl(
        at,
        "alice",
        &rules_of("alice"),
        &["-X", "PUT", "-H", RULES, "--data-binary", &rules],
    );
    assert!(matches!(put.0, 200 | 201), "{put:?}");
}

const ACTIVITIES: &str = "<provide-persons><all-persons/></provide-persons>\
    <provide-activities>true</provide-activities>";

fn busy_alice() -> (Server, RvpActor) {
    let server = Server::start_sip(&["alice", "bob", "carol"], WS, "");
    let mut alice = RvpActor::new("alice", server.rvp, Encoding::Characters).expect("alice");
    alice.sign_in().expect("alice signs in");
    alice.set_state("busy").expect("alice is busy");
    (server, alice)
}

/// One on each stack.
fn bob_and_carol(server: &Server) -> (SipActor, RvpActor) {
    let mut bob = SipActor::udp("bob", server.sip_udp).expect("bob");
    bob.sign_in().expect("bob signs in");
    let mut carol = RvpActor::new("carol", server.rvp, Encoding::Characters).expect("carol");
    carol.sign_in().expect("carol signs in");
    (bob, carol)
}

#[test]
fn transformations_bind_watchers_of_both_stacks() {
    if !curl_is_here() {
        return;
    }
    let (server, _alice) = busy_alice();
    let at = server.sip_ws.expect("a listener");
    let (mut bob, mut carol) = bob_and_carol(&server);
    let mut watchers: [&mut dyn Actor; 2] = [&mut bob, &mut carol];
    for watcher in &mut watchers {
        watcher.watch("alice").expect("watches");
        sees(*watcher, "alice", "busy");
    }
    let all_see = |state: &str| watchers.iter().for_each(|w| sees(*w, "alice", state));
    // Whether she can be reached is all that is left.
    everybody(at, "allow", "");
    all_see("online");
    everybody(at, "allow", ACTIVITIES);
    all_see("busy");
    everybody(at, "allow", "");
    all_see("online");
    everybody(at, "polite-block", ACTIVITIES);
    all_see("offline");
}

#[test]
fn a_watcher_of_either_stack_waits_until_the_rules_say_allow() {
    if !curl_is_here() {
        return;
    }
    let (server, _alice) = busy_alice();
    let at = server.sip_ws.expect("a listener");
    everybody(at, "confirm", "");
    let (mut bob, mut carol) = bob_and_carol(&server);
    bob.watch("alice").expect("bob watches");
    sees(&bob, "alice", "pending");
    carol.watch("alice").expect("carol watches");
    // RVP has no word for it.
    sees(&carol, "alice", "offline");
    everybody(at, "allow", ACTIVITIES);
    sees(&bob, "alice", "busy");
    sees(&carol, "alice", "busy");
}
