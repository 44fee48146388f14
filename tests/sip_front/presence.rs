//! PUBLISH (RFC 3903), SUBSCRIBE and NOTIFY (RFC 6665, RFC 3856).

use crate::house::{House, Say, Sip, Ua};

fn pidf(basic: &str, activity: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
         xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" \
         entity=\"sip:bob@example.com\"><tuple id=\"a\"><status><basic>{basic}</basic></status></tuple>\
         <dm:person id=\"p\"><rpid:activities>{activity}</rpid:activities></dm:person></presence>"
    )
}

fn publish(ua: &mut Ua, headers: &str, body: &str) -> Say {
    let name = ua.name.clone();
    let mut say = ua.say("PUBLISH", &name);
    say.headers = format!("Event: presence\r\n{headers}");
    if !body.is_empty() {
        say.headers
            .push_str("Content-Type: application/pidf+xml\r\n");
    }
    body.clone_into(&mut say.body);
    say
}

async fn published(ua: &mut Ua, headers: &str, body: &str) -> Sip {
    let say = publish(ua, headers, body);
    ua.ask(&say).await
}

fn subscribe(ua: &mut Ua, to: &str, expires: u32) -> Say {
    let mut say = ua.say("SUBSCRIBE", to);
    say.headers = format!(
        "Event: presence\r\nExpires: {expires}\r\nContact: <{}>\r\nAccept: application/pidf+xml\r\n",
        ua.contact()
    );
    say
}

#[tokio::test]
async fn a_publication_lives_by_its_tag() {
    let house = House::new().await;
    let mut bob = house.udp("bob").await;
    let made = published(&mut bob, "Expires: 600\r\n", &pidf("open", "")).await;
    assert_eq!((made.status(), made.header("Expires")), (200, "600"));
    let tag = made.header("SIP-ETag").to_owned();
    let refreshed = published(
        &mut bob,
        &format!("SIP-If-Match: {tag}\r\nExpires: 300\r\n"),
        "",
    )
    .await;
    assert_eq!(
        (refreshed.status(), refreshed.header("Expires")),
        (200, "300")
    );
    let tag = refreshed.header("SIP-ETag").to_owned();
    let headers = format!("SIP-If-Match: {tag}\r\n");
    let changed = published(&mut bob, &headers, &pidf("open", "<rpid:busy/>")).await;
    assert_eq!(changed.status(), 200);
    let stale = published(&mut bob, &headers, "").await;
    assert_eq!(stale.status(), 412, "the tag before the change");
    let tag = changed.header("SIP-ETag").to_owned();
    let removed = published(
        &mut bob,
        &format!("SIP-If-Match: {tag}\r\nExpires: 0\r\n"),
        "",
    )
    .await;
    assert_eq!((removed.status(), removed.header("Expires")), (200, "0"));
    let gone = published(&mut bob, &format!("SIP-If-Match: {tag}\r\n"), "").await;
    assert_eq!(gone.status(), 412);
}

#[tokio::test]
async fn what_can_not_be_published_is_refused() {
    let house = House::new().await;
    let mut bob = house.udp("bob").await;
    assert_eq!(published(&mut bob, "", "").await.status(), 400);
    assert_eq!(published(&mut bob, "", "<broken").await.status(), 400);
    let brief = published(&mut bob, "Expires: 5\r\n", &pidf("open", "")).await;
    assert_eq!((brief.status(), brief.header("Min-Expires")), (423, "60"));
    let nonsense = published(&mut bob, "SIP-If-Match: nonsense\r\n", "").await;
    assert_eq!(nonsense.status(), 412);
    let mut say = publish(&mut bob, "", &pidf("open", ""));
    say.headers = say
        .headers
        .replace("Event: presence", "Event: message-summary");
    let answer = bob.ask(&say).await;
    assert_eq!(
        (answer.status(), answer.header("Allow-Events")),
        (489, "presence, presence.winfo, dialog, xcap-diff")
    );
    let mut say = publish(&mut bob, "", "text");
    say.headers = say.headers.replace("pidf+xml", "other");
    let answer = bob.ask(&say).await;
    assert_eq!(answer.status(), 415);
    assert_eq!(answer.header("Accept"), "application/pidf+xml");
    let mut alice = house.udp("alice").await;
    let mut say = publish(&mut alice, "", &pidf("open", ""));
    say.uri = "sip:bob@example.com".to_owned();
    assert_eq!(alice.ask(&say).await.status(), 403);
}

