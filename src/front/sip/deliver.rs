//! Messages from the core to bindings: forwarded as they came if they came by SIP, else written
//! here (`decisions.md` 20).

use super::front::Front;
use super::handle::Binding;
use super::listen::Hop;
use super::shard::{Shard, Started, Texted};
use super::status::outcome;
use super::{content, identity};
use crate::core::address::Address;
use crate::core::command::{Command, Outcome, PointInfo, Refusal};
use crate::core::id::{MessageId, PersonId, PointId};
use crate::core::message::Message;
use crate::front::SIP;
use crate::hub::ReplyTo;
use bytes::Bytes;
use sip::body::{cpim, text};
use sip::build::{Request, escape_user, quote};
use sip::edit::Edit;
use sip::flow::{Flow, Millis};
use sip::header::{Host, MediaType, Uri};
use sip::raw::{Datagram, frame_datagram};
use sip::transaction::{Failure, Outgoing};
use sip::{HeaderId, Method, RawMessage};
use std::net::SocketAddr;
use std::sync::Arc;

/// Above this a datagram is at risk of being fragmented (RFC 3261 18.1.1).
const UDP_SAFE: usize = 1300;

impl Shard {
    pub(super) fn deliver(
        &mut self,
        now: Millis,
        person: PersonId,
        point: &PointInfo,
        message: &Arc<Message>,
        redelivered: bool,
    ) {
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
        let Some(mut flow) = self.front.way(&binding.way, &binding.contact) else {
            return report(&self.front, Outcome::Unreached);
        };
        if message.original.bytes.len() > UDP_SAFE
            && let Some(place) = stream_place(&binding, flow)
        {
            flow = Front::flow(&self.front.sockets.dial(&Hop::tcp(place)));
        }
        // The same for every repeat, also after a restart (`decisions.md` 19).
        let branch = format!("z9hG4bKm{:x}.{:x}", message.id.0, point.id.0);
        let via = format!("{};branch={branch};rport", self.via(flow));
        let bytes = if message.original.stack == SIP {
            self.forward(&binding, message, &via)
        } else {
            originate(&binding, message, point.id, &via)
        };
        let Some(bytes) = bytes else {
            return report(&self.front, Outcome::Refused(Refusal::Unsupported));
        };
        if !fits(&self.front, flow, bytes.len()) {
            return report(&self.front, Outcome::Refused(Refusal::TooLarge));
        }
        if redelivered {
            tracing::debug!(message = %message.id, point = point.id.0, "SIP message sent again");
        }
        let texted = Texted {
            person,
            address: message.to.clone(),
            message: message.id,
            point: point.id,
            again: (message.original.stack != SIP)
                .then(|| Box::new((Arc::clone(message), point.clone()))),
        };
        self.start_text(now, flow, &branch, bytes, texted);
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
    fn wrap_again(&mut self, now: Millis, texted: &Texted, refusal: &RawMessage) -> bool {
        let Some((message, point)) = texted.again.as_deref() else {
            return false;
        };
        if !takes(refusal, cpim::CONTENT_TYPE) || takes(refusal, text::CONTENT_TYPE) {
            return false;
        }
        let Some((binding, body)) =
            Binding::restore(&point.handle).zip(content::render_wrapped(message))
        else {
            return false;
        };
        let Some(flow) = self.front.way(&binding.way, &binding.contact) else {
            return false;
        };
        let branch = format!("z9hG4bKm{:x}.{:x}w", message.id.0, point.id.0);
        let via = format!("{};branch={branch};rport", self.via(flow));
        let bytes = write(&binding, message, point.id, &via, 2, body);
        if !fits(&self.front, flow, bytes.len()) {
            return false;
        }
        let texted = Texted {
            again: None,
            ..texted.clone()
        };
        self.start_text(now, flow, &branch, bytes, texted);
        true
    }

    /// The original with the target of the binding and our Via; identity and body untouched.
    fn forward(&self, binding: &Binding, message: &Message, via: &str) -> Option<Bytes> {
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
            .remove_all(HeaderId::Route)
            .remove_all(HeaderId::Authorization)
            .remove_all(HeaderId::ProxyAuthorization);
        identity::strip(&mut edit);
        if !original.has(HeaderId::ContentLength) {
            edit.set(HeaderId::ContentLength, original.body().len());
        }
        Some(edit.write())
    }

    /// What became of a text of ours.
    pub(super) fn text_ended(
        &mut self,
        now: Millis,
        texted: Texted,
        result: Result<(u16, RawMessage), Failure>,
    ) {
        let outcome = match result {
            Ok((415, refusal)) if self.wrap_again(now, &texted, &refusal) => return,
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

/// Whether a refusal names the type among those that it takes.
fn takes(refusal: &RawMessage, name: &str) -> bool {
    let mut ranges = refusal
        .values(HeaderId::Accept)
        .filter_map(|value| MediaType::parse(value).ok());
    ranges.any(|range| range.q() > 0 && range.covers(name))
}

/// Writes a message that was born elsewhere. `None`: SIP has no form for it.
fn originate(binding: &Binding, message: &Message, point: PointId, via: &str) -> Option<Bytes> {
    let body = content::render(message)?;
    Some(write(binding, message, point, via, 1, body))
}

fn write(
    binding: &Binding,
    message: &Message,
    point: PointId,
    via: &str,
    sequence: u32,
    (kind, body): (&str, Bytes),
) -> Bytes {
    let uri =
        |address: &Address| format!("sip:{}@{}", escape_user(address.local()), address.domain());
    let name = match &*message.from_name {
        "" => String::new(),
        name => format!("{} ", quote(name)),
    };
    let id = message.id;
    let request = Request::new(&Method::Message, &binding.contact)
        .header(HeaderId::Via, via)
        .header(HeaderId::MaxForwards, 70)
        .header(
            HeaderId::From,
            format_args!("{name}<{}>;tag={:x}", uri(&message.from), id.0 >> 64),
        )
        .header(HeaderId::To, format_args!("<{}>", uri(&message.to)))
        .header(
            HeaderId::CallId,
            format_args!("{id}-{:x}@{}", point.0, message.from.domain()),
        )
        .header(HeaderId::CSeq, format_args!("{sequence} MESSAGE"))
        .body(kind, body);
    request.finish()
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
fn stream_place(binding: &Binding, flow: Flow) -> Option<SocketAddr> {
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
fn fits(front: &Front, flow: Flow, octets: usize) -> bool {
    if flow.transport.is_reliable() || octets <= UDP_SAFE {
        return true;
    }
    let peer: SocketAddr = flow.peer;
    tracing::debug!(%peer, octets, "fragmented: SIP message over 1,300 octets on UDP");
    octets <= front.settings.udp_max
}
