//! Delivery as asked for: ack types and hops.

use crate::house::*;
use crate::support::actor::{Actor, Encoding, RvpActor, SipActor};
use crate::support::server::Server;

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
    one.answer_with(200);
    two.answer_with(500);
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
