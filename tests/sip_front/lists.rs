//! Subscriptions to lists (RFC 4662) and to one's own documents (RFC 5875).

use crate::house::{House, PATIENCE, Say, Sip, Ua, address, person};
use crate::xcap::{LISTS, LISTS_TYPE, RULES_TYPE, WS, Web, lists_of, rule, rules, rules_of};

const SERVICES_TYPE: &str = "application/rls-services+xml";

fn services_of(name: &str) -> String {
    format!("/xcap/rls-services/users/sip:{name}@example.com/index")
}

fn services(inner: &str) -> String {
    format!(
        "<rls-services xmlns=\"urn:ietf:params:xml:ns:rls-services\" xmlns:l=\"urn:ietf:params:xml:ns:resource-lists\"><service uri=\"sip:friends@example.com\">{inner}<packages><package>presence</package></packages></service></rls-services>"
    )
}

fn entries(names: &[&str]) -> String {
    let one = |name: &&str| {
        format!(
            "<l:entry uri=\"sip:{name}@example.com\"><l:display-name>{name}!</l:display-name></l:entry>"
        )
    };
    format!("<list>{}</list>", names.iter().map(one).collect::<String>())
}

fn say(ua: &mut Ua, expires: u32) -> Say {
    let mut say = ua.say("SUBSCRIBE", "friends");
    say.headers = format!(
        "Event: presence\r\nExpires: {expires}\r\nContact: <{}>\r\nSupported: eventlist\r\n\
         Accept: application/pidf+xml, application/rlmi+xml, multipart/related\r\n",
        ua.contact()
    );
    say
}

/// A NOTIFY of a list, taken apart by hand.
#[derive(Debug)]
struct Told {
    version: u32,
    full: bool,
    /// URI, state of the instance, body.
    resources: Vec<(String, String, String)>,
    state: String,
}

impl Told {
    fn of(&self, name: &str) -> (&str, &str) {
        let uri = format!("sip:{name}@example.com");
        let found = self.resources.iter().find(|(known, ..)| *known == uri);
        let (_, state, body) = found.unwrap_or_else(|| panic!("{name} in {self:?}"));
        (state, body)
    }
}

fn attribute<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.split(&format!(" {name}=\"")).nth(1)?.split('"').next()
}

fn read(notify: &Sip) -> Told {
    assert_eq!(notify.header("Require"), "eventlist", "{notify:?}");
    let kind = notify.header("Content-Type");
    assert!(
        kind.starts_with("multipart/related;type=\"application/rlmi+xml\""),
        "{kind}"
    );
    let boundary = kind
        .split("boundary=\"")
        .nth(1)
        .unwrap()
        .trim_end_matches('"');
    let parts: Vec<&str> = notify.body.split(&format!("--{boundary}")).collect();
    let (root, bodies) = parts[1..parts.len() - 1].split_first().unwrap();
    let body = |cid: &str| {
        let head = format!("Content-ID: <{cid}>");
        let part = bodies.iter().find(|part| part.contains(&head)).unwrap();
        part.split("\r\n\r\n").nth(1).unwrap().to_owned()
    };
    let resources = root.split("<resource ").skip(1).map(|text| {
        let uri = attribute(&format!(" {text}"), "uri").unwrap().to_owned();
        let instance = text.split("<instance").nth(1).unwrap_or_default();
        let instance = instance.split('>').next().unwrap();
        let state = attribute(instance, "state").unwrap_or("unknown").to_owned();
        (
            uri,
            state,
            attribute(instance, "cid").map_or_else(String::new, body),
        )
    });
    Told {
        version: attribute(root, "version")
            .map(|_| root.split("<list").nth(1).unwrap())
            .and_then(|list| attribute(list, "version"))
            .unwrap()
            .parse()
            .unwrap(),
        full: attribute(root, "fullState") == Some("true"),
        resources: resources.collect(),
        state: notify.header("Subscription-State").to_owned(),
    }
}

async fn told(ua: &mut Ua) -> Told {
    read(&ua.told("200 OK").await)
}

