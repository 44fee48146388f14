//! `[auth]`

use super::reader::Reader;
use super::value::words;
use std::path::PathBuf;

words! {
    /// What is kept of a password (`decisions.md` 5).
    Keep {
        /// The password, sealed with a key outside the database.
        Sealed = "sealed",
        /// Digest and NT verifiers of the canonical spellings only.
        Verifiers = "verifiers",
    }
}

/// `[auth]`
#[derive(Clone, Debug)]
pub struct Auth {
    /// What is kept of a password.
    pub keep: Keep,
    /// The sealing key; `None` = `data_dir/secret.key`.
    pub key_file: Option<PathBuf>,
    /// Refuse Digest without qop (`decisions.md` 6).
    pub strict_digest: bool,
}

impl Auth {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> Self {
        Self {
            keep: r.get("keep", Keep::Sealed),
            key_file: r.option_path("key_file"),
            strict_digest: r.get("strict_digest", false),
        }
    }
}
