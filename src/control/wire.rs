//! Requests and answers on the control socket.

use super::archive::{ArchiveDone, ArchiveRequest};
use super::filters::{FilterRequest, FilterRow, HeldRow};
use serde::{Deserialize, Serialize};

/// What the CLI asks.
#[derive(Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    /// Is it there? Answer: [`Done::Alive`].
    Ping,
    /// Add accounts; existing ones are refused, or changed with `update`. Answer: [`Done::Rows`].
    Put {
        /// The accounts.
        rows: Vec<UserRow>,
        /// Change those that exist.
        update: bool,
    },
    /// Remove an account. Answer: [`Done::Rows`].
    Remove {
        /// Which.
        address: String,
    },
    /// Set a password. Answer: [`Done::Rows`].
    Password {
        /// Whose.
        address: String,
        /// The new one.
        password: String,
    },
    /// Nodes. Answer: [`Done::Rows`], or [`Done::Nodes`] to a list.
    Node(NodeRequest),
    /// Registered targets. Answer: [`Done::Rows`], or [`Done::Targets`] to a list.
    Target(TargetRequest),
    /// A one-time code for the portal. Answer: [`Done::Code`].
    PortalCode {
        /// For whom.
        address: String,
    },
    /// All accounts. Answer: [`Done::Users`].
    List,
    /// Who is there. Answer: [`Done::People`].
    Who {
        /// One person; `None` = everybody who is signed in.
        address: Option<String>,
    },
    /// Change what holds for a person's devices. Answer: [`Done::Rows`].
    Device(DeviceRequest),
    /// Give an account another canonical address; the old one still leads there. Answer:
    /// [`Done::Rows`].
    Rename {
        /// The address now.
        address: String,
        /// The address to be.
        to: String,
    },
    /// Who is told of whom. Answer: [`Done::Subscriptions`].
    Subscriptions {
        /// Of one person; `None` = of everybody.
        address: Option<String>,
    },
    /// A person's answer about one watcher. Answer: [`Done::Rows`].
    Consent {
        /// Whose presence.
        address: String,
        /// About whom.
        watcher: String,
        /// Yes or no.
        accept: bool,
    },
    /// Conversations of more than two. Answer: [`Done::Conversations`].
    Conversations {
        /// One, by its id or chat address; `None` = all.
        which: Option<String>,
    },
    /// Who makes us connect where. Answer: [`Done::Callbacks`].
    Callbacks,
    /// Other domains' servers and how they are doing. Answer: [`Done::Peers`].
    Peers,
    /// Why somebody could not sign in. Answer: [`Done::Refusals`].
    Explain {
        /// Who.
        address: String,
    },
    /// The archive. Answer: [`Done::Archive`].
    Archive(ArchiveRequest),
    /// Filters and what they hold. Answer: [`Done::Filters`], [`Done::Held`] or [`Done::Rows`].
    Filter(FilterRequest),
    /// What became of messages. Answer: [`Done::Traces`].
    Trace {
        /// One message.
        message: Option<String>,
        /// The newest from and to this user.
        user: Option<String>,
    },
}

/// See [`Request::Node`]. A path is of the first domain, or written `/path@domain`.
#[derive(Serialize, Deserialize, Clone)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum NodeRequest {
    /// Make a node.
    Add {
        /// Its path.
        path: String,
        /// Who may do everything with it.
        owner: Option<String>,
    },
    /// All nodes.
    List,
    /// Remove a node and everything kept of it.
    Remove {
        /// Its path.
        path: String,
    },
    /// Add a member to the distribution list.
    AddMember {
        /// The node.
        path: String,
        /// The member.
        address: String,
    },
    /// Take a member off it.
    RemoveMember {
        /// The node.
        path: String,
        /// The member.
        address: String,
    },
}

/// See [`Request::Target`]. A node is named by its path, a person by the address.
#[derive(Serialize, Deserialize, Clone)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum TargetRequest {
    /// Send the node's notifications to this URL.
    Add {
        /// The node.
        node: String,
        /// The URL.
        url: String,
        /// What they are signed with; may be empty.
        #[serde(default)]
        secret: String,
    },
    /// All targets.
    List,
    /// Remove a target and what waits for it.
    Remove {
        /// The node.
        node: String,
        /// The URL or the id.
        url: String,
    },
}

