//! `rvp.md` 8: each point that concerns the server, a test of that name.

use crate::house::{House, Inbox, OK, SESSION, read, text_mime};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

#[tokio::test]
async fn rvp_8_1_lf_alone_ends_lines() {
    let house = House::new().await;
    let got = house
        .raw(b"SUBSCRIBE /instmsg/aliases/alice HTTP/1.1\nHost: im.example.com\nNotification-Type: pragma/notify\nSubscription-Lifetime: 60\nCall-Back: http://127.0.0.1:9999\nContent-Length: 0\n\n")
        .await;
    assert!(got.starts_with("HTTP/1.1 401 Access Denied\r\n"), "{got}");
    let (mut alice, mut bob) = (house.user("alice"), house.user("bob"));
    let inbox = Inbox::answering("HTTP/1.1 200 OK\nContent-Length: 0\n\n").await;
    bob.sign_in(inbox.at).await;
    assert_eq!(alice.text("bob", "x").await.status(), 200);
    assert_eq!(alice.text("bob", "y").await.status(), 200);
}

#[tokio::test]
async fn rvp_8_2_answers_without_length_and_connections_closed_without_a_word() {
    for answer in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\n\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
    ] {
        let house = House::new().await;
        let (mut alice, mut bob, mut inbox) = (
            house.user("alice"),
            house.user("bob"),
            Inbox::answering(answer).await,
        );
        bob.sign_in(inbox.at).await;
        for text in ["one", "two", "three"] {
            assert_eq!(alice.text("bob", text).await.status(), 200, "{answer:?}");
            assert!(inbox.next().await.body.contains(text));
        }
    }
}

#[tokio::test]
async fn rvp_8_3_never_chunked_always_a_length() {
    let house = House::new().await;
    let (mut alice, mut bob, mut inbox) =
        (house.user("alice"), house.user("bob"), Inbox::new().await);
    // The readers of these tests fail without a Content-Length; here are all kinds of answers.
    let mut answers = vec![
        bob.sign_in(inbox.at).await,
        alice.watch("bob").await,
        alice.text("bob", "x").await,
    ];
    answers.push(
        alice
            .ask("SUBSCRIPTIONS", "/instmsg/aliases/alice", "", "")
            .await,
    );
    answers.push(
        alice
            .ask("NOTIFY", "/instmsg/aliases/nobody", "", "<x/>")
            .await,
    );
    answers.push(inbox.next().await);
    for answer in answers {
        assert_eq!(answer.header("Transfer-Encoding"), None);
        assert!(answer.header("RVP-Notifications-Version").is_some());
    }
}

#[tokio::test]
async fn rvp_8_4_challenges_are_what_old_parsers_read_and_the_connection_stays_open() {
    let house = House::new().await;
    let mut alice = house.user("alice");
    let node = alice.node();
    for _ in 0..3 {
        let answer = alice.exchange("SUBSCRIPTIONS", &node, "", None, "").await;
        assert_eq!(answer.line, "HTTP/1.1 401 Access Denied");
        assert_eq!(answer.header("Connection"), None);
        let challenges: Vec<_> = answer
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("WWW-Authenticate"))
            .collect();
        let [(_, value)] = challenges[..] else {
            panic!("{challenges:?}")
        };
        let rest = value.strip_prefix("Digest ").unwrap();
        for part in rest.split(',') {
            let (name, value) = part.trim().split_once('=').unwrap();
            assert_eq!(name, name.to_lowercase());
            assert!(!value.is_empty());
        }
        assert!(
            rest.contains("realm=\"example.com\"") && rest.contains("qop=\"auth\""),
            "{rest}"
        );
    }
    // With a body, too: it is read, so that the repetition finds the connection in order.
    let body = alice.message("bob", &text_mime("x"));
    let answer = alice
        .exchange("NOTIFY", "/instmsg/aliases/bob", "", None, &body)
        .await;
    assert_eq!(answer.status(), 401);
    // And one nonce serves any connection.
    let answer = alice.ask("NOTIFY", "/instmsg/aliases/bob", "", &body).await;
    assert_eq!(answer.status(), 412);
    let mut other = house.user("alice");
    other.digest = alice.digest.clone();
    let ask = auth::digest::Ask {
        method: "SUBSCRIPTIONS",
        uri: &node,
        body: b"",
        cnonce: "n",
    };
    let credentials = other.digest.again(&ask).unwrap();
    let answer = other
        .exchange("SUBSCRIPTIONS", &node, "", Some(&credentials), "")
        .await;
    assert_eq!(answer.status(), 200);
    for name in ["alice", "alice@example.com", "ALICE"] {
        let mut user = house.user("alice");
        user.digest = auth::digest::Client::new(name, "alice");
        assert_eq!(
            user.ask("SUBSCRIPTIONS", &node, "", "").await.status(),
            200,
            "{name}"
        );
    }
}

