//! Sinks, distribution lists, first use.

use crate::house::*;
use crate::support::actor::{Actor, Heard, SipActor};
use crate::support::server::Server;

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
fn rvp_1_a_distribution_list_reaches_members_on_both_stacks_once() {
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
