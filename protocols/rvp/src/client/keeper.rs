//! Keeps what a client has: leases renewed well before their end, what the server forgot made
//! anew, what failed tried again.

use super::connection::Reply;
use super::event::Event;
use super::{ClientError, Inner, Kept};
use crate::document::State;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// Pauses after failures.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Nothing is looked at more rarely.
const LOOK: Duration = Duration::from_secs(60);

/// When a lease of so many seconds is renewed: at four fifths, and a presence lease of Exchange's
/// 1200 s a minute early (`RVP 5 PROPPATCH`) at the latest.
pub(super) fn due(seconds: u32) -> Instant {
    Instant::now() + Duration::from_secs(seconds.max(1).into()).mul_f32(0.8)
}

/// Runs until the client is gone.
pub(super) async fn run(inner: Arc<Mutex<Inner>>) {
    let mut pause = PAUSES.0;
    let mut well = true;
    loop {
        let next = inner.lock().await.next_due();
        let soon = Instant::now() + LOOK;
        sleep_until(next.map_or(soon, |next| next.min(soon))).await;
        let result = inner.lock().await.keep_one().await;
        match result {
            Ok(false) => {}
            Ok(true) => {
                pause = PAUSES.0;
                if !well {
                    well = true;
                    inner.lock().await.tell(Event::Resumed);
                }
            }
            Err(error) => {
                if well {
                    well = false;
                    let why = error.to_string();
                    inner.lock().await.tell(Event::Interrupted { why });
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}

impl Inner {
    fn next_due(&self) -> Option<Instant> {
        let watches = self.watches.iter().map(|held| held.due);
        let presence = (self.state != State::Offline).then_some(self.presence_due);
        watches.chain([self.sign_in.due]).chain(presence).min()
    }

    /// Renews what is due first; whether something was.
    async fn keep_one(&mut self) -> Result<bool, ClientError> {
        let now = Instant::now();
        if self.sign_in.due <= now {
            return self.keep_sign_in().await.map(|()| true);
        }
        if self.state != State::Offline && self.presence_due <= now {
            let state = self.state.clone();
            return self.publish(state).await.map(|()| true);
        }
        match self.watches.iter().position(|held| held.due <= now) {
            None => Ok(false),
            Some(at) => self.keep_watch(at).await.map(|()| true),
        }
    }

    /// Renews everything at once.
    pub(super) async fn keep_all(&mut self) -> Result<(), ClientError> {
        self.keep_sign_in().await?;
        for at in 0..self.watches.len() {
            self.keep_watch(at).await?;
        }
        let state = self.state.clone();
        self.publish(state).await
    }

    async fn keep_sign_in(&mut self) -> Result<(), ClientError> {
        let held = self.sign_in.clone();
        match self.renew(&held).await {
            Ok(reply) => {
                self.sign_in.due = due(reply.lifetime.unwrap_or(self.settings.lease));
                Ok(())
            }
            Err(ClientError::Status(404 | 412)) => {
                self.sign_in().await?;
                // What the server knew of us went with it.
                self.presence_due = Instant::now();
                let now = Instant::now();
                for held in &mut self.watches {
                    held.due = now;
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn keep_watch(&mut self, at: usize) -> Result<(), ClientError> {
        let Some(held) = self.watches.get(at).cloned() else {
            return Ok(());
        };
        let (id, lifetime) = match self.renew(&held).await {
            Ok(reply) => (held.id, reply.lifetime),
            Err(ClientError::Status(404 | 412)) => {
                let (reply, properties) = self.watched(&held.node).await?;
                self.tell_properties(&held.node, properties);
                (reply.subscription.unwrap_or_default(), reply.lifetime)
            }
            Err(error) => return Err(error),
        };
        let seconds = lifetime.unwrap_or(self.settings.lease);
        if let Some(held) = self.watches.get_mut(at) {
            held.id = id;
            held.due = due(seconds);
        }
        Ok(())
    }

    async fn renew(&mut self, held: &Kept) -> Result<Reply, ClientError> {
        let lease = self.settings.lease.to_string();
        let headers = [
            ("Subscription-Id", held.id.as_str()),
            ("Subscription-Lifetime", &lease),
        ];
        let target = held.node.target();
        self.connection
            .ask("SUBSCRIBE", &target, &headers, bytes::Bytes::new())
            .await
    }
}
