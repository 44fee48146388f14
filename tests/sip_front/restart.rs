//! What outlives a restart (`decisions.md` 12, 33).

use crate::house::{ALL, House, Ua};

#[tokio::test]
async fn bindings_and_subscriptions_outlive_a_restart() {
    let house = House::new().await;
    let (mut alice, mut bob) = (house.udp("alice").await, house.udp("bob").await);
    bob.register().await;
    let mut say = alice.say("SUBSCRIBE", "bob");
    say.headers = format!(
        "Event: presence\r\nExpires: 600\r\nContact: <{}>\r\n",
        alice.contact()
    );
    let answer = alice.ask(&say).await;
    let before = alice.told("200 OK").await;
    let house = house.restart().await;
    let mut carol = house.udp("carol").await;
    let (answered, told) = tokio::join!(carol.text("bob", "still there?"), bob.told("200 OK"));
    assert_eq!(
        (answered.status(), told.body.as_str()),
        (200, "still there?")
    );
    // The dialog goes on: a refresh is taken, and CSeq only rises.
    answer.header("To").clone_into(&mut say.to);
    assert_eq!(alice.ask(&say).await.status(), 200);
    let after = alice.told("200 OK").await;
    let number = |cseq: &str| cseq.split(' ').next().unwrap().parse::<u32>().unwrap();
    assert!(number(after.header("CSeq")) > number(before.header("CSeq")));
    assert_eq!(after.header("Call-ID"), before.header("Call-ID"));
    assert!(after.body.contains("<basic>open</basic>"));
}

#[tokio::test]
async fn a_client_that_comes_back_takes_its_binding_up_again() {
    let house = House::new().await;
    let mut bob = house.tcp("bob").await;
    let headers = "Contact: <sip:bob@127.0.0.1:1;transport=tcp>;+sip.instance=\"<urn:uuid:7>\"\r\n";
    let say = bob.say_register(headers);
    assert_eq!(bob.ask(&say).await.status(), 200);
    drop(bob);
    let mut bob = house.tcp("bob").await;
    let say = bob.say_register(headers);
    let answer = bob.ask(&say).await;
    assert_eq!((answer.status(), answer.all("Contact").len()), (200, 1));
    let mut alice = house.udp("alice").await;
    let (answer, told) = tokio::join!(alice.text("bob", "back"), bob.told("200 OK"));
    assert_eq!((answer.status(), told.body.as_str()), (200, "back"));
    assert!(house.front.connections() >= 1);
}

#[tokio::test]
async fn a_watcher_that_lost_its_connection_is_told_what_it_missed() {
    let house = House::new().await;
    let mut alice = house.tcp("alice").await;
    alice.register().await;
    let mut say = alice.say("SUBSCRIBE", "bob");
    let contact = alice.contact();
    say.headers = format!("Event: presence\r\nExpires: 600\r\nContact: <{contact}>\r\n");
    assert_eq!(alice.ask(&say).await.status(), 200);
    let first = alice.told("200 OK").await;
    drop(alice);
    let house = house.restart().await;
    let mut bob = house.udp("bob").await;
    bob.register().await;
    let mut alice = house.tcp("alice").await;
    alice.register().await;
    let told = alice.told("200 OK").await;
    assert!(told.body.contains("<basic>open</basic>"), "{}", told.body);
    assert_eq!(told.header("Call-ID"), first.header("Call-ID"));
}

