//! The archive on each storage: rows are appended with the next number and link when a batch is
//! committed, so that the order of the chain is the order of commits and a batch that fails leaves
//! no trace in it.

/// The reading side, the same on both databases but for where it reads, how it writes phrases and the
/// statements that find.
macro_rules! archive_on {
    ($store:ty, $readers:ident, $quote:literal, $signs:expr, $newest:ident, $oldest:ident) => {
        impl $crate::core::archive::Archive for $store {
            async fn archive_head(&self) -> Result<(u64, Link), StoreError> {
                let row = sqlx::query(HEAD).fetch_optional(&self.$readers).await;
                read_last(row.map_err(|e| backend(&e))?.as_ref())
            }

            async fn archive_rows(
                &self,
                above: u64,
                limit: usize,
            ) -> Result<Vec<$crate::core::archive::Row>, StoreError> {
                let rows = sqlx::query(super::ROWS)
                    .bind(signed(above))
                    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
                    .fetch_all(&self.$readers)
                    .await
                    .map_err(|e| backend(&e))?;
                rows.iter().map(super::read).collect()
            }

            async fn archive_find(
                &self,
                find: $crate::core::archive::Find,
            ) -> Result<Vec<$crate::core::archive::Row>, StoreError> {
                let bounds = super::Bounds::of(&find);
                let words = super::expression(&find, $quote, $signs);
                let text = match (find.newest_first, words.is_empty()) {
                    (true, true) => super::NEWEST,
                    (false, true) => super::OLDEST,
                    (true, false) => $newest,
                    (false, false) => $oldest,
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
                let rows = query.fetch_all(&self.$readers).await;
                rows.map_err(|e| backend(&e))?
                    .iter()
                    .map(super::read)
                    .collect()
            }

            async fn archive_indexed(&self) -> Result<u64, StoreError> {
                let row = sqlx::query(super::INDEXED).fetch_one(&self.$readers).await;
                super::read_upto(&row.map_err(|e| backend(&e))?)
            }

            async fn archive_index(&self, rows: Vec<Indexed>, upto: u64) -> Result<(), StoreError> {
                self.index_archive(&rows, upto).await
            }

            async fn archive_holds(&self) -> Result<Vec<$crate::core::archive::Hold>, StoreError> {
                let rows = sqlx::query(super::ALL_HOLDS)
                    .fetch_all(&self.$readers)
                    .await;
                rows.map_err(|e| backend(&e))?
                    .iter()
                    .map(super::read_hold)
                    .collect()
            }
        }
    };
}
mod memory;
mod postgres;
mod sqlite;

pub(super) use memory::Shelf;
pub(super) use {postgres::append as append_postgres, postgres::erase as erase_postgres};
pub(super) use {sqlite::append as append_sqlite, sqlite::erase as erase_sqlite};

use super::entity::table::{Kind, Source, Table, Value, time};
use crate::archive::chain;
use crate::core::archive::{Archive, Entry, Find, Held, Hold, Indexed, Link, Row, START};
use crate::core::port::StoreError;
use crate::core::time::Time;
use std::sync::{Arc, Mutex, PoisonError};

/// Rows of the archive.
pub(super) const TABLE: Table = Table {
    name: "archive",
    columns: &[
        ("seq", Kind::Int),
        ("at", Kind::Int),
        ("head", Kind::Text),
        ("body", Kind::Blob),
        ("link", Kind::Blob),
    ],
    key: 1,
};

/// Legal holds.
pub(super) const HOLDS: Table = Table {
    name: "archive_hold",
    columns: &[
        ("name", Kind::Text),
        ("kind", Kind::Text),
        ("value", Kind::Text),
        ("since", Kind::Int),
        ("who", Kind::Text),
        ("why", Kind::Text),
    ],
    key: 3,
};

const HEAD: &str = "SELECT seq, link FROM archive ORDER BY seq DESC LIMIT 1";
const ROWS: &str =
    "SELECT seq, at, head, body, link FROM archive WHERE seq > $1 ORDER BY seq LIMIT $2";
const NEWEST: &str = "SELECT seq, at, head, body, link FROM archive \
     WHERE seq > $1 AND seq < $2 AND at >= $3 AND at < $4 ORDER BY seq DESC LIMIT $5";
const OLDEST: &str = "SELECT seq, at, head, body, link FROM archive \
     WHERE seq > $1 AND seq < $2 AND at >= $3 AND at < $4 ORDER BY seq LIMIT $5";
const ALL_HOLDS: &str =
    "SELECT name, kind, value, since, who, why FROM archive_hold ORDER BY name, kind, value";
const INDEXED: &str = "SELECT upto FROM archive_indexed";
const SET_INDEXED: &str = "UPDATE archive_indexed SET upto = $1";
const ERASE: &str = "UPDATE archive SET body = $1 WHERE seq = $2";

/// Number and link of the last row, as this process committed it; read again after a failure.
#[derive(Debug, Clone, Default)]
pub(super) struct LastRow(Arc<Mutex<Option<(u64, Link)>>>);

impl LastRow {
    /// Takes it out for a commit: unless that succeeds, it is not known any more.
    pub(super) fn take(&self) -> Option<(u64, Link)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The commit has succeeded.
    pub(super) fn set(&self, last: Option<(u64, Link)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }
}

/// Entries as rows behind `last`, which moves along.
fn chained(entries: Vec<Entry>, last: &mut (u64, Link)) -> Vec<Vec<Value>> {
    let row = |entry: Entry| {
        let row = next(entry, last);
        vec![
            Value::Int(signed(row.seq)),
            Value::Int(time(row.at)),
            Value::Text(row.head),
            Value::Blob(row.body.into()),
            Value::Blob(row.link.to_vec()),
        ]
    };
    entries.into_iter().map(row).collect()
}

fn next(entry: Entry, last: &mut (u64, Link)) -> Row {
    let seq = last.0 + 1;
    let link = chain::link(&last.1, seq, &entry.head);
    *last = (seq, link);
    Row {
        seq,
        at: entry.at,
        head: entry.head,
        body: entry.body,
        link,
    }
}

/// Numbers of rows stay far below 2^63.
fn signed(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "errors and literals are passed as they come"
)]
fn broken(column: &'static str, key: &str, reason: impl ToString) -> StoreError {
    StoreError::Broken {
        table: "archive",
        column,
        key: key.to_owned(),
        reason: reason.to_string(),
    }
}

