//! RVP requests written and read by hand, and the listener that takes callbacks.

use crate::Failure;
use crate::sip::{User, between, hex};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One kept-alive connection of one user.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    user: User,
    secret: String,
    counter: u32,
}

/// Head and body of an answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
}

impl Client {
    /// Connects as user number n.
    pub(crate) async fn connect(server: SocketAddr, n: u64) -> Result<Self, Failure> {
        let stream = TcpStream::connect(server)
            .await
            .map_err(|e| e.to_string())?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        let user = User::numbered(n);
        let secret = hex(&format!("u{n}:example.com:p{n}"));
        Ok(Self {
            stream,
            buffer: Vec::new(),
            user,
            secret,
            counter: 0,
        })
    }

    /// Sends a request that must be answered so.
    pub(crate) async fn expect(
        &mut self,
        status: u16,
        method: &str,
        node: &str,
        headers: &str,
        body: &str,
    ) -> Result<Answer, Failure> {
        let answer = self.request(method, node, headers, body).await?;
        if answer.status == status {
            return Ok(answer);
        }
        Err(format!("{method} {node}: {}", answer.head))
    }

    /// Sends a text to a user.
    pub(crate) async fn text(&mut self, to: u64) -> Result<Answer, Failure> {
        let to = format!("u{to}");
        let text = "How about lunch at noon, at the usual place?";
        let body = text_document(&self.user.name, &to, text);
        let headers = "RVP-Ack-Type: DeepOr\r\nRVP-Hop-Count: 1\r\nContent-Type: text/xml\r\n";
        self.request("NOTIFY", &to, headers, &body).await
    }

    /// Watches a user's presence, told at this client's own callback.
    pub(crate) async fn watch(&mut self, of: u64) -> Result<(), Failure> {
        let headers = format!(
            "Notification-Type: update/propchange\r\nSubscription-Lifetime: 14400\r\n\
             Call-Back: http://localhost/instmsg/aliases/{}\r\n",
            self.user.name
        );
        self.expect(207, "SUBSCRIBE", &format!("u{of}"), &headers, "")
            .await
            .map(drop)
    }

    /// Renews a lease of the user's own; it must stay the same.
    pub(crate) async fn renew(&mut self, n: u64, id: u32) -> Result<(), Failure> {
        let headers = format!(
            "Notification-Type: pragma/notify\r\nSubscription-Lifetime: 14400\r\n\
             Subscription-Id: {id}\r\n"
        );
        let node = format!("u{n}");
        let answer = self.expect(200, "SUBSCRIBE", &node, &headers, "").await?;
        if subscription(&answer) == Some(id) {
            return Ok(());
        }
        Err(format!("lease {id} of {node}: {}", answer.head))
    }

    /// Authenticates from the first request on, as if that had been the challenge.
    pub(crate) fn assume_nonce(&mut self, nonce: &str) {
        nonce.clone_into(&mut self.user.nonce);
    }

    /// Sends a request, answering one challenge.
    pub(crate) async fn request(
        &mut self,
        method: &str,
        node: &str,
        headers: &str,
        body: &str,
    ) -> Result<Answer, Failure> {
        let answer = self.once(method, node, headers, body).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        let nonce = between(&answer.head, "nonce=\"", "\"").ok_or("a 401 without a nonce")?;
        nonce.clone_into(&mut self.user.nonce);
        self.counter = 0;
        self.once(method, node, headers, body).await
    }

    async fn once(
        &mut self,
        method: &str,
        node: &str,
        headers: &str,
        body: &str,
    ) -> Result<Answer, Failure> {
        let uri = format!("/instmsg/aliases/{node}");
        let name = self.user.name.clone();
        let credentials = self.credentials(method, &uri);
        let text = format!(
            "{method} {uri} HTTP/1.1\r\nHost: localhost\r\nRVP-Notifications-Version: 0.2\r\n\
             RVP-From-Principal: http://localhost/instmsg/aliases/{name}\r\n{credentials}{headers}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream
            .write_all(text.as_bytes())
            .await
            .map_err(|e| e.to_string())?;
        let (head, _) = read_message(&mut self.stream, &mut self.buffer).await?;
        let status = head.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0);
        Ok(Answer { status, head })
    }

    fn credentials(&mut self, method: &str, uri: &str) -> String {
        if self.user.nonce.is_empty() {
            return String::new();
        }
        self.counter += 1;
        let nc = format!("{:08x}", self.counter);
        let ha2 = hex(&format!("{method}:{uri}"));
        let response = hex(&format!(
            "{}:{}:{nc}:beef:auth:{ha2}",
            self.secret, self.user.nonce
        ));
        format!(
            "Authorization: Digest username=\"{}\", realm=\"example.com\", nonce=\"{}\", \
             uri=\"{uri}\", qop=auth, nc={nc}, cnonce=\"beef\", response=\"{response}\"\r\n",
            self.user.name, self.user.nonce
        )
    }
}

