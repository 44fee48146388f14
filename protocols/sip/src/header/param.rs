//! Header parameters: `;name[=value]`.

use super::FaultKind;
use super::scan::Scan;
use crate::raw::parse::is_space;
use std::borrow::Cow;

/// The parameters behind a value: checked once, walked on demand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Params<'a> {
    raw: &'a [u8],
}

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// As written; compare without case.
    pub name: &'a str,
    /// As written, quotes included.
    pub value: Option<&'a str>,
}

impl<'a> Params<'a> {
    /// Takes everything that is left, which must be parameters.
    pub(crate) fn read(mut scan: Scan<'a>) -> Result<Self, FaultKind> {
        let raw = scan.rest;
        while scan.separator(b';') {
            param(&mut scan)?;
        }
        scan.end()?;
        Ok(Self { raw })
    }

    /// The parameters in their order.
    pub fn iter(&self) -> impl Iterator<Item = Param<'a>> + use<'a> {
        let mut scan = Scan::new(self.raw);
        std::iter::from_fn(move || {
            scan.separator(b';')
                .then(|| param(&mut scan).ok())
                .flatten()
        })
    }

    /// The first parameter of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Param<'a>> {
        self.iter()
            .find(|param| param.name.eq_ignore_ascii_case(name))
    }

    /// The value of the first parameter of that name, as written.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.get(name).and_then(|param| param.value)
    }

    /// Whether it is there, with or without value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The octets, with the first semicolon.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.raw
    }
}

impl<'a> Param<'a> {
    /// The value without quotes and escapes.
    #[must_use]
    pub fn unquoted(&self) -> Option<Cow<'a, str>> {
        self.value.map(unquote)
    }
}

/// Takes quotes and backslash escapes off a quoted string; other text stays as it is.
#[must_use]
pub fn unquote(text: &str) -> Cow<'_, str> {
    let Some(inner) = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        return Cow::Borrowed(text);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut escaped = false;
    for letter in inner.chars() {
        if letter == '\\' && !escaped {
            escaped = true;
        } else {
            escaped = false;
            out.push(letter);
        }
    }
    Cow::Owned(out)
}

fn param<'a>(scan: &mut Scan<'a>) -> Result<Param<'a>, FaultKind> {
    let name = scan.token()?;
    if !scan.separator(b'=') {
        return Ok(Param { name, value: None });
    }
    let value = if scan.peek() == Some(b'"') {
        scan.quoted()?
    } else {
        plain(scan)?
    };
    let value = std::str::from_utf8(value).map_err(|_| FaultKind::Syntax)?;
    Ok(Param {
        name,
        value: Some(value),
    })
}

/// A token or host (IPv6 with or without brackets, RFC 5118 4.5), and what else has no meaning here.
fn plain<'a>(scan: &mut Scan<'a>) -> Result<&'a [u8], FaultKind> {
    let value = scan.take_while(|octet| {
        !is_space(octet)
            && octet > b' '
            && octet != 0x7f
            && !matches!(octet, b';' | b',' | b'"' | b'<' | b'>')
    });
    if value.is_empty() {
        Err(FaultKind::Syntax)
    } else {
        Ok(value)
    }
}
