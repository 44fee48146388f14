//! Requests within a dialog that runs through us, and ACKs of its 2xx: by their token, to the one
//! flow it names (RFC 3261 16.4, 16.6, 16.11).

use super::super::handle::Way;
use super::super::shard::{Req, Shard};
use super::{Journey, Plan};
use sip::flow::{Flow, Millis, Transport};
use sip::header::NameAddr;
use sip::locate::{Hop, Place as Located, Target as Place};
use sip::proxy::{Ends, Order, Target, Toward, check};
use sip::{HeaderId, Method, RawMessage};

impl Shard {
    /// Passes on a request that a token lets through; any other comes back.
    pub(in crate::front::sip) fn within_dialog(
        &mut self,
        now: Millis,
        mut req: Req,
    ) -> Option<Req> {
        let plan = self.plan(req.flow, &req.message);
        let Some(dialog) = plan.dialog else {
            return Some(req);
        };
        if req.message.method() == Some(&Method::Bye) {
            self.call_ends(&req.message);
        }
        let Some(target) = self.target_within(&req.message, &plan, dialog) else {
            self.call_ends(&req.message);
            // RFC 5626 5.3.1: whoever it led to is not there any more.
            self.refuse(now, &req, 430, "the other side's connection is gone");
            return None;
        };
        let room = match self.front.quotas.take(None, req.flow.peer.ip()) {
            Ok(room) => room,
            Err(limit) => {
                self.crowded(now, &req, limit);
                return None;
            }
        };
        let mut journey = Journey::of(&mut req, None, &plan.uri, room);
        let (ends, toward) = dialog;
        if ends.is_abroad(toward) {
            journey.beyond = Some(self.beyond(ends.way(toward)));
        }
        self.pass_on(now, req, plan, vec![target], journey);
        None
    }

    /// An ACK that belongs to no failure of ours: of a 2xx if it has a token, else a stray.
    pub(in crate::front::sip) fn acknowledge(&mut self, flow: Flow, ack: &RawMessage) {
        let plan = self.plan(flow, ack);
        let fit = check(ack, self.proxy.marks(), &[]);
        let target = plan
            .dialog
            .filter(|_| fit.is_ok())
            .and_then(|dialog| self.target_within(ack, &plan, dialog));
        let Some(target) = target else {
            tracing::debug!(peer = %flow.peer, "an ACK that leads nowhere is dropped");
            return;
        };
        let bytes = self.proxy.acknowledge(ack, &plan, flow.peer, &target);
        self.front.send(target.flow, bytes);
    }

    fn target_within(
        &self,
        request: &RawMessage,
        plan: &Plan,
        (ends, toward): (Ends, Toward),
    ) -> Option<Target> {
        let way = Way::of(ends.way(toward), ends.boot);
        let flow = self.front.way(&way, &plan.uri);
        let flow = flow.or_else(|| self.way_again(request, plan, ends.way(toward)))?;
        Some(Target {
            uri: plan.uri.clone(),
            flow,
            routes: Vec::new(),
            q: 1000,
            via: self.via(flow),
            record: Vec::new(),
            lines: Vec::new(),
        })
    }

    /// The way to a server whose connection is gone: where its own Record-Route says that it
    /// listens (RFC 3261 16.6 step 7), on the machine that the dialog was made with.
    fn way_again(&self, request: &RawMessage, plan: &Plan, was: Flow) -> Option<Flow> {
        let mut routes = request.values(HeaderId::Route);
        let value = routes.nth(plan.popped).filter(|_| plan.onward > 0)?;
        let place = NameAddr::parse(value).ok()?;
        let (target, known) = (Place::of(&place.uri)?, was.peer.ip());
        let transport = target.transport.unwrap_or(Transport::Udp);
        let plain = matches!(transport, Transport::Udp | Transport::Tcp);
        if target.place != Located::Ip(known) || !plain || was.transport == Transport::Tls {
            // Who is behind TLS is known by name, and a name is looked up for new dialogs only.
            return None;
        }
        self.flow_to(&Hop {
            transport,
            address: (known, target.port.unwrap_or(5060)).into(),
            name: target.name,
        })
    }

    /// Hands a request to the proxy.
    pub(super) fn pass_on(
        &mut self,
        now: Millis,
        req: Req,
        plan: Plan,
        targets: Vec<Target>,
        held: Journey,
    ) {
        let flow = req.flow;
        let order = Order {
            tx: req.tx,
            tag: self.front.tag(&req.message),
            request: req.message,
            plan,
            source: flow.peer,
            targets,
            failover: held.abroad.is_some(),
            proves: held.beyond.is_some(),
            held,
        };
        let opened = self.proxy.open(now, &mut self.engine, order);
        if let Err((unfit, order)) = opened {
            let req = Req {
                tx: order.tx,
                flow,
                message: order.request,
                ticket: None,
            };
            self.refuse(now, &req, unfit.status(), "no Max-Breadth left");
        }
        self.drain(now);
    }

    /// A refusal of ours, with its cause for the log.
    pub(super) fn refuse(&mut self, now: Millis, req: &Req, status: u16, cause: &str) {
        let method = req.message.method().map_or("", Method::as_str);
        tracing::info!(peer = %req.flow.peer, method, status, cause, "SIP request refused");
        self.respond(now, req, status, |r| r);
    }

    /// Too much is under way for this person or address.
    pub(super) fn crowded(&mut self, now: Millis, req: &Req, limit: &str) {
        let method = req.message.method().map_or("", Method::as_str);
        tracing::info!(peer = %req.flow.peer, method, status = 503, limit, "SIP request refused: limit reached");
        self.respond(now, req, 503, |r| r.header(HeaderId::RetryAfter, 5));
    }
}
