//! The seal itself, and the secrets of registered targets, which are kept as passwords are.

use super::{CredentialError, Credentials, random};
use crate::core::id::PersonId;
use crate::core::port::{Secret, Store, StoreError, TargetRecord, Write};
use chacha20poly1305::XNonce;
use chacha20poly1305::aead::{Aead, Payload};
use zeroize::Zeroizing;

/// First octet of a sealed blob.
const VERSION: u8 = 1;
/// Octets of an XChaCha20 nonce.
const NONCE: usize = 24;

/// Why secrets of targets could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    /// The key.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Credentials {
    /// Seals octets; `bound` is what they belong to and must be the same when they are opened.
    pub(super) fn encrypt(&self, bound: &[u8], plain: &[u8]) -> Result<Secret, CredentialError> {
        let nonce = random::<NONCE>()?;
        let payload = Payload {
            msg: plain,
            aad: bound,
        };
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| CredentialError::Unsealed)?;
        let mut blob = Vec::with_capacity(1 + NONCE + sealed.len());
        blob.push(VERSION);
        blob.extend_from_slice(&nonce);
        blob.extend_from_slice(&sealed);
        Ok(Secret(blob))
    }

    pub(super) fn decrypt(
        &self,
        bound: &[u8],
        secret: &Secret,
    ) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
        let fault = CredentialError::Unsealed;
        let Some((&VERSION, rest)) = secret.0.split_first() else {
            return Err(fault);
        };
        let Some((nonce, sealed)) = rest.split_first_chunk::<NONCE>() else {
            return Err(fault);
        };
        let payload = Payload {
            msg: sealed,
            aad: bound,
        };
        let plain = self.cipher.decrypt(&XNonce::from(*nonce), payload);
        plain.map(Zeroizing::new).map_err(|_| fault)
    }

    /// Seals the secret of a target; an empty one stays empty.
    pub fn seal_target(
        &self,
        person: PersonId,
        id: u32,
        secret: &[u8],
    ) -> Result<Secret, CredentialError> {
        if secret.is_empty() {
            return Ok(Secret::default());
        }
        self.encrypt(&target(person, id), secret)
    }

    /// The secret of a target; empty = it has none.
    pub fn target_secret(
        &self,
        record: &TargetRecord,
    ) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
        if record.secret.0.is_empty() || !record.sealed {
            return Ok(Zeroizing::new(record.secret.0.clone()));
        }
        self.decrypt(&target(record.person, record.id), &record.secret)
    }

    /// Seals what an earlier version stored unsealed; how many that were.
    pub async fn seal_stored_targets(&self, store: &impl Store) -> Result<usize, ResealError> {
        let mut writes = Vec::new();
        for mut record in store.targets().await? {
            if record.sealed {
                continue;
            }
            record.secret = self.seal_target(record.person, record.id, &record.secret.0)?;
            record.sealed = true;
            writes.push(Write::PutTarget(record));
        }
        let count = writes.len();
        if count > 0 {
            store.commit(writes).await?;
            tracing::info!(count, "secrets of targets sealed");
        }
        Ok(count)
    }
}

/// What the secret of a target belongs to: nobody's password can stand in its place.
fn target(person: PersonId, id: u32) -> [u8; 26] {
    let mut bound = *b"target\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    bound[6..22].copy_from_slice(&person.0.to_be_bytes());
    bound[22..].copy_from_slice(&id.to_be_bytes());
    bound
}

#[cfg(test)]
mod tests {
    use super::super::Keep;
    use super::*;
    use crate::core::time::Time;
    use crate::storage::Memory;

    fn record(secret: Secret, sealed: bool) -> TargetRecord {
        TargetRecord {
            person: PersonId(7),
            id: 3,
            url: "http://192.0.2.1/".to_owned(),
            secret,
            sealed,
            added: Time(0),
        }
    }

    #[tokio::test]
    async fn secrets_of_targets_are_sealed_and_earlier_ones_with_them() {
        let credentials = Credentials::with_key(&[1; 32], Keep::Verifiers);
        let store = Memory::new();
        let plain = record(Secret(b"both know it".to_vec()), false);
        let write = vec![Write::PutTarget(plain.clone())];
        store.commit(write).await.expect("stored");
        let opened = credentials.target_secret(&plain).expect("opened");
        assert_eq!(&opened[..], b"both know it", "before it is sealed");
        let count = credentials.seal_stored_targets(&store).await;
        assert_eq!(count.expect("sealed"), 1);
        let kept = store.targets().await.expect("read").remove(0);
        let text = kept.secret.0.windows(4).any(|part| part == b"both");
        assert!(kept.sealed && !text);
        let opened = credentials.target_secret(&kept).expect("opened");
        assert_eq!(&opened[..], b"both know it");
        let count = credentials.seal_stored_targets(&store).await;
        assert_eq!(count.expect("nothing to do"), 0);
        // Bound to its target and to the key.
        let moved = TargetRecord {
            id: 4,
            ..kept.clone()
        };
        assert!(credentials.target_secret(&moved).is_err());
        let other = Credentials::with_key(&[2; 32], Keep::Sealed);
        assert!(other.target_secret(&kept).is_err());
        let none = record(Secret::default(), true);
        assert!(credentials.target_secret(&none).expect("none").is_empty());
    }
}
