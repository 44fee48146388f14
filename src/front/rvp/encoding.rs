//! Which form of non-ASCII text each client writes and wants (`rvp.md` 8.13, `decisions.md` 25).

use crate::config::TextEncoding;
use crate::core::id::PersonId;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Clients remembered; more and we begin anew (a wrong guess is only ugly, and is learned again).
const REMEMBERED: usize = 100_000;

/// How text is put into a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// UTF-8 octets as characters, CESU-8 beyond the BMP (Microsoft clients).
    Octets,
    /// Characters.
    Characters,
}

/// What was seen of each client: a person at an address.
#[derive(Debug)]
pub(super) struct Dialects {
    policy: TextEncoding,
    seen: Mutex<HashMap<(PersonId, IpAddr), Form>>,
}

impl Dialects {
    pub(super) fn new(policy: TextEncoding) -> Self {
        Self {
            policy,
            seen: Mutex::default(),
        }
    }

    /// What the client was seen to write, if anything told.
    pub(super) fn seen(&self, person: PersonId, at: IpAddr) -> Option<Form> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&(person, at.to_canonical())).copied()
    }

    /// Notes what non-ASCII text of the client looked like. Characters stick: a client that once
    /// wrote what can't be octets never writes octets.
    pub(super) fn learn(&self, person: PersonId, at: IpAddr, form: Form) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
        let known = seen.entry((person, at.to_canonical())).or_insert(form);
        if form == Form::Characters {
            *known = form;
        }
    }

    /// The form to write to this client.
    pub(super) fn form(&self, person: PersonId, at: Option<IpAddr>, agent: &str) -> Form {
        match self.policy {
            TextEncoding::Octets => return Form::Octets,
            TextEncoding::Characters => return Form::Characters,
            TextEncoding::Auto => {}
        }
        let seen = at.and_then(|at| self.seen(person, at));
        seen.unwrap_or_else(|| {
            let is_microsoft = agent
                .get(..7)
                .is_some_and(|name| name.eq_ignore_ascii_case("msmsgs/"));
            if is_microsoft {
                Form::Octets
            } else {
                Form::Characters
            }
        })
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
        dialects.learn(person, at, Form::Octets);
        assert_eq!(form("libfoo"), Form::Octets);
        dialects.learn(person, at, Form::Characters);
        dialects.learn(person, at, Form::Octets);
        assert_eq!(form("msmsgs/4.7"), Form::Characters);
        let fixed = Dialects::new(TextEncoding::Octets);
        assert_eq!(fixed.form(person, None, ""), Form::Octets);
    }
}
