//! Loops and spirals (RFC 5393), tokens, routes (RFC 3261 16.3, 16.4).

use super::*;
use crate::header::Uri;

fn ends() -> Ends {
    Ends {
        caller: flow(4000),
        callee: Flow {
            transport: Transport::Tcp,
            peer: "[2001:db8::7]:5061".parse().unwrap(),
            id: 0x0102_0304_0506,
        },
        boot: 77,
        caller_abroad: false,
        callee_abroad: true,
    }
}

fn within(from: &str, to: &str, more: &str) -> RawMessage {
    read(&format!(
        "BYE sip:bob@10.1.1.1 SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:x@h>;tag={from}\r\n\
         To: <sip:y@h>;tag={to}\r\nCall-ID: c1\r\nCSeq: 2 BYE\r\n{more}Content-Length: 0\r\n\r\n"
    ))
}

#[test]
fn a_token_leads_both_ways_within_its_dialog_only() {
    let marks = Marks::new(KEY, 1);
    let token = marks.token(&ends(), b"c1", b"a1");
    assert!(Uri::parse(&format!("sip:{token}@h;lr")).is_ok());
    let forth = within("a1", "b1", "");
    assert_eq!(marks.dialog(&token, &forth), Some((ends(), Toward::Callee)));
    assert_eq!(ends().way(Toward::Callee), ends().callee);
    let abroad = [Toward::Callee, Toward::Caller].map(|toward| ends().is_abroad(toward));
    assert_eq!(abroad, [true, false]);
    let back = within("b1", "a1", "");
    assert_eq!(marks.dialog(&token, &back), Some((ends(), Toward::Caller)));
    let stranger = within("b1", "c1", "");
    assert_eq!(marks.dialog(&token, &stranger), None);
    let other = read(&text(forth.as_bytes()).replace("c1", "c2"));
    assert_eq!(marks.dialog(&token, &other), None, "another call");
    assert_eq!(Marks::new([8; 32], 1).dialog(&token, &forth), None);
    for at in 0..token.len() {
        let mut forged = token.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).unwrap();
        assert_eq!(marks.dialog(&forged, &forth), None, "{at}");
    }
    for short in ["", "AAAA", "x", "%41"] {
        assert_eq!(marks.dialog(short, &forth), None);
    }
    let udp = Ends {
        callee: flow(9),
        boot: 0,
        caller_abroad: true,
        ..ends()
    };
    let token = marks.token(&udp, b"c1", b"a1");
    assert!(token.len() < 50, "{} letters", token.len());
    assert_eq!(marks.dialog(&token, &forth), Some((udp, Toward::Callee)));
}

#[test]
fn what_looks_like_a_token_and_is_none_is_no_pass() {
    let marks = Marks::new(KEY, 1);
    let udp = Ends {
        callee: flow(9),
        boot: 0,
        ..ends()
    };
    let token = marks.token(&udp, b"c1", b"a1");
    let stray = |route: &str| {
        let bye = within("a1", "b1", &format!("Route: <sip:{route};lr>\r\n"));
        Plan::of(&bye, &marks, &|uri| uri.text.contains("@us")).stray
    };
    assert!(!stray(&format!("{token}@us")), "its own");
    let other = marks.token(&udp, b"c2", b"a1");
    assert!(stray(&format!("{other}@us")), "of another call");
    assert!(
        !stray(&format!("{other}@them")),
        "another server's business"
    );
    // Names of people, and what devices call themselves.
    assert!(!stray("alice@us"));
    assert!(!stray("6ba7b810-9dad-11d1-80b4-00c04fd430c8@us"));
}

#[test]
fn a_loop_is_known_and_a_spiral_goes_on() {
    let mut marks = Marks::new(KEY, 1);
    let first = request("INVITE", "");
    assert!(!marks.loops(&first));
    let branch = marks.branch(&first);
    let via = format!(
        "Via: SIP/2.0/UDP us;branch={branch}\r\nVia: SIP/2.0/UDP other;branch=z9hG4bK9\r\n"
    );
    let again = |text: &str| read(&text.replacen("Via:", &format!("{via}Via:"), 1));
    let wire = text(first.as_bytes());
    assert!(marks.loops(&again(wire)));
    assert_eq!(check(&again(wire), &marks, &[]), Err(Unfit::Loop));
    for (from, to) in [
        ("sip:bob@example.com SIP", "sip:carol@example.com SIP"),
        ("CSeq: 1", "Route: <sip:p;lr>\r\nCSeq: 1"),
        ("tag=a1", "tag=a2"),
        ("CSeq: 1", "CSeq: 2"),
        ("Call-ID: call", "Call-ID: other"),
    ] {
        assert!(
            !marks.loops(&again(&wire.replace(from, to))),
            "{to}: a spiral"
        );
    }
    let own = "Max-Forwards: 19\r\nX: y";
    assert!(marks.loops(&again(&wire.replace("Max-Forwards: 20", own))));
    // A branch that somebody made up, or another server's, says nothing.
    let forged = again(wire);
    let forged =
        text(forged.as_bytes()).replace(&branch, &format!("{}0", &branch[..branch.len() - 1]));
    let same = forged.contains(&branch);
    assert!(same || !marks.loops(&read(&forged)));
    assert!(!Marks::new([1; 32], 1).loops(&again(wire)));
    let (a, b) = (marks.branch(&first), marks.branch(&first));
    assert_ne!(a, b);
    assert_ne!(
        Marks::new(KEY, 2).branch(&first),
        Marks::new(KEY, 3).branch(&first)
    );
}

