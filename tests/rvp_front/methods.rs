//! `rvp.md` 5, method by method.

use crate::house::{House, Inbox};

#[tokio::test]
async fn rvp_5_subscribe_sign_in_watch_and_see() {
    let house = House::new().await;
    let (mut alice, mut inbox) = (house.user("alice"), Inbox::new().await);
    let answer = alice.sign_in(inbox.at).await;
    assert_eq!(answer.header("RVP-Notifications-Version"), Some("0.2"));
    assert_eq!(answer.header("Subscription-Lifetime"), Some("14400"));
    assert_eq!(answer.header("Content-Length"), Some("0"));
    assert!(answer.id().parse::<i32>().is_ok());

    let answer = alice.watch("bob").await;
    assert_eq!(answer.line, "HTTP/1.1 207 Multi-Status");
    assert_eq!(
        answer.body,
        "<?xml version=\"1.0\"?><d:multistatus xmlns:d=\"DAV:\" xmlns:r=\"http://schemas.microsoft.com/rvp/\"><d:response><d:href>http://im.example.com/instmsg/aliases/bob</d:href><d:propstat><d:prop><r:state><r:offline/></r:state><d:displayname>bob &lt;&amp;&gt; Doe</d:displayname><r:email>bob@example.com</r:email></d:prop><d:status>HTTP/1.1 200 Successful</d:status></d:propstat></d:response></d:multistatus>"
    );
    let watch = answer.id();

    let (mut bob, bobs) = (house.user("bob"), Inbox::new().await);
    bob.sign_in(bobs.at).await;
    let answer = bob.state("busy").await;
    assert_eq!(answer.line, "HTTP/1.1 207 Multi-Status", "{}", answer.body);
    assert_eq!(answer.between("<d:timeout>", "</d:timeout>"), "1200");
    assert!(answer.body.contains("<r:view-id>"), "{}", answer.body);
    let told = inbox.next().await;
    assert_eq!(told.line, "NOTIFY / HTTP/1.1");
    assert_eq!(told.header("Subscription-Id"), Some(watch.as_str()));
    assert_eq!(told.header("Authorization"), None);
    assert_eq!(
        told.body,
        "<?xml version=\"1.0\"?><r:notification xmlns:d=\"DAV:\" xmlns:r=\"http://schemas.microsoft.com/rvp/\"><r:propnotification><r:notification-from><r:contact><d:href>http://im.example.com/instmsg/aliases/bob</d:href><r:description>bob &lt;&amp;&gt; Doe</r:description></r:contact></r:notification-from><r:notification-to><r:contact><d:href>http://im.example.com/instmsg/aliases/alice</d:href><r:description>alice &lt;&amp;&gt; Doe</r:description></r:contact></r:notification-to><d:propertyupdate><d:set><d:prop><r:state><r:busy/></r:state></d:prop></d:set></d:propertyupdate></r:propnotification></r:notification>"
    );

    // No more after the watch has ended.
    let node = "/instmsg/aliases/bob";
    let answer = alice
        .ask(
            "UNSUBSCRIBE",
            node,
            &format!("Subscription-Id: {watch}\r\n"),
            "",
        )
        .await;
    assert_eq!((answer.status(), answer.body.as_str()), (200, ""));
    let answer = alice
        .ask(
            "UNSUBSCRIBE",
            node,
            &format!("Subscription-Id: {watch}\r\n"),
            "",
        )
        .await;
    assert_eq!(answer.line, "HTTP/1.1 412 Precondition Failed");
}

