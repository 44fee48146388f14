//! A SIP user over UDP or TCP: one socket, one reader thread.

use super::digest::Digest;
use super::{Actor, Heard, between, local_part, unescape};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// The way of its messages.
#[derive(Clone, Debug)]
enum Wire {
    Udp(Arc<UdpSocket>),
    Tcp(Arc<TcpStream>),
}

/// See the module.
pub struct SipActor {
    name: String,
    /// Named in From.
    claimed: String,
    wire: Wire,
    local: SocketAddr,
    digest: Digest,
    answers: mpsc::Receiver<String>,
    heard: mpsc::Receiver<Heard>,
    status: Arc<AtomicU16>,
    sequence: u32,
    etag: Option<String>,
    domain: String,
    /// Reports of calls so far.
    calls: u32,
    /// The chat address that spoke last.
    chat: Arc<Mutex<String>>,
    /// `User-Agent: ...` with its line end, or nothing.
    agent: String,
}

impl SipActor {
    /// A user over UDP whose password is the user name.
    pub fn udp(name: &str, server: SocketAddr) -> Result<Self, String> {
        let socket = UdpSocket::bind((server.ip(), 0)).map_err(|e| e.to_string())?;
        socket.connect(server).map_err(|e| e.to_string())?;
        let local = socket.local_addr().map_err(|e| e.to_string())?;
        Ok(Self::start(name, Wire::Udp(Arc::new(socket)), local))
    }

    /// The same over TCP.
    pub fn tcp(name: &str, server: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(server).map_err(|e| e.to_string())?;
        let local = stream.local_addr().map_err(|e| e.to_string())?;
        Ok(Self::start(name, Wire::Tcp(Arc::new(stream)), local))
    }

    fn start(name: &str, wire: Wire, local: SocketAddr) -> Self {
        let (answer, answers) = mpsc::channel();
        let (tell, heard) = mpsc::channel();
        let status = Arc::new(AtomicU16::new(200));
        let (reading, answering) = (wire.clone(), Arc::clone(&status));
        let chat = Arc::new(Mutex::new(String::new()));
        let spoke = Arc::clone(&chat);
        std::thread::spawn(move || read(&reading, &answer, &tell, (&answering, &spoke)));
        let (name, digest) = (name.to_owned(), Digest::new(name, name));
        Self {
            claimed: name.clone(),
            name,
            wire,
            local,
            digest,
            answers,
            heard,
            status,
            sequence: 0,
            etag: None,
            domain: "example.com".to_owned(),
            calls: 0,
            chat,
            agent: String::new(),
        }
    }

    /// The same with a client of that name.
    pub fn with(mut self, agent: &str) -> Self {
        self.agent = format!("User-Agent: {agent}\r\n");
        self
    }

    /// The same for a user of another domain.
    pub fn of(mut self, domain: &str) -> Self {
        domain.clone_into(&mut self.domain);
        self
    }

    /// The address of somebody, of the own domain unless another is named.
    fn uri(&self, who: &str) -> String {
        if who.contains('@') {
            format!("sip:{who}")
        } else {
            format!("sip:{who}@{}", self.domain)
        }
    }

    /// One request with credentials; the final answer.
    pub fn request(
        &mut self,
        method: &str,
        uri: &str,
        to: &str,
        call: &str,
        headers: &str,
        body: &str,
    ) -> Result<String, String> {
        for _ in 0..2 {
            self.sequence += 1;
            let header = if method == "REGISTER" {
                "Authorization"
            } else {
                "Proxy-Authorization"
            };
            let credentials = self.digest.value(method, uri);
            let credentials =
                credentials.map_or_else(String::new, |v| format!("{header}: {v}\r\n"));
            // With a tag it is written out.
            let to = if to.starts_with('<') {
                to.to_owned()
            } else {
                format!("<{to}>")
            };
            let (wire, parameter) = match self.wire {
                Wire::Udp(_) => ("UDP", ""),
                Wire::Tcp(_) => ("TCP", ";transport=tcp"),
            };
            let text = format!(
                "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{wire} {local};branch=z9hG4bK{name}{seq};rport\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:{claimed}@{domain}>;tag={name}1\r\nTo: {to}\r\n\
                 Call-ID: {call}\r\nCSeq: {seq} {method}\r\nContact: <sip:{name}@{local}{parameter}>\r\n\
                 {agent}{credentials}{headers}Content-Length: {length}\r\n\r\n{body}",
                local = self.local,
                agent = self.agent,
                name = self.name,
                claimed = self.claimed,
                domain = self.domain,
                seq = self.sequence,
                length = body.len(),
            );
            let answer = self.exchange(&text)?;
            if !matches!(status(&answer), 401 | 407) {
                return Ok(answer);
            }
            self.digest.challenged(&answer)?;
        }
        Err(format!("{method}: challenged twice"))
    }

