//! Presence rules and the access list, both ways (`decisions.md` 16).
//!
//! A document says for each address and domain it names, and for everybody else, what they get of
//! presence; that is what the access list says about the right `presence` from then on. What it
//! says about messages (`send-to`) stands in the document as our own `messages`. All other rights,
//! and entries for certain authentication schemes, are the access list's alone and stay.
//!
//! The other way, a list that was written by an RVP client or an operator is compared with the
//! document by what both mean; where they differ, the document is edited as little as can be.

use super::request::No;
use super::store::{Change, Stored, access};
use super::{Xcap, id_of};
use crate::core::access::{
    AccessEntry, Detail, Part, Right, Rights, Scheme, Subject, Verdict, verdict,
};
use crate::core::address::Address;
use crate::core::command::{Caller, Command, Reply, Route};
use crate::core::documents::{Documents, Expect, NewAccess, PutDocument};
use crate::core::error::Error;
use crate::core::port::Account;
use crate::core::time::Time;
use std::collections::HashMap;
use xcap::policy::{self, Handling, Provide, Ruleset, Surroundings, Verdicts, Wanted};
use xcap::usage::Usage;
use xcap::usage::lists::{Item, List};

/// The one name of the one policy.
const NAME: &str = "index";
/// How often a mirror is tried again that a change overtook.
const TRIES: usize = 4;
/// Members of an external list that are looked at.
const MOST_MEMBERS: usize = 1000;

impl Xcap {
    /// The access list that a changed document means, and when that changes by itself.
    pub(super) async fn project(
        &self,
        change: &Change<'_>,
    ) -> Result<(NewAccess, Option<Time>), No> {
        let all = self.documents_of(change.owner).await?;
        let Some(content) = &change.content else {
            // Without a document, only what other protocols wrote would be left: nothing of what
            // it said about presence and messages.
            let list = all.access.as_deref().map(stripped);
            return Ok((
                NewAccess {
                    seen: all.access,
                    list,
                },
                None,
            ));
        };
        let lists = self.lists_of(change.owner).await;
        let verdicts = self.verdicts(content, &lists);
        let Some(verdicts) = verdicts else {
            return Ok((
                NewAccess {
                    seen: all.access.clone(),
                    list: all.access,
                },
                None,
            ));
        };
        let due = verdicts.until.map(Time);
        let list = Some(projected(all.access.as_deref(), &verdicts));
        Ok((
            NewAccess {
                seen: all.access,
                list,
            },
            due,
        ))
    }

    /// Makes the document say what the access list says, or the list what the document says by
    /// now, whichever changed. What fails is logged: the access list holds all the same.
    pub(super) async fn mirror(&self, owner: &Account) {
        for _ in 0..TRIES {
            match self.mirror_once(owner).await {
                Ok(()) => return,
                Err(Error::StaleId) => {}
                Err(error) => {
                    tracing::warn!(address = %owner.address, %error, "presence rules and access list were not brought in line");
                    return;
                }
            }
        }
    }

    async fn mirror_once(&self, owner: &Account) -> Result<(), Error> {
        let id = id_of(Usage::PresRules, NAME);
        let found = self.hub.document(owner.person, id.clone()).await;
        let stored = found
            .map_err(|_| Error::Storage)?
            .map(|(info, content)| Stored { info, content });
        let all = self.documents_of(owner).await?;
        let list = all.access.as_deref().unwrap_or_default();
        let speaks = list.iter().any(|entry| !mirrored(entry).is_silent());
        if stored.is_none() && !speaks {
            return Ok(());
        }
        let lists = self.lists_of(owner).await;
        let now = self.hub.now();
        let due = stored.as_ref().and_then(|s| s.info.due);
        if let Some(stored) = &stored
            && due.is_some_and(|due| due <= now)
        {
            return self.renew(owner, stored, all, &lists).await;
        }
        let Some(content) = self.mirrored(owner, stored.as_ref(), &all, &lists) else {
            return Ok(());
        };
        let Some(verdicts) = self.verdicts(&content, &lists) else {
            return Ok(());
        };
        let due = verdicts.until.map(Time);
        let list = Some(projected(all.access.as_deref(), &verdicts));
        let (means, due) = access(
            NewAccess {
                seen: all.access,
                list,
            },
            due,
        );
        let put = PutDocument {
            id,
            expect: stored.map_or(Expect::Absent, |s| Expect::Tag(s.info.tag)),
            content: Some(content.into()),
            due,
            means,
        };
        self.store(owner, put).await
    }

