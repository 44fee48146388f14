//! Capture for the archive: who is archived, what became of his messages, how the archive is doing.
//!
//! It is no admission hook but a write of the commit stage (`decisions.md` 17): the core says that a
//! message is admitted, and before anything of that is let out its row is with the writer. Where the
//! archive is `required` the row is stored with, and like, everything else that must be durable first;
//! where it is `on` it goes along with the next commit and nobody waits.

use super::disclaimer;
use super::shared::Shared;
use super::writer::{From, Job};
use super::{Directory, Disclaimer};
use crate::archive::record::{self, About, ResultHead};
use crate::core::address::Address;
use crate::core::archive::{Entry, Link, Policy};
use crate::core::id::{MessageId, PointId, Stack};
use crate::core::message::Message;
use crate::core::port::{Account, StoreError, Write};
use crate::core::time::Time;
use crate::core::trace::{Checkpoint, Step};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// Rows with the writer beyond which shards take no outside work.
const OUTSTANDING: usize = 8_192;
/// A message of which no result came for so long is forgotten (kept texts: see [`KEPT`]).
const FORGOTTEN: Duration = Duration::from_hours(1);
/// The same for kept texts, whose time others limit.
const KEPT: Duration = Duration::from_hours(24 * 31);
/// Pause between two looks for forgotten messages.
const SWEEP: Duration = Duration::from_mins(10);
/// Renderings remembered until their outcome comes.
const RENDERINGS: usize = 65_536;

/// Who is archived.
#[derive(Clone, Debug, Default)]
pub struct ArchiveRules {
    /// People of our domains about whom nothing else is said.
    pub policy: Policy,
    /// By domain.
    pub domains: BTreeMap<String, Policy>,
    /// By group: members of a node.
    pub groups: BTreeMap<Address, Policy>,
    /// By person.
    pub people: BTreeMap<Address, Policy>,
    /// What people are told at the start of a conversation that is archived.
    pub disclaimer: Disclaimer,
    /// Local part of the server's own address, whose notices nothing waits for.
    pub system_local: String,
}

impl ArchiveRules {
    /// Whether anybody is archived.
    pub fn is_on(&self) -> bool {
        let named = self.domains.values();
        let named = named
            .chain(self.groups.values())
            .chain(self.people.values());
        self.policy != Policy::Off || named.copied().any(|policy| policy != Policy::Off)
    }

    /// The strictest word about anybody who takes part.
    fn of(&self, directory: &Directory, message: &Message, members: &[Address]) -> Policy {
        let both = [&message.from, &message.to];
        let all = both.into_iter().chain(members);
        let policy = all.map(|who| self.of_person(directory, who)).max();
        let policy = policy.unwrap_or_default();
        // A notice of the server itself must be able to say that the archive is not there.
        if *message.from.local() == *self.system_local {
            return policy.min(Policy::On);
        }
        policy
    }

    fn of_person(&self, directory: &Directory, who: &Address) -> Policy {
        let of_domain = || {
            if !directory.is_ours(who.domain()) {
                return Policy::Off;
            }
            let own = self.domains.get(who.domain());
            own.copied().unwrap_or(self.policy)
        };
        if self.people.is_empty() && self.groups.is_empty() {
            return of_domain();
        }
        let account = match directory.resolve(who) {
            super::Resolution::Local(account) => Some(account),
            super::Resolution::UnknownUser | super::Resolution::Foreign => None,
        };
        let names = || {
            let account = account.as_deref();
            let named = account
                .map(|account| &account.aliases[..])
                .unwrap_or_default();
            let canonical = account.map(|account| &account.address);
            [who].into_iter().chain(canonical).chain(named)
        };
        if let Some(own) = names().find_map(|name| self.people.get(name)) {
            return *own;
        }
        let in_group = |group: &Address| match directory.resolve(group) {
            super::Resolution::Local(node) => {
                let node = node.node.as_ref();
                node.is_some_and(|node| names().any(|name| node.members.contains(name)))
            }
            super::Resolution::UnknownUser | super::Resolution::Foreign => false,
        };
        let groups = self.groups.iter().filter(|(group, _)| in_group(group));
        groups
            .map(|(_, policy)| *policy)
            .max()
            .unwrap_or_else(of_domain)
    }
}

