//! `d:propfind`: which properties are asked for.

use super::common::{With, dav, expect_root, is_ours, read, write};
use super::property::{Property, PropertyName};
use crate::error::ParseError;

/// What a PROPFIND asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Propfind {
    /// These properties.
    Properties(Vec<PropertyName>),
    /// All with their values.
    All,
    /// All names.
    Names,
}

/// More names than this in one request are refused.
const MAX_NAMES: usize = 1_000;

impl Propfind {
    /// Reads one of at most `limit` bytes.
    ///
    /// # Errors
    /// [`ParseError`]; an empty body is 400 (`RVP 5`).
    pub fn parse(body: &[u8], limit: usize) -> Result<Self, ParseError> {
        let root = read(body, limit)?;
        expect_root(&root, &["propfind"])?;
        let known = ["prop", "allprop", "propname"];
        let mut asked = root
            .elements()
            .filter(|child| known.iter().any(|name| is_ours(child, name)));
        let (Some(asked), None) = (asked.next(), asked.next()) else {
            return Err(ParseError::Element("prop"));
        };
        match asked.name.local() {
            "allprop" => Ok(Self::All),
            "propname" => Ok(Self::Names),
            _ => {
                let mut names = Vec::new();
                for element in asked.elements() {
                    let name = PropertyName::of(&element.name);
                    if names.len() >= MAX_NAMES {
                        return Err(ParseError::Element("prop"));
                    }
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
                Ok(Self::Properties(names))
            }
        }
    }

    /// Writes it.
    pub fn to_xml(&self) -> String {
        let asked = match self {
            Self::All => dav("allprop"),
            Self::Names => dav("propname"),
            Self::Properties(names) => {
                let elements = names
                    .iter()
                    .map(|name| Property::Name(name.clone()).element());
                dav("prop").with_all(elements)
            }
        };
        write(&dav("propfind").with(asked), With::Rvp)
    }
}
