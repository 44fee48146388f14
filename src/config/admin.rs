//! `[admin]`

use super::reader::Reader;
use std::net::SocketAddr;

/// `[admin]`
#[derive(Clone, Debug)]
pub struct Admin {
    /// Address of the administration port.
    pub listen: SocketAddr,
}

impl Admin {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> Self {
        Self {
            listen: r.get("listen", SocketAddr::from(([127, 0, 0, 1], 8090))),
        }
    }
}
