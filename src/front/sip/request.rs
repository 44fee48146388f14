//! The order of checks (`decisions.md` 7): syntax, version, scheme, Max-Forwards, Require,
//! challenge, bind From, then the method's own file authorises and finds its target.

use super::front::Front;
use super::neighbour::Vouch;
use super::neighbour::wire::{Passed, passed};
use super::place::Named;
use super::shard::{Req, Shard};
use super::status::{About, status};
use super::translate;
use crate::core::address::Address;
use crate::core::error::Error;
use crate::core::time::Time;
use crate::front::SIP;
use crate::gate::{Attempt, Decision, Granted, Offer};
use sip::build::Response;
use sip::flow::{Flow, Millis, Transport};
use sip::raw::Refusal;
use sip::transaction::{Retention, reply_flow};
use sip::verdict::{Fault, FaultReason, Served, serve_verdict};
use sip::{HeaderId, Method, RawMessage};
use std::net::IpAddr;

/// Methods that get further than 405.
const METHODS: [Method; 6] = [
    Method::Register,
    Method::Message,
    Method::Subscribe,
    Method::Notify,
    Method::Publish,
    Method::Options,
];
/// For Allow. ACK and CANCEL are understood.
const ALLOW: &str = "REGISTER, MESSAGE, SUBSCRIBE, NOTIFY, PUBLISH, OPTIONS, ACK, CANCEL";
/// COMPAT(many): extensions that need nothing of us.
const EXTENSIONS: [&str; 2] = ["outbound", "path"];
/// For Supported.
pub(super) const SUPPORTED: &str = "outbound, path";

/// An authenticated request.
pub(super) struct Known {
    pub(super) granted: Granted,
    /// The sender's address as the client claims it; one of the caller's own.
    pub(super) from: Address,
}

impl Shard {
    /// A request from the wire: refused without state, or handed to the engine.
    pub(super) fn arrived(&mut self, now: Millis, flow: Flow, message: RawMessage) {
        let served = Served {
            methods: &METHODS,
            extensions: &EXTENSIONS,
        };
        if let Err(fault) = serve_verdict(&message, &served) {
            return self.refuse_stateless(flow, &message, &fault);
        }
        self.lend(flow, &message);
        if let Err(nameless) = self.engine.receive(now, flow, message) {
            let request = &nameless.0;
            tracing::info!(peer = %flow.peer, "SIP request without transaction: 400");
            let bytes = Response::to(request, 400)
                .received(flow.peer)
                .to_tag(self.front.tag(request))
                .finish();
            self.front.send(reply_flow(request, flow), bytes);
        }
    }

    /// RFC 5923 5: `alias` in the Via of somebody who has proved a name lends us its connection.
    fn lend(&self, flow: Flow, message: &RawMessage) {
        if flow.transport != Transport::Tls {
            return;
        }
        let Some(via) = message.top_via().ok() else {
            return;
        };
        if via.params.get("alias").is_some()
            && let Some(wire) = self.front.wire(flow)
        {
            let port = via.sent_by.port.unwrap_or(5061);
            self.front.sockets.lend(&wire, port);
        }
    }

    fn refuse_stateless(&self, flow: Flow, request: &RawMessage, fault: &Fault) {
        tracing::info!(peer = %flow.peer, status = fault.status, cause = %fault.reason, "SIP request refused");
        if request.method() == Some(&Method::Ack) {
            return;
        }
        let mut response = Response::to(request, fault.status)
            .received(flow.peer)
            .to_tag(self.front.tag(request));
        match fault.reason {
            FaultReason::MethodNotAllowed | FaultReason::MethodUnknown => {
                response = response.header(HeaderId::Allow, ALLOW);
            }
            FaultReason::Extension => {
                response = response.header(HeaderId::Unsupported, fault.unsupported.join(", "));
            }
            FaultReason::RequestUri | FaultReason::Header(_) => {
                response = response.reason(fault.reason);
            }
            FaultReason::Version | FaultReason::Scheme | FaultReason::Hops => {}
        }
        self.front
            .send(reply_flow(request, flow), response.finish());
    }

    /// Octets that are no message.
    pub(super) fn refused(&self, flow: Flow, refusal: &Refusal) {
        tracing::info!(peer = %flow.peer, cause = %refusal.kind, "SIP octets refused");
        if let Some(request) = refusal.salvage.as_deref() {
            self.answer_refused(flow, request, refusal);
        }
        // A WebSocket says where the next message starts.
        let framed = matches!(flow.transport, Transport::Ws | Transport::Wss);
        if let Some(wire) = self.front.wire(flow).filter(|_| !framed) {
            // Behind such octets no message can be found on a stream, answered or not.
            self.front.sockets.close(&wire);
        }
    }

