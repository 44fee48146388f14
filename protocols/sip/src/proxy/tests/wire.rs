//! The octets that go on: only what must change does (RFC 3261 16.6, 16.7; RFC 3327, 3581, 5658).

use super::*;
use crate::header::{NameAddr, Uri};

const INVITE: &str = "INVITE sip:bob@example.com SIP/2.0\r\nX-First:  odd \t spacing\r\n\
    v: SIP/2.0/UDP 10.0.0.9:5070;rport;branch=z9hG4bK1 ,SIP/2.0/TCP far\r\nrecord-route: <sip:p2;lr>\r\n\
    Max-Forwards:   20\r\nf: \"Älice\" <sip:alice@example.com>;tag=a1\r\nt: <sip:bob@example.com>\r\n\
    Call-ID: call\r\nCSeq: 1 INVITE\r\nProxy-Authorization: Digest username=\"alice\", realm=\"example.com\", nonce=\"x,\\\"y\"\r\n\
    Authorization: Digest username=\"alice\", realm=\"pbx.example\", nonce=\"1\"\r\nSession-Expires: 1800;refresher=uac\r\n\
    Min-SE: 90\r\nSupported: timer, 100rel\r\nP-Asserted-Identity: <sip:boss@example.com>\r\nRoute: <sip:us;lr>\r\n\
    X-Odd;: kept\r\nc: application/sdp\r\nl: 21\r\n\r\nv=0\r\nm=audio 9 X 0\r\n\0";

fn onward(request: &RawMessage, popped: usize, target: &Target) -> String {
    let here = |uri: &Uri<'_>| uri.host_text() == "us";
    let plan = Plan::of(request, &Marks::new(KEY, 1), &here);
    assert_eq!(plan.popped, popped);
    let realms = ["example.com".to_owned()];
    let onward = Onward {
        request,
        plan: &plan,
        source: "192.0.2.1:1234".parse().unwrap(),
        realms: &realms,
        strip: &[HeaderId::PAssertedIdentity],
        breadth: Some(60),
    };
    text(&onward.to(target, "z9hG4bKours")).to_owned()
}

#[test]
fn a_request_changes_where_it_must_and_nowhere_else() {
    let source = INVITE.replace("X-Odd;: kept", "X-Odd: kept, \"as, is\"");
    let sent = onward(&read(&source), 1, &target(10, 0));
    let expected = source
        .replacen("sip:bob@example.com", "sip:b10@192.0.2.1:10", 1)
        .replacen("v: SIP/2.0/UDP 10.0.0.9:5070;rport;branch=z9hG4bK1 ,",
            "Via: SIP/2.0/UDP 192.0.2.99:5060;branch=z9hG4bKours;rport\r\nv: SIP/2.0/UDP 10.0.0.9:5070;branch=z9hG4bK1;received=192.0.2.1;rport=1234 ,", 1)
        .replacen("record-route:", "Record-Route: <sip:token@192.0.2.99;lr>\r\nrecord-route:", 1)
        .replacen("Max-Forwards:   20", "Max-Forwards:   19", 1)
        .replacen("Proxy-Authorization: Digest username=\"alice\", realm=\"example.com\", nonce=\"x,\\\"y\"\r\n", "", 1)
        .replacen("P-Asserted-Identity: <sip:boss@example.com>\r\n", "", 1)
        .replacen("Route: <sip:us;lr>\r\n", "", 1)
        .replacen("l: 21\r\n", "l: 21\r\nMax-Breadth: 60\r\n", 1);
    assert_eq!(sent, expected);
}

#[test]
fn a_path_goes_on_top_and_a_strict_router_gets_what_it_expects() {
    let plain = read(
        &INVITE
            .replace("X-Odd;: kept\r\n", "")
            .replace("Route: <sip:us;lr>", "Route: <sip:us;lr>, <sip:later;lr>"),
    );
    let mut with_path = target(10, 0);
    with_path.routes = vec!["<sip:edge1;lr>".to_owned(), "<sip:edge2;lr>".to_owned()];
    let routes = |sent: &str| {
        let sent = read(sent);
        let routes = sent.values(HeaderId::Route).map(|r| text(r).to_owned());
        (
            text(sent.uri().unwrap()).to_owned(),
            routes.collect::<Vec<_>>(),
        )
    };
    let (uri, list) = routes(&onward(&plain, 1, &with_path));
    assert_eq!(uri, "sip:b10@192.0.2.1:10");
    assert_eq!(list, ["<sip:edge1;lr>", "<sip:edge2;lr>", "<sip:later;lr>"]);
    // 16.6 step 6: the next hop knows no lr.
    with_path.routes = vec!["<sip:old;x>".to_owned(), "<sip:edge2;lr>".to_owned()];
    let (uri, list) = routes(&onward(&plain, 1, &with_path));
    assert_eq!(uri, "sip:old;x");
    assert_eq!(
        list,
        ["<sip:edge2;lr>", "<sip:later;lr>", "<sip:b10@192.0.2.1:10>"]
    );
    let strict = read(&text(plain.as_bytes()).replace("<sip:later;lr>", "<sip:later>"));
    let (uri, list) = routes(&onward(&strict, 1, &target(10, 0)));
    assert_eq!(uri, "sip:later");
    assert_eq!(list, ["<sip:b10@192.0.2.1:10>"]);
}

