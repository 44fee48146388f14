//! Resource list meta-information (RFC 4662 section 5).

use xml::{Element, Prefixes};

/// `application/rlmi+xml`
pub const CONTENT_TYPE: &str = "application/rlmi+xml";
const NAMESPACE: &str = "urn:ietf:params:xml:ns:rlmi";

/// State of a resource's subscription.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// It is watched.
    Active,
    /// Somebody has to allow it first.
    Pending,
    /// It is not (any more), with RFC 6665's reason.
    Terminated(&'static str),
}

/// A resource.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resource {
    /// Its URI.
    pub uri: String,
    /// Its name for people.
    pub name: Option<String>,
    /// Its virtual subscription: id, state, Content-ID of its part; `None` = nothing is known yet.
    pub instance: Option<(String, State, Option<String>)>,
}

/// Writes the meta-information of one notification.
pub fn write(list: &str, version: u32, full: bool, resources: &[Resource]) -> String {
    let resources = resources.iter().map(|resource| {
        let mut element =
            Element::new(NAMESPACE, "resource").with_attribute("uri", resource.uri.clone());
        if let Some(name) = &resource.name {
            element = element.with(Element::new(NAMESPACE, "name").with_text(name.clone()));
        }
        let Some((id, state, cid)) = &resource.instance else {
            return element;
        };
        let mut instance = Element::new(NAMESPACE, "instance").with_attribute("id", id.clone());
        instance = match state {
            State::Active => instance.with_attribute("state", "active"),
            State::Pending => instance.with_attribute("state", "pending"),
            State::Terminated(reason) => instance
                .with_attribute("state", "terminated")
                .with_attribute("reason", *reason),
        };
        if let Some(cid) = cid {
            instance = instance.with_attribute("cid", cid.clone());
        }
        element.with(instance)
    });
    let root = Element::new(NAMESPACE, "list")
        .with_attribute("uri", list)
        .with_attribute("version", version.to_string())
        .with_attribute("fullState", if full { "true" } else { "false" })
        .with_all(resources);
    xml::write_document(&root, &Prefixes::new(&[("", NAMESPACE)]))
}
