//! What documents mean: rules, contacts, hard state, on every stack.

use super::*;

#[tokio::test]
async fn presence_rules_bind_watchers_at_once() {
    let house = House::with(WS).await;
    let mut alice = house.tcp("alice").await;
    alice.register().await;
    let mut bob = house.tcp("bob").await;
    bob.register().await;
    assert!(
        subscribe(&mut bob, "alice")
            .await
            .contains("<basic>open</basic>")
    );
    let mut web = Web::new(&house, "alice");
    let everybody = rule("all", "<cr:many/>", "allow");
    let blocked = rules(&format!(
        "{}{}",
        rule("no", "<cr:one id=\"sip:bob@example.com\"/>", "polite-block"),
        rule(
            "all",
            "<cr:many><cr:except id=\"sip:bob@example.com\"/></cr:many>",
            "allow"
        )
    ));
    let made = web.put(&rules_of("alice"), RULES_TYPE, &blocked).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert!(
        bob.told("200 OK")
            .await
            .body
            .contains("<basic>closed</basic>")
    );
    assert!(denies(
        &access(&house, "alice").await,
        "bob",
        Right::Presence
    ));
    assert!(!denies(
        &access(&house, "alice").await,
        "bob",
        Right::SendTo
    ));
    let mut carol = house.tcp("carol").await;
    carol.register().await;
    assert!(
        subscribe(&mut carol, "alice")
            .await
            .contains("<basic>open</basic>")
    );
    // The same policy under OMA's name, octet for octet.
    let oma = "/xcap/org.openmobilealliance.pres-rules/users/sip:alice@example.com/pres-rules";
    let got = web.get(oma).await;
    assert_eq!(
        (got.body.as_str(), got.etag()),
        (blocked.as_str(), made.etag())
    );
    assert_eq!(
        web.put(oma, RULES_TYPE, &rules(&everybody)).await.status,
        200
    );
    assert!(
        bob.told("200 OK")
            .await
            .body
            .contains("<basic>open</basic>")
    );
    // RFC 5025: without a rule nothing is permitted; without a document the defaults hold.
    web.put(&rules_of("alice"), RULES_TYPE, &rules("")).await;
    assert!(
        bob.told("200 OK")
            .await
            .body
            .contains("<basic>closed</basic>")
    );
    web.delete(&rules_of("alice")).await;
    assert!(
        bob.told("200 OK")
            .await
            .body
            .contains("<basic>open</basic>")
    );
}

#[tokio::test]
async fn an_access_list_of_another_stack_is_seen_in_the_rules() {
    let house = House::with(WS).await;
    let mut web = Web::new(&house, "alice");
    let deny = |who: &str, rights: Rights| AccessEntry {
        subject: Subject::Address(address(who)),
        schemes: Vec::new(),
        grant: Rights::default(),
        deny: rights,
        ask: Rights::default(),
        detail: Detail::ALL,
    };
    let both = Rights::default().with(Right::Presence).with(Right::SendTo);
    // Nobody has written rules: they come into being with what the list says.
    ask(&house, "alice", Command::SetAccess(vec![deny("bob", both)])).await;
    let fresh = web.get(&rules_of("alice")).await;
    assert_eq!(fresh.status, 200, "{fresh:?}");
    assert!(
        fresh.body.contains("<one id=\"sip:bob@example.com\"/>"),
        "{}",
        fresh.body
    );
    assert!(
        fresh.body.contains("<except id=\"sip:bob@example.com\"/>"),
        "{}",
        fresh.body
    );
    assert!(fresh.body.contains(">block</messages>"), "{}", fresh.body);
    assert!(denies(&access(&house, "alice").await, "bob", Right::SendTo));
    // A document of her own: the next block is an edit of it that leaves all else.
    let all = rules(&format!(
        "\n <!-- mine -->{}",
        rule("all", "<cr:many/>", "allow")
    ));
    assert_eq!(
        web.put(&rules_of("alice"), RULES_TYPE, &all).await.status,
        200
    );
    assert!(!denies(
        &access(&house, "alice").await,
        "bob",
        Right::SendTo
    ));
    let mut list = access(&house, "alice").await;
    list.push(deny("carol", both));
    ask(&house, "alice", Command::SetAccess(list)).await;
    let edited = web.get(&rules_of("alice")).await;
    assert!(edited.body.contains("\n <!-- mine -->\n <cr:rule id=\"all\"><cr:conditions><cr:identity><cr:many><cr:except id=\"sip:carol@example.com\"/></cr:many></cr:identity></cr:conditions>"), "{}", edited.body);
    assert!(
        edited
            .body
            .contains("<cr:one id=\"sip:carol@example.com\"/>"),
        "{}",
        edited.body
    );
    // Once they are alike nothing changes any more.
    assert_eq!(web.get(&rules_of("alice")).await.etag(), edited.etag());
    assert!(denies(
        &access(&house, "alice").await,
        "carol",
        Right::Presence
    ));
    // Taking the rule out by XCAP lifts the block everywhere.
    web.put(&rules_of("alice"), RULES_TYPE, &all).await;
    let list = access(&house, "alice").await;
    assert!(!denies(&list, "carol", Right::Presence) && !denies(&list, "carol", Right::SendTo));
    // Rights that rules can't say stay as they were.
    let mut odd = deny("dave", Rights::default().with(Right::Read));
    odd.schemes = vec![Scheme::Ntlm];
    let mut list = list;
    list.push(odd.clone());
    ask(&house, "alice", Command::SetAccess(list)).await;
    web.put(&rules_of("alice"), RULES_TYPE, &rules("")).await;
    assert!(access(&house, "alice").await.contains(&odd));
}

