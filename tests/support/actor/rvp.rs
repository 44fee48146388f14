//! An RVP user: requests on one connection, a listener for callbacks.

use super::digest::Digest;
use super::mesh::Mesh;
use super::{Actor, Heard, between, escape, local_part, unescape};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// How the client puts text into XML (`rvp.md` 8.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As characters, once: libraries.
    Characters,
    /// As the octets of UTF-8, each a character: Microsoft's clients.
    Octets,
    /// The same from a client that does not say what it is.
    OctetsUnnamed,
}

/// See the module.
pub struct RvpActor {
    name: String,
    /// Named as the sender in RVP-From-Principal.
    claimed: String,
    server: SocketAddr,
    stream: Option<TcpStream>,
    digest: Digest,
    callback: SocketAddr,
    heard: mpsc::Receiver<Heard>,
    own: mpsc::Sender<Heard>,
    status: Arc<AtomicU16>,
    gone: Arc<AtomicBool>,
    /// Connections that the server keeps to us.
    open: Arc<Mutex<Vec<TcpStream>>>,
    subscription: Option<String>,
    encoding: Encoding,
    /// Named in Host.
    host: String,
    /// The body of the last answer.
    last: String,
    mesh: Mesh,
}

const SESSION: &str = "{D2B0C9C1-6A5B-4B0A-9E11-6B0F3C1D0001}";
const HOST: &str = "localhost";

