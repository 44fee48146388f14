//! xcap-diff documents (RFC 5874) as the event of that name carries them (RFC 5875).

use xml::{Element, Prefixes};

/// `application/xcap-diff+xml`
pub const CONTENT_TYPE: &str = "application/xcap-diff+xml";
const NAMESPACE: &str = "urn:ietf:params:xml:ns:xcap-diff";

/// What became of one document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changed {
    /// Its selector, relative to the root.
    pub selector: String,
    /// The entity tag before; `None` = it was not there, or is told for the first time.
    pub previous: Option<String>,
    /// The entity tag now; `None` = it is gone.
    pub new: Option<String>,
}

/// Writes the document: whole documents, no patches (RFC 5875 modes `no-patching`, `aggregate`).
pub fn write(root: &str, changes: &[Changed]) -> String {
    let documents = changes.iter().map(|changed| {
        let mut document = Element::new(NAMESPACE, "document");
        if let Some(etag) = &changed.new {
            document = document.with_attribute("new-etag", etag.clone());
        }
        if let Some(etag) = &changed.previous {
            document = document.with_attribute("previous-etag", etag.clone());
        }
        document.with_attribute("sel", changed.selector.clone())
    });
    let page = Element::new(NAMESPACE, "xcap-diff")
        .with_attribute("xcap-root", root)
        .with_all(documents);
    xml::write_document(&page, &Prefixes::new(&[("", NAMESPACE)]))
}
