//! SIP/SIMPLE wire layer and sans-IO engines.
//!
//! The wire half reads and forwards octets as they came: [`raw`] cuts messages out of datagrams and
//! streams, [`header`] gives typed views on demand, [`edit`] changes single values and leaves every
//! untouched octet alone, [`build`] writes messages that are born here. Nothing here has a socket,
//! a clock or randomness: tags, branches and times are passed in.
//!
//! ```
//! use bytes::Bytes;
//! use sip::raw::{Datagram, Limits, frame_datagram};
//!
//! let wire = Bytes::from_static(b"OPTIONS sip:example.com SIP/2.0\r\nCall-ID: 1\r\nl: 0\r\n\r\n");
//! let Ok(Datagram::Message(message)) = frame_datagram(wire.clone(), &Limits::default()) else {
//!     unreachable!()
//! };
//! assert_eq!(message.as_bytes(), &wire[..]);
//! ```
// The RFCs' own names (CSeq, mixed-case headers) would be marked all over.
#![allow(clippy::doc_markdown)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub mod body;
pub mod build;
pub mod dialog;
pub mod edit;
pub mod flow;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod header;
pub mod locate;
#[cfg(feature = "rsip")]
pub mod originate;
pub mod proxy;
pub mod raw;
mod scan;
pub mod status;
pub mod stun;
pub mod subscription;
pub mod transaction;
pub mod ua;
pub mod verdict;
mod write;

pub use raw::{HeaderId, Limits, Method, RawMessage};
