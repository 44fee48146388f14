//! Arguments, with help that teaches.

use super::demo::DemoArguments;
use super::peer::StackChoice;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

const AFTER: &str = "\
Try it:
  tristack demo                      a server with four users, at once, on this machine
  tristack chat --as alice@example.com --stack rvp
  tristack chat --as bob@example.com --stack sip

Run it:
  tristack check                     is the configuration right, and where is each value from?
  tristack serve                     run the server
  tristack user add alice@example.com --password-stdin < password.txt

Every setting can also be given as TRISTACK_SECTION_KEY in the environment.

Exit codes: 0 done; 1 refused or failed (the reason is printed); 2 wrong command line;
3 wrong configuration; 4 a port, the data directory or the database is not to be had;
5 no server is running; 6 stopped hard before everything was drained.";

/// One server that speaks RVP (Exchange 2000 Instant Messaging) and SIP/SIMPLE.
#[derive(Parser, Debug)]
#[command(name = "tristack", version, after_help = AFTER, max_term_width = 100)]
pub(super) struct Arguments {
    /// Configuration file [default: ./tristack.toml if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// May a watcher see a person's presence?
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConsentAnswer {
    /// Yes
    Accept,
    /// No
    Refuse,
}

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// A server with four users, at once, on an empty machine
    #[command(
        after_help = "Examples:\n  tristack demo\n  tristack demo --script\n  tristack demo --lan museum.example"
    )]
    Demo(DemoArguments),
    /// Talk, in the terminal, on either stack
    ///
    /// Lines go to the current peer; /to, /watch, /status, /quit. Without --server and without a
    /// configuration file it talks to the demo on this machine.
    #[command(
        after_help = "Examples:\n  tristack chat --as alice@example.com --stack rvp\n  tristack chat --as bob@example.com --stack sip --server 127.0.0.1:5060"
    )]
    Chat {
        /// Sign in as this user
        #[arg(long = "as", value_name = "ADDRESS")]
        address: String,
        /// On this stack
        #[arg(long, value_enum)]
        stack: StackChoice,
        /// The server's address for that stack
        #[arg(long, value_name = "HOST:PORT")]
        server: Option<String>,
        /// Read the password from this file instead of asking
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Run the server
    ///
    /// Prints one line, `tristack ready ...` with the addresses, when all listeners accept.
    /// SIGTERM or Ctrl-C drains and stops within 10 seconds; a second one stops at once.
    Serve,
    /// Check the configuration and print every value with its origin
    Check,
    /// Print the version
    Version,
    /// Add, change and remove accounts; works while the server runs and while it does not
    #[command(subcommand)]
    User(UserCommand),
    /// Which sign-ins of a person are one device (asks the running server)
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Nodes beyond people: groups, devices, shipments; with distribution lists
    #[command(subcommand)]
    Node(NodeCommand),
    /// URLs that a node's notifications are sent to
    #[command(subcommand)]
    Target(TargetCommand),
    /// What was archived: search it, show it, hand it out, check that nobody changed it
    ///
    /// Archiving is set by `[archive] policy` (off, on, required), per domain, group and person. The
    /// archive is append-only, each row chained to the one before it. Whoever looks into it leaves a
    /// note there: who, when, why (`--reason`). Works while the server runs and while it does not.
    #[command(subcommand)]
    Archive(ArchiveCommand),
    /// The self-service page for app passwords
    #[command(subcommand)]
    Portal(PortalCommand),
    /// Who is signed in, where and how (asks the running server)
    #[command(
        after_help = "Examples:\n  tristack who\n  tristack who alice@example.com --json\n  tristack who --subscriptions"
    )]
    Who {
        /// One person, with sign-ins and watchers
        #[arg(value_name = "ADDRESS")]
        address: Option<String>,
        /// Who is told of whom instead, with the state of each subscription
        #[arg(long)]
        subscriptions: bool,
    },
    /// Conversations of more than two: who is in, where, last activity (asks the running server)
    #[command(subcommand)]
    Conversation(ConversationCommand),
    /// Answer for somebody who may see their presence (asks the running server)
    ///
    /// Where `[domain."..."] consent = "confirm"` holds, watchers wait until they are answered; who
    /// waits is shown by `who --subscriptions`. The answer is an entry of the access list.
    #[command(
        after_help = "Examples:\n  tristack consent alice@example.com accept bob@example.com\n  tristack consent alice@example.com refuse eve@example.com"
    )]
    Consent {
        /// Whose presence
        address: String,
        /// The answer
        #[arg(value_enum)]
        answer: ConsentAnswer,
        /// About whom
        watcher: String,
    },
    /// Who makes the server connect where (RVP callbacks), with state (asks the running server)
    #[command(after_help = "Examples:\n  tristack callbacks\n  tristack callbacks --json")]
    Callbacks,
    /// Filters: what they did, and messages that they hold (asks the running server)
    #[command(subcommand)]
    Filter(FilterCommand),
    /// What the filters of the configuration would do
    #[command(subcommand)]
    Rule(RuleCommand),
    /// Servers of other domains: where, believed how, in what state (asks the running server)
    #[command(after_help = "Examples:\n  tristack peers\n  tristack peers --json")]
    Peers,
    /// Why somebody can't sign in: the last refusals with their true causes (asks the running server)
    ///
    /// Clients show one text for everything; this shows what it was: unknown alias, wrong host in
    /// the URL, a scheme that is not offered, a bad password, policy, clock.
    #[command(after_help = "Example:\n  tristack explain alice@example.com")]
    Explain {
        /// user@domain, as the person wrote it
        address: String,
    },
    /// What became of messages (asks the running server)
    #[command(
        after_help = "Examples:\n  tristack trace --user alice@example.com\n  tristack trace --message 0193a1c2d3e4f5061728394a5b6c7d8e"
    )]
    Trace {
        /// One message, by its id
        #[arg(long, value_name = "ID", required_unless_present = "user")]
        message: Option<String>,
        /// The newest messages from and to this user
        #[arg(long, value_name = "ADDRESS", conflicts_with = "message")]
        user: Option<String>,
    },
}

