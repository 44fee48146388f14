//! RFC 4475 and RFC 5118, every row of the manifests.

mod wire_support;

use sip::edit::Edit;
use sip::flow::{Flow, Transport};
use sip::header::{Contacts, Via};
use sip::proxy::{Marks, Onward, Plan, Target, Unfit, check};
use sip::raw::{HeaderId, Limits, Method, RawMessage, StreamEvent, StreamFramer};
use sip::transaction::{self, Engine, Event, Output};
use sip::verdict::{Served, serve_verdict, verdict};
use wire_support::{message, parse, row, rows};

const SERVED: Served<'static> = Served {
    methods: &[
        Method::Register,
        Method::Message,
        Method::Options,
        Method::Publish,
        Method::Subscribe,
        Method::Notify,
    ],
    extensions: &[],
};

/// Rows whose status in the manifest is not this layer's to give, with what it gives and why.
const ELSEWHERE: &[(&str, u16, &str)] = &[
    (
        "baddate.dat",
        405,
        "the Date is ignored because nobody uses it; INVITE is passed on, not served",
    ),
    (
        "badbranch.dat",
        200,
        "matched by the rules of RFC 2543 (transaction), see branches_that_identify_nothing",
    ),
    (
        "invut.dat",
        405,
        "415 is the phone's: INVITE is passed on, not served",
    ),
    (
        "sdp01.dat",
        405,
        "406 is the phone's: INVITE is passed on, not served",
    ),
    (
        "regaut01.dat",
        200,
        "401 belongs to the gate, which no message passes without credentials",
    ),
    (
        "mpart01.dat",
        200,
        "multipart bodies are the front's to refuse",
    ),
];

/// Rows whose action is a proxy's: see `a_proxy_forwards_what_it_does_not_know`.
const PROXY: &[&str] = &[
    "transports.dat",
    "bcast.dat",
    "intmeth.dat",
    "unksm2.dat",
    "longreq.dat",
];

#[test]
fn every_row_has_its_parse_verdict_and_its_counts() {
    for row in rows() {
        let parsed = parse(row.octets.clone());
        match row.parse.as_str() {
            "accept" => assert!(parsed.is_ok(), "{}: {:?}", row.file, parsed.err()),
            "reject" => assert!(parsed.is_err(), "{} must be refused", row.file),
            "either" => {}
            other => panic!("{}: parse = {other}", row.file),
        }
        let (Ok(message), Some(expect)) = (parsed, row.expect) else {
            continue;
        };
        let text = |octets: Option<&[u8]>| {
            octets.map(|octets| String::from_utf8(octets.to_vec()).unwrap())
        };
        assert_eq!(
            expect.kind == "request",
            message.is_request(),
            "{}",
            row.file
        );
        assert_eq!(
            expect.method.as_deref(),
            message.method().map(Method::as_str),
            "{}",
            row.file
        );
        // The manifest trims the extra spaces of lwsstart.dat, we keep them for the verdict.
        assert_eq!(
            expect.uri,
            text(message.uri().map(<[u8]>::trim_ascii)),
            "{}",
            row.file
        );
        assert_eq!(expect.status_code, message.status(), "{}", row.file);
        assert_eq!(
            expect.header_fields,
            message.header_count(),
            "{}: fields",
            row.file
        );
        if row.file != "badinv01.dat" {
            assert_eq!(
                expect.via_hops,
                message.values(HeaderId::Via).count(),
                "{}: hops",
                row.file
            );
        }
        assert_eq!(
            expect.contacts,
            message.values(HeaderId::Contact).count(),
            "{}: contacts",
            row.file
        );
        if let Some(routes) = expect.routes {
            assert_eq!(
                routes,
                message.values(HeaderId::Route).count(),
                "{}: routes",
                row.file
            );
        }
        if message.has(HeaderId::ContentLength) || row.file == "inv2543.dat" {
            assert_eq!(expect.body_len, message.body().len(), "{}: body", row.file);
        }
    }
}

