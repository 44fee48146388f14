//! One accepted connection.

use super::listener::Slot;
use bytes::Bytes;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// An accepted connection, after the optional layers (PROXY, TLS) have spoken.
#[derive(Debug)]
pub struct Conn {
    /// The client: all policy uses this address. Behind a trusted proxy it is the one the proxy
    /// named, else the same as `direct_peer`.
    pub peer: SocketAddr,
    /// Who is at the other end of the socket.
    pub direct_peer: SocketAddr,
    /// Our end of the socket.
    pub local: SocketAddr,
    /// What was negotiated, when the connection is encrypted.
    pub tls: Option<Arc<Tls>>,
    /// `tls-server-end-point` of our certificate (RFC 5929 4), for authentication bound to it.
    pub channel_binding: Option<Bytes>,
    /// The bytes. Dropping it frees the connection's place under the caps.
    pub stream: Stream,
}

/// What TLS negotiated.
#[derive(Debug)]
pub struct Tls {
    /// Protocol version as text, `TLSv1.3`.
    pub version: String,
    /// The server name the client asked for.
    pub server_name: Option<String>,
}

/// The byte stream of a connection, whatever lies beneath.
#[derive(Debug)]
pub struct Stream {
    inner: TcpStream,
    _slot: Slot,
}

impl Stream {
    pub(super) fn plain(inner: TcpStream, slot: Slot) -> Self {
        Self { inner, _slot: slot }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
