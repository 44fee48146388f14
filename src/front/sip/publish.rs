//! PUBLISH (RFC 3903): publications, entity tags from id and version. Bodies are read whole before
//! anything is stored.

use super::event::{Package, allowed, dialog, package};
use super::front::Front;
use super::place::Named;
use super::registrar::agent;
use super::request::Known;
use super::shard::{Pending, Req, Shard};
use super::status::About;
use super::translate::meaning;
use crate::core::address::Address;
use crate::core::calls::Calls;
use crate::core::command::{Caller, Command, PointHint, Publish, Reply, Topic};
use crate::core::error::Error;
use crate::core::id::PublicationId;
use crate::core::port::Account;
use crate::core::presence::{Document, Presence};
use crate::front::SIP;
use crate::hub::{Answer, Want};
use sip::HeaderId;
use sip::body::BodyError;
use sip::body::compose::Published;
use sip::flow::Millis;
use sip::header::Uri;
use sip::subscription::{EventId, TooBrief};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A PUBLISH under way.
pub(super) struct Publishing {
    req: Req,
    /// The tag it removed, to be confirmed.
    removed: Option<String>,
}

/// What the body says.
enum Body {
    Absent,
    /// And whom it says it is about.
    Presence(Presence, Option<String>),
    Calls(Calls, String),
}

