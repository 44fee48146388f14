//! `[portal]`

use super::reader::Reader;
use std::net::SocketAddr;
use std::time::Duration;

/// `[portal]`: the self-service page for app passwords.
#[derive(Clone, Debug)]
pub struct Portal {
    /// Addresses to listen on; none = no portal.
    pub listen: Vec<SocketAddr>,
    /// Speak TLS, with the certificate of `[tls]`.
    pub tls: bool,
    /// How long a one-time code is valid.
    pub code_lifetime: Duration,
}

impl Portal {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> Self {
        let portal = Self {
            listen: r.get("listen", Vec::new()),
            tls: r.get("tls", false),
            code_lifetime: r.get("code_lifetime", Duration::from_secs(24 * 3600)),
        };
        if !portal.tls && portal.listen.iter().any(|at| !at.ip().is_loopback()) {
            r.refuse(
                "listen",
                "needs `tls = true`: passwords are shown on this page; without TLS only a loopback address (behind a proxy) is allowed",
            );
        }
        portal
    }
}
