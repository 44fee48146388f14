//! What keeps a text from its recipient, and what the sender is told: one table, printed to
//! `tests/outcomes.txt`, compared with what the real server answers on both protocols; and the
//! matrix of the README, printed from the fidelity table.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test --test outcomes` writes both anew.

mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::actor::{Actor, Encoding, RvpActor, SipActor, sip_status};
use support::server::Server;
use tristack::core::fidelity::FidelityTable;
use tristack::core::id::Stack;
use tristack::core::message::{Fidelity, Kind};
use tristack::core::outcomes::outcomes;
use tristack::front::{RVP, SIP, rvp, sip};

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares a file with what it should hold, or writes it.
fn snapshot(path: &str, wanted: &str) {
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(at(path), wanted).expect("a writable snapshot");
    }
    let have = std::fs::read_to_string(at(path)).unwrap_or_default();
    assert_eq!(have, wanted, "{path} differs: UPDATE_SNAPSHOTS=1 writes it");
}

fn table() -> String {
    let mut out = String::from(
        "What a sender is told when a text does not arrive, and why (src/core/outcomes.rs).\n\
         Written by tests/outcomes.rs.\n\n",
    );
    let _ = writeln!(out, "{:<28}{:<6}{:<6}cause in the trace", "", "RVP", "SIP");
    for (situation, error) in outcomes() {
        let (r, s) = (rvp::status_of(&error), sip::status_of(&error));
        let _ = writeln!(out, "{situation:<28}{r:<6}{s:<6}{error}");
    }
    out
}

#[test]
fn the_table_of_outcomes_is_the_one_that_is_written_down() {
    let table = table();
    print!("{table}");
    snapshot("tests/outcomes.txt", &table);
}

/// A sender on each protocol.
struct Senders {
    rvp: RvpActor,
    sip: SipActor,
}

impl Senders {
    fn new(server: &Server) -> Self {
        Self {
            rvp: RvpActor::new("alice", server.rvp, Encoding::Characters).expect("alice"),
            sip: SipActor::udp("carol", server.sip_udp).expect("carol"),
        }
    }

    fn say(&mut self, to: &str) -> (u16, u16) {
        let by_rvp = self.rvp.say(to, "are you there?").expect("an answer");
        (
            by_rvp,
            self.sip.say(to, "are you there?").expect("an answer"),
        )
    }
}

fn expected(situation: &str) -> (u16, u16) {
    let found = outcomes().into_iter().find(|(name, _)| *name == situation);
    let (_, error) = found.expect("a row of the table");
    (rvp::status_of(&error), sip::status_of(&error))
}

fn bob(server: &Server) -> RvpActor {
    let mut bob = RvpActor::new("bob", server.rvp, Encoding::Characters).expect("bob");
    bob.sign_in().expect("bob signs in");
    bob
}

#[test]
fn the_server_answers_as_the_table_says() {
    let server = Server::start(&["alice", "bob", "carol"]);
    let mut senders = Senders::new(&server);
    let mut seen = vec![
        ("nobody signed in", senders.say("bob")),
        ("unknown user", senders.say("nobody")),
        ("unknown domain", strangers(&mut senders)),
    ];
    let headers = "Notification-Type: pragma/notify\r\nSubscription-Lifetime: 600\r\n\
                   Call-Back: http://192.0.2.1:7777\r\n";
    let mut aside = RvpActor::new("bob", server.rvp, Encoding::Characters).expect("bob");
    let (status, head, _) = aside
        .request("SUBSCRIBE", "bob", headers, "")
        .expect("an answer");
    assert_eq!(
        status, 200,
        "send-only sign-in succeeds (decisions 28): {head}"
    );
    seen.push(("send-only point", senders.say("bob")));
    let id = head.split("Subscription-Id: ").nth(1);
    let id = id.and_then(|rest| rest.lines().next()).expect("an id");
    let ended = aside.request(
        "UNSUBSCRIBE",
        "bob",
        &format!("Subscription-Id: {id}\r\n"),
        "",
    );
    assert_eq!(ended.expect("an answer").0, 200);

    let mut blocking = bob(&server);
    blocking.block("alice", true).expect("a block");
    seen.push((
        "blocked sender",
        (senders.rvp.say("bob", "?").expect("an answer"), 0),
    ));
    blocking.block("carol", true).expect("a block");
    let (_, last) = seen.last_mut().expect("a row");
    last.1 = senders.sip.say("bob", "?").expect("an answer");
    assert_eq!(blocking.next_kind(false, Duration::from_secs(1)), None);
    blocking.block("alice", false).expect("no block");
    assert_eq!(senders.say("bob"), (200, 200), "reachable again");
    blocking.vanish();
    seen.push(("dead callback", senders.say("bob")));
    for (situation, told) in seen {
        assert_eq!(told, expected(situation), "{situation}");
    }
}

/// A recipient at a domain that is not ours, on each protocol.
fn strangers(senders: &mut Senders) -> (u16, u16) {
    let to = "sip:bob@elsewhere.example";
    let headers = "Content-Type: text/plain\r\n";
    let answer = senders
        .sip
        .request("MESSAGE", to, to, "elsewhere", headers, "?")
        .expect("an answer");
    let foreign = senders
        .rvp
        .say_at("elsewhere.example", "bob", "?")
        .expect("an answer");
    (foreign, sip_status(&answer))
}

