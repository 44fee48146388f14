//! SUBSCRIBE and NOTIFY of presence (RFC 6665, RFC 3856): subscriptions are watches.

use super::handle::{Way, restore_watch, save_watch};
use super::place::Named;
use super::request::{EVENTS, Known};
use super::shard::{Pending, Req, Shard, Started};
use super::status::About;
use super::translate::{PIDF, pidf};
use crate::core::address::Address;
use crate::core::command::{Caller, Change, Command, Ended, Reply, Via, Watch};
use crate::core::error::Error;
use crate::core::id::{PersonId, WatchId};
use crate::core::presence::View;
use crate::front::SIP;
use crate::hub::{Answer, ReplyTo};
use sip::HeaderId;
use sip::dialog::{DialogError, Stamp};
use sip::flow::{Flow, Millis, Transport};
use sip::subscription::{After, Content, Notifier, Notify, Reason, TooBrief};
use sip::transaction::{Failure, Outgoing};
use std::sync::Arc;
use std::time::Duration;

/// One subscription that is served.
pub(super) struct Served {
    notifier: Notifier,
    /// How its SUBSCRIBE came last.
    way: Way,
    /// Whom it watches.
    person: PersonId,
    /// Who watches.
    caller: Caller,
}

/// A SUBSCRIBE under way.
pub(super) struct Subscribing {
    req: Req,
    person: PersonId,
    caller: Caller,
    notifier: Notifier,
    way: Way,
}

impl Shard {
    pub(super) fn subscribe(&mut self, now: Millis, req: Req, known: &Known, target: &Named) {
        let event = req.message.event().ok().flatten();
        if event.is_none_or(|event| event.package != "presence") {
            return self.respond(now, &req, 489, |r| r.header(HeaderId::AllowEvents, EVENTS));
        }
        if !accepts_pidf(&req) {
            return self.respond(now, &req, 406, |r| r.header(HeaderId::Accept, PIDF));
        }
        let asked = req.message.expires().unwrap_or(None);
        let lease = match self.front.settings.leases.grant(asked) {
            Ok(seconds) => Duration::from_secs(u64::from(seconds)),
            Err(TooBrief { min }) => {
                let error = Error::TooBrief(Duration::from_secs(u64::from(min)));
                return self.fail(now, &req, &error, About::Subscription);
            }
        };
        let caller = known.granted.caller.clone();
        let in_dialog = req.message.to().is_ok_and(|to| to.tag().is_some());
        if in_dialog {
            return self.within(now, req, &caller, lease);
        }
        let (_, account) = match self.target(target, crate::hub::Want::Watch(&caller.address)) {
            Ok(found) => found,
            Err(error) => return self.fail(now, &req, &error, About::Subscription),
        };
        self.first(now, req, caller, account.person, lease);
    }

