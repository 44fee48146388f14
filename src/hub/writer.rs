//! The one writer: group commit (`decisions.md` 33). It commits whenever it is idle; what arrives
//! meanwhile is the next batch.

use super::mailbox::{Inside, Written};
use super::shared::Shared;
use crate::core::id::PersonId;
use crate::core::port::{Store, StoreError, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// What is to be written as a whole.
pub(super) struct Job {
    pub(super) writes: Vec<Write>,
    pub(super) from: From,
}

/// Who waits for it.
pub(super) enum From {
    /// An outcome of a person.
    Person {
        person: PersonId,
        generation: u64,
        /// Set when an earlier outcome of that person could not be stored: what follows it was
        /// made on a state that never became durable and must not be stored either.
        /// `None`: if this outcome is not stored, it is taken back, and what follows stands.
        doomed: Option<Arc<AtomicBool>>,
    },
    /// The archive, where nobody waits.
    Archive,
    /// An operator.
    Operator(oneshot::Sender<Result<(), StoreError>>),
}

impl Job {
    fn is_awaited(&self) -> bool {
        !matches!(self.from, From::Archive)
    }

    fn doomed(&self) -> bool {
        match &self.from {
            From::Person {
                doomed: Some(doomed),
                ..
            } => doomed.load(Ordering::Acquire),
            From::Person { doomed: None, .. } | From::Operator(_) | From::Archive => false,
        }
    }
}

/// Runs until all senders are gone.
pub(super) async fn run<S: Store>(
    store: Arc<S>,
    shared: Arc<Shared>,
    mut jobs: mpsc::UnboundedReceiver<Job>,
) {
    let (rows, wait) = (shared.settings.commit_rows, shared.settings.commit_wait);
    while let Some(first) = jobs.recv().await {
        let group = gather(first, &mut jobs, rows, wait).await;
        commit(&*store, &shared, group).await;
    }
}

/// What is there already. Nobody waits for rows of the archive alone: more may come meanwhile, for a
/// fuller commit costs less.
async fn gather(
    first: Job,
    jobs: &mut mpsc::UnboundedReceiver<Job>,
    rows: usize,
    wait: Duration,
) -> Vec<Job> {
    let deadline = Instant::now() + wait;
    let mut count = first.writes.len();
    let mut awaited = first.is_awaited();
    let mut group = vec![first];
    while count < rows && Instant::now() < deadline {
        let job = match jobs.try_recv() {
            Ok(job) => job,
            Err(_) if awaited => break,
            Err(_) => match timeout_at(deadline, jobs.recv()).await {
                Ok(Some(job)) => job,
                Ok(None) | Err(_) => break,
            },
        };
        count += job.writes.len();
        awaited |= job.is_awaited();
        group.push(job);
    }
    group
}

async fn commit<S: Store>(store: &S, shared: &Shared, group: Vec<Job>) {
    let batch: Vec<Write> = group
        .iter()
        .filter(|job| !job.doomed())
        .flat_map(|job| job.writes.iter().cloned())
        .collect();
    let rows = batch.len();
    let mut done = Done::new(shared);
    let result = if rows == 0 {
        Ok(())
    } else {
        store.commit(batch).await
    };
    match result {
        Ok(()) => {
            shared.stats.commits.add(1);
            shared.stats.rows.add(u64::try_from(rows).unwrap_or(0));
            for job in group {
                let stored = !job.doomed();
                done.job(job, if stored { Ok(()) } else { Err(doomed()) });
            }
        }
        Err(error) if group.len() == 1 => {
            count_failure(shared, &error);
            for job in group {
                done.fail(job, error_again(&error));
            }
        }
        Err(error) => {
            count_failure(shared, &error);
            one_by_one(store, shared, group, &mut done).await;
        }
    }
    done.send();
}

/// One bad row must not cost the others their commit. If storage itself is gone, the second
/// failure in a row ends the attempts.
async fn one_by_one<S: Store>(store: &S, shared: &Shared, group: Vec<Job>, done: &mut Done<'_>) {
    let mut failures = 0;
    for job in group {
        if job.doomed() || failures >= 2 {
            done.fail(job, doomed());
            continue;
        }
        match store.commit(job.writes.clone()).await {
            Ok(()) => {
                failures = 0;
                shared.stats.commits.add(1);
                let rows = u64::try_from(job.writes.len()).unwrap_or(0);
                shared.stats.rows.add(rows);
                done.job(job, Ok(()));
            }
            Err(error) => {
                // A refused address says nothing about the health of storage.
                failures += u32::from(!matches!(error, StoreError::Taken(_)));
                count_failure(shared, &error);
                done.fail(job, error);
            }
        }
    }
}

fn count_failure(shared: &Shared, error: &StoreError) {
    shared.stats.commit_failures.add(1);
    tracing::error!(%error, "a commit failed");
}

fn doomed() -> StoreError {
    StoreError::Backend("not stored, because what it builds on was not".to_owned())
}

fn error_again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Taken(address) => StoreError::Taken(address.clone()),
        other => StoreError::Backend(other.to_string()),
    }
}

/// Collects results and tells each shard once.
struct Done<'a> {
    shared: &'a Shared,
    shards: Vec<Vec<Written>>,
    /// Rows of the archive that nobody waits for.
    along: usize,
}

impl<'a> Done<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            shards: vec![Vec::new(); shared.mailboxes.len()],
            along: 0,
        }
    }

    fn fail(&mut self, job: Job, error: StoreError) {
        if let From::Person {
            doomed: Some(doomed),
            ..
        } = &job.from
        {
            doomed.store(true, Ordering::Release);
        }
        self.job(job, Err(error));
    }

    fn job(&mut self, job: Job, result: Result<(), StoreError>) {
        self.archived(&job, result.as_ref());
        match job.from {
            From::Archive => {}
            From::Operator(waiting) => drop(waiting.send(result)),
            From::Person {
                person, generation, ..
            } => {
                let shard = self.shared.shard_of(person);
                if let Some(all) = self.shards.get_mut(shard) {
                    all.push(Written {
                        person,
                        generation,
                        stored: result.is_ok(),
                    });
                }
            }
        }
    }

    /// What the archive's state becomes by a job.
    fn archived(&mut self, job: &Job, result: Result<&(), &StoreError>) {
        let of_archive = |write: &&Write| matches!(write, Write::Archive(_));
        let rows = job.writes.iter().filter(of_archive).count();
        if rows == 0 {
            return;
        }
        let count = u64::try_from(rows).unwrap_or(0);
        let counter = match result {
            Ok(()) => &self.shared.stats.archived,
            Err(_) => &self.shared.stats.archive_failures,
        };
        counter.add(count);
        let required = matches!(job.from, From::Person { .. });
        // What an operator could not store is told to him.
        if result.is_ok() || !matches!(job.from, From::Operator(_)) {
            self.shared.archive.note(count, required, result.err());
        }
        if matches!(job.from, From::Archive) {
            self.along += rows;
        }
    }

    fn send(self) {
        if self.along > 0 && self.shared.archive.done(self.along) {
            for mailbox in &self.shared.mailboxes {
                mailbox.tell(Inside::Room);
            }
        }
        for (mailbox, written) in self.shared.mailboxes.iter().zip(self.shards) {
            if !written.is_empty() {
                mailbox.tell(Inside::Committed(written));
            }
        }
    }
}
