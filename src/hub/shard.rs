//! One shard task: owns people, their order and their timers. No lock, no waiting but for work.

use super::archive::Ledger;
use super::loader::Load;
use super::mailbox::{Addressed, Inbox, Inside};
use super::numbers::Fresh;
use super::shared::Shared;
use super::slot::{Slot, State};
use super::writer::Job;
use super::{Envelope, ReplyTo};
use crate::core::command::{Command, PointChange};
use crate::core::effect::{Context, Effect, ReplyTag};
use crate::core::error::Error;
use crate::core::fidelity::FidelityTable;
use crate::core::id::PersonId;
use crate::core::port::{PersonRecords, StoreError};
use crate::core::time::Time;
use crate::core::user::User;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;

/// Work taken from one queue before the other gets its turn.
const TURN: usize = 128;
/// Timers fired before the queues get their turn.
const TIMERS: usize = 512;
/// Outcomes under way to storage beyond which a shard takes no outside work.
pub(super) const UNCOMMITTED: usize = 8_192;
/// Numbers that any one command may need, apart from its own size.
const NUMBERS: usize = 64;
/// Pause before a person whose state could not be read is tried again.
const AGAIN: Duration = Duration::from_secs(5);

pub(super) struct Shard {
    pub(super) number: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) ids: Fresh,
    pub(super) writer: mpsc::UnboundedSender<Job>,
    pub(super) loader: mpsc::UnboundedSender<Load>,
    pub(super) slots: foldhash::HashMap<PersonId, Slot>,
    /// Earliest first; entries that a slot no longer means are skipped.
    pub(super) timers: BinaryHeap<Reverse<(Time, PersonId)>>,
    /// People with live state that could not be read; a timer tries again.
    pub(super) missing: HashSet<PersonId>,
    pub(super) uncommitted: usize,
    pub(super) last_tag: u64,
    pub(super) last_generation: u64,
    pub(super) sweep: Time,
    /// Messages whose results are archived.
    pub(super) ledger: Ledger,
    /// Whether anybody is archived.
    pub(super) archives: bool,
    /// Reused from command to command.
    pub(super) scratch: Vec<Effect>,
}

impl Shard {
    pub(super) fn new(
        number: usize,
        shared: Arc<Shared>,
        ids: Fresh,
        writer: mpsc::UnboundedSender<Job>,
        loader: mpsc::UnboundedSender<Load>,
    ) -> Self {
        let archives = shared.settings.archive.is_on();
        let sweep = shared.clock.now().after(shared.settings.idle);
        Self {
            number,
            shared,
            ids,
            writer,
            loader,
            slots: foldhash::HashMap::default(),
            timers: BinaryHeap::new(),
            missing: HashSet::new(),
            uncommitted: 0,
            last_tag: 0,
            last_generation: 0,
            sweep,
            ledger: Ledger::default(),
            archives,
            scratch: Vec::new(),
        }
    }

    /// Runs until told to stop.
    pub(super) async fn run(mut self, mut inbox: Inbox) {
        let clock = Arc::clone(&self.shared.clock);
        let mut inside = Vec::with_capacity(TURN);
        let mut outside = Vec::with_capacity(TURN);
        loop {
            let next = self.next_timer();
            let room = self.uncommitted < UNCOMMITTED && self.shared.archive.has_room();
            tokio::select! {
                count = inbox.inside.recv_many(&mut inside, TURN) => {
                    if count == 0 {
                        return;
                    }
                }
                _ = inbox.outside.recv_many(&mut outside, TURN), if room => {}
                () = clock.until(next) => {}
            }
            for work in inside.drain(..) {
                if let Inside::Quiet(asker) = work {
                    let quiet = inbox.inside.is_empty() && inbox.outside.is_empty();
                    let _ = asker.send(quiet && self.is_quiet());
                } else if let Inside::Stop(done) = work {
                    self.stop(inbox);
                    let _ = done.send(());
                    return;
                } else {
                    self.work(work);
                }
            }
            for (person, envelope) in outside.drain(..) {
                self.command(person, envelope);
            }
            let more = self.fire();
            if inbox.inside.is_empty() {
                self.read_spilled();
            }
            if more {
                // Thousands of leases that end in one second hold up nobody: what has come out so
                // far is stored, answered and sent before the next of them.
                tokio::task::yield_now().await;
            }
        }
    }