/// `decisions.md` 12: a crowd on all kinds of connections loses them all at once, and comes back.
/// Its watchers are told of none of it.
#[tokio::test]
async fn a_restart_makes_no_storm_of_false_offlines() {
    const CROWD: usize = 300;
    let house = House::crowded(ALL, CROWD).await;
    let mut people = crowd(&house, CROWD).await;
    let mut watchers = Vec::new();
    for (number, name) in ["alice", "bob", "carol", "dave"].iter().enumerate() {
        let mut watcher = house.udp(name).await;
        // Ten each, of every kind of connection.
        for at in (number * 10)..(number * 10 + 10) {
            let mut say = watcher.say("SUBSCRIBE", &format!("crowd{at}"));
            let contact = watcher.contact();
            say.headers = format!("Event: presence\r\nExpires: 600\r\nContact: <{contact}>\r\n");
            assert_eq!(watcher.ask(&say).await.status(), 200);
            let told = watcher.told("200 OK").await;
            assert!(told.body.contains("<basic>open</basic>"), "{}", told.body);
        }
        watchers.push(watcher);
    }
    assert!(house.front.connections() >= CROWD);
    let house = house.restart().await;
    people.clear();
    // Texts wait for who is expected back.
    let people = crowd(&house, CROWD).await;
    assert!(house.front.connections() >= CROWD);
    // One change that is true comes, and nothing comes before it.
    for (number, watcher) in watchers.iter_mut().enumerate() {
        let name = format!("crowd{}", number * 10);
        let mut one = house.tcp(&name).await;
        let mut say = one.say_register("Contact: *\r\nExpires: 0\r\n");
        say.call_id = format!("gone-{name}");
        assert_eq!(one.ask(&say).await.status(), 200);
        let told = watcher.told("200 OK").await;
        assert!(told.body.contains("<basic>closed</basic>"), "{}", told.body);
        assert!(told.body.contains(&name), "{}", told.body);
    }
    drop(people);
}

/// Signs a crowd in: a third each over TCP, TLS and WebSocket.
async fn crowd(house: &House, size: usize) -> Vec<Ua> {
    let mut people = Vec::new();
    for number in 0..size {
        let name = format!("crowd{number}");
        let mut ua = match number % 3 {
            0 => house.tcp(&name).await,
            1 => house.tls(&name).await,
            _ => house.ws(&name).await,
        };
        let contact = ua.contact();
        let say = ua.say_register(&format!(
            "Supported: outbound\r\nContact: <{contact}>;reg-id=1;+sip.instance=\"<urn:uuid:{number}>\"\r\n"
        ));
        let answer = ua.ask(&say).await;
        assert_eq!((answer.status(), answer.all("Contact").len()), (200, 1));
        people.push(ua);
    }
    people
}

/// A lost connection of any kind is no news until its grace ends; an explicit end is at once.
#[tokio::test]
async fn who_comes_back_within_the_grace_was_never_gone() {
    let house = House::with(ALL).await;
    let mut alice = house.udp("alice").await;
    for kind in ["tcp", "tls", "ws"] {
        let connect = async || match kind {
            "tcp" => house.tcp("bob").await,
            "tls" => house.tls("bob").await,
            _ => house.ws("bob").await,
        };
        let mut bob = connect().await;
        let contact = format!("sip:bob@bob.invalid;transport={kind}");
        let headers =
            format!("Contact: <{contact}>;+sip.instance=\"<urn:uuid:7>\"\r\nExpires: 600\r\n");
        let say = bob.say_register(&headers);
        assert_eq!(bob.ask(&say).await.status(), 200);
        let mut say = alice.say("SUBSCRIBE", "bob");
        let own = alice.contact();
        say.headers = format!("Event: presence\r\nExpires: 600\r\nContact: <{own}>\r\n");
        assert_eq!(alice.ask(&say).await.status(), 200);
        assert!(alice.told("200 OK").await.body.contains("open"));
        let before = house.front.connections();
        drop(bob);
        while house.front.connections() >= before {
            tokio::task::yield_now().await;
        }
        let mut bob = connect().await;
        let again = bob.say_register(&headers);
        assert_eq!(bob.ask(&again).await.status(), 200);
        let gone = bob.say_register("Contact: *\r\nExpires: 0\r\n");
        assert_eq!(bob.ask(&gone).await.status(), 200);
        // The first thing that Alice hears is the explicit end.
        let told = alice.told("200 OK").await;
        assert!(
            told.body.contains("<basic>closed</basic>"),
            "{kind}: {}",
            told.body
        );
        // Ends this round's subscription.
    }
}

#[tokio::test]
async fn keep_alives_are_asked_of_who_offers_them() {
    let house = House::new().await;
    for tcp in [true, false] {
        let mut ua = if tcp {
            house.tcp("bob").await
        } else {
            house.udp("bob").await
        };
        let contact = ua.contact();
        let say = ua.say_register(&format!(
            "Supported: path, outbound\r\nContact: <{contact}>;reg-id=1;+sip.instance=\"<urn:uuid:9>\"\r\n"
        ));
        let answer = ua.ask(&say).await;
        assert_eq!((answer.status(), answer.header("Flow-Timer")), (200, "25"));
        assert_eq!(answer.header("Require"), "outbound");
    }
}
