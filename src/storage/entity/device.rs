//! What holds for a person's devices: one row per person.

use super::table::{Kind, Reader, Source, Table, Value, json, wide};
use super::words::{Word, as_word};
use crate::core::devices::{DeviceRules, Mark, Policy, Ruling, Split, SplitWhy};
use crate::core::id::{PersonId, PointId, Stack};
use crate::core::port::StoreError;
use crate::core::time::Time;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

pub(in crate::storage) const TABLE: Table = Table {
    name: "device",
    columns: &[("person", Kind::Blob), ("body", Kind::Text)],
    key: 1,
};

/// Version 1 of the body.
#[derive(Serialize, Deserialize)]
struct Body {
    v: u8,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    preferred: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    rulings: Vec<StoredRuling>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    splits: Vec<StoredSplit>,
}

#[derive(Serialize, Deserialize)]
struct StoredRuling {
    one: StoredMark,
    other: StoredMark,
    together: bool,
    at: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredMark {
    stack: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    machine: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    source: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    family: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredSplit {
    points: (u32, u32),
    #[serde(with = "as_word")]
    why: SplitWhy,
    at: u64,
}

/// The rules as a row.
pub(in crate::storage) fn values(
    person: PersonId,
    rules: &DeviceRules,
) -> Result<Vec<Value>, StoreError> {
    let ruling = |ruling: &Ruling| StoredRuling {
        one: StoredMark::from(&ruling.one),
        other: StoredMark::from(&ruling.other),
        together: ruling.together,
        at: ruling.at.0,
    };
    let split = |split: &Split| StoredSplit {
        points: (split.one.0, split.other.0),
        why: split.why,
        at: split.at.0,
    };
    let body = Body {
        v: 1,
        policy: rules.policy.map(|policy| policy.word().to_owned()),
        preferred: rules.preferred.map(|stack| stack.name().to_owned()),
        rulings: rules.rulings.iter().map(ruling).collect(),
        splits: rules.splits.iter().map(split).collect(),
    };
    Ok(vec![wide(person.0), json(&body)?])
}

/// The row as rules and whose they are.
pub(in crate::storage) fn read(row: &impl Source) -> Result<(PersonId, DeviceRules), StoreError> {
    let reader = Reader::new(row, TABLE.name);
    let body: Body = reader.body("body")?;
    if body.v != 1 {
        return Err(reader.broken("body", format!("version {}", body.v)));
    }
    let stack = |name: &str| {
        if name.is_empty() || name.len() > 8 {
            return Err(reader.broken("body", "a stack is not 1 to 8 octets"));
        }
        Ok(Stack::named(name))
    };
    let policy = |word: &String| Policy::of(word);
    let mark = |mark: StoredMark| {
        Ok(Mark {
            stack: stack(&mark.stack)?,
            machine: mark.machine.map(Into::into),
            source: mark.source,
            family: mark.family.map(Into::into),
        })
    };
    let ruling = |ruling: StoredRuling| {
        Ok(Ruling {
            one: mark(ruling.one)?,
            other: mark(ruling.other)?,
            together: ruling.together,
            at: Time(ruling.at),
        })
    };
    let split = |split: StoredSplit| Split {
        one: PointId(split.points.0),
        other: PointId(split.points.1),
        why: split.why,
        at: Time(split.at),
    };
    let rules = DeviceRules {
        policy: match &body.policy {
            Some(word) => {
                Some(policy(word).ok_or_else(|| reader.broken("body", "unknown policy"))?)
            }
            None => None,
        },
        preferred: body.preferred.as_deref().map(stack).transpose()?,
        rulings: body
            .rulings
            .into_iter()
            .map(ruling)
            .collect::<Result<_, StoreError>>()?,
        splits: body.splits.into_iter().map(split).collect(),
    };
    Ok((PersonId(reader.wide("person")?), rules))
}

impl From<&Mark> for StoredMark {
    fn from(mark: &Mark) -> Self {
        Self {
            stack: mark.stack.name().to_owned(),
            machine: mark.machine.as_deref().map(str::to_owned),
            source: mark.source,
            family: mark.family.as_deref().map(str::to_owned),
        }
    }
}
