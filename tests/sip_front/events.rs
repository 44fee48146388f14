//! Event packages beyond plain presence: consent and `presence.winfo` (RFC 3857, RFC 3858),
//! `dialog` (RFC 4235), bodies by Accept, composition (RFC 3903 5), bodies that are refused.

use crate::house::{House, Say, Sip, Ua, address, person};
use sip::body::dialog_info::DialogInfo;
use sip::body::winfo::{Event, Status, WatcherInfo};
use std::fmt::Write as _;
use tristack::core::command::{Command, Reply};

const CONFIRM: &str = "[domain.\"example.com\"]\nconsent = \"confirm\"\n";
const LINES: &str =
    "line_users = [\"dave@example.com\"]\n[sip.lines]\n\"1001\" = \"alice@example.com\"\n";

fn subscribe(ua: &mut Ua, to: &str, event: &str, expires: u32) -> Say {
    let mut say = ua.say("SUBSCRIBE", to);
    say.headers = format!(
        "Event: {event}\r\nExpires: {expires}\r\nContact: <{}>\r\n",
        ua.contact()
    );
    say
}

/// The first NOTIFY behind a SUBSCRIBE, and the dialog for later requests.
async fn subscribed(ua: &mut Ua, to: &str, event: &str) -> (Sip, Say) {
    let mut say = subscribe(ua, to, event, 600);
    let answer = ua.ask(&say).await;
    assert_eq!(answer.status(), 200, "{}", answer.line);
    answer.header("To").clone_into(&mut say.to);
    (ua.told("200 OK").await, say)
}

fn publish(ua: &mut Ua, to: &str, event: &str, kind: &str, body: &str) -> Say {
    let mut say = ua.say("PUBLISH", to);
    say.headers = format!("Event: {event}\r\nExpires: 600\r\n");
    if !kind.is_empty() {
        let _ = write!(say.headers, "Content-Type: {kind}\r\n");
    }
    body.clone_into(&mut say.body);
    say
}

async fn published(ua: &mut Ua, body: &str) -> Sip {
    let name = ua.name.clone();
    let say = publish(ua, &name, "presence", "application/pidf+xml", body);
    ua.ask(&say).await
}

fn pidf(who: &str, inner: &str) -> String {
    format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:x=\"urn:x\" \
         entity=\"sip:{who}@example.com\">{inner}</presence>"
    )
}

fn tuple(id: &str, basic: &str, more: &str) -> String {
    format!("<tuple id=\"{id}\"><status><basic>{basic}</basic></status>{more}</tuple>")
}

fn dialog_info(version: u32, state: &str, dialogs: &str) -> String {
    format!(
        "<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"{version}\" \
         state=\"{state}\" entity=\"sip:1001@example.com\">{dialogs}</dialog-info>"
    )
}

fn call(state: &str) -> String {
    format!("<dialog id=\"c1\" direction=\"recipient\"><state>{state}</state></dialog>")
}

fn watchers(notify: &Sip) -> WatcherInfo {
    assert_eq!(notify.header("Content-Type"), "application/watcherinfo+xml");
    WatcherInfo::parse(notify.body.as_bytes()).expect("watcherinfo")
}