#[derive(Subcommand, Debug)]
pub(super) enum UserCommand {
    /// Add an account
    #[command(
        after_help = "Example:\n  echo secret | tristack user add alice@example.com --display-name Alice --password-stdin"
    )]
    Add {
        /// user@domain
        address: String,
        /// Name shown to others
        #[arg(long, value_name = "NAME")]
        display_name: Option<String>,
        /// Read the password from standard input (its first line)
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// List all accounts
    List,
    /// Remove an account and everything kept of it
    Remove {
        /// user@domain
        address: String,
    },
    /// Set a password
    #[command(
        after_help = "Example:\n  echo secret | tristack user passwd alice@example.com --password-stdin"
    )]
    Passwd {
        /// user@domain
        address: String,
        /// Read the password from standard input (its first line)
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// Which of a person's devices get a text
    ///
    /// `all`: every device, each once. `most_active`: the one the conversation is held on, else the
    /// one used last. `preferred`: the one the conversation is held on, else the preferred one. The
    /// others get it when that one fails. `default` takes the person's own setting away.
    #[command(
        after_help = "Examples:\n  tristack user set alice@example.com --delivery most_active\n  tristack user set alice@example.com --prefer sip"
    )]
    Set {
        /// user@domain
        address: String,
        /// all, most_active, preferred or default
        #[arg(long, value_name = "POLICY", required_unless_present = "prefer")]
        delivery: Option<String>,
        /// The stack that a device gets texts by where the conversation does not say: rvp, sip or
        /// default
        #[arg(long, value_name = "STACK")]
        prefer: Option<String>,
    },
    /// Give an account another address; the old one still leads to it
    ///
    /// What others have allowed or forbidden to the old address holds for the new one.
    #[command(
        after_help = "Example:\n  tristack user rename alice@example.com alice.smith@example.com"
    )]
    Rename {
        /// user@domain as it is
        address: String,
        /// user@domain to be
        to: String,
    },
    /// Add or change many accounts from a CSV file
    ///
    /// The first line is `address,password,display_name`. Accounts that exist are changed; an
    /// empty password or name keeps the old one. Prints a result per row; exit code 1 if any row
    /// was refused.
    #[command(after_help = "Example:\n  tristack user import people.csv --json")]
    Import {
        /// The file
        #[arg(value_name = "FILE.csv")]
        file: PathBuf,
    },
}

