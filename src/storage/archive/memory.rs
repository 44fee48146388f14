//! The archive in memory: the plainest statement of what finding means.

use super::next;
use crate::core::archive::{Archive, Entry, Find, Hold, Indexed, Link, Row, START};
use crate::core::port::{StoreError, Write};
use crate::storage::Memory;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Rows, words and holds.
#[derive(Debug, Clone, Default)]
pub(in crate::storage) struct Shelf {
    rows: Vec<Row>,
    words: BTreeMap<u64, Vec<String>>,
    upto: u64,
    holds: Vec<Hold>,
}

impl Shelf {
    fn last(&self) -> (u64, Link) {
        self.rows
            .last()
            .map_or((0, START), |row| (row.seq, row.link))
    }

    /// Appends a row.
    pub(in crate::storage) fn append(&mut self, entry: Entry) {
        let mut last = self.last();
        self.rows.push(next(entry, &mut last));
    }

    /// The other writes about the archive.
    pub(in crate::storage) fn apply(&mut self, write: Write) {
        match write {
            Write::EraseArchive(erased) => {
                for indexed in erased {
                    if let Some(row) = self.rows.iter_mut().find(|row| row.seq == indexed.seq) {
                        row.body = Bytes::new();
                    }
                    self.words.insert(indexed.seq, indexed.words);
                }
            }
            Write::PutHold(hold) => {
                let same = |old: &Hold| old.case == hold.case && old.held == hold.held;
                self.holds.retain(|old| !same(old));
                self.holds.push(hold);
                self.holds
                    .sort_by(|a, b| (&a.case, a.held.parts()).cmp(&(&b.case, b.held.parts())));
            }
            Write::DeleteHold(case, held) => {
                self.holds
                    .retain(|old| old.case != case || old.held != held);
            }
            // Nothing else is about the archive.
            _ => {}
        }
    }

    fn find(&self, find: &Find) -> Vec<Row> {
        let fits = |row: &&Row| {
            row.seq > find.above
                && find.below.is_none_or(|below| row.seq < below)
                && find.since.is_none_or(|since| row.at >= since)
                && find.until.is_none_or(|until| row.at < until)
                && self.has(row.seq, find)
        };
        let rows = self.rows.iter().filter(fits);
        if find.newest_first {
            rows.rev().take(find.limit).cloned().collect()
        } else {
            rows.take(find.limit).cloned().collect()
        }
    }

    fn has(&self, seq: u64, find: &Find) -> bool {
        if find.phrases.is_empty() && find.any.is_empty() {
            return true;
        }
        let Some(words) = self.words.get(&seq) else {
            return false;
        };
        let phrase = |phrase: &Vec<String>| {
            phrase.is_empty() || words.windows(phrase.len()).any(|window| window == phrase)
        };
        let any = find.any.is_empty() || find.any.iter().any(|word| words.contains(word));
        any && find.phrases.iter().all(phrase)
    }
}

impl Archive for Memory {
    async fn archive_head(&self) -> Result<(u64, Link), StoreError> {
        Ok(self.lock().archive.last())
    }

    async fn archive_rows(&self, above: u64, limit: usize) -> Result<Vec<Row>, StoreError> {
        let state = self.lock();
        let rows = state.archive.rows.iter().filter(|row| row.seq > above);
        Ok(rows.take(limit).cloned().collect())
    }

    async fn archive_find(&self, find: Find) -> Result<Vec<Row>, StoreError> {
        Ok(self.lock().archive.find(&find))
    }

    async fn archive_indexed(&self) -> Result<u64, StoreError> {
        Ok(self.lock().archive.upto)
    }

    async fn archive_index(&self, rows: Vec<Indexed>, upto: u64) -> Result<(), StoreError> {
        let shelf = &mut self.lock().archive;
        shelf
            .words
            .extend(rows.into_iter().map(|row| (row.seq, row.words)));
        shelf.upto = upto;
        Ok(())
    }

    async fn archive_holds(&self) -> Result<Vec<Hold>, StoreError> {
        Ok(self.lock().archive.holds.clone())
    }
}
