//! What must not spread: dead, slow and hostile clients beside ordinary ones, and a crash.

pub(crate) mod dead;
pub(crate) mod half_open;
pub(crate) mod restart;
pub(crate) mod slow;
pub(crate) mod slowloris;

use crate::Failure;
use crate::http::{self, Callbacks, Client};
use crate::report::Latencies;
use crate::server::tristack::Server;
use std::time::{Duration, Instant};

/// Numbers of two ordinary users, apart from all others.
const HEALTHY: (u64, u64) = (98, 99);
/// Between two texts of the ordinary pair.
const BEAT: Duration = Duration::from_millis(20);
/// Nobody may wait longer than this on account of somebody else's client.
pub(crate) const UNHURT: f64 = 50.0;

/// Two ordinary RVP users who talk to each other.
struct Pair {
    from: Client,
    _to: Client,
}

impl Pair {
    async fn sign_in(server: &Server) -> Result<Self, Failure> {
        let callbacks = Callbacks::listen().await?;
        let to = http::sign_in(server.rvp, HEALTHY.1, callbacks.address).await?;
        let from = http::sign_in(server.rvp, HEALTHY.0, callbacks.address).await?;
        Ok(Self { from, _to: to })
    }

    /// One text at a steady pace for so long; how long each took to be delivered.
    async fn talk(&mut self, span: Duration) -> Result<Latencies, Failure> {
        let (start, mut latencies) = (Instant::now(), Latencies::default());
        while start.elapsed() < span {
            let sent = Instant::now();
            let answer = self.from.text(HEALTHY.1).await?;
            if answer.status != 200 {
                return Err(format!("an ordinary text: {}", answer.head));
            }
            latencies.add(sent.elapsed());
            tokio::time::sleep(BEAT.saturating_sub(sent.elapsed())).await;
        }
        Ok(latencies)
    }
}

/// In milliseconds.
fn millis(time: Option<Duration>) -> f64 {
    time.map_or(f64::INFINITY, |time| time.as_secs_f64() * 1e3)
}
