//! PostgreSQL: the same tables and numbers. A batch is one transaction of a few statements, each
//! with one array per column, so that it costs few round trips.

use super::archive::{LastRow, append_postgres, erase_postgres};
use super::entity::table::{Kind, Table, Value, wide};
use super::entity::{OF_PERSON, account, backlog, change, collect, document, held, target};
use super::migrate;
use super::plan::{Step, TOUCHED, plan};
use super::sql::{self, Whose};
use crate::core::documents::{DocumentId, DocumentInfo};
use crate::core::id::PersonId;
use crate::core::port::{
    Account, BacklogRecord, HeldRecord, PersonRecords, Store, StoreError, TargetRecord, Write,
};
use bytes::Bytes;
use sqlx::postgres::{PgArguments, PgConnection, PgPool, PgPoolOptions, PgRow};
use sqlx::{Row, SqlStr};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// One for the writer, one for numbers, the others read.
const CONNECTIONS: u32 = 6;
/// How long a connection may take before storage counts as gone.
const CONNECT: Duration = Duration::from_secs(5);
/// Key of the advisory lock that lets one program migrate at a time.
const MIGRATION_LOCK: i64 = 0x7472_6973_7461_636b;

/// A PostgreSQL database.
#[derive(Debug, Clone)]
pub struct Postgres {
    pub(super) pool: PgPool,
    last_row: LastRow,
}

impl Postgres {
    /// Connects to that URL (`postgres://...`) and brings the schema up to date.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(CONNECT)
            .connect(url)
            .await
            .map_err(|e| backend(&e))?;
        migrate(&pool).await?;
        Ok(Self {
            pool,
            last_row: LastRow::default(),
        })
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    async fn rows(&self, text: SqlStr, person: Option<PersonId>) -> Result<Vec<PgRow>, StoreError> {
        let mut query = sqlx::query(text);
        if let Some(person) = person {
            query = query.bind(person.0.to_be_bytes().to_vec());
        }
        query.fetch_all(&self.pool).await.map_err(|e| backend(&e))
    }
}

