//! The core under test: a world of a few people on virtual time, with a hub, storage and fronts
//! just real enough to execute effects and to check what must always hold.
//!
//! Used by the unit tests, the property tests and the fuzz target; no server code calls it. Its
//! assertions *are* the invariants, so unlike the rest of the core it panics.

mod makers;
mod operations;
mod store;

pub use makers::{account, address, caller, message, person, sign_in, spec, submit, text, watch};
pub use operations::operations;

use crate::core::command::{Caller, Change, Command, Fate, Outcome, Reply};
use crate::core::effect::{Context, Effect, Forward, ReplyTag, Rules};
use crate::core::error::Error;
use crate::core::event::Event;
use crate::core::fidelity::{FidelityColumn, FidelityTable};
use crate::core::id::{Ids, MessageId, PointId, Stack, WatchId};
use crate::core::message::{Fidelity, Kind};
use crate::core::node::Node;
use crate::core::port::{Account, PersonRecords};
use crate::core::presence::{State, View};
use crate::core::time::Time;
use crate::core::trace::{Checkpoint, Step};
use crate::core::user::User;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// A stack whose points imply nothing and hang on an address (as RVP's).
pub const LETTERS: Stack = Stack::named("letters");
/// A stack whose points imply presence and hang on a connection (as SIP over TCP).
pub const PHONES: Stack = Stack::named("phones");

/// The answer to a command.
pub type Answer = Result<Reply, Error>;

/// Ids in order.
#[derive(Debug, Default)]
pub struct Counting {
    number: u32,
    random: u128,
}

impl Ids for Counting {
    fn next_number(&mut self) -> u32 {
        self.number += 1;
        1000 + self.number
    }

    fn random(&mut self) -> u128 {
        self.random += 1;
        self.random
    }
}

/// What a front does with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Answer at once.
    Answer(Outcome),
    /// Say nothing until the test does.
    Silent,
}

/// A few people, their storage and their clients.
pub struct World {
    /// Virtual time.
    pub now: Time,
    /// Limits and spans.
    pub rules: Rules,
    /// What each stack shows.
    pub fidelity: FidelityTable,
    /// What clients do.
    pub clients: Clients,
    /// Events since they were taken.
    pub events: Vec<(Stack, Event)>,
    /// Checkpoints since they were taken.
    pub traces: Vec<Checkpoint>,
    /// Every effect in print, for comparing runs; empty unless wanted.
    pub journal: Option<String>,
    /// The process dies when so many effects more have taken effect.
    pub crash_in: Option<usize>,
    /// How often it died.
    pub crashes: usize,
    ids: Counting,
    users: Vec<User>,
    pub(super) records: Vec<PersonRecords>,
    queue: VecDeque<Forward>,
    next_tag: u64,
    answers: BTreeMap<u64, Answer>,
    waiting: BTreeSet<u64>,
    /// Open attempts: message, point.
    open: BTreeSet<(MessageId, PointId)>,
    /// Texts a client has: message, stack, inbox.
    had: BTreeSet<(MessageId, Stack, Arc<str>)>,
    inbox_of: BTreeMap<PointId, (usize, Stack, Arc<str>)>,
    /// Everything to read (other kinds may fail late without a word).
    texts: BTreeSet<MessageId>,
    /// Texts acknowledged as kept and neither delivered nor told of yet.
    promised: BTreeSet<MessageId>,
    /// What the watcher behind each watch believes.
    pub believes: BTreeMap<WatchId, View>,
}

