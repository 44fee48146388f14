//! `name=value` lists, read with more patience than RFC 7235 asks for.

use std::borrow::Cow;

/// Why a value can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Malformed {
    /// Another scheme than Digest.
    #[error("not a Digest value")]
    Scheme,
    /// A name without `=`, or an open quote.
    #[error("broken parameter list")]
    Syntax,
    /// A parameter that is there twice.
    #[error("parameter given twice")]
    Twice,
    /// Too many parameters.
    #[error("too many parameters")]
    TooMany,
    /// A parameter that has to be there.
    #[error("parameter missing: {0}")]
    Missing(&'static str),
    /// A parameter with an impossible value.
    #[error("impossible value of {0}")]
    Value(&'static str),
}

/// Most parameters of one value; real ones have about ten.
const MOST: usize = 32;

/// The text behind the scheme name, if that is Digest.
pub(super) fn after_scheme(value: &str) -> Result<&str, Malformed> {
    let value = value.trim_matches(is_space);
    let (scheme, rest) = value.split_once(is_space).unwrap_or((value, ""));
    if scheme.eq_ignore_ascii_case("digest") {
        Ok(rest)
    } else {
        Err(Malformed::Scheme)
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// One parameter. `raw` is what stood between the quotes, `text` what it means.
pub(super) struct Param<'a> {
    pub(super) name: &'a str,
    pub(super) raw: &'a str,
    pub(super) text: Cow<'a, str>,
}

/// Reads parameters one by one.
pub(super) struct Params<'a> {
    rest: &'a str,
    count: usize,
}

impl<'a> Params<'a> {
    pub(super) fn new(rest: &'a str) -> Self {
        Self { rest, count: 0 }
    }

    fn read(&mut self) -> Result<Option<Param<'a>>, Malformed> {
        let rest = self
            .rest
            .trim_start_matches(|c| is_space(c) || matches!(c, ',' | ';'));
        if rest.is_empty() {
            return Ok(None);
        }
        self.count += 1;
        if self.count > MOST {
            return Err(Malformed::TooMany);
        }
        let (name, rest) = rest.split_once('=').ok_or(Malformed::Syntax)?;
        let name = name.trim_matches(is_space);
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic() && b != b'"') {
            return Err(Malformed::Syntax);
        }
        let rest = rest.trim_start_matches(is_space);
        let Some(quoted) = rest.strip_prefix('"') else {
            let end = rest.find(',').unwrap_or(rest.len());
            let (raw, rest) = rest.split_at_checked(end).ok_or(Malformed::Syntax)?;
            self.rest = rest;
            let raw = raw.trim_matches(is_space);
            return Ok(Some(Param {
                name,
                raw,
                text: Cow::Borrowed(raw),
            }));
        };
        let end = closing_quote(quoted).ok_or(Malformed::Syntax)?;
        let (raw, rest) = quoted.split_at_checked(end).ok_or(Malformed::Syntax)?;
        self.rest = rest.get(1..).unwrap_or_default();
        Ok(Some(Param {
            name,
            raw,
            text: unescape(raw),
        }))
    }
}

impl<'a> Iterator for Params<'a> {
    type Item = Result<Param<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = self.read();
        if result.is_err() {
            self.rest = "";
        }
        result.transpose()
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut octets = text.bytes().enumerate();
    while let Some((at, octet)) = octets.next() {
        match octet {
            b'"' => return Some(at),
            // Skips the escaped octet; one that is no escape is no quote either.
            b'\\' => {
                octets.next();
            }
            _ => {}
        }
    }
    None
}

/// `\"` and `\\` are escapes. COMPAT(Windows): a lone `\` is one, as in `DOMAIN\user`.
fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some(next @ ('"' | '\\'))) => {
                text.push(*next);
                chars.next();
            }
            _ => text.push(c),
        }
    }
    Cow::Owned(text)
}

/// Writes a quoted value, escaped.
pub(super) fn push_quoted(out: &mut String, name: &str, text: &str) {
    if !out.ends_with(' ') {
        out.push_str(", ");
    }
    out.push_str(name);
    out.push_str("=\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

/// Writes a bare value.
pub(super) fn push_bare(out: &mut String, name: &str, text: &str) {
    if !out.ends_with(' ') {
        out.push_str(", ");
    }
    out.push_str(name);
    out.push('=');
    out.push_str(text);
}
