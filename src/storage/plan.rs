//! A batch as few statements: within a batch only the last word about a row counts, because the
//! batch is committed as a whole. Account changes keep their place, they may refuse the batch.

use super::archive::{HOLDS, hold_key, hold_values};
use super::entity::table::{Kind, Table, Value, time, wide};
use super::entity::{
    access, backlog, change, chat, contacts, device, document, held, kept, point, property,
    publication, target, watch,
};
use crate::core::archive::{Entry, Held, Indexed};
use crate::core::command::PropertyName;
use crate::core::documents::DocumentId;
use crate::core::id::PersonId;
use crate::core::port::{Account, StoreError, Write};
use crate::core::time::Time;
use std::collections::BTreeMap;

/// What a batch comes to, in order.
pub(super) enum Step {
    /// Rows of [`super::entity::OF_PERSON`].
    Rows(Vec<TableChange>),
    /// Insert or replace an account.
    PutAccount(Account),
    /// Remove an account and everything of that person.
    DeleteAccount(PersonId),
    /// Empty the table of changes.
    ForgetChanges,
    /// Append to the archive, in this order.
    Archive(Vec<Entry>),
    /// Erase bodies of the archive.
    Erase(Vec<Indexed>),
}

/// Changes of one table; no key occurs twice.
pub(super) struct TableChange {
    /// Which.
    pub(super) table: &'static Table,
    /// Complete rows to insert or replace.
    pub(super) put: Vec<Vec<Value>>,
    /// Keys to delete.
    pub(super) delete: Vec<Vec<Value>>,
    /// Keys, each followed by the new `expires`.
    pub(super) touch: Vec<Vec<Value>>,
}

/// The column that [`TableChange::touch`] sets.
pub(super) const TOUCHED: (&str, Kind) = ("expires", Kind::Int);

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Point(PersonId, u32),
    Publication(PersonId, u32),
    Watch(PersonId, u32),
    Kept(PersonId, u128),
    Property(PersonId, PropertyName),
    Access(PersonId),
    Change(PersonId),
    Document(PersonId, DocumentId),
    Content(PersonId, DocumentId),
    Contacts(PersonId),
    Chat(PersonId),
    Device(PersonId),
    Target(PersonId, u32),
    Backlog(PersonId, u32, u64),
    Hold(String, Held),
    OfFilter(PersonId, u128),
}

enum Last {
    Put(Box<Write>),
    Delete,
    Touch(Time),
}

/// Plans a batch.
pub(super) fn plan(batch: Vec<Write>) -> Result<Vec<Step>, StoreError> {
    let mut steps = Vec::new();
    let mut rows = BTreeMap::new();
    // Nothing else is ordered against the archive: all of a batch is one step.
    let mut archive = Vec::new();
    for write in batch {
        match write {
            Write::PutAccount(account) => {
                flush(&mut rows, &mut steps)?;
                steps.push(Step::PutAccount(account));
            }
            Write::DeleteAccount(person) => {
                flush(&mut rows, &mut steps)?;
                steps.push(Step::DeleteAccount(person));
            }
            Write::ForgetChanges => {
                flush(&mut rows, &mut steps)?;
                steps.push(Step::ForgetChanges);
            }
            Write::Archive(entry) => archive.push(*entry),
            Write::EraseArchive(erased) => steps.push(Step::Erase(erased)),
            // A document is a row of what is known of it, and one of its octets.
            Write::PutDocument(person, info, content) => {
                let id = info.id.clone();
                let known = Write::PutDocument(person, info.clone(), bytes::Bytes::new());
                rows.insert(
                    Key::Document(person, id.clone()),
                    Last::Put(Box::new(known)),
                );
                let octets = Write::PutDocument(person, info, content);
                rows.insert(Key::Content(person, id), Last::Put(Box::new(octets)));
            }
            Write::DeleteDocument(person, id) => {
                rows.insert(Key::Document(person, id.clone()), Last::Delete);
                rows.insert(Key::Content(person, id), Last::Delete);
            }
            other => note(&mut rows, other),
        }
    }
    flush(&mut rows, &mut steps)?;
    if !archive.is_empty() {
        steps.push(Step::Archive(archive));
    }
    Ok(steps)
}

