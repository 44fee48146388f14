//! Addresses to people: all accounts, in memory, changed only by operators and importers.

use super::chats::Chats;
use crate::core::address::Address;
use crate::core::id::PersonId;
use crate::core::port::{Account, Secret};
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

/// What somebody wants of a person who may be at another server.
#[derive(Clone, Copy, Debug)]
pub enum Want<'a> {
    /// To send.
    Send,
    /// To watch, as this address.
    Watch(&'a Address),
}

/// Who knows the way to people at other servers. People there have a stand-in here: an owner of
/// points, publications and watches like any other, whose one point is the other server.
pub trait Elsewhere: Send + Sync + std::fmt::Debug {
    /// Somebody here, authenticated, wants to reach an address (`account`, if it has one here).
    /// Makes sure that the stand-in is ready; `None` if no way leads there or the person is held
    /// here. Never waits.
    fn reach(
        &self,
        address: &Address,
        account: Option<Arc<Account>>,
        want: Want<'_>,
    ) -> Option<Arc<Account>>;
    /// Whether a way leads to that address.
    fn leads_to(&self, address: &Address) -> bool;
}

/// All accounts by address and by person. Reads take a lock for one map look-up, never across an
/// await.
#[derive(Debug)]
pub struct Directory {
    domains: Vec<String>,
    tables: RwLock<Tables>,
    chats: RwLock<Chats>,
    elsewhere: RwLock<Vec<Arc<dyn Elsewhere>>>,
}

#[derive(Debug, Default)]
struct Tables {
    by_address: HashMap<Address, PersonId>,
    by_person: foldhash::HashMap<PersonId, Arc<Account>>,
    /// Stand-ins: not found by `resolve`, so that nobody signs in as one.
    guests: HashMap<Address, Arc<Account>>,
    /// Nodes by owner.
    owned: HashMap<PersonId, usize>,
}

impl Directory {
    /// A directory for these domains (normalised), with these accounts.
    pub fn new(domains: Vec<String>, accounts: Vec<Account>) -> Self {
        let directory = Self {
            domains,
            tables: RwLock::default(),
            chats: RwLock::default(),
            elsewhere: RwLock::default(),
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
        if let Some(account) = found {
            return Resolution::Local(Arc::clone(account));
        }
        drop(tables);
        if !self.is_ours(address.domain()) {
            return Resolution::Foreign;
        }
        let chat = self.with_chats(|chats| chats.at(address).cloned());
        chat.or_else(|| self.factory(address))
            .map_or(Resolution::UnknownUser, Resolution::Local)
    }

    /// The account of a person.
    pub fn account(&self, person: PersonId) -> Option<Arc<Account>> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let found = tables.by_person.get(&person).cloned();
        drop(tables);
        found.or_else(|| self.with_chats(|chats| chats.account(person).cloned()))
    }

