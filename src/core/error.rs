//! What can go wrong, in words no protocol owns. Each front has one exhaustive table from here to
//! its own status codes (`design.md` 8).

use std::time::Duration;

/// Why a person can't be reached just now. All of these look alike to the sender on the wire
/// (RVP 412, SIP 480); the trace and the log tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unreachable {
    /// No point is signed in.
    NobodySignedIn,
    /// The recipient blocks the sender (must be indistinguishable from offline, `decisions.md` 16).
    Blocked,
    /// Every point is send-only: its callback may not be dialled (`decisions.md` 28).
    SendOnly,
    /// Every point is doubted after failed callbacks (`decisions.md` 14).
    Doubted,
    /// Every point failed or timed out.
    DeliveryFailed,
    /// Nobody is there, and no more texts are kept for him.
    BoxFull,
}

/// Which limit was reached; names are keys of `[limits]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Points of one person.
    Points,
    /// Watches on or by one person.
    Watches,
    /// Properties (count or octets) of one person.
    Properties,
    /// Entries of one access list.
    AccessEntries,
    /// Publications of one person.
    Publications,
    /// Documents (count or octets) of one person.
    Documents,
    /// Members of one conversation.
    Members,
    /// Conversations of more than two, of one person or of all.
    Conversations,
}

/// The closed set of refusals.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The domain is ours, the user is not.
    #[error("no such user")]
    UnknownUser,
    /// Not a domain of ours, and no route leads there.
    #[error("not a domain we serve or may reach")]
    UnknownDomain,
    /// The sender named in the request is not the authenticated one.
    #[error("the sender named is not the authenticated user")]
    Spoofed,
    /// A right is missing, or policy forbids it. Never used for a personal block.
    #[error("not permitted: {0}")]
    Denied(&'static str),
    /// Nobody there to take it.
    #[error("not reachable: {0:?}")]
    NotReachable(Unreachable),
    /// The peer's inbox has left the conversation (RVP 500 "has left").
    #[error("has left the conversation")]
    HasLeft,
    /// An id, entity tag or subscription that does not exist (any more), or is not the caller's.
    #[error("unknown or stale id")]
    StaleId,
    /// An update older than what is known (registration order).
    #[error("out of order")]
    OutOfOrder,
    /// The lease asked for is too short.
    #[error("interval too brief, at least {} s", .0.as_secs())]
    TooBrief(Duration),
    /// The content is larger than the recipient or the configuration takes.
    #[error("too large")]
    TooLarge,
    /// Nobody there understands this kind of content.
    #[error("unsupported content")]
    Unsupported,
    /// A configured limit is reached.
    #[error("limit reached: {0:?}")]
    LimitReached(Limit),
    /// The message made too many hops.
    #[error("too many hops")]
    Loop,
    /// Queues are full; try again later.
    #[error("overloaded")]
    Overloaded,
    /// The recipient's side took too long.
    #[error("timed out")]
    TimedOut,
    /// An operator's filter refused it.
    #[error("refused by policy: {0}")]
    Refused(String),
    /// What must be kept could not be stored.
    #[error("storage failed")]
    Storage,
    /// The server is stopping.
    #[error("stopping")]
    Stopping,
}
