//! Contact lists: one row per person, because a list is read and replaced as a whole.

use super::table::{Kind, Reader, Source, Table, Value, json, wide};
use super::words::as_address;
use crate::core::address::Address;
use crate::core::contacts::{Contact, ContactList};
use crate::core::id::PersonId;
use crate::core::port::StoreError;
use serde::{Deserialize, Serialize};

pub(in crate::storage) const TABLE: Table = Table {
    name: "contact_list",
    columns: &[("person", Kind::Blob), ("body", Kind::Text)],
    key: 1,
};

/// Version 1 of the body.
#[derive(Serialize, Deserialize)]
struct Body {
    v: u8,
    version: u64,
    contacts: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(with = "as_address")]
    address: Address,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    name: String,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    groups: Vec<String>,
}

/// The list as a row.
pub(in crate::storage) fn values(
    person: PersonId,
    list: &ContactList,
) -> Result<Vec<Value>, StoreError> {
    let contacts = list.contacts.iter().map(|contact| Entry {
        address: contact.address.clone(),
        name: contact.name.as_ref().to_owned(),
        groups: contact
            .groups
            .iter()
            .map(|g| g.as_ref().to_owned())
            .collect(),
    });
    let body = Body {
        v: 1,
        version: list.version,
        contacts: contacts.collect(),
    };
    Ok(vec![wide(person.0), json(&body)?])
}

/// The row as a list and whose it is.
pub(in crate::storage) fn read(row: &impl Source) -> Result<(PersonId, ContactList), StoreError> {
    let reader = Reader::new(row, TABLE.name);
    let body: Body = reader.body("body")?;
    if body.v != 1 {
        return Err(reader.broken("body", format!("version {}", body.v)));
    }
    let contacts = body.contacts.into_iter().map(|entry| Contact {
        address: entry.address,
        name: entry.name.into(),
        groups: entry.groups.into_iter().map(Into::into).collect(),
    });
    let list = ContactList {
        version: body.version,
        contacts: contacts.collect(),
    };
    Ok((PersonId(reader.wide("person")?), list))
}
