//! Lists that can be subscribed to, by their address: the services of all people's documents.

use crate::core::address::Address;
use crate::core::id::PersonId;
use crate::front::sip::inbox::Inbox;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// Somebody on a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::front::sip) struct Member {
    /// His URI, as the list has it.
    pub(in crate::front::sip) uri: String,
    /// His name there.
    pub(in crate::front::sip) name: Option<String>,
    /// The address that it is; `None` = nobody's.
    pub(in crate::front::sip) address: Option<Address>,
}

/// A list and whose it is.
#[derive(Clone, Debug)]
pub(in crate::front::sip) struct Found {
    /// Its owner.
    pub(in crate::front::sip) owner: PersonId,
    /// Event packages; empty = any.
    pub(in crate::front::sip) packages: Vec<String>,
    /// Who is on it.
    pub(in crate::front::sip) members: Arc<[Member]>,
}

/// By address.
#[derive(Default)]
pub(in crate::front::sip) struct Registry {
    lists: RwLock<HashMap<Address, Found>>,
    /// Who serves subscriptions to lists.
    shards: OnceLock<Vec<Arc<Inbox>>>,
}

impl Registry {
    /// Has these told when somebody's lists change. Once.
    pub(in crate::front::sip) fn tell(&self, shards: &[Arc<Inbox>]) {
        let _ = self.shards.set(shards.to_vec());
    }

    /// The list of that name.
    pub(in crate::front::sip) fn find(&self, address: &Address) -> Option<Found> {
        self.lists
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(address)
            .cloned()
    }

    /// The first of these names that is somebody else's.
    pub(super) fn taken<'a>(
        &self,
        owner: PersonId,
        mut names: impl Iterator<Item = &'a Address>,
    ) -> Option<&'a Address> {
        let table = self.lists.read().unwrap_or_else(PoisonError::into_inner);
        names.find(|name| table.get(name).is_some_and(|found| found.owner != owner))
    }

    /// Replaces what somebody has. Names that are another's stay his.
    pub(super) fn put(&self, owner: PersonId, lists: Vec<(Address, Found)>) {
        let mut table = self.lists.write().unwrap_or_else(PoisonError::into_inner);
        table.retain(|_, found| found.owner != owner);
        for (address, found) in lists {
            table.entry(address).or_insert(found);
        }
        drop(table);
        for shard in self.shards.get().into_iter().flatten() {
            shard.lists(owner);
        }
    }
}
