//! What one connection has proved: NTLM and Negotiate authenticate connections, not requests
//! (MS-NTHT 1.3).

use super::kerberos::Codes;
use crate::config;
use crate::core::access::Scheme;
use crate::core::port::Account;
use crate::core::time::Time;
use auth::ntlm::Exchange;
use std::sync::{Arc, Mutex, PoisonError};

/// The state of one connection. The front owns it and hands it in with every request of that
/// connection and of no other.
#[derive(Debug, Default)]
pub struct Link(Mutex<Option<Box<State>>>);

/// See [`Link`].
#[derive(Debug)]
pub(super) enum State {
    /// A first message was answered.
    Asked(Asked),
    /// Authenticated.
    Known(Known),
}

/// What a connection has proved.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) whose: Whose,
    /// How that was proved.
    pub(super) scheme: Scheme,
    /// When the proof ends; a ticket's does.
    pub(super) until: Option<Time>,
    /// The machine that its client named.
    pub(super) machine: Option<Arc<str>>,
}

/// Whose a connection is.
#[derive(Clone, Debug)]
pub(super) enum Whose {
    /// A person's.
    Account(Arc<Account>),
    /// Another server's, by credentials that it shares with us.
    Server(Sharer),
}

/// A shared account that was proved. Two servers may use one name: the password is part of it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Sharer {
    pub(super) user: String,
    pub(super) nt_hash: [u8; 16],
}

impl std::fmt::Debug for Sharer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sharer")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// An exchange under way.
#[derive(Debug)]
pub(super) struct Asked {
    /// The scheme it runs under: its parts can't be mixed.
    pub(super) scheme: config::Scheme,
    /// How tokens are wrapped.
    pub(super) wrap: Wrap,
    /// What is awaited.
    pub(super) step: Step,
}

/// How far an exchange is.
#[derive(Debug)]
pub(super) enum Step {
    /// Agreed on NTLM, whose first message is awaited.
    Agreed,
    /// NTLM's challenge was sent.
    Challenged(Exchange),
    /// Agreed on Kerberos, whose token is awaited.
    Ticket,
    /// The ticket holds; the client's code over its list is awaited.
    Sealed(Known, Box<dyn Codes>),
}

/// How a mechanism's messages are wrapped.
#[derive(Clone, Debug)]
pub(super) enum Wrap {
    /// Not at all.
    Bare,
    /// In SPNEGO.
    Spnego {
        /// The client's list as encoded.
        list: Vec<u8>,
        /// Whether the mechanism was its first choice; if not, the list needs an integrity code
        /// (RFC 4178 5).
        first: bool,
    },
}

impl Link {
    /// Takes the state out: whatever does not put one back has ended the authentication.
    pub(super) fn take(&self) -> Option<State> {
        self.lock().take().map(|state| *state)
    }

    /// The shared account that the connection has proved.
    pub(super) fn sharer(&self) -> Option<Sharer> {
        match self.lock().as_deref() {
            Some(State::Known(Known {
                whose: Whose::Server(sharer),
                ..
            })) => Some(sharer.clone()),
            _ => None,
        }
    }

    pub(super) fn put(&self, state: State) {
        *self.lock() = Some(Box::new(state));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Box<State>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection a request came on.
#[derive(Clone, Copy, Debug)]
pub struct On<'a> {
    /// Its state.
    pub link: &'a Link,
    /// Schemes offered on it, in order.
    pub schemes: &'a [config::Scheme],
    /// The hash of our certificate, where TLS ends at us (RFC 5929 4).
    pub certificate: Option<&'a [u8]>,
    /// The request went through an HTTP proxy.
    pub relayed: bool,
    /// Shared accounts (user, password) that NTLM is judged by instead of people's; none = people.
    pub servers: &'a [(&'a str, &'a str)],
}
