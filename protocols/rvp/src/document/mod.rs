//! XML bodies of RVP, both ways (`RVP 4, 5`).
//!
//! Reading resolves prefixes by namespace, accepts the known variants of namespaces and element
//! names, trims white space round values and ignores what it does not know. Writing uses exactly
//! the prefixes `d: r: a:`, declared on the root, because clients match the literal strings.

mod access;
mod common;
mod multistatus;
mod notification;
mod property;
mod propfind;
mod subscriptions;
mod update;

pub use access::{Ace, AcePrincipal, Acl, Credentials, Right, Rights, Schemes};
pub use common::MAX_BODY;
pub use multistatus::{Multistatus, Propstat, Response};
pub use notification::{Contact, Message, Notification, PropNotification};
pub use property::{Lease, Property, PropertyName, State, StateValue};
pub use propfind::Propfind;
pub use subscriptions::{Subscription, Subscriptions};
pub use update::{Change, PropertyUpdate};

#[cfg(test)]
mod tests;
