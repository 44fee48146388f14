//! The trace log: the checkpoints of the newest messages, by message and by user (`design.md` 6).

use crate::core::address::Address;
use crate::core::id::MessageId;
use crate::core::trace::{Checkpoint, Step};
use foldhash::{HashMap, HashMapExt as _};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Checkpoints kept of one message; further ones are counted, not kept.
const STEPS: usize = 64;
/// Checkpoints that a message between two people usually has.
const USUAL: usize = 5;
/// Parts that are locked apart, so that shards do not wait for each other.
const PARTS: usize = 16;

/// A bounded ring of message traces. All calls take one short lock of one part.
#[derive(Debug)]
pub struct TraceLog {
    parts: Vec<Mutex<Part>>,
}

#[derive(Debug)]
struct Part {
    capacity: usize,
    order: VecDeque<MessageId>,
    messages: HashMap<MessageId, Vec<Checkpoint>>,
}

impl TraceLog {
    /// Keeps the newest `messages` messages, about.
    pub fn new(messages: usize) -> Self {
        let capacity = messages.div_ceil(PARTS).max(1);
        let part = || {
            Mutex::new(Part {
                capacity,
                order: VecDeque::new(),
                messages: HashMap::new(),
            })
        };
        Self {
            parts: std::iter::repeat_with(part).take(PARTS).collect(),
        }
    }

    /// Adds a checkpoint.
    pub fn note(&self, checkpoint: Checkpoint) {
        let Some(part) = self.part(checkpoint.message) else {
            return;
        };
        part.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .note(checkpoint);
    }

    /// The checkpoints of a message, in the order they came; empty if unknown or too old.
    pub fn message(&self, message: MessageId) -> Vec<Checkpoint> {
        let Some(part) = self.part(message) else {
            return Vec::new();
        };
        let part = part.lock().unwrap_or_else(PoisonError::into_inner);
        part.messages.get(&message).cloned().unwrap_or_default()
    }

    /// The newest messages from or to an address, newest first, at most `limit`.
    pub fn user(&self, address: &Address, limit: usize) -> Vec<(MessageId, Vec<Checkpoint>)> {
        let mut found = Vec::new();
        for part in &self.parts {
            let part = part.lock().unwrap_or_else(PoisonError::into_inner);
            let of_user = part
                .messages
                .iter()
                .filter(|(_, steps)| steps.iter().any(|step| concerns(step, address)));
            found.extend(of_user.map(|(id, steps)| (*id, steps.clone())));
        }
        found.sort_by_key(|found| std::cmp::Reverse(found.0));
        found.truncate(limit);
        found
    }

    fn part(&self, message: MessageId) -> Option<&Mutex<Part>> {
        // The low bits of a message id are random.
        let low = usize::from(message.0.to_le_bytes()[0]);
        self.parts.get(low % PARTS)
    }
}

impl Part {
    fn note(&mut self, checkpoint: Checkpoint) {
        if let Some(steps) = self.messages.get_mut(&checkpoint.message) {
            if steps.len() < STEPS {
                steps.push(checkpoint);
            }
            return;
        }
        if self.order.len() >= self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.messages.remove(&oldest);
        }
        self.order.push_back(checkpoint.message);
        let mut steps = Vec::with_capacity(USUAL);
        let message = checkpoint.message;
        steps.push(checkpoint);
        self.messages.insert(message, steps);
    }
}

fn concerns(checkpoint: &Checkpoint, address: &Address) -> bool {
    matches!(&checkpoint.step, Step::Accepted { from, to, .. } if from == address || to == address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::time::Time;

    fn checkpoint(message: u128, step: Step) -> Checkpoint {
        Checkpoint {
            message: MessageId(message),
            at: Time(1),
            step,
        }
    }

    #[test]
    fn the_ring_forgets_the_oldest_and_only_it() {
        let log = TraceLog::new(2 * PARTS);
        for id in [0x100_u128, 0x200, 0x300] {
            log.note(checkpoint(id, Step::Kept));
            log.note(checkpoint(id, Step::SenderTold));
        }
        assert!(log.message(MessageId(0x100)).is_empty());
        assert_eq!(log.message(MessageId(0x200)).len(), 2);
        assert_eq!(log.message(MessageId(0x300)).len(), 2);
    }

    #[test]
    fn a_user_finds_what_he_sent_and_got() {
        let log = TraceLog::new(100);
        let address = |text: &str| Address::parse(text).unwrap();
        for (id, from, to) in [
            (1, "a@x.y", "b@x.y"),
            (2, "b@x.y", "c@x.y"),
            (3, "c@x.y", "d@x.y"),
        ] {
            log.note(checkpoint(
                id,
                Step::Accepted {
                    from: address(from),
                    to: address(to),
                    stack: crate::core::id::Stack::named("rvp"),
                    kind: crate::core::message::Kind::Text,
                    conversation: crate::core::id::ConversationId(1),
                },
            ));
        }
        let ids = |limit| -> Vec<u128> {
            let found = log.user(&address("b@x.y"), limit);
            found.into_iter().map(|(id, _)| id.0).collect()
        };
        assert_eq!(ids(10), [2, 1]);
        assert_eq!(ids(1), [2]);
    }
}
