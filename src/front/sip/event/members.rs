//! The watches behind a list, one for each resource, under the subscriber's own identity and rights.

use super::list::Listed;
use super::serve::Served;
use super::{Cache, Subject};
use crate::core::address::Address;
use crate::core::command::{Caller, Change, Command, Ended, Reply, Topic, Via, Watch};
use crate::core::id::{Handle, PersonId, WatchId};
use crate::core::presence::View;
use crate::front::SIP;
use crate::front::sip::shard::{Pending, Shard};
use crate::hub::{Answer, ReplyTo, Resolution, Want};
use serde::{Deserialize, Serialize};
use sip::flow::Millis;
use sip::subscription::Content;
use std::time::Duration;
use xcap::usage::rlmi::State;

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

impl Shard {
    /// One watch for each resource. Where there is one with the same key already, it is replaced.
    pub(super) fn watch_members(&mut self, main: WatchId) {
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
                // What a fetch needs is in the answer.
                notify: !lease.is_zero(),
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

    pub(super) fn unwatch_member(&mut self, main: WatchId, watch: Option<(PersonId, WatchId)>) {
        let Some(served) = self.served.get(&main) else {
            return;
        };
        if let Some(watch) = watch {
            self.unwatch(watch, served.caller.clone());
        }
    }

    fn unwatch(&self, (person, watch): (PersonId, WatchId), caller: Caller) {
        let command = Command::Unwatch {
            watch,
            notify: false,
        };
        let hub = &self.front.hub;
        hub.send(person, caller, command, ReplyTo::Nobody);
    }

    /// The watch of a resource was made, or not.
    pub(in crate::front::sip) fn member_answered(
        &mut self,
        now: Millis,
        main: WatchId,
        (person, address): (PersonId, Address),
        answer: &Answer,
    ) {
        let fetched = self
            .served
            .get(&main)
            .and_then(|served| served.writer.list.as_deref())
            .is_some_and(Listed::is_fetch);
        if fetched {
            return self.member_fetched(now, main, &address, answer);
        }
        let watch = match answer {
            Ok(Reply::Watching { watch, lease, .. }) if !lease.is_zero() => *watch,
            _ => None,
        };
        let Some(number) = self.number_of(main, &address) else {
            // The list ended meanwhile.
            if let Some(watch) = watch {
                // In the name of whom it is about: he may end what is at his node.
                self.unwatch((person, watch), self.watcher(address));
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

    /// The state of a resource as a fetch finds it, or why there is none.
    fn member_fetched(&mut self, now: Millis, main: WatchId, address: &Address, answer: &Answer) {
        let Some(number) = self.number_of(main, address) else {
            return;
        };
        match answer {
            Ok(Reply::Watching { view, .. }) => self.member_shown(main, number, address, view),
            _ => {
                let rejected = State::Terminated("rejected");
                self.set_member(main, number, rejected, &Content::default());
            }
        }
        self.tell_list(now, main);
    }

    fn member_shown(&mut self, main: WatchId, number: usize, of: &Address, view: &View) {
        let account = self.front.hub.directory().resolve(of);
        let name = match &account {
            Resolution::Local(account) => account.display_name.as_str(),
            _ => "",
        };
        let subject = Subject {
            of,
            version: 0,
            limit: super::notify::LARGEST,
            name,
        };
        let Some(kind) = self.served.get(&main).map(|served| served.writer.kind) else {
            return;
        };
        let content = Cache::presence(&mut self.cache, subject, view, kind);
        self.set_member(main, number, State::Active, &content);
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
            Change::Presence(view) => self.member_shown(main, number, of, view),
            Change::Pending(_) => self.set_member(main, number, State::Pending, &none),
            Change::Ended(why, _) | Change::Last(why, _) if *why != Ended::Replaced => {
                let reason = super::notify::reason(*why).token();
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

    pub(super) fn set_member(
        &mut self,
        main: WatchId,
        number: usize,
        state: State,
        content: &Content,
    ) {
        let served = self.served.get_mut(&main);
        let Some(list) = served.and_then(|served| served.writer.list_mut()) else {
            return;
        };
        match &content.body {
            Some((kind, body)) => list.state.set(number, state, kind, body),
            None => list.state.set(number, state, "", b""),
        }
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
        for watch in list.members.iter().filter_map(|b| b.watch) {
            self.unwatch(watch, served.caller.clone());
        }
    }
}
