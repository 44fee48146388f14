//! A server with three people, raw HTTP clients and listeners.

use auth::digest::{Ask, Challenge, Client};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tristack::config::Config;
use tristack::core::address::Address;
use tristack::core::id::PersonId;
use tristack::core::port::{Account, Store, Write};
use tristack::credentials::{Credentials, Keep};
use tristack::front::rvp::RvpFront;
use tristack::gate::{Gate, GateSettings};
use tristack::hub::{Hub, Settings, SystemClock};
use tristack::net::{Caps, Tasks};
use tristack::storage::Memory;

/// Longest that a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];

pub struct House {
    pub at: SocketAddr,
    /// With TLS, where it listens so.
    #[allow(dead_code, reason = "not used by rvp_peers, which shares this file")]
    pub tls: Option<SocketAddr>,
    pub hub: Hub,
    pub store: Arc<Memory>,
    tasks: Tasks,
}

fn secrets() -> Credentials {
    Credentials::with_key(&[7; 32], Keep::Sealed)
}

async fn people(store: &Memory) {
    let secrets = secrets();
    let mut writes = Vec::new();
    for (name, number) in PEOPLE.iter().zip(1u128..) {
        let address = Address::parse(&format!("{name}@example.com")).unwrap();
        let person = PersonId((number << 64) | 0x63);
        let secret = secrets.seal(person, &address, &[], &[], name).unwrap();
        writes.push(Write::PutAccount(Account {
            person,
            address,
            aliases: Vec::new(),
            display_name: format!("{name} <&> Doe"),
            email: String::new(),
            secret,
            suspended: false,
            node: None,
        }));
    }
    store.commit(writes).await.unwrap();
}

impl House {
    pub async fn new() -> Self {
        Self::with("").await
    }

    /// With further configuration.
    pub async fn with(text: &str) -> Self {
        let store = Arc::new(Memory::new());
        people(&store).await;
        Self::on(store, "127.0.0.1:0", text).await
    }

    async fn on(store: Arc<Memory>, listen: &str, text: &str) -> Self {
        let text = format!("[rvp]\nlisten = [\"{listen}\"]\n{text}");
        let config = Config::from_text(&text, None, std::collections::BTreeMap::new()).unwrap();
        let clock = Arc::new(SystemClock::new());
        let settings = Settings::default();
        let domains = vec!["example.com".to_owned()];
        let hub = Hub::start(Arc::clone(&store), domains, settings, clock)
            .await
            .unwrap();
        let gate = Gate::new(
            Arc::new(hub.clone()),
            Arc::new(secrets()),
            GateSettings::default(),
            hub.now(),
        );
        let tasks = Tasks::new();
        let caps = Caps::new(256, 1000, false);
        let front = RvpFront::start(&hub, Arc::new(gate), &config, &caps, &tasks).unwrap();
        hub.open().await.unwrap();
        let at = front.addresses[0];
        let tls = front.tls_addresses.first().copied();
        front.serve(&tasks);
        Self {
            at,
            tls,
            hub,
            store,
            tasks,
        }
    }

    /// Stops and comes back on the same storage and port.
    pub async fn restart(self) -> Self {
        self.hub.stop().await;
        assert!(self.tasks.finish(PATIENCE).await);
        let listen = self.at.to_string();
        Self::on(Arc::clone(&self.store), &listen, "").await
    }

    pub fn user(&self, name: &str) -> User {
        User::of(name, self.at, "im.example.com")
    }

    /// Sends octets, closes the sending side, reads everything.
    pub async fn raw(&self, octets: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        stream.write_all(octets).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut got = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut got)).await;
        read.expect("in time").unwrap();
        String::from_utf8_lossy(&got).into_owned()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

