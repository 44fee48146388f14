//! Publications: one published view of a person's presence.

use super::table::{Kind, Reader, Source, Table, Value, json, millis, time, wide};
use super::words::as_word;
use crate::core::id::{PersonId, PointId, PublicationId};
use crate::core::port::{PublicationRecord, StoreError};
use crate::core::presence::{Origin, Presence, State};
use crate::core::time::Time;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

pub(in crate::storage) const TABLE: Table = Table {
    name: "publication",
    columns: &[
        ("person", Kind::Blob),
        ("id", Kind::Int),
        ("version", Kind::Int),
        ("stack", Kind::Text),
        ("expires", Kind::MaybeInt),
        ("body", Kind::Text),
    ],
    key: 2,
};

/// Version 1 of the body.
#[derive(Serialize, Deserialize)]
struct Body {
    v: u8,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    point: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    source: Option<IpAddr>,
    #[serde(with = "as_word")]
    state: State,
    #[serde(with = "as_word")]
    origin: Origin,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    note: Option<String>,
    set: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    lease: Option<u64>,
}

/// The record as a row.
pub(in crate::storage) fn values(record: &PublicationRecord) -> Result<Vec<Value>, StoreError> {
    let presence = &record.presence;
    let body = Body {
        v: 1,
        point: record.point.map(|point| point.0),
        source: record.source,
        state: presence.state,
        origin: presence.origin,
        token: presence.token.as_deref().map(str::to_owned),
        note: presence.note.as_deref().map(str::to_owned),
        set: record.set.0,
        lease: record.lease.map(millis),
    };
    Ok(vec![
        wide(record.person.0),
        Value::Int(record.id.0.into()),
        Value::Int(record.version.into()),
        Value::Text(record.stack.name().to_owned()),
        Value::MaybeInt(record.expires.map(time)),
        json(&body)?,
    ])
}

/// The row as a record.
pub(in crate::storage) fn read(row: &impl Source) -> Result<PublicationRecord, StoreError> {
    let mut reader = Reader::new(row, TABLE.name);
    let id = PublicationId(reader.int("id")?);
    reader.also(&id.0);
    let body: Body = reader.body("body")?;
    if body.v != 1 {
        return Err(reader.broken("body", format!("version {}", body.v)));
    }
    Ok(PublicationRecord {
        person: PersonId(reader.wide("person")?),
        id,
        version: reader.int("version")?,
        stack: reader.stack()?,
        point: body.point.map(PointId),
        source: body.source,
        presence: Presence {
            state: body.state,
            origin: body.origin,
            token: body.token.map(Into::into),
            note: body.note.map(Into::into),
        },
        set: Time(body.set),
        lease: body.lease.map(Duration::from_millis),
        expires: reader.maybe_int("expires")?.map(Time),
    })
}
