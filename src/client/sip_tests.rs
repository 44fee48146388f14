use super::*;

/// A server that takes everything and echoes texts; on one socket of either kind.
async fn serve_udp(socket: UdpSocket) {
    let mut buffer = vec![0; 65_536];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
        for reply in replies(&buffer[..length]) {
            socket.send_to(&reply, peer).await.unwrap();
        }
    }
}

async fn serve_tcp(mut stream: TcpStream) {
    let mut framer = StreamFramer::new(Limits::default());
    let mut buffer = vec![0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        framer.push(&buffer[..length]);
        while let Some(Ok(event)) = framer.next() {
            if let StreamEvent::Message(message) = event {
                for reply in replies(message.as_bytes()) {
                    stream.write_all(&reply).await.unwrap();
                }
            }
        }
    }
}

fn replies(wire: &[u8]) -> Vec<Bytes> {
    let Ok(Datagram::Message(message)) =
        frame_datagram(Bytes::copy_from_slice(wire), &Limits::default())
    else {
        panic!("unreadable");
    };
    let Some(method) = message.method() else {
        return Vec::new();
    };
    let body = String::from_utf8_lossy(message.body()).into_owned();
    if body == "no" {
        return vec![sip::build::Response::to(&message, 403).to_tag("t").finish()];
    }
    let mut out = vec![sip::build::Response::to(&message, 200).to_tag("t").finish()];
    if method.as_str() == "MESSAGE" {
        let echo = format!(
            "MESSAGE sip:alice@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKecho\r\n\
             From: <sip:bob@example.com>;tag=b\r\nTo: <sip:alice@example.com>\r\nCall-ID: e\r\n\
             CSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        out.push(Bytes::from(echo));
    }
    out
}

async fn talk(server: SocketAddr, transport: Transport) {
    let account = Account::new("alice@example.com", "secret");
    let (client, mut events) = SipClient::connect(account, server, transport)
        .await
        .unwrap();
    assert_eq!(client.register().await, Ok(200));
    assert_eq!(
        events.recv().await,
        Some(Event::Registered { expires: 3_600 })
    );
    assert_eq!(client.options().await, Ok(200));
    assert_eq!(events.recv().await, Some(Event::Alive));
    assert_eq!(client.text("bob@example.com", "hello").await, Ok(200));
    assert!(matches!(
        events.recv().await,
        Some(Event::Sent { status: 200, .. })
    ));
    let text = Event::Text {
        from: "bob@example.com".to_owned(),
        text: "hello".to_owned(),
    };
    assert_eq!(events.recv().await, Some(text));
    let refused = client.text("bob@example.com", "no").await;
    assert!(
        matches!(refused, Err(Refused::Status { status: 403, .. })),
        "{refused:?}"
    );
    assert_eq!(client.unregister().await, Ok(200));
}

#[tokio::test]
async fn over_udp() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = socket.local_addr().unwrap();
    tokio::spawn(serve_udp(socket));
    talk(server, Transport::Udp).await;
}

#[tokio::test]
async fn over_tcp() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    tokio::spawn(async move { serve_tcp(listener.accept().await.unwrap().0).await });
    talk(server, Transport::Tcp).await;
}

#[tokio::test]
async fn a_server_that_goes_is_told_at_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let account = Account::new("alice@example.com", "secret");
    let (client, mut events) = SipClient::connect(account, server, Transport::Tcp)
        .await
        .unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.register().await }
    });
    stream.readable().await.unwrap();
    drop(stream);
    assert!(matches!(
        asked.await.unwrap(),
        Err(Refused::Status { status: 503, .. })
    ));
    assert_eq!(events.recv().await, Some(Event::Disconnected));
    let later = client.text("bob@example.com", "x").await;
    assert!(matches!(later, Err(Refused::Status { status: 503, .. })));
    drop(client);
    let mut rest = Vec::new();
    while let Some(event) = events.recv().await {
        rest.push(event);
    }
    assert!(!rest.contains(&Event::Disconnected), "told once: {rest:?}");
}
