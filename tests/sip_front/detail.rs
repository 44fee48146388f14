//! What presence rules show of presence to whom they allow (RFC 5025 3.3), and `confirm` (3.2.1).

use crate::house::{House, Sip, Ua};
use crate::xcap::{RULES_TYPE, WS, Web, rules, rules_of};

const BOB: &str = "<cr:one id=\"sip:bob@example.com\"/>";
const PERSONS: &str = "<provide-persons><all-persons/></provide-persons>";
const ALL: &str = "<provide-devices><all-devices/></provide-devices>\
    <provide-persons><all-persons/></provide-persons>\
    <provide-services><all-services/></provide-services><provide-all-attributes/>";

fn rule(id: &str, who: &str, handling: &str, shows: &str) -> String {
    format!(
        "\n <cr:rule id=\"{id}\"><cr:conditions><cr:identity>{who}</cr:identity></cr:conditions><cr:actions><sub-handling>{handling}</sub-handling></cr:actions><cr:transformations>{shows}</cr:transformations></cr:rule>"
    )
}

/// She is busy, says why, and tells of her device.
async fn busy(ua: &mut Ua) {
    let name = ua.name.clone();
    let mut say = ua.say("PUBLISH", &name);
    "Event: presence\r\nExpires: 600\r\nContent-Type: application/pidf+xml\r\n"
        .clone_into(&mut say.headers);
    say.body = format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
         xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" \
         entity=\"sip:{name}@example.com\"><tuple id=\"a\"><status><basic>open</basic></status>\
         <contact>sip:{name}@192.0.2.7</contact></tuple>\
         <dm:person id=\"p\"><rpid:activities><rpid:busy/></rpid:activities><dm:note>with the board</dm:note></dm:person>\
         <dm:device id=\"d\"><dm:deviceID>urn:x-mac:0003ba4811e3</dm:deviceID></dm:device></presence>"
    );
    assert_eq!(ua.ask(&say).await.status(), 200);
}

async fn subscribed(ua: &mut Ua, to: &str, expires: u32) -> Sip {
    let mut say = ua.say("SUBSCRIBE", to);
    say.headers = format!(
        "Event: presence\r\nExpires: {expires}\r\nContact: <{}>\r\nAccept: application/pidf+xml\r\n",
        ua.contact()
    );
    assert_eq!(ua.ask(&say).await.status(), 200);
    ua.told("200 OK").await
}

/// Which of activity, note and the device's own document a body holds.
fn parts(body: &str) -> (bool, bool, bool) {
    assert!(body.contains("<basic>open</basic>"), "{body}");
    let device = body.contains("0003ba4811e3");
    assert_eq!(device, body.contains("192.0.2.7"), "{body}");
    (
        body.contains("busy"),
        body.contains("with the board"),
        device,
    )
}

#[tokio::test]
async fn transformations_cut_what_a_watcher_is_sent() {
    let house = House::with(WS).await;
    let mut alice = house.tcp("alice").await;
    busy(&mut alice).await;
    let mut bob = house.tcp("bob").await;
    let first = subscribed(&mut bob, "alice", 600).await;
    // Without rules everything is as it was published.
    assert_eq!(parts(&first.body), (true, true, true));
    let mut web = Web::new(&house, "alice");
    let activities = format!("{PERSONS}<provide-activities>true</provide-activities>");
    let note = format!("{PERSONS}<provide-note>true</provide-note>");
    for (shows, expected) in [
        ("", (false, false, false)),
        (&*activities, (true, false, false)),
        (&*note, (false, true, false)),
        (
            &*format!("{PERSONS}<provide-all-attributes/>"),
            (true, true, false),
        ),
        (ALL, (true, true, true)),
        (
            "<provide-activities>true</provide-activities>",
            (false, false, false),
        ),
    ] {
        let body = rules(&rule("bob", BOB, "allow", shows));
        let put = web.put(&rules_of("alice"), RULES_TYPE, &body).await;
        assert!(matches!(put.status, 200 | 201), "{put:?}");
        // Who watches is told at once, and a fetch shows the same.
        let told = bob.told("200 OK").await;
        assert_eq!(parts(&told.body), expected, "{shows}: {}", told.body);
        let fetched = subscribed(&mut bob, "alice", 0).await;
        assert_eq!(parts(&fetched.body), expected, "{shows}: {}", fetched.body);
    }
    // Permissions of several rules add up (RFC 4745 10.2).
    let both = format!(
        "{}{}",
        rule("one", BOB, "allow", &activities),
        rule("all", "<cr:many/>", "confirm", &note)
    );
    web.put(&rules_of("alice"), RULES_TYPE, &rules(&both)).await;
    let told = bob.told("200 OK").await;
    assert_eq!(parts(&told.body), (true, true, false), "{}", told.body);
    // Without the document everything is shown again.
    web.delete(&rules_of("alice")).await;
    let told = bob.told("200 OK").await;
    assert_eq!(parts(&told.body), (true, true, true), "{}", told.body);
}

#[tokio::test]
async fn what_is_kept_from_a_watcher_is_kept_over_a_restart() {
    let house = House::with(WS).await;
    let mut web = Web::new(&house, "alice");
    let body = rules(&rule("all", "<cr:many/>", "allow", ""));
    let put = web.put(&rules_of("alice"), RULES_TYPE, &body).await;
    assert_eq!(put.status, 201, "{put:?}");
    let house = house.restart().await;
    let mut alice = house.tcp("alice").await;
    busy(&mut alice).await;
    let mut bob = house.tcp("bob").await;
    let told = subscribed(&mut bob, "alice", 600).await;
    assert_eq!(parts(&told.body), (false, false, false), "{}", told.body);
}

#[tokio::test]
async fn a_watcher_waits_until_the_rules_say_allow() {
    let house = House::with(WS).await;
    let mut alice = house.tcp("alice").await;
    busy(&mut alice).await;
    let mut web = Web::new(&house, "alice");
    let ask = rule("all", "<cr:many/>", "confirm", "");
    let put = web.put(&rules_of("alice"), RULES_TYPE, &rules(&ask)).await;
    assert_eq!(put.status, 201, "{put:?}");
    let mut bob = house.tcp("bob").await;
    let mut carol = house.tcp("carol").await;
    for ua in [&mut bob, &mut carol] {
        let told = subscribed(ua, "alice", 600).await;
        let state = told.header("Subscription-State");
        assert!(state.starts_with("pending"), "{state}");
        assert!(!told.body.contains("open") && !told.body.contains("busy"));
    }
    // She accepts him with her XCAP client, and nobody else.
    let decided = format!("{ask}{}", rule("bob", BOB, "allow", ALL));
    let put = web
        .put(&rules_of("alice"), RULES_TYPE, &rules(&decided))
        .await;
    assert_eq!(put.status, 200, "{put:?}");
    let told = bob.told("200 OK").await;
    let state = told.header("Subscription-State");
    assert!(state.starts_with("active"), "{state}");
    assert_eq!(parts(&told.body), (true, true, true));
    let told = subscribed(&mut carol, "alice", 0).await;
    assert!(!told.body.contains("open"), "{}", told.body);
    // And takes it back: he waits again.
    web.put(&rules_of("alice"), RULES_TYPE, &rules(&ask)).await;
    let told = bob.told("200 OK").await;
    let state = told.header("Subscription-State");
    assert!(state.starts_with("pending"), "{state}");
    assert!(!told.body.contains("open"), "{}", told.body);
}
