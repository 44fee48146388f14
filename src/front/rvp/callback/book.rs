//! Who makes us connect where, and how that goes: quotas, what has ever answered, and the table
//! that `tristack callbacks` shows.

use crate::core::id::PersonId;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Failures after which a callback that never answered is removed.
const CHANCES: u32 = 3;
/// Failures closer together than this are one (`decisions.md` 14).
const APART: Duration = Duration::from_secs(5);
/// A listener not heard of for so long makes room for others.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// How much a principal may make us connect, and how much a host has to bear.
#[derive(Clone, Copy, Debug)]
pub struct Quotas {
    /// Listeners of one principal.
    pub per_person: usize,
    /// Listeners at one address, of all principals.
    pub per_target: usize,
    /// Connections in a second for one principal, and to one address.
    pub per_second: usize,
    /// Whether they hold for loopback, too.
    pub loopback: bool,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            per_person: 64,
            per_target: 1024,
            per_second: 100,
            loopback: false,
        }
    }
}

/// One listener.
#[derive(Clone, Debug)]
pub struct Line {
    /// Where.
    pub endpoint: SocketAddr,
    /// Whether it has ever answered.
    pub proven: bool,
    /// Failures in a row.
    pub failures: u32,
    /// What the last failure was, until it answers again.
    pub last: Option<String>,
    /// Of the last success or counted failure.
    when: Instant,
}

/// See the module. Cloning shares.
#[derive(Clone)]
pub struct Book {
    quotas: Quotas,
    pages: Arc<Mutex<Pages>>,
}

