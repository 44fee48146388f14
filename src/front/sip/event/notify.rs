//! NOTIFY (RFC 6665 4.2.2) of all packages: each watcher is told what is newest, in order.

use super::Subject;
use super::members::is_member;
use super::serve::Served;
use crate::core::address::Address;
use crate::core::command::{Change, Command, Ended, Route};
use crate::core::id::{PersonId, WatchId};
use crate::front::sip::shard::{Shard, Started};
use crate::hub::ReplyTo;
use sip::dialog::Stamp;
use sip::flow::{Flow, Millis};
use sip::subscription::{After, Notify, Reason};
use sip::transaction::{Failure, Outgoing};

/// Octets of a body over a connection.
pub(super) const LARGEST: usize = 48 * 1024;
/// Octets of a datagram left to the head.
const HEAD: usize = 1_500;

impl Shard {
    /// Something to tell a watcher.
    pub(in crate::front::sip) fn presence(
        &mut self,
        now: Millis,
        (person, of, watcher): (PersonId, &Address, Address),
        watch: WatchId,
        handle: &[u8],
        change: Change,
    ) {
        if is_member(handle) {
            return self.member_told(now, of, handle, &change);
        }
        if matches!(
            change,
            Change::Ended(Ended::Replaced, _) | Change::Last(Ended::Replaced, _)
        ) {
            // The device that had it has a newer one, maybe in the same dialog: not a word.
            return self.forget(watch);
        }
        if matches!(change, Change::Properties(_)) {
            // Profile fields have no place in PIDF.
            return;
        }
        self.watch_restored((person, of, watcher), watch, handle);
        self.tell(now, watch, change);
    }

    /// Tells a watcher, or keeps it until he can be told: each what is newest, in order.
    pub(super) fn tell(&mut self, now: Millis, watch: WatchId, change: Change) {
        let Some(served) = self.served.get_mut(&watch) else {
            return;
        };
        let ends = matches!(change, Change::Ended(..) | Change::Last(..));
        if let Some(list) = &mut served.writer.list {
            if ends {
                list.renew();
            } else if !list.may_tell() {
                return;
            }
        }
        if served.notifier.is_under_way() {
            served.latest = Some(change);
            return;
        }
        let Some(served) = self.served.get(&watch) else {
            return;
        };
        let flow = self.flow_of(served);
        let abroad = matches!(served.caller.route, Route::Peer(_));
        if flow.is_none() && !abroad {
            // Its client may come back over another connection before the lease ends.
            if matches!(change, Change::Ended(..) | Change::Last(..)) {
                self.forget(watch);
            } else {
                self.missed.insert(watch, change);
            }
            return;
        }
        self.missed.remove(&watch);
        let (via, branch) = match flow {
            Some(flow) => self.stamp(flow, watch),
            // A connection to the neighbour is made first, and its Via written then.
            None => ("SIP/2.0/TCP x".to_owned(), "z9hG4bKx".to_owned()),
        };
        let stamp = Stamp {
            via: &via,
            branch: &branch,
        };
        let limit = flow.map_or(LARGEST, |flow| self.limit(flow));
        let Some(served) = self.served.get_mut(&watch) else {
            return;
        };
        let account = self.front.hub.directory().account(served.person);
        let subject = Subject {
            of: &served.of,
            version: served.notifier.next_version(),
            limit,
            name: account.as_ref().map_or("", |account| &account.display_name),
        };
        let content = served.writer.write(subject, &change, &mut self.cache);
        let notifier = &mut served.notifier;
        let notify = match change {
            Change::Ended(why, _) | Change::Last(why, _) => {
                notifier.terminate(now, reason(why), Some(content), stamp)
            }
            Change::Pending(_) => {
                notifier.pend();
                notifier.notify(now, content, stamp)
            }
            _ => {
                notifier.activate();
                notifier.notify(now, content, stamp)
            }
        };
        match (notify, flow) {
            (Some(notify), Some(flow)) => self.send_notify(now, watch, flow, &branch, notify),
            (Some(notify), None) => self.send_abroad(now, watch, &notify),
            (None, _) => {}
        }
    }

