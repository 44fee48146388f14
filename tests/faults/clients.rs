//! Dead and slow callbacks beside good ones.

use crate::support::actor::{Actor, Encoding, Heard, RvpActor, SipActor};
use crate::support::server::Server;
use socket2::{Domain, SockRef, Socket, Type};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// For anything to be heard; serving 60 dead callbacks one after the other takes 3 minutes.
const PATIENCE: Duration = Duration::from_secs(15);
const DEAD: usize = 60;

/// Takes connections and requests and never answers; ends with the test.
fn mute() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut hole = [0u8; 4096];
                while matches!(stream.read(&mut hole), Ok(1..)) {}
            });
        }
    });
    address
}

/// A listener whose queue is full: the system drops whatever tries to connect.
struct BlackHole {
    address: SocketAddr,
    _listener: Socket,
    _filling: Vec<Socket>,
}

fn black() -> BlackHole {
    let stream = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let listener = stream();
    listener
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let filling = (0..4).map(|_| {
        let socket = stream();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&address.into());
        socket
    });
    BlackHole {
        address,
        _filling: filling.collect(),
        _listener: listener,
    }
}

/// Signs a user in with somebody else's listener as Call-Back, and watches alice.
fn watch_from(user: &mut RvpActor, name: &str, callback: SocketAddr) {
    let lease = format!(
        "Notification-Type: pragma/notify\r\nSubscription-Lifetime: 14400\r\n\
         Call-Back: http://{callback}\r\n"
    );
    let (status, head, _) = user.request("SUBSCRIBE", name, &lease, "").unwrap();
    assert_eq!(status, 200, "{head}");
    let watch = format!(
        "Notification-Type: update/propchange\r\nSubscription-Lifetime: 14400\r\n\
         Call-Back: http://localhost/instmsg/aliases/{name}\r\n"
    );
    let (status, head, _) = user.request("SUBSCRIBE", "alice", &watch, "").unwrap();
    assert_eq!(status, 207, "{head}");
}

fn hears_state(actor: &dyn Actor, wanted: &str) {
    let wanted = Heard::Presence {
        of: "alice".into(),
        state: wanted.into(),
    };
    assert_eq!(actor.next_kind(true, PATIENCE), Some(wanted));
}

/// Issue 3 section 7: dead callbacks (accept and never answer, or drop every packet) make nobody
/// else wait, neither for presence nor for texts.
#[test]
fn nobody_waits_for_dead_callbacks() {
    let names: Vec<String> = (0..DEAD).map(|n| format!("dead{n}")).collect();
    let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
    all.extend(["alice", "bob", "carol"]);
    let server = Server::start(&all);
    let mut alice = RvpActor::new("alice", server.rvp, Encoding::Characters).unwrap();
    let mut bob = RvpActor::new("bob", server.rvp, Encoding::Characters).unwrap();
    let mut carol = SipActor::udp("carol", server.sip_udp).unwrap();
    alice.sign_in().unwrap();
    let (mute, black) = (mute(), black());
    let mut dead = Vec::new();
    for (n, name) in names.iter().enumerate() {
        let mut user = RvpActor::new(name, server.rvp, Encoding::Characters).unwrap();
        watch_from(
            &mut user,
            name,
            if n % 2 == 0 { mute } else { black.address },
        );
        dead.push(user);
    }
    // They watch behind all the dead.
    bob.sign_in().unwrap();
    carol.sign_in().unwrap();
    bob.watch("alice").unwrap();
    carol.watch("alice").unwrap();
    hears_state(&bob, "online");
    hears_state(&carol, "online");
    for state in ["busy", "away", "online"] {
        alice.set_state(state).unwrap();
        hears_state(&bob, state);
        hears_state(&carol, state);
        assert_eq!(bob.say("alice", state).unwrap(), 200);
        let text = Heard::Text {
            from: "bob".into(),
            text: state.into(),
        };
        assert_eq!(alice.next_kind(false, PATIENCE), Some(text));
    }
    // Who writes to the dead is told something: kept for now, or not reachable.
    for name in [&names[0], &names[1]] {
        let told = bob.say(name, "are you there?").unwrap();
        assert!(matches!(told, 200 | 412), "{told}");
    }
}

/// A callback that reads one octet per second while told to; it notes the last state it was
/// told whole.
fn creeping(slow: &Arc<AtomicBool>, told: &std::sync::mpsc::Sender<String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _ = SockRef::from(&listener).set_recv_buffer_size(1024);
    let address = listener.local_addr().unwrap();
    let (slow, told) = (Arc::clone(slow), told.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (slow, told) = (Arc::clone(&slow), told.clone());
            std::thread::spawn(move || creep(stream, &slow, &told));
        }
    });
    address
}

fn creep(mut stream: TcpStream, slow: &AtomicBool, told: &std::sync::mpsc::Sender<String>) {
    let mut got = Vec::new();
    loop {
        let mut chunk = [0u8; 4096];
        let most = if slow.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_secs(1));
            1
        } else {
            chunk.len()
        };
        let Ok(count @ 1..) = stream.read(&mut chunk[..most]) else {
            return;
        };
        got.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&got).into_owned();
        if text.contains("notification>") && text.ends_with('>') {
            let ok = b"HTTP/1.1 200 Successful\r\nContent-Length: 0\r\n\r\n";
            let _ = stream.write_all(ok);
            let _ = told.send(text);
            got.clear();
        }
    }
}

/// Issue 3 section 7: one watcher who reads an octet per second hurts only himself: the others
/// hear every change in order, and he hears the newest when he reads again.
#[test]
fn one_slow_watcher_hurts_only_himself() {
    let names: Vec<String> = (0..10).map(|n| format!("user{n}")).collect();
    let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
    all.extend(["alice", "slow"]);
    let server = Server::start(&all);
    let mut alice = RvpActor::new("alice", server.rvp, Encoding::Characters).unwrap();
    alice.sign_in().unwrap();
    let slow = Arc::new(AtomicBool::new(true));
    let (tell, told) = std::sync::mpsc::channel();
    let callback = creeping(&slow, &tell);
    let mut creeper = RvpActor::new("slow", server.rvp, Encoding::Characters).unwrap();
    watch_from(&mut creeper, "slow", callback);
    let mut others = Vec::new();
    for name in &names {
        let mut other = RvpActor::new(name, server.rvp, Encoding::Characters).unwrap();
        other.sign_in().unwrap();
        other.watch("alice").unwrap();
        hears_state(&other, "online");
        others.push(other);
    }
    for state in ["busy", "away", "busy", "on-phone"] {
        alice.set_state(state).unwrap();
        for other in &others {
            hears_state(other, state);
        }
    }
    slow.store(false, Ordering::Relaxed);
    // What he still gets of the first try is old; the next one carries what is true by now, and
    // nothing in between was piled up for him.
    let newest = (0..2).any(|_| {
        let told = told.recv_timeout(Duration::from_secs(60)).unwrap();
        told.contains("on-phone")
    });
    assert!(newest, "older states were piled up");
}
