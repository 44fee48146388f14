//! Single sentences of `rvp.md`, each by its section.

use crate::house::{House, Http, Inbox};

fn typed(answer: &Http, wanted: &str) -> bool {
    let found = answer.header("Content-Type");
    found.is_some_and(|found| found.starts_with(wanted))
}

#[tokio::test]
async fn rvp_1_paths_ignore_case_encoding_and_a_slash_at_the_end() {
    let house = House::new().await;
    let inbox = Inbox::new().await;
    house.user("alice").sign_in(inbox.at).await;
    let mut bob = house.user("bob");
    for target in [
        "/instmsg/aliases/alice/",
        "/INSTMSG/Aliases/ALICE",
        "/instmsg/aliases/%61lice",
        "http://im.example.com/instmsg/aliases/alice",
        "http://IM.Example.com:80/instmsg/aliases/Alice/",
        "/instmsg/local/im.example.com/instmsg/aliases/alice",
    ] {
        let headers = "RVP-Hop-Count: 1\r\nContent-Type: text/xml\r\n";
        let body = bob.message("alice", &crate::house::text_mime("hi"));
        let answer = bob.ask("NOTIFY", target, headers, &body).await;
        assert_eq!(answer.status(), 200, "{target}: {}", answer.body);
    }
}

#[tokio::test]
async fn rvp_1_a_callback_without_a_path_is_notified_at_the_root() {
    let house = House::new().await;
    let mut inbox = Inbox::new().await;
    house.user("alice").sign_in(inbox.at).await;
    house.user("bob").text("alice", "hi").await;
    let notify = inbox.next().await;
    assert!(
        notify.line.starts_with("NOTIFY / HTTP/1.1"),
        "{}",
        notify.line
    );
    assert_eq!(notify.header("Host"), Some(&*inbox.at.to_string()));
}

#[tokio::test]
async fn rvp_3_every_answer_carries_the_version_and_its_kind_of_body() {
    let house = House::new().await;
    let mut alice = house.user("alice");
    let own = alice.node();
    let find = "<d:propfind xmlns:d=\"DAV:\"><d:allprop/></d:propfind>";
    for (method, target, headers, body, line, kind) in [
        (
            "PROPFIND",
            own.as_str(),
            "Depth: 0\r\n",
            find,
            "207 Multi-Status",
            "text/xml",
        ),
        ("ACL", &own, "", "", "200 Successful", "text/xml"),
        ("SUBSCRIPTIONS", &own, "", "", "200 Successful", "text/xml"),
        (
            "PROPFIND",
            &own,
            "Depth: 1\r\n",
            find,
            "412 Precondition Failed",
            "text/html",
        ),
        (
            "PROPFIND",
            &own,
            "",
            find,
            "412 Precondition Failed",
            "text/html",
        ),
        (
            "PROPFIND",
            "/instmsg/aliases/nobody",
            "Depth: 0\r\n",
            find,
            "404 Not Found",
            "text/html",
        ),
        ("GET", &own, "", "", "501 Not Implemented", "text/html"),
        ("MOVE", &own, "", "", "405 Method Not Allowed", "text/html"),
        ("NOTIFY", &own, "", "<x", "400 Bad Request", "text/html"),
    ] {
        let answer = alice.ask(method, target, headers, body).await;
        assert_eq!(answer.line, format!("HTTP/1.1 {line}"), "{method}");
        assert_eq!(
            answer.header("RVP-Notifications-Version"),
            Some("0.2"),
            "{method}"
        );
        assert!(typed(&answer, kind), "{method}: {:?}", answer.headers);
        assert!(answer.body.len() < 4096, "{method}");
    }
    let asked = alice.exchange("ACL", &own, "", None, "").await;
    assert_eq!(asked.line, "HTTP/1.1 401 Access Denied");
    assert_eq!(asked.header("RVP-Notifications-Version"), Some("0.2"));
}

#[tokio::test]
async fn rvp_5_subscribe_what_is_unknown_or_foreign_is_412_for_ever() {
    let house = House::new().await;
    let inbox = Inbox::new().await;
    let mut alice = house.user("alice");
    let id = alice.sign_in(inbox.at).await.id();
    let mut bob = house.user("bob");
    let own = alice.node();
    for method in ["SUBSCRIBE", "UNSUBSCRIBE"] {
        for id in ["4000000000", "77", "abc", id.as_str()] {
            let headers = format!("Subscription-Id: {id}\r\nSubscription-Lifetime: 600\r\n");
            let answer = bob.ask(method, &own, &headers, "").await;
            assert_eq!(answer.status(), 412, "{method} {id}");
        }
    }
    // Nothing permanent.
    let headers = format!(
        "Notification-Type: pragma/notify\r\nCall-Back: http://{}\r\n",
        inbox.at
    );
    assert_eq!(
        alice.ask("SUBSCRIBE", &own, &headers, "").await.status(),
        400
    );
    // Two identical subscriptions are two.
    let again = alice.sign_in(inbox.at).await.id();
    assert_ne!(again, id);
    for id in [id, again] {
        let headers = format!("Subscription-Id: {id}\r\n");
        assert_eq!(
            alice.ask("UNSUBSCRIBE", &own, &headers, "").await.status(),
            200
        );
    }
}

