//! One-time codes: 128 random bits, kept as their SHA-256, valid once and for a time.
//!
//! A plain hash is enough: what is hashed is random, not chosen by a person.

use super::PortalError;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq as _;

/// Letters and digits that nobody takes for another: 32 of them, 5 bits each.
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
/// Open codes at once.
const OPEN: usize = 10_000;

/// Groups of five characters, `groups` of them: 25 bits a group.
pub(super) fn readable(groups: usize) -> Result<String, PortalError> {
    let mut octets = vec![0u8; groups * 5];
    getrandom::fill(&mut octets).map_err(|_| PortalError::Randomness)?;
    let mut text = String::with_capacity(groups * 6);
    for (at, octet) in octets.iter().enumerate() {
        if at > 0 && at % 5 == 0 {
            text.push('-');
        }
        let letter = ALPHABET.get(usize::from(octet & 31));
        text.push(char::from(*letter.unwrap_or(&b'a')));
    }
    Ok(text)
}

/// As people type it: case and separators are free.
fn normal(code: &str) -> String {
    code.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

fn hash(address: &str, code: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(address.as_bytes());
    hash.update([0]);
    hash.update(normal(code).as_bytes());
    hex(&hash.finalize())
}

/// Lower case hexadecimal.
pub(super) fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

struct Open {
    hash: String,
    /// Seconds since 1970.
    until: u64,
}

/// The open codes, one per address, kept in a file so that a restart forgets none.
pub(super) struct Codes {
    file: PathBuf,
    open: HashMap<String, Open>,
}

impl Codes {
    /// Those of that file; one that is not there holds none.
    pub(super) fn open(file: &Path) -> std::io::Result<Self> {
        let text = match std::fs::read_to_string(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            other => other?,
        };
        let open = text.lines().filter_map(|line| {
            let mut fields = line.split('\t');
            let (address, hash) = (fields.next()?, fields.next()?.to_owned());
            let until = fields.next()?.parse().ok()?;
            Some((address.to_owned(), Open { hash, until }))
        });
        Ok(Self {
            open: open.take(OPEN).collect(),
            file: file.to_owned(),
        })
    }

    /// A new code for that address; it replaces an earlier one.
    pub(super) fn make(
        &mut self,
        address: &str,
        now: u64,
        lifetime: u64,
    ) -> Result<String, PortalError> {
        self.open.retain(|_, open| open.until > now);
        if self.open.len() >= OPEN && !self.open.contains_key(address) {
            return Err(PortalError::TooManyCodes);
        }
        // 30 characters of 5 bits: 150 bits.
        let code = readable(6)?;
        let entry = Open {
            hash: hash(address, &code),
            until: now.saturating_add(lifetime),
        };
        let before = self.open.insert(address.to_owned(), entry);
        if let Err(error) = self.store() {
            match before {
                Some(before) => self.open.insert(address.to_owned(), before),
                None => self.open.remove(address),
            };
            return Err(error);
        }
        Ok(code)
    }

    /// Uses up the code if it is the open one of that address. What can't be written down as used
    /// is not accepted: it would be valid again after a restart.
    pub(super) fn redeem(
        &mut self,
        address: &str,
        code: &str,
        now: u64,
    ) -> Result<bool, PortalError> {
        let given = hash(address, code);
        let Some(open) = self.open.get(address) else {
            return Ok(false);
        };
        let same: bool = open.hash.as_bytes().ct_eq(given.as_bytes()).into();
        if !same || open.until <= now {
            return Ok(false);
        }
        let used = self.open.remove(address);
        if let Err(error) = self.store() {
            if let Some(used) = used {
                self.open.insert(address.to_owned(), used);
            }
            return Err(error);
        }
        Ok(true)
    }

    fn store(&self) -> Result<(), PortalError> {
        let mut text = String::new();
        for (address, open) in &self.open {
            let _ = writeln!(text, "{address}\t{}\t{}", open.hash, open.until);
        }
        let part = self.file.with_extension("part");
        let write = || -> std::io::Result<()> {
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create(true).truncate(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(&part)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&part, &self.file)
        };
        write().map_err(PortalError::Codes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("tristack-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder");
        dir.join("codes")
    }

    #[test]
    fn a_code_is_valid_once_for_its_address_and_in_its_time() {
        let mut codes = Codes::open(&file("once")).expect("codes");
        let code = codes.make("a@example.com", 100, 50).expect("code");
        assert!(!codes.redeem("b@example.com", &code, 100).expect("stored"));
        assert!(!codes.redeem("a@example.com", "", 100).expect("stored"));
        assert!(!codes.redeem("a@example.com", &code, 150).expect("stored"));
        let typed = code.to_uppercase().replace('-', " ");
        assert!(codes.redeem("a@example.com", &typed, 149).expect("stored"));
        assert!(!codes.redeem("a@example.com", &code, 149).expect("stored"));
    }

    #[test]
    fn codes_outlive_a_restart_but_are_not_written_down() {
        let at = file("restart");
        let mut codes = Codes::open(&at).expect("codes");
        let (first, second) = (
            codes.make("a@example.com", 0, 9).expect("code"),
            codes.make("a@example.com", 0, 9).expect("code"),
        );
        let text = std::fs::read_to_string(&at).expect("file");
        assert!(!text.contains(&second) && !text.contains(&normal(&second)));
        let mut codes = Codes::open(&at).expect("codes");
        assert!(!codes.redeem("a@example.com", &first, 1).expect("replaced"));
        assert!(codes.redeem("a@example.com", &second, 1).expect("kept"));
        let mut codes = Codes::open(&at).expect("codes");
        assert!(!codes.redeem("a@example.com", &second, 1).expect("used"));
    }

    #[test]
    fn what_cannot_be_kept_is_not_promised() {
        let nowhere = file("gone").join("below-a-file-that-is-not-there");
        let mut codes = Codes::open(&nowhere).expect("none");
        assert!(codes.make("a@example.com", 0, 9).is_err());
    }

    #[test]
    fn passwords_have_enough_bits_and_one_form() {
        let password = readable(4).expect("randomness");
        // 20 characters of 5 bits: 100 bits.
        assert_eq!(normal(&password).len() * 5, 100);
        assert_eq!(password.len(), 23);
        assert_ne!(password, readable(4).expect("randomness"));
        let mut letters = ALPHABET.to_vec();
        letters.sort_unstable();
        letters.dedup();
        assert_eq!(letters.len(), 32);
    }
}
