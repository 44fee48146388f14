//! The one clock (`design.md` 15): UTC where the process starts, monotonic from there on.

use crate::core::time::Time;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

/// Tells the time, and when to look at it again.
pub trait Clock: Send + Sync + 'static {
    /// Now, on the monotonic axis that [`Time`] describes.
    fn now(&self) -> Time;
    /// Waits until `at` or longer. Dropping the future forgets the wish.
    fn until(&self, at: Time) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    anchor: u64,
    start: Instant,
}

impl SystemClock {
    /// Anchored to UTC now.
    pub fn new() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            anchor: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Time {
        Time(self.anchor).after(self.start.elapsed())
    }

    fn until(&self, at: Time) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        // One millisecond more, because `now` cuts fractions off: a timer must never find that
        // its time has not come yet and spin.
        let span = at.since(self.now()) + Duration::from_millis(1);
        Box::pin(tokio::time::sleep(span))
    }
}

/// A clock that a test moves.
#[derive(Debug)]
pub struct ManualClock {
    now: AtomicU64,
    moved: Notify,
}

impl ManualClock {
    /// Stands at `start` until moved.
    pub fn new(start: Time) -> Self {
        Self {
            now: AtomicU64::new(start.0),
            moved: Notify::new(),
        }
    }

    /// Moves on and wakes whoever waits for a time that has come.
    pub fn advance(&self, span: Duration) {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        self.now.fetch_add(millis, Ordering::SeqCst);
        self.moved.notify_waiters();
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Time {
        Time(self.now.load(Ordering::SeqCst))
    }

    fn until(&self, at: Time) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            loop {
                // Registered before the look at the time, so that no move is missed.
                let moved = self.moved.notified();
                tokio::pin!(moved);
                moved.as_mut().enable();
                if self.now() >= at {
                    return;
                }
                moved.await;
            }
        })
    }
}
