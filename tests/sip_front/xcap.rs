//! XCAP (RFC 4825) over real sockets: documents and nodes, conditions, errors, meaning.

use crate::house::{House, PATIENCE, Ua, address, person};
use ::xcap::ERROR_TYPE;
use auth::digest::{Ask, Challenge, Client};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tristack::core::access::{AccessEntry, Detail, Right, Rights, Scheme, Subject};
use tristack::core::command::{Caller, Command, Reply, Route};

pub const WS: &str = "ws = [\"127.0.0.1:0\"]\nxcap_operators = [\"dave@example.com\"]\n";
pub const LISTS_TYPE: &str = "application/resource-lists+xml";
pub const RULES_TYPE: &str = "application/auth-policy+xml";
pub const LISTS: &str = "<?xml version=\"1.0\"?>\n<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\">\n <!-- mine -->\n <list name=\"friends\"><display-name>Friends</display-name>\n  <entry uri=\"sip:bob@example.com\"><display-name>Bob</display-name></entry>\n  <entry uri='sip:carol@example.com'/>\n </list>\n</resource-lists>\n";

/// An answer.
#[derive(Debug)]
pub struct Got {
    pub status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        let same = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .find(same)
            .map_or("", |(_, value)| value)
    }

    pub fn etag(&self) -> String {
        self.header("etag").to_owned()
    }
}

/// A client.
pub struct Web {
    at: SocketAddr,
    digest: Client,
}

impl Web {
    pub fn new(house: &House, name: &str) -> Self {
        Self {
            at: house.front.ws[0],
            digest: Client::new(name, name),
        }
    }

    async fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Got {
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            self.at,
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("an answer")
            .unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap()[9..12].parse().unwrap();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_owned(), value.trim().to_owned())
        });
        Got {
            status,
            headers: headers.collect(),
            body: body.to_owned(),
        }
    }

    /// With credentials.
    async fn ask(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Got {
        let first = self.send(method, path, headers, body).await;
        if first.status != 401 {
            return first;
        }
        let all = first.headers.iter();
        let challenges: Vec<Challenge> = all
            .filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"))
            .map(|(_, value)| Challenge::parse(value).unwrap())
            .collect();
        let ask = Ask {
            method,
            uri: path,
            body,
            cnonce: "0a4f",
        };
        let value = self.digest.answer(&challenges, &ask).unwrap();
        let headers = format!("Authorization: {value}\r\n{headers}");
        self.send(method, path, &headers, body).await
    }

    async fn get(&mut self, path: &str) -> Got {
        self.ask("GET", path, "", b"").await
    }

    pub async fn put(&mut self, path: &str, kind: &str, body: &str) -> Got {
        let headers = format!("Content-Type: {kind}\r\n");
        self.ask("PUT", path, &headers, body.as_bytes()).await
    }

    pub async fn delete(&mut self, path: &str) -> Got {
        self.ask("DELETE", path, "", b"").await
    }
}

pub fn lists_of(name: &str) -> String {
    format!("/xcap/resource-lists/users/sip:{name}@example.com/index")
}

fn node(name: &str, selector: &str) -> String {
    let escaped = selector
        .replace('[', "%5B")
        .replace(']', "%5D")
        .replace('"', "%22");
    format!("{}/~~{escaped}", lists_of(name))
}

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

pub fn rules(inner: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<cr:ruleset xmlns=\"urn:ietf:params:xml:ns:pres-rules\" xmlns:cr=\"urn:ietf:params:xml:ns:common-policy\">{inner}\n</cr:ruleset>\n"
    )
}

pub fn rule(id: &str, identity: &str, handling: &str) -> String {
    format!(
        "\n <cr:rule id=\"{id}\"><cr:conditions><cr:identity>{identity}</cr:identity></cr:conditions><cr:actions><sub-handling>{handling}</sub-handling></cr:actions><cr:transformations><provide-persons><all-persons/></provide-persons><provide-all-attributes/></cr:transformations></cr:rule>"
    )
}

pub fn rules_of(name: &str) -> String {
    format!("/xcap/pres-rules/users/sip:{name}@example.com/index")
}

pub fn owner(name: &str) -> Caller {
    Caller {
        address: address(name),
        person: Some(person(name)),
        scheme: Scheme::Digest,
        route: Route::Point(tristack::front::SIP),
    }
}

async fn ask(house: &House, name: &str, command: Command) -> Reply {
    house
        .hub
        .call(person(name), &owner(name), command)
        .await
        .unwrap()
}

/// The access list without the rights that presence rules say nothing about.
async fn access(house: &House, name: &str) -> Vec<AccessEntry> {
    match ask(house, name, Command::Access).await {
        Reply::Access(list) => list,
        other => panic!("{other:?}"),
    }
}

fn denies(list: &[AccessEntry], who: &str, right: Right) -> bool {
    let who = Subject::Address(address(who));
    list.iter().any(|e| e.subject == who && e.deny.has(right))
}

async fn subscribe(ua: &mut Ua, to: &str) -> String {
    let mut say = ua.say("SUBSCRIBE", to);
    say.headers = format!(
        "Event: presence\r\nExpires: 600\r\nContact: <{}>\r\nAccept: application/pidf+xml\r\n",
        ua.contact()
    );
    assert_eq!(ua.ask(&say).await.status(), 200);
    ua.told("200 OK").await.body
}

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