#[derive(Default)]
struct Pages {
    people: HashMap<PersonId, Vec<Line>>,
    targets: HashMap<IpAddr, usize>,
    /// Connections since `second`.
    rates: HashMap<Rated, usize>,
    second: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Rated {
    Person(PersonId),
    Target(IpAddr),
}

impl Book {
    /// Empty.
    pub fn new(quotas: Quotas) -> Self {
        Self {
            quotas,
            pages: Arc::default(),
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a connection may be attempted now; it counts then.
    pub fn admit(&self, person: PersonId, endpoint: SocketAddr) -> bool {
        let now = Instant::now();
        let mut pages = self.pages();
        let free = endpoint.ip().is_loopback() && !self.quotas.loopback;
        if !pages.has(person, endpoint)
            && !pages.room(person, endpoint.ip(), now, self.quotas, free)
        {
            return false;
        }
        pages.line(person, endpoint, now);
        free || pages.count(person, endpoint.ip(), now, self.quotas.per_second)
    }

    /// A listener from before the restart: it had its chance.
    pub fn trust(&self, person: PersonId, endpoint: SocketAddr) {
        self.pages().line(person, endpoint, Instant::now()).proven = true;
    }

    /// It answered.
    pub fn answered(&self, person: PersonId, endpoint: SocketAddr) {
        let now = Instant::now();
        let mut pages = self.pages();
        let line = pages.line(person, endpoint, now);
        (line.proven, line.failures, line.last, line.when) = (true, 0, None, now);
    }

    /// It did not. True if it never did, and now for the third time.
    pub fn failed(&self, person: PersonId, endpoint: SocketAddr, why: &str) -> bool {
        let now = Instant::now();
        let mut pages = self.pages();
        let line = pages.line(person, endpoint, now);
        if line.failures == 0 || now.duration_since(line.when) >= APART {
            line.failures = line.failures.saturating_add(1);
            line.when = now;
        }
        line.last = Some(why.to_owned());
        !line.proven && line.failures >= CHANCES
    }

    /// Nothing is behind it any more.
    pub fn forget(&self, person: PersonId, endpoint: SocketAddr) {
        self.pages()
            .remove(person, |line| line.endpoint == endpoint);
    }

    /// The listeners of a principal.
    pub fn lines(&self, person: PersonId) -> Vec<Line> {
        self.pages()
            .people
            .get(&person)
            .cloned()
            .unwrap_or_default()
    }
}

impl Pages {
    fn has(&self, person: PersonId, endpoint: SocketAddr) -> bool {
        let lines = self.people.get(&person);
        lines.is_some_and(|lines| lines.iter().any(|line| line.endpoint == endpoint))
    }

    fn room(
        &mut self,
        person: PersonId,
        at: IpAddr,
        now: Instant,
        quotas: Quotas,
        free: bool,
    ) -> bool {
        let of_person = |pages: &Self| pages.people.get(&person).map_or(0, Vec::len);
        if of_person(self) >= quotas.per_person {
            self.remove(person, |line| now.duration_since(line.when) > FORGOTTEN);
        }
        let of_target = self.targets.get(&at).copied().unwrap_or(0);
        of_person(self) < quotas.per_person && (free || of_target < quotas.per_target)
    }

    fn count(&mut self, person: PersonId, at: IpAddr, now: Instant, most: usize) -> bool {
        let second = self.second.get_or_insert(now);
        if now.duration_since(*second) >= Duration::from_secs(1) {
            *second = now;
            self.rates.clear();
        }
        [Rated::Person(person), Rated::Target(at)]
            .into_iter()
            .all(|what| {
                let count = self.rates.entry(what).or_default();
                *count += 1;
                *count <= most
            })
    }

    fn line(&mut self, person: PersonId, endpoint: SocketAddr, now: Instant) -> &mut Line {
        let lines = self.people.entry(person).or_default();
        let at = lines.iter().position(|line| line.endpoint == endpoint);
        let at = at.unwrap_or_else(|| {
            *self.targets.entry(endpoint.ip()).or_default() += 1;
            lines.push(Line {
                endpoint,
                proven: false,
                failures: 0,
                last: None,
                when: now,
            });
            lines.len() - 1
        });
        &mut lines[at]
    }

    fn remove(&mut self, person: PersonId, which: impl Fn(&Line) -> bool) {
        let Some(lines) = self.people.get_mut(&person) else {
            return;
        };
        for gone in lines.extract_if(.., |line| which(line)) {
            if let Some(count) = self.targets.get_mut(&gone.endpoint.ip()) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.targets.remove(&gone.endpoint.ip());
                }
            }
        }
        if lines.is_empty() {
            self.people.remove(&person);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("address")
    }

    #[tokio::test(start_paused = true)]
    async fn three_failures_end_what_never_answered_and_nothing_else() {
        let (book, person) = (Book::new(Quotas::default()), PersonId(1));
        let (dead, good) = (at("198.51.100.7:1"), at("198.51.100.7:2"));
        book.trust(person, good);
        for round in 1..=6 {
            assert_eq!(book.failed(person, dead, "x"), round >= 3, "round {round}");
            // At once again: the same failure.
            assert_eq!(book.failed(person, dead, "x"), round >= 3, "round {round}");
            assert!(!book.failed(person, good, "x"));
            tokio::time::advance(APART).await;
        }
        assert_eq!(book.lines(person).len(), 2);
        book.answered(person, dead);
        assert!(!book.failed(person, dead, "x"), "it is proven now");
        book.forget(person, dead);
        assert_eq!(book.lines(person).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn quotas_per_person_per_target_and_per_second() {
        let quotas = Quotas {
            per_person: 2,
            per_target: 3,
            per_second: 4,
            loopback: false,
        };
        let book = Book::new(quotas);
        let (one, two) = (PersonId(1), PersonId(2));
        assert!(book.admit(one, at("198.51.100.7:1")));
        assert!(book.admit(one, at("198.51.100.7:2")));
        assert!(!book.admit(one, at("198.51.100.7:3")), "listeners of one");
        assert!(book.admit(two, at("198.51.100.7:3")));
        assert!(
            !book.admit(two, at("198.51.100.7:4")),
            "listeners at one address"
        );
        assert!(book.admit(two, at("198.51.100.7:3")));
        assert!(
            !book.admit(two, at("198.51.100.7:3")),
            "connections in a second"
        );
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(book.admit(two, at("198.51.100.7:3")));
        for port in 1u16..=9 {
            let admitted = book.admit(PersonId(port.into()), at("127.0.0.1:80"));
            assert_eq!(
                admitted,
                port != 1,
                "loopback has no quota per target: {port}"
            );
        }
        tokio::time::advance(FORGOTTEN + Duration::from_secs(1)).await;
        assert!(
            book.admit(one, at("198.51.100.9:3")),
            "the old ones made room"
        );
    }
}
