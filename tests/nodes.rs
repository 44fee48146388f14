//! Nodes beyond people, against the real binary: sinks, distribution lists, first use, registered
//! targets.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use support::actor::{Actor, Encoding, Heard, RvpActor, SipActor, between};
use support::server::Server;

const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing must come for "nothing came".
const QUIET: Duration = Duration::from_millis(700);
const SHIPMENT: &str = "<?xml version=\"1.0\"?>\r\n<r:notification  xmlns:r='http://schemas.microsoft.com/rvp/' \
     xmlns:s=\"urn:shipments\"><s:event  at='Rotterdam'>\u{e4} &lt;in&gt; transit</s:event></r:notification>";

fn rvp(server: &Server, name: &str) -> RvpActor {
    let mut actor = RvpActor::new(name, server.rvp, Encoding::Characters).expect("an actor");
    actor.sign_in().expect("sign-in");
    actor
}

fn tool(server: &Server, arguments: &[&str]) -> (bool, String) {
    let output = server.command(arguments).output().expect("the tool runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), text + &error)
}

fn done(server: &Server, arguments: &[&str]) -> String {
    let (fine, text) = tool(server, arguments);
    assert!(fine, "{arguments:?}: {text}");
    text
}

fn text_to(from: &str, to: &str, text: &str) -> String {
    let contact = |path: &str| {
        format!("<r:contact><d:href>http://localhost{path}</d:href><r:description/></r:contact>")
    };
    format!(
        "<r:notification xmlns:d=\"DAV:\" xmlns:r=\"http://schemas.microsoft.com/rvp/\"><r:message>\
         <r:notification-from>{}</r:notification-from><r:notification-to>{}</r:notification-to>\
         <r:msgbody><r:mime-data><![CDATA[MIME-Version: 1.0\r\nContent-Type: text/plain; \
         charset=UTF-8\r\nSession-Id: {{D2B0C9C1-6A5B-4B0A-9E11-6B0F3C1D0007}}\r\n\r\n{text}]]>\
         </r:mime-data></r:msgbody></r:message></r:notification>",
        contact(&format!("/instmsg/aliases/{from}")),
        contact(to)
    )
}

fn notify(actor: &mut RvpActor, path: &str, ack: &str, body: &str) -> u16 {
    let headers = format!("RVP-Ack-Type: {ack}\r\nRVP-Hop-Count: 1\r\nContent-Type: text/xml\r\n");
    actor
        .request("NOTIFY", path, &headers, body)
        .expect("an answer")
        .0
}

/// Subscribes to what is sent to a node; status and Subscription-Id.
fn subscribe(actor: &mut RvpActor, path: &str, call_back: &str) -> (u16, Option<String>) {
    let headers = format!(
        "Notification-Type: pragma/notify\r\nSubscription-Lifetime: 14400\r\nCall-Back: {call_back}\r\n"
    );
    let (status, head, _) = actor
        .request("SUBSCRIBE", path, &headers, "")
        .expect("an answer");
    let id = between(&head, "Subscription-Id: ", "\r\n").map(str::to_owned);
    (status, id)
}

fn text(from: &str, text: &str) -> Option<Heard> {
    let (from, text) = (from.to_owned(), text.to_owned());
    Some(Heard::Text { from, text })
}

/// A listener for NOTIFYs: (head, body) of each.
struct Sink {
    at: SocketAddr,
    status: Arc<AtomicU16>,
    got: mpsc::Receiver<(String, String)>,
}

impl Sink {
    fn new() -> Self {
        Self::at("127.0.0.1:0".parse().expect("address"))
    }

    fn at(at: SocketAddr) -> Self {
        let listener = TcpListener::bind(at).expect("a port");
        let at = listener.local_addr().expect("its address");
        let status = Arc::new(AtomicU16::new(200));
        let (tell, got) = mpsc::channel();
        let answers = Arc::clone(&status);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (tell, answers) = (tell.clone(), Arc::clone(&answers));
                std::thread::spawn(move || serve(stream, &tell, &answers));
            }
        });
        Self { at, status, got }
    }

    fn next(&self) -> (String, String) {
        self.got.recv_timeout(PATIENCE).expect("a notification")
    }
}

