//! The lock file: who holds it owns the data directory. The system frees it when the holder dies,
//! however it dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// The lock, held until dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has the data directory.
    #[error("{} is in use by a running server{}", file.display(), pid.map_or_else(String::new, |pid| format!(" (process {pid})")))]
    Held {
        /// The lock file.
        file: PathBuf,
        /// Its holder, if it wrote its number.
        pid: Option<u32>,
    },
    /// The file can't be made.
    #[error("can't lock {}: {cause}", file.display())]
    Io {
        /// The lock file.
        file: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

impl Lock {
    /// Takes the lock or says who has it; makes the directory (mode 0700) if it is not there.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn take(file: &Path) -> Result<Self, LockError> {
        let failed = |cause| LockError::Io {
            file: file.to_owned(),
            cause,
        };
        if let Some(directory) = file.parent().filter(|d| !d.as_os_str().is_empty()) {
            make_private(directory).map_err(failed)?;
        }
        let mut opened = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(file)
            .map_err(failed)?;
        match opened.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = opened.read_to_string(&mut text);
                return Err(LockError::Held {
                    file: file.to_owned(),
                    pid: text.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        let written = opened
            .set_len(0)
            .and_then(|()| opened.rewind())
            .and_then(|()| writeln!(opened, "{}", std::process::id()));
        written.map_err(failed)?;
        Ok(Self { _file: opened })
    }
}

/// A directory that only this user may enter. One that exists is left as it is.
fn make_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_it_is_named() {
        let directory = std::env::temp_dir().join(format!("tristack-lock-{}", std::process::id()));
        let file = directory.join("tristack.lock");
        let first = Lock::take(&file).expect("free");
        match Lock::take(&file) {
            Err(LockError::Held { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(first);
        drop(Lock::take(&file).expect("free again"));
        std::fs::remove_dir_all(directory).expect("removed");
    }
}
