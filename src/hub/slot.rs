//! A person on a shard, and what happens to the person's outcomes: store, then let out, in order.

use super::mailbox::Written;
use super::shard::Shard;
use super::writer::{From, Job};
use super::{Envelope, ReplyTo};
use crate::core::chat::ChatCommand;
use crate::core::command::Command;
use crate::core::effect::{Effect, ReplyTag};
use crate::core::error::Error;
use crate::core::id::PersonId;
use crate::core::port::Write;
use crate::core::time::Time;
use crate::core::user::User;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A person on a shard.
pub(super) struct Slot {
    pub(super) state: State,
    /// Tells this stay in memory from an earlier one.
    pub(super) generation: u64,
    /// Outcomes that wait for storage, or behind one that does.
    pub(super) pending: VecDeque<Outcome>,
    /// Answers that are owed. Sorted, so that the order of answers is no accident.
    pub(super) replies: BTreeMap<ReplyTag, ReplyTo>,
    pub(super) doomed: Arc<AtomicBool>,
    /// The earliest timer that stands for this person.
    pub(super) scheduled: Option<Time>,
    pub(super) used: Time,
    /// The account is going: nothing more is done for it.
    pub(super) erased: bool,
}

pub(super) enum State {
    /// Being read; commands wait.
    Loading(VecDeque<Envelope>),
    /// Here.
    Ready(Box<User>),
}

/// One outcome on hold.
pub(super) struct Outcome {
    /// Whether storage still owes its word on this one.
    stored: Stored,
    effects: Vec<Effect>,
}

#[derive(PartialEq, Eq)]
enum Stored {
    Awaited,
    NotNeeded,
}

impl Slot {
    pub(super) fn new(generation: u64, now: Time) -> Self {
        Self {
            state: State::Loading(VecDeque::new()),
            generation,
            pending: VecDeque::new(),
            replies: BTreeMap::new(),
            doomed: Arc::default(),
            scheduled: None,
            used: now,
            erased: false,
        }
    }

    /// Takes the user out for a call that may panic; the slot counts as loading meanwhile.
    pub(super) fn take_user(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Loading(VecDeque::new()))
    }

    /// Whether it may be dropped and read again later.
    pub(super) fn is_idle(&self) -> bool {
        let State::Ready(user) = &self.state else {
            return false;
        };
        user.is_idle() && self.is_quiet()
    }

    /// Whether nothing is under way.
    pub(super) fn is_quiet(&self) -> bool {
        let waiting = matches!(&self.state, State::Loading(queue) if !queue.is_empty());
        self.pending.is_empty() && self.replies.is_empty() && !waiting
    }

    /// Tells everybody who waits.
    pub(super) fn answer_all(self, error: &Error) {
        for reply in self.replies.into_values() {
            reply.answer(Err(error.clone()));
        }
        if let State::Loading(queue) = self.state {
            for envelope in queue {
                envelope.reply.answer(Err(error.clone()));
            }
        }
    }
}

impl Shard {
    /// What a call of the core has led to: lets out what may go at once, holds back the rest.
    pub(super) fn conclude(&mut self, person: PersonId, mut effects: Vec<Effect>) {
        let Some(slot) = self.slots.get_mut(&person) else {
            return;
        };
        let clear = slot.pending.is_empty();
        let first = effects.iter().position(|e| matches!(e, Effect::Store(_)));
        match first {
            None if clear => self.release(person, effects.drain(..)),
            None => {
                if !effects.is_empty() {
                    slot.pending.push_back(Outcome {
                        stored: Stored::NotNeeded,
                        effects: std::mem::take(&mut effects),
                    });
                }
            }
            Some(first) => {
                if clear && first > 0 {
                    self.release(person, effects.drain(..first));
                }
                self.store(person, effects.drain(..));
            }
        }
        self.scratch = effects;
        let wake = match self.slots.get(&person).map(|slot| &slot.state) {
            Some(State::Ready(user)) => user.wake_at(),
            _ => None,
        };
        if let Some(wake) = wake {
            // Never at once: a wish for the past would keep the shard spinning.
            let soon = self
                .shared
                .clock
                .now()
                .after(std::time::Duration::from_millis(1));
            self.arm(person, wake.max(soon));
        }
    }

