//! `d:propertyupdate`: what PROPPATCH changes and what a property notification reports.

use super::common::{With, dav, expect_root, is_ours, read, write};
use super::property::{Property, PropertyName};
use crate::error::ParseError;
use xml::Element;

/// Changes, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PropertyUpdate {
    /// Each one.
    pub changes: Vec<Change>,
}

/// One change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Give the property this value.
    Set(Property),
    /// Delete the property.
    Remove(PropertyName),
}

/// Names of the root: the second is the spec's misspelling (`RVP 4`).
pub(crate) const ROOTS: [&str; 2] = ["propertyupdate", "propupdate"];

impl PropertyUpdate {
    /// Sets these.
    pub fn set(properties: impl IntoIterator<Item = Property>) -> Self {
        Self {
            changes: properties.into_iter().map(Change::Set).collect(),
        }
    }

    /// Reads one of at most `limit` bytes.
    ///
    /// # Errors
    /// [`ParseError`].
    pub fn parse(body: &[u8], limit: usize) -> Result<Self, ParseError> {
        let root = read(body, limit)?;
        expect_root(&root, &ROOTS)?;
        Self::read(&root)
    }

    /// Writes it.
    pub fn to_xml(&self) -> String {
        write(&self.element(), With::Rvp)
    }

    pub(crate) fn read(element: &Element) -> Result<Self, ParseError> {
        let mut changes = Vec::new();
        for action in element.elements() {
            let set = is_ours(action, "set");
            if !set && !is_ours(action, "remove") {
                continue;
            }
            for prop in action.elements().filter(|child| is_ours(child, "prop")) {
                for property in prop.elements() {
                    changes.push(if set {
                        Change::Set(Property::read(property)?)
                    } else {
                        Change::Remove(PropertyName::of(&property.name))
                    });
                }
            }
        }
        if changes.is_empty() {
            Err(ParseError::Element("prop"))
        } else {
            Ok(Self { changes })
        }
    }

    /// One `d:set` or `d:remove` per run of changes of a kind, so order is kept.
    pub(crate) fn element(&self) -> Element {
        let mut root = dav("propertyupdate");
        let same =
            |a: &Change, b: &Change| matches!(a, Change::Set(_)) == matches!(b, Change::Set(_));
        for run in self.changes.chunk_by(same) {
            let action = match run.first() {
                Some(Change::Set(_)) => dav("set"),
                _ => dav("remove"),
            };
            let elements = run.iter().map(|change| match change {
                Change::Set(property) => property.element(),
                Change::Remove(name) => Property::Name(name.clone()).element(),
            });
            root = root.with(action.with(dav("prop").with_all(elements)));
        }
        root
    }
}
