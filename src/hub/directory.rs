//! Addresses to people: all accounts, in memory, changed only by operators and importers.

use crate::core::address::Address;
use crate::core::id::PersonId;
use crate::core::port::Account;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Where an address leads.
#[derive(Clone, Debug)]
pub enum Resolution {
    /// To an account here.
    Local(Arc<Account>),
    /// Our domain, no such user.
    UnknownUser,
    /// Not our domain.
    Foreign,
}

/// All accounts by address and by person. Reads take a lock for one map look-up, never across an
/// await.
#[derive(Debug)]
pub struct Directory {
    domains: Vec<String>,
    tables: RwLock<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    by_address: HashMap<Address, PersonId>,
    by_person: HashMap<PersonId, Arc<Account>>,
}

impl Directory {
    /// A directory for these domains (normalised), with these accounts.
    pub fn new(domains: Vec<String>, accounts: Vec<Account>) -> Self {
        let directory = Self {
            domains,
            tables: RwLock::default(),
        };
        for account in accounts {
            directory.put(account);
        }
        directory
    }

    /// The domains served, first = default.
    pub fn domains(&self) -> &[String] {
        &self.domains
    }

    /// Whether a (normalised) domain is ours.
    pub fn is_ours(&self, domain: &str) -> bool {
        self.domains.iter().any(|ours| ours == domain)
    }

    /// Where the address leads.
    pub fn resolve(&self, address: &Address) -> Resolution {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let found = tables
            .by_address
            .get(address)
            .and_then(|id| tables.by_person.get(id));
        match found {
            Some(account) => Resolution::Local(Arc::clone(account)),
            None if self.is_ours(address.domain()) => Resolution::UnknownUser,
            None => Resolution::Foreign,
        }
    }

    /// The account of a person.
    pub fn account(&self, person: PersonId) -> Option<Arc<Account>> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.by_person.get(&person).cloned()
    }

    /// All accounts, sorted by address.
    pub fn all(&self) -> Vec<Arc<Account>> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = tables.by_person.values().cloned().collect();
        all.sort_by(|a, b| a.address.cmp(&b.address));
        all
    }

    /// Adds or replaces an account. Storage has accepted it before this is called.
    pub fn put(&self, account: Account) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        tables.forget(account.person);
        for address in account.aliases.iter().chain([&account.address]) {
            tables.by_address.insert(address.clone(), account.person);
        }
        tables.by_person.insert(account.person, Arc::new(account));
    }

    /// Removes an account.
    pub fn remove(&self, person: PersonId) {
        self.tables
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .forget(person);
    }
}

impl Tables {
    fn forget(&mut self, person: PersonId) {
        if let Some(old) = self.by_person.remove(&person) {
            for address in old.aliases.iter().chain([&old.address]) {
                self.by_address.remove(address);
            }
        }
    }
}
