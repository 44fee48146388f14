//! What all entities share: a table's description, values to write and columns to read. SQL is
//! composed from these descriptions alone, in [`super::super::sql`].

use crate::core::port::StoreError;
use sqlx::Row;

/// The kind of a column, the same on both databases.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::storage) enum Kind {
    /// 64 bits, signed.
    Int,
    /// The same, or null.
    MaybeInt,
    /// Octets.
    Blob,
    /// UTF-8.
    Text,
}

/// One table. The first `key` columns are its primary key.
#[derive(Debug)]
pub(in crate::storage) struct Table {
    /// Its name.
    pub(in crate::storage) name: &'static str,
    /// Its columns, in the order in which [`Value`]s are given.
    pub(in crate::storage) columns: &'static [(&'static str, Kind)],
    /// How many of them are the key.
    pub(in crate::storage) key: usize,
}

/// One value of one row.
#[derive(Clone, Debug)]
pub(in crate::storage) enum Value {
    /// For [`Kind::Int`].
    Int(i64),
    /// For [`Kind::MaybeInt`].
    MaybeInt(Option<i64>),
    /// For [`Kind::Blob`].
    Blob(Vec<u8>),
    /// For [`Kind::Text`].
    Text(String),
}

/// A row as read from either database.
pub(in crate::storage) trait Source {
    /// An integer column.
    fn int(&self, column: &'static str) -> Result<i64, sqlx::Error>;
    /// An integer column that may be null.
    fn maybe_int(&self, column: &'static str) -> Result<Option<i64>, sqlx::Error>;
    /// An octet column.
    fn blob(&self, column: &'static str) -> Result<Vec<u8>, sqlx::Error>;
    /// A text column.
    fn text(&self, column: &'static str) -> Result<String, sqlx::Error>;
}

macro_rules! source {
    ($row:ty) => {
        impl Source for $row {
            fn int(&self, column: &'static str) -> Result<i64, sqlx::Error> {
                self.try_get(column)
            }
            fn maybe_int(&self, column: &'static str) -> Result<Option<i64>, sqlx::Error> {
                self.try_get(column)
            }
            fn blob(&self, column: &'static str) -> Result<Vec<u8>, sqlx::Error> {
                self.try_get(column)
            }
            fn text(&self, column: &'static str) -> Result<String, sqlx::Error> {
                self.try_get(column)
            }
        }
    };
}
source!(sqlx::sqlite::SqliteRow);
source!(sqlx::postgres::PgRow);

/// Reads one row's columns and words what is wrong with them.
pub(in crate::storage) struct Reader<'a, S> {
    row: &'a S,
    table: &'static str,
    key: String,
}

impl<'a, S: Source> Reader<'a, S> {
    /// A reader of a row of that table; `key` names the row in errors.
    pub(in crate::storage) fn new(row: &'a S, table: &'static str) -> Self {
        let key = row.blob("person").map(|octets| hex(&octets));
        Self {
            row,
            table,
            key: key.unwrap_or_else(|_| "?".to_owned()),
        }
    }

    /// Names the row further than by its person.
    pub(in crate::storage) fn also(&mut self, part: &dyn std::fmt::Display) {
        self.key = format!("{}/{part}", self.key);
    }

    /// That column is wrong.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "errors and literals are passed as they come"
    )]
    pub(in crate::storage) fn broken(
        &self,
        column: &'static str,
        reason: impl ToString,
    ) -> StoreError {
        StoreError::Broken {
            table: self.table,
            column,
            key: self.key.clone(),
            reason: reason.to_string(),
        }
    }

    /// Octets.
    pub(in crate::storage) fn blob(&self, column: &'static str) -> Result<Vec<u8>, StoreError> {
        self.row.blob(column).map_err(|e| self.broken(column, e))
    }

    /// Text.
    pub(in crate::storage) fn text(&self, column: &'static str) -> Result<String, StoreError> {
        self.row.text(column).map_err(|e| self.broken(column, e))
    }

    /// An integer of the wanted width.
    pub(in crate::storage) fn int<T: TryFrom<i64>>(
        &self,
        column: &'static str,
    ) -> Result<T, StoreError> {
        let value = self.row.int(column).map_err(|e| self.broken(column, e))?;
        T::try_from(value).map_err(|_| self.broken(column, format!("{value} is out of range")))
    }

    /// The same, or null.
    pub(in crate::storage) fn maybe_int<T: TryFrom<i64>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let value = self.row.maybe_int(column);
        let value = value.map_err(|e| self.broken(column, e))?;
        let Some(value) = value else {
            return Ok(None);
        };
        T::try_from(value)
            .map(Some)
            .map_err(|_| self.broken(column, format!("{value} is out of range")))
    }

    /// 128 bits, big-endian.
    pub(in crate::storage) fn wide(&self, column: &'static str) -> Result<u128, StoreError> {
        let octets = self.blob(column)?;
        let octets: [u8; 16] = octets
            .try_into()
            .map_err(|_| self.broken(column, "not 16 octets"))?;
        Ok(u128::from_be_bytes(octets))
    }

    /// A JSON document of the wanted shape.
    pub(in crate::storage) fn body<T: serde::de::DeserializeOwned>(
        &self,
        column: &'static str,
    ) -> Result<T, StoreError> {
        let text = self.text(column)?;
        serde_json::from_str(&text).map_err(|e| self.broken(column, e))
    }

    /// A stack's name.
    pub(in crate::storage) fn stack(&self) -> Result<crate::core::id::Stack, StoreError> {
        let name = self.text("stack")?;
        if name.is_empty() || name.len() > 8 {
            return Err(self.broken("stack", "not 1 to 8 octets"));
        }
        Ok(crate::core::id::Stack::named(&name))
    }
}

/// 128 bits, big-endian.
pub(in crate::storage) fn wide(value: u128) -> Value {
    Value::Blob(value.to_be_bytes().to_vec())
}

/// Milliseconds; a time beyond what a signed number holds is "never".
pub(in crate::storage) fn time(value: crate::core::time::Time) -> i64 {
    i64::try_from(value.0).unwrap_or(i64::MAX)
}

/// A span in whole milliseconds, saturating.
pub(in crate::storage) fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A body as JSON.
pub(in crate::storage) fn json(body: &impl serde::Serialize) -> Result<Value, StoreError> {
    serde_json::to_string(body)
        .map(Value::Text)
        .map_err(|e| StoreError::Backend(format!("encoding a row: {e}")))
}

fn hex(octets: &[u8]) -> String {
    use std::fmt::Write;
    octets.iter().fold(String::new(), |mut text, octet| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}
