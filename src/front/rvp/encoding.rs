//! Which form of non-ASCII text each client writes and wants (`rvp.md` 8.13, `decisions.md` 25).

use crate::config::TextEncoding;
use crate::core::id::PersonId;
use rvp::text::{Form, Habit};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Clients remembered; more and we begin anew (a wrong guess is only ugly, and is learned again).
const REMEMBERED: usize = 100_000;

/// What was seen of each client: a person at an address.
#[derive(Debug)]
pub(super) struct Dialects {
    policy: TextEncoding,
    seen: Mutex<HashMap<(PersonId, IpAddr), Habit>>,
}

impl Dialects {
    pub(super) fn new(policy: TextEncoding) -> Self {
        Self {
            policy,
            seen: Mutex::default(),
        }
    }

    /// The characters of a block from that client; what it looked like is remembered.
    pub(super) fn read(&self, person: PersonId, at: IpAddr, mime: &str) -> String {
        // ASCII is the same in both forms, and most of what there is.
        if mime.is_ascii() {
            return mime.to_owned();
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
        seen.entry((person, at.to_canonical()))
            .or_default()
            .read(mime)
    }

    /// The form to write to this client.
    pub(super) fn form(&self, person: PersonId, at: Option<IpAddr>, agent: &str) -> Form {
        match self.policy {
            TextEncoding::Octets => return Form::Octets,
            TextEncoding::Characters => return Form::Characters,
            TextEncoding::Auto => {}
        }
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let habit = at.and_then(|at| seen.get(&(person, at.to_canonical())).copied());
        habit.unwrap_or_default().form(Some(agent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decision_25_characters_stick() {
        let (person, at) = (PersonId(1), IpAddr::from([127, 0, 0, 1]));
        let dialects = Dialects::new(TextEncoding::Auto);
        let form = |agent| dialects.form(person, Some(at), agent);
        assert_eq!(form("msmsgs/4.7"), Form::Octets);
        assert_eq!(form("libfoo"), Form::Characters);
        assert_eq!(dialects.read(person, at, "gr\u{c3}\u{bc}n"), "gr\u{fc}n");
        assert_eq!(form("libfoo"), Form::Octets);
        assert_eq!(dialects.read(person, at, "gr\u{fc}n"), "gr\u{fc}n");
        assert_eq!(
            dialects.read(person, at, "gr\u{c3}\u{bc}n"),
            "gr\u{c3}\u{bc}n"
        );
        assert_eq!(form("msmsgs/4.7"), Form::Characters);
        let fixed = Dialects::new(TextEncoding::Octets);
        assert_eq!(fixed.form(person, None, ""), Form::Octets);
    }
}