    /// A rule began or ceased to hold.
    async fn renew(
        &self,
        owner: &Account,
        stored: &Stored,
        all: Documents,
        lists: &HashMap<String, Vec<String>>,
    ) -> Result<(), Error> {
        let Some(verdicts) = self.verdicts(&stored.content, lists) else {
            return Ok(());
        };
        let list = Some(projected(all.access.as_deref(), &verdicts));
        let due = verdicts.until.map(Time);
        let (means, due) = access(
            NewAccess {
                seen: all.access,
                list,
            },
            due,
        );
        let put = PutDocument {
            id: stored.info.id.clone(),
            expect: Expect::Tag(stored.info.tag),
            content: Some(stored.content.clone()),
            due,
            means,
        };
        self.store(owner, put).await
    }

    async fn store(&self, owner: &Account, put: PutDocument) -> Result<(), Error> {
        let due = put.due;
        let command = Command::PutDocument(Box::new(put));
        self.hub
            .call(owner.person, &internal(owner), command)
            .await?;
        self.remind(owner.person, due);
        Ok(())
    }

    async fn documents_of(&self, owner: &Account) -> Result<Documents, Error> {
        let reply = self
            .hub
            .call(owner.person, &internal(owner), Command::Documents)
            .await?;
        match reply {
            Reply::Documents(all) => Ok(*all),
            _ => Err(Error::StaleId),
        }
    }

    /// The document with what the list says; `None` if it says that already.
    fn mirrored(
        &self,
        owner: &Account,
        stored: Option<&Stored>,
        all: &Documents,
        lists: &HashMap<String, Vec<String>>,
    ) -> Option<Vec<u8>> {
        let now = self.hub.now().0;
        let Some(stored) = stored else {
            return Some(policy::fresh(&self.wishes(owner, all, &[])));
        };
        let verdicts = self.verdicts(&stored.content, lists)?;
        let wanted = self.wishes(owner, all, &verdicts.about);
        let changed = self.with_surroundings(lists, |around| {
            policy::mirror(&stored.content, &wanted, now, &self.limits, around)
        });
        match changed {
            Ok(changed) if changed == *stored.content => None,
            Ok(changed) => Some(changed),
            Err(error) => {
                tracing::warn!(address = %owner.address, %error, "the presence rules can't say what the access list does");
                None
            }
        }
    }

    /// What the access list means, for all whom it or the document names and for the rest.
    fn wishes(
        &self,
        owner: &Account,
        all: &Documents,
        named: &[(policy::Subject, policy::Verdict)],
    ) -> Vec<Wanted> {
        let list: Vec<AccessEntry> = all
            .access
            .iter()
            .flatten()
            .map(mirrored)
            .filter(|entry| !entry.is_silent())
            .collect();
        let mut subjects: Vec<policy::Subject> = vec![policy::Subject::Everybody];
        subjects.extend(named.iter().map(|(subject, _)| subject.clone()));
        subjects.extend(list.iter().filter_map(|entry| subject_of(&entry.subject)));
        // Where the list is silent, the defaults tell our own people from foreign ones.
        let ours = self.hub.directory().domains().iter().cloned();
        subjects.extend(ours.map(policy::Subject::Domain));
        let welcome = all.defaults.welcome.iter().filter(|domain| *domain != "*");
        subjects.extend(welcome.cloned().map(policy::Subject::Domain));
        subjects.sort();
        subjects.dedup();
        let own = owner.address.to_string();
        subjects.retain(|subject| *subject != policy::Subject::Address(own.clone()));
        let wanted = subjects.into_iter().filter_map(|subject| {
            let who = stand_in(&subject)?;
            let ours = self.places.is_ours(who.domain());
            let default = all.defaults.of(who.domain(), ours);
            let says = |right| verdict(&list, default, &who, Scheme::Digest, right);
            let handling = match says(Right::Presence) {
                Verdict::Granted => Handling::Allow,
                Verdict::Asked => Handling::Confirm,
                Verdict::Blocked | Verdict::Withheld => Handling::PoliteBlock,
            };
            // Only what the list itself says about messages is in the document.
            let spoken = list.iter().any(|entry| {
                subject_of(&entry.subject).as_ref() == Some(&subject)
                    && (entry.grant.has(Right::SendTo) || entry.deny.has(Right::SendTo))
            });
            let messages = spoken.then(|| says(Right::SendTo) == Verdict::Granted);
            Some((subject, handling, messages))
        });
        wanted.collect()
    }

