//! What the core needs of storage: records, writes and the trait that storage implements.
//!
//! Live state (points, publications, watches, kept texts) is apart from accounts, properties and
//! access lists: deleting it costs a delay, never wrong data (`design.md` 13).

use crate::core::access::{AccessEntry, Scheme};
use crate::core::address::Address;
use crate::core::archive::{Entry, Held, Hold, Indexed};
use crate::core::calls::Calls;
use crate::core::chat::ChatRecord;
use crate::core::command::{
    Lineage, PointSpec, PropertyName, PropertyValue, Topic, Via, WatchState,
};
use crate::core::contacts::ContactList;
use crate::core::devices::DeviceRules;
use crate::core::documents::{DocumentId, DocumentInfo};
use crate::core::id::{Handle, MessageId, PersonId, PointId, PublicationId, Stack, WatchId};
use crate::core::message::Message;
use crate::core::node::{Holder, Node};
use crate::core::presence::Presence;
use crate::core::time::Time;
use bytes::Bytes;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// An account: a person who may sign in, or a node.
#[derive(Clone, PartialEq, Debug)]
pub struct Account {
    /// Identity.
    pub person: PersonId,
    /// The canonical address.
    pub address: Address,
    /// Further addresses that lead here.
    pub aliases: Vec<Address>,
    /// Shown to others.
    pub display_name: String,
    /// Mail address shown to others; empty = the canonical address.
    pub email: String,
    /// The secret, in the credential module's own sealed form (`decisions.md` 5).
    pub secret: Secret,
    /// No sign-in at all.
    pub suspended: bool,
    /// Set for what is no person but a node; its canonical address is [`Address::of_path`].
    pub node: Option<Node>,
}

/// Opaque, sealed credential bytes. Debug never shows them.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(pub Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({} octets)", self.0.len())
    }
}

/// A stored point.
#[derive(Clone, Debug)]
pub struct PointRecord {
    /// Whose.
    pub person: PersonId,
    /// Its id.
    pub id: PointId,
    /// Its stack.
    pub stack: Stack,
    /// As it was registered; `lease` is the granted duration.
    pub spec: PointSpec,
    /// Who subscribed, at a node; `None` = the owner of the inbox himself.
    pub holder: Option<Holder>,
    /// Last writer, for the order guard.
    pub lineage: Option<Lineage>,
    /// When it signed in first.
    pub since: Time,
    /// When the lease ends.
    pub expires: Time,
}

/// A stored publication.
#[derive(Clone, Debug)]
pub struct PublicationRecord {
    /// Whose.
    pub person: PersonId,
    /// Its id.
    pub id: PublicationId,
    /// Rises with each change.
    pub version: u32,
    /// Stack it came by.
    pub stack: Stack,
    /// The point it belongs to, if known.
    pub point: Option<PointId>,
    /// Source address it came from (for clients without view ids).
    pub source: Option<std::net::IpAddr>,
    /// Identity for replacement.
    pub key: Option<Arc<str>>,
    /// Its value.
    pub presence: Presence,
    /// Set if it is about telephone lines: then `presence` only says whether one is busy.
    pub calls: Option<Calls>,
    /// When the value was set (newest manual wins).
    pub set: Time,
    /// Granted duration, `None` = while the point lives.
    pub lease: Option<Duration>,
    /// When it ends.
    pub expires: Option<Time>,
}

/// A stored watch.
#[derive(Clone, Debug)]
pub struct WatchRecord {
    /// The person watched.
    pub person: PersonId,
    /// Its id.
    pub id: WatchId,
    /// The address that was watched.
    pub of: Address,
    /// Who watches.
    pub watcher: Address,
    /// The watcher's person, when local.
    pub watcher_person: Option<PersonId>,
    /// How the watcher was authenticated.
    pub scheme: Scheme,
    /// What is watched.
    pub topic: Topic,
    /// Where it stands.
    pub state: WatchState,
    /// Whether its stack can be told that the owner is being asked.
    pub notify: bool,
    /// When it began.
    pub since: Time,
    /// Stack of the watcher.
    pub stack: Stack,
    /// Where events go.
    pub via: Via,
    /// Identity for replacement.
    pub key: Option<Arc<str>>,
    /// Wire state.
    pub handle: Handle,
    /// Granted duration.
    pub lease: Duration,
    /// When it ends.
    pub expires: Time,
}

