//! Neighbours written by hand: silent ones, overloaded ones, ones that challenge.

use crate::actor::{Actor, between, sip_status};
use crate::resolver::Resolver;
use crate::scene::{ip, place, rvp, sees, sip};
use crate::server::{Plan, Server};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

const OURS: &str = "a.example";
const PATIENCE: Duration = Duration::from_secs(30);

/// A server over UDP that answers as it is told and tells what it got.
pub struct Mock {
    pub at: SocketAddr,
    pub got: mpsc::Receiver<String>,
    pub socket: Arc<UdpSocket>,
}

impl Mock {
    /// `answer`: status line's rest and further headers; `None` = silence.
    pub fn start(answer: impl Fn(&str) -> Option<String> + Send + 'static) -> Self {
        let socket = Arc::new(UdpSocket::bind((place(), 0)).expect("a socket"));
        let at = socket.local_addr().expect("its address");
        let (tell, got) = mpsc::channel();
        let own = Arc::clone(&socket);
        std::thread::spawn(move || {
            let mut buffer = vec![0u8; 65536];
            while let Ok((length, from)) = own.recv_from(&mut buffer) {
                let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if let Some(words) = answer(&request) {
                    let _ = own.send_to(respond(&request, &words).as_bytes(), from);
                }
                if tell.send(request).is_err() {
                    return;
                }
            }
        });
        Self { at, got, socket }
    }

    pub fn next(&self) -> String {
        self.got.recv_timeout(PATIENCE).expect("a request")
    }
}

fn respond(request: &str, words: &str) -> String {
    let keep = ["via:", "from:", "to:", "call-id:", "cseq:"];
    let head = request.split("\r\n\r\n").next().unwrap_or_default();
    let mut out = format!("SIP/2.0 {}\r\n", words.lines().next().unwrap_or_default());
    for line in head.split("\r\n").skip(1) {
        let lower = line.to_ascii_lowercase();
        if keep.iter().any(|name| lower.starts_with(name)) {
            out.push_str(line);
            if lower.starts_with("to:") && !lower.contains("tag=") {
                out.push_str(";tag=mock");
            }
            out.push_str("\r\n");
        }
    }
    for line in words.lines().skip(1) {
        out.push_str(line);
        out.push_str("\r\n");
    }
    out.push_str("Content-Length: 0\r\n\r\n");
    out
}

pub fn server(sip: &str, rest: &str) -> Server {
    Server::planned(&Plan {
        domain: OURS,
        ip: ip(place()),
        users: &["alice", "bob"],
        rvp: crate::scene::NEAR,
        sip,
        rest,
    })
}

pub fn routed(mock: &Mock, more: &str) -> Server {
    let rest = format!(
        "[sip.peers.\"b.example\"]\nroute = \"sip:{}\"\n{more}\n\
         [domain.\"{OURS}\"]\nforeign = [\"b.example\"]\n",
        mock.at
    );
    server("", &rest)
}