    fn send_abroad(&mut self, now: Millis, watch: WatchId, notify: &Notify) {
        let Some(served) = self.served.get(&watch) else {
            return;
        };
        let next_hop = served.notifier.dialog().next_hop().to_owned();
        let (watcher, source) = (served.caller.address.clone(), served.way.peer.ip());
        self.notify_abroad(now, watch, (&watcher, &next_hop, source), &notify.bytes);
    }

    /// Octets of a body that this way carries.
    fn limit(&self, flow: Flow) -> usize {
        if flow.transport.is_reliable() {
            LARGEST
        } else {
            self.front
                .settings
                .udp_max
                .saturating_sub(HEAD)
                .min(LARGEST)
        }
    }

    fn flow_of(&self, served: &Served) -> Option<Flow> {
        let target = &served.notifier.dialog().target;
        self.front.way(&served.way, target).or_else(|| {
            let person = served.caller.person?;
            self.front.way_of(&served.way, person)
        })
    }

    /// A client came back: tells it what it missed.
    pub(in crate::front::sip) fn make_good(&mut self, now: Millis, person: PersonId) {
        let missed: Vec<WatchId> = self
            .missed
            .keys()
            .copied()
            .filter(|watch| {
                let served = self.served.get(watch);
                served.is_none_or(|served| served.caller.person == Some(person))
            })
            .collect();
        for watch in missed {
            if let Some(change) = self.missed.remove(&watch) {
                self.tell(now, watch, change);
            }
        }
    }

    fn send_notify(
        &mut self,
        now: Millis,
        watch: WatchId,
        flow: Flow,
        branch: &str,
        notify: Notify,
    ) {
        let token = self.token();
        self.started.insert(token, Started::Notify(watch));
        let request = Outgoing {
            method: b"NOTIFY",
            branch: branch.as_bytes(),
            flow,
            bytes: notify.bytes,
            token,
        };
        self.engine.start(now, request);
        self.drain(now);
    }

    pub(in crate::front::sip) fn notify_ended(
        &mut self,
        now: Millis,
        watch: WatchId,
        result: Result<u16, Failure>,
    ) {
        let Some(served) = self.served.get_mut(&watch) else {
            return;
        };
        let live = served.notifier.is_live();
        self.front.notified.note(watch, result);
        let after = match result {
            Ok(status) => served.notifier.answered(status),
            Err(Failure::Timeout) => served.notifier.silent(),
            Err(Failure::Transport) => served.notifier.unreachable(),
        };
        match after {
            After::Ended if live => self.gone(watch),
            After::Ended => self.forget(watch),
            // What came meanwhile was kept here, not there.
            After::Quiet | After::More => {
                let latest = self.served.get_mut(&watch).and_then(|s| s.latest.take());
                if let Some(change) = latest {
                    self.tell(now, watch, change);
                }
            }
        }
    }

    /// The watcher can't be reached or wants no more (RFC 6665 4.2.2).
    fn gone(&mut self, watch: WatchId) {
        if let Some(served) = self.served.get(&watch) {
            let command = Command::Unwatch {
                watch,
                notify: false,
            };
            let (person, caller) = (served.person, served.caller.clone());
            tracing::info!(watcher = %caller.address, "SIP subscription ended: watcher unreachable");
            self.front
                .hub
                .send(person, caller, command, ReplyTo::Nobody);
        }
        self.forget(watch);
    }

    fn stamp(&mut self, flow: Flow, watch: WatchId) -> (String, String) {
        let token = self.token();
        let branch = format!("z9hG4bKn{:x}.{:x}.{token:x}", self.front.boot, watch.0);
        (format!("{}{}", self.via(flow), self.alias(flow)), branch)
    }
}

pub(super) fn reason(ended: Ended) -> Reason {
    match ended {
        // RFC 6665 4.4.1: what a subscriber ended itself says "timeout", too.
        Ended::Expired | Ended::Unwatched | Ended::Replaced => Reason::Timeout,
        Ended::Rejected => Reason::Rejected,
        Ended::GaveUp => Reason::GiveUp,
        Ended::NoResource => Reason::NoResource,
        Ended::Deactivated => Reason::Deactivated,
    }
}
