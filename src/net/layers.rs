//! What stands between an accepted socket and its front: PROXY, then TLS (`decisions.md` 29).

use super::conn::{Conn, Stream};
use super::proxy::{self, Header, NotProxy};
use super::tls::Certificates;
use crate::config::Network;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio_rustls::TlsAcceptor;

/// Octets every PROXY header has at least: `PROXY UNKNOWN` and line end; version 2 has 16.
const SHORTEST: usize = 15;
/// Octets of the fixed part of a version 2 header.
const V2_FIXED: usize = 16;

/// The layers of one listener. The default has none.
#[derive(Clone, Debug)]
pub struct Layers {
    proxies: Arc<[Network]>,
    tls: Option<Certificates>,
    within: Duration,
}

impl Default for Layers {
    fn default() -> Self {
        Self {
            proxies: Arc::default(),
            tls: None,
            within: Duration::from_secs(10),
        }
    }
}

/// Why a connection never reached its front.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unbuilt {
    #[error("a proxy must say for whom it speaks: {0}")]
    Proxy(#[from] NotProxy),
    #[error("PROXY header: {0}")]
    ProxyRead(io::Error),
    #[error("no PROXY header in time")]
    ProxySlow,
    #[error("too many {0}")]
    Caps(&'static str),
    #[error("TLS: {0}")]
    Tls(io::Error),
    #[error("no TLS handshake in time")]
    TlsSlow,
}

impl Layers {
    /// Layers that each have that long to be done.
    pub fn within(within: Duration) -> Self {
        Self {
            within,
            ..Self::default()
        }
    }

    /// From these networks a PROXY header is required; from others none is read, so that what
    /// looks like one is the front's to refuse.
    #[must_use]
    pub fn proxies(mut self, proxies: &[Network]) -> Self {
        self.proxies = proxies.into();
        self
    }

    /// All connections speak TLS with this certificate.
    #[must_use]
    pub fn tls(mut self, certificates: Certificates) -> Self {
        self.tls = Some(certificates);
        self
    }

    pub(super) fn is_proxy(&self, direct_peer: IpAddr) -> bool {
        self.proxies
            .iter()
            .any(|network| network.contains(direct_peer))
    }

    /// Whether there is anything to do for a connection from there.
    pub(super) fn concern(&self, direct_peer: IpAddr) -> bool {
        self.tls.is_some() || self.is_proxy(direct_peer)
    }

    /// Lets the layers speak.
    pub(super) async fn build(self, mut conn: Conn) -> Result<Conn, Unbuilt> {
        if self.is_proxy(conn.direct_peer.ip()) {
            let read = read_header(&mut conn.stream);
            let client = tokio::time::timeout(self.within, read)
                .await
                .map_err(|_| Unbuilt::ProxySlow)??;
            if let Some(client) = client {
                conn.peer = SocketAddr::new(client.ip().to_canonical(), client.port());
            }
            if let Some(slot) = conn.stream.slot() {
                slot.name(conn.peer.ip()).map_err(Unbuilt::Caps)?;
            }
        }
        let Some(certificates) = &self.tls else {
            return Ok(conn);
        };
        let loaded = certificates.current();
        let acceptor = TlsAcceptor::from(Arc::clone(&loaded.config));
        let shaken = tokio::time::timeout(
            self.within,
            conn.stream.encrypt(acceptor, certificates.judges()),
        )
        .await;
        let (stream, negotiated) = shaken
            .map_err(|_| Unbuilt::TlsSlow)?
            .map_err(Unbuilt::Tls)?;
        Ok(Conn {
            tls: Some(Arc::new(negotiated)),
            channel_binding: loaded.binding.clone(),
            stream,
            ..conn
        })
    }
}

/// Reads the header and not an octet more: what follows belongs to TLS or the front.
async fn read_header(stream: &mut Stream) -> Result<Option<SocketAddr>, Unbuilt> {
    let mut octets = Vec::with_capacity(64);
    let mut wanted = SHORTEST;
    loop {
        let missing = (wanted - octets.len()) as u64;
        let count = stream.take(missing).read_buf(&mut octets).await;
        if count.map_err(Unbuilt::ProxyRead)? == 0 {
            return Err(Unbuilt::ProxyRead(io::ErrorKind::UnexpectedEof.into()));
        }
        match proxy::read(&octets)? {
            Header::Complete(_, client) => return Ok(client),
            Header::Incomplete if octets.len() < wanted => {}
            Header::Incomplete => wanted = next(&octets),
        }
    }
}

/// How many octets a header that starts so has at least.
fn next(octets: &[u8]) -> usize {
    match (octets.first(), octets.get(14..V2_FIXED)) {
        (Some(b'\r'), Some(&[high, low])) => {
            V2_FIXED + usize::from(u16::from_be_bytes([high, low]))
        }
        (Some(b'\r'), _) => V2_FIXED,
        // A line: its end is not known before it is there. Short, and once per connection.
        _ => octets.len() + 1,
    }
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
