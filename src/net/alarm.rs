//! One timer for one thing that is waited for again and again.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::{Instant, Sleep, sleep_until};

/// A deadline that is moved for every message and hardly ever met.
///
/// The timer below it is not touched when the deadline moves away: it goes off at the old time,
/// finds that it is too early, and is set once more. So a busy connection costs the runtime's
/// timers nothing.
pub struct Alarm {
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Alarm {
    /// Goes off at that time.
    pub fn new(deadline: Instant) -> Self {
        Self {
            deadline,
            timer: Box::pin(sleep_until(deadline)),
        }
    }

    /// Goes off at that time instead.
    pub fn set(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Ready when it goes off, and until it is set again.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // A deadline that came nearer than the timer stands.
        if self.deadline < self.timer.deadline() {
            self.timer.as_mut().reset(self.deadline);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= self.deadline {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.deadline);
        }
        Poll::Pending
    }

    /// Waits until that time. Cancel safe.
    pub async fn until(&mut self, deadline: Instant) {
        self.set(deadline);
        poll_fn(|cx| self.poll(cx)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_goes_off_at_the_last_deadline_wherever_that_was_moved() {
        let start = Instant::now();
        let mut alarm = Alarm::new(start + SECOND);
        alarm.until(start + SECOND * 5).await;
        assert_eq!(start.elapsed(), SECOND * 5);
        // Farther, then nearer than what the timer knows.
        let waited = tokio::time::timeout(SECOND, alarm.until(start + SECOND * 60)).await;
        assert!(waited.is_err());
        alarm.until(start + SECOND * 8).await;
        assert_eq!(start.elapsed(), SECOND * 8);
        // What has passed is over at once.
        alarm.until(start).await;
        assert_eq!(start.elapsed(), SECOND * 8);
    }
}