#[test]
fn two_record_routes_stand_in_order() {
    let mut twice = target(10, 0);
    twice.record = vec![
        "<sip:t@out;transport=tcp;lr>".to_owned(),
        "<sip:t@in;lr>".to_owned(),
    ];
    let sent = read(&onward(
        &read(&INVITE.replace("X-Odd;: kept\r\n", "")),
        1,
        &twice,
    ));
    let list: Vec<_> = sent.values(HeaderId::RecordRoute).map(text).collect();
    assert_eq!(
        list,
        [
            "<sip:t@out;transport=tcp;lr>",
            "<sip:t@in;lr>",
            "<sip:p2;lr>"
        ]
    );
    for value in sent.values(HeaderId::RecordRoute) {
        assert!(NameAddr::parse(value).unwrap().uri.param("lr").is_some());
    }
}

#[test]
fn what_an_old_client_leaves_out_is_added() {
    let old = "INFO sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:1234\r\nFrom: <sip:a@b>\r\n\
        To: <sip:bob@example.com>\r\nCall-ID: c\r\nCSeq: 1 INFO\r\n\r\nbody";
    let mut plain = target(10, 0);
    plain.record.clear();
    let sent = read(&onward(&read(old), 0, &plain));
    assert_eq!(sent.text(HeaderId::MaxForwards), Some("70"));
    assert_eq!(sent.text(HeaderId::ContentLength), Some("4"));
    assert_eq!(sent.body(), b"body");
}

#[test]
fn a_response_loses_our_via_only() {
    let response = "SIP/2.0 200 Gut so\r\nVia: SIP/2.0/UDP us;branch=z9hG4bK2,  SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1\r\n\
        x-any: \u{e4}\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\
        Record-Route: <sip:token@us;lr>\r\nSession-Expires: 1800\r\nl: 4\r\n\r\n\0\x01\r\n";
    let sent = back(&read(response)).unwrap();
    assert_eq!(
        text(&sent),
        response.replace("SIP/2.0/UDP us;branch=z9hG4bK2,  ", "")
    );
    let alone = response.replace(",  SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1", "");
    assert_eq!(back(&read(&alone)), None);
}

#[test]
fn an_ack_is_the_same_each_time() {
    let proxy: Proxy<()> = Proxy::new(
        Settings::default(),
        Marks::new(KEY, 1),
        Vec::new(),
        Vec::new(),
    );
    let ack = request("ACK", "");
    let plan = Plan::of(&ack, proxy.marks(), &|_| false);
    let send = |ack: &RawMessage| proxy.acknowledge(ack, &plan, flow(1).peer, &target(10, 0));
    assert_eq!(send(&ack), send(&ack));
    let next = read(&text(ack.as_bytes()).replace("z9hG4bKcaller", "z9hG4bKnext"));
    assert_ne!(
        read_octets(&send(&ack)).top_via().unwrap().branch(),
        read_octets(&send(&next)).top_via().unwrap().branch()
    );
}

#[test]
fn dialogs_are_recorded_and_what_makes_none_is_not() {
    for method in ["INVITE", "SUBSCRIBE", "REFER", "NOTIFY", "UPDATE", "X-NEW"] {
        assert!(
            records(&Method::parse(method.as_bytes()).unwrap()),
            "{method}"
        );
    }
    for method in [
        "MESSAGE", "OPTIONS", "BYE", "ACK", "CANCEL", "INFO", "PRACK", "PUBLISH", "REGISTER",
    ] {
        assert!(
            !records(&Method::parse(method.as_bytes()).unwrap()),
            "{method}"
        );
    }
}
