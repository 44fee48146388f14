//! Messages from the core to bindings: forwarded as they came if they came by SIP, else written
//! here (`decisions.md` 20).

use super::front::Front;
use super::handle::Binding;
use super::listen::Hop;
use super::neighbour;
use super::shard::{Shard, Started, Texted};
use super::status::outcome;
use super::{content, identity};
use crate::core::address::Address;
use crate::core::command::{Command, Outcome, PointInfo, Refusal};
use crate::core::id::{Handle, MessageId, PersonId, PointId};
use crate::core::message::Message;
use crate::front::SIP;
use crate::hub::ReplyTo;
use bytes::Bytes;
use sip::body::{cpim, text};
use sip::build::{Request, escape_user, quote};
use sip::edit::Edit;
use sip::flow::{Flow, Millis};
use sip::header::{Date, Host, MediaType, Uri};
use sip::raw::{Datagram, frame_datagram};
use sip::transaction::{Failure, Outgoing};
use sip::{HeaderId, Method, RawMessage};
use std::net::SocketAddr;
use std::sync::Arc;

/// Above this a datagram is at risk of being fragmented (RFC 3261 18.1.1).
const UDP_SAFE: usize = 1300;

/// What it takes to send a text once more: over another flow, or in another form.
pub(super) struct Again {
    message: Arc<Message>,
    /// The point's own wire state.
    handle: Handle,
    inbox: Arc<str>,
    /// Kept while its recipient was away: it says when it was sent.
    away: bool,
    /// Points whose flows have been tried.
    tried: Vec<PointId>,
}

impl Shard {
    pub(super) fn deliver(
        &mut self,
        now: Millis,
        person: PersonId,
        point: &PointInfo,
        message: &Arc<Message>,
        (redelivered, away): (bool, bool),
    ) {
        if let Some(to) = neighbour::wire::read(&point.handle) {
            return self.post(now, person, point, &to, message);
        }
        let address = message.to.clone();
        let report = |front: &Front, outcome| {
            report(
                front,
                person,
                address.clone(),
                message.id,
                point.id,
                outcome,
            );
        };
        let Some(binding) = Binding::restore(&point.handle) else {
            return report(&self.front, Outcome::Gone);
        };
        let again = Again {
            message: Arc::clone(message),
            handle: Arc::clone(&point.handle),
            inbox: Arc::clone(&point.inbox),
            away,
            tried: vec![point.id],
        };
        let Some(flow) = self.front.way(&binding.way, &binding.contact) else {
            if self.another_way(now, person, point.id, again) {
                return;
            }
            return report(&self.front, Outcome::Unreached);
        };
        if redelivered {
            tracing::debug!(message = %message.id, point = point.id.0, "SIP message sent again");
        }
        if let Err(outcome) = self.send_text(now, (person, point.id), (&binding, flow), again) {
            report(&self.front, outcome);
        }
    }

    /// The next flow of the same client, when one has failed (RFC 5626 5.3): false if there is no
    /// other. To the core it is still the attempt on `point`.
    pub(super) fn another_way(
        &mut self,
        now: Millis,
        person: PersonId,
        point: PointId,
        mut again: Again,
    ) -> bool {
        let found = self.front.sibling(person, &again.inbox, &again.tried);
        let Some((other, binding, flow)) = found else {
            return false;
        };
        again.tried.push(other);
        tracing::debug!(message = %again.message.id, peer = %flow.peer, "SIP flow failed: another one of the same client");
        self.send_text(now, (person, point), (&binding, flow), again)
            .is_ok()
    }

    /// Sends a text on that flow; the outcome if it can't even be tried.
    fn send_text(
        &mut self,
        now: Millis,
        (person, point): (PersonId, PointId),
        (binding, mut flow): (&Binding, Flow),
        again: Again,
    ) -> Result<(), Outcome> {
        let message = Arc::clone(&again.message);
        if message.original.bytes.len() > UDP_SAFE
            && let Some(place) = stream_place(binding, flow)
        {
            flow = Front::flow(&self.front.sockets.dial(&Hop::tcp(place)));
        }
        // The same for every repeat, also after a restart (`decisions.md` 19).
        let way = again.tried.last().copied().unwrap_or(point);
        let branch = format!("z9hG4bKm{:x}.{:x}", message.id.0, way.0);
        let (via, alias) = (self.via(flow), self.alias(flow));
        let via = format!("{via}{alias};branch={branch};rport");
        let bytes = if as_it_came(&message) {
            self.forward(binding, &message, &via, again.away)
        } else {
            originate(binding, &message, point, &via, again.away)
        };
        let bytes = bytes.ok_or(Outcome::Refused(Refusal::Unsupported))?;
        if !fits(&self.front, flow, bytes.len()) {
            return Err(Outcome::Refused(Refusal::TooLarge));
        }
        self.front.hub.rendered(message.id, point, &bytes);
        let texted = Texted {
            person,
            address: message.to.clone(),
            message: message.id,
            point,
            again: Some(Box::new(again)),
        };
        self.start_text(now, flow, &branch, bytes, texted);
        Ok(())
    }

