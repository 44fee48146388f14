//! Passwords at rest (`decisions.md` 5): sealed with a key that is not in the database.
//!
//! Old protocols need password equivalents on the server. The default keeps the password itself,
//! AEAD-sealed, and derives HA1 and NT hash on use, because clients hash the user name in whatever
//! spelling was typed. `verifiers` keeps only the derived values of the usual spellings; a client
//! that sends another spelling can't sign in then.

mod sealed;

use crate::core::address::Address;
use crate::core::id::PersonId;
use crate::core::port::{Account, Secret};
use auth::digest::{Algorithm, Hex, ha1};
use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::KeyInit;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Name of the key file inside the data directory.
pub const KEY_FILE: &str = "secret.key";

/// First octet of what is sealed.
const PASSWORD: u8 = b'p';
const VERIFIERS: u8 = b'v';
/// Accounts in the cache of derived values; it is emptied when full.
const CACHED: usize = 65_536;
/// Spellings cached per account.
const SPELLINGS: usize = 8;

/// What is kept of a password (`auth.keep`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// The password, sealed.
    #[default]
    Sealed,
    /// Derived values of the usual spellings only, sealed too.
    Verifiers,
}

/// Why credentials can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The key file can't be read or made.
    #[error("key file {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The key file holds something else than 64 hexadecimal digits.
    #[error("key file {}: expected 64 hexadecimal digits", .0.display())]
    BadKey(PathBuf),
    /// The system gives no randomness.
    #[error("no randomness from the system")]
    Randomness,
    /// A password that no client could send.
    #[error("a password has 1 to 256 characters, no control characters")]
    BadPassword,
    /// The blob is not of this key, not of this account, or damaged.
    #[error("the stored secret can't be opened with this key")]
    Unsealed,
}

/// Opens and seals account secrets.
pub struct Credentials {
    cipher: XChaCha20Poly1305,
    nonce_secret: [u8; 32],
    keep: Keep,
    cache: Mutex<HashMap<u128, Vec<Cached>>>,
}

struct Cached {
    algorithm: Algorithm,
    user: Box<str>,
    realm: Box<str>,
    ha1: Hex,
}

/// What is known of one account's password once its blob is open.
enum Opened {
    Password(Zeroizing<String>),
    Verifiers(Zeroizing<String>),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({:?})", self.keep)
    }
}

