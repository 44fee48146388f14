//! TLS of the listeners: certificate and key from PEM files, read again when the files change, or
//! self-signed on the first run.

use super::authorities::Authorities;
use super::end_point;
use super::trust::{self, Judges};
use crate::config::{ClientCertificate, Config};
use bytes::Bytes;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoClientAuth;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(3);
/// Larger PEM files are something else.
const LARGEST: u64 = 1 << 20;

/// Where certificate and key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemFiles {
    /// The chain, our own certificate first.
    pub certificate: PathBuf,
    /// Its private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// There is no usable certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file can't be read or written.
    #[error("{}: {cause}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A file holds no PEM section of the kind looked for.
    #[error("{}: no {wanted} in PEM form ({cause})", file.display())]
    Pem {
        /// Which.
        file: PathBuf,
        /// What was looked for.
        wanted: &'static str,
        /// What was found wrong.
        cause: rustls::pki_types::pem::Error,
    },
    /// Key and certificate don't belong together, or are of a kind that can't be used.
    #[error("{}: {cause}", file.display())]
    Unusable {
        /// The certificate's file.
        file: PathBuf,
        /// Why.
        cause: rustls::Error,
    },
    /// Clients can't be asked for certificates.
    #[error("certificates of clients: {0}")]
    Clients(rustls::Error),
    /// A certificate could not be made.
    #[error("can't make a certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// The certificate that listeners show, with all that depends on it. Cloning shares.
#[derive(Clone, Debug)]
pub struct Certificates(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    files: PemFiles,
    style: Style,
    current: RwLock<Arc<Loaded>>,
}

/// What differs from protocol to protocol.
#[derive(Clone, Debug)]
struct Style {
    /// Application protocols; none: what a client offers is not looked at.
    alpn: Vec<Vec<u8>>,
    /// Who judges the certificates of clients; `None`: they are not asked for one.
    clients: Option<Arc<dyn ClientCertVerifier>>,
    /// Who tells what their certificates count for.
    judges: Judges,
}

impl Style {
    fn http() -> Self {
        Self {
            alpn: vec![b"http/1.1".to_vec()],
            clients: None,
            judges: Judges::Common,
        }
    }
}

/// One version of the files. A handshake uses one of these throughout, so that certificate and
/// binding always belong together.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    pub(super) key: Arc<CertifiedKey>,
    pub(super) binding: Option<Bytes>,
    stamp: Stamp,
}

/// What tells one version of the files from another: length and time of change of each.
type Stamp = [Option<(u64, SystemTime)>; 2];