#[tokio::test]
async fn rvp_5_unsubscribe_is_for_the_subscriber_and_the_owner() {
    let house = House::new().await;
    let own = house.user("alice").node();
    for (who, status) in [("carol", 412), ("alice", 200)] {
        let id = house.user("bob").watch("alice").await.id();
        let headers = format!("Subscription-Id: {id}\r\n");
        let answer = house.user(who).ask("UNSUBSCRIBE", &own, &headers, "").await;
        assert_eq!(
            (answer.status(), answer.body.as_str()),
            (status, answer.body.as_str())
        );
        assert_eq!(answer.body.is_empty(), status == 200);
    }
}

#[tokio::test]
async fn rvp_5_subscriptions_lists_sign_ins_unless_asked_for_more_and_hides_addresses() {
    let house = House::new().await;
    let inbox = Inbox::new().await;
    let mut alice = house.user("alice");
    alice.sign_in(inbox.at).await;
    house.user("bob").watch("alice").await;
    let own = alice.node();
    let address = inbox.at.to_string();
    let signed_in = alice.ask("SUBSCRIPTIONS", &own, "", "").await;
    assert!(signed_in.body.contains(&address) && !signed_in.body.contains("aliases/bob"));
    let kind = "Notification-Type: update/propchange\r\n";
    let watching = alice.ask("SUBSCRIPTIONS", &own, kind, "").await;
    assert!(watching.body.contains("aliases/bob"), "{}", watching.body);
    // Whoever is let in sees who, never where.
    let ace = "<a:rvpacl xmlns:a=\"http://schemas.microsoft.com/rvp/acl/\"><a:acl><a:inheritance>none\
         </a:inheritance><a:ace><a:principal><a:allprincipals/><a:credentials><a:any/></a:credentials>\
         </a:principal><a:grant><a:subscriptions/></a:grant><a:deny/></a:ace></a:acl></a:rvpacl>";
    assert_eq!(alice.ask("ACL", &own, "", ace).await.status(), 200);
    let seen = house.user("bob").ask("SUBSCRIPTIONS", &own, "", "").await;
    assert_eq!(seen.status(), 200, "{}", seen.body);
    assert!(!seen.body.contains(&address), "{}", seen.body);
}

#[tokio::test]
async fn rvp_5_proppatch_an_unknown_state_is_echoed() {
    let house = House::new().await;
    let inbox = Inbox::new().await;
    let mut alice = house.user("alice");
    alice.sign_in(inbox.at).await;
    assert_eq!(alice.state("in-a-submarine").await.status(), 207);
    let seen = house.user("bob").watch("alice").await;
    assert!(seen.body.contains("<r:in-a-submarine/>"), "{}", seen.body);
}

#[tokio::test]
async fn rvp_5_notify_is_counted_on_and_answered_without_a_body() {
    let house = House::new().await;
    let mut inbox = Inbox::new().await;
    house.user("alice").sign_in(inbox.at).await;
    let mut bob = house.user("bob");
    let answer = bob.text("alice", "hi").await;
    assert_eq!(answer.line, "HTTP/1.1 200 Successful");
    assert!(answer.body.is_empty());
    let notify = inbox.next().await;
    assert_eq!(notify.header("RVP-Hop-Count"), Some("2"));
    assert_eq!(notify.header("RVP-From-Principal"), Some(&*bob.href("bob")));
    // Nobody there: 412.
    assert_eq!(bob.text("carol", "hi").await.status(), 412);
}

#[tokio::test]
async fn rvp_6_an_absent_principal_is_who_proved_himself_and_another_is_refused() {
    let house = House::new().await;
    let mut inbox = Inbox::new().await;
    house.user("alice").sign_in(inbox.at).await;
    let mut bob = house.user("bob");
    // Learn a nonce.
    bob.watch("alice").await;
    let mut mallory = house.user("bob");
    mallory.name = "carol".to_owned();
    let answer = mallory.text("alice", "as carol").await;
    assert_eq!(answer.status(), 403, "{}", answer.body);
    assert!(inbox.peek().is_none());
}
