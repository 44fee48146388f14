//! Storage: the core's port on SQLite, PostgreSQL and, for tests, in memory. One contract suite
//! (`tests/storage_contract.rs`) runs on all of them.
//!
//! Live state has its own tables, apart from accounts, properties and access lists (`design.md`
//! 13). What is looked up or compared by SQL is a column; the rest of a record is a versioned JSON
//! body; octets (wire state, original messages) are columns of their own.

mod archive;
mod entity;
mod faulty;
mod memory;
mod migrate;
mod plan;
mod postgres;
mod sql;
mod sqlite;

pub use faulty::Faulty;
pub use memory::Memory;
pub use postgres::Postgres;
pub use sqlite::Sqlite;

use crate::core::address::Address;
use crate::core::documents::{DocumentId, DocumentInfo};
use crate::core::id::PersonId;
use crate::core::port::{
    Account, BacklogRecord, HeldRecord, PersonRecords, Store, StoreError, TargetRecord, Write,
};
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;

/// The first number that [`Store::reserve`] gives out.
const FIRST_NUMBER: u32 = 1001;

/// Whichever database the URL names.
#[derive(Debug)]
pub enum Database {
    /// `sqlite:PATH`.
    Sqlite(Sqlite),
    /// `postgres://...` or `postgresql://...`.
    Postgres(Postgres),
    /// `memory:`; for tests and trials, keeps nothing.
    Memory(Memory),
}

/// Opens the database that `url` names and brings its schema up to date. A schema newer than this
/// program is refused.
pub async fn open(url: &str) -> Result<Database, StoreError> {
    if url == "memory:" {
        return Ok(Database::Memory(Memory::new()));
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Postgres::open(url).await.map(Database::Postgres);
    }
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return Sqlite::open(Path::new(path)).await.map(Database::Sqlite);
    }
    // Never the URL itself: it may hold a password.
    let text = "the storage URL must begin with sqlite: or postgres://".to_owned();
    Err(StoreError::Backend(text))
}

impl Database {
    /// Closes all connections.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
            Self::Memory(_) => {}
        }
    }
}

macro_rules! delegate {
    ($self:ident, $store:ident => $call:expr) => {
        match $self {
            Database::Sqlite($store) => $call.await,
            Database::Postgres($store) => $call.await,
            Database::Memory($store) => $call.await,
        }
    };
}

impl Store for Database {
    async fn commit(&self, batch: Vec<Write>) -> Result<(), StoreError> {
        delegate!(self, store => store.commit(batch))
    }

    async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        delegate!(self, store => store.accounts())
    }

    async fn person(&self, person: PersonId) -> Result<PersonRecords, StoreError> {
        delegate!(self, store => store.person(person))
    }

    async fn live(&self) -> Result<Vec<(PersonId, PersonRecords)>, StoreError> {
        delegate!(self, store => store.live())
    }

    async fn document(
        &self,
        person: PersonId,
        id: DocumentId,
    ) -> Result<Option<(DocumentInfo, Bytes)>, StoreError> {
        delegate!(self, store => store.document(person, id))
    }

    async fn documents(
        &self,
        usage: Arc<str>,
    ) -> Result<Vec<(PersonId, DocumentInfo, Bytes)>, StoreError> {
        delegate!(self, store => store.documents(usage))
    }

    async fn targets(&self) -> Result<Vec<TargetRecord>, StoreError> {
        delegate!(self, store => store.targets())
    }

    async fn backlog(&self) -> Result<Vec<BacklogRecord>, StoreError> {
        delegate!(self, store => store.backlog())
    }

    async fn held(&self) -> Result<Vec<HeldRecord>, StoreError> {
        delegate!(self, store => store.held())
    }

    async fn reserve(&self, count: u32) -> Result<u32, StoreError> {
        delegate!(self, store => store.reserve(count))
    }
}

/// The first number of a block, if the whole block is below 2^31 (old clients read numbers as
/// signed).
fn number(first: i64, count: u32) -> Result<u32, StoreError> {
    let end = first.saturating_add(count.into());
    match u32::try_from(first) {
        Ok(first) if end <= i64::from(i32::MAX) => Ok(first),
        _ => Err(StoreError::Backend("all numbers are given out".to_owned())),
    }
}

/// The error of an insert into `address`.
fn taken(error: &sqlx::Error, address: &Address) -> StoreError {
    match error.as_database_error() {
        Some(database) if database.is_unique_violation() => StoreError::Taken(address.clone()),
        _ => StoreError::Backend(error.to_string()),
    }
}
