//! `[messages]`: what becomes of texts to people who are away.

use super::reader::Reader;
use super::value::words;
use std::time::Duration;

words! {
    /// What becomes of a text to somebody who is not signed in.
    Offline {
        /// The sender is told at once.
        Refuse = "refuse",
        /// It is kept and delivered when he signs in.
        Keep = "keep",
    }
}

/// `[messages]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Messages {
    /// Texts to somebody who is not signed in.
    pub offline: Offline,
    /// How long they are kept.
    pub keep_for: Duration,
}

impl Messages {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> Self {
        let messages = Self {
            offline: r.get("offline", Offline::Refuse),
            keep_for: r.get("keep_for", Duration::from_hours(7 * 24)),
        };
        if messages.keep_for.is_zero() {
            r.refuse("keep_for", "must be more than 0");
        }
        messages
    }
}
