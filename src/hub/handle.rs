//! The handle that fronts, admin and cli hold.

use super::admission::Hall;
use super::archive::{ArchiveHealth, ArchiveState};
use super::disclaimer::Told;
use super::held;
use super::inside::{self, Origin};
use super::loader::{self, Load};
use super::mailbox::{Inbox, Inside, Mailbox};
use super::numbers::{Fresh, Pool};
use super::shard::Shard;
use super::shared::{Attached, Shared};
use super::writer::{self, From, Job};
use super::{
    AdmissionHook, Answer, Clock, Directory, Envelope, ReplyTo, Resolution, Settings, Stats,
    TargetBoard, TraceLog,
};
use crate::core::address::Address;
use crate::core::command::{Caller, Command};
use crate::core::documents::{DocumentId, DocumentInfo};
use crate::core::error::Error;
use crate::core::event::Outbound;
use crate::core::fidelity::FidelityColumn;
use crate::core::id::{MessageId, PersonId, PointId, Stack};
use crate::core::message::Message;
use crate::core::port::{
    Account, BacklogRecord, HeldRecord, PersonRecords, Store, StoreError, TargetRecord, Write,
};
use crate::core::time::Time;
use bytes::Bytes;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long `stop` waits for what is under way: longer than the core lets a sender wait for an
/// answer (4 s, `decisions.md` 18), shorter than the 10 s a stopping server has.
const DRAIN: Duration = Duration::from_secs(5);
/// Pause between two looks at what is under way while stopping.
const LOOK: Duration = Duration::from_millis(2);

/// The hub. Clones share it.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    live: LiveReader,
    targets: TargetReader,
    document: DocumentReader,
    documents: UsageReader,
    held: HeldReader,
    ready: Mutex<Ready>,
}

/// Watchers of a change so long before the last one of all were told before we died; the longest
/// they are made to wait is the echo span of `decisions.md` 13.
const SURELY_TOLD: Duration = Duration::from_secs(10);

/// Leaves `changed` only with people whose watchers may not have been told.
fn forget_what_was_told(people: &mut [(PersonId, PersonRecords)]) {
    let newest = people
        .iter()
        .filter_map(|(_, records)| records.changed)
        .max();
    for (_, records) in people {
        records.changed = records
            .changed
            .filter(|at| newest.is_some_and(|newest| newest.since(*at) <= SURELY_TOLD));
    }
}

type Live = Result<Vec<(PersonId, PersonRecords)>, StoreError>;
/// Reads live state; keeps the storage's type out of the handle's.
type LiveReader = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Live> + Send>> + Send + Sync>;

type Document = Result<Option<(DocumentInfo, Bytes)>, StoreError>;
type DocumentReader = Box<
    dyn Fn(PersonId, DocumentId) -> Pin<Box<dyn Future<Output = Document> + Send>> + Send + Sync,
>;
type OfUsage = Result<Vec<(PersonId, DocumentInfo, Bytes)>, StoreError>;
type UsageReader =
    Box<dyn Fn(Arc<str>) -> Pin<Box<dyn Future<Output = OfUsage> + Send>> + Send + Sync>;

type AllHeld = Result<Vec<HeldRecord>, StoreError>;
type HeldReader = Box<dyn Fn() -> Pin<Box<dyn Future<Output = AllHeld> + Send>> + Send + Sync>;

type Targets = Result<(Vec<TargetRecord>, Vec<BacklogRecord>), StoreError>;
/// The same for targets and what waits for them.
type TargetReader = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Targets> + Send>> + Send + Sync>;

