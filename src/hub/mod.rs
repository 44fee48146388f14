//! The hub: shards that own people, their timers and queues, group commit, and the way out.
//!
//! Order of every outcome (`design.md` 3): store what was promised, reply, arm timers, deliver.
//! Outcomes of one person keep their order; another person's never wait for them.

mod admission;
mod archive;
mod board;
mod chats;
mod clock;
mod directory;
mod disclaimer;
mod diverted;
mod handle;
mod held;
mod inside;
mod loader;
mod mailbox;
mod numbers;
mod settings;
mod shard;
mod shared;
mod slot;
mod stand_in;
mod stats;
mod trace;
mod writer;

pub use crate::core::fidelity::FidelityColumn;
pub use admission::{Admission, AdmissionHook};
pub use archive::{ArchiveHealth, ArchiveRules};
pub use board::{TargetBoard, TargetState};
pub use clock::{Clock, ManualClock, SystemClock};
pub use directory::{Directory, Elsewhere, Resolution, Want, stranger};
pub use disclaimer::Disclaimer;
pub use handle::Hub;
pub use settings::Settings;
pub use stand_in::StandIns;
pub use stats::{Counter, Stats};
pub use trace::TraceLog;

use crate::core::access::Scheme;
use crate::core::command::{Caller, Command, Reply, Route};
use crate::core::error::Error;
use crate::core::port::Account;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The result of a command.
pub type Answer = Result<Reply, Error>;

/// Where an answer goes.
pub enum ReplyTo {
    /// Nobody waits.
    Nobody,
    /// One waiting task.
    Once(oneshot::Sender<Answer>),
    /// A front's own queue, with the token it gave (no task per message).
    Sink(Arc<dyn ReplySink>, u64),
}

/// A front's queue for answers.
pub trait ReplySink: Send + Sync {
    /// Takes an answer; must not block.
    fn reply(&self, token: u64, answer: Answer);
}

/// A command on its way to the shard that owns the person.
pub struct Envelope {
    /// Who asks.
    pub caller: Caller,
    /// What.
    pub command: Command,
    /// Where the answer goes; travels with the command.
    pub reply: ReplyTo,
}

impl ReplyTo {
    /// Gives the answer to whoever waits.
    pub fn answer(self, answer: Answer) {
        match self {
            Self::Nobody => {}
            // The asker may have gone (a closed connection): nobody to tell.
            Self::Once(sender) => drop(sender.send(answer)),
            Self::Sink(sink, token) => sink.reply(token, answer),
        }
    }
}

/// This server acting for a person.
/// This server itself, about somebody who may be anywhere.
fn internal_for(address: &crate::core::address::Address) -> Caller {
    Caller {
        address: address.clone(),
        person: None,
        scheme: Scheme::Internal,
        route: Route::Internal,
    }
}

fn internal(account: &Account) -> Caller {
    Caller {
        address: account.address.clone(),
        person: Some(account.person),
        scheme: Scheme::Internal,
        route: Route::Internal,
    }
}
