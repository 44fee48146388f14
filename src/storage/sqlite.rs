//! SQLite: embedded, the default. One writer connection with `BEGIN IMMEDIATE`, WAL and
//! `synchronous=FULL` (what was acknowledged survives a power cut), readers apart.

use super::archive::{LastRow, append_sqlite, erase_sqlite};
use super::entity::table::{Table, Value, wide};
use super::entity::{OF_PERSON, account, backlog, change, collect, document, held, target};
use super::migrate;
use super::plan::{Step, plan};
use super::sql::{self, Whose};
use crate::core::documents::{DocumentId, DocumentInfo};
use crate::core::id::PersonId;
use crate::core::port::{
    Account, BacklogRecord, HeldRecord, PersonRecords, Store, StoreError, TargetRecord, Write,
};
use bytes::Bytes;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool,
    SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Row, SqlStr};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Rows per statement, tried in this order. Each statement is a round trip to the connection's
/// thread, so any batch is a few of them; and few distinct texts, so that all stay prepared.
const CHUNKS: [usize; 7] = [64, 32, 16, 8, 4, 2, 1];
/// Prepared statements kept: those of [`CHUNKS`] for all tables and kinds of change.
const PREPARED: usize = 512;
/// Reading connections.
const READERS: u32 = 4;

/// A SQLite database.
#[derive(Debug, Clone)]
pub struct Sqlite {
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
    last_row: LastRow,
}

impl Sqlite {
    /// Opens or creates the database in that file and brings its schema up to date.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .statement_cache_capacity(PREPARED)
            .busy_timeout(Duration::from_secs(5));
        // One connection that never goes: its prepared statements stay.
        let pool = || {
            SqlitePoolOptions::new()
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
        };
        let writer = pool()
            .max_connections(1)
            .connect_with(options.clone())
            .await
            .map_err(|e| backend(&e))?;
        migrate(&writer).await?;
        let readers = pool()
            .max_connections(READERS)
            .connect_with(options.read_only(true).create_if_missing(false))
            .await
            .map_err(|e| backend(&e))?;
        Ok(Self {
            writer,
            readers,
            last_row: LastRow::default(),
        })
    }

    /// Closes all connections; the WAL is folded into the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    async fn rows(
        &self,
        text: SqlStr,
        person: Option<PersonId>,
    ) -> Result<Vec<SqliteRow>, StoreError> {
        let mut query = sqlx::query(text);
        if let Some(person) = person {
            query = query.bind(person.0.to_be_bytes().to_vec());
        }
        query
            .fetch_all(&self.readers)
            .await
            .map_err(|e| backend(&e))
    }
}

impl Store for Sqlite {
    async fn commit(&self, batch: Vec<Write>) -> Result<(), StoreError> {
        let steps = plan(batch)?;
        let mut transaction = self
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|e| backend(&e))?;
        let mut last_row = self.last_row.take();
        for step in steps {
            if let Step::Archive(entries) = step {
                last_row = Some(append_sqlite(&mut transaction, entries, last_row).await?);
            } else {
                apply(&mut transaction, step).await?;
            }
        }
        transaction.commit().await.map_err(|e| backend(&e))?;
        self.last_row.set(last_row);
        Ok(())
    }

    async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        let accounts = self.rows(sql::select(&account::TABLE, Whose::Everybody), None);
        let accounts = accounts.await?;
        let addresses =
            sqlx::query("SELECT address, person, position FROM address ORDER BY person, position")
                .fetch_all(&self.readers)
                .await
                .map_err(|e| backend(&e))?;
        account::read(&accounts, &addresses)
    }

    async fn person(&self, person: PersonId) -> Result<PersonRecords, StoreError> {
        let mut found = BTreeMap::new();
        for (number, table) in OF_PERSON.iter().enumerate() {
            let rows = self.rows(sql::select(table, Whose::One), Some(person));
            collect(number, &rows.await?, &mut found)?;
        }
        Ok(found.remove(&person).unwrap_or_default())
    }

    async fn live(&self) -> Result<Vec<(PersonId, PersonRecords)>, StoreError> {
        let mut found = BTreeMap::new();
        for (number, table) in OF_PERSON.iter().enumerate() {
            let rows = self.rows(sql::select(table, Whose::Live), None);
            collect(number, &rows.await?, &mut found)?;
        }
        Ok(found.into_iter().collect())
    }

    async fn document(
        &self,
        person: PersonId,
        id: DocumentId,
    ) -> Result<Option<(DocumentInfo, Bytes)>, StoreError> {
        let row = sqlx::query(document::ONE)
            .bind(person.0.to_be_bytes().to_vec())
            .bind(id.usage.as_ref().to_owned())
            .bind(id.name.as_ref().to_owned())
            .fetch_optional(&self.readers)
            .await
            .map_err(|e| backend(&e))?;
        let whole = row.map(|row| document::whole(&row)).transpose()?;
        Ok(whole.map(|(_, info, content)| (info, content)))
    }

    async fn documents(
        &self,
        usage: Arc<str>,
    ) -> Result<Vec<(PersonId, DocumentInfo, Bytes)>, StoreError> {
        let rows = sqlx::query(document::OF_USAGE)
            .bind(usage.as_ref().to_owned())
            .fetch_all(&self.readers)
            .await
            .map_err(|e| backend(&e))?;
        rows.iter().map(document::whole).collect()
    }

    async fn targets(&self) -> Result<Vec<TargetRecord>, StoreError> {
        let rows = self.rows(sql::select(&target::TABLE, Whose::Everybody), None);
        rows.await?.iter().map(target::read).collect()
    }

    async fn backlog(&self) -> Result<Vec<BacklogRecord>, StoreError> {
        let rows = self.rows(sql::select(&backlog::TABLE, Whose::Everybody), None);
        rows.await?.iter().map(backlog::read).collect()
    }

    async fn held(&self) -> Result<Vec<HeldRecord>, StoreError> {
        let rows = self.rows(sql::select(&held::TABLE, Whose::Everybody), None);
        rows.await?.iter().map(held::read).collect()
    }

    async fn reserve(&self, count: u32) -> Result<u32, StoreError> {
        let row = sqlx::query("UPDATE number SET next = next + $1 RETURNING next - $1 AS first")
            .bind(i64::from(count))
            .fetch_one(&self.writer)
            .await
            .map_err(|e| backend(&e))?;
        let first: i64 = row.try_get("first").map_err(|e| backend(&e))?;
        super::number(first, count)
    }
}

