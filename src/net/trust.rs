//! Whose certificates are believed: chains to configured authorities or those of the system, and
//! names by RFC 5922, which knows no wildcards.

use super::identity::Identities;
use super::tls::Certificates;
use crate::config::{ClientCertificate, Config};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// There are no usable authorities.
#[derive(Debug, thiserror::Error)]
#[error("authorities {}: {cause}", file.display())]
pub struct AuthoritiesError {
    file: PathBuf,
    cause: String,
}

/// Authorities that vouch for other servers. Cloning shares.
#[derive(Clone, Debug)]
pub struct Authorities(Arc<RootCertStore>);

impl Authorities {
    /// As `[tls] authorities` says; without it, those of the system.
    ///
    /// # Errors
    /// A file that can't be read or holds no certificate.
    pub fn of(config: &Config) -> Result<Self, AuthoritiesError> {
        if config.tls.authorities.is_empty() {
            return Ok(Self::of_system());
        }
        Self::load(&config.tls.authorities)
    }

    /// Those of these PEM files, and no others.
    ///
    /// # Errors
    /// A file that can't be read or holds no certificate.
    pub fn load(files: &[PathBuf]) -> Result<Self, AuthoritiesError> {
        let mut store = RootCertStore::empty();
        for file in files {
            read(file, &mut store).map_err(|cause| AuthoritiesError {
                file: file.clone(),
                cause,
            })?;
        }
        Ok(Self(Arc::new(store)))
    }

    /// Those that this machine trusts for everything.
    pub fn of_system() -> Self {
        let mut store = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "an authority of the system can't be read");
        }
        store.add_parsable_certificates(found.certs);
        Self(Arc::new(store))
    }

    /// Whether they vouch for nobody.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How clients of other protocols than SIP check a server: chain and name as on the web.
    ///
    /// # Errors
    /// The cryptography of this build has no usable TLS version.
    pub fn client(&self) -> Result<Arc<ClientConfig>, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(Arc::clone(&self.0))
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

fn read(file: &Path, store: &mut RootCertStore) -> Result<(), String> {
    let found = CertificateDer::pem_file_iter(file).map_err(|error| error.to_string())?;
    let before = store.len();
    for certificate in found {
        let certificate = certificate.map_err(|error| error.to_string())?;
        store.add(certificate).map_err(|error| error.to_string())?;
    }
    if store.len() == before {
        return Err("no certificate in PEM form".into());
    }
    Ok(())
}

/// How connections of ours check the other side, and what they show it.
#[derive(Clone, Debug)]
pub struct Verifier(Arc<ClientConfig>);

impl Verifier {
    /// Believes these authorities; shows our own certificate when asked for one.
    ///
    /// # Errors
    /// The cryptography of this build has no usable TLS version.
    pub fn new(authorities: &Authorities, own: Option<Certificates>) -> Result<Self, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let check = Arc::new(Check {
            roots: authorities.clone(),
            provider: Arc::clone(&provider),
        });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(check);
        let config = match own {
            Some(own) => config.with_client_cert_resolver(Arc::new(Own(own))),
            None => config.with_no_client_auth(),
        };
        Ok(Self(Arc::new(config)))
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }
}

/// Chain as webpki judges it, names by RFC 5922.
#[derive(Debug)]
struct Check {
    roots: Authorities,
    provider: Arc<CryptoProvider>,
}

impl Check {
    /// COMPAT(public authorities): their certificates are for servers only by now, whichever side
    /// opens the connection, so the one purpose is accepted for both.
    fn chain(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots.0,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )
    }
}

impl ServerCertVerifier for Check {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.chain(certificate, intermediates, now)?;
        if Identities::of(certificate).speaks_for(&name.to_str()) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::NotValidForName.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let known = &self.provider.signature_verification_algorithms;
        known.supported_schemes()
    }
}

/// What asks clients for a certificate; `None`: they are not asked.
///
/// # Errors
/// Authorities without which nobody could be believed.
pub(super) fn client_verifier(
    authorities: &Authorities,
    asked: ClientCertificate,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, Error> {
    if asked == ClientCertificate::Off {
        return Ok(None);
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let roots = Arc::clone(&authorities.0);
    let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
        // Hundreds of names of authorities would weigh on every handshake.
        .clear_root_hint_subjects();
    let builder = match asked {
        ClientCertificate::Require => builder,
        ClientCertificate::Ask | ClientCertificate::Off => builder.allow_unauthenticated(),
    };
    let inner = builder
        .build()
        .map_err(|error| Error::General(error.to_string()))?;
    let servers = Check {
        roots: authorities.clone(),
        provider,
    };
    Ok(Some(Arc::new(EitherPurpose { inner, servers })))
}

/// A certificate for clients, or (RFC 5922: servers call each other) one for servers.
#[derive(Debug)]
struct EitherPurpose {
    inner: Arc<dyn ClientCertVerifier>,
    servers: Check,
}

impl ClientCertVerifier for EitherPurpose {
    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .inner
            .verify_client_cert(certificate, intermediates, now);
        verified.or_else(|error| {
            let second = self.servers.chain(certificate, intermediates, now);
            second
                .map(|()| ClientCertVerified::assertion())
                .map_err(|_| error)
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Our certificate as it is now.
#[derive(Debug)]
struct Own(Certificates);

impl rustls::client::ResolvesClientCert for Own {
    fn resolve(&self, _hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let key = Arc::clone(&self.0.current().key);
        key.key.choose_scheme(schemes).map(|_| key)
    }

    fn has_certs(&self) -> bool {
        true
    }
}
