//! SUBSCRIBE and NOTIFY (RFC 6665) of all packages: subscriptions are watches.

use super::list::{Listed, is_member};
use super::{Package, Subject, Writer, allowed, package};
use crate::core::access::Scheme;
use crate::core::address::Address;
use crate::core::command::{Caller, Change, Command, Ended, Reply, Route, Via, Watch};
use crate::core::error::Error;
use crate::core::id::{PersonId, WatchId};
use crate::front::SIP;
use crate::front::sip::handle::{Way, restore_watch, save_watch};
use crate::front::sip::place::Named;
use crate::front::sip::request::Known;
use crate::front::sip::shard::{Pending, Req, Shard, Started};
use crate::front::sip::status::About;
use crate::front::sip::xcap::Found;
use crate::hub::{Answer, ReplyTo};
use sip::HeaderId;
use sip::dialog::{DialogError, Stamp};
use sip::flow::{Flow, Millis, Transport};
use sip::subscription::{After, EventId, Notifier, Notify, Reason, TooBrief};
use sip::transaction::{Failure, Outgoing};
use std::time::Duration;

/// One subscription that is served.
pub(in crate::front::sip) struct Served {
    notifier: Notifier,
    /// How its SUBSCRIBE came last.
    way: Way,
    /// Whom it watches.
    pub(super) person: PersonId,
    /// The address that is watched.
    of: Address,
    /// Who watches.
    pub(super) caller: Caller,
    pub(super) writer: Writer,
    /// The newest that came while a NOTIFY was under way.
    latest: Option<Change>,
}

impl Served {
    /// Its dialog's state.
    pub(super) fn notifier(&self) -> &Notifier {
        &self.notifier
    }
}

/// A SUBSCRIBE under way.
pub(in crate::front::sip) struct Subscribing {
    req: Req,
    person: PersonId,
    of: Address,
    caller: Caller,
    notifier: Notifier,
    way: Way,
    writer: Writer,
}

/// Octets of a subscription's state beyond which it is refused: who names itself at such length
/// would have it kept and written into every NOTIFY.
const LONGEST: usize = 8 * 1024;

impl Shard {
    pub(in crate::front::sip) fn subscribe(
        &mut self,
        now: Millis,
        req: Req,
        known: &Known,
        target: &Named,
    ) {
        let event = EventId::of(&req.message);
        let known_package = event.as_ref().and_then(|event| package(&event.package));
        let Some(package) = known_package else {
            tracing::info!(peer = %req.flow.peer, event = ?event, "SIP request refused: no such event package");
            return self.respond(now, &req, 489, |r| {
                r.header(HeaderId::AllowEvents, allowed())
            });
        };
        let Some(kind) = package.choose(&req.message) else {
            tracing::info!(peer = %req.flow.peer, package = package.name, "SIP request refused: no body that it accepts");
            let types = package.types.join(", ");
            return self.respond(now, &req, 406, |r| r.header(HeaderId::Accept, types));
        };
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
        if let Named::Person(address) = target
            && let Some(found) = self.front.xcap.registry.find(address)
        {
            let writer = Writer::new(package, kind);
            return self.subscribe_to_list(now, req, caller, (address, found, writer), lease);
        }
        let (of, account) = match self.target(target, crate::hub::Want::Watch(&caller.address)) {
            Ok(found) => found,
            Err(error) => return self.fail(now, &req, &error, About::Subscription),
        };
        let mut writer = Writer::new(package, kind);
        writer.documents.asked(req.message.body());
        self.first(now, req, caller, (account.person, of, writer), lease);
    }

    /// A list (RFC 4662 4.1): only its owner may know who is on it; to others it is nobody.
    fn subscribe_to_list(
        &mut self,
        now: Millis,
        req: Req,
        caller: Caller,
        (address, found, mut writer): (&Address, Found, Writer),
        lease: Duration,
    ) {
        let packages = &found.packages;
        let serves = packages.is_empty() || packages.iter().any(|p| p == writer.package.name);
        if caller.person != Some(found.owner) || writer.package.name != "presence" || !serves {
            return self.fail(now, &req, &Error::UnknownUser, About::Subscription);
        }
        let knows = req
            .message
            .all(HeaderId::Supported)
            .filter_map(|value| std::str::from_utf8(value).ok())
            .flat_map(|value| value.split(','))
            .any(|token| token.trim().eq_ignore_ascii_case(EVENTLIST));
        if !knows {
            tracing::info!(peer = %req.flow.peer, list = %address, "SIP request refused: a list for a client without eventlist");
            return self.respond(now, &req, 421, |r| r.header(HeaderId::Require, EVENTLIST));
        }
        writer.list = Some(Box::new(Listed::new(address.clone(), lease)));
        self.first(
            now,
            req,
            caller,
            (found.owner, address.clone(), writer),
            lease,
        );
    }

