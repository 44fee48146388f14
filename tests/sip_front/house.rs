//! A server with four people, and raw SIP clients.

use auth::digest::{Ask, Challenge, Client, Style};
use futures_util::{SinkExt, StreamExt};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tristack::config::{Config, Consent};
use tristack::core::address::Address;
use tristack::core::effect::Rules;
use tristack::core::id::PersonId;
use tristack::core::port::{Account, Store, Write};
use tristack::credentials::{Credentials, Keep};
use tristack::front::sip::SipFront;
use tristack::gate::{Gate, GateSettings};
use tristack::hub::{Hub, Settings, SystemClock};
use tristack::net::{Authorities, Caps, Conn, Tasks, Verifier, dial};
use tristack::storage::Memory;

/// Longest that a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);
const PEOPLE: [&str; 4] = ["alice", "bob", "carol", "dave"];

pub fn address(name: &str) -> Address {
    Address::parse(&format!("{name}@example.com")).unwrap()
}

pub fn person(name: &str) -> PersonId {
    let at = match name.strip_prefix("crowd") {
        Some(number) => 100 + number.parse::<usize>().unwrap(),
        None => PEOPLE.iter().position(|known| *known == name).unwrap(),
    };
    PersonId(((at as u128 + 1) << 64) | 0x77)
}

pub struct House {
    pub udp: SocketAddr,
    pub tcp: SocketAddr,
    pub hub: Hub,
    pub front: SipFront,
    /// Where the certificate is.
    pub folder: std::path::PathBuf,
    text: String,
    store: Arc<Memory>,
    tasks: Tasks,
}

/// Listeners of every kind.
pub const ALL: &str = "tls = \"127.0.0.1:0\"\nws = \"127.0.0.1:0\"\nwss = \"127.0.0.1:0\"\n";

impl House {
    pub async fn new() -> Self {
        Self::with("").await
    }

    /// With further configuration, first of `[sip]`.
    pub async fn with(text: &str) -> Self {
        Self::crowded(text, 0).await
    }

    /// With so many more people, `crowd0` and on.
    pub async fn crowded(text: &str, crowd: usize) -> Self {
        Self::raised(text, crowd, |_| {}, |_| {}).await
    }

    /// With further configuration, other rules of the core, and what is attached to its hub.
    pub async fn built(
        text: &str,
        change: impl FnOnce(&mut Rules),
        attach: impl FnOnce(&Hub),
    ) -> Self {
        Self::raised(text, 0, change, attach).await
    }

    async fn raised(
        text: &str,
        crowd: usize,
        change: impl FnOnce(&mut Rules),
        attach: impl FnOnce(&Hub),
    ) -> Self {
        let store = Arc::new(Memory::new());
        let secrets = secrets();
        let mut writes = Vec::new();
        let crowd = (0..crowd).map(|number| format!("crowd{number}"));
        for name in PEOPLE.map(str::to_owned).into_iter().chain(crowd) {
            let secret = secrets
                .seal(person(&name), &address(&name), &[], &[], &name)
                .unwrap();
            writes.push(Write::PutAccount(Account {
                person: person(&name),
                address: address(&name),
                aliases: Vec::new(),
                display_name: format!("{name} Doe"),
                email: String::new(),
                secret,
                suspended: false,
                node: None,
            }));
        }
        store.commit(writes).await.unwrap();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tristack-house-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let any = ("127.0.0.1:0", "127.0.0.1:0");
        let mut settings = Settings::default();
        change(&mut settings.rules);
        Self::on(store, any, text, folder, settings, attach).await
    }

