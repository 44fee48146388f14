//! SUBSCRIBE (RFC 6665 4.2.1) of all packages: what is asked, granted, refreshed. Subscriptions are
//! watches.

use super::list::Listed;
use super::serve::{Served, dialog_key};
use super::{Package, Writer, allowed, package};
use crate::core::address::Address;
use crate::core::command::{Caller, Command, Reply, Via, Watch};
use crate::core::error::Error;
use crate::core::id::{PersonId, WatchId};
use crate::front::SIP;
use crate::front::sip::handle::{Way, save_watch};
use crate::front::sip::place::Named;
use crate::front::sip::request::Known;
use crate::front::sip::shard::{Pending, Req, Shard};
use crate::front::sip::status::About;
use crate::front::sip::xcap::Found;
use crate::hub::Answer;
use sip::HeaderId;
use sip::dialog::DialogError;
use sip::flow::Millis;
use sip::subscription::{EventId, Notifier, TooBrief};
use std::time::Duration;

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
/// RFC 4662.
const EVENTLIST: &str = "eventlist";

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
            // A list is fetched from its resources: the owner's watch only says that he may.
            notify: !writer.list.as_ref().is_some_and(|list| list.is_fetch()),
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
        self.end_fetch(now, watch);
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
}

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
