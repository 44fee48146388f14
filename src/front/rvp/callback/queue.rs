//! One bounded queue per inbox, and a task only while an inbox has something to do.
//!
//! Order within an inbox is the order of events. A change of presence that is overtaken by a
//! newer one before it left is replaced in place. When nobody answers, texts fail at once (the
//! core decides what becomes of them) and changes are tried again with growing pauses.

use super::book::Book;
use super::client::{Client, NoAnswer, Patience};
use super::gate::Gates;
use super::outgoing::Outgoing;
use crate::core::address::Address;
use crate::core::command::{Change, PointInfo};
use crate::core::id::{Handle, MessageId, PersonId, PointId, WatchId};
use crate::core::message::Message;
use crate::net::{Alarm, Tasks};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Tables of inboxes, so that shards seldom meet at one lock.
const TABLES: usize = 16;
/// Changes that may wait; more than one person may watch (`[limits]` watches).
const CHANGES: usize = 1024;
/// Pauses after failures: the first is the five seconds of `decisions.md` 14, the others grow
/// threefold, because thousands of dead callbacks must cost next to nothing.
const PAUSES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// A watch that no point stands behind is given up after this (`decisions.md` 14).
const GIVE_UP: Duration = Duration::from_secs(600);

/// Something to send to one inbox.
#[derive(Clone, Debug)]
pub struct Job {
    /// Whose inbox.
    pub person: PersonId,
    /// The point behind it; none for a watch that brought its own Call-Back.
    pub point: Option<PointInfo>,
    /// What to send.
    pub work: Work,
}

/// See [`Job`].
#[derive(Clone, Debug)]
pub enum Work {
    /// A message to the point.
    Message {
        /// The message.
        message: Arc<Message>,
        /// May have been delivered before a crash.
        redelivered: bool,
        /// Kept while its recipient was away.
        away: bool,
    },
    /// A watched person changed.
    Change {
        /// The person watched, when known.
        watched: Option<PersonId>,
        /// The address that was watched.
        of: Address,
        /// The watcher.
        watcher: Address,
        /// The watch and its wire state.
        watch: (WatchId, Handle),
        /// What changed.
        change: Change,
    },
}

/// What became of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The client answered with this status.
    Answered(u16),
    /// It did not.
    Unanswered(NoAnswer),
    /// There was no place in the queue.
    QueueFull,
    /// Nothing can be sent for it (rendered to nothing).
    Nothing,
    /// A change whose inbox has not answered for ten minutes.
    GivenUp,
}

/// Who writes the requests and hears of the results.
pub trait Post: Send + Sync + 'static {
    /// The request for a job; `None` if the job says nothing to this client.
    fn request(&self, job: &Job) -> Option<Outgoing>;
    /// What became of it. Must not block.
    fn report(&self, job: &Job, fate: Fate);
    /// Its listener has never answered and gets no further chance. Must not block.
    fn unproven(&self, job: &Job);
}

/// What may wait for one inbox.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// Messages.
    pub messages: usize,
    /// Octets of them.
    pub octets: usize,
}

/// All inboxes. Cloning shares.
#[derive(Clone)]
pub struct Dialler(Arc<Shared>);

struct Shared {
    post: Arc<dyn Post>,
    gates: Gates,
    patience: Patience,
    capacity: Capacity,
    tasks: Tasks,
    book: Book,
    tables: [Mutex<Table>; TABLES],
    /// Where the messages of a point wait, for withdrawals.
    points: Mutex<foldhash::HashMap<PointId, Key>>,
}

type Table = foldhash::HashMap<Key, Arc<Inbox>>;

/// A principal and the address of his listener (`decisions.md` 22).
type Key = (PersonId, SocketAddr);

struct Inbox {
    key: Key,
    wake: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    messages: usize,
    octets: usize,
    running: bool,
    failing: Option<Failing>,
}

#[derive(Clone, Copy)]
struct Failing {
    since: Instant,
    next: Instant,
    pause: Duration,
}

impl Dialler {
    /// No inboxes yet.
    pub fn new(
        post: Arc<dyn Post>,
        gates: Gates,
        patience: Patience,
        capacity: Capacity,
        tasks: Tasks,
        book: Book,
    ) -> Self {
        Self(Arc::new(Shared {
            post,
            gates,
            patience,
            capacity,
            tasks,
            book,
            tables: std::array::from_fn(|_| Mutex::default()),
            points: Mutex::default(),
        }))
    }

    /// Takes a job for the listener at this checked address. Never waits.
    pub fn push(&self, endpoint: SocketAddr, job: Job) {
        let key = (job.person, endpoint);
        if let (Work::Message { .. }, Some(point)) = (&job.work, &job.point) {
            lock(&self.0.points).entry(point.id).or_insert(key);
        }
        let mut table = self.0.table(key);
        let inbox = table.entry(key).or_insert_with(|| {
            Arc::new(Inbox {
                key,
                wake: Notify::new(),
                state: Mutex::default(),
            })
        });
        let inbox = Arc::clone(inbox);
        let mut state = lock(&inbox.state);
        drop(table);
        if let Err(job) = state.put(job, self.0.capacity) {
            drop(state);
            self.0.post.report(&job, Fate::QueueFull);
            return;
        }
        let running = std::mem::replace(&mut state.running, true);
        drop(state);
        if running {
            inbox.wake.notify_one();
        } else {
            let shared = Arc::clone(&self.0);
            self.0.tasks.spawn_until_stop(shared.run(inbox));
        }
    }

