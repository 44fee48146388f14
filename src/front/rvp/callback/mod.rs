//! NOTIFY to clients: where we may connect, how we connect, what waits in which queue.

mod answer;
pub mod book;
pub mod client;
pub mod gate;
pub mod outgoing;
pub mod policy;
pub mod queue;
pub mod sightings;
pub(super) mod verdict;
