//! Who may do what: entries, rights and the one verdict function.
//!
//! The rights are those of RVP's access lists (`rvp.md` 5 ACL); other fronts use the same ones.

use crate::core::address::Address;
use std::sync::Arc;

/// How a caller was authenticated. An entry may name the schemes it counts for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scheme {
    /// Not at all; the claimed name only.
    Assertion,
    /// Digest.
    Digest,
    /// NTLM (alone or inside Negotiate).
    Ntlm,
    /// Kerberos.
    Kerberos,
    /// A trusted server's word.
    Peer,
    /// This server itself or its operator.
    Internal,
}

/// One right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u16)]
pub enum Right {
    /// See that the node exists.
    List = 1,
    /// Read properties.
    Read = 2,
    /// Write properties.
    Write = 4,
    /// Read the access list.
    ReadAcl = 8,
    /// Write the access list.
    WriteAcl = 16,
    /// Send messages to the node.
    SendTo = 32,
    /// See presence.
    Presence = 64,
    /// Be sent messages by the node.
    ReceiveFrom = 128,
    /// See who is subscribed.
    Subscriptions = 256,
    /// Subscribe others.
    SubscribeOthers = 512,
}

/// A set of rights.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Rights(pub u16);

impl Rights {
    /// Every right.
    pub const ALL: Self = Self(1023);

    /// This set and one more.
    #[must_use]
    pub const fn with(self, right: Right) -> Self {
        Self(self.0 | right as u16)
    }

    /// Whether the right is in the set.
    pub const fn has(self, right: Right) -> bool {
        self.0 & right as u16 != 0
    }
}

/// Whom an entry is about, from most to least specific.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Subject {
    /// One address.
    Address(Address),
    /// A node or server that is no person's address, by its normalised name; covers itself only
    /// (a server principal does not cover its users).
    Server(Arc<str>),
    /// Everybody of a domain (written by operators and other protocols, not by RVP clients).
    Domain(Arc<str>),
    /// Everybody.
    Everybody,
}

/// One entry of an access list.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct AccessEntry {
    /// Whom it is about.
    pub subject: Subject,
    /// Schemes it counts for; empty = any.
    pub schemes: Vec<Scheme>,
    /// Rights granted.
    pub grant: Rights,
    /// Rights denied; beats `grant` within the same specificity.
    pub deny: Rights,
}
