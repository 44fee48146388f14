//! What fronts and operators ask of a person. Imperatives; each has one [`Reply`].

use crate::core::access::{AccessEntry, Right, Scheme};
use crate::core::address::Address;
use crate::core::calls::{Call, Calls};
use crate::core::contacts::ContactList;
use crate::core::devices::{DeviceChange, DeviceInfo, DeviceRules, Spread};
use crate::core::documents::{DocumentInfo, Documents, PutDocument};
use crate::core::id::{
    ConversationId, Handle, MessageId, PersonId, PointId, PublicationId, Stack, WatchId,
};
use crate::core::message::Message;
use crate::core::node::Holder;
use crate::core::presence::{Presence, State, View};
use crate::core::time::Time;
use crate::core::watchers::WatcherReport;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Who asks, how that was proved and by which way it came (`decisions.md` 17).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The authenticated address.
    pub address: Address,
    /// The person behind it, when local.
    pub person: Option<PersonId>,
    /// How it was authenticated.
    pub scheme: Scheme,
    /// By which way the request came.
    pub route: Route,
}

/// The way a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// From a signed-in client on that stack.
    Point(Stack),
    /// From another server on that stack.
    Peer(Stack),
    /// From this server itself or its operator.
    Internal,
}

/// A command to one person (the owner of the state it touches).
#[derive(Clone, Debug)]
pub enum Command {
    /// Add, refresh and remove points of one stack, all or nothing.
    /// Reply: [`Reply::Points`] with all points of that stack after the change.
    Register(Register),
    /// Extend the lease of one point the caller owns. Reply: [`Reply::Points`] with that point.
    Renew {
        /// Which.
        point: PointId,
        /// For how long from now.
        lease: Duration,
    },
    /// What the point's connection is doing. Reply: [`Reply::Done`].
    Tether {
        /// Which point.
        point: PointId,
        /// Lost, or there again (with new wire state).
        change: TetherChange,
    },
    /// Publish, refresh or change one view of presence. Reply: [`Reply::Published`].
    Publish(Publish),
    /// Withdraw a publication. Reply: [`Reply::Done`].
    Retract {
        /// Which.
        publication: PublicationId,
        /// Must still be at this version, if given.
        version: Option<u32>,
    },
    /// Watch this person. Reply: [`Reply::Watching`].
    Watch(Watch),
    /// Extend a watch, optionally with new wire state; an [`crate::core::event::Event::Presence`] follows
    /// if `notify`. Reply: [`Reply::Watching`].
    RenewWatch {
        /// Which.
        watch: WatchId,
        /// For how long from now.
        lease: Duration,
        /// New wire state, if it changed.
        handle: Option<Handle>,
        /// Send the present view after the reply.
        notify: bool,
    },
    /// End a watch (by the watcher, the owner, or because its notifications fail).
    /// Reply: [`Reply::Done`].
    Unwatch {
        /// Which.
        watch: WatchId,
        /// Send a last event that says so.
        notify: bool,
    },
    /// Replace the wire state of a watch without any other effect. Reply: [`Reply::Done`].
    SaveWatch {
        /// Which.
        watch: WatchId,
        /// The new state.
        handle: Handle,
    },
    /// Read presence once. Reply: [`Reply::Watching`] with no id and a zero lease.
    Look,
    /// What one watcher alone is to be shown, whatever else holds; `None` = what all are. This is
    /// how a stand-in of somebody at another server shows each watcher what that server shows
    /// *him*. This server only. Reply: [`Reply::Done`].
    ShowTo {
        /// The watcher.
        watcher: Address,
        /// The value.
        presence: Option<Presence>,
    },
    /// As the *sender*: assign conversation and id, run admission, pass on to the recipient.
    /// Reply: [`Reply::Sent`].
    Submit(Submit),
    /// The same in a conversation of many. Made of [`Command::Submit`] by the hub, which knows them.
    /// Reply: [`Reply::Sent`].
    Speak(Box<crate::core::chat::Speak>),
    /// To a conversation of many. Sent by the core and the hub, not by fronts.
    Chat(Box<crate::core::chat::ChatCommand>),
    /// This conversation is one of many now and no longer that of a pair. Sent by it.
    /// Reply: [`Reply::Done`].
    Detach(ConversationId),
    /// As the *recipient*: deliver to the person's devices. Sent by the hub, not by fronts.
    /// Reply: [`Reply::Sent`].
    Deliver(Arc<Message>),
    /// What became of one attempt, reported by the front that made it. No reply is awaited.
    Outcome {
        /// The message.
        message: MessageId,
        /// The point it was tried on.
        point: PointId,
        /// What happened.
        outcome: Outcome,
    },
    /// A notification to a point or inbox (not a message) failed or worked again: feeds doubt.
    Health {
        /// The point.
        point: PointId,
        /// True: it answered. False: it did not.
        alive: bool,
    },
    /// Pass a presence event on to this person's own inboxes (logical callback of a watch on
    /// somebody else). Sent by the hub, not by fronts. No reply is awaited.
    Relay(Arc<Relay>),
    /// Read properties; `None` = all. Reply: [`Reply::Properties`].
    Properties(Option<Vec<PropertyName>>),
    /// Set and remove properties, all or nothing; watchers are told. Reply: [`Reply::Done`].
    SetProperties {
        /// Name and value; `None` removes.
        changes: Vec<(PropertyName, Option<PropertyValue>)>,
    },
    /// Read the access list. Reply: [`Reply::Access`].
    Access,
    /// Replace the access list. Reply: [`Reply::Done`].
    SetAccess(Vec<AccessEntry>),
    /// The owner's answer about one watcher: an entry of the access list grants or denies him
    /// presence from now on. Reply: [`Reply::Done`].
    Decide {
        /// About whom.
        watcher: Address,
        /// Yes or no.
        accept: bool,
    },
    /// This person watches somebody, who is thereby consented to until then, where the domain's
    /// policy says so. Sent by the hub, not by fronts. No reply is awaited.
    Acquaint {
        /// The person watched.
        with: Address,
        /// Until when.
        until: Time,
    },
    /// What documents there are. Reply: [`Reply::Documents`].
    Documents,
    /// Change a document. Reply: [`Reply::Document`].
    PutDocument(Box<PutDocument>),
    /// What holds for the person's devices: policy, pins. Reply: [`Reply::Done`].
    SetDevices(Vec<DeviceChange>),
    /// Read the contact list. Reply: [`Reply::Contacts`].
    Contacts,
    /// May this caller do that? Reply: [`Reply::Done`] or `Denied`.
    Check(Right),
    /// Where this caller may call the person: who may send may call. Reply: [`Reply::Points`] with
    /// the point of each inbox, of every stack, that can be reached now; the errors are those of
    /// a message, so that a block looks like absence (`decisions.md` 16).
    Locate,
    /// A call of that one was declined because no client here takes calls: the person is told. This
    /// server only. Reply: [`Reply::Done`].
    Uncalled(Address),
    /// Who watches, and where the person is signed in. Reply: [`Reply::Standing`].
    Standing,
    /// The account is gone: end everything, tell watchers. Reply: [`Reply::Done`].
    Erase,
}

