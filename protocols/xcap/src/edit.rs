//! PUT and DELETE of nodes: the stored octets are changed only where the node stands
//! (RFC 4825 sections 7.3-7.9, 8.2).

use crate::conflict::Conflict;
use crate::evaluate::{self, Missing};
use crate::scope::{Scope, escape};
use crate::selector::{NodeSelector, Step, Terminal};
use std::ops::Range;
use xml::{Element, Limits, TagLayout};

/// A changed document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edited {
    /// Its octets.
    pub bytes: Vec<u8>,
    /// The node was not there before (201 instead of 200).
    pub created: bool,
}

/// Why nothing was deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotDeleted {
    /// It is not there (404).
    Missing,
    /// It must not be (409).
    Conflict(Conflict),
}

impl From<Conflict> for NotDeleted {
    fn from(conflict: Conflict) -> Self {
        Self::Conflict(conflict)
    }
}

/// Replaces or inserts a node. Namespace bindings can't be put; the server answers 405 before.
///
/// # Errors
/// The reason for 409.
pub fn put(
    source: &[u8],
    selector: &NodeSelector,
    body: &[u8],
    limits: &Limits,
) -> Result<Edited, Conflict> {
    let root = xml::parse(source, limits)?;
    let edited = match &selector.terminal {
        Terminal::Element => put_element(source, &root, &selector.steps, body, limits)?,
        Terminal::Attribute(name) => put_attribute(source, &root, &selector.steps, name, body)?,
        Terminal::Namespaces => {
            return Err(Conflict::CannotInsert("namespace bindings are read only"));
        }
    };
    check(&edited, selector, body, limits)?;
    Ok(edited)
}

/// Removes a node.
///
/// # Errors
/// It is not there, or removing it is refused.
pub fn delete(
    source: &[u8],
    selector: &NodeSelector,
    limits: &Limits,
) -> Result<Vec<u8>, NotDeleted> {
    let root = xml::parse(source, limits).map_err(Conflict::from)?;
    let path = evaluate::path(&root, &selector.steps).map_err(|_| NotDeleted::Missing)?;
    let element = path.last().copied().ok_or(NotDeleted::Missing)?;
    let range = match &selector.terminal {
        Terminal::Element if path.len() == 1 => {
            return Err(Conflict::CannotDelete("a document needs its root element").into());
        }
        Terminal::Element => element.span.clone(),
        Terminal::Attribute(name) => {
            let (layout, number) =
                evaluate::attribute(source, &path, name).ok_or(NotDeleted::Missing)?;
            let found = layout.attributes.get(number).ok_or(NotDeleted::Missing)?;
            found.whole.clone()
        }
        Terminal::Namespaces => {
            return Err(Conflict::CannotDelete("namespace bindings are read only").into());
        }
    };
    let bytes = splice(source, range, b"");
    let again = xml::parse(&bytes, limits).map_err(Conflict::from)?;
    // 7.5: what is gone must not be found by the same URI.
    if evaluate::read(&bytes, &again, selector).is_ok() {
        let why = "the selector would select another node";
        return Err(Conflict::CannotDelete(why).into());
    }
    Ok(bytes)
}

/// 8.2.3: after the change a GET must give what was put.
fn check(
    edited: &Edited,
    selector: &NodeSelector,
    body: &[u8],
    limits: &Limits,
) -> Result<(), Conflict> {
    let again = xml::parse(&edited.bytes, limits)?;
    let value = evaluate::read(&edited.bytes, &again, selector)
        .map_err(|_| Conflict::CannotInsert("the selector would not select what is put"))?;
    let same = match (&selector.terminal, value) {
        (Terminal::Element, evaluate::Value::Element(octets)) => octets == trim(body),
        (Terminal::Attribute(_), evaluate::Value::Attribute(octets)) => {
            // The kind of quotes may have made a reference of one.
            let decode = |raw: &[u8]| {
                let raw = std::str::from_utf8(raw).ok()?;
                xml::attribute_value(raw)
            };
            decode(&octets) == decode(body)
        }
        _ => false,
    };
    if same {
        Ok(())
    } else {
        Err(Conflict::CannotInsert(
            "the selector would select another node",
        ))
    }
}