/// A message of either direction.
#[derive(Clone, Debug)]
pub struct Http {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Http {
    pub fn status(&self) -> u16 {
        self.line.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter();
        let found = found.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn id(&self) -> String {
        self.header("Subscription-Id").expect("an id").to_owned()
    }

    /// The text between two marks of the body.
    pub fn between(&self, from: &str, to: &str) -> &str {
        let (_, rest) = self
            .body
            .split_once(from)
            .unwrap_or_else(|| panic!("{from} in {}", self.body));
        rest.split_once(to)
            .unwrap_or_else(|| panic!("{to} in {rest}"))
            .0
    }
}

/// Reads one message; `None` at the end of the stream.
pub async fn read(stream: &mut TcpStream) -> Option<Http> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let octet = stream.read_u8().await.ok()?;
        head.push(octet);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let headers: Vec<(String, String)> = lines
        .map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_owned(), value.to_owned())
        })
        .collect();
    let mut http = Http {
        line,
        headers,
        body: String::new(),
    };
    let length = http
        .header("Content-Length")
        .expect("a length")
        .parse()
        .unwrap();
    let mut body = vec![0u8; length];
    stream.read_exact(&mut body).await.ok()?;
    http.body = String::from_utf8(body).unwrap();
    Some(http)
}

pub struct User {
    pub name: String,
    pub server: SocketAddr,
    pub digest: Client,
    pub agent: Option<String>,
    /// How it spells the server.
    pub host: String,
    stream: Option<TcpStream>,
}

static CNONCE: AtomicU64 = AtomicU64::new(0);

impl User {
    /// A user of any server, with the user name as password.
    pub fn of(name: &str, server: SocketAddr, host: &str) -> Self {
        Self {
            name: name.to_owned(),
            server,
            digest: Client::new(name, name),
            agent: None,
            host: host.to_owned(),
            stream: None,
        }
    }

    /// The same over this connection.
    #[allow(dead_code, reason = "used by rvp_peers, which shares this file")]
    pub fn over(mut self, stream: TcpStream) -> Self {
        self.stream = Some(stream);
        self
    }

    pub fn node(&self) -> String {
        format!("/instmsg/aliases/{}", self.name)
    }

    pub fn href(&self, name: &str) -> String {
        format!("http://{}/instmsg/aliases/{name}", self.host)
    }

    /// One request on the kept connection, answering a challenge once.
    pub async fn ask(&mut self, method: &str, target: &str, headers: &str, body: &str) -> Http {
        let mut credentials = self.credentials(method, target);
        for _ in 0..2 {
            let answer = self
                .exchange(method, target, headers, credentials.as_deref(), body)
                .await;
            if answer.status() != 401 {
                return answer;
            }
            let challenge = Challenge::parse(answer.header("WWW-Authenticate").unwrap()).unwrap();
            let cnonce = CNONCE.fetch_add(1, Ordering::Relaxed).to_string();
            let ask = Ask {
                method,
                uri: target,
                body: body.as_bytes(),
                cnonce: &cnonce,
            };
            credentials = self.digest.answer(&[challenge], &ask);
        }
        panic!("{} is not let in for {method} {target}", self.name);
    }

    fn credentials(&mut self, method: &str, target: &str) -> Option<String> {
        let cnonce = CNONCE.fetch_add(1, Ordering::Relaxed).to_string();
        self.digest.again(&Ask {
            method,
            uri: target,
            body: b"",
            cnonce: &cnonce,
        })
    }

