//! Typed views, read on demand from the octets of a header and borrowed from them.
//!
//! Each view accepts what RFC 3261 25.1 and the RFCs after it allow, and the deviations marked
//! `COMPAT`. A view that fails says which header and why; the message itself stays untouched.

mod access;
mod address;
mod contact;
mod date;
mod event;
mod host;
mod media;
mod number;
mod param;
mod scan;
mod uri;
mod via;
mod warning;

pub use address::NameAddr;
pub use contact::{Contact, Contacts};
pub use date::Date;
pub use event::{Event, SubState, SubscriptionState};
pub(crate) use host::address as literal;
pub use host::{Host, HostPort};
pub use media::MediaType;
pub use number::CSeq;
pub use param::{Param, Params, unquote};
pub use uri::{Scheme, Uri, UriError, decode};
pub use via::Via;
pub use warning::Warning;

use crate::raw::HeaderId;
use thiserror::Error;

/// A header that cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{}: {kind}", .header.name())]
pub struct HeaderFault {
    /// Which header.
    pub header: HeaderId,
    /// Why.
    pub kind: FaultKind,
}

/// Why a header cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum FaultKind {
    /// A mandatory header is not there.
    #[error("missing")]
    Missing,
    /// A header that may stand once stands more often.
    #[error("repeated")]
    Repeated,
    /// It breaks its grammar.
    #[error("malformed")]
    Syntax,
    /// A number out of its range.
    #[error("number out of range")]
    Range,
    /// A URI in it is malformed.
    #[error("malformed URI")]
    Uri,
    /// It contradicts another part of the message.
    #[error("contradicts the start line")]
    Mismatch,
}

impl FaultKind {
    pub(crate) fn at(self, header: HeaderId) -> HeaderFault {
        HeaderFault { header, kind: self }
    }
}

impl From<UriError> for FaultKind {
    fn from(_: UriError) -> Self {
        Self::Uri
    }
}

#[cfg(test)]
mod tests;