    /// People as storage has them at start.
    pub(super) fn restore_all(&mut self, people: Vec<(PersonId, PersonRecords)>) {
        for (person, records) in people {
            if self.archives {
                for kept in &records.kept {
                    self.ledger.reopen(&self.shared, &kept.message);
                }
            }
            let generation = self.open_slot(person);
            self.loaded(person, generation, Ok(records));
        }
    }

    fn work(&mut self, work: Inside) {
        match work {
            Inside::Command((person, envelope)) => {
                if let Some(mailbox) = self.shared.mailboxes.get(self.number) {
                    mailbox.read(&envelope.command);
                }
                self.command(person, envelope);
            }
            Inside::Loaded {
                person,
                generation,
                records,
            } => self.loaded(person, generation, *records),
            Inside::Committed(all) => {
                for written in all {
                    self.written(written);
                }
            }
            Inside::Account(person) => self.account_changed(person),
            // Seen to by `run`.
            Inside::Spilled | Inside::Room | Inside::Quiet(_) | Inside::Stop(_) => {}
        }
    }

    fn read_spilled(&mut self) {
        let Some(mailbox) = self.shared.mailboxes.get(self.number) else {
            return;
        };
        let spilled: Vec<Addressed> = mailbox.take_spilled();
        for (person, envelope) in spilled {
            self.command(person, envelope);
        }
    }

    /// A command for a person, wherever that person's state is.
    fn command(&mut self, person: PersonId, envelope: Envelope) {
        let Some(slot) = self.slots.get_mut(&person) else {
            return self.first_command(person, envelope);
        };
        if slot.erased {
            return envelope.reply.answer(Err(Error::UnknownUser));
        }
        match &mut slot.state {
            State::Ready(_) => self.apply(person, envelope),
            State::Loading(queue) if queue.len() < self.shared.settings.load_queue => {
                queue.push_back(envelope);
            }
            State::Loading(_) => {
                self.shared.stats.overloaded.add(1);
                envelope.reply.answer(Err(Error::Overloaded));
            }
        }
    }

    fn first_command(&mut self, person: PersonId, envelope: Envelope) {
        if self.shared.directory.account(person).is_none() {
            return envelope.reply.answer(Err(Error::UnknownUser));
        }
        let queue = VecDeque::from([envelope]);
        self.load(person, queue);
    }

    pub(super) fn load(&mut self, person: PersonId, queue: VecDeque<Envelope>) {
        let generation = self.open_slot(person);
        if let Some(slot) = self.slots.get_mut(&person) {
            slot.state = State::Loading(queue);
        }
        // The loader ends only after the shards.
        let _ = self.loader.send(Load { person, generation });
    }

    fn open_slot(&mut self, person: PersonId) -> u64 {
        self.last_generation += 1;
        let slot = Slot::new(self.last_generation, self.shared.clock.now());
        if self.slots.insert(person, slot).is_none() {
            self.shared.stats.people.add(1);
        }
        self.last_generation
    }

