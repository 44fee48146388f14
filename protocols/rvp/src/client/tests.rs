use super::event::events;
use super::*;
use crate::text::Habit;

#[test]
fn addresses_become_nodes_and_contacts_addresses() {
    let server = "127.0.0.1:80".parse().unwrap();
    let settings = Settings::new(server, "im.example.com", "alice@example.com", "alice");
    let bob = settings.node_of("bob@EXAMPLE.com").unwrap();
    assert_eq!(bob.href(), "http://im.example.com/instmsg/aliases/bob");
    assert_eq!(settings.node_of("bob").unwrap(), bob);
    let eve = settings.node_of("eve@b.example").unwrap();
    assert_eq!(eve.href(), "http://im.b.example/instmsg/aliases/eve");
    assert!(settings.node_of("a/b@example.com").is_err());
}

#[test]
fn notifications_become_events() {
    let from = Contact::new("http://h/instmsg/aliases/bob");
    let read = |block: &Block| {
        let message = Message {
            from: from.clone(),
            to: vec![],
            mime: crate::text::to_octets(&block.to_string()),
        };
        events(Notification::Message(message), &mut Habit::default())
            .unwrap()
            .remove(0)
    };
    let session = "{s}".to_owned();
    assert_eq!(
        read(&Block::text("grüße", "{s}", None)),
        Event::Text {
            from: from.clone(),
            text: "grüße".into(),
            session: session.clone()
        }
    );
    assert_eq!(
        read(&Block::typing("b", "{s}")),
        Event::Typing {
            from: from.clone(),
            session: session.clone()
        }
    );
    assert_eq!(
        read(&Block::join("{s}")),
        Event::Join {
            from: from.clone(),
            session: session.clone()
        }
    );
    assert_eq!(
        read(&Block::leave("{s}")),
        Event::Leave {
            from: from.clone(),
            session
        }
    );
}

#[test]
fn random_values_differ() {
    assert_ne!(random::bits(), random::bits());
}

mod wire {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    /// One request with its body, as text.
    async fn request(stream: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("Content-Length: "));
                let length: usize = length.map_or(0, |length| length.parse().unwrap());
                if body.len() >= length {
                    return text;
                }
            }
            let read = stream.read_buf(&mut bytes).await.unwrap();
            assert!(read > 0, "closed early: {text}");
        }
    }

    async fn respond(stream: &mut TcpStream, status: &str, headers: &str, body: &str) {
        let length = body.len();
        let text = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
        stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Sign-in with a challenge, a stale nonce, and a text that comes back through the callback.
    #[tokio::test]
    async fn signs_in_over_a_challenge_and_takes_callbacks() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let script = tokio::spawn(async move {
            let challenge = |nonce: &str, rest: &str| {
                format!(
                    "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"{nonce}\", qop=\"auth\", algorithm=MD5{rest}\r\n"
                )
            };
            let (mut stream, _) = listener.accept().await.unwrap();
            let first = request(&mut stream).await;
            assert!(
                first.starts_with("SUBSCRIBE /instmsg/aliases/alice HTTP/1.1\r\n"),
                "{first}"
            );
            assert!(!first.contains("Authorization"), "{first}");
            respond(&mut stream, "401 Access Denied", &challenge("n1", ""), "no").await;
            let second = request(&mut stream).await;
            assert!(
                second.contains("nonce=\"n1\"") && second.contains("Call-Back: http://127.0.0.1:"),
                "{second}"
            );
            respond(
                &mut stream,
                "401 Access Denied",
                &challenge("n2", ", stale=true"),
                "",
            )
            .await;
            let third = request(&mut stream).await;
            assert!(
                third.contains("nonce=\"n2\"") && third.contains("nc=00000001"),
                "{third}"
            );
            respond(
                &mut stream,
                "200 Successful",
                "Subscription-Id: 98210\r\n",
                "",
            )
            .await;
            let text = request(&mut stream).await;
            assert!(
                text.starts_with("NOTIFY /instmsg/aliases/bob HTTP/1.1\r\n")
                    && text.contains("nc=00000002"),
                "{text}"
            );
            respond(&mut stream, "412 Precondition Failed", "", "").await;
            // The same body to the client's own callback.
            let call_back = third
                .lines()
                .find_map(|line| line.strip_prefix("Call-Back: http://"))
                .unwrap();
            let body = text.split_once("\r\n\r\n").unwrap().1;
            let mut back = TcpStream::connect(call_back).await.unwrap();
            let head = format!(
                "NOTIFY / HTTP/1.1\r\nHost: {call_back}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            back.write_all((head + body).as_bytes()).await.unwrap();
            let mut answer = [0; 23];
            back.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200 Successful");
        });
        let settings = Settings::new(server, "im.example.com", "alice@example.com", "alice");
        let (mut client, mut events) = Client::sign_in(settings).await.unwrap();
        assert_eq!(client.subscription().await, "98210");
        let bob = client.node_of("bob@example.com").unwrap();
        let refused = client.text(&bob, "{s}", "hi & <bye>").await;
        assert!(
            matches!(refused, Err(ClientError::Status(412))),
            "{refused:?}"
        );
        let Some(Event::Text {
            from,
            text,
            session,
        }) = events.recv().await
        else {
            panic!()
        };
        assert_eq!((text.as_str(), session.as_str()), ("hi & <bye>", "{s}"));
        assert_eq!(client.address_of(&from), "alice@example.com");
        script.await.unwrap();
    }
}
