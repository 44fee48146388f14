//! https to the server: whose certificates are believed (feature `tls`, rustls with aws-lc-rs).
//!
//! ```
//! use rvp::client::{Client, Settings, Tls};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let server = "192.0.2.1:443".parse()?;
//! let mut settings = Settings::new(server, "im.example.com", "alice@example.com", "secret");
//! // This authority and no other; `Tls::system()` for those of the machine.
//! settings.tls = Some(Tls::trusting(&std::fs::read("authority.pem")?)?);
//! let (client, events) = Client::sign_in(settings).await?;
//! # Ok(()) }
//! assert!(Tls::trusting(b"no certificate").is_err());
//! ```
//!
//! The certificate must be for the host of the settings, or for the host that a redirect within the
//! domain leads to. A redirect to plain http is not followed. Logical URLs stay `http://`: they are
//! names. Callbacks come to the own listener in the clear, as the server makes them.

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How to speak https. Cloning shares.
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>);

/// There is nobody to believe.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate in PEM form, or one that can't be used.
    #[error("authorities: {0}")]
    Authorities(String),
    /// TLS itself.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl Tls {
    /// Believes what these authorities (certificates in PEM form) vouch for, and nothing else.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn trusting(authorities: &[u8]) -> Result<Self, TlsError> {
        let unusable = |error: &dyn fmt::Display| TlsError::Authorities(error.to_string());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authorities) {
            let certificate = certificate.map_err(|error| unusable(&error))?;
            roots.add(certificate).map_err(|error| unusable(&error))?;
        }
        Self::with_roots(roots)
    }

    /// Believes the authorities of this machine.
    ///
    /// # Errors
    /// [`TlsError`]: there are none.
    pub fn system() -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self::with_roots(roots)
    }

    /// As an application has set it up itself: its provider, its certificate, its own judgement.
    pub fn with(config: Arc<ClientConfig>) -> Self {
        Self(config)
    }

    fn with_roots(roots: RootCertStore) -> Result<Self, TlsError> {
        if roots.is_empty() {
            return Err(TlsError::Authorities("no certificate in PEM form".into()));
        }
        // Named here: an application may have installed another provider, or several.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    /// Speaks TLS with who proves to be `host`.
    pub(super) async fn secure(
        &self,
        stream: TcpStream,
        host: &str,
    ) -> io::Result<TlsStream<TcpStream>> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "no name to verify"))?;
        let connector = TlsConnector::from(Arc::clone(&self.0));
        connector.connect(name, stream).await
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").finish_non_exhaustive()
    }
}
