//! Content-Type and the ranges of Accept.

use super::contact::qvalue;
use super::scan::Scan;
use super::{FaultKind, Params};
use std::borrow::Cow;

/// A media type, or a range when a part is `*`.
#[derive(Clone, Copy, Debug)]
pub struct MediaType<'a> {
    /// Left of the slash, as written.
    pub kind: &'a str,
    /// Right of the slash, as written.
    pub subtype: &'a str,
    /// All parameters.
    pub params: Params<'a>,
}

impl<'a> MediaType<'a> {
    /// Reads one value (not a list).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(value: &'a [u8]) -> Result<Self, FaultKind> {
        let mut scan = Scan::new(value);
        scan.space();
        let kind = scan.token()?;
        let subtype = scan
            .separator(b'/')
            .then(|| scan.token())
            .ok_or(FaultKind::Syntax)??;
        Ok(Self {
            kind,
            subtype,
            params: Params::read(scan)?,
        })
    }

    /// Whether it is that type, whatever the parameters: `is("application/pidf+xml")`.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        name.split_once('/').is_some_and(|(kind, subtype)| {
            self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
        })
    }

    /// Whether this range covers a type: `*/*`, `text/*` or the type itself.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        let Some((kind, subtype)) = name.split_once('/') else {
            return false;
        };
        let part = |range: &str, own: &str| range == "*" || range.eq_ignore_ascii_case(own);
        part(self.kind, kind) && part(self.subtype, subtype)
    }

    /// The charset parameter without quotes.
    #[must_use]
    pub fn charset(&self) -> Option<Cow<'a, str>> {
        self.params
            .get("charset")
            .and_then(|param| param.unquoted())
    }

    /// Preference in thousandths, 1000 when absent or malformed; 0 excludes.
    #[must_use]
    pub fn q(&self) -> u16 {
        self.params.value("q").and_then(qvalue).unwrap_or(1000)
    }
}