    async fn on(
        store: Arc<Memory>,
        (udp, tcp): (&str, &str),
        more: &str,
        folder: std::path::PathBuf,
        mut settings: Settings,
        attach: impl FnOnce(&Hub),
    ) -> Self {
        let mut text = format!("[sip]\nudp = [\"{udp}\"]\ntcp = [\"{tcp}\"]\n{more}");
        if !more.contains("[server]") {
            use std::fmt::Write as _;
            let folder = folder.display().to_string();
            let _ = writeln!(text, "\n[server]\ndata_dir = {folder:?}");
        }
        let config = Config::from_text(&text, None, BTreeMap::new()).unwrap();
        let clock = Arc::new(SystemClock::new());
        let domains = vec!["example.com".to_owned()];
        let confirms = config.domains["example.com"].consent == Some(Consent::Confirm);
        if confirms {
            settings.rules.confirm = Arc::from(domains.clone());
        }
        let hub = Hub::start(Arc::clone(&store), domains, settings, clock)
            .await
            .unwrap();
        let accounts = Arc::new(hub.clone());
        let settings = GateSettings::default();
        let gate = Gate::new(accounts, Arc::new(secrets()), settings, hub.now());
        let tasks = Tasks::new();
        let caps = Caps::new(256, 1000, false);
        let mut front = SipFront::start(&hub, Arc::new(gate), &config, &caps, &tasks).unwrap();
        attach(&hub);
        hub.open().await.unwrap();
        front.serve();
        Self {
            udp: front.udp[0],
            tcp: front.tcp[0],
            hub,
            folder,
            text: fixed(more, &front),
            front,
            store,
            tasks,
        }
    }

    /// Stops and comes back on the same storage and ports.
    pub async fn restart(mut self) -> Self {
        self.hub.stop().await;
        assert!(self.tasks.finish(PATIENCE).await);
        let (udp, tcp) = (self.udp.to_string(), self.tcp.to_string());
        let (store, text) = (Arc::clone(&self.store), self.text.clone());
        let folder = std::mem::take(&mut self.folder);
        drop(self);
        Self::on(
            store,
            (&udp, &tcp),
            &text,
            folder,
            Settings::default(),
            |_| {},
        )
        .await
    }

    /// Over TLS; the server proves to be `example.com`.
    pub async fn tls(&self, name: &str) -> Ua {
        let conn = self.encrypted(self.front.tls[0]).await;
        let local = conn.stream.local().unwrap();
        Ua::new(name, Wire::Tls(Box::new(conn), Vec::new()), local)
    }

    /// A TLS connection to there.
    pub async fn encrypted(&self, to: SocketAddr) -> Conn {
        let certificate = self.folder.join("tls-certificate.pem");
        let authorities = Authorities::load(&[certificate]).unwrap();
        let verifier = Verifier::new(&authorities, None).unwrap();
        dial((None, to), Some((&verifier, "example.com")), PATIENCE)
            .await
            .unwrap()
    }

    /// Over a WebSocket.
    pub async fn ws(&self, name: &str) -> Ua {
        let stream = TcpStream::connect(self.front.ws[0]).await.unwrap();
        let local = stream.local_addr().unwrap();
        Ua::new(name, Wire::Ws(socket(Box::new(stream)).await), local)
    }

    /// Over a secure WebSocket.
    pub async fn wss(&self, name: &str) -> Ua {
        let conn = self.encrypted(self.front.wss[0]).await;
        let local = conn.stream.local().unwrap();
        Ua::new(name, Wire::Ws(socket(Box::new(conn.stream)).await), local)
    }

    pub async fn udp(&self, name: &str) -> Ua {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(self.udp).await.unwrap();
        let local = socket.local_addr().unwrap();
        Ua::new(name, Wire::Udp(socket), local)
    }