impl Credentials {
    /// With the key of `key_file`, else of `data_dir/secret.key`, which is made (0600) if it is
    /// not there. A `key_file` must exist: it is the operator's.
    pub fn open(
        data_dir: &Path,
        key_file: Option<&Path>,
        keep: Keep,
    ) -> Result<Self, CredentialError> {
        let own = data_dir.join(KEY_FILE);
        let path = key_file.unwrap_or(&own);
        let fault = |source| CredentialError::File {
            path: path.to_owned(),
            source,
        };
        if key_file.is_none() && !path.exists() {
            let key = random::<32>()?;
            create(path, &key).map_err(fault)?;
        }
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(fault)?);
        warn_if_open(path);
        let key = parse_key(text.trim()).ok_or_else(|| CredentialError::BadKey(path.to_owned()))?;
        Ok(Self::with_key(&key, keep))
    }

    /// With this key; for tests and `demo`.
    pub fn with_key(key: &[u8; 32], keep: Keep) -> Self {
        let derive = |label: &[u8]| -> [u8; 32] {
            let mut hash = Sha256::new();
            hash.update(label);
            hash.update(key);
            hash.finalize().into()
        };
        Self {
            cipher: XChaCha20Poly1305::new(&derive(b"tristack seal 1\0").into()),
            nonce_secret: derive(b"tristack nonce 1\0"),
            keep,
            cache: Mutex::default(),
        }
    }

    /// The secret of Digest nonces: as lasting as the key, so that nonces outlive a restart.
    pub fn nonce_secret(&self) -> [u8; 32] {
        self.nonce_secret
    }

    /// Seals a new password of that person. `realms` are those it may be asked for under, with
    /// the names that stand for the domain before a backslash (`verifiers` only).
    pub fn seal(
        &self,
        person: PersonId,
        address: &Address,
        realms: &[&str],
        netbios: &[&str],
        password: &str,
    ) -> Result<Secret, CredentialError> {
        let count = password.chars().count();
        if !(1..=256).contains(&count) || password.chars().any(char::is_control) {
            return Err(CredentialError::BadPassword);
        }
        let mut plain = Zeroizing::new(Vec::with_capacity(512));
        match self.keep {
            Keep::Sealed => {
                plain.push(PASSWORD);
                plain.extend_from_slice(password.as_bytes());
            }
            Keep::Verifiers => {
                plain.push(VERIFIERS);
                let text = verifiers(address, realms, netbios, password);
                plain.extend_from_slice(text.as_bytes());
            }
        }
        self.encrypt(&person.0.to_be_bytes(), &plain)
    }

    /// Whether the secret proves only the names it was made for.
    pub fn names_only(&self, account: &Account) -> bool {
        matches!(self.unseal(account), Ok(Opened::Verifiers(_)))
    }

    fn unseal(&self, account: &Account) -> Result<Opened, CredentialError> {
        let plain = self.decrypt(&account.person.0.to_be_bytes(), &account.secret)?;
        let (kind, text) = plain.split_first().ok_or(CredentialError::Unsealed)?;
        let text = std::str::from_utf8(text).map_err(|_| CredentialError::Unsealed)?;
        let text = Zeroizing::new(text.to_owned());
        match *kind {
            PASSWORD => Ok(Opened::Password(text)),
            VERIFIERS => Ok(Opened::Verifiers(text)),
            _ => Err(CredentialError::Unsealed),
        }
    }

    /// HA1 of that account for the user name exactly as the client sent it; `None` if the blob
    /// can't be opened or holds no such spelling.
    pub fn ha1(
        &self,
        account: &Account,
        algorithm: Algorithm,
        user: &str,
        realm: &str,
    ) -> Option<Hex> {
        let algorithm = algorithm.base();
        let id = blob_id(&account.secret)?;
        let fits = |c: &&Cached| c.algorithm == algorithm && &*c.user == user && &*c.realm == realm;
        {
            let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(found) = cache.get(&id).and_then(|list| list.iter().find(fits)) {
                return Some(found.ha1);
            }
        }
        let derived = match self.unseal(account).ok()? {
            Opened::Password(password) => ha1(algorithm, user, realm, &password),
            Opened::Verifiers(text) => find_verifier(&text, algorithm, user, realm)?,
        };
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHED && !cache.contains_key(&id) {
            cache.clear();
        }
        let list = cache.entry(id).or_default();
        if list.len() >= SPELLINGS {
            list.clear();
        }
        list.push(Cached {
            algorithm,
            user: user.into(),
            realm: realm.into(),
            ha1: derived,
        });
        Some(derived)
    }

    /// The NT hash, for NTLM.
    pub fn nt_hash(&self, account: &Account) -> Option<[u8; 16]> {
        match self.unseal(account).ok()? {
            Opened::Password(password) => Some(auth::ntlm::nt_hash(&password)),
            Opened::Verifiers(text) => {
                let hex = text.lines().find_map(|line| line.strip_prefix("nt "))?;
                let value = u128::from_str_radix(hex, 16).ok()?;
                Some(value.to_be_bytes())
            }
        }
    }

    /// Whether that is the account's password.
    pub fn is_password(&self, account: &Account, password: &str) -> bool {
        match self.unseal(account) {
            Ok(Opened::Password(own)) => own.as_bytes().ct_eq(password.as_bytes()).into(),
            Ok(Opened::Verifiers(_)) => self
                .nt_hash(account)
                .is_some_and(|own| own.ct_eq(&auth::ntlm::nt_hash(password)).into()),
            Err(_) => false,
        }
    }
}

