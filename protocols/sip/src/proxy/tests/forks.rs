//! Forking tables (RFC 3261 16.6, 16.7, 16.10; RFC 5393 5).

use super::*;

#[test]
fn equal_preferences_ring_together_and_one_answer_stops_the_rest() {
    let mut bench = Bench::fork("INVITE", vec![target(10, 500), target(11, 500)]);
    assert_eq!(
        (bench.count(10, "INVITE"), bench.count(11, "INVITE")),
        (1, 1)
    );
    bench.answer(10, 100);
    bench.answer(10, 180);
    bench.answer(11, 180);
    assert_eq!(bench.heard(), [180, 180], "a 100 is for one hop");
    bench.answer(11, 200);
    assert_eq!(bench.heard(), [180, 180, 200]);
    assert_eq!(
        (bench.count(10, "CANCEL"), bench.count(11, "CANCEL")),
        (1, 0)
    );
    bench.answer_to(10, "CANCEL", 200, "");
    bench.answer(10, 487);
    assert_eq!(
        bench.count(10, "ACK"),
        1,
        "failures are acknowledged hop by hop"
    );
    assert_eq!(bench.heard(), [180, 180, 200]);
    let ended = &bench.ended[0];
    assert_eq!((ended.status, ended.branches, ended.held), (200, 2, "held"));
    bench.rest();
    assert_eq!(bench.ended.len(), 1);
}

#[test]
fn a_branch_is_cancelled_only_once_it_has_spoken() {
    let mut bench = Bench::fork("INVITE", vec![target(10, 0), target(11, 0)]);
    bench.answer(11, 200);
    assert_eq!(
        bench.count(10, "CANCEL"),
        0,
        "9.1: not before a provisional"
    );
    bench.answer(10, 180);
    assert_eq!(bench.count(10, "CANCEL"), 1);
    assert_eq!(bench.heard(), [200], "no provisional behind the answer");
    bench.answer(10, 487);
    bench.rest();
}

#[test]
fn lower_preferences_are_tried_after_the_higher_have_failed() {
    let targets = vec![target(12, 100), target(10, 1000), target(11, 900)];
    let mut bench = Bench::fork("INVITE", targets);
    assert_eq!(
        (bench.count(11, "INVITE"), bench.count(12, "INVITE")),
        (0, 0)
    );
    bench.answer(10, 486);
    assert_eq!(
        (bench.count(11, "INVITE"), bench.count(12, "INVITE")),
        (1, 0)
    );
    bench.answer(11, 404);
    bench.answer(12, 480);
    assert_eq!(bench.heard(), [486], "the earliest of equals");
    bench.rest();
}

#[test]
fn who_rings_without_end_makes_room_for_the_next() {
    let mut bench = Bench::fork("INVITE", vec![target(10, 1000), target(11, 1)]);
    bench.answer(10, 180);
    bench.pass(19_999);
    assert_eq!(bench.count(10, "CANCEL"), 0);
    bench.pass(1);
    assert_eq!(bench.count(10, "CANCEL"), 1);
    bench.answer_to(10, "CANCEL", 200, "");
    assert_eq!(bench.count(11, "INVITE"), 0, "not before it has ended");
    bench.answer(10, 487);
    assert_eq!(bench.count(11, "INVITE"), 1);
    bench.answer(11, 200);
    assert_eq!(bench.last_heard().status(), Some(200));
    bench.rest();
}

#[test]
fn a_global_failure_stops_everybody_and_wins() {
    let targets = vec![target(10, 9), target(11, 9), target(12, 1)];
    let mut bench = Bench::fork("INVITE", targets);
    bench.answer(11, 180);
    bench.answer(10, 603);
    assert_eq!(bench.count(11, "CANCEL"), 1);
    assert_eq!(bench.heard(), [180], "not before the others have ended");
    bench.answer(11, 487);
    assert_eq!(bench.heard(), [180, 603]);
    assert_eq!(bench.count(12, "INVITE"), 0, "nobody else is asked");
    bench.rest();
}