    pub(super) fn with_chats<T>(&self, ask: impl FnOnce(&Chats) -> T) -> T {
        ask(&self.chats.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn change_chats<T>(&self, change: impl FnOnce(&mut Chats) -> T) -> T {
        change(&mut self.chats.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds somebody who knows the way to other servers: before the hub opens. The first whom an
    /// address concerns decides.
    pub fn add_elsewhere(&self, elsewhere: Arc<dyn Elsewhere>) {
        let mut all = self
            .elsewhere
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        all.push(elsewhere);
    }

    fn elsewhere<T>(&self, ask: impl FnMut(&Arc<dyn Elsewhere>) -> Option<T>) -> Option<T> {
        let all = self
            .elsewhere
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        all.iter().find_map(ask)
    }

    /// Where the address leads for somebody who wants something of it: a stand-in counts as
    /// local. Only for targets, and only after the asker is authenticated.
    pub fn reach(&self, address: &Address, want: Want<'_>) -> Resolution {
        let found = self.resolve(address);
        let account = match &found {
            Resolution::Local(account) => Some(Arc::clone(account)),
            Resolution::UnknownUser | Resolution::Foreign => None,
        };
        self.elsewhere(|way| way.reach(address, account.clone(), want))
            .map_or(found, Resolution::Local)
    }

    /// Whether a way leads to that address at another server.
    pub fn leads_to(&self, address: &Address) -> bool {
        self.elsewhere(|way| way.leads_to(address).then_some(()))
            .is_some()
    }

    /// The stand-in of somebody at another server; made if there is none and room for one.
    pub fn guest(&self, address: &Address) -> Option<Arc<Account>> {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(guest) = tables.guests.get(address) {
            return Some(Arc::clone(guest));
        }
        let person = guest_id(address);
        // An address made to collide with somebody gets no stand-in.
        if tables.guests.len() >= GUESTS || tables.by_person.contains_key(&person) {
            return None;
        }
        let guest = Arc::new(stranger(address));
        tables.guests.insert(address.clone(), Arc::clone(&guest));
        tables.by_person.insert(person, Arc::clone(&guest));
        Some(guest)
    }

    /// All stand-ins.
    pub fn guests(&self) -> Vec<Arc<Account>> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let mut guests: Vec<_> = tables.guests.values().cloned().collect();
        guests.sort_by(|a, b| a.address.cmp(&b.address));
        guests
    }

    /// Forgets a stand-in that nobody needs any more.
    pub fn forget_guest(&self, address: &Address) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(guest) = tables.guests.remove(address) {
            tables.by_person.remove(&guest.person);
        }
    }

    /// The stand-in again whose state was stored, if a way still leads there.
    pub(super) fn restore_guest(&self, person: PersonId, addresses: &[&Address]) {
        let found = addresses
            .iter()
            .find(|address| guest_id(address) == person)
            .filter(|address| self.leads_to(address));
        if let Some(address) = found
            && self.account(person).is_none()
        {
            let _ = self.guest(address);
        }
    }

    /// All accounts, sorted by address.
    pub fn all(&self) -> Vec<Arc<Account>> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let people = tables.by_person.values();
        let own = people.filter(|account| !tables.guests.contains_key(&account.address));
        let mut all: Vec<_> = own.cloned().collect();
        all.sort_by(|a, b| a.address.cmp(&b.address));
        all
    }

    /// How many accounts there are, stand-ins not counted.
    pub fn len(&self) -> usize {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.by_person.len().saturating_sub(tables.guests.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many nodes that person owns.
    pub fn owned_by(&self, person: PersonId) -> usize {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.owned.get(&person).copied().unwrap_or_default()
    }

    /// Adds or replaces an account. Storage has accepted it before this is called.
    pub fn put(&self, account: Account) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        tables.forget(account.person);
        for address in account.aliases.iter().chain([&account.address]) {
            tables.by_address.insert(address.clone(), account.person);
        }
        if let Some(owner) = owner(&account) {
            *tables.owned.entry(owner).or_default() += 1;
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

/// Stand-ins at once.
const GUESTS: usize = 20_000;

/// What is known of somebody at another server who has no stand-in, and what a stand-in is made of.
pub fn stranger(address: &Address) -> Account {
    Account {
        person: guest_id(address),
        address: address.clone(),
        aliases: Vec::new(),
        display_name: String::new(),
        email: String::new(),
        secret: Secret::default(),
        suspended: true,
        node: None,
    }
}

/// The identity of a stand-in follows from its address alone, so that it is the same after a
/// restart (FNV-1a, 128 bits, which must never change).
fn guest_id(address: &Address) -> PersonId {
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    let parts = ["guest:", address.local(), "@", address.domain()];
    for octet in parts.iter().flat_map(|part| part.bytes()) {
        hash = (hash ^ u128::from(octet)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
    }
    PersonId(hash)
}

impl Tables {
    fn forget(&mut self, person: PersonId) {
        if let Some(old) = self.by_person.remove(&person) {
            for address in old.aliases.iter().chain([&old.address]) {
                self.by_address.remove(address);
            }
            if let Some(owner) = owner(&old)
                && let Some(count) = self.owned.get_mut(&owner)
            {
                *count -= 1;
                if *count == 0 {
                    self.owned.remove(&owner);
                }
            }
        }
    }
}

fn owner(account: &Account) -> Option<PersonId> {
    account.node.as_ref().and_then(|node| node.owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_in_is_reached_and_never_signs_in() {
        #[derive(Debug)]
        struct Anywhere(Arc<Directory>);
        impl Elsewhere for Anywhere {
            fn reach(
                &self,
                address: &Address,
                account: Option<Arc<Account>>,
                _: Want<'_>,
            ) -> Option<Arc<Account>> {
                account.or_else(|| self.0.guest(address))
            }
            fn leads_to(&self, _: &Address) -> bool {
                true
            }
        }
        let directory = Arc::new(Directory::new(vec!["example.com".to_owned()], Vec::new()));
        let carol = Address::parse("carol@b.example").expect("address");
        let want = Want::Send;
        assert!(matches!(directory.reach(&carol, want), Resolution::Foreign));
        directory.add_elsewhere(Arc::new(Anywhere(Arc::clone(&directory))));
        let Resolution::Local(guest) = directory.reach(&carol, want) else {
            panic!("not reached");
        };
        assert!(matches!(directory.resolve(&carol), Resolution::Foreign));
        assert!(directory.account(guest.person).is_some());
        assert!(guest.suspended && directory.all().is_empty());
        directory.forget_guest(&carol);
        assert!(directory.account(guest.person).is_none());
        directory.restore_guest(guest.person, &[&carol]);
        assert_eq!(directory.guests().len(), 1);
        directory.restore_guest(PersonId(1), &[&carol]);
        assert!(directory.account(PersonId(1)).is_none());
    }
}
