//! Why something did not work.

use crate::error::{ParseError, UrlError};

/// Why something did not work.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Connecting or listening.
    #[error("network: {0}")]
    Io(#[from] std::io::Error),
    /// HTTP itself.
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    /// TLS: the server does not prove to be the one that is meant, or speaks none.
    #[error("TLS: {0}")]
    Untrusted(std::io::Error),
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The server refused.
    #[error("answered {0}")]
    Status(u16),
    /// Credentials refused, or no challenge that we can answer.
    #[error("credentials refused")]
    Denied,
    /// An answer that is none.
    #[error("answer: {0}")]
    Parse(#[from] ParseError),
    /// An address or host that makes no URL.
    #[error("address: {0}")]
    Address(#[from] UrlError),
    /// Redirected too often, or to a place outside the domain.
    #[error("redirected to where we do not follow")]
    Redirected,
    /// A header of the request cannot be written.
    #[error("request cannot be written")]
    Request,
    /// A body over the limit.
    #[error("answer too large")]
    TooLarge,
}
