//! Calls, and whatever else is passed on, to and from neighbouring domains.

use crate::actor::{Actor, Heard, between, sip_status};
use crate::pair::Pair;
use crate::phone::{Call, Phone, SDP, recorded};
use crate::resolver::Resolver;
use crate::scene::{ip, place, rvp, tail, until};
use crate::server::{Plan, Server};
use crate::strange::{Mock, routed, server};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

const A: &str = "a.example";
const B: &str = "b.example";

/// A call is set up: both sides of it.
pub fn connect(caller: &mut Phone, callee: &mut Phone, to: &str) -> (Call, Call) {
    let mut call = caller.call(to, "");
    let invite = callee.gets("INVITE");
    callee.says(&invite, "180 Ringing");
    caller.answer("INVITE", |status| status == 180);
    callee.says(&invite, "200 OK");
    let ok = caller.hears("INVITE");
    assert_eq!(sip_status(&ok), 200, "{ok}");
    caller.acknowledge(&mut call, &ok);
    callee.gets("ACK");
    let theirs = callee.called(&invite);
    (call, theirs)
}

/// One ends the call, the other agrees.
pub fn hang_up(who: &mut Phone, call: &Call, other: &Phone) {
    who.within(call, "BYE", "");
    let bye = other.gets("BYE");
    other.says(&bye, "200 OK");
    let answer = who.hears("BYE");
    assert_eq!(sip_status(&answer), 200, "{answer}");
}

/// A new offer within the call.
pub fn offer_again(who: &mut Phone, call: &Call, other: &Phone) {
    who.within(call, "INVITE", SDP);
    let invite = other.gets("INVITE");
    assert!(invite.ends_with(SDP), "{invite}");
    other.says(&invite, "200 OK");
    assert_eq!(sip_status(&who.hears("INVITE")), 200);
    who.within(call, "ACK", "");
    other.gets("ACK");
}

fn calls_each_way(pair: &Pair) {
    let mut alice = Phone::of("alice", A, pair.a.sip_udp);
    let mut bob = Phone::of("bob", B, pair.b.sip_udp);

    let (call, theirs) = connect(&mut alice, &mut bob, "bob@b.example");
    offer_again(&mut bob, &theirs, &alice);
    hang_up(&mut alice, &call, &bob);

    let (call, theirs) = connect(&mut bob, &mut alice, "alice@a.example");
    offer_again(&mut bob, &call, &alice);
    hang_up(&mut alice, &theirs, &bob);
}

#[test]
fn calls_run_through_both_servers_each_way_over_udp() {
    calls_each_way(&Pair::start(&["_sip._udp"]));
}

#[test]
fn calls_run_through_both_servers_each_way_over_tcp() {
    calls_each_way(&Pair::start(&["_sip._tcp"]));
}

#[test]
fn what_goes_to_a_neighbour_is_untouched_but_for_what_a_proxy_writes() {
    let pair = Pair::start(&["_sip._tcp"]);
    let mut alice = Phone::of("alice", A, pair.a.sip_udp);
    let bob = Phone::of("bob", B, pair.b.sip_udp);
    let call = alice.call("bob@b.example", "");
    let invite = bob.gets("INVITE");
    assert!(invite.contains("X-Odd:   kept \t as is\r\n"), "{invite}");
    assert!(invite.ends_with(SDP), "{invite}");
    assert!(invite.contains("From: <sip:alice@a.example>;tag="));
    // Credentials were for us, and what a client asserts about itself counts nowhere.
    assert!(!invite.contains("Authorization"), "{invite}");
    assert!(!invite.contains("boss"), "{invite}");
    // Each server twice, since its sides differ in transport (RFC 5658), each with its token.
    let routes = recorded(&invite);
    assert_eq!(routes.len(), 4, "{routes:?}");
    let at = |server: &Server| {
        let ip = format!("@{}:", server.sip_udp.ip());
        let own = routes.iter().filter(|route| route.contains(&ip));
        own.count()
    };
    assert_eq!((at(&pair.a), at(&pair.b)), (2, 2), "{routes:?}");
    bob.says(&invite, "486 Busy Here");
    let busy = alice.hears("INVITE");
    assert_eq!(sip_status(&busy), 486, "{busy}");
    alice.give_up(&call, &busy);
}

