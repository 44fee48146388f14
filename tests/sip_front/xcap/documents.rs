//! Documents and their nodes (RFC 4825 7 and 8): kept, read, changed in place.

use super::*;

#[tokio::test]
async fn a_document_is_kept_as_it_was_written() {
    let house = House::with(WS).await;
    let mut alice = Web::new(&house, "alice");
    let path = lists_of("alice");
    assert_eq!(alice.get(&path).await.status, 404);
    let made = alice.put(&path, LISTS_TYPE, LISTS).await;
    assert_eq!(made.status, 201, "{made:?}");
    let got = alice.get(&path).await;
    assert_eq!((got.status, got.body.as_str()), (200, LISTS));
    assert_eq!(got.header("content-type"), LISTS_TYPE);
    assert_eq!(got.etag(), made.etag());
    let head = alice.ask("HEAD", &path, "", b"").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), LISTS.len().to_string());
    let again = alice.put(&path, LISTS_TYPE, LISTS).await;
    assert_eq!(again.status, 200);
    assert_ne!(again.etag(), made.etag());
    // Every way to write her (4.4 of the reference: `sip:u@d`, `u@d`, escaped, bare).
    for user in [
        "alice@example.com",
        "sip%3Aalice%40example.com",
        "SIP:Alice@EXAMPLE.com",
        "alice",
    ] {
        let path = format!("/xcap/resource-lists/users/{user}/index");
        assert_eq!(alice.get(&path).await.body, LISTS, "{user}");
    }
    assert_eq!(alice.delete(&path).await.status, 200);
    assert_eq!(alice.get(&path).await.status, 404);
    assert_eq!(alice.delete(&path).await.status, 404);
    let third = alice.put(&path, LISTS_TYPE, LISTS).await;
    assert_eq!(third.status, 201);
    assert!(![made.etag(), again.etag()].contains(&third.etag()));
}

#[tokio::test]
async fn requests_may_have_conditions() {
    let house = House::with(WS).await;
    let mut alice = Web::new(&house, "alice");
    let path = lists_of("alice");
    let made = alice
        .ask(
            "PUT",
            &path,
            "If-None-Match: *\r\nContent-Type: application/resource-lists+xml\r\n",
            LISTS.as_bytes(),
        )
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    let tag = made.etag();
    let node = node("alice", "/resource-lists/list[@name=\"friends\"]/@name");
    for (method, path, header, status) in [
        ("PUT", &path, "If-None-Match: *".to_owned(), 412),
        ("PUT", &path, "If-Match: \"other\"".to_owned(), 412),
        ("DELETE", &path, "If-Match: \"other\"".to_owned(), 412),
        ("DELETE", &node, "If-Match: \"other\"".to_owned(), 412),
        ("GET", &path, format!("If-None-Match: {tag}"), 304),
        ("GET", &node, format!("If-None-Match: \"x\", {tag}"), 304),
        ("GET", &path, "If-Match: \"other\"".to_owned(), 412),
        ("GET", &path, format!("If-Match: {tag}"), 200),
        ("GET", &path, "If-None-Match: \"other\"".to_owned(), 200),
        ("GET", &path, "If-Match: *".to_owned(), 200),
        ("PUT", &path, format!("If-Match: {tag}"), 200),
        ("DELETE", &path, format!("If-Match: {tag}"), 412),
    ] {
        let headers = format!("{header}\r\nContent-Type: application/resource-lists+xml\r\n");
        let body = if method == "PUT" { LISTS } else { "" };
        let got = alice.ask(method, path, &headers, body.as_bytes()).await;
        assert_eq!(got.status, status, "{method} {path} {header}: {got:?}");
        if status == 304 {
            assert_eq!((got.etag(), got.body.as_str()), (tag.clone(), ""));
        }
    }
    let absent = lists_of("alice").replace("index", "other");
    let got = alice.ask("GET", &absent, "If-Match: *\r\n", b"").await;
    assert_eq!(got.status, 404);
}

