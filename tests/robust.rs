//! What must not happen: a crash that forgets, a hostile client that harms others, a sender that
//! is not who it says. Against the real binary over real sockets.

#![allow(clippy::format_collect)] // clearer than a fold, and only a test

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};
use support::actor::{Actor, Encoding, Heard, RvpActor, SipActor, sip_status};
use support::server::Server;

const PATIENCE: Duration = Duration::from_secs(10);

/// Sends octets on a fresh connection and reads until the peer closes, the answer is whole or
/// nothing comes for a while. Empty = closed without a word.
fn tcp(server: SocketAddr, octets: &[u8]) -> String {
    let mut stream = TcpStream::connect(server).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(12)))
        .expect("a time-out");
    stream
        .set_write_timeout(Some(Duration::from_secs(12)))
        .expect("a time-out");
    // A server that refuses early may close while we still write: what it said still counts.
    let _ = stream.write_all(octets);
    let mut got = Vec::new();
    let mut chunk = [0u8; 8192];
    while let Ok(count @ 1..) = stream.read(&mut chunk) {
        got.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&got);
        if let Some(end) = text.find("\r\n\r\n") {
            let head = text[..end].to_ascii_lowercase();
            let length = head.split("content-length:").nth(1).and_then(|rest| {
                rest.lines()
                    .next()
                    .unwrap_or("")
                    .trim()
                    .parse::<usize>()
                    .ok()
            });
            if text.len() >= end + 4 + length.unwrap_or(0) {
                break;
            }
        }
    }
    String::from_utf8_lossy(&got).into_owned()
}

/// Sends one datagram; the first answer, or "".
fn udp(server: SocketAddr, octets: &[u8]) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket
        .set_read_timeout(Some(Duration::from_secs(3)))
        .expect("a time-out");
    socket.send_to(octets, server).expect("sent");
    let mut buffer = vec![0u8; 65536];
    let count = socket.recv(&mut buffer).unwrap_or(0);
    String::from_utf8_lossy(&buffer[..count]).into_owned()
}

fn http_status(answer: &str) -> u16 {
    answer
        .get(9..12)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0)
}

/// Somebody else's ordinary use, before and after the attack.
fn others_are_fine(server: &Server) {
    let mut alice = RvpActor::new("alice", server.rvp, Encoding::Characters).expect("alice");
    let mut bob = SipActor::udp("bob", server.sip_udp).expect("bob");
    alice.sign_in().expect("alice signs in");
    bob.sign_in().expect("bob signs in");
    assert_eq!(alice.say("bob", "all well?").expect("an answer"), 200);
    let heard = bob.next_kind(false, PATIENCE);
    assert_eq!(
        heard,
        Some(Heard::Text {
            from: "alice".into(),
            text: "all well?".into()
        })
    );
    bob.sign_out().expect("bob signs out");
    alice.sign_out().expect("alice signs out");
}

#[test]
fn hostile_documents_are_refused_and_cost_nothing() {
    let server = Server::start(&["alice", "bob"]);
    others_are_fine(&server);
    let before = server.memory();
    let deep = "<a>".repeat(5000);
    let many = format!("<r>{}</r>", "<a/>".repeat(20_000));
    let entities = (0..9).fold("<!ENTITY a \"lol\">".to_owned(), |text, n| {
        let (this, last) = (char::from(b'b' + n), char::from(b'a' + n));
        format!(
            "{text}<!ENTITY {this} \"{}\">",
            format!("&{last};").repeat(10)
        )
    });
    let bodies = [
        format!("<?xml version=\"1.0\"?><!DOCTYPE x [{entities}]><x>&j;</x>"),
        "<!DOCTYPE x SYSTEM \"file:///etc/passwd\"><x/>".to_owned(),
        deep,
        many,
        "<d:propertyupdate xmlns:d=\"DAV:\"><d:set></d:propertyupdate>".to_owned(),
        "<a/><b/>".to_owned(),
        "<a>\u{1}</a>".to_owned(),
        "<a>&#0;</a>".to_owned(),
        "<a x=\"<\"/>".to_owned(),
        "<p:a/>".to_owned(),
        "not xml at all".to_owned(),
        "<a x=\"1\" x=\"2\"/>".to_owned(),
    ];
    let mut mallory = RvpActor::new("bob", server.rvp, Encoding::Characters).expect("bob");
    for body in &bodies {
        for (method, node) in [("PROPPATCH", "bob"), ("NOTIFY", "alice"), ("ACL", "bob")] {
            let result = mallory.request(method, node, "Content-Type: text/xml\r\n", body);
            let status = result.map(|(status, ..)| status);
            let shown: String = body.chars().take(60).collect();
            assert!(
                matches!(status, Ok(400 | 413)),
                "{method} with {shown}: {status:?}\n{}",
                server.log_tail(20)
            );
        }
    }
    others_are_fine(&server);
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 24 << 20, "memory grew by {grown} octets");
}