impl Store for Postgres {
    async fn commit(&self, batch: Vec<Write>) -> Result<(), StoreError> {
        let steps = plan(batch)?;
        let mut transaction = self.pool.begin().await.map_err(|e| backend(&e))?;
        let mut last_row = self.last_row.take();
        for step in steps {
            if let Step::Archive(entries) = step {
                last_row = Some(append_postgres(&mut transaction, entries, last_row).await?);
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
                .fetch_all(&self.pool)
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
            .fetch_optional(&self.pool)
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
            .fetch_all(&self.pool)
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
            .fetch_one(&self.pool)
            .await
            .map_err(|e| backend(&e))?;
        let first: i64 = row.try_get("first").map_err(|e| backend(&e))?;
        super::number(first, count)
    }
}

async fn migrate(pool: &PgPool) -> Result<(), StoreError> {
    let mut transaction = pool.begin().await.map_err(|e| backend(&e))?;
    let connection = &mut *transaction;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(MIGRATION_LOCK)
        .execute(&mut *connection)
        .await
        .map_err(|e| backend(&e))?;
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS schema_migration \
         (number BIGINT NOT NULL PRIMARY KEY, text TEXT NOT NULL)",
    )
    .execute(&mut *connection)
    .await
    .map_err(|e| backend(&e))?;
    let applied: Vec<(i64, String)> =
        sqlx::query_as("SELECT number, text FROM schema_migration ORDER BY number")
            .fetch_all(&mut *connection)
            .await
            .map_err(|e| backend(&e))?;
    for migration in migrate::outstanding(migrate::POSTGRES, &applied)? {
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

async fn apply(connection: &mut PgConnection, step: Step) -> Result<(), StoreError> {
    match step {
        Step::Rows(changes) => {
            for change in changes {
                let table = change.table;
                let keys = || table.columns[..table.key].iter().map(|(_, kind)| *kind);
                let all = table.columns.iter().map(|(_, kind)| *kind);
                let put = (sql::put_arrays(table), columns(all, change.put));
                let delete = (sql::delete_arrays(table), columns(keys(), change.delete));
                let touch = keys().chain([TOUCHED.1]);
                let touch = (sql::touch_arrays(table), columns(touch, change.touch));
                for (text, arrays) in [put, delete, touch] {
                    if let Some(arrays) = arrays {
                        execute(connection, text, arrays).await?;
                    }
                }
            }
            Ok(())
        }
        Step::ForgetChanges => {
            let done = sqlx::query(change::FORGET).execute(&mut *connection).await;
            done.map(|_| ()).map_err(|e| backend(&e))
        }
        // `commit` appends: it knows the last row.
        Step::Archive(_) => Ok(()),
        Step::Erase(rows) => erase_postgres(connection, rows).await,
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

/// The values of one column, row after row.
pub(super) enum Array {
    Int(Vec<i64>),
    MaybeInt(Vec<Option<i64>>),
    Blob(Vec<Vec<u8>>),
    Text(Vec<String>),
}

impl Array {
    fn of(kind: Kind, capacity: usize) -> Self {
        match kind {
            Kind::Int => Self::Int(Vec::with_capacity(capacity)),
            Kind::MaybeInt => Self::MaybeInt(Vec::with_capacity(capacity)),
            Kind::Blob => Self::Blob(Vec::with_capacity(capacity)),
            Kind::Text => Self::Text(Vec::with_capacity(capacity)),
        }
    }

    fn push(&mut self, value: Value) -> Result<(), StoreError> {
        match (self, value) {
            (Self::Int(all), Value::Int(value)) => all.push(value),
            (Self::MaybeInt(all), Value::MaybeInt(value)) => all.push(value),
            (Self::Blob(all), Value::Blob(value)) => all.push(value),
            (Self::Text(all), Value::Text(value)) => all.push(value),
            _ => {
                let text = "PostgreSQL: a value does not fit its column".to_owned();
                return Err(StoreError::Backend(text));
            }
        }
        Ok(())
    }
}

/// Rows turned into columns; `None` if there are no rows.
pub(super) fn columns(
    kinds: impl Iterator<Item = Kind>,
    rows: Vec<Vec<Value>>,
) -> Option<Result<Vec<Array>, StoreError>> {
    if rows.is_empty() {
        return None;
    }
    let mut arrays: Vec<Array> = kinds.map(|kind| Array::of(kind, rows.len())).collect();
    for row in rows {
        for (array, value) in arrays.iter_mut().zip(row) {
            if let Err(error) = array.push(value) {
                return Some(Err(error));
            }
        }
    }
    Some(Ok(arrays))
}

pub(super) async fn execute(
    connection: &mut PgConnection,
    text: SqlStr,
    arrays: Result<Vec<Array>, StoreError>,
) -> Result<(), StoreError> {
    let mut query = sqlx::query(text);
    for array in arrays? {
        query = match array {
            Array::Int(all) => query.bind(all),
            Array::MaybeInt(all) => query.bind(all),
            Array::Blob(all) => query.bind(all),
            Array::Text(all) => query.bind(all),
        };
    }
    query.execute(connection).await.map_err(|e| backend(&e))?;
    Ok(())
}

async fn put_account(connection: &mut PgConnection, account: &Account) -> Result<(), StoreError> {
    delete_person(connection, &account::ADDRESSES, account.person).await?;
    let kinds = account::TABLE.columns.iter().map(|(_, kind)| *kind);
    if let Some(arrays) = columns(kinds, vec![account::values(account)?]) {
        execute(connection, sql::put_arrays(&account::TABLE), arrays).await?;
    }
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
    connection: &mut PgConnection,
    table: &Table,
    person: PersonId,
) -> Result<(), StoreError> {
    bind(sqlx::query(sql::delete_person(table)), wide(person.0))
        .execute(connection)
        .await
        .map_err(|e| backend(&e))?;
    Ok(())
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, PgArguments>;

fn bind(query: Query<'_>, value: Value) -> Query<'_> {
    match value {
        Value::Int(value) => query.bind(value),
        Value::MaybeInt(value) => query.bind(value),
        Value::Blob(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
    }
}

pub(super) fn backend(error: &sqlx::Error) -> StoreError {
    StoreError::Backend(format!("PostgreSQL: {error}"))
}
