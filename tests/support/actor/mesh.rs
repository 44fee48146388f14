//! What an RVP client knows of the conversation that it is in: everybody who spoke, typed or joined
//! under its `Session-Id` is in until he leaves (as the known clients do).

use super::{between, local_part};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Shared between the client and the thread that takes its callbacks.
#[derive(Clone, Default)]
pub struct Mesh(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    session: Option<String>,
    members: BTreeSet<String>,
}

impl Mesh {
    /// The session that the client is in, or this one from now on.
    pub fn session(&self, or: &str) -> String {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.session.get_or_insert_with(|| or.to_owned()).clone()
    }

    /// Who else is in.
    pub fn members(&self) -> Vec<String> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.members.iter().cloned().collect()
    }

    /// The client has brought somebody in.
    pub fn add(&self, whom: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.members.insert(local_part(whom));
    }

    /// Somebody is gone.
    pub fn remove(&self, whom: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.members.remove(&local_part(whom));
    }

    /// The client has left.
    pub fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    /// Something has come in under a session: its headers and sender.
    pub fn hear(&self, headers: &str, from: &str) {
        let headers = format!("{headers}\r\n");
        let Some(named) = between(&headers, "Session-Id: ", "\r\n") else {
            return;
        };
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What the chat address says is said beside the conversation.
        if state.session.is_none() && !from.starts_with("conv") {
            state.session = Some(named.to_owned());
        }
        if state.session.as_deref() != Some(named) {
            return;
        }
        if headers.contains("text/x-imleave") {
            state.members.remove(from);
        } else {
            state.members.insert(from.to_owned());
        }
    }
}
