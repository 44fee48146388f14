//! Notifications that wait for a registered target.

use super::table::{Kind, Reader, Source, Table, Value, json, time, wide};
use crate::core::id::{MessageId, PersonId};
use crate::core::port::{BacklogRecord, StoreError};
use crate::core::time::Time;
use serde::{Deserialize, Serialize};

pub(in crate::storage) const TABLE: Table = Table {
    name: "backlog",
    columns: &[
        ("person", Kind::Blob),
        ("target", Kind::Int),
        ("sequence", Kind::Int),
        ("added", Kind::Int),
        ("content", Kind::Blob),
        ("body", Kind::Text),
    ],
    key: 3,
};

/// Version 1 of the body.
#[derive(Serialize, Deserialize)]
struct Body {
    v: u8,
    message: String,
    from: String,
    hops: u8,
}

/// A sequence number as both databases hold it.
pub(in crate::storage) fn number(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}

/// The record as a row.
pub(in crate::storage) fn values(record: &BacklogRecord) -> Result<Vec<Value>, StoreError> {
    let body = Body {
        v: 1,
        message: record.message.to_string(),
        from: record.from.clone(),
        hops: record.hops,
    };
    Ok(vec![
        wide(record.person.0),
        Value::Int(record.target.into()),
        Value::Int(number(record.sequence)),
        Value::Int(time(record.added)),
        Value::Blob(record.content.to_vec()),
        json(&body)?,
    ])
}

/// The row as a record.
pub(in crate::storage) fn read(row: &impl Source) -> Result<BacklogRecord, StoreError> {
    let mut reader = Reader::new(row, TABLE.name);
    let sequence = reader.int("sequence")?;
    reader.also(&sequence);
    let body: Body = reader.body("body")?;
    if body.v != 1 {
        return Err(reader.broken("body", format!("version {}", body.v)));
    }
    let message: MessageId = body
        .message
        .parse()
        .map_err(|why| reader.broken("body", why))?;
    Ok(BacklogRecord {
        person: PersonId(reader.wide("person")?),
        target: reader.int("target")?,
        sequence,
        added: Time(reader.int("added")?),
        message,
        from: body.from,
        hops: body.hops,
        content: reader.blob("content")?.into(),
    })
}
