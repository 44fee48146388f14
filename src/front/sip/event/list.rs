//! Subscriptions to lists (RFC 4662): one dialog to the subscriber, one watch behind it for each
//! resource, under the subscriber's own identity and rights.
//!
//! The dialog hangs on a watch of the list's owner (for his documents), so that its lease, its
//! state and its replacement are kept like any other's. A resource's watch carries in its handle
//! which list it is for; what it says goes into the list's state and is told with the next NOTIFY.

use super::serve::Served;
use super::{Subject, Writer};
use crate::core::address::Address;
use crate::core::command::{Change, Command, Ended};
use crate::core::id::{PersonId, WatchId};
use crate::front::sip::shard::Shard;
use crate::front::sip::xcap::Member;
use crate::hub::ReplyTo;
use sip::flow::Millis;
use sip::subscription::Content;
use std::sync::Arc;
use std::time::Duration;
use xcap::rls::ListState;

/// What the kind of a saved list subscription begins with.
const KIND: &str = "list ";

/// One list that is subscribed to.
#[derive(Debug)]
pub(in crate::front::sip) struct Listed {
    /// Its address.
    pub(super) address: Address,
    /// Its members, once they are known.
    pub(super) members: Vec<Behind>,
    pub(super) state: ListState,
    pub(super) is_built: bool,
    /// Of the watches behind it; zero in a fetch, which is told once and over (RFC 6665 4.4.3).
    pub(super) lease: Duration,
    is_fetch: bool,
}

/// A resource and the watch behind it.
#[derive(Debug)]
pub(super) struct Behind {
    pub(super) member: Member,
    pub(super) watch: Option<(PersonId, WatchId)>,
}

impl Listed {
    pub(super) fn new(address: Address, lease: Duration) -> Self {
        Self {
            state: ListState::new(&super::uri(&address), []),
            address,
            members: Vec::new(),
            is_built: false,
            lease,
            is_fetch: lease.is_zero(),
        }
    }

    pub(super) fn is_fetch(&self) -> bool {
        self.is_fetch
    }

    /// How the kind of its bodies is saved, with its address: the watch knows its owner's only.
    pub(super) fn kind(&self, kind: &str) -> String {
        format!("{KIND}{} {kind}", self.address)
    }

    /// The address and the kind of its bodies, if what was saved is a list's.
    pub(super) fn of_kind(saved: &str) -> Option<(Address, &str)> {
        let (address, kind) = saved.strip_prefix(KIND)?.rsplit_once(' ')?;
        Some((Address::from_normal(address).ok()?, kind))
    }

    /// The whole list is told next.
    pub(super) fn renew(&mut self) {
        self.state.renew();
    }

    /// Whether there is something to tell, and enough known.
    pub(super) fn may_tell(&self) -> bool {
        self.is_built && self.state.is_known() && self.state.is_owed()
    }

    pub(super) fn write(&mut self, subject: Subject<'_>) -> Content {
        self.state.number(subject.version);
        match self.state.take(subject.limit) {
            Some(told) => Content::new(Arc::<str>::from(told.kind), told.body),
            None => Content::default(),
        }
    }
}

impl Writer {
    pub(super) fn list_mut(&mut self) -> Option<&mut Listed> {
        self.list.as_deref_mut()
    }
}

impl Shard {
    /// Gives a list subscription its members, as far as the registry knows it by now.
    pub(in crate::front::sip) fn build_list(&mut self, now: Millis, main: WatchId) {
        let Some(served) = self.served.get_mut(&main) else {
            return;
        };
        let owner = served.person;
        let Some(list) = served.writer.list_mut() else {
            return;
        };
        let found = self.front.xcap.registry.find(&list.address);
        let Some(found) = found.filter(|found| found.owner == owner) else {
            return;
        };
        let same = list.is_built
            && list.members.len() == found.members.len()
            && list
                .members
                .iter()
                .zip(found.members.iter())
                .all(|(a, b)| a.member == *b);
        if same {
            return;
        }
        list.is_built = true;
        let names = found.members.iter();
        list.state = ListState::new(
            &super::uri(&list.address),
            names.map(|member| (member.uri.clone(), member.name.clone())),
        );
        let older = std::mem::take(&mut list.members);
        list.members = found
            .members
            .iter()
            .map(|member| Behind {
                member: member.clone(),
                watch: None,
            })
            .collect();
        let kept: Vec<Address> = found
            .members
            .iter()
            .filter_map(|m| m.address.clone())
            .collect();
        self.watch_members(main);
        for gone in older {
            if gone
                .member
                .address
                .as_ref()
                .is_none_or(|address| !kept.contains(address))
            {
                self.unwatch_member(main, gone.watch);
            }
        }
        self.tell_list(now, main);
    }

    /// What is owed waits until this turn's other events are in: see [`Shard::flush_lists`].
    pub(super) fn tell_list(&mut self, _now: Millis, main: WatchId) {
        self.owed.insert(main);
    }

    /// Tells the subscribers to lists what this turn brought, each in one NOTIFY.
    pub(in crate::front::sip) fn flush_lists(&mut self, now: Millis) {
        for main in std::mem::take(&mut self.owed) {
            let served = self.served.get(&main);
            let list = served.and_then(|served| served.writer.list.as_deref());
            let fetched = list.filter(|list| list.is_fetch());
            let told = Change::Documents(Arc::from([]));
            match fetched.map(Listed::may_tell) {
                None => self.tell(now, main, told),
                Some(true) => self.tell(now, main, Change::Last(Ended::Expired, Box::new(told))),
                Some(false) => {}
            }
        }
    }

    /// Somebody's lists have changed.
    pub(in crate::front::sip) fn relist(&mut self, now: Millis, owner: PersonId) {
        let of_owner = |served: &Served| {
            let list = served.writer.list.as_deref();
            served.person == owner && list.is_some_and(|list| !list.is_fetch)
        };
        let lists: Vec<WatchId> = self
            .served
            .iter()
            .filter(|(_, served)| of_owner(served))
            .map(|(watch, _)| *watch)
            .collect();
        for main in lists {
            let list = self
                .served
                .get(&main)
                .and_then(|s| s.writer.list.as_deref());
            let gone = list.is_some_and(|list| {
                list.is_built && self.front.xcap.registry.find(&list.address).is_none()
            });
            if gone {
                self.end_list(now, main);
            } else {
                self.build_list(now, main);
            }
        }
    }

    /// A list that is fetched and is not to be had any more.
    pub(super) fn end_fetch(&mut self, now: Millis, main: WatchId) {
        let served = self.served.get(&main);
        let list = served.and_then(|served| served.writer.list.as_deref());
        if list.is_some_and(|list| list.is_fetch && !list.is_built) {
            let last = Box::new(Change::Documents(Arc::from([])));
            self.tell(now, main, Change::Last(Ended::NoResource, last));
        }
    }

    /// The list is no more.
    fn end_list(&mut self, now: Millis, main: WatchId) {
        if let Some(served) = self.served.get(&main) {
            let command = Command::Unwatch {
                watch: main,
                notify: false,
            };
            let (person, caller) = (served.person, served.caller.clone());
            self.front
                .hub
                .send(person, caller, command, ReplyTo::Nobody);
        }
        let last = Box::new(Change::Documents(Arc::from([])));
        self.tell(now, main, Change::Last(Ended::NoResource, last));
    }
}