impl World {
    /// A world of `count` people called `p0@example.com` and so on.
    pub fn new(count: usize) -> Self {
        let mut fidelity = FidelityTable::new();
        for (stack, join) in [(LETTERS, Fidelity::Adapted), (PHONES, Fidelity::Dropped)] {
            fidelity.put(
                stack,
                FidelityColumn {
                    text: Fidelity::Adapted,
                    typing: Fidelity::Adapted,
                    join,
                    leave: join,
                    // To letters come only the refusals of their own.
                    invitation: if stack == LETTERS {
                        Fidelity::Adapted
                    } else {
                        Fidelity::Refused
                    },
                    receipt: Fidelity::Dropped,
                    opaque: Fidelity::Refused,
                    own_texts: Fidelity::Dropped,
                    own_state: Fidelity::Adapted,
                    shows_waiting: stack == PHONES,
                    typing_beat: (stack == LETTERS).then_some(Duration::from_secs(4)),
                },
            );
        }
        let users = (0..count)
            .map(|at| User::new(Arc::new(account(at))))
            .collect();
        Self {
            now: Time(1_000_000),
            rules: Rules::default(),
            fidelity,
            clients: Clients::Answer(Outcome::Delivered),
            events: Vec::new(),
            traces: Vec::new(),
            journal: None,
            crash_in: None,
            crashes: 0,
            ids: Counting::default(),
            users,
            records: vec![PersonRecords::default(); count],
            queue: VecDeque::new(),
            next_tag: 0,
            answers: BTreeMap::new(),
            waiting: BTreeSet::new(),
            open: BTreeSet::new(),
            had: BTreeSet::new(),
            inbox_of: BTreeMap::new(),
            texts: BTreeSet::new(),
            promised: BTreeSet::new(),
            believes: BTreeMap::new(),
        }
    }

    /// Sends a command to person `to`; the answer may come later.
    pub fn send(&mut self, to: usize, caller: &Caller, command: Command) -> ReplyTag {
        self.next_tag += 1;
        let tag = ReplyTag(self.next_tag);
        self.waiting.insert(tag.0);
        self.queue.push_back(Forward {
            to: person(to),
            caller: caller.clone(),
            command,
            reply: tag,
        });
        self.pump();
        tag
    }

    /// Sends a command that is answered at once.
    pub fn ask(&mut self, to: usize, caller: &Caller, command: Command) -> Answer {
        let tag = self.send(to, caller, command);
        match self.answer(tag) {
            Some(answer) => answer,
            None if self.crashes > 0 => Err(Error::Stopping),
            None => panic!("not answered at once"),
        }
    }

    /// The answer, if it came.
    pub fn answer(&self, tag: ReplyTag) -> Option<Answer> {
        self.answers.get(&tag.0).cloned()
    }

