//! Properties and access lists.

use crate::house::*;
use crate::support::actor::{Actor, RvpActor, SipActor};
use crate::support::server::Server;

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
