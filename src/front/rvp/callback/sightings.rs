//! From which addresses a principal is here now (`decisions.md` 28, dual stack): a client may sign
//! in over IPv6 and listen on IPv4 only. Its own other connection proves that the other address
//! is its own.

use crate::core::id::PersonId;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// What a connection proved counts for so long.
const RECENT: Duration = Duration::from_secs(300);
/// Connections of one principal that are remembered; the oldest go first.
const MOST: usize = 16;

/// Lives as long as a connection does.
pub type Alive = Arc<()>;

/// Authenticated connections by principal. Cloning shares.
#[derive(Clone, Default)]
pub struct Sightings(Arc<Mutex<HashMap<PersonId, Vec<Seen>>>>);

struct Seen {
    connection: Weak<()>,
    at: IpAddr,
    when: Instant,
}

impl Seen {
    fn counts(&self, now: Instant) -> bool {
        self.connection.strong_count() > 0 && now.duration_since(self.when) <= RECENT
    }
}

impl Sightings {
    /// A request of this principal was authenticated on this connection.
    pub fn note(&self, person: PersonId, at: IpAddr, connection: &Alive) {
        let connection = Arc::downgrade(connection);
        let when = Instant::now();
        let mut people = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = people.entry(person).or_default();
        seen.retain(|seen| seen.counts(when) && !seen.connection.ptr_eq(&connection));
        if seen.len() >= MOST {
            seen.remove(0);
        }
        seen.push(Seen {
            connection,
            at: at.to_canonical(),
            when,
        });
    }

    /// The addresses of live connections on which the principal proved himself in the last five
    /// minutes.
    pub fn of(&self, person: PersonId) -> Vec<IpAddr> {
        let now = Instant::now();
        let people = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = people.get(&person).into_iter().flatten();
        seen.filter(|seen| seen.counts(now))
            .map(|seen| seen.at)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_counts_while_it_lives_and_five_minutes_at_most() {
        let (sightings, person) = (Sightings::default(), PersonId(1));
        let at: IpAddr = "198.51.100.7".parse().expect("address");
        let first = Alive::default();
        sightings.note(person, at, &first);
        sightings.note(person, at, &first);
        assert_eq!(sightings.of(person), [at]);
        assert!(sightings.of(PersonId(2)).is_empty(), "somebody else");
        tokio::time::advance(RECENT).await;
        assert_eq!(sightings.of(person), [at]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(sightings.of(person).is_empty(), "too long ago");
        sightings.note(person, at, &first);
        drop(first);
        assert!(sightings.of(person).is_empty(), "closed");
        let many: Vec<Alive> = (0..MOST + 4).map(|_| Alive::new(())).collect();
        for connection in &many {
            sightings.note(person, at, connection);
        }
        assert_eq!(sightings.of(person).len(), MOST);
    }
}
