//! `[limits]`: everything that bounds a queue, a size, a count or a wait (`decisions.md` 30).

use super::reader::Reader;
use super::value::Octets;
use std::time::Duration;

macro_rules! limits {
    ($($(#[$doc:meta])* $key:ident : $kind:ident = $default:expr),+ $(,)?) => {
        /// `[limits]`
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Limits { $($(#[$doc])* pub $key: limits!(@type $kind)),+ }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($key: $default),+ }
            }
        }

        impl Limits {
            pub(super) fn read(r: &mut Reader<'_, '_>) -> Self {
                let limits = Self { $($key: limits!(@read $kind r, stringify!($key), $default)),+ };
                $(limits!(@check $kind r, stringify!($key), limits.$key);)+
                limits
            }
        }
    };
    (@type count) => { usize };
    (@type octets) => { usize };
    (@type span) => { Duration };
    (@type flag) => { bool };
    (@read count $r:ident, $key:expr, $default:expr) => { $r.get($key, $default) };
    (@read octets $r:ident, $key:expr, $default:expr) => { $r.get($key, Octets($default)).0 };
    (@read span $r:ident, $key:expr, $default:expr) => { $r.get($key, $default) };
    (@read flag $r:ident, $key:expr, $default:expr) => { $r.get($key, $default) };
    (@check flag $r:ident, $key:expr, $value:expr) => { let _ = $value; };
    (@check span $r:ident, $key:expr, $value:expr) => {
        if $value.is_zero() {
            $r.refuse($key, "must be more than 0");
        }
    };
    (@check $kind:ident $r:ident, $key:expr, $value:expr) => {
        if $value == 0 {
            $r.refuse($key, "must be at least 1");
        }
    };
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

limits! {
    /// Open connections of one address (a /64 in IPv6).
    connections_per_address: count = 256,
    /// Open connections of all listeners together.
    connections: count = 65_536,
    /// Whether per-source limits apply to loopback, too.
    loopback: flag = false,
    /// Body of one request.
    body: octets = 64 * 1024,
    /// Head of one HTTP request, or header section of one SIP message.
    head: octets = 32 * 1024,
    /// Header fields of one HTTP request.
    headers: count = 64,
    /// Header fields of one SIP message.
    sip_headers: count = 256,
    /// SIP requests of one person that are worked on at once.
    requests_per_person: count = 256,
    /// SIP requests of one address (a /64 in IPv6) that are worked on at once.
    requests_per_source: count = 4096,
    /// Answers per second to one address for SIP requests that prove nothing.
    unproven_rate: count = 100,
    /// As many of those at once, after a quiet time.
    unproven_burst: count = 1000,
    /// Time for the head of a request to arrive.
    head_timeout: span = secs(10),
    /// Time for the body of a request to arrive.
    body_timeout: span = secs(30),
    /// Idle HTTP connections are closed after this.
    idle_timeout: span = secs(300),
    /// Connections whose client has vanished without a word are closed after this.
    vanished: span = secs(90),
    /// Connect to a callback.
    callback_connect: span = secs(3),
    /// Answer of a callback.
    callback_answer: span = secs(4),
    /// Callbacks of one person.
    callbacks_per_person: count = 64,
    /// Callbacks at one address, of all people.
    callbacks_per_target: count = 1024,
    /// Connections to callbacks in a second, for one person and to one address.
    callback_connects: count = 100,
    /// Messages waiting for one inbox.
    inbox_queue: count = 256,
    /// Octets waiting for one inbox.
    inbox_octets: octets = 4 << 20,
    /// Commands waiting for one shard.
    shard_queue: count = 16_384,
    /// SIP bindings of one person.
    bindings: count = 32,
    /// Points of one person over all stacks.
    points: count = 32,
    /// Watches on, or by, one person.
    watches: count = 1000,
    /// Publications of one person.
    publications: count = 32,
    /// Octets of one published document.
    publication_octets: octets = 16 * 1024,
    /// Watchers remembered per person who came while he could not be asked for consent.
    waiting_watchers: count = 100,
    /// How long such a watcher is remembered, and how long a question for consent stays open.
    waiting: span = secs(7 * 24 * 3600),
    /// Properties of one person.
    properties: count = 256,
    /// Octets of one property.
    property_octets: octets = 16 * 1024,
    /// Entries of one access list.
    access_entries: count = 1000,
    /// XCAP documents of one person.
    documents: count = 64,
    /// Octets of one XCAP document.
    document: octets = 64 * 1024,
    /// Octets of all XCAP documents of one person.
    document_octets: octets = 1 << 20,
    /// Entries of one list that is subscribed to as a whole.
    list_entries: count = 200,
    /// Messages under way to one person.
    pending: count = 256,
    /// Longest lease granted to SIP clients.
    lease_max: span = secs(3600),
    /// Shortest lease granted to SIP clients.
    lease_min: span = secs(60),
    /// After this the sender of an undelivered text is answered and the text kept.
    answer: span = secs(4),
    /// How long a kept text is tried on.
    keep: span = secs(60),
    /// Texts kept for one person who is away (`[messages] offline = "keep"`).
    away_texts: count = 100,
    /// How many of them one sender may have there.
    away_per_sender: count = 50,
    /// Octets of all of them.
    away_octets: octets = 256 * 1024,
    /// Presence changes within this span merge.
    coalesce: span = Duration::from_millis(250),
    /// Grace after the loss of a connection before its point goes.
    grace: span = secs(15),
    /// How long stream bindings may stay suspended after a restart.
    suspended: span = secs(120),
    /// A conversation without a protocol id ends after this idle span.
    conversation_idle: span = secs(600),
    /// Members of one conversation of more than two.
    conversation_members: count = 50,
    /// Such conversations made by one person.
    conversations_per_person: count = 64,
    /// Such conversations of all people together.
    conversations: count = 10_000,
    /// A conversation of more than two ends after this idle span.
    conversation_kept: span = secs(24 * 3600),
    /// Concurrent SIP transactions.
    transactions: count = 100_000,
    /// Calls, and other SIP requests that are passed on, of one person that wait for an answer.
    calls: count = 64,
    /// The same of one address.
    calls_per_address: count = 1024,
    /// UDP socket buffers asked for.
    udp_buffer: octets = 4 << 20,
    /// Messages whose trace is remembered.
    trace_messages: count = 10_000,
    /// Life of a Digest nonce.
    nonce: span = secs(24 * 3600),
    /// Time for everything to end after the first SIGTERM.
    drain: span = secs(10),
}
