//! Names of things: newtypes, so that one can't be taken for another.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A person (or another owner of inboxes: group, sink), whatever addresses lead to it.
/// Identity never changes; addresses do (`decisions.md` 1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonId(pub u128);

/// One sign-in on one stack. Unique over the life of the installation; below 2^31 because old
/// clients read ids as signed 32-bit numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PointId(pub u32);

/// One published view of a person's presence. Same number space as [`PointId`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PublicationId(pub u32);

/// One standing wish to be told of a person's presence. Same number space as [`PointId`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WatchId(pub u32);

/// Points of one client program on one machine (`design.md` 5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DeviceId(pub u32);

/// A message, from ingress to archive. Time-ordered (milliseconds in the top 48 bits).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u128);

/// A conversation, whatever each protocol calls it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversationId(pub u128);

macro_rules! hex128 {
    ($t:ident) => {
        impl fmt::Display for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }
        impl fmt::Debug for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($t), "({:032x})"), self.0)
            }
        }
        impl FromStr for $t {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                if text.len() != 32 {
                    return Err(BadId);
                }
                u128::from_str_radix(text, 16).map(Self).map_err(|_| BadId)
            }
        }
    };
}
hex128!(PersonId);
hex128!(MessageId);
hex128!(ConversationId);

/// The text is not an id of that kind (32 hexadecimal digits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id: 32 hexadecimal digits expected")]
pub struct BadId;

/// One of 256 fixed virtual shards. An owner belongs to one by a hash of its id; the mapping never
/// changes, so that a cluster can assign shards to nodes later (`decisions.md` 1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShardId(pub u8);

impl PersonId {
    /// The virtual shard that owns this person. Person ids are random, but imported ones may not
    /// be: all 16 octets are mixed (FNV-1a, which must never change).
    pub fn shard(self) -> ShardId {
        let mut hash: u32 = 0x811c_9dc5;
        for octet in self.0.to_be_bytes() {
            hash = (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193);
        }
        ShardId((hash ^ (hash >> 8) ^ (hash >> 16) ^ (hash >> 24)).to_le_bytes()[0])
    }
}

/// The name of a protocol stack (`rvp`, `sip`, later `msnp`). Opaque to the core: a new protocol
/// is no change here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stack([u8; 8]);

impl Stack {
    /// A stack of that name; names longer than 8 octets are cut.
    pub const fn named(name: &str) -> Self {
        let mut octets = [0u8; 8];
        let bytes = name.as_bytes();
        let mut at = 0;
        while at < bytes.len() && at < 8 {
            octets[at] = bytes[at];
            at += 1;
        }
        Self(octets)
    }

    /// The name as given.
    pub fn name(&self) -> &str {
        let end = self.0.iter().position(|octet| *octet == 0).unwrap_or(8);
        std::str::from_utf8(&self.0[..end]).unwrap_or("?")
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stack({})", self.name())
    }
}

/// Wire state of a point or watch, written and read by its front alone (a SIP dialog, an RVP
/// callback). The core keeps it, stores it and hands it back with each event.
pub type Handle = Arc<[u8]>;

/// Source of fresh ids, passed into the core so that its output depends on its inputs only.
pub trait Ids {
    /// The next number for a point, publication, watch or device: unique for ever, below 2^31.
    fn next_number(&mut self) -> u32;
    /// 128 random bits, for messages and conversations.
    fn random(&mut self) -> u128;
}
