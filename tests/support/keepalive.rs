//! One kept-alive HTTP connection to the RVP front: what it proves, and what it is told.

use super::server::Server;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// See the module.
pub struct Connection(TcpStream);

/// Status and head of an answer.
pub struct Answer {
    /// The status.
    pub status: u16,
    head: String,
}

impl Answer {
    /// The token that came with that scheme.
    pub fn token(&self, scheme: &str) -> Option<Vec<u8>> {
        let values = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut tokens = values
            .filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"))
            .filter_map(|(_, value)| value.strip_prefix(scheme)?.strip_prefix(' '));
        let token = tokens.next()?;
        Some(STANDARD.decode(token).expect("base64"))
    }
}

impl Connection {
    /// A fresh one.
    pub fn new(server: &Server) -> Self {
        let stream = TcpStream::connect(server.rvp).expect("a connection");
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).expect("a time-out");
        Self(stream)
    }

    /// SUBSCRIBE as `claimed`, with this token of that scheme or without credentials.
    pub fn send(&mut self, claimed: &str, token: Option<(&str, &[u8])>) -> Answer {
        let credentials = token.map_or_else(String::new, |(scheme, token)| {
            format!("Authorization: {scheme} {}\r\n", STANDARD.encode(token))
        });
        let request = format!(
            "SUBSCRIBE /instmsg/aliases/{claimed} HTTP/1.1\r\nHost: im.example.com\r\n\
             RVP-Notifications-Version: 0.2\r\n\
             RVP-From-Principal: http://im.example.com/instmsg/aliases/{claimed}\r\n\
             Notification-Type: pragma/notify\r\nSubscription-Lifetime: 600\r\n\
             Call-Back: http://127.0.0.1:1025/\r\n{credentials}Content-Length: 0\r\n\r\n"
        );
        self.0.write_all(request.as_bytes()).expect("written");
        self.answer()
    }

    fn answer(&mut self) -> Answer {
        let mut octets = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let text = String::from_utf8_lossy(&octets).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| {
                    let (name, value) = line.split_once(": ")?;
                    let named = name.eq_ignore_ascii_case("content-length");
                    named.then(|| value.parse::<usize>().ok())?
                });
                if body.len() >= length.unwrap_or(0) {
                    return Answer {
                        status: head[9..12].parse().expect("a status"),
                        head: head.to_owned(),
                    };
                }
            }
            let count = self.0.read(&mut chunk).expect("an answer");
            assert!(count > 0, "closed: {text}");
            octets.extend_from_slice(&chunk[..count]);
        }
    }
}
