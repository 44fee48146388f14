//! Who is not believed, and what is not carried: requests written by hand from an address of their
//! own.

use crate::actor::{Actor, sip_status};
use crate::scene::{hears, ip, place, rvp, sip};
use crate::server::{Plan, Server};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

const OURS: &str = "a.example";

/// A server that believes `friend` for b.example, and knows c.example without believing it.
fn server(friend: Ipv4Addr) -> Server {
    let rest = format!(
        "[sip.peers.\"b.example\"]\nroute = \"sip:{friend}:9\"\ntrust = \"address\"\n\
         [sip.peers.\"c.example\"]\nroute = \"sip:{friend}:9\"\n\
         [domain.\"{OURS}\"]\nforeign = [\"b.example\"]\n"
    );
    Server::planned(&Plan {
        domain: OURS,
        ip: ip(place()),
        users: &["alice", "bob"],
        rvp: crate::scene::NEAR,
        sip: "",
        rest: &rest,
    })
}

struct Stranger {
    socket: UdpSocket,
    count: u32,
}

impl Stranger {
    fn at(here: Ipv4Addr, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((here, 0)).expect("a socket");
        socket.connect(server).expect("connected");
        let patience = Duration::from_secs(10);
        socket.set_read_timeout(Some(patience)).expect("a timeout");
        Self { socket, count: 0 }
    }

    /// One request; the status of the answer.
    fn ask(&mut self, method: &str, uri: &str, from: &str, more: &str) -> u16 {
        self.count += 1;
        let (count, local) = (self.count, self.socket.local_addr().unwrap());
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKs{count};rport\r\n\
             Max-Forwards: 70\r\nFrom: <{from}>;tag=s\r\nTo: <{uri}>\r\nCall-ID: {count}-{local}\r\n\
             CSeq: {count} {method}\r\nContact: <sip:{local}>\r\n{more}Content-Type: text/plain\r\n\
             Content-Length: 2\r\n\r\nhi"
        );
        let mut buffer = vec![0u8; 65536];
        for _ in 0..20 {
            self.socket.send(text.as_bytes()).expect("sent");
            while let Ok(length) = self.socket.recv(&mut buffer) {
                let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
                let status = sip_status(&answer);
                if status >= 200 && answer.contains(&format!("CSeq: {count} ")) {
                    return status;
                }
            }
        }
        panic!("no answer to {text}");
    }
}

#[test]
fn rfc_3325_a_trusted_neighbour_speaks_for_its_own_people_and_for_nobody_else() {
    let (friend, other) = (place(), place());
    let server = server(friend);
    let alice = rvp("alice", &server);
    let mut friend = Stranger::at(friend, server.sip_udp);
    let mut other = Stranger::at(other, server.sip_udp);
    let to = "sip:alice@a.example";

    assert_eq!(friend.ask("MESSAGE", to, "sip:carol@b.example", ""), 200);
    hears(&alice, "carol", "hi");
    // What it asserts counts more than From.
    let asserted = "P-Asserted-Identity: \"D\" <sip:dave@b.example>\r\n";
    let anonymous = "sip:anonymous@anonymous.invalid";
    assert_eq!(friend.ask("MESSAGE", to, anonymous, asserted), 200);
    hears(&alice, "dave", "hi");
    // Of nobody else's people, and not of ours.
    for from in ["sip:x@c.example", "sip:x@d.example"] {
        assert_eq!(friend.ask("MESSAGE", to, from, ""), 403, "{from}");
    }
    let lie = "P-Asserted-Identity: <sip:x@d.example>\r\n";
    assert_eq!(friend.ask("MESSAGE", to, "sip:carol@b.example", lie), 403);
    assert_eq!(friend.ask("MESSAGE", to, "sip:bob@a.example", ""), 407);
    // Elsewhere nobody is believed, whatever he asserts.
    for more in ["", asserted] {
        assert_eq!(other.ask("MESSAGE", to, "sip:carol@b.example", more), 403);
    }
    let claimed = "sip:bob@a.example";
    assert_eq!(other.ask("MESSAGE", to, claimed, asserted), 407);
    assert_eq!(other.ask("MESSAGE", to, "sip:x@d.example", ""), 407);
}

#[test]
fn no_relay_between_other_domains_and_no_registration_from_there() {
    let friend = place();
    let server = server(friend);
    let mut friend = Stranger::at(friend, server.sip_udp);
    let carol = "sip:carol@b.example";
    for uri in ["sip:x@c.example", "sip:x@b.example", "sip:x@d.example"] {
        assert_eq!(friend.ask("MESSAGE", uri, carol, ""), 403, "{uri}");
        let event = "Event: presence\r\nExpires: 60\r\n";
        assert_eq!(friend.ask("SUBSCRIBE", uri, carol, event), 403, "{uri}");
    }
    assert_eq!(friend.ask("REGISTER", "sip:a.example", carol, ""), 403);
    let event = "Event: presence\r\n";
    assert_eq!(
        friend.ask("PUBLISH", "sip:alice@a.example", carol, event),
        403
    );
    assert_eq!(
        friend.ask("MESSAGE", "sip:nobody@a.example", carol, ""),
        404
    );
    // Our own people are no relay either: nobody is reached whom policy does not name.
    let mut bob = sip("bob", &server, OURS);
    assert_eq!(bob.say("x@d.example", "?").unwrap(), 404);
}

#[test]
fn circles_end_by_our_own_mark() {
    let friend = place();
    let server = server(friend);
    let mut friend = Stranger::at(friend, server.sip_udp);
    let (to, from) = ("sip:alice@a.example", "sip:carol@b.example");
    let long = format!("X-Tristack-Passed: {}x\r\n", "x, ".repeat(9));
    assert_eq!(friend.ask("MESSAGE", to, from, &long), 482);
    let short = "X-Tristack-Passed: x, y\r\n";
    assert_eq!(
        friend.ask("MESSAGE", to, from, short),
        480,
        "nobody is signed in"
    );
}

#[test]
fn a_notify_of_no_subscription_of_ours_is_nobodys() {
    let friend = place();
    let server = server(friend);
    let mut friend = Stranger::at(friend, server.sip_udp);
    let state = "Event: presence\r\nSubscription-State: active;expires=60\r\n";
    let status = friend.ask(
        "NOTIFY",
        "sip:alice@a.example",
        "sip:carol@b.example",
        state,
    );
    assert_eq!(status, 481);
}

#[test]
fn foreign_domains_see_and_reach_nobody_until_that_is_configured() {
    let friend = place();
    let rest =
        format!("[sip.peers.\"b.example\"]\nroute = \"sip:{friend}:9\"\ntrust = \"address\"\n");
    let server = Server::planned(&Plan {
        domain: OURS,
        ip: ip(place()),
        users: &["alice"],
        rvp: crate::scene::NEAR,
        sip: "",
        rest: &rest,
    });
    let _alice = rvp("alice", &server);
    let mut friend = Stranger::at(friend, server.sip_udp);
    let (to, from) = ("sip:alice@a.example", "sip:carol@b.example");
    assert_eq!(friend.ask("MESSAGE", to, from, ""), 403);
}