    pub async fn tcp(&self, name: &str) -> Ua {
        let stream = TcpStream::connect(self.tcp).await.unwrap();
        let local = stream.local_addr().unwrap();
        Ua::new(name, Wire::Tcp(stream, Vec::new()), local)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.tasks.stop();
        if !self.folder.as_os_str().is_empty() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

static COUNT: AtomicU32 = AtomicU32::new(0);

/// The configuration with the ports that were given, for a restart.
fn fixed(text: &str, front: &SipFront) -> String {
    let mut text = text.to_owned();
    for (key, list) in [("tls", &front.tls), ("ws", &front.ws), ("wss", &front.wss)] {
        for at in list {
            let free = format!("{key} = \"{}:0\"", bracketed(at.ip()));
            text = text.replacen(&free, &format!("{key} = \"{at}\""), 1);
        }
    }
    text
}

fn bracketed(ip: std::net::IpAddr) -> String {
    match ip {
        std::net::IpAddr::V4(v4) => v4.to_string(),
        std::net::IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

async fn socket(stream: Box<dyn Octets>) -> Box<Socket> {
    let mut request = "ws://example.com/ws".into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("Sec-WebSocket-Protocol", "sip".parse().unwrap());
    let (socket, answer) = tokio_tungstenite::client_async(request, stream)
        .await
        .unwrap();
    assert_eq!(answer.headers()["Sec-WebSocket-Protocol"], "sip");
    Box::new(socket)
}

fn secrets() -> Credentials {
    Credentials::with_key(&[7; 32], Keep::Sealed)
}

/// A message of either kind.
#[derive(Clone, Debug)]
pub struct Sip {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Sip {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let head = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap().to_owned();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':').expect("a header");
            (name.trim().to_owned(), value.trim().to_owned())
        });
        Self {
            line,
            headers: headers.collect(),
            body: body.to_owned(),
        }
    }

    pub fn status(&self) -> u16 {
        let code = self.line.strip_prefix("SIP/2.0 ").expect("a response");
        code[..3].parse().unwrap()
    }

    pub fn method(&self) -> &str {
        self.line.split(' ').next().unwrap()
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        let same = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        let found = self.headers.iter().filter(same);
        found.map(|(_, value)| value.as_str()).collect()
    }

    pub fn header(&self, name: &str) -> &str {
        self.all(name).first().copied().unwrap_or_default()
    }
}

pub enum Wire {
    Udp(UdpSocket),
    Tcp(TcpStream, Vec<u8>),
    Tls(Box<Conn>, Vec<u8>),
    Ws(Box<Socket>),
}

/// What lies under a WebSocket.
pub trait Octets: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Octets for T {}
pub type Socket = WebSocketStream<Box<dyn Octets>>;

/// What a client says; all else is filled in.
#[derive(Clone)]
pub struct Say {
    pub method: &'static str,
    pub uri: String,
    pub from: String,
    pub to: String,
    pub call_id: String,
    pub headers: String,
    pub body: String,
}

pub struct Ua {
    pub name: String,
    pub local: SocketAddr,
    pub wire: Wire,
    pub digest: Client,
    pub cseq: u32,
    /// The top Via's parameters behind the branch.
    pub via: &'static str,
    count: u32,
    stash: VecDeque<Sip>,
}

impl Ua {
    pub fn new(name: &str, wire: Wire, local: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            local,
            wire,
            digest: Client::new(name, name),
            cseq: 0,
            via: ";rport",
            count: 0,
            stash: VecDeque::new(),
        }
    }

    pub fn style(mut self, style: Style) -> Self {
        self.digest = Client::new(&self.name, &self.name).with_style(style);
        self
    }

