//! Challenges of other servers, which are not the caller's business (RFC 3261 22.3).

use super::*;

const ASKS: &str = "Proxy-Authenticate: Digest realm=\"b.example\", nonce=\"n\"";

fn keeping(method: &str, places: bool) -> Bench {
    let mut bench = Bench::new();
    bench.proves = true;
    bench.failover = places;
    let targets = if places {
        vec![target(10, 0), target(11, 0)]
    } else {
        vec![target(10, 0)]
    };
    bench.open(request(method, ""), targets).unwrap();
    bench
}

impl Bench {
    /// The branch that was challenged last goes out once more.
    fn prove(&mut self, value: &str) -> bool {
        let token = self.challenged.pop().expect("a challenge");
        let line = ("Proxy-Authorization", value.to_owned());
        let sent = self.proxy.again(self.now, &mut self.engine, token, line);
        self.drain();
        sent
    }

    fn give_up(&mut self) {
        let token = self.challenged.pop().expect("a challenge");
        let told = (502, "399 us \"no account\"".to_owned());
        self.proxy.unproved(self.now, &mut self.engine, token, told);
        self.drain();
    }
}

fn shown(bench: &Bench) -> Vec<String> {
    let request = bench.got(10, "INVITE").expect("the place has it");
    let values = request.all(HeaderId::ProxyAuthorization);
    values.map(|value| text(value).to_owned()).collect()
}

#[test]
fn a_challenge_is_answered_on_a_new_branch_and_the_caller_never_sees_it() {
    for places in [false, true] {
        let mut bench = keeping("INVITE", places);
        bench.answer_to(10, "INVITE", 407, ASKS);
        assert_eq!(bench.count(10, "ACK"), 1, "a failure is acknowledged");
        assert_eq!(bench.heard(), [0_u16; 0]);
        let (asked, uri) = bench.proxy.asked(bench.challenged[0]).unwrap();
        assert_eq!(asked.uri(), Some(&b"sip:bob@example.com"[..]));
        assert_eq!(uri, "sip:b10@192.0.2.1:10");
        assert_eq!(bench.proxy.held(bench.challenged[0]), Some(&mut "held"));
        assert!(bench.prove("Digest one"));
        assert_eq!(bench.count(10, "INVITE"), 2);
        assert_eq!(shown(&bench), ["Digest one"]);
        // Stale: what was shown before goes.
        bench.answer_to(10, "INVITE", 407, ASKS);
        assert!(bench.prove("Digest two"));
        assert_eq!(shown(&bench), ["Digest two"]);
        bench.answer(10, 180);
        bench.answer(10, 200);
        assert_eq!(bench.heard(), [180, 200]);
        assert_eq!(bench.count(11, "INVITE"), 0);
        assert_eq!((bench.ended[0].status, bench.ended[0].branches), (200, 1));
        bench.rest();
    }
}

#[test]
fn who_has_nothing_to_show_tells_the_caller_so_and_asks_nobody_else() {
    for method in ["INVITE", "OPTIONS", "FROB"] {
        let mut bench = keeping(method, true);
        bench.answer_to(
            10,
            method,
            401,
            "WWW-Authenticate: Digest realm=\"x\", nonce=\"n\"",
        );
        bench.give_up();
        assert_eq!(bench.heard(), [502], "{method}");
        let heard = bench.last_heard();
        assert_eq!(heard.text(HeaderId::Warning), Some("399 us \"no account\""));
        assert!(!heard.has(HeaderId::WwwAuthenticate));
        assert_eq!(bench.count(11, method), 0);
        assert_eq!(bench.ended[0].cause, Cause::Unproved);
    }
}

#[test]
fn a_call_that_was_given_up_is_not_sent_again() {
    let mut bench = keeping("INVITE", false);
    bench.answer_to(10, "INVITE", 407, ASKS);
    let server = bench.server.unwrap();
    assert!(bench.proxy.cancel(bench.now, &mut bench.engine, server));
    assert!(!bench.prove("Digest one"));
    assert_eq!(bench.count(10, "INVITE"), 1);
    // And one that was sent again can be given up.
    let mut bench = keeping("INVITE", false);
    bench.answer_to(10, "INVITE", 407, ASKS);
    assert!(bench.prove("Digest one"));
    bench.answer(10, 180);
    let server = bench.server.unwrap();
    assert!(bench.proxy.cancel(bench.now, &mut bench.engine, server));
    bench.drain();
    assert_eq!(bench.count(10, "CANCEL"), 1);
    bench.answer_to(10, "CANCEL", 200, "");
    bench.answer(10, 487);
    assert_eq!(bench.heard().last(), Some(&487));
    // Nothing is kept of requests whose challenges are passed on.
    let mut bench = Bench::fork("INVITE", vec![target(10, 0)]);
    bench.answer_to(10, "INVITE", 407, ASKS);
    assert_eq!(bench.heard(), [407]);
}
