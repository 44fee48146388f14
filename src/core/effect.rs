//! What [`crate::core::user::User`] is given and gives back: context, rules and effects.

use crate::core::access::{Rights, Scheme};
use crate::core::address::Address;
use crate::core::command::{Caller, Command, Reply};
use crate::core::devices::{Bond, SplitWhy, Spread};
use crate::core::error::Error;
use crate::core::event::Event;
use crate::core::fidelity::FidelityTable;
use crate::core::id::{Ids, MessageId, PersonId, PointId, Stack, WatchId};
use crate::core::message::Message;
use crate::core::port::Write;
use crate::core::time::Time;
use crate::core::trace::Checkpoint;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Where an answer goes, as a token that only the caller of the core can read. Opaque here: the
/// hub maps it to its own `ReplyTo`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReplyTag(pub u64);

impl ReplyTag {
    /// Nobody waits: no [`Effect::Reply`] is made for it.
    pub const NOBODY: Self = Self(0);
}

/// Everything that is not the person's own state.
pub struct Context<'a> {
    /// Now.
    pub now: Time,
    /// Fresh ids.
    pub ids: &'a mut dyn Ids,
    /// Limits, spans and policies.
    pub rules: &'a Rules,
    /// What each stack shows.
    pub fidelity: &'a FidelityTable,
}

/// One consequence of a command or of time. They come in the order in which they may take effect:
/// what must be stored before an answer stands before the answer, what an answer causes stands
/// behind it (`design.md` 3, RVP 8.5).
#[derive(Clone, Debug)]
pub enum Effect {
    /// Must be durable before any later effect of the same command is let out.
    Store(Write),
    /// The answer to a command; exactly one per tag that is not [`ReplyTag::NOBODY`], perhaps
    /// only from a later command or tick. A tag that went out in a [`Forward`] is answered by the
    /// person it was forwarded to.
    Reply(ReplyTag, Result<Reply, Error>),
    /// For the front of that stack.
    Emit(Stack, Event),
    /// A command to another person.
    Forward(Box<Forward>),
    /// A message may be delivered; nothing of that has been let out yet. Who must have it first
    /// (the archive) takes it here.
    Admitted {
        /// The message.
        message: Arc<Message>,
        /// It is a copy for a member of the list or conversation that it was admitted at before.
        copy: bool,
        /// Who takes part besides its sender and its recipient.
        members: Vec<Address>,
    },
    /// A checkpoint of a message.
    Trace(Checkpoint),
    /// One line for the log.
    Log(Notice),
}

/// A command on its way to another person's shard.
#[derive(Clone, Debug)]
pub struct Forward {
    /// To whom.
    pub to: PersonId,
    /// On whose behalf.
    pub caller: Caller,
    /// What.
    pub command: Command,
    /// Whose answer it will be; moves along.
    pub reply: ReplyTag,
}

/// What an operator may want to read about a person's live state.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// Deliveries to the point fail: it is doubted (`decisions.md` 14).
    Doubted(PersonId, PointId),
    /// It answered again.
    Trusted(PersonId, PointId),
    /// The point is gone.
    PointEnded(PersonId, PointId, Why),
    /// The watch is gone.
    WatchEnded(PersonId, WatchId, Why),
    /// A kept message failed and its sender can't be told (no person here).
    SenderNotTold(PersonId, MessageId),
    /// A watch by logical callback whose watcher is nobody here.
    NoInboxes(PersonId, WatchId),
    /// Two points are taken for one device.
    Paired(PersonId, PointId, PointId, Bond),
    /// They are not any more.
    Split(PersonId, PointId, PointId, SplitWhy),
}

/// Why something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its owner asked.
    Asked,
    /// Its lease ran out.
    LeaseEnded,
    /// Its connection did not come back in time.
    ConnectionLost,
    /// It did not answer for too long.
    Dead,
    /// The client says it does not exist any more.
    Gone,
    /// It made room for a newer one.
    Displaced,
    /// The account is gone.
    Erased,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Doubted(who, point) => write!(f, "{who} point {}: doubted", point.0),
            Self::Trusted(who, point) => write!(f, "{who} point {}: answers again", point.0),
            Self::PointEnded(who, point, why) => write!(f, "{who} point {}: {why}", point.0),
            Self::WatchEnded(who, watch, why) => write!(f, "{who} watch {}: {why}", watch.0),
            Self::SenderNotTold(who, message) => {
                write!(f, "{who} message {message}: failed late, sender not here")
            }
            Self::Paired(who, one, other, why) => {
                write!(
                    f,
                    "{who} points {} and {}: one device, {why}",
                    one.0, other.0
                )
            }
            Self::Split(who, one, other, why) => {
                write!(
                    f,
                    "{who} points {} and {}: two devices, {why}",
                    one.0, other.0
                )
            }
            Self::NoInboxes(who, watch) => {
                write!(f, "{who} watch {}: watcher has no inboxes here", watch.0)
            }
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "ended by its owner",
            Self::LeaseEnded => "lease ended",
            Self::ConnectionLost => "connection lost for too long",
            Self::Dead => "did not answer for too long",
            Self::Gone => "gone at the client",
            Self::Displaced => "displaced by a newer one",
            Self::Erased => "account removed",
        })
    }
}

