//! Accounts as operators change them: the same rules whether the server runs or not.

use super::wire::{RowResult, RowState, UserRow};
use crate::core::address::Address;
use crate::core::id::PersonId;
use crate::core::port::{Account, Secret, Store, Write};
use crate::credentials::Credentials;
use crate::hub::{Directory, Hub, Resolution};
use crate::storage::Database;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Seals a password for an account.
pub type Seal = Arc<dyn Fn(&Account, &str) -> Result<Secret, String> + Send + Sync>;

/// Accounts that wait for the hub at once; its writer commits them together.
const AT_ONCE: usize = 256;
/// Accounts of one direct commit.
const BATCH: usize = 500;
/// Longest display name, in characters.
const NAME_MAX: usize = 256;

/// Where accounts are kept.
#[derive(Clone)]
pub enum Backend {
    /// The running server's hub.
    Hub(Hub),
    /// Storage itself, while no server runs.
    Store(Arc<Directory>, Arc<Database>),
}

/// The operations. Cloning shares.
#[derive(Clone)]
pub struct Accounts {
    backend: Backend,
    seal: Seal,
    credentials: Arc<Credentials>,
}

impl Accounts {
    /// On this backend, with this seal for passwords and this key for other secrets.
    pub fn new(backend: Backend, seal: Seal, credentials: Arc<Credentials>) -> Self {
        Self {
            backend,
            seal,
            credentials,
        }
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    pub(super) fn backend(&self) -> &Backend {
        &self.backend
    }

    pub(super) fn directory(&self) -> &Directory {
        match &self.backend {
            Backend::Hub(hub) => hub.directory(),
            Backend::Store(directory, _) => directory,
        }
    }

    /// Adds accounts; with `update` those that exist are changed (an empty password or name keeps
    /// the old one). A result per row, in order.
    pub async fn put(&self, rows: Vec<UserRow>, update: bool) -> Vec<RowResult> {
        let mut results = Vec::with_capacity(rows.len());
        let mut accepted = Vec::with_capacity(rows.len());
        let mut seen = HashSet::new();
        for row in rows {
            let planned = self.plan(&row, update, &mut seen);
            let (result, why) = match planned {
                Ok((state, account)) => {
                    accepted.push((results.len(), account));
                    (state, String::new())
                }
                Err(why) => (RowState::Refused, why),
            };
            results.push(RowResult {
                address: row.address,
                result,
                why,
            });
        }
        for (index, why) in self.keep(accepted).await {
            if let Some(row) = results.get_mut(index) {
                (row.result, row.why) = (RowState::Refused, why);
            }
        }
        results
    }

    /// Sets a password.
    pub async fn password(&self, address: &str, password: &str) -> RowResult {
        let changed = self.existing(address).and_then(|account| {
            let mut account = Account::clone(&account);
            account.secret = self.sealed(&account, password)?;
            Ok(account)
        });
        let outcome = match changed {
            Ok(account) => match self.keep(vec![(0, account)]).await.pop() {
                None => Ok(RowState::Updated),
                Some((_, why)) => Err(why),
            },
            Err(why) => Err(why),
        };
        result(address, outcome)
    }

    /// Removes an account and everything of that person.
    pub async fn remove(&self, address: &str) -> RowResult {
        let outcome = match self.existing(address) {
            Ok(account) => self.erase(account.person).await,
            Err(why) => Err(why),
        };
        result(address, outcome.map(|()| RowState::Removed))
    }

    /// All accounts, sorted by address, without passwords.
    pub fn list(&self) -> Vec<UserRow> {
        let all = self.directory().all();
        all.iter()
            .filter(|account| account.node.is_none())
            .map(|account| UserRow {
                address: account.address.to_string(),
                password: String::new(),
                display_name: account.display_name.clone(),
            })
            .collect()
    }

    fn plan(
        &self,
        row: &UserRow,
        update: bool,
        seen: &mut HashSet<Address>,
    ) -> Result<(RowState, Account), String> {
        let address = Address::parse(&row.address).map_err(|why| why.to_string())?;
        let name = row.display_name.trim();
        if name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
            return Err(format!(
                "the display name must be at most {NAME_MAX} characters, no control characters"
            ));
        }
        if !seen.insert(address.clone()) {
            return Err("named twice".into());
        }
        let (state, mut account) = match self.directory().resolve(&address) {
            Resolution::Local(account) if account.node.is_some() => {
                return Err("that is a node's address; see `tristack node list`".into());
            }
            Resolution::Local(account) if update => (RowState::Updated, Account::clone(&account)),
            Resolution::Local(_) => {
                return Err("exists; change its password with `tristack user passwd`".into());
            }
            Resolution::UnknownUser => (RowState::Added, fresh(address)?),
            Resolution::Foreign => {
                let ours = self.directory().domains().join(", ");
                return Err(format!("not a domain served here ({ours})"));
            }
        };
        if !name.is_empty() {
            name.clone_into(&mut account.display_name);
        }
        if !row.password.is_empty() || state == RowState::Added {
            account.secret = self.sealed(&account, &row.password)?;
        }
        Ok((state, account))
    }

