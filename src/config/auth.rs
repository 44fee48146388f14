//! `[auth]`

use super::reader::Reader;
use super::value::{Names, words};
use crate::core::address::normal_domain;
use std::collections::BTreeMap;
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
    /// Kerberos inside Negotiate; `None` = not spoken.
    pub kerberos: Option<Kerberos>,
}

/// `[auth] kerberos_...`
#[derive(Clone, Debug)]
pub struct Kerberos {
    /// The keys of our services.
    pub keytab: PathBuf,
    /// Services whose tickets count: `HTTP` for any host, or `HTTP/im.example.com`.
    pub services: Vec<String>,
    /// Realm to domain: whose people are whose.
    pub realms: BTreeMap<String, String>,
    /// Calls of the library at a time.
    pub workers: usize,
    /// Longest wait for one, and for its answer.
    pub timeout: Duration,
}

impl Auth {
    pub(super) fn read(r: &mut Reader<'_, '_>, domains: &[String]) -> Self {
        Self {
            keep: r.get("keep", Keep::Sealed),
            key_file: r.option_path("key_file"),
            strict_digest: r.get("strict_digest", false),
            ntlm: r.get("ntlm", Ntlm::Local),
            winbind_helper: winbind_helper(r),
            winbind_helpers: r.get("winbind_helpers", 4),
            winbind_timeout: r.get("winbind_timeout", Duration::from_secs(10)),
            kerberos: Kerberos::read(r, domains),
        }
    }
}

impl Kerberos {
    fn read(r: &mut Reader<'_, '_>, domains: &[String]) -> Option<Self> {
        let keytab = r.option_path("kerberos_keytab");
        let services = r.get("kerberos_services", vec!["HTTP".to_owned()]);
        let usual = domains.iter().map(|d| (d.to_uppercase(), d.clone()));
        let table = r.get("kerberos_realms", Names(usual.collect()));
        let mut realms = BTreeMap::new();
        for (realm, domain) in table.0 {
            match normal_domain(&domain) {
                Ok(domain) if domains.contains(&domain) => {
                    realms.insert(realm, domain);
                }
                _ => r.refuse(
                    "kerberos_realms",
                    format!("{domain:?} is not one of [server] domains"),
                ),
            }
        }
        let read = Self {
            keytab: keytab.clone().unwrap_or_default(),
            services,
            realms,
            workers: r.get("kerberos_workers", 2),
            timeout: r.get("kerberos_timeout", Duration::from_secs(5)),
        };
        if read.services.is_empty() {
            r.refuse("kerberos_services", "at least one service is needed");
        }
        let keytab = keytab?;
        if !cfg!(feature = "gssapi") {
            r.refuse(
                "kerberos_keytab",
                "this binary was built without Kerberos; build it with `cargo build --features gssapi`, or remove the key",
            );
        } else if let Err(error) = std::fs::File::open(&keytab) {
            r.refuse("kerberos_keytab", format!("{}: {error}", keytab.display()));
        }
        Some(read)
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
