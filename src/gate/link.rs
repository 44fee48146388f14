//! What one connection has proved: NTLM authenticates connections, not requests (MS-NTHT 1.3).

use crate::config;
use crate::core::port::Account;
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
    Known(Arc<Account>),
}

/// An exchange under way.
#[derive(Debug)]
pub(super) struct Asked {
    /// The scheme it runs under: its parts can't be mixed.
    pub(super) scheme: config::Scheme,
    /// How tokens are wrapped.
    pub(super) wrap: Wrap,
    /// The challenge that was sent; `None` = Negotiate has agreed on NTLM and waits for its first
    /// message.
    pub(super) exchange: Option<Exchange>,
}

/// How NTLM messages are wrapped.
#[derive(Clone, Debug)]
pub(super) enum Wrap {
    /// Not at all.
    Bare,
    /// In SPNEGO.
    Spnego {
        /// The client's list as encoded.
        list: Vec<u8>,
        /// Whether NTLM was its first choice; if not, the list needs an integrity code (RFC 4178
        /// 5).
        first: bool,
    },
}

impl Link {
    /// Takes the state out: whatever does not put one back has ended the authentication.
    pub(super) fn take(&self) -> Option<State> {
        self.lock().take().map(|state| *state)
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
}