#[derive(Subcommand, Debug, Clone)]
pub(super) enum ArchiveCommand {
    /// Search, newest first
    ///
    /// All of a query must hold: words; "phrases" in quotes; from: and to: (an address, the name
    /// before the @, or @domain); with: (either side, or a member); before: and after: (2026-11-29 or
    /// 2026-11-29T14:30, UTC); conversation: (an id). Case and accents do not matter.
    #[command(
        after_help = "Examples:\n  tristack archive search --reason 'case 17' merger from:alice@example.com after:2026-11-01\n  tristack archive search --reason audit '\"lunch at noon\" with:bob'\n  tristack archive search --reason audit @example.com --json"
    )]
    Search {
        /// Why; noted down in the archive
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Most messages shown (1 to 100)
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
        /// Go on: only messages before this row (printed at the end of a page)
        #[arg(long, value_name = "ROW")]
        below: Option<u64>,
        /// The query
        #[arg(value_name = "QUERY", required = true)]
        query: Vec<String>,
    },
    /// Show a conversation in its order, or one message, with what became of each
    #[command(
        after_help = "Examples:\n  tristack archive show 0193a1c2d3e4f5061728394a5b6c7d8e --reason 'case 17'\n  tristack archive show --message 0193a1c2d3e4f5061728394a5b6c7d8e --reason 'what did Bob see?'"
    )]
    Show {
        /// A conversation's id, as `search` prints it
        #[arg(value_name = "CONVERSATION", required_unless_present = "message")]
        conversation: Option<String>,
        /// One message, by its id
        #[arg(long, value_name = "ID", conflicts_with = "conversation")]
        message: Option<String>,
        /// Why; noted down in the archive
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Hand out a conversation, a case or what a query finds, signed
    ///
    /// Writes a folder with messages.jsonl, a page and a MIME file per conversation, SHA256SUMS and
    /// its signature; README.txt there says how to check them with sha256sum and openssl alone.
    #[command(
        after_help = "Examples:\n  tristack archive export --case case-17 --to case-17 --reason 'court order 4711'\n  tristack archive export --conversation 0193a1c2d3e4f5061728394a5b6c7d8e --form html --to out --reason audit\n  tristack archive export with:alice@example.com after:2026-01-01 --to alice-2026 --reason 'subject access'"
    )]
    Export {
        /// A query; see `tristack archive search --help`
        #[arg(value_name = "QUERY", required_unless_present_any = ["conversation", "case"])]
        query: Vec<String>,
        /// A conversation, by its id
        #[arg(long, value_name = "ID", conflicts_with_all = ["query", "case"])]
        conversation: Option<String>,
        /// What the legal holds of this case keep
        #[arg(long, value_name = "CASE", conflicts_with = "query")]
        case: Option<String>,
        /// A new folder
        #[arg(long, value_name = "FOLDER")]
        to: PathBuf,
        /// Which forms; all if none is named
        #[arg(long, value_enum, value_delimiter = ',')]
        form: Vec<ExportForm>,
        /// Why; noted down in the archive
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Check the whole chain; names every row that was altered, removed or moved
    ///
    /// Without a seal from elsewhere, a chain that was written anew as a whole, or cut off at its
    /// end, looks sound: keep seals where this server's operators can't change them. Exit code 1 if
    /// anything is wrong.
    #[command(
        after_help = "Examples:\n  tristack archive verify\n  tristack archive verify --seal /mnt/elsewhere/seal-2026-11-29-000000004711.json"
    )]
    Verify {
        /// A seal that the chain must agree with; may be given several times
        #[arg(long, value_name = "FILE")]
        seal: Vec<PathBuf>,
        /// Why; noted down in the archive
        #[arg(long, value_name = "TEXT", default_value = "check")]
        reason: String,
    },
    /// Seal the chain as it stands, into `[archive] seal_dir`; done once a day by itself
    #[command(after_help = "Example:\n  tristack archive seal --reason 'before the migration'")]
    Seal {
        /// Why; noted down in the archive
        #[arg(long, value_name = "TEXT", default_value = "asked for")]
        reason: String,
    },
    /// Legal holds: what they keep is not erased, whatever `retention_days` says
    #[command(subcommand)]
    Hold(HoldCommand),
}

