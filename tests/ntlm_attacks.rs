//! The attacks on NTLM over HTTP, against the real binary over real sockets: what one connection
//! proves counts on that connection, once, for that user.

mod support;

use auth::ntlm::{Client, Ingredients};
use support::keepalive::{Answer, Connection};
use support::server::Server;

/// SUBSCRIBE as `claimed`, with this NTLM token or none.
fn send(connection: &mut Connection, claimed: &str, token: Option<&[u8]>) -> Answer {
    connection.send(claimed, token.map(|token| ("NTLM", token)))
}

/// The first leg; the challenge.
fn challenge(connection: &mut Connection, client: &Client, claimed: &str) -> Vec<u8> {
    let asked = send(connection, claimed, Some(&client.negotiate()));
    assert_eq!(asked.status, 401);
    asked.token("NTLM").expect("a challenge")
}

fn last(client: &Client, challenge: &[u8]) -> Vec<u8> {
    let with = Ingredients {
        nonce: [7; 8],
        session_key: [9; 16],
        now: 1,
        binding: None,
    };
    let answer = client.authenticate(&client.negotiate(), challenge, &with);
    answer.expect("a challenge").message
}

fn user(name: &str) -> Client {
    Client::new(name, "EXAMPLE", name)
}

#[test]
fn what_one_connection_proves_counts_there_only() {
    let server = Server::start_rvp(&["alice", "bob"], "auth = [\"ntlm\", \"digest\"]", "");
    let alice = user("alice");
    let connect = || Connection::new(&server);

    // The right way, and the connection stays alice's.
    let mut first = connect();
    let asked = challenge(&mut first, &alice, "alice");
    let proof = last(&alice, &asked);
    assert_eq!(send(&mut first, "alice", Some(&proof)).status, 200);
    assert_eq!(send(&mut first, "alice", None).status, 200);

    // Another user on her connection, by name alone.
    assert_eq!(send(&mut first, "bob", None).status, 403);
    // A last message without a first.
    assert_eq!(send(&mut connect(), "alice", Some(&proof)).status, 401);
    // The same on a connection that was challenged itself: a replay.
    let mut second = connect();
    let other = challenge(&mut second, &alice, "alice");
    assert_ne!(asked, other, "challenges differ");
    assert_eq!(send(&mut second, "alice", Some(&proof)).status, 401);
    assert_eq!(send(&mut second, "alice", None).status, 401);
    // A right answer to another connection's challenge.
    let (mut third, mut fourth) = (connect(), connect());
    let theirs = challenge(&mut third, &alice, "alice");
    challenge(&mut fourth, &alice, "alice");
    assert_eq!(
        send(&mut fourth, "alice", Some(&last(&alice, &theirs))).status,
        401
    );
    // Somebody else's proof for her name.
    let mut fifth = connect();
    let asked = challenge(&mut fifth, &user("bob"), "alice");
    let bobs = last(&user("bob"), &asked);
    assert_eq!(send(&mut fifth, "alice", Some(&bobs)).status, 403);
    assert_eq!(send(&mut fifth, "bob", None).status, 200, "but he is bob");
    // A random proof, and the integrity code taken out.
    for (from, to) in [(88 + 24, 88 + 40), (72, 88)] {
        let mut connection = connect();
        let asked = challenge(&mut connection, &alice, "alice");
        let mut message = last(&alice, &asked);
        message[from..to].fill(0);
        assert_eq!(send(&mut connection, "alice", Some(&message)).status, 401);
        assert_eq!(send(&mut connection, "alice", None).status, 401);
    }
    // A new exchange on her connection that fails ends what it had proved.
    challenge(&mut first, &user("bob"), "bob");
    assert_eq!(send(&mut first, "alice", None).status, 401);
    assert_eq!(send(&mut first, "alice", None).status, 401);
}

/// A password changed by the operator ends the connections that proved the old one.
#[test]
fn a_changed_password_ends_connections() {
    let server = Server::start_rvp(&["alice"], "auth = [\"ntlm\"]", "");
    let alice = user("alice");
    let mut connection = Connection::new(&server);
    let asked = challenge(&mut connection, &alice, "alice");
    let proof = last(&alice, &asked);
    assert_eq!(send(&mut connection, "alice", Some(&proof)).status, 200);
    let file = server.scratch("users").join("changed.csv");
    let rows = "address,password,display_name\nalice@example.com,another,\n";
    std::fs::write(&file, rows).expect("written");
    let changed = server
        .command(&["user", "import"])
        .arg(&file)
        .output()
        .expect("runs");
    assert!(changed.status.success(), "{changed:?}");
    assert_eq!(send(&mut connection, "alice", None).status, 401);
    let told = server.command(&["explain", "alice@example.com"]).output();
    let told = String::from_utf8_lossy(&told.expect("runs").stdout).into_owned();
    assert!(told.contains("the account changed"), "{told}");
}
