//! The application usages (RFC 4825 section 5): names, types, rules for what may be stored.
//!
//! The rules are those of each usage's RFC, as code: elements and attributes that must be there,
//! values, what must be unique. Elements of foreign namespaces are let through wherever the
//! schemas have their `any`.

pub mod diff;
pub mod lists;
pub mod pages;
pub mod rlmi;
mod rules;
pub mod services;

use crate::conflict::Conflict;
use crate::uri::{DocumentSelector, Tree};
use xml::Element;

/// A usage.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Usage {
    /// RFC 4826 section 3.
    ResourceLists,
    /// RFC 4826 section 4.
    RlsServices,
    /// RFC 5025; OMA's AUID is the same policy under another name.
    PresRules,
    /// RFC 4827.
    PidfManipulation,
    /// RFC 4825 section 12.
    XcapCaps,
    /// OMA: which documents there are.
    Directory,
}

const PIDF: &str = "urn:ietf:params:xml:ns:pidf";
/// Namespace of OMA's directory.
const DIRECTORY: &str = "urn:oma:xml:xdm:xcap-directory";
const CAPS: &str = "urn:ietf:params:xml:ns:xcap-caps";

/// OMA's other name of `pres-rules`.
pub const OMA_PRES_RULES: &str = "org.openmobilealliance.pres-rules";

impl Usage {
    /// All.
    pub const ALL: [Self; 6] = [
        Self::ResourceLists,
        Self::RlsServices,
        Self::PresRules,
        Self::PidfManipulation,
        Self::XcapCaps,
        Self::Directory,
    ];

    /// The usage of an AUID.
    pub fn of(auid: &str) -> Option<Self> {
        if auid == OMA_PRES_RULES {
            return Some(Self::PresRules);
        }
        Self::ALL.into_iter().find(|usage| usage.auid() == auid)
    }

    /// Its AUID.
    pub fn auid(self) -> &'static str {
        match self {
            Self::ResourceLists => "resource-lists",
            Self::RlsServices => "rls-services",
            Self::PresRules => "pres-rules",
            Self::PidfManipulation => "pidf-manipulation",
            Self::XcapCaps => "xcap-caps",
            Self::Directory => "org.openmobilealliance.xcap-directory",
        }
    }

    /// The media type of its documents.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::ResourceLists => "application/resource-lists+xml",
            Self::RlsServices => "application/rls-services+xml",
            Self::PresRules => "application/auth-policy+xml",
            Self::PidfManipulation => "application/pidf+xml",
            Self::XcapCaps => "application/xcap-caps+xml",
            Self::Directory => "application/vnd.oma.xcap-directory+xml",
        }
    }

    /// The namespace of names without prefix in node selectors.
    pub fn namespace(self) -> &'static str {
        match self {
            Self::ResourceLists => lists::NAMESPACE,
            Self::RlsServices => services::NAMESPACE,
            Self::PresRules => crate::policy::COMMON,
            Self::PidfManipulation => PIDF,
            Self::XcapCaps => CAPS,
            Self::Directory => DIRECTORY,
        }
    }

    /// Whether clients may write documents of it.
    pub fn is_writable(self) -> bool {
        !matches!(self, Self::XcapCaps | Self::Directory)
    }

    /// The one name under which a document is kept, whatever it is called: there is one policy
    /// and one hard state per person.
    pub fn kept_as(self, name: &str) -> Option<&str> {
        match self {
            Self::PresRules => matches!(name, "index" | "pres-rules").then_some("index"),
            Self::PidfManipulation | Self::RlsServices | Self::XcapCaps => {
                (name == "index").then_some(name)
            }
            Self::ResourceLists => Some(name),
            Self::Directory => {
                matches!(name, "directory.xml" | "directory").then_some("directory.xml")
            }
        }
    }

    /// Checks a document before it is stored.
    ///
    /// # Errors
    /// Schema, constraint or uniqueness failures.
    pub fn validate(self, root: &Element) -> Result<(), Conflict> {
        match self {
            Self::ResourceLists => lists::validate(root),
            Self::RlsServices => services::validate(root),
            Self::PresRules => rules::validate(root),
            Self::PidfManipulation => pidf(root),
            Self::XcapCaps | Self::Directory => Err(Conflict::Constraint(
                "written by the server only".to_owned(),
            )),
        }
    }

    /// The selector of a person's document.
    pub fn selector(self, user: &str, name: &str) -> DocumentSelector {
        DocumentSelector {
            auid: self.auid().to_owned(),
            tree: Tree::User(user.to_owned()),
            name: name.to_owned(),
        }
    }
}

/// RFC 4827: a presence document; the hard state is one person's.
fn pidf(root: &Element) -> Result<(), Conflict> {
    expect(root, PIDF, "presence")?;
    need(root, "entity")?;
    let mut ids: Vec<&str> = Vec::new();
    for tuple in root.children_named(PIDF, "tuple") {
        let id = need(tuple, "id")?;
        if ids.contains(&id) {
            return Err(schema(format!("two tuples have the id {id}")));
        }
        ids.push(id);
        if tuple.child(PIDF, "status").is_none() {
            return Err(schema(format!("tuple {id} has no status")));
        }
    }
    let basics = root
        .children_named(PIDF, "tuple")
        .filter_map(|tuple| tuple.child(PIDF, "status")?.child(PIDF, "basic"));
    for basic in basics {
        if !matches!(&*basic.trimmed(), "open" | "closed") {
            return Err(schema("basic is neither open nor closed".to_owned()));
        }
    }
    Ok(())
}

fn schema(why: String) -> Conflict {
    Conflict::SchemaValidation(why)
}

fn expect(root: &Element, namespace: &str, local: &str) -> Result<(), Conflict> {
    if root.is(namespace, local) {
        return Ok(());
    }
    Err(schema(format!(
        "the root must be {local} of {namespace}, not {:?}",
        root.name
    )))
}

fn need<'e>(element: &'e Element, attribute: &str) -> Result<&'e str, Conflict> {
    element.attribute(attribute).ok_or_else(|| {
        schema(format!(
            "{} needs the attribute {attribute}",
            element.name.local()
        ))
    })
}

/// A URI with a scheme and something behind it.
fn is_absolute(uri: &str) -> bool {
    uri.split_once(':').is_some_and(|(scheme, rest)| {
        let mut chars = scheme.chars();
        chars.next().is_some_and(|c| c.is_ascii_alphabetic())
            && chars.all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
            && !rest.is_empty()
            && !rest.contains(|c: char| c.is_whitespace() || c.is_control())
    })
}