    pub(super) fn existing(&self, address: &str) -> Result<Arc<Account>, String> {
        let parsed = Address::parse(address).map_err(|why| why.to_string())?;
        match self.directory().resolve(&parsed) {
            Resolution::Local(account) if account.node.is_some() => {
                Err("that is a node; see `tristack node list`".to_owned())
            }
            Resolution::Local(account) => Ok(account),
            Resolution::UnknownUser | Resolution::Foreign => {
                Err("no such user; `tristack user list` shows who there is".to_owned())
            }
        }
    }

    fn sealed(&self, account: &Account, password: &str) -> Result<Secret, String> {
        if password.is_empty() {
            return Err("the password is empty".into());
        }
        if password.chars().any(char::is_control) {
            return Err("the password holds control characters".into());
        }
        (self.seal)(account, password)
    }

    /// Stores accounts; returns the positions that failed and why.
    pub(super) async fn keep(&self, accounts: Vec<(usize, Account)>) -> Vec<(usize, String)> {
        match &self.backend {
            Backend::Hub(hub) => through_hub(hub, accounts).await,
            Backend::Store(directory, store) => directly(directory, store, accounts).await,
        }
    }

    pub(super) async fn erase(&self, person: PersonId) -> Result<(), String> {
        let erased = match &self.backend {
            Backend::Hub(hub) => hub.remove_account(person).await,
            Backend::Store(directory, store) => {
                directory.remove(person);
                store.commit(vec![Write::DeleteAccount(person)]).await
            }
        };
        erased.map_err(|error| error.to_string())
    }
}

async fn through_hub(hub: &Hub, accounts: Vec<(usize, Account)>) -> Vec<(usize, String)> {
    let mut failed = Vec::new();
    let mut waiting = JoinSet::new();
    let mut note = |done: Result<(usize, Result<(), _>), _>| {
        if let Ok((index, Err(error))) = done {
            let error: crate::core::port::StoreError = error;
            failed.push((index, error.to_string()));
        }
    };
    for (index, account) in accounts {
        if waiting.len() >= AT_ONCE
            && let Some(done) = waiting.join_next().await
        {
            note(done);
        }
        let hub = hub.clone();
        waiting.spawn(async move { (index, hub.put_account(account).await) });
    }
    while let Some(done) = waiting.join_next().await {
        note(done);
    }
    failed
}

async fn directly(
    directory: &Directory,
    store: &Database,
    accounts: Vec<(usize, Account)>,
) -> Vec<(usize, String)> {
    let mut failed = Vec::new();
    for batch in accounts.chunks(BATCH) {
        let writes = batch
            .iter()
            .map(|(_, account)| Write::PutAccount(account.clone()))
            .collect();
        match store.commit(writes).await {
            Ok(()) => {
                for (_, account) in batch {
                    directory.put(account.clone());
                }
            }
            Err(error) => {
                let why = error.to_string();
                failed.extend(batch.iter().map(|(index, _)| (*index, why.clone())));
            }
        }
    }
    failed
}

