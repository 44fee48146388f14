//! The order of checks (`decisions.md` 7): syntax, version, scheme, Max-Forwards, Require,
//! challenge, bind From, then the method's own file authorises and finds its target.

use super::content;
use super::front::Front;
use super::identity;
use super::load::{Full, Ticket};
use super::neighbour::Vouch;
use super::neighbour::wire::{Passed, passed};
use super::place::Named;
use super::proxy::Role;
use super::shard::{Req, Shard};
use super::status::{About, status};
use crate::core::address::Address;
use crate::core::error::Error;
use crate::core::time::Time;
use crate::front::SIP;
use crate::gate::{Attempt, Decision, Granted, Offer};
use sip::build::Response;
use sip::flow::{Flow, Millis, Transport};
use sip::raw::Refusal;
use sip::transaction::reply_flow;
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
        if self.is_stray(flow, &message) {
            return self.refuse_stray(now, flow, &message);
        }
        let served = Served {
            methods: &METHODS,
            extensions: &EXTENSIONS,
        };
        let fit = match self.role(flow, &message, &METHODS) {
            Role::Serve => serve_verdict(&message, &served),
            Role::Pass => self.fit(&message),
        };
        if let Err(fault) = fit {
            return self.refuse_stateless(now, flow, &message, &fault);
        }
        self.lend(flow, &message);
        if let Err(nameless) = self.engine.receive(now, flow, message) {
            let request = &nameless.0;
            tracing::info!(peer = %flow.peer, "SIP request without transaction: 400");
            let flows = (flow, reply_flow(request, flow));
            self.front.refuse(now, flows, request, 400, |r| r);
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

    /// A dialog that was never made here, or not so: nothing of it can be passed on.
    fn refuse_stray(&self, now: Millis, flow: Flow, request: &RawMessage) {
        let method = request.method().map_or("", Method::as_str);
        let call_id = request.call_id().unwrap_or_default();
        tracing::info!(
            peer = %flow.peer, method, call_id, status = 481,
            cause = "the token in its Route is not one of ours for that dialog", "SIP request refused"
        );
        let flows = (flow, reply_flow(request, flow));
        self.front.refuse(now, flows, request, 481, |r| r);
    }

    fn refuse_stateless(&self, now: Millis, flow: Flow, request: &RawMessage, fault: &Fault) {
        tracing::info!(peer = %flow.peer, status = fault.status, cause = %fault.reason, "SIP request refused");
        if request.method() == Some(&Method::Ack) {
            return;
        }
        let flows = (flow, reply_flow(request, flow));
        self.front
            .refuse(now, flows, request, fault.status, |response| {
                match fault.reason {
                    FaultReason::MethodNotAllowed | FaultReason::MethodUnknown => {
                        response.header(HeaderId::Allow, ALLOW)
                    }
                    FaultReason::Extension => {
                        response.header(HeaderId::Unsupported, fault.unsupported.join(", "))
                    }
                    FaultReason::RequestUri | FaultReason::Header(_) => {
                        response.reason(fault.reason)
                    }
                    FaultReason::Version
                    | FaultReason::Scheme
                    | FaultReason::Hops
                    | FaultReason::Loop => response,
                }
            });
    }

    /// Octets that are no message.
    pub(super) fn refused(&self, now: Millis, flow: Flow, refusal: &Refusal) {
        tracing::info!(peer = %flow.peer, cause = %refusal.kind, "SIP octets refused");
        if let Some(request) = refusal.salvage.as_deref() {
            self.answer_refused(now, flow, request, refusal);
        }
        // A WebSocket says where the next message starts.
        let framed = matches!(flow.transport, Transport::Ws | Transport::Wss);
        if let Some(wire) = self.front.wire(flow).filter(|_| !framed) {
            // Behind such octets no message can be found on a stream, answered or not.
            self.front.sockets.close(&wire);
        }
    }

    fn answer_refused(&self, now: Millis, flow: Flow, request: &RawMessage, refusal: &Refusal) {
        let answerable = request.is_request()
            && request.method() != Some(&Method::Ack)
            && request.has(HeaderId::Via)
            && request.has(HeaderId::CallId);
        if !answerable {
            return;
        }
        let flows = (flow, reply_flow(request, flow));
        let status = refusal.kind.status();
        self.front
            .refuse(now, flows, request, status, |r| r.reason(refusal.kind));
    }

    /// A new request, past the checks of form.
    pub(super) fn request(&mut self, now: Millis, req: Req) {
        let Some(mut req) = self.within_dialog(now, req) else {
            return;
        };
        let local = self.local(req.flow);
        let target = match req.message.request_uri() {
            Ok(uri) => self.front.places.named(&uri, local),
            Err(_) => return self.respond(now, &req, 400, |r| r),
        };
        let method = req.message.method().cloned();
        if method == Some(Method::Options) && target == Named::Server {
            let bare = self.response(&req, 200, |r| r.header(HeaderId::Allow, ALLOW));
            let forms = [self.response(&req, 200, capabilities), bare];
            return self.respond_unproven(now, &req, 200, forms);
        }
        if passed(&req.message, &self.front.neighbours.id) == Passed::Circle {
            tracing::warn!(peer = %req.flow.peer, "a request goes round in circles");
            return self.respond(now, &req, 482, |r| r);
        }
        if method == Some(Method::Notify) {
            // Its proof is the dialog that only the two of us know (RFC 6665 4.1.3).
            return self.upstream_told(now, &req);
        }
        if method == Some(Method::Publish) && self.is_line_report(&req, &target) {
            // A telephone system that is known by its address: it has no account.
            return self.publish(now, req, None, &target);
        }
        let Some(known) = self.identify(now, &req, local, &target) else {
            return;
        };
        match self.enter(&req, &known) {
            Ok(ticket) => req.ticket = ticket,
            Err(full) => {
                tracing::warn!(peer = %req.flow.peer, from = %known.from, cause = %full, "SIP request refused: 503");
                self.front.hub.stats().overloaded.add(1);
                return self.respond(now, &req, 503, |r| r.header(HeaderId::RetryAfter, 5));
            }
        }
        match method {
            Some(Method::Register) => self.register(now, req, &known, local),
            Some(Method::Message) => self.message(now, req, known, &target),
            Some(Method::Publish) => self.publish(now, req, Some(&known), &target),
            Some(Method::Subscribe) => self.subscribe(now, req, &known, &target),
            _ => self.call(now, req, known, &target),
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
        // Calls, too: the callee's access list decides.
        let served = !matches!(method, Some(Method::Register | Method::Publish));
        if ours && served {
            return Some(*known);
        }
        // Nobody is a bridge between two other domains, and who is elsewhere registers there.
        let cause = if ours { "method" } else { "target" };
        tracing::info!(peer = %req.flow.peer, from = %known.from, cause, "SIP request of a neighbour refused");
        self.respond(now, req, 403, |r| r);
        None
    }

    fn enter(&self, req: &Req, known: &Known) -> Result<Option<Ticket>, Full> {
        let Some(person) = known.granted.caller.person else {
            return Ok(None);
        };
        let load = &self.front.load;
        load.enter(person, req.flow.peer.ip()).map(Some)
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
                let bound = bound.and_then(|from| {
                    identity::bind_preferred(&front, &granted.caller, message, local)?;
                    Ok(from)
                });
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
                self.challenge(now, req, (status, id), &values);
                None
            }
            Decision::Refused(cause) => {
                let status = if cause.is_suspended() { 403 } else { 400 };
                let forms = [self.response(req, status, |r| r)];
                self.respond_unproven(now, req, status, forms);
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
            Error::Unsupported => r.header(HeaderId::Accept, content::ACCEPT),
            Error::Overloaded | Error::Stopping => r.header(HeaderId::RetryAfter, 5),
            _ => r,
        });
    }
}

/// RFC 3261 11.2.
pub(super) fn capabilities(response: Response<'_>) -> Response<'_> {
    response
        .header(HeaderId::Allow, ALLOW)
        .header(HeaderId::Accept, content::ACCEPT)
        .header(HeaderId::AllowEvents, super::event::allowed())
        .header(HeaderId::Supported, SUPPORTED)
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
    if narrow.iter().any(|name| agent.starts_with(name)) && offer.takes_md5() {
        return Offer::Md5;
    }
    offer
}