impl Certificates {
    /// As `[tls]` says: the operator's files, else our own in the data directory, made for the
    /// names of the configuration if they are not there.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn of(config: &Config) -> Result<Self, CertificateError> {
        if let (Some(certificate), Some(key)) = (&config.tls.certificate, &config.tls.key) {
            return Self::load(PemFiles {
                certificate: certificate.clone(),
                key: key.clone(),
            });
        }
        let own = PemFiles {
            certificate: config.server.data_dir.join("tls-certificate.pem"),
            key: config.server.data_dir.join("tls-key.pem"),
        };
        let mut names = config.rvp.hosts.clone();
        names.extend(config.server.domains.iter().cloned());
        Self::load_or_make(own, &names)
    }

    /// Reads the files.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn load(files: PemFiles) -> Result<Self, CertificateError> {
        Self::load_as(files, Style::http())
    }

    fn load_as(files: PemFiles, style: Style) -> Result<Self, CertificateError> {
        let current = RwLock::new(Arc::new(Loaded::read(&files, &style)?));
        let shared = Shared {
            files,
            style,
            current,
        };
        Ok(Self(Arc::new(shared)))
    }

    /// The same certificate for SIP, whose clients may be asked for one of theirs.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn for_sip(
        &self,
        authorities: &Authorities,
        asked: ClientCertificate,
    ) -> Result<Self, CertificateError> {
        let clients =
            trust::client_verifier(authorities, asked).map_err(CertificateError::Clients)?;
        let style = Style {
            alpn: Vec::new(),
            clients,
            judges: Judges::of(authorities).map_err(CertificateError::Clients)?,
        };
        Self::load_as(self.0.files.clone(), style)
    }

    /// The same certificate for HTTP between servers, which may show one of theirs.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn for_peers(&self, authorities: &Authorities) -> Result<Self, CertificateError> {
        let asked = ClientCertificate::Ask;
        let clients =
            trust::client_verifier(authorities, asked).map_err(CertificateError::Clients)?;
        let style = Style {
            clients,
            judges: Judges::of(authorities).map_err(CertificateError::Clients)?,
            ..Style::http()
        };
        Self::load_as(self.0.files.clone(), style)
    }

    /// Reads the files; if neither is there, makes a key and a certificate for `names` (host names
    /// and addresses), signed by itself, and writes them there first.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn load_or_make(files: PemFiles, names: &[String]) -> Result<Self, CertificateError> {
        if !files.certificate.exists() && !files.key.exists() {
            make(&files, names)?;
            tracing::warn!(
                certificate = %files.certificate.display(), ?names,
                "made a self-signed certificate; clients must be told to trust it, or set [tls] certificate and key"
            );
        }
        Self::load(files)
    }

    /// Keeps up with the files: looks at them every few seconds, and at once on SIGHUP. A version
    /// that can't be used is logged once and the former one kept.
    pub async fn follow(self) {
        let hangup = tokio::signal::unix::SignalKind::hangup();
        let mut hangup = tokio::signal::unix::signal(hangup).ok();
        let mut refused = None;
        loop {
            let asked = async {
                match &mut hangup {
                    Some(signal) => signal.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = asked => refused = None,
            }
            let files = self.clone();
            let looked = tokio::task::spawn_blocking(move || files.look(refused)).await;
            refused = looked.unwrap_or(refused);
        }
    }

    /// Reads the files again if they have changed. `refused` is a version that is known to be
    /// unusable; the result is the one that is now.
    fn look(&self, refused: Option<Stamp>) -> Option<Stamp> {
        let now = stamp(&self.0.files);
        if self.current().stamp == now || refused == Some(now) {
            return refused;
        }
        let file = self.0.files.certificate.display();
        match Loaded::read(&self.0.files, &self.0.style) {
            Ok(loaded) => {
                let mut current = self
                    .0
                    .current
                    .write()
                    .unwrap_or_else(PoisonError::into_inner);
                *current = Arc::new(loaded);
                tracing::info!(certificate = %file, "certificate read again");
                None
            }
            Err(error) => {
                tracing::error!(certificate = %file, %error, "the new certificate can't be used; the former one stays");
                Some(now)
            }
        }
    }

    /// Who tells what certificates of clients count for.
    pub(super) fn judges(&self) -> &Judges {
        &self.0.style.judges
    }

    pub(super) fn current(&self) -> Arc<Loaded> {
        let current = self.0.current.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }
}

impl Loaded {
    fn read(files: &PemFiles, style: &Style) -> Result<Self, CertificateError> {
        // Before the contents: a change in between shows as one more change.
        let stamp = stamp(files);
        let pem = |wanted, file: &Path| {
            let file = file.to_owned();
            move |cause| CertificateError::Pem {
                file,
                wanted,
                cause,
            }
        };
        let text = contents(&files.certificate)?;
        let chain = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<Vec<_>, _>>()
            .map_err(pem("certificate", &files.certificate))?;
        let Some(first) = chain.first() else {
            let none = rustls::pki_types::pem::Error::NoItemsFound;
            return Err(pem("certificate", &files.certificate)(none));
        };
        let binding = end_point::hash(first).map(Bytes::from);
        let key = PrivateKeyDer::from_pem_slice(&contents(&files.key)?)
            .map_err(pem("private key", &files.key))?;
        let unusable = |cause| CertificateError::Unusable {
            file: files.certificate.clone(),
            cause,
        };
        // Named here and nowhere installed process-wide: nothing depends on which part starts first.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let key = CertifiedKey::from_der(chain, key, &provider).map_err(unusable)?;
        let key = Arc::new(key);
        let config = server_config(&provider, &key, style).map_err(unusable)?;
        Ok(Self {
            config: Arc::new(config),
            key,
            binding,
            stamp,
        })
    }
}

