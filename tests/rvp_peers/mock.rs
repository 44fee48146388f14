//! A peer that misbehaves: whatever it does, our user is told something sensible in time, nobody
//! else notices, and nothing is dialled that should not be.

use crate::house::{House, Http, Inbox, User, text_mime};
use crate::resolver::Resolver;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How a peer answers.
#[derive(Clone)]
enum Manner {
    /// With these octets, after it has read the request.
    Says(String),
    /// With these octets before it has read anything, then reads on.
    SaysFirst(String),
    /// With a head, then with body octets without end.
    Endless(String),
    /// With a head, then an octet every now and then.
    Drips(String),
    /// Not at all, but reads.
    Silent,
    /// By closing the connection.
    Closes,
    /// By closing it without reading.
    ClosesAtOnce,
}

struct Peer {
    at: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

impl Peer {
    async fn start(manner: impl Fn(SocketAddr) -> Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let manner = manner(at);
        let connections = Arc::new(AtomicUsize::new(0));
        let requests = Arc::new(AtomicUsize::new(0));
        let (count, asked) = (Arc::clone(&connections), Arc::clone(&requests));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, manner.clone(), Arc::clone(&asked)));
            }
        });
        Self {
            at,
            connections,
            requests,
        }
    }
}

async fn serve(mut stream: TcpStream, manner: Manner, asked: Arc<AtomicUsize>) {
    match &manner {
        Manner::ClosesAtOnce => return,
        Manner::SaysFirst(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
        }
        _ => {}
    }
    while read_request(&mut stream).await {
        asked.fetch_add(1, Ordering::SeqCst);
        match &manner {
            Manner::Says(text) => {
                if stream.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
            Manner::Endless(head) => {
                let _ = stream.write_all(head.as_bytes()).await;
                let octets = vec![b'x'; 16 * 1024];
                while stream.write_all(&octets).await.is_ok() {}
                return;
            }
            Manner::Drips(head) => {
                let _ = stream.write_all(head.as_bytes()).await;
                let mut pause = tokio::time::interval(Duration::from_millis(50));
                while stream.write_all(b"x").await.is_ok() {
                    pause.tick().await;
                }
                return;
            }
            Manner::Silent | Manner::SaysFirst(_) => {}
            Manner::Closes | Manner::ClosesAtOnce => return,
        }
    }
}

/// Head and body; false at the end of the stream.
async fn read_request(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(octet) => head.push(octet),
            Err(_) => return false,
        }
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1);
    let length: usize = length
        .and_then(|rest| rest.split("\r\n").next()?.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.is_ok()
}

/// A server whose peer `b.example` is at that address.
async fn house(peer: SocketAddr, resolver: &Resolver) -> House {
    House::with(&format!(
        "nameservers = [\"{}\"]\n[limits]\ncallback_answer = \"500ms\"\ncallback_connect = \"500ms\"\n\
         [rvp.peers.\"b.example\"]\naddress = [\"{peer}\"]\n",
        resolver.at
    ))
    .await
}

pub async fn say(user: &mut User, to: &str) -> Http {
    let body = user.message(to, &text_mime("hello"));
    let headers = "RVP-Ack-Type: DeepOr\r\nRVP-Hop-Count: 1\r\nContent-Type: text/xml\r\n";
    let target = format!("http://im.b.example/instmsg/aliases/{to}");
    user.ask("NOTIFY", &target, headers, &body).await
}

async fn find(user: &mut User, whom: &str) -> Http {
    let body = "<d:propfind xmlns:d=\"DAV:\"><d:allprop/></d:propfind>";
    let target = format!("http://im.b.example/instmsg/aliases/{whom}");
    user.ask("PROPFIND", &target, "Depth: 0\r\n", body).await
}

fn says(text: &str) -> Manner {
    Manner::Says(text.to_owned())
}

