//! Admission hooks: filters and archives between accept and commit (`decisions.md` 17).

use super::Envelope;
use super::shared::Shared;
use super::writer::Job;
use super::{diverted, held};
use crate::core::address::Address;
use crate::core::command::{Command, Fate, Reply, Route, Sent};
use crate::core::error::Error;
use crate::core::id::{ConversationId, MessageId, PersonId};
use crate::core::message::Message;
use crate::core::port::{HeldRecord, StoreError};
use crate::core::trace::{Checkpoint, Filtered, Step};
use futures_util::future::CatchUnwind;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::mpsc;

/// What a hook says.
#[derive(Debug)]
pub enum Admission {
    /// It passes as it is.
    Pass,
    /// It passes like this.
    Changed(Arc<Message>),
    /// It does not pass; the sender is told this.
    Refused(Error),
    /// It is stored until an operator decides, for this reason; the sender is told that it is kept.
    Held(String),
    /// It goes to somebody else.
    Routed(Address),
    /// It goes nowhere; its sender gets this text from whom he wrote to.
    Answered(String),
}

/// One hook. Hooks run in order, each on what the one before it let through; messages of one
/// conversation pass in order, others do not wait for them. With no hook there is no cost. What
/// this server itself has to say, and copies for members of a list, pass no hooks.
///
/// All hooks are polled in one task: what takes long must wait, not compute.
pub trait AdmissionHook: Send + Sync + 'static {
    /// Name for logs and traces.
    fn name(&self) -> &str;
    /// Judges a message.
    fn admit(&self, message: Arc<Message>) -> Pin<Box<dyn Future<Output = Admission> + Send + '_>>;
}

/// A message in front of the hooks.
struct Passing {
    to: PersonId,
    envelope: Envelope,
}

/// Where messages pass the hooks: one lane per conversation, lanes side by side.
pub(super) struct Hall {
    entrance: mpsc::Sender<Passing>,
    inside: Arc<AtomicUsize>,
}

impl Hall {
    /// Opens the hall; messages beyond `room` are refused as `Overloaded`.
    pub(super) fn open(
        hooks: Vec<Arc<dyn AdmissionHook>>,
        room: usize,
        shared: &Arc<Shared>,
        writer: &mpsc::UnboundedSender<Job>,
    ) -> Self {
        let (entrance, arrivals) = mpsc::channel(room.max(1));
        let inside = Arc::new(AtomicUsize::new(0));
        let lanes = Lanes {
            hooks: hooks.into(),
            shared: Arc::downgrade(shared),
            writer: writer.downgrade(),
            inside: Arc::clone(&inside),
            room: room.max(1),
            waiting: HashMap::new(),
            running: FuturesUnordered::new(),
        };
        tokio::spawn(lanes.run(arrivals));
        Self { entrance, inside }
    }

    /// Takes a message; `false` if it was refused (and answered).
    pub(super) fn enter(&self, to: PersonId, envelope: Envelope) -> bool {
        self.inside.fetch_add(1, Ordering::AcqRel);
        let Err(refused) = self.entrance.try_send(Passing { to, envelope }) else {
            return true;
        };
        self.inside.fetch_sub(1, Ordering::AcqRel);
        let passing = refused.into_inner();
        passing.envelope.reply.answer(Err(Error::Overloaded));
        false
    }

    /// Whether nothing is in the hall.
    pub(super) fn is_quiet(&self) -> bool {
        self.inside.load(Ordering::Acquire) == 0
    }
}

/// What keeps its order. Messages from other servers have no conversation yet.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Lane {
    Of(ConversationId),
    Between(Address, Address),
}

impl Lane {
    fn of(message: &Message) -> Self {
        match message.conversation {
            ConversationId(0) => Self::Between(message.from.clone(), message.to.clone()),
            known => Self::Of(known),
        }
    }
}

/// How a message came out of the hooks.
struct Walked {
    message: Arc<Message>,
    /// Hooks that did something, and what.
    marks: Vec<(Arc<str>, Filtered)>,
    end: End,
}

enum End {
    Admitted,
    Refused(Error),
    /// By that hook, for that reason.
    Held(Arc<str>, String),
    Routed(Address),
    Answered(String),
}

/// What a lane waits for.
enum Done {
    Walked(Walked),
    Stored(Result<(), StoreError>),
}

type Work = Pin<Box<dyn Future<Output = Done> + Send>>;
/// Work that a hook's panic does not tear out of its lane.
type Safe = CatchUnwind<AssertUnwindSafe<Work>>;

