//! Runs the search for servers (RFC 3263, `sip::locate`) on name servers, remembers what they said
//! for as long as it holds, and which places did not answer lately.
//!
//! [`Locator::find`] never waits: what is known is given at once, else one task asks for all.
//! Everything found is tried in order by whoever asked, each place in a transaction of its own;
//! [`Locator::failed`] and [`Locator::worked`] report what became of it, so that a dead place goes
//! to the end of everybody's list for a while (RFC 3263 4.3; RFC 4321 2: for requests other than
//! INVITE a dead place costs all the time there is, so it must not be met by each of them).

use crate::net::{Found, NameServers, NoAnswer};
use sip::flow::Transport;
use sip::locate::{Abilities, Answer, Hop, Naptr, Question, Search, Srv, Target};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Targets remembered.
const CACHE: usize = 4096;
/// Targets asked for at once.
const LOOKUPS: usize = 64;
/// Who may wait for all look-ups together.
const WAITING: usize = 4096;
/// Longest search, all questions together.
const ALL: Duration = Duration::from_secs(6);
/// How long nothing is asked again: after an answer at most, after a "no", after silence.
const KEPT: [Duration; 3] = [
    Duration::from_secs(3600),
    Duration::from_secs(10),
    Duration::from_secs(2),
];
/// How long a place that did not answer is tried last.
const DEAD: Duration = Duration::from_secs(30);
/// Dead places remembered.
const GRAVES: usize = 4096;

/// Where to try, or why nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Located {
    /// In this order; never empty.
    Hops(Vec<Hop>),
    /// There is no such server.
    Nowhere,
    /// Nobody can say: name servers don't answer, or too many are asked already.
    Unknown,
}

/// What is done with it. Must not block.
pub(super) type Done = Box<dyn FnOnce(Located) + Send>;

/// What name servers said about one target. The search is repeated on it for everybody who asks,
/// so that the shares of SRV weights hold.
struct Known {
    answers: HashMap<Question, Answer>,
    until: Instant,
}

#[derive(Default)]
struct Inner {
    known: HashMap<Target, Arc<Known>>,
    waiting: HashMap<Target, Vec<Done>>,
    /// How many wait in all.
    count: usize,
    dead: HashMap<(Transport, SocketAddr), Instant>,
}

/// Finds servers.
pub(super) struct Locator {
    servers: NameServers,
    abilities: Abilities,
    inner: Mutex<Inner>,
    orders: mpsc::UnboundedSender<Target>,
    taken: Mutex<Option<mpsc::UnboundedReceiver<Target>>>,
    secret: RandomState,
    count: AtomicU64,
}

impl Locator {
    /// On these name servers (none = the system's), for what we are able to use.
    pub(super) fn new(nameservers: &[SocketAddr], abilities: Abilities) -> Self {
        let (orders, taken) = mpsc::unbounded_channel();
        Self {
            servers: NameServers::new(nameservers),
            abilities,
            inner: Mutex::default(),
            orders,
            taken: Mutex::new(Some(taken)),
            secret: RandomState::new(),
            count: AtomicU64::new(0),
        }
    }

    /// Where a target is; `done` is called exactly once, perhaps at once.
    pub(super) fn find(&self, target: &Target, done: Done) {
        if let Some(located) = self.known(target) {
            return done(located);
        }
        let mut inner = self.lock();
        if inner.count >= WAITING {
            drop(inner);
            tracing::warn!(name = %target.name, "too many look-ups at once");
            return done(Located::Unknown);
        }
        inner.count += 1;
        let waiting = inner.waiting.entry(target.clone()).or_default();
        waiting.push(done);
        if waiting.len() == 1 {
            // Bounded by the count of those who wait.
            let _ = self.orders.send(target.clone());
        }
    }

    /// What is known without asking.
    fn known(&self, target: &Target) -> Option<Located> {
        let random = self.random();
        let search = Search::new(target, self.abilities, random);
        if search.questions().is_empty() {
            return Some(self.located(search));
        }
        let known = self.lock().known.get(target).cloned()?;
        (known.until > Instant::now()).then(|| self.again(target, &known))
    }

    /// The search once more on answers that are known.
    fn again(&self, target: &Target, known: &Known) -> Located {
        let mut search = Search::new(target, self.abilities, self.random());
        while !search.questions().is_empty() {
            let answer = |question| known.answers.get(question).cloned();
            let asked = search.questions().iter();
            let answers = asked.map(|q| answer(q).unwrap_or(Answer::Nothing));
            search.answers(answers.collect());
        }
        self.located(search)
    }

    fn located(&self, search: Search) -> Located {
        let failed = search.failed();
        let mut hops = search.hops();
        if hops.is_empty() {
            return if failed {
                Located::Unknown
            } else {
                Located::Nowhere
            };
        }
        let now = Instant::now();
        let inner = self.lock();
        let is_dead = |hop: &Hop| {
            let dead = inner.dead.get(&(hop.transport, hop.address));
            dead.is_some_and(|until| *until > now)
        };
        // Stable: among the living the order stays. If all are dead, all are tried.
        hops.sort_by_key(is_dead);
        Located::Hops(hops)
    }

