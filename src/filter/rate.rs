//! How many messages one sender may send: a token bucket for each.

use crate::core::address::Address;
use crate::core::time::Time;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Most senders that are remembered.
const SENDERS: usize = 65_536;

/// So many messages in such a span, each sender for himself; as many at once.
pub struct Rate {
    messages: u32,
    /// In which one message is earned back.
    each: u64,
    /// When the sender's bucket is full again, in milliseconds.
    full: Mutex<HashMap<Address, u64>>,
}

impl Rate {
    /// So many in such a span.
    pub fn new(messages: u32, per: Duration) -> Self {
        let messages = messages.max(1);
        let per = u64::try_from(per.as_millis()).unwrap_or(u64::MAX);
        Self {
            messages,
            each: (per / u64::from(messages)).max(1),
            full: Mutex::default(),
        }
    }

    /// Takes one message's worth; `false` if the sender has none left.
    pub fn take(&self, sender: &Address, now: Time) -> bool {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        let known = full.get(sender).copied().unwrap_or(0).max(now.0);
        let then = known.saturating_add(self.each);
        let most = self.each.saturating_mul(u64::from(self.messages));
        if then.saturating_sub(now.0) > most {
            return false;
        }
        if full.len() >= SENDERS && !full.contains_key(sender) {
            // A full bucket need not be remembered. If nobody's is, all begin anew: rather that
            // than a table that many invented senders can fill.
            full.retain(|_, then| *then > now.0);
            if full.len() >= SENDERS {
                full.clear();
            }
        }
        full.insert(sender.clone(), then);
        true
    }
}

#[cfg(test)]
impl Rate {
    /// How many senders are remembered.
    pub(super) fn remembered(&self) -> usize {
        self.full
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}
