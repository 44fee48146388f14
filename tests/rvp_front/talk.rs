//! Messages between RVP clients.

use crate::house::{House, Inbox, SESSION, text_mime};

#[tokio::test]
async fn rvp_5_notify_a_text_arrives_as_it_was_written_at_every_inbox_once() {
    let house = House::new().await;
    let (mut alice, mut bob) = (house.user("alice"), house.user("bob"));
    let (mut one, mut two) = (Inbox::new().await, Inbox::new().await);
    let first = bob.sign_in(one.at).await.id();
    // Two subscriptions of one Call-Back are one inbox; the newest id counts (`decisions.md` 22).
    let newest = bob.sign_in(one.at).await.id();
    assert_ne!(first, newest);
    bob.sign_in(two.at).await;
    let text = "<&> ]] 'quotes' \"x\"\r\n\r\nsecond \u{e4}\u{1f600} end";
    let answer = alice.text("bob", text).await;
    assert_eq!(
        (answer.line.as_str(), answer.body.as_str()),
        ("HTTP/1.1 200 Successful", "")
    );
    for inbox in [&mut one, &mut two] {
        let got = inbox.next().await;
        assert_eq!(
            got.between("<![CDATA[", "]]></r:mime-data>"),
            text_mime(text)
        );
        assert_eq!(got.between("<r:description>", "</r:description>"), "alice");
        assert_eq!(
            got.header("RVP-From-Principal"),
            Some("http://im.example.com/instmsg/aliases/alice")
        );
        assert_eq!(got.header("RVP-Hop-Count"), Some("2"));
        assert_eq!(got.header("Content-Type"), Some("text/xml"));
    }
    assert_eq!(alice.text("bob", "last").await.status(), 200);
    let got = one.next().await;
    assert_eq!(got.header("Subscription-Id"), Some(newest.as_str()));
    assert!(got.body.contains("last"));
    assert!(one.peek().is_none());
}

#[tokio::test]
async fn rvp_5_notify_typing_join_leave_and_invitations_pass_untouched() {
    let house = House::new().await;
    let (mut alice, mut bob, mut inbox) =
        (house.user("alice"), house.user("bob"), Inbox::new().await);
    bob.sign_in(inbox.at).await;
    for mime in [
        format!(
            "MIME-Version: 1.0\r\nContent-Type: text/x-msmsgscontrol\r\nTypingUser: alice@im.example.com\r\nSession-Id: {SESSION}\r\n\r\n\r\n"
        ),
        format!(
            "Session-Id: {SESSION}\r\nContent-Type: text/x-msmsgscontrol\r\nMIME-Version: 1.0\r\n\r\n\r\n"
        ),
        format!(
            "MIME-Version: 1.0\r\nContent-Type: text/x-imleave\r\nSession-Id: {SESSION}\r\n\r\n"
        ),
        format!(
            "MIME-Version: 1.0\r\nContent-Type: text/x-msmsgsinvite; charset=UTF-8\r\nSession-Id: {SESSION}\r\n\r\nApplication-Name: File Transfer\r\nInvitation-Command: INVITE\r\nInvitation-Cookie: 7\r\nApplication-File: a]b.txt\r\n\r\n"
        ),
        format!(
            "MIME-Version: 1.0\r\nContent-Type: image/gif\r\nSession-Id: {SESSION}\r\n\r\nwhatever"
        ),
    ] {
        let answer = alice.send("bob", &mime).await;
        assert_eq!(answer.status(), 200, "{mime}: {}", answer.body);
        assert_eq!(
            inbox.next().await.between("<![CDATA[", "]]></r:mime-data>"),
            mime
        );
    }
}

#[tokio::test]
async fn rvp_5_notify_an_applications_own_document_passes_byte_for_byte() {
    let house = House::new().await;
    let (mut alice, mut bob, mut inbox) =
        (house.user("alice"), house.user("bob"), Inbox::new().await);
    bob.sign_in(inbox.at).await;
    let document = "<?xml version='1.0'?>\n<s:shipped xmlns:s='urn:ship'  n = '7'><!-- x -->a\r\n&#13;</s:shipped>\n";
    let answer = alice
        .ask("NOTIFY", "/instmsg/aliases/bob", "", document)
        .await;
    assert_eq!(answer.status(), 200, "{}", answer.body);
    assert_eq!(inbox.next().await.body, document);
    let made = "<r:notification xmlns:d=\"DAV:\" xmlns:r=\"http://schemas.microsoft.com/rvp/\"><r:propnotification><r:notification-from><r:contact><d:href>http://im.example.com/instmsg/aliases/alice</d:href></r:contact></r:notification-from><d:propertyupdate><d:set><d:prop><r:state><r:online/></r:state></d:prop></d:set></d:propertyupdate></r:propnotification></r:notification>";
    assert_eq!(
        alice
            .ask("NOTIFY", "/instmsg/aliases/bob", "", made)
            .await
            .status(),
        403
    );
}