#[test]
fn every_row_has_its_status() {
    for row in rows() {
        let got = match parse(row.octets.clone()) {
            Err(refusal) => refusal.status(),
            Ok(message) => {
                serve_verdict(&message, &SERVED).map_or_else(|fault| fault.status, |()| 200)
            }
        };
        if let Some((_, ours, why)) = ELSEWHERE.iter().find(|(file, ..)| *file == row.file) {
            assert_eq!(got, *ours, "{}: {why}", row.file);
            continue;
        }
        let expect = row.expect.as_ref();
        if expect.is_none_or(|expect| expect.kind == "response") {
            // A faulty response is dropped; a good one is served.
            assert_eq!(got == 200, row.class != "invalid", "{}: {got}", row.file);
            continue;
        }
        let method = expect
            .and_then(|expect| expect.method.as_deref())
            .unwrap_or("");
        match row.class.as_str() {
            "valid" if matches!(method, "INVITE" | "BYE") => assert_eq!(got, 405, "{}", row.file),
            "valid" => assert_eq!(got, 200, "{}", row.file),
            _ => assert!(
                row.status.contains(&got),
                "{}: {got}, not in {:?}",
                row.file,
                row.status
            ),
        }
    }
}

#[test]
fn faults_name_their_header_and_valid_messages_have_none() {
    for row in rows() {
        let Ok(message) = parse(row.octets.clone()) else {
            continue;
        };
        let fault = verdict(&message).err();
        if row.class == "valid" {
            assert_eq!(fault, None, "{}", row.file);
        } else if let (Some(name), Some(fault)) = (&row.faulty_header, &fault) {
            assert_eq!(
                Some(name.as_str()),
                fault.header.map(HeaderId::name),
                "{}",
                row.file
            );
        }
    }
    let silent: Vec<String> = rows()
        .iter()
        .filter(|row| row.class == "invalid")
        .filter_map(|row| {
            parse(row.octets.clone())
                .ok()
                .filter(|m| verdict(m).is_ok())
                .map(|_| row.file.clone())
        })
        .collect();
    assert!(silent.is_empty(), "{silent:?}: faults that nobody saw");
}

#[test]
fn refused_heads_can_be_answered() {
    for file in [
        "clerr.dat",
        "ncl.dat",
        "mcl01.dat",
        "trws.dat",
        "ipv6-in-sdp.dat",
    ] {
        let refusal = parse(row(file).octets).unwrap_err();
        let answerable = refusal.answerable().is_some();
        // trws.dat: without a start line that can be read there is nothing to answer.
        assert_eq!(answerable, file != "trws.dat", "{file}: {:?}", refusal.kind);
    }
    assert!(
        parse(row("bigcode.dat").octets)
            .unwrap_err()
            .answerable()
            .is_none()
    );
}

#[test]
fn written_back_every_message_is_identical() {
    for row in rows() {
        let Ok(message) = parse(row.octets.clone()) else {
            continue;
        };
        let kept = message.as_bytes();
        assert_eq!(kept, &row.octets[..kept.len()], "{}", row.file);
        assert_eq!(&Edit::new(&message).write()[..], kept, "{}", row.file);
        let forwarded = Edit::new(&message)
            .insert_before(HeaderId::Via, "SIP/2.0/UDP us")
            .write();
        let without: Vec<u8> = String::from_utf8_lossy(&forwarded)
            .replacen("Via: SIP/2.0/UDP us\r\n", "", 1)
            .into_bytes();
        if std::str::from_utf8(kept).is_ok() {
            assert_eq!(without, kept, "{}", row.file);
        }
    }
}

#[test]
fn a_stream_gives_the_same_messages_however_it_is_cut() {
    let mut tried = 0;
    for row in rows() {
        let Ok(message) = parse(row.octets.clone()) else {
            continue;
        };
        if !message.has(HeaderId::ContentLength) {
            continue;
        }
        tried += 1;
        // Two of them, so that a wrong end shows.
        let stream = [message.as_bytes(), message.as_bytes()].concat();
        let whole = events(&[&stream]);
        assert_eq!(whole, [message.clone(), message], "{}", row.file);
        for cut in 1..stream.len() {
            assert_eq!(
                events(&[&stream[..cut], &stream[cut..]]),
                whole,
                "{} cut at {cut}",
                row.file
            );
        }
        let octets: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(events(&octets), whole, "{}", row.file);
    }
    assert!(tried > 40, "{tried}");
}

