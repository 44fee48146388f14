//! Watches: one standing wish to be told of a person's presence.

use super::table::{Kind, Reader, Source, Table, Value, json, millis, time, wide};
use super::words::{as_address, as_word};
use crate::core::access::Scheme;
use crate::core::address::Address;
use crate::core::command::{Topic, Via, WatchState};
use crate::core::id::{PersonId, WatchId};
use crate::core::port::{StoreError, WatchRecord};
use crate::core::time::Time;
use serde::{Deserialize, Serialize};
use std::time::Duration;

pub(in crate::storage) const TABLE: Table = Table {
    name: "watch",
    columns: &[
        ("person", Kind::Blob),
        ("id", Kind::Int),
        ("stack", Kind::Text),
        ("watcher", Kind::Text),
        ("expires", Kind::Int),
        ("handle", Kind::Blob),
        ("body", Kind::Text),
    ],
    key: 2,
};

/// Version 1 of the body.
#[derive(Serialize, Deserialize)]
struct Body {
    v: u8,
    #[serde(with = "as_address")]
    of: Address,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    watcher_person: Option<String>,
    #[serde(with = "as_word")]
    scheme: Scheme,
    #[serde(with = "as_word")]
    via: Via,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    key: Option<String>,
    #[serde(with = "as_word", default = "presence")]
    topic: Topic,
    #[serde(with = "as_word", default = "active")]
    state: WatchState,
    #[serde(default)]
    notify: bool,
    #[serde(default)]
    since: u64,
    lease: u64,
}

fn presence() -> Topic {
    Topic::Presence
}

fn active() -> WatchState {
    WatchState::Active
}

/// The record as a row.
pub(in crate::storage) fn values(record: &WatchRecord) -> Result<Vec<Value>, StoreError> {
    let body = Body {
        v: 1,
        of: record.of.clone(),
        watcher_person: record.watcher_person.map(|person| person.to_string()),
        scheme: record.scheme,
        via: record.via,
        key: record.key.as_deref().map(str::to_owned),
        topic: record.topic,
        state: record.state,
        notify: record.notify,
        since: record.since.0,
        lease: millis(record.lease),
    };
    Ok(vec![
        wide(record.person.0),
        Value::Int(record.id.0.into()),
        Value::Text(record.stack.name().to_owned()),
        Value::Text(record.watcher.to_string()),
        Value::Int(time(record.expires)),
        Value::Blob(record.handle.to_vec()),
        json(&body)?,
    ])
}

/// The row as a record.
pub(in crate::storage) fn read(row: &impl Source) -> Result<WatchRecord, StoreError> {
    let mut reader = Reader::new(row, TABLE.name);
    let id = WatchId(reader.int("id")?);
    reader.also(&id.0);
    let body: Body = reader.body("body")?;
    if body.v != 1 {
        return Err(reader.broken("body", format!("version {}", body.v)));
    }
    let watcher = Address::from_normal(&reader.text("watcher")?)
        .map_err(|reason| reader.broken("watcher", reason))?;
    let watcher_person = body
        .watcher_person
        .map(|text| text.parse::<PersonId>())
        .transpose()
        .map_err(|reason| reader.broken("body", reason))?;
    Ok(WatchRecord {
        person: PersonId(reader.wide("person")?),
        id,
        of: body.of,
        watcher,
        watcher_person,
        scheme: body.scheme,
        topic: body.topic,
        state: body.state,
        notify: body.notify,
        since: Time(body.since),
        stack: reader.stack()?,
        via: body.via,
        key: body.key.map(Into::into),
        handle: reader.blob("handle")?.into(),
        lease: Duration::from_millis(body.lease),
        expires: Time(reader.int("expires")?),
    })
}
