//! XCAP (RFC 4825) as values: selectors, edits that leave all other octets alone, and the
//! application usages of SIMPLE. No sockets, no clock: a server hands in what it has stored and
//! stores what comes back.
//!
//! ```
//! use xcap::{NodeSelector, edit};
//! let source = b"<r xmlns='urn:x'><a id='1'/><!-- kept --></r>";
//! let selector = NodeSelector::parse("/r/a[@id=\"2\"]", None, "urn:x").unwrap();
//! let edited = edit::put(source, &selector, b"<a id='2'/>", &xml::Limits::default()).unwrap();
//! assert_eq!(edited.bytes, b"<r xmlns='urn:x'><a id='1'/><a id='2'/><!-- kept --></r>");
//! assert!(edited.created);
//! ```
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod conflict;
pub mod edit;
mod evaluate;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod policy;
pub mod rls;
mod scope;
mod selector;
#[cfg(test)]
mod tests;
mod uri;
pub mod usage;

pub use conflict::{Conflict, Exists};
pub use evaluate::{Missing, Value, read, select};
pub use selector::{BadSelector, NodeSelector, Step, Terminal, prefix_of};
pub use uri::{BadUri, DocumentSelector, Target, Tree};

/// `application/xcap-el+xml`
pub const ELEMENT_TYPE: &str = "application/xcap-el+xml";
/// `application/xcap-att+xml`
pub const ATTRIBUTE_TYPE: &str = "application/xcap-att+xml";
/// `application/xcap-ns+xml`
pub const NAMESPACES_TYPE: &str = "application/xcap-ns+xml";
/// `application/xcap-error+xml`
pub const ERROR_TYPE: &str = "application/xcap-error+xml";