#[test]
fn checks_come_in_their_order() {
    let marks = Marks::new(KEY, 1);
    let of = |from: &str, to: &str| {
        let wire = request(
            "INVITE",
            "Proxy-Require: a, known, b\r\nRequire: 100rel\r\n",
        );
        check(
            &read(&text(wire.as_bytes()).replace(from, to)),
            &marks,
            &["known"],
        )
    };
    assert_eq!(of("", ""), Err(Unfit::Extension("a, b".to_owned())));
    assert_eq!(
        of(": a, known, b", ": KNOWN"),
        Ok(()),
        "Require is not for proxies"
    );
    assert_eq!(of("Max-Forwards: 20", "Max-Forwards: 0"), Err(Unfit::Hops));
    assert_eq!(
        of("Max-Forwards: 20\r\n", "Proxy-Require: known\r\n"),
        Err(Unfit::Extension("a, b".to_owned()))
    );
    assert_eq!(of("INVITE", "ACK"), Ok(()), "nobody may answer it");
    let statuses = [Unfit::Hops, Unfit::Loop, Unfit::Extension(String::new())].map(|u| u.status());
    assert_eq!(statuses, [483, 482, 420]);
}

#[test]
fn our_own_routes_come_off() {
    let marks = Marks::new(KEY, 1);
    let token = marks.token(&ends(), b"c1", b"a1");
    let here = |uri: &Uri<'_>| uri.host_text() == "us.example";
    let plan = |more: &str| Plan::of(&within("a1", "b1", more), &marks, &here);
    let dialog = Some((ends(), Toward::Callee));

    let none = plan("");
    assert_eq!(
        (none.uri.as_str(), none.popped, none.onward, none.dialog),
        ("sip:bob@10.1.1.1", 0, 0, None)
    );
    // An outbound proxy set by hand.
    let preset = plan("Route: <sip:us.example;lr>\r\n");
    assert_eq!((preset.popped, preset.onward, preset.dialog), (1, 0, None));
    // Ours twice, another's behind.
    let twice = format!(
        "Route: <sip:{token}@us.example;lr>, <sip:{token}@other.if;transport=tcp;lr>\r\nRoute: <sip:far;lr>\r\n"
    );
    let twice = plan(&twice);
    assert_eq!((twice.popped, twice.onward, twice.dialog), (2, 1, dialog));
    // Another's on top: not ours to take.
    let other = plan("Route: <sip:far;lr>, <sip:us.example;lr>\r\n");
    assert_eq!((other.popped, other.onward), (0, 2));
    // A token of nobody's, at our address.
    let forged = plan("Route: <sip:nonsense@us.example;lr>\r\n");
    assert_eq!((forged.popped, forged.dialog), (0, None));
}

#[test]
fn what_a_strict_router_did_is_undone() {
    let marks = Marks::new(KEY, 1);
    let token = marks.token(&ends(), b"c1", b"a1");
    let wire = within(
        "a1",
        "b1",
        "Route: <sip:far;lr>, <sip:bob@10.1.1.1;x=y>\r\n",
    );
    let strict = read(&text(wire.as_bytes()).replacen(
        "sip:bob@10.1.1.1 ",
        &format!("sip:{token}@us;lr "),
        1,
    ));
    let plan = Plan::of(&strict, &marks, &|_| false);
    assert_eq!(plan.uri, "sip:bob@10.1.1.1;x=y");
    assert_eq!((plan.restored, plan.onward, plan.popped), (true, 1, 0));
    let target = Target {
        uri: plan.uri.clone(),
        record: Vec::new(),
        lines: Vec::new(),
        ..target(10, 0)
    };
    let onward = Onward {
        request: &strict,
        plan: &plan,
        source: flow(1).peer,
        realms: &[],
        strip: &[],
        breadth: None,
    };
    let sent = read_octets(&onward.to(&target, "z9hG4bKx"));
    assert_eq!(sent.uri().map(text), Some("sip:bob@10.1.1.1;x=y"));
    let routes: Vec<_> = sent.values(HeaderId::Route).map(text).collect();
    assert_eq!(routes, ["<sip:far;lr>"]);
}
