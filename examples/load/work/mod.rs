//! The workloads, one family per file.

pub(crate) mod archive;
pub(crate) mod archived;
pub(crate) mod connections;
pub(crate) mod fanout;
pub(crate) mod fault;
pub(crate) mod memory;
pub(crate) mod message;
pub(crate) mod notify;
pub(crate) mod publish;
pub(crate) mod register;
pub(crate) mod relay;
pub(crate) mod soak;

use crate::server::tristack::Server;
use std::time::Duration;
use tokio_rustls::TlsConnector;

/// What every workload needs.
pub(crate) struct Plan {
    pub(crate) seconds: u64,
    pub(crate) window: usize,
    pub(crate) pin: bool,
    pub(crate) long: bool,
    pub(crate) tls: TlsConnector,
}

impl Plan {
    /// So many seconds, or the others with `--long`.
    pub(crate) fn span(&self, short: u64, long: u64) -> Duration {
        Duration::from_secs(if self.long { long } else { short })
    }
}

/// A stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// SIP over UDP.
    Sip,
    /// RVP.
    Rvp,
}

/// Senders of messages.
pub(crate) const SENDERS: u64 = 8;
/// Number of the first recipient, or watcher.
pub(crate) const FIRST_RECIPIENT: u64 = 100;
/// Header of RVP bodies.
pub(crate) const XML: &str = "Content-Type: text/xml\r\n";

/// Octets per item between two readings, in KiB.
pub(crate) fn kib_each(before: u64, after: u64, items: u64) -> f64 {
    after.saturating_sub(before) as f64 / items.max(1) as f64 / 1024.0
}

/// An RVP user with a state, signed in with a callback.
pub(crate) async fn rvp_user(
    server: &Server,
    n: u64,
    callback: std::net::SocketAddr,
) -> Result<crate::http::Client, crate::Failure> {
    let mut client = crate::http::sign_in(server.rvp, n, callback).await?;
    let body = crate::http::state_document("online");
    client
        .expect(207, "PROPPATCH", &format!("u{n}"), XML, &body)
        .await?;
    Ok(client)
}
