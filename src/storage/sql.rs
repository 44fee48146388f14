//! The one place where SQL is composed (`decisions.md` 36): from the constant table descriptions
//! only, never from values.

use super::entity::table::{Kind, Table};
use super::plan::TOUCHED;
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};
use std::fmt::Write;

fn audited(text: String) -> SqlStr {
    AssertSqlSafe(text).into_sql_str()
}

/// Rows of a whole table, or of one person.
pub(super) fn select(table: &Table, whose: Whose) -> SqlStr {
    let columns: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    let mut text = format!("SELECT {} FROM {}", columns.join(", "), table.name);
    text.push_str(match whose {
        Whose::Everybody => "",
        Whose::One => " WHERE person = $1",
        Whose::Live => {
            " WHERE person IN (SELECT person FROM point UNION SELECT person FROM publication \
             UNION SELECT person FROM watch UNION SELECT person FROM kept \
             UNION SELECT person FROM conversation)"
        }
    });
    text.push_str(" ORDER BY ");
    text.push_str(&columns[..table.key].join(", "));
    audited(text)
}

/// Whose rows [`select`] reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whose {
    /// All rows.
    Everybody,
    /// Parameter 1.
    One,
    /// Of people with live state.
    Live,
}

/// All rows of one person away.
pub(super) fn delete_person(table: &Table) -> SqlStr {
    audited(format!("DELETE FROM {} WHERE person = $1", table.name))
}

/// `count` rows with plain placeholders, row after row.
pub(super) fn put_values(table: &Table, count: usize) -> SqlStr {
    let columns = names(table.columns);
    let values = tuples(table.columns.len(), count);
    let mut text = format!("INSERT INTO {} ({columns}) VALUES {values}", table.name);
    on_conflict(table, &mut text);
    audited(text)
}

/// `count` new rows with plain placeholders; one that is there is an error.
pub(super) fn append_values(table: &Table, count: usize) -> SqlStr {
    let columns = names(table.columns);
    let values = tuples(table.columns.len(), count);
    audited(format!(
        "INSERT INTO {} ({columns}) VALUES {values}",
        table.name
    ))
}

/// `count` keys with plain placeholders.
pub(super) fn delete_values(table: &Table, count: usize) -> SqlStr {
    let keys = names(&table.columns[..table.key]);
    let values = tuples(table.key, count);
    audited(format!(
        "DELETE FROM {} WHERE ({keys}) IN (VALUES {values})",
        table.name
    ))
}

/// `count` keys, each followed by the new `expires`, with plain placeholders (SQLite names the
/// columns of VALUES `column1` and so on).
pub(super) fn touch_values(table: &Table, count: usize) -> SqlStr {
    let mut text = format!(
        "UPDATE {} SET {} = given.column{} FROM (VALUES {}) AS given WHERE true",
        table.name,
        TOUCHED.0,
        table.key + 1,
        tuples(table.key + 1, count)
    );
    for (number, (name, _)) in (1..).zip(&table.columns[..table.key]) {
        let _ = write!(text, " AND {}.{name} = given.column{number}", table.name);
    }
    audited(text)
}

/// Rows as one array per column (PostgreSQL).
pub(super) fn put_arrays(table: &Table) -> SqlStr {
    let mut text = format!(
        "INSERT INTO {} ({}) SELECT * FROM UNNEST({})",
        table.name,
        names(table.columns),
        arrays(table.columns.iter().map(|(_, kind)| *kind))
    );
    on_conflict(table, &mut text);
    audited(text)
}

/// New rows as one array per column (PostgreSQL); one that is there is an error.
pub(super) fn append_arrays(table: &Table) -> SqlStr {
    audited(format!(
        "INSERT INTO {} ({}) SELECT * FROM UNNEST({})",
        table.name,
        names(table.columns),
        arrays(table.columns.iter().map(|(_, kind)| *kind))
    ))
}

/// Keys as one array per column (PostgreSQL).
pub(super) fn delete_arrays(table: &Table) -> SqlStr {
    let keys = &table.columns[..table.key];
    let mut text = format!(
        "DELETE FROM {} USING UNNEST({}) AS given ({}) WHERE true",
        table.name,
        arrays(keys.iter().map(|(_, kind)| *kind)),
        names(keys)
    );
    same_key(table, &mut text);
    audited(text)
}

/// Keys and the new `expires` as one array per column (PostgreSQL).
pub(super) fn touch_arrays(table: &Table) -> SqlStr {
    let keys = &table.columns[..table.key];
    let kinds = keys.iter().map(|(_, kind)| *kind).chain([TOUCHED.1]);
    let mut text = format!(
        "UPDATE {} SET {touched} = given.{touched} FROM UNNEST({}) AS given ({}, {touched}) \
         WHERE true",
        table.name,
        arrays(kinds),
        names(keys),
        touched = TOUCHED.0,
    );
    same_key(table, &mut text);
    audited(text)
}

fn names(columns: &[(&str, Kind)]) -> String {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

fn tuples(width: usize, count: usize) -> String {
    let tuple = format!("({})", vec!["?"; width].join(", "));
    vec![tuple; count].join(", ")
}

fn arrays(kinds: impl Iterator<Item = Kind>) -> String {
    let array = |(number, kind): (usize, Kind)| {
        let name = match kind {
            Kind::Int | Kind::MaybeInt => "BIGINT",
            Kind::Blob => "BYTEA",
            Kind::Text => "TEXT",
        };
        format!("${number}::{name}[]")
    };
    let all: Vec<String> = (1..).zip(kinds).map(array).collect();
    all.join(", ")
}

fn same_key(table: &Table, text: &mut String) {
    for (name, _) in &table.columns[..table.key] {
        // Writing to a string cannot fail.
        let _ = write!(text, " AND {}.{name} = given.{name}", table.name);
    }
}

fn on_conflict(table: &Table, text: &mut String) {
    let set: Vec<String> = table.columns[table.key..]
        .iter()
        .map(|(name, _)| format!("{name} = excluded.{name}"))
        .collect();
    let _ = write!(
        text,
        " ON CONFLICT ({}) DO UPDATE SET {}",
        names(&table.columns[..table.key]),
        set.join(", ")
    );
}
