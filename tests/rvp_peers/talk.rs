//! People of two domains see each other and talk; any server may die and come back.

use crate::actor::{Actor, Heard, SipActor, sip_status};
use crate::house::{Http, Inbox, User};
use crate::site::{HOST, HOST_B, World};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

pub fn node(host: &str, name: &str) -> String {
    format!("http://{host}/instmsg/aliases/{name}")
}

/// A signed-in user with an inbox, shown online.
pub async fn at(name: &str, server: std::net::SocketAddr, host: &str) -> (User, Inbox) {
    let inbox = Inbox::new().await;
    let mut user = User::of(name, server, host);
    user.sign_in(inbox.at).await;
    assert_eq!(user.state("online").await.status(), 207);
    (user, inbox)
}

pub async fn say(user: &mut User, host: &str, to: &str, text: &str) -> Http {
    let body = user.message(to, &crate::house::text_mime(text));
    let headers = "RVP-Ack-Type: DeepOr\r\nRVP-Hop-Count: 1\r\nContent-Type: text/xml\r\n";
    user.ask("NOTIFY", &node(host, to), headers, &body).await
}

pub async fn watch(user: &mut User, host: &str, whom: &str) -> Http {
    let headers = format!(
        "Notification-Type: update/propchange\r\nSubscription-Lifetime: 3600\r\nCall-Back: {}\r\n",
        user.href(&user.name)
    );
    user.ask("SUBSCRIBE", &node(host, whom), &headers, "").await
}

/// Waits for a NOTIFY that holds all of these.
pub async fn hears(inbox: &mut Inbox, wanted: &[&str]) -> Http {
    let found = async {
        loop {
            let notify = inbox.next().await;
            if wanted.iter().all(|text| notify.body.contains(text)) {
                return notify;
            }
        }
    };
    let found = tokio::time::timeout(PATIENCE, found).await;
    found.unwrap_or_else(|_| panic!("never heard {wanted:?}"))
}

/// Repeats until it answers that.
pub async fn until(wanted: u16, mut ask: impl AsyncFnMut() -> u16) {
    let end = Instant::now() + PATIENCE;
    let mut last = 0;
    while Instant::now() < end {
        last = ask().await;
        if last == wanted {
            return;
        }
    }
    panic!("{last} instead of {wanted}");
}

