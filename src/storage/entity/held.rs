//! Messages that a filter holds: a kept message's columns, and why.

use super::kept;
use super::table::{Kind, Reader, Source, Table, Value};
use super::words::Word;
use crate::core::access::Scheme;
use crate::core::port::{HeldRecord, KeptRecord, Stay, StoreError};
use std::sync::Arc;

pub(in crate::storage) const TABLE: Table = Table {
    name: "held",
    columns: &[
        ("person", Kind::Blob),
        ("message", Kind::Blob),
        ("expires", Kind::Int),
        ("original", Kind::Blob),
        ("body", Kind::Text),
        ("filter", Kind::Text),
        ("reason", Kind::Text),
        ("scheme", Kind::Text),
    ],
    key: 2,
};

/// The record as a row.
pub(in crate::storage) fn values(record: &HeldRecord) -> Result<Vec<Value>, StoreError> {
    let kept = KeptRecord {
        person: record.person,
        message: Arc::clone(&record.message),
        until: record.since,
        delivered: Vec::new(),
        stay: Stay::default(),
    };
    let mut values = kept::values(&kept)?;
    values.push(Value::Text(record.filter.clone()));
    values.push(Value::Text(record.reason.clone()));
    values.push(Value::Text(record.scheme.word().to_owned()));
    Ok(values)
}

/// The row as a record.
pub(in crate::storage) fn read(row: &impl Source) -> Result<HeldRecord, StoreError> {
    let kept = kept::read(row)?;
    let mut reader = Reader::new(row, TABLE.name);
    reader.also(&kept.message.id);
    let scheme = reader.text("scheme")?;
    Ok(HeldRecord {
        person: kept.person,
        message: kept.message,
        since: kept.until,
        filter: reader.text("filter")?,
        reason: reader.text("reason")?,
        scheme: Scheme::of(&scheme)
            .ok_or_else(|| reader.broken("scheme", format!("{scheme:?} is no scheme")))?,
    })
}
