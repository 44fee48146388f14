use super::*;
use crate::core::id::PersonId;
use crate::credentials::Keep;
use auth::digest::{Ask, Cause, Client, Style};
use std::net::Ipv4Addr;

const SIP: Stack = Stack::named("sip");

pub(super) fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

pub(super) struct Bench {
    pub(super) gate: Gate,
    pub(super) now: Time,
}

impl Bench {
    pub(super) fn new(settings: GateSettings) -> Self {
        let secrets = Secrets::with_key(&[3; 32], Keep::Sealed);
        let account = |person: u128, text: &str, password: &str, suspended| Account {
            person: PersonId(person),
            address: address(text),
            aliases: vec![address(&format!("alias{person}@example.com"))],
            display_name: String::new(),
            email: String::new(),
            secret: secrets
                .seal(PersonId(person), &address(text), &[], &[], password)
                .unwrap(),
            suspended,
            node: None,
        };
        let accounts = vec![
            account(1, "alice@example.com", "secret", false),
            account(2, "bob@example.com", "secret", false),
            account(3, "carol@example.com", "secret", true),
            account(4, "alice@other.example", "second", false),
        ];
        let domains = vec!["example.com".to_owned(), "other.example".to_owned()];
        let directory = Arc::new(Directory::new(domains, accounts));
        let now = Time(1_700_000_000_000);
        Self {
            gate: Gate::new(directory, Arc::new(secrets), settings, now),
            now,
        }
    }

    fn check(&self, values: &[&str]) -> Decision {
        self.check_uri(values, "sip:bob@example.com")
    }

    fn check_uri(&self, values: &[&str], uri: &str) -> Decision {
        self.gate.check(&Attempt {
            values,
            method: "MESSAGE",
            uri,
            body: b"",
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            stack: SIP,
            domain: "example.com",
            claimed: Some(&address("alice@example.com")),
            offer: Offer::Both,
            now: self.now,
        })
    }

    fn challenges(&self, values: &[&str]) -> Vec<Challenge> {
        let Decision::Challenge { values, .. } = self.check(values) else {
            panic!("not challenged");
        };
        values
            .iter()
            .map(|v| Challenge::parse(v).unwrap())
            .collect()
    }

    fn answer(&self, client: &mut Client) -> String {
        client.answer(&self.challenges(&[]), &ask()).unwrap()
    }
}

fn ask() -> Ask<'static> {
    Ask {
        method: "MESSAGE",
        uri: "sip:bob@example.com",
        body: b"",
        cnonce: "c0ffee",
    }
}

fn plain(user: &str, password: &str) -> Client {
    Client::new(user, password).with_style(Style::Plain)
}

fn digest_cause(cause: &super::Cause) -> Cause {
    match cause {
        super::Cause::Digest(cause) => *cause,
        other => panic!("{other}"),
    }
}

fn cause(decision: &Decision) -> Option<Cause> {
    match decision {
        Decision::Granted(_) => None,
        Decision::Challenge { cause, .. } => cause.as_ref().map(digest_cause),
        Decision::Refused(cause) => Some(digest_cause(cause)),
    }
}

#[test]
fn every_form_of_user_name_signs_in() {
    let bench = Bench::new(GateSettings {
        netbios: [("OTHER".to_owned(), "other.example".to_owned())].into(),
        ..GateSettings::default()
    });
    for (user, password, expected) in [
        ("alice", "secret", "alice@example.com"),
        ("ALICE", "secret", "alice@example.com"),
        ("EXAMPLE\\alice", "secret", "alice@example.com"),
        ("example/Alice", "secret", "alice@example.com"),
        ("other\\alice", "second", "alice@other.example"),
        ("alice@example.com", "secret", "alice@example.com"),
        ("alice@other.example", "second", "alice@other.example"),
        ("sip:alice@example.com", "secret", "alice@example.com"),
        ("alias1", "secret", "alice@example.com"),
    ] {
        for style in [Style::Modern, Style::Plain, Style::Rfc2069] {
            let mut client = Client::new(user, password).with_style(style);
            let value = bench.answer(&mut client);
            let Decision::Granted(granted) = bench.check(&[&value]) else {
                panic!("{user} {style:?}");
            };
            assert_eq!(granted.caller.address, address(expected));
            assert_eq!(granted.caller.person, Some(granted.account.person));
        }
    }
}

