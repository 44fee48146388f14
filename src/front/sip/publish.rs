//! PUBLISH of presence (RFC 3903): publications, entity tags from id and version.

use super::place::Named;
use super::registrar::agent;
use super::request::{EVENTS, Known};
use super::shard::{Pending, Req, Shard};
use super::status::About;
use super::translate::{PIDF, read_pidf};
use crate::core::command::{Command, PointHint, Publish, Reply};
use crate::core::error::Error;
use crate::core::id::PublicationId;
use crate::core::presence::Presence;
use crate::front::SIP;
use crate::hub::Answer;
use sip::HeaderId;
use sip::flow::Millis;
use sip::subscription::TooBrief;
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
    State(Presence),
    /// Not PIDF: 415.
    Foreign,
    /// PIDF that can't be read: 400.
    Broken,
}

impl Shard {
    pub(super) fn publish(&mut self, now: Millis, req: Req, known: &Known, target: &Named) {
        let event = req.message.event().ok().flatten();
        if event.is_none_or(|event| event.package != "presence") {
            // RFC 3903 6 step 2.
            return self.respond(now, &req, 489, |r| r.header(HeaderId::AllowEvents, EVENTS));
        }
        let caller = known.granted.caller.clone();
        let (address, account) = match self.target(target, crate::hub::Want::Send) {
            Ok(found) => found,
            Err(error) => return self.fail(now, &req, &error, About::Publication),
        };
        if self.front.gate.bind(&caller, Some(&address)).is_err() {
            let error = Error::Denied("publish for another");
            return self.fail(now, &req, &error, About::Publication);
        }
        let tag = req.message.if_match().ok().flatten().map(str::to_owned);
        let target = tag.as_deref().map(read_tag);
        if target == Some(None) {
            // A tag that we never gave out.
            return self.fail(now, &req, &Error::StaleId, About::Publication);
        }
        let target = target.flatten();
        let asked = req.message.expires().unwrap_or(None);
        let lease = match self.front.settings.leases.grant(asked) {
            Ok(lease) => Duration::from_secs(u64::from(lease)),
            Err(TooBrief { min }) => {
                let error = Error::TooBrief(Duration::from_secs(u64::from(min)));
                return self.fail(now, &req, &error, About::Publication);
            }
        };
        let presence = match body(&req) {
            Body::State(presence) => Some(presence),
            Body::Absent => None,
            Body::Foreign => {
                return self.respond(now, &req, 415, |r| r.header(HeaderId::Accept, PIDF));
            }
            Body::Broken => return self.respond(now, &req, 400, |r| r.reason("Bad PIDF")),
        };
        let command = match (target, presence) {
            (Some((publication, version)), _) if lease.is_zero() => Command::Retract {
                publication,
                version: Some(version),
            },
            // RFC 3903 6 step 5: an initial publication needs a body.
            (None, None) => return self.respond(now, &req, 400, |r| r.reason("Missing body")),
            // Gone as soon as it is there: nothing to do.
            (None, Some(_)) if lease.is_zero() => {
                return self.respond(now, &req, 200, |r| {
                    r.header(HeaderId::SipEtag, "0-0")
                        .header(HeaderId::Expires, 0)
                });
            }
            (target, presence) => Command::Publish(Publish {
                stack: SIP,
                target: target.map(|(id, version)| (id, Some(version))),
                adopt: false,
                hint: PointHint {
                    inbox: self.front.inbox_on(req.flow, account.person),
                    source: Some(req.flow.peer.ip()),
                    client: Some(agent(&req.message).into()),
                },
                presence,
                lease: Some(lease),
            }),
        };
        let removed = lease.is_zero().then_some(tag).flatten();
        let reply = self.wait(Pending::Publish(Publishing { req, removed }));
        self.front.hub.send(account.person, caller, command, reply);
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

fn body(req: &Req) -> Body {
    let octets = req.message.body();
    if octets.is_empty() {
        return Body::Absent;
    }
    let media = req.message.content_type().ok().flatten();
    if !media.is_some_and(|media| media.is(PIDF)) {
        return Body::Foreign;
    }
    read_pidf(octets).map_or(Body::Broken, Body::State)
}