    pub async fn exchange(
        &mut self,
        method: &str,
        target: &str,
        headers: &str,
        credentials: Option<&str>,
        body: &str,
    ) -> Http {
        let mut request = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nRVP-Notifications-Version: 0.2\r\nRVP-From-Principal: {}\r\n{headers}",
            self.host,
            self.href(&self.name),
        );
        if let Some(agent) = &self.agent {
            let _ = write!(request, "User-Agent: {agent}\r\n");
        }
        if let Some(value) = credentials {
            let _ = write!(request, "Authorization: {value}\r\n");
        }
        let _ = write!(request, "Content-Length: {}\r\n\r\n{body}", body.len());
        let answer = async {
            let stream = match &mut self.stream {
                Some(stream) => stream,
                none => none.insert(TcpStream::connect(self.server).await.unwrap()),
            };
            stream.write_all(request.as_bytes()).await.unwrap();
            read(stream).await.expect("an answer")
        };
        let answer = tokio::time::timeout(PATIENCE, answer)
            .await
            .expect("in time");
        if answer.header("Connection") == Some("close") {
            self.stream = None;
        }
        answer
    }

    pub async fn sign_in(&mut self, at: SocketAddr) -> Http {
        let headers = format!(
            "Notification-Type: pragma/notify\r\nSubscription-Lifetime: 14400\r\nCall-Back: http://{at}\r\n"
        );
        let node = self.node();
        let answer = self.ask("SUBSCRIBE", &node, &headers, "").await;
        assert_eq!(answer.line, "HTTP/1.1 200 Successful", "{}", answer.body);
        answer
    }

    /// Watches with the logical URL as callback.
    pub async fn watch(&mut self, name: &str) -> Http {
        let headers = format!(
            "Notification-Type: update/propchange\r\nSubscription-Lifetime: 14400\r\nCall-Back: {}\r\n",
            self.href(&self.name)
        );
        let node = format!("/instmsg/aliases/{name}");
        self.ask("SUBSCRIBE", &node, &headers, "").await
    }

    pub async fn state(&mut self, state: &str) -> Http {
        let body = format!(
            "<d:propertyupdate xmlns:d=\"DAV:\" xmlns:r=\"http://schemas.microsoft.com/rvp/\"><d:set><d:prop><r:state><r:leased-value><r:value><r:{state}/></r:value><r:default-value><r:offline/></r:default-value><d:timeout>1200</d:timeout></r:leased-value></r:state></d:prop></d:set></d:propertyupdate>"
        );
        let node = self.node();
        self.ask("PROPPATCH", &node, "", &body).await
    }

    /// The document of a message.
    pub fn message(&self, to: &str, mime: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?>\r\n<r:notification xmlns:d=\"DAV:\" xmlns:r=\"http://schemas.microsoft.com/rvp/\"><r:message><r:notification-from><r:contact><d:href>{}</d:href><r:description>{}</r:description></r:contact></r:notification-from><r:notification-to><r:contact><d:href>{}</d:href><r:description/></r:contact></r:notification-to><r:msgbody><r:mime-data><![CDATA[{mime}]]></r:mime-data></r:msgbody></r:message></r:notification>",
            self.href(&self.name),
            self.name,
            self.href(to)
        )
    }

    pub async fn send(&mut self, to: &str, mime: &str) -> Http {
        let body = self.message(to, mime);
        let node = format!("/instmsg/aliases/{to}");
        let headers = "RVP-Ack-Type: DeepOr\r\nRVP-Hop-Count: 1\r\nContent-Type: text/xml\r\n";
        self.ask("NOTIFY", &node, headers, &body).await
    }

    pub async fn text(&mut self, to: &str, text: &str) -> Http {
        self.send(to, &text_mime(text)).await
    }
}

pub const SESSION: &str = "{11112222-3333-4444-5555-666677778888}";

pub fn text_mime(text: &str) -> String {
    format!(
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\nX-MMS-IM-Format: FN=Tahoma; EF=B; CO=ff; CS=0; PF=22\r\nSession-Id: {SESSION}\r\n\r\n{text}"
    )
}

pub const OK: &str =
    "HTTP/1.1 200 Successful\r\nRVP-Notifications-Version: 0.2\r\nContent-Length: 0\r\n\r\n";

/// A client's listener: hands each NOTIFY to the test and answers it.
pub struct Inbox {
    pub at: SocketAddr,
    received: mpsc::UnboundedReceiver<Http>,
    task: tokio::task::JoinHandle<()>,
}

impl Inbox {
    pub async fn new() -> Self {
        Self::answering(OK).await
    }

    /// Answers every NOTIFY with this.
    pub async fn answering(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (sender, received) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let sender = sender.clone();
                tokio::spawn(async move {
                    while let Some(request) = read(&mut stream).await {
                        let _ = sender.send(request);
                        let _ = stream.write_all(answer.as_bytes()).await;
                        if answer.contains("Connection: close") {
                            return;
                        }
                    }
                });
            }
        });
        Self { at, received, task }
    }

    pub async fn next(&mut self) -> Http {
        let next = tokio::time::timeout(PATIENCE, self.received.recv());
        next.await.expect("a NOTIFY in time").expect("a NOTIFY")
    }

    /// What has come so far.
    pub fn peek(&mut self) -> Option<Http> {
        self.received.try_recv().ok()
    }

    /// Nobody listens any more.
    pub async fn close(self) -> SocketAddr {
        self.task.abort();
        let _ = self.task.await;
        self.at
    }
}