#[test]
fn a_body_of_100_mb_is_refused_without_being_kept() {
    let server = Server::start(&["alice", "bob"]);
    others_are_fine(&server);
    let before = server.memory();
    let head = "NOTIFY /instmsg/aliases/alice HTTP/1.1\r\nHost: localhost\r\n\
                RVP-Notifications-Version: 0.2\r\nContent-Length: 104857600\r\n\r\n";
    let mut octets = head.as_bytes().to_vec();
    octets.resize(octets.len() + (8 << 20), b'x');
    let status = http_status(&tcp(server.rvp, &octets));
    assert!(matches!(status, 401 | 413), "{status}");
    let sip = "MESSAGE sip:alice@example.com SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bKx\r\n\
               From: <sip:bob@example.com>;tag=1\r\nTo: <sip:alice@example.com>\r\nCall-ID: big\r\n\
               CSeq: 1 MESSAGE\r\nMax-Forwards: 70\r\nContent-Type: text/plain\r\n\
               Content-Length: 104857600\r\n\r\n";
    let mut octets = sip.as_bytes().to_vec();
    octets.resize(octets.len() + (8 << 20), b'x');
    let answer = tcp(server.sip_tcp, &octets);
    assert!(matches!(sip_status(&answer), 413 | 513), "{answer}");
    others_are_fine(&server);
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 24 << 20, "memory grew by {grown} octets");
}

/// Method, Request-URI, To, headers, body.
const SPOOFED: [(&str, &str, &str, &str, &str); 4] = [
    (
        "REGISTER",
        "sip:example.com",
        "sip:carol@example.com",
        "Expires: 60\r\n",
        "",
    ),
    (
        "MESSAGE",
        "sip:alice@example.com",
        "sip:alice@example.com",
        "Content-Type: text/plain\r\n",
        "hi",
    ),
    (
        "SUBSCRIBE",
        "sip:alice@example.com",
        "sip:alice@example.com",
        "Event: presence\r\n",
        "",
    ),
    (
        "PUBLISH",
        "sip:carol@example.com",
        "sip:carol@example.com",
        "Event: presence\r\n",
        "",
    ),
];

