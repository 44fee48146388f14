//! What the tests of neighbours share: people who come in and what they wait for.

use crate::actor::{Actor, Encoding, Heard, RvpActor, SipActor};
use crate::server::Server;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// RVP clients of these tests call from another loopback address than they listen on.
pub const NEAR: &str = "callback_networks = [\"127.0.0.0/8\"]\n";
pub const PATIENCE: Duration = Duration::from_secs(30);
static PLACES: AtomicU8 = AtomicU8::new(1);

/// A loopback address that no other test of this process, and hardly any of another, uses.
pub fn place() -> Ipv4Addr {
    let [high, low] = u16::try_from(std::process::id() % 30_000)
        .unwrap_or(1)
        .to_be_bytes();
    let last = PLACES.fetch_add(1, Ordering::Relaxed);
    Ipv4Addr::new(127, 130 + (high >> 1), low, last)
}

/// An RVP user, signed in and online.
pub fn rvp(name: &str, server: &Server) -> RvpActor {
    let mut actor = RvpActor::new(name, server.rvp, Encoding::Characters).expect("a client");
    actor.sign_in().expect("signed in");
    actor
}

/// A SIP user over UDP, registered and online.
pub fn sip(name: &str, server: &Server, domain: &str) -> SipActor {
    let actor = SipActor::udp(name, server.sip_udp).expect("a client");
    come_in(actor.of(domain))
}

/// The same over TCP.
pub fn sip_tcp(name: &str, server: &Server, domain: &str) -> SipActor {
    let actor = SipActor::tcp(name, server.sip_tcp).expect("a client");
    come_in(actor.of(domain))
}

pub fn come_in(mut actor: SipActor) -> SipActor {
    actor.sign_in().expect("registered");
    actor.set_state("online").expect("published");
    actor
}

/// Waits until somebody sees that person so.
pub fn sees(who: &dyn Actor, of: &str, state: &str) {
    let end = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while let Some(heard) = who.next_kind(true, end.saturating_duration_since(Instant::now())) {
        let wanted = Heard::Presence {
            of: of.to_owned(),
            state: state.to_owned(),
        };
        if heard == wanted {
            return;
        }
        seen.push(heard);
    }
    panic!("never saw {of} {state}, but {seen:?}");
}

/// Waits for that text.
pub fn hears(who: &dyn Actor, from: &str, text: &str) {
    waits(
        who,
        &Heard::Text {
            from: from.to_owned(),
            text: text.to_owned(),
        },
    );
}

/// Waits for that, whatever else comes before.
pub fn waits(who: &dyn Actor, wanted: &Heard) {
    let end = Instant::now() + PATIENCE;
    let mut heard = Vec::new();
    while let Some(next) = who.next(end.saturating_duration_since(Instant::now())) {
        if next == *wanted {
            return;
        }
        heard.push(next);
    }
    panic!("never heard {wanted:?}, but {heard:?}");
}

/// Sends and expects success.
pub fn says(who: &mut dyn Actor, to: &str, text: &str) {
    let status = who.say(to, text).expect("an answer");
    assert!(
        (200..300).contains(&status),
        "{status} to {text:?} for {to}"
    );
}

/// Repeats until the answer is as wanted.
pub fn until(mut ask: impl FnMut() -> u16, wanted: impl Fn(u16) -> bool) -> u16 {
    let end = Instant::now() + PATIENCE;
    let mut last = 0;
    while Instant::now() < end {
        last = ask();
        if wanted(last) {
            return last;
        }
    }
    panic!("still {last}");
}

/// The end of a log without what libraries say.
pub fn tail(server: &Server) -> String {
    let log = server.log_tail(1_000);
    let own = |line: &&str| line.contains("tristack");
    let lines: Vec<&str> = log.lines().filter(own).collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

pub fn ip(place: Ipv4Addr) -> IpAddr {
    place.into()
}
