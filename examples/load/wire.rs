//! One flow of SIP messages: a UDP socket, or a connection over TCP or TLS.

use crate::Failure;
use crate::sip;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;

/// How SIP is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
    Tls,
}

impl Transport {
    /// As in Via.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }
}

/// A flow.
pub(crate) struct Wire {
    pub(crate) transport: Transport,
    pub(crate) local: SocketAddr,
    way: Way,
}

enum Way {
    Udp(UdpSocket, Box<[u8]>),
    Stream(Box<dyn Octets>, Vec<u8>),
}

trait Octets: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Octets for T {}

impl Wire {
    /// Opens one. `tls` says how, if it is to be encrypted.
    pub(crate) async fn open(
        transport: Transport,
        server: SocketAddr,
        tls: Option<&TlsConnector>,
    ) -> Result<Self, Failure> {
        if transport == Transport::Udp {
            let socket = UdpSocket::bind("127.0.0.1:0").await.map_err(text)?;
            let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(8 << 20);
            socket.connect(server).await.map_err(text)?;
            let local = socket.local_addr().map_err(text)?;
            let way = Way::Udp(socket, vec![0; 16_384].into());
            return Ok(Self {
                transport,
                local,
                way,
            });
        }
        let stream = TcpStream::connect(server).await.map_err(text)?;
        stream.set_nodelay(true).map_err(text)?;
        let local = stream.local_addr().map_err(text)?;
        let octets: Box<dyn Octets> = match tls {
            Some(connector) if transport == Transport::Tls => {
                let name = ServerName::try_from("example.com").map_err(text)?;
                Box::new(connector.connect(name, stream).await.map_err(text)?)
            }
            _ => Box::new(stream),
        };
        let way = Way::Stream(octets, Vec::new());
        Ok(Self {
            transport,
            local,
            way,
        })
    }

    /// Sends one message.
    pub(crate) async fn send(&mut self, message: &str) -> Result<(), Failure> {
        match &mut self.way {
            Way::Udp(socket, _) => socket
                .send(message.as_bytes())
                .await
                .map(drop)
                .map_err(text),
            Way::Stream(stream, _) => {
                stream.write_all(message.as_bytes()).await.map_err(text)?;
                stream.flush().await.map_err(text)
            }
        }
    }

    /// The next message. May be given up at any time without losing octets.
    pub(crate) async fn receive(&mut self) -> Result<String, Failure> {
        match &mut self.way {
            Way::Udp(socket, buffer) => {
                let count = socket.recv(buffer).await.map_err(text)?;
                Ok(String::from_utf8_lossy(&buffer[..count]).into_owned())
            }
            Way::Stream(stream, buffer) => loop {
                if let Some(message) = whole(buffer) {
                    return Ok(message);
                }
                buffer.reserve(8192);
                if stream.read_buf(buffer).await.map_err(text)? == 0 {
                    return Err("connection closed".to_owned());
                }
            },
        }
    }

    /// Gives back what was reserved for reading.
    pub(crate) fn rest(&mut self) {
        if let Way::Stream(_, buffer) = &mut self.way {
            buffer.shrink_to_fit();
        }
    }
}

/// Takes the first whole message (or line ends between messages) off the buffer.
fn whole(buffer: &mut Vec<u8>) -> Option<String> {
    if buffer.starts_with(b"\r\n") {
        buffer.drain(..2);
        return Some("\r\n".to_owned());
    }
    let end = memchr::memmem::find(buffer, b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let length = sip::header(&head, "Content-Length").and_then(|v| v.parse::<usize>().ok());
    let whole = end + length.unwrap_or(0);
    if buffer.len() < whole {
        return None;
    }
    let message = String::from_utf8_lossy(&buffer[..whole]).into_owned();
    buffer.drain(..whole);
    Some(message)
}

fn text(error: impl std::fmt::Display) -> Failure {
    error.to_string()
}

/// A connector that takes any certificate: both servers under test have signed their own.
pub(crate) fn connector() -> Result<TlsConnector, Failure> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(text)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