#[tokio::test]
async fn a_list_is_one_subscription() {
    let house = House::with(WS).await;
    let mut web = Web::new(&house, "alice");
    let made = web
        .put(
            &services_of("alice"),
            SERVICES_TYPE,
            &services(&entries(&["bob", "carol", "nobody"])),
        )
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    let mut bob = house.tcp("bob").await;
    bob.register().await;
    // Carol is there, but not for alice.
    let mut carol = house.tcp("carol").await;
    carol.register().await;
    let mut web_of_carol = Web::new(&house, "carol");
    let nobody = rules(&rule(
        "a",
        "<cr:one id=\"sip:alice@example.com\"/>",
        "block",
    ));
    assert_eq!(
        web_of_carol
            .put(&rules_of("carol"), RULES_TYPE, &nobody)
            .await
            .status,
        201
    );

    let mut alice = house.tcp("alice").await;
    let ask = say(&mut alice, 600);
    let answer = alice.ask(&ask).await;
    assert_eq!(
        (answer.status(), answer.header("Require")),
        (200, "eventlist")
    );
    let first = told(&mut alice).await;
    assert!(first.full && first.resources.len() == 3, "{first:?}");
    assert!(first.state.starts_with("active;expires="), "{first:?}");
    assert!(
        first.of("bob").1.contains("<basic>open</basic>"),
        "{first:?}"
    );
    assert_eq!(first.of("carol").0, "active");
    assert!(
        first.of("carol").1.contains("<basic>closed</basic>"),
        "{first:?}"
    );
    assert_eq!(first.of("nobody").0, "terminated");
    // Only what changes is told.
    let mut removed = bob.say_register("Contact: *\r\nExpires: 0\r\n");
    removed.call_id.push('x');
    assert_eq!(bob.ask(&removed).await.status(), 200);
    let second = told(&mut alice).await;
    assert!(!second.full && second.resources.len() == 1, "{second:?}");
    assert_eq!(second.version, first.version + 1);
    assert!(
        second.of("bob").1.contains("<basic>closed</basic>"),
        "{second:?}"
    );
    assert_eq!(web_of_carol.delete(&rules_of("carol")).await.status, 200);
    let third = told(&mut alice).await;
    assert!(
        third.of("carol").1.contains("<basic>open</basic>"),
        "{third:?}"
    );
    // A list that changes is told whole.
    let more = services(&entries(&["bob", "carol", "dave"]));
    assert_eq!(
        web.put(&services_of("alice"), SERVICES_TYPE, &more)
            .await
            .status,
        200
    );
    let fourth = told(&mut alice).await;
    assert!(fourth.full && fourth.resources.len() == 3, "{fourth:?}");
    assert_eq!(fourth.of("dave").0, "active");
    // Refreshed, it is told whole again; ended, it takes its watches along.
    let mut again = ask.clone();
    again.to = answer.header("To").to_owned();
    again.headers = say(&mut alice, 600).headers;
    assert_eq!(alice.ask(&again).await.header("Require"), "eventlist");
    assert!(told(&mut alice).await.full);
    again.headers = say(&mut alice, 0).headers;
    assert_eq!(alice.ask(&again).await.status(), 200);
    let last = told(&mut alice).await;
    assert!(
        last.full && last.state.starts_with("terminated"),
        "{last:?}"
    );
    let end = tokio::time::Instant::now() + PATIENCE;
    while watches(&house, "bob").await + watches(&house, "carol").await > 0 {
        assert!(tokio::time::Instant::now() < end, "watches stay behind");
        tokio::task::yield_now().await;
    }
}