/// A form of export
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExportForm {
    /// One JSON document per message
    Jsonl,
    /// A MIME file per conversation
    Eml,
    /// A page per conversation
    Html,
}

#[derive(Subcommand, Debug, Clone)]
pub(super) enum HoldCommand {
    /// Keep all of a person, or a conversation, for a case
    #[command(
        after_help = "Examples:\n  tristack archive hold add case-17 --person alice@example.com --reason 'court order 4711'\n  tristack archive hold add case-17 --conversation 0193a1c2d3e4f5061728394a5b6c7d8e --reason 'court order 4711'"
    )]
    Add {
        /// The case; several holds of one name are one case
        case: String,
        /// Keep all that this person sent or got
        #[arg(long, value_name = "ADDRESS", required_unless_present = "conversation")]
        person: Option<String>,
        /// Keep this conversation
        #[arg(long, value_name = "ID", conflicts_with = "person")]
        conversation: Option<String>,
        /// Why; noted down in the archive
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// End a hold, or all of a case
    #[command(after_help = "Example:\n  tristack archive hold release case-17 --reason 'settled'")]
    Release {
        /// The case
        case: String,
        /// Only the hold of this person
        #[arg(long, value_name = "ADDRESS")]
        person: Option<String>,
        /// Only the hold of this conversation
        #[arg(long, value_name = "ID", conflicts_with = "person")]
        conversation: Option<String>,
        /// Why; noted down in the archive
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// List all holds
    List,
}

/// Points are the numbers that `tristack who ADDRESS` shows.
#[derive(Subcommand, Debug)]
pub(super) enum DeviceCommand {
    /// Two sign-ins are one device: it gets each text once
    #[command(after_help = "Example:\n  tristack device pin alice@example.com 1042 1043")]
    Pin {
        /// user@domain
        address: String,
        /// One point
        one: u32,
        /// The other
        other: u32,
    },
    /// Two sign-ins are two devices: each gets every text
    #[command(after_help = "Example:\n  tristack device split alice@example.com 1042 1043")]
    Split {
        /// user@domain
        address: String,
        /// One point
        one: u32,
        /// The other
        other: u32,
    },
    /// Nothing is ruled about two sign-ins any more
    Free {
        /// user@domain
        address: String,
        /// One point
        one: u32,
        /// The other
        other: u32,
    },
}

#[derive(Subcommand, Debug)]
pub(super) enum NodeCommand {
    /// Add a node; other protocols reach it at its last segment (rec-cycling@domain), if free
    #[command(
        after_help = "Example:\n  tristack node add /groups/rec-cycling --owner alice@example.com"
    )]
    Add {
        /// /path, or /path@domain
        path: String,
        /// Who may do everything with it
        #[arg(long, value_name = "ADDRESS")]
        owner: Option<String>,
    },
    /// List all nodes
    List,
    /// Remove a node and everything kept of it
    Remove {
        /// /path, or /path@domain
        path: String,
    },
    /// The node's distribution list: members get what is sent to it
    #[command(
        after_help = "Example:\n  tristack node members /groups/rec-cycling add bob@example.com"
    )]
    Members {
        /// /path, or /path@domain
        path: String,
        #[command(subcommand)]
        command: MemberCommand,
    },
}

