//! RVP, the Exchange 2000 Instant Messaging protocol: wire types, client and notification targets.
//!
//! RVP is HTTP/1.1 with extra methods, headers and XML bodies. This crate reads and writes what is
//! special to it; HTTP framing is the caller's. Without features it is pure: no sockets, clock or
//! randomness. Reading is tolerant, writing exact: real clients compare strings (`RVP 8`).
//!
//! ```
//! use rvp::request::{Action, Request};
//! let headers: [(&[u8], &[u8]); 4] = [
//!     (b"Host", b"im.example.com"),
//!     (b"Notification-Type", b"update/propchange"),
//!     (b"Subscription-Lifetime", b"14400"),
//!     (b"Call-Back", b"http://im.example.com/instmsg/aliases/alice"),
//! ];
//! let request = Request::parse("SUBSCRIBE", "/instmsg/aliases/Bob/", &headers).unwrap();
//! assert_eq!(request.node.alias(), Some("bob"));
//! assert!(matches!(request.action, Action::Subscribe(_)));
//! ```
//!
//! Invariants: parsing never panics and is bounded; what is printed parses to an equal value.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod callback;
mod error;
mod header;
mod status;
mod url;
mod version;

#[cfg(feature = "client")]
pub mod client;
pub mod document;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod mime;
pub mod request;
pub mod signature;
#[cfg(feature = "target")]
pub mod target;
pub mod text;

pub use callback::{CallBack, Endpoint};
pub use error::{ParseError, Stage, UrlError};
pub use header::{Header, Headers, Method};
pub use status::Status;
pub use url::{Authority, Host, NodeUrl, Principal, Scheme};
pub use version::Version;

/// The examples of the README, compiled.
#[cfg(all(doctest, feature = "client", feature = "target"))]
#[doc = include_str!("../README.md")]
pub struct ReadmeExamples;

/// Namespaces of the documents (`RVP 4`).
pub mod namespace {
    /// WebDAV.
    pub const DAV: &str = "DAV:";
    /// RVP itself.
    pub const RVP: &str = "http://schemas.microsoft.com/rvp/";
    /// Access lists.
    pub const ACL: &str = "http://schemas.microsoft.com/rvp/acl/";
}