/// Limits, spans and policies; defaults are the numbers of `decisions.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Points per person.
    pub points: usize,
    /// Subscriptions at one node; each subscriber has at most `points` of them.
    pub subscribers: usize,
    /// Publications per person.
    pub publications: usize,
    /// Watches on one person.
    pub watches: usize,
    /// Entries of an access list.
    pub access_entries: usize,
    /// Properties per person.
    pub properties: usize,
    /// Octets of one property value.
    pub property_octets: usize,
    /// Octets of all properties of a person, names included.
    pub properties_octets: usize,
    /// Documents per person.
    pub documents: usize,
    /// Octets of all documents of a person.
    pub document_octets: usize,
    /// Messages under way to one person.
    pub pending: usize,
    /// Running conversations remembered per person.
    pub conversations: usize,
    /// Members of one conversation of many.
    pub chat_members: usize,
    /// Conversations of many made by one person.
    pub chats_per_person: usize,
    /// All of them.
    pub chats: usize,
    /// Servers a message may pass.
    pub hops: u8,
    /// Longest lease granted.
    pub lease_max: Duration,
    /// Lease of a publication that names none and has no point to live by.
    pub lease_default: Duration,
    /// Followers of a presence change merge for so long (`decisions.md` 13).
    pub merge: Duration,
    /// The other half of a pair echoes a change for so long (`decisions.md` 13).
    pub echo: Duration,
    /// A point without its connection lives on for so long (`decisions.md` 12).
    pub grace: Duration,
    /// The same after our restart (`decisions.md` 12).
    pub suspension: Duration,
    /// A restored lease lasts at least so long (`decisions.md` 34).
    pub restored: Duration,
    /// Two failures so far apart make a point doubted (`decisions.md` 14).
    pub doubt_after: Duration,
    /// A doubted point is out of the fold after this.
    pub doubt_hides: Duration,
    /// A doubted point is removed after this.
    pub doubt_removes: Duration,
    /// The sender is answered after this at the latest (`decisions.md` 18).
    pub answer: Duration,
    /// A kept text is tried for so long.
    pub keep: Duration,
    /// A failed attempt of a kept text is repeated after this.
    pub retry: Duration,
    /// A pair's conversation ends after so much silence (`decisions.md` 21).
    pub conversation: Duration,
    /// A conversation of many ends after so much silence.
    pub chat_idle: Duration,
    /// Duplicates are known for so long (`decisions.md` 19).
    pub duplicate: Duration,
    /// Local part of the system address that tells senders of late failures.
    pub system_local: Arc<str>,
    /// Rights without an entry of the list, for authenticated people of this server.
    pub local: Rights,
    /// The same for foreign people vouched for by their server, whose domain is welcome.
    pub foreign: Rights,
    /// Pairs of a domain of ours and a foreign one that is welcome there (`*` = any). No pair, no
    /// rights (`decisions.md` 15).
    pub welcome: Arc<[(String, String)]>,
    /// The same for unproved names.
    pub anonymous: Rights,
    /// Domains of ours whose people are asked before somebody may see their presence.
    pub confirm: Arc<[String]>,
    /// Those of them where watching somebody means consent to being watched by him.
    pub mutual: Arc<[String]>,
    /// Domains of ours where somebody blocked is told so (`decisions.md` 16).
    pub visible_block: Arc<[String]>,
    /// How texts are spread over a person's devices.
    pub spread: Spread,
    /// The same in domains of ours where it differs.
    pub spreads: Arc<[(String, Spread)]>,
    /// Sign-ins of one kind of client at one place within this span are one device.
    pub pair_within: Duration,
    /// A point is idle when its person has done nothing by it for so long; zero = never.
    pub idle_after: Duration,
    /// Domains of ours where texts are kept for people who are away.
    pub away: Arc<[String]>,
    /// For so long.
    pub away_for: Duration,
    /// So many for one person.
    pub away_texts: usize,
    /// So many of them of one sender.
    pub away_sender: usize,
    /// Octets of all of them.
    pub away_octets: usize,
    /// Watchers remembered per person who came while he could not be asked.
    pub waiting: usize,
    /// For so long; a question that is open longer is given up.
    pub waiting_for: Duration,
    /// Changes of the list of watchers merge for so long (RFC 3857 4.10).
    pub watchers_merge: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        use crate::core::access::Right;
        Self {
            points: 32,
            subscribers: 1000,
            publications: 32,
            watches: 1000,
            access_entries: 1000,
            documents: 64,
            document_octets: 1 << 20,
            properties: 256,
            property_octets: 16 * 1024,
            properties_octets: 256 * 1024,
            pending: 256,
            conversations: 64,
            chat_members: 50,
            chats_per_person: 64,
            chats: 10_000,
            hops: 32,
            lease_max: Duration::from_hours(24),
            lease_default: Duration::from_mins(20),
            merge: Duration::from_millis(250),
            echo: Duration::from_secs(5),
            grace: Duration::from_secs(15),
            suspension: Duration::from_mins(2),
            restored: Duration::from_mins(1),
            doubt_after: Duration::from_secs(5),
            doubt_hides: Duration::from_mins(1),
            doubt_removes: Duration::from_mins(10),
            answer: Duration::from_secs(4),
            keep: Duration::from_mins(1),
            retry: Duration::from_secs(5),
            conversation: Duration::from_mins(10),
            chat_idle: Duration::from_hours(24),
            duplicate: Duration::from_mins(10),
            system_local: "postmaster".into(),
            local: Rights::default()
                .with(Right::List)
                .with(Right::Read)
                .with(Right::Presence)
                .with(Right::SendTo)
                .with(Right::ReceiveFrom),
            foreign: Rights::default().with(Right::Presence).with(Right::SendTo),
            welcome: Arc::new([]),
            anonymous: Rights::default(),
            confirm: Arc::new([]),
            mutual: Arc::new([]),
            visible_block: Arc::new([]),
            spread: Spread::default(),
            spreads: Arc::new([]),
            pair_within: Duration::from_secs(30),
            idle_after: Duration::ZERO,
            away: Arc::new([]),
            away_for: Duration::from_hours(24 * 7),
            away_texts: 100,
            away_sender: 50,
            away_octets: 256 * 1024,
            waiting: 100,
            waiting_for: Duration::from_hours(24 * 7),
            watchers_merge: Duration::from_secs(5),
        }
    }
}

