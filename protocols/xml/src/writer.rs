//! Tree to bytes, well-formed by construction: all prefixes stand on the root, text and attributes
//! are escaped, characters that XML cannot carry become U+FFFD.

use crate::chars::{self, is_char, is_ncname};
use crate::name::Namespace;
use crate::tree::{Element, Node};
use crate::{XML_NAMESPACE, XMLNS_NAMESPACE};
use std::borrow::Cow;

/// The prefixes a dialect wants to see, all declared on the root, used or not.
///
/// The prefix `""` asks for a default namespace. Namespaces that the tree uses beyond these get
/// generated prefixes, also on the root, so any subtree is written self-contained.
#[derive(Clone, Copy, Debug)]
pub struct Prefixes<'p> {
    wanted: &'p [(&'p str, &'p str)],
}

impl<'p> Prefixes<'p> {
    /// Pairs of prefix and namespace. Entries that XML forbids, and later ones of a prefix that is
    /// taken, are ignored.
    pub const fn new(wanted: &'p [(&'p str, &'p str)]) -> Self {
        Self { wanted }
    }

    /// No wishes: prefixes `n0`, `n1`, ... as needed.
    pub const NONE: Prefixes<'static> = Prefixes { wanted: &[] };
}

/// Writes an element as a document without XML declaration.
pub fn write(root: &Element, prefixes: &Prefixes<'_>) -> String {
    let mut out = String::with_capacity(512);
    write_into(&mut out, root, prefixes);
    out
}

/// Writes text as the content of an element, escaped: for documents that are written so often that
/// they are not worth a tree.
pub fn push_text(out: &mut String, text: &str) {
    escape(out, text, Quote::No);
}

/// The same as a CDATA section.
pub fn push_cdata(out: &mut String, text: &str) {
    cdata(out, text);
}

/// Writes an element as a document behind what `out` holds already (another XML declaration, say).
pub fn write_onto(out: &mut String, root: &Element, prefixes: &Prefixes<'_>) {
    write_into(out, root, prefixes);
}

/// Writes an element as a document with `<?xml version="1.0" encoding="UTF-8"?>` and a line end
/// before it.
pub fn write_document(root: &Element, prefixes: &Prefixes<'_>) -> String {
    let mut out = String::with_capacity(512);
    out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    write_into(&mut out, root, prefixes);
    out
}

fn write_into(out: &mut String, root: &Element, prefixes: &Prefixes<'_>) {
    let mut table = Table { bound: Vec::new() };
    let mut need = Need::default();
    survey(root, &mut need);
    table.want(prefixes, &need);
    table.complete(&need);
    element(out, root, &table, Place::Root);
}

#[derive(Clone, Copy)]
enum Place {
    Root,
    Inner,
}

/// Namespaces that a tree uses, in document order.
#[derive(Default)]
struct Need<'t> {
    elements: Vec<&'t str>,
    attributes: Vec<&'t str>,
    /// Some element has no namespace, so there can be no default one.
    bare: bool,
}

fn survey<'t>(element: &'t Element, need: &mut Need<'t>) {
    let namespace = element.name.namespace().as_str();
    need.bare |= namespace.is_empty();
    note(&mut need.elements, namespace);
    for attribute in &element.attributes {
        note(&mut need.attributes, attribute.name.namespace().as_str());
    }
    for child in element.elements() {
        survey(child, need);
    }
}

fn note<'t>(list: &mut Vec<&'t str>, namespace: &'t str) {
    let known = namespace.is_empty() || namespace == XML_NAMESPACE || list.contains(&namespace);
    if !known {
        list.push(namespace);
    }
}

struct Table<'t> {
    /// Prefix and namespace.
    bound: Vec<(Cow<'t, str>, &'t str)>,
}

impl<'t> Table<'t> {
    fn want(&mut self, prefixes: &Prefixes<'t>, need: &Need<'t>) {
        for &(prefix, namespace) in prefixes.wanted {
            let reserved = namespace.is_empty()
                || namespace == XML_NAMESPACE
                || namespace == XMLNS_NAMESPACE
                || prefix.starts_with("xml");
            let usable = if prefix.is_empty() {
                !need.bare
            } else {
                is_ncname(prefix)
            };
            if !reserved && usable && !self.taken(prefix) {
                self.bound.push((Cow::Borrowed(prefix), namespace));
            }
        }
    }