/// decisions 8: the sender named must be the authenticated user, whatever the method and way.
#[test]
#[allow(clippy::too_many_lines)] // one table
fn nobody_speaks_in_anothers_name() {
    let server = Server::start(&["alice", "bob", "carol"]);
    let mut alice = RvpActor::new("alice", server.rvp, Encoding::Characters).expect("alice");
    let mut carol = SipActor::udp("carol", server.sip_udp).expect("carol");
    alice.sign_in().expect("alice signs in");
    carol.sign_in().expect("carol signs in");
    for way in ["udp", "tcp"] {
        let mut bob = match way {
            "udp" => SipActor::udp("bob", server.sip_udp),
            _ => SipActor::tcp("bob", server.sip_tcp),
        }
        .expect("bob");
        bob.sign_in().expect("bob signs in");
        bob.claim("carol");
        for (method, uri, to, headers, body) in SPOOFED {
            let answer = bob.request(
                method,
                uri,
                to,
                &format!("spoof-{method}-{way}"),
                headers,
                body,
            );
            let answer = answer.expect("an answer");
            assert_eq!(sip_status(&answer), 403, "{method} over {way}: {answer}");
        }
    }
    let mut bob = RvpActor::new("bob", server.rvp, Encoding::Characters).expect("bob");
    bob.sign_in().expect("bob signs in");
    assert_eq!(
        bob.say_as("carol", "alice", "hi").expect("an answer"),
        403,
        "notification-from"
    );
    bob.claim("carol");
    let rows = [
        (
            "SUBSCRIBE",
            "alice",
            "Notification-Type: update/propchange\r\nSubscription-Lifetime: 600\r\nCall-Back: http://localhost/instmsg/aliases/carol\r\n",
            "",
        ),
        (
            "PROPFIND",
            "alice",
            "Depth: 0\r\n",
            "<d:propfind xmlns:d=\"DAV:\"><d:allprop/></d:propfind>",
        ),
        (
            "PROPPATCH",
            "carol",
            "",
            "<d:propertyupdate xmlns:d=\"DAV:\"><d:set><d:prop><d:displayname>x</d:displayname></d:prop></d:set></d:propertyupdate>",
        ),
        (
            "SUBSCRIPTIONS",
            "carol",
            "Notification-Type: pragma/notify\r\n",
            "",
        ),
        ("UNSUBSCRIBE", "carol", "Subscription-Id: 1\r\n", ""),
        ("ACL", "carol", "", ""),
    ];
    for (method, node, headers, body) in rows {
        let (status, head, _) = bob.request(method, node, headers, body).expect("an answer");
        assert_eq!(status, 403, "{method}: {head}");
    }
    assert_eq!(bob.say("alice", "hi").expect("an answer"), 403, "NOTIFY");
    assert_eq!(
        alice.next_kind(false, Duration::from_secs(1)),
        None,
        "nothing was sent"
    );
    assert_eq!(
        carol.next_kind(false, Duration::from_secs(1)),
        None,
        "nothing was sent"
    );
}

/// Issue 2 section 7: each header of each SIP method absent, empty, huge and twice.
#[test]
fn sip_headers_absent_empty_huge_and_repeated_get_a_clear_answer() {
    let server = Server::start(&["alice", "bob"]);
    let before = server.memory();
    let huge = "x".repeat(65_536);
    let names = [
        "Via",
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "Max-Forwards",
        "Contact",
        "Expires",
        "Event",
        "Content-Type",
        "Content-Length",
        "Accept",
        "Require",
        "Authorization",
        "User-Agent",
    ];
    for method in [
        "REGISTER",
        "OPTIONS",
        "MESSAGE",
        "PUBLISH",
        "SUBSCRIBE",
        "INVITE",
        "FOO",
    ] {
        for name in names {
            for change in ["absent", "empty", "huge", "twice"] {
                let text = altered(method, name, change, &huge);
                let start = Instant::now();
                let answer = tcp(server.sip_tcp, text.as_bytes());
                assert!(
                    start.elapsed() < PATIENCE,
                    "{method} with {name} {change}: neither answered nor closed: {answer:?}"
                );
                let status = sip_status(&answer);
                // Without a Via there is nobody to answer: the connection ends instead.
                let no_answer =
                    answer.is_empty() && matches!(name, "Via" | "Content-Length" | "CSeq");
                let clear = (400..500).contains(&status) || matches!(status, 200 | 501 | 505 | 513);
                assert!(
                    clear || no_answer || change == "huge" && answer.is_empty(),
                    "{method} with {name} {change}: {answer:?}"
                );
                if change != "huge" {
                    let answer = udp_if_answered(&server, method, name, change, &text);
                    assert!(answer, "{method} with {name} {change} over UDP");
                }
            }
        }
    }
    others_are_fine(&server);
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 24 << 20, "memory grew by {grown} octets");
}

/// Over UDP a message without a usable Via, From, To, Call-ID or CSeq may be dropped (RFC 3261
/// 8.1.1 makes them what a response is built from); everything else is answered.
fn udp_if_answered(server: &Server, method: &str, name: &str, change: &str, text: &str) -> bool {
    if matches!(name, "Via" | "From" | "To" | "Call-ID" | "CSeq") {
        return true;
    }
    let answer = udp(
        server.sip_udp,
        text.replace("SIP/2.0/TCP", "SIP/2.0/UDP").as_bytes(),
    );
    let status = sip_status(&answer);
    let clear = (400..500).contains(&status) || matches!(status, 200 | 501 | 505 | 513);
    if !clear {
        eprintln!("{method} {name} {change}: {answer:?}");
    }
    clear
}

