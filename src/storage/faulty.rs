//! Fault points for tests: a storage whose commits fail, halt or are written down on demand.

use crate::core::archive::{Archive, Find, Hold, Indexed, Link, Row};
use crate::core::documents::{DocumentId, DocumentInfo};
use crate::core::id::PersonId;
use crate::core::port::{
    Account, BacklogRecord, HeldRecord, PersonRecords, Store, StoreError, TargetRecord, Write,
};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// Commits wait here while it is shut.
#[derive(Debug, Default)]
struct Gate {
    shut: bool,
    waiting: Vec<Waker>,
}

/// Wraps a storage.
#[derive(Debug)]
pub struct Faulty<S> {
    inner: S,
    commits: AtomicU64,
    fail_at: AtomicU64,
    fail_all: AtomicBool,
    fail_archive: AtomicBool,
    gate: Mutex<Gate>,
    journal: Mutex<Vec<Vec<Write>>>,
}

impl<S: Store> Faulty<S> {
    /// Without faults for now.
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            commits: AtomicU64::new(0),
            fail_at: AtomicU64::new(0),
            fail_all: AtomicBool::new(false),
            fail_archive: AtomicBool::new(false),
            gate: Mutex::default(),
            journal: Mutex::default(),
        }
    }

    /// The `n`-th commit from now (1 = the next) fails, nothing of it is stored.
    pub fn fail_commit(&self, n: u64) {
        let at = self.commits.load(Ordering::SeqCst) + n;
        self.fail_at.store(at, Ordering::SeqCst);
    }

    /// From now on everything fails (`true`), or works again.
    pub fn fail_all(&self, fail: bool) {
        self.fail_all.store(fail, Ordering::SeqCst);
    }

    /// From now on whatever appends to the archive fails (`true`), or works again.
    pub fn fail_archive(&self, fail: bool) {
        self.fail_archive.store(fail, Ordering::SeqCst);
    }

    /// Commits wait from now on until [`Self::resume`].
    pub fn pause(&self) {
        self.gate().shut = true;
    }

    /// Lets waiting commits go on.
    pub fn resume(&self) {
        let mut gate = self.gate();
        gate.shut = false;
        let waiting = std::mem::take(&mut gate.waiting);
        drop(gate);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Commits that were asked for, failed ones among them.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    /// The batches that were committed, in order.
    pub fn journal(&self) -> Vec<Vec<Write>> {
        self.journal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What is wrapped.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Waits while the gate is shut.
    fn passed(&self) -> impl Future<Output = ()> + Send + '_ {
        std::future::poll_fn(|context| {
            let mut gate = self.gate();
            if !gate.shut {
                return Poll::Ready(());
            }
            gate.waiting.push(context.waker().clone());
            Poll::Pending
        })
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Store> Store for Faulty<S> {
    async fn commit(&self, batch: Vec<Write>) -> Result<(), StoreError> {
        let number = self.commits.fetch_add(1, Ordering::SeqCst) + 1;
        self.passed().await;
        self.check()?;
        let archived = batch.iter().any(|write| matches!(write, Write::Archive(_)));
        if archived && self.fail_archive.load(Ordering::SeqCst) {
            return Err(StoreError::Fault);
        }
        if number == self.fail_at.load(Ordering::SeqCst) {
            return Err(StoreError::Fault);
        }
        self.inner.commit(batch.clone()).await?;
        self.journal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(batch);
        Ok(())
    }

    async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        self.check()?;
        self.inner.accounts().await
    }

    async fn person(&self, person: PersonId) -> Result<PersonRecords, StoreError> {
        self.check()?;
        self.inner.person(person).await
    }

    async fn live(&self) -> Result<Vec<(PersonId, PersonRecords)>, StoreError> {
        self.check()?;
        self.inner.live().await
    }

    async fn document(
        &self,
        person: PersonId,
        id: DocumentId,
    ) -> Result<Option<(DocumentInfo, Bytes)>, StoreError> {
        self.check()?;
        self.inner.document(person, id).await
    }

    async fn documents(
        &self,
        usage: Arc<str>,
    ) -> Result<Vec<(PersonId, DocumentInfo, Bytes)>, StoreError> {
        self.check()?;
        self.inner.documents(usage).await
    }

    async fn targets(&self) -> Result<Vec<TargetRecord>, StoreError> {
        self.check()?;
        self.inner.targets().await
    }

    async fn backlog(&self) -> Result<Vec<BacklogRecord>, StoreError> {
        self.check()?;
        self.inner.backlog().await
    }

    async fn held(&self) -> Result<Vec<HeldRecord>, StoreError> {
        self.check()?;
        self.inner.held().await
    }

    async fn reserve(&self, count: u32) -> Result<u32, StoreError> {
        self.check()?;
        self.inner.reserve(count).await
    }
}

impl<S: Archive> Archive for Faulty<S> {
    async fn archive_head(&self) -> Result<(u64, Link), StoreError> {
        self.check()?;
        self.inner.archive_head().await
    }

    async fn archive_rows(&self, above: u64, limit: usize) -> Result<Vec<Row>, StoreError> {
        self.check()?;
        self.inner.archive_rows(above, limit).await
    }

    async fn archive_find(&self, find: Find) -> Result<Vec<Row>, StoreError> {
        self.check()?;
        self.inner.archive_find(find).await
    }

    async fn archive_indexed(&self) -> Result<u64, StoreError> {
        self.check()?;
        self.inner.archive_indexed().await
    }

    async fn archive_index(&self, rows: Vec<Indexed>, upto: u64) -> Result<(), StoreError> {
        self.check()?;
        self.inner.archive_index(rows, upto).await
    }

    async fn archive_holds(&self) -> Result<Vec<Hold>, StoreError> {
        self.check()?;
        self.inner.archive_holds().await
    }
}

impl<S> Faulty<S> {
    fn check(&self) -> Result<(), StoreError> {
        if self.fail_all.load(Ordering::SeqCst) {
            return Err(StoreError::Fault);
        }
        Ok(())
    }
}