#[test]
fn what_comes_back_for_what_the_branches_said() {
    for (answers, back) in [
        (&[486, 404][..], 486),
        (&[503, 503], 500),
        (&[503, 480], 480),
        (&[302, 486], 302),
        (&[301, 302], 301),
        (&[404, 407], 407),
        (&[600, 302], 600),
        (&[500, 420], 420),
        (&[422, 486], 422),
    ] {
        for method in ["INVITE", "MESSAGE", "INFO", "REFER", "X-NEW"] {
            let mut bench = Bench::fork(method, vec![target(10, 5), target(11, 5)]);
            for (port, status) in [10, 11].into_iter().zip(answers) {
                bench.answer(port, *status);
            }
            assert_eq!(bench.heard(), [back], "{method} {answers:?}");
            assert_eq!(bench.ended[0].cause, Cause::Answered);
            if method == "INVITE" {
                bench.acknowledge();
            }
            bench.rest();
        }
    }
}

#[test]
fn challenges_of_all_branches_go_back_together() {
    let targets = vec![target(10, 5), target(11, 5), target(12, 5)];
    let mut bench = Bench::fork("INVITE", targets);
    bench.answer_to(
        10,
        "INVITE",
        407,
        "Proxy-Authenticate: Digest realm=\"a\", nonce=\"1\"",
    );
    bench.answer_to(
        11,
        "INVITE",
        401,
        "WWW-Authenticate: Digest realm=\"b\", nonce=\"2\"",
    );
    bench.answer_to(
        12,
        "INVITE",
        407,
        "Proxy-Authenticate: Digest realm=\"c\", nonce=\"3\"",
    );
    let back = bench.last_heard();
    assert_eq!(back.status(), Some(407));
    let all = |id| back.all(id).map(text).collect::<Vec<_>>();
    assert_eq!(
        all(HeaderId::ProxyAuthenticate),
        [
            "Digest realm=\"a\", nonce=\"1\"",
            "Digest realm=\"c\", nonce=\"3\""
        ]
    );
    assert_eq!(
        all(HeaderId::WwwAuthenticate),
        ["Digest realm=\"b\", nonce=\"2\""]
    );
}

#[test]
fn who_cannot_be_reached_counts_as_503() {
    let mut bench = Bench::fork("INVITE", vec![target(10, 5), target(11, 5)]);
    for port in [10, 11] {
        let branch = bench.got(port, "INVITE").unwrap().clone();
        bench.lose(&branch);
    }
    assert_eq!(bench.heard(), [100, 500]);
    assert_eq!(bench.ended[0].cause, Cause::Unreached);
    bench.acknowledge();
    bench.rest();
}

#[test]
fn a_cancel_reaches_every_phone_and_the_caller_hears_487() {
    let mut bench = Bench::fork("INVITE", vec![target(10, 5), target(11, 5), target(12, 1)]);
    bench.answer(10, 180);
    bench.answer(11, 180);
    bench.cancel();
    assert_eq!(
        (bench.count(10, "CANCEL"), bench.count(11, "CANCEL")),
        (1, 1)
    );
    bench.answer(10, 487);
    assert_eq!(bench.heard(), [180, 180]);
    bench.answer(11, 487);
    assert_eq!(bench.heard(), [180, 180, 487]);
    assert_eq!(bench.count(12, "INVITE"), 0);
    assert_eq!(bench.ended[0].cause, Cause::Cancelled);
    bench.rest();
}

#[test]
fn a_phone_that_ignores_the_cancel_holds_nobody() {
    let mut bench = Bench::fork("INVITE", vec![target(10, 5)]);
    bench.answer(10, 180);
    bench.cancel();
    bench.pass(31_999);
    assert_eq!(bench.heard(), [180]);
    bench.pass(1);
    assert_eq!(bench.heard(), [180, 487]);
    bench.rest();
}

#[test]
fn an_answer_that_crosses_the_cancel_goes_back() {
    let mut bench = Bench::fork("INVITE", vec![target(10, 5)]);
    bench.answer(10, 180);
    bench.cancel();
    bench.answer(10, 200);
    assert_eq!(bench.heard(), [180, 200]);
    bench.rest();
}

#[test]
fn every_2xx_goes_back_while_the_transactions_live_and_none_after() {
    let mut bench = Bench::fork("INVITE", vec![target(10, 5), target(11, 5)]);
    bench.answer(10, 180);
    bench.answer(11, 180);
    bench.answer(10, 200);
    bench.answer(10, 200);
    assert_eq!(
        bench.heard(),
        [180, 180, 200, 200],
        "its repeats (RFC 6026)"
    );
    bench.answer(11, 200);
    assert_eq!(
        bench.heard(),
        [180, 180, 200, 200, 200],
        "that of another branch"
    );
    let tag = bench.last_heard().to().unwrap().tag().map(str::to_owned);
    assert_eq!(tag.as_deref(), Some("t11"));
    bench.pass(40_000);
    assert!(bench.is_quiet());
    bench.answer(10, 200);
    assert_eq!(
        bench.heard().len(),
        5,
        "RFC 6026 7.3: no transaction, no forwarding"
    );
}