    pub fn token(&self) -> &'static str {
        match self.wire {
            Wire::Udp(_) => "UDP",
            Wire::Tcp(..) => "TCP",
            Wire::Tls(..) => "TLS",
            Wire::Ws(..) => "WS",
        }
    }

    pub fn contact(&self) -> String {
        let transport = match self.wire {
            Wire::Udp(_) => "",
            Wire::Tcp(..) => ";transport=tcp",
            Wire::Tls(..) => ";transport=tls",
            // A page has no address that it knows of.
            Wire::Ws(_) => return format!("sip:{}@{}.invalid;transport=ws", self.name, self.name),
        };
        format!("sip:{}-ua@{}{transport}", self.name, self.local)
    }

    /// A request to somebody; `to` is a name or, with a colon, a whole URI.
    pub fn say(&mut self, method: &'static str, to: &str) -> Say {
        self.count += 1;
        let uri = if to.contains(':') {
            to.to_owned()
        } else {
            format!("sip:{to}@example.com")
        };
        Say {
            method,
            from: format!("<sip:{}@example.com>;tag={}tag", self.name, self.name),
            to: format!("<{uri}>"),
            uri,
            call_id: format!("{}-{}-{}", self.name, self.local.port(), self.count),
            headers: String::new(),
            body: String::new(),
        }
    }

    /// The octets of a request, under the next CSeq.
    pub fn write(&mut self, say: &Say, credentials: &str) -> String {
        self.cseq += 1;
        self.count += 1;
        let branch = format!("z9hG4bK{}{}", self.local.port(), self.count);
        self.write_as(say, credentials, &branch)
    }

    pub fn write_as(&self, say: &Say, credentials: &str, branch: &str) -> String {
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{token} {local};branch={branch}{via}\r\n\
             Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq} {method}\r\n{credentials}{headers}Content-Length: {length}\r\n\r\n{body}",
            method = say.method,
            uri = say.uri,
            token = self.token(),
            local = self.local,
            via = self.via,
            from = say.from,
            to = say.to,
            call_id = say.call_id,
            cseq = self.cseq,
            headers = say.headers,
            length = say.body.len(),
            body = say.body,
        )
    }

    pub async fn send(&mut self, text: &str) {
        match &mut self.wire {
            Wire::Udp(socket) => {
                socket.send(text.as_bytes()).await.unwrap();
            }
            Wire::Tcp(stream, _) => stream.write_all(text.as_bytes()).await.unwrap(),
            Wire::Tls(conn, _) => {
                conn.stream.write_all(text.as_bytes()).await.unwrap();
                conn.stream.flush().await.unwrap();
            }
            Wire::Ws(socket) => socket.send(Message::text(text)).await.unwrap(),
        }
    }

    pub async fn send_octets(&mut self, octets: &[u8]) {
        match &mut self.wire {
            Wire::Udp(socket) => {
                socket.send(octets).await.unwrap();
            }
            Wire::Tcp(stream, _) => stream.write_all(octets).await.unwrap(),
            Wire::Tls(conn, _) => {
                conn.stream.write_all(octets).await.unwrap();
                conn.stream.flush().await.unwrap();
            }
            Wire::Ws(socket) => {
                let message = Message::binary(octets.to_vec());
                socket.send(message).await.unwrap();
            }
        }
    }

    /// The next message of any kind.
    pub async fn receive(&mut self) -> Sip {
        if let Some(sip) = self.stash.pop_front() {
            return sip;
        }
        self.read().await
    }

    async fn read(&mut self) -> Sip {
        let read = tokio::time::timeout(PATIENCE, read(&mut self.wire)).await;
        Sip::parse(&read.expect("a message in time"))
    }

    /// The next response; requests that come before it wait.
    pub async fn response(&mut self) -> Sip {
        loop {
            let sip = self.read().await;
            if sip.line.starts_with("SIP/2.0 ") {
                return sip;
            }
            self.stash.push_back(sip);
        }
    }

    /// The next request of the server, answered.
    pub async fn told(&mut self, status: &str) -> Sip {
        let sip = self.receive().await;
        assert!(!sip.line.starts_with("SIP/2.0 "), "{}", sip.line);
        self.reply(&sip, status).await;
        sip
    }

    pub async fn reply(&mut self, sip: &Sip, status: &str) {
        use std::fmt::Write as _;
        let mut text = format!("SIP/2.0 {status}\r\n");
        for (name, value) in &sip.headers {
            if ["Via", "From", "To", "Call-ID", "CSeq"].contains(&name.as_str()) {
                let tag = if name == "To" && !value.contains("tag=") {
                    ";tag=uas"
                } else {
                    ""
                };
                let _ = write!(text, "{name}: {value}{tag}\r\n");
            }
        }
        text.push_str("Content-Length: 0\r\n\r\n");
        self.send(&text).await;
    }

    /// Sends without credentials of the last challenge, answers one challenge.
    pub async fn ask(&mut self, say: &Say) -> Sip {
        let text = self.write(say, "");
        self.send(&text).await;
        let first = self.response().await;
        if !matches!(first.status(), 401 | 407) {
            return first;
        }
        let credentials = self.credentials(&first, say);
        let text = self.write(say, &credentials);
        self.send(&text).await;
        self.response().await
    }

    /// The header line that answers a challenge.
    pub fn credentials(&mut self, challenge: &Sip, say: &Say) -> String {
        let (asked, answered) = match challenge.status() {
            401 => ("WWW-Authenticate", "Authorization"),
            _ => ("Proxy-Authenticate", "Proxy-Authorization"),
        };
        let challenges: Vec<_> = challenge
            .all(asked)
            .iter()
            .map(|value| Challenge::parse(value).unwrap())
            .collect();
        let ask = Ask {
            method: say.method,
            uri: &say.uri,
            body: say.body.as_bytes(),
            cnonce: "0a4f",
        };
        let value = self.digest.answer(&challenges, &ask).unwrap();
        format!("{answered}: {value}\r\n")
    }

    /// A header line under the nonce of the last challenge.
    pub fn more_credentials(&mut self, say: &Say) -> String {
        let ask = Ask {
            method: say.method,
            uri: &say.uri,
            body: say.body.as_bytes(),
            cnonce: "0a4f",
        };
        let value = self.digest.again(&ask).unwrap();
        format!("Proxy-Authorization: {value}\r\n")
    }

    /// REGISTER of this client's own contact.
    pub async fn register(&mut self) -> Sip {
        let headers = format!("Contact: <{}>\r\nExpires: 600\r\n", self.contact());
        let say = self.say_register(&headers);
        self.ask(&say).await
    }

    pub fn say_register(&mut self, headers: &str) -> Say {
        let mut say = self.say("REGISTER", "sip:example.com");
        say.to = format!("<sip:{}@example.com>", self.name);
        say.call_id = format!("reg-{}-{}", self.name, self.local.port());
        headers.clone_into(&mut say.headers);
        say
    }

    pub async fn text(&mut self, to: &str, body: &str) -> Sip {
        let mut say = self.say("MESSAGE", to);
        "Content-Type: text/plain\r\n".clone_into(&mut say.headers);
        body.clone_into(&mut say.body);
        self.ask(&say).await
    }
}