    /// Whether nobody waits for an answer.
    pub fn all_answered(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Texts that were acknowledged as kept and never came to anything.
    pub fn broken_promises(&self) -> usize {
        self.promised.len()
    }

    /// Attempts no client has answered.
    pub fn open(&self) -> Vec<(MessageId, PointId)> {
        self.open.iter().copied().collect()
    }

    /// A client answers an attempt.
    pub fn outcome(&mut self, attempt: (MessageId, PointId), outcome: Outcome) {
        let (message, point) = attempt;
        if !self.open.remove(&attempt) {
            return;
        }
        let Some((who, stack, inbox)) = self.inbox_of.get(&point).cloned() else {
            return;
        };
        if outcome == Outcome::Delivered {
            self.had.insert((message, stack, inbox));
            self.promised.remove(&message);
        }
        let command = Command::Outcome {
            message,
            point,
            outcome,
        };
        self.queue.push_back(Forward {
            to: person(who),
            caller: caller(who, stack),
            command,
            reply: ReplyTag::NOBODY,
        });
        self.pump();
    }

    /// Lets time pass, ticking everybody when they want it.
    pub fn pass(&mut self, span: Duration) {
        let end = self.now.after(span);
        loop {
            let wakes = self.users.iter().filter_map(User::wake_at);
            let Some(next) = wakes.min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(next);
            for at in 0..self.users.len() {
                if self.users[at]
                    .wake_at()
                    .is_some_and(|wake| wake <= self.now)
                {
                    let crashes = self.crashes;
                    self.run(at, None);
                    let wake = self.users[at].wake_at();
                    assert!(
                        crashes != self.crashes || wake.is_none_or(|w| w > self.now),
                        "a tick leaves nothing due"
                    );
                }
            }
            self.pump();
        }
        self.now = end;
    }

    /// Kills the process and starts it again from what was stored.
    pub fn restart(&mut self) {
        self.crashes += 1;
        self.queue.clear();
        self.waiting.clear();
        self.open.clear();
        // Telling a sender is one message that nobody acknowledges: dying in between the end of
        // a kept text and that message loses it, as the sender's being gone would.
        let kept: BTreeSet<_> = self
            .records
            .iter()
            .flat_map(|r| &r.kept)
            .map(|k| k.message.id)
            .collect();
        self.promised.retain(|message| kept.contains(message));
        for at in 0..self.users.len() {
            let account = Arc::clone(self.users[at].account());
            let records = self.records[at].clone();
            let mut cx = Context {
                now: self.now,
                ids: &mut self.ids,
                rules: &self.rules,
                fidelity: &self.fidelity,
            };
            let (user, effects) = User::restore(account, records, &mut cx);
            self.users[at] = user;
            self.execute(at, effects, true);
        }
        self.pump();
    }

    /// A person as the core has it.
    pub fn user(&self, at: usize) -> &User {
        &self.users[at]
    }

    /// Makes the account at `at` a node that person `owner` owns.
    pub fn make_node(&mut self, at: usize, owner: usize) {
        let mut account = Account::clone(self.users[at].account());
        account.node = Some(Node {
            owner: Some(person(owner)),
            members: Vec::new(),
        });
        self.users[at].set_account(Arc::new(account));
    }

    /// What is stored about a person.
    pub fn stored(&self, at: usize) -> &PersonRecords {
        &self.records[at]
    }

    fn pump(&mut self) {
        while let Some(forward) = self.queue.pop_front() {
            let at = usize::try_from(forward.to.0 - 1).unwrap_or(usize::MAX);
            if at >= self.users.len() {
                // Conversations of many are the hub's to open: here there are none.
                self.take_answer(forward.reply, Err(Error::UnknownUser));
                continue;
            }
            if self.users[at]
                .wake_at()
                .is_some_and(|wake| wake <= self.now)
            {
                self.run(at, None);
            }
            self.run(at, Some(forward));
        }
    }

    /// One command or tick of one person, and its effects.
    fn run(&mut self, at: usize, forward: Option<Forward>) {
        let mut out = Vec::new();
        let mut cx = Context {
            now: self.now,
            ids: &mut self.ids,
            rules: &self.rules,
            fidelity: &self.fidelity,
        };
        match forward {
            None => self.users[at].tick(&mut cx, &mut out),
            Some(f) => self.users[at].apply(&mut cx, &f.caller, f.command, f.reply, &mut out),
        }
        self.execute(at, out, false);
    }

    fn execute(&mut self, at: usize, effects: Vec<Effect>, restoring: bool) {
        let mut let_out = false;
        for effect in effects {
            match &mut self.crash_in {
                Some(0) if !restoring => {
                    self.crash_in = None;
                    self.restart();
                    return;
                }
                Some(left) if !restoring => *left -= 1,
                _ => {}
            }
            if let Some(journal) = &mut self.journal {
                let _ = writeln!(journal, "{at} {effect:?}");
            }
            match effect {
                Effect::Store(write) => {
                    assert!(
                        !let_out,
                        "stored after consequences were let out: {write:?}"
                    );
                    store::commit(&mut self.records[at], write);
                }
                Effect::Reply(tag, answer) => {
                    assert!(!let_out, "RVP 8.5: the answer precedes what it causes");
                    if let Ok(Reply::Points(points)) = &answer {
                        let stored = &self.records[at].points;
                        let held = |id| stored.iter().any(|p| p.id == id);
                        assert!(points.iter().all(|p| held(p.id)), "answered, not stored");
                    }
                    self.take_answer(tag, answer);
                }
                Effect::Emit(stack, event) => {
                    let_out = true;
                    self.take_event(at, stack, event);
                }
                Effect::Forward(forward) => {
                    let_out = true;
                    self.queue.push_back(*forward);
                }
                Effect::Trace(checkpoint) => {
                    if let Step::Accepted {
                        kind: Kind::Text, ..
                    } = checkpoint.step
                    {
                        self.texts.insert(checkpoint.message);
                    }
                    if checkpoint.step == Step::SenderTold {
                        self.promised.remove(&checkpoint.message);
                    }
                    self.traces.push(checkpoint);
                }
                Effect::Admitted { .. } => assert!(!let_out, "admitted after it was let out"),
                Effect::Log(_) => {}
            }
        }
    }

    fn take_answer(&mut self, tag: ReplyTag, answer: Answer) {
        assert!(self.waiting.remove(&tag.0), "answered twice or unasked");
        match &answer {
            Ok(Reply::Sent(sent)) if sent.fate == Fate::Kept => {
                let had = self.had.iter().any(|(had, _, _)| *had == sent.message);
                if self.texts.contains(&sent.message) && !had {
                    self.promised.insert(sent.message);
                }
            }
            Ok(Reply::Watching {
                watch: Some(id),
                lease,
                view,
            }) if !lease.is_zero() => {
                self.believes.insert(*id, view.clone());
            }
            _ => {}
        }
        self.answers.insert(tag.0, answer);
    }

    fn take_event(&mut self, at: usize, stack: Stack, event: Event) {
        match &event {
            Event::Deliver {
                point,
                message,
                redelivered,
                ..
            } => {
                self.inbox_of
                    .insert(point.id, (at, stack, point.inbox.clone()));
                let copy = (message.id, stack, point.inbox.clone());
                assert!(
                    *redelivered || message.content.ephemeral() || !self.had.contains(&copy),
                    "delivered twice to one inbox"
                );
                let attempt = (message.id, point.id);
                if !message.content.ephemeral() {
                    assert!(self.open.insert(attempt), "tried twice at once");
                    if let Clients::Answer(outcome) = self.clients {
                        self.answer_attempt(at, attempt, outcome);
                    }
                }
            }
            Event::Cancel { point, message } => {
                self.open.remove(&(*message, *point));
            }
            Event::Presence { watch, change, .. } => self.take_change(*watch, change),
            Event::InboxPresence { watch, change, .. } => self.take_change(watch.0, change),
            _ => {}
        }
        self.events.push((stack, event));
    }

    fn answer_attempt(&mut self, at: usize, attempt: (MessageId, PointId), outcome: Outcome) {
        let (message, point) = attempt;
        self.open.remove(&attempt);
        if outcome == Outcome::Delivered
            && let Some((_, stack, inbox)) = self.inbox_of.get(&point)
        {
            self.had.insert((message, *stack, inbox.clone()));
            self.promised.remove(&message);
        }
        self.queue.push_back(Forward {
            to: person(at),
            caller: caller(at, LETTERS),
            command: Command::Outcome {
                message,
                point,
                outcome,
            },
            reply: ReplyTag::NOBODY,
        });
    }

    fn take_change(&mut self, watch: WatchId, change: &Change) {
        match change {
            Change::Presence(view) => {
                assert!(
                    !matches!(view.state, State::Invisible | State::Registered),
                    "watchers never see {:?}",
                    view.state
                );
                self.believes.insert(watch, view.clone());
            }
            Change::Pending(view) => {
                assert_eq!(view.state, State::Offline, "nothing to see yet");
                self.believes.insert(watch, view.clone());
            }
            Change::Properties(_)
            | Change::Watchers(_)
            | Change::Calls(_)
            | Change::Documents(_) => {}
            Change::Ended(..) | Change::Last(..) => {
                self.believes.remove(&watch);
            }
        }
    }
}
