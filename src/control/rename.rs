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
        let outcome = match self.renamed(address, to) {
            Ok(account) => self.store_renamed(account).await,
            Err(why) => Err(why),
        };
        result(address, outcome.map(|()| RowState::Updated))
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
                let list = match call(Command::Access).await.map_err(|e| wrong(&e))? {
                    Reply::Access(list) => list,
                    _ => return Ok(()),
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
