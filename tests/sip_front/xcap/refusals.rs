//! What XCAP refuses, and whom.

use super::*;

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn what_is_refused_says_why() {
    let house = House::with(WS).await;
    let mut alice = Web::new(&house, "alice");
    alice.put(&lists_of("alice"), LISTS_TYPE, LISTS).await;
    let (el, att) = ("application/xcap-el+xml", "application/xcap-att+xml");
    let path = lists_of("alice");
    let conflicts = [
        (
            path.clone(),
            LISTS_TYPE,
            "<resource-lists",
            "<not-well-formed ",
        ),
        (
            path.clone(),
            LISTS_TYPE,
            "<!DOCTYPE x><resource-lists/>",
            "<not-well-formed ",
        ),
        (path.clone(), LISTS_TYPE, "", "<not-well-formed "),
        (
            path.clone(),
            LISTS_TYPE,
            "<other xmlns='urn:x'/>",
            "<schema-validation-error ",
        ),
        (
            path.clone(),
            LISTS_TYPE,
            "<resource-lists xmlns='urn:ietf:params:xml:ns:resource-lists'><list name='a'/><list name='a'/></resource-lists>",
            "<uniqueness-failure>",
        ),
        (
            node("alice", "/resource-lists/list[@name=\"x\"]/entry[1]"),
            el,
            "<entry uri='sip:x@y'/>",
            "<no-parent><ancestor>http://",
        ),
        (
            node("alice", "/resource-lists/list[@name=\"x\"]"),
            el,
            "<list name='y'/>",
            "<cannot-insert ",
        ),
        (
            node("alice", "/resource-lists/list[@name=\"x\"]"),
            el,
            "<list name='x'",
            "<not-xml-frag ",
        ),
        (
            node("alice", "/resource-lists/list[1]/entry[1]"),
            el,
            "<entry/>",
            "<schema-validation-error ",
        ),
        (
            node("alice", "/resource-lists/list[1]/@name"),
            att,
            "a<b",
            "<not-xml-att-value/>",
        ),
        (
            path.replace("index", "none") + "/~~/resource-lists",
            el,
            "<resource-lists/>",
            "<no-parent/>",
        ),
    ];
    for (path, kind, body, element) in conflicts {
        let got = alice.put(&path, kind, body).await;
        assert_eq!(
            (got.status, got.header("content-type")),
            (409, ERROR_TYPE),
            "{path} {got:?}"
        );
        assert!(got.body.contains(element), "{path}: {}", got.body);
        assert!(
            got.body
                .contains("xmlns=\"urn:ietf:params:xml:ns:xcap-error\"")
        );
    }
    let ancestor = alice
        .put(
            &node("alice", "/resource-lists/list[@name=\"x\"]/entry[1]"),
            el,
            "<entry/>",
        )
        .await;
    assert!(
        ancestor
            .body
            .contains("/index/~~/resource-lists</ancestor>"),
        "{}",
        ancestor.body
    );
    let got = alice
        .ask(
            "PUT",
            &path,
            "Content-Type: application/resource-lists+xml\r\n",
            b"<a>\xff</a>",
        )
        .await;
    assert!(
        got.status == 409 && got.body.contains("<not-utf-8/>"),
        "{got:?}"
    );
    let first = alice
        .delete(&node("alice", "/resource-lists/list[1]/entry[1]"))
        .await;
    assert!(
        first.status == 409 && first.body.contains("<cannot-delete "),
        "{first:?}"
    );
    // What was refused changed nothing.
    assert_eq!(alice.get(&path).await.body, LISTS);

    for (method, path, kind, status) in [
        ("PUT", path.clone(), "text/xml", 415),
        (
            "PUT",
            node("alice", "/resource-lists/list[1]"),
            LISTS_TYPE,
            415,
        ),
        (
            "PUT",
            node("alice", "/resource-lists/list[1]/@name"),
            el,
            415,
        ),
        ("POST", path.clone(), LISTS_TYPE, 405),
        ("GET", path.replace("index", "none"), "", 404),
        ("GET", node("alice", "/resource-lists/list[7]"), "", 404),
        ("GET", node("alice", "/resource-lists/list[0]"), "", 400),
        ("GET", node("alice", "/p:resource-lists"), "", 400),
        (
            "GET",
            "/xcap/other/users/sip:alice@example.com/index".to_owned(),
            "",
            404,
        ),
        ("GET", "/xcap/resource-lists".to_owned(), "", 404),
        (
            "PUT",
            "/xcap/pres-rules/users/sip:alice@example.com/other".to_owned(),
            RULES_TYPE,
            404,
        ),
        (
            "PUT",
            "/xcap/xcap-caps/global/index".to_owned(),
            "application/xcap-caps+xml",
            405,
        ),
        (
            "GET",
            "/xcap/resource-lists/users/sip:bob@example.com/index".to_owned(),
            "",
            403,
        ),
        (
            "GET",
            "/xcap/resource-lists/users/sip:nobody@example.com/index".to_owned(),
            "",
            403,
        ),
        (
            "PUT",
            "/xcap/resource-lists/users/sip:bob@example.com/index".to_owned(),
            LISTS_TYPE,
            403,
        ),
    ] {
        let headers = format!("Content-Type: {kind}\r\n");
        let got = alice.ask(method, &path, &headers, b"x").await;
        assert_eq!(got.status, status, "{method} {path} {kind}: {got:?}");
        if status == 405 {
            assert!(got.header("allow").contains("GET"));
        }
    }
    // COMPAT(xcaplib): whole documents come without a type.
    assert_eq!(
        alice.ask("PUT", &path, "", LISTS.as_bytes()).await.status,
        200
    );
}

#[tokio::test]
async fn only_the_owner_and_operators_get_in() {
    let house = House::with(WS).await;
    let mut alice = Web::new(&house, "alice");
    alice.put(&lists_of("alice"), LISTS_TYPE, LISTS).await;
    let bare = alice.send("GET", &lists_of("alice"), "", b"").await;
    assert_eq!(bare.status, 401);
    assert!(
        bare.header("www-authenticate")
            .contains("realm=\"example.com\""),
        "{bare:?}"
    );
    let mut wrong = Web::new(&house, "alice");
    wrong.digest = Client::new("alice", "wrong");
    assert_eq!(wrong.get(&lists_of("alice")).await.status, 401);
    let mut stranger = Web::new(&house, "alice");
    stranger.digest = Client::new("nobody", "nobody");
    assert_eq!(stranger.get(&lists_of("alice")).await.status, 401);
    let mut bob = Web::new(&house, "bob");
    assert_eq!(bob.get(&lists_of("alice")).await.status, 403);
    let mut dave = Web::new(&house, "dave");
    assert_eq!(dave.get(&lists_of("alice")).await.body, LISTS);
    let changed = dave
        .put(
            &lists_of("alice"),
            LISTS_TYPE,
            &LISTS.replace("Bob", "Robert"),
        )
        .await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(dave.get(&lists_of("nobody")).await.status, 404);
}
