//! From a selector to the one node it selects.

use crate::scope::Scope;
use crate::selector::{NodeSelector, Step, Terminal};
use xml::{Element, TagLayout};

/// The selector does not select exactly one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Missing {
    /// Steps, from the root, that do select one element.
    pub found: usize,
}

/// What a GET answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// The element's octets.
    Element(Vec<u8>),
    /// The attribute's value as written, without quotes.
    Attribute(Vec<u8>),
    /// The element's name with all declarations that are in scope.
    Namespaces(Vec<u8>),
}

impl Value {
    /// The octets and their media type.
    pub fn into_parts(self) -> (Vec<u8>, &'static str) {
        match self {
            Self::Element(octets) => (octets, crate::ELEMENT_TYPE),
            Self::Attribute(octets) => (octets, crate::ATTRIBUTE_TYPE),
            Self::Namespaces(octets) => (octets, crate::NAMESPACES_TYPE),
        }
    }
}

/// Reads a node. `root` was parsed from `source`.
///
/// # Errors
/// The selector selects nothing, or more than one.
pub fn read(source: &[u8], root: &Element, selector: &NodeSelector) -> Result<Value, Missing> {
    let path = path(root, &selector.steps)?;
    let missing = Missing {
        found: selector.steps.len(),
    };
    let element = path.last().copied().ok_or(missing)?;
    match &selector.terminal {
        Terminal::Element => source
            .get(element.span.clone())
            .map(|octets| Value::Element(octets.to_vec()))
            .ok_or(missing),
        Terminal::Attribute(name) => {
            let (layout, number) = attribute(source, &path, name).ok_or(missing)?;
            let range = layout.attributes.get(number).map(|a| a.value.clone());
            let octets = range.and_then(|range| source.get(range)).ok_or(missing)?;
            Ok(Value::Attribute(octets.to_vec()))
        }
        Terminal::Namespaces => {
            let layout = xml::layout(source, element).ok_or(missing)?;
            let name = source.get(layout.name).ok_or(missing)?;
            Ok(Value::Namespaces(Scope::of(source, &path).write(name)))
        }
    }
}

/// The element that a selector's steps select.
pub fn select<'t>(root: &'t Element, selector: &NodeSelector) -> Option<&'t Element> {
    path(root, &selector.steps).ok()?.last().copied()
}

/// The elements from the root to the one selected.
pub(crate) fn path<'t>(root: &'t Element, steps: &[Step]) -> Result<Vec<&'t Element>, Missing> {
    let mut path: Vec<&Element> = Vec::with_capacity(steps.len());
    for (found, step) in steps.iter().enumerate() {
        let next = match path.last() {
            None => pick(std::iter::once(root), step),
            Some(parent) => pick(parent.elements(), step),
        };
        path.push(next.ok_or(Missing { found })?);
    }
    Ok(path)
}

/// The one sibling that a step selects; none if there are several.
fn pick<'t>(siblings: impl Iterator<Item = &'t Element>, step: &Step) -> Option<&'t Element> {
    let mut named = siblings.filter(|e| step.name.as_ref().is_none_or(|n| e.name == *n));
    let fits = |element: &&Element| {
        step.attribute.as_ref().is_none_or(|(name, value)| {
            let mut all = element.attributes.iter();
            all.any(|a| a.name == *name && a.value == *value)
        })
    };
    match step.position {
        Some(position) => named.nth(position.checked_sub(1)?).filter(fits),
        None => {
            let mut all = named.filter(fits);
            let first = all.next()?;
            all.next().is_none().then_some(first)
        }
    }
}

/// The layout of the last element's tag and the number of that attribute in it.
pub(crate) fn attribute(
    source: &[u8],
    path: &[&Element],
    name: &xml::Name,
) -> Option<(TagLayout, usize)> {
    let element = path.last()?;
    if !element.attributes.iter().any(|a| a.name == *name) {
        return None;
    }
    let layout = xml::layout(source, element)?;
    let scope = Scope::of(source, path);
    let number = layout.attributes.iter().position(|found| {
        let raw = source.get(found.name.clone());
        raw.and_then(|raw| std::str::from_utf8(raw).ok())
            .is_some_and(|raw| scope.attribute(raw).is_some_and(|n| n == *name))
    })?;
    Some((layout, number))
}
