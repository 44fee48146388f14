//! Access lists: one row per person, because a list is read and replaced as a whole.

use super::table::{Kind, Reader, Source, Table, Value, json, wide};
use super::words::Word;
use crate::core::access::{AccessEntry, Detail, Rights, Scheme, Subject};
use crate::core::address::Address;
use crate::core::id::PersonId;
use crate::core::port::StoreError;
use serde::{Deserialize, Serialize};

pub(in crate::storage) const TABLE: Table = Table {
    name: "access_list",
    columns: &[("person", Kind::Blob), ("body", Kind::Text)],
    key: 1,
};

/// Version 1 of the body.
#[derive(Serialize, Deserialize)]
struct Body {
    v: u8,
    entries: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    kind: String,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    who: String,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    schemes: Vec<String>,
    grant: u16,
    deny: u16,
    #[serde(skip_serializing_if = "is_none", default)]
    ask: u16,
    /// What is seen of presence; rows without it are of those who see everything.
    #[serde(skip_serializing_if = "is_all", default = "all")]
    detail: u8,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_all(detail: &u8) -> bool {
    *detail == all()
}

fn all() -> u8 {
    Detail::ALL.0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_none(rights: &u16) -> bool {
    *rights == 0
}

/// The list as a row.
pub(in crate::storage) fn values(
    person: PersonId,
    list: &[AccessEntry],
) -> Result<Vec<Value>, StoreError> {
    let entries = list.iter().map(entry).collect();
    Ok(vec![wide(person.0), json(&Body { v: 1, entries })?])
}

/// The row as a list and whose it is.
pub(in crate::storage) fn read(
    row: &impl Source,
) -> Result<(PersonId, Vec<AccessEntry>), StoreError> {
    let reader = Reader::new(row, TABLE.name);
    let body: Body = reader.body("body")?;
    if body.v != 1 {
        return Err(reader.broken("body", format!("version {}", body.v)));
    }
    let list: Result<Vec<_>, String> = body
        .entries
        .into_iter()
        .map(AccessEntry::try_from)
        .collect();
    let list = list.map_err(|reason| reader.broken("body", reason))?;
    Ok((PersonId(reader.wide("person")?), list))
}

fn entry(entry: &AccessEntry) -> Entry {
    let (kind, who) = match &entry.subject {
        Subject::Address(address) => ("address", address.to_string()),
        Subject::Server(name) => ("server", name.as_ref().to_owned()),
        Subject::Domain(name) => ("domain", name.as_ref().to_owned()),
        Subject::Everybody => ("everybody", String::new()),
    };
    Entry {
        kind: kind.to_owned(),
        who,
        schemes: entry
            .schemes
            .iter()
            .map(|scheme| scheme.word().to_owned())
            .collect(),
        grant: entry.grant.0,
        deny: entry.deny.0,
        ask: entry.ask.0,
        detail: entry.detail.0,
    }
}

impl TryFrom<Entry> for AccessEntry {
    type Error = String;

    fn try_from(entry: Entry) -> Result<Self, String> {
        let subject = match entry.kind.as_str() {
            "address" => {
                let address = Address::from_normal(&entry.who);
                Subject::Address(address.map_err(|reason| reason.to_string())?)
            }
            "server" => Subject::Server(entry.who.into()),
            "domain" => Subject::Domain(entry.who.into()),
            "everybody" => Subject::Everybody,
            other => return Err(format!("unknown subject {other:?}")),
        };
        let scheme = |word: &String| {
            Scheme::of(word).ok_or_else(|| format!("unknown authentication scheme {word:?}"))
        };
        Ok(Self {
            subject,
            schemes: entry.schemes.iter().map(scheme).collect::<Result<_, _>>()?,
            grant: Rights(entry.grant),
            deny: Rights(entry.deny),
            ask: Rights(entry.ask),
            detail: Detail(entry.detail),
        })
    }
}
