//! When things happen (RFC 3261 16.2, 16.6 step 11, 16.8; RFC 4320).

use super::*;

fn heard_at(bench: &mut Bench, until: u64) -> Vec<(u64, u16)> {
    let mut seen = Vec::new();
    let mut known = bench.heard().len();
    while let Some(at) = bench.wake_at().filter(|at| *at <= until) {
        bench.now = at;
        bench.tick();
        let heard = bench.heard();
        seen.extend(heard.iter().skip(known).map(|status| (at, *status)));
        known = heard.len();
    }
    seen
}

#[test]
fn an_invite_hears_100_after_200_ms() {
    let mut bench = Bench::fork("INVITE", vec![target(10, 5)]);
    bench.pass(199);
    assert_eq!(bench.heard(), [0_u16; 0]);
    bench.pass(1);
    assert_eq!(bench.heard(), [100]);
    let mut quick = Bench::fork("INVITE", vec![target(10, 5)]);
    quick.answer(10, 180);
    quick.pass(1_000);
    assert_eq!(quick.heard(), [180], "what said something needs no 100");
}

#[test]
fn a_silent_phone_is_408_after_timer_b() {
    let mut bench = Bench::fork("INVITE", vec![target(10, 5)]);
    assert_eq!(heard_at(&mut bench, 32_000), [(200, 100), (32_000, 408)]);
    assert_eq!(bench.ended[0].cause, Cause::Silence);
    bench.acknowledge();
    bench.rest();
}

#[test]
fn timer_c_ends_a_call_that_rings_for_ever() {
    let mut bench = Bench::fork("INVITE", vec![target(10, 5)]);
    bench.answer(10, 180);
    bench.pass(184_999);
    assert_eq!(bench.count(10, "CANCEL"), 0);
    bench.pass(1);
    assert_eq!(bench.count(10, "CANCEL"), 1);
    bench.answer_to(10, "CANCEL", 200, "");
    bench.answer(10, 487);
    assert_eq!(
        bench.heard(),
        [180, 408],
        "nobody cancelled: it took too long"
    );
    assert_eq!(bench.ended[0].cause, Cause::RangTooLong);
    bench.acknowledge();
    bench.rest();
}

#[test]
fn timer_c_begins_anew_with_each_provisional_but_100() {
    let mut bench = Bench::fork("INVITE", vec![target(10, 5)]);
    bench.answer(10, 180);
    bench.pass(100_000);
    bench.answer(10, 183);
    bench.pass(184_000);
    bench.answer(10, 100);
    assert_eq!(bench.count(10, "CANCEL"), 0);
    bench.pass(1_000);
    assert_eq!(bench.count(10, "CANCEL"), 1);
}

#[test]
fn a_call_may_ring_for_an_hour_if_the_phone_says_so() {
    let mut bench = Bench::fork("INVITE", vec![target(10, 5)]);
    for _ in 0..60 {
        bench.answer(10, 180);
        bench.pass(60_000);
    }
    bench.answer(10, 200);
    assert_eq!(bench.last_heard().status(), Some(200));
    bench.rest();
}

#[test]
fn other_requests_are_never_answered_408() {
    for method in ["MESSAGE", "OPTIONS", "REFER", "BYE"] {
        let mut bench = Bench::fork(method, vec![target(10, 5), target(11, 5)]);
        bench.answer(10, 408);
        assert_eq!(heard_at(&mut bench, 100_000), [(3_500, 100)], "{method}");
        assert_eq!(bench.ended[0].status, 0);
        bench.rest();
    }
    // Another branch's word is better than nothing, while there is time.
    let mut bench = Bench::fork("MESSAGE", vec![target(10, 5), target(11, 5)]);
    bench.answer(10, 408);
    bench.answer(11, 480);
    assert_eq!(bench.heard(), [480]);
}

#[test]
fn other_requests_pass_no_provisional() {
    let mut bench = Bench::fork("UPDATE", vec![target(10, 5)]);
    bench.answer(10, 183);
    assert_eq!(bench.heard(), [0_u16; 0]);
    bench.answer(10, 200);
    bench.answer(10, 200);
    assert_eq!(bench.heard(), [200], "once");
    bench.rest();
}

#[test]
fn nothing_is_left_of_a_thousand_calls() {
    let mut bench = Bench::new();
    for n in 0..1000 {
        let wire = text(request("INVITE", "").as_bytes()).replace("call", &format!("call{n}"));
        bench
            .open(read(&wire), vec![target(10, 5), target(11, 1)])
            .unwrap();
        bench.answer(10, if n % 2 == 0 { 200 } else { 486 });
        bench.pass(10);
    }
    assert!(bench.proxy.len() <= 1000);
    bench.rest();
    assert_eq!(bench.ended.len(), 1000);
}
