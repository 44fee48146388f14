//! What outlives a restart (`decisions.md` 12, 33).

use crate::house::House;

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

#[tokio::test]
async fn keep_alives_are_asked_of_who_offers_them() {
    let house = House::new().await;
    for (tcp, expected) in [(true, "25"), (false, "")] {
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
        assert_eq!(
            (answer.status(), answer.header("Flow-Timer")),
            (200, expected)
        );
    }
}
