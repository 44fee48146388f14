//! Publications: one published view of a person's presence.

use super::table::{Kind, Reader, Source, Table, Value, json, millis, time, wide};
use super::words::as_word;
use crate::core::calls::{Call, CallState, Calls};
use crate::core::id::{PersonId, PointId, PublicationId, Stack};
use crate::core::port::{PublicationRecord, StoreError};
use crate::core::presence::{Document, Origin, Presence, State};
use crate::core::time::Time;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
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
    #[serde(skip_serializing_if = "Option::is_none", default)]
    key: Option<String>,
    #[serde(with = "as_word")]
    state: State,
    #[serde(with = "as_word")]
    origin: Origin,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    document: Option<Written>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    calls: Option<Lines>,
    set: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    lease: Option<u64>,
}

/// What was published, whole. Its stack writes text, or else base64 would be needed.
#[derive(Serialize, Deserialize)]
struct Written {
    stack: String,
    media: String,
    text: String,
}

#[derive(Serialize, Deserialize)]
struct Lines {
    version: u32,
    calls: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    id: String,
    #[serde(with = "as_word")]
    state: CallState,
    detail: String,
}

fn written(document: &Document) -> Option<Written> {
    // Octets that are no text have no place in JSON; only what watchers see beyond the state of
    // the table is lost with them.
    Some(Written {
        stack: document.stack.name().to_owned(),
        media: document.media.as_ref().to_owned(),
        text: std::str::from_utf8(&document.bytes).ok()?.to_owned(),
    })
}

impl From<Written> for Document {
    fn from(written: Written) -> Self {
        Self {
            stack: Stack::named(&written.stack),
            media: written.media.into(),
            bytes: written.text.into(),
        }
    }
}

impl From<&Calls> for Lines {
    fn from(calls: &Calls) -> Self {
        let line = |call: &Call| Line {
            id: call.id.as_ref().to_owned(),
            state: call.state,
            detail: call.detail.as_ref().to_owned(),
        };
        Self {
            version: calls.version,
            calls: calls.list.iter().map(line).collect(),
        }
    }
}

impl From<Lines> for Calls {
    fn from(lines: Lines) -> Self {
        let call = |line: Line| Call {
            id: line.id.into(),
            state: line.state,
            detail: line.detail.into(),
        };
        Self {
            full: true,
            version: lines.version,
            list: lines.calls.into_iter().map(call).collect(),
        }
    }
}

/// The record as a row.
pub(in crate::storage) fn values(record: &PublicationRecord) -> Result<Vec<Value>, StoreError> {
    let presence = &record.presence;
    let body = Body {
        v: 1,
        point: record.point.map(|point| point.0),
        source: record.source,
        key: record.key.as_deref().map(str::to_owned),
        state: presence.state,
        origin: presence.origin,
        token: presence.token.as_deref().map(str::to_owned),
        note: presence.note.as_deref().map(str::to_owned),
        document: presence.document.as_deref().and_then(written),
        calls: record.calls.as_ref().map(Lines::from),
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
        key: body.key.map(Into::into),
        presence: Presence {
            state: body.state,
            origin: body.origin,
            token: body.token.map(Into::into),
            note: body.note.map(Into::into),
            document: body.document.map(|written| Arc::new(written.into())),
        },
        calls: body.calls.map(Into::into),
        set: Time(body.set),
        lease: body.lease.map(Duration::from_millis),
        expires: reader.maybe_int("expires")?.map(Time),
    })
}
