//! Where the parts of a start tag stand in the source: for edits that leave every other octet as
//! it was written.

use crate::chars::is_space;
use crate::decode;
use crate::tree::Element;
use std::ops::Range;

/// A start tag as it was written. All ranges are bytes of the source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TagLayout {
    /// The qualified name.
    pub name: Range<usize>,
    /// Attributes and declarations, in order.
    pub attributes: Vec<AttributeLayout>,
    /// From `<` to behind `>`.
    pub tag: Range<usize>,
    /// Whether it ends with `/>`.
    pub is_empty: bool,
}

/// An attribute as it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttributeLayout {
    /// With the white space before it and both quotes.
    pub whole: Range<usize>,
    /// The qualified name.
    pub name: Range<usize>,
    /// What stands between the quotes.
    pub value: Range<usize>,
}

impl TagLayout {
    /// Where the content of the element starts and ends; `None` for `<a/>`.
    pub fn content(&self, source: &[u8], element: &Element) -> Option<Range<usize>> {
        if self.is_empty {
            return None;
        }
        let whole = source.get(element.span.clone())?;
        let end = memchr::memmem::rfind(whole, b"</")?;
        Some(self.tag.end..element.span.start.checked_add(end)?)
    }

    /// The namespace declarations: prefix (maybe empty) and decoded namespace name.
    pub fn declarations<'s>(&self, source: &'s [u8]) -> Vec<(&'s str, String)> {
        let mut found = Vec::new();
        for attribute in &self.attributes {
            let (Some(name), Some(value)) = (
                text(source, &attribute.name),
                text(source, &attribute.value),
            ) else {
                continue;
            };
            let prefix = match name.strip_prefix("xmlns") {
                Some("") => "",
                Some(tail) => match tail.strip_prefix(':') {
                    Some(prefix) => prefix,
                    None => continue,
                },
                None => continue,
            };
            if let Ok(value) = decode::attribute(value, attribute.value.start) {
                found.push((prefix, value));
            }
        }
        found
    }
}

/// The layout of an element's start tag. `None` if `element` was not read from `source`.
pub fn layout(source: &[u8], element: &Element) -> Option<TagLayout> {
    let start = element.span.start;
    let mut scan = Scan { source, at: start };
    scan.take(b'<')?;
    let name = scan.name();
    let mut attributes = Vec::new();
    loop {
        let before = scan.at;
        scan.space();
        match scan.peek()? {
            b'>' => {
                scan.at += 1;
                return Some(TagLayout {
                    name,
                    attributes,
                    tag: start..scan.at,
                    is_empty: false,
                });
            }
            b'/' => {
                scan.at += 1;
                scan.take(b'>')?;
                return Some(TagLayout {
                    name,
                    attributes,
                    tag: start..scan.at,
                    is_empty: true,
                });
            }
            _ => attributes.push(scan.attribute(before)?),
        }
    }
}

/// The value that text between quotes stands for; `None` if it can't stand there (`<`, an
/// undefined reference, a forbidden character, the quote itself is allowed).
pub fn attribute_value(raw: &str) -> Option<String> {
    if crate::chars::forbidden(raw).is_some() {
        return None;
    }
    decode::attribute(raw, 0).ok()
}

fn text<'s>(source: &'s [u8], range: &Range<usize>) -> Option<&'s str> {
    std::str::from_utf8(source.get(range.clone())?).ok()
}

struct Scan<'s> {
    source: &'s [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.source.get(self.at).copied()
    }

    fn take(&mut self, octet: u8) -> Option<()> {
        (self.peek()? == octet).then(|| self.at += 1)
    }

    fn space(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
    }

    fn name(&mut self) -> Range<usize> {
        let start = self.at;
        while self
            .peek()
            .is_some_and(|b| !is_space(b) && !matches!(b, b'=' | b'>' | b'/'))
        {
            self.at += 1;
        }
        start..self.at
    }

    fn attribute(&mut self, before: usize) -> Option<AttributeLayout> {
        let name = self.name();
        if name.is_empty() {
            return None;
        }
        self.space();
        self.take(b'=')?;
        self.space();
        let quote = self.peek().filter(|b| matches!(b, b'"' | b'\''))?;
        self.at += 1;
        let start = self.at;
        let length = memchr::memchr(quote, self.source.get(start..)?)?;
        let value = start..start.checked_add(length)?;
        self.at = value.end + 1;
        Some(AttributeLayout {
            whole: before..self.at,
            name,
            value,
        })
    }
}
