//! NTLM and Negotiate at the gate: who gets in, and the attacks that must not.

use super::super::tests::{Bench, address};
use super::super::{GateSettings, Link, Shared, Verdicts};
use super::*;
use crate::config::Value as _;
use auth::ntlm::{Answer, Client, Ingredients, Session, Side};
use std::future::Future;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

const ALL: [Offered; 3] = [Offered::Negotiate, Offered::Ntlm, Offered::Digest];
const RVP: crate::core::id::Stack = crate::core::id::Stack::named("rvp");

/// The gate never waits for anything but a directory, and the directories here answer at once.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("waits"),
    }
}

pub(in crate::gate) struct Connection<'b> {
    bench: &'b Bench,
    pub(in crate::gate) link: Link,
    schemes: Vec<Offered>,
    pub(in crate::gate) certificate: Option<Vec<u8>>,
    pub(in crate::gate) relayed: bool,
    claimed: Address,
    peer: IpAddr,
}

impl<'b> Connection<'b> {
    pub(in crate::gate) fn new(bench: &'b Bench) -> Self {
        Self {
            bench,
            link: Link::default(),
            schemes: ALL.into(),
            certificate: None,
            relayed: false,
            claimed: address("alice@example.com"),
            peer: [192, 0, 2, 1].into(),
        }
    }

    pub(in crate::gate) fn send(&self, values: &[&str]) -> Decision {
        let (attempt, on) = self.asks(values, &[]);
        now(self.bench.gate.check_on(&attempt, &on))
    }

    /// The same where servers with these accounts may speak, and nobody else if they are `alone`.
    pub(in crate::gate) fn send_as_server(
        &self,
        values: &[&str],
        servers: &[(&str, &str)],
        alone: bool,
    ) -> Shared {
        let (attempt, on) = self.asks(values, servers);
        now(self.bench.gate.check_shared(&attempt, &on, alone))
    }

    fn asks<'a>(
        &'a self,
        values: &'a [&'a str],
        servers: &'a [(&'a str, &'a str)],
    ) -> (Attempt<'a>, On<'a>) {
        let on = On {
            link: &self.link,
            schemes: &self.schemes,
            certificate: self.certificate.as_deref(),
            relayed: self.relayed,
            servers,
        };
        let attempt = Attempt {
            values,
            method: "SUBSCRIBE",
            uri: "/instmsg/aliases/alice",
            body: b"",
            peer: self.peer,
            stack: RVP,
            domain: "example.com",
            claimed: Some(&self.claimed),
            offer: super::super::Offer::Md5,
            now: self.bench.now,
        };
        (attempt, on)
    }

    /// The first leg: the challenge.
    fn ask(&self, client: &Client) -> Vec<u8> {
        let token = token_of(&self.send(&[&value(Offered::Ntlm, &client.negotiate())]));
        token.expect("a challenge")
    }

    fn sign_in(&self, client: &Client) -> Decision {
        let challenge = self.ask(client);
        let answer = answer(client, &challenge, None);
        self.send(&[&value(Offered::Ntlm, &answer.message)])
    }
}

/// The token of a challenge that has but one value.
pub(in crate::gate) fn token_of(decision: &Decision) -> Option<Vec<u8>> {
    let Decision::Challenge { values, .. } = decision else {
        return None;
    };
    let [only] = values.as_slice() else {
        return None;
    };
    STANDARD.decode(only.split_once(' ')?.1).ok()
}

pub(in crate::gate) fn answer(
    client: &Client,
    challenge: &[u8],
    binding: Option<[u8; 16]>,
) -> Answer {
    let with = Ingredients {
        nonce: [0xaa; 8],
        session_key: [0x55; 16],
        now: 1,
        binding,
    };
    let negotiate = client.negotiate();
    client.authenticate(&negotiate, challenge, &with).unwrap()
}

fn alice() -> Client {
    Client::new("alice", "EXAMPLE", "secret")
}

fn who(decision: &Decision) -> Option<String> {
    match decision {
        Decision::Granted(granted) => {
            assert_eq!(granted.caller.scheme, Scheme::Ntlm);
            Some(granted.caller.address.to_string())
        }
        _ => None,
    }
}