fn events(chunks: &[&[u8]]) -> Vec<RawMessage> {
    let mut framer = StreamFramer::new(Limits::default());
    let mut out = Vec::new();
    for chunk in chunks {
        framer.push(chunk);
        while let Some(event) = framer.next() {
            match event.unwrap() {
                StreamEvent::Message(message) => out.push(message),
                other => panic!("{other:?}"),
            }
        }
    }
    out
}

#[test]
fn wsinv_means_what_the_rfc_says() {
    let message = message("wsinv.dat");
    assert_eq!(message.cseq().unwrap().number, 9);
    assert_eq!(message.max_forwards(), Ok(Some(68)));
    assert_eq!(message.to().unwrap().tag(), Some("1918181833n"));
    let from = message.from().unwrap();
    assert_eq!(
        (from.display_name().as_deref(), from.tag()),
        (Some("J Rosenberg \\\""), Some("98asjd8"))
    );
    let vias: Vec<Via<'_>> = message.vias().map(Result::unwrap).collect();
    assert_eq!(vias[0].branch(), Some("390skdjuw"));
    assert_eq!(
        (vias[1].transport, vias[1].sent_by.text, vias[1].branch()),
        ("TCP", "spindle.example.com", Some("z9hG4bK9ikj8"))
    );
    assert_eq!(
        (vias[2].sent_by.text, vias[2].branch()),
        ("192.168.255.111", Some("z9hG4bK30239"))
    );
    let Ok(Contacts::List(contacts)) = message.contacts() else {
        panic!()
    };
    assert_eq!(
        (contacts[0].q(), contacts[0].params().value("newparam")),
        (330, Some("newvalue"))
    );
}

#[test]
fn user_parts_and_escapes_are_data() {
    let esc01 = message("esc01.dat");
    assert_eq!(
        esc01.request_uri().unwrap().user_decoded().as_deref(),
        Some("sips:user@example.com")
    );
    let semiuri = message("semiuri.dat");
    let uri = semiuri.request_uri().unwrap();
    assert_eq!(
        (uri.user, uri.host_text(), uri.params().count()),
        (Some("user;par=u%40example.net"), "example.com", 0)
    );
    let escnull = message("escnull.dat");
    let Ok(Contacts::List(contacts)) = escnull.contacts() else {
        panic!()
    };
    assert!(!contacts[0].uri().equivalent(&contacts[1].uri()));
    let esc02 = message("esc02.dat");
    assert_eq!(esc02.to().unwrap().display_name().as_deref(), Some("%Z%45"));
    assert_eq!(esc02.named("C%6Fntact").count(), 1);
    let intmeth = message("intmeth.dat");
    assert!(intmeth.from().is_ok() && intmeth.to().is_ok() && intmeth.top_via().is_ok());
}

#[test]
fn contact_parameters_belong_where_the_brackets_say() {
    let contact = |file: &str, check: fn(&sip::header::Contact<'_>)| {
        let message = message(file);
        let Ok(Contacts::List(list)) = message.contacts() else {
            panic!("{file}")
        };
        check(&list[0]);
    };
    contact("cparam01.dat", |c| {
        assert!(c.params().has("unknownparam") && c.uri().params().count() == 0);
    });
    contact("cparam02.dat", |c| {
        assert!(!c.params().has("unknownparam") && c.uri().param("unknownparam").is_some());
    });
    contact("regescrt.dat", |c| {
        assert_eq!(c.uri().headers(), "Route=%3Csip:sip.example.com%3E");
    });
}

#[test]
fn addresses_and_ports_of_rfc_5118() {
    let uri = |file: &str| {
        let message = message(file);
        let uri = message.request_uri().unwrap();
        (uri.host.unwrap().host.ip(), uri.port())
    };
    let ip = |text: &str| Some(text.parse().unwrap());
    assert_eq!(uri("port-ambiguous.dat"), (ip("2001:db8::10:5070"), None));
    assert_eq!(
        uri("port-unambiguous.dat"),
        (ip("2001:db8::10"), Some(5070))
    );
    assert_eq!(
        uri("ipv6-bug-abnf-3-colons.dat"),
        uri("ipv6-correct-abnf-2-colons.dat")
    );
    for file in [
        "via-received-param-with-delim.dat",
        "via-received-param-no-delim.dat",
    ] {
        assert_eq!(
            message(file).top_via().unwrap().received(),
            ip("2001:db8::9:255"),
            "{file}"
        );
    }
    assert_eq!(
        message("mult-ip-in-header.dat")
            .vias()
            .filter_map(Result::ok)
            .count(),
        3
    );
}