    /// Withdraws a message that has not left yet. It gets no report.
    pub fn cancel(&self, point: PointId, message: MessageId) {
        self.0.withdraw(point, |job| {
            matches!(&job.work, Work::Message { message: queued, .. } if queued.id == message)
        });
    }

    /// Forgets what waits for a point that has ended. It gets no report.
    pub fn point_ended(&self, person: PersonId, endpoint: SocketAddr, point: PointId) {
        lock(&self.0.points)
            .entry(point)
            .or_insert((person, endpoint));
        self.0.withdraw(point, |_| true);
        lock(&self.0.points).remove(&point);
        self.0.book.forget(person, endpoint);
    }

    /// A listener from before the restart.
    pub fn restored(&self, person: PersonId, endpoint: SocketAddr) {
        self.0.book.trust(person, endpoint);
    }

    /// Who makes us connect where.
    pub fn book(&self) -> &Book {
        &self.0.book
    }

    /// Inboxes that have something to do or an open connection.
    pub fn active(&self) -> usize {
        self.0.tables.iter().map(|table| lock(table).len()).sum()
    }
}

impl Shared {
    fn table(&self, key: Key) -> MutexGuard<'_, Table> {
        lock(&self.tables[usize::from(key.0.shard().0) % TABLES])
    }

    fn withdraw(&self, point: PointId, which: impl Fn(&Job) -> bool) {
        let Some(key) = lock(&self.points).get(&point).copied() else {
            return;
        };
        let inbox = self.table(key).get(&key).cloned();
        if let Some(inbox) = inbox {
            lock(&inbox.state)
                .remove(|job| job.point.as_ref().is_some_and(|of| of.id == point) && which(job));
        }
    }

    async fn run(self: Arc<Self>, inbox: Arc<Inbox>) {
        let mut client = Client::new(inbox.key.1, self.patience);
        let mut unused = Alarm::new(Instant::now() + self.patience.idle);
        loop {
            let next = lock(&inbox.state).next();
            match next {
                Next::Job(job) => self.send(&inbox, &mut client, *job).await,
                Next::Pause(until) => tokio::select! {
                    () = inbox.wake.notified() => {}
                    () = sleep_until(until) => {}
                },
                Next::Empty => tokio::select! {
                    () = inbox.wake.notified() => {}
                    // A listener that closes without a word has done nothing wrong (8.2).
                    () = client.watch() => {}
                    () = unused.until(Instant::now() + self.patience.idle) => {
                        if self.retire(&inbox) {
                            return;
                        }
                    }
                },
            }
        }
    }

    /// Forgets an inbox that has nothing to do.
    fn retire(&self, inbox: &Arc<Inbox>) -> bool {
        let mut table = self.table(inbox.key);
        let mut state = lock(&inbox.state);
        if !state.queue.is_empty() {
            return false;
        }
        state.running = false;
        table.remove(&inbox.key);
        true
    }

    async fn send(&self, inbox: &Inbox, client: &mut Client, job: Job) {
        if matches!(job.work, Work::Change { .. }) {
            self.gates.pass(job.person).await;
        }
        let Some(request) = self.post.request(&job) else {
            self.post.report(&job, Fate::Nothing);
            return;
        };
        let wait = match job.work {
            Work::Message { .. } => self.patience.message,
            Work::Change { .. } => self.patience.answer,
        };
        let (person, endpoint) = inbox.key;
        if !client.is_connected() && !self.book.admit(person, endpoint) {
            self.failed(inbox, job, NoAnswer::Quota);
            return;
        }
        match client.send(&request, wait).await {
            Ok(status) => {
                self.book.answered(person, endpoint);
                lock(&inbox.state).failing = None;
                self.post.report(&job, Fate::Answered(status));
            }
            Err(why) => self.failed(inbox, job, why),
        }
    }

    fn failed(&self, inbox: &Inbox, job: Job, why: NoAnswer) {
        tracing::info!(endpoint = %inbox.key.1, %why, "callback failed");
        let (person, endpoint) = inbox.key;
        // What we did not try says nothing about the listener.
        let unproven =
            why != NoAnswer::Quota && self.book.failed(person, endpoint, &why.to_string());
        if unproven {
            tracing::warn!(%endpoint, %why, "callback removed: it has never answered");
        }
        let mut state = lock(&inbox.state);
        let given_up = state.pause() || unproven;
        let mut reports = Vec::new();
        if matches!(why, NoAnswer::Connect(_) | NoAnswer::Quota) {
            // They would all fail the same way, one connection attempt after the other.
            reports = state.remove(|job| matches!(job.work, Work::Message { .. }));
        }
        let mut fates = Vec::with_capacity(reports.len() + 1);
        let failed = unproven.then(|| job.clone());
        let retry = matches!(job.work, Work::Change { .. });
        fates.push((job.clone(), Fate::Unanswered(why)));
        if retry && given_up {
            fates.extend(
                state
                    .remove(|_| true)
                    .into_iter()
                    .map(|job| (job, Fate::GivenUp)),
            );
            fates.push((job, Fate::GivenUp));
        } else if retry {
            state.put_back(job);
        }
        drop(state);
        fates.extend(reports.into_iter().map(|job| (job, Fate::Unanswered(why))));
        for (job, fate) in fates {
            self.post.report(&job, fate);
        }
        if let Some(job) = failed {
            self.post.unproven(&job);
        }
    }
}

