//! SIP requests written and read by hand, with Digest (MD5, qop=auth).

use crate::agent::Next;
use crate::wire::Transport;
use md5::{Digest as _, Md5};

/// A user of the load: name, credentials, the server's nonce.
#[derive(Debug, Clone)]
pub(crate) struct User {
    /// `u7`
    pub(crate) name: String,
    ha1: String,
    /// From the last challenge.
    pub(crate) nonce: String,
    counter: u32,
}

impl User {
    /// User number n.
    pub(crate) fn numbered(n: u64) -> Self {
        let name = format!("u{n}");
        let ha1 = hex(&format!("{name}:example.com:p{n}"));
        Self {
            name,
            ha1,
            nonce: String::new(),
            counter: 0,
        }
    }

    /// An `Authorization` value for the next request, empty while there is no nonce.
    pub(crate) fn credentials(&mut self, method: &str, uri: &str) -> String {
        if self.nonce.is_empty() {
            return String::new();
        }
        self.counter += 1;
        let nc = format!("{:08x}", self.counter);
        let ha2 = hex(&format!("{method}:{uri}"));
        let response = hex(&format!(
            "{}:{}:{nc}:c0ffee:auth:{ha2}",
            self.ha1, self.nonce
        ));
        format!(
            "Digest username=\"{}\", realm=\"example.com\", nonce=\"{}\", uri=\"{uri}\", \
             response=\"{response}\", algorithm=MD5, cnonce=\"c0ffee\", qop=auth, nc={nc}",
            self.name, self.nonce
        )
    }

    /// Takes the nonce out of a challenge; counting starts again.
    pub(crate) fn challenged(&mut self, head: &str) {
        if let Some(nonce) = between(head, "nonce=\"", "\"") {
            nonce.clone_into(&mut self.nonce);
            self.counter = 0;
        }
    }
}

/// MD5 in hexadecimal.
pub(crate) fn hex(text: &str) -> String {
    use std::fmt::Write as _;
    Md5::digest(text.as_bytes())
        .iter()
        .fold(String::with_capacity(32), |mut out, octet| {
            let _ = write!(out, "{octet:02x}");
            out
        })
}

/// What a request needs besides the user.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) uri: &'a str,
    pub(crate) to: &'a str,
    pub(crate) call: &'a str,
    pub(crate) about: Next,
    pub(crate) extra: &'a str,
    pub(crate) body: &'a str,
}

/// Writes a request.
pub(crate) fn write(user: &mut User, r: &Request<'_>) -> String {
    let header = if r.method == "REGISTER" {
        "Authorization"
    } else {
        "Proxy-Authorization"
    };
    let credentials = user.credentials(r.method, r.uri);
    let credentials = if credentials.is_empty() {
        credentials
    } else {
        format!("{header}: {credentials}\r\n")
    };
    let transport_parameter = match r.about.transport {
        Transport::Udp => "",
        Transport::Tcp => ";transport=tcp",
        Transport::Tls => ";transport=tls",
    };
    format!(
        "{method} {uri} SIP/2.0\r\n\
         Via: SIP/2.0/{transport} {local};branch=z9hG4bK{call}{sequence};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{name}@example.com>;tag={name}x\r\nTo: <{to}>\r\n\
         Call-ID: {call}\r\nCSeq: {sequence} {method}\r\n\
         Contact: <sip:{name}@{local}{transport_parameter}>\r\n{credentials}{extra}\
         Content-Length: {length}\r\n\r\n{body}",
        method = r.method,
        uri = r.uri,
        transport = r.about.transport.word(),
        local = r.about.local,
        call = r.call,
        sequence = r.about.sequence,
        name = user.name,
        to = r.to,
        extra = r.extra,
        length = r.body.len(),
        body = r.body,
    )
}

/// The 200 to a request: every Via, From, To, Call-ID and CSeq line as it came.
pub(crate) fn ok(request: &str) -> String {
    let mut answer = String::with_capacity(512);
    answer.push_str("SIP/2.0 200 OK\r\n");
    for line in head(request).split("\r\n").skip(1) {
        let name = line.split(':').next().unwrap_or("").trim();
        let keep = ["via", "v", "from", "f", "to", "t", "call-id", "i", "cseq"];
        if keep.iter().any(|kept| name.eq_ignore_ascii_case(kept)) {
            answer.push_str(line);
            if (name.eq_ignore_ascii_case("to") || name.eq_ignore_ascii_case("t"))
                && !line.contains(";tag=")
            {
                answer.push_str(";tag=load");
            }
            answer.push_str("\r\n");
        }
    }
    answer.push_str("Content-Length: 0\r\n\r\n");
    answer
}

/// The head of a message.
pub(crate) fn head(message: &str) -> &str {
    message
        .find("\r\n\r\n")
        .map_or(message, |end| &message[..end])
}

/// Status of an answer, 0 for a request.
pub(crate) fn status(message: &str) -> u16 {
    message
        .strip_prefix("SIP/2.0 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .unwrap_or(0)
}

/// Value of a header by its long name.
pub(crate) fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    head(message).split("\r\n").find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The text between two marks.
pub(crate) fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let from = text.find(start)? + start.len();
    let rest = &text[from..];
    rest.find(end).map(|to| &rest[..to])
}

/// A presence document as softphones write it.
pub(crate) fn pidf(name: &str, busy: bool) -> String {
    let activity = if busy {
        "<rpid:activities><rpid:busy/></rpid:activities>"
    } else {
        ""
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
         xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
         xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"sip:{name}@example.com\">\
         <tuple id=\"t1\"><status><basic>open</basic></status></tuple>\
         <dm:person id=\"p1\">{activity}</dm:person></presence>"
    )
}
