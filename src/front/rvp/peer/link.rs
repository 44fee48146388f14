//! One bounded queue per server, a few connections, and a breaker: a server that does not answer
//! costs one attempt now and then, and nobody waits for it.

use super::exchange::{Connection, Fault, Got, Means, Outgoing};
use super::route::Route;
use crate::net::Tasks;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// Connections to one server. What concerns one person goes over one of them, in order.
const LANES: usize = 4;
/// Servers known at once.
const SERVERS: usize = 2_000;
/// Failures in a row that open the breaker.
const FAILURES: u32 = 3;
/// First and longest rest.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What is done with the result. Must not block.
pub(in super::super) type Done = Box<dyn FnOnce(Result<Got, Fault>) + Send>;

struct Job {
    wanted: Outgoing,
    queued: Instant,
    done: Done,
}

/// One server.
struct Server {
    key: Arc<str>,
    lanes: [Mutex<Option<mpsc::Sender<Job>>>; LANES],
    breaker: Mutex<Breaker>,
}

#[derive(Default)]
struct Breaker {
    failures: u32,
    /// Closed again then, for one attempt.
    until: Option<Instant>,
    pause: Duration,
    /// The attempt after a rest is under way.
    trying: bool,
}

/// Counters over all servers.
#[derive(Debug, Default)]
struct LinkStats {
    sent: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    opened: AtomicU64,
}

/// All servers. Cloning shares.
#[derive(Clone)]
pub(in super::super) struct Links(Arc<Shared>);

struct Shared {
    means: Arc<Means>,
    tasks: Tasks,
    capacity: usize,
    hash: RandomState,
    servers: Mutex<HashMap<Arc<str>, Arc<Server>>>,
    stats: LinkStats,
}

impl Links {
    pub(super) fn new(means: Arc<Means>, capacity: usize, tasks: Tasks) -> Self {
        Self(Arc::new(Shared {
            means,
            tasks,
            capacity,
            hash: RandomState::new(),
            servers: Mutex::default(),
            stats: LinkStats::default(),
        }))
    }

    /// Whether that server rests after failures.
    pub(super) fn rests(&self, key: &str) -> bool {
        let server = lock(&self.0.servers).get(key).cloned();
        server.is_some_and(|server| {
            let until = lock(&server.breaker).until;
            until.is_some_and(|until| until > Instant::now())
        })
    }

    /// Sends a request; `done` is called exactly once, perhaps at once. Never waits. Requests of
    /// one `lane` text keep their order.
    pub(in super::super) fn send(&self, route: &Route, lane: &str, wanted: Outgoing, done: Done) {
        let refuse = |done: Done, fault: Fault| {
            self.0.stats.refused.fetch_add(1, Ordering::Relaxed);
            done(Err(fault));
        };
        let Some(server) = self.server(&route.key) else {
            return refuse(done, Fault::Full);
        };
        if !lock(&server.breaker).lets_pass() {
            return refuse(done, Fault::Resting);
        }
        let number = self.0.hash.hash_one(lane) % LANES as u64;
        let lane = usize::try_from(number).unwrap_or(0);
        let mut job = Job {
            wanted,
            queued: Instant::now(),
            done,
        };
        let mut open = lock(&server.lanes[lane]);
        if let Some(sender) = &*open {
            match sender.try_send(job) {
                Ok(()) => return,
                Err(mpsc::error::TrySendError::Full(job)) => {
                    drop(open);
                    lock(&server.breaker).gave_up();
                    return refuse(job.done, Fault::Full);
                }
                Err(mpsc::error::TrySendError::Closed(back)) => job = back,
            }
        }
        let (sender, jobs) = mpsc::channel(self.0.capacity.max(1));
        // A fresh queue has room.
        let _ = sender.try_send(job);
        *open = Some(sender);
        drop(open);
        let connection = Connection::new(Arc::clone(&self.0.means), route.clone());
        let shared = Arc::clone(&self.0);
        let run = run(shared, Arc::clone(&server), connection, jobs);
        self.0.tasks.spawn_until_stop(run);
    }

    /// The same, waiting for the result.
    pub(in super::super) async fn ask(
        &self,
        route: &Route,
        lane: &str,
        wanted: Outgoing,
    ) -> Result<Got, Fault> {
        let (tell, told) = tokio::sync::oneshot::channel();
        let done = Box::new(move |result| drop(tell.send(result)));
        self.send(route, lane, wanted, done);
        told.await.unwrap_or(Err(Fault::Broken))
    }

