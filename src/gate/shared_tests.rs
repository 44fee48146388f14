//! NTLM of other servers at the gate: by shared accounts, bound to the connection.

use super::super::ntlm::tests::{
    Connection, NTLMSSP, answer, bench, cause, further, init, response, token_of,
};
use super::*;
use auth::ntlm::Client;

const PAIRS: [(&str, &str); 1] = [("EXAMPLE\\B-Server", "shared")];

fn ntlm(octets: &[u8]) -> String {
    value(Offered::Ntlm, octets)
}

fn server(password: &str) -> Client {
    Client::new("b-server", "", password)
}

/// Both legs of an exchange where only servers may speak.
fn proves(connection: &Connection<'_>, client: &Client, pairs: &[(&str, &str)]) -> Shared {
    let first = connection.send_as_server(&[&ntlm(&client.negotiate())], pairs, true);
    let challenge = token_of(&decision(first)).expect("a challenge");
    let message = answer(client, &challenge, None).message;
    connection.send_as_server(&[&ntlm(&message)], pairs, true)
}

fn decision(shared: Shared) -> Decision {
    match shared {
        Shared::Not(decision) => decision,
        other => panic!("{other:?}"),
    }
}

fn proved(shared: &Shared) -> bool {
    matches!(shared, Shared::Proved(_))
}

#[test]
fn ntlm_proves_the_connection_of_a_server_and_no_other() {
    let bench = bench();
    let (connection, other) = (Connection::new(&bench), Connection::new(&bench));
    assert!(proved(&proves(&connection, &server("shared"), &PAIRS)));
    // From now on without credentials, on this connection alone.
    for _ in 0..2 {
        assert!(proved(&connection.send_as_server(&[], &PAIRS, true)));
    }
    assert!(matches!(
        other.send_as_server(&[], &PAIRS, true),
        Shared::NotNamed
    ));
    // For people that another server speaks for, under the same name and another password, it
    // proves nothing, and for none of ours.
    let others = [("B-Server", "another")];
    assert!(!proved(&connection.send_as_server(&[], &others, true)));
    assert!(!proved(&connection.send_as_server(&[], &[], true)));
    assert!(matches!(connection.send(&[]), Decision::Challenge { .. }));
    // A request in a person's place has ended what the connection had proved.
    assert!(!proved(&connection.send_as_server(&[], &PAIRS, true)));
}

#[test]
fn wrong_passwords_and_unknown_names_are_told_apart_in_the_log_alone() {
    let bench = bench();
    let connection = Connection::new(&bench);
    for (client, want) in [
        (server("else"), Cause::WrongPassword),
        (
            Client::new("alice", "EXAMPLE", "secret"),
            Cause::Digest(Fault::UnknownUser),
        ),
    ] {
        let refused = decision(proves(&connection, &client, &PAIRS));
        assert_eq!(cause(&refused), want);
        assert!(!proved(&connection.send_as_server(&[], &PAIRS, true)));
    }
}

#[test]
fn answers_to_another_connections_challenge_are_refused() {
    let bench = bench();
    let (connection, other) = (Connection::new(&bench), Connection::new(&bench));
    let client = server("shared");
    let first = ntlm(&client.negotiate());
    let challenge = decision(connection.send_as_server(&[&first], &PAIRS, true));
    let challenge = token_of(&challenge).unwrap();
    let message = ntlm(&answer(&client, &challenge, None).message);
    // Without a first message, and after one of its own.
    let refused = decision(other.send_as_server(&[&message], &PAIRS, true));
    assert_eq!(cause(&refused), Cause::NotChallenged);
    other.send_as_server(&[&first], &PAIRS, true);
    let refused = decision(other.send_as_server(&[&message], &PAIRS, true));
    assert_eq!(cause(&refused), Cause::WrongPassword);
    // Once, where it belongs.
    assert!(proved(&connection.send_as_server(
        &[&message],
        &PAIRS,
        true
    )));
    let again = decision(connection.send_as_server(&[&message], &PAIRS, true));
    assert_eq!(cause(&again), Cause::NotChallenged);
    // A proxy may share its connection between many.
    let mut relayed = Connection::new(&bench);
    relayed.relayed = true;
    assert!(matches!(
        relayed.send_as_server(&[&first], &PAIRS, true),
        Shared::NotNamed
    ));
}

#[test]
fn people_and_servers_sign_in_side_by_side() {
    let bench = bench();
    let connection = Connection::new(&bench);
    for (client, is_server) in [
        (Client::new("alice", "EXAMPLE", "secret"), false),
        (server("shared"), true),
    ] {
        // Nobody knows yet whose the first message is: it is a person's.
        let first = ntlm(&client.negotiate());
        let not_yet = connection.send_as_server(&[&first], &PAIRS, false);
        assert!(matches!(not_yet, Shared::NotNamed));
        let challenge = token_of(&connection.send(&[&first])).unwrap();
        let last = ntlm(&answer(&client, &challenge, None).message);
        let shared = connection.send_as_server(&[&last], &PAIRS, false);
        assert_eq!(proved(&shared), is_server, "{shared:?}");
        if !is_server {
            assert!(matches!(shared, Shared::NotNamed));
            let decision = connection.send(&[&last]);
            assert!(matches!(decision, Decision::Granted(_)), "{decision:?}");
        }
    }
}

#[test]
fn negotiate_wraps_the_ntlm_of_servers() {
    let bench = bench();
    let client = server("shared");
    for password in ["shared", "wrong"] {
        let connection = Connection::new(&bench);
        let send = |token: &[u8]| {
            connection.send_as_server(&[&value(Offered::Negotiate, token)], &PAIRS, true)
        };
        let (first, _) = init(&[&NTLMSSP], Some(&client.negotiate()));
        let asked = further(&token_of(&decision(send(&first))).unwrap());
        let told = answer(&server(password), &asked.token.unwrap(), None);
        match (send(&response(&told.message, None)), password) {
            (Shared::Proved(Some(end)), "shared") => assert!(end.starts_with("Negotiate ")),
            (Shared::Not(refused), "wrong") => assert_eq!(cause(&refused), Cause::WrongPassword),
            (other, _) => panic!("{password}: {other:?}"),
        }
        let stays = proved(&connection.send_as_server(&[], &PAIRS, true));
        assert_eq!(stays, password == "shared");
    }
}