/// A client that takes connections and never answers; a queue of one.
#[test]
fn a_full_inbox_is_told_at_once_on_both_protocols() {
    let names = ["bob", "a0", "a1", "a2", "a3", "c0", "c1", "c2", "c3"];
    let server = Server::start_with(&names, "[limits]\ninbox_queue = 1\n");
    let mut bob = bob(&server);
    bob.answer_with(0);
    let crowd: Vec<_> = (0..4)
        .map(|n| {
            let (rvp, sip) = (server.rvp, server.sip_udp);
            std::thread::spawn(move || {
                let mut alice =
                    RvpActor::new(&format!("a{n}"), rvp, Encoding::Characters).expect("alice");
                let mut carol = SipActor::udp(&format!("c{n}"), sip).expect("carol");
                let by_rvp = std::thread::spawn(move || alice.say("bob", "?").expect("an answer"));
                (carol.say("bob", "?").expect("an answer"), by_rvp.join())
            })
        })
        .collect();
    let mut told = (Vec::new(), Vec::new());
    for sender in crowd {
        let (by_sip, by_rvp) = sender.join().expect("a sender");
        told.0.push(by_rvp.expect("a sender"));
        told.1.push(by_sip);
    }
    let (by_rvp, by_sip) = expected("full inbox");
    assert!(told.0.contains(&by_rvp), "{by_rvp} expected: {told:?}");
    assert!(told.1.contains(&by_sip), "{by_sip} expected: {told:?}");
}

const BEGIN: &str = "<!-- matrix: written by tests/outcomes.rs -->\n";
const END: &str = "<!-- end of matrix -->";

fn matrix() -> String {
    let mut table = FidelityTable::new();
    table.put(RVP, rvp::FIDELITY);
    table.put(SIP, sip::FIDELITY);
    let stacks = [("RVP", RVP), ("SIP", SIP)];
    let ways: Vec<(String, Stack, Stack)> = stacks
        .iter()
        .flat_map(|(a, from)| stacks.map(|(b, to)| (format!("{a} to {b}"), *from, to)))
        .collect();
    let mut out = String::from("| |");
    for (name, ..) in &ways {
        let _ = write!(out, " {name} |");
    }
    out.push_str("\n|---|---|---|---|---|\n");
    for (kind, name) in [
        (Kind::Text, "text, all of Unicode"),
        (Kind::Typing, "typing"),
        (Kind::Join, "joining a conversation"),
        (Kind::Leave, "leaving a conversation"),
        (Kind::Invitation, "application invitations"),
        (Kind::Receipt, "receipts (imdn)"),
        (Kind::Opaque, "applications' own notifications"),
    ] {
        let _ = write!(out, "| {name} |");
        for (_, from, to) in &ways {
            // What a stack has no word for is not passed on within it either.
            let own = match (kind, *from == SIP) {
                (Kind::Join | Kind::Leave | Kind::Invitation | Kind::Opaque, true)
                | (Kind::Receipt, false) => None,
                _ => Some(table.between(*from, *to, kind)),
            };
            let word = match own {
                // An RVP client makes none: the server tells what it knows (RFC 5438).
                None if kind == Kind::Receipt && *to == SIP => "made here",
                None => "-",
                Some(Fidelity::Exact) => "untouched",
                Some(Fidelity::Adapted) => "translated",
                Some(Fidelity::Dropped) => "answered, not shown",
                // Decision 23: with a refusal in the sender's protocol and a notice to both.
                Some(Fidelity::Refused) if kind == Kind::Invitation => "declined, both are told",
                Some(Fidelity::Refused) => "refused",
            };
            let _ = write!(out, " {word} |");
        }
        out.push('\n');
    }
    own_rows(&mut out, &table);
    out
}

/// What a person does on one device, on the others.
fn own_rows(out: &mut String, table: &FidelityTable) {
    let column = |stack: Stack| {
        let found = table.columns().iter().find(|(name, _)| *name == stack);
        found.expect("a column").1
    };
    let word = |fidelity| match fidelity {
        Fidelity::Exact | Fidelity::Adapted => "to clients that watch themselves",
        Fidelity::Dropped => "not shown",
        Fidelity::Refused => "-",
    };
    for (name, own) in [
        (
            "one's own state, on one's other devices",
            [RVP, SIP].map(|s| column(s).own_state),
        ),
        (
            "one's own texts, on one's other devices",
            [RVP, SIP].map(|s| column(s).own_texts),
        ),
    ] {
        let [rvp, sip] = own.map(word);
        let _ = writeln!(out, "| {name} | {rvp} | {sip} | {rvp} | {sip} |");
    }
}

#[test]
fn the_readme_shows_the_fidelity_table() {
    let readme = std::fs::read_to_string(at("README.md")).expect("README.md");
    let (before, rest) = readme.split_once(BEGIN).expect("a matrix in README.md");
    let (_, after) = rest.split_once(END).expect("the end of the matrix");
    snapshot(
        "README.md",
        &format!("{before}{BEGIN}{}{END}{after}", matrix()),
    );
}