    fn start_text(&mut self, now: Millis, flow: Flow, branch: &str, bytes: Bytes, texted: Texted) {
        let token = self.token();
        self.started.insert(token, Started::Text(texted));
        let request = Outgoing {
            method: b"MESSAGE",
            branch: branch.as_bytes(),
            flow,
            bytes,
            token,
        };
        self.engine.start(now, request);
        self.drain(now);
    }

    /// A client that takes nothing but wrapped messages is sent it wrapped (RFC 3862, RFC 3261
    /// 21.4.13). Nothing of the text was shown, so this is no double. False: that is no way out.
    fn wrap_again(&mut self, now: Millis, texted: &mut Texted, refusal: &RawMessage) -> bool {
        let Some(again) = texted.again.take() else {
            return false;
        };
        let message = &again.message;
        if as_it_came(message)
            || !takes(refusal, cpim::CONTENT_TYPE)
            || takes(refusal, text::CONTENT_TYPE)
        {
            return false;
        }
        let Some((binding, body)) =
            Binding::restore(&again.handle).zip(content::render_wrapped(message))
        else {
            return false;
        };
        let Some(flow) = self.front.way(&binding.way, &binding.contact) else {
            return false;
        };
        let branch = format!("z9hG4bKm{:x}.{:x}w", message.id.0, texted.point.0);
        let (via, alias) = (self.via(flow), self.alias(flow));
        let via = format!("{via}{alias};branch={branch};rport");
        let sequence = (2, again.away);
        let bytes = write(&binding, message, texted.point, &via, sequence, body);
        if !fits(&self.front, flow, bytes.len()) {
            return false;
        }
        self.front.hub.rendered(message.id, texted.point, &bytes);
        let texted = Texted {
            address: texted.address.clone(),
            again: None,
            ..*texted
        };
        self.start_text(now, flow, &branch, bytes, texted);
        true
    }

    /// The original with the target of the binding and our Via; identity and body untouched.
    fn forward(
        &self,
        binding: &Binding,
        message: &Message,
        via: &str,
        away: bool,
    ) -> Option<Bytes> {
        let limits = &self.front.settings.message;
        let Ok(Datagram::Message(original)) =
            frame_datagram(message.original.bytes.clone(), limits)
        else {
            return None;
        };
        let mut edit = Edit::new(&original);
        let hops = original.max_forwards().ok().flatten().unwrap_or(70);
        edit.uri(&binding.contact)
            .insert_before(HeaderId::Via, via)
            .set(HeaderId::MaxForwards, hops.saturating_sub(1))
            // Routes led here; credentials were for us (RFC 3261 16.4, 22.3).
            .remove_all(HeaderId::Authorization)
            .remove_all(HeaderId::ProxyAuthorization);
        match binding.route() {
            Some(route) => edit.set(HeaderId::Route, route),
            None => edit.remove_all(HeaderId::Route),
        };
        identity::strip(&mut edit);
        if away && !original.has(HeaderId::Date) {
            edit.set(HeaderId::Date, sent_at(message));
        }
        if !original.has(HeaderId::ContentLength) {
            edit.set(HeaderId::ContentLength, original.body().len());
        }
        Some(edit.write())
    }

    /// What became of a text of ours.
    pub(super) fn text_ended(
        &mut self,
        now: Millis,
        mut texted: Texted,
        result: Result<(u16, RawMessage), Failure>,
    ) {
        let failed = matches!(result, Err(Failure::Transport) | Ok((430, _)));
        if failed && let Some(again) = texted.again.take() {
            let Texted { person, point, .. } = texted;
            if self.another_way(now, person, point, *again) {
                return;
            }
        }
        let outcome = match result {
            Ok((415, refusal)) if self.wrap_again(now, &mut texted, &refusal) => return,
            Ok((status, _)) => outcome(status),
            // Octets may have left us: it could be a double if it was tried again.
            Err(Failure::Timeout | Failure::Transport) => Outcome::Failed,
        };
        let Texted {
            person,
            address,
            message,
            point,
            ..
        } = texted;
        report(&self.front, person, address, message, point, outcome);
    }
}

