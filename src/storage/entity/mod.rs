//! One file per entity: its table, how a record becomes a row and a row a record again.

pub(super) mod access;
pub(super) mod account;
pub(super) mod backlog;
pub(super) mod change;
pub(super) mod chat;
pub(super) mod contacts;
pub(super) mod device;
pub(super) mod document;
pub(super) mod held;
pub(super) mod kept;
pub(super) mod point;
pub(super) mod property;
pub(super) mod publication;
pub(super) mod table;
pub(super) mod target;
pub(super) mod watch;
mod words;

use crate::core::id::PersonId;
use crate::core::port::{PersonRecords, StoreError};
use std::collections::BTreeMap;
use table::Source;

/// Tables that hold a person's records, all with a `person` column.
pub(super) const OF_PERSON: [&table::Table; 11] = [
    &point::TABLE,
    &publication::TABLE,
    &watch::TABLE,
    &kept::TABLE,
    &property::TABLE,
    &access::TABLE,
    &change::TABLE,
    &document::TABLE,
    &contacts::TABLE,
    &device::TABLE,
    &chat::TABLE,
];

/// Sorts rows of [`OF_PERSON`]'s table number `table` into the records they belong to.
pub(super) fn collect(
    table: usize,
    rows: &[impl Source],
    people: &mut BTreeMap<PersonId, PersonRecords>,
) -> Result<(), StoreError> {
    for row in rows {
        match table {
            0 => {
                let record = point::read(row)?;
                people.entry(record.person).or_default().points.push(record);
            }
            1 => {
                let record = publication::read(row)?;
                let of = people.entry(record.person).or_default();
                of.publications.push(record);
            }
            2 => {
                let record = watch::read(row)?;
                people
                    .entry(record.person)
                    .or_default()
                    .watches
                    .push(record);
            }
            3 => {
                let record = kept::read(row)?;
                people.entry(record.person).or_default().kept.push(record);
            }
            4 => {
                let (person, property) = property::read(row)?;
                people.entry(person).or_default().properties.push(property);
            }
            6 => {
                let (person, at) = change::read(row)?;
                people.entry(person).or_default().changed = Some(at);
            }
            7 => {
                let (person, info) = document::read(row)?;
                people.entry(person).or_default().documents.push(info);
            }
            8 => {
                let (person, list) = contacts::read(row)?;
                people.entry(person).or_default().contacts = Some(list);
            }
            9 => {
                let (person, rules) = device::read(row)?;
                people.entry(person).or_default().devices = Some(rules);
            }
            10 => {
                let record = chat::read(row)?;
                let of = people.entry(record.person).or_default();
                of.chat = Some(Box::new(record));
            }
            _ => {
                let (person, list) = access::read(row)?;
                people.entry(person).or_default().access = Some(list);
            }
        }
    }
    Ok(())
}
