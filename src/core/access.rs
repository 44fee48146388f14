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

impl Right {
    /// Its name, as in access lists.
    pub fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Read => "read",
            Self::Write => "write",
            Self::ReadAcl => "readacl",
            Self::WriteAcl => "writeacl",
            Self::SendTo => "send-to",
            Self::Presence => "presence",
            Self::ReceiveFrom => "receive-from",
            Self::Subscriptions => "subscriptions",
            Self::SubscribeOthers => "subscribe-others",
        }
    }
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

impl AccessEntry {
    /// How specific the entry is about somebody of that address; `None` = not about them.
    fn rank(&self, address: &Address) -> Option<u8> {
        match &self.subject {
            Subject::Address(named) => (named == address).then_some(2),
            Subject::Domain(domain) => (**domain == *address.domain()).then_some(1),
            Subject::Everybody => Some(0),
            // A server principal does not cover its users (RVP 5 ACL), and callers are users.
            Subject::Server(_) => None,
        }
    }

    fn counts_for(&self, scheme: Scheme) -> bool {
        self.schemes.is_empty() || self.schemes.contains(&scheme)
    }
}

/// What an access list and the defaults say about one right.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// Yes.
    Granted,
    /// No, by an entry that the person wrote: a personal block, which must look like absence
    /// (`decisions.md` 16).
    Blocked,
    /// No, because neither the list nor the defaults grant it.
    Withheld,
}

/// The verdict of a list about one right of somebody who is not the owner.
///
/// Among the entries that speak of the right (grant or deny it), are about the address and count
/// for the scheme, the most specific decide: address, then domain, then everybody; a denial among
/// equally specific ones wins (RVP 5 ACL). An entry for other schemes is as if it were not there.
/// Where no entry speaks, `default` holds (`decisions.md` 15).
pub fn verdict(
    list: &[AccessEntry],
    default: Rights,
    address: &Address,
    scheme: Scheme,
    right: Right,
) -> Verdict {
    let mut best: Option<(u8, bool)> = None;
    for entry in list {
        let denied = entry.deny.has(right);
        if !denied && !entry.grant.has(right) || !entry.counts_for(scheme) {
            continue;
        }
        let Some(rank) = entry.rank(address) else {
            continue;
        };
        best = match best {
            Some((higher, _)) if higher > rank => best,
            Some((equal, granted)) if equal == rank => Some((rank, granted && !denied)),
            _ => Some((rank, !denied)),
        };
    }
    match best {
        Some((_, true)) => Verdict::Granted,
        Some((_, false)) => Verdict::Blocked,
        None if default.has(right) => Verdict::Granted,
        None => Verdict::Withheld,
    }
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