/// RFC 4662 4.5, RFC 6665 4.4.3: one NOTIFY with the whole list and its states, which ends it.
#[tokio::test]
async fn a_list_is_fetched_with_its_states() {
    let house = House::with(WS).await;
    let mut web = Web::new(&house, "alice");
    let members = services(&entries(&["bob", "carol", "dave", "nobody"]));
    let made = web
        .put(&services_of("alice"), SERVICES_TYPE, &members)
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    let mut bob = house.tcp("bob").await;
    bob.register().await;
    // Dave is there, but not for alice.
    let mut dave = house.tcp("dave").await;
    dave.register().await;
    let for_her = rule("a", "<cr:one id=\"sip:alice@example.com\"/>", "block");
    let nobody = rules(&for_her);
    let mut web_of_dave = Web::new(&house, "dave");
    let path = rules_of("dave");
    let made = web_of_dave.put(&path, RULES_TYPE, &nobody).await;
    assert_eq!(made.status, 201);

    let mut alice = house.tcp("alice").await;
    for turn in 0..2 {
        let mut ask = say(&mut alice, 0);
        ask.call_id.push_str(&turn.to_string());
        let answer = alice.ask(&ask).await;
        let told_so = (answer.status(), answer.header("Require"));
        assert_eq!(told_so, (200, "eventlist"));
        assert_eq!(answer.header("Expires"), "0");
        let told = told(&mut alice).await;
        assert!(told.full && told.resources.len() == 4, "{told:?}");
        assert_eq!(told.state, "terminated;reason=timeout");
        let shown = ["bob", "carol", "dave"].map(|name| {
            let (state, body) = told.of(name);
            assert_eq!(state, "active", "{told:?}");
            body.contains("<basic>open</basic>")
        });
        assert_eq!(shown, [true, false, false], "{told:?}");
        assert_eq!(told.of("nobody"), ("terminated", ""));
    }
    // Nothing is left of it, and nothing more is told: the next that she hears is asked for.
    assert_eq!(watches(&house, "bob").await, 0);
    assert_eq!(watches(&house, "alice").await, 0);
    let mut gone = bob.say_register("Contact: *\r\nExpires: 0\r\n");
    gone.call_id.push('x');
    assert_eq!(bob.ask(&gone).await.status(), 200);
    let mut ask = say(&mut alice, 600);
    ask.call_id.push('z');
    assert_eq!(alice.ask(&ask).await.status(), 200);
    let told = told(&mut alice).await;
    assert!(told.state.starts_with("active"), "{told:?}");
    assert!(told.of("bob").1.contains("closed"), "{told:?}");
}

async fn watches(house: &House, name: &str) -> usize {
    use tristack::core::command::{Command, Reply};
    let reply = house
        .hub
        .call(person(name), &crate::xcap::owner(name), Command::Standing)
        .await;
    match reply {
        Ok(Reply::Standing(standing)) => standing.watches.len(),
        other => panic!("{} {other:?}", address(name)),
    }
}

#[tokio::test]
async fn who_may_subscribe_to_a_list() {
    let house = House::with(WS).await;
    let mut web = Web::new(&house, "alice");
    web.put(
        &services_of("alice"),
        SERVICES_TYPE,
        &services(&entries(&["bob"])),
    )
    .await;
    let mut alice = house.tcp("alice").await;
    let mut old = say(&mut alice, 600);
    old.headers = old.headers.replace("Supported: eventlist\r\n", "");
    let refused = alice.ask(&old).await;
    assert_eq!(
        (refused.status(), refused.header("Require")),
        (421, "eventlist")
    );
    // Others are not even told that there is such a list.
    let mut bob = house.tcp("bob").await;
    let ask = say(&mut bob, 600);
    assert_eq!(bob.ask(&ask).await.status(), 404);
}

#[tokio::test]
async fn lists_of_lists_are_followed_once() {
    let house = House::with(WS).await;
    let mut web = Web::new(&house, "alice");
    let at = house.front.ws[0];
    assert_eq!(
        web.put(&lists_of("alice"), LISTS_TYPE, LISTS).await.status,
        201
    );
    let url = format!(
        "http://{at}{}/~~/resource-lists/list%5B@name=%22friends%22%5D",
        lists_of("alice")
    );
    let two = format!(
        "<rls-services xmlns=\"urn:ietf:params:xml:ns:rls-services\" xmlns:l=\"urn:ietf:params:xml:ns:resource-lists\">\
         <service uri=\"sip:friends@example.com\"><resource-list>{url}</resource-list></service>\
         <service uri=\"sip:all@example.com\"><list><l:entry uri=\"sip:dave@example.com\"/><l:entry uri=\"sip:friends@example.com\"/>\
         <l:entry uri=\"sip:all@example.com\"/><l:list><l:external anchor=\"{url}\"/></l:list></list></service></rls-services>"
    );
    let made = web.put(&services_of("alice"), SERVICES_TYPE, &two).await;
    assert_eq!(made.status, 201, "{made:?}");
    let mut alice = house.tcp("alice").await;
    let mut ask = say(&mut alice, 600);
    ask.uri = "sip:all@example.com".to_owned();
    ask.to = "<sip:all@example.com>".to_owned();
    assert_eq!(alice.ask(&ask).await.status(), 200);
    let first = told(&mut alice).await;
    let names: Vec<&str> = first
        .resources
        .iter()
        .map(|(uri, ..)| uri.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "sip:dave@example.com",
            "sip:bob@example.com",
            "sip:carol@example.com"
        ]
    );
    // The list that is named changes: so does this one.
    let path = format!(
        "{}/~~/resource-lists/list%5B1%5D/entry%5B@uri=%22sip:carol@example.com%22%5D",
        lists_of("alice")
    );
    assert_eq!(web.delete(&path).await.status, 200);
    let second = told(&mut alice).await;
    assert!(second.full && second.resources.len() == 2, "{second:?}");
}