fn note(rows: &mut BTreeMap<Key, Last>, write: Write) {
    let (key, last) = match write {
        Write::TouchPoint(person, point, expires) => {
            let key = Key::Point(person, point.0);
            match rows.get_mut(&key) {
                Some(Last::Put(write)) => {
                    if let Write::PutPoint(record) = &mut **write {
                        record.expires = expires;
                    }
                    return;
                }
                Some(Last::Delete) => return,
                _ => (key, Last::Touch(expires)),
            }
        }
        Write::DeletePoint(person, id) => (Key::Point(person, id.0), Last::Delete),
        Write::DeletePublication(person, id) => (Key::Publication(person, id.0), Last::Delete),
        Write::DeleteWatch(person, id) => (Key::Watch(person, id.0), Last::Delete),
        Write::DeleteHeld(person, id) => (Key::OfFilter(person, id.0), Last::Delete),
        Write::DeleteKept(person, id) => (Key::Kept(person, id.0), Last::Delete),
        Write::DeleteTarget(person, id) => (Key::Target(person, id), Last::Delete),
        Write::DeleteBacklog(person, target, sequence) => {
            (Key::Backlog(person, target, sequence), Last::Delete)
        }
        Write::DeleteHold(case, held) => (Key::Hold(case, held), Last::Delete),
        Write::DeleteProperty(person, name) => (Key::Property(person, name), Last::Delete),
        put => {
            let key = match &put {
                Write::PutPoint(record) => Key::Point(record.person, record.id.0),
                Write::PutPublication(record) => Key::Publication(record.person, record.id.0),
                Write::PutWatch(record) => Key::Watch(record.person, record.id.0),
                Write::PutKept(record) => Key::Kept(record.person, record.message.id.0),
                Write::PutHeld(record) => Key::OfFilter(record.person, record.message.id.0),
                Write::PutProperty(person, name, _) => Key::Property(*person, name.clone()),
                Write::PutAccess(person, _) => Key::Access(*person),
                Write::PutChange(person, _) => Key::Change(*person),
                Write::PutDevices(person, _) => Key::Device(*person),
                Write::PutContacts(person, _) => Key::Contacts(*person),
                Write::PutChat(record) => Key::Chat(record.person),
                Write::PutTarget(record) => Key::Target(record.person, record.id),
                Write::PutBacklog(record) => {
                    Key::Backlog(record.person, record.target, record.sequence)
                }
                Write::PutHold(hold) => Key::Hold(hold.case.clone(), hold.held.clone()),
                // All others are handled above and in `plan`.
                _ => return,
            };
            (key, Last::Put(Box::new(put)))
        }
    };
    rows.insert(key, last);
}

fn flush(rows: &mut BTreeMap<Key, Last>, steps: &mut Vec<Step>) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut changes: Vec<TableChange> = Vec::new();
    // Keys sort by table first, so the changes of one table follow each other.
    for (key, last) in std::mem::take(rows) {
        let table = key.table();
        if changes
            .last()
            .is_none_or(|change| change.table.name != table.name)
        {
            changes.push(TableChange {
                table,
                put: Vec::new(),
                delete: Vec::new(),
                touch: Vec::new(),
            });
        }
        let Some(change) = changes.last_mut() else {
            continue;
        };
        match last {
            Last::Put(write) => change.put.extend(row(&key, &write)?),
            Last::Delete => change.delete.push(key.values()),
            Last::Touch(expires) => {
                let mut values = key.values();
                values.push(Value::Int(time(expires)));
                change.touch.push(values);
            }
        }
    }
    steps.push(Step::Rows(changes));
    Ok(())
}

fn row(key: &Key, write: &Write) -> Result<Option<Vec<Value>>, StoreError> {
    Ok(Some(match write {
        Write::PutPoint(record) => point::values(record)?,
        Write::PutPublication(record) => publication::values(record)?,
        Write::PutWatch(record) => watch::values(record)?,
        Write::PutKept(record) => kept::values(record)?,
        Write::PutHeld(record) => held::values(record)?,
        Write::PutProperty(person, name, value) => property::values(*person, name, value),
        Write::PutAccess(person, list) => access::values(*person, list)?,
        Write::PutChange(person, at) => change::values(*person, *at),
        Write::PutDocument(person, info, content) => match key {
            Key::Content(..) => document::content(*person, &info.id, content),
            _ => document::values(*person, info)?,
        },
        Write::PutChat(record) => chat::values(record)?,
        Write::PutDevices(person, rules) => device::values(*person, rules)?,
        Write::PutContacts(person, list) => contacts::values(*person, list)?,
        Write::PutTarget(record) => target::values(record)?,
        Write::PutBacklog(record) => backlog::values(record)?,
        Write::PutHold(hold) => hold_values(hold),
        _ => return Ok(None),
    }))
}

impl Key {
    fn table(&self) -> &'static Table {
        match self {
            Self::Point(..) => &point::TABLE,
            Self::Publication(..) => &publication::TABLE,
            Self::Watch(..) => &watch::TABLE,
            Self::Kept(..) => &kept::TABLE,
            Self::Property(..) => &property::TABLE,
            Self::Access(_) => &access::TABLE,
            Self::Change(_) => &change::TABLE,
            Self::Document(..) => &document::TABLE,
            Self::Content(..) => &document::CONTENT,
            Self::Device(_) => &device::TABLE,
            Self::Contacts(_) => &contacts::TABLE,
            Self::Chat(_) => &chat::TABLE,
            Self::Target(..) => &target::TABLE,
            Self::Backlog(..) => &backlog::TABLE,
            Self::Hold(..) => &HOLDS,
            Self::OfFilter(..) => &held::TABLE,
        }
    }

    fn values(self) -> Vec<Value> {
        match self {
            Self::Point(person, id) | Self::Publication(person, id) | Self::Watch(person, id) => {
                vec![wide(person.0), Value::Int(id.into())]
            }
            Self::Kept(person, message) | Self::OfFilter(person, message) => {
                vec![wide(person.0), wide(message)]
            }
            Self::Property(person, name) => vec![
                wide(person.0),
                Value::Text(name.namespace.as_ref().to_owned()),
                Value::Text(name.local.as_ref().to_owned()),
            ],
            Self::Access(person)
            | Self::Change(person)
            | Self::Contacts(person)
            | Self::Chat(person)
            | Self::Device(person) => {
                vec![wide(person.0)]
            }
            Self::Document(person, id) | Self::Content(person, id) => document::key(person, &id),
            Self::Hold(case, held) => hold_key(&case, &held),
            Self::Target(person, id) => vec![wide(person.0), Value::Int(id.into())],
            Self::Backlog(person, target, sequence) => vec![
                wide(person.0),
                Value::Int(target.into()),
                Value::Int(backlog::number(sequence)),
            ],
        }
    }
}
