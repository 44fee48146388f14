//! Registered targets: where a node's notifications are sent to.

use super::table::{Kind, Reader, Source, Table, Value, json, time, wide};
use crate::core::id::PersonId;
use crate::core::port::{Secret, StoreError, TargetRecord};
use crate::core::time::Time;
use serde::{Deserialize, Serialize};

pub(in crate::storage) const TABLE: Table = Table {
    name: "target",
    columns: &[
        ("person", Kind::Blob),
        ("id", Kind::Int),
        ("secret", Kind::Blob),
        ("body", Kind::Text),
    ],
    key: 2,
};

/// The secret stands in its column as it is; never written any more.
const PLAIN: u8 = 1;
/// The secret is sealed.
const SEALED: u8 = 2;

/// The body; its version says what is in the column beside it.
#[derive(Serialize, Deserialize)]
struct Body {
    v: u8,
    url: String,
    added: i64,
}

/// The record as a row.
pub(in crate::storage) fn values(record: &TargetRecord) -> Result<Vec<Value>, StoreError> {
    let body = Body {
        v: if record.sealed { SEALED } else { PLAIN },
        url: record.url.clone(),
        added: time(record.added),
    };
    Ok(vec![
        wide(record.person.0),
        Value::Int(record.id.into()),
        Value::Blob(record.secret.0.clone()),
        json(&body)?,
    ])
}

/// The row as a record.
pub(in crate::storage) fn read(row: &impl Source) -> Result<TargetRecord, StoreError> {
    let mut reader = Reader::new(row, TABLE.name);
    let id = reader.int("id")?;
    reader.also(&id);
    let body: Body = reader.body("body")?;
    if ![PLAIN, SEALED].contains(&body.v) {
        return Err(reader.broken("body", format!("version {}", body.v)));
    }
    let added = u64::try_from(body.added).map_err(|why| reader.broken("body", why))?;
    Ok(TargetRecord {
        person: PersonId(reader.wide("person")?),
        id,
        url: body.url,
        secret: Secret(reader.blob("secret")?),
        sealed: body.v == SEALED,
        added: Time(added),
    })
}
