//! `d:multistatus`: answers to SUBSCRIBE (watching), PROPFIND and PROPPATCH.

use super::common::{With, any, dav, expect_root, href, is_ours, read, write};
use super::property::{Property, PropertyName};
use crate::error::ParseError;
use crate::status::Status;
use xml::Element;

/// An answer about one or more nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Multistatus {
    /// One per node; ours have exactly one (`RVP 8.7`).
    pub responses: Vec<Response>,
}

/// About one node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// The node's URL as the client names it.
    pub href: String,
    /// One per status.
    pub propstats: Vec<Propstat>,
}

/// Properties that share a status.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Propstat {
    /// The properties; only names unless the status is success.
    pub properties: Vec<Property>,
    /// Status code.
    pub status: u16,
}

impl Propstat {
    /// Properties of one of our statuses.
    pub fn new(status: Status, properties: Vec<Property>) -> Self {
        Self {
            properties,
            status: status.code(),
        }
    }
}

impl Multistatus {
    /// About one node. Propstats without properties are left out, unless none would be left.
    pub fn one(href: impl Into<String>, propstats: Vec<Propstat>) -> Self {
        Self {
            responses: vec![Response {
                href: href.into(),
                propstats,
            }],
        }
    }

    /// The answer to a watching SUBSCRIBE: one response, one propstat (`RVP 8.7`).
    pub fn watched(href: impl Into<String>, properties: Vec<Property>) -> Self {
        Self::one(href, vec![Propstat::new(Status::Successful, properties)])
    }

    /// Reads one of at most `limit` bytes.
    ///
    /// # Errors
    /// [`ParseError`].
    pub fn parse(body: &[u8], limit: usize) -> Result<Self, ParseError> {
        let root = read(body, limit)?;
        expect_root(&root, &["multistatus"])?;
        let responses = root.elements().filter(|child| is_ours(child, "response"));
        Ok(Self {
            responses: responses.map(Response::read).collect::<Result<_, _>>()?,
        })
    }

    /// Writes it.
    pub fn to_xml(&self) -> String {
        write(
            &dav("multistatus").with_all(self.responses.iter().map(Response::element)),
            With::Rvp,
        )
    }

    /// All properties with success, over all responses.
    pub fn properties(&self) -> impl Iterator<Item = &Property> {
        let propstats = self
            .responses
            .iter()
            .flat_map(|response| &response.propstats);
        propstats
            .filter(|p| (200..300).contains(&p.status))
            .flat_map(|p| &p.properties)
    }
}

impl Response {
    fn read(element: &Element) -> Result<Self, ParseError> {
        let propstats = element
            .elements()
            .filter(|child| is_ours(child, "propstat"));
        Ok(Self {
            href: any(element, "href").map(href).unwrap_or_default(),
            propstats: propstats.map(Propstat::read).collect::<Result<_, _>>()?,
        })
    }

    fn element(&self) -> Element {
        let mut shown = self
            .propstats
            .iter()
            .filter(|p| !p.properties.is_empty())
            .peekable();
        let only = self.propstats.first().filter(|_| shown.peek().is_none());
        dav("response")
            .with(dav("href").with_text(self.href.as_str()))
            .with_all(shown.chain(only).map(Propstat::element))
    }
}

impl Propstat {
    fn read(element: &Element) -> Result<Self, ParseError> {
        let status = any(element, "status").map(|status| status.trimmed().into_owned());
        let status = status.as_deref().map_or(Ok(200), code)?;
        let success = (200..300).contains(&status);
        let mut properties = Vec::new();
        for prop in element.elements().filter(|child| is_ours(child, "prop")) {
            for property in prop.elements() {
                properties.push(if success && !property.children.is_empty() {
                    Property::read(property)?
                } else {
                    Property::Name(PropertyName::of(&property.name))
                });
            }
        }
        Ok(Self { properties, status })
    }

    fn element(&self) -> Element {
        let line = match Status::from_code(self.status) {
            Some(status) => status.line(),
            None => format!("HTTP/1.1 {:03} Other", self.status.min(999)),
        };
        dav("propstat")
            .with(dav("prop").with_all(self.properties.iter().map(Property::element)))
            .with(dav("status").with_text(line))
    }
}

/// The code in `HTTP/1.1 200 Successful`; a bare code is taken too.
fn code(line: &str) -> Result<u16, ParseError> {
    let mut words = line.split_ascii_whitespace();
    let first = words.next().unwrap_or_default();
    let code = if first.to_ascii_uppercase().starts_with("HTTP/") {
        words.next()
    } else {
        Some(first)
    };
    let code = code.filter(|code| code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit()));
    code.and_then(|code| code.parse().ok())
        .ok_or(ParseError::Value("status"))
}