struct Lanes {
    hooks: Arc<[Arc<dyn AdmissionHook>]>,
    shared: Weak<Shared>,
    /// Does not keep the writer when the hub stops.
    writer: mpsc::WeakUnboundedSender<Job>,
    inside: Arc<AtomicUsize>,
    room: usize,
    /// The first of each lane is with the hooks.
    waiting: HashMap<Lane, VecDeque<Passing>>,
    running: FuturesUnordered<Running>,
}

/// Work and the lane that waits for it.
struct Running(Option<Lane>, Safe);

impl Running {
    fn new(lane: Lane, work: Work) -> Self {
        Self(Some(lane), AssertUnwindSafe(work).catch_unwind())
    }
}

impl Future for Running {
    type Output = (Lane, Option<Done>);

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        let done = std::task::ready!(self.1.poll_unpin(cx)).ok();
        // Taken once: a future is not polled after it was ready.
        let lane = self.0.take().unwrap_or(Lane::Of(ConversationId(0)));
        std::task::Poll::Ready((lane, done))
    }
}

impl Lanes {
    async fn run(mut self, mut arrivals: mpsc::Receiver<Passing>) {
        loop {
            let room = self.inside.load(Ordering::Acquire) <= self.room;
            tokio::select! {
                passing = arrivals.recv(), if room || self.running.is_empty() => {
                    let Some(passing) = passing else { return };
                    self.arrive(passing);
                }
                Some((lane, done)) = self.running.next(), if !self.running.is_empty() => {
                    self.done(lane, done);
                }
            }
        }
    }

    fn arrive(&mut self, passing: Passing) {
        let Command::Deliver(message) = &passing.envelope.command else {
            return self.admitted(passing);
        };
        // What is said among many meets the filters on its way to each of them, for whom it is.
        let said = message.chat.is_some();
        if passing.envelope.caller.route == Route::Internal && !said {
            return self.admitted(passing);
        }
        let lane = Lane::of(message);
        let waiting = self.waiting.entry(lane.clone()).or_default();
        waiting.push_back(passing);
        if waiting.len() == 1 {
            self.begin(lane);
        }
    }

    /// Starts the first of a lane on the hooks.
    fn begin(&mut self, lane: Lane) {
        let first = self.waiting.get(&lane).and_then(VecDeque::front);
        let Some(Command::Deliver(message)) = first.map(|first| &first.envelope.command) else {
            self.waiting.remove(&lane);
            return;
        };
        let walk = walk(Arc::clone(&self.hooks), Arc::clone(message));
        let work = Box::pin(async move { Done::Walked(walk.await) });
        self.running.push(Running::new(lane, work));
    }

    fn done(&mut self, lane: Lane, done: Option<Done>) {
        match done {
            Some(Done::Walked(walked)) => self.walked(lane, walked),
            Some(Done::Stored(Ok(()))) => {
                self.leave(lane, |lanes, first| lanes.told(first, Fate::Kept));
            }
            Some(Done::Stored(Err(error))) => {
                tracing::warn!(%error, "a message could not be held; it is refused");
                self.leave(lane, |lanes, first| lanes.refused(first, Error::Storage));
            }
            None => {
                tracing::error!("an admission hook panicked; its message is refused");
                let refused = Error::Refused("a filter failed".to_owned());
                self.leave(lane, |lanes, first| lanes.refused(first, refused));
            }
        }
    }

    fn walked(&mut self, lane: Lane, walked: Walked) {
        let message = walked.message;
        self.note(message.id, walked.marks);
        match walked.end {
            End::Admitted => self.leave(lane, |lanes, mut first| {
                first.envelope.command = Command::Deliver(message);
                lanes.admitted(first);
            }),
            End::Refused(error) => self.leave(lane, |lanes, first| lanes.refused(first, error)),
            End::Held(by, reason) => self.hold(lane, message, &by, reason),
            End::Routed(to) => self.leave(lane, |lanes, first| lanes.routed(first, &message, to)),
            End::Answered(text) => self.leave(lane, |lanes, first| {
                if let Some(shared) = lanes.shared.upgrade() {
                    diverted::answer(&shared, &message, text);
                }
                lanes.told(first, Fate::Delivered);
            }),
        }
    }

    /// Stores what a hook holds; the lane waits for that.
    fn hold(&mut self, lane: Lane, message: Arc<Message>, by: &str, reason: String) {
        let first = self.waiting.get_mut(&lane).and_then(VecDeque::front_mut);
        let (Some(first), Some(shared)) = (first, self.shared.upgrade()) else {
            return self.leave(lane, |lanes, first| lanes.refused(first, Error::Stopping));
        };
        let message = held::named(&shared, message);
        first.envelope.command = Command::Deliver(Arc::clone(&message));
        let record = HeldRecord {
            person: first.to,
            message,
            scheme: first.envelope.caller.scheme,
            since: shared.clock.now(),
            filter: by.to_owned(),
            reason,
        };
        match held::put(&shared, &self.writer, record) {
            Ok(stored) => {
                let work = Box::pin(async move { Done::Stored(stored.await) });
                self.running.push(Running::new(lane, work));
            }
            Err(error) => self.leave(lane, |lanes, first| lanes.refused(first, error)),
        }
    }