    fn verdicts(&self, content: &[u8], lists: &HashMap<String, Vec<String>>) -> Option<Verdicts> {
        let now = self.hub.now().0;
        self.with_surroundings(lists, |around| {
            let rules = Ruleset::parse(content, &self.limits, around).ok()?;
            for rule in &rules.rules {
                for condition in &rule.conditions {
                    if let policy::Condition::Never(what) = condition {
                        tracing::info!(
                            rule = rule.id,
                            condition = what,
                            "presence rule never holds: nobody knows that of a watcher here"
                        );
                    }
                }
            }
            Some(rules.verdicts(now))
        })
    }

    fn with_surroundings<T>(
        &self,
        lists: &HashMap<String, Vec<String>>,
        then: impl FnOnce(&Surroundings<'_>) -> T,
    ) -> T {
        then(&Surroundings {
            address: &|uri| self.address(uri).map(|address| address.to_string()),
            list: &|uri| {
                // Only the owner's own lists count, wherever his client thinks the root is.
                let name = uri.split_once("/~~").map_or("", |(_, node)| node);
                lists.get(name).cloned().unwrap_or_default()
            },
        })
    }

    /// The owner's contact lists, by the node selectors that name them.
    async fn lists_of(&self, owner: &Account) -> HashMap<String, Vec<String>> {
        let mut found = HashMap::new();
        let id = id_of(Usage::ResourceLists, NAME);
        if let Ok(Some((_, content))) = self.hub.document(owner.person, id).await
            && let Ok(root) = xml::parse(&content, &self.limits)
        {
            for item in List::of_document(&root).items {
                if let Item::List(list) = item {
                    let mut members = Vec::new();
                    self.members(&list, &mut members);
                    let name = list.name.unwrap_or_default();
                    for (open, quote, close) in [
                        ("[", "\"", "]"),
                        ("%5b", "%22", "%5d"),
                        ("%5B", "%22", "%5D"),
                    ] {
                        let selector =
                            format!("/resource-lists/list{open}@name={quote}{name}{quote}{close}");
                        found.insert(selector, members.clone());
                    }
                }
            }
        }
        found
    }

    fn members(&self, list: &List, members: &mut Vec<String>) {
        for item in &list.items {
            match item {
                Item::Entry(entry) if members.len() < MOST_MEMBERS => {
                    members.extend(self.address(&entry.uri).map(|a| a.to_string()));
                }
                Item::List(inner) => self.members(inner, members),
                Item::Entry(_) | Item::Reference(_) | Item::External(_) => {}
            }
        }
    }
}

/// The part of an entry that presence rules can say.
fn mirrored(entry: &AccessEntry) -> AccessEntry {
    let said = |rights: Rights| Rights(rights.0 & both());
    let all_schemes = entry.schemes.is_empty();
    let none = Rights::default();
    AccessEntry {
        subject: entry.subject.clone(),
        schemes: Vec::new(),
        grant: if all_schemes { said(entry.grant) } else { none },
        deny: if all_schemes { said(entry.deny) } else { none },
        ask: if all_schemes { said(entry.ask) } else { none },
        detail: Detail::ALL,
    }
}

const fn both() -> u16 {
    Right::Presence as u16 | Right::SendTo as u16
}

/// A list without what presence rules can say.
fn stripped(list: &[AccessEntry]) -> Vec<AccessEntry> {
    let rest = |rights: Rights| Rights(rights.0 & !both());
    let stripped = list.iter().map(|entry| {
        if !entry.schemes.is_empty() || subject_of(&entry.subject).is_none() {
            return entry.clone();
        }
        AccessEntry {
            grant: rest(entry.grant),
            deny: rest(entry.deny),
            ask: rest(entry.ask),
            detail: Detail::ALL,
            ..entry.clone()
        }
    });
    stripped.filter(|entry| !entry.is_silent()).collect()
}

/// A list with what a document says.
fn projected(list: Option<&[AccessEntry]>, verdicts: &Verdicts) -> Vec<AccessEntry> {
    let mut list = stripped(list.unwrap_or_default());
    for (subject, says) in &verdicts.about {
        let Some(subject) = core_subject(subject) else {
            continue;
        };
        let at = list
            .iter()
            .position(|e| e.subject == subject && e.schemes.is_empty());
        let at = at.unwrap_or_else(|| {
            list.push(AccessEntry {
                subject,
                schemes: Vec::new(),
                grant: Rights::default(),
                deny: Rights::default(),
                ask: Rights::default(),
                detail: Detail::ALL,
            });
            list.len() - 1
        });
        let Some(entry) = list.get_mut(at) else {
            continue;
        };
        match says.handling {
            Handling::Allow => entry.grant = entry.grant.with(Right::Presence),
            Handling::Confirm => entry.ask = entry.ask.with(Right::Presence),
            Handling::Block | Handling::PoliteBlock => {
                entry.deny = entry.deny.with(Right::Presence);
            }
        }
        entry.detail = detail(says.provide);
        match says.messages {
            Some(true) => entry.grant = entry.grant.with(Right::SendTo),
            Some(false) => entry.deny = entry.deny.with(Right::SendTo),
            None => {}
        }
    }
    list
}

fn detail(provide: Provide) -> Detail {
    let parts = [
        (provide.activities, Part::Activities),
        (provide.user_input, Part::Idle),
        (provide.note, Part::Note),
        (provide.whole, Part::Document),
    ];
    let given = parts.into_iter().filter(|(given, _)| *given);
    given.fold(Detail::NONE, |detail, (_, part)| detail.with(part))
}

fn subject_of(subject: &Subject) -> Option<policy::Subject> {
    match subject {
        Subject::Address(address) => Some(policy::Subject::Address(address.to_string())),
        Subject::Domain(domain) => Some(policy::Subject::Domain(domain.as_ref().to_owned())),
        Subject::Everybody => Some(policy::Subject::Everybody),
        Subject::Server(_) => None,
    }
}

fn core_subject(subject: &policy::Subject) -> Option<Subject> {
    match subject {
        policy::Subject::Address(address) => {
            Address::from_normal(address).ok().map(Subject::Address)
        }
        policy::Subject::Domain(domain) => Some(Subject::Domain(domain.as_str().into())),
        policy::Subject::Everybody => Some(Subject::Everybody),
    }
}

/// Somebody of whom only that is known.
fn stand_in(subject: &policy::Subject) -> Option<Address> {
    // Addresses have no upper case: these are nobody's.
    match subject {
        policy::Subject::Address(address) => Address::from_normal(address).ok(),
        policy::Subject::Domain(domain) => Address::from_normal(&format!("ANYBODY@{domain}")).ok(),
        policy::Subject::Everybody => Address::from_normal("ANYBODY@any.invalid").ok(),
    }
}

fn internal(owner: &Account) -> Caller {
    Caller {
        address: owner.address.clone(),
        person: Some(owner.person),
        scheme: Scheme::Internal,
        route: Route::Internal,
    }
}
