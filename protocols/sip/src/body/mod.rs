//! The bodies of SIMPLE: presence, watcher and dialog documents, typing, plain text, wrapped
//! messages and notices.
//!
//! Reading is tolerant in what may stand where, strict in XML (the `xml` crate). Writing is what the
//! narrowest readers understand. States here are those of the documents; the front maps them.

pub mod block;
pub mod compose;
pub mod composing;
pub mod cpim;
pub mod dialog_info;
pub mod imdn;
pub mod multipart;
pub mod pidf;
pub mod text;
pub mod winfo;
pub mod xpidf;

use thiserror::Error;

/// A body that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BodyError {
    /// No XML that the gate lets through.
    #[error("XML refused: {0}")]
    Xml(#[from] xml::Error),
    /// Another document.
    #[error("not the document its Content-Type says")]
    Document,
    /// A value that has no meaning.
    #[error("unknown value")]
    Value,
    /// A charset we do not read.
    #[error("unknown charset")]
    Charset,
    /// Octets that are not in their charset.
    #[error("octets outside their charset")]
    Octets,
}
