//! Contact lists: whom a person has listed, and in which groups.
//!
//! A projection for now: whoever keeps a document that holds a list writes with it what the list
//! comes to. Entries stand in the document's order.

use crate::core::address::Address;
use std::sync::Arc;

/// A person's list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ContactList {
    /// Rises with each change.
    pub version: u64,
    /// In the owner's order.
    pub contacts: Vec<Contact>,
}

/// One contact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contact {
    /// Who.
    pub address: Address,
    /// What the owner calls him; may be empty.
    pub name: Arc<str>,
    /// Groups he is in, as paths of their names; empty = in none.
    pub groups: Vec<Arc<str>>,
}

impl ContactList {
    /// The contact with that address.
    pub fn of(&self, address: &Address) -> Option<&Contact> {
        self.contacts.iter().find(|c| c.address == *address)
    }

    /// Adds somebody to a group (none if empty), or the group to somebody who is there.
    pub fn add(&mut self, address: Address, name: &str, group: &str) {
        let known = self.contacts.iter_mut().find(|c| c.address == address);
        if let Some(contact) = known {
            if !group.is_empty() && !contact.groups.iter().any(|g| **g == *group) {
                contact.groups.push(group.into());
            }
            if contact.name.is_empty() {
                contact.name = name.into();
            }
            return;
        }
        let group = (!group.is_empty()).then(|| group.into());
        self.contacts.push(Contact {
            address,
            name: name.into(),
            groups: group.into_iter().collect(),
        });
    }
}
