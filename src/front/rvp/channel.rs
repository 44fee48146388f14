//! What a connection is, beyond its two ends: how it is encrypted and what it has proved.

use super::callback::sightings::Alive;
use crate::gate::Link;
use crate::net::{Conn, Identities, Tls};
use bytes::Bytes;
use std::sync::Arc;

/// One connection, for as long as it lasts.
#[derive(Debug, Default)]
pub(super) struct Channel {
    /// What it has proved (NTLM authenticates connections).
    pub(super) link: Link,
    /// Whether it speaks TLS with us.
    pub(super) encrypted: bool,
    /// What was negotiated then.
    pub(super) tls: Option<Arc<Tls>>,
    /// The hash of our certificate that a client may have bound itself to (RFC 5929 4).
    pub(super) certificate: Option<Bytes>,
    /// Gone with the connection.
    pub(super) alive: Alive,
}

impl Channel {
    /// The channel of an accepted connection.
    pub(super) fn of(conn: &Conn) -> Self {
        Self {
            link: Link::default(),
            encrypted: conn.tls.is_some(),
            tls: conn.tls.clone(),
            certificate: conn.channel_binding.clone(),
            alive: Alive::default(),
        }
    }

    /// Whom the certificate speaks for that the other side has shown; it has been verified.
    pub(super) fn shown(&self) -> Option<&Identities> {
        self.tls.as_ref()?.identities.as_ref()
    }
}