#[derive(Subcommand, Debug)]
pub(super) enum MemberCommand {
    /// Add a member
    Add {
        /// user@domain
        address: String,
    },
    /// Remove a member
    Remove {
        /// user@domain
        address: String,
    },
    /// List the members
    List,
}

#[derive(Subcommand, Debug)]
pub(super) enum TargetCommand {
    /// Send what a node is notified of to a URL, as RVP NOTIFY
    ///
    /// With a secret, each request carries `Tristack-Signature: t=UNIX, v1=HEX`: the HMAC-SHA256
    /// of `UNIX.BODY`. What the URL does not take is tried again, with growing pauses.
    #[command(
        after_help = "Example:\n  tristack target add /shipments/1z999 http://app.example:8080/hook --secret-file hook.secret"
    )]
    Add {
        /// /path of a node, or user@domain
        node: String,
        /// http://HOST[:PORT][/PATH][?QUERY]
        url: String,
        /// Sign with the first line of this file
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
    /// List all targets and what waits for them
    List,
    /// Remove a target and what waits for it
    Remove {
        /// /path of a node, or user@domain
        node: String,
        /// Its URL or its id
        url: String,
    },
}

#[derive(Subcommand, Debug)]
pub(super) enum ConversationCommand {
    /// List all of them, the one used last first
    List,
    /// One with its members, their stacks, and who was asked in or has left
    #[command(
        after_help = "Examples:\n  tristack conversation show conv-k3n9xq2mzb7d@example.com\n  tristack conversation show 5d3e02ab619011d3bbbb00c04f795683 --json"
    )]
    Show {
        /// Its chat address, or its id as in `tristack trace`
        #[arg(value_name = "ID")]
        id: String,
    },
}

#[derive(Subcommand, Debug)]
pub(super) enum PortalCommand {
    /// Print a code, valid once, with which that person gets a new password on the portal
    #[command(after_help = "Example:\n  tristack portal code alice@example.com")]
    Code {
        /// user@domain
        address: String,
    },
}

#[derive(Subcommand, Debug, Clone)]
pub(super) enum FilterCommand {
    /// List all filters in their order, with what they looked at and acted on
    #[command(after_help = "Examples:\n  tristack filter list\n  tristack filter list --json")]
    List,
    /// List the messages that filters hold
    Held,
    /// Deliver a held message, past all filters
    #[command(after_help = "Example:\n  tristack filter release 0193a1c2d3e4f5061728394a5b6c7d8e")]
    Release {
        /// Its id, as `filter held` prints it
        message: String,
    },
    /// Drop a held message; its sender is told
    #[command(
        after_help = "Example:\n  tristack filter drop 0193a1c2d3e4f5061728394a5b6c7d8e --reason 'not for outsiders'"
    )]
    Drop {
        /// Its id, as `filter held` prints it
        message: String,
        /// What the sender is told [default: the filter's reason]
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

#[derive(Subcommand, Debug, Clone)]
pub(super) enum RuleCommand {
    /// Say, filter by filter, what would become of a text
    ///
    /// Needs no running server; a filter of kind "http" asks its service. Rates are judged as for a
    /// sender's first message.
    #[command(
        after_help = "Example:\n  tristack rule test --from alice@example.com --to bob@example.com --text 'are you there?' --at 2026-11-29T22:00"
    )]
    Test {
        /// The sender
        #[arg(long, value_name = "ADDRESS")]
        from: String,
        /// The recipient
        #[arg(long, value_name = "ADDRESS")]
        to: String,
        /// The text
        #[arg(long)]
        text: String,
        /// When (UTC): 2026-11-29 or 2026-11-29T14:30 [default: now]
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
        /// As if it came by SIP, not by RVP
        #[arg(long)]
        sip: bool,
    },
}