    fn first(
        &mut self,
        now: Millis,
        req: Req,
        caller: Caller,
        (person, of, writer): (PersonId, Address, Writer),
        lease: Duration,
    ) {
        let contact = self.contact(req.flow);
        let tag = self.front.tag(&req.message);
        let end = now.saturating_add(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX));
        let mut notifier = match Notifier::accept(&req.message, &tag, &contact, end) {
            Ok(notifier) => notifier,
            Err(error) => return self.respond(now, &req, 400, |r| r.reason(error)),
        };
        // A client that repeats its first SUBSCRIBE has the same dialog still.
        if let Some(older) = self.same_dialog(&notifier) {
            notifier.follow(older);
        }
        let way = Way::of(req.flow, self.front.boot);
        let handle = save_watch(way, &notifier, &writer.saved_kind());
        if handle.len() > LONGEST {
            return self.respond(now, &req, 400, |r| r.reason("Dialog too large"));
        }
        let command = Command::Watch(Watch {
            topic: writer.topic(),
            stack: SIP,
            lease,
            via: Via::Direct,
            notify: true,
            key: Some(match &writer.list {
                Some(_) => format!("{} {of}", key(&req, &notifier, writer.package)).into(),
                None => key(&req, &notifier, writer.package).into(),
            }),
            handle,
        });
        let reply = self.wait(Pending::Subscribe(Box::new(Subscribing {
            req,
            person,
            of,
            caller: caller.clone(),
            notifier,
            way,
            writer,
        })));
        self.front.hub.send(person, caller, command, reply);
    }

    pub(in crate::front::sip) fn subscribed(
        &mut self,
        now: Millis,
        done: Subscribing,
        answer: Answer,
    ) {
        let (watch, lease) = match answer {
            Ok(Reply::Watching {
                watch: Some(watch),
                lease,
                ..
            }) => (watch, lease),
            Ok(_) => return self.respond(now, &done.req, 500, |r| r),
            Err(error) => return self.fail(now, &done.req, &error, About::Subscription),
        };
        self.accept(now, &done.req, lease, done.writer.list.is_some());
        // Events come by another queue than answers: the first may have been here already, and
        // its NOTIFY, and what waits behind it, must not be forgotten.
        let known = self
            .served
            .get(&watch)
            .is_some_and(|served| is_same(&served.notifier, &done.notifier));
        if known {
            return self.build_list(now, watch);
        }
        self.serve(
            watch,
            Served {
                notifier: done.notifier,
                way: done.way,
                person: done.person,
                of: done.of,
                caller: done.caller,
                writer: done.writer,
                latest: None,
            },
        );
        self.build_list(now, watch);
    }

    fn accept(&mut self, now: Millis, req: &Req, lease: Duration, list: bool) {
        let contact = self.contact(req.flow);
        self.respond(now, req, 200, |r| {
            let r = r.copy(HeaderId::RecordRoute);
            let r = if list {
                // RFC 4662 4.2.
                r.header(HeaderId::Require, EVENTLIST)
            } else {
                r
            };
            r.header(HeaderId::Expires, lease.as_secs())
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
        let (owner, asker) = (&served.caller, caller);
        if owner.person != asker.person || owner.person.is_none() && owner.address != asker.address
        {
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
        // RFC 6665 4.2.1.2: what follows a SUBSCRIBE is the full state.
        served.writer.anew();
        let handle = save_watch(served.way, &served.notifier, &served.writer.saved_kind());
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

    pub(in crate::front::sip) fn refreshed(
        &mut self,
        now: Millis,
        req: &Req,
        watch: WatchId,
        answer: Answer,
    ) {
        let served = self.served.get(&watch);
        let list = served.is_some_and(|served| served.writer.list.is_some());
        match answer {
            Ok(Reply::Watching { lease, .. }) => {
                self.accept(now, req, lease, list);
                self.renew_members(watch, lease);
            }
            Ok(_) => self.accept(now, req, Duration::ZERO, list),
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

    /// The subscription that has the same dialog and event already.
    fn same_dialog(&self, notifier: &Notifier) -> Option<&Notifier> {
        let dialog = notifier.dialog();
        let key = dialog_key(&dialog.call_id, &dialog.local_tag);
        let served = self.dialogs.get(&*key)?.iter();
        let mut served = served.filter_map(|watch| self.served.get(watch));
        let same = |served: &&Served| is_same(&served.notifier, notifier);
        served.find(same).map(|served| &served.notifier)
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
        self.front.notified.forget(watch);
        let Some(served) = self.served.remove(&watch) else {
            return;
        };
        self.end_members(&served);
        if let Some(keeper) = self.front.keeper(served.person, &served.caller.address) {
            // If it was somebody at a neighbour, nobody may need to know him any more.
            keeper.look((served.person, served.caller.address.clone()));
        }
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
    pub(in crate::front::sip) fn watch_restored(
        &mut self,
        (person, of, watcher): (PersonId, &Address, Address),
        watch: WatchId,
        handle: &[u8],
    ) {
        if self.served.contains_key(&watch) || is_member(handle) {
            return;
        }
        let restored = restore_watch(handle).and_then(|(way, notifier, kind)| {
            let package = package(&notifier.event().package)?;
            let of_list = Listed::of_kind(&kind);
            let name = of_list.as_ref().map_or(kind.as_str(), |(_, kind)| *kind);
            let kind = package.kind(name).or(package.types.first().copied())?;
            let mut writer = Writer::new(package, kind);
            if let Some((address, _)) = of_list {
                let left = notifier.expires_at().saturating_sub(self.front.now());
                let lease = Duration::from_millis(left);
                writer.list = Some(Box::new(Listed::new(address, lease)));
            }
            Some((way, notifier, writer))
        });
        let Some((way, notifier, writer)) = restored else {
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
                of: of.clone(),
                caller,
                writer,
                latest: None,
            },
        );
    }

    pub(super) fn watcher(&self, address: Address) -> Caller {
        let person = match self.front.hub.directory().resolve(&address) {
            crate::hub::Resolution::Local(account) => Some(account.person),
            _ => None,
        };
        let (scheme, route) = if self.front.places.is_ours(address.domain()) {
            (Scheme::Digest, Route::Point(SIP))
        } else {
            (Scheme::Peer, Route::Peer(SIP))
        };
        Caller {
            address,
            person,
            scheme,
            route,
        }
    }

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

    /// Our Via without parameters.
    pub(in crate::front::sip) fn via(&self, flow: Flow) -> String {
        let place = self.sent_by(flow);
        format!("SIP/2.0/{} {place}", flow.transport.via_token())
    }

    /// What a Via of ours says behind its place: over TLS, what we opened may be used both ways
    /// (RFC 5923 5).
    pub(in super::super) fn alias(&self, flow: Flow) -> &'static str {
        let wire = self.front.wire(flow);
        let ours = wire.is_some_and(|wire| self.front.sockets.is_ours(&wire));
        if ours { ";alias" } else { "" }
    }

    /// Our Contact on this flow.
    pub(in crate::front::sip) fn contact(&self, flow: Flow) -> String {
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

/// Octets of a body over a connection.
pub(super) const LARGEST: usize = 48 * 1024;
/// Octets of a datagram left to the head.
const HEAD: usize = 1_500;

/// RFC 4662.
const EVENTLIST: &str = "eventlist";

/// What makes two subscriptions of a watcher one: the device where it names itself (RFC 5626 4.1),
/// else the Call-ID, which a client that comes again takes along; the package and the id.
fn key(req: &Req, notifier: &Notifier, package: &Package) -> String {
    let id = notifier.event().id.as_deref().unwrap_or_default();
    let contact = req.message.contact().ok().flatten();
    let instance = contact.as_ref().and_then(sip::header::Contact::instance);
    match instance {
        Some(instance) => format!("device {instance} {} {id}", package.name),
        None => format!("call {} {} {id}", notifier.dialog().call_id, package.name),
    }
}

fn is_same(a: &Notifier, b: &Notifier) -> bool {
    let (one, other) = (a.dialog(), b.dialog());
    one.call_id == other.call_id
        && one.local_tag == other.local_tag
        && one.remote_tag == other.remote_tag
        && a.event() == b.event()
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

fn dialog_key(call_id: &str, tag: &str) -> Box<str> {
    format!("{call_id} {tag}").into()
}
