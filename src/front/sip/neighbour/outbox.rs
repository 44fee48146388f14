//! What the core says to people at neighbours: messages to them, notifications to those who watch.

use super::errand::{Draft, Ending, bare};
use super::{Fault, Purpose, Route, wire};
use crate::core::address::Address;
use crate::core::command::{Outcome, PointInfo, Refusal};
use crate::core::id::PointId;
use crate::core::id::{MessageId, PersonId, WatchId};
use crate::core::message::Message;
use crate::front::sip::deliver::{as_it_came, originate, report};
use crate::front::sip::front::Front;
use crate::front::sip::handle::{Binding, Way};
use crate::front::sip::shard::Shard;
use crate::front::sip::status;
use bytes::Bytes;
use sip::HeaderId;
use sip::build::escape_user;
use sip::edit::Edit;
use sip::flow::{Flow, Millis, Transport};
use sip::header::Uri;
use sip::locate::Target;
use sip::raw::{Datagram, frame_datagram};
use std::net::IpAddr;
use std::sync::Arc;

impl Shard {
    /// A message for somebody at a neighbour.
    pub(in super::super) fn post(
        &mut self,
        now: Millis,
        person: PersonId,
        point: &PointInfo,
        to: &Address,
        message: &Arc<Message>,
    ) {
        let purpose = Purpose::Text {
            person,
            address: message.to.clone(),
            message: message.id,
            point: point.id,
        };
        let Some(route) = self.front.neighbours.routes.of(to.domain()) else {
            return self.posted(
                person,
                to.clone(),
                message.id,
                point.id,
                &Err(Fault::Nowhere),
            );
        };
        let request = if as_it_came(message) {
            forward(&self.front, message, to)
        } else {
            write(&self.front, message, point.id, to)
        };
        let Some(request) = request else {
            let outcome = Outcome::Refused(Refusal::Unsupported);
            let address = message.to.clone();
            return report(&self.front, person, address, message.id, point.id, outcome);
        };
        self.front.hub.rendered(message.id, point.id, &request);
        let draft = Draft {
            purpose,
            method: "MESSAGE",
            // What another domain's person says is not ours to assert.
            speaker: Some(message.speaker().clone())
                .filter(|from| self.front.places.is_ours(from.domain())),
            request: Some(request),
            target: None,
        };
        self.errand(now, &route, draft);
    }

    /// What became of a message.
    pub(super) fn posted(
        &mut self,
        person: PersonId,
        address: Address,
        message: MessageId,
        point: PointId,
        ending: &Ending,
    ) {
        let outcome = match ending {
            Ok((answer, _)) => outcome(Ok(*answer)),
            Err(fault) => outcome(Err(*fault)),
        };
        report(&self.front, person, address, message, point, outcome);
    }

    /// A NOTIFY to somebody at a neighbour, whose SUBSCRIBE came a way that is gone: to where he
    /// said (RFC 3261 12.2.1.1), as far as that is the neighbour's or was his own.
    pub(in super::super) fn notify_abroad(
        &mut self,
        now: Millis,
        watch: WatchId,
        (watcher, next_hop, source): (&Address, &str, IpAddr),
        request: &Bytes,
    ) {
        let route = self.front.neighbours.routes.of(watcher.domain());
        let Some(route) = route else {
            let failure = sip::transaction::Failure::Transport;
            return self.notify_ended(now, watch, Err(failure));
        };
        let named = Uri::parse(next_hop).ok().and_then(|uri| Target::of(&uri));
        let target = named.filter(|target| self.may_go(&route, target, source));
        let draft = Draft {
            purpose: Purpose::Notify(watch),
            method: "NOTIFY",
            speaker: None,
            request: Some(bare(request)),
            target,
        };
        self.errand(now, &route, draft);
    }

    fn may_go(&self, route: &Route, target: &Target, source: IpAddr) -> bool {
        let sip::locate::Place::Ip(ip) = target.place else {
            // A name is another's to define; the domain's own server is found by the domain.
            return false;
        };
        ip == source || self.front.neighbours.routes.is_place_of(route.peer, ip)
    }
}