/// See [`Command::Register`].
#[derive(Clone, Debug)]
pub struct Register {
    /// Stack whose points change.
    pub stack: Stack,
    /// Order guard (SIP Call-ID and CSeq): a change of a point that was last written under the
    /// same lineage with an equal or higher number is refused as `OutOfOrder`, all of it.
    pub lineage: Option<Lineage>,
    /// The changes, in order.
    pub changes: Vec<PointChange>,
}

/// Order of updates from one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// Stays the same over one client's updates.
    pub name: Arc<str>,
    /// Rises.
    pub sequence: u32,
}

/// One change of [`Register`].
#[derive(Clone, Debug)]
pub enum PointChange {
    /// Add the point, or refresh the one with the same key.
    Put(Box<PointSpec>),
    /// Remove the point with that key, if it exists.
    Remove {
        /// Its key.
        key: Arc<str>,
    },
    /// Remove the point with that id; `StaleId` if unknown or not of this stack.
    RemoveId(PointId),
    /// Remove all points of the stack.
    RemoveAll,
}

/// A point to be.
#[derive(Clone, Debug)]
pub struct PointSpec {
    /// Identity within (person, stack): same key = same point, refreshed. `None` = always new.
    pub key: Option<Arc<str>>,
    /// Where deliveries go; points with the same inbox get one copy, the newest one's
    /// (`decisions.md` 22).
    pub inbox: Arc<str>,
    /// Lease from now.
    pub lease: Duration,
    /// Whether it hangs on a connection or on an address.
    pub tether: Tether,
    /// Whether it can be delivered to at all.
    pub reach: Reach,
    /// State that the sign-in alone means, `Some(Registered)` where it means presence.
    pub implies: Option<State>,
    /// Preference among several, 0 to 1000 (SIP q x 1000).
    pub preference: u16,
    /// Source address of the sign-in.
    pub source: Option<IpAddr>,
    /// Client name and version as it said (User-Agent), may be empty.
    pub client: Arc<str>,
    /// Machine name, if it said one; else its instance or endpoint, which has a colon in it.
    pub machine: Option<Arc<str>>,
    /// Which program its client is, whatever it calls itself on this stack.
    pub family: Option<Arc<str>>,
    /// Wire state for the front.
    pub handle: Handle,
}

