//! The control socket: how the CLI talks to the running server (`decisions.md` 9).
//!
//! `data_dir/control.sock`, mode 0600, one JSON object per line in each direction. The lock file
//! beside it tells up from down.

mod accounts;
mod archive;
mod client;
mod conversations;
mod devices;
mod filters;
mod lock;
mod nodes;
mod rename;
mod report;
mod server;
mod wire;

pub use accounts::{Accounts, Backend, Seal};
pub use archive::answer as answer_archive;
pub use archive::{ArchiveDone, ArchiveRequest, HoldRow};
pub use client::{Client, ClientError};
pub use filters::{FilterRequest, FilterRow, HeldRow};
pub use lock::{Lock, LockError};
pub use server::{CallbackLine, Callbacks, LastNotified, Peers, Services, serve};
pub use wire::{
    Answer, CallbackRow, ConversationRow, DeviceRequest, DeviceRow, Done, MemberRow, NodeRequest,
    NodeRow, PeerRow, PersonRow, PointRow, RefusalRow, Request, RowResult, RowState, StepRow,
    SubscriptionRow, TargetRequest, TargetRow, TraceRow, UserRow,
};