    /// A Call-ID that no other actor of the same user has.
    fn call(&self, what: &str) -> String {
        let (name, local, number) = (&self.name, self.local, self.sequence);
        format!("{what}-{name}-{}-{number}", local.port())
    }

    /// From now on names somebody else in From.
    pub fn claim(&mut self, name: &str) {
        name.clone_into(&mut self.claimed);
    }

    fn chat(&self) -> String {
        self.chat
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn exchange(&mut self, request: &str) -> Result<String, String> {
        let sequence = format!("CSeq: {} ", self.sequence);
        let end = Instant::now() + Duration::from_secs(20);
        let mut wait = Duration::from_millis(500);
        write(&self.wire, request)?;
        while Instant::now() < end {
            match self.answers.recv_timeout(wait) {
                Ok(answer) if answer.contains(&sequence) && status(&answer) >= 200 => {
                    return Ok(answer);
                }
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    wait = (wait * 2).min(Duration::from_secs(4));
                    if matches!(self.wire, Wire::Udp(_)) {
                        write(&self.wire, request)?;
                    }
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Err(format!("no answer to: {request}"))
    }

    fn expect_success(&self, answer: String) -> Result<String, String> {
        if (200..300).contains(&status(&answer)) {
            return Ok(answer);
        }
        Err(format!("{}: success expected, got:\n{answer}", self.name))
    }

    fn register(&mut self, expires: u32) -> Result<(), String> {
        let to = self.uri(&self.name);
        let call = format!("register-{}", self.name);
        let headers = format!("Expires: {expires}\r\n");
        let registrar = format!("sip:{}", self.domain);
        let answer = self.request("REGISTER", &registrar, &to, &call, &headers, "")?;
        self.expect_success(answer).map(|_| ())
    }
}

impl Actor for SipActor {
    fn sign_in(&mut self) -> Result<(), String> {
        self.register(3600)
    }

    fn sign_out(&mut self) -> Result<(), String> {
        self.register(0)
    }

    fn vanish(&mut self) {
        if let Wire::Tcp(stream) = &self.wire {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        self.status.store(0, Ordering::Relaxed);
    }

    fn set_state(&mut self, state: &str) -> Result<(), String> {
        let activity = match state {
            "online" | "offline" | "idle" => String::new(),
            "on-phone" => "<rpid:on-the-phone/>".to_owned(),
            "at-lunch" => "<rpid:meal/>".to_owned(),
            "back-soon" | "away" => "<rpid:away/>".to_owned(),
            other => format!("<rpid:{other}/>"),
        };
        let input = if state == "idle" {
            "<rpid:user-input>idle</rpid:user-input>"
        } else {
            ""
        };
        let basic = if state == "offline" { "closed" } else { "open" };
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
             xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
             xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"{0}\">\
             <tuple id=\"t\"><status><basic>{basic}</basic></status></tuple><dm:person id=\"p\">\
             <rpid:activities>{activity}</rpid:activities>{input}</dm:person></presence>",
            self.uri(&self.name)
        );
        let me = self.uri(&self.name);
        let condition = self
            .etag
            .take()
            .map_or_else(String::new, |tag| format!("SIP-If-Match: {tag}\r\n"));
        let headers = format!(
            "Event: presence\r\nExpires: 3600\r\nContent-Type: application/pidf+xml\r\n{condition}"
        );
        let call = format!("publish-{}", self.name);
        let answer = self.request("PUBLISH", &me, &me, &call, &headers, &body)?;
        let answer = self.expect_success(answer)?;
        self.etag = between(&answer, "SIP-ETag: ", "\r\n").map(str::to_owned);
        Ok(())
    }

    fn watch(&mut self, whom: &str) -> Result<(), String> {
        let to = self.uri(whom);
        let headers = "Event: presence\r\nAccept: application/pidf+xml\r\nExpires: 3600\r\n";
        let whom = whom.replace('@', "-");
        let call = format!("watch-{}-{whom}-{}", self.name, self.sequence);
        let answer = self.request("SUBSCRIBE", &to, &to, &call, headers, "")?;
        self.expect_success(answer).map(|_| ())
    }

    fn say(&mut self, to: &str, text: &str) -> Result<u16, String> {
        let to = self.uri(to);
        let call = self.call("say");
        let headers = "Content-Type: text/plain;charset=UTF-8\r\n";
        self.request("MESSAGE", &to, &to, &call, headers, text)
            .map(|answer| status(&answer))
    }

    fn typing(&mut self, to: &str) -> Result<u16, String> {
        let to = self.uri(to);
        let call = self.call("type");
        let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
                    <isComposing xmlns=\"urn:ietf:params:xml:ns:im-iscomposing\">\
                    <state>active</state><contenttype>text/plain</contenttype>\
                    <refresh>90</refresh></isComposing>";
        let headers = "Content-Type: application/im-iscomposing+xml\r\n";
        self.request("MESSAGE", &to, &to, &call, headers, body)
            .map(|answer| status(&answer))
    }

    fn on_phone(&mut self, busy: bool) -> Result<(), String> {
        self.calls += 1;
        let state = if busy { "confirmed" } else { "terminated" };
        let body = format!(
            "<?xml version=\"1.0\"?><dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" \
             version=\"{}\" state=\"full\" entity=\"sip:{}@example.com\">\
             <dialog id=\"c\" direction=\"recipient\"><state>{state}</state></dialog></dialog-info>",
            self.calls, self.name
        );
        let me = format!("sip:{}@example.com", self.name);
        let call = format!("{}-calls", self.name);
        let headers =
            "Event: dialog\r\nExpires: 600\r\nContent-Type: application/dialog-info+xml\r\n";
        let answer = self.request("PUBLISH", &me, &me, &call, headers, &body)?;
        match status(&answer) {
            200 => Ok(()),
            _ => Err(answer),
        }
    }

    fn add(&mut self, whom: &str) -> Result<u16, String> {
        self.tell(&format!("/add {whom}"))
    }

    fn tell(&mut self, text: &str) -> Result<u16, String> {
        let chat = self.chat();
        self.say(&chat, text)
    }

    fn type_to_all(&mut self) -> Result<u16, String> {
        let chat = self.chat();
        self.typing(&chat)
    }

    fn typing_in_conversation(&self, _: &str) -> Heard {
        Heard::Typing {
            from: self.chat(),
            active: true,
        }
    }

    fn leave(&mut self) -> Result<u16, String> {
        let told = self.tell("/leave")?;
        match self.next_kind(false, Duration::from_secs(10)) {
            Some(Heard::Text { text, .. }) if text.starts_with("You have left") => Ok(told),
            other => Err(format!("not told of the own leave: {other:?}")),
        }
    }

    fn roster(&mut self) -> Result<Vec<String>, String> {
        self.tell("/who")?;
        let line = match self.next_kind(false, Duration::from_secs(10)) {
            Some(Heard::Text { text, .. }) if text.starts_with("Here are:") => text,
            other => return Err(format!("no roster: {other:?}")),
        };
        let all = line.split('<').skip(1).map(local_part);
        let mut others: Vec<String> = all.filter(|who| *who != self.name).collect();
        others.sort();
        Ok(others)
    }

    fn in_conversation(&self, from: &str, text: &str) -> Heard {
        Heard::Text {
            from: self.chat(),
            text: format!("{from}: {text}"),
        }
    }

    fn is_news(&self, heard: &Heard, of: &str, joined: bool) -> bool {
        let Heard::Text { from, text } = heard else {
            return false;
        };
        let says = if joined {
            text.contains(&format!("added {of}")) || text.contains(&format!("{of} is back"))
        } else {
            *text == format!("{of} left.")
        };
        *from == self.chat() && says
    }

    fn block(&mut self, _: &str, _: bool) -> Result<(), String> {
        Err("a plain SIP user has no way to block (XCAP is another issue's)".to_owned())
    }

    fn answer_with(&mut self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    fn heard(&self) -> &mpsc::Receiver<Heard> {
        &self.heard
    }
}

/// Status of an answer, 0 for a request.
pub fn status(message: &str) -> u16 {
    message
        .strip_prefix("SIP/2.0 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .unwrap_or(0)
}

fn write(wire: &Wire, text: &str) -> Result<(), String> {
    match wire {
        // An error of an earlier datagram may show here; the repetition goes out.
        Wire::Udp(socket) => socket
            .send(text.as_bytes())
            .or_else(|_| socket.send(text.as_bytes()))
            .map(|_| ()),
        Wire::Tcp(stream) => (&**stream).write_all(text.as_bytes()),
    }
    .map_err(|e| e.to_string())
}

fn read(
    wire: &Wire,
    answer: &mpsc::Sender<String>,
    heard: &mpsc::Sender<Heard>,
    (with, chat): (&AtomicU16, &Mutex<String>),
) {
    let mut have = Vec::new();
    let mut last = String::new();
    while let Some(message) = next_message(wire, &mut have) {
        if status(&message) != 0 {
            let _ = answer.send(message);
            continue;
        }
        let status = with.load(Ordering::Relaxed);
        if status == 0 || message.trim().is_empty() {
            continue;
        }
        // A retransmission is answered again and not heard again.
        let key = lines(&message, &["via", "call-id", "cseq"]);
        let again = std::mem::replace(&mut last, key.clone()) == key;
        if status < 300 && !again {
            let understood = understand(&message);
            if let Heard::Text { from, .. } = &understood
                && from.starts_with("conv-")
            {
                from.clone_into(&mut chat.lock().unwrap_or_else(PoisonError::into_inner));
            }
            let _ = heard.send(understood);
        }
        let kept = lines(&message, &["via", "from", "to", "call-id", "cseq"]);
        let kept = kept
            .split_inclusive("\r\n")
            .map(|line| {
                let to = line.to_ascii_lowercase().starts_with("to:");
                if to && !line.contains("tag=") {
                    line.replace("\r\n", ";tag=actor\r\n")
                } else {
                    line.to_owned()
                }
            })
            .collect::<String>();
        let _ = write(
            wire,
            &format!("SIP/2.0 {status} Answer\r\n{kept}Content-Length: 0\r\n\r\n"),
        );
    }
}

fn next_message(wire: &Wire, have: &mut Vec<u8>) -> Option<String> {
    match wire {
        Wire::Udp(socket) => loop {
            let mut buffer = vec![0u8; 65536];
            match socket.recv(&mut buffer) {
                Ok(count) => return Some(String::from_utf8_lossy(&buffer[..count]).into_owned()),
                // What was sent while the server was down comes back as an error of the next
                // read; the server comes back, and so do we.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
                Err(_) => return None,
            }
        },
        Wire::Tcp(stream) => loop {
            while have.starts_with(b"\r\n") {
                have.drain(..2);
            }
            if let Some(end) = have.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&have[..end]).to_ascii_lowercase();
                let length = between(&format!("{head}\r\n"), "content-length:", "\r\n")
                    .and_then(|value| value.trim().parse::<usize>().ok())?;
                if have.len() >= end + 4 + length {
                    let message = have.drain(..end + 4 + length).collect::<Vec<u8>>();
                    return Some(String::from_utf8_lossy(&message).into_owned());
                }
            }
            let mut chunk = [0u8; 8192];
            let count = (&**stream)
                .read(&mut chunk)
                .ok()
                .filter(|count| *count > 0)?;
            have.extend_from_slice(&chunk[..count]);
        },
    }
}

fn lines(message: &str, names: &[&str]) -> String {
    let head = message.split("\r\n\r\n").next().unwrap_or("");
    let wanted = |line: &&str| {
        let name = line
            .split(':')
            .next()
            .unwrap_or("")
            .trim()
            .to_ascii_lowercase();
        names.contains(&name.as_str())
    };
    head.split("\r\n")
        .skip(1)
        .filter(wanted)
        .map(|line| format!("{line}\r\n"))
        .collect()
}

fn understand(message: &str) -> Heard {
    let Some((head, body)) = message.split_once("\r\n\r\n") else {
        return Heard::Other(message.to_owned());
    };
    let from = between(head, "\r\nFrom: ", "\r\n").unwrap_or("");
    let from = local_part(between(from, "<", ">").unwrap_or(from));
    let lower = head.to_ascii_lowercase();
    if message.starts_with("NOTIFY ") {
        let state = pidf_state(body);
        return match state {
            Some(state) if lower.contains("subscription-state: active") => {
                Heard::Presence { of: from, state }
            }
            None if lower.contains("subscription-state: pending") => Heard::Presence {
                of: from,
                state: "pending".to_owned(),
            },
            _ => Heard::Other(message.to_owned()),
        };
    }
    if lower.contains("content-type: application/im-iscomposing+xml") {
        let active = between(body, "<state>", "</state>") == Some("active");
        return Heard::Typing { from, active };
    }
    if lower.contains("content-type: text/plain") {
        return Heard::Text {
            from,
            text: body.replace("\r\n", "\n"),
        };
    }
    Heard::Other(message.to_owned())
}

fn pidf_state(body: &str) -> Option<String> {
    let basic = between(body, "<basic>", "</basic>")?;
    if basic == "closed" {
        return Some("offline".to_owned());
    }
    let known = [
        ("<rpid:on-the-phone/>", "on-phone"),
        ("<rpid:busy/>", "busy"),
        ("<rpid:meal/>", "at-lunch"),
        ("<rpid:away/>", "away"),
    ];
    let named = known.iter().find(|(element, _)| body.contains(element));
    let idle = between(body, "<rpid:user-input", "/rpid:user-input>")
        .is_some_and(|value| unescape(value).contains(">idle<"));
    Some(match named {
        Some((_, state)) => (*state).to_owned(),
        None if idle => "idle".to_owned(),
        None => "online".to_owned(),
    })
}
