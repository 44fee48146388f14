//! One bounded queue per server, a few connections, and a breaker: a server that does not answer
//! costs one attempt now and then, and nobody waits for it.

use super::exchange::{Connection, Fault, Got, Means, Outgoing};
use super::route::Route;
use crate::net::{Breaker, Tasks};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// Connections to one server. What concerns one person goes over one of them, in order.
const LANES: usize = 4;
/// Servers known at once.
const SERVERS: usize = 2_000;
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
    tally: Mutex<Tally>,
}

/// What became of requests to one server.
#[derive(Default)]
struct Tally {
    sent: u64,
    failed: u64,
    last: Option<String>,
}

/// One line about a server, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerLine {
    /// `domain NAME` or `home PLACE`.
    pub name: String,
    /// Where it is reached, as configured; `None` = looked up.
    pub route: Option<String>,
    /// How it is believed.
    pub trust: &'static str,
    /// `unused`, `up`, `failing` or `resting`.
    pub state: &'static str,
    /// Failures in a row.
    pub failures: u32,
    /// Requests made, and those without an answer.
    pub sent: u64,
    /// Of these, without an answer.
    pub failed: u64,
    /// The last failure.
    pub last: Option<String>,
}

impl PeerLine {
    pub(super) fn unused(name: String) -> Self {
        Self {
            name,
            route: None,
            trust: "none",
            state: "unused",
            failures: 0,
            sent: 0,
            failed: 0,
            last: None,
        }
    }
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
        server.is_some_and(|server| lock(&server.breaker).rests())
    }

    /// Fills in how a server is doing.
    pub(super) fn tell(&self, key: &str, line: &mut PeerLine) {
        let Some(server) = lock(&self.0.servers).get(key).cloned() else {
            return;
        };
        let (rests, failures) = {
            let breaker = lock(&server.breaker);
            (breaker.rests(), breaker.failures())
        };
        let tally = lock(&server.tally);
        line.state = match (rests, failures) {
            (true, _) => "resting",
            (false, 0) if tally.sent == 0 => "unused",
            (false, 0) => "up",
            (false, _) => "failing",
        };
        line.failures = failures;
        line.sent = tally.sent;
        line.failed = tally.failed;
        line.last.clone_from(&tally.last);
    }

    /// All servers that were asked.
    pub(super) fn keys(&self) -> Vec<Arc<str>> {
        let mut keys: Vec<_> = lock(&self.0.servers).keys().cloned().collect();
        keys.sort();
        keys
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
            tally: Mutex::default(),
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
    {
        let mut tally = lock(&server.tally);
        tally.sent += 1;
        if let Err(fault) = result {
            tally.failed += 1;
            tally.last = Some(fault.to_string());
        }
    }
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