#[tokio::test]
async fn a_watcher_waits_and_the_owner_sees_and_accepts_him() {
    let house = House::with(CONFIRM).await;
    let mut bob = house.tcp("bob").await;
    bob.register().await;
    let (first, _) = subscribed(&mut bob, "bob", "presence.winfo").await;
    let info = watchers(&first);
    assert!(info.full && info.version == 0 && info.watchers.is_empty());
    assert_eq!(
        (info.resource.as_str(), info.package.as_str()),
        ("sip:bob@example.com", "presence")
    );
    let mut alice = house.udp("alice").await;
    let (told, dialog) = subscribed(&mut alice, "bob", "presence").await;
    assert!(
        told.header("Subscription-State")
            .starts_with("pending;expires=")
    );
    assert!(told.body.is_empty(), "{}", told.body);
    let info = watchers(&bob.told("200 OK").await);
    assert!(!info.full && info.version == 1);
    let watcher = &info.watchers[0];
    assert_eq!(
        (watcher.status, watcher.event),
        (Status::Pending, Event::Subscribe)
    );
    assert_eq!(watcher.uri, "sip:alice@example.com");
    let id = watcher.id.clone();
    // A refresh while he waits is answered and told the same.
    assert_eq!(alice.ask(&dialog).await.status(), 200);
    let told = alice.told("200 OK").await;
    assert!(told.header("Subscription-State").starts_with("pending"));
    let accept = Command::Decide {
        watcher: address("alice"),
        accept: true,
    };
    let owner = tristack::core::command::Caller {
        address: address("bob"),
        person: Some(person("bob")),
        scheme: tristack::core::access::Scheme::Digest,
        route: tristack::core::command::Route::Internal,
    };
    house.hub.call(person("bob"), &owner, accept).await.unwrap();
    let told = alice.told("200 OK").await;
    assert!(told.header("Subscription-State").starts_with("active"));
    assert!(told.body.contains("<basic>open</basic>"), "{}", told.body);
    let info = watchers(&bob.told("200 OK").await);
    let watcher = &info.watchers[0];
    assert_eq!(
        (watcher.status, watcher.event),
        (Status::Active, Event::Approved)
    );
    assert_eq!(watcher.id, id);
    // The end of it, as a change.
    let mut end = dialog.clone();
    end.headers = end.headers.replace("Expires: 600", "Expires: 0");
    assert_eq!(alice.ask(&end).await.status(), 200);
    alice.told("200 OK").await;
    let info = watchers(&bob.told("200 OK").await);
    assert_eq!(info.watchers[0].status, Status::Terminated);
    assert_eq!((info.version, info.full), (3, false));
}

#[tokio::test]
async fn watchers_are_the_owners_business() {
    let house = House::new().await;
    let mut alice = house.udp("alice").await;
    let say = subscribe(&mut alice, "bob", "presence.winfo", 600);
    assert_eq!(alice.ask(&say).await.status(), 403);
    let say = subscribe(&mut alice, "bob", "dialog", 600);
    assert_eq!(alice.ask(&say).await.status(), 403);
    let say = publish(
        &mut alice,
        "alice",
        "presence.winfo",
        "application/watcherinfo+xml",
        "<x/>",
    );
    assert_eq!(alice.ask(&say).await.status(), 489);
    let mut say = subscribe(&mut alice, "alice", "presence.winfo", 600);
    say.headers.push_str("Accept: application/pidf+xml\r\n");
    let answer = alice.ask(&say).await;
    assert_eq!(
        (answer.status(), answer.header("Accept")),
        (406, "application/watcherinfo+xml")
    );
}

#[tokio::test]
async fn a_call_on_a_line_is_shown_and_ends() {
    let house = House::with(LINES).await;
    let mut bob = house.udp("bob").await;
    subscribed(&mut bob, "alice", "presence").await;
    let mut alice = house.udp("alice").await;
    let (own, _) = subscribed(&mut alice, "alice", "dialog").await;
    let info = DialogInfo::parse(own.body.as_bytes()).expect("dialog-info");
    assert!(info.dialogs.is_empty() && info.full && info.version == 0);
    let mut pbx = house.tcp("dave").await;
    let kind = "application/dialog-info+xml";
    let say = publish(
        &mut pbx,
        "1001",
        "dialog",
        kind,
        &dialog_info(0, "full", &call("confirmed")),
    );
    let answer = pbx.ask(&say).await;
    assert_eq!(answer.status(), 200, "{}", answer.line);
    let told = bob.told("200 OK").await;
    assert!(told.body.contains("<rpid:on-the-phone/>"), "{}", told.body);
    let info = DialogInfo::parse(alice.told("200 OK").await.body.as_bytes()).expect("dialog-info");
    assert_eq!(
        (info.version, info.entity.as_str()),
        (1, "sip:alice@example.com")
    );
    assert_eq!(info.dialogs[0].id, "c1");
    // Partial, newer.
    let mut say = publish(
        &mut pbx,
        "1001",
        "dialog",
        kind,
        &dialog_info(1, "partial", &call("terminated")),
    );
    let _ = write!(
        say.headers,
        "SIP-If-Match: {}\r\n",
        answer.header("SIP-ETag")
    );
    let answer = pbx.ask(&say).await;
    assert_eq!(answer.status(), 200, "{}", answer.line);
    let told = bob.told("200 OK").await;
    assert!(!told.body.contains("on-the-phone"), "{}", told.body);
    // The same again is out of order and changes nothing.
    say.headers = say.headers.replace("SIP-If-Match", "X-Old");
    let _ = write!(
        say.headers,
        "SIP-If-Match: {}\r\n",
        answer.header("SIP-ETag")
    );
    assert_eq!(pbx.ask(&say).await.status(), 500);
}