fn read(row: &impl Source) -> Result<Row, StoreError> {
    let number = row.int("seq").map_err(|e| broken("seq", "?", e))?;
    let key = number.to_string();
    let at = row.int("at").map_err(|e| broken("at", &key, e))?;
    let link = row.blob("link").map_err(|e| broken("link", &key, e))?;
    Ok(Row {
        seq: u64::try_from(number).map_err(|e| broken("seq", &key, e))?,
        at: Time(u64::try_from(at).map_err(|e| broken("at", &key, e))?),
        head: row.text("head").map_err(|e| broken("head", &key, e))?,
        body: row
            .blob("body")
            .map_err(|e| broken("body", &key, e))?
            .into(),
        link: as_link(&link).ok_or_else(|| broken("link", &key, "not 32 octets"))?,
    })
}

fn read_last(row: Option<&impl Source>) -> Result<(u64, Link), StoreError> {
    let Some(row) = row else {
        return Ok((0, START));
    };
    let number = row.int("seq").map_err(|e| broken("seq", "?", e))?;
    let key = number.to_string();
    let link = row.blob("link").map_err(|e| broken("link", &key, e))?;
    let link = as_link(&link).ok_or_else(|| broken("link", &key, "not 32 octets"))?;
    Ok((
        u64::try_from(number).map_err(|e| broken("seq", &key, e))?,
        link,
    ))
}