/// How the archive is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveHealth {
    /// All that had to be stored was.
    Good,
    /// Rows were lost; delivery went on.
    Failing,
    /// Messages are refused because they can't be stored.
    Refusing,
}

/// What shards, writer and fronts share about the archive.
#[derive(Debug, Default)]
pub(super) struct ArchiveState {
    outstanding: AtomicUsize,
    health: AtomicU8,
    lost: AtomicU64,
    renderings: Mutex<Renderings>,
}

#[derive(Debug, Default)]
struct Renderings {
    order: VecDeque<(MessageId, PointId)>,
    digests: HashMap<(MessageId, PointId), Link>,
}

impl ArchiveState {
    /// Whether the writer has so many rows that no more outside work should be taken.
    pub(super) fn has_room(&self) -> bool {
        self.outstanding.load(Ordering::Acquire) < OUTSTANDING
    }

    /// The writer is through with rows that nobody waits for; true if there is room again.
    pub(super) fn done(&self, rows: usize) -> bool {
        let before = self.outstanding.fetch_sub(rows, Ordering::AcqRel);
        before >= OUTSTANDING && before - rows < OUTSTANDING
    }

    /// What became of rows.
    pub(super) fn note(&self, rows: u64, required: bool, failed: Option<&StoreError>) {
        let health = match (failed, required) {
            (None, _) => 0,
            (Some(_), false) => {
                self.lost.fetch_add(rows, Ordering::AcqRel);
                1
            }
            (Some(_), true) => 2,
        };
        let before = if health == 0 {
            self.health.swap(0, Ordering::AcqRel)
        } else {
            self.health.fetch_max(health, Ordering::AcqRel)
        };
        match (before, failed) {
            (0, Some(error)) if required => {
                tracing::error!(%error, "archive: not stored, so not delivered (`required`)");
            }
            (0, Some(error)) => {
                tracing::error!(%error, rows, "archive: not stored; delivery goes on");
            }
            (1.., None) => tracing::info!("archive: stores again"),
            _ => {}
        }
    }

    /// How it is doing.
    pub(super) fn health(&self) -> ArchiveHealth {
        match self.health.load(Ordering::Acquire) {
            0 => ArchiveHealth::Good,
            1 => ArchiveHealth::Failing,
            _ => ArchiveHealth::Refusing,
        }
    }

    /// Rows lost since last asked.
    pub(super) fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::AcqRel)
    }

    /// Puts a count back that could not be noted down.
    pub(super) fn put_lost(&self, rows: u64) {
        self.lost.fetch_add(rows, Ordering::AcqRel);
    }

    /// A front has written a message for a point.
    pub(super) fn rendered(&self, key: (MessageId, PointId), octets: &[u8]) {
        let digest = crate::archive::chain::digest(octets);
        let mut all = self.renderings();
        if all.digests.insert(key, digest).is_some() {
            return;
        }
        all.order.push_back(key);
        if all.order.len() > RENDERINGS
            && let Some(oldest) = all.order.pop_front()
        {
            all.digests.remove(&oldest);
        }
    }

    fn take_rendering(&self, key: (MessageId, PointId)) -> Option<Link> {
        // Its place in the order goes by and by: looking for it would cost more.
        self.renderings().digests.remove(&key)
    }

    fn renderings(&self) -> MutexGuard<'_, Renderings> {
        self.renderings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is to be done about an admitted message.
pub(super) enum Capture {
    /// Nothing.
    No,
    /// To be stored with the next commit; nobody waits.
    Along(Entry),
    /// To be stored first.
    First(Entry),
}

/// The messages of one shard whose results are archived.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    open: HashMap<MessageId, Vec<Open>>,
    sweep: Time,
}

/// One recipient of one message.
#[derive(Debug)]
struct Open {
    to: Address,
    since: Time,
    kept: bool,
    /// Points whose outcome is not known.
    routed: Vec<(PointId, Stack)>,
}

