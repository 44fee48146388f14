use super::*;
use crate::error::Stage;
use crate::status::Status;

const HOST: (&str, &str) = ("Host", "im.example.com");
const SIGN_IN: [(&str, &str); 4] = [
    HOST,
    ("Notification-Type", "pragma/notify"),
    ("Subscription-Lifetime", "14400"),
    ("Call-Back", "http://198.51.100.7:1234"),
];

fn parse(method: &str, headers: &[(&str, &str)]) -> Result<Request, ParseError> {
    let raw: Vec<_> = headers
        .iter()
        .map(|(n, v)| (n.as_bytes(), v.as_bytes()))
        .collect();
    Request::parse(method, "/instmsg/aliases/alice", &raw)
}

/// What each method needs to be accepted.
fn minimal(method: Method) -> Vec<(&'static str, &'static str)> {
    match method {
        Method::Subscribe => SIGN_IN.to_vec(),
        Method::Unsubscribe => vec![HOST, ("Subscription-Id", "98210")],
        Method::Propfind => vec![HOST, ("Depth", "0")],
        Method::Subscriptions | Method::Proppatch | Method::Notify | Method::Acl => vec![HOST],
    }
}

#[test]
fn rvp_5_every_method_is_read_from_its_minimal_head() {
    for method in Method::ALL {
        let request = parse(method.as_str(), &minimal(method)).unwrap();
        assert_eq!(request.method(), method);
        assert_eq!(request.node.alias(), Some("alice"));
        assert_eq!((request.version, request.from), (Version::V02, None));
    }
}

#[test]
fn rvp_5_subscribe_signs_in_watches_and_renews() {
    let Action::Subscribe(sign_in) = parse("SUBSCRIBE", &SIGN_IN).unwrap().action else {
        panic!()
    };
    assert_eq!(
        (sign_in.kind, sign_in.lifetime),
        (NotificationType::PragmaNotify, 14400)
    );
    assert_eq!(sign_in.call_back.to_string(), "http://198.51.100.7:1234");
    let watch = [
        HOST,
        ("notification-type", "Update/PropChange"),
        ("SUBSCRIPTION-LIFETIME", " 60 "),
        ("call-back", "http://im.example.com/instmsg/aliases/alice"),
    ];
    let Action::Subscribe(watch) = parse("SUBSCRIBE", &watch).unwrap().action else {
        panic!()
    };
    assert_eq!(
        (watch.kind, watch.lifetime),
        (NotificationType::PropChange, 60)
    );
    let renew = [
        HOST,
        ("Subscription-Id", "98210"),
        ("Subscription-Lifetime", "14400"),
    ];
    assert_eq!(
        parse("SUBSCRIBE", &renew).unwrap().action,
        Action::Renew {
            id: SubscriptionId::from(98210),
            lifetime: Some(14400)
        }
    );
}

#[test]
fn rvp_3_other_methods_earn_501_and_405() {
    for method in [
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "LOCK",
        "UNLOCK",
        "OPTIONS",
        "DELETE",
        "subscribe",
        "X",
    ] {
        assert_eq!(
            parse(method, &[]).unwrap_err().status(),
            Status::NotImplemented,
            "{method}"
        );
    }
    for method in ["COPY", "MOVE"] {
        let error = parse(method, &[]).unwrap_err();
        assert_eq!(
            (error.status(), error.stage()),
            (Status::MethodNotAllowed, Stage::BeforeChallenge)
        );
    }
}

