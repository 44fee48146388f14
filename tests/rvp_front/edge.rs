//! Refusals: HTTP framing, methods, headers, documents.

use crate::house::House;

fn head(method: &str, rest: &str) -> String {
    format!("{method} /instmsg/aliases/alice HTTP/1.1\r\n{rest}\r\n")
}

#[tokio::test]
async fn decision_27_is_refused_with_400_and_close() {
    let house = House::new().await;
    let next = "GET /instmsg/aliases/x HTTP/1.1\r\nHost: a\r\n\r\n";
    for rest in [
        "Host: a\r\nX: a\rb\r\n",
        "Host : a\r\n",
        "Host: a\r\nX: a\r\n b\r\n",
        "Host: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
        "Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
        "Host: a\r\nTransfer-Encoding: chunked\r\n",
        "Host: a\r\nHost: a\r\n",
        "",
    ] {
        let got = house.raw((head("NOTIFY", rest) + next).as_bytes()).await;
        assert!(
            got.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            "{rest:?}: {got}"
        );
        assert!(got.contains("\r\nConnection: close\r\n"), "{got}");
        assert!(
            got.contains("\r\nRvp-Notifications-Version: 0.2\r\n"),
            "{got}"
        );
        assert_eq!(got.matches("HTTP/1.1").count(), 1, "{rest:?}: {got}");
    }
}

#[tokio::test]
async fn rvp_3_methods_that_are_no_methods() {
    let house = House::new().await;
    for (method, line) in [
        ("GET", "501 Not Implemented"),
        ("POST", "501 Not Implemented"),
        ("PUT", "501 Not Implemented"),
        ("LOCK", "501 Not Implemented"),
        ("UNLOCK", "501 Not Implemented"),
        ("OPTIONS", "501 Not Implemented"),
        ("HEAD", "501 Not Implemented"),
        ("FROBNICATE", "501 Not Implemented"),
        ("COPY", "405 Method Not Allowed"),
        ("MOVE", "405 Method Not Allowed"),
    ] {
        let got = house
            .raw(head(method, "Host: im.example.com\r\n").as_bytes())
            .await;
        assert!(
            got.starts_with(&format!("HTTP/1.1 {line}\r\n")),
            "{method}: {got}"
        );
    }
}

#[tokio::test]
async fn decision_7_malformed_before_the_challenge_the_rest_after() {
    let house = House::new().await;
    let host = "Host: im.example.com\r\n";
    for (method, rest, body, status) in [
        ("SUBSCRIBE", "", "", 400),
        (
            "SUBSCRIBE",
            "Notification-Type: pragma/notify\r\nCall-Back: http://1.2.3.4:5000\r\n",
            "",
            400,
        ),
        (
            "SUBSCRIBE",
            "Notification-Type: pragma/notify\r\nSubscription-Lifetime: x\r\nCall-Back: http://1.2.3.4:5000\r\n",
            "",
            400,
        ),
        ("UNSUBSCRIBE", "", "", 400),
        (
            "PROPFIND",
            "",
            "<d:propfind xmlns:d=\"DAV:\"><d:allprop/></d:propfind>",
            401,
        ),
        ("PROPFIND", "Depth: 0\r\n", "<d:propfind", 400),
        ("PROPFIND", "Depth: 0\r\n", "", 401),
        ("NOTIFY", "", "<!DOCTYPE x [<!ENTITY a \"b\">]><x/>", 400),
        ("NOTIFY", "", "<x>&lol;</x>", 400),
        ("NOTIFY", "RVP-From-Principal: \r\n", "<x/>", 400),
        ("NOTIFY", "", "<x/>", 401),
        ("ACL", "", "", 401),
    ] {
        let text = head(
            method,
            &format!("{host}{rest}Content-Length: {}\r\n", body.len()),
        ) + body;
        let got = house.raw(text.as_bytes()).await;
        assert!(
            got.starts_with(&format!("HTTP/1.1 {status} ")),
            "{method} {rest:?} {body:?}: {got}"
        );
    }
    let text = head("NOTIFY", &format!("{host}Content-Length: 70000\r\n"));
    let got = house.raw(text.as_bytes()).await;
    assert!(got.starts_with("HTTP/1.1 401 "), "{got}");
    assert!(got.contains("Connection: close"), "{got}");
}