    /// A place did not answer, did not take the connection, or said 503.
    pub(super) fn failed(&self, hop: &Hop) {
        let now = Instant::now();
        let mut inner = self.lock();
        if inner.dead.len() >= GRAVES {
            inner.dead.retain(|_, until| *until > now);
        }
        if inner.dead.len() < GRAVES {
            inner.dead.insert((hop.transport, hop.address), now + DEAD);
        }
    }

    /// A place has answered.
    pub(super) fn worked(&self, hop: &Hop) {
        let mut inner = self.lock();
        if !inner.dead.is_empty() {
            inner.dead.remove(&(hop.transport, hop.address));
        }
    }

    /// Asks for all, some at a time, until dropped. Once.
    pub(super) async fn run(self: Arc<Self>) {
        let taken = self
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut orders) = taken else { return };
        let mut running = JoinSet::new();
        loop {
            tokio::select! {
                target = orders.recv(), if running.len() < LOOKUPS => {
                    let Some(target) = target else { return };
                    let locator = Arc::clone(&self);
                    running.spawn(async move { locator.look_up(target).await });
                }
                Some(_) = running.join_next() => {}
            }
        }
    }

    async fn look_up(&self, target: Target) {
        let mut answers = HashMap::new();
        let mut until = Instant::now() + KEPT[0];
        let search = self.ask(&target, &mut answers, &mut until);
        let search = tokio::time::timeout(ALL, search).await;
        let (found, failed) = search.unwrap_or((false, true));
        let most = match (found, failed) {
            (true, _) => KEPT[0],
            (false, false) => KEPT[1],
            (false, true) => KEPT[2],
        };
        if failed && !found {
            tracing::info!(name = %target.name, "no name server answers");
        }
        let known = Arc::new(Known {
            answers,
            until: until.min(Instant::now() + most),
        });
        let mut inner = self.lock();
        inner.remember(target.clone(), &known);
        let waiting = inner.waiting.remove(&target).unwrap_or_default();
        inner.count -= waiting.len();
        drop(inner);
        for done in waiting {
            done(self.again(&target, &known));
        }
    }

    /// Asks until there are no questions; whether anything was found, and whether a server failed.
    async fn ask(
        &self,
        target: &Target,
        answers: &mut HashMap<Question, Answer>,
        until: &mut Instant,
    ) -> (bool, bool) {
        let mut search = Search::new(target, self.abilities, self.random());
        while !search.questions().is_empty() {
            let mut round = Vec::new();
            // Name servers are asked side by side.
            let asked: Vec<Question> = search.questions().to_vec();
            let all = asked.iter().map(|question| self.answer(question));
            for (answer, ends) in join_all(all).await {
                *until = ends.map_or(*until, |ends| ends.min(*until));
                round.push(answer);
            }
            answers.extend(asked.into_iter().zip(round.iter().cloned()));
            search.answers(round);
        }
        let failed = search.failed();
        (!search.hops().is_empty(), failed)
    }

    async fn answer(&self, question: &Question) -> (Answer, Option<Instant>) {
        match question {
            Question::Naptr(name) => told(self.servers.pointers(name).await, |records| {
                Answer::Naptr(records.into_iter().map(naptr).collect())
            }),
            Question::Srv(name) => told(self.servers.services(name).await, |records| {
                Answer::Srv(records.into_iter().map(srv).collect())
            }),
            Question::A(name) => told(self.servers.v4(name).await, Answer::Addresses),
            Question::Aaaa(name) => told(self.servers.v6(name).await, Answer::Addresses),
        }
    }

    fn random(&self) -> u64 {
        self.secret
            .hash_one(self.count.fetch_add(1, Ordering::Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remember(&mut self, target: Target, known: &Arc<Known>) {
        if self.known.len() >= CACHE {
            let now = Instant::now();
            self.known.retain(|_, known| known.until > now);
        }
        if self.known.len() < CACHE {
            self.known.insert(target, Arc::clone(known));
        }
    }
}

fn told<T>(
    found: Result<Found<T>, NoAnswer>,
    answer: impl FnOnce(Vec<T>) -> Answer,
) -> (Answer, Option<Instant>) {
    match found {
        Ok(found) => (answer(found.records), Some(found.until.into())),
        Err(NoAnswer::Nothing) => (Answer::Nothing, None),
        Err(NoAnswer::Failed) => (Answer::Failed, None),
    }
}

fn naptr(record: crate::net::Pointer) -> Naptr {
    Naptr {
        order: record.order,
        preference: record.preference,
        flags: record.flags,
        service: record.service,
        regexp: record.regexp,
        replacement: record.replacement,
    }
}

fn srv(record: crate::net::Service) -> Srv {
    Srv {
        priority: record.priority,
        weight: record.weight,
        port: record.port,
        target: record.target,
    }
}

/// All at once, results in order.
async fn join_all<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = all.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(move |cx| {
        let mut pending = false;
        for (future, output) in &mut futures {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending {
            return std::task::Poll::Pending;
        }
        let outputs = futures.iter_mut().filter_map(|(_, output)| output.take());
        std::task::Poll::Ready(outputs.collect())
    })
    .await
}

#[cfg(test)]
#[path = "locate_tests.rs"]
mod tests;