fn redirect(to: &str) -> Manner {
    says(&format!(
        "HTTP/1.1 302 Object moved\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"
    ))
}

/// Name, what it does, what the sender of a text is told (0: 200 or 412, as the octets happen to
/// meet), what the reader of properties is told,
/// and how many requests it may get for each at most.
type Row = (&'static str, fn(SocketAddr) -> Manner, u16, u16, usize);

const ROWS: &[Row] = &[
    (
        "is as it should be",
        |_| says("HTTP/1.1 200 Successful\r\nContent-Length: 0\r\n\r\n"),
        200,
        200,
        1,
    ),
    (
        "redirects to itself for ever",
        |at| {
            redirect(&format!(
                "http://im.b.example:{}/instmsg/aliases/carol",
                at.port()
            ))
        },
        412,
        503,
        4,
    ),
    (
        "redirects below its domain, to nobody",
        |_| redirect("http://home.b.example/instmsg/aliases/carol"),
        412,
        503,
        1,
    ),
    (
        "redirects to another node",
        |_| redirect("http://im.b.example/instmsg/aliases/erin"),
        412,
        503,
        1,
    ),
    (
        "redirects to nowhere",
        |_| says("HTTP/1.1 302 Object moved\r\nContent-Length: 0\r\n\r\n"),
        412,
        503,
        1,
    ),
    (
        "redirects to what is no URL",
        |_| redirect("javascript:alert(1)"),
        412,
        503,
        1,
    ),
    (
        "has a body without end",
        |_| Manner::Endless("HTTP/1.1 200 Successful\r\n\r\n".into()),
        200,
        503,
        1,
    ),
    (
        "has a body that is too long",
        |_| {
            Manner::Endless("HTTP/1.1 200 Successful\r\nContent-Length: 99999999999\r\n\r\n".into())
        },
        412,
        503,
        1,
    ),
    (
        "has chunks without end",
        |_| {
            Manner::Endless(
                "HTTP/1.1 200 Successful\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n".into(),
            )
        },
        200,
        503,
        1,
    ),
    (
        "has a head without end",
        |_| Manner::Endless("HTTP/1.1 200 Successful\r\nX: ".into()),
        412,
        503,
        1,
    ),
    (
        "has a slow body",
        |_| Manner::Drips("HTTP/1.1 200 Successful\r\nContent-Length: 1000\r\n\r\n".into()),
        412,
        503,
        1,
    ),
    (
        "has a slow head",
        |_| Manner::Drips("HTTP/1.1 200 Successful\r\nX: ".into()),
        412,
        503,
        1,
    ),
    (
        "speaks HTTP/2",
        |_| says("HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
        412,
        503,
        1,
    ),
    (
        "speaks SIP",
        |_| says("SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
        412,
        503,
        1,
    ),
    (
        "speaks nothing",
        |_| says("\u{0}\u{1}\u{2} what?\r\n\r\n"),
        412,
        503,
        1,
    ),
    (
        "answers before it is asked",
        |_| Manner::SaysFirst("HTTP/1.1 200 Successful\r\nContent-Length: 0\r\n\r\n".into()),
        0,
        0,
        1,
    ),
    ("says nothing", |_| Manner::Silent, 412, 503, 1),
    ("closes without a word", |_| Manner::Closes, 412, 503, 1),
    ("closes at once", |_| Manner::ClosesAtOnce, 412, 503, 1),
    (
        "wants credentials that nobody has",
        |_| {
            says(
                "HTTP/1.1 401 Access Denied\r\nWWW-Authenticate: Digest realm=\"x\", nonce=\"y\", qop=\"auth\"\r\nContent-Length: 0\r\n\r\n",
            )
        },
        412,
        503,
        1,
    ),
    (
        "is overloaded",
        |_| says("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"),
        412,
        503,
        1,
    ),
    (
        "is broken",
        |_| says("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"),
        412,
        503,
        1,
    ),
    (
        "knows nobody of that name",
        |_| says("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        404,
        404,
        1,
    ),
    (
        "has left the conversation",
        |_| says("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"),
        500,
        500,
        1,
    ),
    (
        "answers what nobody knows",
        |_| says("HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n"),
        200,
        503,
        1,
    ),
    (
        "sends no text",
        |_| says("HTTP/1.1 207 Multi-Status\r\nContent-Length: 0\r\n\r\n"),
        200,
        207,
        1,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn section_5_a_misbehaving_peer_is_bounded_and_harmless() {
    let resolver = Resolver::start(Ipv4Addr::LOCALHOST);
    resolver.host("im.b.example", Ipv4Addr::LOCALHOST);
    let mut wrong = Vec::new();
    for (name, manner, text, properties, most) in ROWS {
        let peer = Peer::start(manner).await;
        let house = house(peer.at, &resolver).await;
        let mut alice = house.user("alice");
        let inbox = Inbox::new().await;
        alice.sign_in(inbox.at).await;
        let before = Instant::now();
        let sent = say(&mut alice, "carol").await;
        let asked = peer.requests.load(Ordering::SeqCst);
        let found = find(&mut alice, "carol").await;
        let took = before.elapsed();
        // An answer that came before the request may be taken for one, or refused.
        let fits = |got: &Http, want: u16, either: [u16; 2]| match want {
            0 => either.contains(&got.status()),
            want => got.status() == want,
        };
        if !fits(&sent, *text, [200, 412])
            || !fits(&found, *properties, [200, 503])
            || asked > *most
            || took > Duration::from_secs(6)
        {
            let got = (sent.status(), found.status());
            wrong.push(format!("{name}: {got:?}, {asked} requests, {took:?}"));
        }
        for answer in [&sent, &found] {
            let told = format!("{:?} {}", answer.headers, answer.body);
            assert!(
                answer.header("WWW-Authenticate").is_none(),
                "{name}: {told}"
            );
            assert!(answer.header("Location").is_none(), "{name}: {told}");
        }
        // Everybody else goes on as if nothing were.
        assert_eq!(alice.state("busy").await.status(), 207, "{name}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn section_5_a_redirect_to_a_foreign_host_is_never_followed() {
    let victim =
        Peer::start(|_| says("HTTP/1.1 200 Successful\r\nContent-Length: 0\r\n\r\n")).await;
    let resolver = Resolver::start(Ipv4Addr::LOCALHOST);
    for host in ["victim.example", "im.b.example", "b.example.victim.example"] {
        resolver.host(host, Ipv4Addr::LOCALHOST);
    }
    for host in [
        "victim.example",
        "b.example.victim.example",
        "evil-b.example",
        "127.0.0.9",
        "[::1]",
        "localhost",
    ] {
        let to = format!("http://{host}:{}/instmsg/aliases/carol", victim.at.port());
        let peer = Peer::start(|_| redirect(&to)).await;
        let house = house(peer.at, &resolver).await;
        let mut alice = house.user("alice");
        assert_eq!(say(&mut alice, "carol").await.status(), 412, "{host}");
        assert_eq!(find(&mut alice, "carol").await.status(), 503, "{host}");
        assert!(peer.requests.load(Ordering::SeqCst) >= 1, "{host}");
    }
    assert_eq!(victim.connections.load(Ordering::SeqCst), 0);
    // The same place under a name of its own domain is followed: the test can fail.
    let to = format!(
        "http://im.b.example:{}/instmsg/aliases/carol",
        victim.at.port()
    );
    let peer = Peer::start(|_| redirect(&to)).await;
    let house = house(peer.at, &resolver).await;
    assert_eq!(say(&mut house.user("alice"), "carol").await.status(), 200);
    assert_eq!(victim.requests.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rvp_6_nobody_speaks_for_people_of_another_server() {
    let resolver = Resolver::start(Ipv4Addr::LOCALHOST);
    let password = crate::site::password_file("shared secret");
    let house = House::with(&format!(
        "nameservers = [\"{}\"]\noutbound_domains = [\"c.example\"]\n\
         [rvp.peers.\"b.example\"]\naddress = [\"127.0.0.1:9\"]\nuser = \"b-server\"\npassword_file = \"{}\"\n\
         [rvp.peers.\"d.example\"]\naddress = [\"127.0.0.1:9\"]\ntrust = [\"127.0.0.1\"]\n",
        resolver.at,
        password.display()
    ))
    .await;
    let mut alice = house.user("alice");
    let mut inbox = Inbox::new().await;
    alice.sign_in(inbox.at).await;
    let cases = [
        // Configured, but nobody said who may speak for them: only what proves itself.
        ("im.b.example", "carol", "b-server", "shared secret", 403),
        ("im.c.example", "carol", "b-server", "shared secret", 403),
        ("im.d.example", "carol", "", "", 403),
    ];
    for (host, name, user, secret, want) in cases {
        let mut peer = User::of(name, house.at, host);
        if !user.is_empty() {
            peer.digest = auth::digest::Client::new(user, secret);
        }
        let body = peer.message("alice", &text_mime("hello"));
        let headers = "RVP-Ack-Type: DeepOr\r\nRVP-Hop-Count: 2\r\nContent-Type: text/xml\r\n";
        let target = "http://im.example.com/instmsg/aliases/alice";
        let answer = peer.ask("NOTIFY", target, headers, &body).await;
        // Without `foreign` nobody of another domain may send (`decisions.md` 15): but who is
        // believed is refused for that, and who is not, for speaking in another's name.
        assert_eq!(answer.status(), want, "{host}: {}", answer.body);
        let spoofing = answer.body.contains("may not speak");
        assert_eq!(spoofing, host == "im.c.example", "{host}: {}", answer.body);
    }
    // Our own user can't be had by a foreign server, nor a foreign one by our user.
    let mut peer = User::of("alice", house.at, "im.example.com");
    peer.digest = auth::digest::Client::new("b-server", "shared secret");
    let refused = peer
        .exchange("PROPPATCH", "/instmsg/aliases/alice", "", None, "<x/>")
        .await;
    assert!(matches!(refused.status(), 400 | 401), "{}", refused.line);
    let headers = "RVP-Hop-Count: 1\r\nContent-Type: text/xml\r\n";
    let mut mallory = User::of("bob", house.at, "im.example.com");
    let mut body = mallory.message("alice", &text_mime("hello"));
    body = body.replace(
        "im.example.com/instmsg/aliases/bob",
        "im.d.example/instmsg/aliases/carol",
    );
    let answer = mallory
        .ask("NOTIFY", "/instmsg/aliases/alice", headers, &body)
        .await;
    assert_eq!(answer.status(), 403, "{}", answer.body);
    assert!(inbox.peek().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn section_5_a_dead_peer_is_left_alone_and_comes_back() {
    let resolver = Resolver::start(Ipv4Addr::LOCALHOST);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let house = house(at, &resolver).await;
    let mut alice = house.user("alice");
    for _ in 0..10 {
        assert_eq!(say(&mut alice, "carol").await.status(), 412);
    }
    let before = Instant::now();
    for _ in 0..50 {
        assert_eq!(say(&mut alice, "carol").await.status(), 412);
    }
    assert!(
        before.elapsed() < Duration::from_secs(5),
        "nobody waits for a dead peer"
    );
    let listener = TcpListener::bind(at).await.unwrap();
    let answer = says("HTTP/1.1 200 Successful\r\nContent-Length: 0\r\n\r\n");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer.clone(), Arc::default()));
        }
    });
    let end = Instant::now() + Duration::from_secs(20);
    while say(&mut alice, "carol").await.status() != 200 {
        assert!(Instant::now() < end, "never tried again");
    }
}
