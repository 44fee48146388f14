//! How many requests that are passed on may wait for an answer, by person and by address
//! (`[limits] calls`, `calls_per_address`).

use crate::core::id::PersonId;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Shared by all shards.
#[derive(Debug)]
pub(in crate::front::sip) struct Quotas {
    per_person: usize,
    per_address: usize,
    /// Whether loopback counts, too.
    loopback: bool,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    people: HashMap<PersonId, usize>,
    addresses: HashMap<IpAddr, usize>,
}

/// A place taken; given back when dropped.
#[derive(Debug)]
pub(in crate::front::sip) struct Room {
    quotas: Arc<Quotas>,
    person: Option<PersonId>,
    address: Option<IpAddr>,
}

impl Quotas {
    pub(in crate::front::sip) fn new(limits: &crate::config::Limits) -> Arc<Self> {
        Arc::new(Self {
            per_person: limits.calls,
            per_address: limits.calls_per_address,
            loopback: limits.loopback,
            used: Mutex::default(),
        })
    }

    /// Takes a place, or says which limit is reached.
    pub(in crate::front::sip) fn take(
        self: &Arc<Self>,
        person: Option<PersonId>,
        address: IpAddr,
    ) -> Result<Room, &'static str> {
        let address = Some(address).filter(|ip| self.loopback || !ip.is_loopback());
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(person) = person
            && !enter(&mut used.people, person, self.per_person)
        {
            return Err("calls");
        }
        if let Some(ip) = address
            && !enter(&mut used.addresses, ip, self.per_address)
        {
            if let Some(person) = person {
                leave(&mut used.people, &person);
            }
            return Err("calls_per_address");
        }
        Ok(Room {
            quotas: Arc::clone(self),
            person,
            address,
        })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let used = &self.quotas.used;
        let mut used = used.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(person) = &self.person {
            leave(&mut used.people, person);
        }
        if let Some(ip) = &self.address {
            leave(&mut used.addresses, ip);
        }
    }
}

fn enter<K: Eq + Hash>(table: &mut HashMap<K, usize>, key: K, most: usize) -> bool {
    let count = table.entry(key).or_default();
    let fits = *count < most;
    if fits {
        *count += 1;
    }
    fits
}

fn leave<K: Eq + Hash>(table: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = table.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            table.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    #[test]
    fn places_are_counted_and_given_back() {
        let limits = Limits {
            calls: 2,
            calls_per_address: 3,
            ..Limits::default()
        };
        let quotas = Quotas::new(&limits);
        let ip: IpAddr = "192.0.2.1".parse().unwrap();
        let (a, b) = (Some(PersonId(1)), Some(PersonId(2)));
        let first = quotas.take(a, ip).unwrap();
        let second = quotas.take(a, ip).unwrap();
        assert_eq!(quotas.take(a, ip).unwrap_err(), "calls");
        let third = quotas.take(b, ip).unwrap();
        assert_eq!(quotas.take(b, ip).unwrap_err(), "calls_per_address");
        assert_eq!(quotas.take(None, ip).unwrap_err(), "calls_per_address");
        drop(first);
        let again = quotas.take(b, ip).unwrap();
        assert!(
            quotas.take(a, "127.0.0.1".parse().unwrap()).is_ok(),
            "loopback is not counted"
        );
        drop((second, third, again));
        let used = quotas.used.lock().unwrap();
        assert!(used.people.is_empty() && used.addresses.is_empty());
    }
}