#[tokio::test]
async fn rvp_5_propfind_and_proppatch() {
    let house = House::new().await;
    let mut alice = house.user("alice");
    let node = alice.node();
    let set = "<d:propertyupdate xmlns:d=\"DAV:\" xmlns:r=\"http://schemas.microsoft.com/rvp/\" xmlns:x=\"urn:x\"><d:set><d:prop><d:displayname> Ali &amp; Co </d:displayname><x:list a=\"1\"><x:item>bob</x:item></x:list><r:mobile-state>on</r:mobile-state></d:prop></d:set></d:propertyupdate>";
    let answer = alice.ask("PROPPATCH", &node, "", set).await;
    assert_eq!(answer.status(), 207, "{}", answer.body);
    let find = "<d:propfind xmlns:d=\"DAV:\" xmlns:r=\"http://schemas.microsoft.com/rvp/\" xmlns:x=\"urn:x\"><d:prop><r:state/><d:displayname/><r:email/><x:list/><x:none/></d:prop></d:propfind>";
    let answer = alice.ask("PROPFIND", &node, "Depth: 0\r\n", find).await;
    assert_eq!(answer.status(), 207);
    assert_eq!(
        answer.between("<d:displayname>", "</d:displayname>"),
        "Ali &amp; Co"
    );
    assert_eq!(
        answer.between("<r:email>", "</r:email>"),
        "alice@example.com"
    );
    assert!(answer.body.contains(">bob</"), "{}", answer.body);
    let missing = answer.between("200 Successful</d:status></d:propstat>", "</d:response>");
    assert!(
        missing.contains("none") && missing.contains("HTTP/1.1 404 Not Found"),
        "{missing}"
    );

    for (body, want) in [
        (
            "<d:propfind xmlns:d=\"DAV:\"><d:allprop/></d:propfind>",
            "Ali &amp; Co",
        ),
        (
            "<d:propfind xmlns:d=\"DAV:\"><d:propname/></d:propfind>",
            "<d:displayname/>",
        ),
    ] {
        let answer = alice.ask("PROPFIND", &node, "Depth: 0\r\n", body).await;
        assert!(answer.body.contains(want), "{}", answer.body);
        assert!(answer.body.contains("mobile-state"), "{}", answer.body);
    }
    for depth in ["", "Depth: 1\r\n", "Depth: infinity\r\n"] {
        let answer = alice.ask("PROPFIND", &node, depth, find).await;
        assert_eq!(answer.line, "HTTP/1.1 412 Precondition Failed");
    }
    let answer = alice.ask("PROPFIND", &node, "Depth: 0\r\n", "").await;
    assert_eq!(answer.status(), 400);

    let remove = "<d:propertyupdate xmlns:d=\"DAV:\"><d:remove><d:prop><d:displayname/></d:prop></d:remove></d:propertyupdate>";
    assert_eq!(
        alice.ask("PROPPATCH", &node, "", remove).await.status(),
        207
    );
    let answer = alice.ask("PROPFIND", &node, "Depth: 0\r\n", find).await;
    assert_eq!(
        answer.between("<d:displayname>", "</d:displayname>"),
        "alice &lt;&amp;&gt; Doe"
    );

    // Somebody else's node.
    let mut bob = house.user("bob");
    assert_eq!(bob.ask("PROPPATCH", &node, "", remove).await.status(), 403);
    let state = "<d:propertyupdate xmlns:d=\"DAV:\" xmlns:r=\"http://schemas.microsoft.com/rvp/\"><d:set><d:prop><r:state><r:online/></r:state></d:prop></d:set></d:propertyupdate>";
    assert_eq!(bob.ask("PROPPATCH", &node, "", state).await.status(), 403);
}

#[tokio::test]
async fn rvp_5_proppatch_views_have_ids_and_a_stale_one_is_made_anew() {
    let house = House::new().await;
    let mut alice = house.user("alice");
    let view =
        |answer: &crate::house::Http| answer.between("<r:view-id>", "</r:view-id>").to_owned();
    let first = alice.state("online").await;
    // No view-id from this source: the same view again.
    assert_eq!(view(&alice.state("busy").await), view(&first));
    let node = alice.node();
    let with = |view: &str, state: &str| {
        format!(
            "<d:propertyupdate xmlns:d=\"DAV:\" xmlns:r=\"http://schemas.microsoft.com/rvp/\"><d:set><d:prop><r:state><r:leased-value><r:value><r:{state}/></r:value><r:default-value><r:offline/></r:default-value><r:timeout>600</r:timeout></r:leased-value><r:view-id>{view}</r:view-id></r:state></d:prop></d:set></d:propertyupdate>"
        )
    };
    let answer = alice
        .ask("PROPPATCH", &node, "", &with(&view(&first), "away"))
        .await;
    assert_eq!(view(&answer), view(&first));
    assert_eq!(answer.between("<d:timeout>", "</d:timeout>"), "600");
    let answer = alice
        .ask("PROPPATCH", &node, "", &with("777777", "away"))
        .await;
    assert_eq!(answer.status(), 207, "{}", answer.body);
}