pub(super) fn result(address: &str, outcome: Result<RowState, String>) -> RowResult {
    let (result, why) = match outcome {
        Ok(state) => (state, String::new()),
        Err(why) => (RowState::Refused, why),
    };
    RowResult {
        address: address.to_owned(),
        result,
        why,
    }
}

pub(super) fn fresh(address: Address) -> Result<Account, String> {
    let mut id = [0u8; 16];
    getrandom::fill(&mut id).map_err(|error| format!("no randomness: {error}"))?;
    Ok(Account {
        person: PersonId(u128::from_be_bytes(id)),
        address,
        aliases: Vec::new(),
        display_name: String::new(),
        email: String::new(),
        secret: Secret::default(),
        suspended: false,
        node: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Memory;

    fn accounts() -> Accounts {
        let directory = Directory::new(vec!["example.com".into()], Vec::new());
        let store = Database::Memory(Memory::new());
        let backend = Backend::Store(Arc::new(directory), Arc::new(store));
        Accounts::new(
            backend,
            Arc::new(|account, password| {
                Ok(Secret(
                    format!("{}:{password}", account.address).into_bytes(),
                ))
            }),
            Arc::new(Credentials::with_key(
                &[3; 32],
                crate::credentials::Keep::Sealed,
            )),
        )
    }

    fn row(address: &str, password: &str, name: &str) -> UserRow {
        UserRow {
            address: address.into(),
            password: password.into(),
            display_name: name.into(),
        }
    }

    #[tokio::test]
    async fn every_row_has_its_result() {
        let accounts = accounts();
        let rows = vec![
            row("Alice@Example.com", "secret", "Alice"),
            row("alice@example.com", "secret", ""),
            row("bob@example.com", "", ""),
            row("bob@other.example", "x", ""),
            row("no address", "x", ""),
            row("carol@example.com", "x", "a\nb"),
            row("dave@example.com", "x\0", ""),
        ];
        let results = accounts.put(rows, false).await;
        let told: Vec<_> = results.iter().map(|r| (r.result, r.why.as_str())).collect();
        assert_eq!(told[0], (RowState::Added, ""));
        for ((state, why), part) in told[1..].iter().zip([
            "named twice",
            "password is empty",
            "not a domain served here (example.com)",
            "user@domain",
            "display name",
            "control characters",
        ]) {
            assert_eq!(*state, RowState::Refused);
            assert!(why.contains(part), "{why} / {part}");
        }
        assert_eq!(accounts.list(), [row("alice@example.com", "", "Alice")]);
    }

    #[tokio::test]
    async fn changes_keep_the_person() {
        let accounts = accounts();
        accounts
            .put(vec![row("alice@example.com", "one", "Alice")], false)
            .await;
        let before = accounts.existing("alice@example.com").expect("there");
        let again = accounts
            .put(vec![row("alice@example.com", "two", "")], false)
            .await;
        assert!(again[0].why.starts_with("exists"), "{again:?}");
        let updated = accounts
            .put(vec![row("alice@example.com", "two", "")], true)
            .await;
        assert_eq!(updated[0].result, RowState::Updated);
        let after = accounts.existing("ALICE@example.com").expect("there");
        assert_eq!(
            (before.person, "Alice"),
            (after.person, after.display_name.as_str())
        );
        assert_eq!(after.secret.0, b"alice@example.com:two");
        let changed = accounts.password("alice@example.com", "three").await;
        assert_eq!(changed.result, RowState::Updated);
        assert_eq!(
            accounts.remove("alice@example.com").await.result,
            RowState::Removed
        );
        assert_eq!(
            accounts.remove("alice@example.com").await.result,
            RowState::Refused
        );
    }
}