    fn answer_refused(&self, flow: Flow, request: &RawMessage, refusal: &Refusal) {
        let answerable = request.is_request()
            && request.method() != Some(&Method::Ack)
            && request.has(HeaderId::Via)
            && request.has(HeaderId::CallId);
        if !answerable {
            return;
        }
        let bytes = Response::to(request, refusal.kind.status())
            .received(flow.peer)
            .to_tag(self.front.tag(request))
            .reason(refusal.kind)
            .finish();
        self.front.send(reply_flow(request, flow), bytes);
    }

    /// A new request, past the checks of form.
    pub(super) fn request(&mut self, now: Millis, req: Req) {
        let local = self.local(req.flow);
        let target = match req.message.request_uri() {
            Ok(uri) => self.front.places.named(&uri, local),
            Err(_) => return self.respond(now, &req, 400, |r| r),
        };
        let method = req.message.method().cloned();
        if method == Some(Method::Options) && target == Named::Server {
            return self.options(now, &req);
        }
        if passed(&req.message, &self.front.neighbours.id) == Passed::Circle {
            tracing::warn!(peer = %req.flow.peer, "a request goes round in circles");
            return self.respond(now, &req, 482, |r| r);
        }
        if method == Some(Method::Notify) {
            // Its proof is the dialog that only the two of us know (RFC 6665 4.1.3).
            return self.notified(now, &req);
        }
        if method == Some(Method::Publish) && self.is_line_report(&req, &target) {
            // A telephone system that is known by its address: it has no account.
            return self.publish(now, req, None, &target);
        }
        let Some(known) = self.identify(now, &req, local, &target) else {
            return;
        };
        match method {
            Some(Method::Register) => self.register(now, req, &known, local),
            Some(Method::Message) => self.message(now, req, known, &target),
            Some(Method::Publish) => self.publish(now, req, Some(&known), &target),
            Some(Method::Subscribe) => self.subscribe(now, req, &known, &target),
            _ => match self.target(&target, crate::hub::Want::Send) {
                Ok(_) => self.options(now, &req),
                Err(error) => self.fail(now, &req, &error, About::Person),
            },
        }
    }

    /// Who asks: somebody at a neighbour for whom his server speaks, or who proves himself. On
    /// `None` the answer is out.
    fn identify(&mut self, now: Millis, req: &Req, local: IpAddr, target: &Named) -> Option<Known> {
        let front = std::sync::Arc::clone(&self.front);
        let ends = (req.flow.peer.ip(), local);
        let tls = front.proved(req.flow);
        let known = match front
            .neighbours
            .vouch(&front, &req.message, ends, tls.as_deref())
        {
            Vouch::Stranger => return self.authenticate(now, req, local),
            Vouch::Neighbour(known) => known,
            Vouch::Full => {
                self.fail(now, req, &Error::Overloaded, About::Person);
                return None;
            }
            Vouch::Refused(cause) => {
                tracing::info!(peer = %req.flow.peer, cause, "SIP request of a neighbour refused");
                self.respond(now, req, 403, |r| r);
                return None;
            }
        };
        let ours = match target {
            Named::Person(address) => front.places.is_ours(address.domain()),
            Named::Server => true,
            Named::Nobody => false,
        };
        let method = req.message.method();
        let served = matches!(
            method,
            Some(Method::Message | Method::Subscribe | Method::Options)
        );
        if ours && served {
            return Some(*known);
        }
        // Nobody is a bridge between two other domains, and who is elsewhere registers there.
        let cause = if ours { "method" } else { "target" };
        tracing::info!(peer = %req.flow.peer, from = %known.from, cause, "SIP request of a neighbour refused");
        self.respond(now, req, 403, |r| r);
        None
    }

    /// RFC 3261 11.2.
    fn options(&mut self, now: Millis, req: &Req) {
        self.respond(now, req, 200, |r| {
            r.header(HeaderId::Allow, ALLOW)
                .header(HeaderId::Accept, translate::ACCEPT)
                .header(HeaderId::AllowEvents, super::event::allowed())
                .header(HeaderId::Supported, SUPPORTED)
        });
    }

    /// Our end of a flow.
    pub(super) fn local(&self, flow: Flow) -> IpAddr {
        let wire = self.front.wire(flow);
        wire.map_or(flow.peer.ip(), |wire| wire.local.ip())
    }

