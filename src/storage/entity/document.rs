//! Documents: what is known of them, and their octets in a table of their own, because people are
//! loaded without those.

use super::table::{Kind, Reader, Source, Table, Value, json, wide};
use crate::core::documents::{DocumentId, DocumentInfo};
use crate::core::id::PersonId;
use crate::core::port::StoreError;
use crate::core::time::Time;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub(in crate::storage) const TABLE: Table = Table {
    name: "document",
    columns: &[
        ("person", Kind::Blob),
        ("usage", Kind::Text),
        ("name", Kind::Text),
        ("body", Kind::Text),
    ],
    key: 3,
};

pub(in crate::storage) const CONTENT: Table = Table {
    name: "document_content",
    columns: &[
        ("person", Kind::Blob),
        ("usage", Kind::Text),
        ("name", Kind::Text),
        ("octets", Kind::Blob),
    ],
    key: 3,
};

/// One document with its octets.
pub(in crate::storage) const ONE: &str = "SELECT d.person, d.usage, d.name, d.body, c.octets \
    FROM document d JOIN document_content c \
    ON c.person = d.person AND c.usage = d.usage AND c.name = d.name \
    WHERE d.person = $1 AND d.usage = $2 AND d.name = $3";

/// All of one usage with their octets.
pub(in crate::storage) const OF_USAGE: &str = "SELECT d.person, d.usage, d.name, d.body, c.octets \
    FROM document d JOIN document_content c \
    ON c.person = d.person AND c.usage = d.usage AND c.name = d.name \
    WHERE d.usage = $1 ORDER BY d.person, d.name";

/// Version 1 of the body.
#[derive(Serialize, Deserialize)]
struct Body {
    v: u8,
    tag: u64,
    size: usize,
    modified: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    due: Option<u64>,
}

/// The key of both tables.
pub(in crate::storage) fn key(person: PersonId, id: &DocumentId) -> Vec<Value> {
    vec![
        wide(person.0),
        Value::Text(id.usage.as_ref().to_owned()),
        Value::Text(id.name.as_ref().to_owned()),
    ]
}

/// What is known of a document as a row.
pub(in crate::storage) fn values(
    person: PersonId,
    info: &DocumentInfo,
) -> Result<Vec<Value>, StoreError> {
    let body = Body {
        v: 1,
        tag: info.tag,
        size: info.size,
        modified: info.modified.0,
        due: info.due.map(|due| due.0),
    };
    let mut values = key(person, &info.id);
    values.push(json(&body)?);
    Ok(values)
}

/// Its octets as a row.
pub(in crate::storage) fn content(person: PersonId, id: &DocumentId, octets: &Bytes) -> Vec<Value> {
    let mut values = key(person, id);
    values.push(Value::Blob(octets.to_vec()));
    values
}

/// The row as what is known of a document.
pub(in crate::storage) fn read(row: &impl Source) -> Result<(PersonId, DocumentInfo), StoreError> {
    let mut reader = Reader::new(row, TABLE.name);
    let (usage, name) = (reader.text("usage")?, reader.text("name")?);
    reader.also(&format_args!("{usage}/{name}"));
    let body: Body = reader.body("body")?;
    if body.v != 1 {
        return Err(reader.broken("body", format!("version {}", body.v)));
    }
    let info = DocumentInfo {
        id: DocumentId {
            usage: usage.into(),
            name: name.into(),
        },
        tag: body.tag,
        size: body.size,
        modified: Time(body.modified),
        due: body.due.map(Time),
    };
    Ok((PersonId(reader.wide("person")?), info))
}

/// A row of [`ONE`] or [`OF_USAGE`].
pub(in crate::storage) fn whole(
    row: &impl Source,
) -> Result<(PersonId, DocumentInfo, Bytes), StoreError> {
    let (person, info) = read(row)?;
    let octets = Reader::new(row, CONTENT.name).blob("octets")?;
    Ok((person, info, octets.into()))
}
