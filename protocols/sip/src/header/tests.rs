use super::*;
use crate::raw::{Datagram, Limits, RawMessage, frame_datagram};
use bytes::Bytes;

fn uri(text: &str) -> Uri<'_> {
    Uri::parse(text).unwrap_or_else(|_| panic!("{text}"))
}

fn with(headers: &str) -> RawMessage {
    let text = format!("OPTIONS sip:a SIP/2.0\r\n{headers}\r\n");
    match frame_datagram(Bytes::from(text), &Limits::default()) {
        Ok(Datagram::Message(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn uris_fall_into_parts() {
    let u = uri("sips:a%40b;x=1:pw@[2001:db8::10]:5070;transport=TCP;lr?Subject=x");
    assert_eq!(
        (u.scheme, u.user, u.password, u.port()),
        (Scheme::Sips, Some("a%40b;x=1"), Some("pw"), Some(5070))
    );
    assert_eq!(u.user_decoded().as_deref(), Some("a@b;x=1"));
    assert_eq!(
        (u.host_text(), u.headers()),
        ("[2001:db8::10]", "Subject=x")
    );
    assert_eq!(
        (u.param("Transport"), u.param("lr"), u.param("maddr")),
        (Some(Some("TCP")), Some(None), None)
    );
    assert_eq!(uri("tel:+1234").scheme, Scheme::Tel);
    assert_eq!(uri("soap.beep://h:1").scheme, Scheme::Other);
    assert_eq!(
        uri("sip:u@[2001:db8:::192.0.2.1]").host,
        uri("sip:u@[2001:db8::192.0.2.1]").host.map(|mut h| {
            h.text = "[2001:db8:::192.0.2.1]";
            h
        })
    );
}

#[test]
fn bad_uris_are_refused() {
    for bad in [
        "",
        "sip",
        "sip:",
        "<sip:a@b>",
        "sip:a b@c",
        "sip:2001:db8::10",
        "sip:a@b:99999",
        "sip:a@b:",
        "sip:@b",
        "sip:a%4@b",
        "sip:a%zz@b",
        "sip:a@",
        "sip:a@b;;x",
        "sip:a@b;=x",
        "sip:a@[::1",
        "sip:a@b\r\n",
        "sip:a@b\"",
        "1:x",
    ] {
        assert!(Uri::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn uris_compare_by_rfc_3261_19_1_4() {
    let same = [
        (
            "sip:%61lice@atlanta.com;transport=TCP",
            "sip:alice@AtlanTa.CoM;Transport=tcp",
        ),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        (
            "sip:carol@chicago.com;security=on",
            "sip:carol@chicago.com;newparam=5",
        ),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
    ];
    for (a, b) in same {
        assert!(
            uri(a).equivalent(&uri(b)) && uri(b).equivalent(&uri(a)),
            "{a} = {b}"
        );
    }
    let differ = [
        (
            "SIP:ALICE@AtLanTa.CoM;Transport=udp",
            "sip:alice@AtLanTa.CoM;Transport=UDP",
        ),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        (
            "sip:bob@biloxi.com",
            "sip:bob@biloxi.com:6000;transport=tcp",
        ),
        (
            "sip:carol@chicago.com",
            "sip:carol@chicago.com?Subject=next%20meeting",
        ),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        (
            "sip:carol@chicago.com;security=on",
            "sip:carol@chicago.com;security=off",
        ),
        ("sip:a@b", "sips:a@b"),
        ("sip:null-%00-null@b", "sip:null-%01-null@b"),
    ];
    for (a, b) in differ {
        assert!(
            !uri(a).equivalent(&uri(b)) && !uri(b).equivalent(&uri(a)),
            "{a} != {b}"
        );
    }
}

#[test]
fn vias_are_split_and_read() {
    let m = with(
        "Via: SIP / 2.0 / UDP a.example : 5061 ; branch = z9hG4bK1;rport , SIP/2.0/X-Y [::1];received=[2001:db8::1];rport=9\r\n",
    );
    let vias: Vec<_> = m.vias().map(Result::unwrap).collect();
    assert_eq!(
        (vias[0].sent_by.text, vias[0].sent_by.port, vias[0].rport()),
        ("a.example", Some(5061), Some(None))
    );
    assert_eq!(vias[0].transaction_branch(), Some("z9hG4bK1"));
    assert_eq!((vias[1].transport, vias[1].rport()), ("X-Y", Some(Some(9))));
    assert_eq!(vias[1].received(), Some("2001:db8::1".parse().unwrap()));
    assert_eq!(vias[1].transaction_branch(), None);
    for bad in [
        "SIP/2.0/UDP",
        "SIP/2.0 a",
        "SIP/2.0/UDP a;;",
        "SIP/2.0/UDP a;b=",
        "SIP/2.0/UDP a b",
        "SIP/2.0/UDP a:0x1",
    ] {
        assert!(Via::parse(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn addresses_with_and_without_brackets() {
    let read = |text: &'static str| NameAddr::parse(text.as_bytes());
    let a = read("\"J \\\"R\\\" \\\\\" <sip:j@example.com;x=1?h=2>;tag=98").unwrap();
    assert_eq!(
        (a.display_name().as_deref(), a.tag()),
        (Some("J \"R\" \\"), Some("98"))
    );
    assert_eq!(a.uri.text, "sip:j@example.com;x=1?h=2");
    // COMPAT(sipsak): the parameter belongs to the header.
    let b = read("sip:a@b;tag=1").unwrap();
    assert_eq!(
        (b.uri.text, b.tag(), b.display_name()),
        ("sip:a@b", Some("1"), None)
    );
    assert_eq!(
        read("Jörg (work)<sip:a@b>")
            .unwrap()
            .display_name()
            .as_deref(),
        Some("Jörg (work)")
    );
    let latin = NameAddr::parse(b"\"J\xe9r\" <sip:a@b>").unwrap();
    assert_eq!(latin.display_name().as_deref(), Some("J\u{fffd}r"));
    for bad in [
        "",
        "\"a <sip:a@b>",
        "Bell, A <sip:a@b>",
        "<sip:a@b",
        "< sip:a@b >",
        "sip:a@b?x=1",
        "\"a\" sip:a@b",
        "<sip:a@b>;;",
        "<sip:a@b> x",
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[test]
fn contacts() {
    let m = with(
        "m: <sip:a@b>;q=0.33;expires=60;+sip.instance=\"<urn:uuid:1>\";reg-id=2, \"x,y\" <sip:c,e@d>\r\nContact: sip:f@g;expires=x\r\n",
    );
    let Ok(Contacts::List(list)) = m.contacts() else {
        panic!()
    };
    assert_eq!(list.len(), 3);
    assert_eq!(
        (list[0].q(), list[0].expires(), list[0].reg_id()),
        (330, Some(60), Some(2))
    );
    assert_eq!(list[0].instance().as_deref(), Some("<urn:uuid:1>"));
    assert_eq!(
        (list[1].q(), list[1].expires(), list[2].expires()),
        (1000, None, Some(3600))
    );
    assert!(matches!(
        with("Contact: *\r\n").contacts(),
        Ok(Contacts::Star)
    ));
    assert!(with("Contact: *, <sip:a@b>\r\n").contacts().is_err());
    assert!(with("Contact: <sip:a@b>, *\r\n").contacts().is_err());
}

#[test]
fn numbers_have_their_ranges() {
    let cseq = |text: &str| CSeq::parse(text.as_bytes()).map(|c| c.number);
    assert_eq!(cseq("2147483647 OPTIONS"), Ok(i32::MAX.unsigned_abs()));
    assert_eq!(cseq("2147483648 OPTIONS"), Err(FaultKind::Range));
    assert_eq!(cseq("4294967296 OPTIONS"), Err(FaultKind::Range));
    for bad in [
        "-1 OPTIONS",
        "+1 OPTIONS",
        "1",
        "1OPTIONS",
        "OPTIONS",
        "1 OPT IONS",
        "",
    ] {
        assert_eq!(cseq(bad), Err(FaultKind::Syntax), "{bad}");
    }
    assert_eq!(with("Max-Forwards: 0068\r\n").max_forwards(), Ok(Some(68)));
    assert_eq!(
        with("Max-Forwards: 256\r\n").max_forwards(),
        Err(FaultKind::Range.at(HeaderId::MaxForwards))
    );
    assert_eq!(
        with("Expires: 99999999999999999999999\r\n").expires(),
        Ok(Some(u32::MAX))
    );
    assert_eq!(
        with("Expires: 1\r\nExpires: 1\r\n").expires(),
        Err(FaultKind::Repeated.at(HeaderId::Expires))
    );
    assert_eq!(
        with("Retry-After: 5 (I am busy);duration=9\r\n").retry_after(),
        Ok(Some(5))
    );
}

#[test]
fn events_states_types_and_warnings() {
    let m = with(
        "o: presence.winfo;id=7\r\nSubscription-State: Terminated;reason=noresource;retry-after=3\r\nc: text/plain ; charset=\"UTF-8\"\r\nAccept: */*;q=0.1, application/pidf+xml\r\nAllow: A, B ,, C\r\n",
    );
    let event = m.event().unwrap().unwrap();
    assert_eq!((event.package, event.id()), ("presence.winfo", Some("7")));
    let state = m.subscription_state().unwrap().unwrap();
    assert_eq!(
        (state.state, state.reason(), state.retry_after()),
        (SubState::Terminated, Some("noresource"), Some(3))
    );
    let kind = m.content_type().unwrap().unwrap();
    assert!(kind.is("Text/Plain") && kind.charset().as_deref() == Some("UTF-8"));
    let ranges: Vec<_> = m.accept().map(Result::unwrap).collect();
    assert!(
        ranges[0].covers("text/plain") && ranges[0].q() == 100 && !ranges[1].covers("text/plain")
    );
    assert_eq!(
        m.tokens(HeaderId::Allow).collect::<Vec<_>>(),
        ["A", "B", "C"]
    );
    let warning = Warning::parse(b"399 example.com:5060 \"No \\\"x\\\"\"").unwrap();
    assert_eq!(
        (warning.code, warning.agent, warning.text().as_ref()),
        (399, "example.com:5060", "No \"x\"")
    );
    assert!(Warning::parse(b"1812 overture \"In Progress\"").is_err());
}

#[test]
fn dates_print_and_read() {
    let text = "Sat, 13 Nov 2010 23:29:00 GMT";
    let date = Date::parse(text.as_bytes()).unwrap();
    assert_eq!(
        (date, date.to_string().as_str()),
        (Date(1_289_690_940), text)
    );
    assert_eq!(Date(0).to_string(), "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(
        Date(951_782_400).to_string(),
        "Tue, 29 Feb 2000 00:00:00 GMT"
    );
    for bad in [
        "Fri, 01 Jan 2010 16:00:00 EST",
        "Sat, 30 Feb 2010 00:00:00 GMT",
        "Mon, 13 Nov 2010 23:29:00 GMT",
        "x",
    ] {
        assert!(Date::parse(bad.as_bytes()).is_err(), "{bad}");
    }
}