fn server_config(
    provider: &Arc<CryptoProvider>,
    key: &Arc<CertifiedKey>,
    style: &Style,
) -> Result<ServerConfig, rustls::Error> {
    let clients = match &style.clients {
        Some(clients) => Arc::clone(clients),
        None => Arc::new(NoClientAuth),
    };
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(key))));
    config.alpn_protocols.clone_from(&style.alpn);
    Ok(config)
}

fn contents(file: &Path) -> Result<Vec<u8>, CertificateError> {
    let fault = |cause| CertificateError::File {
        file: file.to_owned(),
        cause,
    };
    if std::fs::metadata(file).map_err(fault)?.len() > LARGEST {
        return Err(fault(std::io::ErrorKind::FileTooLarge.into()));
    }
    std::fs::read(file).map_err(fault)
}

fn stamp(files: &PemFiles) -> Stamp {
    [&files.certificate, &files.key].map(|file| {
        let meta = std::fs::metadata(file).ok()?;
        Some((meta.len(), meta.modified().ok()?))
    })
}

fn make(files: &PemFiles, names: &[String]) -> Result<(), CertificateError> {
    let made = rcgen::generate_simple_self_signed(names)?;
    write(&files.key, 0o600, &made.signing_key.serialize_pem())?;
    write(&files.certificate, 0o644, &made.cert.pem())
}

fn write(path: &Path, mode: u32, text: &str) -> Result<(), CertificateError> {
    let write = || {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
        options.open(path)?.write_all(text.as_bytes())
    };
    write().map_err(|cause| CertificateError::File {
        file: path.to_owned(),
        cause,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files in a folder of their own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("tristack-tls-{name}-{}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }

        fn files(&self) -> PemFiles {
            PemFiles {
                certificate: self.0.join("certificate.pem"),
                key: self.0.join("key.pem"),
            }
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn names() -> Vec<String> {
        vec!["im.example.com".into(), "127.0.0.1".into()]
    }

    #[test]
    fn what_is_made_stays_and_is_for_our_eyes_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = Folder::new("made");
        let first = Certificates::load_or_make(folder.files(), &names()).expect("made");
        let mode = std::fs::metadata(folder.files().key).expect("a key");
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
        let second = Certificates::load_or_make(folder.files(), &names()).expect("read");
        let binding = first.current().binding.clone();
        assert_eq!(binding.as_ref().map(Bytes::len), Some(32), "SHA-256");
        assert_eq!(binding, second.current().binding);
    }

    #[test]
    fn changed_files_are_read_again_and_bad_ones_are_not_taken() {
        let folder = Folder::new("changed");
        let files = folder.files();
        let certificates = Certificates::load_or_make(files.clone(), &names()).expect("made");
        let first = certificates.current().binding.clone();
        assert_eq!(certificates.look(None), None, "nothing changed");

        // A certificate without its key: refused, once, and nothing changes.
        let other = Folder::new("other");
        Certificates::load_or_make(other.files(), &names()).expect("made");
        let longer = format!(
            "# new\n{}",
            std::fs::read_to_string(other.files().certificate).expect("text")
        );
        std::fs::write(&files.certificate, longer).expect("written");
        let refused = certificates.look(None);
        assert!(refused.is_some());
        assert_eq!(certificates.look(refused), refused);
        assert_eq!(certificates.current().binding, first);

        std::fs::copy(other.files().key, &files.key).expect("copied");
        let text = std::fs::read_to_string(&files.key).expect("text");
        std::fs::write(&files.key, format!("# new\n{text}")).expect("written");
        assert_eq!(certificates.look(refused), None);
        assert_ne!(certificates.current().binding, first);
    }

    #[test]
    fn errors_name_the_file() {
        let folder = Folder::new("errors");
        let files = folder.files();
        Certificates::load_or_make(files.clone(), &names()).expect("made");
        std::fs::write(&files.key, "nothing").expect("written");
        let error = Certificates::load(files.clone()).expect_err("no key");
        assert!(error.to_string().contains("key.pem"), "{error}");
        assert!(error.to_string().contains("private key"), "{error}");
        std::fs::remove_file(&files.certificate).expect("removed");
        // Half a pair is never completed by us.
        let error = Certificates::load_or_make(files, &names()).expect_err("no certificate");
        assert!(error.to_string().contains("certificate.pem"), "{error}");
    }
}
