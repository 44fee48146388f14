//! Resource lists (RFC 4826 section 3).

use super::{expect, is_absolute, need, schema};
use crate::conflict::{Conflict, Exists};
use xml::Element;

/// `urn:ietf:params:xml:ns:resource-lists`
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:resource-lists";

/// A list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct List {
    /// Its `name`.
    pub name: Option<String>,
    /// Its `display-name`.
    pub display: Option<String>,
    /// What is in it, in order.
    pub items: Vec<Item>,
}

/// One thing in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// A resource.
    Entry(Entry),
    /// `entry-ref`: path of an entry below the XCAP root.
    Reference(String),
    /// `external`: the URL of another list.
    External(String),
    /// A list in the list.
    List(List),
}

/// A resource.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its URI.
    pub uri: String,
    /// Its `display-name`.
    pub display: Option<String>,
}

impl List {
    /// Reads a `list` (or the `list` of an rls-service, which has the same type).
    pub fn of(list: &Element) -> Self {
        Self {
            name: list.attribute("name").map(str::to_owned),
            display: display(list),
            items: list.elements().filter_map(Item::of).collect(),
        }
    }

    /// The lists of a document; the root as one list without a name.
    pub fn of_document(root: &Element) -> Self {
        Self {
            items: root.elements().filter_map(Item::of).collect(),
            ..Self::default()
        }
    }
}

impl Item {
    fn of(item: &Element) -> Option<Self> {
        if item.name.namespace().as_str() != NAMESPACE {
            return None;
        }
        let attribute = |name| item.attribute(name).map(str::to_owned);
        match item.name.local() {
            "entry" => Entry::of(item).map(Self::Entry),
            "entry-ref" => attribute("ref").map(Self::Reference),
            "external" => attribute("anchor").map(Self::External),
            "list" => Some(Self::List(List::of(item))),
            _ => None,
        }
    }
}

impl Entry {
    /// Reads an `entry`.
    pub fn of(entry: &Element) -> Option<Self> {
        Some(Self {
            uri: entry.attribute("uri")?.to_owned(),
            display: display(entry),
        })
    }
}

fn display(of: &Element) -> Option<String> {
    let name = of.child(NAMESPACE, "display-name")?;
    let text = name.trimmed();
    (!text.is_empty()).then(|| text.into_owned())
}

/// RFC 4826 3.4.
pub(super) fn validate(root: &Element) -> Result<(), Conflict> {
    expect(root, NAMESPACE, "resource-lists")?;
    let mut doubled = Vec::new();
    for child in root.elements() {
        let ours = child.name.namespace().as_str() == NAMESPACE;
        if ours && child.name.local() != "list" {
            return Err(schema(format!(
                "{} can't stand in resource-lists",
                child.name.local()
            )));
        }
    }
    unique(root, "list", "name", "/resource-lists", &mut doubled);
    for (number, child) in root.children_named(NAMESPACE, "list").enumerate() {
        let at = format!("/resource-lists/list[{}]", number + 1);
        list(child, &at, &mut doubled)?;
    }
    if doubled.is_empty() {
        Ok(())
    } else {
        Err(Conflict::Uniqueness(doubled))
    }
}

/// Checks one list; `at` is its selector.
pub(super) fn list(of: &Element, at: &str, doubled: &mut Vec<Exists>) -> Result<(), Conflict> {
    for (number, child) in of.elements().enumerate() {
        if child.name.namespace().as_str() != NAMESPACE {
            continue;
        }
        match child.name.local() {
            "display-name" if number == 0 => {}
            "display-name" => {
                return Err(schema("display-name must come first, once".to_owned()));
            }
            "entry" => {
                let uri = need(child, "uri")?;
                if !is_absolute(uri) {
                    return Err(Conflict::Constraint(format!("{uri:?} is no URI")));
                }
            }
            "entry-ref" => {
                let path = need(child, "ref")?;
                // 3.4.5: relative to the XCAP root, so a path without a slash before it.
                if is_absolute(path) && path.contains("//") || path.starts_with('/') {
                    return Err(Conflict::Constraint(format!(
                        "{path:?} is no path relative to the XCAP root"
                    )));
                }
            }
            "external" => {
                let anchor = need(child, "anchor")?;
                let lower = anchor.to_ascii_lowercase();
                if !(lower.starts_with("http://") || lower.starts_with("https://")) {
                    return Err(Conflict::Constraint(format!("{anchor:?} is no HTTP URL")));
                }
            }
            "list" => {}
            other => return Err(schema(format!("{other} can't stand in list"))),
        }
    }
    for (kind, attribute) in [
        ("list", "name"),
        ("entry", "uri"),
        ("entry-ref", "ref"),
        ("external", "anchor"),
    ] {
        unique(of, kind, attribute, at, doubled);
    }
    for (number, child) in of.children_named(NAMESPACE, "list").enumerate() {
        list(child, &format!("{at}/list[{}]", number + 1), doubled)?;
    }
    Ok(())
}

/// Notes each child whose attribute an earlier one has as well.
fn unique(of: &Element, kind: &str, attribute: &str, at: &str, doubled: &mut Vec<Exists>) {
    let mut seen = std::collections::HashSet::new();
    let values: Vec<Option<&str>> = of
        .children_named(NAMESPACE, kind)
        .map(|child| child.attribute(attribute))
        .collect();
    for (number, value) in values.iter().enumerate() {
        let Some(value) = value else { continue };
        if seen.insert(*value) {
            continue;
        }
        let free = |candidate: &String| !values.contains(&Some(candidate.as_str()));
        // Only a name can be made up.
        let alternative = (2..=u16::MAX).map(|n| format!("{value} {n}")).find(free);
        doubled.push(Exists {
            field: format!("{at}/{kind}[{}]/@{attribute}", number + 1),
            alternatives: match kind {
                "list" => alternative.into_iter().collect(),
                _ => Vec::new(),
            },
        });
    }
}