/// See [`Request::Device`].
#[derive(Serialize, Deserialize, Clone)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum DeviceRequest {
    /// The delivery policy of one person; `None` leaves it, an empty text takes it away.
    Set {
        /// Whose.
        address: String,
        /// `all`, `most_active` or `preferred`.
        delivery: Option<String>,
        /// `rvp` or `sip`.
        prefer: Option<String>,
    },
    /// Two sign-ins are one device, or two; or nothing is ruled about them any more.
    Rule {
        /// Whose.
        address: String,
        /// One, by its number.
        one: u32,
        /// The other.
        other: u32,
        /// One device (`true`) or two; `None` = as the rules find out.
        together: Option<bool>,
    },
}

/// What the server answers.
#[derive(Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Done.
    Ok(Done),
    /// Refused or failed, in words for the operator.
    Error(String),
}

/// What was found or done.
#[derive(Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// The server is there.
    Alive {
        /// Its version.
        version: String,
        /// Its process.
        pid: u32,
    },
    /// A result per account.
    Rows(Vec<RowResult>),
    /// Accounts, without passwords.
    Users(Vec<UserRow>),
    /// A one-time code.
    Code {
        /// It.
        code: String,
        /// How long it is valid.
        seconds: u64,
    },
    /// Nodes.
    Nodes(Vec<NodeRow>),
    /// Targets.
    Targets(Vec<TargetRow>),
    /// People.
    People(Vec<PersonRow>),
    /// Subscriptions, by the person watched.
    Subscriptions(Vec<SubscriptionRow>),
    /// Conversations, the one used last first.
    Conversations(Vec<ConversationRow>),
    /// Callbacks, by address.
    Callbacks(Vec<CallbackRow>),
    /// Other servers, configured ones first.
    Peers(Vec<PeerRow>),
    /// Filters, in order.
    Filters(Vec<FilterRow>),
    /// Messages that filters hold.
    Held(Vec<HeldRow>),
    /// Refused sign-ins, newest first.
    Refusals(Vec<RefusalRow>),
    /// Traces, newest first.
    Traces(Vec<TraceRow>),
    /// See there.
    Archive(Box<ArchiveDone>),
}

/// An account as operators write it.
#[derive(Serialize, Deserialize, Clone, Default, PartialEq, Eq)]
pub struct UserRow {
    /// `user@domain`.
    pub address: String,
    /// Never in answers.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub password: String,
    /// Shown to others; may be empty.
    #[serde(default)]
    pub display_name: String,
}

impl std::fmt::Debug for UserRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserRow")
            .field("address", &self.address)
            .field("display_name", &self.display_name)
            .finish_non_exhaustive()
    }
}

/// One node.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// Its path.
    pub path: String,
    /// Its domain.
    pub domain: String,
    /// Addresses by which other protocols reach it.
    pub aliases: Vec<String>,
    /// Who may do everything with it.
    pub owner: Option<String>,
    /// Members of the distribution list.
    pub members: Vec<String>,
}

/// One registered target.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct TargetRow {
    /// Its number.
    pub id: u32,
    /// Path of the node, or address of the person.
    pub node: String,
    /// Where notifications go.
    pub url: String,
    /// Whether they are signed.
    pub signed: bool,
    /// Notifications that wait.
    pub waiting: usize,
    /// Their octets.
    pub octets: usize,
    /// When the oldest of them came (RFC 3339).
    pub oldest: Option<String>,
    /// Notifications taken since the server started.
    pub delivered: u64,
    /// Notifications given up since the server started.
    pub dropped: u64,
    /// Failed attempts in a row.
    pub failures: u32,
    /// What the last attempt came to.
    pub last: String,
    /// When it is tried next (RFC 3339).
    pub next: Option<String>,
}

/// What became of one account.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct RowResult {
    /// The address as given.
    pub address: String,
    /// What happened.
    pub result: RowState,
    /// Why not, if refused.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// See [`RowResult`].
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum RowState {
    /// New.
    Added,
    /// It was there and is changed.
    Updated,
    /// It is gone.
    Removed,
    /// Nothing happened, see `why`.
    Refused,
}

/// One person, as the owner of the state sees it.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct PersonRow {
    /// Address.
    pub address: String,
    /// Display name.
    pub display_name: String,
    /// True state (invisible people are shown as such).
    pub state: String,
    /// Free text.
    pub note: Option<String>,
    /// Since when (RFC 3339).
    pub since: String,
    /// Sign-ins.
    pub points: Vec<PointRow>,
    /// The sign-ins by device.
    #[serde(default)]
    pub devices: Vec<DeviceRow>,
    /// How texts are spread over devices: policy and preferred stack.
    #[serde(default)]
    pub delivery: String,
    /// What operators have ruled about devices, and pairs that were parted.
    #[serde(default)]
    pub rulings: Vec<String>,
    /// Further addresses that lead to this person.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Texts kept until somebody signs in.
    #[serde(default)]
    pub away: usize,
    /// Addresses that watch, with their stack.
    pub watchers: Vec<String>,
    /// Messages under way to this person.
    pub pending: usize,
}