fn verifiers(address: &Address, realms: &[&str], netbios: &[&str], password: &str) -> String {
    use std::fmt::Write as _;
    let nt = u128::from_be_bytes(auth::ntlm::nt_hash(password));
    let mut text = format!("nt {nt:032x}\n");
    let local = address.local();
    let mut spellings = vec![local.to_owned(), address.to_string()];
    for name in netbios {
        spellings.push(format!("{name}\\{local}"));
        spellings.push(format!("{name}/{local}"));
    }
    for realm in realms {
        for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
            for user in &spellings {
                let hex = ha1(algorithm, user, realm, password);
                let _ = writeln!(
                    text,
                    "{} {} {realm}\t{user}",
                    algorithm.token(),
                    hex.as_str()
                );
            }
        }
    }
    text
}

fn find_verifier(text: &str, algorithm: Algorithm, user: &str, realm: &str) -> Option<Hex> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(algorithm.token())?.strip_prefix(' ')?;
        let (hex, rest) = rest.split_once(' ')?;
        let (of_realm, of_user) = rest.split_once('\t')?;
        let same = of_realm == realm && of_user == user;
        same.then(|| Hex::parse(hex)).flatten()
    })
}

/// The seal's nonce is random: its first half names the blob.
fn blob_id(secret: &Secret) -> Option<u128> {
    let octets = secret.0.get(1..17)?.try_into().ok()?;
    Some(u128::from_be_bytes(octets))
}

fn random<const N: usize>() -> Result<[u8; N], CredentialError> {
    let mut octets = [0; N];
    getrandom::fill(&mut octets).map_err(|_| CredentialError::Randomness)?;
    Ok(octets)
}

