//! One accepted connection.

use super::authorities::Vouchers;
use super::identity::Identities;
use super::listener::Slot;
use super::trust::{Judges, Verifier};
use bytes::Bytes;
use rustls::pki_types::{CertificateDer, ServerName};
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

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
    /// The hash of our certificate that `tls-server-end-point` bindings carry (RFC 5929 4), for
    /// authentication bound to it.
    pub channel_binding: Option<Bytes>,
    /// The bytes. Dropping it frees the connection's place under the caps.
    pub stream: Stream,
}

/// What TLS negotiated.
#[derive(Debug)]
pub struct Tls {
    /// Protocol version as text, `TLSv1.3`.
    pub version: &'static str,
    /// The server name the client asked for.
    pub server_name: Option<String>,
    /// Whom the other side's certificate speaks for, if it showed one; it has been verified.
    pub identities: Option<Identities>,
}

impl Tls {
    fn of(
        session: &rustls::CommonState,
        server_name: Option<String>,
        vouchers: impl FnOnce(&[CertificateDer<'_>]) -> Vouchers,
    ) -> Self {
        let chain = session.peer_certificates().unwrap_or_default();
        let identities = chain.first().map(|certificate| Identities {
            vouchers: vouchers(chain),
            ..Identities::of(certificate)
        });
        Self {
            version: match session.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
                Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
                _ => "TLS",
            },
            server_name,
            identities,
        }
    }
}

/// The byte stream of a connection, whatever lies beneath.
#[derive(Debug)]
pub struct Stream {
    inner: Inner,
    /// None for connections of ours.
    slot: Option<Slot>,
}

#[derive(Debug)]
enum Inner {
    Plain(TcpStream),
    /// Boxed: its buffers must not weigh on plain connections.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Passes a call on to whatever lies beneath.
macro_rules! beneath {
    ($self:ident, $inner:ident => $call:expr) => {
        match &mut $self.inner {
            Inner::Plain($inner) => $call,
            Inner::Tls($inner) => $call,
        }
    };
}

impl Stream {
    pub(super) fn plain(inner: TcpStream, slot: Slot) -> Self {
        let inner = Inner::Plain(inner);
        Self {
            inner,
            slot: Some(slot),
        }
    }

    pub(super) fn slot(&mut self) -> Option<&mut Slot> {
        self.slot.as_mut()
    }

    /// Speaks TLS on a plain stream; the connection's place stays taken meanwhile.
    pub(super) async fn encrypt(
        self,
        acceptor: TlsAcceptor,
        judges: &Judges,
    ) -> io::Result<(Self, Tls)> {
        let Self { inner, slot } = self;
        let Inner::Plain(inner) = inner else {
            return Err(io::Error::other("TLS inside TLS"));
        };
        let stream = acceptor.accept(inner).await?;
        let (_, session) = stream.get_ref();
        let asked = session.server_name().map(str::to_owned);
        let negotiated = Tls::of(session, asked, |chain| judges.judge(chain));
        let inner = Inner::Tls(Box::new(stream.into()));
        Ok((Self { inner, slot }, negotiated))
    }

    /// A connection of ours, speaking TLS if there is somebody to verify; it counts under no cap.
    pub(super) async fn open(
        from: Option<IpAddr>,
        peer: SocketAddr,
        verify: Option<(&Verifier, ServerName<'static>)>,
    ) -> io::Result<(Self, Option<Tls>)> {
        let socket = match peer {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if let Some(from) = from {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        let plain = socket.connect(peer).await?;
        // Without it small requests wait for the peer's delayed ACK.
        let _ = plain.set_nodelay(true);
        let Some((verifier, name)) = verify else {
            let inner = Inner::Plain(plain);
            return Ok((Self { inner, slot: None }, None));
        };
        let server_name = name.to_str().into_owned();
        let stream = TlsConnector::from(verifier.config())
            .connect(name, plain)
            .await?;
        let (_, session) = stream.get_ref();
        let negotiated = Tls::of(session, Some(server_name), |_| verifier.vouchers().clone());
        let inner = Inner::Tls(Box::new(stream.into()));
        Ok((Self { inner, slot: None }, Some(negotiated)))
    }

    /// Our end of the socket.
    pub fn local(&self) -> io::Result<SocketAddr> {
        match &self.inner {
            Inner::Plain(stream) => stream.local_addr(),
            Inner::Tls(stream) => stream.get_ref().0.local_addr(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        beneath!(self, inner => Pin::new(inner).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        beneath!(self, inner => Pin::new(inner).poll_write(cx, octets))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        beneath!(self, inner => Pin::new(inner).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.inner {
            Inner::Plain(inner) => inner.is_write_vectored(),
            Inner::Tls(inner) => inner.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        beneath!(self, inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        beneath!(self, inner => Pin::new(inner).poll_shutdown(cx))
    }
}
