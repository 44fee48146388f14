//! A telephone over UDP, written by hand: what it says and hears is all in the test.

use crate::actor::digest::Digest;
use crate::actor::{between, sip_status};
use crate::scene::PATIENCE;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// The media that a call offers: octets nobody may touch.
pub const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns= \r\nm=audio 9 RTP/AVP 0\r\na=odd:  x\r\n";

pub struct Phone {
    name: String,
    domain: String,
    server: SocketAddr,
    socket: UdpSocket,
    digest: Digest,
    sequence: u32,
}

/// One side of a call.
#[derive(Clone, Debug)]
pub struct Call {
    id: String,
    /// From and To of its own requests.
    from: String,
    to: String,
    target: String,
    routes: Vec<String>,
    /// The CSeq of the INVITE.
    number: u32,
}

impl Phone {
    /// Not registered, at that address.
    pub fn new(name: &str, domain: &str, at: IpAddr, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((at, 0)).unwrap();
        Self {
            name: name.to_owned(),
            domain: domain.to_owned(),
            server,
            socket,
            digest: Digest::new(name, name),
            sequence: 0,
        }
    }

    /// Registered.
    pub fn of(name: &str, domain: &str, server: SocketAddr) -> Self {
        let mut phone = Self::new(name, domain, server.ip(), server);
        let headers = format!("{}Expires: 3600\r\n", phone.contact());
        let (uri, me) = (format!("sip:{domain}"), phone.uri());
        let id = phone.id();
        let answer = phone.ask("REGISTER", &uri, (&phone.from(), &me), &id, &headers, "");
        assert_eq!(sip_status(&answer), 200, "{answer}");
        phone
    }

    fn uri(&self) -> String {
        format!("<sip:{}@{}>", self.name, self.domain)
    }

    fn from(&self) -> String {
        format!("{};tag={}", self.uri(), self.port())
    }

    fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }

    fn contact(&self) -> String {
        let at = self.socket.local_addr().unwrap();
        format!("Contact: <sip:{}@{at}>\r\n", self.name)
    }

    fn id(&self) -> String {
        format!("{}-{}-{}", self.name, self.port(), self.sequence)
    }

    fn write(
        &self,
        method: &str,
        uri: &str,
        (from, to): (&str, &str),
        call: &str,
        headers: &str,
        body: &str,
    ) -> String {
        let (at, number) = (self.socket.local_addr().unwrap(), self.sequence);
        let length = body.len();
        let branch = format!("z9hG4bK{}.{number}.{method}", at.port());
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch={branch};rport\r\n\
             Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call}\r\n\
             CSeq: {number} {method}\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        )
    }

    pub fn send(&self, text: &str) {
        self.socket.send_to(text.as_bytes(), self.server).unwrap();
    }

    /// The next message that is wanted; all others are let go.
    pub fn wait(&self, wanted: impl Fn(&str) -> bool) -> String {
        let found = self.listen(PATIENCE, wanted);
        found.unwrap_or_else(|seen| panic!("{} never heard it, but: {seen:#?}", self.name))
    }

    /// The same within a time, or what came instead.
    pub fn listen(
        &self,
        span: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String, Vec<String>> {
        let end = Instant::now() + span;
        let mut seen = Vec::new();
        let mut buffer = vec![0_u8; 65536];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(seen);
            }
            self.socket.set_read_timeout(Some(left)).unwrap();
            if let Ok((length, _)) = self.socket.recv_from(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if wanted(&text) {
                    return Ok(text);
                }
                seen.push(text);
            }
        }
    }

    /// The next request of that method.
    pub fn gets(&self, method: &str) -> String {
        let start = format!("{method} ");
        self.wait(|text| text.starts_with(&start))
    }

    /// The answer with that status, or the next final one, to the request sent last.
    pub fn hears(&self, method: &str) -> String {
        self.answer(method, |status| status >= 200)
    }

    pub fn answer(&self, method: &str, wanted: impl Fn(u16) -> bool) -> String {
        let own = format!("CSeq: {} {method}\r\n", self.sequence);
        self.wait(|text| text.contains(&own) && wanted(sip_status(text)))
    }

    /// A request with credentials where they are asked for; what else it is answered finally.
    fn ask(
        &mut self,
        method: &str,
        uri: &str,
        ends: (&str, &str),
        call: &str,
        headers: &str,
        body: &str,
    ) -> String {
        self.begin(method, uri, ends, call, headers, body);
        self.hears(method)
    }

    /// Sends a request until it is past its challenge.
    fn begin(
        &mut self,
        method: &str,
        uri: &str,
        ends: (&str, &str),
        call: &str,
        headers: &str,
        body: &str,
    ) {
        self.sequence += 1;
        self.send(&self.write(method, uri, ends, call, headers, body));
        let challenge = self.answer(method, |_| true);
        assert!(
            matches!(sip_status(&challenge), 401 | 407),
            "not challenged: {challenge}"
        );
        if method == "INVITE" {
            let to = between(&challenge, "To: ", "\r\n").unwrap();
            self.send(&self.write("ACK", uri, (ends.0, to), call, "", ""));
        }
        self.digest.challenged(&challenge).unwrap();
        self.sequence += 1;
        let name = if method == "REGISTER" {
            "Authorization"
        } else {
            "Proxy-Authorization"
        };
        let value = self.digest.value(method, uri).unwrap();
        let headers = format!("{headers}{name}: {value}\r\n");
        self.send(&self.write(method, uri, ends, call, &headers, body));
    }

    /// A request to somebody, outside of any dialog; its final answer.
    pub fn request(&mut self, method: &str, to: &str) -> String {
        let (uri, id) = (format!("sip:{to}"), self.id());
        let contact = self.contact();
        let ends = (self.from(), format!("<{uri}>"));
        self.ask(method, &uri, (&ends.0, &ends.1), &id, &contact, "")
    }

    /// A pager text; its status.
    pub fn text(&mut self, to: &str, text: &str) -> u16 {
        let (uri, id) = (format!("sip:{to}"), self.id());
        let ends = (self.from(), format!("<{uri}>"));
        let headers = "Content-Type: text/plain\r\n";
        let answer = self.ask("MESSAGE", &uri, (&ends.0, &ends.1), &id, headers, text);
        sip_status(&answer)
    }

    /// The same without any proof of who asks: the first answer.
    pub fn bare(&mut self, method: &str, to: &str) -> String {
        let (uri, id) = (format!("sip:{to}"), self.id());
        self.sequence += 1;
        let ends = (self.from(), format!("<{uri}>"));
        let contact = self.contact();
        self.send(&self.write(method, &uri, (&ends.0, &ends.1), &id, &contact, ""));
        self.hears(method)
    }

    /// Calls somebody. What is said about oneself is there to be taken out.
    pub fn call(&mut self, to: &str, more: &str) -> Call {
        let (uri, id) = (format!("sip:{to}"), self.id());
        let headers = format!(
            "{}X-Odd:   kept \t as is\r\nP-Asserted-Identity: <sip:boss@{}>\r\n\
             Content-Type: application/sdp\r\n{more}",
            self.contact(),
            self.domain
        );
        let ends = (self.from(), format!("<{uri}>"));
        self.begin("INVITE", &uri, (&ends.0, &ends.1), &id, &headers, SDP);
        Call {
            id,
            from: ends.0,
            to: ends.1,
            target: uri,
            routes: Vec::new(),
            number: self.sequence,
        }
    }

    /// Calls somebody who does not take it: the answer, acknowledged.
    pub fn call_in_vain(&mut self, to: &str) -> String {
        let call = self.call(to, "");
        let answer = self.hears("INVITE");
        self.give_up(&call, &answer);
        answer
    }

    /// Takes a 2xx for a call and acknowledges it.
    pub fn acknowledge(&mut self, call: &mut Call, ok: &str) {
        let of = |name: &str, end: &str| between(ok, name, end).unwrap().to_owned();
        (call.to, call.target) = (of("To: ", "\r\n"), of("Contact: <", ">"));
        call.routes = recorded(ok);
        call.routes.reverse();
        self.within(call, "ACK", "");
    }

    /// Acknowledges a failure.
    pub fn give_up(&self, call: &Call, answer: &str) {
        let to = between(answer, "To: ", "\r\n").unwrap();
        let ends = (call.from.as_str(), to);
        self.send(&self.write("ACK", &call.target, ends, &call.id, "", ""));
    }

    /// Cancels a call that rings.
    pub fn cancel(&self, call: &Call) {
        let ends = (call.from.as_str(), call.to.as_str());
        let text = self.write("CANCEL", &call.target, ends, &call.id, "", "");
        // The branch of the INVITE.
        self.send(&text.replace(".CANCEL;", ".INVITE;"));
    }

    /// The callee's side of a call.
    pub fn called(&self, invite: &str) -> Call {
        let of = |name: &str| between(invite, name, "\r\n").unwrap().to_owned();
        Call {
            id: of("\r\nCall-ID: "),
            from: format!("{};tag=c{}", of("\r\nTo: "), self.port()),
            to: of("\r\nFrom: "),
            target: between(invite, "\r\nContact: <", ">").unwrap().to_owned(),
            routes: recorded(invite),
            number: 0,
        }
    }

    /// A request within the call; its answer is for [`Phone::hears`].
    pub fn within(&mut self, call: &Call, method: &str, body: &str) {
        if method == "ACK" {
            self.sequence = self.sequence.max(call.number);
        } else {
            self.sequence += 1;
        }
        let mut headers = self.contact();
        for route in &call.routes {
            headers.push_str(&format!("Route: {route}\r\n"));
        }
        let ends = (call.from.as_str(), call.to.as_str());
        let text = self.write(method, &call.target, ends, &call.id, &headers, body);
        // A 2xx's ACK has a branch of its own.
        self.send(&text.replace(".ACK;", ".OK;"));
    }

    /// Answers a request.
    pub fn says(&self, request: &str, words: &str) {
        let mut out = format!("SIP/2.0 {words}\r\n");
        let head = request.split("\r\n\r\n").next().unwrap();
        for line in head.split("\r\n").skip(1) {
            let lower = line.to_ascii_lowercase();
            let kept = ["via:", "from:", "call-id:", "cseq:", "record-route:"];
            if kept.iter().any(|name| lower.starts_with(name)) {
                out.push_str(&format!("{line}\r\n"));
            } else if lower.starts_with("to:") {
                let tag = if lower.contains("tag=") {
                    String::new()
                } else {
                    format!(";tag=c{}", self.port())
                };
                out.push_str(&format!("{line}{tag}\r\n"));
            }
        }
        out.push_str(&self.contact());
        out.push_str("Content-Length: 0\r\n\r\n");
        self.send(&out);
    }
}

/// The Record-Route values of a message, in order.
pub fn recorded(message: &str) -> Vec<String> {
    let head = message.split("\r\n\r\n").next().unwrap();
    let lines = head
        .split("\r\n")
        .filter_map(|line| line.strip_prefix("Record-Route: "));
    let values = lines.flat_map(|line| line.split(','));
    values.map(|value| value.trim().to_owned()).collect()
}
