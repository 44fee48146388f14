//! `[auth]`

use super::reader::Reader;
use super::value::words;
use std::path::PathBuf;
use std::time::Duration;

words! {
    /// What is kept of a password (`decisions.md` 5).
    Keep {
        /// The password, sealed with a key outside the database.
        Sealed = "sealed",
        /// Digest and NT verifiers of the canonical spellings only.
        Verifiers = "verifiers",
    }
}

words! {
    /// Who checks NTLM proofs.
    Ntlm {
        /// The passwords of the accounts.
        Local = "local",
        /// Samba's winbind: directory passwords, none kept here.
        Winbind = "winbind",
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
    /// Who checks NTLM proofs.
    pub ntlm: Ntlm,
    /// Program and arguments of winbind's helper; it must speak `ntlm-server-1`.
    pub winbind_helper: Vec<String>,
    /// Helpers at a time.
    pub winbind_helpers: usize,
    /// Longest wait for a helper, and for its answer.
    pub winbind_timeout: Duration,
}

impl Auth {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> Self {
        Self {
            keep: r.get("keep", Keep::Sealed),
            key_file: r.option_path("key_file"),
            strict_digest: r.get("strict_digest", false),
            ntlm: r.get("ntlm", Ntlm::Local),
            winbind_helper: winbind_helper(r),
            winbind_helpers: r.get("winbind_helpers", 4),
            winbind_timeout: r.get("winbind_timeout", Duration::from_secs(10)),
        }
    }
}

fn winbind_helper(r: &mut Reader<'_, '_>) -> Vec<String> {
    let usual = ["ntlm_auth", "--helper-protocol=ntlm-server-1"];
    let command = r.get("winbind_helper", usual.map(str::to_owned).to_vec());
    if command.is_empty() {
        r.refuse("winbind_helper", "a program is needed");
    }
    command
}
