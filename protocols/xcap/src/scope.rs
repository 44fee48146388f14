//! Namespace bindings in the scope of an element, as its document declares them.

use std::fmt::Write as _;
use xml::{Element, Name};

/// Bindings, innermost last per prefix; each prefix once.
pub(crate) struct Scope {
    bindings: Vec<(String, String)>,
}

impl Scope {
    /// Those at the last element of a path from the root.
    pub(crate) fn of(source: &[u8], path: &[&Element]) -> Self {
        let mut bindings: Vec<(String, String)> = Vec::new();
        for element in path {
            let Some(layout) = xml::layout(source, element) else {
                continue;
            };
            for (prefix, namespace) in layout.declarations(source) {
                bindings.retain(|(bound, _)| bound != prefix);
                bindings.push((prefix.to_owned(), namespace));
            }
        }
        // `xmlns=""` undeclares.
        bindings.retain(|(prefix, namespace)| !(prefix.is_empty() && namespace.is_empty()));
        Self { bindings }
    }

    /// The expanded name of an attribute; `None` for declarations and unbound prefixes.
    pub(crate) fn attribute(&self, raw: &str) -> Option<Name> {
        match raw.split_once(':') {
            None if raw == "xmlns" => None,
            None => Name::parse("", raw),
            Some(("xmlns", _)) => None,
            Some(("xml", local)) => Name::parse(xml::XML_NAMESPACE, local),
            Some((prefix, local)) => {
                let (_, namespace) = self.bindings.iter().find(|(bound, _)| bound == prefix)?;
                Name::parse(namespace.clone(), local)
            }
        }
    }

    /// A prefix bound to that namespace, for attributes.
    pub(crate) fn prefix_of(&self, namespace: &str) -> Option<&str> {
        let mut all = self.bindings.iter();
        all.find(|(prefix, bound)| bound == namespace && !prefix.is_empty())
            .map(|(prefix, _)| prefix.as_str())
    }

    /// Whether the prefix means something here.
    pub(crate) fn is_bound(&self, prefix: &str) -> bool {
        self.bindings.iter().any(|(bound, _)| bound == prefix)
    }

    /// An empty element of that name with all bindings (RFC 4825 7.10).
    pub(crate) fn write(&self, name: &[u8]) -> Vec<u8> {
        let mut out = vec![b'<'];
        out.extend_from_slice(name);
        self.declare(&mut out);
        out.extend_from_slice(b"/>");
        out
    }

    /// ` xmlns:a="..."` for each.
    pub(crate) fn declare(&self, out: &mut Vec<u8>) {
        for (prefix, namespace) in &self.bindings {
            out.extend_from_slice(b" xmlns");
            if !prefix.is_empty() {
                out.push(b':');
                out.extend_from_slice(prefix.as_bytes());
            }
            out.extend_from_slice(b"=\"");
            out.extend_from_slice(escape(namespace).as_bytes());
            out.push(b'"');
        }
    }
}

/// For an attribute value in double quotes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}
