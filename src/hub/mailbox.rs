//! What waits in front of a shard.
//!
//! Two queues, so that work from outside can never block the inside work that would finish it:
//! - **outside**: commands of fronts. Bounded; full = `Overloaded`. A shard stops reading it while
//!   too much of its own waits to be committed.
//! - **inside**: what shards pass to each other, what storage answers, and what fronts report
//!   about attempts and connections. Always read, so shards cannot wait for each other in a ring.
//!   Each kind is bounded by something: messages by the reserve (beyond it the sender is told
//!   `Overloaded`), reports by the attempts and connections they are about, commits by the limit
//!   above, presence to inboxes by the reserve and beyond it by the number of watches (the newest
//!   state of a watch replaces the older one).

use super::{Envelope, ReplyTo};
use crate::core::command::{Caller, Change, Command, Relay};
use crate::core::error::Error;
use crate::core::id::{PersonId, WatchId};
use crate::core::port::{PersonRecords, StoreError};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

/// A command for a person.
pub(super) type Addressed = (PersonId, Envelope);

/// Inside work.
#[expect(
    clippy::large_enum_variant,
    reason = "commands are nearly all of it; boxing them would cost an allocation each"
)]
pub(super) enum Inside {
    /// A command.
    Command(Addressed),
    /// A person was read from storage.
    Loaded {
        person: PersonId,
        generation: u64,
        records: Box<Result<PersonRecords, StoreError>>,
    },
    /// The writer is through with these outcomes, in the order in which it got them.
    Committed(Vec<Written>),
    /// The account in the directory has changed or is gone.
    Account(PersonId),
    /// Something was spilled: look once the queue is read.
    Spilled,
    /// The writer has room for more of the archive: look whether outside work can be taken.
    Room,
    /// Is anything under way?
    Quiet(oneshot::Sender<bool>),
    /// The end: answer whoever waits, then go.
    Stop(oneshot::Sender<()>),
}

/// One outcome that the writer is through with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    pub(super) person: PersonId,
    pub(super) generation: u64,
    pub(super) stored: bool,
}

/// The sending side.
pub(super) struct Mailbox {
    outside: mpsc::Sender<Addressed>,
    inside: mpsc::UnboundedSender<Inside>,
    /// Messages and relays that were passed and not read yet.
    passed: AtomicUsize,
    reserve: usize,
    spilling: AtomicBool,
    spilled: Mutex<BTreeMap<SpillKey, (Caller, Arc<Relay>)>>,
}

/// Presence, properties and the end of a watch are told apart: none replaces another.
type SpillKey = (PersonId, WatchId, u8);

/// The reading side.
pub(super) struct Inbox {
    pub(super) outside: mpsc::Receiver<Addressed>,
    pub(super) inside: mpsc::UnboundedReceiver<Inside>,
}

impl Mailbox {
    pub(super) fn new(capacity: usize, reserve: usize) -> (Self, Inbox) {
        let (outside, outside_out) = mpsc::channel(capacity.max(1));
        let (inside, inside_out) = mpsc::unbounded_channel();
        let mailbox = Self {
            outside,
            inside,
            passed: AtomicUsize::new(0),
            reserve: reserve.max(1),
            spilling: AtomicBool::new(false),
            spilled: Mutex::default(),
        };
        let inbox = Inbox {
            outside: outside_out,
            inside: inside_out,
        };
        (mailbox, inbox)
    }

    /// Takes a front's command; `false` if it was refused (and answered).
    pub(super) fn post(&self, to: PersonId, envelope: Envelope) -> bool {
        if is_report(&envelope.command) {
            self.tell(Inside::Command((to, envelope)));
            return true;
        }
        match self.outside.try_send((to, envelope)) {
            Ok(()) => true,
            Err(TrySendError::Full((_, envelope))) => {
                envelope.reply.answer(Err(Error::Overloaded));
                false
            }
            Err(TrySendError::Closed((_, envelope))) => {
                envelope.reply.answer(Err(Error::Stopping));
                true
            }
        }
    }

