//! What a document comes to besides itself.

use super::Xcap;
use super::request::No;
use super::store::{Change, access};
use crate::core::address::Address;
use crate::core::contacts::{Contact, ContactList};
use crate::core::documents::Meaning;
use crate::core::presence::{Document, Presence};
use crate::core::time::Time;
use crate::front::SIP;
use crate::front::sip::translate::{PIDF, meaning};
use bytes::Bytes;
use sip::body::compose::Published;
use std::sync::Arc;
use xcap::usage::Usage;
use xcap::usage::lists::{Item, List};
use xcap::usage::services::{Service, services};
use xcap::{Conflict, Exists};

/// The document whose lists are the contacts; others of the usage are just kept.
const CONTACTS: &str = "index";
/// Contacts that are taken from one document.
const MOST_CONTACTS: usize = 4096;

impl Xcap {
    /// What a change means, and when that changes by time alone.
    pub(super) async fn means(&self, change: &Change<'_>) -> Result<(Meaning, Option<Time>), No> {
        Ok(match change.wanted.usage {
            Usage::PresRules => {
                let (new, due) = self.project(change).await?;
                access(new, due)
            }
            Usage::ResourceLists if change.wanted.name == CONTACTS => {
                let lists = change.root.map(List::of_document);
                let contacts = lists.map_or_else(Vec::new, |lists| self.contacts(&lists));
                let means = Meaning {
                    contacts: Some(contacts),
                    ..Meaning::default()
                };
                (means, None)
            }
            Usage::PidfManipulation => {
                let state = change.content.as_ref().and_then(hard_state);
                let means = Meaning {
                    state: Some(state),
                    ..Meaning::default()
                };
                (means, None)
            }
            _ => (Meaning::default(), None),
        })
    }

    /// The contacts in a document's lists, each once, in order; groups are the lists' names.
    fn contacts(&self, lists: &List) -> Vec<Contact> {
        let mut found = ContactList::default();
        self.collect(lists, "", &mut found);
        found.contacts
    }

    /// Depth is bounded by the XML gate.
    fn collect(&self, list: &List, group: &str, found: &mut ContactList) {
        for item in &list.items {
            match item {
                Item::Entry(entry) if found.contacts.len() < MOST_CONTACTS => {
                    if let Some(address) = self.address(&entry.uri) {
                        let name = entry.display.as_deref().unwrap_or_default();
                        found.add(address, name, group);
                    }
                }
                Item::List(inner) => {
                    let name = inner.display.as_ref().or(inner.name.as_ref());
                    let name = name.map_or("", String::as_str);
                    let path = match (group, name) {
                        ("", name) => name.to_owned(),
                        (group, "") => group.to_owned(),
                        (group, name) => format!("{group}/{name}"),
                    };
                    self.collect(inner, &path, found);
                }
                // Others' entries are contacts of theirs.
                Item::Entry(_) | Item::Reference(_) | Item::External(_) => {}
            }
        }
    }

    /// The services of a changed document, checked against everybody else's; `None` if it has
    /// nothing to do with them.
    pub(super) fn services(
        &self,
        change: &Change<'_>,
    ) -> Result<Option<Vec<(Address, Service)>>, No> {
        if change.wanted.usage != Usage::RlsServices {
            return Ok(None);
        }
        let Some(root) = change.root else {
            return Ok(Some(Vec::new()));
        };
        let all = services(root);
        let count = all.len();
        let named = self.named(all);
        // RFC 4826 4.4.5: a URI that this server can serve, and that is nobody's yet.
        if named.len() < count {
            let why = "a service's uri must be a SIP URI of a domain of ours".to_owned();
            return Err(Conflict::Constraint(why).into());
        }
        let names = || named.iter().map(|(address, _)| address);
        let taken = self.registry.taken(change.owner.person, names());
        let person = names().find(|address| self.is_person(address));
        let doubled = named
            .iter()
            .enumerate()
            .find(|(at, (address, _))| named.iter().take(*at).any(|(other, _)| other == address));
        if let Some(taken) = taken
            .or(person)
            .or(doubled.map(|(_, (address, _))| address))
        {
            let at = named.iter().position(|(address, _)| address == taken);
            return Err(Conflict::Uniqueness(vec![Exists {
                field: format!("/rls-services/service[{}]/@uri", at.unwrap_or_default() + 1),
                alternatives: self.free_name(taken, change.owner.address.local()),
            }])
            .into());
        }
        Ok(Some(named))
    }

    /// With the addresses that their URIs name; those of other domains are left out.
    pub(super) fn named(&self, all: Vec<Service>) -> Vec<(Address, Service)> {
        let named = all.into_iter().filter_map(|service| {
            let address = self.address(&service.uri)?;
            let ours = self.places.is_ours(address.domain());
            ours.then_some((address, service))
        });
        named.collect()
    }

    /// Persons and nodes have their names already.
    fn is_person(&self, address: &Address) -> bool {
        matches!(
            self.hub.directory().resolve(address),
            crate::hub::Resolution::Local(_)
        )
    }

    /// A name that would do.
    fn free_name(&self, taken: &Address, owner: &str) -> Vec<String> {
        let candidate = Address::new(&format!("{owner}-{}", taken.local()), taken.domain());
        let free = candidate
            .ok()
            .filter(|address| !self.is_person(address) && self.registry.find(address).is_none());
        free.map(|address| format!("sip:{address}"))
            .into_iter()
            .collect()
    }
}

/// What a document says, and the document itself for watchers who read PIDF.
fn hard_state(content: &Bytes) -> Option<Presence> {
    let published = Published::parse(content).ok()?;
    Some(Presence {
        document: Some(Arc::new(Document {
            stack: SIP,
            media: PIDF.into(),
            bytes: content.clone(),
        })),
        ..meaning(&published)
    })
}
