//! Filters of an operator, on the real binary with users of both protocols.

mod support;

use std::collections::BTreeMap;
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

const HOLDS: &str = r#"
[[filter]]
name = "review"
action = "hold"
patterns = ["merger"]
reason = "a colleague looks at it first"
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
fn what_is_said_among_many_is_filtered_for_each() {
    let server = Server::start_with(&["alice", "bob", "carol"], FILTERS);
    let People {
        alice,
        mut bob,
        carol,
    } = people(&server);
    assert_eq!(bob.open("alice").expect("an answer"), 200);
    joins(&bob, "alice");
    assert_eq!(bob.add("carol").expect("an answer"), 200);
    joins(&bob, "carol");
    assert_ne!(bob.tell("about Project X").expect("an answer"), 200);
    let told = bob.tell("pay with 4111111111111111 today");
    assert_eq!(told.expect("an answer"), 200);
    // Nothing came before it, and on no stack is the number shown.
    for actor in [&alice as &dyn Actor, &carol] {
        let wanted = actor.in_conversation("bob", "pay with [card] today");
        let first = loop {
            match actor.next(PATIENCE) {
                Some(heard) if tells(&heard, &["pay", "Project"]) => break heard,
                Some(_) => {}
                None => panic!("nothing was heard of bob"),
            }
        };
        assert_eq!(first, wanted);
    }
}

fn tells(heard: &Heard, words: &[&str]) -> bool {
    matches!(heard, Heard::Text { text, .. } if words.iter().any(|word| text.contains(word)))
}

fn joins(actor: &dyn Actor, who: &str) {
    loop {
        match actor.next(PATIENCE) {
            Some(heard) if actor.is_news(&heard, who, true) => return,
            Some(_) => {}
            None => panic!("nobody said that {who} joined"),
        }
    }
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
        (
            "[[filter]]\nname = \"x\"\nkind = \"http\"\nurl = \"http://host/\"",
            "by address",
        ),
        (
            "[[filter]]\nname = \"x\"\nkind = \"rule\"\naction = \"route\"",
            "to whom",
        ),
        ("[filter]\nname = \"x\"", "write [[filter]]"),
    ] {
        let faults = tristack::config::Config::from_text(lines, None, BTreeMap::new());
        let text = faults.map(drop).expect_err(lines).to_string();
        assert!(text.contains(wanted), "{lines}: {text}");
    }
    let server = Server::start_with(&[], FILTERS);
    let check = asks(&server, &["check"]);
    assert_eq!(check.matches("[[filter]]").count(), 5, "{check}");
}

/// The ids of what is held, oldest first.
fn held(server: &Server) -> Vec<(String, String)> {
    let text = asks(server, &["filter", "held", "--json"]);
    let rows: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let word = |row: &serde_json::Value, key: &str| row[key].as_str().unwrap_or("").to_owned();
    let rows = rows.as_array().expect("a list").iter();
    let mut rows: Vec<_> = rows
        .map(|r| (word(r, "message"), word(r, "text")))
        .collect();
    rows.sort();
    rows
}

#[test]
fn what_is_held_outlives_kill_9_until_an_operator_decides() {
    let mut server = Server::start_with(&["alice", "bob", "carol"], HOLDS);
    let mut first = people(&server);
    assert_eq!(first.alice.say("bob", "merger one").expect("answer"), 200);
    assert_eq!(first.bob.say("alice", "merger two").expect("answer"), 202);
    // Others of the conversation do not wait.
    assert_eq!(first.alice.say("bob", "lunch?").expect("answer"), 200);
    hears(&mut first.bob, "alice", "lunch?");
    first.alice.sign_out().expect("alice signs out");
    first.bob.sign_out().expect("bob signs out");
    server.kill_and_restart();
    let mut people = people(&server);
    let waiting = held(&server);
    let texts: Vec<_> = waiting.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["merger one", "merger two"]);

    asks(&server, &["filter", "release", &waiting[0].0]);
    hears(&mut people.bob, "alice", "merger one");
    asks(
        &server,
        &["filter", "drop", &waiting[1].0, "--reason", "not yet"],
    );
    let told = people.bob.next_kind(false, PATIENCE);
    let Some(Heard::Text { from, text }) = told else {
        panic!("{told:?}");
    };
    assert!(
        from == "postmaster" && text.contains("alice@example.com"),
        "{from}: {text}"
    );
    assert!(text.contains("not yet"), "{text}");
    assert_eq!(held(&server), []);
    let again = server
        .command(&["filter", "release", &waiting[0].0])
        .output();
    assert!(!again.expect("it runs").status.success(), "decided once");
    // Alice, to whom it was written, hears nothing of the dropped one.
    assert_eq!(people.carol.say("alice", "done").expect("answer"), 200);
    hears(&mut people.alice, "carol", "done");
    let list = asks(&server, &["filter", "list"]);
    assert!(list.contains("review"), "{list}");
}