async fn read(wire: &mut Wire) -> String {
    match wire {
        Wire::Udp(socket) => {
            let mut buffer = vec![0; 65_536];
            let count = socket.recv(&mut buffer).await.unwrap();
            String::from_utf8_lossy(&buffer[..count]).into_owned()
        }
        Wire::Tcp(stream, held) => loop {
            if let Some(text) = whole(held) {
                return text;
            }
            let count = stream.read_buf(held).await.unwrap();
            assert!(count > 0, "the connection has ended");
        },
        Wire::Tls(conn, held) => loop {
            if let Some(text) = whole(held) {
                return text;
            }
            let count = conn.stream.read_buf(held).await.unwrap();
            assert!(count > 0, "the connection has ended");
        },
        Wire::Ws(socket) => loop {
            match socket.next().await.expect("it goes on").unwrap() {
                Message::Text(text) if text.trim().is_empty() => {}
                Message::Text(text) => return text.to_string(),
                Message::Binary(octets) => return String::from_utf8(octets.to_vec()).unwrap(),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                Message::Close(frame) => panic!("closed: {frame:?}"),
            }
        },
    }
}

/// Cuts a whole message off the front.
fn whole(held: &mut Vec<u8>) -> Option<String> {
    while held.starts_with(b"\r\n") {
        held.drain(..2);
    }
    let text = String::from_utf8_lossy(held).into_owned();
    let head = text.find("\r\n\r\n")? + 4;
    let mut lines = text[..head].split("\r\n");
    let length = lines.find_map(|line| line.strip_prefix("Content-Length: "))?;
    let end = head + length.parse::<usize>().unwrap();
    (held.len() >= end).then(|| {
        let rest = held.split_off(end);
        let whole = std::mem::replace(held, rest);
        String::from_utf8(whole).unwrap()
    })
}
