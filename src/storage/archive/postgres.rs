//! The archive on PostgreSQL: full text by `tsvector`, made of the words that we made, so that no
//! dictionary of the database decides what is found.

use super::{ERASE, HEAD, SET_INDEXED, TABLE, chained, read_last, signed};
use crate::core::archive::{Entry, Indexed, Link};
use crate::core::port::StoreError;
use crate::storage::postgres::{Postgres, backend, columns, execute};
use crate::storage::sql;
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

archive_on!(
    Postgres,
    pool,
    '\'',
    [" <-> ", " & ", " | "],
    FIND_NEWEST,
    FIND_OLDEST
);

impl Postgres {
    async fn index_archive(&self, rows: &[Indexed], upto: u64) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await.map_err(|e| backend(&e))?;
        index(&mut transaction, rows).await?;
        sqlx::query(SET_INDEXED)
            .bind(signed(upto))
            .execute(&mut *transaction)
            .await
            .map_err(|e| backend(&e))?;
        transaction.commit().await.map_err(|e| backend(&e))
    }
}