    fn loaded(
        &mut self,
        person: PersonId,
        generation: u64,
        records: Result<PersonRecords, StoreError>,
    ) {
        let Some(slot) = self.slots.get_mut(&person) else {
            return;
        };
        let State::Loading(queue) = &mut slot.state else {
            return;
        };
        if slot.generation != generation {
            return;
        }
        let queue = std::mem::take(queue);
        let Some(account) = self.shared.directory.account(person) else {
            self.close_slot(person);
            return refuse(queue, &Error::UnknownUser);
        };
        let restored = records
            .map_err(|error| error.to_string())
            .and_then(|records| {
                self.guarded(|cx| User::restore(account, records, cx))
                    .ok_or_else(|| "restoring it panicked".to_owned())
            });
        let (user, effects) = match restored {
            Ok(restored) => restored,
            Err(error) => {
                tracing::error!(%person, %error, "a person could not be loaded");
                self.shared.stats.load_failures.add(1);
                self.close_slot(person);
                self.missing.insert(person);
                let again = self.shared.clock.now().after(AGAIN);
                self.timers.push(Reverse((again, person)));
                return refuse(queue, &Error::Storage);
            }
        };
        self.missing.remove(&person);
        self.shared.stats.loads.add(1);
        if let Some(slot) = self.slots.get_mut(&person) {
            slot.state = State::Ready(Box::new(user));
        }
        self.conclude(person, effects);
        for envelope in queue {
            self.command(person, envelope);
        }
    }

    /// Executes a command on a person who is there.
    fn apply(&mut self, person: PersonId, envelope: Envelope) {
        let Envelope {
            caller,
            command,
            reply,
        } = envelope;
        if !self.ids.ready(NUMBERS + size(&command)) {
            self.shared.stats.overloaded.add(1);
            return reply.answer(Err(Error::Overloaded));
        }
        let now = self.shared.clock.now();
        let tag = self.tag(&reply);
        let Some(slot) = self.slots.get_mut(&person) else {
            return reply.answer(Err(Error::Storage));
        };
        slot.used = now;
        if tag != ReplyTag::NOBODY {
            slot.replies.insert(tag, reply);
        }
        let State::Ready(mut user) = slot.take_user() else {
            return;
        };
        let mut effects = std::mem::take(&mut self.scratch);
        self.shared.stats.commands.add(1);
        let done = self.guarded(|cx| user.apply(cx, &caller, command, tag, &mut effects));
        self.put_back(person, user, effects, done.is_some());
    }

    /// Lets time pass for a person.
    fn tick(&mut self, person: PersonId) {
        if !self.ids.ready(NUMBERS) {
            let again = self.shared.clock.now().after(AGAIN);
            return self.arm(person, again);
        }
        let Some(slot) = self.slots.get_mut(&person) else {
            return;
        };
        let State::Ready(mut user) = slot.take_user() else {
            return;
        };
        let mut effects = std::mem::take(&mut self.scratch);
        let done = self.guarded(|cx| user.tick(cx, &mut effects));
        self.put_back(person, user, effects, done.is_some());
    }

    pub(super) fn put_back(
        &mut self,
        person: PersonId,
        user: Box<User>,
        effects: Vec<Effect>,
        sound: bool,
    ) {
        let made_up = self.ids.take_failure();
        if !sound || made_up {
            return self.fail(person, "a panic or a lack of ids");
        }
        if let Some(slot) = self.slots.get_mut(&person) {
            slot.state = State::Ready(user);
        }
        self.conclude(person, effects);
    }

