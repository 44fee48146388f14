//! Walks a chain and names every row that was altered, removed or moved. Flat memory: what is kept
//! of rows that are gone by is one link and the ranges of erased bodies.

use super::chain::{digest, hex, link};
use super::record::{Head, head};
use super::seal::Seal;
use crate::core::archive::{Link, Row, START};
use serde::{Deserialize, Serialize};

/// Faults that are named; the others are counted.
const NAMED: usize = 1_000;

/// One thing wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// The first row it is about.
    pub seq: u64,
    /// What.
    pub what: String,
}

/// What a check came to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Rows looked at.
    pub rows: u64,
    /// The last row's number.
    pub last: u64,
    /// The last row's link, in hexadecimal.
    pub link: String,
    /// Bodies that are gone with a journalled reason.
    pub erased: u64,
    /// Seals that were checked.
    pub seals: usize,
    /// What is wrong, the first thousand.
    pub faults: Vec<Fault>,
    /// How much is wrong.
    pub wrong: u64,
}

/// A check under way: rows are fed in order of their numbers.
#[derive(Debug)]
pub struct Verifier {
    seals: Vec<Seal>,
    previous: Link,
    report: Report,
    /// Rows whose bodies are missing, and rows whose bodies a journal row says are erased.
    missing: Ranges,
    journalled: Ranges,
}

impl Verifier {
    /// With the seals that the chain must agree with.
    pub fn new(mut seals: Vec<Seal>) -> Self {
        seals.sort_by_key(|seal| seal.seq);
        let report = Report {
            seals: seals.len(),
            ..Report::default()
        };
        Self {
            seals,
            previous: START,
            report,
            missing: Ranges::default(),
            journalled: Ranges::default(),
        }
    }

    /// The next row.
    pub fn row(&mut self, row: &Row) {
        let expected = self.report.last + 1;
        if row.seq > expected {
            let what = match row.seq - expected {
                1 => "is missing: it was removed".to_owned(),
                _ => format!(
                    "and those up to {} are missing: they were removed",
                    row.seq - 1
                ),
            };
            self.fault(expected, what);
        }
        // Behind a gap the row before is not known; its own link tells the next one.
        let follows = row.seq == expected;
        if follows && link(&self.previous, row.seq, &row.head) != row.link {
            let before = row.seq - 1;
            self.fault(
                row.seq,
                format!("does not follow row {before}: one of them was altered or moved"),
            );
        }
        self.content(row);
        self.sealed(row);
        self.previous = row.link;
        self.report.last = row.seq;
        self.report.rows += 1;
    }

    fn content(&mut self, row: &Row) {
        match head(row) {
            Err(error) => self.fault(row.seq, format!("can't be read: {error}")),
            Ok(Head::Message(head)) => {
                if head.at != row.at.0 {
                    self.fault(
                        row.seq,
                        "has another time than its head: it was altered".into(),
                    );
                }
                if head.is_erased(row) {
                    self.missing.add(row.seq, row.seq);
                } else if hex(&digest(&row.body)) != head.body {
                    self.fault(
                        row.seq,
                        "has another body than it had: it was altered".into(),
                    );
                }
            }
            Ok(Head::Result(head)) => self.plain(row, head.at),
            Ok(Head::Journal(head)) => {
                self.plain(row, head.at);
                for (first, last) in head.erased {
                    self.journalled.add(first, last);
                }
            }
        }
    }

    fn plain(&mut self, row: &Row, at: u64) {
        if at != row.at.0 || !row.body.is_empty() {
            self.fault(
                row.seq,
                "has another time or body than it had: it was altered".into(),
            );
        }
    }

    fn sealed(&mut self, row: &Row) {
        let due = self.seals.iter().position(|seal| seal.seq == row.seq);
        if let Some(seal) = due.map(|at| self.seals.remove(at))
            && seal.link != hex(&row.link)
        {
            let what = format!(
                "is not the one that was sealed on {}: the chain up to it was written anew",
                seal.at
            );
            self.fault(row.seq, what);
        }
    }

    fn fault(&mut self, seq: u64, what: String) {
        self.report.wrong += 1;
        if self.report.faults.len() < NAMED {
            self.report.faults.push(Fault { seq, what });
        }
    }

    /// After the last row.
    pub fn end(mut self) -> Report {
        for seal in std::mem::take(&mut self.seals) {
            let what = if seal.seq > self.report.last {
                format!(
                    "is sealed on {} and missing: rows behind {} were removed",
                    seal.at, self.report.last
                )
            } else {
                format!("is sealed on {} and missing", seal.at)
            };
            self.fault(seal.seq, what);
        }
        let (missing, journalled) = (self.missing.sorted(), self.journalled.sorted());
        for (first, last) in missing {
            for (from, to) in uncovered((first, last), &journalled) {
                for seq in from..=to {
                    self.fault(seq, "has lost its body, and no journal says why".into());
                }
            }
            self.report.erased += last - first + 1;
        }
        self.report.link = hex(&self.previous);
        self.report
    }
}

/// Ranges of numbers, joined where they touch in the order they come.
#[derive(Debug, Default)]
struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    fn add(&mut self, first: u64, last: u64) {
        match self.0.last_mut() {
            Some(range) if range.1 + 1 == first => range.1 = last,
            _ => self.0.push((first, last)),
        }
    }

    fn sorted(&mut self) -> Vec<(u64, u64)> {
        let mut all = std::mem::take(&mut self.0);
        all.sort_unstable();
        all
    }
}