    fn server(&self, key: &Arc<str>) -> Option<Arc<Server>> {
        let mut servers = lock(&self.0.servers);
        if let Some(server) = servers.get(key) {
            return Some(Arc::clone(server));
        }
        if servers.len() >= SERVERS {
            return None;
        }
        let server = Arc::new(Server {
            key: Arc::clone(key),
            lanes: Default::default(),
            breaker: Mutex::default(),
        });
        servers.insert(Arc::clone(key), Arc::clone(&server));
        Some(server)
    }
}

/// One connection's life: jobs in order, closed while there are none.
async fn run(
    shared: Arc<Shared>,
    server: Arc<Server>,
    mut connection: Connection,
    mut jobs: mpsc::Receiver<Job>,
) {
    let patience = shared.means.patience;
    loop {
        let job = match timeout(patience.idle, jobs.recv()).await {
            Ok(Some(job)) => job,
            Ok(None) => return,
            Err(_) => {
                connection.close();
                match jobs.recv().await {
                    Some(job) => job,
                    None => return,
                }
            }
        };
        let result = if job.queued.elapsed() > patience.answer {
            Err(Fault::Late)
        } else if lock(&server.breaker).blocks_queued() {
            Err(Fault::Resting)
        } else {
            connection.ask(&job.wanted).await
        };
        note(&shared, &server, &result);
        (job.done)(result);
    }
}

fn note(shared: &Shared, server: &Server, result: &Result<Got, Fault>) {
    match result {
        Err(fault) => {
            shared.stats.failed.fetch_add(1, Ordering::Relaxed);
            if *fault != Fault::Resting {
                tracing::info!(peer = %server.key, cause = %fault, "peer request failed");
            }
            if !fault.counts() {
                lock(&server.breaker).gave_up();
                return;
            }
            if let Some(pause) = lock(&server.breaker).failed() {
                let stats = &shared.stats;
                let opened = stats.opened.fetch_add(1, Ordering::Relaxed) + 1;
                let (sent, failed) = (&stats.sent, &stats.failed);
                let refused = stats.refused.load(Ordering::Relaxed);
                tracing::warn!(
                    peer = %server.key, ?pause, cause = %fault, opened, ?sent, ?failed, refused,
                    "peer does not answer: left alone for a while"
                );
            }
        }
        Ok(_) => {
            shared.stats.sent.fetch_add(1, Ordering::Relaxed);
            if lock(&server.breaker).worked() {
                tracing::info!(peer = %server.key, "peer answers again");
            }
        }
    }
}

impl Breaker {
    /// Whether a new request may be queued.
    fn lets_pass(&mut self) -> bool {
        match self.until {
            None => true,
            Some(until) if until > Instant::now() || self.trying => false,
            Some(_) => {
                self.trying = true;
                true
            }
        }
    }

    /// Whether what waits in the queue since before must go without an attempt.
    fn blocks_queued(&self) -> bool {
        !self.trying && self.until.is_some_and(|until| until > Instant::now())
    }

    /// Notes a failure; the rest that begins with it.
    fn failed(&mut self) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        let tried = std::mem::take(&mut self.trying);
        if self.failures < FAILURES && !tried {
            return None;
        }
        let resting = self.until.is_some_and(|until| until > Instant::now());
        if resting {
            return None;
        }
        self.pause = (self.pause * 2).clamp(REST.0, REST.1);
        self.until = Some(Instant::now() + self.pause);
        Some(self.pause)
    }

    /// An attempt that says nothing about the server.
    fn gave_up(&mut self) {
        self.trying = false;
    }

    /// Notes an answer; true if it ends a rest.
    fn worked(&mut self) -> bool {
        let rested = self.until.is_some();
        *self = Self::default();
        rested
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_dead_server_is_tried_now_and_then() {
        let mut breaker = Breaker::default();
        for _ in 1..FAILURES {
            assert!(breaker.lets_pass());
            assert_eq!(breaker.failed(), None);
        }
        assert_eq!(breaker.failed(), Some(REST.0));
        assert!(!breaker.lets_pass() && breaker.blocks_queued());
        tokio::time::advance(REST.0).await;
        assert!(breaker.lets_pass(), "one attempt");
        assert!(!breaker.lets_pass(), "and no second one beside it");
        assert_eq!(breaker.failed(), Some(REST.0 * 2));
        tokio::time::advance(REST.0 * 2).await;
        assert!(breaker.lets_pass());
        assert!(breaker.worked());
        assert!(breaker.lets_pass() && breaker.lets_pass());
        for _ in 0..40 {
            breaker.trying = true;
            breaker.failed();
            tokio::time::advance(REST.1).await;
        }
        assert_eq!(breaker.pause, REST.1);
    }
}