/// One device.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct DeviceRow {
    /// Its oldest point.
    pub id: u32,
    /// Why its sign-ins are taken for one device; `None` = there is but one.
    pub why: Option<String>,
    /// Its points.
    pub points: Vec<u32>,
}

/// One sign-in.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct PointRow {
    /// Its number.
    pub id: u32,
    /// Stack.
    pub stack: String,
    /// Where deliveries go.
    pub inbox: String,
    /// Client name and version.
    pub client: String,
    /// Source address.
    pub source: Option<String>,
    /// `live`, `grace`, `suspended`, `doubted` or `send-only`.
    pub condition: String,
    /// Lease end (RFC 3339).
    pub expires: String,
    /// Seconds until then.
    #[serde(default)]
    pub left: u64,
    /// Sign-in (RFC 3339).
    #[serde(default)]
    pub since: String,
    /// When its person last did something by it (RFC 3339).
    #[serde(default)]
    pub active: String,
    /// Nothing was done by it for long.
    #[serde(default)]
    pub idle: bool,
    /// The machine, if it named one.
    #[serde(default)]
    pub machine: Option<String>,
    /// Which program its client is.
    #[serde(default)]
    pub family: Option<String>,
    /// Why it is doubted, while it is.
    #[serde(default)]
    pub doubt: Option<String>,
}

/// One subscription.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionRow {
    /// Who watches.
    pub watcher: String,
    /// Who is watched.
    pub watched: String,
    /// What of him: `presence`, `presence.winfo`, `dialog`.
    pub package: String,
    /// On which stack.
    pub stack: String,
    /// `active`, `pending` or `waiting`.
    pub state: String,
    /// Lease end (RFC 3339).
    pub expires: String,
    /// What became of the last notification, where that is known.
    pub last: Option<String>,
}

/// One conversation of more than two.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ConversationRow {
    /// Its id, as in traces.
    pub id: String,
    /// Its chat address.
    pub address: String,
    /// Who is in, by arrival.
    pub members: Vec<MemberRow>,
    /// Addresses that are being asked in.
    pub invited: Vec<String>,
    /// Addresses that have left.
    pub former: Vec<String>,
    /// Since when (RFC 3339).
    pub since: String,
    /// When something was said last (RFC 3339).
    pub last: String,
    /// When it ends if nothing more is said (RFC 3339).
    pub ends: String,
    /// Copies under way.
    pub pending: usize,
}

/// One member of a conversation.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct MemberRow {
    /// Address.
    pub address: String,
    /// The name that others are shown.
    pub name: String,
    /// Since when (RFC 3339).
    pub since: String,
    /// Stacks on which the member is signed in now.
    pub stacks: Vec<String>,
}

/// One callback.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct CallbackRow {
    /// Who makes us connect.
    pub address: String,
    /// Where.
    pub callback: String,
    /// The address that asked for it, as far as it is a sign-in.
    pub source: Option<String>,
    /// `live`, `unproven`, `backing-off`, `doubted` or `send-only`.
    pub state: String,
    /// Failures in a row.
    pub failures: u32,
    /// What the last one was.
    pub last: Option<String>,
}

/// One server of another domain.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct PeerRow {
    /// `rvp` or `sip`.
    pub stack: String,
    /// Its domain, or the name of its section.
    pub name: String,
    /// Where it is reached, as configured; `None` = looked up.
    pub route: Option<String>,
    /// How it is believed: `none`, `address`, `tls`.
    pub trust: String,
    /// `unused`, `up`, `failing` or `resting` (left alone for a while after failures).
    pub state: String,
    /// Failures in a row.
    pub failures: u32,
    /// Requests made.
    pub sent: u64,
    /// Of these, without an answer.
    pub failed: u64,
    /// The last failure.
    pub last: Option<String>,
    /// How many seconds ago that was.
    pub ago: Option<u64>,
}

/// One message.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct TraceRow {
    /// Its id.
    pub message: String,
    /// Its checkpoints.
    pub steps: Vec<StepRow>,
}

/// One refused sign-in.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct RefusalRow {
    /// When (RFC 3339).
    pub at: String,
    /// From which address.
    pub peer: String,
    /// On which stack.
    pub stack: String,
    /// The true cause, which the client was not told.
    pub cause: String,
}

/// One checkpoint.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct StepRow {
    /// When (RFC 3339).
    pub at: String,
    /// What.
    pub step: String,
    /// More.
    pub detail: String,
}
