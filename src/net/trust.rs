//! Whose certificates are believed: chains to configured authorities or those of the system, and
//! names by RFC 5922, which knows no wildcards.

use super::authorities::{Authorities, Vouchers};
use super::identity::Identities;
use super::tls::Certificates;
use crate::config::ClientCertificate;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use std::sync::Arc;

/// How connections of ours check the other side, and what they show it.
#[derive(Clone, Debug)]
pub struct Verifier {
    config: Arc<ClientConfig>,
    vouchers: Vouchers,
}

impl Verifier {
    /// Believes the authorities for everybody; shows our own certificate when asked for one.
    ///
    /// # Errors
    /// The cryptography of this build has no usable TLS version.
    pub fn new(authorities: &Authorities, own: Option<Certificates>) -> Result<Self, Error> {
        Self::of(authorities, None, own)
    }

    /// Believes those that vouch for that peer.
    ///
    /// # Errors
    /// The cryptography of this build has no usable TLS version.
    pub fn of(
        authorities: &Authorities,
        peer: Option<&str>,
        own: Option<Certificates>,
    ) -> Result<Self, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let (vouchers, roots) = authorities.store(peer);
        let check = Arc::new(Check {
            roots: Arc::clone(roots),
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
        Ok(Self {
            config: Arc::new(config),
            vouchers,
        })
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// Who vouches for whom it believes.
    pub fn vouchers(&self) -> &Vouchers {
        &self.vouchers
    }
}

/// Chain as webpki judges it, names by RFC 5922.
#[derive(Debug)]
struct Check {
    roots: Arc<RootCertStore>,
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
            &self.roots,
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
    Ok(Some(Arc::new(EitherPurpose::of(authorities.all(), asked)?)))
}

/// Tells who vouches for what a connection has shown.
#[derive(Clone, Debug)]
pub(super) enum Judges {
    /// There is nobody but the authorities for everybody.
    Common,
    /// Each is asked.
    Each(Arc<[(Vouchers, EitherPurpose)]>),
}

impl Judges {
    /// # Errors
    /// As for [`client_verifier`].
    pub(super) fn of(authorities: &Authorities) -> Result<Self, Error> {
        if authorities.each().count() < 2 {
            return Ok(Self::Common);
        }
        let each = authorities.each().filter(|(_, store)| !store.is_empty());
        let each = each.map(|(called, store)| {
            let judge = EitherPurpose::of(Arc::clone(store), ClientCertificate::Ask)?;
            Ok((called, judge))
        });
        Ok(Self::Each(each.collect::<Result<_, Error>>()?))
    }

    /// Who vouches for a chain that the handshake has verified against all of them.
    pub(super) fn judge(&self, chain: &[CertificateDer<'_>]) -> Vouchers {
        let (Self::Each(each), Some((first, rest))) = (self, chain.split_first()) else {
            return Vouchers::common();
        };
        let now = UnixTime::now();
        let mut vouchers = Vouchers::default();
        for (called, judge) in each.iter() {
            if judge.verify_client_cert(first, rest, now).is_ok() {
                vouchers.common |= called.common;
                vouchers.own.extend(called.own.iter().cloned());
            }
        }
        vouchers
    }
}

/// A certificate for clients, or (RFC 5922: servers call each other) one for servers.
#[derive(Debug)]
pub(super) struct EitherPurpose {
    inner: Arc<dyn ClientCertVerifier>,
    servers: Check,
}

impl EitherPurpose {
    fn of(roots: Arc<RootCertStore>, asked: ClientCertificate) -> Result<Self, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
                // Hundreds of names of authorities would weigh on every handshake.
                .clear_root_hint_subjects();
        let builder = match asked {
            ClientCertificate::Require => builder,
            ClientCertificate::Ask | ClientCertificate::Off => builder.allow_unauthenticated(),
        };
        let inner = builder
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        let servers = Check { roots, provider };
        Ok(Self { inner, servers })
    }
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
