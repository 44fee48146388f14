//! Subscriptions to lists (RFC 4662): one dialog to the subscriber, one watch behind it for each
//! resource, under the subscriber's own identity and rights.
//!
//! The dialog hangs on a watch of the list's owner (for his documents), so that its lease, its
//! state and its replacement are kept like any other's. A resource's watch carries in its handle
//! which list it is for; what it says goes into the list's state and is told with the next NOTIFY.

use super::serve::Served;
use super::{Cache, Subject, Writer};
use crate::core::address::Address;
use crate::core::command::{Change, Command, Ended, Reply, Topic, Via, Watch};
use crate::core::id::{Handle, PersonId, WatchId};
use crate::front::SIP;
use crate::front::sip::shard::{Pending, Shard};
use crate::front::sip::xcap::Member;
use crate::hub::{Answer, ReplyTo, Resolution, Want};
use serde::{Deserialize, Serialize};
use sip::flow::Millis;
use sip::subscription::Content;
use std::sync::Arc;
use std::time::Duration;
use xcap::rls::ListState;
use xcap::usage::rlmi::State;

/// What the kind of a saved list subscription begins with.
const KIND: &str = "list ";

/// One list that is subscribed to.
#[derive(Debug)]
pub(in crate::front::sip) struct Listed {
    /// Its address.
    pub(super) address: Address,
    /// Its members, once they are known.
    members: Vec<Behind>,
    state: ListState,
    is_built: bool,
    lease: Duration,
}

/// A resource and the watch behind it.
#[derive(Debug)]
struct Behind {
    member: Member,
    watch: Option<(PersonId, WatchId)>,
}