/// Reads one message with a Content-Length; the body as text.
async fn read_message(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> Result<(String, String), Failure> {
    loop {
        if let Some(end) = memchr::memmem::find(buffer, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let length = head
                .split("\r\n")
                .find_map(|line| {
                    let (key, value) = line.split_once(':')?;
                    key.eq_ignore_ascii_case("content-length")
                        .then(|| value.trim().parse().ok())?
                })
                .unwrap_or(0usize);
            if buffer.len() >= end + 4 + length {
                let body = String::from_utf8_lossy(&buffer[end + 4..end + 4 + length]).into_owned();
                buffer.drain(..end + 4 + length);
                return Ok((head, body));
            }
        }
        buffer.reserve(16384);
        let count = stream.read_buf(buffer).await.map_err(|e| e.to_string())?;
        if count == 0 {
            return Err("connection closed".to_owned());
        }
    }
}

/// A listener that answers every NOTIFY with 200 and counts them.
pub(crate) struct Callbacks {
    /// Where the server should call.
    pub(crate) address: SocketAddr,
}

impl Callbacks {
    /// Starts listening.
    pub(crate) async fn listen() -> Result<Self, Failure> {
        Self::counting(Arc::default()).await
    }

    /// The same; the NOTIFYs answered are added there.
    pub(crate) async fn counting(counter: Arc<AtomicU64>) -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(|e| e.to_string())?;
        let address = listener.local_addr().map_err(|e| e.to_string())?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let (mut stream, counter) = (stream, Arc::clone(&counter));
                tokio::spawn(async move { answer_all(&mut stream, &counter).await });
            }
        });
        Ok(Self { address })
    }
}

/// Answers NOTIFYs and counts them until the connection ends.
pub(crate) async fn answer_all(stream: &mut TcpStream, counter: &AtomicU64) {
    answer_each(stream, || {
        counter.fetch_add(1, Ordering::Relaxed);
    })
    .await;
}

/// Answers NOTIFYs until the connection ends.
pub(crate) async fn answer_each(stream: &mut TcpStream, mut heard: impl FnMut()) {
    let mut buffer = Vec::new();
    let ok =
        b"HTTP/1.1 200 Successful\r\nRVP-Notifications-Version: 0.2\r\nContent-Length: 0\r\n\r\n";
    while read_message(stream, &mut buffer).await.is_ok() {
        heard();
        if stream.write_all(ok).await.is_err() {
            return;
        }
    }
}

/// Headers of a sign-in, for so many seconds.
fn lease(callback: SocketAddr, seconds: u32) -> String {
    format!(
        "Notification-Type: pragma/notify\r\nSubscription-Lifetime: {seconds}\r\n\
         Call-Back: http://{callback}\r\n"
    )
}

/// Signs a user in with a callback; returns the connection.
pub(crate) async fn sign_in(
    server: SocketAddr,
    n: u64,
    callback: SocketAddr,
) -> Result<Client, Failure> {
    sign_in_with_lease(server, n, callback)
        .await
        .map(|(client, _)| client)
}

/// The same with the number of the lease.
pub(crate) async fn sign_in_with_lease(
    server: SocketAddr,
    n: u64,
    callback: SocketAddr,
) -> Result<(Client, u32), Failure> {
    let mut client = Client::connect(server, n).await?;
    let headers = lease(callback, 14_400);
    let answer = client
        .expect(200, "SUBSCRIBE", &format!("u{n}"), &headers, "")
        .await?;
    let id = subscription(&answer).ok_or("a sign-in without Subscription-Id")?;
    Ok((client, id))
}

/// The number of a lease in an answer.
pub(crate) fn subscription(answer: &Answer) -> Option<u32> {
    answer.head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let same = name.eq_ignore_ascii_case("subscription-id");
        same.then(|| value.trim().parse().ok())?
    })
}

/// The body of a PROPPATCH that sets a leased state.
pub(crate) fn state_document(state: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\r\n<d:propertyupdate xmlns:d=\"DAV:\" \
         xmlns:r=\"http://schemas.microsoft.com/rvp/\"><d:set><d:prop><r:state><r:leased-value>\
         <r:value><r:{state}/></r:value><r:default-value><r:offline/></r:default-value>\
         <d:timeout>1200</d:timeout></r:leased-value><r:view-id>7</r:view-id></r:state></d:prop>\
         </d:set></d:propertyupdate>"
    )
}

/// The body of a NOTIFY with a text.
pub(crate) fn text_document(from: &str, to: &str, text: &str) -> String {
    let contact = |who: &str| {
        format!(
            "<r:contact><d:href>http://localhost/instmsg/aliases/{who}</d:href>\
             <r:description>{who}</r:description></r:contact>"
        )
    };
    format!(
        "<?xml version=\"1.0\"?>\r\n<r:notification xmlns:d=\"DAV:\" \
         xmlns:r=\"http://schemas.microsoft.com/rvp/\"><r:message><r:notification-from>{}\
         </r:notification-from><r:notification-to>{}</r:notification-to><r:msgbody><r:mime-data>\
         <![CDATA[MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\n\
         X-MMS-IM-Format: FN=Tahoma; EF=; CO=0; CS=0; PF=22\r\n\
         Session-Id: {{7E21D0C2-5B1C-4D0E-9C3B-0E0A6A1F0001}}\r\n\r\n{text}]]></r:mime-data>\
         </r:msgbody></r:message></r:notification>",
        contact(from),
        contact(to)
    )
}
