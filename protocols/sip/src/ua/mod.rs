//! A minimal user agent for messages and presence, without sockets or clock: what `tristack chat`,
//! the scripted demo, tests and the load tool sign in with.
//!
//! One account, one way to its server. Commands are methods; [`Ua::handle`] takes what the wire
//! brings; [`Ua::poll`] is drained to [`Output::Idle`].

mod agent;
mod answers;
mod body;
mod incoming;
mod outgoing;
#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use agent::Ua;
pub use body::{Activity, Status};

use crate::flow::{Flow, Millis};
use crate::raw::RawMessage;

/// Who signs in, and as what.
#[derive(Debug, Clone)]
pub struct Account {
    /// `alice@example.com`: the address of record without its scheme.
    pub address: String,
    /// The user name of Digest; old clients send the local part, new ones too.
    pub user: String,
    /// The password.
    pub password: String,
    /// Shown to others, if any.
    pub display_name: Option<String>,
    /// Seconds to register and subscribe for.
    pub expires: u32,
    /// The User-Agent header.
    pub user_agent: String,
}

impl Account {
    /// An account whose user name is the local part of its address.
    pub fn new(address: &str, password: &str) -> Self {
        let user = address.split('@').next().unwrap_or(address);
        Self {
            address: address.to_owned(),
            user: user.to_owned(),
            password: password.to_owned(),
            display_name: None,
            expires: 3_600,
            user_agent: concat!("tristack/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// The way to the server, and how it reaches us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Transport and address of the server.
    pub flow: Flow,
    /// Our own address on it.
    pub local: std::net::SocketAddr,
}

/// What happened outside.
#[derive(Debug)]
pub enum Input {
    /// A message from the server.
    Message(RawMessage),
    /// The connection is gone (streams) or the socket refuses.
    Closed,
    /// Time has come.
    Tick,
}

/// What the agent wants done.
#[derive(Debug)]
pub enum Output {
    /// Send this message to the server.
    Send(Bytes),
    /// Tell the user.
    Event(Event),
    /// Nothing more until input, or until this time.
    Idle {
        /// When [`Input::Tick`] is due.
        wake_at: Option<Millis>,
    },
}

/// Names one command, for its result.
pub type RequestId = u64;

/// What the user is told. Addresses are without scheme, as `bob@example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Signed in, or refreshed.
    Registered {
        /// Seconds granted.
        expires: u32,
    },
    /// Signed out, as asked.
    Unregistered,
    /// Our own state is published.
    Published,
    /// A watch is accepted; its state follows.
    Watching {
        /// Whom.
        who: String,
    },
    /// Somebody we watch is in this state now.
    Presence {
        /// Whom.
        who: String,
        /// Online or not, and how.
        status: Status,
    },
    /// A watch is over.
    WatchEnded {
        /// Whom.
        who: String,
        /// Why, for people.
        why: String,
    },
    /// A text for us.
    Text {
        /// Who wrote.
        from: String,
        /// What.
        text: String,
    },
    /// Somebody starts or stops typing to us.
    Typing {
        /// Who.
        from: String,
        /// True while they type.
        active: bool,
    },
    /// A text of ours was taken.
    Sent {
        /// The result of [`Ua::text`].
        id: RequestId,
        /// 200 delivered, 202 kept.
        status: u16,
    },
    /// The server answered our OPTIONS.
    Alive,
    /// A command failed for good.
    Failed {
        /// Which one.
        id: RequestId,
        /// Its method.
        method: &'static str,
        /// The status, 408 for no answer, 503 for no connection.
        status: u16,
        /// For people.
        reason: String,
    },
    /// The connection to the server is gone.
    Disconnected,
}
