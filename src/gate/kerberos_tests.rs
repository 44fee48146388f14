//! Tickets at the gate, checked by a library that believes what it is told. `tests/kerberos.rs`
//! proves the system's own.

use super::super::Decision;
use super::super::ntlm::tests::{Connection, bench, cause, der, further, init, response, token_of};
use super::super::tests::{Bench, address};
use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const NTLMSSP: [u8; 12] = [6, 10, 0x2b, 6, 1, 4, 1, 0x82, 0x37, 2, 2, 10];
const KERBEROS: [u8; 11] = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 1, 2, 2];
const WINDOWS: [u8; 11] = [6, 9, 0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 1, 2, 2];
const UNKNOWN: [u8; 4] = [6, 2, 0x2a, 3];

/// Reads tokens of the form `client>service`; `!WORD` is a fault.
struct Book;

#[derive(Debug)]
struct Plain;

impl Codes for Plain {
    fn sign(&mut self, octets: &[u8]) -> Option<Vec<u8>> {
        Some([b"server:", octets].concat())
    }

    fn verify(&mut self, octets: &[u8], code: &[u8]) -> bool {
        [b"client:", octets].concat() == code
    }
}

impl Tickets for Book {
    fn accept(&self, token: Vec<u8>, binding: Option<Vec<u8>>) -> Acceptance<'_> {
        let text = String::from_utf8(token).unwrap();
        let answer = match text.split_once('>') {
            Some((client, service)) => Ok(Accepted {
                client: client.to_owned(),
                service: service.to_owned(),
                answer: binding.or_else(|| Some(b"answer".to_vec())),
                lifetime: Duration::from_secs(60),
                codes: Box::new(Plain),
            }),
            None => Err(match text.as_str() {
                "!clock" => NoTicket::Clock("too far".into()),
                "!replay" => NoTicket::Replayed,
                _ => NoTicket::Unavailable("no keytab".into()),
            }),
        };
        Box::pin(std::future::ready(answer))
    }
}

fn kerberised() -> Bench {
    let mut bench = bench();
    bench.gate = bench.gate.with_kerberos(Some(Kerberos {
        tickets: Arc::new(Book),
        services: vec!["HTTP".into(), "sip/im.example.com".into()],
        realms: [
            ("EXAMPLE.COM".to_owned(), "example.com".to_owned()),
            ("OTHER.REALM".to_owned(), "other.example".to_owned()),
        ]
        .into(),
    }));
    bench
}

fn send(connection: &Connection<'_>, token: &[u8]) -> Decision {
    connection.send(&[&format!("Negotiate {}", STANDARD.encode(token))])
}

/// One token with Kerberos as first choice.
fn show(connection: &Connection<'_>, ticket: &str) -> Decision {
    let (first, _) = init(&[&KERBEROS, &NTLMSSP], Some(ticket.as_bytes()));
    send(connection, &first)
}

fn granted(decision: Decision) -> (String, Vec<u8>) {
    let Decision::Granted(granted) = decision else {
        panic!("not let in: {decision:?}");
    };
    assert_eq!(granted.caller.scheme, Scheme::Kerberos);
    let answer = granted.answer.unwrap_or_default();
    let answer = STANDARD.decode(answer.trim_start_matches("Negotiate "));
    (granted.caller.address.to_string(), answer.unwrap())
}

#[test]
fn principals_are_people_by_the_table_of_realms() {
    let bench = kerberised();
    for (ticket, expected) in [
        (
            "alice@EXAMPLE.COM>HTTP/im.example.com@EXAMPLE.COM",
            "alice@example.com",
        ),
        (
            "Alice@EXAMPLE.COM>HTTP/any.host@EXAMPLE.COM",
            "alice@example.com",
        ),
        (
            "alice@OTHER.REALM>sip/IM.example.com@EXAMPLE.COM",
            "alice@other.example",
        ),
        ("alias1@EXAMPLE.COM>HTTP/x@EXAMPLE.COM", "alice@example.com"),
    ] {
        let connection = Connection::new(&bench);
        let (who, answer) = granted(show(&connection, ticket));
        assert_eq!(who, expected, "{ticket}");
        assert_eq!(further(&answer).token.as_deref(), Some(&b"answer"[..]));
        let Decision::Granted(again) = connection.send(&[]) else {
            panic!("the connection is not theirs");
        };
        assert_eq!(again.caller.scheme, Scheme::Kerberos);
    }
}

