//! `xcap-diff` (RFC 5875): which of a person's documents changed, by their entity tags. Patches are
//! not made: the modes `no-patching` and `aggregate` are what every client must take.

use super::Package;
use crate::core::command::Topic;
use crate::core::documents::{DocumentId, DocumentInfo};
use crate::front::sip::xcap::etag;
use sip::subscription::Content;
use std::collections::BTreeMap;
use std::sync::Arc;
use xcap::usage::Usage;
use xcap::usage::diff::{self, Changed};
use xcap::usage::lists::{Item, List};

pub(super) const PACKAGE: Package = Package {
    name: "xcap-diff",
    topic: Topic::Documents,
    types: &[diff::CONTENT_TYPE],
    published: None,
};

/// Selectors that one SUBSCRIBE may name.
const MOST: usize = 64;

/// What a subscriber knows.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Tags by document; `None` = nothing yet.
    known: Option<BTreeMap<DocumentId, u64>>,
    /// Documents it asked for, relative to the root; empty = all of its own.
    only: Vec<String>,
}

impl Told {
    /// With what the body of a SUBSCRIBE asks for (RFC 5875 4.4).
    pub(super) fn asked(&mut self, body: &[u8]) {
        let limits = xml::Limits::default();
        let Ok(root) = xml::parse(body, &limits) else {
            return;
        };
        for item in List::of_document(&root).items {
            let Item::List(list) = item else { continue };
            for item in list.items {
                if let Item::Entry(entry) = item
                    && self.only.len() < MOST
                {
                    self.only.push(entry.uri);
                }
            }
        }
    }

    /// The next document tells all.
    pub(super) fn anew(&mut self) {
        self.known = None;
    }

    fn wants(&self, selector: &str, usage: Usage) -> bool {
        let asked = |only: &String| {
            let only = only.trim_start_matches('/');
            // A whole usage, or one document (4.4: a collection ends with a slash).
            let collection = only.strip_suffix('/').unwrap_or(only);
            same(only, selector)
                || usage.auid() == collection
                || (only.ends_with('/') && selector.starts_with(only))
        };
        self.only.is_empty() || self.only.iter().any(asked)
    }
}

/// `sip:` before the user is optional.
fn same(one: &str, other: &str) -> bool {
    one == other
        || one.replacen("/users/sip:", "/users/", 1) == other.replacen("/users/sip:", "/users/", 1)
}

/// The tags of all documents the first time, then of those that changed since. The core says the
/// whole each time, so changes merge while a NOTIFY is under way.
pub(super) fn write(
    user: &str,
    root: &str,
    documents: &[DocumentInfo],
    told: &mut Told,
) -> Content {
    let known = told.known.take().unwrap_or_default();
    let now: BTreeMap<DocumentId, u64> = documents.iter().map(|d| (d.id.clone(), d.tag)).collect();
    let mut changes = Vec::new();
    for id in known.keys().chain(now.keys()) {
        let (previous, new) = (known.get(id), now.get(id));
        let Some(usage) = Usage::of(&id.usage) else {
            continue;
        };
        let selector = usage.selector(user, &id.name).to_string();
        let twice = changes.iter().any(|c: &Changed| c.selector == selector);
        if previous != new && !twice && told.wants(&selector, usage) {
            changes.push(Changed {
                selector,
                previous: previous.map(|tag| etag(*tag)),
                new: new.map(|tag| etag(*tag)),
            });
        }
    }
    told.known = Some(now);
    Content::new(
        Arc::<str>::from(diff::CONTENT_TYPE),
        diff::write(root, &changes),
    )
}
