//! Tristack and Tristack over SIP, found by SRV records.

use crate::actor::{Actor, Heard, RvpActor, SipActor};
use crate::resolver::Resolver;
use crate::scene::{PATIENCE, hears, ip, place, rvp, says, sees, sip, sip_tcp, tail, until, waits};
use crate::server::{Plan, Server};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

const A: &str = "a.example";
const B: &str = "b.example";

pub struct Pair {
    pub a: Server,
    pub b: Server,
    dns: Resolver,
}

impl Pair {
    /// Two domains that trust each other by address; `by` are the services in the name server.
    pub fn start(by: &[&str]) -> Self {
        let (at, bt) = (place(), place());
        let dns = Resolver::start(Ipv4Addr::LOCALHOST);
        let sip = format!("nameservers = [\"{}\"]\npeer_check = \"500ms\"\n", dns.at);
        let server = |domain: &str, here, other: &str, there| {
            let rest = format!(
                "[sip.peers.\"{other}\"]\ntrust = \"address\"\naddresses = [\"{there}\"]\n\
                 [domain.\"{domain}\"]\nforeign = [\"{other}\"]\n"
            );
            Server::planned(&Plan {
                domain,
                ip: ip(here),
                users: &["alice", "bob", "carol"],
                rvp: crate::scene::NEAR,
                sip: &sip,
                rest: &rest,
            })
        };
        let pair = Self {
            a: server(A, at, B, bt),
            b: server(B, bt, A, at),
            dns,
        };
        for (domain, server, here) in [(A, &pair.a, at), (B, &pair.b, bt)] {
            let host = format!("sip.{domain}");
            pair.dns.host(&host, here);
            for service in by {
                let port = match *service {
                    "_sip._udp" => server.sip_udp.port(),
                    _ => server.sip_tcp.port(),
                };
                let name = format!("{service}.{domain}");
                pair.dns.sip_service(&name, 1, 1, &host, port);
            }
        }
        pair
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- a\n{}\n--- b\n{}", tail(&self.a), tail(&self.b));
        }
    }
}

/// An RVP and a SIP user here, both kinds there: everybody talks with and sees everybody.
fn talk_and_see(pair: &Pair, connect: fn(&str, &Server, &str) -> SipActor) {
    let mut alice = rvp("alice", &pair.a);
    let mut bob = connect("bob", &pair.a, A);
    let mut carol = rvp("carol", &pair.b);
    let mut other_bob = connect("bob", &pair.b, B);

    for (who, name) in [(&mut alice as &mut dyn Actor, "alice"), (&mut bob, "bob")] {
        says(who, "carol@b.example", &format!("to RVP from {name}"));
        hears(&carol, name, &format!("to RVP from {name}"));
        says(
            who,
            "bob@b.example",
            &format!("to SIP from {name}, \u{e9}\u{4e2d}"),
        );
        hears(
            &other_bob,
            name,
            &format!("to SIP from {name}, \u{e9}\u{4e2d}"),
        );
    }
    for (who, name) in [
        (&mut carol as &mut dyn Actor, "carol"),
        (&mut other_bob, "bob"),
    ] {
        says(who, "alice@a.example", &format!("to RVP from {name}"));
        hears(&alice, name, &format!("to RVP from {name}"));
        says(who, "bob@a.example", &format!("to SIP from {name}"));
        hears(&bob, name, &format!("to SIP from {name}"));
    }

    for who in [&mut alice as &mut dyn Actor, &mut bob] {
        for name in ["carol", "bob"] {
            who.watch(&format!("{name}@b.example")).expect("watching");
            sees(who, name, "online");
        }
    }
    carol.set_state("busy").expect("set");
    for who in [&alice as &dyn Actor, &bob] {
        sees(who, "carol", "busy");
    }
    other_bob.set_state("at-lunch").expect("set");
    for who in [&alice as &dyn Actor, &bob] {
        sees(who, "bob", "at-lunch");
    }

    // isComposing and TypingUser, across domain and protocol.
    assert_eq!(alice.typing("bob@b.example").unwrap() / 100, 2);
    waits(&other_bob, &typing("alice"));
    assert_eq!(other_bob.typing("alice@a.example").unwrap() / 100, 2);
    waits(&alice, &typing("bob"));
}

fn typing(from: &str) -> Heard {
    Heard::Typing {
        from: from.to_owned(),
        active: true,
    }
}

#[test]
fn two_domains_talk_and_see_each_other_over_udp() {
    let pair = Pair::start(&["_sip._udp"]);
    talk_and_see(&pair, sip);
    // Larger than a datagram should be: over TCP, though only UDP is in the name server.
    let mut alice = rvp("alice", &pair.a);
    let carol = sip("carol", &pair.b, B);
    let long = "long ".repeat(400);
    says(&mut alice, "carol@b.example", &long);
    hears(&carol, "alice", &long);
}