fn put_element(
    source: &[u8],
    root: &Element,
    steps: &[Step],
    body: &[u8],
    limits: &Limits,
) -> Result<Edited, Conflict> {
    let body = trim(body);
    let (last, parents) = steps
        .split_last()
        .ok_or(Conflict::CannotInsert("no element selected"))?;
    match evaluate::path(root, steps) {
        Ok(path) => {
            let element = path
                .last()
                .ok_or(Conflict::CannotInsert("no element selected"))?;
            let above = path.get(..parents.len()).unwrap_or_default();
            fragment(source, above, body, limits)?;
            Ok(Edited {
                bytes: splice(source, element.span.clone(), body),
                created: false,
            })
        }
        Err(Missing { found }) if found == parents.len() && found > 0 => {
            let above = evaluate::path(root, parents).map_err(|missing| Conflict::NoParent {
                found: Some(missing.found),
            })?;
            let new = fragment(source, &above, body, limits)?;
            if last.name.as_ref().is_some_and(|name| new.name != *name) {
                return Err(Conflict::CannotInsert("another name than the selector's"));
            }
            insert(source, &above, last, body)
        }
        // A second root can't be.
        Err(Missing { found: 0 }) if parents.is_empty() => {
            Err(Conflict::CannotInsert("the root element has another name"))
        }
        Err(Missing { found }) => Err(Conflict::NoParent { found: Some(found) }),
    }
}

/// The body as an element in the scope of where it will stand.
fn fragment(
    source: &[u8],
    above: &[&Element],
    body: &[u8],
    limits: &Limits,
) -> Result<Element, Conflict> {
    let mut wrapped = b"<w".to_vec();
    Scope::of(source, above).declare(&mut wrapped);
    wrapped.push(b'>');
    wrapped.extend_from_slice(body);
    wrapped.extend_from_slice(b"</w>");
    let roomy = Limits {
        bytes: limits.bytes.saturating_add(wrapped.len()),
        depth: limits.depth.saturating_add(1),
        elements: limits.elements.saturating_add(1),
        ..*limits
    };
    if body.len() > limits.bytes {
        return Err(Conflict::Constraint("the element is too large".to_owned()));
    }
    let parsed = xml::parse(&wrapped, &roomy).map_err(|error| match error.kind {
        xml::ErrorKind::Encoding => Conflict::NotUtf8,
        kind if kind.is_limit() => Conflict::Constraint(kind.to_string()),
        kind => Conflict::NotXmlFrag(kind.to_string()),
    })?;
    let mut children = parsed.children.into_iter();
    match (children.next(), children.next()) {
        (Some(xml::Node::Element(element)), None) => Ok(element),
        _ => Err(Conflict::NotXmlFrag("not one element".to_owned())),
    }
}

/// Where a new element goes (8.2.3): at its position among those of its name, else as the last
/// element of its parent.
fn insert(source: &[u8], above: &[&Element], step: &Step, body: &[u8]) -> Result<Edited, Conflict> {
    let parent = above
        .last()
        .copied()
        .ok_or(Conflict::CannotInsert("no parent"))?;
    let layout = xml::layout(source, parent).ok_or(Conflict::CannotInsert("no parent"))?;
    let named: Vec<&Element> = parent
        .elements()
        .filter(|e| step.name.as_ref().is_none_or(|name| e.name == *name))
        .collect();
    let before = match step.position {
        // 8.2.3: positions must be taken without a gap.
        Some(position) if position > named.len() + 1 => {
            return Err(Conflict::CannotInsert("position beyond the end"));
        }
        Some(position) => named.get(position - 1),
        None => None,
    };
    let bytes = match before {
        Some(next) => splice(source, next.span.start..next.span.start, body),
        None => {
            let after = match step.position {
                // The last of its name; there is one, or it is the first of all.
                Some(_) if !named.is_empty() => named.last().copied(),
                _ => parent.elements().last(),
            };
            append(source, parent, &layout, after, body)
        }
    };
    Ok(Edited {
        bytes,
        created: true,
    })
}

