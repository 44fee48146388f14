//! The tasks of the process and the token that ends them.

use std::future::Future;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Every long-lived task is spawned here and watches [`Tasks::stopped`]; shutdown is one call and
/// knows when all of them are through. Cloning shares.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// No tasks yet, running.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task that shutdown waits for. It should end soon after [`Tasks::stopped`].
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn(task)
    }

    /// Starts a task that is dropped at its next await when the process stops.
    pub fn spawn_until_stop<F>(&self, task: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            stop.run_until_cancelled_owned(task).await;
        })
    }

    /// A part of the process that can be stopped earlier than the rest: stops with its parent,
    /// its tasks are waited for on its own.
    #[must_use]
    pub fn part(&self) -> Self {
        Self {
            tracker: TaskTracker::new(),
            stop: self.stop.child_token(),
        }
    }

    /// Completes when the stop was asked for.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Whether the stop was asked for.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Asks all tasks to end.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Number of tasks alive.
    pub fn alive(&self) -> usize {
        self.tracker.len()
    }

    /// Asks all tasks to end and waits; false if some were still at work after `within`.
    pub async fn finish(&self, within: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(within, self.tracker.wait())
            .await
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn finish_waits_for_tasks_and_says_who_does_not_end() {
        let tasks = Tasks::new();
        let inner = tasks.clone();
        let (done, seen) = tokio::sync::oneshot::channel();
        tasks.spawn(async move {
            inner.stopped().await;
            tokio::task::yield_now().await;
            let _ = done.send(());
        });
        assert!(tasks.finish(Duration::from_secs(10)).await);
        assert!(seen.await.is_ok());

        let stuck = Tasks::new();
        stuck.spawn(std::future::pending::<()>());
        assert!(!stuck.finish(Duration::from_millis(1)).await);
        assert_eq!(stuck.alive(), 1);
    }

    #[tokio::test]
    async fn a_part_stops_with_the_whole_but_not_the_other_way() {
        let whole = Tasks::new();
        let part = whole.part();
        part.stop();
        assert!(!whole.is_stopping());
        let other = whole.part();
        whole.stop();
        assert!(other.is_stopping());
    }
}