#[tokio::test]
async fn outcomes_are_told_honestly() {
    let house = House::new().await;
    let mut alice = house.user("alice");
    assert_eq!(
        alice.text("bob", "nobody there").await.line,
        "HTTP/1.1 412 Precondition Failed"
    );
    assert_eq!(
        alice.text("nobody", "x").await.line,
        "HTTP/1.1 404 Not Found"
    );
    for (answer, line) in [
        (
            "HTTP/1.1 500 Has left\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 500 Internal Server Error",
        ),
        (
            "HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found",
        ),
        (
            "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 403 Forbidden",
        ),
        (
            "HTTP/1.1 413 Big\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 413 Request Entity Too Large",
        ),
        (
            "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 412 Precondition Failed",
        ),
        (
            "HTTP/1.1 302 Away\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 412 Precondition Failed",
        ),
    ] {
        let house = House::new().await;
        let (mut alice, mut bob, inbox) = (
            house.user("alice"),
            house.user("bob"),
            Inbox::answering(answer).await,
        );
        bob.sign_in(inbox.at).await;
        assert_eq!(alice.text("bob", "x").await.line, line);
        // One good inbox is enough (DeepOr).
        let good = Inbox::new().await;
        bob.sign_in(good.at).await;
        assert_eq!(alice.text("bob", "x").await.status(), 200);
    }
}

#[tokio::test]
async fn a_dead_listener_fails_at_once_and_nothing_is_lost() {
    let house = House::new().await;
    let (mut alice, mut bob, inbox) = (house.user("alice"), house.user("bob"), Inbox::new().await);
    let at = inbox.close().await;
    bob.sign_in(at).await;
    assert_eq!(alice.text("bob", "x").await.status(), 412);
}

#[tokio::test]
async fn spoofing_is_403_and_nothing_is_sent() {
    let house = House::new().await;
    let (mut alice, mut carol, mut bob, mut inbox) = (
        house.user("alice"),
        house.user("carol"),
        house.user("bob"),
        Inbox::new().await,
    );
    bob.sign_in(inbox.at).await;
    // The document names somebody else.
    let body = carol.message("bob", &text_mime("I am carol"));
    let answer = alice.ask("NOTIFY", "/instmsg/aliases/bob", "", &body).await;
    assert_eq!(answer.line, "HTTP/1.1 403 Forbidden");
    // The head does.
    carol.digest = auth::digest::Client::new("alice", "alice");
    for (method, headers, body) in [
        (
            "SUBSCRIBE",
            "Notification-Type: pragma/notify\r\nSubscription-Lifetime: 60\r\nCall-Back: http://127.0.0.1:9999\r\n",
            "",
        ),
        ("UNSUBSCRIBE", "Subscription-Id: 1\r\n", ""),
        ("SUBSCRIPTIONS", "", ""),
        (
            "PROPFIND",
            "Depth: 0\r\n",
            "<d:propfind xmlns:d=\"DAV:\"><d:allprop/></d:propfind>",
        ),
        (
            "PROPPATCH",
            "",
            "<d:propertyupdate xmlns:d=\"DAV:\"><d:remove><d:prop><d:displayname/></d:prop></d:remove></d:propertyupdate>",
        ),
        ("NOTIFY", "", "<x/>"),
        ("ACL", "", ""),
    ] {
        let answer = carol
            .ask(method, "/instmsg/aliases/bob", headers, body)
            .await;
        assert_eq!(answer.line, "HTTP/1.1 403 Forbidden", "{method}");
    }
    alice.text("bob", "I am alice").await;
    let got = inbox.next().await;
    assert!(got.body.contains("I am alice"), "{}", got.body);
}
