//! Requests between people that are passed on: calls, and whatever else this server does not serve
//! itself (RFC 3261 16). What is decided and written here is the pure proxy's of the `sip` crate;
//! this part knows who may call whom, where people are, and the sockets.
//!
//! Two ways lead through us. A request to a person is challenged, its From bound, and the callee's
//! access list asked like for a message; then it goes to each of his SIP points. A request within a
//! dialog comes back by the Record-Route that we wrote into the first one: its token, which only we
//! can make and only the two parties have seen, is its pass, and names the one flow it may go to.
//! A person of a neighbouring domain has a
//! stand-in that is asked the same way; what he gets goes to the places of his server, one after
//! the other (`abroad`). Nothing else is passed on, so nobody can bounce traffic off this server.

mod abroad;
mod call;
mod challenge;
mod dialog;
mod on_phone;
mod quota;
mod talks;
mod targets;

pub(super) use call::Forwarding;
pub(super) use quota::{Quotas, Room};
pub(super) use talks::{Name, Talks};

use super::front::Front;
use super::listen;
use super::load::Ticket;
use super::shard::{Req, Shard};
use crate::core::address::Address;
use sip::flow::{Flow, Millis};
use sip::header::Uri;
use sip::proxy::{Ended, Marks, Plan, Proxy, Settings};
use sip::{HeaderId, Method, RawMessage};
use std::hash::{BuildHasher, RandomState};

/// Option tags that Proxy-Require may name.
const EXTENSIONS: [&str; 0] = [];

/// A request that is being passed on, for its log line. Holds its room under the limits.
#[derive(Debug)]
pub(super) struct Journey {
    method: Method,
    /// Who sent the first request; `None` within a dialog.
    from: Option<Address>,
    to: String,
    /// Whom the first request was for.
    callee: Option<Address>,
    call_id: String,
    flow: Flow,
    /// The places of the neighbour that it goes to.
    abroad: Option<abroad::Visit>,
    /// The neighbour whose challenges are not the caller's.
    beyond: Option<challenge::Beyond>,
    _room: Room,
    /// The request's own place under the bounds of its person and source.
    _ticket: Option<Ticket>,
}

impl Journey {
    /// Who calls, if this is a call to begin with.
    fn caller(&self) -> Option<&Address> {
        self.from.as_ref().filter(|_| self.method == Method::Invite)
    }

    fn of(req: &mut Req, from: Option<Address>, to: &str, room: Room) -> Self {
        Self {
            method: req.message.method().cloned().unwrap_or(Method::Invite),
            from,
            to: to.to_owned(),
            callee: None,
            call_id: req.message.call_id().unwrap_or_default().to_owned(),
            flow: req.flow,
            abroad: None,
            beyond: None,
            _room: room,
            _ticket: req.ticket.take(),
        }
    }
}

/// What a request is to this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Served here.
    Serve,
    /// Passed on, if anything becomes of it.
    Pass,
}

/// The proxy of one shard.
pub(super) fn proxy(front: &Front) -> Proxy<Journey> {
    // Calls outlive a restart, so the key does; branches must not come again, so the seed is new.
    let marks = Marks::new(
        front.gate.key("sip proxy 1"),
        RandomState::new().hash_one(0_u8),
    );
    let domains = front.hub.directory().domains();
    let realms = domains
        .iter()
        .map(|domain| front.gate.realm(domain).to_owned());
    let settings = Settings {
        branches: front.settings.bindings,
        ..Settings::default()
    };
    // RFC 3325 5: what a client asserts about itself nobody else may believe.
    let strip = vec![HeaderId::PAssertedIdentity, HeaderId::PPreferredIdentity];
    Proxy::new(settings, marks, realms.collect(), strip)
}

impl Shard {
    /// What a request is to us: decided from the request alone, before anybody is asked who he is.
    pub(super) fn role(&self, flow: Flow, message: &RawMessage, served: &[Method]) -> Role {
        let Some(method) = message.method() else {
            return Role::Serve;
        };
        if matches!(method, Method::Ack | Method::Cancel) {
            return Role::Serve;
        }
        if self.plan(flow, message).dialog.is_some() {
            return Role::Pass;
        }
        let here = *method != Method::Options && served.contains(method);
        let person = message.request_uri().is_ok_and(|uri| {
            let named = self.front.places.named(&uri, self.local(flow));
            matches!(named, super::place::Named::Person(_))
        });
        if person && !here {
            Role::Pass
        } else {
            Role::Serve
        }
    }