fn parse_key(text: &str) -> Option<[u8; 32]> {
    let good = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if !good {
        return None;
    }
    let mut key = [0; 32];
    for (at, octet) in key.iter_mut().enumerate() {
        *octet = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(key)
}

/// Writes the key to a file of its own and links it into place: whoever comes second finds a
/// whole key, never half of one, and never replaces it.
fn create(path: &Path, key: &[u8; 32]) -> std::io::Result<()> {
    use std::fmt::Write as _;
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut text = Zeroizing::new(String::with_capacity(65));
    for octet in key {
        let _ = write!(text, "{octet:02x}");
    }
    text.push('\n');
    let part = path.with_extension(format!("part{}", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&part, path);
    std::fs::remove_file(&part)?;
    match linked {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

#[cfg(unix)]
fn warn_if_open(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let Ok(meta) = std::fs::metadata(path) else {
        return;
    };
    if meta.permissions().mode() & 0o077 != 0 {
        tracing::warn!(file = %path.display(), "key file is readable by others, 0600 expected");
    }
}

#[cfg(not(unix))]
fn warn_if_open(_path: &Path) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(credentials: &Credentials, person: u128) -> Account {
        let address = Address::parse("alice@example.com").unwrap();
        let secret = credentials
            .seal(
                PersonId(person),
                &address,
                &["example.com"],
                &["EXAMPLE"],
                "Tr\u{e9}sor 1",
            )
            .unwrap();
        Account {
            person: PersonId(person),
            address,
            aliases: Vec::new(),
            display_name: String::new(),
            email: String::new(),
            secret,
            suspended: false,
            node: None,
        }
    }

    #[test]
    fn any_spelling_works_while_the_password_is_kept() {
        let credentials = Credentials::with_key(&[1; 32], Keep::Sealed);
        let account = account(&credentials, 1);
        for user in ["alice", "Alice", "EXAMPLE\\aLice", "alice@example.com"] {
            for algorithm in [Algorithm::Md5, Algorithm::Sha256Sess] {
                let expected = ha1(algorithm, user, "example.com", "Tr\u{e9}sor 1");
                for _ in 0..2 {
                    let found = credentials.ha1(&account, algorithm, user, "example.com");
                    assert_eq!(found, Some(expected), "{user}");
                }
            }
        }
        assert!(credentials.is_password(&account, "Tr\u{e9}sor 1"));
        assert!(!credentials.is_password(&account, "Tresor 1"));
        let cache = credentials.cache.lock().unwrap();
        assert!(cache.values().all(|list| list.len() <= SPELLINGS));
    }

    #[test]
    fn verifiers_know_the_usual_spellings_only() {
        let credentials = Credentials::with_key(&[1; 32], Keep::Verifiers);
        let account = account(&credentials, 1);
        let found = |user| credentials.ha1(&account, Algorithm::Md5, user, "example.com");
        for user in [
            "alice",
            "alice@example.com",
            "EXAMPLE\\alice",
            "EXAMPLE/alice",
        ] {
            let expected = ha1(Algorithm::Md5, user, "example.com", "Tr\u{e9}sor 1");
            assert_eq!(found(user), Some(expected), "{user}");
        }
        assert_eq!(found("Alice"), None);
        assert!(credentials.is_password(&account, "Tr\u{e9}sor 1"));
        let sealed = Credentials::with_key(&[1; 32], Keep::Sealed);
        assert_eq!(sealed.nt_hash(&account), credentials.nt_hash(&account));
    }

    #[test]
    fn a_blob_belongs_to_one_key_and_one_person() {
        let credentials = Credentials::with_key(&[1; 32], Keep::Sealed);
        let mut own = account(&credentials, 1);
        let other = Credentials::with_key(&[2; 32], Keep::Sealed);
        let ask = |c: &Credentials, a: &Account| c.ha1(a, Algorithm::Md5, "alice", "example.com");
        assert!(ask(&credentials, &own).is_some());
        assert_eq!(ask(&other, &own), None);
        // Not asked before under this id, so that nothing comes from the cache.
        let mut moved = account(&credentials, 1);
        moved.person = PersonId(2);
        assert_eq!(ask(&credentials, &moved), None);
        for cut in 0..own.secret.0.len() {
            own.secret.0.truncate(own.secret.0.len() - 1);
            let fresh = Credentials::with_key(&[1; 32], Keep::Sealed);
            assert_eq!(ask(&fresh, &own), None, "{cut}");
        }
        assert!(!other.is_password(&moved, "Tr\u{e9}sor 1"));
    }

    #[test]
    fn the_key_file_is_made_once_private_and_kept() {
        let dir = std::env::temp_dir().join(format!("tristack-key-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let first = Credentials::open(&dir, None, Keep::Sealed).unwrap();
        let account = account(&first, 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let meta = std::fs::metadata(dir.join(KEY_FILE)).unwrap();
            assert_eq!(meta.permissions().mode() & 0o777, 0o600);
        }
        let second = Credentials::open(&dir, None, Keep::Sealed).unwrap();
        assert!(second.is_password(&account, "Tr\u{e9}sor 1"));
        assert_eq!(first.nonce_secret(), second.nonce_secret());
        let missing = Credentials::open(&dir, Some(&dir.join("other.key")), Keep::Sealed);
        assert!(matches!(missing, Err(CredentialError::File { .. })));
        std::fs::write(dir.join(KEY_FILE), "short").unwrap();
        let broken = Credentials::open(&dir, None, Keep::Sealed);
        assert!(matches!(broken, Err(CredentialError::BadKey(_))));
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn passwords_that_no_client_can_send_are_refused() {
        let credentials = Credentials::with_key(&[1; 32], Keep::Sealed);
        let address = Address::parse("a@example.com").unwrap();
        for password in ["", "a\nb", &"x".repeat(257)] {
            let sealed = credentials.seal(PersonId(1), &address, &[], &[], password);
            assert!(matches!(sealed, Err(CredentialError::BadPassword)));
        }
    }
}
