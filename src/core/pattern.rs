//! Patterns over addresses, as operators write them.

use crate::core::address::{Address, normal_domain};
use std::fmt;

/// An address in which `*` stands for any characters.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern {
    local: Box<str>,
    domain: Box<str>,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0}: write an address, in which * may stand for anything: alice@example.com, *@*.example.com"
)]
pub struct BadPattern(&'static str);

impl Pattern {
    /// `local@domain`, `@domain` or `domain`, with `*` for any characters.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let text = text.trim();
        let (local, domain) = text.rsplit_once('@').unwrap_or(("*", text));
        let local = if local.is_empty() { "*" } else { local };
        let wild = |part: &str| part.contains('*');
        let domain = if wild(domain) {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '*' | '.' | '-');
            if !domain.chars().all(plain) {
                return Err(BadPattern("the domain can't be read"));
            }
            domain.to_ascii_lowercase()
        } else {
            normal_domain(domain).map_err(|_| BadPattern("the domain can't be read"))?
        };
        if local.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(BadPattern("the part before @ can't be read"));
        }
        let local = match Address::new(local, "example.com") {
            Ok(address) if !wild(local) => address.local().to_owned(),
            _ => local.to_lowercase(),
        };
        Ok(Self {
            local: local.into(),
            domain: domain.into(),
        })
    }

    /// Whether an address is one of those meant.
    pub fn fits(&self, address: &Address) -> bool {
        fits(&self.local, address.local()) && fits(&self.domain, address.domain())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether a text is of a form with `*` in it. The leftmost place of each part is as good as any
/// other, so nothing is tried twice.
fn fits(form: &str, text: &str) -> bool {
    let Some((first, rest)) = form.split_once('*') else {
        return form == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        match text.find(part) {
            Some(at) => text = text.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_what_they_mean() {
        for (pattern, address, wanted) in [
            ("alice@example.com", "alice@example.com", true),
            ("Alice@EXAMPLE.com", "alice@example.com", true),
            ("alice@example.com", "alice2@example.com", false),
            ("*@example.com", "bob@example.com", true),
            ("@example.com", "bob@example.com", true),
            ("example.com", "bob@sub.example.com", false),
            ("*.example.com", "bob@sub.example.com", true),
            ("a*c*e@example.com", "abcde@example.com", true),
            ("a*c*e@example.com", "ace@example.com", true),
            ("a*a@example.com", "a@example.com", false),
            ("a*b*b@example.com", "ab@example.com", false),
            ("*@b\u{fc}cher.example", "x@xn--bcher-kva.example", true),
        ] {
            let address = Address::parse(address).unwrap();
            let pattern = Pattern::parse(pattern).unwrap();
            assert_eq!(pattern.fits(&address), wanted, "{pattern} {address}");
            assert_eq!(Pattern::parse(&pattern.to_string()).unwrap(), pattern);
        }
        for text in ["", "@", "a b@example.com", "a@exa mple.com", "a@*/x"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_long_text_and_many_stars_take_no_time() {
        let form = format!("{}b", "*a".repeat(20_000));
        let text = "a".repeat(40_000);
        assert!(!fits(&form, &text) && fits(&format!("{form}*"), &format!("{text}b")));
    }
}
