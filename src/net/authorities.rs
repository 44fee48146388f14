//! Authorities: those that vouch for everybody, and those that vouch for one peer alone.

use crate::config::Config;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, Error, RootCertStore};
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
pub struct Authorities {
    common: Arc<RootCertStore>,
    /// Peers that have authorities of their own: nobody else vouches for them, and these for
    /// nobody else.
    own: Arc<[(Arc<str>, Arc<RootCertStore>)]>,
}

/// Who vouches for a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vouchers {
    /// The authorities for everybody.
    pub common: bool,
    /// Those of these peers.
    pub own: Vec<Arc<str>>,
}

impl Vouchers {
    /// The authorities for everybody alone.
    pub fn common() -> Self {
        Self {
            common: true,
            own: Vec::new(),
        }
    }

    /// The authorities of one peer alone.
    pub fn of(peer: &str) -> Self {
        Self {
            common: false,
            own: vec![peer.into()],
        }
    }

    /// Whether all of these are among them.
    pub fn cover(&self, wanted: &Self) -> bool {
        (self.common || !wanted.common) && wanted.own.iter().all(|peer| self.own.contains(peer))
    }
}

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
        Ok(Self::common(store(files)?))
    }

    /// Those that this machine trusts for everything.
    pub fn of_system() -> Self {
        let mut store = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "an authority of the system can't be read");
        }
        store.add_parsable_certificates(found.certs);
        Self::common(store)
    }

    fn common(store: RootCertStore) -> Self {
        Self {
            common: Arc::new(store),
            own: Arc::default(),
        }
    }

    /// With the files of peers that have authorities of their own; a peer without files has none.
    ///
    /// # Errors
    /// A file that can't be read or holds no certificate.
    pub fn with_own<'a>(
        self,
        peers: impl IntoIterator<Item = (&'a str, &'a [PathBuf])>,
    ) -> Result<Self, AuthoritiesError> {
        let peers = peers.into_iter().filter(|(_, files)| !files.is_empty());
        let own = peers.map(|(peer, files)| Ok((peer.into(), Arc::new(store(files)?))));
        Ok(Self {
            own: own.collect::<Result<_, _>>()?,
            ..self
        })
    }

    /// Whether they vouch for nobody.
    pub fn is_empty(&self) -> bool {
        self.common.is_empty() && self.own.is_empty()
    }

    /// Each of them apart, with what it is called.
    pub(super) fn each(&self) -> impl Iterator<Item = (Vouchers, &Arc<RootCertStore>)> {
        let own = self.own.iter();
        let own = own.map(|(peer, store)| (Vouchers::of(peer), store));
        [(Vouchers::common(), &self.common)].into_iter().chain(own)
    }

    /// Those that vouch for a peer.
    pub(super) fn store(&self, peer: Option<&str>) -> (Vouchers, &Arc<RootCertStore>) {
        let own = self.own.iter().find(|(own, _)| Some(&**own) == peer);
        match own {
            Some((peer, store)) => (Vouchers::of(peer), store),
            None => (Vouchers::common(), &self.common),
        }
    }

    /// All of them as one: who may knock.
    pub(super) fn all(&self) -> Arc<RootCertStore> {
        if self.own.is_empty() {
            return Arc::clone(&self.common);
        }
        let mut all = RootCertStore::clone(&self.common);
        for (_, store) in self.own.iter() {
            all.roots.extend(store.roots.iter().cloned());
        }
        Arc::new(all)
    }

    /// How clients of other protocols than SIP check a server: chain and name as on the web.
    ///
    /// # Errors
    /// The cryptography of this build has no usable TLS version.
    pub fn client(&self) -> Result<Arc<ClientConfig>, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(Arc::clone(&self.common))
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

fn store(files: &[PathBuf]) -> Result<RootCertStore, AuthoritiesError> {
    let mut store = RootCertStore::empty();
    for file in files {
        read(file, &mut store).map_err(|cause| AuthoritiesError {
            file: file.clone(),
            cause,
        })?;
    }
    Ok(store)
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
