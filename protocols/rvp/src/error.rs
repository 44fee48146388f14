//! Why a request or document is refused, and the status that it earns.

use crate::header::Header;
use crate::status::Status;

/// The closed set of refusals.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseError {
    /// COPY and MOVE.
    #[error("method not allowed on a node")]
    MethodNotAllowed,
    /// GET and friends, and unknown methods.
    #[error("method not implemented")]
    NotImplemented,
    /// The request target is no node.
    #[error("bad request target: {0}")]
    Target(UrlError),
    /// A header that the method needs is absent.
    #[error("{0} missing")]
    Missing(Header),
    /// A header without value.
    #[error("{0} empty")]
    Empty(Header),
    /// A header over its size limit.
    #[error("{0} too long")]
    TooLong(Header),
    /// A header that must stand once stands twice.
    #[error("{0} repeated")]
    Repeated(Header),
    /// A header value that does not follow its grammar.
    #[error("{0} ill-formed")]
    Header(Header),
    /// `Depth` absent or not `0`.
    #[error("Depth must be 0")]
    Depth,
    /// More headers than allowed.
    #[error("too many headers")]
    TooManyHeaders,
    /// The body is no acceptable XML, or over a limit.
    #[error("XML: {0}")]
    Xml(#[from] xml::Error),
    /// A body where the method needs one is absent.
    #[error("body missing")]
    NoBody,
    /// The document's root is another than the method's.
    #[error("unexpected document")]
    Root,
    /// An element that must be there is not, or stands too often.
    #[error("{0} missing or repeated")]
    Element(&'static str),
    /// An element's value does not follow its grammar.
    #[error("{0} ill-formed")]
    Value(&'static str),
    /// An access list entry that does not say by which schemes (`RVP 5 ACL`).
    #[error("credentials not specified")]
    Credentials,
    /// The MIME block in `mime-data` is none.
    #[error("mime-data: {0}")]
    Mime(&'static str),
}

/// Where a request's check stands relative to the challenge (`decisions.md` 7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Answered without asking for credentials.
    BeforeChallenge,
    /// Told to authenticated peers only.
    AfterChallenge,
}

/// What is wrong with a URL.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UrlError {
    /// Empty, or over 2,048 bytes.
    #[error("length")]
    Length,
    /// Not `http` or `https`.
    #[error("scheme")]
    Scheme,
    /// User part, bad host, bad port.
    #[error("host or port")]
    Authority,
    /// Empty or dot segments, control characters, bad percent-encoding, an encoded slash.
    #[error("path")]
    Path,
    /// A query or fragment where none may be.
    #[error("query or fragment")]
    Query,
}

impl ParseError {
    /// The status it earns.
    pub fn status(&self) -> Status {
        match self {
            Self::MethodNotAllowed => Status::MethodNotAllowed,
            Self::NotImplemented => Status::NotImplemented,
            Self::Depth => Status::PreconditionFailed,
            Self::Xml(error) if error.kind == xml::ErrorKind::TooLarge => Status::TooLarge,
            Self::Target(_)
            | Self::Missing(_)
            | Self::Empty(_)
            | Self::TooLong(_)
            | Self::Repeated(_)
            | Self::Header(_)
            | Self::TooManyHeaders
            | Self::Xml(_)
            | Self::NoBody
            | Self::Root
            | Self::Element(_)
            | Self::Value(_)
            | Self::Credentials
            | Self::Mime(_) => Status::BadRequest,
        }
    }

    /// Whether it is told before or after the challenge (`decisions.md` 7: 412 and 413 after).
    pub fn stage(&self) -> Stage {
        match self.status() {
            Status::PreconditionFailed | Status::TooLarge => Stage::AfterChallenge,
            _ => Stage::BeforeChallenge,
        }
    }
}