#[test]
fn a_call_that_rings_at_a_neighbour_is_cancelled() {
    let pair = Pair::start(&["_sip._udp"]);
    let mut alice = Phone::of("alice", A, pair.a.sip_udp);
    let bob = Phone::of("bob", B, pair.b.sip_udp);
    let call = alice.call("bob@b.example", "");
    let invite = bob.gets("INVITE");
    bob.says(&invite, "180 Ringing");
    alice.answer("INVITE", |status| status == 180);
    alice.cancel(&call);
    let cancel = bob.gets("CANCEL");
    bob.says(&cancel, "200 OK");
    bob.says(&invite, "487 Request Terminated");
    let own = |text: &str| text.contains(" INVITE\r\n") && sip_status(text) >= 300;
    let end = alice.wait(own);
    assert_eq!(sip_status(&end), 487, "{end}");
    alice.give_up(&call, &end);
    bob.gets("ACK");
}

#[test]
fn a_call_of_a_neighbour_rings_all_phones_and_one_takes_it() {
    let pair = Pair::start(&["_sip._udp"]);
    let mut alice = Phone::of("alice", A, pair.a.sip_udp);
    let desk = Phone::of("bob", B, pair.b.sip_udp);
    let cell = Phone::of("bob", B, pair.b.sip_udp);
    let mut call = alice.call("bob@b.example", "");
    let invites = [desk.gets("INVITE"), cell.gets("INVITE")];
    for (phone, invite) in [&desk, &cell].into_iter().zip(&invites) {
        phone.says(invite, "180 Ringing");
    }
    alice.answer("INVITE", |status| status == 180);
    cell.says(&invites[1], "200 OK");
    let ok = alice.hears("INVITE");
    assert_eq!(sip_status(&ok), 200, "{ok}");
    alice.acknowledge(&mut call, &ok);
    cell.gets("ACK");
    let cancel = desk.gets("CANCEL");
    desk.says(&cancel, "200 OK");
    desk.says(&invites[0], "487 Request Terminated");
    desk.gets("ACK");
    hang_up(&mut alice, &call, &cell);
}

#[test]
fn requests_of_any_kind_reach_people_at_a_neighbour() {
    let pair = Pair::start(&["_sip._udp"]);
    let mut alice = Phone::of("alice", A, pair.a.sip_udp);
    let bob = Phone::of("bob", B, pair.b.sip_udp);
    for method in ["OPTIONS", "INFO", "FROB"] {
        let asks = std::thread::spawn(move || {
            let answer = alice.request(method, "bob@b.example");
            (alice, answer)
        });
        let request = bob.gets(method);
        bob.says(&request, "200 OK");
        let (back, answer) = asks.join().unwrap();
        assert_eq!(sip_status(&answer), 200, "{method}: {answer}");
        alice = back;
    }
}

#[test]
fn who_can_not_be_called_at_a_neighbour_is_said_as_if_he_were_ours() {
    let pair = Pair::start(&["_sip._udp"]);
    let mut alice = Phone::of("alice", A, pair.a.sip_udp);
    let mut call = |to: &str| {
        let call = alice.call(to, "");
        let answer = alice.hears("INVITE");
        alice.give_up(&call, &answer);
        sip_status(&answer)
    };
    assert_eq!(call("nobody@b.example"), 404);
    assert_eq!(call("carol@b.example"), 480, "not signed in");
    // Only RVP clients there: no session, and texts still arrive.
    let mut carol = rvp("carol", &pair.b);
    assert_eq!(call("carol@b.example"), 488);
    carol.block("alice@a.example", true).expect("blocked");
    assert_eq!(
        call("carol@b.example"),
        480,
        "her access list names her neighbour's people, too"
    );
}

#[test]
fn nobody_is_relayed_to_a_domain_that_is_not_allowed() {
    let pair = Pair::start(&["_sip._udp"]);
    let mut alice = Phone::of("alice", A, pair.a.sip_udp);
    // As a MESSAGE there.
    for method in ["MESSAGE", "OPTIONS", "INVITE", "FROB"] {
        let answer = alice.request(method, "x@c.example");
        assert_eq!(sip_status(&answer), 404, "{method}: {answer}");
    }
    let log = tail(&pair.a);
    let told = log
        .lines()
        .filter(|line| line.contains("refused") && line.contains("404"));
    assert!(told.count() >= 4, "one line each:\n{log}");
    // Without credentials nobody is passed on at all.
    let mut thief = Phone::new("alice", A, pair.a.sip_udp.ip(), pair.a.sip_udp);
    for method in ["OPTIONS", "INVITE", "FROB"] {
        assert_eq!(
            sip_status(&thief.bare(method, "bob@b.example")),
            407,
            "{method}"
        );
    }
    // A neighbour is no bridge to a third domain, nor back to where he came from.
    let b = pair.b.sip_udp.ip();
    let mut foreign = Phone::new("bob", B, b, pair.a.sip_udp);
    for to in ["x@c.example", "carol@b.example"] {
        let answer = foreign.bare("INVITE", to);
        assert_eq!(sip_status(&answer), 403, "{to}: {answer}");
    }
}

