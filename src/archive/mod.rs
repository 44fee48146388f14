//! The archive: everything that passes, once, in a chain that shows any change.
//!
//! Pure: the chain ([`chain`]), what a row says ([`record`]), the words it is found by ([`words`]),
//! our query language ([`query`]), the check of a whole chain ([`verify`]) and the forms it is handed
//! out in ([`export`]). Over a storage: the [`Archivist`], which indexes, searches, seals, erases.
//! Rows are captured by the hub (`hub/archive.rs`) and committed by its writer. `README.md` beside
//! this file is the design.

pub mod chain;
pub mod export;
mod holds;
pub mod query;
pub mod record;
mod retention;
pub mod seal;
mod service;
pub mod verify;
pub mod words;

pub use retention::Retention;
pub use service::{Archivist, Asker, Commit, Failed, Found, Item, Selection, Settings};
