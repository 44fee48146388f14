//! Retention: bodies go when their time is over, unless a legal hold keeps them. Rows stay.

use super::record::{self, Head, JournalHead, MessageHead};
use super::service::{Archivist, Failed};
use super::words::of_row;
use crate::core::archive::{Archive, Held, Hold, Indexed, Row};
use crate::core::time::Time;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Rows read at once, and bodies erased by one commit at most.
const BATCH: usize = 500;

/// For how long bodies are kept, in days; 0 = for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Where a domain does not say otherwise.
    pub days: u32,
    /// By domain of ours.
    pub domains: BTreeMap<String, u32>,
}

impl Retention {
    /// Whether anything is ever erased.
    pub fn is_on(&self) -> bool {
        self.days > 0 || self.domains.values().any(|days| *days > 0)
    }

    /// How long a message of these people is kept: as long as the one who keeps longest says. Only
    /// our own domains have a word; without any of them the general one holds.
    fn days_of(&self, head: &MessageHead) -> u32 {
        let for_ever = |days: u32| if days == 0 { u32::MAX } else { days };
        let domain = |who: &str| {
            let domain = who.rsplit_once('@')?.1;
            self.domains.get(domain).copied().map(for_ever)
        };
        let longest = head.people().filter_map(domain).max();
        longest.unwrap_or(for_ever(self.days))
    }

    fn shortest(&self) -> Option<u32> {
        let all = self.domains.values().copied().chain([self.days]);
        all.filter(|days| *days > 0).min()
    }
}

/// What holds keep.
#[derive(Debug, Default)]
struct Kept {
    people: BTreeSet<String>,
    conversations: BTreeSet<String>,
}

impl Kept {
    fn of(holds: Vec<Hold>) -> Self {
        let mut kept = Self::default();
        for hold in holds {
            match hold.held {
                Held::Person(address) => kept.people.insert(address),
                Held::Conversation(id) => kept.conversations.insert(id),
            };
        }
        kept
    }

    fn keeps(&self, head: &MessageHead) -> bool {
        self.conversations.contains(&head.conversation)
            || head.people().any(|who| self.people.contains(who))
    }
}

impl<A: Archive> Archivist<A> {
    /// Erases what is over its time; how many bodies.
    pub async fn retain(&self) -> Result<u64, Failed> {
        let Some(shortest) = self.settings().retention.shortest() else {
            return Ok(0);
        };
        let now = self.now();
        let newest = before(now, shortest);
        let (mut above, mut erased) = (0, 0);
        loop {
            let rows = self.store().archive_rows(above, BATCH).await?;
            let Some(last) = rows.last().map(|row| row.seq) else {
                break;
            };
            above = last;
            // Looked up for every batch: a hold that comes meanwhile is heeded.
            let kept = Kept::of(self.holds().await?);
            let over: Vec<(u64, Indexed)> = rows
                .iter()
                .filter_map(|row| self.over(row, now, &kept))
                .collect();
            if !over.is_empty() {
                erased += u64::try_from(over.len()).unwrap_or(0);
                let why = "the retention time is over";
                let done = JournalHead::of("erase", "server", why, "retention");
                self.erase(&over, done).await?;
            }
            // Nearly in the order of time: what comes behind is newer, but for minutes.
            if rows.iter().all(|row| row.at > newest) {
                break;
            }
            tokio::task::yield_now().await;
        }
        Ok(erased)
    }

    /// A row whose body is to go, and the words that are left of it.
    fn over(&self, row: &Row, now: Time, kept: &Kept) -> Option<(u64, Indexed)> {
        if row.body.is_empty() {
            return None;
        }
        let Ok(Head::Message(head)) = record::head(row) else {
            return None;
        };
        let days = self.settings().retention.days_of(&head);
        if row.at >= before(now, days) || kept.keeps(&head) {
            return None;
        }
        let bare = Row {
            body: Bytes::new(),
            ..row.clone()
        };
        Some((row.seq, of_row(&bare)?))
    }
}

/// So many days ago.
fn before(now: Time, days: u32) -> Time {
    let span = Duration::from_hours(24).saturating_mul(days);
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    Time(now.0.saturating_sub(millis))
}