enum Next {
    Job(Box<Job>),
    Pause(Instant),
    Empty,
}

impl State {
    fn put(&mut self, job: Job, capacity: Capacity) -> Result<(), Box<Job>> {
        match &job.work {
            Work::Message { message, .. } => {
                let octets = self.octets + message.original.bytes.len();
                if self.messages >= capacity.messages || octets > capacity.octets {
                    return Err(Box::new(job));
                }
                self.messages += 1;
                self.octets = octets;
            }
            Work::Change { .. } => {
                let Some(job) = self.overtake(job) else {
                    return Ok(());
                };
                if self.queue.len() - self.messages >= CHANGES {
                    return Err(Box::new(job));
                }
                self.queue.push_back(job);
                return Ok(());
            }
        }
        self.queue.push_back(job);
        Ok(())
    }

    /// Replaces an older change of the same watch to the same point. Gives the job back if there
    /// is none.
    fn overtake(&mut self, job: Job) -> Option<Job> {
        if self.queue.len() == self.messages {
            return Some(job);
        }
        let older = self.queue.iter_mut().find(|queued| queued.is_older(&job));
        match older {
            Some(queued) => {
                queued.merge(job);
                None
            }
            None => Some(job),
        }
    }

    /// Puts a change back that could not be sent, unless a newer one waits.
    fn put_back(&mut self, job: Job) {
        if let Some(newer) = self.queue.iter_mut().find(|queued| queued.is_older(&job)) {
            let mut older = job;
            std::mem::swap(newer, &mut older);
            newer.merge(older);
        } else {
            self.queue.push_front(job);
        }
    }

    fn remove(&mut self, which: impl Fn(&Job) -> bool) -> Vec<Job> {
        let (gone, kept) = std::mem::take(&mut self.queue)
            .into_iter()
            .partition(|job| which(job));
        self.queue = kept;
        (self.messages, self.octets) = (0, 0);
        for job in &self.queue {
            if let Work::Message { message, .. } = &job.work {
                self.messages += 1;
                self.octets += message.original.bytes.len();
            }
        }
        Vec::from(gone)
    }

    fn next(&mut self) -> Next {
        if self.queue.is_empty() {
            return Next::Empty;
        }
        if let Some(failing) = self.failing
            && self.messages == 0
            && failing.next > Instant::now()
        {
            return Next::Pause(failing.next);
        }
        match self.queue.pop_front() {
            Some(job) => {
                if let Work::Message { message, .. } = &job.work {
                    self.messages -= 1;
                    self.octets = self.octets.saturating_sub(message.original.bytes.len());
                }
                Next::Job(Box::new(job))
            }
            None => Next::Empty,
        }
    }

    /// Notes a failure; true if this has gone on for too long.
    fn pause(&mut self) -> bool {
        let now = Instant::now();
        let failing = self.failing.get_or_insert(Failing {
            since: now,
            next: now,
            pause: Duration::ZERO,
        });
        if failing.next <= now {
            failing.pause = (failing.pause * 3).clamp(PAUSES.0, PAUSES.1);
            failing.next = now + failing.pause;
        }
        now.duration_since(failing.since) >= GIVE_UP
    }
}

impl Job {
    /// Whether `newer` says the same thing to the same point, more recently.
    fn is_older(&self, newer: &Self) -> bool {
        let id = |job: &Self| job.point.as_ref().map(|point| point.id);
        match (&self.work, &newer.work) {
            (
                Work::Change { watch, change, .. },
                Work::Change {
                    watch: other,
                    change: next,
                    ..
                },
            ) => {
                watch.0 == other.0
                    && id(self) == id(newer)
                    && std::mem::discriminant(change) == std::mem::discriminant(next)
            }
            _ => false,
        }
    }

    fn merge(&mut self, newer: Self) {
        let mut newer = newer;
        if let (
            Work::Change {
                change: Change::Properties(old),
                ..
            },
            Work::Change {
                change: Change::Properties(new),
                ..
            },
        ) = (&self.work, &mut newer.work)
        {
            for (name, value) in old {
                if !new.iter().any(|(known, _)| known == name) {
                    new.push((name.clone(), value.clone()));
                }
            }
        }
        *self = newer;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
