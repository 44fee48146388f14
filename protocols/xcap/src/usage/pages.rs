//! Documents that the server writes itself: capabilities, directory, the global index.

use super::{CAPS, DIRECTORY, OMA_PRES_RULES, PIDF, Usage, lists, services};
use crate::policy::{COMMON, OMA, OURS, PRES_RULES};
use xml::{Element, Prefixes};

/// `xcap-caps/global/index` (RFC 4825 section 12).
pub fn caps() -> String {
    let names = |list: &'static str, item: &'static str, values: &[&str]| {
        let items = values
            .iter()
            .map(|value| Element::new(CAPS, item).with_text(*value));
        Element::new(CAPS, list).with_all(items)
    };
    let mut auids: Vec<&str> = Usage::ALL.iter().map(|usage| usage.auid()).collect();
    auids.push(OMA_PRES_RULES);
    let namespaces = [
        CAPS,
        lists::NAMESPACE,
        services::NAMESPACE,
        COMMON,
        PRES_RULES,
        OMA,
        OURS,
        PIDF,
        DIRECTORY,
        "urn:ietf:params:xml:ns:xcap-error",
    ];
    let root = Element::new(CAPS, "xcap-caps")
        .with(names("auids", "auid", &auids))
        .with(Element::new(CAPS, "extensions"))
        .with(names("namespaces", "namespace", &namespaces));
    xml::write_document(&root, &Prefixes::new(&[("", CAPS)]))
}

/// A line of the directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// The usage.
    pub usage: Usage,
    /// Absolute URL.
    pub uri: String,
    /// Entity tag, without quotes.
    pub etag: String,
    /// xs:dateTime of the last change.
    pub modified: String,
    /// Octets.
    pub size: usize,
}

/// The directory of one person's documents.
pub fn directory(listed: &[Listed]) -> String {
    let mut root = Element::new(DIRECTORY, "xcap-directory");
    for usage in Usage::ALL {
        let entries: Vec<Element> = listed
            .iter()
            .filter(|entry| entry.usage == usage)
            .map(|entry| {
                Element::new(DIRECTORY, "entry")
                    .with_attribute("uri", entry.uri.clone())
                    .with_attribute("etag", entry.etag.clone())
                    .with_attribute("last-modified", entry.modified.clone())
                    .with_attribute("size", entry.size.to_string())
            })
            .collect();
        if !entries.is_empty() {
            let folder = Element::new(DIRECTORY, "folder").with_attribute("auid", usage.auid());
            root = root.with(folder.with_all(entries));
        }
    }
    xml::write_document(&root, &Prefixes::new(&[("", DIRECTORY)]))
}

/// The global index of services: those of all documents, one after the other (RFC 4826 4.4.7).
pub fn index<'d>(documents: impl IntoIterator<Item = &'d Element>) -> String {
    let mut root = Element::new(services::NAMESPACE, "rls-services");
    for document in documents {
        let all = document.children_named(services::NAMESPACE, "service");
        root = root.with_all(all.cloned());
    }
    let prefixes = Prefixes::new(&[("", services::NAMESPACE), ("rl", lists::NAMESPACE)]);
    xml::write_document(&root, &prefixes)
}
