//! What the handle, the shards and their helpers share.

use super::admission::Hall;
use super::archive::ArchiveState;
use super::disclaimer::{self, Told};
use super::inside;
use super::mailbox::Mailbox;
use super::{Clock, Directory, Envelope, Settings, Stats, TargetBoard, TraceLog};
use crate::core::command::{Command, Outcome};
use crate::core::error::Error;
use crate::core::event::{Event, Outbound};
use crate::core::fidelity::FidelityTable;
use crate::core::id::{PersonId, Stack};
use crate::core::node::INSIDE;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

pub(super) struct Shared {
    pub(super) directory: Directory,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) trace: TraceLog,
    pub(super) stats: Stats,
    pub(super) board: TargetBoard,
    pub(super) archive: ArchiveState,
    pub(super) told: Told,
    pub(super) held: super::held::Count,
    pub(super) settings: Settings,
    pub(super) mailboxes: Vec<Mailbox>,
    /// Set by `open`; before that nothing runs.
    pub(super) attached: OnceLock<Attached>,
    /// Set by `stop`: nothing new is taken.
    pub(super) closing: AtomicBool,
}

/// What fronts and operators have attached.
#[derive(Default)]
pub(super) struct Attached {
    pub(super) fronts: Vec<(Stack, Arc<dyn Outbound>)>,
    pub(super) fidelity: FidelityTable,
    pub(super) hall: Option<Hall>,
}

impl Shared {
    /// The number of the shard task that owns a person.
    pub(super) fn shard_of(&self, person: PersonId) -> usize {
        usize::from(person.shard().0) % self.mailboxes.len().max(1)
    }

    /// The mailbox of the shard that owns a person.
    pub(super) fn mailbox(&self, person: PersonId) -> Option<&Mailbox> {
        self.mailboxes.get(self.shard_of(person))
    }

    /// A command from outside.
    pub(super) fn post(&self, to: PersonId, envelope: Envelope) {
        let Some(attached) = self.attached.get() else {
            return envelope.reply.answer(Err(Error::Stopping));
        };
        let report = matches!(envelope.command, Command::Outcome { .. });
        if self.closing.load(Ordering::Acquire) && !report {
            return envelope.reply.answer(Err(Error::Stopping));
        }
        let (to, envelope) = super::chats::redirect(&self.directory, to, envelope);
        if attached.hall.is_some() && matches!(envelope.command, Command::Deliver(_)) {
            return self.pass(to, envelope);
        }
        if let Some(mailbox) = self.mailbox(to)
            && !mailbox.post(to, envelope)
        {
            self.stats.overloaded.add(1);
        }
    }

    /// A command from shard to shard; messages pass admission on the way.
    pub(super) fn pass(&self, to: PersonId, envelope: Envelope) {
        let hall = self.attached.get().and_then(|all| all.hall.as_ref());
        let taken = match (hall, &envelope.command) {
            (Some(hall), Command::Deliver(_)) => hall.enter(to, envelope),
            _ => self.pass_admitted(to, envelope),
        };
        if !taken {
            self.stats.overloaded.add(1);
        }
    }

    /// The same behind admission; `false` if it was refused (and answered).
    pub(super) fn pass_admitted(&self, to: PersonId, envelope: Envelope) -> bool {
        self.mailbox(to)
            .is_some_and(|mailbox| mailbox.pass(to, envelope))
    }

    /// Hands an event to the front of its stack.
    pub(super) fn emit(self: &Arc<Self>, stack: Stack, event: Event) {
        if stack == INSIDE {
            return inside::take(self, event);
        }
        let fronts = self.attached.get().map(|all| all.fronts.as_slice());
        let front = fronts
            .unwrap_or_default()
            .iter()
            .find(|(name, _)| *name == stack);
        let Some((_, front)) = front else {
            return self.orphan(event);
        };
        let event = if self.settings.archive.disclaimer.is_on() {
            disclaimer::worded(self, stack, event)
        } else {
            Some(event)
        };
        let Some(event) = event else { return };
        self.stats.events.add(1);
        if matches!(
            event,
            Event::Deliver {
                redelivered: true,
                ..
            }
        ) {
            self.stats.redelivered.add(1);
        }
        // A front's bug must not take the shard and everybody on it along.
        if catch_unwind(AssertUnwindSafe(|| front.take(event))).is_err() {
            self.stats.panics.add(1);
            tracing::error!(%stack, "the front panicked over an event");
        }
    }

    /// An event for a stack that no front serves (switched off since the point signed in): an
    /// attempt is answered all the same, so that nothing waits for it.
    fn orphan(&self, event: Event) {
        self.stats.orphaned.add(1);
        if let Event::Deliver {
            person,
            point,
            message,
            ..
        } = event
            && let Some(account) = self.directory.account(person)
        {
            let command = Command::Outcome {
                message: message.id,
                point: point.id,
                outcome: Outcome::Unreached,
            };
            let caller = super::internal(&account);
            let reply = super::ReplyTo::Nobody;
            let envelope = Envelope {
                caller,
                command,
                reply,
            };
            if let Some(mailbox) = self.mailbox(person) {
                mailbox.post(person, envelope);
            }
        }
    }
}
