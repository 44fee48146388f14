//! Storage in memory: for tests, and as the plainest statement of what storage means.

use super::archive::Shelf;
use crate::core::address::Address;
use crate::core::documents::{DocumentId, DocumentInfo};
use crate::core::id::{MessageId, PersonId};
use crate::core::port::{
    Account, BacklogRecord, HeldRecord, PersonRecords, Store, StoreError, TargetRecord, Write,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Everything in one map; gone with the process.
#[derive(Debug)]
pub struct Memory {
    state: Mutex<State>,
}

#[derive(Debug, Clone)]
pub(super) struct State {
    accounts: BTreeMap<PersonId, Account>,
    addresses: BTreeMap<Address, PersonId>,
    people: BTreeMap<PersonId, PersonRecords>,
    targets: BTreeMap<(PersonId, u32), TargetRecord>,
    contents: BTreeMap<(PersonId, DocumentId), Bytes>,
    backlog: BTreeMap<(PersonId, u32, u64), BacklogRecord>,
    held: BTreeMap<(PersonId, MessageId), HeldRecord>,
    pub(super) archive: Box<Shelf>,
    next: u32,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// Empty.
    pub fn new() -> Self {
        let state = State {
            accounts: BTreeMap::new(),
            addresses: BTreeMap::new(),
            people: BTreeMap::new(),
            targets: BTreeMap::new(),
            contents: BTreeMap::new(),
            backlog: BTreeMap::new(),
            held: BTreeMap::new(),
            archive: Box::default(),
            next: super::FIRST_NUMBER,
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// A copy as it stands: what a restart would find.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        Self {
            state: Mutex::new(self.lock().clone()),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    async fn commit(&self, batch: Vec<Write>) -> Result<(), StoreError> {
        let mut state = self.lock();
        // Only a new account can fail; without one nothing needs to be undone.
        if !batch
            .iter()
            .any(|write| matches!(write, Write::PutAccount(_)))
        {
            for write in batch {
                state.apply(write)?;
            }
            return Ok(());
        }
        let mut next = state.clone();
        for write in batch {
            next.apply(write)?;
        }
        *state = next;
        Ok(())
    }

    async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        Ok(self.lock().accounts.values().cloned().collect())
    }

    async fn person(&self, person: PersonId) -> Result<PersonRecords, StoreError> {
        Ok(self.lock().people.get(&person).cloned().unwrap_or_default())
    }

    async fn live(&self) -> Result<Vec<(PersonId, PersonRecords)>, StoreError> {
        let live = |records: &PersonRecords| {
            !(records.points.is_empty()
                && records.publications.is_empty()
                && records.watches.is_empty()
                && records.kept.is_empty()
                && records.chat.is_none())
        };
        let state = self.lock();
        let found = state.people.iter().filter(|(_, records)| live(records));
        Ok(found.map(|(id, records)| (*id, records.clone())).collect())
    }

    async fn document(
        &self,
        person: PersonId,
        id: DocumentId,
    ) -> Result<Option<(DocumentInfo, Bytes)>, StoreError> {
        let state = self.lock();
        let of = state.people.get(&person);
        let info = of.and_then(|records| records.documents.iter().find(|d| d.id == id));
        let content = state.contents.get(&(person, id.clone()));
        Ok(info.cloned().zip(content.cloned()))
    }

    async fn documents(
        &self,
        usage: Arc<str>,
    ) -> Result<Vec<(PersonId, DocumentInfo, Bytes)>, StoreError> {
        let state = self.lock();
        let mut found = Vec::new();
        for (person, records) in &state.people {
            for info in records.documents.iter().filter(|d| d.id.usage == usage) {
                if let Some(content) = state.contents.get(&(*person, info.id.clone())) {
                    found.push((*person, info.clone(), content.clone()));
                }
            }
        }
        Ok(found)
    }

    async fn targets(&self) -> Result<Vec<TargetRecord>, StoreError> {
        Ok(self.lock().targets.values().cloned().collect())
    }

    async fn backlog(&self) -> Result<Vec<BacklogRecord>, StoreError> {
        Ok(self.lock().backlog.values().cloned().collect())
    }

    async fn held(&self) -> Result<Vec<HeldRecord>, StoreError> {
        Ok(self.lock().held.values().cloned().collect())
    }

    async fn reserve(&self, count: u32) -> Result<u32, StoreError> {
        let mut state = self.lock();
        let first = super::number(state.next.into(), count)?;
        state.next = first + count;
        Ok(first)
    }
}

impl State {
    fn apply(&mut self, write: Write) -> Result<(), StoreError> {
        match write {
            Write::PutAccount(account) => return self.put_account(account),
            Write::DeleteAccount(person) => {
                self.accounts.remove(&person);
                self.addresses.retain(|_, owner| *owner != person);
                self.people.remove(&person);
                self.targets.retain(|(owner, _), _| *owner != person);
                self.backlog.retain(|(owner, ..), _| *owner != person);
                self.contents.retain(|(owner, _), _| *owner != person);
                self.held.retain(|(owner, _), _| *owner != person);
            }
            Write::PutPoint(record) => {
                let all = &mut self.of(record.person).points;
                put(all, record, |a, b| a.id.cmp(&b.id));
            }
            Write::TouchPoint(person, id, expires) => {
                let all = &mut self.of(person).points;
                if let Some(point) = all.iter_mut().find(|point| point.id == id) {
                    point.expires = expires;
                }
            }
            Write::DeletePoint(person, id) => self.of(person).points.retain(|it| it.id != id),
            Write::PutPublication(record) => {
                let all = &mut self.of(record.person).publications;
                put(all, record, |a, b| a.id.cmp(&b.id));
            }
            Write::DeletePublication(person, id) => {
                self.of(person).publications.retain(|it| it.id != id);
            }
            Write::PutWatch(record) => {
                let all = &mut self.of(record.person).watches;
                put(all, record, |a, b| a.id.cmp(&b.id));
            }
            Write::DeleteWatch(person, id) => self.of(person).watches.retain(|it| it.id != id),
            Write::PutProperty(person, name, value) => {
                let all = &mut self.of(person).properties;
                put(all, (name, value), |a, b| a.0.cmp(&b.0));
            }
            Write::DeleteProperty(person, name) => {
                self.of(person).properties.retain(|it| it.0 != name);
            }
            Write::PutTarget(record) => {
                self.targets.insert((record.person, record.id), record);
            }
            Write::DeleteTarget(person, id) => {
                self.targets.remove(&(person, id));
            }
            Write::PutBacklog(record) => {
                let key = (record.person, record.target, record.sequence);
                self.backlog.insert(key, record);
            }
            Write::DeleteBacklog(person, target, sequence) => {
                self.backlog.remove(&(person, target, sequence));
            }
            Write::PutAccess(person, list) => self.of(person).access = Some(list),
            Write::PutDocument(person, info, content) => {
                self.contents.insert((person, info.id.clone()), content);
                put(&mut self.of(person).documents, info, |a, b| a.id.cmp(&b.id));
            }
            Write::DeleteDocument(person, id) => {
                self.of(person).documents.retain(|d| d.id != id);
                self.contents.remove(&(person, id));
            }
            Write::PutChat(record) => {
                let of = self.of(record.person);
                of.chat = Some(record);
            }
            Write::PutDevices(person, rules) => self.of(person).devices = Some(rules),
            Write::PutContacts(person, list) => self.of(person).contacts = Some(list),
            Write::PutChange(person, at) => self.of(person).changed = Some(at),
            Write::ForgetChanges => {
                for records in self.people.values_mut() {
                    records.changed = None;
                }
            }
            Write::Archive(entry) => self.archive.append(*entry),
            write @ (Write::EraseArchive(_) | Write::PutHold(_) | Write::DeleteHold(..)) => {
                self.archive.apply(write);
            }
            Write::PutHeld(record) => {
                self.held.insert((record.person, record.message.id), record);
            }
            Write::DeleteHeld(person, id) => {
                self.held.remove(&(person, id));
            }
            Write::PutKept(record) => {
                let all = &mut self.of(record.person).kept;
                put(all, record, |a, b| a.message.id.cmp(&b.message.id));
            }
            Write::DeleteKept(person, id) => {
                self.of(person).kept.retain(|it| it.message.id != id);
            }
        }
        Ok(())
    }

    fn put_account(&mut self, account: Account) -> Result<(), StoreError> {
        self.addresses.retain(|_, owner| *owner != account.person);
        for address in [&account.address].into_iter().chain(&account.aliases) {
            if self
                .addresses
                .insert(address.clone(), account.person)
                .is_some()
            {
                return Err(StoreError::Taken(address.clone()));
            }
        }
        self.accounts.insert(account.person, account);
        Ok(())
    }

    fn of(&mut self, person: PersonId) -> &mut PersonRecords {
        self.people.entry(person).or_default()
    }
}

/// Inserts in order or replaces.
fn put<T>(all: &mut Vec<T>, record: T, order: impl Fn(&T, &T) -> std::cmp::Ordering) {
    match all.binary_search_by(|other| order(other, &record)) {
        Ok(at) => {
            if let Some(old) = all.get_mut(at) {
                *old = record;
            }
        }
        Err(at) => all.insert(at, record),
    }
}