#[test]
fn a_workstation_is_a_machine_unless_it_is_no_name() {
    for (workstation, want) in [
        ("DESK-7", Some("DESK-7")),
        (" DESK-7 ", Some("DESK-7")),
        ("", None),
        ("urn:uuid:1", None),
        ("\\\\DESK", None),
    ] {
        let user = Identity {
            workstation: workstation.to_owned(),
            ..Identity::default()
        };
        assert_eq!(machine(&user).as_deref(), want, "{workstation}");
    }
}

pub(in crate::gate) fn cause(decision: &Decision) -> Cause {
    match decision {
        Decision::Challenge {
            cause: Some(cause),
            values,
            ..
        } => {
            assert!(
                values
                    .iter()
                    .all(|value| value.starts_with("Digest ") || !value.contains(' ')),
                "asked from the start: {values:?}"
            );
            cause.clone()
        }
        Decision::Refused(cause) => cause.clone(),
        other => panic!("{other:?}"),
    }
}

pub(in crate::gate) fn bench() -> Bench {
    Bench::new(GateSettings {
        netbios: [("OTHER".to_owned(), "other.example".to_owned())].into(),
        host: "im.example.com".into(),
        ..GateSettings::default()
    })
}

#[test]
fn every_form_of_user_name_signs_in() {
    let bench = bench();
    for (domain, user, password, expected) in [
        ("EXAMPLE", "alice", "secret", "alice@example.com"),
        ("", "ALICE", "secret", "alice@example.com"),
        ("WORKSTATION7", "alice", "secret", "alice@example.com"),
        ("", "alice@example.com", "secret", "alice@example.com"),
        ("", "EXAMPLE\\alice", "secret", "alice@example.com"),
        ("other", "alice", "second", "alice@other.example"),
        ("Other.Example", "alice", "second", "alice@other.example"),
        ("", "alice@other.example", "second", "alice@other.example"),
        ("EXAMPLE", "alias1", "secret", "alice@example.com"),
    ] {
        let connection = Connection::new(&bench);
        let decision = connection.sign_in(&Client::new(user, domain, password));
        assert_eq!(
            who(&decision).as_deref(),
            Some(expected),
            "{domain}\\{user}"
        );
    }
}

#[test]
fn a_connection_stays_signed_in_until_other_credentials_come() {
    let bench = bench();
    let connection = Connection::new(&bench);
    connection.sign_in(&alice());
    for _ in 0..3 {
        let decision = connection.send(&[]);
        assert_eq!(who(&decision).as_deref(), Some("alice@example.com"));
    }
    // Bob on the same connection: from the first message on it is not Alice's any more.
    let bob = Client::new("bob", "EXAMPLE", "secret");
    let challenge = connection.ask(&bob);
    let wrong = Client::new("bob", "EXAMPLE", "wrong");
    let message = answer(&wrong, &challenge, None).message;
    let decision = connection.send(&[&value(Offered::Ntlm, &message)]);
    assert_eq!(cause(&decision), Cause::WrongPassword);
    assert_eq!(who(&connection.send(&[])), None);
    let decision = connection.sign_in(&bob);
    assert_eq!(who(&decision).as_deref(), Some("bob@example.com"));
}

#[test]
fn reuse_of_an_authenticated_connection_by_another_user_fails() {
    let bench = bench();
    let connection = Connection::new(&bench);
    let Decision::Granted(granted) = connection.sign_in(&alice()) else {
        panic!("alice is let in");
    };
    let bob = address("bob@example.com");
    let bound = bench.gate.bind(&granted.caller, Some(&bob));
    assert_eq!(bound, Err(crate::core::error::Error::Spoofed));
    // Any attempt at other credentials ends it, even one that leads nowhere.
    for values in [
        &["Digest username=\"bob\""][..],
        &["Basic Ym9iOnNlY3JldA=="],
        &["NTLM !"],
        &["NTLM"],
        &["Negotiate AAAA"],
    ] {
        connection.sign_in(&alice());
        connection.send(values);
        assert_eq!(who(&connection.send(&[])), None, "{values:?}");
    }
}

#[test]
fn a_last_message_without_a_first_is_refused() {
    let bench = bench();
    let challenged = Connection::new(&bench);
    let challenge = challenged.ask(&alice());
    let message = answer(&alice(), &challenge, None).message;
    for scheme in [Offered::Ntlm, Offered::Negotiate] {
        let other = Connection::new(&bench);
        let decision = other.send(&[&value(scheme, &message)]);
        assert_eq!(cause(&decision), Cause::NotChallenged);
    }
    // Where it was asked for, it counts: once, and under the scheme that asked.
    let other_scheme = challenged.send(&[&value(Offered::Negotiate, &message)]);
    assert_eq!(cause(&other_scheme), Cause::NotChallenged);
    let late = challenged.send(&[&value(Offered::Ntlm, &message)]);
    assert_eq!(cause(&late), Cause::NotChallenged, "the challenge is spent");
}