/// A message that was accepted and waits for delivery.
#[derive(Clone, Debug)]
pub struct KeptRecord {
    /// The recipient.
    pub person: PersonId,
    /// The message.
    pub message: Arc<Message>,
    /// Tried until then.
    pub until: Time,
    /// Points that have it already.
    pub delivered: Vec<PointId>,
    /// Why it is here.
    pub stay: Stay,
}

/// Why a message is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Stay {
    /// Its clients take their time.
    #[default]
    Passing,
    /// Nobody is there.
    Away,
    /// Somebody came, and it is under way to him.
    Leaving,
    /// The recipient blocks its sender, who must not know: it is kept and never delivered.
    Withheld,
}

/// A message that a filter holds until an operator decides. Its sender was told that it is kept.
#[derive(Clone, Debug)]
pub struct HeldRecord {
    /// The recipient.
    pub person: PersonId,
    /// The message.
    pub message: Arc<Message>,
    /// How its sender was authenticated.
    pub scheme: Scheme,
    /// Since when.
    pub since: Time,
    /// Which filter holds it.
    pub filter: String,
    /// Why.
    pub reason: String,
}

/// Where an operator wants a node's notifications sent to, whatever address that leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetRecord {
    /// The node (or person) whose notifications they are.
    pub person: PersonId,
    /// Its id, of the numbers of points.
    pub id: u32,
    /// `http://` URL with path and query, as the operator wrote it.
    pub url: String,
    /// What notifications are signed with; empty = not signed.
    pub secret: Secret,
    /// Whether the secret is sealed with the key of passwords; an earlier version kept it as it
    /// is.
    pub sealed: bool,
    /// When it was added.
    pub added: Time,
}

/// A notification that waits for a target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BacklogRecord {
    /// The node.
    pub person: PersonId,
    /// The target.
    pub target: u32,
    /// Order within the target.
    pub sequence: u64,
    /// When it came.
    pub added: Time,
    /// The message.
    pub message: MessageId,
    /// Logical URL of the sender.
    pub from: String,
    /// Servers it has passed.
    pub hops: u8,
    /// The body, complete.
    pub content: Bytes,
}

/// Everything stored about one person, apart from the account.
#[derive(Clone, Debug, Default)]
pub struct PersonRecords {
    /// Points.
    pub points: Vec<PointRecord>,
    /// Publications.
    pub publications: Vec<PublicationRecord>,
    /// Watches on this person.
    pub watches: Vec<WatchRecord>,
    /// Properties.
    pub properties: Vec<(PropertyName, PropertyValue)>,
    /// Access list; `None` = never written, defaults apply.
    pub access: Option<Vec<AccessEntry>>,
    /// Documents, without their octets.
    pub documents: Vec<DocumentInfo>,
    /// Contact list; `None` = never written.
    pub contacts: Option<ContactList>,
    /// What holds for devices; `None` = never written.
    pub devices: Option<DeviceRules>,
    /// Kept messages.
    pub kept: Vec<KeptRecord>,
    /// Set for what is a conversation of many.
    pub chat: Option<Box<ChatRecord>>,
    /// When the person's presence last changed with watchers to be told. Storage keeps the newest;
    /// whoever restores takes away those so old that their watchers surely were told.
    pub changed: Option<Time>,
}

