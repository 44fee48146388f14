//! Challenges of a neighbour to calls that are passed on to it: answered by us where we have
//! credentials, and never shown to the caller as if they were his own.

use crate::actor::Actor;
use crate::actor::{between, sip_status};
use crate::phone::Phone;
use crate::scene::{sees, sip, tail};
use crate::server::Server;
use crate::strange::{Mock, routed};
use auth::digest::{Algorithm, Credentials, Exchange, ha1};

const A: &str = "a.example";
const ASKS: &str = "Digest realm=\"b.example\", nonce=\"n1\", qop=\"auth\", algorithm=MD5";

/// A server that has credentials for b.example's, and says so in this configuration.
fn with_credentials(mock: &Mock) -> Server {
    let name = format!("tristack-neighbour-secret-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, "secret\n").expect("a file");
    let more = format!("user = \"gate\"\npassword_file = \"{}\"\n", path.display());
    routed(mock, &more)
}

/// The final answer to a call.
fn call(phone: &mut Phone) -> String {
    phone.call_in_vain("carol@b.example")
}

fn proof(request: &str) -> Option<&str> {
    request
        .lines()
        .find_map(|line| line.strip_prefix("Proxy-Authorization: "))
}

/// The challenge of a neighbour is not the caller's: it is nowhere in what he is told.
fn is_ours(answer: &str) {
    assert_eq!(sip_status(answer), 502, "{answer}");
    assert!(!answer.contains("Authenticate"), "{answer}");
    assert!(answer.contains("\r\nWarning: 399 tristack \""), "{answer}");
}

#[test]
fn a_neighbours_challenge_is_not_the_callers() {
    for (status, name) in [(401, "WWW-Authenticate"), (407, "Proxy-Authenticate")] {
        let mock = Mock::start(move |_| Some(format!("{status} Prove it\n{name}: {ASKS}")));
        let server = routed(&mock, "");
        let mut alice = Phone::of("alice", A, server.sip_udp);
        is_ours(&call(&mut alice));
        for method in ["OPTIONS", "INFO", "FROB"] {
            is_ours(&alice.request(method, "carol@b.example"));
        }
        // A text and a subscription: nobody is there, as far as ours are concerned.
        assert_eq!(alice.text("carol@b.example", "hello"), 480);
        let mut bob = sip("bob", &server, A);
        bob.watch("carol@b.example").expect("watching");
        sees(&bob, "carol", "offline");
        let log = tail(&server);
        assert!(log.contains("a neighbour asks for credentials"), "{log}");
        assert!(log.contains("none are configured"), "{log}");
    }
}

#[test]
fn a_challenge_is_answered_with_the_credentials_for_that_neighbour() {
    let mock = Mock::start(|request| {
        if request.starts_with("ACK ") {
            return None;
        }
        let Some(value) = proof(request) else {
            return Some(format!("407 Prove it\nProxy-Authenticate: {ASKS}"));
        };
        let credentials = Credentials::parse(value).expect("credentials");
        let method = request.split(' ').next().expect("a method");
        let exchange = Exchange { method, body: &[] };
        let expected = ha1(Algorithm::Md5, "gate", "b.example", "secret");
        let uri = request.split(' ').nth(1).expect("a URI");
        let proves = credentials.username == "gate"
            && credentials.uri == uri
            && credentials.proves(&expected, &exchange);
        Some(if proves { "486 Busy" } else { "403 Wrong" }.to_owned())
    });
    let server = with_credentials(&mock);
    let mut alice = Phone::of("alice", A, server.sip_udp);
    let answer = call(&mut alice);
    assert_eq!(sip_status(&answer), 486, "{answer}");
    let (first, ack, second) = (mock.next(), mock.next(), mock.next());
    assert!(first.starts_with("INVITE ") && proof(&first).is_none());
    assert!(ack.starts_with("ACK "), "{ack}");
    assert!(second.starts_with("INVITE "), "{second}");
    let of = |request: &str, name: &str| between(request, name, "\r\n").unwrap().to_owned();
    // The same call on a branch of its own; its CSeq is the caller's.
    for name in ["Call-ID: ", "CSeq: ", "From: "] {
        assert_eq!(of(&first, name), of(&second, name));
    }
    assert_ne!(of(&first, "branch="), of(&second, "branch="));
    let answer = alice.request("OPTIONS", "carol@b.example");
    assert_eq!(sip_status(&answer), 486, "{answer}");
}

#[test]
fn credentials_are_shown_in_their_realm_only_and_once() {
    let elsewhere = Mock::start(|_| {
        Some(format!(
            "407 Prove it\nProxy-Authenticate: {}",
            ASKS.replace("b.example", "a.example")
        ))
    });
    let never = Mock::start(|_| Some(format!("407 Prove it\nProxy-Authenticate: {ASKS}")));
    for (mock, proofs, cause) in [(elsewhere, 0, "does not take"), (never, 1, "does not take")] {
        let server = with_credentials(&mock);
        let mut alice = Phone::of("alice", A, server.sip_udp);
        let answer = call(&mut alice);
        is_ours(&answer);
        assert!(answer.contains(cause), "{answer}");
        let got: Vec<String> = mock.got.try_iter().collect();
        let shown = got.iter().filter(|request| proof(request).is_some());
        let shown = shown
            .filter(|request| request.starts_with("INVITE"))
            .count();
        assert_eq!(shown, proofs, "{got:?}");
    }
}

/// A request within the call, too: the far end is a neighbour's for as long as it lasts.
#[test]
fn a_challenge_within_a_call_is_not_the_callers_either() {
    let mock = Mock::start(|request| {
        if request.starts_with("ACK ") {
            return None;
        }
        if !request.starts_with("INVITE ") {
            return Some(format!("407 Prove it\nProxy-Authenticate: {ASKS}"));
        }
        let mut words = "200 OK\nContact: <sip:carol@192.0.2.9>".to_owned();
        for line in request
            .lines()
            .filter(|line| line.starts_with("Record-Route:"))
        {
            words.push('\n');
            words.push_str(line);
        }
        Some(words)
    });
    let server = routed(&mock, "");
    let mut alice = Phone::of("alice", A, server.sip_udp);
    let mut call = alice.call("carol@b.example", "");
    let ok = alice.hears("INVITE");
    assert_eq!(sip_status(&ok), 200, "{ok}");
    alice.acknowledge(&mut call, &ok);
    for method in ["INFO", "BYE"] {
        alice.within(&call, method, "");
        is_ours(&alice.hears(method));
    }
}
