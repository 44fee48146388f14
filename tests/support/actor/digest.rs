//! The client side of Digest, MD5 with qop=auth, by hand.

use super::between;
use md5::{Digest as _, Md5};
use std::fmt::Write as _;

/// Credentials and the last challenge.
#[derive(Clone, Debug)]
pub struct Digest {
    user: String,
    password: String,
    realm: String,
    nonce: String,
    count: u32,
}

impl Digest {
    pub fn new(user: &str, password: &str) -> Self {
        let (user, password) = (user.to_owned(), password.to_owned());
        Self {
            user,
            password,
            realm: String::new(),
            nonce: String::new(),
            count: 0,
        }
    }

    /// Takes the MD5 challenge out of the head of an answer.
    pub fn challenged(&mut self, head: &str) -> Result<(), String> {
        let line = head
            .lines()
            .find(|line| {
                let lower = line.to_ascii_lowercase();
                lower.contains("authenticate: digest") && !lower.contains("sha-")
            })
            .ok_or_else(|| format!("no MD5 Digest challenge in: {head}"))?;
        let value = |name: &str| between(line, &format!("{name}=\""), "\"").map(str::to_owned);
        self.realm = value("realm").ok_or("a challenge without realm")?;
        self.nonce = value("nonce").ok_or("a challenge without nonce")?;
        self.count = 0;
        Ok(())
    }

    /// The value for the next request, if there was a challenge.
    pub fn value(&mut self, method: &str, uri: &str) -> Option<String> {
        if self.nonce.is_empty() {
            return None;
        }
        self.count += 1;
        let Self {
            user,
            password,
            realm,
            nonce,
            count,
        } = self;
        let secret = hex(&format!("{user}:{realm}:{password}"));
        let request = hex(&format!("{method}:{uri}"));
        let response = hex(&format!(
            "{secret}:{nonce}:{count:08x}:abcdef:auth:{request}"
        ));
        Some(format!(
            "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\", algorithm=MD5, cnonce=\"abcdef\", qop=auth, nc={count:08x}"
        ))
    }
}

fn hex(text: &str) -> String {
    Md5::digest(text.as_bytes())
        .iter()
        .fold(String::new(), |mut out, octet| {
            let _ = write!(out, "{octet:02x}");
            out
        })
}