/// What a point hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tether {
    /// A connection the client opened: losing it starts a grace period; suspended over our
    /// restart (`decisions.md` 12).
    Connection,
    /// An address that we send to.
    Address,
}

/// See [`Command::Tether`].
#[derive(Clone, Debug)]
pub enum TetherChange {
    /// The connection went without a word: grace starts.
    Lost,
    /// It is there again.
    Back {
        /// Wire state with the new connection.
        handle: Handle,
    },
}

/// Whether a point can be delivered to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Deliveries are tried.
    Full,
    /// May send but never be dialled (`decisions.md` 28).
    SendOnly,
}

/// See [`Command::Publish`].
#[derive(Clone, Debug)]
pub struct Publish {
    /// Stack it came by.
    pub stack: Stack,
    /// The publication to change, with the version it must be at; `None` = look for one that
    /// matches `hint` if `adopt`, else new.
    pub target: Option<(PublicationId, Option<u32>)>,
    /// Without target: take the caller's existing publication of the same source instead of
    /// making a new one (clients that never send a view-id).
    pub adopt: bool,
    /// Which point it belongs to (`decisions.md` 11, 12).
    pub hint: PointHint,
    /// Identity within (person, stack): a new publication with the same key takes the place of the
    /// older one, so that a device that comes again does not pile up. `None` = always new.
    pub key: Option<Arc<str>>,
    /// The new value; `None` = refresh only.
    pub presence: Option<Presence>,
    /// What the person's telephone lines do, instead of a presence value.
    pub calls: Option<Calls>,
    /// Lease from now; `None` keeps the value until its point goes or it is retracted.
    pub lease: Option<Duration>,
}

/// What is known of where a publication came from.
#[derive(Clone, Debug, Default)]
pub struct PointHint {
    /// The inbox key of the point, where the connection tells it (same flow).
    pub inbox: Option<Arc<str>>,
    /// Source address.
    pub source: Option<IpAddr>,
    /// Client name and version.
    pub client: Option<Arc<str>>,
}

/// See [`Command::Watch`].
#[derive(Clone, Debug)]
pub struct Watch {
    /// What is watched.
    pub topic: Topic,
    /// Stack the watcher is on.
    pub stack: Stack,
    /// Lease from now.
    pub lease: Duration,
    /// Where events go.
    pub via: Via,
    /// Send the present view as an event after the reply (SIP), not only in the reply (RVP).
    pub notify: bool,
    /// Identity within (watched person, topic, watcher, stack): same key replaces, and the front of
    /// the older one is told [`Ended::Replaced`]. `None` = always new.
    pub key: Option<Arc<str>>,
    /// Wire state for the front.
    pub handle: Handle,
}

/// What of a person is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Presence.
    Presence,
    /// Who watches the presence: the owner's business alone unless the list says otherwise.
    Watchers,
    /// What the person's telephone lines do: the owner's business unless the list grants presence
    /// by an entry of its own; the defaults are not enough.
    Calls,
    /// Which documents there are: the owner's business alone.
    Documents,
}