/// Whether the original request is passed on (`decisions.md` 20): not in a conversation of many,
/// where another address speaks.
pub(super) fn as_it_came(message: &Message) -> bool {
    message.original.is_of(SIP) && message.chat.is_none()
}

/// Whether a refusal names the type among those that it takes.
fn takes(refusal: &RawMessage, name: &str) -> bool {
    let mut ranges = refusal
        .values(HeaderId::Accept)
        .filter_map(|value| MediaType::parse(value).ok());
    ranges.any(|range| range.q() > 0 && range.covers(name))
}

/// Writes a message that was born elsewhere. `None`: SIP has no form for it.
pub(super) fn originate(
    binding: &Binding,
    message: &Message,
    point: PointId,
    via: &str,
    away: bool,
) -> Option<Bytes> {
    let body = content::render(message)?;
    Some(write(binding, message, point, via, (1, away), body))
}

fn write(
    binding: &Binding,
    message: &Message,
    point: PointId,
    via: &str,
    (sequence, away): (u32, bool),
    (kind, body): (&str, Bytes),
) -> Bytes {
    let uri =
        |address: &Address| format!("sip:{}@{}", escape_user(address.local()), address.domain());
    let name = match &*message.from_name {
        // In a conversation of many the chat address speaks.
        _ if message.chat.is_some() => String::new(),
        "" => String::new(),
        name => format!("{} ", quote(name)),
    };
    let id = message.id;
    let request = Request::new(&Method::Message, &binding.contact)
        .header(HeaderId::Via, via)
        .header(HeaderId::MaxForwards, 70);
    let request = match binding.route() {
        Some(route) => request.header(HeaderId::Route, route),
        None => request,
    };
    let request = request
        .header(
            HeaderId::From,
            format_args!("{name}<{}>;tag={:x}", uri(message.speaker()), id.0 >> 64),
        )
        .header(HeaderId::To, format_args!("<{}>", uri(&message.to)))
        .header(
            HeaderId::CallId,
            format_args!("{id}-{:x}@{}", point.0, message.from.domain()),
        )
        .header(HeaderId::CSeq, format_args!("{sequence} MESSAGE"));
    let request = if away {
        request.header(HeaderId::Date, sent_at(message))
    } else {
        request
    };
    let request = request.body(kind, body);
    request.finish()
}

/// When it was accepted (RFC 3261 20.17).
fn sent_at(message: &Message) -> Date {
    Date(message.at.0 / 1000)
}

/// Tells the core, once per attempt.
pub(super) fn report(
    front: &Front,
    person: PersonId,
    address: Address,
    message: MessageId,
    point: PointId,
    outcome: Outcome,
) {
    let command = Command::Outcome {
        message,
        point,
        outcome,
    };
    let caller = Front::internal(address, person);
    front.hub.send(person, caller, command, ReplyTo::Nobody);
}

/// Where a client that registered over UDP takes connections, by its own Contact, if that is the
/// address it registered from: nothing else is ever dialled.
pub(super) fn stream_place(binding: &Binding, flow: Flow) -> Option<SocketAddr> {
    let uri = Uri::parse(&binding.contact).ok()?;
    let tcp = uri
        .param("transport")
        .flatten()?
        .eq_ignore_ascii_case("tcp");
    let Host::Ip(ip) = uri.host?.host else {
        return None;
    };
    let same = ip.to_canonical() == flow.peer.ip();
    (tcp && same && !flow.transport.is_reliable())
        .then(|| SocketAddr::new(flow.peer.ip(), uri.port().unwrap_or(5060)))
}

/// `decisions.md` 24: large ones go fragmented over UDP, up to a bound.
pub(super) fn fits(front: &Front, flow: Flow, octets: usize) -> bool {
    if flow.transport.is_reliable() || octets <= UDP_SAFE {
        return true;
    }
    let peer: SocketAddr = flow.peer;
    tracing::debug!(%peer, octets, "fragmented: SIP message over 1,300 octets on UDP");
    octets <= front.settings.udp_max
}
