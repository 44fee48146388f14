//! `[delivery]`: which of a person's devices get a message, and what a device is.

use super::reader::Reader;
use super::value::words;
use std::time::Duration;

words! {
    /// Which devices of a person get a message.
    Policy {
        /// Every device, each once.
        All = "all",
        /// The one the conversation is held on, else the one used last.
        MostActive = "most_active",
        /// The one the conversation is held on, else the preferred one.
        Preferred = "preferred",
    }
}

words! {
    /// A stack that a person may prefer.
    Preferred {
        /// RVP.
        Rvp = "rvp",
        /// SIP.
        Sip = "sip",
    }
}

/// `[delivery]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Which devices.
    pub policy: Policy,
    /// Which stack of a device, where the conversation does not say.
    pub prefer: Option<Preferred>,
    /// Sign-ins of one kind of client from one address within this span are one device.
    pub pair_within: Duration,
    /// A sign-in is idle when its person has done nothing by it for so long; 0 = never.
    pub idle_after: Duration,
}

impl Delivery {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> Self {
        Self {
            policy: r.get("policy", Policy::All),
            prefer: r.option("prefer"),
            pair_within: r.get("pair_within", Duration::from_secs(30)),
            idle_after: r.get("idle_after", Duration::from_mins(30)),
        }
    }
}