#[tokio::test]
async fn only_a_telephone_system_speaks_for_lines() {
    let house = House::with(LINES).await;
    let kind = "application/dialog-info+xml";
    let body = dialog_info(0, "full", &call("confirmed"));
    let mut bob = house.udp("bob").await;
    let say = publish(&mut bob, "1001", "dialog", kind, &body);
    assert_eq!(bob.ask(&say).await.status(), 403);
    // Their owner may.
    let mut alice = house.udp("alice").await;
    let say = publish(&mut alice, "1001", "dialog", kind, &body);
    assert_eq!(alice.ask(&say).await.status(), 200);
    // No line of anybody.
    let mut pbx = house.udp("dave").await;
    let say = publish(&mut pbx, "1002", "dialog", kind, &body);
    assert_eq!(pbx.ask(&say).await.status(), 404);
    // A telephone system speaks for lines, not for presence.
    let say = publish(
        &mut pbx,
        "alice",
        "presence",
        "application/pidf+xml",
        &pidf("alice", ""),
    );
    assert_eq!(pbx.ask(&say).await.status(), 403);
}

#[tokio::test]
async fn a_telephone_system_known_by_its_address_needs_no_account() {
    let house = House::with(
        "line_networks = [\"127.0.0.0/8\"]\n[sip.lines]\n\"1001\" = \"alice@example.com\"\n",
    )
    .await;
    let mut bob = house.udp("bob").await;
    subscribed(&mut bob, "alice", "presence").await;
    let mut pbx = house.udp("1001").await;
    let kind = "application/dialog-info+xml";
    let say = publish(
        &mut pbx,
        "1001",
        "dialog",
        kind,
        &dialog_info(0, "full", &call("confirmed")),
    );
    let text = pbx.write(&say, "");
    pbx.send(&text).await;
    assert_eq!(pbx.response().await.status(), 200);
    let told = bob.told("200 OK").await;
    assert!(told.body.contains("<rpid:on-the-phone/>"), "{}", told.body);
    // Nothing else is let in by address.
    let say = publish(
        &mut pbx,
        "alice",
        "presence",
        "application/pidf+xml",
        &pidf("alice", ""),
    );
    let text = pbx.write(&say, "");
    pbx.send(&text).await;
    assert_eq!(pbx.response().await.status(), 407);
    let say = publish(
        &mut pbx,
        "alice",
        "dialog",
        kind,
        &dialog_info(1, "full", ""),
    );
    let text = pbx.write(&say, "");
    pbx.send(&text).await;
    assert_eq!(pbx.response().await.status(), 407, "no line");
}

#[tokio::test]
async fn devices_are_shown_whole_and_together() {
    let house = House::new().await;
    let mut desk = house.tcp("bob").await;
    desk.register().await;
    let mut mobile = house.tcp("bob").await;
    mobile.register().await;
    let body = tuple(
        "desk",
        "open",
        "<x:mood kind=\"&lt;&quot;\">sunny</x:mood><note>in &amp; out</note>",
    );
    assert_eq!(
        published(&mut desk, &pidf("bob", &body)).await.status(),
        200
    );
    let body = tuple(
        "mobile",
        "closed",
        "<timestamp>2026-01-01T00:00:00Z</timestamp>",
    );
    assert_eq!(
        published(&mut mobile, &pidf("bob", &body)).await.status(),
        200
    );
    let mut alice = house.udp("alice").await;
    let (told, _) = subscribed(&mut alice, "bob", "presence").await;
    for part in [
        "<tuple id=\"desk\"><status><basic>open</basic></status>",
        "kind=\"&lt;&quot;\">sunny<",
        "<note>in &amp; out</note>",
        "<tuple id=\"mobile\">",
        "<timestamp>2026-01-01T00:00:00Z</timestamp>",
    ] {
        assert!(told.body.contains(part), "{part} in {}", told.body);
    }
    assert!(
        told.body.find("desk") < told.body.find("mobile"),
        "the open one first"
    );
    // Only what no table maps changes: SIP watchers are told.
    let body = tuple("desk", "open", "<x:mood>gloomy</x:mood>");
    assert_eq!(
        published(&mut desk, &pidf("bob", &body)).await.status(),
        200
    );
    let told = alice.told("200 OK").await;
    assert!(
        told.body.contains("gloomy") && !told.body.contains("sunny"),
        "{}",
        told.body
    );
}

