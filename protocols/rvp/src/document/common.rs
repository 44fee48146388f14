//! What all documents share: reading with namespace variants, writing with literal prefixes.

use crate::error::ParseError;
use crate::namespace::{ACL, DAV, RVP};
use xml::{Element, Limits, Name, Node, Prefixes};

/// Default size limit of a body, bytes (`RVP 4`).
pub const MAX_BODY: usize = 65_536;

const DR: Prefixes<'static> = Prefixes::new(&[("d", DAV), ("r", RVP)]);
const DRA: Prefixes<'static> = Prefixes::new(&[("d", DAV), ("r", RVP), ("a", ACL)]);
pub(crate) const DECLARATION: &str = "<?xml version=\"1.0\"?>";

/// Which prefixes a document declares.
#[derive(Clone, Copy)]
pub(crate) enum With {
    /// `d:` and `r:`.
    Rvp,
    /// These and `a:`.
    Acl,
}

/// Reads a body and folds namespace variants.
pub(crate) fn read(body: &[u8], limit: usize) -> Result<Element, ParseError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(ParseError::NoBody);
    }
    let mut root = xml::parse(body, &Limits::with_bytes(limit))?;
    fold_namespaces(&mut root);
    Ok(root)
}

/// Writes a document.
pub(crate) fn write(root: &Element, with: With) -> String {
    let prefixes = match with {
        With::Rvp => &DR,
        With::Acl => &DRA,
    };
    let mut out = String::with_capacity(1024);
    out.push_str(DECLARATION);
    xml::write_onto(&mut out, root, prefixes);
    out
}

/// `RVP 4`: our namespaces are accepted without the trailing slash and in any letter case.
fn fold_namespaces(element: &mut Element) {
    if let Some(name) = folded(&element.name) {
        element.name = name;
    }
    for node in &mut element.children {
        if let Node::Element(child) = node {
            fold_namespaces(child);
        }
    }
}

fn folded(name: &Name) -> Option<Name> {
    let written = name.namespace().as_str();
    if matches!(written, DAV | RVP | ACL) {
        return None;
    }
    let same = |known: &str| {
        written.eq_ignore_ascii_case(known)
            || known
                .strip_suffix('/')
                .is_some_and(|bare| written.eq_ignore_ascii_case(bare))
    };
    let known = [DAV, RVP, ACL].into_iter().find(|known| same(known))?;
    Name::parse(known, name.local())
}

pub(crate) fn dav(local: &'static str) -> Element {
    Element::new(DAV, local)
}

pub(crate) fn rvp(local: &'static str) -> Element {
    Element::new(RVP, local)
}

pub(crate) fn acl(local: &'static str) -> Element {
    Element::new(ACL, local)
}

/// A child by local name in any of our namespaces: the spec's examples mix them up.
pub(crate) fn any<'e>(element: &'e Element, local: &str) -> Option<&'e Element> {
    element.elements().find(|child| is_ours(child, local))
}

pub(crate) fn is_ours(element: &Element, local: &str) -> bool {
    element.name.local() == local && matches!(element.name.namespace().as_str(), DAV | RVP | ACL)
}

/// The child that must be there.
pub(crate) fn need<'e>(
    element: &'e Element,
    local: &'static str,
) -> Result<&'e Element, ParseError> {
    any(element, local).ok_or(ParseError::Element(local))
}

/// The root must be of that local name.
pub(crate) fn expect_root(root: &Element, names: &[&str]) -> Result<(), ParseError> {
    let fits = names.iter().any(|name| is_ours(root, name));
    if fits { Ok(()) } else { Err(ParseError::Root) }
}

/// Seconds: digits, or WebDAV's `Second-N` and `Infinite`.
pub(crate) fn seconds(element: &Element) -> Result<u32, ParseError> {
    let text = element.trimmed();
    let lower = text.to_ascii_lowercase();
    if lower == "infinite" {
        return Ok(u32::MAX);
    }
    let digits = lower.strip_prefix("second-").unwrap_or(&lower);
    if digits.is_empty() || digits.len() > 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ParseError::Value("timeout"));
    }
    Ok(digits.parse().unwrap_or(u32::MAX))
}

/// An href's text: white space round it and inside it (line breaks, `RVP 4`) is dropped.
pub(crate) fn href(element: &Element) -> String {
    element
        .text()
        .chars()
        .filter(|c| !matches!(c, ' ' | '\t' | '\r' | '\n'))
        .collect()
}
