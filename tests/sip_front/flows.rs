//! Several flows of one client, and proxies on the way to it (RFC 5626, RFC 3327).

use crate::house::{ALL, House, Say, Ua};

const INSTANCE: &str = "+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\"";

fn flow(ua: &mut Ua, reg_id: u32) -> Say {
    let contact = ua.contact();
    ua.say_register(&format!(
        "Supported: outbound, path\r\nContact: <{contact}>;reg-id={reg_id};{INSTANCE};expires=600\r\n"
    ))
}

/// RFC 5626 5.3 and 6: flows of one instance are one destination; the next is tried when one has
/// failed.
#[tokio::test]
async fn flows_of_one_instance_are_tried_in_turn_never_forked() {
    let house = House::with(ALL).await;
    let mut first = house.tcp("bob").await;
    let mut second = house.tls("bob").await;
    for (ua, number) in [(&mut first, 1), (&mut second, 2)] {
        let say = flow(ua, number);
        let answer = ua.ask(&say).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.header("Require"), "outbound");
        assert_eq!(
            answer.all("Contact").len(),
            usize::try_from(number).unwrap()
        );
    }
    let mut alice = house.udp("alice").await;
    let (answer, told) = tokio::join!(alice.text("bob", "once"), second.told("200 OK"));
    assert_eq!((answer.status(), told.body.as_str()), (200, "once"));
    // A flow that its client calls failed: the other one carries it.
    let (answer, (refused, told)) = tokio::join!(alice.text("bob", "turn"), async {
        let refused = second.told("430 Flow Failed").await;
        (refused, first.told("200 OK").await)
    });
    assert_eq!((answer.status(), told.body.as_str()), (200, "turn"));
    assert_eq!(refused.header("Call-ID"), told.header("Call-ID"));
    assert_ne!(refused.header("Via"), told.header("Via"), "another branch");
    // A connection that is gone: at once, without waiting for its grace.
    let before = house.front.connections();
    drop(second);
    while house.front.connections() >= before {
        tokio::task::yield_now().await;
    }
    let (answer, told) = tokio::join!(alice.text("bob", "rest"), first.told("200 OK"));
    assert_eq!((answer.status(), told.body.as_str()), (200, "rest"));
    // The same flow again replaces its binding.
    let mut again = house.tcp("bob").await;
    let say = flow(&mut again, 2);
    let answer = again.ask(&say).await;
    assert_eq!(answer.all("Contact").len(), 2);
}

/// RFC 5626 6: what the registrar refuses and what it passes over.
#[tokio::test]
async fn only_flows_that_are_kept_are_promised() {
    let house = House::new().await;
    let mut bob = house.tcp("bob").await;
    bob.via = ";rport\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKedge";
    let say = flow(&mut bob, 1);
    assert_eq!(bob.ask(&say).await.status(), 439, "nobody keeps the flow");
    let mut say = flow(&mut bob, 1);
    say.headers += "Path: <sip:token@edge.example;lr;ob>\r\n";
    let answer = bob.ask(&say).await;
    assert_eq!(
        (answer.status(), answer.header("Require")),
        (200, "outbound")
    );
    assert_eq!(answer.header("Flow-Timer"), "", "the proxy's business");
    bob.via = ";rport";
    let contact = bob.contact();
    let two = format!(
        "Supported: outbound\r\nContact: <{contact}>;reg-id=1;{INSTANCE}, <{contact};x>;reg-id=2;{INSTANCE}\r\n"
    );
    let say = bob.say_register(&two);
    assert_eq!(bob.ask(&say).await.status(), 400);
    // Without the option tag it is a binding like any other.
    let say = bob.say_register(&format!("Contact: <{contact}>;reg-id=1;{INSTANCE}\r\n"));
    let answer = bob.ask(&say).await;
    assert_eq!((answer.status(), answer.header("Require")), (200, ""));
}

/// RFC 3327 5.3: stored with the binding, confirmed, and the route of what goes there.
#[tokio::test]
async fn the_path_of_a_registration_is_the_route_to_it() {
    let house = House::new().await;
    let mut bob = house.udp("bob").await;
    let contact = bob.contact();
    let headers = format!(
        "Supported: path\r\nRequire: path\r\nContact: <{contact}>\r\n\
         Path: <sip:inner.example;lr>, <sip:outer.example;lr>\r\nPath: <sip:third.example;lr>\r\n"
    );
    let say = bob.say_register(&headers);
    let answer = bob.ask(&say).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.all("Path").join(", "),
        "<sip:inner.example;lr>, <sip:outer.example;lr>, <sip:third.example;lr>"
    );
    let mut alice = house.udp("alice").await;
    let (answer, told) = tokio::join!(alice.text("bob", "by way"), bob.told("200 OK"));
    assert_eq!(answer.status(), 200);
    assert!(told.line.contains(&contact), "{}", told.line);
    assert_eq!(
        told.all("Route").join(", "),
        "<sip:inner.example;lr>, <sip:outer.example;lr>, <sip:third.example;lr>"
    );
    let mut say = bob.say_register(&format!("Contact: <{contact}>\r\nPath: nonsense\r\n"));
    say.call_id += "x";
    assert_eq!(bob.ask(&say).await.status(), 400);
}