#[test]
fn whom_a_neighbour_does_not_vouch_for_calls_nobody() {
    let (here, there) = (place(), place());
    let rest = format!(
        "[sip.peers.\"{B}\"]\ntrust = \"address\"\naddresses = [\"{there}\"]\n\
         [domain.\"{A}\"]\nforeign = [\"{B}\", \"c.example\"]\n"
    );
    let server = Server::planned(&Plan {
        domain: A,
        ip: ip(here),
        users: &["alice"],
        rvp: crate::scene::NEAR,
        sip: "",
        rest: &rest,
    });
    let alice = Phone::of("alice", A, server.sip_udp);
    // From elsewhere in its name; from there in another's; a domain that we know nothing of.
    for (domain, at, want) in [
        (B, place(), 403),
        ("c.example", there, 403),
        ("c.example", place(), 407),
    ] {
        let mut caller = Phone::new("carol", domain, ip(at), server.sip_udp);
        for method in ["INVITE", "OPTIONS", "MESSAGE"] {
            let answer = caller.bare(method, "alice@a.example");
            assert_eq!(sip_status(&answer), want, "{domain} {method}: {answer}");
        }
    }
    let rings = alice.listen(Duration::from_millis(300), |text| {
        text.starts_with("INVITE")
    });
    assert!(rings.is_err(), "{rings:?}");
    // From there in its own name.
    let mut carol = Phone::new("carol", B, ip(there), server.sip_udp);
    let asks = std::thread::spawn(move || carol.bare("INVITE", "alice@a.example"));
    let invite = alice.gets("INVITE");
    assert!(invite.contains("From: <sip:carol@b.example>"), "{invite}");
    alice.says(&invite, "486 Busy Here");
    assert_eq!(sip_status(&asks.join().unwrap()), 486);
}

#[test]
fn rfc_3325_only_who_trusts_us_is_told_who_calls() {
    for (trust, told) in [("trust = \"address\"", true), ("", false)] {
        let mock = Mock::start(|_| Some("486 Busy".to_owned()));
        let server = routed(&mock, trust);
        let mut alice = Phone::of("alice", A, server.sip_udp);
        let call = alice.call(
            "carol@b.example",
            "P-Preferred-Identity: <sip:alice@a.example>\r\n",
        );
        let invite = mock.next();
        let answer = alice.hears("INVITE");
        assert_eq!(sip_status(&answer), 486, "{answer}");
        alice.give_up(&call, &answer);
        assert!(invite.starts_with("INVITE sip:carol@b.example SIP/2.0\r\n"));
        let ours = "P-Asserted-Identity: <sip:alice@a.example>\r\n";
        assert_eq!(invite.contains(ours), told, "{invite}");
        assert!(!invite.contains("boss") && !invite.contains("P-Preferred"));
        assert!(invite.contains("X-Tristack-Passed: "), "{invite}");
    }
}

/// Three places: one refuses connections, one is overloaded, one answers.
#[test]
fn rfc_3263_4_3_a_call_finds_the_place_that_works() {
    let dns = Resolver::start(Ipv4Addr::LOCALHOST);
    let closed = TcpListener::bind((place(), 0)).unwrap().local_addr();
    let busy = Mock::start(|_| Some("503 Busy".to_owned()));
    let well = Mock::start(|_| Some("486 Busy here".to_owned()));
    dns.pointer(B, 1, "SIP+D2T", "_sip._tcp.b.example");
    dns.pointer(B, 2, "SIP+D2U", "_sip._udp.b.example");
    let places = [("tcp", closed.unwrap()), ("udp", busy.at), ("udp", well.at)];
    for (number, (service, at)) in (0_u16..).zip(places) {
        let host = format!("h{number}.b.example");
        let std::net::IpAddr::V4(ip) = at.ip() else {
            panic!("IPv4");
        };
        dns.host(&host, ip);
        let name = format!("_sip._{service}.b.example");
        dns.sip_service(&name, number, 0, &host, at.port());
    }
    let lines = format!(
        "nameservers = [\"{}\"]\noutbound_domains = [\"{B}\"]\n",
        dns.at
    );
    let server = server(&lines, "");
    let mut alice = Phone::of("alice", A, server.sip_udp);
    let call = alice.call("carol@b.example", "");
    let answer = alice.hears("INVITE");
    assert_eq!(sip_status(&answer), 486, "{answer}");
    alice.give_up(&call, &answer);
    let (first, second) = (busy.next(), well.next());
    let of = |request: &str, name: &str| between(request, name, "\r\n").unwrap().to_owned();
    assert_ne!(of(&first, "branch="), of(&second, "branch="));
    assert_eq!(of(&first, "Call-ID: "), of(&second, "Call-ID: "));
    assert_eq!(of(&first, "CSeq: "), of(&second, "CSeq: "));
}