/// Where a watch stands with the person watched (RFC 3857 4.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WatchState {
    /// Decided: the watcher is shown what he may see.
    Active,
    /// The owner is asked; until then there is nothing to see.
    Pending,
    /// It ended while the owner was being asked; kept for a while so that he learns of it.
    Waiting,
}

/// Where events of a watch go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// Straight to the front, with the watch's own handle.
    Direct,
    /// To all inboxes of the watching (local) person on that stack.
    Inboxes,
}

/// See [`Command::Submit`].
#[derive(Clone, Debug)]
pub struct Submit {
    /// The message; its `id`, `at` and (if `conversation` is `None` here) `conversation` are
    /// filled in by the core.
    pub message: Message,
    /// The conversation as the protocol names it; `None` = the running one of this pair.
    pub conversation: Option<ConversationId>,
    /// The recipient.
    pub to: PersonId,
    /// Where it was written, as far as that is known.
    pub whence: Whence,
}

/// What is known of the sender's point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Whence {
    /// Nothing.
    #[default]
    Unknown,
    /// Its inbox, by the connection.
    Inbox(Arc<str>),
    /// The address it came from.
    Source(IpAddr),
}

/// What became of one delivery attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The client has it.
    Delivered,
    /// The client answered that it does not want it; with what the front made of the answer.
    Refused(Refusal),
    /// The client has left the conversation (RVP 500).
    HasLeft,
    /// No answer, though bytes may have left us: never tried again, it could be a double
    /// (`decisions.md` 19). Counts towards doubt.
    Failed,
    /// No connection, not one byte left us: a kept text is tried again. Counts towards doubt.
    Unreached,
    /// The client's queue is full.
    QueueFull,
    /// The point does not exist at the client any more: remove it.
    Gone,
}

/// Why a client refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// It does not know the user.
    UnknownUser,
    /// Forbidden there.
    Denied,
    /// Not available.
    Unavailable,
    /// Too large.
    TooLarge,
    /// Unknown content.
    Unsupported,
    /// Overloaded.
    Overloaded,
}

/// A presence event on its way to the watcher's own inboxes.
#[derive(Clone, Debug)]
pub struct Relay {
    /// The person watched.
    pub of: Address,
    /// Stack whose inboxes are meant.
    pub stack: Stack,
    /// Wire state of the watch.
    pub watch: (WatchId, Handle),
    /// What changed.
    pub change: Change,
}

/// What a watcher is told.
#[derive(Clone, Debug)]
pub enum Change {
    /// The presence view.
    Presence(View),
    /// Properties (profile fields among them); `None` = removed.
    Properties(Vec<(PropertyName, Option<PropertyValue>)>),
    /// The same while the owner of a watched presence is being asked: nothing to see, for stacks
    /// that can say so.
    Pending(View),
    /// All watchers of the person.
    Watchers(Arc<WatcherReport>),
    /// All calls of the person.
    Calls(Arc<[Call]>),
    /// All documents of the person.
    Documents(Arc<[DocumentInfo]>),
    /// The watch has ended.
    Ended(Ended, View),
    /// The watch of another topic than presence has ended; along with what is so.
    Last(Ended, Box<Change>),
}

/// Why a watch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// The lease ran out.
    Expired,
    /// The watcher asked.
    Unwatched,
    /// The watched person's account is gone.
    NoResource,
    /// The server is stopping and wants the watcher to come back.
    Deactivated,
    /// The owner or policy says no, and openly (`visible_block`).
    Rejected,
    /// The owner was asked for long enough.
    GaveUp,
    /// The same device has a newer one.
    Replaced,
}

/// Name of a property: namespace and local name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PropertyName {
    /// Namespace URI.
    pub namespace: Arc<str>,
    /// Local name.
    pub local: Arc<str>,
}

/// A stored property: opaque to the core.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PropertyValue {
    /// The front's own form (for RVP: the serialised content of the element).
    pub bytes: Arc<[u8]>,
    /// Until when it holds, if leased.
    pub expires: Option<Time>,
    /// What it falls back to then; `None` = it goes.
    pub fallback: Option<Arc<[u8]>>,
}