/// What waits for `open`, and what `stop` has to end.
struct Ready {
    attached: Attached,
    hooks: Vec<Arc<dyn AdmissionHook>>,
    inboxes: Vec<Inbox>,
    writer: Option<mpsc::UnboundedSender<Job>>,
    loader: Option<mpsc::UnboundedSender<Load>>,
    refill: Option<JoinHandle<()>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Hub {
    /// Starts on this storage for these domains (normalised, first = default): reads all accounts
    /// and reserves numbers. Nothing is emitted before [`Hub::open`].
    pub async fn start<S: Store>(
        store: Arc<S>,
        domains: Vec<String>,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let accounts = store.accounts().await?;
        let pool = Pool::start(&*store).await?;
        let shards = match settings.shards {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let (mailboxes, inboxes) = (0..shards.min(256))
            .map(|_| Mailbox::new(settings.mailbox, settings.reserve))
            .unzip();
        let shared = Arc::new(Shared {
            directory: Directory::new(domains, accounts),
            clock,
            trace: TraceLog::new(settings.trace_messages),
            stats: Stats::default(),
            board: TargetBoard::default(),
            archive: ArchiveState::default(),
            told: Told::default(),
            held: held::Count::default(),
            settings,
            mailboxes,
            attached: OnceLock::new(),
            closing: AtomicBool::new(false),
        });
        let (writer, jobs) = mpsc::unbounded_channel();
        let (loader, loads) = mpsc::unbounded_channel();
        let tasks = vec![
            tokio::spawn(writer::run(Arc::clone(&store), Arc::clone(&shared), jobs)),
            tokio::spawn(loader::run(Arc::clone(&store), Arc::clone(&shared), loads)),
        ];
        let refill = tokio::spawn(Arc::clone(&pool).refill(Arc::clone(&store)));
        let of_targets = Arc::clone(&store);
        let targets: TargetReader = Box::new(move || {
            let store = Arc::clone(&of_targets);
            Box::pin(async move { Ok((store.targets().await?, store.backlog().await?)) })
        });
        let of_documents = Arc::clone(&store);
        let document: DocumentReader = Box::new(move |person, id| {
            let store = Arc::clone(&of_documents);
            Box::pin(async move { store.document(person, id).await })
        });
        let of_usages = Arc::clone(&store);
        let documents: UsageReader = Box::new(move |usage| {
            let store = Arc::clone(&of_usages);
            Box::pin(async move { store.documents(usage).await })
        });
        let of_filters = Arc::clone(&store);
        let held: HeldReader = Box::new(move || {
            let store = Arc::clone(&of_filters);
            Box::pin(async move { store.held().await })
        });
        let live: LiveReader = Box::new(move || {
            let store = Arc::clone(&store);
            Box::pin(async move { store.live().await })
        });
        let ready = Mutex::new(Ready {
            attached: Attached::default(),
            hooks: Vec::new(),
            inboxes,
            writer: Some(writer),
            loader: Some(loader),
            refill: Some(refill),
            tasks,
        });
        Ok(Self(Arc::new(Inner {
            shared,
            pool,
            live,
            targets,
            document,
            documents,
            held,
            ready,
        })))
    }

    /// Says who takes the events of a stack, and how well that stack shows what came by others.
    /// Before [`Hub::open`]; later calls have no effect.
    pub fn attach(&self, stack: Stack, outbound: Arc<dyn Outbound>, fidelity: FidelityColumn) {
        let mut ready = self.ready();
        ready.attached.fidelity.put(stack, fidelity);
        ready.attached.fronts.retain(|(name, _)| *name != stack);
        ready.attached.fronts.push((stack, outbound));
    }

    /// Adds an admission hook after those that are there. Before [`Hub::open`]; later calls have
    /// no effect.
    pub fn admit_with(&self, hook: Arc<dyn AdmissionHook>) {
        self.ready().hooks.push(hook);
    }

    /// Loads live state, emits `PointRestored` and `WatchRestored`, then takes commands. Commands
    /// before are answered `Stopping`.
    pub async fn open(&self) -> Result<(), StoreError> {
        let mut people = (self.0.live)().await?;
        self.0.shared.held.set((self.0.held)().await?.len());
        forget_what_was_told(&mut people);
        let shared = &self.0.shared;
        let mut parts: Vec<Vec<(PersonId, PersonRecords)>> = Vec::new();
        parts.resize_with(shared.mailboxes.len(), Vec::new);
        for (person, records) in people {
            if let Some(chat) = &records.chat {
                self.directory().restore_chat(chat);
            } else if self.directory().account(person).is_none() {
                let watched: Vec<&Address> = records.watches.iter().map(|w| &w.of).collect();
                self.directory().restore_guest(person, &watched);
            }
            if let Some(part) = parts.get_mut(shared.shard_of(person)) {
                part.push((person, records));
            }
        }
        let mut ready = self.ready();
        let (Some(writer), Some(loader)) = (ready.writer.clone(), ready.loader.clone()) else {
            return Err(StoreError::Backend("the hub is stopped".to_owned()));
        };
        let mut attached = std::mem::take(&mut ready.attached);
        let hooks = std::mem::take(&mut ready.hooks);
        if !hooks.is_empty() {
            attached.hall = Some(Hall::open(hooks, shared.settings.reserve, shared, &writer));
        }
        if shared.attached.set(attached).is_err() {
            return Err(StoreError::Backend("the hub is open already".to_owned()));
        }
        let inboxes = std::mem::take(&mut ready.inboxes);
        for ((number, inbox), people) in inboxes.into_iter().enumerate().zip(parts) {
            let mut shard = Shard::new(
                number,
                Arc::clone(shared),
                Fresh::new(Arc::clone(&self.0.pool)),
                writer.clone(),
                loader.clone(),
            );
            let task = tokio::spawn(async move {
                shard.restore_all(people);
                shard.run(inbox).await;
            });
            ready.tasks.push(task);
        }
        Ok(())
    }

    /// All accounts.
    pub fn directory(&self) -> &Directory {
        &self.0.shared.directory
    }

    /// The time.
    pub fn now(&self) -> Time {
        self.0.shared.clock.now()
    }

    /// Asks a person's shard and waits for the answer.
    pub async fn call(&self, to: PersonId, caller: &Caller, command: Command) -> Answer {
        let (sender, receiver) = oneshot::channel();
        self.send(to, caller.clone(), command, ReplyTo::Once(sender));
        receiver.await.unwrap_or(Err(Error::Stopping))
    }

    /// Sends a command to a person's shard; never waits. A full mailbox answers `Overloaded`.
    /// `Outcome`, `Tether` and `Health` are never refused.
    pub fn send(&self, to: PersonId, caller: Caller, command: Command, reply: ReplyTo) {
        let envelope = Envelope {
            caller,
            command,
            reply,
        };
        self.0.shared.post(to, envelope);
    }

    /// Sends a command of this server's own ahead of what the answer's reader sends next: it takes
    /// the way that messages take from shard to shard, so that one submitted later finds it done.
    pub fn arrange(&self, to: PersonId, command: Command) {
        let Some(account) = self.directory().account(to) else {
            return;
        };
        if self.0.shared.closing.load(Ordering::Acquire) {
            return;
        }
        let envelope = Envelope {
            caller: super::internal(&account),
            command,
            reply: ReplyTo::Nobody,
        };
        self.0.shared.pass_admitted(to, envelope);
    }

    /// Checkpoints of messages.
    pub fn trace(&self) -> &TraceLog {
        &self.0.shared.trace
    }

    /// Limits, spans and policies of the core.
    pub fn rules(&self) -> &crate::core::effect::Rules {
        &self.0.shared.settings.rules
    }

    /// Counters.
    pub fn stats(&self) -> &Stats {
        &self.0.shared.stats
    }

    /// Adds or replaces an account, durably; its addresses lead to it as soon as this returns.
    pub async fn put_account(&self, account: Account) -> Result<(), StoreError> {
        let result = self.put_accounts(vec![account]).await.pop();
        result.unwrap_or_else(|| Err(stopped()))
    }

    /// The same for many (an import), in few commits. One result per account, in order.
    pub async fn put_accounts(&self, accounts: Vec<Account>) -> Vec<Result<(), StoreError>> {
        let mut taken = HashMap::new();
        let mut waiting = Vec::with_capacity(accounts.len());
        for account in accounts {
            let queued = match self.is_taken(&account, &mut taken) {
                Some(address) => Err(StoreError::Taken(address)),
                None => self.write(vec![Write::PutAccount(account.clone())]),
            };
            waiting.push((account, queued));
        }
        let mut results = Vec::with_capacity(waiting.len());
        for (account, queued) in waiting {
            let result = match queued {
                Ok(receiver) => receiver.await.unwrap_or_else(|_| Err(stopped())),
                Err(error) => Err(error),
            };
            if result.is_ok() {
                let person = account.person;
                self.directory().put(account);
                self.account_changed(person);
            }
            results.push(result);
        }
        results
    }

    /// Ends everything of a person, tells watchers, removes the account, durably.
    pub async fn remove_account(&self, person: PersonId) -> Result<(), StoreError> {
        let Some(account) = self.directory().account(person) else {
            return Ok(());
        };
        if self.0.shared.attached.get().is_some() {
            // The core stores `DeleteAccount` itself, with the end of everything in one commit.
            self.call(person, &super::internal(&account), Command::Erase)
                .await
                .map_err(|error| StoreError::Backend(error.to_string()))?;
        } else {
            let queued = self.write(vec![Write::DeleteAccount(person)])?;
            queued.await.unwrap_or_else(|_| Err(stopped()))?;
        }
        self.directory().remove(person);
        self.account_changed(person);
        Ok(())
    }

    /// A document and its octets, as committed.
    pub async fn document(
        &self,
        person: PersonId,
        id: DocumentId,
    ) -> Result<Option<(DocumentInfo, Bytes)>, StoreError> {
        (self.0.document)(person, id).await
    }

    /// Everybody's documents of one usage, as committed.
    pub async fn documents(
        &self,
        usage: &str,
    ) -> Result<Vec<(PersonId, DocumentInfo, Bytes)>, StoreError> {
        (self.0.documents)(usage.into()).await
    }

    /// How registered targets are doing.
    pub fn board(&self) -> &TargetBoard {
        &self.0.shared.board
    }

    /// All targets and everything that waits for them, as stored.
    pub async fn targets(&self) -> Result<(Vec<TargetRecord>, Vec<BacklogRecord>), StoreError> {
        (self.0.targets)().await
    }

    /// Commits changes of targets and their backlog, which no shard owns. Other writes are the
    /// core's alone.
    pub async fn commit_targets(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        let own = |write: &Write| {
            matches!(
                write,
                Write::PutTarget(_)
                    | Write::DeleteTarget(..)
                    | Write::PutBacklog(_)
                    | Write::DeleteBacklog(..)
            )
        };
        if !writes.iter().all(own) {
            return Err(StoreError::Backend("not a target's write".to_owned()));
        }
        let queued = self.write(writes)?;
        queued.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// What filters hold.
    pub async fn held(&self) -> Result<Vec<HeldRecord>, StoreError> {
        (self.0.held)().await
    }

    /// Delivers a held message. If that fails it stays held. Should the server die in between, it is
    /// still there afterwards, and may arrive twice if it is released again.
    pub async fn release(&self, record: &HeldRecord) -> Result<(), String> {
        let answer = held::release(&self.0.shared, record).await;
        answer.map_err(|error| error.to_string())?;
        self.decide(record).await.map_err(|error| error.to_string())
    }

    /// Drops a held message; a sender here is told why.
    pub async fn drop_held(&self, record: &HeldRecord, why: &str) -> Result<(), StoreError> {
        self.decide(record).await?;
        held::tell(&self.0.shared, record, why);
        Ok(())
    }

    async fn decide(&self, record: &HeldRecord) -> Result<(), StoreError> {
        let gone = Write::DeleteHeld(record.person, record.message.id);
        let queued = self.write(vec![gone])?;
        queued.await.unwrap_or_else(|_| Err(stopped()))?;
        held::decided(&self.0.shared);
        Ok(())
    }

    /// Commits changes of the archive that are no captures: journal, holds, erased bodies.
    pub async fn commit_archive(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        let own = |write: &Write| {
            matches!(
                write,
                Write::Archive(_)
                    | Write::EraseArchive(_)
                    | Write::PutHold(_)
                    | Write::DeleteHold(..)
            )
        };
        if !writes.iter().all(own) {
            return Err(StoreError::Backend("not the archive's write".to_owned()));
        }
        let queued = self.write(writes)?;
        queued.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// How the archive is doing.
    pub fn archive_health(&self) -> ArchiveHealth {
        self.0.shared.archive.health()
    }

    /// Rows that the archive has lost since last asked (`on`: delivery went on).
    pub fn take_archive_lost(&self) -> u64 {
        self.0.shared.archive.take_lost()
    }

    /// Gives a count back that could not be noted down.
    pub fn put_archive_lost(&self, rows: u64) {
        self.0.shared.archive.put_lost(rows);
    }

    /// A front has written a message for a point: what the archive says was sent to it. To be called
    /// before the outcome is reported; costs nothing where nobody is archived.
    pub fn rendered(&self, message: MessageId, point: PointId, octets: &[u8]) {
        if self.0.shared.settings.archive.is_on() {
            self.0.shared.archive.rendered((message, point), octets);
        }
    }

    /// Passes a copy of a message that a node delivers on to another person here; the outcome is
    /// reported to the node as that of `point`.
    pub fn pass_on(&self, node: PersonId, point: PointId, to: &Address, message: &Message) {
        let origin = Origin {
            node,
            point,
            message: message.id,
        };
        inside::pass_on(&self.0.shared, to, message, origin);
    }

    /// Finishes what is under way (at most 5 s), commits it, closes. Later commands are answered
    /// `Stopping`.
    pub async fn stop(&self) {
        let shared = &self.0.shared;
        if shared.closing.swap(true, Ordering::AcqRel) {
            return;
        }
        if shared.attached.get().is_some() {
            let deadline = Instant::now() + DRAIN;
            // Twice quiet, because something may be on its way from shard to shard.
            let mut quiet = 0;
            while quiet < 2 && Instant::now() < deadline {
                quiet = if self.is_quiet().await { quiet + 1 } else { 0 };
                if quiet == 0 {
                    tokio::time::sleep(LOOK).await;
                }
            }
            for mailbox in &shared.mailboxes {
                let (done, ended) = oneshot::channel();
                mailbox.tell(Inside::Stop(done));
                let _ = ended.await;
            }
        }
        if shared.attached.get().is_some()
            && let Ok(done) = self.write(vec![Write::ForgetChanges])
            && !matches!(done.await, Ok(Ok(())))
        {
            tracing::warn!("the end was not noted: some watchers will be told again");
        }
        let tasks = {
            let mut ready = self.ready();
            ready.writer = None;
            ready.loader = None;
            if let Some(refill) = ready.refill.take() {
                refill.abort();
            }
            std::mem::take(&mut ready.tasks)
        };
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the hub had panicked");
            }
        }
    }

    async fn is_quiet(&self) -> bool {
        let shared = &self.0.shared;
        let hall = shared.attached.get().and_then(|all| all.hall.as_ref());
        if hall.is_some_and(|hall| !hall.is_quiet()) {
            return false;
        }
        for mailbox in &shared.mailboxes {
            let (asker, answer) = oneshot::channel();
            mailbox.tell(Inside::Quiet(asker));
            // A shard that is gone has nothing under way.
            if !answer.await.unwrap_or(true) {
                return false;
            }
        }
        true
    }

    fn ready(&self) -> MutexGuard<'_, Ready> {
        self.0.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(
        &self,
        writes: Vec<Write>,
    ) -> Result<oneshot::Receiver<Result<(), StoreError>>, StoreError> {
        let (done, receiver) = oneshot::channel();
        let from = From::Operator(done);
        let writer = self.ready().writer.clone().ok_or_else(stopped)?;
        writer.send(Job { writes, from }).map_err(|_| stopped())?;
        Ok(receiver)
    }

    /// The first address of an account that leads to somebody else, here or in `taken`.
    fn is_taken(
        &self,
        account: &Account,
        taken: &mut HashMap<Address, PersonId>,
    ) -> Option<Address> {
        let all = [&account.address].into_iter().chain(&account.aliases);
        for address in all {
            let other = match self.directory().resolve(address) {
                Resolution::Local(other) => Some(other.person),
                Resolution::UnknownUser | Resolution::Foreign => taken.get(address).copied(),
            };
            if other.is_some_and(|other| other != account.person) {
                return Some(address.clone());
            }
        }
        let all = [&account.address].into_iter().chain(&account.aliases);
        taken.extend(all.map(|address| (address.clone(), account.person)));
        None
    }

    fn account_changed(&self, person: PersonId) {
        if self.0.shared.attached.get().is_some()
            && let Some(mailbox) = self.0.shared.mailbox(person)
        {
            mailbox.tell(Inside::Account(person));
        }
    }
}

fn stopped() -> StoreError {
    StoreError::Backend("the hub is stopped".to_owned())
}
