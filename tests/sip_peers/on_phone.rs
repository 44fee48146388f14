//! Calls that run through us, as seen by people on RVP and at a neighbour.

use crate::actor::Actor;
use crate::calls::{connect, hang_up};
use crate::phone::Phone;
use crate::scene::{ip, place, rvp, sees};
use crate::server::{Plan, Server};
use std::time::{Duration, Instant};

#[test]
fn an_rvp_watcher_sees_a_call_within_a_second_and_its_end() {
    let server = Server::planned(&Plan {
        domain: "a.example",
        ip: ip(place()),
        users: &["alice", "bob", "carol"],
        rvp: crate::scene::NEAR,
        sip: "calls_make_on_phone = true\n",
        rest: "",
    });
    let mut carol = rvp("carol", &server);
    let mut alice = Phone::of("alice", "a.example", server.sip_udp);
    let mut bob = Phone::of("bob", "a.example", server.sip_udp);
    carol.watch("bob@a.example").expect("watching");
    sees(&carol, "bob", "online");
    let (call, _) = connect(&mut alice, &mut bob, "bob@a.example");
    let answered = Instant::now();
    sees(&carol, "bob", "on-phone");
    let span = answered.elapsed();
    assert!(span < Duration::from_secs(1), "{span:?}");
    hang_up(&mut alice, &call, &bob);
    let ended = Instant::now();
    sees(&carol, "bob", "online");
    assert!(ended.elapsed() < Duration::from_secs(1));
}