/// The original as it came, for its next hop: identity and body untouched (`decisions.md` 20).
fn forward(front: &Front, message: &Message, to: &Address) -> Option<Bytes> {
    let limits = &front.settings.message;
    let Ok(Datagram::Message(original)) = frame_datagram(message.original.bytes.clone(), limits)
    else {
        return None;
    };
    let mut edit = Edit::new(&original);
    let uri = original.request_uri().ok();
    let named = uri.and_then(|uri| Address::new(uri.user?, uri.host_text()).ok());
    if named.as_ref() != Some(to) {
        edit.uri(uri_of(to));
    }
    let hops = original.max_forwards().ok().flatten().unwrap_or(70);
    edit.set(HeaderId::MaxForwards, hops.saturating_sub(1))
        // Routes led here; credentials were for us (RFC 3261 16.4, 22.3).
        .remove_all(HeaderId::Route)
        .remove_all(HeaderId::Authorization)
        .remove_all(HeaderId::ProxyAuthorization)
        // Who speaks is for us to say, and only to those who believe us (RFC 3325 9.2).
        .remove_all(HeaderId::PPreferredIdentity)
        .remove_all(HeaderId::PAssertedIdentity)
        .append(wire::MARK, &front.neighbours.id);
    if !original.has(HeaderId::ContentLength) {
        edit.set(HeaderId::ContentLength, original.body().len());
    }
    Some(edit.write())
}

/// A message that was born elsewhere, written as for a client of ours.
fn write(front: &Front, message: &Message, point: PointId, to: &Address) -> Option<Bytes> {
    let nowhere = Flow {
        transport: Transport::Udp,
        peer: ([0, 0, 0, 0], 0).into(),
        id: 0,
    };
    let binding = Binding::new(&uri_of(to), Way::of(nowhere, 0));
    let request = bare(&originate(
        &binding,
        message,
        point,
        "SIP/2.0/UDP x",
        false,
    )?);
    let limits = &front.settings.message;
    let Ok(Datagram::Message(written)) = frame_datagram(request, limits) else {
        return None;
    };
    let mut edit = Edit::new(&written);
    edit.set(HeaderId::MaxForwards, 70_u8.saturating_sub(message.hops))
        .append(wire::MARK, &front.neighbours.id);
    Some(edit.write())
}

/// The address of somebody at a neighbour.
pub(in super::super) fn uri_of(address: &Address) -> String {
    format!("sip:{}@{}", escape_user(address.local()), address.domain())
}

/// What a neighbour's answer to a message means. Its own trouble is not our user's: of that he is
/// told that the person can't be reached. No failure casts doubt on the way to a neighbour: the
/// breaker does that better (`decisions.md` 14 is about clients).
fn outcome(result: Result<u16, Fault>) -> Outcome {
    match result {
        Ok(401 | 407 | 408 | 482 | 483 | 500..=512 | 514..=599) => {
            Outcome::Refused(Refusal::Unavailable)
        }
        Ok(answer) => status::outcome(answer),
        Err(Fault::Full) => Outcome::QueueFull,
        Err(Fault::TooLarge) => Outcome::Refused(Refusal::TooLarge),
        Err(_) => Outcome::Refused(Refusal::Unavailable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decision_23_answers_of_neighbours() {
        let unavailable = Outcome::Refused(Refusal::Unavailable);
        for (result, want) in [
            (Ok(200), Outcome::Delivered),
            (Ok(202), Outcome::Delivered),
            (Ok(401), unavailable),
            (Ok(403), Outcome::Refused(Refusal::Denied)),
            (Ok(404), Outcome::Refused(Refusal::UnknownUser)),
            (Ok(407), unavailable),
            (Ok(413), Outcome::Refused(Refusal::TooLarge)),
            (Ok(415), Outcome::Refused(Refusal::Unsupported)),
            (Ok(480), unavailable),
            (Ok(482), unavailable),
            (Ok(500), unavailable),
            (Ok(503), unavailable),
            (Ok(513), Outcome::Refused(Refusal::TooLarge)),
            (Ok(604), Outcome::Refused(Refusal::UnknownUser)),
            (Err(Fault::Late), unavailable),
            (Err(Fault::Resting), unavailable),
            (Err(Fault::Denied), unavailable),
            (Err(Fault::Full), Outcome::QueueFull),
            (Err(Fault::TooLarge), Outcome::Refused(Refusal::TooLarge)),
        ] {
            assert_eq!(outcome(result), want, "{result:?}");
        }
    }
}