    /// The first of a lane goes, and the next one is begun.
    fn leave(&mut self, lane: Lane, go: impl FnOnce(&Self, Passing)) {
        let waiting = self.waiting.get_mut(&lane);
        if let Some(first) = waiting.and_then(VecDeque::pop_front) {
            go(self, first);
        }
        self.begin(lane);
    }

    /// It goes to somebody else, who may refuse it like any other.
    fn routed(&self, mut passing: Passing, message: &Message, to: Address) {
        let shared = self.shared.upgrade();
        let there = shared.and_then(|shared| diverted::person(&shared, &to));
        let Some(person) = there else {
            return self.refused(passing, Error::UnknownUser);
        };
        passing.to = person;
        let routed = diverted::addressed(message, to);
        passing.envelope.command = Command::Deliver(Arc::new(routed));
        self.admitted(passing);
    }

    /// The sender is told what became of it here.
    fn told(&self, passing: Passing, fate: Fate) {
        self.inside.fetch_sub(1, Ordering::AcqRel);
        if let Command::Deliver(message) = &passing.envelope.command {
            let sent = told(message, fate);
            passing.envelope.reply.answer(Ok(sent));
        }
    }

    /// Writes into the trace which hook did what. What came from another server has no id yet.
    fn note(&self, message: MessageId, marks: Vec<(Arc<str>, Filtered)>) {
        let Some(shared) = self.shared.upgrade().filter(|_| message.0 != 0) else {
            return;
        };
        for (by, what) in marks {
            let step = Step::Filtered(by, what);
            let at = shared.clock.now();
            shared.trace.note(Checkpoint { message, at, step });
        }
    }

    fn admitted(&self, passing: Passing) {
        self.inside.fetch_sub(1, Ordering::AcqRel);
        match self.shared.upgrade() {
            Some(shared) => {
                if !shared.pass_admitted(passing.to, passing.envelope) {
                    shared.stats.overloaded.add(1);
                }
            }
            None => passing.envelope.reply.answer(Err(Error::Stopping)),
        }
    }

    fn refused(&self, passing: Passing, error: Error) {
        self.inside.fetch_sub(1, Ordering::AcqRel);
        if let (Some(shared), Command::Deliver(message)) =
            (self.shared.upgrade(), &passing.envelope.command)
        {
            shared.stats.refused.add(1);
            if message.id.0 != 0 {
                shared.trace.note(Checkpoint {
                    message: message.id,
                    at: shared.clock.now(),
                    step: Step::Failed(error.clone()),
                });
            }
            // Whoever types is not told that nobody is shown it.
            if message.content.ephemeral() {
                let sent = told(message, Fate::Dropped);
                return passing.envelope.reply.answer(Ok(sent));
            }
        }
        passing.envelope.reply.answer(Err(error));
    }
}

/// What the sender is told of a message.
fn told(message: &Message, fate: Fate) -> Reply {
    Reply::Sent(Sent {
        message: message.id,
        conversation: message.conversation,
        fate,
    })
}

/// Takes a message past all hooks.
async fn walk(hooks: Arc<[Arc<dyn AdmissionHook>]>, message: Arc<Message>) -> Walked {
    let mut walked = Walked {
        message,
        marks: Vec::new(),
        end: End::Admitted,
    };
    for hook in hooks.iter() {
        let mut mark = |what| walked.marks.push((hook.name().into(), what));
        match hook.admit(Arc::clone(&walked.message)).await {
            Admission::Pass => {}
            Admission::Changed(message) => {
                mark(Filtered::Changed);
                walked.message = message;
            }
            Admission::Refused(error) => {
                mark(Filtered::Refused);
                let (from, to) = (&walked.message.from, &walked.message.to);
                tracing::info!(filter = hook.name(), %from, %to, cause = %error, "a message was refused");
                walked.end = End::Refused(error);
                break;
            }
            Admission::Routed(to) => {
                mark(Filtered::Routed);
                walked.end = End::Routed(to);
                break;
            }
            Admission::Answered(text) => {
                mark(Filtered::Answered);
                walked.end = End::Answered(text);
                break;
            }
            Admission::Held(reason) => {
                mark(Filtered::Held);
                let (from, to) = (&walked.message.from, &walked.message.to);
                tracing::info!(filter = hook.name(), %from, %to, cause = reason, "a message is held");
                walked.end = End::Held(hook.name().into(), reason);
                break;
            }
        }
    }
    walked
}
