//! A person gets another address, and stays the same person to everybody.

use super::accounts::{Accounts, Backend, result};
use super::report::internal;
use super::wire::{RowResult, RowState};
use crate::core::access::{AccessEntry, Subject};
use crate::core::address::Address;
use crate::core::command::{Command, Reply};
use crate::core::port::{Account, Store, Write};
use crate::hub::Resolution;
use std::sync::Arc;

/// Addresses of one account beyond its name.
const ALIASES: usize = 32;

impl Accounts {
    /// Gives an account another canonical address. The old one stays its alias, and whatever
    /// others have allowed or forbidden to it holds for the new one, too: nobody gets round a block
    /// by being renamed.
    pub async fn rename(&self, address: &str, to: &str) -> RowResult {
        let mut unproven = false;
        let outcome = match self.renamed(address, to) {
            Ok(account) => {
                unproven = self.credentials().names_only(&account);
                self.store_renamed(account).await
            }
            Err(why) => Err(why),
        };
        let mut row = result(address, outcome.map(|()| RowState::Updated));
        if unproven && row.result == RowState::Updated {
            row.why = "what is kept of the password proves the old name only; set it again".into();
        }
        row
    }

    fn renamed(&self, address: &str, to: &str) -> Result<Account, String> {
        let account = self.existing(address)?;
        let to = Address::parse(to).map_err(|why| format!("{to:?}: {why}"))?;
        match self.directory().resolve(&to) {
            Resolution::UnknownUser => {}
            // One of the person's own: an alias becomes the name.
            Resolution::Local(other) if other.person == account.person => {}
            Resolution::Local(_) => return Err(format!("{to} is taken")),
            Resolution::Foreign => {
                let ours = self.directory().domains().join(", ");
                return Err(format!("{to} is not of a domain served here ({ours})"));
            }
        }
        if to == account.address {
            return Err(format!("{to} is its name already"));
        }
        let mut account = Account::clone(&account);
        account.aliases.retain(|alias| *alias != to);
        let old = std::mem::replace(&mut account.address, to);
        account.aliases.push(old);
        if account.aliases.len() > ALIASES {
            return Err(format!(
                "it would have more than {ALIASES} further addresses"
            ));
        }
        Ok(account)
    }

    async fn store_renamed(&self, account: Account) -> Result<(), String> {
        let (new, known) = (account.address.clone(), account.aliases.clone());
        // First what others say of the person: in between, both names are known to their lists.
        for other in self.directory().all() {
            self.carry_over(&other, &known, &new).await?;
        }
        match self.keep(vec![(0, account)]).await.pop() {
            None => Ok(()),
            Some((_, why)) => Err(why),
        }
    }

    /// Adds to somebody's list for the new address what it says about the person's others.
    async fn carry_over(
        &self,
        other: &Arc<Account>,
        known: &[Address],
        new: &Address,
    ) -> Result<(), String> {
        let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", other.address);
        match self.backend() {
            Backend::Hub(hub) => {
                let caller = internal(other);
                let call = |command| hub.call(other.person, &caller, command);
                let known_list = call(Command::Access).await.map_err(|e| wrong(&e))?;
                let Reply::Access(list) = known_list else {
                    return Ok(());
                };
                match extended(list, known, new) {
                    Some(list) => {
                        let set = call(Command::SetAccess(list)).await;
                        set.map(|_| ()).map_err(|e| wrong(&e))
                    }
                    None => Ok(()),
                }
            }
            Backend::Store(_, store) => {
                let records = store.person(other.person).await.map_err(|e| wrong(&e))?;
                let list = records.access.unwrap_or_default();
                match extended(list, known, new) {
                    Some(list) => {
                        let write = Write::PutAccess(other.person, list);
                        store.commit(vec![write]).await.map_err(|e| wrong(&e))
                    }
                    None => Ok(()),
                }
            }
        }
    }
}

