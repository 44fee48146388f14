//! The attacks on NTLM over HTTP, against the real binary over real sockets: what one connection
//! proves counts on that connection, once, for that user.

mod support;

use auth::ntlm::{Client, Ingredients};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;
use support::server::Server;

/// One kept-alive connection.
struct Connection(TcpStream);

/// Status and the NTLM token of an answer.
struct Answer {
    status: u16,
    token: Option<Vec<u8>>,
}

impl Connection {
    fn new(server: &Server) -> Self {
        let stream = TcpStream::connect(server.rvp).expect("a connection");
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).expect("a time-out");
        Self(stream)
    }

    /// SUBSCRIBE as `claimed`, with this NTLM token or none.
    fn send(&mut self, claimed: &str, token: Option<&[u8]>) -> Answer {
        let credentials = token.map_or_else(String::new, |token| {
            format!("Authorization: NTLM {}\r\n", STANDARD.encode(token))
        });
        let request = format!(
            "SUBSCRIBE /instmsg/aliases/{claimed} HTTP/1.1\r\nHost: im.example.com\r\n\
             RVP-Notifications-Version: 0.2\r\n\
             RVP-From-Principal: http://im.example.com/instmsg/aliases/{claimed}\r\n\
             Notification-Type: pragma/notify\r\nSubscription-Lifetime: 600\r\n\
             Call-Back: http://127.0.0.1:1025/\r\n{credentials}Content-Length: 0\r\n\r\n"
        );
        self.0.write_all(request.as_bytes()).expect("written");
        self.answer()
    }

    fn answer(&mut self) -> Answer {
        let mut octets = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let text = String::from_utf8_lossy(&octets).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let field = |name: &str| {
                    head.lines().find_map(|line| {
                        let (key, value) = line.split_once(": ")?;
                        let wanted = key.eq_ignore_ascii_case(name);
                        (wanted && !value.starts_with("Digest")).then(|| value.to_owned())
                    })
                };
                let length = field("content-length")
                    .and_then(|l| l.parse().ok())
                    .unwrap_or(0);
                if body.len() >= length {
                    let challenge = field("www-authenticate").unwrap_or_default();
                    let token = challenge.strip_prefix("NTLM ");
                    return Answer {
                        status: head[9..12].parse().expect("a status"),
                        token: token.map(|token| STANDARD.decode(token).expect("base64")),
                    };
                }
            }
            let count = self.0.read(&mut chunk).expect("an answer");
            assert!(count > 0, "closed: {text}");
            octets.extend_from_slice(&chunk[..count]);
        }
    }

    /// The first leg; the challenge.
    fn challenge(&mut self, client: &Client, claimed: &str) -> Vec<u8> {
        let asked = self.send(claimed, Some(&client.negotiate()));
        assert_eq!(asked.status, 401);
        asked.token.expect("a challenge")
    }
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
    let challenge = first.challenge(&alice, "alice");
    let proof = last(&alice, &challenge);
    assert_eq!(first.send("alice", Some(&proof)).status, 200);
    assert_eq!(first.send("alice", None).status, 200);

    // Another user on her connection, by name alone.
    assert_eq!(first.send("bob", None).status, 403);
    // A last message without a first.
    assert_eq!(connect().send("alice", Some(&proof)).status, 401);
    // The same on a connection that was challenged itself: a replay.
    let mut second = connect();
    let other = second.challenge(&alice, "alice");
    assert_ne!(challenge, other, "challenges differ");
    assert_eq!(second.send("alice", Some(&proof)).status, 401);
    assert_eq!(second.send("alice", None).status, 401);
    // A right answer to another connection's challenge.
    let (mut third, mut fourth) = (connect(), connect());
    let theirs = third.challenge(&alice, "alice");
    fourth.challenge(&alice, "alice");
    assert_eq!(
        fourth.send("alice", Some(&last(&alice, &theirs))).status,
        401
    );
    // Somebody else's proof for her name.
    let mut fifth = connect();
    let challenge = fifth.challenge(&user("bob"), "alice");
    let bobs = last(&user("bob"), &challenge);
    assert_eq!(fifth.send("alice", Some(&bobs)).status, 403);
    assert_eq!(fifth.send("bob", None).status, 200, "but he is bob");
    // A random proof, and the integrity code taken out.
    for (from, to) in [(88 + 24, 88 + 40), (72, 88)] {
        let mut connection = connect();
        let challenge = connection.challenge(&alice, "alice");
        let mut message = last(&alice, &challenge);
        message[from..to].fill(0);
        assert_eq!(connection.send("alice", Some(&message)).status, 401);
        assert_eq!(connection.send("alice", None).status, 401);
    }
    // A new exchange on her connection that fails ends what it had proved.
    first.challenge(&user("bob"), "bob");
    assert_eq!(first.send("alice", None).status, 401);
    assert_eq!(first.send("alice", None).status, 401);
}

/// A password changed by the operator ends the connections that proved the old one.
#[test]
fn a_changed_password_ends_connections() {
    let server = Server::start_rvp(&["alice"], "auth = [\"ntlm\"]", "");
    let alice = user("alice");
    let mut connection = Connection::new(&server);
    let challenge = connection.challenge(&alice, "alice");
    let proof = last(&alice, &challenge);
    assert_eq!(connection.send("alice", Some(&proof)).status, 200);
    let file = server.scratch("users").join("changed.csv");
    let rows = "address,password,display_name\nalice@example.com,another,\n";
    std::fs::write(&file, rows).expect("written");
    let changed = server
        .command(&["user", "import"])
        .arg(&file)
        .output()
        .expect("runs");
    assert!(changed.status.success(), "{changed:?}");
    assert_eq!(connection.send("alice", None).status, 401);
    let told = server.command(&["explain", "alice@example.com"]).output();
    let told = String::from_utf8_lossy(&told.expect("runs").stdout).into_owned();
    assert!(told.contains("the account changed"), "{told}");
}