#[tokio::test]
async fn rules_hold_only_while_they_are_valid() {
    let house = House::with(WS).await;
    let mut alice = house.tcp("alice").await;
    alice.register().await;
    let mut web = Web::new(&house, "alice");
    let until = |year: &str| {
        rules(&format!(
            "<cr:rule id=\"a\"><cr:conditions><cr:identity><cr:many/></cr:identity><cr:validity><cr:from>2001-01-01T00:00:00Z</cr:from><cr:until>{year}-01-01T00:00:00Z</cr:until></cr:validity></cr:conditions><cr:actions><sub-handling>allow</sub-handling></cr:actions></cr:rule>"
        ))
    };
    web.put(&rules_of("alice"), RULES_TYPE, &until("2002"))
        .await;
    let mut bob = house.tcp("bob").await;
    bob.register().await;
    assert!(
        subscribe(&mut bob, "alice")
            .await
            .contains("<basic>closed</basic>")
    );
    web.put(&rules_of("alice"), RULES_TYPE, &until("2999"))
        .await;
    assert!(
        bob.told("200 OK")
            .await
            .body
            .contains("<basic>open</basic>")
    );
    // And by time alone: a rule that ends in a moment.
    let soon = house.hub.now().0 / 1000 + 2;
    let (hour, minute, second) = (soon / 3600 % 24, soon / 60 % 60, soon % 60);
    let today = web
        .get(
            "/xcap/org.openmobilealliance.xcap-directory/users/sip:alice@example.com/directory.xml",
        )
        .await;
    let date = today.body.split("last-modified=\"").nth(1).unwrap()[..10].to_owned();
    let ends = format!("{date}T{hour:02}:{minute:02}:{second:02}Z");
    let body = until("2999").replace("2999-01-01T00:00:00Z", &ends);
    assert_eq!(
        web.put(&rules_of("alice"), RULES_TYPE, &body).await.status,
        200
    );
    assert!(
        bob.told("200 OK")
            .await
            .body
            .contains("<basic>closed</basic>")
    );
}

#[tokio::test]
async fn lists_are_contacts_and_hard_state_is_presence() {
    let house = House::with(WS).await;
    let mut web = Web::new(&house, "alice");
    web.put(&lists_of("alice"), LISTS_TYPE, LISTS).await;
    let Reply::Contacts(list) = ask(&house, "alice", Command::Contacts).await else {
        panic!("no contacts");
    };
    assert_eq!((list.version, list.contacts.len()), (1, 2));
    assert_eq!(list.contacts[0].address, address("bob"));
    assert_eq!(
        (&*list.contacts[0].name, &*list.contacts[0].groups[0]),
        ("Bob", "Friends")
    );
    web.delete(&lists_of("alice")).await;
    let Reply::Contacts(list) = ask(&house, "alice", Command::Contacts).await else {
        panic!("no contacts");
    };
    assert_eq!((list.version, list.contacts.len()), (2, 0));
    // RFC 4827: what she says holds without any client of hers.
    let pidf = |basic: &str| {
        format!(
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@example.com\"><tuple id=\"h\"><status><basic>{basic}</basic></status><note>on leave</note></tuple></presence>"
        )
    };
    let path = "/xcap/pidf-manipulation/users/sip:alice@example.com/index";
    assert_eq!(
        web.put(path, "application/pidf+xml", &pidf("open"))
            .await
            .status,
        201
    );
    let mut bob = house.tcp("bob").await;
    bob.register().await;
    let seen = subscribe(&mut bob, "alice").await;
    assert!(
        seen.contains("<basic>open</basic>") && seen.contains("on leave"),
        "{seen}"
    );
    assert_eq!(web.delete(path).await.status, 200);
    assert!(
        bob.told("200 OK")
            .await
            .body
            .contains("<basic>closed</basic>")
    );
}
