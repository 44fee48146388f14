//! Addresses: `local@domain`, normalised once at the edge (`decisions.md` 2).

use std::fmt;
use std::sync::Arc;
use unicode_normalization::UnicodeNormalization;

/// A normalised address. Comparing two is comparing octets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    local: Arc<str>,
    domain: Arc<str>,
}

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// No `@` between a local part and a domain.
    #[error("an address has the form user@domain")]
    Form,
    /// The local part is empty, longer than 64 characters or holds a forbidden character.
    #[error("the part before @ must be 1 to 64 characters, none of them / \\ : @ \" < > or space")]
    Local,
    /// The domain is not a valid (internationalised) name.
    #[error("the part after @ is not a domain name")]
    Domain,
}

impl Address {
    /// From the two parts, still as a client wrote them. `local` is percent-decoded once, brought
    /// to NFC and lower case; `domain` becomes an IDNA A-label in lower case.
    pub fn new(local: &str, domain: &str) -> Result<Self, BadAddress> {
        Ok(Self {
            local: normal_local(local)?.into(),
            domain: normal_domain(domain)?.into(),
        })
    }

    /// From `local@domain`.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        let (local, domain) = text.trim().rsplit_once('@').ok_or(BadAddress::Form)?;
        Self::new(local, domain)
    }

    /// From `local@domain` that *is* normalised already, as this server wrote it. Not for what
    /// comes from outside: nothing is decoded or folded here (decoding twice would turn `%41`,
    /// once `%2541`, into `a`).
    pub fn from_normal(text: &str) -> Result<Self, BadAddress> {
        let (local, domain) = text.rsplit_once('@').ok_or(BadAddress::Form)?;
        if local.is_empty() || local.chars().any(|c| c.is_control() || c == '@') {
            return Err(BadAddress::Local);
        }
        let plain = |octet: u8| octet.is_ascii_graphic() && !octet.is_ascii_uppercase();
        if domain.is_empty() || !domain.bytes().all(plain) {
            return Err(BadAddress::Domain);
        }
        Ok(Self {
            local: local.into(),
            domain: domain.into(),
        })
    }

    /// The normalised part before the `@`.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The normalised domain (A-label).
    pub fn domain(&self) -> &str {
        &self.domain
    }
}

/// Brings a local part to its one spelling.
pub fn normal_local(text: &str) -> Result<String, BadAddress> {
    // What nearly all clients write is normal already; this stands before every request.
    let plain =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    let decoded = percent_decode(text).ok_or(BadAddress::Local)?;
    let normal: String = decoded
        .nfc()
        .collect::<String>()
        .to_lowercase()
        .nfc()
        .collect();
    let count = normal.chars().count();
    let forbidden = |c: char| {
        c.is_control()
            || c.is_whitespace()
            || matches!(c, '/' | '\\' | ':' | '@' | '"' | '<' | '>' | '\u{feff}')
    };
    if count == 0 || count > 64 || normal.chars().any(forbidden) {
        return Err(BadAddress::Local);
    }
    Ok(normal)
}

/// Brings a domain to its A-label form in lower case. IP literals are no domains.
pub fn normal_domain(text: &str) -> Result<String, BadAddress> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() || text.len() > 253 {
        return Err(BadAddress::Domain);
    }
    if is_plain_domain(text) {
        return Ok(text.to_owned());
    }
    let ascii = idna::domain_to_ascii_strict(text).map_err(|_| BadAddress::Domain)?;
    if ascii.is_empty() || ascii.len() > 253 || ascii.parse::<std::net::IpAddr>().is_ok() {
        return Err(BadAddress::Domain);
    }
    Ok(ascii)
}

/// Whether a domain is normal beyond doubt: lower-case letters and digits in labels of good length,
/// the last one starting with a letter. Anything else is for IDNA to judge.
fn is_plain_domain(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(plain);
    let last = text.rsplit('.').next().unwrap_or_default();
    last.starts_with(|c: char| c.is_ascii_lowercase()) && text.split('.').all(label)
}

/// Decodes `%XX` once; a `%` that is no escape stays as it is. `None` if the result is not UTF-8.
fn percent_decode(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&octet, tail)) = rest.split_first() {
        let escaped = (octet == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|pair| {
                let high = char::from(pair[0]).to_digit(16)?;
                let low = char::from(pair[1]).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()
            });
        match escaped {
            Some(value) => {
                octets.push(value);
                rest = &tail[2..];
            }
            None => {
                octets.push(octet);
                rest = tail;
            }
        }
    }
    String::from_utf8(octets).ok()
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}@{}>", self.local, self.domain)
    }
}

impl std::str::FromStr for Address {
    type Err = BadAddress;
    fn from_str(text: &str) -> Result<Self, BadAddress> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_has_one_spelling() {
        for (text, normal) in [
            ("Alice@Example.COM", "alice@example.com"),
            ("%61lice@example.com.", "alice@example.com"),
            (
                "J\u{f6}rg@b\u{fc}cher.example",
                "j\u{f6}rg@xn--bcher-kva.example",
            ),
            ("Jo\u{308}rg@example.com", "j\u{f6}rg@example.com"),
            ("a%2b@example.com", "a+@example.com"),
            ("100%@example.com", "100%@example.com"),
        ] {
            assert_eq!(
                Address::parse(text).map(|a| a.to_string()),
                Ok(normal.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_stored_address_is_not_decoded_again() {
        let address = Address::parse("%2541@Example.com").unwrap();
        let again = Address::from_normal(&address.to_string());
        assert_eq!(again, Ok(address));
        assert!(Address::from_normal("A@EXAMPLE.com").is_err());
    }

    #[test]
    fn what_looks_plain_is_what_idna_makes_of_it() {
        for text in ["example.com", "a.b2.c", "x", "9.example", "a1b.c3"] {
            assert!(is_plain_domain(text), "{text}");
            assert_eq!(
                idna::domain_to_ascii_strict(text).ok().as_deref(),
                Some(text)
            );
        }
        for text in ["1.2.3.4", "xn--a.b", "A.b", "a..b", "a.b-c", ""] {
            assert!(!is_plain_domain(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(65));
        for text in [
            "alice",
            "@example.com",
            "alice@",
            "a b@example.com",
            "a%2Fb@example.com",
            "a%00@x.y",
            "a:b@example.com",
            "al\"ice@example.com",
            "alice@exa mple.com",
            "alice@127.0.0.1",
            "alice@-bad-.com",
            "%ff@example.com",
            long.as_str(),
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }
}
