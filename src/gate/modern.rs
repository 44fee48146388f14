//! Whose clients have used SHA-256: they are offered it first (`decisions.md` 6). So that a
//! challenge does not tell who exists, as large a share of the names that nobody has is offered it
//! first, too, the same names each time.

use crate::core::address::Address;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

#[derive(Default)]
pub(super) struct Modern {
    people: Mutex<HashSet<u128>>,
    secret: RandomState,
}

impl Modern {
    /// This person's client has used SHA-256.
    pub(super) fn remember(&self, person: u128) {
        let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        people.insert(person);
    }

    /// Whether this person's client has.
    pub(super) fn knows(&self, person: u128) -> bool {
        let people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        people.contains(&person)
    }

    /// Whether a name that nobody has is treated as if its client had, given how many accounts
    /// there are.
    pub(super) fn pretends(&self, address: &Address, accounts: usize) -> bool {
        let people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        let (people, accounts) = (people.len() as u64, accounts.max(1) as u64);
        // hash / 2^32 < people / accounts
        let hash = self.secret.hash_one((address.local(), address.domain())) >> 32;
        hash.saturating_mul(accounts) < people << 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_look_like_the_accounts_there_are() {
        let modern = Modern::default();
        let names: Vec<_> = (0..2000)
            .map(|n| Address::new(&format!("n{n}"), "example.com").unwrap())
            .collect();
        let share = |modern: &Modern| {
            let pretending = names.iter().filter(|name| modern.pretends(name, 1000));
            pretending.count()
        };
        assert_eq!(share(&modern), 0, "nobody does: nobody seems to");
        for person in 0..500 {
            modern.remember(person);
        }
        assert!((800..1200).contains(&share(&modern)), "half of them");
        let again: Vec<_> = names
            .iter()
            .map(|name| modern.pretends(name, 1000))
            .collect();
        let before: Vec<_> = names
            .iter()
            .map(|name| modern.pretends(name, 1000))
            .collect();
        assert_eq!(again, before);
        for person in 500..1000 {
            modern.remember(person);
        }
        assert_eq!(share(&modern), names.len(), "all do: all seem to");
    }
}