#[tokio::test]
async fn rvp_2_header_absence_matrix() {
    let house = House::new().await;
    let complete: [(&str, &[(&str, &str)]); 7] = [
        (
            "SUBSCRIBE",
            &[
                ("Notification-Type", "pragma/notify"),
                ("Subscription-Lifetime", "60"),
                ("Call-Back", "http://127.0.0.1:9999"),
            ],
        ),
        ("UNSUBSCRIBE", &[("Subscription-Id", "1")]),
        ("SUBSCRIPTIONS", &[("Notification-Type", "pragma/notify")]),
        ("PROPFIND", &[("Depth", "0")]),
        ("PROPPATCH", &[]),
        (
            "NOTIFY",
            &[("RVP-Ack-Type", "DeepOr"), ("RVP-Hop-Count", "1")],
        ),
        ("ACL", &[]),
    ];
    let huge = "x".repeat(65_536);
    for (method, needed) in complete {
        let common = [
            ("Host", "im.example.com"),
            ("RVP-Notifications-Version", "0.2"),
            (
                "RVP-From-Principal",
                "http://im.example.com/instmsg/aliases/alice",
            ),
            ("User-Agent", "x"),
        ];
        let all: Vec<(&str, &str)> = common.into_iter().chain(needed.iter().copied()).collect();
        for (at, (name, value)) in all.iter().enumerate() {
            for variant in [vec![], vec![""], vec![huge.as_str()], vec![*value, *value]] {
                let mut text = format!("{method} /instmsg/aliases/alice HTTP/1.1\r\n");
                for (other, (name, value)) in all.iter().enumerate() {
                    if other != at {
                        text += &format!("{name}: {value}\r\n");
                    }
                }
                for value in &variant {
                    text += &format!("{name}: {value}\r\n");
                }
                text += "Content-Length: 0\r\n\r\n";
                let got = house.raw(text.as_bytes()).await;
                let status: u16 = got
                    .split(' ')
                    .nth(1)
                    .unwrap_or_default()
                    .parse()
                    .unwrap_or(0);
                assert!(
                    matches!(status, 400 | 401),
                    "{method} {name} x{}: {got:.200}",
                    variant.len()
                );
                if variant
                    .first()
                    .is_some_and(|value| value.len() == huge.len())
                {
                    assert_eq!(status, 400, "{method} {name}");
                    assert!(got.contains("Connection: close"));
                }
            }
        }
    }
}

#[tokio::test]
async fn nobody_else_is_disturbed_by_a_bad_document() {
    let house = House::new().await;
    let mut alice = house.user("alice");
    let deep = format!("{}{}", "<x>".repeat(40), "</x>".repeat(40));
    let many = format!("<x>{}</x>", "<y/>".repeat(10_001));
    for (body, status) in [
        ("<x", 400),
        ("<x/><y/>", 400),
        ("<!DOCTYPE x><x/>", 400),
        (deep.as_str(), 400),
        (many.as_str(), 400),
        ("<x>\u{1}</x>", 400),
        ("", 400),
    ] {
        let answer = alice.ask("NOTIFY", "/instmsg/aliases/bob", "", body).await;
        assert_eq!(answer.status(), status, "{body:.60}: {}", answer.body);
        assert_eq!(answer.header("Connection"), None);
    }
    let answer = alice
        .ask("NOTIFY", "/instmsg/aliases/bob", "", &"x".repeat(65_537))
        .await;
    assert_eq!(answer.line, "HTTP/1.1 413 Request Entity Too Large");
    let answer = alice
        .ask("SUBSCRIPTIONS", "/instmsg/aliases/alice", "", "")
        .await;
    assert_eq!(answer.status(), 200);
}