#[tokio::test]
async fn a_list_outlives_a_restart() {
    let house = House::with(WS).await;
    let mut web = Web::new(&house, "alice");
    web.put(
        &services_of("alice"),
        SERVICES_TYPE,
        &services(&entries(&["bob", "carol"])),
    )
    .await;
    let mut alice = house.udp("alice").await;
    alice.register().await;
    let ask = say(&mut alice, 600);
    assert_eq!(alice.ask(&ask).await.status(), 200);
    assert!(told(&mut alice).await.of("bob").1.contains("closed"));
    let house = house.restart().await;
    let again = told(&mut alice).await;
    assert!(again.full && again.resources.len() == 2, "{again:?}");
    let mut bob = house.tcp("bob").await;
    bob.register().await;
    let news = told(&mut alice).await;
    assert!(
        !news.full && news.of("bob").1.contains("<basic>open</basic>"),
        "{news:?}"
    );
}

#[tokio::test]
async fn documents_are_watched_by_their_tags() {
    let house = House::with(WS).await;
    let mut web = Web::new(&house, "alice");
    let made = web.put(&lists_of("alice"), LISTS_TYPE, LISTS).await;
    let mut alice = house.tcp("alice").await;
    let mut ask = alice.say("SUBSCRIBE", "alice");
    ask.headers = format!(
        "Event: xcap-diff\r\nExpires: 600\r\nContact: <{}>\r\n",
        alice.contact()
    );
    assert_eq!(alice.ask(&ask).await.status(), 200);
    let first = alice.told("200 OK").await;
    assert_eq!(first.header("Content-Type"), "application/xcap-diff+xml");
    let root = format!("xcap-root=\"http://{}/xcap\"", house.front.ws[0]);
    let selector = "sel=\"resource-lists/users/sip:alice@example.com/index\"";
    let new = format!("new-etag={}", made.etag());
    for part in [root.as_str(), selector, &new] {
        assert!(first.body.contains(part), "{part} in {}", first.body);
    }
    assert!(!first.body.contains("previous-etag"), "{}", first.body);
    let changed = web
        .put(
            &lists_of("alice"),
            LISTS_TYPE,
            &LISTS.replace("Bob", "Robert"),
        )
        .await;
    let second = alice.told("200 OK").await.body;
    assert!(
        second.contains(&format!(
            "new-etag={} previous-etag={}",
            changed.etag(),
            made.etag()
        )),
        "{second}"
    );
    web.put(&rules_of("alice"), RULES_TYPE, &rules("")).await;
    let third = alice.told("200 OK").await.body;
    assert!(
        third.contains("sel=\"pres-rules/users/sip:alice@example.com/index\"")
            && !third.contains(selector),
        "{third}"
    );
    web.delete(&lists_of("alice")).await;
    let fourth = alice.told("200 OK").await.body;
    assert!(
        fourth.contains(&format!(
            "<document previous-etag={} {selector}/>",
            changed.etag()
        )),
        "{fourth}"
    );
    // Others' documents are nobody's business; one's own may be picked.
    let mut bob = house.tcp("bob").await;
    let mut ask = bob.say("SUBSCRIBE", "alice");
    ask.headers = format!(
        "Event: xcap-diff\r\nExpires: 600\r\nContact: <{}>\r\n",
        bob.contact()
    );
    assert_eq!(bob.ask(&ask).await.status(), 403);
    web.put(&lists_of("alice"), LISTS_TYPE, LISTS).await;
    let mut other = house.tcp("alice").await;
    let mut ask = other.say("SUBSCRIBE", "alice");
    ask.headers = format!(
        "Event: xcap-diff\r\nExpires: 600\r\nContact: <{}>\r\nContent-Type: {LISTS_TYPE}\r\n",
        other.contact()
    );
    ask.body = "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list><entry uri=\"pres-rules/users/alice@example.com/index\"/></list></resource-lists>".to_owned();
    assert_eq!(other.ask(&ask).await.status(), 200);
    let picked = other.told("200 OK").await.body;
    assert!(
        picked.contains("pres-rules/") && !picked.contains("resource-lists/users"),
        "{picked}"
    );
}
