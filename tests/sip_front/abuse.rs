//! Identity and abuse: what a client may say of itself, and what strangers can make us do.

use crate::house::{House, Sip, Ua};
use std::fmt::Write as _;

#[tokio::test]
async fn a_preferred_identity_is_bound_and_an_asserted_one_goes_no_further() {
    let house = House::new().await;
    let mut bob = house.tcp("bob").await;
    bob.register().await;
    let mut alice = house.udp("alice").await;
    for foreign in [
        "<sip:carol@example.com>",
        "\"Boss\" <sip:alice@elsewhere.org>",
        "<tel:+15551>",
        "not an address",
    ] {
        let mut say = alice.say("MESSAGE", "bob");
        say.headers = format!("P-Preferred-Identity: {foreign}\r\nContent-Type: text/plain\r\n");
        assert_eq!(alice.ask(&say).await.status(), 403, "{foreign}");
    }
    let mut say = alice.say("MESSAGE", "bob");
    say.headers = "P-Preferred-Identity: <sip:alice@example.com>\r\n\
                   P-Asserted-Identity: <sip:carol@example.com>\r\n\
                   p-asserted-identity: \"Boss\" <sip:boss@example.com>\r\n\
                   Content-Type: text/plain\r\n"
        .to_owned();
    say.body = "it is me".to_owned();
    let (answer, told) = tokio::join!(alice.ask(&say), bob.told("200 OK"));
    assert_eq!((answer.status(), &*told.body), (200, "it is me"));
    for name in ["P-Asserted-Identity", "P-Preferred-Identity"] {
        assert!(
            told.all(name).is_empty(),
            "{name} of a client is nobody's word"
        );
    }
}

