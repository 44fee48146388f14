//! Answers precede the notifications they cause (`rvp.md` 8.5): a client may be single-threaded
//! and watch itself. While a request of a person runs, changes on their way to that person's own
//! inboxes wait; texts don't, because they are caused by somebody else.

use crate::core::id::PersonId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Nothing waits longer than this for a slow reader of answers.
const LONGEST: Duration = Duration::from_secs(5);

/// The requests that run. Cloning shares.
#[derive(Clone, Default)]
pub struct Gates(Arc<Shared>);

#[derive(Default)]
struct Shared {
    held: AtomicUsize,
    people: Mutex<HashMap<PersonId, (usize, Arc<Notify>)>>,
}

impl Gates {
    /// Holds back changes to this person until the result is dropped.
    pub fn hold(&self, person: PersonId) -> Hold {
        self.0.held.fetch_add(1, Ordering::SeqCst);
        let mut people = self.0.people.lock().unwrap_or_else(PoisonError::into_inner);
        people.entry(person).or_default().0 += 1;
        drop(people);
        Hold {
            gates: self.clone(),
            person,
        }
    }

    fn held(&self, person: PersonId) -> Option<Arc<Notify>> {
        if self.0.held.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let people = self.0.people.lock().unwrap_or_else(PoisonError::into_inner);
        people.get(&person).map(|(_, notify)| Arc::clone(notify))
    }

    /// Waits until no request of this person runs, or for five seconds.
    pub async fn pass(&self, person: PersonId) {
        if self.held(person).is_none() {
            return;
        }
        let wait = async {
            while let Some(notify) = self.held(person) {
                let woken = notify.notified();
                tokio::pin!(woken);
                woken.as_mut().enable();
                if self.held(person).is_none() {
                    return;
                }
                woken.await;
            }
        };
        let _ = tokio::time::timeout(LONGEST, wait).await;
    }
}

/// See [`Gates::hold`].
pub struct Hold {
    gates: Gates,
    person: PersonId,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let shared = &self.gates.0;
        let mut people = shared.people.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((count, notify)) = people.get_mut(&self.person) {
            *count -= 1;
            if *count == 0 {
                let notify = Arc::clone(notify);
                people.remove(&self.person);
                notify.notify_waiters();
            }
        }
        drop(people);
        shared.held.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn changes_wait_for_the_answer_and_not_for_ever() {
        let gates = Gates::default();
        let person = PersonId(1);
        gates.pass(person).await;
        let first = gates.hold(person);
        let second = gates.hold(person);
        gates.pass(PersonId(2)).await;
        let waiting = tokio::spawn({
            let gates = gates.clone();
            async move { gates.pass(person).await }
        });
        tokio::task::yield_now().await;
        drop(first);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(second);
        assert!(waiting.await.is_ok());

        let _stuck = gates.hold(person);
        let before = tokio::time::Instant::now();
        gates.pass(person).await;
        assert_eq!(before.elapsed(), LONGEST);
    }
}
