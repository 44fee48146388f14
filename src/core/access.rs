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

    /// This set without one.
    #[must_use]
    pub const fn without(self, right: Right) -> Self {
        Self(self.0 & !(right as u16))
    }

    /// Whether the right is in the set.
    pub const fn has(self, right: Right) -> bool {
        self.0 & right as u16 != 0
    }
}

/// A part of presence that may be kept from somebody who is allowed to see it (RFC 5025 3.3).
/// Whether somebody can be reached is always shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Part {
    /// What he does.
    Activities = 1,
    /// Whether he is at his machine.
    Idle = 2,
    /// His words.
    Note = 4,
    /// The documents of his devices, with all that no table maps.
    Document = 8,
}

/// A set of parts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Detail(pub u8);

impl Detail {
    /// Every part.
    pub const ALL: Self = Self(15);
    /// Only whether somebody can be reached.
    pub const NONE: Self = Self(0);

    /// This set and one more.
    #[must_use]
    pub const fn with(self, part: Part) -> Self {
        Self(self.0 | part as u8)
    }

    /// Whether the part is in the set.
    pub const fn has(self, part: Part) -> bool {
        self.0 & part as u8 != 0
    }

    /// What is in either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Who can't say it, as RVP can't, means everything.
impl Default for Detail {
    fn default() -> Self {
        Self::ALL
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
    /// Rights about which the owner is asked first (RFC 5025 `confirm`): neither given nor denied
    /// until then. Within the same specificity `grant` and `deny` are the owner's answer and beat
    /// it, so a list rewritten by somebody who can't say "ask" never turns it into a grant by
    /// leaving it alone.
    pub ask: Rights,
    /// What is seen of presence by whom the entry grants it.
    pub detail: Detail,
}

impl AccessEntry {
    /// How specific the entry is about somebody of that address; `None` = not about them.
    fn rank(&self, address: &Address) -> Option<u8> {
        match &self.subject {
            Subject::Address(named) => (named == address).then_some(2),
            Subject::Domain(domain) => (**domain == *address.domain()).then_some(1),
            Subject::Everybody => Some(0),
            // A server principal covers the server itself, never its users (RVP 5 ACL).
            Subject::Server(name) => address.is_server(name).then_some(2),
        }
    }

    fn answer(&self, right: Right) -> Option<Answer> {
        let said = [
            (self.deny, Answer::No),
            (self.grant, Answer::Yes),
            (self.ask, Answer::Ask),
        ];
        let mut said = said.into_iter();
        said.find(|(rights, _)| rights.has(right))
            .map(|(_, answer)| answer)
    }

    /// Whether it says anything at all.
    pub fn is_silent(&self) -> bool {
        self.grant.0 | self.deny.0 | self.ask.0 == 0
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
    /// Not yet: the owner decides. A watch waits for that as pending (RFC 3856 6.6); everything
    /// else is as if it were withheld.
    Asked,
    /// No, because neither the list nor the defaults grant it.
    Withheld,
}

/// What holds where no entry speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Defaults {
    /// Rights granted.
    pub grant: Rights,
    /// Of those, the ones about which the owner is asked first (`consent = "confirm"`).
    pub ask: Rights,
}

impl From<Rights> for Defaults {
    fn from(grant: Rights) -> Self {
        Self {
            grant,
            ask: Rights::default(),
        }
    }
}

/// The verdict of a list about one right of somebody who is not the owner.
///
/// Among the entries that speak of the right (grant it, deny it or ask about it), are about the
/// address and count for the scheme, the most specific decide: address, then domain, then
/// everybody; among equally specific ones a denial beats a grant (RVP 5 ACL) and a grant beats a
/// question. An entry for other schemes is as if it were not there. Where no entry speaks,
/// `default` holds (`decisions.md` 15).
pub fn verdict(
    list: &[AccessEntry],
    default: Defaults,
    address: &Address,
    scheme: Scheme,
    right: Right,
) -> Verdict {
    let mut best: Option<(u8, Answer)> = None;
    for entry in list.iter().filter(|entry| entry.counts_for(scheme)) {
        let Some(answer) = entry.answer(right) else {
            continue;
        };
        let Some(rank) = entry.rank(address) else {
            continue;
        };
        best = best.max(Some((rank, answer)));
    }
    match best {
        Some((_, Answer::Yes)) => Verdict::Granted,
        Some((_, Answer::No)) => Verdict::Blocked,
        Some((_, Answer::Ask)) => Verdict::Asked,
        None if default.grant.has(right) && default.ask.has(right) => Verdict::Asked,
        None if default.grant.has(right) => Verdict::Granted,
        None => Verdict::Withheld,
    }
}

/// How much of presence somebody sees whom [`verdict`] lets see it: what the entries say that
/// decided, together (RFC 4745 10.2), and everything where none speaks.
pub fn detail(list: &[AccessEntry], address: &Address, scheme: Scheme) -> Detail {
    let mut best: Option<(u8, Answer, Detail)> = None;
    for entry in list.iter().filter(|entry| entry.counts_for(scheme)) {
        let (Some(answer), Some(rank)) = (entry.answer(Right::Presence), entry.rank(address))
        else {
            continue;
        };
        best = match best {
            Some((r, a, known)) if (r, a) == (rank, answer) => Some((r, a, known.or(entry.detail))),
            Some((r, a, known)) if (r, a) > (rank, answer) => Some((r, a, known)),
            _ => Some((rank, answer, entry.detail)),
        };
    }
    best.map_or(Detail::ALL, |(_, _, detail)| detail)
}

/// What an entry says of a right; the greater beats the lesser.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    Ask,
    Yes,
    No,
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
