//! Fresh ids: numbers from blocks that storage has reserved, and random bits.

use crate::core::id::Ids;
use crate::core::port::{Store, StoreError};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Numbers per reservation. A restart loses what is left of two blocks; 2^31 last for 100,000.
const BLOCK: u32 = 10_000;
/// Numbers that a shard takes from the pool at once.
const HANDFUL: usize = 512;
/// Pause after a failed reservation.
const PAUSE: Duration = Duration::from_secs(1);

/// Reserved numbers that no shard has taken yet.
#[derive(Debug, Default)]
pub(super) struct Pool {
    ranges: Mutex<VecDeque<Range<u32>>>,
    low: Notify,
}

impl Pool {
    /// Reserves the first block.
    pub(super) async fn start<S: Store>(store: &S) -> Result<Arc<Self>, StoreError> {
        let pool = Self::default();
        pool.add(store.reserve(BLOCK).await?);
        Ok(Arc::new(pool))
    }

    /// Keeps at least a block ahead, for ever.
    pub(super) async fn refill<S: Store>(self: Arc<Self>, store: Arc<S>) {
        loop {
            let low = self.low.notified();
            if self.left() < BLOCK as usize {
                match store.reserve(BLOCK).await {
                    Ok(first) => self.add(first),
                    Err(error) => {
                        tracing::error!(%error, "no numbers could be reserved");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                continue;
            }
            low.await;
        }
    }

    fn add(&self, first: u32) {
        self.lock().push_back(first..first.saturating_add(BLOCK));
    }

    fn left(&self) -> usize {
        self.lock().iter().map(ExactSizeIterator::len).sum()
    }

    /// Up to `count` numbers, empty if there are none.
    fn take(&self, count: usize) -> Range<u32> {
        let mut ranges = self.lock();
        let Some(first) = ranges.front_mut() else {
            self.low.notify_one();
            return 0..0;
        };
        let count = u32::try_from(count.min(first.len())).unwrap_or(0);
        let taken = first.start..first.start.saturating_add(count);
        first.start = taken.end;
        if first.start >= first.end {
            ranges.pop_front();
        }
        drop(ranges);
        if self.left() < BLOCK as usize {
            self.low.notify_one();
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Range<u32>>> {
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One shard's source of ids.
#[derive(Debug)]
pub(super) struct Fresh {
    pool: Arc<Pool>,
    own: VecDeque<Range<u32>>,
    random: Vec<u8>,
    failed: bool,
}

impl Fresh {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self {
            pool,
            own: VecDeque::new(),
            random: Vec::new(),
            failed: false,
        }
    }

    /// Whether `count` numbers are at hand; fetches them from the pool if not.
    pub(super) fn ready(&mut self, count: usize) -> bool {
        let mut have: usize = self.own.iter().map(ExactSizeIterator::len).sum();
        while have < count {
            let more = self.pool.take(HANDFUL.max(count));
            if more.is_empty() {
                return false;
            }
            have += more.len();
            self.own.push_back(more);
        }
        true
    }

    /// Whether an id had to be made up since the last call: the outcome must not be used.
    pub(super) fn take_failure(&mut self) -> bool {
        std::mem::take(&mut self.failed)
    }
}

impl Ids for Fresh {
    fn next_number(&mut self) -> u32 {
        if !self.ready(1) {
            self.failed = true;
            return 0;
        }
        while let Some(range) = self.own.front_mut() {
            if let Some(number) = range.next() {
                return number;
            }
            self.own.pop_front();
        }
        self.failed = true;
        0
    }

    fn random(&mut self) -> u128 {
        if self.random.len() < 16 {
            self.random.resize(4096, 0);
            if getrandom::fill(&mut self.random).is_err() {
                self.failed = true;
            }
        }
        let at = self.random.len() - 16;
        let mut octets = [0_u8; 16];
        octets.copy_from_slice(&self.random[at..]);
        self.random.truncate(at);
        u128::from_be_bytes(octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_from_what_was_reserved_and_from_nowhere_else() {
        let pool = Arc::new(Pool::default());
        pool.add(1_001);
        let (mut a, mut b) = (Fresh::new(Arc::clone(&pool)), Fresh::new(pool));
        let mut seen = Vec::new();
        // In turns at first, then each to the end.
        for _ in 0..3_000 {
            seen.extend([a.next_number(), b.next_number()]);
        }
        while a.ready(1) {
            seen.push(a.next_number());
        }
        while b.ready(1) {
            seen.push(b.next_number());
        }
        seen.sort_unstable();
        assert_eq!((seen.len(), seen[0], seen[9_999]), (10_000, 1_001, 11_000));
        seen.dedup();
        assert_eq!(seen.len(), 10_000);
        assert!(!a.take_failure() && !b.take_failure());
        assert!(!a.ready(1));
        a.next_number();
        assert!(a.take_failure());
        assert!(!a.take_failure());
    }

    #[test]
    fn random_ids_differ() {
        let mut fresh = Fresh::new(Arc::default());
        let all: std::collections::HashSet<u128> = (0..1_000).map(|_| fresh.random()).collect();
        assert_eq!(all.len(), 1_000);
    }
}