impl Ledger {
    /// Decides about a message of this shard's `account`; its results are archived from now on.
    pub(super) fn admit(
        &mut self,
        shared: &Shared,
        account: Option<&Account>,
        (message, others): (&Message, &[Address]),
        copy: bool,
    ) -> Capture {
        let rules = &shared.settings.archive;
        // A list's members stand with it, a conversation's come and go.
        let node = account.and_then(|account| account.node.as_ref());
        let members = node.map(|node| &node.members[..]);
        let members = members.filter(|all| !all.is_empty()).unwrap_or(others);
        let policy = rules.of(&shared.directory, message, members);
        if policy == Policy::Off {
            return Capture::No;
        }
        self.open(message, shared.clock.now(), false);
        if copy {
            // Members of a list know what they are on; those of a conversation are told each.
            if let (Some(account), true) = (account, message.chat.is_some()) {
                disclaimer::announce(shared, account.person, message);
            }
            return Capture::No;
        }
        let ours = |address: &Address| shared.directory.is_ours(address.domain());
        let members: Vec<String> = members.iter().map(ToString::to_string).collect();
        let about = About {
            direction: match (ours(&message.from), ours(&message.to)) {
                (true, true) => "inside",
                (false, true) => "inbound",
                (true, false) => "outbound",
                (false, false) => "passing",
            },
            members: &members,
        };
        let entry = record::message(message, about);
        // A list is nobody who reads.
        if let Some(account) = account.filter(|account| account.node.is_none()) {
            disclaimer::announce(shared, account.person, message);
        }
        if policy == Policy::Required {
            Capture::First(entry)
        } else {
            Capture::Along(entry)
        }
    }

    /// Whether results of that message are archived here.
    pub(super) fn knows(&self, message: MessageId) -> bool {
        self.open.contains_key(&message)
    }

    /// The message could not be archived and is taken back: nothing is said about it.
    pub(super) fn forget(&mut self, message: MessageId) {
        self.open.remove(&message);
    }

    /// A kept text from before the restart.
    pub(super) fn reopen(&mut self, shared: &Shared, message: &Message) {
        let rules = &shared.settings.archive;
        if rules.of(&shared.directory, message, &[]) != Policy::Off {
            self.open(message, shared.clock.now(), true);
        }
    }

    fn open(&mut self, message: &Message, now: Time, kept: bool) {
        self.open.entry(message.id).or_default().push(Open {
            to: message.to.clone(),
            since: now,
            kept,
            routed: Vec::new(),
        });
        if now >= self.sweep {
            self.sweep = now.after(SWEEP);
            self.open.retain(|_, all| {
                all.retain(|open| now.since(open.since) < if open.kept { KEPT } else { FORGOTTEN });
                !all.is_empty()
            });
        }
    }

    /// The row of a checkpoint of `to`'s, if it is a result and the message is archived.
    pub(super) fn result(
        &mut self,
        state: &ArchiveState,
        to: &Account,
        checkpoint: &Checkpoint,
    ) -> Option<Entry> {
        let all = self.open.get_mut(&checkpoint.message)?;
        let mine = |open: &Open| open.to == to.address || to.aliases.contains(&open.to);
        let at = all.iter().position(mine)?;
        let open = all.get_mut(at)?;
        let mut over = false;
        let (what, point, why) = match &checkpoint.step {
            Step::Routed(points) => {
                open.routed.clone_from(points);
                return None;
            }
            Step::Delivered(point) => ("delivered", Some(*point), String::new()),
            Step::AttemptFailed(point, outcome) => ("failed", Some(*point), format!("{outcome:?}")),
            Step::Redelivered(point) => ("again", Some(*point), String::new()),
            Step::Kept => {
                open.kept = true;
                ("kept", None, String::new())
            }
            Step::Dropped(why) => {
                over = true;
                ("dropped", None, (*why).to_owned())
            }
            Step::Failed(error) => {
                over = true;
                ("refused", None, error.to_string())
            }
            Step::Accepted { .. }
            | Step::Filtered(..)
            | Step::Authorised
            | Step::Receipt(_)
            | Step::Duplicate
            | Step::SenderTold => return None,
        };
        let stack = point.and_then(|point| open.routed.iter().find(|(id, _)| *id == point));
        let stack = stack.map(|(_, stack)| stack.name().to_owned());
        let key = point.map(|point| (checkpoint.message, point));
        let rendering = match what {
            "delivered" | "failed" => key.and_then(|key| state.take_rendering(key)),
            _ => None,
        };
        let head = ResultHead {
            id: checkpoint.message.to_string(),
            to: open.to.to_string(),
            what: what.to_owned(),
            point: point.map(|point| point.0),
            stack: stack.unwrap_or_default(),
            why,
            rendering: rendering
                .map(|digest| record::shown(&digest))
                .unwrap_or_default(),
            ..ResultHead::default()
        };
        if let (Some(point), "delivered" | "failed") = (point, what) {
            open.routed
                .retain(|(id, _)| *id != point || (what == "failed" && open.kept));
            over |= open.routed.is_empty() && (what == "delivered" || !open.kept);
        }
        if over {
            all.remove(at);
            if all.is_empty() {
                self.open.remove(&checkpoint.message);
            }
        }
        Some(record::result(checkpoint.at, head))
    }
}