    fn first(&mut self, now: Millis, req: Req, caller: Caller, person: PersonId, lease: Duration) {
        let contact = self.contact(req.flow);
        let tag = self.front.tag(&req.message);
        let end = now.saturating_add(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX));
        let notifier = match Notifier::accept(&req.message, &tag, &contact, end) {
            Ok(notifier) => notifier,
            Err(error) => return self.respond(now, &req, 400, |r| r.reason(error)),
        };
        let way = Way::of(req.flow, self.front.boot);
        let dialog = notifier.dialog();
        let id = notifier.event().id.as_deref().unwrap_or_default();
        let key = format!("{} {} {id}", dialog.call_id, dialog.remote_tag);
        let command = Command::Watch(Watch {
            stack: SIP,
            lease,
            via: Via::Direct,
            notify: true,
            key: Some(key.into()),
            handle: save_watch(way, &notifier),
        });
        let reply = self.wait(Pending::Subscribe(Box::new(Subscribing {
            req,
            person,
            caller: caller.clone(),
            notifier,
            way,
        })));
        self.front.hub.send(person, caller, command, reply);
    }

    pub(super) fn subscribed(&mut self, now: Millis, done: Subscribing, answer: Answer) {
        let (watch, lease) = match answer {
            Ok(Reply::Watching {
                watch: Some(watch),
                lease,
                ..
            }) => (watch, lease),
            Ok(_) => return self.respond(now, &done.req, 500, |r| r),
            Err(error) => return self.fail(now, &done.req, &error, About::Subscription),
        };
        self.accept(now, &done.req, lease);
        // Events come by another queue than answers: the first may have been here already, and
        // its NOTIFY, and what waits behind it, must not be forgotten.
        let dialog = done.notifier.dialog();
        let known = self.served.get(&watch).is_some_and(|served| {
            let known = served.notifier.dialog();
            known.call_id == dialog.call_id
                && known.local_tag == dialog.local_tag
                && known.remote_tag == dialog.remote_tag
        });
        if known {
            return;
        }
        self.serve(
            watch,
            Served {
                notifier: done.notifier,
                way: done.way,
                person: done.person,
                caller: done.caller,
            },
        );
    }

    fn accept(&mut self, now: Millis, req: &Req, lease: Duration) {
        let contact = self.contact(req.flow);
        self.respond(now, req, 200, |r| {
            r.copy(HeaderId::RecordRoute)
                .header(HeaderId::Expires, lease.as_secs())
                .header(HeaderId::Contact, format_args!("<{contact}>"))
        });
    }

    /// A SUBSCRIBE within a dialog: refresh or end.
    fn within(&mut self, now: Millis, req: Req, caller: &Caller, lease: Duration) {
        let found = self.find(&req);
        let Some(watch) = found else {
            return self.fail(now, &req, &Error::StaleId, About::Subscription);
        };
        let boot = self.front.boot;
        let Some(served) = self.served.get_mut(&watch) else {
            return self.fail(now, &req, &Error::StaleId, About::Subscription);
        };
        if served.caller.person != caller.person {
            let error = Error::Denied("another's subscription");
            return self.fail(now, &req, &error, About::Subscription);
        }
        let end = now.saturating_add(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX));
        match served.notifier.refresh(&req.message, end) {
            Ok(()) => {}
            Err(DialogError::OutOfOrder { .. }) => {
                return self.fail(now, &req, &Error::OutOfOrder, About::Subscription);
            }
            Err(error) => return self.respond(now, &req, 400, |r| r.reason(error)),
        }
        served.way = Way::of(req.flow, boot);
        let handle = save_watch(served.way, &served.notifier);
        let person = served.person;
        // A lease of zero ends it and makes the last notification.
        let command = Command::RenewWatch {
            watch,
            lease,
            handle: Some(handle),
            notify: true,
        };
        let reply = self.wait(Pending::Refresh(req, watch));
        self.front.hub.send(person, caller.clone(), command, reply);
    }

    pub(super) fn refreshed(&mut self, now: Millis, req: &Req, watch: WatchId, answer: Answer) {
        match answer {
            Ok(Reply::Watching { lease, .. }) => self.accept(now, req, lease),
            Ok(_) => self.accept(now, req, Duration::ZERO),
            Err(error) => {
                if error == Error::StaleId {
                    self.forget(watch);
                }
                self.fail(now, req, &error, About::Subscription);
            }
        }
    }

    fn find(&self, req: &Req) -> Option<WatchId> {
        let message = &req.message;
        let to = message.to().ok()?;
        let key = dialog_key(message.call_id().ok()?, to.tag()?);
        let watches = self.dialogs.get(&*key)?;
        let holds = |watch: &&WatchId| {
            let served = self.served.get(watch);
            served.is_some_and(|served| served.notifier.holds(message))
        };
        watches.iter().find(holds).copied()
    }

    fn serve(&mut self, watch: WatchId, served: Served) {
        let dialog = served.notifier.dialog();
        let key = dialog_key(&dialog.call_id, &dialog.local_tag);
        let list = self.dialogs.entry(key).or_default();
        if !list.contains(&watch) {
            list.push(watch);
        }
        self.served.insert(watch, served);
    }

    fn forget(&mut self, watch: WatchId) {
        self.missed.remove(&watch);
        let Some(served) = self.served.remove(&watch) else {
            return;
        };
        let dialog = served.notifier.dialog();
        let key = dialog_key(&dialog.call_id, &dialog.local_tag);
        if let Some(list) = self.dialogs.get_mut(&key) {
            list.retain(|other| *other != watch);
            if list.is_empty() {
                self.dialogs.remove(&key);
            }
        }
    }

    /// A subscription that was there before the restart. Its NOTIFY follows with the next change
    /// or refresh.
    pub(super) fn watch_restored(
        &mut self,
        person: PersonId,
        watcher: Address,
        watch: WatchId,
        handle: &[u8],
    ) {
        if self.served.contains_key(&watch) {
            return;
        }
        let Some((way, notifier)) = restore_watch(handle) else {
            tracing::warn!(%watcher, "SIP subscription can't be restored: unreadable state");
            return;
        };
        let caller = self.watcher(watcher);
        self.serve(
            watch,
            Served {
                notifier,
                way,
                person,
                caller,
            },
        );
    }

    fn watcher(&self, address: Address) -> Caller {
        let person = match self.front.hub.directory().resolve(&address) {
            crate::hub::Resolution::Local(account) => Some(account.person),
            _ => None,
        };
        Caller {
            address,
            person,
            scheme: crate::core::access::Scheme::Digest,
            route: crate::core::command::Route::Point(SIP),
        }
    }

    /// Something to tell a watcher.
    pub(super) fn presence(
        &mut self,
        now: Millis,
        (person, of, watcher): (PersonId, &Address, Address),
        watch: WatchId,
        handle: &[u8],
        change: Change,
    ) {
        self.watch_restored(person, watcher, watch, handle);
        let Some(served) = self.served.get(&watch) else {
            return;
        };
        let Some(flow) = self.flow_of(served) else {
            // Its client may come back over another connection before the lease ends.
            match change {
                Change::Presence(_) => {
                    self.missed.insert(watch, (of.clone(), change));
                }
                Change::Ended(..) => self.forget(watch),
                Change::Properties(_) => {}
            }
            return;
        };
        self.missed.remove(&watch);
        let (via, branch) = self.stamp(flow, watch);
        let stamp = Stamp {
            via: &via,
            branch: &branch,
        };
        let Some(served) = self.served.get_mut(&watch) else {
            return;
        };
        let notifier = &mut served.notifier;
        let notify = match change {
            Change::Presence(view) => notifier.notify(now, document(of, &view), stamp),
            Change::Ended(ended, view) => {
                notifier.terminate(now, reason(ended), Some(document(of, &view)), stamp)
            }
            // Profile fields have no place in PIDF.
            Change::Properties(_) => None,
        };
        if let Some(notify) = notify {
            self.send_notify(now, watch, flow, &branch, notify);
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
    pub(super) fn make_good(&mut self, now: Millis, person: PersonId) {
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
            let Some((of, change)) = self.missed.remove(&watch) else {
                continue;
            };
            let Some(served) = self.served.get(&watch) else {
                continue;
            };
            let known = (served.person, &of, served.caller.address.clone());
            self.presence(now, known, watch, &[], change);
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

    pub(super) fn notify_ended(
        &mut self,
        now: Millis,
        watch: WatchId,
        result: Result<u16, Failure>,
    ) {
        let Some(served) = self.served.get_mut(&watch) else {
            return;
        };
        let live = served.notifier.is_live();
        let after = match result {
            Ok(status) => served.notifier.answered(status),
            Err(Failure::Timeout) => served.notifier.silent(),
            Err(Failure::Transport) => served.notifier.unreachable(),
        };
        match after {
            After::Quiet => {}
            After::Ended if live => self.gone(watch),
            After::Ended => self.forget(watch),
            After::More => self.say_more(now, watch),
        }
    }

    fn say_more(&mut self, now: Millis, watch: WatchId) {
        let Some(served) = self.served.get(&watch) else {
            return;
        };
        let Some(flow) = self.flow_of(served) else {
            return self.gone(watch);
        };
        let (via, branch) = self.stamp(flow, watch);
        let stamp = Stamp {
            via: &via,
            branch: &branch,
        };
        let next = self
            .served
            .get_mut(&watch)
            .and_then(|served| served.notifier.next(now, stamp));
        if let Some(notify) = next {
            self.send_notify(now, watch, flow, &branch, notify);
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

    /// Our Via without parameters.
    pub(super) fn via(&self, flow: Flow) -> String {
        let place = self.sent_by(flow);
        format!("SIP/2.0/{} {place}", flow.transport.via_token())
    }

    /// What a Via of ours says behind its place: over TLS, what we opened may be used both ways
    /// (RFC 5923 5).
    pub(super) fn alias(&self, flow: Flow) -> &'static str {
        let wire = self.front.wire(flow);
        let ours = wire.is_some_and(|wire| self.front.sockets.is_ours(&wire));
        if ours { ";alias" } else { "" }
    }

    /// Our Contact on this flow.
    fn contact(&self, flow: Flow) -> String {
        let place = self.sent_by(flow);
        match flow.transport {
            Transport::Udp => format!("sip:{place}"),
            Transport::Tcp => format!("sip:{place};transport=tcp"),
            Transport::Tls => format!("sip:{place};transport=tls"),
            // RFC 7118 5.2.4: the scheme and the flow tell WSS from WS.
            Transport::Ws | Transport::Wss => format!("sip:{place};transport=ws"),
        }
    }

    fn sent_by(&self, flow: Flow) -> String {
        let wire = self.front.wire(flow);
        wire.map_or_else(
            || self.front.places.default_domain().to_owned(),
            |wire| self.front.sent_by(&wire),
        )
    }
}

/// RFC 3856 6.7: without Accept it is PIDF.
fn accepts_pidf(req: &Req) -> bool {
    let mut ranges = req.message.accept().flatten().peekable();
    ranges.peek().is_none() || ranges.any(|range| range.covers(PIDF))
}

fn document(of: &Address, view: &View) -> Content {
    let entity = format!("sip:{of}");
    Content::new(Arc::<str>::from(PIDF), pidf(&entity, view))
}

fn reason(ended: Ended) -> Reason {
    match ended {
        // RFC 6665 4.4.1: what a subscriber ended itself says "timeout", too.
        Ended::Expired | Ended::Unwatched => Reason::Timeout,
        Ended::NoResource => Reason::NoResource,
        Ended::Deactivated => Reason::Deactivated,
    }
}

fn dialog_key(call_id: &str, tag: &str) -> Box<str> {
    format!("{call_id} {tag}").into()
}
