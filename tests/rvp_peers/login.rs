//! Peers that want us to prove ourselves: by Digest, or by NTLM, which proves a connection.

use crate::house::{House, Inbox};
use crate::mock::say;
use crate::resolver::Resolver;
use auth::digest::{Algorithm, Credentials, Exchange, ha1};
use auth::ntlm::{Acceptor, Policy, nt_hash};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const USER: &str = "a-server";
const PASSWORD: &str = "shared by both";

#[derive(Clone, Copy, PartialEq)]
enum Wants {
    Digest,
    Ntlm,
    /// Offered in this order.
    Both,
}

/// A peer, and what it saw: connection, and the scheme in the request.
async fn peer(wants: Wants, close_after: usize) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        let mut number = 0;
        while let Ok((stream, _)) = listener.accept().await {
            number += 1;
            let (log, number) = (Arc::clone(&log), number);
            tokio::spawn(async move { talk(stream, wants, close_after, &log, number).await });
        }
    });
    (at, seen)
}

async fn talk(
    mut stream: TcpStream,
    wants: Wants,
    close_after: usize,
    log: &Mutex<Vec<String>>,
    number: usize,
) {
    let mut exchange = None;
    let mut proved = false;
    let mut taken = 0;
    while let Some((head, _body)) = request(&mut stream).await {
        let value = head
            .lines()
            .find_map(|line| line.strip_prefix("Authorization: "))
            .map(str::to_owned);
        let scheme = value.as_deref().unwrap_or("none");
        let scheme = scheme.split(' ').next().unwrap_or_default().to_owned();
        log.lock().unwrap().push(format!("{number} {scheme}"));
        let mut challenge = match wants {
            Wants::Digest => vec![digest()],
            Wants::Ntlm => vec!["NTLM".to_owned()],
            Wants::Both => vec!["NTLM".to_owned(), digest()],
        };
        match value.as_deref() {
            Some(value) if value.starts_with("NTLM ") && wants != Wants::Digest => {
                let token = BASE64.decode(&value[5..]).unwrap();
                let acceptor = Acceptor::new("B", "im.b.example", Policy::default());
                match exchange.take() {
                    None => {
                        let made = acceptor.challenge(&token, [5; 8], 0).unwrap();
                        challenge = vec![format!("NTLM {}", BASE64.encode(made.message()))];
                        exchange = Some(made);
                    }
                    Some(made) => {
                        let proof = made.authenticate(&token, None).unwrap();
                        assert_eq!(proof.identity().user, USER);
                        proved = proof.verify(Some(nt_hash(PASSWORD))).is_ok();
                    }
                }
            }
            Some(value) if value.starts_with("Digest ") => {
                let credentials = Credentials::parse(value).unwrap();
                let expected = ha1(Algorithm::Md5, USER, "b.example", PASSWORD);
                let exchange = Exchange {
                    method: "NOTIFY",
                    body: &[],
                };
                proved = credentials.username == USER && credentials.proves(&expected, &exchange);
            }
            // What Digest proves is one request, NTLM the connection.
            _ => proved &= wants != Wants::Digest,
        }
        let answer = if proved {
            taken += 1;
            "HTTP/1.1 200 Successful\r\nContent-Length: 0\r\n\r\n".to_owned()
        } else {
            let lines: String = challenge
                .iter()
                .map(|value| format!("WWW-Authenticate: {value}\r\n"))
                .collect();
            format!("HTTP/1.1 401 Access Denied\r\n{lines}Content-Length: 4\r\n\r\nno!\n")
        };
        if stream.write_all(answer.as_bytes()).await.is_err() || taken >= close_after {
            return;
        }
    }
}

fn digest() -> String {
    "Digest realm=\"b.example\", nonce=\"n\", qop=\"auth\", algorithm=MD5".to_owned()
}

/// Head and body of the next request.
async fn request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "));
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return Some((head.to_owned(), body.to_owned()));
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

async fn house(at: SocketAddr, user: &str, password: &str, auth: &str) -> House {
    let resolver = Resolver::start(Ipv4Addr::LOCALHOST);
    let file = crate::site::password_file(password);
    House::with(&format!(
        "nameservers = [\"{}\"]\n[rvp.peers.\"b.example\"]\naddress = [\"{at}\"]\n\
         user = '{user}'\npassword_file = \"{}\"\nauth = [{auth}]\n",
        resolver.at,
        file.display()
    ))
    .await
}

const BOTH: &str = "\"digest\", \"ntlm\"";

async fn says(house: &House, count: usize) -> Vec<u16> {
    let mut alice = house.user("alice");
    let inbox = Inbox::new().await;
    alice.sign_in(inbox.at).await;
    let mut all = Vec::new();
    for _ in 0..count {
        let answer = say(&mut alice, "carol").await;
        assert!(answer.header("WWW-Authenticate").is_none());
        all.push(answer.status());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn section_5_ntlm_proves_us_to_a_peer_once_for_each_connection() {
    let (at, seen) = peer(Wants::Ntlm, 3).await;
    let house = house(at, "B\\a-server", PASSWORD, BOTH).await;
    assert_eq!(says(&house, 5).await, [200; 5]);
    // The peer closes after the third: the fourth proves a new connection.
    let want = [
        "1 none", "1 NTLM", "1 NTLM", "1 none", "1 none", "2 none", "2 NTLM", "2 NTLM", "2 none",
    ];
    assert_eq!(*seen.lock().unwrap(), want);
}

#[tokio::test(flavor = "multi_thread")]
async fn section_5_digest_and_ntlm_are_chosen_as_configured() {
    for (wants, auth, scheme) in [
        (Wants::Digest, BOTH, "Digest"),
        (Wants::Both, BOTH, "Digest"),
        (Wants::Both, "\"ntlm\", \"digest\"", "NTLM"),
        (Wants::Both, "\"ntlm\"", "NTLM"),
    ] {
        let (at, seen) = peer(wants, 100).await;
        let house = house(at, USER, PASSWORD, auth).await;
        assert_eq!(says(&house, 2).await, [200; 2], "{auth}");
        let seen = seen.lock().unwrap().clone();
        assert_eq!(seen[1], format!("1 {scheme}"), "{auth}: {seen:?}");
    }
    // Nothing in common: our trouble, and never shown as our user's.
    let (at, seen) = peer(Wants::Ntlm, 100).await;
    let house = house(at, USER, PASSWORD, "\"digest\"").await;
    assert_eq!(says(&house, 1).await, [412]);
    assert_eq!(*seen.lock().unwrap(), ["1 none"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn section_5_a_wrong_password_is_our_trouble_and_tried_once() {
    for wants in [Wants::Digest, Wants::Ntlm] {
        let (at, seen) = peer(wants, 100).await;
        let house = house(at, USER, "something else", BOTH).await;
        assert_eq!(says(&house, 1).await, [412]);
        assert!(
            seen.lock().unwrap().len() <= 3,
            "{:?}",
            seen.lock().unwrap()
        );
    }
}
