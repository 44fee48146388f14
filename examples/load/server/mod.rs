//! The servers under test: ours, Kamailio beside it, and a bare HTTP echo as a yardstick.

pub(crate) mod echo;
pub(crate) mod kamailio;
pub(crate) mod process;
pub(crate) mod tristack;

use process::Process;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// A server that speaks SIP, of either make.
pub(crate) struct Peer {
    /// SIP over UDP.
    pub(crate) udp: SocketAddr,
    /// SIP over TCP.
    pub(crate) tcp: SocketAddr,
    /// SIP over TLS, if it listens.
    pub(crate) tls: Option<SocketAddr>,
    pub(crate) process: Process,
    /// Its files; removed in the end.
    pub(crate) _folder: Folder,
}

/// What a server is started with.
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    /// Accounts `u0 .. uN`, password `p0 .. pN`.
    pub(crate) users: u64,
    /// Whether it listens for SIP over TLS, too.
    pub(crate) tls: bool,
    /// What `[archive] policy` is, unless it is the default.
    pub(crate) archive: Option<&'static str>,
    /// Another address to listen on, with the same ports.
    pub(crate) also: Option<IpAddr>,
}

/// A folder of its own below the system's temporary one, removed when dropped.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Result<Self, crate::Failure> {
        let path = std::env::temp_dir().join(format!("tristack-{name}-{}", std::process::id()));
        // Left over from a run that was killed under the same number.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