fn altered(method: &str, name: &str, change: &str, huge: &str) -> String {
    let body = if method == "MESSAGE" { "hello" } else { "" };
    let length = body.len().to_string();
    let sequence = format!("1 {method}");
    let mut fields: Vec<(&str, &str)> = vec![
        ("Via", "SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bKmatrix;rport"),
        ("From", "<sip:bob@example.com>;tag=1"),
        ("To", "<sip:alice@example.com>"),
        ("Call-ID", "matrix"),
        ("CSeq", &sequence),
        ("Max-Forwards", "70"),
        ("Contact", "<sip:bob@127.0.0.1:9>"),
        ("Expires", "600"),
        ("Event", "presence"),
        ("Accept", "application/pidf+xml"),
        ("User-Agent", "matrix"),
        (
            "Authorization",
            "Digest username=\"bob\", realm=\"example.com\", nonce=\"x\", uri=\"sip:x\", response=\"00000000000000000000000000000000\"",
        ),
        ("Content-Type", "text/plain"),
        ("Content-Length", &length),
    ];
    match change {
        "absent" => fields.retain(|(field, _)| *field != name),
        "empty" => fields
            .iter_mut()
            .filter(|f| f.0 == name)
            .for_each(|f| f.1 = ""),
        "huge" => fields
            .iter_mut()
            .filter(|f| f.0 == name)
            .for_each(|f| f.1 = huge),
        _ => {
            if let Some(field) = fields.iter().find(|f| f.0 == name).copied() {
                fields.push(field);
            }
        }
    }
    let mut head = String::new();
    for (field, value) in fields {
        head.push_str(field);
        head.push_str(": ");
        head.push_str(value);
        head.push_str("\r\n");
    }
    format!("{method} sip:alice@example.com SIP/2.0\r\n{head}\r\n{body}")
}

/// Issue 2 section 7: 1,000 TCP users over a kill -9 and restart; nobody is shown offline.
#[test]
fn a_thousand_tcp_users_survive_a_crash_without_a_false_offline() {
    let names: Vec<String> = (0..1000).map(|n| format!("user{n}")).collect();
    let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
    all.extend(["alice", "carol"]);
    let mut server = Server::start(&all);
    let connect = |server: &Server| -> Vec<SipActor> {
        names
            .iter()
            .map(|name| {
                let mut actor = SipActor::tcp(name, server.sip_tcp).expect("a connection");
                actor.sign_in().expect("a registration");
                actor
            })
            .collect()
    };
    let users = connect(&server);
    let mut alice = RvpActor::new("alice", server.rvp, Encoding::Characters).expect("alice");
    let mut carol = SipActor::udp("carol", server.sip_udp).expect("carol");
    alice.sign_in().expect("alice signs in");
    carol.sign_in().expect("carol signs in");
    let watched: Vec<&String> = names.iter().step_by(50).collect();
    for name in &watched {
        alice.watch(name).expect("a watch");
        carol.watch(name).expect("a watch");
    }
    for _ in &watched {
        for actor in [&alice as &dyn Actor, &carol] {
            match actor.next_kind(true, PATIENCE) {
                Some(Heard::Presence { state, .. }) => assert_eq!(state, "online"),
                other => panic!("a first state expected, saw {other:?}"),
            }
        }
    }
    server.kill_and_restart();
    drop(users);
    let users = connect(&server);
    for actor in [&alice as &dyn Actor, &carol] {
        let seen = actor.next_kind(true, Duration::from_secs(20));
        assert_eq!(seen, None, "nobody changed: {}", server.log_tail(10));
    }
    assert_eq!(alice.say("user0", "still there?").expect("an answer"), 200);
    let heard = users[0].next_kind(false, PATIENCE);
    assert_eq!(
        heard,
        Some(Heard::Text {
            from: "alice".into(),
            text: "still there?".into()
        })
    );
}
