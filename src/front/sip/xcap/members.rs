//! Who is on a list that can be subscribed to (RFC 4826 4.1): entries here, in lists of lists, by
//! reference and in other lists of the same owner, each once.

use super::registry::Member;
use super::{ROOT, Xcap, id_of};
use crate::core::address::Address;
use crate::core::id::PersonId;
use std::collections::{HashMap, HashSet};
use xcap::usage::Usage;
use xcap::usage::lists::{Entry, Item, List};
use xcap::usage::services::{Members, Service};
use xcap::{NodeSelector, Target, Terminal, Tree};
use xml::Element;

/// What one look at somebody's lists has read and seen.
struct Search<'x> {
    xcap: &'x Xcap,
    owner: PersonId,
    services: &'x [(Address, Service)],
    /// His resource lists, as far as they were needed.
    documents: HashMap<String, Option<Element>>,
    /// Lists that are being, or were, looked into: none is twice.
    seen: HashSet<String>,
    found: Vec<Member>,
    most: usize,
}

impl Xcap {
    /// The members of each of somebody's services.
    pub(super) async fn members_of(
        &self,
        owner: PersonId,
        services: &[(Address, Service)],
    ) -> Vec<Vec<Member>> {
        let mut all = Vec::with_capacity(services.len());
        for (address, service) in services {
            let mut search = Search {
                xcap: self,
                owner,
                services,
                documents: HashMap::new(),
                seen: HashSet::from([address.to_string()]),
                found: Vec::new(),
                most: self.list_entries,
            };
            search.service(service).await;
            all.push(search.found);
        }
        all
    }
}

/// Something still to be looked into, innermost last, so that the order is the lists'.
enum Open {
    Item(Item),
    List(String),
}

impl Search<'_> {
    async fn service(&mut self, service: &Service) {
        let mut open = opened(service);
        while let Some(next) = open.pop() {
            if self.found.len() >= self.most {
                tracing::info!(
                    service = service.uri,
                    most = self.most,
                    "list cut: [limits] list_entries"
                );
                return;
            }
            match next {
                Open::Item(Item::List(list)) => push(&mut open, list),
                Open::Item(Item::Entry(entry)) => self.entry(&entry, &mut open),
                Open::Item(Item::Reference(path)) => {
                    let entry = self.element(&path).await.and_then(|e| Entry::of(&e));
                    if let Some(entry) = entry {
                        self.entry(&entry, &mut open);
                    }
                }
                Open::Item(Item::External(url)) | Open::List(url) => {
                    if self.seen.insert(url.clone())
                        && let Some(list) = self.list(&url).await
                    {
                        push(&mut open, list);
                    }
                }
            }
        }
    }

    /// A resource, or another service of the same owner by its name.
    fn entry(&mut self, entry: &Entry, open: &mut Vec<Open>) {
        let address = self.xcap.address(&entry.uri);
        let key = address
            .as_ref()
            .map_or_else(|| entry.uri.clone(), ToString::to_string);
        if !self.seen.insert(key) {
            return;
        }
        let nested = self
            .services
            .iter()
            .find(|(name, _)| Some(name) == address.as_ref());
        if let Some((_, service)) = nested {
            open.extend(opened(service));
            return;
        }
        self.found.push(Member {
            uri: entry.uri.clone(),
            name: entry.display.clone(),
            address,
        });
    }

    async fn list(&mut self, url: &str) -> Option<List> {
        // Wherever the client thinks our root is.
        let path = url.split_once("://")?.1;
        let path = path.get(path.find('/')?..)?;
        let below = path.split_once(ROOT)?.1.strip_prefix('/')?.to_owned();
        let element = self.element(&below).await;
        if element.is_none() {
            tracing::info!(
                url,
                "list not followed: not in its owner's own resource-lists"
            );
        }
        element.map(|element| List::of(&element))
    }

    /// An element of one of the owner's own lists, by its path below the root.
    async fn element(&mut self, path: &str) -> Option<Element> {
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        let target = Target::parse(&format!("{ROOT}/{path}"), query, ROOT).ok()?;
        let Tree::User(user) = &target.document.tree else {
            return None;
        };
        let owner = self.xcap.account(&self.xcap.address(user)?)?;
        if owner.person != self.owner || Usage::of(&target.document.auid)? != Usage::ResourceLists {
            return None;
        }
        let name = target.document.name.clone();
        if !self.documents.contains_key(&name) {
            let id = id_of(Usage::ResourceLists, &name);
            let stored = self.xcap.hub.document(self.owner, id).await.ok().flatten();
            let root = stored.and_then(|(_, content)| xml::parse(&content, &self.xcap.limits).ok());
            self.documents.insert(name.clone(), root);
        }
        let root = self.documents.get(&name)?.as_ref()?;
        let query = target.query.as_deref();
        let namespace = Usage::ResourceLists.namespace();
        let selector = NodeSelector::parse(target.node.as_deref()?, query, namespace).ok()?;
        (selector.terminal == Terminal::Element)
            .then(|| xcap::select(root, &selector).cloned())
            .flatten()
    }
}

fn push(open: &mut Vec<Open>, list: List) {
    open.extend(list.items.into_iter().rev().map(Open::Item));
}

fn opened(service: &Service) -> Vec<Open> {
    let mut open = Vec::new();
    match &service.members {
        Members::Here(list) => push(&mut open, list.clone()),
        Members::At(url) => open.push(Open::List(url.clone())),
    }
    open
}