#[tokio::test]
async fn nodes_are_read_and_written_in_place() {
    let house = House::with(WS).await;
    let mut alice = Web::new(&house, "alice");
    let (el, att) = ("application/xcap-el+xml", "application/xcap-att+xml");
    alice.put(&lists_of("alice"), LISTS_TYPE, LISTS).await;
    let bob = node(
        "alice",
        "/resource-lists/list[@name=\"friends\"]/entry[@uri=\"sip:bob@example.com\"]",
    );
    let got = alice.get(&bob).await;
    assert_eq!(
        got.body,
        "<entry uri=\"sip:bob@example.com\"><display-name>Bob</display-name></entry>"
    );
    assert_eq!(got.header("content-type"), el);
    let name = alice.get(&format!("{bob}/display-name")).await;
    assert_eq!(name.body, "<display-name>Bob</display-name>");
    let uri = alice.get(&format!("{bob}/@uri")).await;
    assert_eq!(
        (uri.body.as_str(), uri.header("content-type")),
        ("sip:bob@example.com", att)
    );
    let spaces = alice.get(&format!("{bob}/namespace::*")).await;
    assert_eq!(
        spaces.body,
        "<entry xmlns=\"urn:ietf:params:xml:ns:resource-lists\"/>"
    );
    assert_eq!(spaces.header("content-type"), "application/xcap-ns+xml");
    // Another prefix of the same namespace, bound in the query.
    let query = node("alice", "/a:resource-lists/a:list[1]/@name")
        + "?xmlns(a=urn:ietf:params:xml:ns:resource-lists)";
    assert_eq!(alice.get(&query).await.body, "friends");

    let dave = node(
        "alice",
        "/resource-lists/list[@name=\"friends\"]/entry[@uri=\"sip:dave@example.com\"]",
    );
    let before = alice.get(&lists_of("alice")).await;
    let made = alice
        .put(&dave, el, "<entry uri=\"sip:dave@example.com\"/>")
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_ne!(made.etag(), before.etag());
    let replaced = alice
        .put(
            &dave,
            el,
            "<entry uri=\"sip:dave@example.com\"><display-name>D</display-name></entry>",
        )
        .await;
    assert_eq!(replaced.status, 200);
    let renamed = alice
        .put(&node("alice", "/resource-lists/list[1]/@name"), att, "pals")
        .await;
    assert_eq!(renamed.status, 200, "{renamed:?}");
    let whole = alice.get(&lists_of("alice")).await.body;
    let expected = LISTS
        .replace("\"friends\"", "\"pals\"")
        .replace("'sip:carol@example.com'/>", "'sip:carol@example.com'/><entry uri=\"sip:dave@example.com\"><display-name>D</display-name></entry>");
    assert_eq!(whole, expected);
    let dave = dave.replace("friends", "pals");
    assert_eq!(alice.delete(&dave).await.status, 200);
    assert_eq!(alice.delete(&dave).await.status, 404);
    assert_eq!(
        alice.get(&lists_of("alice")).await.body,
        LISTS.replace("friends", "pals")
    );
    for method in ["PUT", "DELETE"] {
        let path = node("alice", "/resource-lists/namespace::*");
        let got = alice
            .ask(
                method,
                &path,
                "Content-Type: application/xcap-ns+xml\r\n",
                b"x",
            )
            .await;
        assert_eq!((got.status, got.header("allow")), (405, "GET, HEAD"));
    }
}

#[tokio::test]
async fn documents_have_a_quota() {
    let house = House::with(&format!("{WS}[limits]\ndocument = \"2 KiB\"\n")).await;
    let mut alice = Web::new(&house, "alice");
    let large = LISTS.replace("mine", &"x".repeat(2000));
    assert_eq!(
        alice
            .put(&lists_of("alice"), LISTS_TYPE, &large)
            .await
            .status,
        413
    );
    for number in 0..64 {
        let path = lists_of("alice").replace("index", &format!("d{number}"));
        assert_eq!(alice.put(&path, LISTS_TYPE, LISTS).await.status, 201);
    }
    let more = alice
        .put(
            &lists_of("alice").replace("index", "more"),
            LISTS_TYPE,
            LISTS,
        )
        .await;
    assert!(
        more.status == 409 && more.body.contains("<extension>"),
        "{more:?}"
    );
    assert_eq!(
        alice
            .delete(&lists_of("alice").replace("index", "d0"))
            .await
            .status,
        200
    );
    let more = alice
        .put(
            &lists_of("alice").replace("index", "more"),
            LISTS_TYPE,
            LISTS,
        )
        .await;
    assert_eq!(more.status, 201);
}