/// The matrix of `RVP 2`: absent, empty, ill-formed, 64 KiB, repeated, for every header and method.
#[test]
fn rvp_2_header_matrix() {
    type Row = (Method, Header, [Option<Status>; 4]);
    const OK: Option<Status> = None;
    const BAD: Option<Status> = Some(Status::BadRequest);
    const PRE: Option<Status> = Some(Status::PreconditionFailed);
    let mut rows: Vec<Row> = vec![
        //                                           absent empty  ill-formed 64 KiB
        (
            Method::Subscribe,
            Header::NotificationType,
            [BAD, BAD, BAD, BAD],
        ),
        (
            Method::Subscribe,
            Header::SubscriptionLifetime,
            [BAD, BAD, BAD, BAD],
        ),
        (Method::Subscribe, Header::CallBack, [BAD, BAD, BAD, BAD]),
        (
            Method::Subscribe,
            Header::SubscriptionId,
            [OK, BAD, BAD, BAD],
        ),
        (
            Method::Unsubscribe,
            Header::SubscriptionId,
            [BAD, BAD, BAD, BAD],
        ),
        (
            Method::Subscriptions,
            Header::NotificationType,
            [OK, BAD, BAD, BAD],
        ),
        (Method::Propfind, Header::Depth, [PRE, PRE, PRE, BAD]),
        (Method::Notify, Header::AckType, [OK, BAD, BAD, BAD]),
        (Method::Notify, Header::HopCount, [OK, BAD, BAD, BAD]),
        (Method::Notify, Header::SubscriptionId, [OK, BAD, BAD, BAD]),
    ];
    for method in Method::ALL {
        rows.push((method, Header::Host, [BAD, BAD, BAD, BAD]));
        rows.push((method, Header::FromPrincipal, [OK, BAD, BAD, BAD]));
        rows.push((method, Header::NotificationsVersion, [OK, OK, OK, BAD]));
        rows.push((method, Header::UserAgent, [OK, OK, OK, OK]));
    }
    let huge = "x".repeat(65_536);
    for (method, header, expected) in rows {
        let rest: Vec<_> = minimal(method)
            .into_iter()
            .filter(|(n, _)| *n != header.name())
            .collect();
        let with = |values: &[&str]| {
            let mut list = rest.clone();
            list.extend(values.iter().map(|value| (header.name(), *value)));
            parse(method.as_str(), &list)
                .err()
                .map(|error| error.status())
        };
        let seen = [
            with(&[]),
            with(&[""]),
            with(&["\u{fc} ill formed"]),
            with(&[&huge]),
        ];
        assert_eq!(seen, expected, "{method:?} {header}");
        let good = minimal(method)
            .iter()
            .find(|(n, _)| *n == header.name())
            .map_or("1", |(_, v)| v);
        let twice = if header == Header::UserAgent { OK } else { BAD };
        assert_eq!(with(&[good, good]), twice, "{method:?} {header} repeated");
    }
}

#[test]
fn decision_7_depth_is_told_after_the_challenge_and_bad_syntax_before() {
    assert_eq!(
        parse("PROPFIND", &[HOST]).unwrap_err().stage(),
        Stage::AfterChallenge
    );
    assert_eq!(
        parse("PROPFIND", &[HOST, ("Depth", "1")]).unwrap_err(),
        ParseError::Depth
    );
    assert_eq!(
        parse("PROPFIND", &[]).unwrap_err().stage(),
        Stage::BeforeChallenge
    );
    let too_large = ParseError::Xml(xml::Error {
        at: 0,
        kind: xml::ErrorKind::TooLarge,
    });
    assert_eq!(
        (too_large.status(), too_large.stage()),
        (Status::TooLarge, Stage::AfterChallenge)
    );
}

#[test]
fn header_count_control_characters_and_octets_are_refused() {
    let many = vec![("X", "y"); 65];
    assert_eq!(parse("ACL", &many), Err(ParseError::TooManyHeaders));
    for value in [&b"a\0b"[..], b"\xff", b"a\x7f"] {
        let headers = [(&b"Host"[..], &b"h"[..]), (b"RVP-From-Principal", value)];
        assert_eq!(
            Request::parse("ACL", "/x", &headers),
            Err(ParseError::Header(Header::FromPrincipal))
        );
    }
}

#[test]
fn rvp_2_ids_are_tokens_and_numbers_when_decimal() {
    assert_eq!(
        SubscriptionId::parse("98210").unwrap().number(),
        Some(98210)
    );
    for other in ["1A2F", "{x}", "99999999999999999999999", "+1", "0x10"] {
        assert_eq!(
            SubscriptionId::parse(other).unwrap().number(),
            None,
            "{other}"
        );
    }
    assert_eq!(SubscriptionId::parse("a b"), None);
    assert_eq!(number("99999999999", Header::HopCount), Ok(u32::MAX));
}

#[test]
fn rvp_2_ack_types() {
    for (value, ack) in [
        ("SingleHop", AckType::SingleHop),
        ("deepor", AckType::DeepOr),
        ("DeepAnd", AckType::DeepAnd),
    ] {
        let Action::Notify(notify) = parse(
            "NOTIFY",
            &[HOST, ("RVP-Ack-Type", value), ("RVP-Hop-Count", "3")],
        )
        .unwrap()
        .action
        else {
            panic!()
        };
        assert_eq!((notify.ack, notify.hops), (Some(ack), 3));
    }
    assert_eq!(AckType::or_default_for_message(None), AckType::DeepOr);
}