fn read_upto(row: &impl Source) -> Result<u64, StoreError> {
    let upto = row.int("upto").map_err(|e| broken("upto", "indexed", e))?;
    u64::try_from(upto).map_err(|e| broken("upto", "indexed", e))
}

fn as_link(octets: &[u8]) -> Option<Link> {
    octets.try_into().ok()
}

fn read_hold(row: &impl Source) -> Result<Hold, StoreError> {
    let case = row.text("name").map_err(|e| broken("name", "?", e))?;
    let text = |column| row.text(column).map_err(|e| broken(column, &case, e));
    let (kind, value) = (text("kind")?, text("value")?);
    let since = row.int("since").map_err(|e| broken("since", &case, e))?;
    Ok(Hold {
        held: Held::from_parts(&kind, &value)
            .ok_or_else(|| broken("kind", &case, format!("{kind:?} is no kind of hold")))?,
        since: Time(u64::try_from(since).map_err(|e| broken("since", &case, e))?),
        who: text("who")?,
        why: text("why")?,
        case,
    })
}

/// A hold as a row.
pub(super) fn hold_values(hold: &Hold) -> Vec<Value> {
    let mut values = hold_key(&hold.case, &hold.held);
    values.push(Value::Int(time(hold.since)));
    values.push(Value::Text(hold.who.clone()));
    values.push(Value::Text(hold.why.clone()));
    values
}

/// A hold's key.
pub(super) fn hold_key(case: &str, held: &Held) -> Vec<Value> {
    let (kind, value) = held.parts();
    [case, kind, value]
        .map(|part| Value::Text(part.to_owned()))
        .into()
}

/// What limits a search besides words, as SQL is given it.
struct Bounds {
    above: i64,
    below: i64,
    since: i64,
    until: i64,
    limit: i64,
}

impl Bounds {
    fn of(find: &Find) -> Self {
        Self {
            above: signed(find.above),
            below: find.below.map_or(i64::MAX, signed),
            since: find.since.map_or(0, time),
            until: find.until.map_or(i64::MAX, time),
            limit: i64::try_from(find.limit).unwrap_or(i64::MAX),
        }
    }
}

/// Phrases and alternatives joined in a storage's own words for "side by side", "and", "or".
fn expression(find: &Find, quote: char, [beside, and, or]: [&str; 3]) -> String {
    let quoted = |word: &String| format!("{quote}{word}{quote}");
    let joined = |words: &[String], sign: &str| {
        let all: Vec<String> = words.iter().map(quoted).collect();
        format!("({})", all.join(sign))
    };
    let phrases = find.phrases.iter().filter(|phrase| !phrase.is_empty());
    let mut parts: Vec<String> = phrases.map(|phrase| joined(phrase, beside)).collect();
    if !find.any.is_empty() {
        parts.push(joined(&find.any, or));
    }
    parts.join(and)
}

macro_rules! delegate {
    ($self:ident, $store:ident => $call:expr) => {
        match $self {
            super::Database::Sqlite($store) => $call.await,
            super::Database::Postgres($store) => $call.await,
            super::Database::Memory($store) => $call.await,
        }
    };
}

impl Archive for super::Database {
    async fn archive_head(&self) -> Result<(u64, Link), StoreError> {
        delegate!(self, store => store.archive_head())
    }

    async fn archive_rows(&self, above: u64, limit: usize) -> Result<Vec<Row>, StoreError> {
        delegate!(self, store => store.archive_rows(above, limit))
    }

    async fn archive_find(&self, find: Find) -> Result<Vec<Row>, StoreError> {
        delegate!(self, store => store.archive_find(find))
    }

    async fn archive_indexed(&self) -> Result<u64, StoreError> {
        delegate!(self, store => store.archive_indexed())
    }

    async fn archive_index(&self, rows: Vec<Indexed>, upto: u64) -> Result<(), StoreError> {
        delegate!(self, store => store.archive_index(rows, upto))
    }

    async fn archive_holds(&self) -> Result<Vec<Hold>, StoreError> {
        delegate!(self, store => store.archive_holds())
    }
}