/// Sends a request without credentials; its one answer with its size, or `None` when the server
/// says that it gives none.
async fn sizes(house: &House, ua: &mut Ua, text: &str) -> Option<(usize, Sip)> {
    let before = house.hub.stats().unanswered.get();
    ua.send(text).await;
    let silence = async {
        while house.hub.stats().unanswered.get() == before {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        answer = ua.receive() => {
            let fields = answer.headers.iter();
            let fields = fields.map(|(name, value)| name.len() + value.len() + 4);
            let octets = answer.line.len() + 4 + fields.sum::<usize>() + answer.body.len();
            Some((octets, answer))
        }
        () = silence => None,
    }
}

#[tokio::test]
async fn nothing_unproven_is_answered_at_length_over_udp() {
    // As if from afar: the bounds hold for loopback, too.
    let house = House::with("[limits]\nloopback = true\n").await;
    let mut ua = house.udp("alice").await;
    let mut unanswered = 0;
    for pad in [0, 40, 80, 120, 200, 400, 800] {
        for (method, uri) in [
            ("REGISTER", "sip:example.com"),
            ("MESSAGE", "bob"),
            ("SUBSCRIBE", "bob"),
            ("OPTIONS", "sip:example.com"),
            ("DANCE", "bob"),
        ] {
            let mut say = ua.say(method, uri);
            if pad > 0 {
                let _ = write!(say.headers, "X-Pad: {}\r\n", "x".repeat(pad));
            }
            let text = ua.write(&say, "");
            let Some((octets, answer)) = sizes(&house, &mut ua, &text).await else {
                assert!(
                    pad < 80,
                    "{method}: {} octets are enough for an answer",
                    text.len()
                );
                unanswered += 1;
                continue;
            };
            assert!(
                octets * 2 <= text.len() * 3,
                "{method}: {} octets were answered by {octets}: {}",
                text.len(),
                answer.line
            );
            match answer.status() {
                401 => assert!(!answer.all("WWW-Authenticate").is_empty()),
                407 => assert!(!answer.all("Proxy-Authenticate").is_empty()),
                200 | 501 => {}
                status => panic!("{status}"),
            }
        }
    }
    assert!(unanswered < 10, "only the barest requests are left alone");
}

#[tokio::test]
async fn a_short_challenge_can_be_answered() {
    let house = House::with("[limits]\nloopback = true\n").await;
    let mut ua = house.udp("alice").await;
    ua.via = "";
    assert_eq!(ua.register().await.status(), 200);
}

#[tokio::test]
async fn strangers_have_a_budget_and_those_who_prove_themselves_do_not_need_it() {
    let bounds = "[limits]\nloopback = true\nunproven_burst = 5\nunproven_rate = 1\n";
    let house = House::with(bounds).await;
    let mut ua = house.udp("alice").await;
    let mut say = ua.say("MESSAGE", "bob");
    say.headers = "Content-Type: text/plain\r\n".to_owned();
    let first = ua.write(&say, "");
    ua.send(&first).await;
    let challenge = ua.receive().await;
    assert_eq!(challenge.status(), 407);
    // The rest of the budget, and far more than that.
    for _ in 0..50 {
        let text = ua.write(&say, "");
        ua.send(&text).await;
    }
    let credentials = ua.credentials(&challenge, &say);
    let proved = ua.write(&say, &credentials);
    ua.send(&proved).await;
    let mut challenges = 0;
    loop {
        let answer = ua.receive().await;
        match answer.status() {
            407 => challenges += 1,
            status => {
                assert_eq!(status, 480, "proved: nobody is there");
                break;
            }
        }
    }
    assert!((4..=8).contains(&challenges), "{challenges} of 50");
    assert!(house.hub.stats().unanswered.get() >= 42);
}

#[tokio::test]
async fn nobody_has_more_under_way_than_the_bound() {
    let house = House::with("[limits]\nrequests_per_person = 3\n").await;
    let mut bob = house.tcp("bob").await;
    bob.register().await;
    let mut alice = house.tcp("alice").await;
    let mut carol = house.tcp("carol").await;
    // A first exchange gives a nonce that the others are sent under.
    let (answer, _) = tokio::join!(alice.text("bob", "0"), bob.told("200 OK"));
    assert_eq!(answer.status(), 200);
    for body in ["1", "2", "3", "4"] {
        let mut say = alice.say("MESSAGE", "bob");
        say.headers = "Content-Type: text/plain\r\n".to_owned();
        body.clone_into(&mut say.body);
        let credentials = alice.more_credentials(&say);
        let text = alice.write(&say, &credentials);
        alice.send(&text).await;
    }
    // Bob answers none of the three: the fourth is refused at once, and says when to come back.
    let refused = alice.response().await;
    assert_eq!(refused.status(), 503);
    assert!(!refused.header("Retry-After").is_empty());
    // Nobody else is touched.
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(bob.receive().await);
    }
    let (answer, told) = tokio::join!(carol.text("bob", "carol's"), bob.told("200 OK"));
    assert_eq!((answer.status(), &*told.body), (200, "carol's"));
    // What ends makes room.
    for sip in &waiting {
        bob.reply(sip, "200 OK").await;
        assert_eq!(alice.response().await.status(), 200);
    }
    let (answer, _) = tokio::join!(alice.text("bob", "5"), bob.told("200 OK"));
    assert_eq!(answer.status(), 200);
}

/// The same answers for those who are there and those who are not: statuses, challenges, sizes.
#[tokio::test]
async fn strangers_do_not_learn_who_exists() {
    let house = House::new().await;
    let mut ua = house.udp("alice").await;
    for method in ["REGISTER", "MESSAGE", "SUBSCRIBE", "PUBLISH", "OPTIONS"] {
        let mut seen = Vec::new();
        // Names of one length, so that sizes can be compared.
        for (from, to) in [
            ("alice", "bob"),
            ("annie", "bob"),
            ("alice", "bib"),
            ("annie", "bib"),
        ] {
            let mut say = ua.say(method, to);
            say.from = format!("<sip:{from}@example.com>;tag=1");
            let text = ua.write(&say, "");
            ua.send(&text).await;
            let answer = ua.receive().await;
            let names = answer.headers.iter().map(|(name, value)| {
                let value = if name.contains("Authenticate") {
                    value.len()
                } else {
                    0
                };
                (name.clone(), value)
            });
            seen.push((answer.status(), names.collect::<Vec<_>>()));
        }
        assert!(
            seen.windows(2).all(|pair| pair[0] == pair[1]),
            "{method}: {seen:?}"
        );
    }
}
