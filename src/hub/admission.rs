//! Admission hooks: filters and archives between accept and commit (`decisions.md` 17).

use super::Envelope;
use super::shared::Shared;
use crate::core::address::Address;
use crate::core::command::{Command, Fate, Reply, Route, Sent};
use crate::core::error::Error;
use crate::core::id::{ConversationId, MessageId, PersonId};
use crate::core::message::Message;
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
    ) -> Self {
        let (entrance, arrivals) = mpsc::channel(room.max(1));
        let inside = Arc::new(AtomicUsize::new(0));
        let lanes = Lanes {
            hooks: hooks.into(),
            shared: Arc::downgrade(shared),
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
    refused: Option<Error>,
}

type Walk = Pin<Box<dyn Future<Output = Walked> + Send>>;
/// A walk that a hook's panic does not tear out of its lane.
type Safe = CatchUnwind<AssertUnwindSafe<Walk>>;

struct Lanes {
    hooks: Arc<[Arc<dyn AdmissionHook>]>,
    shared: Weak<Shared>,
    inside: Arc<AtomicUsize>,
    room: usize,
    /// The first of each lane is with the hooks.
    waiting: HashMap<Lane, VecDeque<Passing>>,
    running: FuturesUnordered<Running>,
}

/// A walk and the lane that waits for it.
struct Running(Option<Lane>, Safe);

impl Future for Running {
    type Output = (Lane, Option<Walked>);

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        let walked = std::task::ready!(self.1.poll_unpin(cx)).ok();
        // Taken once: a future is not polled after it was ready.
        let lane = self.0.take().unwrap_or(Lane::Of(ConversationId(0)));
        std::task::Poll::Ready((lane, walked))
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
                Some((lane, walked)) = self.running.next(), if !self.running.is_empty() => {
                    self.leave(lane, walked);
                }
            }
        }
    }

    fn arrive(&mut self, passing: Passing) {
        let Command::Deliver(message) = &passing.envelope.command else {
            return self.admitted(passing);
        };
        if passing.envelope.caller.route == Route::Internal {
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
        let walk: Walk = Box::pin(walk(Arc::clone(&self.hooks), Arc::clone(message)));
        let safe = AssertUnwindSafe(walk).catch_unwind();
        self.running.push(Running(Some(lane), safe));
    }

    fn leave(&mut self, lane: Lane, walked: Option<Walked>) {
        let waiting = self.waiting.get_mut(&lane);
        if let Some(mut passing) = waiting.and_then(VecDeque::pop_front) {
            match walked {
                Some(walked) => {
                    self.note(walked.message.id, walked.marks);
                    match walked.refused {
                        Some(error) => self.refused(passing, error),
                        None => {
                            passing.envelope.command = Command::Deliver(walked.message);
                            self.admitted(passing);
                        }
                    }
                }
                None => {
                    tracing::error!("an admission hook panicked; its message is refused");
                    self.refused(passing, Error::Refused("a filter failed".to_owned()));
                }
            }
        }
        self.begin(lane);
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
                let sent = Reply::Sent(Sent {
                    message: message.id,
                    conversation: message.conversation,
                    fate: Fate::Dropped,
                });
                return passing.envelope.reply.answer(Ok(sent));
            }
        }
        passing.envelope.reply.answer(Err(error));
    }
}

/// Takes a message past all hooks.
async fn walk(hooks: Arc<[Arc<dyn AdmissionHook>]>, message: Arc<Message>) -> Walked {
    let mut walked = Walked {
        message,
        marks: Vec::new(),
        refused: None,
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
                walked.refused = Some(error);
                break;
            }
        }
    }
    walked
}
