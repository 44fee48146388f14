//! Who talks in a call that runs through us is on the phone (`[sip] calls_make_on_phone`).

use crate::calls::{acknowledge, back, gets, hears, offer, says, start, within};
use crate::house::{House, Say, Sip, Ua};
use crate::lines::{sees_free, sees_on_phone, watcher, watcher_of};

const ON: &str = "calls_make_on_phone = true\n";

/// alice calls bob, who answers: her INVITE, his 200, and the INVITE as he got it.
async fn talk(alice: &mut Ua, bob: &mut Ua) -> (Say, Sip, Sip) {
    let say = offer(alice, "bob");
    start(alice, &say).await;
    let invite = gets(bob, "INVITE").await;
    says(bob, &invite, "180 Ringing", "").await;
    assert_eq!(hears(alice).await.status(), 180);
    says(
        bob,
        &invite,
        "200 OK",
        "Session-Expires: 1800;refresher=uac\r\n",
    )
    .await;
    let ok = hears(alice).await;
    acknowledge(alice, &say, &ok).await;
    gets(bob, "ACK").await;
    (say, ok, invite)
}

#[tokio::test]
async fn a_call_makes_both_on_phone_until_one_hangs_up() {
    let house = House::with(ON).await;
    let (mut alice, mut bob) = (house.udp("alice").await, house.udp("bob").await);
    for ua in [&mut alice, &mut bob] {
        assert_eq!(ua.register().await.status(), 200);
    }
    let mut of_alice = watcher(&house, "carol", "presence").await;
    let mut of_bob = watcher_of(&house, "carol", "presence", "bob").await;
    let mut of_calls = watcher(&house, "alice", "dialog").await;
    for turn in 0..2 {
        let (say, ok, invite) = talk(&mut alice, &mut bob).await;
        sees_on_phone(&mut of_alice).await;
        sees_on_phone(&mut of_bob).await;
        let told = of_calls.told("200 OK").await;
        assert!(
            told.body.contains("<state>confirmed</state>"),
            "{}",
            told.body
        );
        assert!(!told.body.contains("bob"), "with whom: {}", told.body);
        // A new offer changes nothing, whoever makes it; either side may end it.
        let mut bye = if turn == 0 {
            within(&mut alice, &say, &ok, "BYE")
        } else {
            back(&mut bob, &invite, "BYE")
        };
        bye.headers.push_str("X-Turn: 1\r\n");
        let (one, other) = if turn == 0 {
            (&mut alice, &mut bob)
        } else {
            (&mut bob, &mut alice)
        };
        let text = one.write(&bye, "");
        one.send(&text).await;
        let got = gets(other, "BYE").await;
        says(other, &got, "200 OK", "").await;
        assert_eq!(hears(one).await.status(), 200);
        sees_free(&mut of_alice).await;
        sees_free(&mut of_bob).await;
        let told = of_calls.told("200 OK").await;
        assert!(!told.body.contains("confirmed"), "{}", told.body);
    }
}

#[tokio::test]
async fn a_call_ends_with_the_connection_of_one_who_talks() {
    let house = House::with(ON).await;
    let (mut alice, mut bob) = (house.udp("alice").await, house.tcp("bob").await);
    for ua in [&mut alice, &mut bob] {
        assert_eq!(ua.register().await.status(), 200);
    }
    let mut of_alice = watcher(&house, "carol", "presence").await;
    talk(&mut alice, &mut bob).await;
    sees_on_phone(&mut of_alice).await;
    drop(bob);
    sees_free(&mut of_alice).await;
}

/// RFC 5057 5.1: a 481 to a request within a call ends it.
#[tokio::test]
async fn a_call_that_the_other_side_has_forgotten_is_over() {
    let house = House::with(ON).await;
    let (mut alice, mut bob) = (house.udp("alice").await, house.udp("bob").await);
    for ua in [&mut alice, &mut bob] {
        assert_eq!(ua.register().await.status(), 200);
    }
    let mut of_alice = watcher(&house, "carol", "presence").await;
    let (say, ok, _) = talk(&mut alice, &mut bob).await;
    sees_on_phone(&mut of_alice).await;
    let update = within(&mut alice, &say, &ok, "UPDATE");
    let text = alice.write(&update, "");
    alice.send(&text).await;
    let got = gets(&mut bob, "UPDATE").await;
    says(&mut bob, &got, "481 Gone", "").await;
    assert_eq!(hears(&mut alice).await.status(), 481);
    sees_free(&mut of_alice).await;
}

#[tokio::test]
async fn without_the_switch_calls_are_nobodys_business() {
    let house = House::new().await;
    let (mut alice, mut bob) = (house.udp("alice").await, house.udp("bob").await);
    for ua in [&mut alice, &mut bob] {
        assert_eq!(ua.register().await.status(), 200);
    }
    let mut of_alice = watcher(&house, "carol", "presence").await;
    talk(&mut alice, &mut bob).await;
    // The next that is told is asked for.
    let mut gone = alice.say_register("Contact: *\r\nExpires: 0\r\n");
    gone.call_id.push('x');
    assert_eq!(alice.ask(&gone).await.status(), 200);
    let told = of_alice.told("200 OK").await;
    assert!(!told.body.contains("on-the-phone"), "{}", told.body);
    assert!(told.body.contains("closed"), "{}", told.body);
}