#[test]
fn answers_to_another_connections_challenge_are_refused() {
    let bench = bench();
    let (one, two) = (Connection::new(&bench), Connection::new(&bench));
    let challenge = one.ask(&alice());
    two.ask(&alice());
    let message = answer(&alice(), &challenge, None).message;
    let decision = two.send(&[&value(Offered::Ntlm, &message)]);
    assert_eq!(cause(&decision), Cause::WrongPassword);
    // And a replay of what let someone in.
    let decision = one.send(&[&value(Offered::Ntlm, &message)]);
    assert!(who(&decision).is_some());
    two.ask(&alice());
    let decision = two.send(&[&value(Offered::Ntlm, &message)]);
    assert_eq!(cause(&decision), Cause::WrongPassword);
    let decision = one.send(&[&value(Offered::Ntlm, &message)]);
    assert_eq!(cause(&decision), Cause::NotChallenged);
}

#[test]
fn random_proofs_and_missing_integrity_codes_are_refused() {
    let bench = bench();
    let connection = Connection::new(&bench);
    let challenge = connection.ask(&alice());
    let mut message = answer(&alice(), &challenge, None).message;
    // The proof stands first in the NT response, after the LM response of 24 octets.
    message[88 + 24..88 + 40].fill(0x5c);
    let decision = connection.send(&[&value(Offered::Ntlm, &message)]);
    assert_eq!(cause(&decision), Cause::WrongPassword);
    for altered in [0u8, 1] {
        let challenge = connection.ask(&alice());
        let mut message = answer(&alice(), &challenge, None).message;
        message[72..88].fill(altered);
        let decision = connection.send(&[&value(Offered::Ntlm, &message)]);
        assert_eq!(cause(&decision), Cause::Ntlm(Refusal::BadIntegrity));
    }
}

#[test]
fn a_client_bound_to_another_channel_is_refused() {
    let bench = bench();
    let mut connection = Connection::new(&bench);
    connection.certificate = Some(vec![1; 32]);
    for (bound_to, fine) in [
        (Some([1u8; 32]), true),
        (Some([2; 32]), false),
        (None, true),
    ] {
        let challenge = connection.ask(&alice());
        let binding = bound_to.map(|hash| ntlm::end_point_binding(&hash));
        let message = answer(&alice(), &challenge, binding).message;
        let decision = connection.send(&[&value(Offered::Ntlm, &message)]);
        assert_eq!(who(&decision).is_some(), fine, "{bound_to:?}");
        if !fine {
            assert_eq!(cause(&decision), Cause::Ntlm(Refusal::WrongChannel));
        }
    }
}

#[test]
fn schemes_are_offered_in_their_order_and_no_others_taken() {
    let bench = bench();
    let mut connection = Connection::new(&bench);
    let names = |decision: &Decision| -> Vec<String> {
        let Decision::Challenge { values, .. } = decision else {
            panic!("not challenged");
        };
        let word = |value: &String| value.split(' ').next().unwrap_or_default().to_owned();
        values.iter().map(word).collect()
    };
    assert_eq!(
        names(&connection.send(&[])),
        ["Negotiate", "NTLM", "Digest"]
    );
    connection.schemes = vec![Offered::Digest];
    assert_eq!(names(&connection.send(&[])), ["Digest"]);
    let decision = connection.send(&[&value(Offered::Ntlm, &alice().negotiate())]);
    assert_eq!(cause(&decision), Cause::NotOffered("NTLM".into()));
    connection.schemes = vec![Offered::Ntlm];
    assert_eq!(names(&connection.send(&[])), ["NTLM"]);
    let decision = connection.send(&["Digest username=\"alice\", realm=\"example.com\""]);
    assert_eq!(cause(&decision), Cause::NotOffered("Digest".into()));
    // Of several values the first that is offered counts.
    let several = ["Basic QQ==", &value(Offered::Ntlm, &alice().negotiate())];
    assert!(token_of(&connection.send(&several)).is_some());
    // Behind a proxy that may share connections NTLM proves nothing.
    connection.schemes = ALL.into();
    connection.sign_in(&alice());
    connection.relayed = true;
    assert_eq!(cause(&connection.send(&[])), Cause::Relayed);
    assert_eq!(names(&connection.send(&[])), ["Digest"]);
}