/// The list with entries for the new address; `None` if it says nothing about the known ones.
fn extended(
    mut list: Vec<AccessEntry>,
    known: &[Address],
    new: &Address,
) -> Option<Vec<AccessEntry>> {
    let about = |entry: &AccessEntry, address: &Address| matches!(&entry.subject, Subject::Address(subject) if subject == address);
    if list.iter().any(|entry| about(entry, new)) {
        return None;
    }
    let own = |entry: &&AccessEntry| known.iter().any(|address| about(entry, address));
    let more: Vec<AccessEntry> = list
        .iter()
        .filter(own)
        .map(|entry| AccessEntry {
            subject: Subject::Address(new.clone()),
            ..entry.clone()
        })
        .collect();
    if more.is_empty() {
        return None;
    }
    list.extend(more);
    Some(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::access::{Detail, Right, Rights};
    use crate::core::port::Secret;
    use crate::credentials::{Credentials, Keep};
    use crate::hub::Directory;
    use crate::storage::{Database, Memory};

    fn address(text: &str) -> Address {
        Address::parse(text).expect("an address")
    }

    fn block(whom: &str) -> AccessEntry {
        AccessEntry {
            subject: Subject::Address(address(whom)),
            schemes: Vec::new(),
            grant: Rights::default(),
            deny: Rights::default().with(Right::SendTo),
            ask: Rights::default(),
            detail: Detail::ALL,
        }
    }

    async fn two() -> (Accounts, Arc<Directory>, Arc<Database>) {
        let directory = Arc::new(Directory::new(vec!["example.com".into()], Vec::new()));
        let store = Arc::new(Database::Memory(Memory::new()));
        let credentials = Credentials::with_key(&[3; 32], Keep::Verifiers);
        let sealing = Credentials::with_key(&[3; 32], Keep::Verifiers);
        let seal = move |account: &Account, password: &str| -> Result<Secret, String> {
            sealing
                .seal(account.person, &account.address, &[], &[], password)
                .map_err(|error| error.to_string())
        };
        let backend = Backend::Store(Arc::clone(&directory), Arc::clone(&store));
        let accounts = Accounts::new(backend, Arc::new(seal), Arc::new(credentials));
        for name in ["alice@example.com", "bob@example.com"] {
            let row = super::super::wire::UserRow {
                address: name.into(),
                password: "secret".into(),
                display_name: String::new(),
            };
            assert_eq!(
                accounts.put(vec![row], false).await[0].result,
                RowState::Added
            );
        }
        (accounts, directory, store)
    }

    fn person(directory: &Directory, text: &str) -> Option<Arc<Account>> {
        match directory.resolve(&address(text)) {
            Resolution::Local(account) => Some(account),
            Resolution::UnknownUser | Resolution::Foreign => None,
        }
    }

    #[tokio::test]
    async fn both_addresses_lead_to_the_person_and_no_block_is_got_round() {
        let (accounts, directory, store) = two().await;
        let bob = person(&directory, "bob@example.com").expect("bob");
        let alice = person(&directory, "alice@example.com").expect("alice");
        let list = vec![block("alice@example.com"), block("carol@example.com")];
        let write = Write::PutAccess(bob.person, list.clone());
        store.commit(vec![write]).await.expect("stored");
        let row = accounts
            .rename("alice@example.com", "Alicia@Example.com")
            .await;
        assert_eq!(row.result, RowState::Updated);
        assert!(row.why.contains("set it again"), "{}", row.why);
        for name in ["alice@example.com", "alicia@example.com"] {
            let found = person(&directory, name).expect("there");
            assert_eq!(found.person, alice.person);
            assert_eq!(found.address, address("alicia@example.com"));
        }
        let stored = store.person(bob.person).await.expect("read").access;
        let mut wanted = list;
        wanted.push(block("alicia@example.com"));
        assert_eq!(stored, Some(wanted.clone()));
        // And back: nothing piles up.
        let row = accounts
            .rename("alicia@example.com", "alice@example.com")
            .await;
        assert_eq!(row.result, RowState::Updated);
        let back = person(&directory, "alicia@example.com").expect("there");
        assert_eq!(back.aliases, [address("alicia@example.com")]);
        let stored = store.person(bob.person).await.expect("read").access;
        assert_eq!(stored, Some(wanted));
    }

    #[tokio::test]
    async fn what_is_taken_or_not_ours_is_refused() {
        let (accounts, ..) = two().await;
        for (from, to, part) in [
            ("alice@example.com", "bob@example.com", "is taken"),
            ("alice@example.com", "alice@example.com", "its name already"),
            ("alice@example.com", "alice@other.example", "served here"),
            ("alice@example.com", "nonsense", "nonsense"),
            ("nobody@example.com", "x@example.com", "no such user"),
        ] {
            let row = accounts.rename(from, to).await;
            assert_eq!(row.result, RowState::Refused);
            assert!(row.why.contains(part), "{} / {part}", row.why);
        }
    }
}
