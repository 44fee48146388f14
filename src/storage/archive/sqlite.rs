//! The archive on SQLite: full text by FTS5, contentless, with the words that we made.

use super::{
    ALL_HOLDS, Bounds, ERASE, HEAD, INDEXED, NEWEST, OLDEST, ROWS, SET_INDEXED, TABLE, chained,
    expression, read, read_hold, read_last, signed,
};
use crate::core::archive::{Archive, Entry, Find, Hold, Indexed, Link, Row};
use crate::core::port::StoreError;
use crate::storage::sql;
use crate::storage::sqlite::{Sqlite, backend, chunks};
use sqlx::Row as _;
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

impl Archive for Sqlite {
    async fn archive_head(&self) -> Result<(u64, Link), StoreError> {
        let row = sqlx::query(HEAD).fetch_optional(&self.readers).await;
        read_last(row.map_err(|e| backend(&e))?.as_ref())
    }

    async fn archive_rows(&self, above: u64, limit: usize) -> Result<Vec<Row>, StoreError> {
        let rows = sqlx::query(ROWS)
            .bind(signed(above))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.readers)
            .await
            .map_err(|e| backend(&e))?;
        rows.iter().map(read).collect()
    }

    async fn archive_find(&self, find: Find) -> Result<Vec<Row>, StoreError> {
        let bounds = Bounds::of(&find);
        let words = expression(&find, '"', [" + ", " AND ", " OR "]);
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
        let rows = query.fetch_all(&self.readers).await;
        rows.map_err(|e| backend(&e))?.iter().map(read).collect()
    }

    async fn archive_indexed(&self) -> Result<u64, StoreError> {
        let row = sqlx::query(INDEXED).fetch_one(&self.readers).await;
        let upto: i64 = row
            .and_then(|row| row.try_get("upto"))
            .map_err(|e| backend(&e))?;
        Ok(u64::try_from(upto).unwrap_or(0))
    }

    async fn archive_index(&self, rows: Vec<Indexed>, upto: u64) -> Result<(), StoreError> {
        let mut transaction = self
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|e| backend(&e))?;
        for row in &rows {
            index(&mut transaction, row).await?;
        }
        sqlx::query(SET_INDEXED)
            .bind(signed(upto))
            .execute(&mut *transaction)
            .await
            .map_err(|e| backend(&e))?;
        transaction.commit().await.map_err(|e| backend(&e))
    }

    async fn archive_holds(&self) -> Result<Vec<Hold>, StoreError> {
        let rows = sqlx::query(ALL_HOLDS).fetch_all(&self.readers).await;
        rows.map_err(|e| backend(&e))?
            .iter()
            .map(read_hold)
            .collect()
    }
}