#[test]
fn what_can_not_be_delivered_stays_held() {
    let server = Server::start_with(&["alice", "bob", "carol"], HOLDS);
    let mut people = people(&server);
    people.bob.sign_out().expect("bob signs out");
    assert_eq!(people.alice.say("bob", "merger").expect("answer"), 200);
    let waiting = held(&server);
    let release = server
        .command(&["filter", "release", &waiting[0].0])
        .output();
    let release = release.expect("it runs");
    let said = String::from_utf8_lossy(&release.stderr).into_owned();
    assert!(
        !release.status.success() && said.contains("still held"),
        "{said}"
    );
    assert_eq!(held(&server), waiting);
    people.bob.sign_in().expect("bob signs in");
    asks(&server, &["filter", "release", &waiting[0].0]);
    hears(&mut people.bob, "alice", "merger");
    assert_eq!(held(&server), []);
}

/// A service that answers each question by its text: "to carol" is routed to Carol, "ping" is
/// replied to, "no" is refused, everything else passes.
fn service() -> std::net::SocketAddr {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let (mut asked, mut octets) = (Vec::new(), [0; 4096]);
            while !asked.ends_with(b"}") {
                match stream.read(&mut octets) {
                    Ok(count @ 1..) => asked.extend_from_slice(&octets[..count]),
                    _ => return,
                }
            }
            let asked = String::from_utf8_lossy(&asked).into_owned();
            let says = |text: &str| asked.contains(&format!("\"text\":\"{text}\""));
            let answer = match () {
                () if says("to carol") => r#"{"verdict":"route","to":"carol@example.com"}"#,
                () if says("ping") => r#"{"verdict":"reply","text":"pong"}"#,
                () if says("no") => r#"{"verdict":"refuse","reason":"said no"}"#,
                () => r#"{"verdict":"allow"}"#,
            };
            let size = answer.len();
            let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n{answer}");
            let _ = stream.write_all(text.as_bytes());
        }
    });
    address
}

#[test]
fn a_service_routes_answers_and_refuses_on_both_protocols() {
    let url = format!("http://{}/judge", service());
    let lines = format!(
        "[[filter]]\nname = \"ask\"\nkind = \"http\"\nurl = \"{url}\"\ntimeout = \"30s\"\n"
    );
    let server = Server::start_with(&["alice", "bob", "carol"], &lines);
    let mut people = people(&server);
    assert_eq!(people.alice.say("bob", "hello").expect("answer"), 200);
    hears(&mut people.bob, "alice", "hello");
    // Carol gets what was written to Bob, from RVP and from SIP.
    assert_eq!(people.alice.say("bob", "to carol").expect("answer"), 200);
    hears(&mut people.carol, "alice", "to carol");
    assert_eq!(people.bob.say("alice", "to carol").expect("answer"), 200);
    hears(&mut people.carol, "bob", "to carol");
    // The sender is answered in Bob's name, and Bob hears nothing of it.
    assert_eq!(people.alice.say("bob", "ping").expect("answer"), 200);
    hears(&mut people.alice, "bob", "pong");
    assert_eq!(people.alice.say("bob", "no").expect("answer"), 403);
    assert!(people.alice.last_body().contains("said no"));
    assert_eq!(people.alice.say("bob", "last").expect("answer"), 200);
    hears(&mut people.bob, "alice", "last");
    let trace = asks(&server, &["trace", "--user", "alice@example.com"]);
    assert!(
        trace.contains("ask: routed") && trace.contains("ask: answered"),
        "{trace}"
    );
}

#[test]
fn rules_answer_by_the_hour_and_rule_test_explains_them() {
    let lines = "[[filter]]\nname = \"night\"\nkind = \"rule\"\nto = [\"bob@example.com\"]\n\
                 hours = \"18:00-08:00\"\naction = \"reply\"\nreply = \"Bob is at home\"\n\
                 [[filter]]\nname = \"desk\"\nkind = \"rule\"\nto = [\"bob@example.com\"]\n\
                 action = \"route\"\nroute = \"carol@example.com\"\n\
                 [[filter]]\nname = \"words\"\npatterns = [\"secret\"]\ntest = true\n";
    let server = Server::start_with(&["alice", "bob", "carol"], lines);
    let explain = |at: &str, to: &str, text: &str| {
        let from = ["rule", "test", "--from", "alice@example.com", "--to", to];
        let rest = ["--text", text, "--at", at];
        asks(&server, &[&from[..], &rest[..]].concat())
    };
    let night = explain("2026-11-29T23:00", "bob@example.com", "hi");
    assert!(
        night.contains("night") && night.contains("Bob is at home"),
        "{night}"
    );
    assert!(
        !night.contains("desk"),
        "nothing is asked behind it: {night}"
    );
    let day = explain("2026-11-29T12:00", "bob@example.com", "hi");
    assert!(day.contains("desk: goes to carol@example.com"), "{day}");
    let other = explain("2026-11-29T12:00", "carol@example.com", "a secret");
    assert!(
        other.contains("test mode") && other.contains("It is delivered"),
        "{other}"
    );
}