#[test]
fn an_answer_without_a_second_via_goes_nowhere() {
    let mut bench = Bench::fork("MESSAGE", vec![target(10, 5)]);
    let request = bench.got(10, "MESSAGE").unwrap().clone();
    let via = text(request.values(HeaderId::Via).next().unwrap()).to_owned();
    let alone = read(&format!(
        "SIP/2.0 200 OK\r\nVia: {via}\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\n\
         Call-ID: call\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n"
    ));
    bench.engine.receive(bench.now, flow(10), alone).unwrap();
    bench.drain();
    assert_eq!(bench.heard(), [0_u16; 0]);
    bench.rest();
}

#[test]
fn max_breadth_is_shared_and_what_does_not_fit_waits() {
    let shares = |came: &str, count: u16| {
        let mut bench = Bench::new();
        let targets = (10..10 + count).map(|port| target(port, 5)).collect();
        let opened = bench.open(request("INVITE", came), targets);
        let sent = (10..10 + count).filter_map(|port| {
            let request = bench.got(port, "INVITE")?;
            Some(request.text(HeaderId::MaxBreadth)?.parse::<u32>().unwrap())
        });
        let sent: Vec<u32> = sent.collect();
        (opened, sent, bench)
    };
    let (_, sent, _) = shares("", 3);
    assert_eq!(sent, [20, 20, 20], "RFC 5393 5.3.1: 60 where nothing came");
    let (_, sent, _) = shares("Max-Breadth: 7\r\n", 3);
    assert_eq!(sent, [3, 2, 2]);
    let (opened, sent, _) = shares("Max-Breadth: 0\r\n", 1);
    assert_eq!((opened, sent), (Err(Unfit::Breadth), Vec::new()));
    assert_eq!(Unfit::Breadth.status(), 440);
    let (_, sent, mut bench) = shares("Max-Breadth: 2\r\n", 3);
    assert_eq!(sent, [1, 1]);
    bench.answer(10, 486);
    bench.answer(11, 486);
    assert_eq!(
        bench.count(12, "INVITE"),
        1,
        "the rest of the group comes after it"
    );
    let share = bench.got(12, "INVITE").unwrap();
    assert_eq!(
        share.text(HeaderId::MaxBreadth),
        Some("2"),
        "freed breadth is used again"
    );
}

#[test]
fn a_full_house_is_bounded() {
    let targets = (10..200).map(|port| target(port, 5)).collect();
    let bench = Bench::fork("INVITE", targets);
    let asked = (10..200)
        .filter(|port| bench.count(*port, "INVITE") == 1)
        .count();
    assert_eq!(asked, 60, "by Max-Breadth");
}

impl Bench {
    /// The caller's CANCEL.
    pub(super) fn cancel(&mut self) {
        let cancel = request("CANCEL", "");
        self.engine.receive(self.now, flow(CALLER), cancel).unwrap();
        self.drain();
    }

    /// The caller's ACK of a failure.
    pub(super) fn acknowledge(&mut self) {
        let ack = request("ACK", "");
        self.engine.receive(self.now, flow(CALLER), ack).unwrap();
        self.drain();
    }

    /// The way to a phone breaks.
    pub(super) fn lose(&mut self, request: &RawMessage) {
        let branch = request.top_via().unwrap().branch().unwrap().to_owned();
        let tx = self.client(&branch);
        self.engine.handle(self.now, Input::SendFailed { tx });
        self.drain();
    }

    /// The transaction of a branch: its repeat names it.
    fn client(&mut self, branch: &str) -> TxId {
        let end = self.now + 5_000;
        while let Some(at) = self.wake_at().filter(|at| *at <= end) {
            self.now = at;
            self.engine.handle(at, Input::Tick);
            let mut found = None;
            loop {
                match self.engine.poll() {
                    Output::Send { flow, bytes, tx } => {
                        self.sent.push((flow.peer.port(), read_octets(&bytes)));
                        if memchr::memmem::find(&bytes, branch.as_bytes()).is_some() {
                            found = Some(tx);
                        }
                    }
                    Output::Event(event) => self.event(event),
                    Output::Idle { .. } => break,
                }
            }
            if let Some(tx) = found {
                return tx;
            }
        }
        panic!("no repeat");
    }
}
