//! `[server]`

use super::reader::Reader;
use crate::core::address::normal_domain;
use std::path::{Path, PathBuf};

/// `[server]`
#[derive(Clone, Debug)]
pub struct Server {
    /// Directory for the database, keys, lock and control socket.
    pub data_dir: PathBuf,
    /// Domains served, normalised; the first is the default.
    pub domains: Vec<String>,
}

impl Server {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> Self {
        let data_dir = r.path("data_dir", Path::new("tristack-data"));
        let written = r.get("domains", vec!["example.com".to_owned()]);
        let mut domains = Vec::with_capacity(written.len());
        for name in written {
            match normal_domain(&name) {
                Ok(normal) if domains.contains(&normal) => {
                    r.refuse("domains", format!("{name:?} is named twice"));
                }
                Ok(normal) => domains.push(normal),
                Err(why) => r.refuse("domains", format!("{name:?}: {why}")),
            }
        }
        if domains.is_empty() {
            r.refuse("domains", "at least one domain is needed");
        }
        Self { data_dir, domains }
    }
}