#[test]
fn a_dead_neighbour_is_told_at_once_and_then_left_alone() {
    let closed = TcpListener::bind((place(), 0)).unwrap().local_addr();
    let rest = format!(
        "[sip.peers.\"{B}\"]\nroute = \"sip:{};transport=tcp\"\n",
        closed.unwrap()
    );
    let server = server("", &rest);
    let mut alice = Phone::of("alice", A, server.sip_udp);
    let mut call = || {
        let call = alice.call("carol@b.example", "");
        let answer = alice.hears("INVITE");
        alice.give_up(&call, &answer);
        sip_status(&answer)
    };
    let begin = Instant::now();
    assert_eq!(call(), 500, "RFC 3261 16.7: a 503 is one server's");
    assert!(begin.elapsed() < Duration::from_secs(10));
    until(&mut call, |status| status == 480);
    let output = server.command(&["peers"]).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("resting"), "{text}");
}

#[test]
fn a_call_outlives_the_restart_of_a_server_on_its_way() {
    let mut pair = Pair::start(&["_sip._tcp"]);
    let mut alice = Phone::of("alice", A, pair.a.sip_udp);
    let mut bob = Phone::of("bob", B, pair.b.sip_udp);
    let (_, theirs) = connect(&mut alice, &mut bob, "bob@b.example");
    let (other, _) = connect(&mut alice, &mut bob, "bob@b.example");
    pair.a.kill_and_restart();
    // The connection between the two is another by now: found by what they wrote themselves.
    hang_up(&mut bob, &theirs, &alice);
    pair.b.kill_and_restart();
    hang_up(&mut alice, &other, &bob);
}

/// Here and at a neighbour: who has RVP clients only is called in vain, and of all that the caller
/// tries the pager text alone arrives.
#[test]
fn after_a_488_the_text_arrives_and_nothing_else() {
    let pair = Pair::start(&["_sip._udp"]);
    let mut alice = Phone::of("alice", A, pair.a.sip_udp);
    for (domain, server) in [(A, &pair.a), (B, &pair.b)] {
        let carol = rvp("carol", server);
        let to = format!("carol@{domain}");
        let call = alice.call(&to, "");
        let answer = alice.hears("INVITE");
        alice.give_up(&call, &answer);
        assert_eq!(sip_status(&answer), 488, "{answer}");
        assert!(answer.contains("\r\nWarning: 304 "), "{answer}");
        assert_eq!(alice.text(&to, "then so"), 200);
        let mut heard = Vec::new();
        while let Some(next) = carol.next(Duration::from_millis(if heard.is_empty() {
            30_000
        } else {
            300
        })) {
            heard.push(next);
        }
        let text = Heard::Text {
            from: "alice".to_owned(),
            text: "then so".to_owned(),
        };
        // A line says that he was called (`decisions.md` 23); of the caller's own tries the pager
        // text alone arrives.
        let is_notice =
            |heard: &Heard| matches!(heard, Heard::Text { from, .. } if from == "postmaster");
        let (notices, heard): (Vec<_>, Vec<_>) = heard.into_iter().partition(is_notice);
        assert_eq!(notices.len(), 1, "{domain}: {notices:?}");
        assert_eq!(heard, [text], "{domain}");
    }
}

/// Name servers that say nothing: the caller may give up at any moment, and else is told in time.
#[test]
fn while_a_neighbour_is_looked_up_the_caller_may_give_up() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let lines = format!(
        "nameservers = [\"{}\"]\noutbound_domains = [\"{B}\"]\n",
        silent.local_addr().unwrap()
    );
    let server = server(&lines, "");
    let mut alice = Phone::of("alice", A, server.sip_udp);
    let end = |text: &str| text.contains(" INVITE\r\n") && sip_status(text) >= 300;
    let call = alice.call("carol@b.example", "");
    alice.answer("INVITE", |status| status == 100);
    alice.cancel(&call);
    let answer = alice.wait(end);
    assert_eq!(sip_status(&answer), 487, "{answer}");
    alice.give_up(&call, &answer);
    let begin = Instant::now();
    let call = alice.call("carol@b.example", "");
    let answer = alice.hears("INVITE");
    assert_eq!(sip_status(&answer), 480, "{answer}");
    alice.give_up(&call, &answer);
    assert!(begin.elapsed() < Duration::from_secs(15));
}