/// The parts of a range that none of the sorted others covers.
fn uncovered((first, last): (u64, u64), others: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut open = Vec::new();
    let mut next = first;
    let begin = others.partition_point(|(_, to)| *to < first);
    // Sorted by their beginnings: a long one may begin before those that end earlier.
    let long = others.get(..begin).unwrap_or_default().iter();
    let rest = others.get(begin..).unwrap_or_default();
    for (from, to) in long.filter(|(_, to)| *to >= first).chain(rest) {
        if *from > last {
            break;
        }
        if *from > next {
            open.push((next, from - 1));
        }
        next = next.max(to + 1);
    }
    if next <= last {
        open.push((next, last));
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::record::tests::{ABOUT, sample};
    use crate::archive::record::{JournalHead, journal, message};
    use crate::core::archive::Entry;
    use crate::core::time::Time;
    use bytes::Bytes;

    fn chained(entries: Vec<Entry>) -> Vec<Row> {
        let mut previous = START;
        let numbered = (1..).zip(entries);
        numbered
            .map(|(seq, entry)| {
                previous = link(&previous, seq, &entry.head);
                Row {
                    seq,
                    at: entry.at,
                    head: entry.head,
                    body: entry.body,
                    link: previous,
                }
            })
            .collect()
    }

    fn texts(count: u128) -> Vec<Entry> {
        let text = |n| format!("text {n}");
        (1..=count)
            .map(|n| message(&sample(n, &text(n), &text(n)), ABOUT))
            .collect()
    }

    fn check(rows: &[Row], seals: Vec<Seal>) -> Report {
        let mut verifier = Verifier::new(seals);
        for row in rows {
            verifier.row(row);
        }
        verifier.end()
    }

    fn named(report: &Report) -> Vec<u64> {
        report.faults.iter().map(|fault| fault.seq).collect()
    }

    #[test]
    fn a_sound_chain_has_no_faults() {
        let rows = chained(texts(20));
        let report = check(&rows, vec![Seal::of(20, &rows[19].link, Time(5), "x")]);
        assert_eq!(
            (report.rows, report.last, report.wrong),
            (20, 20, 0),
            "{report:?}"
        );
        assert_eq!(report.link, hex(&rows[19].link));
        assert_eq!(check(&[], Vec::new()).wrong, 0);
    }

    #[test]
    fn every_way_to_change_a_row_is_found_and_named() {
        type Change = fn(&mut Vec<Row>);
        let changes: [(&str, Change, &[u64]); 8] = [
            (
                "head",
                |rows| rows[4].head = rows[4].head.replace("bob", "eve"),
                &[5],
            ),
            (
                "body",
                |rows| rows[4].body = Bytes::from_static(b"lies"),
                &[5],
            ),
            ("time", |rows| rows[4].at = Time(9), &[5]),
            ("link", |rows| rows[4].link[3] ^= 1, &[5, 6]),
            ("removed", |rows| drop(rows.remove(4)), &[5]),
            (
                "swapped",
                |rows| {
                    rows.swap(4, 5);
                    rows[4].seq = 5;
                    rows[5].seq = 6;
                },
                &[5, 6, 7],
            ),
            ("not json", |rows| rows[4].head = "{".into(), &[5, 5]),
            (
                "erased in silence",
                |rows| rows[4].body = Bytes::new(),
                &[5],
            ),
        ];
        for (name, change, want) in changes {
            let mut rows = chained(texts(10));
            change(&mut rows);
            let report = check(&rows, Vec::new());
            assert_eq!(named(&report), want, "{name}: {report:?}");
        }
    }

    #[test]
    fn what_the_chain_alone_can_not_show_a_seal_shows() {
        let rows = chained(texts(10));
        let seal = Seal::of(8, &rows[7].link, Time(5), "x");
        // All written anew, with other texts, and sound in itself.
        let mut forged = texts(10);
        forged[2] = message(&sample(3, "lies", "lies"), ABOUT);
        let forged = chained(forged);
        assert_eq!(check(&forged, Vec::new()).wrong, 0);
        assert_eq!(named(&check(&forged, vec![seal.clone()])), [8]);
        // Cut off behind row 5.
        assert_eq!(check(&rows[..5], Vec::new()).wrong, 0);
        assert_eq!(named(&check(&rows[..5], vec![seal])), [8]);
    }

    #[test]
    fn a_body_may_go_with_a_journalled_reason() {
        let mut entries = texts(6);
        let mut erase = JournalHead::of("erase", "retention", "older than 30 days", "");
        erase.erased = vec![(1, 2), (4, 4)];
        entries.push(journal(Time(9), erase));
        let mut rows = chained(entries);
        for at in [0, 1, 3, 4] {
            rows[at].body = Bytes::new();
        }
        let report = check(&rows, Vec::new());
        assert_eq!(named(&report), [5], "{report:?}");
        assert_eq!(report.erased, 4);
    }

    #[test]
    fn ranges_that_are_not_covered() {
        let others = [(1, 2), (2, 9), (4, 5), (12, 12)];
        assert_eq!(uncovered((3, 14), &others), [(10, 11), (13, 14)]);
        assert_eq!(uncovered((3, 4), &others), []);
        assert_eq!(uncovered((20, 21), &others), [(20, 21)]);
    }
}