pub(crate) fn append(
    source: &[u8],
    parent: &Element,
    layout: &TagLayout,
    after: Option<&Element>,
    body: &[u8],
) -> Vec<u8> {
    if let Some(after) = after {
        return splice(source, after.span.end..after.span.end, body);
    }
    if let Some(content) = layout.content(source, parent) {
        return splice(source, content.start..content.start, body);
    }
    // `<a/>` becomes `<a>...</a>`.
    let slash = layout.tag.end.saturating_sub(2);
    let name = source.get(layout.name.clone()).unwrap_or_default();
    let mut inner = b">".to_vec();
    inner.extend_from_slice(body);
    inner.extend_from_slice(b"</");
    inner.extend_from_slice(name);
    inner.push(b'>');
    splice(source, slash..layout.tag.end, &inner)
}

fn put_attribute(
    source: &[u8],
    root: &Element,
    steps: &[Step],
    name: &xml::Name,
    body: &[u8],
) -> Result<Edited, Conflict> {
    let value = std::str::from_utf8(body).map_err(|_| Conflict::NotUtf8)?;
    if xml::attribute_value(value).is_none() {
        return Err(Conflict::NotXmlAttValue);
    }
    let path = evaluate::path(root, steps).map_err(|missing| Conflict::NoParent {
        found: Some(missing.found),
    })?;
    if let Some((layout, number)) = evaluate::attribute(source, &path, name) {
        let found = layout
            .attributes
            .get(number)
            .ok_or(Conflict::CannotInsert("no such attribute"))?;
        let bytes = if value.contains(['"', '\'']) {
            let range = found.value.start.saturating_sub(1)..found.value.end.saturating_add(1);
            splice(source, range, quoted(value).as_bytes())
        } else {
            splice(source, found.value.clone(), body)
        };
        return Ok(Edited {
            bytes,
            created: false,
        });
    }
    let element = path.last().ok_or(Conflict::NoParent { found: Some(0) })?;
    let layout = xml::layout(source, element).ok_or(Conflict::CannotInsert("no such element"))?;
    let at = layout
        .attributes
        .last()
        .map_or(layout.name.end, |last| last.whole.end);
    let written = new_attribute(&Scope::of(source, &path), name, value);
    Ok(Edited {
        bytes: splice(source, at..at, written.as_bytes()),
        created: true,
    })
}

/// ` name="value"`, with a declaration if its namespace has no prefix here.
fn new_attribute(scope: &Scope, name: &xml::Name, value: &str) -> String {
    let namespace = name.namespace().as_str();
    let local = name.local();
    let value = quoted(value);
    if namespace.is_empty() {
        return format!(" {local}={value}");
    }
    if namespace == xml::XML_NAMESPACE {
        return format!(" xml:{local}={value}");
    }
    match scope.prefix_of(namespace) {
        Some(prefix) => format!(" {prefix}:{local}={value}"),
        None => {
            let taken = |prefix: &str| scope.is_bound(prefix);
            let prefix = (0..=u16::MAX).map(|n| format!("n{n}")).find(|p| !taken(p));
            let prefix = prefix.unwrap_or_else(|| "n".to_owned());
            format!(
                " xmlns:{prefix}=\"{}\" {prefix}:{local}={value}",
                escape(namespace)
            )
        }
    }
}

/// In the quotes that need no change of it, if there are such.
fn quoted(value: &str) -> String {
    match (value.contains('"'), value.contains('\'')) {
        (false, _) => format!("\"{value}\""),
        (true, false) => format!("'{value}'"),
        (true, true) => format!("\"{}\"", value.replace('"', "&quot;")),
    }
}

pub(crate) fn splice(source: &[u8], range: Range<usize>, with: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(source.len() + with.len());
    out.extend_from_slice(source.get(..range.start).unwrap_or_default());
    out.extend_from_slice(with);
    out.extend_from_slice(source.get(range.end..).unwrap_or_default());
    out
}

/// White space around an element is no part of it.
fn trim(body: &[u8]) -> &[u8] {
    let space = |octet: &u8| matches!(octet, b' ' | b'\t' | b'\r' | b'\n');
    let start = body.iter().position(|o| !space(o)).unwrap_or(body.len());
    let end = body
        .iter()
        .rposition(|o| !space(o))
        .map_or(start, |at| at + 1);
    body.get(start..end).unwrap_or_default()
}
