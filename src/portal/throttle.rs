//! Failures are counted per source and per address; who has too many waits.

use std::collections::HashMap;
use std::net::IpAddr;

/// Failures in one window.
const FAILURES: u32 = 10;
/// Seconds of a window.
const WINDOW: u64 = 15 * 60;
/// Keys at once; all of them in use means that nobody is let in.
const KEYS: usize = 20_000;

#[derive(Default)]
pub(super) struct Throttle {
    counts: HashMap<String, (u64, u32)>,
}

/// An address of the network as one source: a /64 in IPv6.
pub(super) fn source(peer: IpAddr) -> String {
    match peer.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

impl Throttle {
    /// Whether that key may try.
    pub(super) fn may(&mut self, key: &str, now: u64) -> bool {
        match self.counts.get(key) {
            Some((since, count)) => now >= since + WINDOW || *count < FAILURES,
            None => self.room(now),
        }
    }

    /// It failed.
    pub(super) fn failed(&mut self, key: &str, now: u64) {
        if !self.counts.contains_key(key) && !self.room(now) {
            return;
        }
        let entry = self.counts.entry(key.to_owned()).or_insert((now, 0));
        if now >= entry.0 + WINDOW {
            *entry = (now, 0);
        }
        entry.1 = entry.1.saturating_add(1);
    }

    /// What was counted in advance did not fail.
    pub(super) fn forgive(&mut self, key: &str) {
        if let Some((_, count)) = self.counts.get_mut(key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(key);
            }
        }
    }

    fn room(&mut self, now: u64) -> bool {
        if self.counts.len() >= KEYS {
            self.counts.retain(|_, (since, _)| now < *since + WINDOW);
        }
        self.counts.len() < KEYS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_failures_close_one_key_for_a_window() {
        let mut throttle = Throttle::default();
        for _ in 0..FAILURES {
            assert!(throttle.may("a", 100));
            throttle.failed("a", 100);
        }
        assert!(!throttle.may("a", 100 + WINDOW - 1));
        assert!(throttle.may("b", 100));
        assert!(throttle.may("a", 100 + WINDOW));
    }

    #[test]
    fn what_is_forgiven_does_not_count() {
        let mut throttle = Throttle::default();
        for _ in 0..FAILURES - 1 {
            throttle.failed("a", 0);
        }
        for _ in 0..3 {
            assert!(throttle.may("a", 0));
            throttle.failed("a", 0);
            assert!(!throttle.may("a", 0));
            throttle.forgive("a");
        }
        throttle.failed("b", 0);
        throttle.forgive("b");
        throttle.forgive("c");
        assert_eq!(throttle.counts.len(), 1);
    }

    #[test]
    fn the_table_has_an_end() {
        let mut throttle = Throttle::default();
        for key in 0..KEYS + 5 {
            throttle.failed(&key.to_string(), 0);
        }
        assert_eq!(throttle.counts.len(), KEYS);
        assert!(!throttle.may("new", 0));
        assert!(throttle.may("new", WINDOW));
    }

    #[test]
    fn a_v6_network_is_one_source() {
        let of = |text: &str| source(text.parse().expect("address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::2:3"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