impl RvpActor {
    /// A user of the server whose password is the user name.
    pub fn new(name: &str, server: SocketAddr, encoding: Encoding) -> Result<Self, String> {
        let listener = TcpListener::bind((server.ip(), 0)).map_err(|e| e.to_string())?;
        let callback = listener.local_addr().map_err(|e| e.to_string())?;
        let (own, heard) = mpsc::channel();
        let status = Arc::new(AtomicU16::new(200));
        let gone = Arc::new(AtomicBool::new(false));
        let (sender, answers, left) = (own.clone(), Arc::clone(&status), Arc::clone(&gone));
        let open = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&open);
        let mesh = Mesh::default();
        let known = mesh.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if left.load(Ordering::Relaxed) {
                    return;
                }
                let (sender, answers) = (sender.clone(), Arc::clone(&answers));
                if let (Ok(mut kept), Ok(stream)) = (kept.lock(), stream.try_clone()) {
                    kept.push(stream);
                }
                let mesh = known.clone();
                std::thread::spawn(move || serve(stream, &sender, &answers, encoding, &mesh));
            }
        });
        Ok(Self {
            name: name.to_owned(),
            claimed: name.to_owned(),
            server,
            stream: None,
            digest: Digest::new(name, name),
            callback,
            heard,
            own,
            status,
            gone,
            open,
            subscription: None,
            encoding,
            host: HOST.to_owned(),
            last: String::new(),
            mesh,
        })
    }

    /// One request with credentials: status, head, body.
    pub fn request(
        &mut self,
        method: &str,
        node: &str,
        headers: &str,
        body: &str,
    ) -> Result<(u16, String, String), String> {
        for _ in 0..2 {
            // A path is a node beyond people, a domain somebody else's.
            let uri = if node.starts_with('/') {
                node.to_owned()
            } else if node.contains('@') {
                url(node)
            } else {
                format!("/instmsg/aliases/{node}")
            };
            let credentials = self.digest.value(method, &uri);
            let credentials =
                credentials.map_or_else(String::new, |v| format!("Authorization: {v}\r\n"));
            let agent = match self.encoding {
                Encoding::Octets => "User-Agent: msmsgs/4.7.0.2009\r\n",
                Encoding::Characters | Encoding::OctetsUnnamed => "",
            };
            let text = format!(
                "{method} {uri} HTTP/1.1\r\nHost: {}\r\n{agent}RVP-Notifications-Version: 0.2\r\n\
                 RVP-From-Principal: http://{HOST}/instmsg/aliases/{}\r\n{credentials}{headers}\
                 Content-Length: {}\r\n\r\n{body}",
                self.host,
                self.claimed,
                body.len()
            );
            let (head, body) = self.exchange(text.as_bytes())?;
            let status = head.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0);
            if status != 401 {
                self.last.clone_from(&body);
                return Ok((status, head, body));
            }
            self.digest.challenged(&head)?;
        }
        Err(format!("{method}: challenged twice"))
    }

    fn exchange(&mut self, request: &[u8]) -> Result<(String, String), String> {
        // A kept connection may have been closed meanwhile (a restart): once more on a fresh one.
        let reused = self.stream.is_some();
        let result = self.exchange_once(request);
        if result.is_err() && reused {
            self.exchange_once(request)
        } else {
            result
        }
    }

    fn exchange_once(&mut self, request: &[u8]) -> Result<(String, String), String> {
        if self.stream.is_none() {
            self.stream = Some(TcpStream::connect(self.server).map_err(|e| e.to_string())?);
        }
        let stream = self.stream.as_mut().ok_or("no connection")?;
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .map_err(|e| e.to_string())?;
        let result = stream.write_all(request).map_err(|e| e.to_string());
        let result = result.and_then(|()| read_message(stream, &mut Vec::new()));
        if result
            .as_ref()
            .map_or(true, |(head, _)| head.contains("onnection: close"))
        {
            self.stream = None;
        }
        result
    }

    fn expect(
        &mut self,
        wanted: u16,
        result: (u16, String, String),
    ) -> Result<(String, String), String> {
        if result.0 == wanted {
            return Ok((result.1, result.2));
        }
        Err(format!(
            "{}: {wanted} expected, got:\n{}\n{}",
            self.name, result.1, result.2
        ))
    }

    /// The body of the last answer.
    pub fn last_body(&self) -> &str {
        &self.last
    }

    /// Offers somebody a file.
    pub fn offer_file(&mut self, to: &str, file: &str, size: u64) -> Result<u16, String> {
        let mime = format!(
            "MIME-Version: 1.0\r\nContent-Type: text/x-msmsgsinvite; charset=UTF-8\r\n\
             Session-Id: {SESSION}\r\n\r\nApplication-Name: File Transfer\r\n\
             Application-GUID: {{5D3E02AB-6190-11d3-BBBB-00C04F795683}}\r\n\
             Invitation-Command: INVITE\r\nInvitation-Cookie: 33267\r\n\
             Application-File: {file}\r\nApplication-FileSize: {size}\r\n\r\n"
        );
        self.notify(to, &mime)
    }

    /// From now on names somebody else as the sender of requests.
    pub fn claim(&mut self, name: &str) {
        name.clone_into(&mut self.claimed);
    }

    /// Sends a text whose notification-from names somebody else.
    pub fn say_as(&mut self, from: &str, to: &str, text: &str) -> Result<u16, String> {
        let mime = format!(
            "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\n\
             Session-Id: {SESSION}\r\n\r\n{text}"
        );
        self.notify_as(from, to, &mime)
    }

    /// Sends a text to somebody at another host: the request names it in its target.
    pub fn say_at(&mut self, host: &str, to: &str, text: &str) -> Result<u16, String> {
        host.clone_into(&mut self.host);
        let told = self.say(to, text);
        HOST.clone_into(&mut self.host);
        told
    }

    fn notify(&mut self, to: &str, mime: &str) -> Result<u16, String> {
        let name = self.name.clone();
        self.notify_as(&name, to, mime)
    }

    fn notify_as(&mut self, from: &str, to: &str, mime: &str) -> Result<u16, String> {
        let contact = |who: &str| {
            format!(
                "<r:contact><d:href>{}</d:href>\
                 <r:description>{who}</r:description></r:contact>",
                url(who)
            )
        };
        let mime = match self.encoding {
            Encoding::Characters => mime.to_owned(),
            Encoding::Octets | Encoding::OctetsUnnamed => {
                cesu_8(mime).into_iter().map(char::from).collect()
            }
        };
        let body = format!(
            "<?xml version=\"1.0\"?><r:notification xmlns:d=\"DAV:\" \
             xmlns:r=\"http://schemas.microsoft.com/rvp/\"><r:message><r:notification-from>{}\
             </r:notification-from><r:notification-to>{}</r:notification-to><r:msgbody>\
             <r:mime-data><![CDATA[{mime}]]></r:mime-data></r:msgbody></r:message></r:notification>",
            contact(from),
            contact(to)
        );
        let headers = "RVP-Ack-Type: DeepOr\r\nRVP-Hop-Count: 1\r\nContent-Type: text/xml\r\n";
        Ok(self.request("NOTIFY", to, headers, &body)?.0)
    }
}

impl Actor for RvpActor {
    fn sign_in(&mut self) -> Result<(), String> {
        let headers = format!(
            "Notification-Type: pragma/notify\r\nSubscription-Lifetime: 14400\r\n\
             Call-Back: http://{}\r\n",
            self.callback
        );
        let name = self.name.clone();
        let result = self.request("SUBSCRIBE", &name, &headers, "")?;
        let (head, _) = self.expect(200, result)?;
        self.subscription = between(&head, "Subscription-Id: ", "\r\n").map(str::to_owned);
        self.set_state("online")
    }