#[test]
fn tickets_that_do_not_count_are_refused_with_their_cause() {
    let bench = kerberised();
    let clock = Cause::Clock("too far".into());
    for (ticket, expected) in [
        (
            "alice@EXAMPLE.COM>host/im.example.com@EXAMPLE.COM",
            Cause::Service("host/im.example.com@EXAMPLE.COM".into()),
        ),
        (
            "alice@EXAMPLE.COM>http/im.example.com@EXAMPLE.COM",
            Cause::Service("http/im.example.com@EXAMPLE.COM".into()),
        ),
        (
            "alice@EXAMPLE.COM>sip/other@EXAMPLE.COM",
            Cause::Service("sip/other@EXAMPLE.COM".into()),
        ),
        (
            "alice@EXAMPLE.COM>HTTP@EXAMPLE.COM",
            Cause::Service("HTTP@EXAMPLE.COM".into()),
        ),
        (
            "alice@EVIL.REALM>HTTP/x@EXAMPLE.COM",
            Cause::Realm("EVIL.REALM".into()),
        ),
        (
            "alice@example.com>HTTP/x@EXAMPLE.COM",
            Cause::Realm("example.com".into()),
        ),
        (
            "alice/admin@EXAMPLE.COM>HTTP/x@EXAMPLE.COM",
            Cause::Principal("alice/admin@EXAMPLE.COM".into()),
        ),
        (
            "alice\\@x@EXAMPLE.COM>HTTP/x@EXAMPLE.COM",
            Cause::Principal("alice\\@x@EXAMPLE.COM".into()),
        ),
        ("alice>HTTP/x@EXAMPLE.COM", Cause::Principal("alice".into())),
        (
            "nobody@EXAMPLE.COM>HTTP/x@EXAMPLE.COM",
            Cause::Digest(Fault::UnknownUser),
        ),
        (
            "carol@EXAMPLE.COM>HTTP/x@EXAMPLE.COM",
            Cause::Digest(Fault::Suspended),
        ),
        ("!clock", clock),
        ("!replay", Cause::Ticket(NoTicket::Replayed)),
        (
            "!else",
            Cause::Ticket(NoTicket::Unavailable("no keytab".into())),
        ),
    ] {
        let connection = Connection::new(&bench);
        assert_eq!(cause(&show(&connection, ticket)), expected, "{ticket}");
        let after = connection.send(&[]);
        assert!(
            matches!(after, Decision::Challenge { cause: None, .. }),
            "{after:?}"
        );
    }
    // Somebody the realm knows and we don't is found by the address he would have.
    for (who, cause) in [
        ("nobody@example.com", Fault::UnknownUser),
        ("carol@example.com", Fault::Suspended),
    ] {
        let kept = bench.gate.refusals(&address(who));
        assert_eq!(kept[0].cause, cause.into());
    }
    // What has no name yet is kept for the sender that the request claims.
    let kept = bench.gate.refusals(&address("alice@example.com"));
    assert!(
        kept.iter()
            .any(|kept| kept.cause == Cause::Ticket(NoTicket::Replayed))
    );
}

#[test]
fn a_connection_ends_with_its_ticket() {
    let mut bench = kerberised();
    let ticket = "alice@EXAMPLE.COM>HTTP/x@EXAMPLE.COM";
    let link = {
        let connection = Connection::new(&bench);
        granted(show(&connection, ticket));
        connection.link
    };
    for (after, still) in [(59_000, true), (1000, false)] {
        bench.now.0 += after;
        let mut connection = Connection::new(&bench);
        connection.link = crate::gate::Link::default();
        if let Some(state) = link.take() {
            connection.link.put(state);
        }
        let decision = connection.send(&[]);
        assert_eq!(
            matches!(decision, Decision::Granted(_)),
            still,
            "{decision:?}"
        );
        if still {
            link.put(connection.link.take().unwrap());
        } else {
            assert_eq!(cause(&decision), Cause::Ended);
        }
    }
}

