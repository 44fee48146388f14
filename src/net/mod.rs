//! Sockets and tasks: the one listener type for all TCP, UDP sockets with large buffers, and the
//! process-wide stop token and task tracker.
//!
//! Every TCP front gets its connections from [`Listener::serve`] as a [`Conn`]; all policy uses
//! [`Conn::peer`] (`decisions.md` 29).

mod alarm;
mod authorities;
mod breaker;
mod budget;
mod conn;
mod der;
mod dial;
mod end_point;
pub mod http;
mod identity;
mod layers;
mod listener;
mod names;
mod proxy;
mod tasks;
mod tls;
mod trust;
mod udp;

pub use alarm::Alarm;
pub use authorities::{Authorities, AuthoritiesError, Vouchers};
pub use breaker::Breaker;
pub use budget::{Budget, Grant};
pub use conn::{Conn, Stream, Tls};
pub use dial::{dial, secure};
pub use identity::Identities;
pub use layers::Layers;
pub use listener::{Caps, Listener, source_of};
pub use names::{Found, NameServers, NoAnswer, Pointer, Service};
pub use tasks::Tasks;
pub use tls::{CertificateError, Certificates, PemFiles};
pub use trust::Verifier;
pub use udp::{Buffers, bind_udp};

use std::io;
use std::net::SocketAddr;

/// A socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{purpose}: {}", explain(.address, .cause))]
pub struct BindError {
    /// What the socket is for, as the operator knows it (`[rvp] listen`).
    pub purpose: String,
    /// The address asked for.
    pub address: SocketAddr,
    /// What the system said.
    #[source]
    pub cause: io::Error,
}

impl BindError {
    /// Whether the port is a privileged one that this user may not open.
    pub fn is_refused(&self) -> bool {
        self.cause.kind() == io::ErrorKind::PermissionDenied
    }
}

/// A listener could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its socket.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Its certificate.
    #[error("[tls]: {0}")]
    Certificate(#[from] CertificateError),
    /// The authorities for other certificates.
    #[error("[tls] {0}")]
    Authorities(#[from] AuthoritiesError),
    /// TLS itself.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// The system's answer in the operator's words, naming the port.
fn explain(address: &SocketAddr, cause: &io::Error) -> String {
    let port = address.port();
    match cause.kind() {
        io::ErrorKind::AddrInUse => format!(
            "port {port} on {} is taken by another program; stop it or choose another port \
             (0 picks a free one)",
            address.ip()
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("{} is not an address of this machine", address.ip())
        }
        io::ErrorKind::PermissionDenied => format!(
            "this user may not open port {port} (ports below 1024 need root, \
             `setcap cap_net_bind_service=+ep` on the program, or \
             `sysctl net.ipv4.ip_unprivileged_port_start={port}`)"
        ),
        _ => format!("can't open {address}: {cause}"),
    }
}
