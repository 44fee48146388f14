//! Why a change is refused with 409, and the body that says so (RFC 4825 section 11).

use crate::scope::escape;
use std::fmt::Write as _;

/// The reasons of 11.2.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Conflict {
    /// The document would not be, or is not, well-formed.
    #[error("not well-formed: {0}")]
    NotWellFormed(String),
    /// The body is no element that can stand in this document.
    #[error("not an XML fragment: {0}")]
    NotXmlFrag(String),
    /// The body is no attribute value.
    #[error("not an attribute value")]
    NotXmlAttValue,
    /// The parent is not there. The server knows the URI of the nearest ancestor that is.
    #[error("no parent")]
    NoParent {
        /// Steps of the selector that exist; `None` = not even the document does.
        found: Option<usize>,
    },
    /// The document would not follow its usage's schema.
    #[error("schema: {0}")]
    SchemaValidation(String),
    /// A GET on the same URI would not give what was put.
    #[error("cannot insert: {0}")]
    CannotInsert(&'static str),
    /// A GET on the same URI would still give something.
    #[error("cannot delete: {0}")]
    CannotDelete(&'static str),
    /// Something must be unique and is not.
    #[error("not unique: {}", .0.iter().map(|e| e.field.as_str()).collect::<Vec<_>>().join(", "))]
    Uniqueness(Vec<Exists>),
    /// Another rule of the usage.
    #[error("constraint: {0}")]
    Constraint(String),
    /// The octets are no UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// A rule of this server: an element of its own namespace says which.
    #[error("refused: {0}")]
    Extension(String),
}

/// A field that must be unique.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exists {
    /// Selector of the attribute or element.
    pub field: String,
    /// Values that would do.
    pub alternatives: Vec<String>,
}

const NAMESPACE: &str = "urn:ietf:params:xml:ns:xcap-error";
/// Namespace of our own reasons.
const OURS: &str = "urn:tristack:xml:ns:xcap-error";

impl Conflict {
    /// The body. `ancestor` is the URI of the nearest existing ancestor, for `no-parent`.
    pub fn body(&self, ancestor: Option<&str>) -> String {
        let inside = match self {
            Self::NotWellFormed(why) => phrase("not-well-formed", why),
            Self::NotXmlFrag(why) => phrase("not-xml-frag", why),
            Self::NotXmlAttValue => "<not-xml-att-value/>".to_owned(),
            Self::NoParent { .. } => match ancestor {
                Some(uri) => format!(
                    "<no-parent><ancestor>{}</ancestor></no-parent>",
                    escape(uri).replace('>', "&gt;")
                ),
                None => "<no-parent/>".to_owned(),
            },
            Self::SchemaValidation(why) => phrase("schema-validation-error", why),
            Self::CannotInsert(why) => phrase("cannot-insert", why),
            Self::CannotDelete(why) => phrase("cannot-delete", why),
            Self::Uniqueness(fields) => uniqueness(fields),
            Self::Constraint(why) => phrase("constraint-failure", why),
            Self::NotUtf8 => "<not-utf-8/>".to_owned(),
            Self::Extension(why) => format!(
                "<extension><reason xmlns=\"{OURS}\">{}</reason></extension>",
                escape(why).replace('>', "&gt;")
            ),
        };
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<xcap-error xmlns=\"{NAMESPACE}\">{inside}</xcap-error>\n"
        )
    }
}

impl From<xml::Error> for Conflict {
    fn from(error: xml::Error) -> Self {
        match error.kind {
            xml::ErrorKind::Encoding => Self::NotUtf8,
            kind if kind.is_limit() => Self::Constraint(error.to_string()),
            _ => Self::NotWellFormed(error.to_string()),
        }
    }
}

fn phrase(element: &str, why: &str) -> String {
    format!("<{element} phrase=\"{}\"/>", escape(why))
}

fn uniqueness(fields: &[Exists]) -> String {
    let mut out = String::from("<uniqueness-failure>");
    for exists in fields {
        let _ = write!(out, "<exists field=\"{}\"", escape(&exists.field));
        if exists.alternatives.is_empty() {
            out.push_str("/>");
            continue;
        }
        out.push('>');
        for value in &exists.alternatives {
            let _ = write!(
                out,
                "<alt-value>{}</alt-value>",
                escape(value).replace('>', "&gt;")
            );
        }
        out.push_str("</exists>");
    }
    out.push_str("</uniqueness-failure>");
    out
}