#[test]
fn weak_responses_need_their_network() {
    let mut settings = GateSettings::default();
    settings
        .weak_ntlm
        .extend(crate::config::Network::from_text("10.0.0.0/8"));
    let bench = Bench::new(settings);
    // Only the size tells NTLMv1 here: refused before anything is computed, or as a wrong proof.
    for (peer, expected) in [
        ([192, 0, 2, 1], Cause::Ntlm(Refusal::TooWeak)),
        ([10, 0, 0, 1], Cause::WrongPassword),
    ] {
        let mut connection = Connection::new(&bench);
        connection.peer = peer.into();
        let challenge = connection.ask(&alice());
        let mut message = answer(&alice(), &challenge, None).message;
        message[20..24].copy_from_slice(&[24, 0, 24, 0]);
        let decision = connection.send(&[&value(Offered::Ntlm, &message)]);
        assert_eq!(cause(&decision), expected, "{peer:?}");
    }
}

#[test]
fn true_causes_are_kept_for_explain() {
    let bench = bench();
    let connection = Connection::new(&bench);
    for (user, password, expected) in [
        ("nobody", "x", Cause::Digest(Fault::UnknownUser)),
        ("alice", "x", Cause::WrongPassword),
        ("carol", "secret", Cause::Digest(Fault::Suspended)),
    ] {
        let decision = connection.sign_in(&Client::new(user, "EXAMPLE", password));
        assert_eq!(cause(&decision), expected);
        let kept = bench
            .gate
            .refusals(&address(&format!("{user}@example.com")));
        assert_eq!(kept.first().map(|refusal| &refusal.cause), Some(&expected));
    }
    // What names nobody is kept for the sender that the request claims.
    connection.send(&["NTLM !!!"]);
    let kept = bench.gate.refusals(&address("alice@example.com"));
    assert_eq!(kept[0].cause, Cause::Token("NTLM"));
}

/// DER: tag, length, contents.
pub(in crate::gate) fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = u16::try_from(contents.len()).unwrap().to_be_bytes();
    [&[tag, 0x82], length.as_slice(), contents].concat()
}

pub(in crate::gate) const NTLMSSP: [u8; 12] = [6, 10, 0x2b, 6, 1, 4, 1, 0x82, 0x37, 2, 2, 10];
const KERBEROS: [u8; 11] = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 1, 2, 2];

/// The first token, with the list as the integrity code covers it.
pub(in crate::gate) fn init(mechanisms: &[&[u8]], token: Option<&[u8]>) -> (Vec<u8>, Vec<u8>) {
    let list = der(0x30, &mechanisms.concat());
    let mut fields = der(0xa0, &list);
    if let Some(token) = token {
        fields.extend(der(0xa2, &der(4, token)));
    }
    let spnego = [6u8, 6, 0x2b, 6, 1, 5, 5, 2];
    let body = [spnego.as_slice(), &der(0xa0, &der(0x30, &fields))].concat();
    (der(0x60, &body), list)
}

pub(in crate::gate) fn response(token: &[u8], integrity: Option<&[u8]>) -> Vec<u8> {
    let mut fields = der(0xa2, &der(4, token));
    if let Some(integrity) = integrity {
        fields.extend(der(0xa3, &der(4, integrity)));
    }
    der(0xa1, &der(0x30, &fields))
}

pub(in crate::gate) fn further(octets: &[u8]) -> spnego::Continue {
    match spnego::parse(octets) {
        Ok(Token::Continue(further)) => further,
        other => panic!("{other:?}"),
    }
}