#[test]
fn strangers_and_wrong_passwords_are_answered_alike() {
    let bench = Bench::new(GateSettings::default());
    let mut shapes = Vec::new();
    for (user, expected) in [
        ("alice", Cause::WrongResponse),
        ("nobody", Cause::UnknownUser),
        ("alice@foreign.example", Cause::UnknownUser),
        ("a b:c", Cause::UnknownUser),
    ] {
        let value = bench.answer(&mut plain(user, "wrong"));
        let decision = bench.check(&[&value]);
        assert_eq!(cause(&decision), Some(expected));
        let Decision::Challenge { values, stale, .. } = decision else {
            panic!("{user}");
        };
        shapes.push((values.len(), values[0].len(), stale));
    }
    assert!(shapes.iter().all(|shape| *shape == shapes[0]));
    let told = bench.gate.refusals(&address("alice@example.com"));
    assert_eq!(
        told.len(),
        2,
        "the claimed address stands in for a broken name"
    );
    assert_eq!(told[1].cause, super::Cause::Digest(Cause::WrongResponse));
    assert_eq!(bench.gate.stats().refused.get(), 4);
}

#[test]
fn malformed_and_suspended_are_refused_outright() {
    let bench = Bench::new(GateSettings::default());
    let decision = bench.check(&["Digest username=\"alice"]);
    assert!(matches!(
        decision,
        Decision::Refused(super::Cause::Digest(Cause::Malformed(_)))
    ));
    let value = bench.answer(&mut plain("carol", "secret"));
    let decision = bench.check(&[&value]);
    assert!(matches!(
        decision,
        Decision::Refused(super::Cause::Digest(Cause::Suspended))
    ));
    let value = bench.answer(&mut plain("carol", "wrong"));
    assert_eq!(
        cause(&bench.check(&[&value])),
        Some(Cause::WrongResponse),
        "suspended is told only to who knows the password"
    );
}

#[test]
fn other_schemes_and_realms_are_asked_again() {
    let bench = Bench::new(GateSettings::default());
    assert_eq!(cause(&bench.check(&["Basic YWxpY2U6c2VjcmV0"])), None);
    assert_eq!(bench.gate.stats().asked.get(), 1);
    let foreign = Challenge::ask("elsewhere", "n".to_owned(), Algorithm::Md5, false);
    let value = plain("alice", "secret").answer(&[foreign], &ask()).unwrap();
    assert_eq!(cause(&bench.check(&[&value])), Some(Cause::WrongRealm));
    let own = bench.answer(&mut plain("alice", "secret"));
    let decision = bench.check(&[&value, &own]);
    assert!(matches!(decision, Decision::Granted(_)));
}

#[test]
fn a_count_is_good_once_and_a_failed_answer_burns_nothing() {
    let bench = Bench::new(GateSettings::default());
    let mut client = plain("alice", "secret");
    let first = bench.answer(&mut client);
    let broken = first.replace("response=\"", "response=\"0");
    assert_eq!(cause(&bench.check(&[&broken])), Some(Cause::WrongResponse));
    assert!(matches!(bench.check(&[&first]), Decision::Granted(_)));
    let replay = bench.check(&[&first]);
    assert!(matches!(replay, Decision::Challenge { stale: true, .. }));
    assert_eq!(cause(&replay), Some(Cause::Replayed));
    let second = client.again(&ask()).unwrap();
    assert!(matches!(bench.check(&[&second]), Decision::Granted(_)));
}

#[test]
fn a_nonce_ages_serves_one_account_and_outlives_a_restart() {
    let mut bench = Bench::new(GateSettings::default());
    let challenges = bench.challenges(&[]);
    let answer = |user| plain(user, "secret").answer(&challenges, &ask()).unwrap();
    let mut restarted = Bench::new(GateSettings::default());
    assert!(matches!(
        bench.check(&[&answer("alice")]),
        Decision::Granted(_)
    ));
    assert_eq!(
        cause(&bench.check(&[&answer("bob")])),
        Some(Cause::ForeignNonce)
    );
    restarted.now = bench.now;
    let decision = restarted.check(&[&answer("alice")]);
    assert!(matches!(decision, Decision::Granted(_)));
    bench.now = Time(bench.now.0 + 86_400_001);
    let decision = bench.check(&[&answer("alice")]);
    assert!(matches!(decision, Decision::Challenge { stale: true, .. }));
    assert_eq!(cause(&decision), Some(Cause::OldNonce));
}

#[test]
fn the_uri_must_name_the_request() {
    let bench = Bench::new(GateSettings::default());
    let value = bench.answer(&mut plain("alice", "secret"));
    let decision = bench.check_uri(&[&value], "sip:mallory@example.com");
    assert_eq!(cause(&decision), Some(Cause::Uri));
    let decision = bench.check_uri(&[&value], "sip:bob@example.com:5060;transport=udp");
    assert!(matches!(decision, Decision::Granted(_)));
}

