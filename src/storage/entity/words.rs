//! The words by which stored bodies name the core's enums. Never change one: add.

use crate::core::access::Scheme;
use crate::core::calls::CallState;
use crate::core::command::{Reach, Tether, Topic, Via, WatchState};
use crate::core::devices::{Policy, SplitWhy};
use crate::core::message::Ack;
use crate::core::port::Stay;
use crate::core::presence::{Origin, State};

/// An enum that is stored by word.
pub(super) trait Word: Sized + Copy {
    /// Its word.
    fn word(self) -> &'static str;
    /// The value of a word.
    fn of(word: &str) -> Option<Self>;
}

macro_rules! words {
    ($type:ty { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl Word for $type {
            fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
            fn of(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

words!(State {
    Registered = "registered",
    Online = "online",
    Idle = "idle",
    Busy = "busy",
    DoNotDisturb = "do-not-disturb",
    OnPhone = "on-phone",
    AtLunch = "at-lunch",
    Away = "away",
    BackSoon = "back-soon",
    Invisible = "invisible",
    Offline = "offline",
});
words!(Origin {
    Automatic = "automatic",
    Manual = "manual"
});
words!(Tether {
    Connection = "connection",
    Address = "address"
});
words!(Reach {
    Full = "full",
    SendOnly = "send-only"
});
words!(Via {
    Direct = "direct",
    Inboxes = "inboxes"
});
words!(Topic {
    Presence = "presence",
    Watchers = "watchers",
    Calls = "calls",
    Documents = "documents"
});
words!(WatchState {
    Active = "active",
    Pending = "pending",
    Waiting = "waiting"
});
words!(Policy {
    All = "all",
    MostActive = "most_active",
    Preferred = "preferred"
});
words!(SplitWhy {
    Third = "third",
    AnsweredAlone = "answered-alone",
    WroteAlone = "wrote-alone"
});
words!(Stay {
    Passing = "passing",
    Away = "away",
    Leaving = "leaving",
    Withheld = "withheld"
});
words!(CallState {
    Trying = "trying",
    Proceeding = "proceeding",
    Early = "early",
    Confirmed = "confirmed",
    Terminated = "terminated"
});
words!(Scheme {
    Assertion = "assertion",
    Digest = "digest",
    Ntlm = "ntlm",
    Kerberos = "kerberos",
    Peer = "peer",
    Internal = "internal",
});
words!(Ack {
    Hop = "hop",
    Any = "any",
    All = "all"
});

/// An enum inside a serde body.
pub(super) mod as_word {
    use super::Word;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::storage::entity) fn serialize<T: Word, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(value.word())
    }

    pub(in crate::storage::entity) fn deserialize<'de, T: Word, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let word = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        T::of(&word).ok_or_else(|| serde::de::Error::custom(format!("unknown word {word:?}")))
    }
}

/// A normalised address inside a serde body.
pub(super) mod as_address {
    use crate::core::address::Address;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::storage::entity) fn serialize<S: Serializer>(
        value: &Address,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in crate::storage::entity) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Address, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Address::from_normal(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_comes_back_from_its_word() {
        for state in [State::Registered, State::DoNotDisturb, State::Offline] {
            assert_eq!(State::of(state.word()), Some(state));
        }
        assert_eq!(State::of("asleep"), None);
    }
}