#[tokio::test]
async fn a_watcher_sees_every_change() {
    for tcp in [false, true] {
        let house = House::new().await;
        let mut alice = if tcp {
            house.tcp("alice").await
        } else {
            house.udp("alice").await
        };
        let say = subscribe(&mut alice, "bob", 600);
        let answer = alice.ask(&say).await;
        assert_eq!((answer.status(), answer.header("Expires")), (200, "600"));
        assert!(answer.header("Contact").starts_with("<sip:127.0.0.1:"));
        let told = alice.told("200 OK").await;
        assert_eq!(told.method(), "NOTIFY");
        assert!(
            told.header("From")
                .starts_with("<sip:bob@example.com>;tag=")
        );
        assert!(
            told.header("Subscription-State")
                .starts_with("active;expires=")
        );
        assert!(told.body.contains("<basic>closed</basic>"), "{}", told.body);
        let mut bob = house.tcp("bob").await;
        bob.register().await;
        let told = alice.told("200 OK").await;
        assert!(told.body.contains("<basic>open</basic>"), "{}", told.body);
        let busy = published(&mut bob, "Expires: 600\r\n", &pidf("open", "<rpid:busy/>")).await;
        assert_eq!(busy.status(), 200);
        let told = alice.told("200 OK").await;
        assert!(told.body.contains("<rpid:busy/>"), "{}", told.body);
        assert_eq!(told.header("CSeq"), "3 NOTIFY");
    }
}

#[tokio::test]
async fn a_dialog_is_refreshed_and_ended() {
    let house = House::new().await;
    let mut alice = house.udp("alice").await;
    let say = subscribe(&mut alice, "bob", 600);
    let answer = alice.ask(&say).await;
    alice.told("200 OK").await;
    let mut again = say.clone();
    answer.header("To").clone_into(&mut again.to);
    let refreshed = alice.ask(&again).await;
    assert_eq!(refreshed.status(), 200);
    let told = alice.told("200 OK").await;
    assert_eq!(told.method(), "NOTIFY", "RFC 6665 4.2.1.2");
    // Another's credentials don't end it.
    let mut end = again.clone();
    end.headers = end.headers.replace("Expires: 600", "Expires: 0");
    let ended = alice.ask(&end).await;
    assert_eq!(ended.status(), 200);
    let told = alice.told("200 OK").await;
    assert!(told.header("Subscription-State").starts_with("terminated"));
    let after = alice.ask(&again).await;
    assert_eq!(after.status(), 481);
}

#[tokio::test]
async fn a_fetch_is_told_once() {
    let house = House::new().await;
    let mut bob = house.udp("bob").await;
    bob.register().await;
    let mut alice = house.udp("alice").await;
    let say = subscribe(&mut alice, "bob", 0);
    let answer = alice.ask(&say).await;
    assert_eq!((answer.status(), answer.header("Expires")), (200, "0"));
    let told = alice.told("200 OK").await;
    assert!(told.header("Subscription-State").starts_with("terminated"));
    assert!(told.body.contains("<basic>open</basic>"), "{}", told.body);
}

#[tokio::test]
async fn what_can_not_be_watched_is_refused() {
    let house = House::new().await;
    let mut alice = house.udp("alice").await;
    let mut refused = async |to: &str, from: &str, with: &str| {
        let mut say = subscribe(&mut alice, to, 600);
        assert!(say.headers.contains(from));
        say.headers = say.headers.replace(from, with);
        alice.ask(&say).await
    };
    let answer = refused("bob", "Event: presence", "Event: winfo").await;
    assert_eq!(
        (answer.status(), answer.header("Allow-Events")),
        (489, "presence, presence.winfo, dialog, xcap-diff")
    );
    assert_eq!(refused("bob", "pidf+xml", "cpim").await.status(), 406);
    let answer = refused("bob", "Expires: 600", "Expires: 9").await;
    assert_eq!((answer.status(), answer.header("Min-Expires")), (423, "60"));
    assert_eq!(refused("nobody", "x", "x").await.status(), 404);
    assert_eq!(refused("sip:x@elsewhere.org", "x", "x").await.status(), 404);
}

#[tokio::test]
async fn a_watcher_that_says_481_is_forgotten() {
    let house = House::new().await;
    let mut alice = house.udp("alice").await;
    let say = subscribe(&mut alice, "bob", 600);
    let answer = alice.ask(&say).await;
    alice.told("481 Gone").await;
    let mut again = say.clone();
    answer.header("To").clone_into(&mut again.to);
    assert_eq!(alice.ask(&again).await.status(), 481);
}