#[tokio::test]
async fn rvp_5_subscriptions_show_sign_ins_to_the_owner_and_watchers() {
    let house = House::new().await;
    let (mut alice, mut bob) = (house.user("alice"), house.user("bob"));
    let (inbox, other) = (Inbox::new().await, Inbox::new().await);
    let first = alice.sign_in(inbox.at).await.id();
    let second = alice.sign_in(other.at).await.id();
    let watch = bob.watch("alice").await.id();
    let node = alice.node();
    let list = alice.ask("SUBSCRIPTIONS", &node, "", "").await;
    assert_eq!(list.line, "HTTP/1.1 200 Successful");
    assert!(
        list.body.contains(&format!(
            "<r:subscription-id>{first}</r:subscription-id><d:href>http://{}</d:href>",
            inbox.at
        )),
        "{}",
        list.body
    );
    assert!(list.body.contains(&second));
    let list = alice
        .ask(
            "SUBSCRIPTIONS",
            &node,
            "Notification-Type: update/propchange\r\n",
            "",
        )
        .await;
    assert!(list.body.contains(&format!("<r:subscription-id>{watch}</r:subscription-id><d:href>http://im.example.com/instmsg/aliases/bob</d:href><a:principal><a:rvp-principal>http://im.example.com/instmsg/aliases/bob</a:rvp-principal></a:principal><d:timeout>14400</d:timeout>")), "{}", list.body);
    assert_eq!(bob.ask("SUBSCRIPTIONS", &node, "", "").await.status(), 403);
    // The owner throws out a sign-in and a watcher; a stranger can't.
    let throw = |id: &str| format!("Subscription-Id: {id}\r\n");
    assert_eq!(
        bob.ask("UNSUBSCRIBE", &node, &throw(&second), "")
            .await
            .status(),
        412
    );
    assert_eq!(
        alice
            .ask("UNSUBSCRIBE", &node, &throw(&first), "")
            .await
            .status(),
        200
    );
    assert_eq!(
        alice
            .ask("UNSUBSCRIBE", &node, &throw(&watch), "")
            .await
            .status(),
        200
    );
    assert_eq!(
        alice
            .ask("SUBSCRIBE", &node, &throw(&first), "")
            .await
            .status(),
        412
    );
}

const ACL: &str = "<a:rvpacl xmlns:a=\"http://schemas.microsoft.com/rvp/acl/\"><a:acl><a:inheritance>none</a:inheritance><a:ace><a:principal><a:rvp-principal>\r\n http://im.example.com/instmsg/aliases/bob/ </a:rvp-principal><a:credentials><a:any/></a:credentials></a:principal><a:grant/><a:deny><a:send-to/><a:presence/></a:deny></a:ace></a:acl></a:rvpacl>";