/// Three places: one refuses connections, one is overloaded, one answers.
#[test]
fn rfc_3263_4_3_the_next_place_in_a_transaction_of_its_own() {
    let dns = Resolver::start(Ipv4Addr::LOCALHOST);
    let closed = TcpListener::bind((place(), 0))
        .expect("a port")
        .local_addr();
    let closed = closed.expect("its address");
    let busy = Mock::start(|_| Some("503 Busy".to_owned()));
    let well = Mock::start(|_| Some("200 OK".to_owned()));
    dns.pointer("b.example", 1, "SIP+D2T", "_sip._tcp.b.example");
    dns.pointer("b.example", 2, "SIP+D2U", "_sip._udp.b.example");
    for (number, (service, at)) in [("tcp", closed), ("udp", busy.at), ("udp", well.at)]
        .into_iter()
        .enumerate()
    {
        let host = format!("h{number}.b.example");
        let std::net::IpAddr::V4(ip) = at.ip() else {
            panic!("IPv4");
        };
        dns.host(&host, ip);
        let priority = u16::try_from(number).unwrap();
        let name = format!("_sip._{service}.b.example");
        dns.sip_service(&name, priority, 0, &host, at.port());
    }
    let sip_lines = format!(
        "nameservers = [\"{}\"]\noutbound_domains = [\"b.example\"]\n",
        dns.at
    );
    let server = server(&sip_lines, "");
    let mut alice = rvp("alice", &server);
    assert_eq!(alice.say("carol@b.example", "hello").unwrap(), 200);
    let (first, second) = (busy.next(), well.next());
    let of = |request: &str, name: &str| between(request, name, "\r\n").unwrap().to_owned();
    assert_ne!(of(&first, "branch="), of(&second, "branch="));
    assert_eq!(of(&first, "Call-ID: "), of(&second, "Call-ID: "));
    assert_eq!(of(&first, "CSeq: "), of(&second, "CSeq: "));
    // Nobody who is not trusted is told for whom we speak (RFC 3325 6).
    assert!(!second.contains("P-Asserted-Identity"), "{second}");
    // Places that failed are not the first to be tried again.
    assert_eq!(alice.say("carol@b.example", "again").unwrap(), 200);
    well.next();
    assert!(busy.got.try_recv().is_err(), "asked again at once");
}

#[test]
fn rfc_4321_a_silent_place_is_left_for_the_next_long_before_its_time() {
    let dns = Resolver::start(Ipv4Addr::LOCALHOST);
    let silent = Mock::start(|_| None);
    let well = Mock::start(|_| Some("200 OK".to_owned()));
    for (priority, (host, at)) in [
        (1, ("one.b.example", silent.at)),
        (2, ("two.b.example", well.at)),
    ] {
        let std::net::IpAddr::V4(ip) = at.ip() else {
            panic!("IPv4");
        };
        dns.host(host, ip);
        dns.sip_service("_sip._udp.b.example", priority, 0, host, at.port());
    }
    let sip_lines = format!(
        "nameservers = [\"{}\"]\noutbound_domains = [\"b.example\"]\n",
        dns.at
    );
    let server = server(&sip_lines, "");
    let mut bob = sip("bob", &server, OURS);
    // 200 if that is quick enough for the sender, 202 if not.
    let told = bob.say("carol@b.example", "hello").unwrap();
    assert!(told == 200 || told == 202, "{told}");
    assert!(silent.next().starts_with("MESSAGE sip:carol@b.example"));
    assert!(well.next().contains("hello"));
    assert_eq!(bob.say("carol@b.example", "again").unwrap(), 200);
}

fn password() -> PathBuf {
    let name = format!("tristack-neighbour-password-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, "secret\n").expect("a file");
    path
}

#[test]
fn digest_is_answered_to_the_configured_peer_in_the_configured_realm_only() {
    let password = password();
    let challenge = |realm: &'static str| {
        move |request: &str| {
            Some(if request.contains("Authorization: Digest") {
                "200 OK".to_owned()
            } else {
                format!(
                    "407 Prove it\nProxy-Authenticate: Digest realm=\"{realm}\", nonce=\"n1\", qop=\"auth\", algorithm=MD5"
                )
            })
        }
    };
    for (realm, want) in [("b.example", 200), ("evil.example", 412)] {
        let mock = Mock::start(challenge(realm));
        let more = format!(
            "user = \"gate\"\npassword_file = \"{}\"\nrealm = \"b.example\"",
            password.display()
        );
        let server = routed(&mock, &more);
        let mut alice = rvp("alice", &server);
        assert_eq!(
            alice.say("carol@b.example", "hello").unwrap(),
            want,
            "{realm}"
        );
        let first = mock.next();
        assert!(!first.contains("Authorization"), "{first}");
        if want == 200 {
            let second = mock.next();
            assert!(second.contains("Digest username=\"gate\""), "{second}");
            let number = |request: &str| between(request, "CSeq: ", " ").unwrap().to_owned();
            assert_ne!(number(&first), number(&second));
        } else {
            assert!(mock.got.try_recv().is_err(), "credentials given away");
        }
    }
    let _ = std::fs::remove_file(password);
}

