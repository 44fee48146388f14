//! `[tls]`

use super::reader::Reader;
use std::path::PathBuf;

/// `[tls]`
#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificate chain, PEM; with `key`. `None` = self-signed, made on the first run and
    /// kept in the data directory.
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
    /// PEM files of the authorities that certificates of other servers, and of clients that are
    /// asked for one, must come from. None = those of the system.
    pub authorities: Vec<PathBuf>,
}

impl Tls {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> Self {
        let tls = Self {
            certificate: r.option_path("certificate"),
            key: r.option_path("key"),
            authorities: r.paths("authorities"),
        };
        match (&tls.certificate, &tls.key) {
            (Some(_), None) => r.refuse("certificate", "needs `key` as well"),
            (None, Some(_)) => r.refuse("key", "needs `certificate` as well"),
            _ => {}
        }
        tls
    }
}