#[test]
fn two_domains_talk_and_see_each_other_over_tcp() {
    let pair = Pair::start(&["_sip._tcp"]);
    talk_and_see(&pair, sip_tcp);
}

#[test]
fn what_is_not_there_is_said_as_if_it_were_ours() {
    let pair = Pair::start(&["_sip._udp"]);
    let mut alice = rvp("alice", &pair.a);
    let mut bob = sip("bob", &pair.a, A);
    // Nobody of that name, nobody signed in, no way there.
    assert_eq!(alice.say("nobody@b.example", "?").unwrap(), 404);
    assert_eq!(bob.say("nobody@b.example", "?").unwrap(), 404);
    assert_eq!(alice.say("carol@b.example", "?").unwrap(), 412);
    assert_eq!(bob.say("carol@b.example", "?").unwrap(), 480);
    assert_eq!(alice.say("x@c.example", "?").unwrap(), 404);
    assert_eq!(bob.say("x@c.example", "?").unwrap(), 404);
}

#[test]
fn a_block_there_binds_one_watcher_here_and_no_other() {
    let pair = Pair::start(&["_sip._udp"]);
    let mut carol = rvp("carol", &pair.b);
    carol.block("alice@a.example", true).expect("blocked");
    let mut alice = rvp("alice", &pair.a);
    let mut bob = sip("bob", &pair.a, A);
    alice.watch("carol@b.example").expect("watching");
    bob.watch("carol@b.example").expect("watching");
    sees(&bob, "carol", "online");
    carol.set_state("busy").expect("set");
    sees(&bob, "carol", "busy");
    let mut seen = Vec::new();
    while let Some(Heard::Presence { state, .. }) =
        alice.next_kind(true, Duration::from_millis(500))
    {
        seen.push(state);
    }
    assert!(seen.iter().all(|state| state == "offline"), "{seen:?}");
    assert_eq!(alice.say("carol@b.example", "?").unwrap(), 412);
    says(&mut bob, "carol@b.example", "hello");
    hears(&carol, "bob", "hello");
}

#[test]
fn either_server_may_die_and_come_back() {
    let mut pair = Pair::start(&["_sip._tcp"]);
    let mut alice = rvp("alice", &pair.a);
    let mut bob = sip("bob", &pair.a, A);
    let mut carol = rvp("carol", &pair.b);
    for who in [&mut alice as &mut dyn Actor, &mut bob] {
        who.watch("carol@b.example").expect("watching");
        sees(who, "carol", "online");
    }
    says(&mut alice, "carol@b.example", "before");
    hears(&carol, "alice", "before");

    pair.b.kill();
    for who in [&alice as &dyn Actor, &bob] {
        sees(who, "carol", "offline");
    }
    let told = until(
        || alice.say("carol@b.example", "?").unwrap(),
        |told| told >= 400,
    );
    assert_eq!(told, 412, "as if nobody were there");
    assert_eq!(bob.say("carol@b.example", "?").unwrap(), 480);
    let output = pair.a.command(&["peers"]).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("b.example") && text.contains("connect"),
        "{text}"
    );

    pair.b.launch();
    for who in [&alice as &dyn Actor, &bob] {
        sees(who, "carol", "online");
    }
    until(
        || alice.say("carol@b.example", "after").unwrap(),
        |told| told == 200,
    );
    hears(&carol, "alice", "after");

    // Our own restart: the watches are still there, and what is told at the neighbour comes.
    pair.a.kill_and_restart();
    carol.set_state("away").expect("set");
    sees(&alice, "carol", "away");
    sees(&bob, "carol", "away");
    says(&mut carol, "alice@a.example", "again");
    hears(&alice, "carol", "again");
}

#[test]
fn who_watches_no_more_is_not_subscribed_for_any_more() {
    let pair = Pair::start(&["_sip._udp"]);
    let mut bob = sip("bob", &pair.a, A);
    let _carol = rvp("carol", &pair.b);
    let to = "sip:carol@b.example";
    let headers = "Event: presence\r\nAccept: application/pidf+xml\r\nExpires: 3600\r\n";
    let answer = bob
        .request("SUBSCRIBE", to, to, "leaving", headers, "")
        .unwrap();
    assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
    sees(&bob, "carol", "online");
    let watched = || {
        let arguments = ["who", "carol@b.example", "--json"];
        let output = pair.b.command(&arguments).output().expect("it runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(watched().contains("bob@a.example"), "{}", watched());
    let mut lines = answer.lines();
    let within = lines.find_map(|line| line.strip_prefix("To: ")).unwrap();
    let headers = "Event: presence\r\nAccept: application/pidf+xml\r\nExpires: 0\r\n";
    let answer = bob
        .request("SUBSCRIBE", to, within, "leaving", headers, "")
        .unwrap();
    assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
    let end = Instant::now() + PATIENCE;
    while watched().contains("bob@a.example") {
        assert!(Instant::now() < end, "{}", watched());
    }
}