    /// Takes what another shard passes on; `false` if it was refused (and answered).
    pub(super) fn pass(&self, to: PersonId, envelope: Envelope) -> bool {
        if let Command::Relay(relay) = &envelope.command {
            let relay = Arc::clone(relay);
            return self.pass_relay(to, envelope, relay);
        }
        let may_refuse = match &envelope.command {
            // A late failure notice has nobody to be refused to: it was promised.
            Command::Deliver(message) => {
                !matches!(envelope.reply, ReplyTo::Nobody) || message.content.ephemeral()
            }
            _ => false,
        };
        if may_refuse && self.passed.load(Ordering::Relaxed) >= self.reserve {
            envelope.reply.answer(Err(Error::Overloaded));
            return false;
        }
        if !is_report(&envelope.command) {
            self.passed.fetch_add(1, Ordering::Relaxed);
        }
        self.tell(Inside::Command((to, envelope)));
        true
    }

    fn pass_relay(&self, to: PersonId, envelope: Envelope, relay: Arc<Relay>) -> bool {
        let full = self.passed.load(Ordering::Relaxed) >= self.reserve;
        if full || self.spilling.load(Ordering::Acquire) {
            let mut spilled = self.lock();
            // Whatever is spilled is newer than the queue: while some is, all goes there.
            if full || !spilled.is_empty() {
                spill(&mut spilled, to, envelope.caller, relay);
                // The shard may have read everything since `full` was found out and sleep now.
                if !self.spilling.swap(true, Ordering::AcqRel) {
                    self.tell(Inside::Spilled);
                }
                return true;
            }
        }
        self.passed.fetch_add(1, Ordering::Relaxed);
        self.tell(Inside::Command((to, envelope)));
        true
    }

    /// Puts inside work down; never refused.
    pub(super) fn tell(&self, inside: Inside) {
        if let Err(mpsc::error::SendError(Inside::Command((_, envelope)))) =
            self.inside.send(inside)
        {
            envelope.reply.answer(Err(Error::Stopping));
        }
    }

