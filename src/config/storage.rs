//! `[storage]`

use super::reader::Reader;
use super::value::quoted;
use std::fmt;
use std::path::Path;

/// `[storage]`
#[derive(Clone)]
pub struct Storage {
    /// `sqlite:PATH` (absolute or relative to the file) or `postgres://...`. May hold a password:
    /// never logged, see [`Storage::shown`].
    pub url: String,
}

impl Storage {
    pub(super) fn read(r: &mut Reader<'_, '_>, data_dir: &Path) -> Self {
        let default = data_dir.join("tristack.db");
        // Relative to the file: the default is so already, by way of data_dir.
        let relative = default.strip_prefix(r.base()).unwrap_or(&default);
        let written = r.get("url", format!("sqlite:{}", relative.display()));
        let url = match written.strip_prefix("sqlite:") {
            // Also `sqlite://path`, as other programs write it.
            Some(path) if path != ":memory:" => {
                let path = path.strip_prefix("//").unwrap_or(path);
                format!("sqlite:{}", r.base().join(path).display())
            }
            _ => written,
        };
        let storage = Self { url };
        r.show(quoted(&storage.shown()));
        let known = ["sqlite:", "postgres://", "postgresql://"];
        if !known.iter().any(|scheme| storage.url.starts_with(scheme)) {
            r.refuse("url", "must start with sqlite: or postgres://");
        }
        storage
    }

    /// The URL without its password.
    pub fn shown(&self) -> String {
        let Some((scheme, rest)) = self.url.split_once("://") else {
            return self.url.clone();
        };
        // Up to the last @ of the authority: a password may hold an @ that nobody escaped.
        let authority = rest.split(['/', '?']).next().unwrap_or(rest);
        match authority
            .rsplit_once('@')
            .and_then(|(who, _)| who.split_once(':'))
        {
            Some((user, password)) => {
                let tail = rest.get(user.len() + 1 + password.len()..).unwrap_or("");
                format!("{scheme}://{user}:***{tail}")
            }
            None => self.url.clone(),
        }
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage")
            .field("url", &self.shown())
            .finish()
    }
}