    fn store(&mut self, person: PersonId, effects: std::vec::Drain<'_, Effect>) {
        let Some(slot) = self.slots.get_mut(&person) else {
            return;
        };
        let mut writes = Vec::new();
        let mut rest = Vec::new();
        for effect in effects {
            match effect {
                Effect::Store(write) => {
                    slot.erased |= matches!(write, Write::DeleteAccount(_));
                    writes.push(write);
                }
                other => rest.push(other),
            }
        }
        slot.pending.push_back(Outcome {
            stored: Stored::Awaited,
            effects: rest,
        });
        let from = From::Person {
            person,
            generation: slot.generation,
            doomed: Arc::clone(&slot.doomed),
        };
        self.uncommitted += 1;
        // The writer ends only after the shards.
        let _ = self.writer.send(Job { writes, from });
    }

    /// The writer is through with a person's oldest outcome on hold.
    pub(super) fn written(&mut self, written: Written) {
        self.uncommitted = self.uncommitted.saturating_sub(1);
        let person = written.person;
        let Some(slot) = self.slots.get_mut(&person) else {
            return;
        };
        if slot.generation != written.generation {
            return;
        }
        if !written.stored {
            return self.fail(person, "an outcome could not be stored");
        }
        if let Some(outcome) = slot.pending.pop_front() {
            self.release(person, outcome.effects);
        }
        while let Some(slot) = self.slots.get_mut(&person)
            && let Some(next) = slot.pending.front()
            && next.stored == Stored::NotNeeded
            && let Some(outcome) = slot.pending.pop_front()
        {
            self.release(person, outcome.effects);
        }
    }

    /// Lets effects out, in order.
    fn release(&mut self, person: PersonId, effects: impl IntoIterator<Item = Effect>) {
        for effect in effects {
            match effect {
                Effect::Reply(tag, answer) => self.take_reply(person, tag).answer(answer),
                Effect::Emit(stack, event) => self.shared.emit(stack, event),
                Effect::Forward(mut forward) => {
                    if let Err(error) = self.makes_room(&mut forward.command) {
                        self.take_reply(person, forward.reply).answer(Err(error));
                        continue;
                    }
                    let envelope = Envelope {
                        caller: forward.caller,
                        command: forward.command,
                        reply: self.take_reply(person, forward.reply),
                    };
                    self.shared.pass(forward.to, envelope);
                }
                Effect::Trace(checkpoint) => self.shared.trace.note(checkpoint),
                Effect::Log(notice) => tracing::info!(%notice, "person"),
                // Taken out before.
                Effect::Store(_) => {}
            }
        }
    }

    /// A conversation of many that begins needs a place in the directory before anybody can speak
    /// to it.
    fn makes_room(&self, command: &mut Command) -> Result<(), Error> {
        let Command::Chat(chat) = command else {
            return Ok(());
        };
        let ChatCommand::Open(opening) = &mut **chat else {
            return Ok(());
        };
        let rules = &self.shared.settings.rules;
        let made = self.shared.directory.open_chat(opening, rules);
        made.inspect_err(|error| tracing::info!(%error, "no conversation of many was made"))
    }

    fn take_reply(&mut self, person: PersonId, tag: ReplyTag) -> ReplyTo {
        if tag == ReplyTag::NOBODY {
            return ReplyTo::Nobody;
        }
        let slot = self.slots.get_mut(&person);
        slot.and_then(|slot| slot.replies.remove(&tag))
            .unwrap_or(ReplyTo::Nobody)
    }

    /// What this person's state has become is not what storage holds, or cannot be trusted:
    /// everybody who waits is told, nothing of it gets out, the durable state is read again.
    pub(super) fn fail(&mut self, person: PersonId, why: &str) {
        tracing::error!(%person, why, "dropped and read again");
        if let Some(slot) = self.slots.get(&person) {
            slot.doomed.store(true, Ordering::Release);
        }
        self.close_slot(person);
        if self.shared.directory.account(person).is_some() {
            self.load(person, VecDeque::new());
        }
    }
}