    fn sign_out(&mut self) -> Result<(), String> {
        self.set_state("offline")?;
        let id = self.subscription.take().ok_or("not signed in")?;
        let name = self.name.clone();
        let headers = format!("Subscription-Id: {id}\r\n");
        let result = self.request("UNSUBSCRIBE", &name, &headers, "")?;
        self.expect(200, result).map(|_| ())
    }

    fn vanish(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
        // One connection wakes the listener's thread, which then ends and closes the port.
        drop(TcpStream::connect(self.callback));
        for stream in self
            .open
            .lock()
            .into_iter()
            .flat_map(|mut open| std::mem::take(&mut *open))
        {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        self.stream = None;
    }

    fn set_state(&mut self, state: &str) -> Result<(), String> {
        let body = format!(
            "<?xml version=\"1.0\"?><d:propertyupdate xmlns:d=\"DAV:\" \
             xmlns:r=\"http://schemas.microsoft.com/rvp/\"><d:set><d:prop><r:state>\
             <r:leased-value><r:value><r:{state}/></r:value><r:default-value><r:offline/>\
             </r:default-value><d:timeout>1200</d:timeout></r:leased-value></r:state></d:prop>\
             </d:set></d:propertyupdate>"
        );
        let name = self.name.clone();
        let result = self.request("PROPPATCH", &name, "Content-Type: text/xml\r\n", &body)?;
        self.expect(207, result).map(|_| ())
    }

    fn watch(&mut self, whom: &str) -> Result<(), String> {
        let headers = format!(
            "Notification-Type: update/propchange\r\nSubscription-Lifetime: 14400\r\n\
             Call-Back: http://{HOST}/instmsg/aliases/{}\r\n",
            self.name
        );
        let result = self.request("SUBSCRIBE", whom, &headers, "")?;
        let (_, body) = self.expect(207, result)?;
        let state = state_of(&body).ok_or_else(|| format!("no state in: {body}"))?;
        let heard = Heard::Presence {
            of: local_part(whom),
            state,
        };
        self.own.send(heard).map_err(|e| e.to_string())
    }

    fn say(&mut self, to: &str, text: &str) -> Result<u16, String> {
        let mime = format!(
            "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\n\
             X-MMS-IM-Format: FN=Tahoma; EF=; CO=0; CS=0; PF=22\r\nSession-Id: {SESSION}\r\n\r\n{text}"
        );
        let told = self.notify(to, &mime.replace("]]>", "]]]]><![CDATA[>"))?;
        // Whoever is written to in the session that the client is in, is in.
        if told == 200 && !to.starts_with("conv") && self.mesh.session(SESSION) == SESSION {
            self.mesh.add(to);
        }
        Ok(told)
    }

    fn typing(&mut self, to: &str) -> Result<u16, String> {
        let mime = format!(
            "MIME-Version: 1.0\r\nContent-Type: text/x-msmsgscontrol\r\nTypingUser: {}@{HOST}\r\n\
             Session-Id: {SESSION}\r\n\r\n\r\n",
            self.name
        );
        self.notify(to, &mime)
    }

    fn add(&mut self, whom: &str) -> Result<u16, String> {
        let session = self.mesh.session(SESSION);
        let told = self.notify(whom, &control("text/x-msmsgscontrol", &session))?;
        if told == 200 {
            self.mesh.add(whom);
        }
        Ok(told)
    }

    fn tell(&mut self, text: &str) -> Result<u16, String> {
        let session = self.mesh.session(SESSION);
        let mime = format!(
            "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\n\
             Session-Id: {session}\r\n\r\n{text}"
        );
        let mut worst = 200;
        for member in self.mesh.members() {
            let told = self.notify(&member, &mime)?;
            if told == 500 {
                self.mesh.remove(&member);
            }
            worst = worst.max(told);
        }
        Ok(worst)
    }

    fn type_to_all(&mut self) -> Result<u16, String> {
        let mut worst = 200;
        for member in self.mesh.members() {
            worst = worst.max(self.typing(&member)?);
        }
        Ok(worst)
    }

    fn typing_in_conversation(&self, from: &str) -> Heard {
        Heard::Typing {
            from: from.to_owned(),
            active: true,
        }
    }

    fn leave(&mut self) -> Result<u16, String> {
        let session = self.mesh.session(SESSION);
        let mut worst = 200;
        for member in self.mesh.members() {
            worst = worst.max(self.notify(&member, &control("text/x-imleave", &session))?);
        }
        self.mesh.forget();
        Ok(worst)
    }

    fn roster(&mut self) -> Result<Vec<String>, String> {
        Ok(self.mesh.members())
    }

    fn in_conversation(&self, from: &str, text: &str) -> Heard {
        Heard::Text {
            from: from.to_owned(),
            text: text.to_owned(),
        }
    }

    fn is_news(&self, heard: &Heard, of: &str, joined: bool) -> bool {
        let from = of.to_owned();
        *heard == Heard::Membership { from, joined }
    }

    fn offer(&mut self, to: &str) -> Result<u16, String> {
        let mime = format!(
            "MIME-Version: 1.0\r\nContent-Type: text/x-msmsgsinvite; charset=UTF-8\r\n\
             Session-Id: {SESSION}\r\n\r\nApplication-Name: File Transfer\r\n\
             Application-GUID: {{5D3E02AB-6190-11d3-BBBB-00C04F795683}}\r\n\
             Invitation-Command: INVITE\r\nInvitation-Cookie: 33267\r\n\
             Application-File: plan.doc\r\nApplication-FileSize: 1024\r\n\r\n"
        );
        self.notify(to, &mime)
    }

    fn block(&mut self, whom: &str, blocked: bool) -> Result<(), String> {
        let ace = |who: &str, grant: &str, deny: &str| {
            format!(
                "<a:ace><a:principal>{who}<a:credentials><a:any/></a:credentials></a:principal>\
                 <a:grant>{grant}</a:grant><a:deny>{deny}</a:deny></a:ace>"
            )
        };
        let person = format!("<a:rvp-principal>{}</a:rvp-principal>", escape(&url(whom)));
        let everybody = "<a:list/><a:read/><a:presence/><a:send-to/><a:receive-from/>";
        let all = ace("<a:allprincipals/>", everybody, "");
        let one = if blocked {
            ace(&person, "", "<a:send-to/><a:presence/>")
        } else {
            String::new()
        };
        let body = format!(
            "<?xml version=\"1.0\"?><a:rvpacl xmlns:a=\"http://schemas.microsoft.com/rvp/acl/\">\
             <a:acl><a:inheritance>none</a:inheritance>{all}{one}</a:acl></a:rvpacl>"
        );
        let name = self.name.clone();
        let result = self.request("ACL", &name, "Content-Type: text/xml\r\n", &body)?;
        self.expect(200, result).map(|_| ())
    }

    fn answer_with(&mut self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    fn heard(&self) -> &mpsc::Receiver<Heard> {
        &self.heard
    }
}

/// A join or a leave.
fn control(kind: &str, session: &str) -> String {
    format!("MIME-Version: 1.0\r\nContent-Type: {kind}\r\nSession-Id: {session}\r\n\r\n\r\n")
}

/// The logical URL of somebody, of the own domain unless another is named.
fn url(who: &str) -> String {
    match who.split_once('@') {
        Some((name, domain)) => format!("http://im.{domain}/instmsg/aliases/{name}"),
        None => format!("http://{HOST}/instmsg/aliases/{who}"),
    }
}

/// Reads one message with a Content-Length (0 if absent).
pub fn read_message(
    stream: &mut impl Read,
    have: &mut Vec<u8>,
) -> Result<(String, String), String> {
    loop {
        if let Some(end) = have.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&have[..end + 2]).into_owned();
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .map_or(Ok(0), |(_, value)| value.trim().parse::<usize>())
                .map_err(|e| format!("{head}: {e}"))?;
            if have.len() >= end + 4 + length {
                let body = have[end + 4..end + 4 + length].to_vec();
                have.drain(..end + 4 + length);
                let body = String::from_utf8(body).map_err(|e| e.to_string())?;
                return Ok((head, body));
            }
        }
        let mut chunk = [0u8; 8192];
        let count = stream.read(&mut chunk).map_err(|e| e.to_string())?;
        if count == 0 {
            return Err("the connection was closed".to_owned());
        }
        have.extend_from_slice(&chunk[..count]);
    }
}

