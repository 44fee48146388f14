//! A budget of answers per source: what may be had of us by somebody who has proved nothing.

use super::listener::source_of;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Sources that are remembered; above that, those who have their whole budget again are forgotten.
const SOURCES: usize = 65_536;

/// Tokens per source (a /64 counts as one in IPv6), refilled steadily.
#[derive(Debug)]
pub struct Budget {
    /// Per second.
    rate: u32,
    /// At once.
    burst: u32,
    loopback_too: bool,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Thousandths of a token that are left.
    left: u64,
    /// Milliseconds.
    at: u64,
    /// Already told in the log that it is empty.
    told: bool,
}

/// What a source may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// An answer.
    Yes,
    /// Nothing; `true` the first time since it last had something.
    No(bool),
}

impl Budget {
    /// `rate` answers per second, `burst` at once. Loopback has no bounds unless `loopback_too`
    /// (`decisions.md` 30).
    #[must_use]
    pub fn new(rate: usize, burst: usize, loopback_too: bool) -> Self {
        let count = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).max(1);
        Self {
            rate: count(rate),
            burst: count(burst),
            loopback_too,
            buckets: Mutex::default(),
        }
    }

    /// One answer for that source, if it has one left. `now` in milliseconds, never falling.
    pub fn spend(&self, peer: IpAddr, now: u64) -> Grant {
        let source = source_of(peer);
        if source.is_loopback() && !self.loopback_too {
            return Grant::Yes;
        }
        let full = u64::from(self.burst) * 1000;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= SOURCES && !buckets.contains_key(&source) {
            self.make_room(&mut buckets, now);
        }
        let bucket = buckets.entry(source).or_insert(Bucket {
            left: full,
            at: now,
            told: false,
        });
        bucket.left = self.filled(bucket, now);
        bucket.at = now;
        if bucket.left < 1000 {
            return Grant::No(!std::mem::replace(&mut bucket.told, true));
        }
        bucket.left -= 1000;
        bucket.told = false;
        Grant::Yes
    }

    fn filled(&self, bucket: &Bucket, now: u64) -> u64 {
        let since = now.saturating_sub(bucket.at);
        let more = since.saturating_mul(u64::from(self.rate));
        let full = u64::from(self.burst) * 1000;
        bucket.left.saturating_add(more).min(full)
    }

    /// Whoever could have the whole budget again is as good as new. If nobody is, all start anew:
    /// a flood from as many sources is beyond a budget per source.
    fn make_room(&self, buckets: &mut HashMap<IpAddr, Bucket>, now: u64) {
        let full = u64::from(self.burst) * 1000;
        buckets.retain(|_, bucket| self.filled(bucket, now) < full);
        if buckets.len() >= SOURCES {
            buckets.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_its_burst_and_then_its_rate() {
        let budget = Budget::new(10, 3, false);
        let peer: IpAddr = "192.0.2.1".parse().unwrap();
        for _ in 0..3 {
            assert_eq!(budget.spend(peer, 0), Grant::Yes);
        }
        assert_eq!(budget.spend(peer, 0), Grant::No(true));
        assert_eq!(budget.spend(peer, 50), Grant::No(false));
        assert_eq!(budget.spend(peer, 100), Grant::Yes);
        assert_eq!(budget.spend(peer, 100), Grant::No(true));
        // Others have theirs, a /64 has one together.
        assert_eq!(budget.spend("192.0.2.2".parse().unwrap(), 0), Grant::Yes);
        for host in 1..=3 {
            let peer = format!("2001:db8::{host}").parse().unwrap();
            assert_eq!(budget.spend(peer, 0), Grant::Yes);
        }
        let fourth = "2001:db8::ffff".parse().unwrap();
        assert_eq!(budget.spend(fourth, 0), Grant::No(true));
        assert_eq!(
            budget.spend("2001:db8:0:1::1".parse().unwrap(), 0),
            Grant::Yes
        );
    }

    #[test]
    fn loopback_is_free_unless_asked_for() {
        let peer: IpAddr = "127.0.0.1".parse().unwrap();
        let free = Budget::new(1, 1, false);
        let bound = Budget::new(1, 1, true);
        assert!((0..9).all(|_| free.spend(peer, 0) == Grant::Yes));
        assert_eq!(bound.spend(peer, 0), Grant::Yes);
        assert_eq!(bound.spend(peer, 0), Grant::No(true));
    }

    #[test]
    fn the_table_of_sources_has_an_end() {
        let budget = Budget::new(1, 1, false);
        for n in 0..u32::try_from(SOURCES).unwrap() + 10 {
            budget.spend(IpAddr::from(n.wrapping_add(0x0a00_0000).to_be_bytes()), 0);
        }
        let buckets = budget.buckets.lock().unwrap();
        assert!(buckets.len() <= SOURCES);
    }
}