/// RFC 4178 5: whatever was not the client's first choice needs codes over the list.
#[test]
fn a_ticket_that_was_asked_for_needs_codes_over_the_list() {
    let bench = kerberised();
    let ticket = b"alice@EXAMPLE.COM>HTTP/x@EXAMPLE.COM";
    let mechanisms: [&[u8]; 2] = [&UNKNOWN, &WINDOWS];
    let (hello, list) = init(&mechanisms, Some(b"of another mechanism"));
    let right = [b"client:", list.as_slice()].concat();
    let wrong = [b"client:".as_slice(), &der(0x30, &WINDOWS)].concat();
    // The code in a leg of its own, after ours.
    for (code, good) in [(Some(&right), true), (Some(&wrong), false), (None, false)] {
        let connection = Connection::new(&bench);
        let agreed = token_of(&send(&connection, &hello)).unwrap();
        assert!(
            agreed.windows(9).any(|w| w == &WINDOWS[2..]),
            "under the client's identifier"
        );
        let proof = send(&connection, &response(ticket, None));
        let proof = further(&token_of(&proof).unwrap());
        assert_eq!(proof.token.as_deref(), Some(&b"answer"[..]));
        let ours = [b"server:", list.as_slice()].concat();
        assert_eq!(proof.integrity, Some(ours));
        let nobody = connection.link.take().unwrap();
        assert!(
            matches!(nobody, super::super::link::State::Asked(_)),
            "not signed in yet"
        );
        connection.link.put(nobody);
        let last = response(b"", code.map(Vec::as_slice));
        let decision = send(&connection, &last);
        if good {
            assert_eq!(granted(decision).0, "alice@example.com");
        } else {
            assert_eq!(cause(&decision), Cause::ListIntegrity);
        }
    }
    // And along with the ticket.
    for (code, good) in [(&right, true), (&wrong, false)] {
        let connection = Connection::new(&bench);
        send(&connection, &hello);
        let decision = send(&connection, &response(ticket, Some(code)));
        if good {
            assert!(further(&granted(decision).1).integrity.is_some());
        } else {
            assert_eq!(cause(&decision), Cause::ListIntegrity);
        }
    }
}

#[test]
fn the_client_decides_between_mechanisms() {
    let bench = kerberised();
    // No ticket yet: asked for.
    let connection = Connection::new(&bench);
    let (hello, _) = init(&[&KERBEROS, &NTLMSSP], None);
    assert!(token_of(&send(&connection, &hello)).is_some());
    let ticket = b"alice@EXAMPLE.COM>HTTP/x@EXAMPLE.COM";
    granted(send(&connection, &response(ticket, None)));
    // NTLM first: NTLM, although Kerberos is spoken.
    let connection = Connection::new(&bench);
    let (hello, _) = init(&[&NTLMSSP, &KERBEROS], None);
    let agreed = token_of(&send(&connection, &hello)).unwrap();
    assert!(agreed.windows(10).any(|window| window == &NTLMSSP[2..]));
    // A ticket where NTLM was agreed on is none.
    let decision = send(&connection, &response(ticket, None));
    assert!(!matches!(decision, Decision::Granted(_)));
    // A ticket out of nowhere, with no list before it.
    let connection = Connection::new(&bench);
    let decision = send(&connection, &response(ticket, None));
    assert_eq!(cause(&decision), Cause::NotChallenged);
}

#[test]
fn the_channel_is_handed_to_the_library() {
    let bench = kerberised();
    let mut connection = Connection::new(&bench);
    connection.certificate = Some(vec![1, 2, 3]);
    let decision = show(&connection, "alice@EXAMPLE.COM>HTTP/x@EXAMPLE.COM");
    let seen = further(&granted(decision).1).token.unwrap();
    assert_eq!(seen, b"tls-server-end-point:\x01\x02\x03");
}

#[test]
fn the_librarys_causes_by_number_or_by_words() {
    for (number, text, expected) in [
        (37, "why", NoTicket::Clock("why".into())),
        (34, "why", NoTicket::Replayed),
        (32, "why", NoTicket::Expired("why".into())),
        (33, "why", NoTicket::Expired("why".into())),
        (35, "why", NoTicket::NoKey("why".into())),
        (41, "why", NoTicket::Refused("why".into())),
        (
            7,
            "Unspecified GSS failure.  Minor code may provide more information (Clock skew too great)",
            NoTicket::Clock("Clock skew too great".into()),
        ),
        (
            7,
            "Keytab (of old)",
            NoTicket::NoKey("Keytab (of old)".into()),
        ),
        (7, "Request is a replay", NoTicket::Replayed),
        (
            7,
            "Ticket expired",
            NoTicket::Expired("Ticket expired".into()),
        ),
        (
            7,
            "No key table entry found",
            NoTicket::NoKey("No key table entry found".into()),
        ),
    ] {
        assert_eq!(NoTicket::named(number, text), expected, "{text}");
    }
}