    /// The shard has read something that [`Self::pass`] took.
    pub(super) fn read(&self, command: &Command) {
        if !is_report(command) {
            self.passed.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// What was spilled, once the queue is read.
    pub(super) fn take_spilled(&self) -> Vec<Addressed> {
        if !self.spilling.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut spilled = self.lock();
        let all = std::mem::take(&mut *spilled);
        self.spilling.store(false, Ordering::Release);
        drop(spilled);
        let command = |((person, ..), (caller, relay)): (SpillKey, (Caller, Arc<Relay>))| {
            let envelope = Envelope {
                caller,
                command: Command::Relay(relay),
                reply: ReplyTo::Nobody,
            };
            (person, envelope)
        };
        all.into_iter().map(command).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SpillKey, (Caller, Arc<Relay>)>> {
        self.spilled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What fronts report unasked: each is about something that exists once, and must not get lost.
fn is_report(command: &Command) -> bool {
    matches!(
        command,
        Command::Outcome { .. } | Command::Tether { .. } | Command::Health { .. }
    )
}

fn spill(
    spilled: &mut BTreeMap<SpillKey, (Caller, Arc<Relay>)>,
    to: PersonId,
    caller: Caller,
    relay: Arc<Relay>,
) {
    let kind = match &relay.change {
        Change::Properties(_) => 0,
        Change::Presence(_)
        | Change::Pending(_)
        | Change::Watchers(_)
        | Change::Calls(_)
        | Change::Documents(_) => 1,
        Change::Ended(..) | Change::Last(..) => 2,
    };
    let key = (to, relay.watch.0, kind);
    let older = spilled.remove(&key);
    let relay = match (
        &relay.change,
        older.as_ref().map(|(_, older)| &older.change),
    ) {
        (Change::Properties(newer), Some(Change::Properties(older))) => {
            let stands = older
                .iter()
                .filter(|(name, _)| newer.iter().all(|(other, _)| other != name));
            let both = stands.chain(newer).cloned().collect();
            let mut merged = (*relay).clone();
            merged.change = Change::Properties(both);
            Arc::new(merged)
        }
        _ => relay,
    };
    spilled.insert(key, (caller, relay));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::access::Scheme;
    use crate::core::address::Address;
    use crate::core::command::{PropertyName, Route};
    use crate::core::id::Stack;
    use crate::core::presence::{State, View};
    use crate::core::time::Time;

    const STACK: Stack = Stack::named("rvp");

    fn relay(watch: u32, change: Change) -> Envelope {
        let address = Address::parse("a@example.com").unwrap();
        let caller = Caller {
            address: address.clone(),
            person: None,
            scheme: Scheme::Internal,
            route: Route::Internal,
        };
        let relay = Relay {
            of: address,
            stack: STACK,
            watch: (WatchId(watch), Vec::new().into()),
            change,
        };
        Envelope {
            caller,
            command: Command::Relay(Arc::new(relay)),
            reply: ReplyTo::Nobody,
        }
    }

    fn presence(state: State) -> Change {
        Change::Presence(View {
            state,
            ..View::offline(Time(0))
        })
    }

    fn properties(names: &[&str]) -> Change {
        let name = |local: &&str| PropertyName {
            namespace: "n".into(),
            local: (*local).into(),
        };
        Change::Properties(names.iter().map(|local| (name(local), None)).collect())
    }

    fn changes(all: Vec<Addressed>) -> Vec<String> {
        let change = |(_, envelope): Addressed| match envelope.command {
            Command::Relay(relay) => match &relay.change {
                Change::Presence(view) => format!("{} {:?}", relay.watch.0.0, view.state),
                Change::Properties(all) => {
                    let names: Vec<_> = all.iter().map(|(name, _)| name.local.as_ref()).collect();
                    format!("{} {}", relay.watch.0.0, names.join("+"))
                }
                _ => format!("{} ended", relay.watch.0.0),
            },
            _ => "?".to_owned(),
        };
        all.into_iter().map(change).collect()
    }

    #[test]
    fn beyond_the_reserve_each_watch_keeps_its_newest_state() {
        let (mailbox, mut inbox) = Mailbox::new(4, 2);
        let to = PersonId(1);
        for (watch, change) in [
            (1, presence(State::Online)),
            (2, presence(State::Online)),
            (1, presence(State::Busy)),
            (1, properties(&["a", "b"])),
            (1, presence(State::Away)),
            (1, properties(&["b", "c"])),
        ] {
            assert!(mailbox.pass(to, relay(watch, change)));
        }
        let mut queued = Vec::new();
        while let Ok(Inside::Command(command)) = inbox.inside.try_recv() {
            mailbox.read(&command.1.command);
            queued.push(command);
        }
        assert_eq!(changes(queued), ["1 Online", "2 Online"]);
        // There is room again, but what is spilled is older and goes first.
        assert!(mailbox.pass(to, relay(1, presence(State::Idle))));
        assert!(inbox.inside.try_recv().is_err());
        assert_eq!(changes(mailbox.take_spilled()), ["1 a+b+c", "1 Idle"]);
        assert!(mailbox.take_spilled().is_empty());
        assert!(mailbox.pass(to, relay(1, presence(State::Busy))));
        assert!(inbox.inside.try_recv().is_ok());
    }

    #[test]
    fn a_refused_command_is_answered() {
        let (mailbox, inbox) = Mailbox::new(1, 1);
        let ask = || {
            let (sender, receiver) = oneshot::channel();
            let mut envelope = relay(1, presence(State::Online));
            envelope.command = Command::Look;
            envelope.reply = ReplyTo::Once(sender);
            (envelope, receiver)
        };
        let (first, mut first_answer) = ask();
        assert!(mailbox.post(PersonId(1), first));
        assert!(first_answer.try_recv().is_err());
        let (second, mut second_answer) = ask();
        assert!(!mailbox.post(PersonId(1), second));
        assert!(matches!(
            second_answer.try_recv(),
            Ok(Err(Error::Overloaded))
        ));
        drop(inbox);
        let (third, mut third_answer) = ask();
        mailbox.post(PersonId(1), third);
        assert!(matches!(third_answer.try_recv(), Ok(Err(Error::Stopping))));
    }
}
