//! What a client is told about its user and its server.

use crate::error::UrlError;
use crate::text::Form;
use crate::url::{Authority, NodeUrl};
use auth::login::Scheme;
use std::net::{IpAddr, SocketAddr};

/// Whose client, and how it speaks.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the server listens.
    pub server: SocketAddr,
    /// The host in logical URLs, `im.example.com`.
    pub host: String,
    /// Own address, `alice@example.com`.
    pub address: String,
    /// User name as typed: `alice`, `alice@example.com` or `EXAMPLE\\alice`.
    pub user: String,
    /// Password.
    pub password: String,
    /// Authentication schemes answered, the first that is offered.
    pub schemes: Vec<Scheme>,
    /// Addresses of servers of the same domain that redirects may lead to; by name they may lead
    /// to the host above and to hosts below the domain of the address.
    pub homes: Vec<IpAddr>,
    /// Address that callbacks go to; the listener binds it on a free port.
    pub callback: IpAddr,
    /// Lease of the sign-in and of watches, seconds.
    pub lease: u32,
    /// Lease of the presence, seconds.
    pub presence_lease: u32,
    /// How texts are put into XML.
    pub form: Form,
    /// Speak https to the server, believing so; without it, plain http.
    #[cfg(feature = "tls")]
    pub tls: Option<super::Tls>,
}

impl Settings {
    /// Usual values: user name = address, callbacks on loopback, leases 14400 and 1200 seconds.
    pub fn new(server: SocketAddr, host: &str, address: &str, password: &str) -> Self {
        Self {
            server,
            host: host.to_owned(),
            address: address.to_owned(),
            user: address.to_owned(),
            password: password.to_owned(),
            schemes: vec![Scheme::Digest, Scheme::Ntlm],
            homes: Vec::new(),
            callback: IpAddr::from([127, 0, 0, 1]),
            lease: 14_400,
            presence_lease: 1_200,
            form: Form::Characters,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Whether the server is spoken to by https.
    pub(super) fn is_secure(&self) -> bool {
        #[cfg(feature = "tls")]
        let secure = self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        let secure = false;
        secure
    }

    /// The node of `user@domain`: own domain at the configured host, others at `im.DOMAIN`.
    pub(super) fn node_of(&self, address: &str) -> Result<NodeUrl, UrlError> {
        let (local, domain) = address.split_once('@').unwrap_or((address, ""));
        let own = self.domain();
        let host = if domain.is_empty() || domain.eq_ignore_ascii_case(own) {
            self.host.clone()
        } else {
            format!("im.{domain}")
        };
        NodeUrl::of_alias(Authority::parse(&host)?, local)
    }

    /// The domain of the own address.
    pub(super) fn domain(&self) -> &str {
        self.address
            .split_once('@')
            .map_or("", |(_, domain)| domain)
    }
}
