//! Filters of an operator, on the real binary with users of both protocols.

mod support;

use std::time::Duration;
use support::actor::{Actor, Encoding, Heard, RvpActor, SipActor, sip_status};
use support::server::Server;

const PATIENCE: Duration = Duration::from_secs(10);

const FILTERS: &str = r#"
[[filter]]
name = "secrets"
patterns = ['(?i)project\s+x']
reason = "Project X is not spoken of"

[[filter]]
name = "cards"
action = "modify"
patterns = ['\b\d{16}\b']
replace = "[card]"

[[filter]]
name = "links"
kind = "urls"
list = "allow"
hosts = ["example.com"]

[[filter]]
name = "trial"
patterns = ["lunch"]
test = true

[[filter]]
name = "carol-talks-little"
kind = "rate"
from = ["carol@example.com"]
messages = 2
per = "10h"
"#;

/// Alice on RVP, Bob and Carol on SIP.
struct People {
    alice: RvpActor,
    bob: SipActor,
    carol: SipActor,
}

fn people(server: &Server) -> People {
    let sip = |name| SipActor::tcp(name, server.sip_tcp).expect("a SIP user");
    let mut people = People {
        alice: RvpActor::new("alice", server.rvp, Encoding::Characters).expect("alice"),
        bob: sip("bob"),
        carol: sip("carol"),
    };
    people.alice.sign_in().expect("alice signs in");
    people.bob.sign_in().expect("bob signs in");
    people.carol.sign_in().expect("carol signs in");
    people
}

fn hears(who: &mut impl Actor, from: &str, text: &str) {
    let heard = who.next_kind(false, PATIENCE);
    let wanted = Heard::Text {
        from: from.to_owned(),
        text: text.to_owned(),
    };
    assert_eq!(heard, Some(wanted));
}

fn asks(server: &Server, arguments: &[&str]) -> String {
    let output = server.command(arguments).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {text}{errors}");
    text
}

#[test]
fn filters_refuse_with_a_reason_or_change_and_the_trace_names_them() {
    let server = Server::start_with(&["alice", "bob", "carol"], FILTERS);
    let mut people = people(&server);
    // What is refused is refused in the sender's own protocol, and nobody hears it: the next thing
    // that Bob hears is the next text.
    assert_eq!(people.alice.say("bob", "PROJECT  x!").expect("answer"), 403);
    assert_eq!(people.carol.say("bob", "project x").expect("answer"), 403);
    assert_eq!(
        people
            .alice
            .say("bob", "see http://evil.test/")
            .expect("answer"),
        403
    );
    assert_eq!(people.alice.say("bob", "lunch?").expect("answer"), 200);
    hears(&mut people.bob, "alice", "lunch?");
    // Changed, across protocols and within one.
    assert_eq!(
        people
            .alice
            .say("bob", "pay 1234567812345678")
            .expect("answer"),
        200
    );
    hears(&mut people.bob, "alice", "pay [card]");
    assert_eq!(
        people
            .bob
            .say("carol", "pay 1234567812345678")
            .expect("answer"),
        200
    );
    hears(&mut people.carol, "bob", "pay [card]");
    // Carol has sent one that was refused before it was counted, and may send two.
    assert_eq!(people.carol.say("alice", "one").expect("answer"), 200);
    assert_eq!(people.carol.say("alice", "two").expect("answer"), 200);
    assert_eq!(people.carol.say("alice", "three").expect("answer"), 403);
    hears(&mut people.alice, "carol", "one");
    hears(&mut people.alice, "carol", "two");
    assert_eq!(people.bob.say("alice", "four").expect("answer"), 200);
    hears(&mut people.alice, "bob", "four");

    let trace = asks(&server, &["trace", "--user", "alice@example.com"]);
    assert!(trace.contains("secrets: refused"), "{trace}");
    assert!(
        trace.contains("links: refused") && trace.contains("cards: changed"),
        "{trace}"
    );
    assert!(trace.contains("Project X is not spoken of"), "{trace}");
    assert!(!trace.contains("trial:"), "it only counts: {trace}");
}

#[test]
fn the_reason_stands_in_the_answer_of_both_protocols() {
    let server = Server::start_with(&["alice", "bob"], FILTERS);
    let mut bob = SipActor::tcp("bob", server.sip_tcp).expect("bob");
    let mut alice = RvpActor::new("alice", server.rvp, Encoding::Characters).expect("alice");
    alice.sign_in().expect("alice signs in");
    let (uri, plain) = ("sip:alice@example.com", "Content-Type: text/plain\r\n");
    let answer = bob.request("MESSAGE", uri, uri, "call-1", plain, "project x");
    let answer = answer.expect("an answer");
    assert_eq!(sip_status(&answer), 403);
    assert!(
        answer.starts_with("SIP/2.0 403 Project X is not spoken of\r\n"),
        "{answer}"
    );
    assert_eq!(alice.say("bob", "project x").expect("an answer"), 403);
    let last = alice.last_body();
    assert!(last.contains("Project X is not spoken of"), "{last}");
}

#[test]
fn what_can_not_be_meant_is_found_by_check() {
    for (lines, wanted) in [
        ("[[filter]]\nkind = \"size\"", "needs a name"),
        (
            "[[filter]]\nname = \"x\"",
            "a filter of kind \"pattern\" needs some",
        ),
        (
            "[[filter]]\nname = \"x\"\npatterns = [\"(\"]",
            "unclosed group",
        ),
        (
            "[[filter]]\nname = \"x\"\npatterns = ['(\\w{1000}){1000}']",
            "size limit",
        ),
        (
            "[[filter]]\nname = \"x\"\nkind = \"size\"\naction = \"modify\"",
            "refuse",
        ),
        (
            "[[filter]]\nname = \"x\"\nkind = \"rate\"\nmessages = 0",
            "more than 0",
        ),
        (
            "[[filter]]\nname = \"x\"\nkind = \"urls\"",
            "denies nothing",
        ),
        (
            "[[filter]]\nname = \"x\"\nfrom = [\"a b@c\"]",
            "* may stand for anything",
        ),
        (
            "[[filter]]\nname = \"x\"\npatern = [\"a\"]",
            "did you mean `patterns`?",
        ),
        ("[filter]\nname = \"x\"", "write [[filter]]"),
    ] {
        let faults = tristack::config::Config::from_text(lines, None, Default::default());
        let text = faults.map(drop).expect_err(lines).to_string();
        assert!(text.contains(wanted), "{lines}: {text}");
    }
    let server = Server::start_with(&[], FILTERS);
    let check = asks(&server, &["check"]);
    assert_eq!(check.matches("[[filter]]").count(), 5, "{check}");
}
