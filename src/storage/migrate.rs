//! Numbered, append-only migrations, the same numbers on both databases. The text of each that was
//! applied is kept beside its number: one that was changed afterwards is an error, and so is a
//! schema newer than this program.

use crate::core::port::StoreError;

/// One migration.
pub(super) struct Migration {
    pub(super) number: i64,
    pub(super) sql: &'static str,
}

macro_rules! migrations {
    ($database:literal: $($number:literal $file:literal),+ $(,)?) => {
        &[$(Migration {
            number: $number,
            sql: include_str!(concat!("../../migrations/", $database, "/", $file)),
        }),+]
    };
}

/// For SQLite.
pub(super) const SQLITE: &[Migration] = migrations!("sqlite":
    1 "0001_start.sql",
    2 "0002_presence_change.sql",
    3 "0003_nodes.sql",
    4 "0004_property_fallback.sql",
    5 "0005_documents.sql",
    6 "0006_archive.sql",
    7 "0007_devices.sql",
    8 "0008_conversations.sql",
    9 "0009_filters.sql",
);
/// For PostgreSQL.
pub(super) const POSTGRES: &[Migration] = migrations!("postgres":
    1 "0001_start.sql",
    2 "0002_presence_change.sql",
    3 "0003_nodes.sql",
    4 "0004_property_fallback.sql",
    5 "0005_documents.sql",
    6 "0006_archive.sql",
    7 "0007_devices.sql",
    8 "0008_conversations.sql",
    9 "0009_filters.sql",
);

/// Which of `known` are still to be applied to a schema that has `applied` (number and text, in
/// order).
pub(super) fn outstanding<'a>(
    known: &'a [Migration],
    applied: &[(i64, String)],
) -> Result<&'a [Migration], StoreError> {
    for (at, (number, text)) in applied.iter().enumerate() {
        let Some(migration) = known.get(at) else {
            return Err(StoreError::Backend(format!(
                "the database has schema {number}, newer than this program knows ({}); use a newer program",
                known.len()
            )));
        };
        if migration.number != *number || migration.sql != text {
            return Err(StoreError::Backend(format!(
                "migration {number} was applied with another text than this program has"
            )));
        }
    }
    Ok(known.get(applied.len()..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_databases_have_the_same_numbers_without_gaps() {
        let numbers = |all: &[Migration]| all.iter().map(|m| m.number).collect::<Vec<_>>();
        assert_eq!(numbers(SQLITE), numbers(POSTGRES));
        let count = i64::try_from(SQLITE.len()).unwrap();
        assert_eq!(numbers(SQLITE), (1..=count).collect::<Vec<_>>());
    }

    #[test]
    fn a_newer_schema_and_a_changed_migration_are_refused() {
        let applied: Vec<_> = SQLITE
            .iter()
            .map(|m| (m.number, m.sql.to_owned()))
            .collect();
        assert!(outstanding(SQLITE, &applied).unwrap().is_empty());
        assert_eq!(outstanding(SQLITE, &[]).unwrap().len(), SQLITE.len());
        let mut newer = applied.clone();
        newer.push((99, "CREATE".to_owned()));
        let error = outstanding(SQLITE, &newer).err().unwrap().to_string();
        assert!(error.contains("newer than this program"), "{error}");
        let changed = vec![(1, "-- other".to_owned())];
        let error = outstanding(SQLITE, &changed).err().unwrap().to_string();
        assert!(error.contains("another text"), "{error}");
    }
}
