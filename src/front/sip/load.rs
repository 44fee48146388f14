//! How many requests of one person and of one source are being worked on: nobody fills the queues
//! for all others. Whoever is above a bound is told 503 with Retry-After before anything is done.

use crate::core::id::PersonId;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Bounds, and what is under way.
#[derive(Debug)]
pub(super) struct Load {
    per_person: usize,
    per_source: usize,
    /// Whether loopback counts as a source (`decisions.md` 30).
    loopback_too: bool,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    people: HashMap<PersonId, usize>,
    sources: HashMap<IpAddr, usize>,
}

/// Which bound was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    #[error("too many requests of this person under way ([limits] requests_per_person)")]
    Person,
    #[error("too many requests of this source under way ([limits] requests_per_source)")]
    Source,
}

/// One request under way; it counts until this is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    load: Arc<Load>,
    person: PersonId,
    source: Option<IpAddr>,
}

impl Load {
    pub(super) fn new(per_person: usize, per_source: usize, loopback_too: bool) -> Self {
        Self {
            per_person,
            per_source,
            loopback_too,
            counts: Mutex::default(),
        }
    }

    /// Counts a request in.
    pub(super) fn enter(self: &Arc<Self>, person: PersonId, peer: IpAddr) -> Result<Ticket, Full> {
        let source = crate::net::source_of(peer);
        let source = Some(source).filter(|ip| self.loopback_too || !ip.is_loopback());
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if !up(&mut counts.people, person, self.per_person) {
            return Err(Full::Person);
        }
        if let Some(source) = source
            && !up(&mut counts.sources, source, self.per_source)
        {
            down(&mut counts.people, &person);
            return Err(Full::Source);
        }
        drop(counts);
        Ok(Ticket {
            load: Arc::clone(self),
            person,
            source,
        })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let counts = &self.load.counts;
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        down(&mut counts.people, &self.person);
        if let Some(source) = &self.source {
            down(&mut counts.sources, source);
        }
    }
}

fn up<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K, most: usize) -> bool {
    match counts.entry(key) {
        Entry::Occupied(mut entry) if *entry.get() < most => {
            *entry.get_mut() += 1;
            true
        }
        Entry::Occupied(_) => false,
        Entry::Vacant(entry) => {
            entry.insert(1);
            true
        }
    }
}

fn down<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_count_until_they_are_dropped() {
        let load = Arc::new(Load::new(2, 3, false));
        let far: IpAddr = "192.0.2.1".parse().unwrap();
        let near: IpAddr = "127.0.0.1".parse().unwrap();
        let first = load.enter(PersonId(1), far).unwrap();
        let _second = load.enter(PersonId(1), far).unwrap();
        assert_eq!(load.enter(PersonId(1), near).unwrap_err(), Full::Person);
        let _third = load.enter(PersonId(2), far).unwrap();
        assert_eq!(load.enter(PersonId(2), far).unwrap_err(), Full::Source);
        assert!(
            load.enter(PersonId(2), near).is_ok(),
            "loopback is no source"
        );
        drop(first);
        assert!(load.enter(PersonId(2), far).is_ok());
    }

    #[test]
    fn nothing_is_left_behind() {
        let load = Arc::new(Load::new(1, 1, true));
        let ip: IpAddr = "::1".parse().unwrap();
        drop(load.enter(PersonId(1), ip).unwrap());
        let held = load.enter(PersonId(1), ip).unwrap();
        assert!(load.enter(PersonId(2), ip).is_err());
        drop(held);
        let counts = load.counts.lock().unwrap();
        assert!(counts.people.is_empty() && counts.sources.is_empty());
    }
}