    /// Whether a request says that it is of a dialog that runs through us, and shows no pass. An ACK
    /// is never answered, and a CANCEL is of its INVITE.
    pub(super) fn is_stray(&self, flow: Flow, message: &RawMessage) -> bool {
        let asks = message
            .method()
            .is_some_and(|method| !matches!(method, Method::Ack | Method::Cancel));
        let within = || message.to().is_ok_and(|to| to.tag().is_some());
        asks && message.has(HeaderId::Route) && within() && self.plan(flow, message).stray
    }

    /// The checks of a request that is passed on (RFC 3261 16.3).
    pub(super) fn fit(&self, message: &RawMessage) -> Result<(), sip::verdict::Fault> {
        sip::verdict::verdict(message)?;
        sip::proxy::check(message, self.proxy.marks(), &EXTENSIONS)?;
        Ok(())
    }

    fn plan(&self, flow: Flow, message: &RawMessage) -> Plan {
        let wire = self.front.wire(flow);
        Plan::of(message, self.proxy.marks(), &|uri: &Uri<'_>| {
            wire.is_some_and(|wire| self.front.is_here(uri, &wire))
        })
    }

    /// Lets the proxy's time pass, and says what became of requests. When it is due next.
    pub(super) fn pass_time(&mut self, now: Millis) -> Option<Millis> {
        self.proxy.tick(now, &mut self.engine);
        self.tell_ended();
        self.proxy.wake_at()
    }

    /// One line for each request that got no success.
    pub(super) fn tell_ended(&mut self) {
        while let Some(ended) = self.proxy.poll() {
            let Ended {
                status,
                cause,
                branches,
                mut held,
            } = ended;
            if let Some(visit) = held.abroad.take() {
                visit.ended(&self.front, (status, cause), branches);
            }
            let from = held.from.as_ref().map(ToString::to_string);
            let from = from.as_deref().unwrap_or("within a dialog");
            let (method, to, call_id) = (held.method.as_str(), &held.to, &held.call_id);
            if (200..300).contains(&status) {
                tracing::debug!(peer = %held.flow.peer, method, from, to, call_id, status, branches, "SIP request passed on");
            } else {
                tracing::info!(peer = %held.flow.peer, method, from, to, call_id, status, branches, ?cause, "SIP request passed on without success");
            }
        }
    }

    /// Our Record-Route towards a flow: the token in it lets requests of the dialog through.
    fn record(&self, token: &str, flow: Flow, scheme: &str) -> String {
        use sip::flow::Transport as T;
        let via = self.via(flow);
        let place = via.rsplit(' ').next().unwrap_or_default();
        let transport = match flow.transport {
            T::Udp => "",
            T::Tcp => ";transport=tcp",
            T::Tls => ";transport=tls",
            T::Ws | T::Wss => ";transport=ws",
        };
        format!("<{scheme}:{token}@{place}{transport};lr>")
    }

    /// The INVITE that a CANCEL is for stops (RFC 3261 16.10).
    pub(super) fn cancelled(&mut self, now: Millis, tx: sip::transaction::TxId) {
        if self.proxy.cancel(now, &mut self.engine, tx) {
            return self.tell_ended();
        }
        if let Some(req) = self.withdraw(tx) {
            tracing::info!(peer = %req.flow.peer, status = 487, cause = "cancelled", "SIP request refused");
            self.respond(now, &req, 487, |r| r);
        }
    }

    /// It is time for a 100.
    pub(super) fn trying(&mut self, now: Millis, tx: sip::transaction::TxId) {
        if !self.proxy.trying(now, &mut self.engine, tx)
            && let Some(bytes) = self.waiting_for(tx).map(|req| {
                sip::build::Response::to(&req.message, 100)
                    .received(req.flow.peer)
                    .copy(HeaderId::Timestamp)
                    .finish()
            })
        {
            let keep = sip::transaction::Retention::Transaction;
            let _ = self.engine.respond(now, tx, 100, bytes, keep);
        }
    }
}

impl Front {
    /// Whether a Route value without a token means this server: a client's own outbound proxy.
    fn is_here(&self, uri: &Uri<'_>, wire: &listen::Flow) -> bool {
        let Some(place) = uri.host else {
            return false;
        };
        // Another server may run at another port of the same machine.
        let port = place.port.is_none_or(|port| {
            let udp = self.sockets.udp_addresses();
            port == wire.local.port() || udp.iter().any(|at| at.port() == port)
        });
        port && self
            .places
            .domain_of(&place.host, wire.local.ip())
            .is_some()
    }
}