fn serve(
    mut stream: TcpStream,
    heard: &mpsc::Sender<Heard>,
    status: &AtomicU16,
    encoding: Encoding,
    mesh: &Mesh,
) {
    let mut have = Vec::new();
    while let Ok((head, body)) = read_message(&mut stream, &mut have) {
        let status = status.load(Ordering::Relaxed);
        if status == 0 {
            continue;
        }
        if !head.starts_with("NOTIFY / HTTP/1.1\r\n") {
            let _ = heard.send(Heard::Other(head.clone()));
        }
        if status < 300 {
            let _ = heard.send(understand(&head, &body, encoding, mesh));
        }
        let answer = format!(
            "HTTP/1.1 {status} Answer\r\nRVP-Notifications-Version: 0.2\r\nContent-Length: 0\r\n\r\n"
        );
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn understand(head: &str, body: &str, encoding: Encoding, mesh: &Mesh) -> Heard {
    let raw = || Heard::Other(format!("{head}\n{body}"));
    let Some(from) = between(body, "<d:href>", "</d:href>").map(local_part) else {
        return raw();
    };
    if body.contains("<r:propnotification>") {
        return match state_of(body) {
            Some(state) => Heard::Presence { of: from, state },
            None => raw(),
        };
    }
    let Some(mime) = between(body, "<r:mime-data>", "</r:mime-data>") else {
        return raw();
    };
    let mime = mime.replace("]]]]><![CDATA[>", "]]>");
    let mime = mime
        .strip_prefix("<![CDATA[")
        .and_then(|rest| rest.strip_suffix("]]>"));
    let Some((headers, text)) = mime.and_then(|m| m.split_once("\r\n\r\n")) else {
        return raw();
    };
    if !headers.contains("Session-Id: {") {
        return raw();
    }
    mesh.hear(headers, &from);
    if headers.contains("text/x-msmsgsinvite") {
        let word = |name| between(text, name, "\r\n").unwrap_or_default();
        let (command, cookie) = (word("Invitation-Command: "), word("Invitation-Cookie: "));
        let code = word("Cancel-Code: ");
        return Heard::Other(
            format!("{from}: {command} {cookie} {code}")
                .trim_end()
                .to_owned(),
        );
    }
    if headers.contains("text/x-msmsgscontrol") {
        return if headers.contains("TypingUser:") {
            Heard::Typing { from, active: true }
        } else {
            Heard::Membership { from, joined: true }
        };
    }
    if headers.contains("text/x-imleave") {
        return Heard::Membership {
            from,
            joined: false,
        };
    }
    let text = match encoding {
        Encoding::Characters => text.to_owned(),
        Encoding::Octets | Encoding::OctetsUnnamed => {
            let octets: Option<Vec<u8>> = text
                .chars()
                .map(|c| u8::try_from(u32::from(c)).ok())
                .collect();
            let decoded = octets.and_then(|octets| from_cesu_8(&octets));
            decoded.unwrap_or_else(|| format!("not octets: {text}"))
        }
    };
    Heard::Text {
        from,
        text: text.replace("\r\n", "\n"),
    }
}

fn state_of(body: &str) -> Option<String> {
    let state = between(body, "<r:state>", "</r:state>")?;
    let name = between(state, "<r:", "/>")?;
    Some(unescape(name).trim().to_owned())
}

/// UTF-8 of UTF-16's units: what octet-form clients send (`rvp.md` 8.13).
fn cesu_8(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    for unit in text.encode_utf16() {
        let [high, low] = unit.to_be_bytes();
        // The ten bits above the lowest six, cut to those that the second octet may hold.
        let middle = high << 2 | low >> 6;
        match unit {
            0..0x80 => octets.push(low),
            0x80..0x800 => octets.extend([0xc0 | middle, 0x80 | (low & 0x3f)]),
            _ => octets.extend([
                0xe0 | high >> 4,
                0x80 | (middle & 0x3f),
                0x80 | (low & 0x3f),
            ]),
        }
    }
    octets
}

/// The same back; four-octet forms are what such clients can't read.
fn from_cesu_8(octets: &[u8]) -> Option<String> {
    let mut units = Vec::new();
    let mut rest = octets;
    while let [first, tail @ ..] = rest {
        let (unit, used) = match (first, tail) {
            (0..0x80, _) => (u16::from(*first), 0),
            (0xc2..0xe0, [a, ..]) => ((u16::from(first & 0x1f) << 6) | u16::from(a & 0x3f), 1),
            (0xe0..0xf0, [a, b, ..]) => {
                let high = (u16::from(first & 0x0f) << 12) | (u16::from(a & 0x3f) << 6);
                (high | u16::from(b & 0x3f), 2)
            }
            _ => return None,
        };
        units.push(unit);
        rest = &tail[used..];
    }
    String::from_utf16(&units).ok()
}
