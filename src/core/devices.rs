//! Devices in words: what is ruled about a person's sign-ins, why some are one device, and which
//! devices get a text.

use crate::core::command::Outcome;
use crate::core::id::{PointId, Stack};
use crate::core::time::Time;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// Which devices of a person get a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Policy {
    /// Every device, each once.
    #[default]
    All,
    /// The device that the conversation is held on, else the one used last; the others when it
    /// fails.
    MostActive,
    /// The same, but else the one that was preferred: by its stack, then by what its client asks.
    Preferred,
}

/// How texts are spread over devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Spread {
    /// Which devices.
    pub policy: Policy,
    /// Which of a device's stacks, where the conversation does not say.
    pub preferred: Option<Stack>,
}

/// What is kept about a person's devices beyond the sign-ins themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceRules {
    /// The person's own policy.
    pub policy: Option<Policy>,
    /// The person's own preferred stack.
    pub preferred: Option<Stack>,
    /// What operators have ruled, newest last.
    pub rulings: Vec<Ruling>,
    /// Pairs that were parted, for as long as both sign-ins last.
    pub splits: Vec<Split>,
}

/// An operator's word on two sign-ins. It outlives them: those that come again from the same place
/// are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// One of them.
    pub one: Mark,
    /// The other.
    pub other: Mark,
    /// One device, or two.
    pub together: bool,
    /// When it was ruled.
    pub at: Time,
}

/// What a sign-in is known by when it comes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its stack.
    pub stack: Stack,
    /// Its machine, if it said one; then nothing else counts.
    pub machine: Option<Arc<str>>,
    /// Where it came from.
    pub source: Option<IpAddr>,
    /// Its kind of client.
    pub family: Option<Arc<str>>,
}

/// Two points that were taken for one device and are not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// One.
    pub one: PointId,
    /// The other.
    pub other: PointId,
    /// Why.
    pub why: SplitWhy,
    /// When.
    pub at: Time,
}

/// Why points are taken for one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bond {
    /// Same source and kind of client, signed in within the span.
    Family,
    /// Same source and machine name.
    Machine,
    /// An operator says so.
    Pinned,
}

/// Why a pair was parted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SplitWhy {
    /// A third sign-in fits as well: there are two machines.
    Third,
    /// One answered where the other did not.
    AnsweredAlone,
    /// One wrote in a conversation that only the other had heard of.
    WroteAlone,
}

/// What operators and owners change.
#[derive(Clone, Debug)]
pub enum DeviceChange {
    /// The policy; `None` = as everybody's.
    Policy(Option<Policy>),
    /// The preferred stack; `None` = as everybody's.
    Preferred(Option<Stack>),
    /// These two points are one device (`true`), or two.
    Rule(PointId, PointId, bool),
    /// Nothing is ruled about these two points any more.
    Free(PointId, PointId),
}

/// A device as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its oldest point.
    pub id: PointId,
    /// Why its points are one; `None` = there is but one.
    pub bond: Option<Bond>,
    /// Its points.
    pub points: Vec<PointDetail>,
}

/// What an operator may want to know of a point beyond [`crate::core::command::PointInfo`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointDetail {
    /// Which.
    pub id: PointId,
    /// When it signed in.
    pub since: Time,
    /// Its machine, if it said one.
    pub machine: Option<Arc<str>>,
    /// Its kind of client.
    pub family: Option<Arc<str>>,
    /// Silent for long.
    pub idle: bool,
    /// Since when it is doubted.
    pub doubted: Option<Time>,
    /// The failure that came last, while there is doubt; `None` = a notification was not taken.
    pub failure: Option<Outcome>,
}

impl fmt::Display for Bond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Family => "same source and client, signed in together",
            Self::Machine => "same source and machine",
            Self::Pinned => "pinned by an operator",
        })
    }
}

impl fmt::Display for SplitWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Third => "a third sign-in fits as well",
            Self::AnsweredAlone => "one answered where the other did not",
            Self::WroteAlone => "one wrote where only the other had heard",
        })
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::MostActive => "most_active",
            Self::Preferred => "preferred",
        })
    }
}

impl std::str::FromStr for Policy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            "most_active" => Ok(Self::MostActive),
            "preferred" => Ok(Self::Preferred),
            _ => Err("not all, most_active or preferred"),
        }
    }
}