#[tokio::test]
async fn rvp_5_acl_a_block_is_kept_enforced_and_can_not_be_told_from_offline() {
    let house = House::new().await;
    let (mut alice, mut bob) = (house.user("alice"), house.user("bob"));
    let inbox = Inbox::new().await;
    alice.sign_in(inbox.at).await;
    alice.state("online").await;
    let node = alice.node();
    assert_eq!(alice.ask("ACL", &node, "", ACL).await.status(), 200);
    let read = alice.ask("ACL", &node, "", "").await;
    assert_eq!(read.line, "HTTP/1.1 200 Successful");
    assert!(read.body.contains("<a:rvp-principal>http://im.example.com/instmsg/aliases/bob</a:rvp-principal><a:credentials><a:any/></a:credentials></a:principal><a:grant/><a:deny><a:send-to/><a:presence/></a:deny>"), "{}", read.body);
    let blocked = bob.watch("alice").await;
    assert!(
        blocked.body.contains("<r:state><r:offline/></r:state>"),
        "{}",
        blocked.body
    );
    let blocked = bob.text("alice", "x").await;
    let offline = bob.text("carol", "x").await;
    assert_eq!(blocked.line, "HTTP/1.1 412 Precondition Failed");
    assert_eq!(
        (&offline.line, &offline.body),
        (&blocked.line, &blocked.body)
    );
    let same = |answer: &crate::house::Http| {
        let kept = |(name, _): &&(String, String)| name != "Date";
        answer
            .headers
            .iter()
            .filter(kept)
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(same(&offline), same(&blocked));
    assert_eq!(bob.ask("ACL", &node, "", "").await.status(), 403);
    assert_eq!(bob.ask("ACL", &node, "", ACL).await.status(), 403);
    let bare = ACL.replace("<a:any/>", "");
    let answer = alice.ask("ACL", &node, "", &bare).await;
    assert_eq!(answer.status(), 400);
    assert!(
        answer.body.contains("credentials not specified"),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn rvp_1_both_url_forms_and_any_case_name_the_node() {
    let house = House::new().await;
    let mut alice = house.user("alice");
    let find = "<d:propfind xmlns:d=\"DAV:\"><d:prop><d:displayname/></d:prop></d:propfind>";
    for target in [
        "/instmsg/aliases/bob",
        "/INSTMSG/Aliases/BOB/",
        "/instmsg/aliases/%62ob",
        "http://im.example.com/instmsg/aliases/bob",
        "http://localhost:9/instmsg/aliases/bob",
        "/instmsg/local/im.example.com/instmsg/aliases/bob",
        "http://home1.example.com/instmsg/local/im.example.com/instmsg/aliases/bob",
    ] {
        let answer = alice.ask("PROPFIND", target, "Depth: 0\r\n", find).await;
        assert_eq!(answer.status(), 207, "{target}: {}", answer.body);
        assert!(
            answer.body.contains("/instmsg/aliases/bob</d:href>"),
            "{target}: {}",
            answer.body
        );
    }
    for target in [
        "/instmsg/aliases/nobody",
        "/groups/x",
        "http://im.elsewhere.example/instmsg/aliases/bob",
    ] {
        let answer = alice.ask("PROPFIND", target, "Depth: 0\r\n", find).await;
        assert_eq!(answer.line, "HTTP/1.1 404 Not Found", "{target}");
    }
}

#[tokio::test]
async fn decision_28_what_a_call_back_may_be() {
    let house = House::new().await;
    let (mut alice, mut bob) = (house.user("alice"), house.user("bob"));
    let at = house.at;
    let sign_in = |call_back: &str| {
        format!(
            "Notification-Type: pragma/notify\r\nSubscription-Lifetime: 600\r\nCall-Back: {call_back}\r\n"
        )
    };
    let node = alice.node();
    for (call_back, status) in [
        (format!("http://{at}"), 400),
        (format!("http://{at}/x"), 400),
        ("ftp://127.0.0.1:9".into(), 400),
        ("http://127.0.0.1:9/a b".into(), 400),
        ("http://im.example.com/instmsg/aliases/bob".into(), 403),
        ("http://im.example.com/instmsg/aliases/alice".into(), 400),
        // Send-only.
        ("http://198.51.100.7:1234".into(), 200),
        ("http://127.0.0.1:22".into(), 200),
        ("http://somewhere.example:1234".into(), 200),
    ] {
        let answer = alice
            .ask("SUBSCRIBE", &node, &sign_in(&call_back), "")
            .await;
        assert_eq!(answer.status(), status, "{call_back}: {}", answer.body);
    }
    assert_eq!(bob.text("alice", "x").await.status(), 412);
    assert_eq!(
        bob.ask("SUBSCRIBE", &node, &sign_in("http://127.0.0.1:9999"), "")
            .await
            .status(),
        403
    );

    let house = House::with("callback_mismatch = \"refuse\"\n").await;
    let mut alice = house.user("alice");
    let answer = alice
        .ask("SUBSCRIBE", &node, &sign_in("http://198.51.100.7:1234"), "")
        .await;
    assert_eq!(answer.status(), 403);
}

#[tokio::test]
async fn a_watch_with_a_listener_of_its_own() {
    let house = House::new().await;
    let (mut alice, mut bob, mut inbox) =
        (house.user("alice"), house.user("bob"), Inbox::new().await);
    let headers = format!(
        "Notification-Type: update/propchange\r\nSubscription-Lifetime: 600\r\nCall-Back: http://{}/hook\r\n",
        inbox.at
    );
    let answer = alice
        .ask("SUBSCRIBE", "/instmsg/aliases/bob", &headers, "")
        .await;
    assert_eq!(answer.status(), 207);
    bob.state("on-phone").await;
    let told = inbox.next().await;
    assert_eq!(told.line, "NOTIFY /hook HTTP/1.1");
    assert_eq!(told.header("Subscription-Id"), Some(answer.id().as_str()));
    assert!(
        told.body.contains("<r:state><r:on-phone/></r:state>"),
        "{}",
        told.body
    );
    // Properties are told, too.
    let set = "<d:propertyupdate xmlns:d=\"DAV:\"><d:set><d:prop><d:displayname>Bobby</d:displayname></d:prop></d:set></d:propertyupdate>";
    let node = bob.node();
    bob.ask("PROPPATCH", &node, "", set).await;
    let told = inbox.next().await;
    assert!(
        told.body
            .contains("<d:set><d:prop><d:displayname>Bobby</d:displayname></d:prop></d:set>"),
        "{}",
        told.body
    );
}

#[tokio::test]
async fn rvp_5_leases_and_sign_ins_survive_a_restart() {
    let house = House::new().await;
    let (mut alice, mut inbox) = (house.user("alice"), Inbox::new().await);
    let point = alice.sign_in(inbox.at).await.id();
    let watch = alice.watch("bob").await.id();
    alice.state("online").await;
    let house = house.restart().await;
    let mut bob = house.user("bob");
    assert_eq!(bob.text("alice", "still there?").await.status(), 200);
    let told = inbox.next().await;
    assert!(told.body.contains("still there?"));
    assert_eq!(told.header("Subscription-Id"), Some(point.as_str()));
    bob.state("busy").await;
    assert_eq!(
        inbox.next().await.header("Subscription-Id"),
        Some(watch.as_str())
    );
    let mut alice = house.user("alice");
    let (own, bobs) = (alice.node(), bob.node());
    for (node, id) in [(&own, &point), (&bobs, &watch)] {
        let headers = format!("Subscription-Id: {id}\r\nSubscription-Lifetime: 14400\r\n");
        let answer = alice.ask("SUBSCRIBE", node, &headers, "").await;
        assert_eq!((answer.status(), answer.body.as_str()), (200, ""));
    }
}