/// One durable change. A batch is committed as a whole, in order.
#[derive(Clone, Debug)]
pub enum Write {
    /// Insert or replace a point.
    PutPoint(PointRecord),
    /// Only the lease moved.
    TouchPoint(PersonId, PointId, Time),
    /// Remove a point.
    DeletePoint(PersonId, PointId),
    /// Insert or replace a publication.
    PutPublication(PublicationRecord),
    /// Remove a publication.
    DeletePublication(PersonId, PublicationId),
    /// Insert or replace a watch.
    PutWatch(WatchRecord),
    /// Remove a watch.
    DeleteWatch(PersonId, WatchId),
    /// Set a property.
    PutProperty(PersonId, PropertyName, PropertyValue),
    /// Remove a property.
    DeleteProperty(PersonId, PropertyName),
    /// Replace the access list.
    PutAccess(PersonId, Vec<AccessEntry>),
    /// Insert or replace a document and its octets.
    PutDocument(PersonId, DocumentInfo, Bytes),
    /// Remove a document.
    DeleteDocument(PersonId, DocumentId),
    /// Replace the contact list.
    PutContacts(PersonId, ContactList),
    /// Insert or replace a conversation of many; it goes as an account does.
    PutChat(Box<ChatRecord>),
    /// Replace what holds for devices.
    PutDevices(PersonId, DeviceRules),
    /// Insert or replace a kept message.
    PutKept(KeptRecord),
    /// A kept message is done with.
    DeleteKept(PersonId, MessageId),
    /// Insert or replace a message that a filter holds.
    PutHeld(HeldRecord),
    /// A held message is decided.
    DeleteHeld(PersonId, MessageId),
    /// Presence changed and watchers are about to be told: if we die in between, they are told
    /// after the restart.
    PutChange(PersonId, Time),
    /// The server stops in good order: every watcher was told.
    ForgetChanges,
    /// Insert or replace a target.
    PutTarget(TargetRecord),
    /// Remove a target; what waits for it is removed row by row.
    DeleteTarget(PersonId, u32),
    /// Insert or replace a notification that waits for a target.
    PutBacklog(BacklogRecord),
    /// The notification (person, target, sequence) is done with.
    DeleteBacklog(PersonId, u32, u64),
    /// Append a row to the archive.
    Archive(Box<Entry>),
    /// Erase the bodies of rows of the archive; only these words find them from now on.
    EraseArchive(Vec<Indexed>),
    /// Insert or replace a legal hold.
    PutHold(Hold),
    /// Release a legal hold.
    DeleteHold(String, Held),
    /// Insert or replace an account with its aliases.
    PutAccount(Account),
    /// Remove an account and everything of that person.
    DeleteAccount(PersonId),
}

/// Why storage failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database said no or is gone.
    #[error("storage: {0}")]
    Backend(String),
    /// A row that can't be read: names table, column and key.
    #[error("storage: broken row in {table}, column {column}, key {key}: {reason}")]
    Broken {
        /// Table.
        table: &'static str,
        /// Column.
        column: &'static str,
        /// Key of the row.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// An address is taken by another account.
    #[error("the address {0} is taken")]
    Taken(Address),
    /// A fault planted by a test.
    #[error("storage: fault point")]
    Fault,
}

/// Storage. One contract suite runs on every implementation.
pub trait Store: Send + Sync + 'static {
    /// Commits a batch durably, in order, all or nothing.
    fn commit(&self, batch: Vec<Write>) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// All accounts.
    fn accounts(&self) -> impl Future<Output = Result<Vec<Account>, StoreError>> + Send;
    /// Everything about one person.
    fn person(
        &self,
        person: PersonId,
    ) -> impl Future<Output = Result<PersonRecords, StoreError>> + Send;
    /// Everybody with live state (points, publications, watches, kept messages, conversations of
    /// many), complete records.
    fn live(
        &self,
    ) -> impl Future<Output = Result<Vec<(PersonId, PersonRecords)>, StoreError>> + Send;
    /// A document and its octets.
    fn document(
        &self,
        person: PersonId,
        id: DocumentId,
    ) -> impl Future<Output = Result<Option<(DocumentInfo, Bytes)>, StoreError>> + Send;
    /// Everybody's documents of one usage, by person and name.
    fn documents(
        &self,
        usage: Arc<str>,
    ) -> impl Future<Output = Result<Vec<(PersonId, DocumentInfo, Bytes)>, StoreError>> + Send;
    /// All targets, by person and id.
    fn targets(&self) -> impl Future<Output = Result<Vec<TargetRecord>, StoreError>> + Send;
    /// What waits for targets, by person, target and sequence.
    fn backlog(&self) -> impl Future<Output = Result<Vec<BacklogRecord>, StoreError>> + Send;
    /// What filters hold, by person and message.
    fn held(&self) -> impl Future<Output = Result<Vec<HeldRecord>, StoreError>> + Send;
    /// Reserves a block of `count` numbers, durably; returns the first. Numbers start at 1001.
    fn reserve(&self, count: u32) -> impl Future<Output = Result<u32, StoreError>> + Send;
}
