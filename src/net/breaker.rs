//! A breaker: a server that does not answer costs one attempt now and then, and nobody waits for
//! it.

use std::time::Duration;
use tokio::time::Instant;

/// Failures in a row that open it.
const FAILURES: u32 = 3;
/// First and longest rest.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The breaker of one server.
#[derive(Debug, Default)]
pub struct Breaker {
    failures: u32,
    /// Closed again then, for one attempt.
    until: Option<Instant>,
    pause: Duration,
    /// The attempt after a rest is under way.
    trying: bool,
}

impl Breaker {
    /// Whether a new request may be made.
    pub fn lets_pass(&mut self) -> bool {
        match self.until {
            None => true,
            Some(until) if until > Instant::now() || self.trying => false,
            Some(_) => {
                self.trying = true;
                true
            }
        }
    }

    /// Whether what waits in a queue since before must go without an attempt.
    pub fn blocks_queued(&self) -> bool {
        !self.trying && self.rests()
    }

    /// Whether the server is left alone now.
    pub fn rests(&self) -> bool {
        self.until.is_some_and(|until| until > Instant::now())
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Notes a failure; the rest that begins with it.
    pub fn failed(&mut self) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        let tried = std::mem::take(&mut self.trying);
        if self.failures < FAILURES && !tried {
            return None;
        }
        if self.rests() {
            return None;
        }
        self.pause = (self.pause * 2).clamp(REST.0, REST.1);
        self.until = Some(Instant::now() + self.pause);
        Some(self.pause)
    }

    /// An attempt that says nothing about the server.
    pub fn gave_up(&mut self) {
        self.trying = false;
    }

    /// Notes an answer; true if it ends a rest.
    pub fn worked(&mut self) -> bool {
        let rested = self.until.is_some();
        *self = Self::default();
        rested
    }
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
