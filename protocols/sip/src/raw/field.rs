//! Spans and header fields.

use super::HeaderId;

/// Octets `start..end` of the message's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    /// Offsets are bounded by the limits, far below 4 GiB; a larger one saturates and then cuts
    /// nothing out.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self {
            start: u32::try_from(start).unwrap_or(u32::MAX),
            end: u32::try_from(end).unwrap_or(u32::MAX),
        }
    }

    pub(crate) fn of(self, buf: &[u8]) -> &[u8] {
        buf.get(self.range()).unwrap_or_default()
    }

    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// One header field as spans; `line` includes the final CRLF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) id: HeaderId,
    pub(crate) name: Span,
    pub(crate) value: Span,
    pub(crate) line: Span,
}

/// One header field, borrowed from its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The interned name.
    pub id: HeaderId,
    /// The name as written (may be compact).
    pub name: &'a [u8],
    /// The value as written, without white space around it; a folded one still has its CRLFs.
    pub value: &'a [u8],
}

/// The comma-separated values of one field, split where RFC 3261 7.3.1 says: not inside quotes and
/// not inside angle brackets. Empty elements are skipped.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    rest: &'a [u8],
    /// Where `rest` starts in the field's value.
    at: usize,
}

impl<'a> Values<'a> {
    /// Splits one field value.
    #[must_use]
    pub fn new(value: &'a [u8]) -> Self {
        Self { rest: value, at: 0 }
    }
}

impl<'a> Values<'a> {
    /// The next value and where it starts in the field's value.
    pub(crate) fn next_at(&mut self) -> Option<(usize, &'a [u8])> {
        while !self.rest.is_empty() {
            let cut = comma(self.rest);
            let (raw, rest) = self.rest.split_at_checked(cut).unwrap_or((self.rest, &[]));
            let lead = raw
                .iter()
                .take_while(|octet| super::parse::is_space(**octet))
                .count();
            let at = self.at + lead;
            self.rest = rest.get(1..).unwrap_or_default();
            self.at += cut + 1;
            let value = trim(raw);
            if !value.is_empty() {
                return Some((at, value));
            }
        }
        None
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.next_at().map(|(_, value)| value)
    }
}

/// Where the first separating comma stands; the length if there is none.
fn comma(value: &[u8]) -> usize {
    let mut quoted = false;
    let mut angle = false;
    let mut at = 0;
    while let Some(octet) = value.get(at) {
        match octet {
            b'\\' if quoted => at += 1,
            b'"' if !angle => quoted = !quoted,
            b'<' if !quoted => angle = true,
            b'>' if !quoted => angle = false,
            b',' if !quoted && !angle => return at,
            _ => {}
        }
        at += 1;
    }
    value.len()
}

/// Cuts linear white space (folding included) off both ends.
pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t' | b'\r' | b'\n'] = value {
        value = rest;
    }
    value
}
