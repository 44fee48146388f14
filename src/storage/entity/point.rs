//! Points: one sign-in on one stack.

use super::table::{Kind, Reader, Source, Table, Value, json, millis, time, wide};
use super::words::{Word, as_address, as_word};
use crate::core::access::Scheme;
use crate::core::address::Address;
use crate::core::command::{Lineage, PointSpec, Reach, Tether};
use crate::core::id::{BadId, PersonId, PointId};
use crate::core::node::Holder;
use crate::core::port::{PointRecord, StoreError};
use crate::core::presence::State;
use crate::core::time::Time;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

pub(in crate::storage) const TABLE: Table = Table {
    name: "point",
    columns: &[
        ("person", Kind::Blob),
        ("id", Kind::Int),
        ("stack", Kind::Text),
        ("since", Kind::Int),
        ("expires", Kind::Int),
        ("handle", Kind::Blob),
        ("body", Kind::Text),
    ],
    key: 2,
};

/// Version 1 of the body. New fields get `#[serde(default)]`; a change of meaning is version 2.
#[derive(Serialize, Deserialize)]
struct Body {
    v: u8,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    key: Option<String>,
    inbox: String,
    lease: u64,
    #[serde(with = "as_word")]
    tether: Tether,
    #[serde(with = "as_word")]
    reach: Reach,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    implies: Option<String>,
    preference: u16,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    source: Option<IpAddr>,
    client: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    machine: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    family: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    lineage: Option<(String, u32)>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    holder: Option<Held>,
}

/// Who subscribed, at a node.
#[derive(Serialize, Deserialize)]
struct Held {
    #[serde(with = "as_address")]
    address: Address,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    person: Option<String>,
    #[serde(with = "as_word")]
    scheme: Scheme,
}

impl From<&Holder> for Held {
    fn from(holder: &Holder) -> Self {
        Self {
            address: holder.address.clone(),
            person: holder.person.map(|id| id.to_string()),
            scheme: holder.scheme,
        }
    }
}

impl TryFrom<Held> for Holder {
    type Error = BadId;

    fn try_from(held: Held) -> Result<Self, BadId> {
        Ok(Self {
            address: held.address,
            person: held.person.map(|id| id.parse()).transpose()?,
            scheme: held.scheme,
        })
    }
}

/// The record as a row.
pub(in crate::storage) fn values(record: &PointRecord) -> Result<Vec<Value>, StoreError> {
    let spec = &record.spec;
    let body = Body {
        v: 1,
        key: spec.key.as_deref().map(str::to_owned),
        inbox: spec.inbox.as_ref().to_owned(),
        lease: millis(spec.lease),
        tether: spec.tether,
        reach: spec.reach,
        implies: spec.implies.map(|state| state.word().to_owned()),
        preference: spec.preference,
        source: spec.source,
        client: spec.client.as_ref().to_owned(),
        machine: spec.machine.as_deref().map(str::to_owned),
        family: spec.family.as_deref().map(str::to_owned),
        lineage: record
            .lineage
            .as_ref()
            .map(|lineage| (lineage.name.as_ref().to_owned(), lineage.sequence)),
        holder: record.holder.as_ref().map(Held::from),
    };
    Ok(vec![
        wide(record.person.0),
        Value::Int(record.id.0.into()),
        Value::Text(record.stack.name().to_owned()),
        Value::Int(time(record.since)),
        Value::Int(time(record.expires)),
        Value::Blob(spec.handle.to_vec()),
        json(&body)?,
    ])
}

/// The row as a record.
pub(in crate::storage) fn read(row: &impl Source) -> Result<PointRecord, StoreError> {
    let mut reader = Reader::new(row, TABLE.name);
    let id = PointId(reader.int("id")?);
    reader.also(&id.0);
    let body: Body = reader.body("body")?;
    if body.v != 1 {
        return Err(reader.broken("body", format!("version {}", body.v)));
    }
    let implies = match body.implies {
        None => None,
        Some(word) => Some(State::of(&word).ok_or_else(|| reader.broken("body", "unknown state"))?),
    };
    let holder = body.holder.map(Holder::try_from).transpose();
    Ok(PointRecord {
        person: PersonId(reader.wide("person")?),
        id,
        stack: reader.stack()?,
        spec: PointSpec {
            key: body.key.map(Into::into),
            inbox: body.inbox.into(),
            lease: Duration::from_millis(body.lease),
            tether: body.tether,
            reach: body.reach,
            implies,
            preference: body.preference,
            source: body.source,
            client: body.client.into(),
            machine: body.machine.map(Into::into),
            family: body.family.map(Into::into),
            handle: reader.blob("handle")?.into(),
        },
        holder: holder.map_err(|reason| reader.broken("body", reason))?,
        lineage: body.lineage.map(|(name, sequence)| Lineage {
            name: name.into(),
            sequence,
        }),
        since: Time(reader.int("since")?),
        expires: Time(reader.int("expires")?),
    })
}
