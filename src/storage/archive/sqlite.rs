//! The archive on SQLite: full text by FTS5, contentless, with the words that we made.

use super::{ERASE, HEAD, SET_INDEXED, TABLE, chained, read_last, signed};
use crate::core::archive::{Entry, Indexed, Link};
use crate::core::port::StoreError;
use crate::storage::sql;
use crate::storage::sqlite::{Sqlite, backend, chunks};
use sqlx::sqlite::SqliteConnection;

const FIND_NEWEST: &str = "SELECT a.seq, a.at, a.head, a.body, a.link \
     FROM archive_words JOIN archive AS a ON a.seq = archive_words.rowid \
     WHERE archive_words MATCH $6 AND archive_words.rowid > $1 AND archive_words.rowid < $2 \
     AND a.at >= $3 AND a.at < $4 ORDER BY archive_words.rowid DESC LIMIT $5";
const FIND_OLDEST: &str = "SELECT a.seq, a.at, a.head, a.body, a.link \
     FROM archive_words JOIN archive AS a ON a.seq = archive_words.rowid \
     WHERE archive_words MATCH $6 AND archive_words.rowid > $1 AND archive_words.rowid < $2 \
     AND a.at >= $3 AND a.at < $4 ORDER BY archive_words.rowid LIMIT $5";
const INDEX: &str = "INSERT OR REPLACE INTO archive_words (rowid, words) VALUES ($1, $2)";

/// Appends rows behind `last`, or behind what the table holds; the last row then.
pub(in crate::storage) async fn append(
    connection: &mut SqliteConnection,
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
    chunks(connection, rows, |n| sql::append_values(&TABLE, n)).await?;
    Ok(last)
}

/// Erases bodies; what is left to be found by replaces their words.
pub(in crate::storage) async fn erase(
    connection: &mut SqliteConnection,
    rows: Vec<Indexed>,
) -> Result<(), StoreError> {
    for row in rows {
        sqlx::query(ERASE)
            .bind(Vec::<u8>::new())
            .bind(signed(row.seq))
            .execute(&mut *connection)
            .await
            .map_err(|e| backend(&e))?;
        index(connection, &row).await?;
    }
    Ok(())
}

async fn index(connection: &mut SqliteConnection, row: &Indexed) -> Result<(), StoreError> {
    let done = sqlx::query(INDEX)
        .bind(signed(row.seq))
        .bind(row.words.join(" "))
        .execute(&mut *connection)
        .await;
    done.map(|_| ()).map_err(|e| backend(&e))
}

archive_on!(
    Sqlite,
    readers,
    '"',
    [" + ", " AND ", " OR "],
    FIND_NEWEST,
    FIND_OLDEST
);

impl Sqlite {
    async fn index_archive(&self, rows: &[Indexed], upto: u64) -> Result<(), StoreError> {
        let mut transaction = self
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|e| backend(&e))?;
        for row in rows {
            index(&mut transaction, row).await?;
        }
        sqlx::query(SET_INDEXED)
            .bind(signed(upto))
            .execute(&mut *transaction)
            .await
            .map_err(|e| backend(&e))?;
        transaction.commit().await.map_err(|e| backend(&e))
    }
}
