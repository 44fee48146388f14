//! Four in one conversation over real sockets: two RVP clients (one of each form of text), baresip
//! and a SIP user for whom SIPp writes.

use super::{PATIENCE, Sipp, have};
use crate::support::actor::{Actor, Encoding, Heard, RvpActor, SipActor};
use crate::support::baresip::Baresip;
use crate::support::server::Server;
use std::time::Duration;

/// Takes what is heard until `wanted` takes something.
fn find<T>(who: &dyn Actor, what: &str, wanted: impl Fn(&Heard) -> Option<T>) -> T {
    let mut heard = Vec::new();
    while let Some(next) = who.next_kind(false, PATIENCE) {
        if let Some(found) = wanted(&next) {
            return found;
        }
        heard.push(next);
    }
    panic!("{what} not heard, but {heard:?}");
}

fn text(heard: &Heard) -> Option<String> {
    match heard {
        Heard::Text { text, .. } => Some(text.clone()),
        _ => None,
    }
}

/// The next `count` texts, as they are shown on that stack.
fn texts(who: &dyn Actor, count: usize) -> Vec<String> {
    (0..count).map(|_| find(who, "a text", text)).collect()
}

#[test]
fn two_rvp_clients_baresip_and_sipp_talk_in_one_conversation() {
    if !(have("baresip") && have("sipp")) {
        return;
    }
    let server = Server::start(&["alice", "bob", "carol", "dave"]);
    let mut alice = RvpActor::new("alice", server.rvp, Encoding::Octets).expect("alice");
    let mut bob = RvpActor::new("bob", server.rvp, Encoding::Characters).expect("bob");
    let mut dave = SipActor::udp("dave", server.sip_udp).expect("dave");
    alice.sign_in().expect("alice signs in");
    bob.sign_in().expect("bob signs in");
    dave.sign_in().expect("dave signs in");
    assert_eq!(alice.say("bob", "hi").expect("an answer"), 200);
    assert_eq!(alice.add("dave").expect("an answer"), 200);
    let welcome = |heard: &Heard| match heard {
        Heard::Text { from, text } if text.contains("added you") => Some(from.clone()),
        _ => None,
    };
    let chat = find(&dave, "the welcome", welcome);
    // Its one contact is the conversation: whatever it writes goes there.
    let mut carol = Baresip::start(&server, "carol", &chat, "udp");
    carol.wait_for("1 binding");
    assert_eq!(alice.add("carol").expect("an answer"), 200);
    carol.wait_for("added you to a conversation");
    let joined = |heard: &Heard| {
        let who = String::from("carol");
        let join = Heard::Membership {
            from: who,
            joined: true,
        };
        (*heard == join).then_some(())
    };
    find(&alice, "carol's join", joined);
    find(&bob, "carol's join", joined);
    let line = |heard: &Heard| text(heard).filter(|line| line.contains("added carol"));
    find(&dave, "carol's coming", line);

    assert_eq!(bob.tell("Gr\u{fc}\u{df}e an alle").expect("answers"), 200);
    assert_eq!(texts(&alice, 1), ["Gr\u{fc}\u{df}e an alle"]);
    assert_eq!(texts(&dave, 1), ["bob: Gr\u{fc}\u{df}e an alle"]);
    carol.wait_for("bob: Gr\u{fc}\u{df}e an alle");

    carol.command("message", "greetings from baresip");
    assert_eq!(texts(&alice, 1), ["greetings from baresip"]);
    assert_eq!(texts(&bob, 1), ["greetings from baresip"]);
    assert_eq!(texts(&dave, 1), ["carol: greetings from baresip"]);

    // Ten at once for dave: each once and in one order for all.
    Sipp::new(&server).passes("message", "dave", &chat, 10, false);
    let at_alice = texts(&alice, 10);
    assert_eq!(at_alice, texts(&bob, 10), "one order");
    let mut once = at_alice.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), 10, "each once: {at_alice:?}");
    for said in &at_alice {
        carol.wait_for(&format!("dave: {}", said.trim_end()));
    }
    assert_eq!(bob.roster().expect("a roster"), ["alice", "carol", "dave"]);
    assert_eq!(dave.roster().expect("a roster"), ["alice", "bob", "carol"]);
    for who in [&alice as &dyn Actor, &bob, &dave] {
        assert_eq!(who.next_kind(false, Duration::from_secs(1)), None);
    }
}
