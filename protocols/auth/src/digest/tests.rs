//! Published vectors, quirks of real clients, and properties.

use super::*;
use proptest::prelude::*;

fn exchange(method: &str) -> Exchange<'_> {
    Exchange { method, body: b"" }
}

#[test]
fn rfc2617_3_5_example() {
    let value = r#"Digest username="Mufasa", realm="testrealm@host.com",
        nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", qop=auth,
        nc=00000001, cnonce="0a4f113b", response="6629fae49393a05397450978507c4ef1",
        opaque="5ccc069c403ebaf9f0171e9517f40e41""#;
    let credentials = Credentials::parse(value).unwrap();
    let ha1 = ha1(
        Algorithm::Md5,
        "Mufasa",
        "testrealm@host.com",
        "Circle Of Life",
    );
    assert_eq!(ha1.as_str(), "939e7578ed9e3c518a452acee763bce9");
    assert!(credentials.proves(&ha1, &exchange("GET")));
    assert!(!credentials.proves(&ha1, &exchange("PUT")));
}

#[test]
fn rfc7616_3_9_1_example_in_both_algorithms() {
    for (algorithm, response) in [
        (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
        (
            Algorithm::Sha256,
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
    ] {
        let value = format!(
            r#"Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html",
            algorithm={}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001,
            cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth,
            response="{response}", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#,
            algorithm.token()
        );
        let credentials = Credentials::parse(&value).unwrap();
        let ha1 = ha1(
            algorithm,
            "Mufasa",
            "http-auth@example.org",
            "Circle of Life",
        );
        assert!(credentials.proves(&ha1, &exchange("GET")), "{algorithm:?}");
    }
}

#[test]
fn libpurple_form_without_qop_and_with_quoted_nc() {
    let ha1 = ha1(Algorithm::Md5, "alice", "example.com", "pw");
    let ha2 = Algorithm::Md5.joined(&[b"PUBLISH", b"sip:alice@example.com"]);
    let response = Algorithm::Md5.joined(&[ha1.as_bytes(), b"n1", ha2.as_bytes()]);
    let value = format!(
        r#"Digest username="alice",realm="example.com",nonce="n1",uri="sip:alice@example.com",nc="00000007",response="{}""#,
        response.as_str().to_uppercase()
    );
    let credentials = Credentials::parse(&value).unwrap();
    assert_eq!((credentials.qop, credentials.count()), (None, None));
    assert!(credentials.proves(&ha1, &exchange("PUBLISH")));
}

#[test]
fn everything_quoted_in_any_case_without_opaque() {
    let value = r#"DIGEST UserName="EXAMPLE\alice",REALM="example.com" , nonce="n",URI="/x",
        Algorithm="MD5",QOP="auth",NC="00000001",CNonce="c",response="00000000000000000000000000000000""#;
    let credentials = Credentials::parse(value).unwrap();
    assert_eq!(credentials.username, "EXAMPLE\\alice");
    assert_eq!(credentials.count(), Some(1));
    assert_eq!(credentials.opaque, None);
    let doubled = value.replace("EXAMPLE\\alice", "EXAMPLE\\\\alice");
    let doubled = Credentials::parse(&doubled).unwrap();
    assert_eq!(doubled.username, "EXAMPLE\\alice");
    assert_eq!(doubled.username_raw, "EXAMPLE\\\\alice");
}

#[test]
fn hostile_values_are_refused_with_their_cause() {
    let base = r#"username="a", realm="r", nonce="n", uri="u", response="x""#;
    for (value, cause) in [
        ("Basic YTpi".to_owned(), Malformed::Scheme),
        (String::new(), Malformed::Scheme),
        ("Digest".to_owned(), Malformed::Missing("username")),
        (format!("Digest {base}, nonce=\"m\""), Malformed::Twice),
        (format!("Digest {base}, qop=\"auth"), Malformed::Syntax),
        (format!("Digest {base}, x"), Malformed::Syntax),
        (
            format!("Digest {base}, algorithm=CRC32"),
            Malformed::Value("algorithm"),
        ),
        (format!("Digest {base}, qop=token"), Malformed::Value("qop")),
        (
            format!("Digest {base}, qop=auth"),
            Malformed::Missing("cnonce"),
        ),
        (
            format!("Digest {base}, qop=auth, cnonce=c, nc=-1"),
            Malformed::Value("nc"),
        ),
        (
            format!("Digest {base}, qop=auth, cnonce=c, nc=000000001"),
            Malformed::Value("nc"),
        ),
        (
            format!("Digest {base}, algorithm=MD5-sess"),
            Malformed::Missing("cnonce"),
        ),
        (format!("Digest {}", "x=1,".repeat(100)), Malformed::TooMany),
    ] {
        assert_eq!(Credentials::parse(&value).err(), Some(cause), "{value}");
    }
}

#[test]
fn a_challenge_suits_clients_that_split_at_commas() {
    let value = Challenge::ask("example.com", "00ff".to_owned(), Algorithm::Md5, false).write();
    assert_eq!(
        value,
        r#"Digest realm="example.com", nonce="00ff", algorithm=MD5, qop="auth""#
    );
    let parts: Vec<_> = value["Digest ".len()..].split(", ").collect();
    assert_eq!(parts.len(), 4);
    let stale = Challenge::ask("r", "n".to_owned(), Algorithm::Sha256, true).write();
    assert!(stale.contains(", stale=true, algorithm=SHA-256,"));
    assert!(Challenge::parse(&stale).unwrap().stale);
}

#[test]
fn every_algorithm_style_and_qop_agrees_with_itself() {
    for algorithm in Algorithm::ALL {
        for qop in [vec![], vec![Qop::Auth], vec![Qop::AuthInt]] {
            for style in [Style::Modern, Style::Plain, Style::Rfc2069] {
                let mut challenge = Challenge::ask("example.com", "n".to_owned(), algorithm, false);
                challenge.qop.clone_from(&qop);
                challenge.opaque = Some("op\"aque".to_owned());
                let challenge = Challenge::parse(&challenge.write()).unwrap();
                let mut client = Client::new("EXAMPLE\\alice", "pä\"ss").with_style(style);
                let ask = Ask {
                    method: "MESSAGE",
                    uri: "sip:b@example.com",
                    body: b"hi",
                    cnonce: "c",
                };
                let Some(value) = client.answer(&[challenge], &ask) else {
                    assert!(style != Style::Modern && algorithm != Algorithm::Md5);
                    continue;
                };
                let credentials = Credentials::parse(&value).unwrap();
                let ha1 = ha1(algorithm, "EXAMPLE\\alice", "example.com", "pä\"ss");
                let mut exchange = Exchange {
                    method: "MESSAGE",
                    body: b"hi",
                };
                assert!(credentials.proves(&ha1, &exchange), "{value}");
                exchange.body = b"ho";
                let whole = credentials.qop == Some(Qop::AuthInt);
                assert_eq!(credentials.proves(&ha1, &exchange), !whole, "{value}");
                let next = client.again(&ask).unwrap();
                let counted = Credentials::parse(&next).unwrap().count();
                assert_eq!(counted, credentials.qop.map(|_| 2));
            }
        }
    }
}

#[test]
fn a_modern_client_takes_the_better_of_two_an_old_one_the_first() {
    let challenges =
        [Algorithm::Md5, Algorithm::Sha256].map(|a| Challenge::ask("r", "n".to_owned(), a, false));
    let ask = Ask {
        method: "REGISTER",
        uri: "sip:r",
        body: b"",
        cnonce: "c",
    };
    let chosen = |style| {
        let value = Client::new("a", "b")
            .with_style(style)
            .answer(&challenges, &ask);
        Credentials::parse(&value.unwrap()).unwrap().algorithm
    };
    assert_eq!(chosen(Style::Modern), Algorithm::Sha256);
    assert_eq!(chosen(Style::Plain), Algorithm::Md5);
}

#[test]
fn nonces_know_their_age_realm_and_maker() {
    let day = NonceSettings::default().lifetime;
    let nonces = Nonces::new([7; 32], NonceSettings::default(), 1_000);
    let nonce = nonces.mint(5_000, 1, "example.com");
    assert!(!nonce.contains(',') && nonce.len() == 52);
    let mint = Mint { at: 5_000, salt: 1 };
    assert_eq!(nonces.judge(&nonce, "example.com", 5_000 + day), Ok(mint));
    let judge = |nonce: &str, realm, now| nonces.judge(nonce, realm, now);
    assert_eq!(
        judge(&nonce, "example.com", 5_001 + day),
        Err(Cause::OldNonce)
    );
    assert_eq!(judge(&nonce, "other", 5_000), Err(Cause::ForgedNonce));
    let other = Nonces::new([8; 32], NonceSettings::default(), 0);
    assert_eq!(
        other.judge(&nonce, "example.com", 5_000),
        Err(Cause::ForgedNonce)
    );
    assert_eq!(judge("é", "example.com", 0), Err(Cause::ForgedNonce));
    let again = Nonces::new([7; 32], NonceSettings::default(), 9_000);
    assert_eq!(again.judge(&nonce, "example.com", 9_000), Ok(mint));
}

#[test]
fn counts_are_taken_once_and_by_one_account() {
    let mut nonces = Nonces::new([7; 32], NonceSettings::default(), 1_000);
    let mint = Mint { at: 5_000, salt: 0 };
    assert_eq!(nonces.record(mint, 1, Some(300)), Ok(()));
    assert_eq!(nonces.record(mint, 1, Some(300)), Err(Cause::Replayed));
    assert_eq!(nonces.record(mint, 1, Some(45)), Ok(()));
    assert_eq!(nonces.record(mint, 1, Some(44)), Err(Cause::Replayed));
    assert_eq!(nonces.record(mint, 2, Some(301)), Err(Cause::ForeignNonce));
    assert_eq!(nonces.record(mint, 1, None), Ok(()));
    assert_eq!(nonces.record(mint, 1, Some(0)), Err(Cause::Replayed));
    // From before the restart: what was used is not known, so only what comes after counts.
    let before = Mint { at: 500, salt: 0 };
    assert_eq!(nonces.record(before, 1, Some(10)), Ok(()));
    assert_eq!(nonces.record(before, 1, Some(9)), Err(Cause::Replayed));
    assert_eq!(nonces.record(before, 1, Some(11)), Ok(()));
}

#[test]
fn a_forgotten_nonce_is_asked_again_not_trusted_again() {
    let settings = NonceSettings {
        capacity: 2,
        ..NonceSettings::default()
    };
    let mut nonces = Nonces::new([7; 32], settings, 0);
    let oldest = nonces.mint(10, 0, "r");
    for at in [10, 20, 30] {
        assert_eq!(nonces.record(Mint { at, salt: 0 }, 1, Some(1)), Ok(()));
    }
    assert_eq!(nonces.len(), 2);
    assert_eq!(nonces.judge(&oldest, "r", 40), Err(Cause::OldNonce));
    assert!(nonces.judge(&nonces.mint(20, 0, "r"), "r", 40).is_ok());
    nonces.expire(settings.lifetime + 25);
    assert_eq!(nonces.len(), 1);
}

#[test]
fn uris_agree_loosely() {
    for (sent, actual, agrees) in [
        ("/a/b", "http://h:80/a/b", true),
        ("http://h/a", "/a", true),
        ("/a", "/b", false),
        ("sip:a@h", "sip:a@H:5060;transport=tcp", true),
        ("sip:h", "sip:a@h", true),
        ("sip:a@[::1]:5070", "sip:a@[::1]", true),
        ("sip:a@h", "sip:b@h", false),
        ("sip:a@h", "/a", false),
    ] {
        assert_eq!(uri_agrees(sent, actual), agrees, "{sent} {actual}");
    }
}

proptest! {
    #[test]
    fn nothing_makes_a_parser_panic(text in "\\PC*", tail in "[ -~\\r\\n\\t]*") {
        let _ = Challenge::parse(&text);
        let _ = Credentials::parse(&format!("Digest {text}"));
        let _ = Credentials::parse(&format!("Digest {tail}"));
        let _ = uri_agrees(&text, &tail);
        let nonces = Nonces::new([1; 32], NonceSettings::default(), 0);
        prop_assert!(nonces.judge(&text, "r", 0).is_err());
    }

    #[test]
    fn a_window_agrees_with_a_set(counts in proptest::collection::vec(1_u32..1500, 1..400)) {
        let mut window = Window::default();
        let mut seen = std::collections::HashSet::new();
        let mut top = 0;
        for count in counts {
            top = top.max(count);
            let fresh = top - count < 256 && seen.insert(count);
            prop_assert_eq!(window.admit(count), fresh);
        }
    }

    #[test]
    fn what_is_written_is_read_back(user in "\\PC{1,20}", realm in "[ -~]{1,20}", nonce in "[ -~]{1,20}") {
        let challenge = Challenge::ask(&realm, nonce, Algorithm::Sha256, true);
        prop_assert_eq!(Challenge::parse(&challenge.write()), Ok(challenge.clone()));
        let mut client = Client::new(&user, "p");
        let ask = Ask { method: "M", uri: "u", body: b"", cnonce: "c" };
        let value = client.answer(&[challenge], &ask).unwrap();
        let credentials = Credentials::parse(&value).unwrap();
        prop_assert_eq!(&credentials.username, &user);
        let ha1 = ha1(Algorithm::Sha256, &user, &realm, "p");
        prop_assert!(credentials.proves(&ha1, &exchange("M")));
    }
}