#[tokio::test]
async fn old_clients_are_written_xpidf() {
    let house = House::new().await;
    let mut alice = house.udp("alice").await;
    let mut say = subscribe(&mut alice, "bob", "presence", 600);
    say.headers.push_str("Accept: application/xpidf+xml\r\n");
    assert_eq!(alice.ask(&say).await.status(), 200);
    let told = alice.told("200 OK").await;
    assert_eq!(told.header("Content-Type"), "application/xpidf+xml");
    assert!(
        told.body.contains("<status status=\"closed\"/>"),
        "{}",
        told.body
    );
}

#[tokio::test]
async fn bodies_are_validated_before_anything_is_stored() {
    let house = House::with(LINES).await;
    let mut bob = house.udp("bob").await;
    let dialog = "application/dialog-info+xml";
    let presence = "application/pidf+xml";
    let good = pidf("bob", &tuple("t", "open", ""));
    let huge = pidf(
        "bob",
        &tuple("t", "open", &format!("<note>{}</note>", "n".repeat(20_000))),
    );
    let info = dialog_info(0, "full", &call("confirmed")).replace("1001", "bob");
    for (status, event, kind, body) in [
        (400, "presence", presence, String::new()),
        (400, "presence", "", good.clone()),
        (415, "presence", "text/plain", good.clone()),
        (415, "presence", dialog, info.clone()),
        (400, "presence", presence, "not xml".to_owned()),
        (400, "presence", presence, good.replace("</presence>", "")),
        (
            400,
            "presence",
            presence,
            good.replace("params:xml:ns:pidf\"", "params:xml:ns:other\""),
        ),
        (
            400,
            "presence",
            presence,
            format!("<!DOCTYPE presence [<!ENTITY a \"b\">]>{good}"),
        ),
        (
            400,
            "presence",
            presence,
            pidf("alice", &tuple("t", "open", "")),
        ),
        (
            400,
            "presence",
            presence,
            good.replace("sip:bob@", "pres:alice@"),
        ),
        (413, "presence", presence, huge),
        (400, "dialog", dialog, String::new()),
        (400, "dialog", dialog, good.clone()),
        (
            400,
            "dialog",
            dialog,
            info.replace("version=\"0\"", "version=\"x\""),
        ),
        (
            400,
            "dialog",
            dialog,
            info.replace("sip:bob@", "sip:carol@"),
        ),
        (
            400,
            "dialog",
            dialog,
            info.replace("ns:dialog-info", "ns:dialogs"),
        ),
        (415, "dialog", presence, good.clone()),
    ] {
        let say = publish(&mut bob, "bob", event, kind, &body);
        let mut tcp = house.tcp("bob").await;
        let answer = tcp
            .ask(&Say {
                call_id: format!("v{}", body.len()),
                ..say
            })
            .await;
        assert_eq!(
            answer.status(),
            status,
            "{event} {kind} {} {body:.200}",
            answer.line
        );
    }
    let owner = tristack::core::command::Caller {
        address: address("bob"),
        person: Some(person("bob")),
        scheme: tristack::core::access::Scheme::Internal,
        route: tristack::core::command::Route::Internal,
    };
    match house
        .hub
        .call(person("bob"), &owner, Command::Standing)
        .await
    {
        Ok(Reply::Standing(standing)) => assert!(standing.publications.is_empty()),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        published(&mut bob, &good.replace("sip:bob@", "pres:bob@"))
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn a_device_that_comes_again_replaces_what_it_had() {
    let house = House::new().await;
    let mut bob = house.udp("bob").await;
    for _ in 0..40 {
        let name = bob.name.clone();
        let body = pidf("bob", &tuple("t", "open", ""));
        let mut say = publish(&mut bob, &name, "presence", "application/pidf+xml", &body);
        "one-and-the-same".clone_into(&mut say.call_id);
        assert_eq!(
            bob.ask(&say).await.status(),
            200,
            "more often than publications are kept"
        );
    }
    let mut alice = house.udp("alice").await;
    let mut last = None;
    for round in 0..3 {
        let mut say = subscribe(&mut alice, "bob", "presence", 600);
        say.headers = say
            .headers
            .replace(">\r\n", ">;+sip.instance=\"<urn:uuid:7>\"\r\n");
        let answer = alice.ask(&say).await;
        assert_eq!(answer.status(), 200, "{round}");
        let told = alice.told("200 OK").await;
        assert_eq!(told.header("Call-ID"), say.call_id);
        last = Some(say);
    }
    let owner = tristack::core::command::Caller {
        address: address("bob"),
        person: Some(person("bob")),
        scheme: tristack::core::access::Scheme::Internal,
        route: tristack::core::command::Route::Internal,
    };
    match house
        .hub
        .call(person("bob"), &owner, Command::Standing)
        .await
    {
        Ok(Reply::Standing(standing)) => {
            assert_eq!(
                (standing.publications.len(), standing.watches.len()),
                (1, 1)
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(last.is_some());
}

#[tokio::test]
async fn one_dead_watcher_touches_nobody_else_and_leaves_the_table() {
    let house = House::new().await;
    let mut dead = house.udp("carol").await;
    let say = subscribe(&mut dead, "bob", "presence", 600);
    assert_eq!(dead.ask(&say).await.status(), 200);
    // Its first NOTIFY is never answered.
    let mut gone = house.udp("dave").await;
    let say = subscribe(&mut gone, "bob", "presence", 600);
    assert_eq!(gone.ask(&say).await.status(), 200);
    gone.told("481 Gone").await;
    let mut alice = house.udp("alice").await;
    subscribed(&mut alice, "bob", "presence").await;
    let mut bob = house.tcp("bob").await;
    bob.register().await;
    let told = alice.told("200 OK").await;
    assert!(told.body.contains("<basic>open</basic>"), "{}", told.body);
    let owner = tristack::core::command::Caller {
        address: address("bob"),
        person: Some(person("bob")),
        scheme: tristack::core::access::Scheme::Internal,
        route: tristack::core::command::Route::Internal,
    };
    match house
        .hub
        .call(person("bob"), &owner, Command::Standing)
        .await
    {
        Ok(Reply::Standing(standing)) => {
            let who: Vec<_> = standing.watches.iter().map(|w| w.watcher.local()).collect();
            assert_eq!(who, ["carol", "alice"], "who said 481 is gone");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn newer_state_is_never_overtaken_by_older() {
    let house = House::new().await;
    let mut alice = house.udp("alice").await;
    let (first, _) = subscribed(&mut alice, "bob", "presence").await;
    let mut bob = house.tcp("bob").await;
    let mut cseq = number(&first);
    let mut seen = Vec::new();
    let mut tag = String::new();
    for round in 0..20 {
        let body = pidf(
            "bob",
            &tuple("t", "open", &format!("<note>round {round}</note>")),
        );
        let mut say = publish(&mut bob, "bob", "presence", "application/pidf+xml", &body);
        if !tag.is_empty() {
            let _ = write!(say.headers, "SIP-If-Match: {tag}\r\n");
        }
        let answer = bob.ask(&say).await;
        assert_eq!(answer.status(), 200);
        answer.header("SIP-ETag").clone_into(&mut tag);
    }
    while seen.last() != Some(&19) {
        let told = alice.told("200 OK").await;
        assert!(number(&told) > cseq, "in order");
        cseq = number(&told);
        let (_, rest) = told.body.split_once("round ").expect("a note");
        let round: u32 = rest.split('<').next().unwrap().parse().unwrap();
        assert!(
            seen.last().is_none_or(|last| *last < round),
            "{seen:?} {round}"
        );
        seen.push(round);
    }
}

fn number(sip: &Sip) -> u32 {
    let (number, _) = sip.header("CSeq").split_once(' ').expect("a CSeq");
    number.parse().unwrap()
}

#[tokio::test]
async fn long_names_are_served_and_endless_ones_refused() {
    let house = House::new().await;
    let mut alice = house.tcp("alice").await;
    let mut ask = async |length: usize| {
        let mut say = subscribe(&mut alice, "bob", "presence", 600);
        say.from = format!(
            "\"{}\" <sip:alice@example.com>;tag=t{length}",
            "n".repeat(length)
        );
        let answer = alice.ask(&say).await;
        if answer.status() == 200 {
            let told = alice.told("200 OK").await;
            assert!(told.header("To").len() > length);
        }
        answer.status()
    };
    assert_eq!(ask(2_000).await, 200);
    assert_eq!(ask(12_000).await, 400);
}