impl Listed {
    pub(super) fn new(address: Address, lease: Duration) -> Self {
        Self {
            state: ListState::new(&super::uri(&address), []),
            address,
            members: Vec::new(),
            is_built: false,
            lease,
        }
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

#[derive(Serialize, Deserialize)]
struct MemberHead {
    v: u8,
    /// The watch that the dialog hangs on.
    list: u32,
    address: String,
}

/// The handle of a resource's watch: the Call-ID in a line of its own leads to the shard.
fn save_member(call_id: &str, list: WatchId, address: &Address) -> Handle {
    let head = MemberHead {
        v: 1,
        list: list.0,
        address: address.to_string(),
    };
    let mut out = call_id.as_bytes().to_vec();
    out.push(b'\n');
    out.extend_from_slice(&serde_json::to_vec(&head).unwrap_or_default());
    out.into()
}

/// What [`save_member`] wrote: the list's watch and whose state it is.
fn member_of(handle: &[u8]) -> Option<(WatchId, Address)> {
    let line = handle.split(|octet| *octet == b'\n').nth(1)?;
    let head: MemberHead = serde_json::from_slice(line).ok()?;
    let address = Address::from_normal(&head.address).ok()?;
    (head.v == 1).then_some((WatchId(head.list), address))
}

/// Whether a watch is one behind a list.
pub(in crate::front::sip) fn is_member(handle: &[u8]) -> bool {
    member_of(handle).is_some()
}

impl Writer {
    fn list_mut(&mut self) -> Option<&mut Listed> {
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

    /// One watch for each resource. Where there is one with the same key already, it is replaced.
    fn watch_members(&mut self, main: WatchId) {
        let Some(served) = self.served.get(&main) else {
            return;
        };
        let Some(list) = served.writer.list.as_deref() else {
            return;
        };
        let (caller, lease) = (served.caller.clone(), list.lease);
        let call_id = served.notifier().dialog().call_id.to_string();
        let members: Vec<Option<Address>> = list
            .members
            .iter()
            .map(|b| b.member.address.clone())
            .collect();
        for (number, address) in members.into_iter().enumerate() {
            let reached = address.and_then(|address| {
                let directory = self.front.hub.directory();
                match directory.reach(&address, Want::Watch(&caller.address)) {
                    Resolution::Local(account) => Some((address, account.person)),
                    Resolution::UnknownUser | Resolution::Foreign => None,
                }
            });
            let Some((address, person)) = reached else {
                self.set_member(
                    main,
                    number,
                    State::Terminated("noresource"),
                    &Content::default(),
                );
                continue;
            };
            let command = Command::Watch(Watch {
                topic: Topic::Presence,
                stack: SIP,
                lease,
                via: Via::Direct,
                notify: true,
                key: Some(format!("list {} {address}", main.0).into()),
                handle: save_member(&call_id, main, &address),
            });
            let reply = self.wait(Pending::Member {
                list: main,
                person,
                address,
            });
            self.front.hub.send(person, caller.clone(), command, reply);
        }
    }

    fn unwatch_member(&mut self, main: WatchId, watch: Option<(PersonId, WatchId)>) {
        let Some(served) = self.served.get(&main) else {
            return;
        };
        if let Some((person, watch)) = watch {
            let command = Command::Unwatch {
                watch,
                notify: false,
            };
            let caller = served.caller.clone();
            self.front
                .hub
                .send(person, caller, command, ReplyTo::Nobody);
        }
    }

    /// The watch of a resource was made, or not.
    pub(in crate::front::sip) fn member_answered(
        &mut self,
        now: Millis,
        main: WatchId,
        (person, address): (PersonId, Address),
        answer: &Answer,
    ) {
        let watch = match answer {
            Ok(Reply::Watching { watch, .. }) => *watch,
            _ => None,
        };
        let Some(number) = self.number_of(main, &address) else {
            // The list ended meanwhile.
            if let Some(watch) = watch {
                let caller = self.watcher(address);
                let command = Command::Unwatch {
                    watch,
                    notify: false,
                };
                self.front
                    .hub
                    .send(person, caller, command, ReplyTo::Nobody);
            }
            return;
        };
        let served = self.served.get_mut(&main);
        let list = served.and_then(|served| served.writer.list_mut());
        if let (Some(watch), Some(list)) = (watch, list) {
            if let Some(behind) = list.members.get_mut(number) {
                behind.watch = Some((person, watch));
            }
        } else {
            // Refused openly, or too much is going on: nothing is known of this one.
            self.set_member(
                main,
                number,
                State::Terminated("rejected"),
                &Content::default(),
            );
        }
        self.tell_list(now, main);
    }

    /// What the watch of a resource says.
    pub(in crate::front::sip) fn member_told(
        &mut self,
        now: Millis,
        of: &Address,
        handle: &[u8],
        change: &Change,
    ) {
        let Some((main, address)) = member_of(handle) else {
            return;
        };
        let unbuilt = self
            .served
            .get(&main)
            .and_then(|served| served.writer.list.as_deref())
            .is_some_and(|list| !list.is_built);
        if unbuilt {
            // After a restart: all are watched anew, and each says its state.
            return self.build_list(now, main);
        }
        let Some(number) = self.number_of(main, &address) else {
            return;
        };
        let none = Content::default();
        match change {
            Change::Presence(view) => {
                let limit = super::serve::LARGEST;
                let account = self.front.hub.directory().resolve(of);
                let name = match &account {
                    Resolution::Local(account) => account.display_name.as_str(),
                    _ => "",
                };
                let subject = Subject {
                    of,
                    version: 0,
                    limit,
                    name,
                };
                let Some(kind) = self.served.get(&main).map(|served| served.writer.kind) else {
                    return;
                };
                let content = Cache::presence(&mut self.cache, subject, view, kind);
                self.set_member(main, number, State::Active, &content);
            }
            Change::Pending(_) => self.set_member(main, number, State::Pending, &none),
            Change::Ended(why, _) | Change::Last(why, _) if *why != Ended::Replaced => {
                let reason = super::serve::reason(*why).token();
                self.set_member(main, number, State::Terminated(reason), &none);
            }
            Change::Ended(..)
            | Change::Last(..)
            | Change::Properties(_)
            | Change::Watchers(_)
            | Change::Calls(_)
            | Change::Documents(_) => return,
        }
        self.tell_list(now, main);
    }

    fn number_of(&self, main: WatchId, address: &Address) -> Option<usize> {
        let list = self.served.get(&main)?.writer.list.as_deref()?;
        let mut members = list.members.iter();
        members.position(|behind| behind.member.address.as_ref() == Some(address))
    }

    fn set_member(&mut self, main: WatchId, number: usize, state: State, content: &Content) {
        let served = self.served.get_mut(&main);
        let Some(list) = served.and_then(|served| served.writer.list_mut()) else {
            return;
        };
        match &content.body {
            Some((kind, body)) => list.state.set(number, state, kind, body),
            None => list.state.set(number, state, "", b""),
        }
    }

    /// What is owed waits until this turn's other events are in: see [`Shard::flush_lists`].
    fn tell_list(&mut self, _now: Millis, main: WatchId) {
        self.owed.insert(main);
    }

    /// Tells the subscribers to lists what this turn brought, each in one NOTIFY.
    pub(in crate::front::sip) fn flush_lists(&mut self, now: Millis) {
        for main in std::mem::take(&mut self.owed) {
            self.tell(now, main, Change::Documents(Arc::from([])));
        }
    }

    /// Somebody's lists have changed.
    pub(in crate::front::sip) fn relist(&mut self, now: Millis, owner: PersonId) {
        let of_owner = |served: &Served| served.person == owner && served.writer.list.is_some();
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

    /// The dialog was refreshed: so are the watches behind it.
    pub(super) fn renew_members(&mut self, main: WatchId, lease: Duration) {
        let Some(served) = self.served.get_mut(&main) else {
            return;
        };
        let caller = served.caller.clone();
        let Some(list) = served.writer.list_mut() else {
            return;
        };
        list.lease = lease;
        let watches: Vec<_> = list.members.iter().filter_map(|b| b.watch).collect();
        for (person, watch) in watches {
            let command = Command::RenewWatch {
                watch,
                lease,
                handle: None,
                notify: false,
            };
            let caller = caller.clone();
            self.front
                .hub
                .send(person, caller, command, ReplyTo::Nobody);
        }
    }

    /// The dialog has ended: so have the watches behind it.
    pub(super) fn end_members(&mut self, served: &Served) {
        let Some(list) = served.writer.list.as_deref() else {
            return;
        };
        for (person, watch) in list.members.iter().filter_map(|b| b.watch) {
            let command = Command::Unwatch {
                watch,
                notify: false,
            };
            let caller = served.caller.clone();
            self.front
                .hub
                .send(person, caller, command, ReplyTo::Nobody);
        }
    }
}
