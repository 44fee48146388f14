//! Stand-ins of people at other servers, as a front keeps them: each has one point, which is that
//! server, for as long as somebody needs it. Whom nobody needs any more is forgotten.

use super::{Hub, internal_for};
use crate::core::address::Address;
use crate::core::command::{
    Command, PointChange, PointSpec, Reach, Register, Reply, Standing, Tether,
};
use crate::core::id::{Handle, PersonId, Stack};
use crate::core::port::Account;
use crate::core::time::Time;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Lease of the point that stands for another server.
const LEASE: Duration = Duration::from_secs(3600);
/// Whoever is needed still is looked at again after this.
const AGAIN: Duration = Duration::from_secs(300);
/// Looked at in one go.
const SOME: usize = 1_000;

/// The stand-ins that one front keeps.
pub struct StandIns {
    hub: Hub,
    stack: Stack,
    /// What the front finds at deliveries to a stand-in.
    handle: fn(&Address) -> Handle,
    all: Mutex<HashMap<Address, Kept>>,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    person: PersonId,
    /// Its point lasts so long; then it is looked at.
    until: Time,
}

impl StandIns {
    /// None yet.
    pub fn new(hub: &Hub, stack: Stack, handle: fn(&Address) -> Handle) -> Self {
        Self {
            hub: hub.clone(),
            stack,
            handle,
            all: Mutex::default(),
        }
    }

    /// The stand-in of somebody, with its point; `account` if he has one here, being held by
    /// another server of our own domain. `None`: there is no room.
    pub fn stand(&self, address: &Address, account: Option<Arc<Account>>) -> Option<Arc<Account>> {
        let now = self.hub.now();
        let mut all = self.lock();
        // Under the lock, so that it is not being forgotten meanwhile.
        let account = account.or_else(|| self.hub.directory().guest(address))?;
        let known = all.get(address);
        if known.is_some_and(|known| known.until > now.after(LEASE / 2)) {
            return Some(account);
        }
        let kept = Kept {
            person: account.person,
            until: now.after(LEASE),
        };
        all.insert(address.clone(), kept);
        drop(all);
        let spec = PointSpec {
            key: Some("peer".into()),
            inbox: format!("peer:{address}").into(),
            lease: LEASE,
            tether: Tether::Address,
            reach: Reach::Full,
            implies: None,
            preference: 0,
            source: None,
            client: "another server".into(),
            machine: None,
            family: None,
            handle: (self.handle)(address),
        };
        let command = Command::Register(Register {
            stack: self.stack,
            lineage: None,
            changes: vec![PointChange::Put(Box::new(spec))],
        });
        self.hub.arrange(account.person, command);
        Some(account)
    }

    /// Who stands for somebody.
    pub fn person(&self, address: &Address) -> Option<PersonId> {
        self.lock().get(address).map(|kept| kept.person)
    }

    /// One that was there before a restart: looked at like all others.
    pub fn adopt(&self, account: &Account) {
        let until = self.hub.now();
        let person = account.person;
        let mut all = self.lock();
        all.entry(account.address.clone())
            .or_insert(Kept { person, until });
    }

    /// The point of one has ended: it is made anew when it is needed, or forgotten in time.
    pub fn ended(&self, address: &Address) {
        if let Some(kept) = self.lock().get_mut(address) {
            kept.until = self.hub.now();
        }
    }

    /// What is known of one.
    pub async fn standing(&self, person: PersonId, address: &Address) -> Option<Box<Standing>> {
        let caller = internal_for(address);
        match self.hub.call(person, &caller, Command::Standing).await {
            Ok(Reply::Standing(standing)) => Some(standing),
            _ => None,
        }
    }

    /// Forgets those that nobody watches, writes to, or has a point of.
    pub async fn forget(&self) {
        let now = self.hub.now();
        let due: Vec<(Address, Kept)> = self
            .lock()
            .iter()
            .filter(|(_, kept)| kept.until <= now)
            .map(|(of, kept)| (of.clone(), *kept))
            .take(SOME)
            .collect();
        for (of, kept) in due {
            let standing = self.standing(kept.person, &of).await;
            let needed = standing.is_some_and(|standing| {
                !standing.watches.is_empty() || standing.pending > 0 || !standing.points.is_empty()
            });
            let mut all = self.lock();
            match all.get_mut(&of) {
                // It was needed again while we asked.
                Some(known) if known.until > now => {}
                Some(known) if needed => known.until = now.after(AGAIN),
                _ => {
                    all.remove(&of);
                    self.hub.directory().forget_guest(&of);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Address, Kept>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for StandIns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StandIns")
            .field("stack", &self.stack)
            .finish_non_exhaustive()
    }
}
