//! Places of one server (RFC 3263 4.3): one after the other, and only where one fails as a place.

use super::*;

fn three() -> Vec<Target> {
    vec![target(10, 0), target(11, 0), target(12, 0)]
}

fn branch(bench: &Bench, port: u16, method: &str) -> String {
    let request = bench.got(port, method).expect("the place has it");
    let via = request.values(HeaderId::Via).next().unwrap();
    let via = crate::header::Via::parse(via).unwrap();
    text(via.branch().unwrap().as_bytes()).to_owned()
}

#[test]
fn rfc_3263_4_3_an_overloaded_place_is_left_for_the_next_with_a_new_branch() {
    for method in ["INVITE", "OPTIONS", "FROB"] {
        let mut bench = Bench::places(method, three());
        assert_eq!(bench.count(11, method), 0, "one at a time");
        bench.answer(10, 503);
        assert_eq!((bench.count(11, method), bench.count(12, method)), (1, 0));
        assert_ne!(branch(&bench, 10, method), branch(&bench, 11, method));
        bench.answer(11, 200);
        assert_eq!(bench.heard(), [200]);
        assert_eq!(bench.count(12, method), 0);
        assert_eq!((bench.ended[0].status, bench.ended[0].branches), (200, 2));
    }
}

#[test]
fn what_a_place_answers_is_the_answer() {
    for status in [302, 404, 408, 486, 500, 603] {
        let mut bench = Bench::places("INVITE", three());
        bench.answer(10, status);
        assert_eq!(bench.heard(), [status]);
        assert_eq!(bench.count(11, "INVITE"), 0, "{status}");
    }
    // The last place that was tried counts, not the best of all.
    let mut bench = Bench::places("INVITE", three());
    bench.pass(5_000);
    bench.answer(11, 500);
    assert_eq!(bench.heard(), [100, 500]);
}

#[test]
fn rfc_4321_2_a_silent_place_is_left_after_five_seconds_and_the_last_has_its_whole_time() {
    let mut bench = Bench::places("INVITE", three());
    bench.pass(4_999);
    assert_eq!(bench.count(11, "INVITE"), 0);
    bench.pass(1);
    assert_eq!(bench.count(11, "INVITE"), 1);
    bench.pass(5_000);
    assert_eq!(bench.count(12, "INVITE"), 1);
    bench.pass(31_999);
    assert_eq!(bench.heard(), [100]);
    bench.pass(1);
    assert_eq!(bench.heard(), [100, 408], "timer B of the last one");
    assert_eq!(bench.ended[0].cause, Cause::Silence);
    bench.acknowledge();
    bench.rest();
    // RFC 4320 4.2: no 408 to others.
    let mut bench = Bench::places("OPTIONS", three());
    bench.pass(60_000);
    assert_eq!(bench.count(12, "OPTIONS").min(1), 1);
    assert!(bench.heard().iter().all(|status| *status < 200));
    assert_eq!(bench.ended[0].cause, Cause::Abandoned);
    bench.rest();
}

#[test]
fn a_place_that_says_something_has_time_to_ring() {
    for first in [100, 180] {
        let mut bench = Bench::places("INVITE", three());
        bench.answer(10, first);
        bench.pass(60_000);
        assert_eq!(bench.count(11, "INVITE"), 0, "{first}");
        bench.answer(10, 503);
        assert_eq!(bench.count(11, "INVITE"), 1, "it failed after all");
    }
}

#[test]
fn a_place_that_was_left_and_speaks_late_is_stopped_and_its_answer_still_counts() {
    let mut bench = Bench::places("INVITE", three());
    bench.pass(5_000);
    assert_eq!(bench.count(10, "CANCEL"), 0, "9.1: nothing said yet");
    bench.answer(10, 180);
    assert_eq!(bench.count(10, "CANCEL"), 1);
    // It was taken up there before the CANCEL came.
    bench.answer(10, 200);
    assert_eq!(bench.heard().last(), Some(&200));
    bench.answer(11, 180);
    assert_eq!(bench.count(11, "CANCEL"), 1, "one call is enough");
}

#[test]
fn a_place_out_of_reach_is_left_at_once_and_a_cancelled_call_goes_nowhere_else() {
    let mut bench = Bench::places("INVITE", three());
    let first = bench.got(10, "INVITE").unwrap().clone();
    bench.lose(&first);
    assert_eq!(bench.count(11, "INVITE"), 1);
    bench.answer(11, 180);
    let server = bench.server.unwrap();
    assert!(bench.proxy.cancel(bench.now, &mut bench.engine, server));
    bench.drain();
    bench.answer_to(11, "CANCEL", 200, "");
    bench.answer(11, 487);
    assert_eq!(bench.heard().last(), Some(&487));
    assert_eq!(bench.count(12, "INVITE"), 0);
}

#[test]
fn what_we_say_of_the_caller_is_ours_and_not_what_he_wrote() {
    let mut place = target(10, 0);
    place.lines = vec![
        ("P-Asserted-Identity", "<sip:alice@example.com>".to_owned()),
        ("X-Passed", "us".to_owned()),
    ];
    let mut bench = Bench::new();
    let forged = "P-Asserted-Identity: <sip:boss@example.com>\r\nX-Passed: them\r\n";
    bench.open(request("INVITE", forged), vec![place]).unwrap();
    let request = bench.got(10, "INVITE").unwrap();
    let asserted: Vec<_> = request.all(HeaderId::PAssertedIdentity).map(text).collect();
    assert_eq!(asserted, ["<sip:alice@example.com>"]);
    let passed: Vec<_> = request.named("X-Passed").map(text).collect();
    assert_eq!(passed, ["them", "us"]);
}