#[test]
fn branches_that_identify_nothing() {
    assert_eq!(
        message("badbranch.dat")
            .top_via()
            .unwrap()
            .transaction_branch(),
        None
    );
    assert_eq!(
        message("inv2543.dat")
            .top_via()
            .unwrap()
            .transaction_branch(),
        None
    );
}

#[test]
fn rows_of_the_proxy_parse() {
    for file in PROXY {
        assert!(
            verdict(&message(file)).is_ok() || *file == "unksm2.dat",
            "{file}"
        );
    }
}

fn target() -> Target {
    Target {
        uri: "sip:phone@192.0.2.7".to_owned(),
        flow: Flow {
            transport: Transport::Udp,
            peer: "192.0.2.7:5060".parse().unwrap(),
            id: 0,
        },
        routes: Vec::new(),
        q: 1000,
        via: "SIP/2.0/UDP 192.0.2.1".to_owned(),
        record: vec!["<sip:192.0.2.1;lr>".to_owned()],
        lines: Vec::new(),
    }
}

/// Every legal request that is not for us goes on as it came: other than what RFC 3261 16.6 says,
/// no octet changes, unknown headers, methods and bodies included.
#[test]
fn a_proxy_forwards_what_it_does_not_know() {
    let marks = Marks::new([1; 32], 1);
    let mut seen = 0;
    for row in rows() {
        let Ok(came) = parse(row.octets.clone()) else {
            continue;
        };
        if !came.is_request() || verdict(&came).is_err() || check(&came, &marks, &[]).is_err() {
            continue;
        }
        let plan = Plan::of(&came, &marks, &|_| false);
        let onward = Onward {
            request: &came,
            plan: &plan,
            source: "192.0.2.9:5060".parse().unwrap(),
            realms: &[],
            strip: &[],
            breadth: None,
        };
        let went = parse(onward.to(&target(), "z9hG4bKp")).unwrap();
        let file = &row.file;
        assert!(verdict(&went).is_ok(), "{file}");
        assert_eq!(went.method(), came.method(), "{file}");
        assert_eq!(went.body(), came.body(), "{file}");
        assert_eq!(went.vias().count(), came.vias().count() + 1, "{file}");
        let hops = |m: &RawMessage| m.max_forwards().unwrap();
        assert_eq!(
            hops(&went),
            Some(hops(&came).map_or(70, |hops| hops - 1)),
            "{file}"
        );
        let kept = |m: &RawMessage| -> Vec<(Vec<u8>, Vec<u8>)> {
            let ours = [
                HeaderId::Via,
                HeaderId::MaxForwards,
                HeaderId::RecordRoute,
                HeaderId::Route,
            ];
            let fields = m.headers().filter(|h| !ours.contains(&h.id));
            let fields = fields.filter(|h| h.id != HeaderId::ContentLength);
            fields
                .map(|h| (h.name.to_vec(), h.value.to_vec()))
                .collect()
        };
        assert_eq!(kept(&went), kept(&came), "{file}");
        seen += 1;
    }
    assert!(seen >= 25, "{seen}");
}

#[test]
fn a_proxy_refuses_what_it_must() {
    let marks = Marks::new([1; 32], 1);
    let tags = "noProxiesSupportThis, norDoAnyProxiesSupportThis";
    assert_eq!(
        check(&message("bext01.dat"), &marks, &[]),
        Err(Unfit::Extension(tags.to_owned()))
    );
    assert_eq!(check(&message("zeromf.dat"), &marks, &[]), Err(Unfit::Hops));
    // A response that answers nothing of ours goes nowhere, wherever its Via points.
    let mut engine = Engine::new(transaction::Settings::default(), [1, 2]);
    let came = target().flow;
    assert!(engine.receive(0, came, message("bcast.dat")).is_ok());
    loop {
        match engine.poll() {
            Output::Send { .. } => panic!("it was sent on"),
            // RFC 6026 7.3: whoever forwards drops it.
            Output::Event(event) => assert!(matches!(event, Event::Stray { .. })),
            Output::Idle { .. } => break,
        }
    }
}
