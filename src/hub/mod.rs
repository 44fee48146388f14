//! The hub: shards that own people, their timers and queues, group commit, and the way out.
//!
//! Order of every outcome (`design.md` 3): store what was promised, reply, arm timers, deliver.
//! Outcomes of one person keep their order; another person's never wait for them.

mod directory;

pub use directory::{Directory, Resolution};

use crate::core::command::{Caller, Command, Reply};
use crate::core::error::Error;
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