/// Why a PUBLISH goes no further.
enum Refused {
    Error(Error),
    /// With this status and words.
    Status(u16, String),
    /// 415.
    Foreign,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Shard {
    /// `known` is who authenticated; nobody did if it is a telephone system known by its address.
    pub(super) fn publish(&mut self, now: Millis, req: Req, known: Option<&Known>, target: &Named) {
        let event = EventId::of(&req.message);
        let found = event.as_ref().and_then(|event| package(&event.package));
        let found = found.filter(|package| package.published.is_some());
        let Some(package) = found else {
            // RFC 3903 6 step 2.
            tracing::info!(peer = %req.flow.peer, event = ?event, "SIP request refused: not published here");
            return self.respond(now, &req, 489, |r| {
                r.header(HeaderId::AllowEvents, allowed())
            });
        };
        match self.publication(&req, known, target, package) {
            Ok((account, caller, command, removed)) => {
                let Some(command) = command else {
                    // Gone as soon as it is there: nothing to do.
                    return self.respond(now, &req, 200, |r| {
                        r.header(HeaderId::SipEtag, "0-0")
                            .header(HeaderId::Expires, 0)
                    });
                };
                let reply = self.wait(Pending::Publish(Publishing { req, removed }));
                self.front.hub.send(account.person, caller, command, reply);
            }
            Err(Refused::Error(error)) => self.fail(now, &req, &error, About::Publication),
            Err(Refused::Foreign) => {
                tracing::info!(peer = %req.flow.peer, "SIP request refused: a body of another type");
                let takes = package.published.unwrap_or_default();
                self.respond(now, &req, 415, |r| r.header(HeaderId::Accept, takes));
            }
            Err(Refused::Status(status, why)) => {
                tracing::info!(peer = %req.flow.peer, status, cause = %why, "SIP request refused");
                self.respond(now, &req, status, |r| r.reason(why));
            }
        }
    }

    /// Whether a telephone system known by its address says what one of its lines does.
    pub(super) fn is_line_report(&self, req: &Req, target: &Named) -> bool {
        let dialog = || EventId::of(&req.message).is_some_and(|e| *e.package == *"dialog");
        let line = match target {
            Named::Person(address) => self.front.lines.owner(address.local()).is_some(),
            Named::Server | Named::Nobody => false,
        };
        line && self.front.lines.trusts(req.flow.peer.ip()) && dialog()
    }

    /// The command that a PUBLISH means; `None` if it means nothing. RFC 3903 6, steps 3 to 6.
    #[allow(clippy::type_complexity)] // used in one place
    fn publication(
        &self,
        req: &Req,
        known: Option<&Known>,
        target: &Named,
        package: &Package,
    ) -> Result<(Arc<Account>, Caller, Option<Command>, Option<String>), Refused> {
        let body = body(req, package, self.front.settings.publication)?;
        let line = self.line(target, package);
        let one = line.clone().map(Named::Person);
        let (address, account) = self.target(one.as_ref().unwrap_or(target), Want::Send)?;
        let caller = self.publisher(known, &address, &account, line.is_some())?;
        self.check_entity(req, &body, (&address, &account))?;
        let tag = req.message.if_match().ok().flatten().map(str::to_owned);
        let target = tag.as_deref().map(read_tag);
        if target == Some(None) {
            // A tag that we never gave out.
            return Err(Error::StaleId.into());
        }
        let target = target.flatten();
        let asked = req.message.expires().unwrap_or(None);
        let lease = match self.front.settings.leases.grant(asked) {
            Ok(lease) => Duration::from_secs(u64::from(lease)),
            Err(TooBrief { min }) => {
                let least = Duration::from_secs(u64::from(min));
                return Err(Error::TooBrief(least).into());
            }
        };
        let (presence, calls) = match body {
            Body::Absent => (None, None),
            Body::Presence(presence, _) => (Some(presence), None),
            Body::Calls(calls, _) => (None, Some(calls)),
        };
        let empty = presence.is_none() && calls.is_none();
        let command = match target {
            Some((publication, version)) if lease.is_zero() => Some(Command::Retract {
                publication,
                version: Some(version),
            }),
            // RFC 3903 6 step 5: an initial publication needs a body.
            None if empty => return Err(Refused::Status(400, "Missing body".to_owned())),
            None if lease.is_zero() => None,
            target => Some(Command::Publish(Publish {
                stack: SIP,
                target: target.map(|(id, version)| (id, Some(version))),
                adopt: false,
                hint: self.hint(req, known, account.person),
                key: Some(key(req, package).into()),
                presence,
                calls,
                lease: Some(lease),
            })),
        };
        let removed = lease.is_zero().then_some(tag).flatten();
        Ok((account, caller, command, removed))
    }

    /// The owner of the line whose calls are published, if it is a line.
    fn line(&self, target: &Named, package: &Package) -> Option<Address> {
        let Named::Person(address) = target else {
            return None;
        };
        let line = self.front.lines.owner(address.local());
        line.filter(|_| package.topic == Topic::Calls).cloned()
    }

    /// On whose behalf it is stored: the person himself, or a telephone system's for its lines.
    fn publisher(
        &self,
        known: Option<&Known>,
        address: &Address,
        account: &Account,
        line: bool,
    ) -> Result<Caller, Error> {
        let system = match known {
            None => true,
            Some(known) => self.front.lines.is_system(&known.granted.caller.address),
        };
        if system && line {
            return Ok(Front::internal(address.clone(), account.person));
        }
        let denied = Error::Denied("publish for another");
        let known = known.ok_or(denied.clone())?;
        let caller = &known.granted.caller;
        match self.front.gate.bind(caller, Some(address)) {
            Ok(_) => Ok(caller.clone()),
            Err(_) => Err(denied),
        }
    }

    /// What is published about one person must not say that it is about another.
    fn check_entity(
        &self,
        req: &Req,
        body: &Body,
        (address, account): (&Address, &Account),
    ) -> Result<(), Refused> {
        let entity = match body {
            Body::Presence(_, Some(entity)) | Body::Calls(_, entity) => entity,
            Body::Absent | Body::Presence(_, None) => return Ok(()),
        };
        // `pres:` and `sip:` name the same people (RFC 3859 3).
        let entity = entity.trim().replacen("pres:", "sip:", 1);
        let named = match Uri::parse(&entity) {
            Ok(uri) => self.front.places.named(&uri, self.local(req.flow)),
            // COMPAT(many): names that are no URI at all.
            Err(_) => return Ok(()),
        };
        let Named::Person(named) = named else {
            return Ok(());
        };
        let own = named == *address
            || named == account.address
            || account.aliases.contains(&named)
            || self.front.lines.owner(named.local()) == Some(&account.address);
        if own {
            return Ok(());
        }
        let why = format!("The body is about {named}, not {address}");
        Err(Refused::Status(400, why))
    }

    fn hint(
        &self,
        req: &Req,
        known: Option<&Known>,
        person: crate::core::id::PersonId,
    ) -> PointHint {
        let own = known.is_some_and(|known| known.granted.caller.person == Some(person));
        if !own {
            // A telephone system stands for no sign-in.
            return PointHint::default();
        }
        let source: Option<IpAddr> = Some(req.flow.peer.ip());
        PointHint {
            inbox: self.front.inbox_on(req.flow, person),
            source,
            client: Some(agent(&req.message).into()),
        }
    }

    pub(super) fn published(&mut self, now: Millis, publishing: &Publishing, answer: Answer) {
        let req = &publishing.req;
        match answer {
            Ok(Reply::Published {
                publication,
                version,
                lease,
            }) => {
                let tag = format!("{:x}-{version:x}", publication.0);
                let left = lease.unwrap_or_default().as_secs();
                self.respond(now, req, 200, |r| {
                    r.header(HeaderId::SipEtag, tag)
                        .header(HeaderId::Expires, left)
                });
            }
            Ok(_) => {
                let tag = publishing.removed.as_deref().unwrap_or("0-0");
                self.respond(now, req, 200, |r| {
                    r.header(HeaderId::SipEtag, tag)
                        .header(HeaderId::Expires, 0)
                });
            }
            Err(error) => self.fail(now, req, &error, About::Publication),
        }
    }
}

/// The publication and version of a tag of ours.
fn read_tag(tag: &str) -> Option<(PublicationId, u32)> {
    let (id, version) = tag.split_once('-')?;
    let number = |text: &str| u32::from_str_radix(text, 16).ok();
    Some((PublicationId(number(id)?), number(version)?))
}

/// What makes two publications one: the device where it names itself, else the Call-ID, which a
/// client that comes again takes along; and the package.
fn key(req: &Req, package: &Package) -> String {
    let contact = req.message.contact().ok().flatten();
    let instance = contact.as_ref().and_then(sip::header::Contact::instance);
    match instance {
        Some(instance) => format!("device {instance} {}", package.name),
        None => {
            let call_id = req.message.call_id().unwrap_or_default();
            format!("call {call_id} {}", package.name)
        }
    }
}

/// Reads the body, all of it, or says why not.
fn body(req: &Req, package: &Package, most: usize) -> Result<Body, Refused> {
    let octets = req.message.body();
    if octets.is_empty() {
        return Ok(Body::Absent);
    }
    let media = match req.message.content_type() {
        Ok(Some(media)) => media,
        // RFC 3261 20.15: a body without a type is malformed.
        Ok(None) => return Err(Refused::Status(400, "Missing Content-Type".to_owned())),
        Err(fault) => return Err(Refused::Status(400, fault.to_string())),
    };
    let takes = package.published.unwrap_or_default();
    let encoded = req.message.has(HeaderId::ContentEncoding);
    if !media.is(takes) || encoded {
        return Err(Refused::Foreign);
    }
    if octets.len() > most {
        return Err(Error::TooLarge.into());
    }
    let broken = |error: BodyError| Refused::Status(400, format!("Bad body: {error}"));
    if package.topic == Topic::Calls {
        let (calls, entity) = dialog::read(octets).map_err(broken)?;
        return Ok(Body::Calls(calls, entity));
    }
    let document = Published::parse(octets).map_err(broken)?;
    let presence = Presence {
        document: Some(Arc::new(Document {
            stack: SIP,
            media: takes.into(),
            bytes: bytes::Bytes::copy_from_slice(octets),
        })),
        ..meaning(&document)
    };
    Ok(Body::Presence(
        presence,
        document.entity().map(str::to_owned),
    ))
}