fn sip_sees(actor: &SipActor, state: &str) {
    let end = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while let Some(heard) = actor.next_kind(true, end.saturating_duration_since(Instant::now())) {
        if matches!(&heard, Heard::Presence { state: shown, .. } if shown == state) {
            return;
        }
        seen.push(heard);
    }
    panic!("never saw {state}, but {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn section_5_two_domains_three_servers_talk_and_see_each_other() {
    let world = World::start();
    let result = caught(talk(&world)).await;
    if let Err(panic) = result {
        eprintln!("{}", world.logs());
        std::panic::resume_unwind(panic);
    }
}

async fn talk(world: &World) {
    // alice comes by the router from outside: it carries everything, her sign-in, too.
    let (mut alice, mut alice_inbox) = at("alice", world.router.at, HOST).await;
    let (mut bob, mut bob_inbox) = at("bob", world.home2.at, HOST).await;
    let (mut carol, mut carol_inbox) = at("carol", world.b.at, HOST_B).await;

    referred(world).await;

    // Two homes of one domain, one asker by way of the router, one at his home.
    let answer = say(&mut alice, HOST, "bob", "hello bob").await;
    assert_eq!(answer.status(), 200, "{}", answer.body);
    let notify = hears(&mut bob_inbox, &["hello bob"]).await;
    assert_eq!(
        notify.header("RVP-From-Principal"),
        Some(&*node(HOST, "alice"))
    );
    assert!(!notify.body.contains("/instmsg/local/"), "{}", notify.body);
    let answer = say(&mut bob, HOST, "alice", "hello alice").await;
    assert_eq!(answer.status(), 200, "{}", answer.body);
    hears(&mut alice_inbox, &["hello alice"]).await;

    // Two domains, RVP on both sides, both ways.
    let answer = say(&mut alice, HOST_B, "carol", "hello carol").await;
    assert_eq!(answer.status(), 200, "{}", answer.body);
    let notify = hears(&mut carol_inbox, &["hello carol"]).await;
    assert_eq!(
        notify.header("RVP-From-Principal"),
        Some(&*node(HOST, "alice"))
    );
    assert!(!notify.body.contains("127."), "{}", notify.body);
    let answer = say(&mut carol, HOST, "alice", "hello from b").await;
    assert_eq!(answer.status(), 200, "{}", answer.body);
    let notify = hears(&mut alice_inbox, &["hello from b"]).await;
    assert_eq!(
        notify.header("RVP-From-Principal"),
        Some(&*node(HOST_B, "carol"))
    );
    let hops: u32 = notify.header("RVP-Hop-Count").unwrap().parse().unwrap();
    assert!((3..=6).contains(&hops), "{hops} hops");

    // Nobody there, nobody of that name: said as if they were ours.
    assert_eq!(say(&mut alice, HOST_B, "erin", "?").await.status(), 412);
    assert_eq!(say(&mut alice, HOST_B, "nobody", "?").await.status(), 404);
    assert_eq!(
        say(&mut alice, "im.other.example", "x", "?").await.status(),
        404
    );

    // They see each other.
    let first = watch(&mut carol, HOST, "alice").await;
    assert_eq!(first.status(), 207, "{}", first.body);
    hears(&mut carol_inbox, &["<r:online/>", &node(HOST, "alice")]).await;
    assert_eq!(alice.state("busy").await.status(), 207);
    hears(&mut carol_inbox, &["<r:busy/>", &node(HOST, "alice")]).await;
    let first = watch(&mut bob, HOST_B, "carol").await;
    assert_eq!(first.status(), 207, "{}", first.body);
    hears(&mut bob_inbox, &["<r:online/>", &node(HOST_B, "carol")]).await;
    assert_eq!(carol.state("at-lunch").await.status(), 207);
    hears(&mut bob_inbox, &["<r:at-lunch/>", &node(HOST_B, "carol")]).await;
    // By way of the router: her own subscription at the other home.
    let first = watch(&mut alice, HOST, "bob").await;
    assert_eq!(first.status(), 207, "{}", first.body);
    assert!(first.body.contains("<r:online/>"), "{}", first.body);
    assert_eq!(bob.state("away").await.status(), 207);
    hears(&mut alice_inbox, &["<r:away/>", &node(HOST, "bob")]).await;
}

/// Who asks from inside is told where the home is, and the home serves both forms of the URL.
async fn referred(world: &World) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let stream = socket.connect(world.router.at).await.unwrap();
    let mut inside = User::of("alice", world.router.at, HOST).over(stream);
    let body = "<d:propfind xmlns:d=\"DAV:\"><d:allprop/></d:propfind>";
    let own = "/instmsg/aliases/alice";
    let answer = inside.ask("PROPFIND", own, "Depth: 0\r\n", body).await;
    assert_eq!(answer.line, "HTTP/1.1 302 Object moved");
    let physical = format!("http://{}/instmsg/local/{HOST}{own}", world.home1.at);
    assert_eq!(answer.header("Location"), Some(&*physical));

    let mut outside = User::of("alice", world.router.at, HOST);
    let mut at_home = User::of("alice", world.home1.at, HOST);
    let carried = outside.ask("PROPFIND", own, "Depth: 0\r\n", body).await;
    let mut told = Vec::new();
    for url in [physical.as_str(), own] {
        let answer = at_home.ask("PROPFIND", url, "Depth: 0\r\n", body).await;
        assert_eq!(answer.status(), 207, "{}", answer.body);
        told.push(answer.body);
    }
    assert_eq!([&told[0], &told[1]], [&carried.body; 2]);
    assert!(told[0].contains(&node(HOST, "alice")), "{}", told[0]);
    assert!(!told[0].contains("/instmsg/local/"), "{}", told[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn section_5_sip_and_rvp_across_domains_and_any_server_may_die() {
    let mut world = World::start();
    let result = caught(fail_over(&mut world)).await;
    if let Err(panic) = result {
        eprintln!("{}", world.logs());
        std::panic::resume_unwind(panic);
    }
}

fn sip_say(dave: &mut SipActor, to: &str, text: &str) -> u16 {
    let uri = format!("sip:{to}");
    let headers = "Content-Type: text/plain;charset=UTF-8\r\n";
    let call = format!("cross-{text}").replace(' ', "-");
    let answer = dave.request("MESSAGE", &uri, &uri, &call, headers, text);
    sip_status(&answer.expect("an answer"))
}

async fn fail_over(world: &mut World) {
    let (mut carol, mut carol_inbox) = at("carol", world.b.at, HOST_B).await;
    let (_bob, mut bob_inbox) = at("bob", world.home2.at, HOST).await;
    let mut dave = SipActor::udp("dave", world.home1.sip).unwrap();
    dave.sign_in().unwrap();

    // SIP to RVP and back, across domains.
    assert_eq!(sip_say(&mut dave, "carol@b.example", "hi carol"), 200);
    let notify = hears(&mut carol_inbox, &["hi carol"]).await;
    assert_eq!(
        notify.header("RVP-From-Principal"),
        Some(&*node(HOST, "dave"))
    );
    assert_eq!(say(&mut carol, HOST, "dave", "hi dave").await.status(), 200);
    let heard = dave.next_kind(false, PATIENCE);
    let Some(Heard::Text { from, text }) = heard else {
        panic!("{heard:?}");
    };
    assert_eq!((from.as_str(), text.as_str()), ("carol", "hi dave"));

    // SIP watches RVP of the other domain.
    let uri = "sip:carol@b.example";
    let headers = "Event: presence\r\nAccept: application/pidf+xml\r\nExpires: 3600\r\n";
    let answer = dave.request("SUBSCRIBE", uri, uri, "watch-carol", headers, "");
    assert!((200..203).contains(&sip_status(&answer.unwrap())));
    sip_sees(&dave, "online");
    assert_eq!(carol.state("busy").await.status(), 207);
    sip_sees(&dave, "busy");

    // The other domain dies: said so, and she is offline.
    world.b.kill();
    sip_sees(&dave, "offline");
    let before = Instant::now();
    assert_eq!(sip_say(&mut dave, "carol@b.example", "lost"), 480);
    assert!(
        before.elapsed() < Duration::from_secs(8),
        "{:?}",
        before.elapsed()
    );
    world.b.launch();
    sip_sees(&dave, "busy");
    let mut count = 0;
    until(200, async || {
        count += 1;
        sip_say(&mut dave, "carol@b.example", &format!("again {count}"))
    })
    .await;
    hears(&mut carol_inbox, &["again"]).await;

    // A home dies: its people can't be reached, others can.
    world.home2.kill();
    let mut carol = User::of("carol", world.b.at, HOST_B);
    let lost = say(&mut carol, HOST, "bob", "lost").await.status();
    assert!(matches!(lost, 412 | 503), "{lost}");
    assert_eq!(
        say(&mut carol, HOST, "dave", "still there").await.status(),
        200
    );
    world.home2.launch();
    until(200, async || {
        say(&mut carol, HOST, "bob", "back").await.status()
    })
    .await;
    hears(&mut bob_inbox, &["back"]).await;

    // The router dies: the homes go on among themselves and outwards.
    world.router.kill();
    let lost = say(&mut carol, HOST, "bob", "lost").await.status();
    assert!(matches!(lost, 412 | 503), "{lost}");
    let mut bob = User::of("bob", world.home2.at, HOST);
    assert_eq!(
        say(&mut bob, HOST, "dave", "without router").await.status(),
        200
    );
    assert_eq!(
        say(&mut bob, HOST_B, "carol", "outwards").await.status(),
        200
    );
    hears(&mut carol_inbox, &["outwards"]).await;
    world.router.launch();
    until(200, async || {
        say(&mut carol, HOST, "bob", "router is back")
            .await
            .status()
    })
    .await;
    hears(&mut bob_inbox, &["router is back"]).await;
    assert!(world.resolver.asked() < 200, "answers are remembered");
}

/// Runs a part of a test so that logs can be shown when it fails.
pub async fn caught<T>(part: impl Future<Output = T>) -> std::thread::Result<T> {
    let mut part = Box::pin(part);
    std::future::poll_fn(move |cx| {
        let polled =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| part.as_mut().poll(cx)));
        match polled {
            Ok(std::task::Poll::Ready(done)) => std::task::Poll::Ready(Ok(done)),
            Ok(std::task::Poll::Pending) => std::task::Poll::Pending,
            Err(panic) => std::task::Poll::Ready(Err(panic)),
        }
    })
    .await
}
