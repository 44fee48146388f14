//! Conversations of more than two: one row each, with the whole roster.

use super::table::{Kind, Reader, Source, Table, Value, json, wide};
use super::words::as_address;
use crate::core::address::Address;
use crate::core::chat::{ChatRecord, Invited, Member};
use crate::core::id::PersonId;
use crate::core::port::StoreError;
use crate::core::time::Time;
use serde::{Deserialize, Serialize};

pub(in crate::storage) const TABLE: Table = Table {
    name: "conversation",
    columns: &[("person", Kind::Blob), ("body", Kind::Text)],
    key: 1,
};

/// Version 1 of the body.
#[derive(Serialize, Deserialize)]
struct Body {
    v: u8,
    conversation: String,
    #[serde(with = "as_address")]
    address: Address,
    creator: String,
    since: u64,
    grown: bool,
    members: Vec<Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    invited: Vec<Question>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    former: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    person: String,
    #[serde(with = "as_address")]
    address: Address,
    name: String,
    since: u64,
    met: bool,
}

#[derive(Serialize, Deserialize)]
struct Question {
    member: Entry,
    by: String,
    told: bool,
}

impl From<&Member> for Entry {
    fn from(member: &Member) -> Self {
        Self {
            person: member.person.to_string(),
            address: member.address.clone(),
            name: member.name.as_ref().to_owned(),
            since: member.since.0,
            met: member.met,
        }
    }
}

/// The record as a row.
pub(in crate::storage) fn values(record: &ChatRecord) -> Result<Vec<Value>, StoreError> {
    let invited = record.invited.iter().map(|invited| Question {
        member: Entry::from(&invited.member),
        by: invited.by.to_string(),
        told: invited.told,
    });
    let body = Body {
        v: 1,
        conversation: record.conversation.to_string(),
        address: record.address.clone(),
        creator: record.creator.to_string(),
        since: record.since.0,
        grown: record.grown,
        members: record.members.iter().map(Entry::from).collect(),
        invited: invited.collect(),
        former: record.former.iter().map(Entry::from).collect(),
    };
    Ok(vec![wide(record.person.0), json(&body)?])
}

/// The row as a record.
pub(in crate::storage) fn read(row: &impl Source) -> Result<ChatRecord, StoreError> {
    let reader = Reader::new(row, TABLE.name);
    let body: Body = reader.body("body")?;
    if body.v != 1 {
        return Err(reader.broken("body", format!("version {}", body.v)));
    }
    let id = |text: &str| {
        let parsed = text.parse::<PersonId>();
        parsed.map_err(|reason| reader.broken("body", reason))
    };
    let member = |entry: Entry| {
        Ok(Member {
            person: id(&entry.person)?,
            address: entry.address,
            name: entry.name.into(),
            since: Time(entry.since),
            met: entry.met,
        })
    };
    let members = |entries: Vec<Entry>| -> Result<Vec<Member>, StoreError> {
        entries.into_iter().map(member).collect()
    };
    let invited = body.invited.into_iter().map(|question| {
        Ok(Invited {
            by: id(&question.by)?,
            member: member(question.member)?,
            told: question.told,
        })
    });
    Ok(ChatRecord {
        person: PersonId(reader.wide("person")?),
        conversation: body
            .conversation
            .parse()
            .map_err(|reason| reader.broken("body", reason))?,
        address: body.address,
        creator: id(&body.creator)?,
        since: Time(body.since),
        grown: body.grown,
        members: members(body.members)?,
        invited: invited.collect::<Result<_, StoreError>>()?,
        former: members(body.former)?,
    })
}
