//! From, To, Route, Record-Route, Path, Contact: `name-addr` and `addr-spec` with parameters.

use super::scan::Scan;
use super::{FaultKind, Params, Uri, unquote};
use crate::raw::parse::is_space;
use std::borrow::Cow;

/// An address with its parameters.
#[derive(Clone, Copy, Debug)]
pub struct NameAddr<'a> {
    display: &'a [u8],
    /// The URI.
    pub uri: Uri<'a>,
    /// Header parameters. Without angle brackets, all parameters are these (RFC 3261 20).
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Reads one value (not a list).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(value: &'a [u8]) -> Result<Self, FaultKind> {
        let mut scan = Scan::new(value);
        scan.space();
        let before = scan;
        let display = display(&mut scan)?;
        if scan.eat(b'<') {
            let inner = scan.take_while(|octet| octet != b'>');
            if !scan.eat(b'>') {
                return Err(FaultKind::Syntax);
            }
            return Ok(Self {
                display,
                uri: uri(inner)?,
                params: Params::read(scan)?,
            });
        }
        // COMPAT(sipsak): addr-spec without angle brackets; legal too.
        let mut scan = before;
        let text = scan.take_while(|octet| !is_space(octet) && octet != b';');
        // RFC 3261 20: a URI with a question mark or comma must be in angle brackets.
        if text.contains(&b'?') || text.contains(&b',') {
            return Err(FaultKind::Uri);
        }
        Ok(Self {
            display: &[],
            uri: uri(text)?,
            params: Params::read(scan)?,
        })
    }

    /// The tag parameter.
    #[must_use]
    pub fn tag(&self) -> Option<&'a str> {
        self.params.value("tag")
    }

    /// The display name without quotes; octets that are no UTF-8 are shown as U+FFFD. `None` when
    /// there is none or it is empty.
    #[must_use]
    pub fn display_name(&self) -> Option<Cow<'a, str>> {
        if self.display.is_empty() {
            return None;
        }
        let text = match String::from_utf8_lossy(self.display) {
            Cow::Borrowed(text) => unquote(text),
            Cow::Owned(text) => Cow::Owned(unquote(&text).into_owned()),
        };
        (!text.is_empty()).then_some(text)
    }
}

fn uri(text: &[u8]) -> Result<Uri<'_>, FaultKind> {
    let text = std::str::from_utf8(text).map_err(|_| FaultKind::Uri)?;
    Ok(Uri::parse(text)?)
}

/// A quoted string or plain words; nothing if the value starts otherwise.
fn display<'a>(scan: &mut Scan<'a>) -> Result<&'a [u8], FaultKind> {
    if scan.peek() == Some(b'"') {
        let text = scan.quoted()?;
        scan.space();
        return if scan.peek() == Some(b'<') {
            Ok(text)
        } else {
            Err(FaultKind::Syntax)
        };
    }
    // COMPAT(many): words that are no tokens, such as unquoted UTF-8 or parentheses. What separates
    // stays refused (RFC 4475 3.1.2.16).
    let text = scan.take_while(|octet| {
        !matches!(
            octet,
            b'<' | b'>' | b'"' | b',' | b';' | b':' | b'@' | b'\\'
        )
    });
    Ok(text.trim_ascii_end())
}