impl Rules {
    /// Rights of a caller about whom the access list of somebody of the domain `home` says nothing
    /// (`decisions.md` 15).
    pub fn rights_of(&self, caller: &Caller, home: &str) -> Rights {
        match (caller.scheme, caller.person) {
            (Scheme::Internal, _) => Rights::ALL,
            (Scheme::Assertion, _) => self.anonymous,
            (_, Some(_)) => self.local,
            (_, None) if self.welcomes(home, caller.address.domain()) => self.foreign,
            (_, None) => Rights::default(),
        }
    }

    /// Whether people of that domain of ours are asked before somebody may see their presence.
    pub fn confirms(&self, home: &str) -> bool {
        self.confirm.iter().any(|domain| domain == home)
    }

    /// Whether watching somebody means consent to being watched by him.
    pub fn is_mutual(&self, home: &str) -> bool {
        self.mutual.iter().any(|domain| domain == home)
    }

    /// Whether texts are kept for people of that domain of ours who are away.
    pub fn keeps_texts(&self, home: &str) -> bool {
        self.away.iter().any(|domain| domain == home)
    }

    /// How texts to people of that domain of ours are spread over their devices.
    pub fn spread_in(&self, home: &str) -> Spread {
        let mut own = self.spreads.iter().filter(|(domain, _)| domain == home);
        own.next().map_or(self.spread, |(_, spread)| *spread)
    }

    /// Whether somebody blocked by people of that domain is told so.
    pub fn blocks_openly(&self, home: &str) -> bool {
        self.visible_block.iter().any(|domain| domain == home)
    }

    /// The foreign domains that are welcome to a domain of ours; `*` = all.
    pub fn welcomed_by(&self, home: &str) -> Vec<String> {
        let mine = self.welcome.iter().filter(|(ours, _)| ours == home);
        mine.map(|(_, theirs)| theirs.clone()).collect()
    }

    fn welcomes(&self, home: &str, domain: &str) -> bool {
        let mut pairs = self.welcome.iter();
        pairs.any(|(ours, theirs)| ours == home && (theirs == "*" || theirs == domain))
    }
}
