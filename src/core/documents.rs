//! Documents that a person's clients keep on the server, whole as they were written.
//!
//! The core knows a document's name, entity tag and size; what is in it is its front's business.
//! What a document means (who may see presence, who is a contact, a state that holds without any
//! client) comes with it as a projection and is stored in the same commit.

use crate::core::access::{AccessEntry, Defaults, Right, Rights};
use crate::core::command::{Caller, Change, Reply, Topic};
use crate::core::contacts::Contact;
use crate::core::effect::Rules;
use crate::core::error::{Error, Limit};
use crate::core::event::Event;
use crate::core::id::{PublicationId, Stack};
use crate::core::port::{PublicationRecord, Write};
use crate::core::presence::Presence;
use crate::core::time::Time;
use crate::core::user::{Fx, User};
use bytes::Bytes;
use std::sync::Arc;

/// Under which stack hard state is published: no point of any stack can adopt it.
const HARD: &str = "hard";
/// Who is told of changes: the front that keeps documents, whatever its protocol.
pub const KEEPER: &str = "keeper";

/// Which document of a person.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DocumentId {
    /// What it is for (an XCAP application usage).
    pub usage: Arc<str>,
    /// Its name there.
    pub name: Arc<str>,
}

/// What is known of a document besides its octets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DocumentInfo {
    /// Which.
    pub id: DocumentId,
    /// Differs after every change, for ever.
    pub tag: u64,
    /// Octets.
    pub size: usize,
    /// When it was last changed.
    pub modified: Time,
    /// When its meaning changes by time alone.
    pub due: Option<Time>,
}

/// What must be so for a change to be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// The document is not there.
    Absent,
    /// It is there with that tag.
    Tag(u64),
}

/// A change of one document. The old octets were read before; `expect` says which they were.
#[derive(Clone, Debug)]
pub struct PutDocument {
    /// Which.
    pub id: DocumentId,
    /// Else nothing is done: `StaleId`.
    pub expect: Expect,
    /// The new octets; `None` = the document goes.
    pub content: Option<Bytes>,
    /// See [`DocumentInfo::due`].
    pub due: Option<Time>,
    /// What it means; all with the document or none.
    pub means: Meaning,
}

/// What a document comes to. `None` = nothing of the kind.
#[derive(Clone, Debug, Default)]
pub struct Meaning {
    /// The access list as it is from now on, if it still is what `seen` says: `StaleId` else.
    pub access: Option<NewAccess>,
    /// The contact list.
    pub contacts: Option<Vec<Contact>>,
    /// A state that holds while no client says another; `Some(None)` = none any more.
    pub state: Option<Option<Presence>>,
}

/// An access list made from one that was read before.
#[derive(Clone, Debug)]
pub struct NewAccess {
    /// The one that was read.
    pub seen: Option<Vec<AccessEntry>>,
    /// The new one.
    pub list: Option<Vec<AccessEntry>>,
}

/// Reply to [`crate::core::command::Command::Documents`].
#[derive(Clone, Debug)]
pub struct Documents {
    /// All, by id.
    pub documents: Vec<DocumentInfo>,
    /// The access list; `None` = never written.
    pub access: Option<Vec<AccessEntry>>,
    /// What holds about those of whom it is silent.
    pub defaults: DefaultRights,
}

/// Rights without an entry of the access list.
#[derive(Clone, Debug)]
pub struct DefaultRights {
    /// Of people here.
    pub local: Defaults,
    /// Of people of welcome domains.
    pub foreign: Defaults,
    /// Those domains; `*` = all.
    pub welcome: Vec<String>,
}

impl DefaultRights {
    /// Of somebody of that domain.
    pub fn of(&self, domain: &str, ours: bool) -> Defaults {
        let mut welcome = self.welcome.iter();
        if ours {
            self.local
        } else if welcome.any(|theirs| theirs == "*" || theirs == domain) {
            self.foreign
        } else {
            Defaults::default()
        }
    }
}

impl User {
    /// Executes [`crate::core::command::Command::Documents`].
    pub(super) fn list_documents(&self, rules: &Rules, caller: &Caller) -> Result<Reply, Error> {
        self.must_own(caller)?;
        let home = self.account().address.domain();
        let ask = if rules.confirms(home) {
            Rights::default().with(Right::Presence)
        } else {
            Rights::default()
        };
        let default = |grant| Defaults { grant, ask };
        Ok(Reply::Documents(Box::new(Documents {
            documents: self.documents.clone(),
            access: self.access.clone(),
            defaults: DefaultRights {
                local: default(rules.local),
                foreign: default(rules.foreign),
                welcome: rules.welcomed_by(home),
            },
        })))
    }

