//! The control socket: how the CLI talks to the running server (`decisions.md` 9).
//!
//! `data_dir/control.sock`, mode 0600, one JSON object per line in each direction. The lock file
//! beside it tells up from down.

mod accounts;
mod client;
mod conversations;
mod lock;
mod nodes;
mod report;
mod server;
mod wire;

pub use accounts::{Accounts, Backend, Seal};
pub use client::{Client, ClientError};
pub use lock::{Lock, LockError};
pub use server::{CallbackLine, Callbacks, LastNotified, Peers, Services, serve};
pub use wire::{
    Answer, CallbackRow, ConversationRow, Done, MemberRow, NodeRequest, NodeRow, PeerRow,
    PersonRow, PointRow, RefusalRow, Request, RowResult, RowState, StepRow, SubscriptionRow,
    TargetRequest, TargetRow, TraceRow, UserRow,
};