#[tokio::test]
async fn the_server_tells_what_it_can_and_has() {
    let house = House::with(WS).await;
    let mut alice = Web::new(&house, "alice");
    let caps = alice.get("/xcap/xcap-caps/global/index").await;
    assert_eq!(
        (caps.status, caps.header("content-type")),
        (200, "application/xcap-caps+xml")
    );
    assert!(
        caps.body
            .contains("<auid>org.openmobilealliance.pres-rules</auid>")
    );
    let one = alice
        .get("/xcap/xcap-caps/global/index/~~/xcap-caps/auids/auid%5B1%5D")
        .await;
    assert_eq!(one.body, "<auid>resource-lists</auid>");
    let made = alice.put(&lists_of("alice"), LISTS_TYPE, LISTS).await;
    let path =
        "/xcap/org.openmobilealliance.xcap-directory/users/sip:alice@example.com/directory.xml";
    let directory = alice.get(path).await;
    let entry = format!(
        "<folder auid=\"resource-lists\"><entry uri=\"http://{}{}\" etag={} ",
        house.front.ws[0],
        lists_of("alice"),
        made.etag()
    );
    assert!(
        directory.body.contains(&entry),
        "{} {entry}",
        directory.body
    );
    let services = |uri: &str| {
        format!(
            "<rls-services xmlns=\"urn:ietf:params:xml:ns:rls-services\"><service uri=\"{uri}\"><list/></service></rls-services>"
        )
    };
    let own = |name: &str| format!("/xcap/rls-services/users/sip:{name}@example.com/index");
    let kind = "application/rls-services+xml";
    for (uri, status) in [
        ("sip:friends@example.com", 201),
        ("sip:bob@example.com", 409),
        ("sip:friends@elsewhere.example", 409),
    ] {
        let got = alice.put(&own("alice"), kind, &services(uri)).await;
        assert_eq!(got.status, status, "{uri}: {got:?}");
    }
    let mut bob = Web::new(&house, "bob");
    let taken = bob
        .put(&own("bob"), kind, &services("sip:Friends@example.com"))
        .await;
    assert_eq!(taken.status, 409);
    assert!(
        taken
            .body
            .contains("<alt-value>sip:bob-friends@example.com</alt-value>"),
        "{}",
        taken.body
    );
    bob.put(&own("bob"), kind, &services("sip:team@example.com"))
        .await;
    let index = "/xcap/rls-services/global/index";
    let mine = alice.get(index).await.body;
    assert!(mine.contains("sip:friends@example.com") && !mine.contains("sip:team@example.com"));
    let mut dave = Web::new(&house, "dave");
    let all = dave.get(index).await.body;
    assert!(all.contains("sip:friends@example.com") && all.contains("sip:team@example.com"));
    assert_eq!(alice.delete(&own("alice")).await.status, 200);
    let free = bob
        .put(&own("bob"), kind, &services("sip:friends@example.com"))
        .await;
    assert_eq!(free.status, 200, "{free:?}");
}

#[tokio::test]
async fn documents_outlive_a_restart() {
    let house = House::with(WS).await;
    let mut web = Web::new(&house, "alice");
    let made = web.put(&lists_of("alice"), LISTS_TYPE, LISTS).await;
    let house = house.restart().await;
    let mut web = Web::new(&house, "alice");
    let got = web.get(&lists_of("alice")).await;
    assert_eq!((got.body.as_str(), got.etag()), (LISTS, made.etag()));
    let Reply::Contacts(list) = ask(&house, "alice", Command::Contacts).await else {
        panic!("no contacts");
    };
    assert_eq!(list.contacts.len(), 2);
}