async fn migrate(writer: &SqlitePool) -> Result<(), StoreError> {
    let mut transaction = writer
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(|e| backend(&e))?;
    let connection = &mut *transaction;
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS schema_migration \
         (number INTEGER NOT NULL PRIMARY KEY, text TEXT NOT NULL) STRICT",
    )
    .execute(&mut *connection)
    .await
    .map_err(|e| backend(&e))?;
    let applied: Vec<(i64, String)> =
        sqlx::query_as("SELECT number, text FROM schema_migration ORDER BY number")
            .fetch_all(&mut *connection)
            .await
            .map_err(|e| backend(&e))?;
    for migration in migrate::outstanding(migrate::SQLITE, &applied)? {
        sqlx::raw_sql(migration.sql)
            .execute(&mut *connection)
            .await
            .map_err(|e| backend(&e))?;
        sqlx::query("INSERT INTO schema_migration (number, text) VALUES ($1, $2)")
            .bind(migration.number)
            .bind(migration.sql)
            .execute(&mut *connection)
            .await
            .map_err(|e| backend(&e))?;
    }
    transaction.commit().await.map_err(|e| backend(&e))
}

async fn apply(connection: &mut SqliteConnection, step: Step) -> Result<(), StoreError> {
    match step {
        Step::Rows(changes) => {
            for change in changes {
                let table = change.table;
                chunks(connection, change.put, |n| sql::put_values(table, n)).await?;
                chunks(connection, change.delete, |n| sql::delete_values(table, n)).await?;
                chunks(connection, change.touch, |n| sql::touch_values(table, n)).await?;
            }
            Ok(())
        }
        Step::ForgetChanges => {
            let done = sqlx::query(change::FORGET).execute(&mut *connection).await;
            done.map(|_| ()).map_err(|e| backend(&e))
        }
        // `commit` appends: it knows the last row.
        Step::Archive(_) => Ok(()),
        Step::Erase(rows) => erase_sqlite(connection, rows).await,
        Step::PutAccount(account) => put_account(connection, &account).await,
        Step::DeleteAccount(person) => {
            let own = [
                &account::ADDRESSES,
                &account::TABLE,
                &target::TABLE,
                &backlog::TABLE,
                &document::CONTENT,
                &held::TABLE,
            ];
            for table in OF_PERSON.into_iter().chain(own) {
                delete_person(connection, table, person).await?;
            }
            Ok(())
        }
    }
}

/// Executes `text(n)` for all rows, as many at once as [`CHUNKS`] allows.
pub(super) async fn chunks(
    connection: &mut SqliteConnection,
    rows: Vec<Vec<Value>>,
    text: impl Fn(usize) -> SqlStr,
) -> Result<(), StoreError> {
    let mut left = rows.len();
    let mut rows = rows.into_iter();
    for size in CHUNKS {
        if left < size {
            continue;
        }
        let text = text(size);
        while left >= size {
            let mut query = sqlx::query(text.clone());
            for value in rows.by_ref().take(size).flatten() {
                query = bind(query, value);
            }
            query
                .execute(&mut *connection)
                .await
                .map_err(|e| backend(&e))?;
            left -= size;
        }
    }
    Ok(())
}

async fn put_account(
    connection: &mut SqliteConnection,
    account: &Account,
) -> Result<(), StoreError> {
    delete_person(connection, &account::ADDRESSES, account.person).await?;
    let row = vec![account::values(account)?];
    chunks(connection, row, |n| sql::put_values(&account::TABLE, n)).await?;
    for (address, values) in account::addresses(account) {
        let mut query =
            sqlx::query("INSERT INTO address (address, person, position) VALUES ($1, $2, $3)");
        for value in values {
            query = bind(query, value);
        }
        let done = query.execute(&mut *connection).await;
        done.map_err(|error| super::taken(&error, &address))?;
    }
    Ok(())
}

async fn delete_person(
    connection: &mut SqliteConnection,
    table: &Table,
    person: PersonId,
) -> Result<(), StoreError> {
    bind(sqlx::query(sql::delete_person(table)), wide(person.0))
        .execute(connection)
        .await
        .map_err(|e| backend(&e))?;
    Ok(())
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, SqliteArguments>;

fn bind(query: Query<'_>, value: Value) -> Query<'_> {
    match value {
        Value::Int(value) => query.bind(value),
        Value::MaybeInt(value) => query.bind(value),
        Value::Blob(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
    }
}

pub(super) fn backend(error: &sqlx::Error) -> StoreError {
    StoreError::Backend(format!("SQLite: {error}"))
}
