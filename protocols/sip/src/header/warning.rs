//! Warning (RFC 3261 20.43).

use super::scan::Scan;
use super::{FaultKind, unquote};
use std::borrow::Cow;

/// One warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warning<'a> {
    /// Three digits.
    pub code: u16,
    /// Who says so.
    pub agent: &'a str,
    text: &'a str,
}

impl<'a> Warning<'a> {
    /// Reads one value (not a list).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(value: &'a [u8]) -> Result<Self, FaultKind> {
        let mut scan = Scan::new(value);
        scan.space();
        let digits = scan.take_while(|octet| octet.is_ascii_digit());
        if digits.len() != 3 {
            return Err(FaultKind::Range);
        }
        let code = Scan::new(digits).number()?;
        scan.space();
        let agent = scan.take_while(|octet| octet > b' ' && octet != b'"');
        scan.space();
        if agent.is_empty() || scan.peek() != Some(b'"') {
            return Err(FaultKind::Syntax);
        }
        let text = scan.quoted()?;
        scan.end()?;
        let utf8 = |octets: &'a [u8]| std::str::from_utf8(octets).map_err(|_| FaultKind::Syntax);
        Ok(Self {
            code: u16::try_from(code).map_err(|_| FaultKind::Range)?,
            agent: utf8(agent)?,
            text: utf8(text)?,
        })
    }

    /// The text without quotes.
    #[must_use]
    pub fn text(&self) -> Cow<'a, str> {
        unquote(self.text)
    }
}
