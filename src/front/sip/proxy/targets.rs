//! Where a person's SIP clients are: each point with its own Contact and flow.

use super::super::deliver::{fits, stream_place};
use super::super::front::Front;
use super::super::handle::Binding;
use super::super::place::Named;
use super::super::shard::{Req, Shard};
use crate::core::command::PointInfo;
use crate::front::SIP;
use sip::flow::{Flow, Transport};
use sip::header::NameAddr;
use sip::proxy::{Ends, Target, records};
use sip::{HeaderId, Method};

/// What our headers add to a request at most: Via, Record-Route twice, Max-Breadth.
pub(super) const ADDED: usize = 480;
/// Above this a datagram is at risk of being fragmented (RFC 3261 18.1.1).
pub(super) const UDP_SAFE: usize = 1300;

/// What was found.
pub(super) enum Found {
    /// These.
    Targets(Vec<Target>),
    /// He is signed in, but with no client that speaks SIP.
    NoSip,
    /// No client of his can be reached, or only the one that asks.
    Nobody,
    /// Too large for the only ways there are (`decisions.md` 24).
    TooLarge,
}

impl Shard {
    pub(super) fn targets(&self, req: &Req, points: &[PointInfo]) -> Found {
        let sip: Vec<_> = points.iter().filter(|point| point.stack == SIP).collect();
        if sip.is_empty() && !points.is_empty() {
            return Found::NoSip;
        }
        let mut large = false;
        let mut targets = Vec::with_capacity(sip.len());
        for point in sip {
            let Some(binding) = Binding::restore(&point.handle) else {
                continue;
            };
            let Some(flow) = self.way_to(req, &binding) else {
                continue;
            };
            if !fits(&self.front, flow, req.message.as_bytes().len() + ADDED) {
                large = true;
                continue;
            }
            targets.push(self.target_at(req, &binding, flow, point.preference));
        }
        match (targets.is_empty(), large) {
            (false, _) => Found::Targets(targets),
            (true, true) => Found::TooLarge,
            (true, false) => Found::Nobody,
        }
    }

    fn way_to(&self, req: &Req, binding: &Binding) -> Option<Flow> {
        let flow = self.front.way(&binding.way, &binding.contact)?;
        // Nobody rings himself.
        if flow == req.flow {
            return None;
        }
        // RFC 5630 4: sips stays on TLS to the last hop.
        let uri = req.message.uri().unwrap_or_default();
        let secure = uri
            .get(..5)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"sips:"));
        if secure && !matches!(flow.transport, Transport::Tls | Transport::Wss) {
            return None;
        }
        let large = req.message.as_bytes().len() + ADDED > UDP_SAFE;
        match stream_place(binding, flow).filter(|_| large) {
            Some(place) => Some(Front::flow(
                &self
                    .front
                    .sockets
                    .dial(&super::super::listen::Hop::tcp(place)),
            )),
            None => Some(flow),
        }
    }

    fn target_at(&self, req: &Req, binding: &Binding, flow: Flow, q: u16) -> Target {
        Target {
            uri: binding.contact.clone(),
            flow,
            routes: binding.path.clone(),
            q,
            via: format!("{}{}", self.via(flow), self.alias(flow)),
            record: self.records(req, flow, false),
            lines: Vec::new(),
        }
    }

    /// Our Record-Route for a request that makes a dialog: twice where the two sides differ in
    /// transport, family or address (RFC 5658 5), so that each side finds its own on top.
    /// `abroad`: to a neighbour.
    pub(super) fn records(&self, req: &Req, flow: Flow, abroad: bool) -> Vec<String> {
        let message = &req.message;
        let method = message.method().unwrap_or(&Method::Invite);
        let within = message.to().is_ok_and(|to| to.tag().is_some());
        let from = message.from().ok();
        let tag = from.as_ref().and_then(NameAddr::tag);
        let caller = from
            .as_ref()
            .map(|from| self.front.places.named(&from.uri, self.local(req.flow)));
        let (true, false, Some(tag)) = (records(method), within, tag) else {
            return Vec::new();
        };
        let ends = Ends {
            caller: req.flow,
            callee: flow,
            boot: self.front.boot,
            // Bound by now: nobody of ours has such an address.
            caller_abroad: matches!(
                caller,
                Some(Named::Person(address)) if !self.front.places.is_ours(address.domain())
            ),
            callee_abroad: abroad,
        };
        let call_id = message.first(HeaderId::CallId).unwrap_or_default();
        let token = self.proxy.marks().token(&ends, call_id, tag.as_bytes());
        let secure = message.uri().is_some_and(|uri| uri.starts_with(b"sips:"));
        let scheme = if secure { "sips" } else { "sip" };
        let (out, back) = (
            self.record(&token, flow, scheme),
            self.record(&token, req.flow, scheme),
        );
        if out == back {
            vec![out]
        } else {
            vec![out, back]
        }
    }
}