/// Sends a row along with the next commit.
pub(super) fn send(shared: &Shared, writer: &mpsc::UnboundedSender<Job>, entry: Entry) {
    shared.archive.outstanding.fetch_add(1, Ordering::AcqRel);
    let job = Job {
        writes: vec![Write::Archive(Box::new(entry))],
        from: From::Archive,
    };
    // The writer ends only after the shards.
    let _ = writer.send(job);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::id::PersonId;
    use crate::core::node::Node;
    use crate::core::port::Secret;

    fn account(n: u128, address: Address, aliases: &[&str], node: Option<Node>) -> Account {
        let alias = |text: &&str| Address::parse(text).unwrap();
        Account {
            person: PersonId(n),
            address,
            aliases: aliases.iter().map(alias).collect(),
            display_name: String::new(),
            email: String::new(),
            secret: Secret::default(),
            suspended: false,
            node,
        }
    }

    #[test]
    fn a_persons_word_beats_the_groups_the_domains_and_the_general_one() {
        let address = |text: &str| Address::parse(text).unwrap();
        let group = Address::of_path("/traders", "a.example").unwrap();
        let members = ["g@a.example", "old@a.example", "p@a.example"];
        let node = Node {
            owner: None,
            members: members.map(address).into(),
        };
        let accounts = vec![
            account(1, address("g@a.example"), &[], None),
            account(2, address("new@a.example"), &["old@a.example"], None),
            account(3, address("p@a.example"), &["q@a.example"], None),
            account(4, address("x@b.example"), &[], None),
            account(5, group.clone(), &[], Some(node)),
        ];
        let domains = ["a.example", "b.example"].map(str::to_owned).into();
        let directory = Directory::new(domains, accounts);
        let rules = ArchiveRules {
            policy: Policy::On,
            domains: [("a.example".to_owned(), Policy::Off)].into(),
            groups: [(group, Policy::Required)].into(),
            people: [(address("q@a.example"), Policy::On)].into(),
            ..ArchiveRules::default()
        };
        for (who, want) in [
            ("x@b.example", Policy::On),
            ("unknown@a.example", Policy::Off),
            ("g@a.example", Policy::Required),
            ("new@a.example", Policy::Required),
            ("p@a.example", Policy::On),
            ("q@a.example", Policy::On),
            ("anybody@elsewhere.example", Policy::Off),
        ] {
            assert_eq!(rules.of_person(&directory, &address(who)), want, "{who}");
        }
        assert!(rules.is_on());
        assert!(!ArchiveRules::default().is_on());
    }

    #[test]
    fn renderings_are_bounded_and_the_last_one_counts() {
        let state = ArchiveState::default();
        let key = |n| (MessageId(n), PointId(1));
        state.rendered(key(1), b"first");
        state.rendered(key(1), b"second");
        let second = crate::archive::chain::digest(b"second");
        assert_eq!(state.take_rendering(key(1)), Some(second));
        assert_eq!(state.take_rendering(key(1)), None);
        let many = u128::try_from(RENDERINGS).unwrap() + 10;
        for n in 100..100 + many {
            state.rendered(key(n), b"x");
        }
        assert_eq!(state.take_rendering(key(100)), None);
        assert!(state.take_rendering(key(99 + many)).is_some());
        assert!(state.renderings().order.len() <= RENDERINGS);
    }
}