    fn complete(&mut self, need: &Need<'t>) {
        for &namespace in &need.elements {
            if !self.bound.iter().any(|(_, bound)| *bound == namespace) {
                self.generate(namespace);
            }
        }
        for &namespace in &need.attributes {
            let bound =
                |(prefix, bound): &(Cow<'_, str>, &str)| *bound == namespace && !prefix.is_empty();
            if !self.bound.iter().any(bound) {
                self.generate(namespace);
            }
        }
    }

    fn generate(&mut self, namespace: &'t str) {
        let mut number = self.bound.len();
        let mut prefix = format!("n{number}");
        while self.taken(&prefix) {
            number += 1;
            prefix = format!("n{number}");
        }
        self.bound.push((Cow::Owned(prefix), namespace));
    }

    fn taken(&self, prefix: &str) -> bool {
        self.bound.iter().any(|(bound, _)| bound == prefix)
    }

    fn element_prefix(&self, namespace: &Namespace) -> &str {
        self.find(namespace.as_str(), |_| true)
    }

    fn attribute_prefix(&self, namespace: &Namespace) -> &str {
        self.find(namespace.as_str(), |prefix| !prefix.is_empty())
    }

    fn find(&self, namespace: &str, fits: impl Fn(&str) -> bool) -> &str {
        if namespace == XML_NAMESPACE {
            return "xml";
        }
        let mut bound = self.bound.iter();
        bound
            .find(|(prefix, bound)| *bound == namespace && fits(prefix))
            .map_or("", |(prefix, _)| prefix.as_ref())
    }
}

fn element(out: &mut String, element_: &Element, table: &Table<'_>, place: Place) {
    let prefix = table.element_prefix(element_.name.namespace());
    out.push('<');
    qualified(out, prefix, element_.name.local());
    if matches!(place, Place::Root) {
        for (prefix, namespace) in &table.bound {
            out.push_str(" xmlns");
            if !prefix.is_empty() {
                out.push(':');
                out.push_str(prefix);
            }
            attribute_value(out, namespace);
        }
    }
    for attribute in &element_.attributes {
        out.push(' ');
        qualified(
            out,
            table.attribute_prefix(attribute.name.namespace()),
            attribute.name.local(),
        );
        attribute_value(out, &attribute.value);
    }
    if element_.children.is_empty() {
        out.push_str("/>");
        return;
    }
    out.push('>');
    for node in &element_.children {
        match node {
            Node::Element(child) => element(out, child, table, Place::Inner),
            Node::Text(text) => escape(out, text, Quote::No),
            Node::CData(text) => cdata(out, text),
        }
    }
    out.push_str("</");
    qualified(out, prefix, element_.name.local());
    out.push('>');
}

fn qualified(out: &mut String, prefix: &str, local: &str) {
    if !prefix.is_empty() {
        out.push_str(prefix);
        out.push(':');
    }
    out.push_str(local);
}

fn attribute_value(out: &mut String, value: &str) {
    out.push_str("=\"");
    escape(out, value, Quote::Yes);
    out.push('"');
}

#[derive(Clone, Copy, PartialEq)]
enum Quote {
    Yes,
    No,
}

fn escape(out: &mut String, text: &str, quote: Quote) {
    let plain = text.bytes().all(is_plain);
    if plain {
        return out.push_str(text);
    }
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            // Only `]]>` must be escaped, but then `>` always is: no context needed.
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#13;"),
            '"' if quote == Quote::Yes => out.push_str("&quot;"),
            '\n' if quote == Quote::Yes => out.push_str("&#10;"),
            '\t' if quote == Quote::Yes => out.push_str("&#9;"),
            c if is_char(c) => out.push(c),
            _ => out.push('\u{FFFD}'),
        }
    }
}

/// ASCII that stands for itself in text and attributes.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'&' | b'<' | b'>' | b'"')
}

/// One section; a `]]>` in the text is split over two.
fn cdata(out: &mut String, text: &str) {
    out.push_str("<![CDATA[");
    let mut pieces = text.split("]]>");
    push_chars(out, pieces.next().unwrap_or_default());
    for piece in pieces {
        out.push_str("]]]]><![CDATA[>");
        push_chars(out, piece);
    }
    out.push_str("]]>");
}

fn push_chars(out: &mut String, text: &str) {
    if chars::forbidden(text).is_none() {
        return out.push_str(text);
    }
    out.extend(
        text.chars()
            .map(|c| if is_char(c) { c } else { '\u{FFFD}' }),
    );
}
