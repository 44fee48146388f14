//! The arithmetic of RFC 7616 3.4.

use md5::Md5;
use sha2::{Sha256, Sha512_256};
use std::fmt;
use subtle::ConstantTimeEq;

/// The digest algorithms of RFC 7616 and RFC 8760.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// MD5: all that old clients know.
    Md5,
    /// MD5 with a session key.
    Md5Sess,
    /// SHA-256.
    Sha256,
    /// SHA-256 with a session key.
    Sha256Sess,
    /// SHA-512 cut to 256 bits.
    Sha512_256,
    /// The same with a session key.
    Sha512_256Sess,
}

/// Quality of protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Qop {
    /// The request line.
    Auth,
    /// The body as well.
    AuthInt,
}

impl Algorithm {
    /// By its token, in any case.
    pub fn parse(token: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|a| a.token().eq_ignore_ascii_case(token))
    }

    /// All of them, weakest first.
    pub const ALL: [Self; 6] = [
        Self::Md5,
        Self::Md5Sess,
        Self::Sha256,
        Self::Sha256Sess,
        Self::Sha512_256,
        Self::Sha512_256Sess,
    ];

    /// As written on the wire.
    pub fn token(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Sess => "MD5-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Sess => "SHA-256-sess",
            Self::Sha512_256 => "SHA-512-256",
            Self::Sha512_256Sess => "SHA-512-256-sess",
        }
    }

    /// Whether HA1 is mixed with nonce and cnonce.
    pub fn is_session(self) -> bool {
        matches!(
            self,
            Self::Md5Sess | Self::Sha256Sess | Self::Sha512_256Sess
        )
    }

    /// The algorithm whose plain HA1 this one starts from.
    #[must_use]
    pub fn base(self) -> Self {
        match self {
            Self::Md5 | Self::Md5Sess => Self::Md5,
            Self::Sha256 | Self::Sha256Sess => Self::Sha256,
            Self::Sha512_256 | Self::Sha512_256Sess => Self::Sha512_256,
        }
    }

    /// The hash of the parts, joined by colons.
    pub(super) fn joined(self, parts: &[&[u8]]) -> Hex {
        match self.base() {
            Self::Md5 | Self::Md5Sess => digest::<Md5>(parts),
            Self::Sha256 | Self::Sha256Sess => digest::<Sha256>(parts),
            Self::Sha512_256 | Self::Sha512_256Sess => digest::<Sha512_256>(parts),
        }
    }
}

fn digest<D: sha2::Digest>(parts: &[&[u8]]) -> Hex {
    let mut hash = D::new();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            hash.update(b":");
        }
        hash.update(part);
    }
    Hex::of(hash.finalize().as_ref())
}

impl Qop {
    /// By its token, in any case.
    pub fn parse(token: &str) -> Option<Self> {
        match token {
            _ if token.eq_ignore_ascii_case("auth") => Some(Self::Auth),
            _ if token.eq_ignore_ascii_case("auth-int") => Some(Self::AuthInt),
            _ => None,
        }
    }

    /// As written on the wire.
    pub fn token(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }
}

/// A hash in lower-case hexadecimal. Compared in constant time; Debug shows nothing, because an
/// HA1 is as good as the password.
#[derive(Clone, Copy)]
pub struct Hex {
    octets: [u8; 64],
    len: u8,
}

impl Hex {
    pub(super) fn of(hash: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut octets = [0; 64];
        for (pair, octet) in octets.chunks_exact_mut(2).zip(hash) {
            if let [high, low] = pair {
                *high = DIGITS.get(usize::from(octet >> 4)).copied().unwrap_or(b'0');
                *low = DIGITS.get(usize::from(octet & 15)).copied().unwrap_or(b'0');
            }
        }
        let len = u8::try_from(hash.len().min(32) * 2).unwrap_or(64);
        Self { octets, len }
    }

    /// From hexadecimal digits (an imported HA1); `None` unless 32 or 64 of them.
    pub fn parse(text: &str) -> Option<Self> {
        let good = matches!(text.len(), 32 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
        let mut octets = [0; 64];
        for (to, from) in octets.iter_mut().zip(text.bytes()).filter(|_| good) {
            *to = from.to_ascii_lowercase();
        }
        good.then(|| Self {
            octets,
            len: u8::try_from(text.len()).unwrap_or(64),
        })
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.octets.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Equal to these digits, in any case, in constant time.
    pub(super) fn agrees(&self, text: &str) -> bool {
        Self::parse(text).is_some_and(|other| bool::from(self.as_bytes().ct_eq(other.as_bytes())))
    }
}

impl PartialEq for Hex {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl Eq for Hex {}

impl fmt::Debug for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hex(..)")
    }
}

/// H(user:realm:password) under the algorithm's base: the password equivalent that servers keep.
/// `user` is the name exactly as the client sends it.
pub fn ha1(algorithm: Algorithm, user: &str, realm: &str, password: &str) -> Hex {
    algorithm.joined(&[user.as_bytes(), realm.as_bytes(), password.as_bytes()])
}

/// What goes into a response, apart from HA1.
pub(super) struct Inputs<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) nonce: &'a str,
    pub(super) cnonce: &'a str,
    /// As written: eight digits by the RFC.
    pub(super) nc: &'a str,
    pub(super) qop: Option<Qop>,
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
    pub(super) body: &'a [u8],
}

impl Inputs<'_> {
    pub(super) fn response(&self, ha1: &Hex) -> Hex {
        let (nonce, cnonce) = (self.nonce.as_bytes(), self.cnonce.as_bytes());
        let session;
        let ha1 = if self.algorithm.is_session() {
            session = self.algorithm.joined(&[ha1.as_bytes(), nonce, cnonce]);
            &session
        } else {
            ha1
        };
        let (method, uri) = (self.method.as_bytes(), self.uri.as_bytes());
        let ha2 = match self.qop {
            None | Some(Qop::Auth) => self.algorithm.joined(&[method, uri]),
            Some(Qop::AuthInt) => {
                let body = self.algorithm.joined(&[self.body]);
                self.algorithm.joined(&[method, uri, body.as_bytes()])
            }
        };
        match self.qop {
            None => self
                .algorithm
                .joined(&[ha1.as_bytes(), nonce, ha2.as_bytes()]),
            Some(qop) => self.algorithm.joined(&[
                ha1.as_bytes(),
                nonce,
                self.nc.as_bytes(),
                cnonce,
                qop.token().as_bytes(),
                ha2.as_bytes(),
            ]),
        }
    }
}
