//! The archive on PostgreSQL: full text by `tsvector`, made of the words that we made, so that no
//! dictionary of the database decides what is found.

use super::{
    ALL_HOLDS, Bounds, ERASE, HEAD, INDEXED, NEWEST, OLDEST, ROWS, SET_INDEXED, TABLE, chained,
    expression, read, read_hold, read_last, signed,
};
use crate::core::archive::{Archive, Entry, Find, Hold, Indexed, Link, Row};
use crate::core::port::StoreError;
use crate::storage::postgres::{Postgres, backend, columns, execute};
use crate::storage::sql;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use std::fmt::Write as _;

const FIND_NEWEST: &str = "SELECT a.seq, a.at, a.head, a.body, a.link \
     FROM archive_words AS w JOIN archive AS a ON a.seq = w.seq \
     WHERE w.words @@ $6::tsquery AND w.seq > $1 AND w.seq < $2 \
     AND a.at >= $3 AND a.at < $4 ORDER BY w.seq DESC LIMIT $5";
const FIND_OLDEST: &str = "SELECT a.seq, a.at, a.head, a.body, a.link \
     FROM archive_words AS w JOIN archive AS a ON a.seq = w.seq \
     WHERE w.words @@ $6::tsquery AND w.seq > $1 AND w.seq < $2 \
     AND a.at >= $3 AND a.at < $4 ORDER BY w.seq LIMIT $5";
const INDEX: &str = "INSERT INTO archive_words (seq, words) \
     SELECT given.seq, given.words::tsvector FROM UNNEST($1::BIGINT[], $2::TEXT[]) AS given (seq, words) \
     ON CONFLICT (seq) DO UPDATE SET words = excluded.words";

/// Appends rows behind what the table holds; the last row then.
pub(in crate::storage) async fn append(
    connection: &mut PgConnection,
    entries: Vec<Entry>,
    last: Option<(u64, Link)>,
) -> Result<(u64, Link), StoreError> {
    let mut last = match last {
        Some(last) => last,
        None => {
            let row = sqlx::query(HEAD).fetch_optional(&mut *connection).await;
            read_last(row.map_err(|e| backend(&e))?.as_ref())?
        }
    };
    let rows = chained(entries, &mut last);
    let kinds = TABLE.columns.iter().map(|(_, kind)| *kind);
    if let Some(arrays) = columns(kinds, rows) {
        execute(connection, sql::append_arrays(&TABLE), arrays).await?;
    }
    Ok(last)
}

/// Erases bodies; what is left to be found by replaces their words.
pub(in crate::storage) async fn erase(
    connection: &mut PgConnection,
    rows: Vec<Indexed>,
) -> Result<(), StoreError> {
    for row in &rows {
        sqlx::query(ERASE)
            .bind(Vec::<u8>::new())
            .bind(signed(row.seq))
            .execute(&mut *connection)
            .await
            .map_err(|e| backend(&e))?;
    }
    index(connection, &rows).await
}

async fn index(connection: &mut PgConnection, rows: &[Indexed]) -> Result<(), StoreError> {
    let numbers: Vec<i64> = rows.iter().map(|row| signed(row.seq)).collect();
    let words: Vec<String> = rows.iter().map(|row| vector(&row.words)).collect();
    let done = sqlx::query(INDEX)
        .bind(numbers)
        .bind(words)
        .execute(connection)
        .await;
    done.map(|_| ()).map_err(|e| backend(&e))
}

/// Words with their positions. No word holds a quote or a backslash.
fn vector(words: &[String]) -> String {
    let mut text = String::new();
    for (at, word) in (1..).zip(words) {
        // Positions end at 16,383 there; writing to a string cannot fail.
        let _ = write!(text, "'{word}':{} ", at.min(16_383));
    }
    text
}

impl Archive for Postgres {
    async fn archive_head(&self) -> Result<(u64, Link), StoreError> {
        let row = sqlx::query(HEAD).fetch_optional(&self.pool).await;
        read_last(row.map_err(|e| backend(&e))?.as_ref())
    }

    async fn archive_rows(&self, above: u64, limit: usize) -> Result<Vec<Row>, StoreError> {
        let rows = sqlx::query(ROWS)
            .bind(signed(above))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await
            .map_err(|e| backend(&e))?;
        rows.iter().map(read).collect()
    }

    async fn archive_find(&self, find: Find) -> Result<Vec<Row>, StoreError> {
        let bounds = Bounds::of(&find);
        let words = expression(&find, '\'', [" <-> ", " & ", " | "]);
        let text = match (find.newest_first, words.is_empty()) {
            (true, true) => NEWEST,
            (false, true) => OLDEST,
            (true, false) => FIND_NEWEST,
            (false, false) => FIND_OLDEST,
        };
        let mut query = sqlx::query(text)
            .bind(bounds.above)
            .bind(bounds.below)
            .bind(bounds.since)
            .bind(bounds.until)
            .bind(bounds.limit);
        if !words.is_empty() {
            query = query.bind(words);
        }
        let rows = query.fetch_all(&self.pool).await;
        rows.map_err(|e| backend(&e))?.iter().map(read).collect()
    }

    async fn archive_indexed(&self) -> Result<u64, StoreError> {
        let row = sqlx::query(INDEXED).fetch_one(&self.pool).await;
        let upto: i64 = row
            .and_then(|row| row.try_get("upto"))
            .map_err(|e| backend(&e))?;
        Ok(u64::try_from(upto).unwrap_or(0))
    }

    async fn archive_index(&self, rows: Vec<Indexed>, upto: u64) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await.map_err(|e| backend(&e))?;
        index(&mut transaction, &rows).await?;
        sqlx::query(SET_INDEXED)
            .bind(signed(upto))
            .execute(&mut *transaction)
            .await
            .map_err(|e| backend(&e))?;
        transaction.commit().await.map_err(|e| backend(&e))
    }

    async fn archive_holds(&self) -> Result<Vec<Hold>, StoreError> {
        let rows = sqlx::query(ALL_HOLDS).fetch_all(&self.pool).await;
        rows.map_err(|e| backend(&e))?
            .iter()
            .map(read_hold)
            .collect()
    }
}