    /// Calls the core. A panic there is its bug: caught, counted, `None`.
    pub(super) fn guarded<T>(&mut self, call: impl FnOnce(&mut Context<'_>) -> T) -> Option<T> {
        let none = FidelityTable::new();
        let attached = self.shared.attached.get();
        let mut context = Context {
            now: self.shared.clock.now(),
            ids: &mut self.ids,
            rules: &self.shared.settings.rules,
            fidelity: attached.map_or(&none, |attached| &attached.fidelity),
        };
        let done = catch_unwind(AssertUnwindSafe(|| call(&mut context)));
        if done.is_err() {
            self.shared.stats.panics.add(1);
        }
        done.ok()
    }

    fn tag(&mut self, reply: &ReplyTo) -> ReplyTag {
        if matches!(reply, ReplyTo::Nobody) {
            return ReplyTag::NOBODY;
        }
        self.last_tag += 1;
        ReplyTag(self.last_tag)
    }

    fn account_changed(&mut self, person: PersonId) {
        let account = self.shared.directory.account(person);
        let Some(slot) = self.slots.get_mut(&person) else {
            return;
        };
        match (account, &mut slot.state) {
            (Some(account), State::Ready(user)) => user.set_account(account),
            (None, _) if slot.erased && slot.pending.is_empty() => self.close_slot(person),
            // A load takes the account from the directory when it ends.
            _ => {}
        }
    }

    pub(super) fn close_slot(&mut self, person: PersonId) {
        if let Some(slot) = self.slots.remove(&person) {
            self.shared.stats.people.sub(1);
            slot.answer_all(&Error::Storage);
        }
    }

    fn next_timer(&self) -> Time {
        let first = self.timers.peek().map_or(self.sweep, |timer| timer.0.0);
        first.min(self.sweep)
    }

    /// Fires some of the timers that are due; whether there are more of them.
    fn fire(&mut self) -> bool {
        let now = self.shared.clock.now();
        for _ in 0..TIMERS {
            let Some(&Reverse((at, person))) = self.timers.peek() else {
                break;
            };
            if at > now {
                break;
            }
            self.timers.pop();
            self.fire_one(person, at, now);
        }
        if now >= self.sweep {
            self.sweep = now.after(self.shared.settings.idle / 2);
            self.drop_idle(now);
        }
        self.next_timer() <= now
    }

    fn fire_one(&mut self, person: PersonId, at: Time, now: Time) {
        let Some(slot) = self.slots.get_mut(&person) else {
            if self.missing.contains(&person) {
                self.load(person, VecDeque::new());
            }
            return;
        };
        if slot.scheduled != Some(at) {
            return;
        }
        slot.scheduled = None;
        let State::Ready(user) = &slot.state else {
            return;
        };
        match user.wake_at() {
            Some(wake) if wake <= now => self.tick(person),
            Some(wake) => self.arm(person, wake),
            None => {}
        }
    }

    /// Makes sure that a timer goes off at `at` or earlier.
    pub(super) fn arm(&mut self, person: PersonId, at: Time) {
        let Some(slot) = self.slots.get_mut(&person) else {
            return;
        };
        if slot.scheduled.is_none_or(|earlier| at < earlier) {
            slot.scheduled = Some(at);
            self.timers.push(Reverse((at, person)));
        }
    }

    fn drop_idle(&mut self, now: Time) {
        let idle = self.shared.settings.idle;
        let before = self.slots.len();
        let directory = &self.shared.directory;
        self.slots.retain(|person, slot| {
            let gone = slot.erased && directory.account(*person).is_none();
            !(slot.is_idle() && (gone || slot.used.after(idle) <= now))
        });
        let dropped = before - self.slots.len();
        let dropped = u64::try_from(dropped).unwrap_or(0);
        self.shared.stats.people.sub(dropped);
    }

    fn is_quiet(&self) -> bool {
        self.uncommitted == 0 && self.slots.values().all(Slot::is_quiet)
    }

    /// The end: everybody who still waits is told so.
    fn stop(&mut self, mut inbox: Inbox) {
        inbox.outside.close();
        inbox.inside.close();
        while let Ok((_, envelope)) = inbox.outside.try_recv() {
            envelope.reply.answer(Err(Error::Stopping));
        }
        while let Ok(work) = inbox.inside.try_recv() {
            if let Inside::Command((_, envelope)) = work {
                envelope.reply.answer(Err(Error::Stopping));
            }
        }
        for (_, slot) in self.slots.drain() {
            slot.answer_all(&Error::Stopping);
        }
        debug_assert!(self.shared.closing.load(Ordering::Acquire));
    }
}

fn refuse(queue: VecDeque<Envelope>, error: &Error) {
    for envelope in queue {
        envelope.reply.answer(Err(error.clone()));
    }
}

/// How many numbers a command may need because of its own size.
fn size(command: &Command) -> usize {
    match command {
        Command::Register(register) => {
            let puts = register.changes.iter();
            puts.filter(|change| matches!(change, PointChange::Put(_)))
                .count()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
