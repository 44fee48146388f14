//! Connections of ours: to one given address, and with TLS only to whom a certificate proves.

use super::conn::{Conn, Stream};
use super::trust::Verifier;
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Opens a connection within that time, from that address of ours if one is given. `verify`: speak TLS, and only with whom a certificate of
/// that name proves (RFC 5922 7.3); without it plain TCP.
///
/// # Errors
/// Nobody there, not in time, or not the one that was meant.
pub async fn dial(
    (from, peer): (Option<IpAddr>, SocketAddr),
    verify: Option<(&Verifier, &str)>,
    within: Duration,
) -> io::Result<Conn> {
    let verify = match verify {
        Some((verifier, name)) => Some((verifier, server_name(name)?)),
        None => None,
    };
    // Boxed: freed when done, not kept for the life of the connection.
    let opened = Box::pin(Stream::open(from, peer, verify));
    let (stream, tls) = tokio::time::timeout(within, opened)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok(Conn {
        peer,
        direct_peer: peer,
        local: stream.local()?,
        tls: tls.map(Arc::new),
        channel_binding: None,
        stream,
    })
}

/// Speaks TLS on a connection of ours, with whom a certificate of that name proves and nobody else.
///
/// # Errors
/// Not the one that was meant, or no TLS.
pub async fn secure(
    stream: TcpStream,
    verifier: &Verifier,
    name: &str,
) -> io::Result<TlsStream<TcpStream>> {
    let connector = TlsConnector::from(verifier.config());
    connector.connect(server_name(name)?, stream).await
}

/// A domain, or an address with or without brackets.
fn server_name(name: &str) -> io::Result<ServerName<'static>> {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    let fault = |_| io::Error::new(io::ErrorKind::InvalidInput, "no name that TLS can verify");
    ServerName::try_from(bare.to_owned()).map_err(fault)
}
