//! RLS services (RFC 4826 section 4).

use super::lists::{self, List};
use super::{expect, is_absolute, need, schema};
use crate::conflict::{Conflict, Exists};
use xml::Element;

/// `urn:ietf:params:xml:ns:rls-services`
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:rls-services";

/// One list that can be subscribed to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// Its URI.
    pub uri: String,
    /// Who is on it.
    pub members: Members,
    /// Event packages; empty = any.
    pub packages: Vec<String>,
}

/// Where a service's list is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Members {
    /// In the service.
    Here(List),
    /// An HTTP URL of a list in a resource-lists document.
    At(String),
}

/// The services of a document.
pub fn services(root: &Element) -> Vec<Service> {
    let all = root.children_named(NAMESPACE, "service");
    all.filter_map(Service::of).collect()
}

impl Service {
    fn of(service: &Element) -> Option<Self> {
        let members = match service.child(NAMESPACE, "resource-list") {
            Some(url) => Members::At(url.trimmed().into_owned()),
            None => Members::Here(List::of(service.child(NAMESPACE, "list")?)),
        };
        let packages = service.child(NAMESPACE, "packages");
        Some(Self {
            uri: service.attribute("uri")?.to_owned(),
            members,
            packages: packages
                .iter()
                .flat_map(|all| all.children_named(NAMESPACE, "package"))
                .map(|package| package.trimmed().into_owned())
                .collect(),
        })
    }
}

/// RFC 4826 4.4, as far as one document goes.
pub(super) fn validate(root: &Element) -> Result<(), Conflict> {
    expect(root, NAMESPACE, "rls-services")?;
    let mut doubled = Vec::new();
    let mut uris: Vec<&str> = Vec::new();
    let all = root.children_named(NAMESPACE, "service");
    for (number, service) in all.enumerate() {
        let at = format!("/rls-services/service[{}]", number + 1);
        let uri = need(service, "uri")?;
        if !is_absolute(uri) {
            return Err(Conflict::Constraint(format!("{uri:?} is no URI")));
        }
        if uris.contains(&uri) {
            doubled.push(Exists {
                field: format!("{at}/@uri"),
                alternatives: Vec::new(),
            });
        }
        uris.push(uri);
        let here = service.child(NAMESPACE, "list");
        let url = service.child(NAMESPACE, "resource-list");
        match (here, url) {
            (Some(here), None) => lists::list(here, &format!("{at}/list"), &mut doubled)?,
            (None, Some(url)) => {
                let text = url.trimmed().to_ascii_lowercase();
                if !(text.starts_with("http://") || text.starts_with("https://")) {
                    return Err(Conflict::Constraint(
                        "resource-list must be an HTTP URL".to_owned(),
                    ));
                }
            }
            _ => {
                return Err(schema(
                    "a service needs either list or resource-list".to_owned(),
                ));
            }
        }
        let known = ["list", "resource-list", "packages"];
        let stray = service.elements().find(|child| {
            child.name.namespace().as_str() == NAMESPACE && !known.contains(&child.name.local())
        });
        if let Some(stray) = stray {
            return Err(schema(format!(
                "{} can't stand in service",
                stray.name.local()
            )));
        }
    }
    if doubled.is_empty() {
        Ok(())
    } else {
        Err(Conflict::Uniqueness(doubled))
    }
}
