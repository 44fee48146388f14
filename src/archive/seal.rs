//! Seals and signatures: what leaves the machine, so that a chain written anew does not go unseen.
//!
//! A seal names the last row and its link. Seals and export bundles are signed with a key of this
//! server (ECDSA on P-256 with SHA-256, DER), so that `openssl dgst -sha256 -verify` checks them.

use super::chain::hex;
use crate::core::archive::Link;
use crate::core::time::Time;
use crate::telemetry::utc;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, SigningKey};
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where the chain stood at a time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Seal {
    /// The form.
    pub v: u8,
    /// Whose archive.
    pub server: String,
    /// When (RFC 3339).
    pub at: String,
    /// The last row.
    pub seq: u64,
    /// Its link, in hexadecimal.
    pub link: String,
}

impl Seal {
    /// A seal of the chain up to that row.
    pub fn of(seq: u64, link: &Link, at: Time, server: &str) -> Self {
        Self {
            v: 1,
            server: server.to_owned(),
            at: utc(at.0),
            seq,
            link: hex(link),
        }
    }

    /// Reads a seal file.
    pub fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|e| format!("{shown}: {e}"))?;
        let seal: Self =
            serde_json::from_str(&text).map_err(|e| format!("{shown} is no seal: {e}"))?;
        if seal.v == 1 {
            return Ok(seal);
        }
        Err(format!(
            "{shown} is a seal of version {}, this program knows 1",
            seal.v
        ))
    }

    /// The name of its file: by day and row, so that they sort and none replaces another.
    pub fn file_name(&self) -> String {
        let day = self.at.get(..10).unwrap_or("seal");
        format!("seal-{day}-{:012}.json", self.seq)
    }

    /// Writes it into that folder, with its signature beside it; the file's path.
    pub fn write(&self, folder: &Path, signer: &Signer) -> Result<PathBuf, String> {
        let path = folder.join(self.file_name());
        let text = serde_json::to_string(self).map_err(|e| e.to_string())? + "\n";
        let signature = signer.sign(text.as_bytes())?;
        let failed = |e: io::Error| format!("{}: {e}", path.display());
        std::fs::create_dir_all(folder).map_err(failed)?;
        std::fs::write(&path, &text).map_err(failed)?;
        std::fs::write(path.with_extension("json.sig"), signature).map_err(failed)?;
        std::fs::write(folder.join("public.pem"), signer.public_pem()).map_err(failed)?;
        Ok(path)
    }
}

/// The key that seals and bundles are signed with.
pub struct Signer(KeyPair);

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// Reads the key, or makes one (mode 0600) if there is none.
    pub fn open(path: &Path) -> Result<Self, String> {
        let failed =
            |e: &dyn std::fmt::Display| format!("the archive's key {}: {e}", path.display());
        match std::fs::read_to_string(path) {
            Ok(pem) => KeyPair::from_pem(&pem).map(Self).map_err(|e| failed(&e)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let pair =
                    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| failed(&e))?;
                create(path, &pair.serialize_pem()).map_err(|e| failed(&e))?;
                Ok(Self(pair))
            }
            Err(error) => Err(failed(&error)),
        }
    }

    /// Signs octets.
    pub fn sign(&self, octets: &[u8]) -> Result<Vec<u8>, String> {
        self.0.sign(octets).map_err(|e| e.to_string())
    }

    /// The public key, for whoever checks.
    pub fn public_pem(&self) -> String {
        self.0.public_key_pem()
    }
}

/// Beside it first, so that a crash leaves no half key.
fn create(path: &Path, pem: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&beside)?;
    file.write_all(pem.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}