#[test]
fn a_peers_own_trouble_is_not_our_users() {
    for status in [401, 407, 482, 500, 503, 580] {
        let mock = Mock::start(move |_| Some(format!("{status} Trouble")));
        let server = routed(&mock, "");
        let mut alice = rvp("alice", &server);
        let mut bob = sip("bob", &server, OURS);
        assert_eq!(alice.say("carol@b.example", "?").unwrap(), 412, "{status}");
        assert_eq!(bob.say("carol@b.example", "?").unwrap(), 480, "{status}");
    }
}

/// Answers a SUBSCRIBE, then notifies whatever it is told to.
#[test]
fn odd_notifications_do_no_harm_and_the_next_good_one_counts() {
    let mock = Mock::start(|request| {
        let line = if request.starts_with("SUBSCRIBE") {
            "200 OK\nExpires: 3600\nContact: <sip:mock@192.0.2.1>"
        } else {
            return None;
        };
        Some(line.to_owned())
    });
    let server = routed(&mock, "trust = \"address\"");
    let mut alice = rvp("alice", &server);
    alice.watch("carol@b.example").expect("watching");
    let subscribe = mock.next();
    assert!(
        subscribe.starts_with("SUBSCRIBE sip:carol@b.example SIP/2.0\r\n"),
        "{subscribe}"
    );
    // In the watcher's own name.
    assert!(
        subscribe.contains("From: <sip:alice@a.example>"),
        "{subscribe}"
    );
    assert!(
        subscribe.contains("P-Asserted-Identity: <sip:alice@a.example>"),
        "{subscribe}"
    );
    let of = |name: &str| between(&subscribe, name, "\r\n").unwrap().to_owned();
    let notify = |number: u32, from_tag: &str, state: &str, kind: &str, body: &str| {
        let text = format!(
            "NOTIFY sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKn{number}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:carol@b.example>;tag={from_tag}\r\nTo: {from}\r\n\
             Call-ID: {call}\r\nCSeq: {number} NOTIFY\r\nContact: <sip:{local}>\r\nEvent: presence\r\n\
             Subscription-State: {state}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}",
            to = server.sip_udp,
            local = mock.at,
            from = of("From: "),
            call = of("Call-ID: "),
            length = body.len(),
        );
        mock.socket
            .send_to(text.as_bytes(), server.sip_udp)
            .unwrap();
        loop {
            let answer = mock.next();
            if sip_status(&answer) >= 200 && answer.contains(&format!("CSeq: {number} ")) {
                return sip_status(&answer);
            }
        }
    };
    let pidf = |activity: &str| {
        format!(
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"x\"><tuple id=\"1\"><status>\
             <basic>open</basic></status></tuple><p:person xmlns:p=\"urn:ietf:params:xml:ns:pidf:data-model\" id=\"2\">\
             <r:activities xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\">{activity}</r:activities></p:person></presence>"
        )
    };
    let kind = "application/pidf+xml";
    assert_eq!(notify(1, "mock", "active", kind, &pidf("<r:busy/>")), 200);
    sees(&alice, "carol", "busy");
    assert_eq!(notify(2, "mock", "active", kind, "<presence"), 415);
    assert_eq!(notify(3, "mock", "active", "text/plain", "hello"), 415);
    assert_eq!(notify(4, "other", "active", kind, &pidf("<r:meal/>")), 481);
    assert_eq!(notify(6, "mock", "active", kind, &pidf("<r:away/>")), 200);
    sees(&alice, "carol", "away");
    let late = notify(5, "mock", "active", kind, &pidf("<r:meal/>"));
    assert_eq!(late, 500, "out of order");
    // It is moved: subscribed anew at once, with a dialog of its own.
    let status = notify(7, "mock", "terminated;reason=deactivated", kind, "");
    assert_eq!(status, 200);
    let again = loop {
        let next = mock.next();
        if next.starts_with("SUBSCRIBE")
            && between(&next, "Call-ID: ", "\r\n") != Some(&of("Call-ID: "))
        {
            break next;
        }
    };
    assert!(again.contains("From: <sip:alice@a.example>"), "{again}");
}
