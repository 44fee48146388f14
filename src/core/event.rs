//! What the core tells fronts. Past tense; each goes to the front of one stack.

use crate::core::address::Address;
use crate::core::command::{Change, PointInfo};
use crate::core::id::{Handle, PersonId, PointId, WatchId};
use crate::core::message::Message;
use std::sync::Arc;

/// An event for one front.
#[derive(Clone, Debug)]
pub enum Event {
    /// A watched person changed: tell the watcher by the watch's own handle.
    Presence {
        /// The person watched.
        person: PersonId,
        /// The address that was watched.
        of: Address,
        /// Who watches.
        watcher: Address,
        /// The watch.
        watch: WatchId,
        /// Its wire state.
        handle: Handle,
        /// What changed.
        change: Change,
    },
    /// The same, to one inbox of the watcher (logical callbacks).
    InboxPresence {
        /// The watcher.
        person: PersonId,
        /// His address.
        watcher: Address,
        /// The inbox.
        point: PointInfo,
        /// The person watched.
        of: Address,
        /// The watch and its wire state.
        watch: (WatchId, Handle),
        /// What changed.
        change: Change,
    },
    /// Try to deliver this message to this point; answer with
    /// [`crate::core::command::Command::Outcome`], exactly once.
    Deliver {
        /// The recipient.
        person: PersonId,
        /// The point.
        point: PointInfo,
        /// The message.
        message: Arc<Message>,
        /// Marked when it may have been delivered before a crash (`decisions.md` 19).
        redelivered: bool,
        /// Kept while its recipient was away: to be shown with the time it was sent.
        away: bool,
    },
    /// Withdraw an attempt that is not answered yet (another point took it, or time is up).
    Cancel {
        /// The point.
        point: PointId,
        /// The message.
        message: crate::core::id::MessageId,
    },
    /// A point ended; close what the front holds for it.
    PointEnded {
        /// Whose.
        person: PersonId,
        /// The point as it was.
        point: PointInfo,
    },
    /// A point was there when the server started: take up its wire state.
    PointRestored {
        /// Whose.
        person: PersonId,
        /// His address.
        address: Address,
        /// The point.
        point: PointInfo,
    },
    /// A person's access list was changed by other means than a document (to
    /// [`crate::core::documents::KEEPER`]).
    AccessChanged {
        /// Whose.
        person: PersonId,
    },
    /// A document was changed (to [`crate::core::documents::KEEPER`]).
    DocumentChanged {
        /// Whose.
        person: PersonId,
        /// Which.
        id: crate::core::documents::DocumentId,
        /// Its tag before; `None` = it was not there.
        old: Option<u64>,
        /// Its tag now; `None` = it is gone.
        new: Option<u64>,
    },
    /// A conversation of many asks the hub (stack [`crate::core::node::INSIDE`]) whom an address
    /// leads to; answered by [`crate::core::chat::ChatCommand::Found`].
    ChatWants {
        /// The conversation.
        chat: PersonId,
        /// The address.
        who: Address,
        /// Who wants to know.
        by: PersonId,
    },
    /// A conversation of many is over: nothing leads there any more (to the hub, likewise).
    ChatEnded {
        /// Which.
        chat: PersonId,
    },
    /// A watch was there when the server started: take up its wire state.
    WatchRestored {
        /// The person watched.
        person: PersonId,
        /// The address watched.
        of: Address,
        /// Who watches.
        watcher: Address,
        /// The watch.
        watch: WatchId,
        /// Its wire state.
        handle: Handle,
        /// When its lease ends.
        expires: crate::core::time::Time,
    },
}

/// What a front offers the hub: take an event without waiting.
///
/// Called from a shard; must not block and must not call back into the hub synchronously in a
/// way that waits. A full inbox is the front's to report (`Outcome::QueueFull`, or a dropped
/// presence event that it makes good with the newest state later).
pub trait Outbound: Send + Sync {
    /// Takes the event.
    fn take(&self, event: Event);
}
