//! The core: one presence and instant-messaging model that every front feeds.
//!
//! Pure state. [`user::User::apply`] is a plain function of (context, caller, command); it returns a
//! reply and a list of effects and touches no clock, socket, database or random source of its own.
//! A recorded journal of inputs therefore replays byte for byte (`decisions.md` 32).
//!
//! Nothing here knows a protocol: stacks are opaque names, wire state travels as opaque
//! [`id::Handle`]s, errors carry no wire code. A front translates on either side.

pub mod access;
pub mod address;
pub mod archive;
mod attempts;
mod away;
pub mod calls;
pub mod chat;
pub mod command;
mod consent;
pub mod contacts;
mod conversation;
mod delivery;
pub mod devices;
pub mod documents;
mod duplicates;
pub mod effect;
pub mod error;
pub mod event;
#[doc(hidden)]
pub mod exercise;
pub mod fidelity;
mod fold;
pub mod id;
mod invitations;
pub mod message;
pub mod node;
mod notices;
mod oneself;
pub mod outcomes;
mod pairing;
pub mod pattern;
mod points;
pub mod port;
pub mod presence;
mod properties;
mod publications;
mod receipts;
mod restore;
mod routing;
mod spread;
pub mod target;
pub mod time;
pub mod trace;
mod typing;
mod unarchived;
pub mod user;
pub mod watchers;
mod watches;

#[cfg(test)]
mod tests;
