//! Admission hooks: filters between accept and commit (`decisions.md` 17; the archive: `hub/archive.rs`).

use super::Envelope;
use super::shared::Shared;
use crate::core::command::Command;
use crate::core::error::Error;
use crate::core::id::{ConversationId, PersonId};
use crate::core::message::Message;
use crate::core::trace::{Checkpoint, Step};
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::mpsc;

/// What a hook says.
pub type Admission = Result<Arc<Message>, Error>;

/// One hook. Hooks run in order, each on what the one before it let through; messages of one
/// conversation pass in order, others do not wait for them. With no hook there is no cost.
pub trait AdmissionHook: Send + Sync + 'static {
    /// Name for logs and traces.
    fn name(&self) -> &'static str;
    /// Lets the message pass (as it is, or changed), or refuses it with the error that the sender
    /// is told.
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

/// One message with the hooks. All of them share the task of the lanes.
type Passage = Pin<Box<dyn Future<Output = (ConversationId, Admission)> + Send>>;

struct Lanes {
    hooks: Arc<[Arc<dyn AdmissionHook>]>,
    shared: Weak<Shared>,
    inside: Arc<AtomicUsize>,
    room: usize,
    /// The first of each lane is with the hooks.
    waiting: HashMap<ConversationId, VecDeque<Passing>>,
    running: FuturesUnordered<Passage>,
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
                Some((conversation, admission)) = self.running.next() => {
                    self.leave(conversation, admission);
                }
            }
        }
    }

    fn arrive(&mut self, passing: Passing) {
        let Command::Deliver(message) = &passing.envelope.command else {
            return self.admitted(passing);
        };
        let conversation = message.conversation;
        let lane = self.waiting.entry(conversation).or_default();
        lane.push_back(passing);
        if lane.len() == 1 {
            self.begin(conversation);
        }
    }

    /// Starts the first of a lane on the hooks.
    fn begin(&mut self, conversation: ConversationId) {
        let first = self.waiting.get(&conversation).and_then(VecDeque::front);
        let Some(Command::Deliver(message)) = first.map(|first| &first.envelope.command) else {
            self.waiting.remove(&conversation);
            return;
        };
        let (hooks, mut message) = (Arc::clone(&self.hooks), Arc::clone(message));
        let passage = async move {
            for hook in hooks.iter() {
                message = hook.admit(message).await.inspect_err(|error| {
                    tracing::info!(hook = hook.name(), %error, "a message was refused");
                })?;
            }
            Ok(message)
        };
        // A hook's bug must not take the lanes along.
        let guarded = AssertUnwindSafe(passage).catch_unwind();
        let done = guarded.map(move |done| {
            let admission = done.unwrap_or_else(|_| {
                tracing::error!(%conversation, "an admission hook panicked");
                Err(Error::Refused("a filter failed".to_owned()))
            });
            (conversation, admission)
        });
        self.running.push(done.boxed());
    }

    fn leave(&mut self, conversation: ConversationId, admission: Admission) {
        let lane = self.waiting.get_mut(&conversation);
        if let Some(mut passing) = lane.and_then(VecDeque::pop_front) {
            match admission {
                Ok(message) => {
                    passing.envelope.command = Command::Deliver(message);
                    self.admitted(passing);
                }
                Err(error) => self.refused(passing, error),
            }
        }
        self.begin(conversation);
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
            shared.trace.note(Checkpoint {
                message: message.id,
                at: shared.clock.now(),
                step: Step::Failed(error.clone()),
            });
        }
        passing.envelope.reply.answer(Err(error));
    }
}