    /// Challenge, then binding of From. On `None` the answer is out.
    fn authenticate(&mut self, now: Millis, req: &Req, local: IpAddr) -> Option<Known> {
        let front = std::sync::Arc::clone(&self.front);
        let message = &req.message;
        let Ok(from) = message.from() else {
            self.respond(now, req, 400, |r| r);
            return None;
        };
        let claimed = front.places.named(&from.uri, local);
        let claimed_address = match &claimed {
            Named::Person(address) => Some(address),
            Named::Server | Named::Nobody => None,
        };
        let domain = claimed_address
            .map(Address::domain)
            .filter(|domain| front.places.is_ours(domain))
            .unwrap_or(front.places.default_domain());
        match check(&front, req, domain, claimed_address, now) {
            Decision::Granted(granted) => {
                let bound = match claimed_address {
                    Some(address) => front.gate.bind(&granted.caller, Some(address)),
                    None => Err(Error::Spoofed),
                };
                match bound {
                    Ok(from) => Some(Known { granted, from }),
                    Err(error) => {
                        self.fail(now, req, &error, About::Person);
                        None
                    }
                }
            }
            Decision::Challenge { values, .. } => {
                // COMPAT(libpurple): 407 for all but REGISTER.
                let (status, id) = if message.method() == Some(&Method::Register) {
                    (401, HeaderId::WwwAuthenticate)
                } else {
                    (407, HeaderId::ProxyAuthenticate)
                };
                self.respond_as(now, req, status, Retention::Stateless, |r| {
                    values.iter().fold(r, |r, value| r.header(id, value))
                });
                None
            }
            Decision::Refused(cause) => {
                let status = if cause.is_suspended() { 403 } else { 400 };
                self.respond(now, req, status, |r| r);
                None
            }
        }
    }

    /// The account a URI leads to.
    pub(super) fn target(
        &self,
        named: &Named,
        want: crate::hub::Want<'_>,
    ) -> Result<(Address, std::sync::Arc<crate::core::port::Account>), Error> {
        use crate::hub::Resolution;
        let Named::Person(address) = named else {
            return Err(Error::UnknownUser);
        };
        match self.front.hub.directory().reach(address, want) {
            Resolution::Local(account) => Ok((address.clone(), account)),
            Resolution::UnknownUser => Err(Error::UnknownUser),
            Resolution::Foreign => Err(Error::UnknownDomain),
        }
    }

    /// Answers with the status of an error and what goes with it.
    pub(super) fn fail(&mut self, now: Millis, req: &Req, error: &Error, about: About) {
        let status = status(error, about);
        let method = req.message.method().map_or("", Method::as_str);
        tracing::info!(peer = %req.flow.peer, method, status, cause = %error, "SIP request refused");
        self.respond(now, req, status, |r| match error {
            Error::TooBrief(least) => r.header(HeaderId::MinExpires, least.as_secs()),
            Error::Unsupported => r.header(HeaderId::Accept, translate::ACCEPT),
            Error::Overloaded | Error::Stopping => r.header(HeaderId::RetryAfter, 5),
            _ => r,
        });
    }
}

fn check(
    front: &Front,
    req: &Req,
    domain: &str,
    claimed: Option<&Address>,
    now: Millis,
) -> Decision {
    let message = &req.message;
    // COMPAT(several): credentials under the other name than the challenge had.
    let values: smallvec::SmallVec<[&str; 4]> = message
        .all(HeaderId::Authorization)
        .chain(message.all(HeaderId::ProxyAuthorization))
        .filter_map(|value| std::str::from_utf8(value).ok())
        .take(8)
        .collect();
    front.gate.check(&Attempt {
        values: &values,
        method: message.method().map_or("", Method::as_str),
        uri: message
            .uri()
            .and_then(|uri| std::str::from_utf8(uri).ok())
            .unwrap_or_default(),
        body: message.body(),
        peer: req.flow.peer.ip(),
        stack: SIP,
        domain,
        claimed,
        offer: offer(front, message),
        now: Time(now),
    })
}

/// What this client may be offered.
fn offer(front: &Front, message: &RawMessage) -> Offer {
    // COMPAT(baresip 1.0): one challenge with an algorithm that it does not know makes it give up,
    // wherever it stands; RFC 8760 2.1 only expects that clients skip it.
    // COMPAT(JsSIP 3): looks at the last challenge only, and knows MD5 alone.
    let agent = message.text(HeaderId::UserAgent).unwrap_or_default();
    let offer = front.settings.offer;
    let narrow = ["baresip v0.", "baresip v1.", "JsSIP "];
    if narrow.iter().any(|name| agent.starts_with(name)) && offer != Offer::Sha256 {
        return Offer::Md5;
    }
    offer
}