#[test]
fn negotiate_wraps_ntlm() {
    let bench = bench();
    let send = |connection: &Connection<'_>, token: &[u8]| {
        connection.send(&[&value(Offered::Negotiate, token)])
    };
    // Bare.
    let connection = Connection::new(&bench);
    let challenge = token_of(&send(&connection, &alice().negotiate())).unwrap();
    let message = answer(&alice(), &challenge, None).message;
    assert!(who(&send(&connection, &message)).is_some());

    // First choice, at once.
    let connection = Connection::new(&bench);
    let (first, _) = init(&[&NTLMSSP], Some(&alice().negotiate()));
    let asked = further(&token_of(&send(&connection, &first)).unwrap());
    let message = answer(&alice(), &asked.token.unwrap(), None).message;
    let Decision::Granted(granted) = send(&connection, &response(&message, None)) else {
        panic!("not let in");
    };
    assert!(granted.answer.unwrap().starts_with("Negotiate "));

    // Kerberos first: agreed on NTLM in a leg of its own, the list protected.
    for (code, expected) in [
        (Some(true), None),
        (Some(false), Some(Cause::ListIntegrity)),
        (None, Some(Cause::ListIntegrity)),
    ] {
        let connection = Connection::new(&bench);
        let (first, list) = init(&[&KERBEROS, &NTLMSSP], Some(b"a ticket"));
        let agreed = token_of(&send(&connection, &first)).unwrap();
        assert_eq!(further(&agreed).token, None);
        let asked = send(&connection, &response(&alice().negotiate(), None));
        let asked = further(&token_of(&asked).unwrap());
        let answer = answer(&alice(), &asked.token.unwrap(), None);
        let session = |side| Session::new(side, &answer.session_key, answer.flags).unwrap();
        let code = code.map(|right| {
            let whole = if right {
                list.clone()
            } else {
                der(0x30, &NTLMSSP)
            };
            session(Side::Client).sign(&whole)
        });
        let code = code.as_ref().map(<[u8; 16]>::as_slice);
        let decision = send(&connection, &response(&answer.message, code));
        if let Some(expected) = expected {
            assert_eq!(cause(&decision), expected);
            assert_eq!(who(&connection.send(&[])), None);
            continue;
        }
        let Decision::Granted(granted) = decision else {
            panic!("not let in: {decision:?}");
        };
        let last = granted.answer.unwrap();
        let last = further(&STANDARD.decode(&last["Negotiate ".len()..]).unwrap());
        assert!(session(Side::Server).verify(&list, &last.integrity.unwrap()));
    }

    // Kerberos alone.
    let connection = Connection::new(&bench);
    let (first, _) = init(&[&KERBEROS], Some(b"a ticket"));
    assert_eq!(cause(&send(&connection, &first)), Cause::Mechanism);
}

/// A directory that knows one password, or only says no.
struct Book(Result<&'static str, NoVerdict>);

impl Verdicts for Book {
    fn judge(
        &self,
        question: Question,
    ) -> Pin<Box<dyn Future<Output = Result<[u8; 16], NoVerdict>> + Send + '_>> {
        assert_eq!(
            (question.user.as_str(), question.domain.as_str()),
            ("alice", "EXAMPLE")
        );
        assert_eq!(question.lm_response.len(), 24);
        let verdict = self.0.clone().map(|password| {
            let client = Client::new("alice", "EXAMPLE", password);
            client.session_base(&question.challenge, &question.nt_response)
        });
        Box::pin(std::future::ready(verdict))
    }
}

#[test]
fn a_directory_decides_where_one_is_configured() {
    for (said, expected) in [
        (Ok("its own"), None),
        // A wrong key: the integrity code gives it away.
        (Ok("another"), Some(Cause::Ntlm(Refusal::BadIntegrity))),
        (
            Err(NoVerdict::Refused("NT_STATUS_WRONG_PASSWORD".into())),
            Some(Cause::WrongPassword),
        ),
        (
            Err(NoVerdict::Refused("NT_STATUS_TIME_DIFFERENCE_AT_DC".into())),
            Some(Cause::Clock("NT_STATUS_TIME_DIFFERENCE_AT_DC".into())),
        ),
        (
            Err(NoVerdict::Refused("NT_STATUS_ACCOUNT_LOCKED_OUT".into())),
            Some(Cause::Directory("NT_STATUS_ACCOUNT_LOCKED_OUT".into())),
        ),
        (
            Err(NoVerdict::Unavailable("no helper".into())),
            Some(Cause::Unavailable("no helper".into())),
        ),
    ] {
        let mut bench = bench();
        let judge = Judge::Directory(Arc::new(Book(said)));
        bench.gate = bench.gate.with_judge(judge);
        let connection = Connection::new(&bench);
        let decision = connection.sign_in(&Client::new("alice", "EXAMPLE", "its own"));
        match expected {
            None => assert_eq!(who(&decision).as_deref(), Some("alice@example.com")),
            Some(expected) => assert_eq!(cause(&decision), expected),
        }
    }
}
