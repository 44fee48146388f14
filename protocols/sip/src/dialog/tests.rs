use bytes::Bytes;

use super::*;
use crate::raw::{Datagram, Limits, frame_datagram};

pub(crate) fn read(text: &str) -> RawMessage {
    match frame_datagram(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()) {
        Ok(Datagram::Message(message)) => message,
        other => panic!("{other:?}"),
    }
}

const SUBSCRIBE: &str = "SUBSCRIBE sip:bob@example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1\r\n\
    Record-Route: <sip:p1.example;lr>, <sip:p2.example;lr>\r\n\
    From: \"Al\" <sip:alice@example.com>;tag=a\r\nTo: <sip:bob@example.com>\r\n\
    Call-ID: c1\r\nCSeq: 5 SUBSCRIBE\r\nContact: \"x\" <sip:alice@10.0.0.1;transport=tcp>;expires=9\r\n\
    Content-Length: 0\r\n\r\n";

const STAMP: Stamp<'static> = Stamp {
    via: "SIP/2.0/UDP us:5060",
    branch: "z9hG4bKn",
};

fn sent(dialog: &mut Dialog) -> RawMessage {
    let bytes = dialog.request("NOTIFY", STAMP).body(None);
    read(std::str::from_utf8(&bytes).unwrap())
}

#[test]
fn the_accepting_side() {
    let mut dialog = Dialog::accepting(&read(SUBSCRIBE), "b").unwrap();
    let notify = sent(&mut dialog);
    assert_eq!(notify.uri(), Some(&b"sip:alice@10.0.0.1;transport=tcp"[..]));
    let text = |id| notify.text(id).unwrap();
    assert_eq!(text(HeaderId::From), "<sip:bob@example.com>;tag=b");
    assert_eq!(text(HeaderId::To), "\"Al\" <sip:alice@example.com>;tag=a");
    assert_eq!(text(HeaderId::CSeq), "1 NOTIFY");
    let routes: Vec<_> = notify.values(HeaderId::Route).collect();
    assert_eq!(routes, [b"<sip:p1.example;lr>", b"<sip:p2.example;lr>"]);
    assert_eq!(dialog.next_hop(), "sip:p1.example;lr");
}

#[test]
fn the_asking_side_turns_the_routes_round() {
    let response = SUBSCRIBE
        .replace("SUBSCRIBE sip:bob@example.com SIP/2.0", "SIP/2.0 200 OK")
        .replace("To: <sip:bob@example.com>", "To: sip:bob@example.com;tag=b");
    let mut dialog = Dialog::accepted(&read(&response)).unwrap();
    let next = sent(&mut dialog);
    assert_eq!(next.text(HeaderId::CSeq), Some("6 NOTIFY"));
    assert_eq!(next.text(HeaderId::To), Some("sip:bob@example.com;tag=b"));
    assert_eq!(
        next.first(HeaderId::Route),
        Some(&b"<sip:p2.example;lr>"[..])
    );
}

#[test]
fn a_strict_router_gets_its_own_uri_in_the_request_line() {
    let strict = SUBSCRIBE.replace("<sip:p1.example;lr>", "<sip:p1.example>");
    let mut dialog = Dialog::accepting(&read(&strict), "b").unwrap();
    let next = sent(&mut dialog);
    assert_eq!(next.uri(), Some(&b"sip:p1.example"[..]));
    let routes: Vec<_> = next.values(HeaderId::Route).collect();
    assert_eq!(
        routes,
        [
            &b"<sip:p2.example;lr>"[..],
            b"<sip:alice@10.0.0.1;transport=tcp>"
        ]
    );
}

#[test]
fn order_and_target_of_later_requests() {
    let mut dialog = Dialog::accepting(&read(SUBSCRIBE), "b").unwrap();
    let again = SUBSCRIBE
        .replace(
            "To: <sip:bob@example.com>",
            "To: <sip:bob@example.com>;tag=b",
        )
        .replace("10.0.0.1;transport", "10.0.0.9;transport");
    assert!(dialog.holds(&read(&again)));
    assert!(!dialog.holds(&read(SUBSCRIBE)));
    assert_eq!(
        dialog.receive(&read(&again)),
        Err(DialogError::OutOfOrder { got: 5, last: 5 })
    );
    dialog
        .receive(&read(&again.replace("CSeq: 5", "CSeq: 6")))
        .unwrap();
    assert_eq!(&*dialog.target, "sip:alice@10.0.0.9;transport=tcp");
}

#[test]
fn no_contact_no_dialog() {
    let bare = SUBSCRIBE.replace(
        "Contact: \"x\" <sip:alice@10.0.0.1;transport=tcp>;expires=9\r\n",
        "",
    );
    assert_eq!(
        Dialog::accepting(&read(&bare), "b"),
        Err(DialogError::Header("Contact"))
    );
}

#[test]
fn nothing_in_a_value_adds_a_header() {
    let folded = SUBSCRIBE.replace("\"Al\" <sip", "\"Al\"\r\n <sip");
    let mut dialog = Dialog::accepting(&read(&folded), "b\r\nX: y").unwrap();
    let next = sent(&mut dialog);
    assert_eq!(next.named("X").count(), 0);
}

#[test]
fn saved_state_comes_back_with_a_higher_cseq() {
    let mut dialog = Dialog::accepting(&read(SUBSCRIBE), "b").unwrap();
    dialog.local_cseq = 300;
    let mut pack = Pack::default();
    dialog.pack(&mut pack);
    let back = Dialog::unpack(&mut Unpack(&pack.0)).unwrap();
    assert_eq!(back.local_cseq, 300 + RESTORE_JUMP);
    assert_eq!(
        Dialog {
            local_cseq: 300,
            ..back
        },
        dialog
    );
    for cut in 0..pack.0.len() {
        assert_eq!(
            Dialog::unpack(&mut Unpack(&pack.0[..cut])),
            Err(Corrupt),
            "{cut}"
        );
    }
}