fn serve(stream: TcpStream, tell: &mpsc::Sender<(String, String)>, status: &AtomicU16) {
    let mut write = stream.try_clone().expect("a second handle");
    let mut read = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if read.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().expect("a length");
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        read.read_exact(&mut body).expect("the body");
        let status = status.load(Ordering::Relaxed);
        let _ = tell.send((head, String::from_utf8(body).expect("UTF-8")));
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        if write.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

#[test]
fn rvp_1_a_sink_passes_on_to_each_subscriber_byte_for_byte() {
    let server = Server::start(&["alice", "bob", "carol"]);
    done(
        &server,
        &[
            "node",
            "add",
            "/shipments/1Z999",
            "--owner",
            "alice@example.com",
        ],
    );
    let listed = done(&server, &["node", "list"]);
    assert!(
        listed.contains("/shipments/1z999") && listed.contains("alice@example.com"),
        "{listed}"
    );
    let (mut alice, mut bob, mut carol) = (
        rvp(&server, "alice"),
        rvp(&server, "bob"),
        rvp(&server, "carol"),
    );
    let path = "/Shipments/1z999/";
    assert_eq!(
        notify(&mut alice, path, "DeepOr", SHIPMENT),
        412,
        "nobody there yet"
    );
    let (one, two) = (Sink::new(), Sink::new());
    let (status, first) = subscribe(&mut bob, path, &format!("http://{}", one.at));
    assert_eq!(status, 200);
    let (status, second) = subscribe(&mut carol, path, &format!("http://{}/hook?x", two.at));
    assert_eq!(status, 200);
    // By way of one's own inboxes.
    let (status, inside) = subscribe(&mut alice, path, "http://localhost/instmsg/aliases/alice");
    assert_eq!((status, inside.is_some()), (200, true));
    assert_eq!(notify(&mut bob, path, "DeepAnd", SHIPMENT), 200);
    for (sink, id) in [(&one, &first), (&two, &second)] {
        let (head, body) = sink.next();
        assert_eq!(body, SHIPMENT);
        let id = format!("Subscription-Id: {}\r\n", id.as_deref().expect("an id"));
        assert!(
            head.contains(&id) && head.contains("Rvp-Hop-Count: 2\r\n"),
            "{head}"
        );
    }
    match alice.next_kind(false, PATIENCE) {
        Some(Heard::Other(whole)) => assert!(whole.ends_with(SHIPMENT), "{whole}"),
        other => panic!("alice heard {other:?}"),
    }
    // Not well-formed: refused, nobody hears it.
    assert_eq!(
        notify(
            &mut bob,
            path,
            "DeepAnd",
            "<r:notification><x></r:notification>"
        ),
        400
    );
    // The owner sees who subscribed, but nobody's listener.
    let type_ = "Notification-Type: pragma/notify\r\n";
    let (status, _, list) = alice
        .request("SUBSCRIPTIONS", path, type_, "")
        .expect("an answer");
    assert_eq!(
        (status, list.matches("<r:subscription>").count()),
        (200, 3),
        "{list}"
    );
    assert!(!list.contains(&one.at.to_string()), "{list}");
    assert_eq!(
        bob.request("SUBSCRIPTIONS", path, type_, "")
            .expect("an answer")
            .0,
        403
    );
    // A subscription is its holder's and the owner's.
    let id = format!("Subscription-Id: {}\r\n", first.expect("an id"));
    assert_eq!(
        carol
            .request("UNSUBSCRIBE", path, &id, "")
            .expect("an answer")
            .0,
        412
    );
    let renewal = format!("{id}Subscription-Lifetime: 600\r\n");
    assert_eq!(
        carol
            .request("SUBSCRIBE", path, &renewal, "")
            .expect("an answer")
            .0,
        412
    );
    assert_eq!(
        bob.request("SUBSCRIBE", path, &renewal, "")
            .expect("an answer")
            .0,
        200
    );
    assert_eq!(
        bob.request("UNSUBSCRIBE", path, &id, "")
            .expect("an answer")
            .0,
        200
    );
    let id = format!("Subscription-Id: {}\r\n", inside.expect("an id"));
    assert_eq!(
        alice
            .request("UNSUBSCRIBE", path, &id, "")
            .expect("an answer")
            .0,
        200
    );
    assert_eq!(notify(&mut bob, path, "DeepAnd", SHIPMENT), 200);
    assert_eq!(two.next().1, SHIPMENT);
    assert!(one.got.recv_timeout(QUIET).is_err(), "unsubscribed");
    // What holds over a restart: the subscription, not the connection.
    let mut server = server;
    server.kill_and_restart();
    assert_eq!(notify(&mut bob, path, "DeepAnd", SHIPMENT), 200);
    assert_eq!(two.next().1, SHIPMENT);
}

#[test]
fn a_distribution_list_reaches_members_on_both_stacks_once() {
    let server = Server::start(&["alice", "bob", "carol", "dave"]);
    done(&server, &["node", "add", "/groups/rec-cycling"]);
    for member in ["alice", "bob", "carol"] {
        let address = format!("{member}@example.com");
        done(
            &server,
            &["node", "members", "/groups/rec-cycling", "add", &address],
        );
    }
    let (fine, why) = tool(
        &server,
        &[
            "node",
            "members",
            "/groups/rec-cycling",
            "add",
            "bob@example.com",
        ],
    );
    assert!(!fine && why.contains("member already"), "{why}");
    let (mut alice, mut bob) = (rvp(&server, "alice"), rvp(&server, "bob"));
    let mut carol = SipActor::udp("carol", server.sip_udp).expect("an actor");
    carol.sign_in().expect("sign-in");
    let mut dave = SipActor::tcp("dave", server.sip_tcp).expect("an actor");
    dave.sign_in().expect("sign-in");
    let group = "/groups/rec-cycling";
    assert_eq!(
        notify(
            &mut alice,
            group,
            "DeepAnd",
            &text_to("alice", group, "ride at nine")
        ),
        200
    );
    assert_eq!(
        bob.next_kind(false, PATIENCE),
        text("alice", "ride at nine")
    );
    assert_eq!(
        carol.next_kind(false, PATIENCE),
        text("alice", "ride at nine")
    );
    assert_eq!(alice.next_kind(false, QUIET), None, "not to oneself");
    assert_eq!(bob.next_kind(false, QUIET), None, "once");
    // A SIP user who is no member, to the group's SIP address.
    let status = dave.say("rec-cycling", "me too").expect("an answer");
    assert!((200..300).contains(&status), "{status}");
    for member in [&alice as &dyn Actor, &bob, &carol] {
        assert_eq!(member.next_kind(false, PATIENCE), text("dave", "me too"));
    }
    // A block made by one member binds there alone, and looks like absence to the sender.
    bob.block("dave", true).expect("ACL");
    let status = dave.say("rec-cycling", "again").expect("an answer");
    assert!((200..300).contains(&status), "{status}");
    assert_eq!(alice.next_kind(false, PATIENCE), text("dave", "again"));
    assert_eq!(carol.next_kind(false, PATIENCE), text("dave", "again"));
    assert_eq!(bob.next_kind(false, QUIET), None, "blocked");
    done(
        &server,
        &["node", "members", group, "remove", "carol@example.com"],
    );
    assert_eq!(
        done(&server, &["node", "members", group, "list"])
            .lines()
            .count(),
        2
    );
    assert_eq!(
        notify(
            &mut alice,
            group,
            "DeepOr",
            &text_to("alice", group, "last")
        ),
        200
    );
    assert_eq!(bob.next_kind(false, PATIENCE), text("alice", "last"));
    assert_eq!(carol.next_kind(false, QUIET), None, "no member any more");
    done(&server, &["node", "remove", group]);
    assert_eq!(
        notify(&mut alice, group, "DeepOr", &text_to("alice", group, "x")),
        404
    );
}

#[test]
fn a_path_of_a_pattern_becomes_a_node_by_its_first_use() {
    let mut server = Server::start(&["alice", "bob"]);
    server.stop();
    let folder = server.scratch("extra");
    let file = folder.parent().expect("the folder").join("tristack.toml");
    let text = std::fs::read_to_string(&file).expect("the configuration");
    let text = text.replace(
        "[rvp]\n",
        "[rvp]\nnode_patterns = [\"/shipments/*\"]\nnodes_per_owner = 2\n",
    );
    std::fs::write(&file, text).expect("the configuration");
    server.launch();
    let (mut alice, mut bob) = (rvp(&server, "alice"), rvp(&server, "bob"));
    let (sink, call) = (Sink::new(), |sink: &Sink| format!("http://{}", sink.at));
    // Reading is no use; other paths are no nodes.
    let wish = "<d:propfind xmlns:d=\"DAV:\"><d:allprop/></d:propfind>";
    let depth = "Depth: 0\r\nContent-Type: text/xml\r\n";
    assert_eq!(
        bob.request("PROPFIND", "/shipments/1", depth, wish)
            .expect("answer")
            .0,
        404
    );
    assert_eq!(subscribe(&mut bob, "/elsewhere/1", &call(&sink)).0, 404);
    assert_eq!(
        subscribe(&mut bob, "/shipments/1/legs", &call(&sink)).0,
        404
    );
    assert_eq!(subscribe(&mut alice, "/shipments/1", &call(&sink)).0, 200);
    assert_eq!(notify(&mut bob, "/shipments/1", "DeepOr", SHIPMENT), 200);
    assert_eq!(sink.next().1, SHIPMENT);
    // Alice owns it, bob does not.
    let patch = "<d:propertyupdate xmlns:d=\"DAV:\"><d:set><d:prop><d:displayname>Box</d:displayname>\
         </d:prop></d:set></d:propertyupdate>";
    let type_ = "Content-Type: text/xml\r\n";
    assert_eq!(
        bob.request("PROPPATCH", "/shipments/1", type_, patch)
            .expect("answer")
            .0,
        403
    );
    assert_eq!(
        alice
            .request("PROPPATCH", "/shipments/1", type_, patch)
            .expect("answer")
            .0,
        207
    );
    let found = bob
        .request("PROPFIND", "/shipments/1", depth, wish)
        .expect("answer")
        .2;
    assert!(
        found.contains("<d:displayname>Box</d:displayname>"),
        "{found}"
    );
    // At most two.
    assert_eq!(subscribe(&mut alice, "/shipments/2", &call(&sink)).0, 200);
    assert_eq!(subscribe(&mut alice, "/shipments/3", &call(&sink)).0, 403);
    assert_eq!(subscribe(&mut bob, "/shipments/3", &call(&sink)).0, 200);
    server.kill_and_restart();
    assert_eq!(notify(&mut bob, "/shipments/1", "DeepOr", SHIPMENT), 200);
    assert_eq!(sink.next().1, SHIPMENT);
}

#[test]
fn a_registered_target_gets_signed_notifications_and_what_it_missed() {
    let mut server = Server::start(&["alice", "bob"]);
    done(&server, &["node", "add", "/devices/7"]);
    let sink = Sink::new();
    let secret = server.scratch("secrets").join("hook");
    std::fs::write(&secret, "s3cret\n").expect("a secret");
    let url = format!("http://localhost:{}/in/Box%20A?k=V", sink.at.port());
    let secret = secret.to_string_lossy().into_owned();
    done(
        &server,
        &[
            "target",
            "add",
            "/devices/7",
            &url,
            "--secret-file",
            &secret,
        ],
    );
    let (fine, why) = tool(
        &server,
        &["target", "add", "/devices/7", "https://x.example/"],
    );
    assert!(!fine && why.contains("http://"), "{why}");
    let mut alice = rvp(&server, "alice");
    assert_eq!(notify(&mut alice, "/devices/7", "DeepAnd", SHIPMENT), 200);
    let (head, body) = sink.next();
    assert!(
        head.starts_with("NOTIFY /in/Box%20A?k=V HTTP/1.1\r\n"),
        "{head}"
    );
    assert_eq!(body, SHIPMENT);
    for wanted in [
        format!("Host: localhost:{}\r\n", sink.at.port()),
        "Tristack-Node: http://im.example.com/devices/7\r\n".to_owned(),
        "Rvp-Hop-Count: 2\r\n".to_owned(),
    ] {
        assert!(head.contains(&wanted), "{wanted} in {head}");
    }
    let value = between(&head, "Tristack-Signature: ", "\r\n").expect("a signature");
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock")
        .as_secs();
    let signed = rvp::signature::verify(b"s3cret", value, body.as_bytes(), now, 60);
    assert!(signed.is_ok(), "{value}: {signed:?}");
    // It fails for a while: the sender is told success, because it waits durably.
    sink.status.store(503, Ordering::Relaxed);
    for number in 0..3 {
        let body = SHIPMENT.replace("Rotterdam", &number.to_string());
        assert_eq!(notify(&mut alice, "/devices/7", "DeepOr", &body), 200);
    }
    assert!(sink.next().1.contains("at='0'"));
    let listed = done(&server, &["target", "list", "--json"]);
    assert!(listed.contains("\"waiting\":3"), "{listed}");
    server.kill_and_restart();
    sink.status.store(200, Ordering::Relaxed);
    let mut seen = Vec::new();
    while seen.last().map(String::as_str) != Some("2") {
        let (_, body) = sink.next();
        let number = between(&body, "at='", "'").expect("a number").to_owned();
        seen.push(number);
    }
    // In order; the first one may have been seen more often.
    seen.dedup();
    assert_eq!(seen, ["0", "1", "2"]);
    // Removing works by URL; nothing more comes, and the node has no subscriber left.
    done(&server, &["target", "remove", "/devices/7", &url]);
    let listed = done(&server, &["target", "list", "--json"]);
    assert_eq!(listed.trim(), "[]");
    assert_eq!(notify(&mut alice, "/devices/7", "DeepOr", SHIPMENT), 412);
}

fn patch(actor: &mut RvpActor, path: &str, inner: &str) -> (u16, String) {
    let body = format!(
        "<d:propertyupdate xmlns:d=\"DAV:\" xmlns:r=\"http://schemas.microsoft.com/rvp/\" \
         xmlns:s=\"urn:s\">{inner}</d:propertyupdate>"
    );
    let answer = actor.request("PROPPATCH", path, "Content-Type: text/xml\r\n", &body);
    let (status, _, body) = answer.expect("an answer");
    (status, body)
}

fn set(inner: &str) -> String {
    format!("<d:set><d:prop>{inner}</d:prop></d:set>")
}

fn find(actor: &mut RvpActor, path: &str, inner: &str) -> (u16, String) {
    let body = format!(
        "<d:propfind xmlns:d=\"DAV:\" xmlns:r=\"http://schemas.microsoft.com/rvp/\" \
         xmlns:s=\"urn:s\">{inner}</d:propfind>"
    );
    let depth = "Depth: 0\r\nContent-Type: text/xml\r\n";
    let (status, _, body) = actor
        .request("PROPFIND", path, depth, &body)
        .expect("an answer");
    (status, body)
}

#[test]
fn rvp_5_properties_of_any_name_leased_or_not_all_or_nothing() {
    let mut server = Server::start(&["alice", "bob"]);
    let path = "/groups/box";
    done(
        &server,
        &["node", "add", path, "--owner", "alice@example.com"],
    );
    let (mut alice, mut bob) = (rvp(&server, "alice"), rvp(&server, "bob"));
    let sink = Sink::new();
    let headers = format!(
        "Notification-Type: update/propchange\r\nSubscription-Lifetime: 14400\r\n\
         Call-Back: http://{}\r\n",
        sink.at
    );
    let (status, _, body) = bob
        .request("SUBSCRIBE", path, &headers, "")
        .expect("an answer");
    assert_eq!(status, 207, "{body}");
    // Any well-formed property, told to who watches.
    let thing = "<s:thing s:kind=\"a&amp;b\"><s:part>1 &lt; 2</s:part></s:thing>";
    assert_eq!(patch(&mut alice, path, &set(thing)).0, 207);
    let told = sink.next().1;
    assert!(
        told.contains("propnotification") && told.contains("1 &lt; 2"),
        "{told}"
    );
    assert!(told.contains("http://localhost/groups/box"), "{told}");
    let (status, found) = find(&mut bob, path, "<d:prop><s:thing/><s:none/></d:prop>");
    assert_eq!(status, 207);
    assert!(
        found.contains("1 &lt; 2") && found.contains("a&amp;b"),
        "{found}"
    );
    assert!(found.contains("404 Not Found"), "{found}");
    let (_, names) = find(&mut bob, path, "<d:propname/>");
    assert!(
        names.contains("thing") && !names.contains("1 &lt; 2"),
        "{names}"
    );
    // All or nothing: one is too large, nothing is changed; a state fails with the rest.
    let large = format!("<s:large>{}</s:large>", "x".repeat(17 * 1024));
    let (status, _) = patch(
        &mut alice,
        path,
        &set(&format!("<s:small>1</s:small>{large}")),
    );
    assert_eq!(status, 413);
    let (_, found) = find(&mut bob, path, "<d:prop><s:small/></d:prop>");
    assert!(found.contains("404 Not Found"), "{found}");
    let (status, body) = patch(
        &mut alice,
        "alice",
        &set(&format!("<r:state><r:busy/></r:state>{large}")),
    );
    assert_eq!(status, 207, "{body}");
    assert!(body.contains(" 413 ") && body.contains(" 424 "), "{body}");
    let (_, found) = find(&mut alice, "alice", "<d:prop><r:state/></d:prop>");
    assert!(found.contains("<r:online/>"), "{found}");
    // A node holds 256 KiB.
    let mut last = 207;
    for number in 0..17 {
        let part = format!("<s:n{number}>{}</s:n{number}>", "x".repeat(16 * 1024 - 200));
        last = patch(&mut alice, path, &set(&part)).0;
    }
    assert_eq!(last, 413);
    for number in 0..16 {
        let gone = format!("<d:remove><d:prop><s:n{number}/></d:prop></d:remove>");
        assert_eq!(patch(&mut alice, path, &gone).0, 207);
    }
    while sink.got.recv_timeout(QUIET).is_ok() {}
    // A lease falls back to its default, and that is told.
    let leased = "<s:door><r:leased-value><r:value><s:open/></r:value><r:default-value><s:shut/>\
         </r:default-value><d:timeout>1</d:timeout></r:leased-value></s:door>";
    assert_eq!(patch(&mut alice, path, &set(leased)).0, 207);
    let told = sink.next().1;
    assert!(
        told.contains("open") && !told.contains("leased-value"),
        "{told}"
    );
    let told = sink.next().1;
    assert!(told.contains("shut"), "{told}");
    server.kill_and_restart();
    let (_, found) = find(&mut bob, path, "<d:prop><s:door/></d:prop>");
    assert!(found.contains("shut") && !found.contains("open"), "{found}");
    // Removed: gone, and told as removed.
    let gone = "<d:remove><d:prop><s:thing/></d:prop></d:remove>";
    assert_eq!(patch(&mut bob, path, gone).0, 403);
    assert_eq!(patch(&mut alice, path, gone).0, 207);
    let told = sink.next().1;
    assert!(
        told.contains("<d:remove>") && told.contains("thing"),
        "{told}"
    );
    let (_, found) = find(&mut bob, path, "<d:prop><s:thing/></d:prop>");
    assert!(found.contains("404 Not Found"), "{found}");
}

fn acl(actor: &mut RvpActor, path: &str, entries: &[(&str, &str, &str)]) -> u16 {
    let one = |(who, grant, deny): &(&str, &str, &str)| {
        let principal = match *who {
            "*" => "<a:allprincipals/>".to_owned(),
            who => format!(
                "<a:rvp-principal> http://localhost/instmsg/aliases/{who} </a:rvp-principal>"
            ),
        };
        format!(
            "<a:ace><a:principal>{principal}<a:credentials><a:any/></a:credentials></a:principal>\
             <a:grant>{grant}</a:grant><a:deny>{deny}</a:deny></a:ace>"
        )
    };
    let aces: String = entries.iter().map(one).collect();
    let body = format!(
        "<a:rvpacl xmlns:a=\"http://schemas.microsoft.com/rvp/acl/\"><a:acl>\
         <a:inheritance>none</a:inheritance>{aces}</a:acl></a:rvpacl>"
    );
    let type_ = "Content-Type: text/xml\r\n";
    actor
        .request("ACL", path, type_, &body)
        .expect("an answer")
        .0
}

#[test]
fn rvp_5_acl_of_a_node_binds_every_method_and_both_stacks() {
    let server = Server::start(&["alice", "bob", "carol"]);
    let path = "/groups/club";
    done(
        &server,
        &["node", "add", path, "--owner", "alice@example.com"],
    );
    let (mut alice, mut bob) = (rvp(&server, "alice"), rvp(&server, "bob"));
    let mut carol = SipActor::udp("carol", server.sip_udp).expect("an actor");
    carol.sign_in().expect("sign-in");
    let sink = Sink::new();
    let call = format!("http://{}", sink.at);
    assert_eq!(subscribe(&mut bob, path, &call).0, 200);
    // Only the owner writes the list.
    assert_eq!(acl(&mut bob, path, &[]), 403);
    assert_eq!(
        acl(&mut alice, path, &[("bob", "", "<a:receive-from/>")]),
        200
    );
    // He subscribed before, and gets nothing more; nor can he subscribe again.
    assert_eq!(notify(&mut alice, path, "DeepOr", SHIPMENT), 412);
    assert_eq!(subscribe(&mut bob, path, &call).0, 403);
    // Said openly, because a node is no person; a specific entry beats one for everybody.
    let list = [
        ("*", "", "<a:send-to/>"),
        ("bob", "<a:send-to/><a:receive-from/>", ""),
    ];
    assert_eq!(acl(&mut alice, path, &list), 200);
    assert_eq!(notify(&mut bob, path, "DeepOr", SHIPMENT), 200);
    assert_eq!(sink.next().1, SHIPMENT);
    assert_eq!(carol.say("club", "let me in"), Ok(403));
    // Without `list` the node is not there.
    assert_eq!(acl(&mut alice, path, &[("bob", "", "<a:list/>")]), 200);
    assert_eq!(notify(&mut bob, path, "DeepOr", SHIPMENT), 404);
    assert_eq!(find(&mut bob, path, "<d:allprop/>").0, 404);
    assert_eq!(subscribe(&mut bob, path, &call).0, 404);
    // Credentials have to be named.
    let bare = "<a:rvpacl xmlns:a=\"http://schemas.microsoft.com/rvp/acl/\"><a:acl><a:ace>\
         <a:principal><a:allprincipals/></a:principal><a:grant><a:all/></a:grant></a:ace></a:acl></a:rvpacl>";
    let type_ = "Content-Type: text/xml\r\n";
    assert_eq!(
        alice
            .request("ACL", path, type_, bare)
            .expect("an answer")
            .0,
        400
    );
    // What is written is read again.
    let (status, _, read) = alice.request("ACL", path, "", "").expect("an answer");
    assert_eq!(status, 200);
    assert!(
        read.contains("<a:list/>") && read.contains("aliases/bob"),
        "{read}"
    );
}

#[test]
fn rvp_2_ack_types_over_rvp_inboxes_and_sip_points() {
    let server = Server::start(&["alice", "bob"]);
    let mut alice = rvp(&server, "alice");
    let (mut one, mut two) = (rvp(&server, "bob"), rvp(&server, "bob"));
    let mut phone = SipActor::tcp("bob", server.sip_tcp).expect("an actor");
    phone.sign_in().expect("sign-in");
    let mut send = |ack: &str, text: &str| {
        notify(
            &mut alice,
            "bob",
            ack,
            &text_to("alice", "/instmsg/aliases/bob", text),
        )
    };
    // (first inbox, second inbox, SIP point): what each type answers.
    for (answers, or, and) in [
        ([200, 200, 200], 200, 200),
        ([404, 200, 200], 200, 404),
        ([404, 404, 200], 200, 404),
        ([200, 200, 480], 200, 412),
        ([500, 500, 480], 500, 500),
        ([413, 500, 480], 413, 413),
        ([480, 480, 480], 412, 412),
    ] {
        one.answer_with(answers[0]);
        two.answer_with(answers[1]);
        phone.answer_with(answers[2]);
        assert_eq!(send("DeepOr", "or"), or, "DeepOr {answers:?}");
        assert_eq!(send("DeepAnd", "and"), and, "DeepAnd {answers:?}");
        assert_eq!(send("SingleHop", "hop"), 200, "SingleHop {answers:?}");
    }
    // Nobody of one kind is left: the others decide.
    phone.answer_with(200);
    phone.sign_out().expect("sign-out");
    (one.answer_with(200), two.answer_with(500));
    assert_eq!(send("DeepOr", "or"), 200);
    assert_eq!(send("DeepAnd", "and"), 500, "has left is passed through");
}

#[test]
fn rvp_2_hops_are_counted_and_limited() {
    let server = Server::start(&["alice", "bob"]);
    let (mut alice, sink) = (rvp(&server, "alice"), Sink::new());
    let mut bob = RvpActor::new("bob", server.rvp, Encoding::Characters).expect("an actor");
    assert_eq!(
        subscribe(&mut bob, "bob", &format!("http://{}", sink.at)).0,
        200
    );
    let body = text_to("alice", "/instmsg/aliases/bob", "x");
    for (hops, status) in [
        ("1", 200),
        ("5", 200),
        ("32", 200),
        ("33", 412),
        ("4294967295", 412),
    ] {
        let headers = format!("RVP-Hop-Count: {hops}\r\nContent-Type: text/xml\r\n");
        let got = alice
            .request("NOTIFY", "bob", &headers, &body)
            .expect("an answer")
            .0;
        assert_eq!(got, status, "{hops}");
        if status == 200 {
            let next = hops.parse::<u32>().expect("a number") + 1;
            let head = sink.next().0;
            assert!(
                head.contains(&format!("Rvp-Hop-Count: {next}\r\n")),
                "{head}"
            );
        }
    }
}