/// A client with one thread: it takes a NOTIFY only when it has no request under way.
#[tokio::test]
async fn rvp_8_5_the_answer_comes_before_the_notifications_it_causes() {
    let house = House::new().await;
    let mut alice = house.user("alice");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    alice.sign_in(listener.local_addr().unwrap()).await;
    alice.watch("alice").await;
    for state in ["online", "busy", "away", "online"] {
        // Nobody accepts meanwhile.
        let answer = alice.state(state).await;
        assert_eq!(answer.status(), 207);
        let (mut stream, _) = tokio::time::timeout(crate::house::PATIENCE, listener.accept())
            .await
            .unwrap()
            .unwrap();
        let told = read(&mut stream).await.unwrap();
        assert!(
            told.body.contains(&format!("<r:{state}/>")),
            "{}",
            told.body
        );
        let closing = OK.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        stream.write_all(closing.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn rvp_8_5_two_single_threaded_clients_do_not_wait_for_each_other_for_ever() {
    let house = House::new().await;
    let (mut alice, mut bob) = (house.user("alice"), house.user("bob"));
    let (hers, his) = (
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    );
    alice.sign_in(hers.local_addr().unwrap()).await;
    bob.sign_in(his.local_addr().unwrap()).await;
    let start = tokio::time::Instant::now();
    let (one, two) = tokio::join!(alice.text("bob", "to bob"), bob.text("alice", "to alice"));
    assert!(
        start.elapsed() < std::time::Duration::from_secs(8),
        "{:?}",
        start.elapsed()
    );
    // Kept while neither could take it, and delivered, once, as soon as they can.
    assert_eq!((one.status(), two.status()), (200, 200));
    for (listener, text) in [(hers, "to alice"), (his, "to bob")] {
        let accepted = tokio::time::timeout(crate::house::PATIENCE, listener.accept());
        let (mut stream, _) = accepted.await.unwrap().unwrap();
        assert!(read(&mut stream).await.unwrap().body.contains(text));
        stream.write_all(OK.as_bytes()).await.unwrap();
    }
    assert_eq!(alice.text("carol", "still in order").await.status(), 412);
}

#[tokio::test]
async fn rvp_8_6_the_sign_in_of_one_library() {
    let house = House::new().await;
    let (mut elsewhere, mut alice) = (house.user("alice"), house.user("alice"));
    let (old, new) = (Inbox::new().await, Inbox::new().await);
    let first = elsewhere.sign_in(old.at).await.id();
    let second = alice.sign_in(new.at).await.id();
    assert_eq!(alice.watch("alice").await.status(), 207);
    let node = alice.node();
    let list = alice
        .ask(
            "SUBSCRIPTIONS",
            &node,
            "Notification-Type: pragma/notify\r\n",
            "",
        )
        .await;
    let ids: Vec<&str> = list
        .body
        .split("<r:subscription-id>")
        .skip(1)
        .map(|rest| rest.split_once('<').unwrap().0)
        .collect();
    assert!(
        ids.iter().all(|id| id.bytes().all(|b| b.is_ascii_digit())),
        "{ids:?}"
    );
    assert!(ids.contains(&first.as_str()) && ids.contains(&second.as_str()));
    for id in ids.into_iter().filter(|id| *id != second) {
        let answer = alice
            .ask(
                "UNSUBSCRIBE",
                &node,
                &format!("Subscription-Id: {id}\r\n"),
                "",
            )
            .await;
        assert_eq!(answer.status(), 200);
    }
    let list = alice.ask("SUBSCRIPTIONS", &node, "", "").await;
    assert_eq!(list.body.matches("<r:subscription>").count(), 1);
}

#[tokio::test]
async fn rvp_8_7_one_response_one_propstat_one_contact() {
    let house = House::new().await;
    let (mut alice, mut bob, mut inbox) =
        (house.user("alice"), house.user("bob"), Inbox::new().await);
    alice.sign_in(inbox.at).await;
    let answer = alice.watch("bob").await;
    for (mark, count) in [
        ("<d:response>", 1),
        ("<d:propstat>", 1),
        ("<r:state><r:offline/></r:state>", 1),
        ("xmlns=", 0),
    ] {
        assert_eq!(
            answer.body.matches(mark).count(),
            count,
            "{mark} in {}",
            answer.body
        );
    }
    bob.state("gone-fishing").await;
    let told = inbox.next().await;
    let from = told.between("<r:notification-from>", "</r:notification-from>");
    assert_eq!(from.matches("<r:contact>").count(), 1);
    assert_eq!(told.body.matches("<r:propnotification>").count(), 1);
    assert_eq!(told.between("<r:state>", "</r:state>"), "<r:gone-fishing/>");
    assert!(!told.body.contains("&amp;amp;"), "{}", told.body);
}

#[tokio::test]
async fn rvp_8_8_hrefs_are_spelt_as_the_client_spells_us() {
    let house = House::new().await;
    let (mut alice, mut bob, mut inbox) =
        (house.user("alice"), house.user("bob"), Inbox::new().await);
    alice.host = format!("LocalHost:{}", house.at.port());
    alice.sign_in(inbox.at).await;
    let answer = alice.watch("bob").await;
    assert_eq!(
        answer.between("<d:href>", "</d:href>"),
        "http://LocalHost/instmsg/aliases/bob"
    );
    bob.state("online").await;
    let told = inbox.next().await;
    assert_eq!(
        told.between("<r:notification-from><r:contact><d:href>", "</d:href>"),
        "http://LocalHost/instmsg/aliases/bob"
    );
    bob.text("alice", "hi").await;
    let told = inbox.next().await;
    assert_eq!(
        told.between("<r:notification-to><r:contact><d:href>", "</d:href>"),
        "http://LocalHost/instmsg/aliases/alice"
    );
}

#[tokio::test]
async fn rvp_8_9_renewals_answer_with_id_and_lifetime() {
    let house = House::new().await;
    let (mut alice, inbox) = (house.user("alice"), Inbox::new().await);
    let point = alice.sign_in(inbox.at).await.id();
    let watch = alice.watch("bob").await.id();
    for (node, id) in [
        ("/instmsg/aliases/alice", point),
        ("/instmsg/aliases/bob", watch),
    ] {
        let headers = format!("Subscription-Id: {id}\r\nSubscription-Lifetime: 1000\r\n");
        let answer = alice.ask("SUBSCRIBE", node, &headers, "").await;
        assert_eq!(answer.line, "HTTP/1.1 200 Successful");
        assert_eq!(answer.id(), id);
        assert_eq!(answer.header("Subscription-Lifetime"), Some("1000"));
        assert_eq!(answer.body, "");
    }
    let answer = alice
        .ask(
            "SUBSCRIBE",
            "/instmsg/aliases/bob",
            "Subscription-Id: 4711\r\n",
            "",
        )
        .await;
    assert_eq!(answer.status(), 412);
}

#[tokio::test]
async fn rvp_8_10_leases_in_either_namespace_without_a_view_id() {
    let house = House::new().await;
    let mut alice = house.user("alice");
    let node = alice.node();
    for (timeout, want) in [
        ("<d:timeout>1200</d:timeout>", "1200"),
        ("<r:timeout>14400</r:timeout>", "14400"),
    ] {
        let body = format!(
            "<d:propupdate xmlns:d=\"DAV:\" xmlns:r=\"http://schemas.microsoft.com/rvp\"><d:set><d:prop><r:state><r:leased-value><r:value><r:online/></r:value><r:default-value><r:offline/></r:default-value>{timeout}</r:leased-value></r:state></d:prop></d:set></d:propupdate>"
        );
        let answer = alice.ask("PROPPATCH", &node, "", &body).await;
        assert_eq!(answer.status(), 207, "{}", answer.body);
        assert_eq!(answer.between("<d:timeout>", "</d:timeout>"), want);
    }
}

#[tokio::test]
async fn rvp_8_11_a_session_id_in_any_case_and_no_guess_at_broken_cdata() {
    let house = House::new().await;
    let (mut alice, mut bob, mut inbox) =
        (house.user("alice"), house.user("bob"), Inbox::new().await);
    bob.sign_in(inbox.at).await;
    let answer = alice
        .send("bob", "Content-Type: text/plain\r\n\r\nhello")
        .await;
    assert_eq!(answer.status(), 200, "{}", answer.body);
    let got = inbox.next().await;
    let mime = got.between("<![CDATA[", "]]></r:mime-data>");
    assert!(
        mime.contains("Session-Id: {") && mime.ends_with("\r\n\r\nhello"),
        "{mime}"
    );
    // Any order; a join before the first text.
    let join = format!("Session-Id: {SESSION}\r\nContent-Type: text/x-msmsgscontrol\r\n\r\n\r\n");
    assert_eq!(alice.send("bob", &join).await.status(), 200);
    assert!(inbox.next().await.body.contains(&join));
    assert_eq!(alice.text("bob", "a ]]> b").await.status(), 400);
    assert_eq!(alice.text("bob", "after").await.status(), 200);
    assert!(inbox.next().await.body.contains("after"));
}

#[tokio::test]
async fn rvp_8_12_offline_alone_is_sign_out_of_the_view_but_not_of_the_callback() {
    let house = House::new().await;
    let (mut alice, mut bob, mut inbox) =
        (house.user("alice"), house.user("bob"), Inbox::new().await);
    alice.sign_in(inbox.at).await;
    alice.state("online").await;
    assert!(bob.watch("alice").await.body.contains("<r:online/>"));
    alice.state("offline").await;
    assert!(bob.watch("alice").await.body.contains("<r:offline/>"));
    assert_eq!(bob.text("alice", "psst").await.status(), 200);
    assert!(inbox.next().await.body.contains("psst"));
}

#[tokio::test]
async fn rvp_8_13_every_inbox_gets_the_form_of_text_it_writes() {
    let house = House::new().await;
    let (mut alice, mut bob, mut inbox) =
        (house.user("alice"), house.user("bob"), Inbox::new().await);
    bob.agent = Some("msmsgs/4.7".into());
    bob.sign_in(inbox.at).await;
    let octets = "gr\u{c3}\u{bc}n \u{ed}\u{a0}\u{bd}\u{ed}\u{b8}\u{80}";
    let characters = "gr\u{fc}n \u{1f600}";
    // Characters in, octets out to the vendor's client.
    assert_eq!(alice.text("bob", characters).await.status(), 200);
    assert!(inbox.next().await.body.contains(octets));
    // Octets in, characters out to all others.
    let mut hers = Inbox::new().await;
    alice.sign_in(hers.at).await;
    assert_eq!(bob.text("alice", octets).await.status(), 200);
    assert!(hers.next().await.body.contains(characters));
}
