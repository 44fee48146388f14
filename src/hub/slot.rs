//! A person on a shard, and what happens to the person's outcomes: store, then let out, in order.

use super::archive::{self, Capture};
use super::mailbox::Written;
use super::shard::Shard;
use super::writer::{From, Job};
use super::{Envelope, ReplyTo};
use crate::core::chat::ChatCommand;
use crate::core::command::Command;
use crate::core::effect::{Effect, ReplyTag};
use crate::core::error::Error;
use crate::core::event::Event;
use crate::core::id::PersonId;
use crate::core::message::Message;
use crate::core::port::Write;
use crate::core::time::Time;
use crate::core::trace::Checkpoint;
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
    /// Messages that must be archived before anybody has them, if nothing else is stored with them:
    /// then they can be taken back.
    archived: Vec<Arc<Message>>,
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
        let archived = self.capture(person, &mut effects);
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
                        archived: Vec::new(),
                    });
                }
            }
            Some(first) => {
                if clear && first > 0 {
                    self.release(person, effects.drain(..first));
                }
                self.store(person, effects.drain(..), archived);
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

    /// Rows of the archive for what was admitted: those that must be stored first become writes of
    /// the outcome, and their messages are returned.
    fn capture(&mut self, person: PersonId, effects: &mut [Effect]) -> Vec<Arc<Message>> {
        let mut first = Vec::new();
        if !self.archives {
            return first;
        }
        for effect in effects {
            let Effect::Admitted {
                message,
                copy,
                members,
            } = effect
            else {
                continue;
            };
            let account = self.shared.directory.account(person);
            let account = account.as_deref();
            let admitted = (&**message, &members[..]);
            match self.ledger.admit(&self.shared, account, admitted, *copy) {
                Capture::No => {}
                Capture::Along(entry) => archive::send(&self.shared, &self.writer, entry),
                Capture::First(entry) => {
                    first.push(Arc::clone(message));
                    *effect = Effect::Store(Write::Archive(Box::new(entry)));
                }
            }
        }
        first
    }

    fn store(
        &mut self,
        person: PersonId,
        effects: std::vec::Drain<'_, Effect>,
        mut archived: Vec<Arc<Message>>,
    ) {
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
        let of_archive = |write: &Write| matches!(write, Write::Archive(_));
        if !writes.iter().all(of_archive) {
            archived.clear();
        }
        let from = From::Person {
            person,
            generation: slot.generation,
            doomed: archived.is_empty().then(|| Arc::clone(&slot.doomed)),
        };
        slot.pending.push_back(Outcome {
            stored: Stored::Awaited,
            effects: rest,
            archived,
        });
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
        let outcome = slot.pending.pop_front();
        match outcome {
            Some(outcome) if written.stored => self.release(person, outcome.effects),
            Some(outcome) if !outcome.archived.is_empty() => self.take_back(person, outcome),
            _ => return self.fail(person, "an outcome could not be stored"),
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
                Effect::Trace(checkpoint) => {
                    self.archive_result(person, &checkpoint);
                    self.shared.trace.note(checkpoint);
                }
                Effect::Log(notice) => tracing::info!(%notice, "person"),
                // Seen to by `capture`, taken out before.
                Effect::Admitted { .. } | Effect::Store(_) => {}
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

    fn archive_result(&mut self, person: PersonId, checkpoint: &Checkpoint) {
        if !self.archives || !self.ledger.knows(checkpoint.message) {
            return;
        }
        let Some(account) = self.shared.directory.account(person) else {
            return;
        };
        let state = &self.shared.archive;
        if let Some(entry) = self.ledger.result(state, &account, checkpoint) {
            archive::send(&self.shared, &self.writer, entry);
        }
    }

    /// Messages that had to be archived first could not be: nobody gets them, both sides are told.
    fn take_back(&mut self, person: PersonId, outcome: Outcome) {
        for message in &outcome.archived {
            self.ledger.forget(message.id);
        }
        let mut effects = outcome.effects;
        effects.retain(|effect| {
            let Effect::Emit(_, Event::Deliver { message, .. }) = effect else {
                return true;
            };
            outcome.archived.iter().all(|not| not.id != message.id)
        });
        self.release(person, effects);
        for message in outcome.archived {
            let Some(slot) = self.slots.get_mut(&person) else {
                return;
            };
            let State::Ready(mut user) = slot.take_user() else {
                return;
            };
            let mut effects = Vec::new();
            let done = self.guarded(|cx| user.unarchived(cx, &message, &mut effects));
            self.put_back(person, user, effects, done.is_some());
        }
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