    /// Executes [`crate::core::command::Command::PutDocument`].
    pub(super) fn put_document(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        put: PutDocument,
    ) -> Result<Reply, Error> {
        self.must_own(caller)?;
        let at = self.documents.binary_search_by(|d| d.id.cmp(&put.id));
        let old = at.ok().and_then(|at| self.documents.get(at)).cloned();
        let is = old.as_ref().map_or(Expect::Absent, |d| Expect::Tag(d.tag));
        let seen = put.means.access.as_ref();
        if is != put.expect || seen.is_some_and(|new| new.seen != self.access) {
            return Err(Error::StaleId);
        }
        let size = put.content.as_ref().map_or(0, Bytes::len);
        self.must_have_room(fx, old.as_ref(), size)?;
        let entries = seen.and_then(|new| new.list.as_ref()).map_or(0, Vec::len);
        if entries > fx.rules().access_entries {
            return Err(Error::LimitReached(Limit::AccessEntries));
        }
        let person = self.person();
        let new = put.content.map(|content| {
            let info = DocumentInfo {
                id: put.id.clone(),
                tag: Self::fresh_tag(fx),
                size,
                modified: fx.now(),
                due: put.due,
            };
            fx.store(Write::PutDocument(person, info.clone(), content));
            info
        });
        match (&new, at) {
            (Some(info), Ok(at)) => self.documents[at] = info.clone(),
            (Some(info), Err(at)) => self.documents.insert(at, info.clone()),
            (None, Ok(at)) => {
                self.documents.remove(at);
                fx.store(Write::DeleteDocument(person, put.id.clone()));
            }
            (None, Err(_)) => {}
        }
        self.mean(fx, put.means);
        self.tell_documents(fx, &put.id, old.map(|d| d.tag), new.as_ref().map(|d| d.tag));
        Ok(Reply::Document(new))
    }

    /// The keeper of documents may have to write an access list of another origin into one.
    pub(super) fn tell_access(&self, fx: &mut Fx<'_, '_>) {
        let person = self.person();
        fx.emit(Stack::named(KEEPER), Event::AccessChanged { person });
    }

    fn tell_documents(
        &self,
        fx: &mut Fx<'_, '_>,
        id: &DocumentId,
        old: Option<u64>,
        new: Option<u64>,
    ) {
        let event = Event::DocumentChanged {
            person: self.person(),
            id: id.clone(),
            old,
            new,
        };
        fx.emit(Stack::named(KEEPER), event);
        let all: Arc<[DocumentInfo]> = self.documents.as_slice().into();
        for watch in &self.watches {
            if watch.record.topic == Topic::Documents && watch.sees {
                self.send(fx, &watch.record, Change::Documents(Arc::clone(&all)));
            }
        }
    }

    fn must_have_room(
        &self,
        fx: &Fx<'_, '_>,
        old: Option<&DocumentInfo>,
        size: usize,
    ) -> Result<(), Error> {
        let rules = fx.rules();
        let total: usize = self.documents.iter().map(|d| d.size).sum();
        let after = total - old.map_or(0, |d| d.size) + size;
        let more = old.is_none() && size > 0;
        if more && self.documents.len() >= rules.documents {
            return Err(Error::LimitReached(Limit::Documents));
        }
        // What shrinks a person's documents is always let through.
        if after > rules.document_octets && after > total {
            return Err(Error::LimitReached(Limit::Documents));
        }
        Ok(())
    }

    /// Random, and not the one of any document here: a tag never comes again.
    fn fresh_tag(fx: &mut Fx<'_, '_>) -> u64 {
        let now = fx.now().0 & 0xff_ffff_ffff;
        let random = u64::try_from(fx.random() & 0xff_ffff).unwrap_or_default();
        // Milliseconds above random bits.
        now << 24 | random
    }

    fn mean(&mut self, fx: &mut Fx<'_, '_>, means: Meaning) {
        let person = self.person();
        if let Some(new) = means.access
            && new.list != new.seen
        {
            let list = new.list.unwrap_or_default();
            fx.store(Write::PutAccess(person, list.clone()));
            self.access = Some(list);
            self.reconsider_watches(fx);
        }
        if let Some(contacts) = means.contacts
            && contacts != self.contacts.contacts
        {
            self.contacts.version += 1;
            self.contacts.contacts = contacts;
            fx.store(Write::PutContacts(person, self.contacts.clone()));
        }
        if let Some(state) = means.state {
            self.set_hard_state(fx, state);
        }
    }

    fn set_hard_state(&mut self, fx: &mut Fx<'_, '_>, state: Option<Presence>) {
        let stack = Stack::named(HARD);
        if let Some(at) = self.publications.iter().position(|p| p.stack == stack) {
            if state.as_ref() == Some(&self.publications[at].presence) {
                return;
            }
            self.end_publication(fx, at);
        }
        if let Some(presence) = state {
            let record = PublicationRecord {
                person: self.person(),
                id: PublicationId(fx.next_number()),
                version: 0,
                stack,
                point: None,
                source: None,
                key: None,
                presence,
                calls: None,
                set: fx.now(),
                lease: None,
                expires: None,
            };
            fx.store(Write::PutPublication(record.clone()));
            self.publications.push(record);
        }
        self.changed(None);
    }
}