#[test]
fn sha256_is_offered_first_to_who_used_it() {
    let mut settings = GateSettings::default();
    let order = |bench: &Bench| -> Vec<_> {
        let challenges = bench.challenges(&[]);
        challenges.iter().filter_map(|c| c.algorithm).collect()
    };
    let bench = Bench::new(settings.clone());
    assert_eq!(order(&bench), [Algorithm::Md5, Algorithm::Sha256]);
    let value = bench.answer(&mut Client::new("alice", "secret"));
    assert!(matches!(bench.check(&[&value]), Decision::Granted(_)));
    assert_eq!(order(&bench), [Algorithm::Sha256, Algorithm::Md5]);
    let value = bench.answer(&mut plain("alice", "secret"));
    assert!(matches!(bench.check(&[&value]), Decision::Granted(_)));

    settings.strict_digest = true;
    let bench = Bench::new(settings);
    let md5 = bench.answer(&mut plain("alice", "secret"));
    let old = bench.answer(&mut plain("alice", "secret").with_style(Style::Rfc2069));
    let sha = bench.answer(&mut Client::new("alice", "secret"));
    assert_eq!(cause(&bench.check(&[&old])), Some(Cause::Qop));
    assert!(matches!(bench.check(&[&sha]), Decision::Granted(_)));
    assert_eq!(cause(&bench.check(&[&md5])), Some(Cause::Algorithm));
    assert_eq!(order(&bench), [Algorithm::Sha256]);
}

#[test]
fn rfc_8760_2_1_sha_512_256_is_offered_and_taken_where_configured() {
    let bench = Bench::new(GateSettings::default());
    let list = [Some(Algorithm::Sha512_256), Some(Algorithm::Sha256), None];
    let check = |values: &[&str]| {
        bench.gate.check(&Attempt {
            values,
            method: "MESSAGE",
            uri: "sip:bob@example.com",
            body: b"",
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            stack: SIP,
            domain: "example.com",
            claimed: Some(&address("alice@example.com")),
            offer: Offer::These(list),
            now: bench.now,
        })
    };
    let Decision::Challenge { values, .. } = check(&[]) else {
        panic!("not challenged");
    };
    let asked: Vec<Challenge> = values
        .iter()
        .map(|v| Challenge::parse(v).unwrap())
        .collect();
    let names: Vec<_> = asked.iter().filter_map(|c| c.algorithm).collect();
    assert_eq!(names, [Algorithm::Sha512_256, Algorithm::Sha256]);
    let answer = |algorithm: Algorithm, password: &str| {
        let challenge = Challenge {
            algorithm: Some(algorithm),
            ..asked[0].clone()
        };
        let ask = Ask {
            method: "MESSAGE",
            uri: "sip:bob@example.com",
            body: b"",
            cnonce: "c1",
        };
        let mut client = Client::new("alice", password);
        client.answer(&[challenge], &ask).unwrap()
    };
    let right = answer(Algorithm::Sha512_256, "secret");
    assert!(right.contains("algorithm=SHA-512-256"), "{right}");
    assert!(matches!(check(&[&right]), Decision::Granted(_)));
    let wrong = check(&[&answer(Algorithm::Sha512_256, "other")]);
    assert_eq!(cause(&wrong), Some(Cause::WrongResponse));
    // What is not offered is not taken: nobody is talked down to MD5.
    let weak = check(&[&answer(Algorithm::Md5, "secret")]);
    assert_eq!(cause(&weak), Some(Cause::Algorithm));
}

#[test]
fn only_ones_own_addresses_may_be_claimed() {
    let bench = Bench::new(GateSettings::default());
    let value = bench.answer(&mut plain("alice", "secret"));
    let Decision::Granted(granted) = bench.check(&[&value]) else {
        panic!()
    };
    let bind = |claimed: Option<&str>| {
        let claimed = claimed.map(address);
        bench.gate.bind(&granted.caller, claimed.as_ref())
    };
    assert_eq!(bind(None), Ok(address("alice@example.com")));
    assert_eq!(
        bind(Some("ALICE@Example.com")),
        Ok(address("alice@example.com"))
    );
    assert_eq!(
        bind(Some("alias1@example.com")),
        Ok(address("alias1@example.com"))
    );
    for claimed in ["bob@example.com", "alice@other.example", "x@y.z"] {
        assert_eq!(bind(Some(claimed)), Err(Error::Spoofed), "{claimed}");
    }
}