/// The answer to a command.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Done.
    Done,
    /// Points after the change.
    Points(Vec<PointInfo>),
    /// The publication after the change.
    Published {
        /// Its id (RVP view-id, half of a SIP entity tag).
        publication: PublicationId,
        /// Its version (other half).
        version: u32,
        /// Granted lease.
        lease: Option<Duration>,
    },
    /// A watch, or a look.
    Watching {
        /// Its id; `None` for a look.
        watch: Option<WatchId>,
        /// Granted lease.
        lease: Duration,
        /// What the watcher may see now.
        view: View,
    },
    /// What became of a message.
    Sent(Sent),
    /// Properties found: requested name and value if it exists.
    Properties(Vec<(PropertyName, Option<PropertyValue>)>),
    /// The access list.
    Access(Vec<AccessEntry>),
    /// All documents.
    Documents(Box<Documents>),
    /// The document after the change; `None` = it is gone.
    Document(Option<DocumentInfo>),
    /// The contact list.
    Contacts(ContactList),
    /// A conversation of many.
    Chat(Box<crate::core::chat::ChatInfo>),
    /// Everything about the person's live state.
    Standing(Box<Standing>),
}

/// A message's fate as the sender may know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its id, for the trace.
    pub message: MessageId,
    /// Its conversation.
    pub conversation: ConversationId,
    /// Delivered, or kept to be delivered.
    pub fate: Fate,
}

/// See [`Sent`]. Failures are errors, not fates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// At least one client has it.
    Delivered,
    /// Stored; will be tried on.
    Kept,
    /// Accepted and, as the fidelity table says, not shown (typing to nobody, receipts).
    Dropped,
}

/// A point as others see it.
#[derive(Clone, Debug, PartialEq)]
pub struct PointInfo {
    /// Its id.
    pub id: PointId,
    /// Its stack.
    pub stack: Stack,
    /// Its key within the stack, if it has one.
    pub key: Option<Arc<str>>,
    /// Its inbox.
    pub inbox: Arc<str>,
    /// When the lease ends.
    pub expires: Time,
    /// Whether it can be delivered to.
    pub reach: Reach,
    /// Preference 0 to 1000.
    pub preference: u16,
    /// Source address.
    pub source: Option<IpAddr>,
    /// Client name and version.
    pub client: Arc<str>,
    /// How it is doing.
    pub condition: Condition,
    /// Who subscribed, at a node; `None` = the owner of the inbox himself.
    pub holder: Option<Holder>,
    /// Wire state.
    pub handle: Handle,
    /// When it last did something.
    pub active: Time,
}

/// How a point is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Well.
    Live,
    /// Its connection is lost, grace runs.
    Grace,
    /// Waiting for its client to come back after our restart.
    Suspended,
    /// Callbacks failed: out of the fold after a while.
    Doubted,
}

/// Reply to [`Command::Standing`].
#[derive(Clone, Debug)]
pub struct Standing {
    /// The true fold (as the owner sees it).
    pub view: View,
    /// All points.
    pub points: Vec<PointInfo>,
    /// All publications: id, point, value, lease end.
    pub publications: Vec<(PublicationId, Option<PointId>, Presence, Option<Time>)>,
    /// All watches on this person.
    pub watches: Vec<WatchInfo>,
    /// Messages still under way to this person.
    pub pending: usize,
    /// Texts that wait for somebody to come.
    pub away: usize,
    /// The points by device.
    pub devices: Vec<DeviceInfo>,
    /// What is ruled about them.
    pub device_rules: DeviceRules,
    /// How texts are spread over them.
    pub spread: Spread,
}

/// A watch as others see it.
#[derive(Clone, Debug)]
pub struct WatchInfo {
    /// Its id.
    pub id: WatchId,
    /// Who watches.
    pub watcher: Address,
    /// What is watched.
    pub topic: Topic,
    /// Where it stands.
    pub state: WatchState,
    /// On which stack.
    pub stack: Stack,
    /// When the lease ends.
    pub expires: Time,
    /// Wire state.
    pub handle: Handle,
}
