//! Changes of presence that watchers may not have been told of: one row per person, the newest.

use super::table::{Kind, Reader, Source, Table, Value, time, wide};
use crate::core::id::PersonId;
use crate::core::port::StoreError;
use crate::core::time::Time;

pub(in crate::storage) const TABLE: Table = Table {
    name: "presence_change",
    columns: &[("person", Kind::Blob), ("at", Kind::Int)],
    key: 1,
};

/// Every watcher was told.
pub(in crate::storage) const FORGET: &str = "DELETE FROM presence_change";

/// The change as a row.
pub(in crate::storage) fn values(person: PersonId, at: Time) -> Vec<Value> {
    vec![wide(person.0), Value::Int(time(at))]
}

/// The row as a change.
pub(in crate::storage) fn read(row: &impl Source) -> Result<(PersonId, Time), StoreError> {
    let reader = Reader::new(row, TABLE.name);
    Ok((PersonId(reader.wide("person")?), Time(reader.int("at")?)))
}
