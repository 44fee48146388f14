//! Requests to people of neighbouring domains: to the places of their server, one after the other
//! (RFC 3263 4.3).
//!
//! Whoever gets here has been let through by the stand-in of that person, as a message is: no
//! stand-in, no way (`[sip.peers]`, `outbound_domains`), so nobody is relayed to just anywhere.

use super::super::front::Front;
use super::super::locate::Located;
use super::super::neighbour::{Fault, Neighbours, Route, Server, uri_of, wire};
use super::super::shard::{Pending, Req, Shard};
use super::super::status::About;
use super::call::Forwarding;
use super::challenge::Beyond;
use super::targets::{ADDED, UDP_SAFE};
use super::{Journey, Plan};
use crate::core::address::Address;
use crate::core::error::{Error, Unreachable};
use sip::HeaderId;
use sip::flow::{Millis, Transport};
use sip::locate::{Hop, Target as Wanted};
use sip::proxy::{Cause, Target};
use std::collections::VecDeque;
use std::sync::Arc;

/// Places tried for one request at most: each may be silent for a while.
const PLACES: usize = 8;
/// What our own headers for a neighbour add at most: its mark, an identity.
const OURS: usize = 700;

/// The way to a person's server, while it is looked up.
pub(super) struct Search {
    route: Route,
    visit: Visit,
    left: VecDeque<Wanted>,
    found: Vec<Hop>,
    fault: Fault,
}

/// A request at a neighbour's server. Counts there until it has ended.
#[derive(Debug)]
pub(super) struct Visit {
    key: Arc<str>,
    server: Option<Arc<Server>>,
    /// The places in the order of the branches.
    places: Vec<Hop>,
}

impl Visit {
    /// What became of the request: of the server, and of each place that was tried.
    pub(super) fn ended(mut self, front: &Front, (status, cause): (u16, Cause), branches: usize) {
        let fault = match cause {
            Cause::Answered | Cause::RangTooLong | Cause::Cancelled => None,
            Cause::Unproved => Some(Fault::Denied),
            // RFC 4320: the time of a request other than INVITE ran out.
            Cause::Silence | Cause::Abandoned => Some(Fault::Late),
            Cause::Unreached => Some(Fault::Connect),
        };
        let tried = branches.min(self.places.len());
        for (at, place) in self.places.iter().take(tried).enumerate() {
            let last = at + 1 == tried;
            let worked = matches!(fault, None | Some(Fault::Denied));
            if last && worked {
                if cause != Cause::Cancelled {
                    front.locator.worked(place);
                }
            } else {
                tracing::info!(peer = %self.key, at = %place.address, status, ?cause, "place of a neighbour failed");
                front.locator.failed(place);
            }
        }
        if cause != Cause::Cancelled {
            self.settle(fault.map_or(Ok(()), Err));
        }
    }

    fn settle(&mut self, result: Result<(), Fault>) {
        if let Some(server) = self.server.take() {
            Neighbours::answered(&self.key, &server, result);
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            Neighbours::left(&server);
        }
    }
}

impl Shard {
    /// Towards a person at a neighbour: looks for his server.
    pub(super) fn abroad(
        &mut self,
        now: Millis,
        (req, plan, journey, callee): (Req, Plan, Journey, Address),
        route: Route,
    ) {
        let front = Arc::clone(&self.front);
        let server = match front.neighbours.enter(&route.key, 1) {
            Ok(server) => server,
            Err(fault) => return self.unreached(now, &req, &route.key, fault),
        };
        let mut left: VecDeque<Wanted> = route.targets.iter().cloned().collect();
        let first = left.pop_front();
        let visit = Visit {
            key: Arc::clone(&route.key),
            server: Some(server),
            places: Vec::new(),
        };
        let Some(first) = first else {
            return self.unreached(now, &req, &route.key, Fault::Nowhere);
        };
        let search = Search {
            route,
            visit,
            left,
            found: Vec::new(),
            fault: Fault::Nowhere,
        };
        let forwarding = Forwarding {
            req,
            plan,
            journey,
            callee,
            search: Some(Box::new(search)),
        };
        self.seek(forwarding, &first);
    }

    /// Asks for one target; until it is known the request waits as for its callee.
    fn seek(&mut self, forwarding: Forwarding, target: &Wanted) {
        let token = self.token();
        self.asking.insert(forwarding.req.tx, token);
        self.pending
            .insert(token, Pending::Forward(Box::new(forwarding)));
        let inbox = Arc::clone(&self.inbox);
        let done = Box::new(move |located| inbox.located(token, located));
        self.front.locator.find(target, done);
    }

    /// The places of a target are known. What was cancelled meanwhile is no more here.
    pub(in crate::front::sip) fn server_located(
        &mut self,
        now: Millis,
        token: u64,
        located: Located,
    ) {
        let Some(Pending::Forward(mut forwarding)) = self.pending.remove(&token) else {
            return;
        };
        self.asking.remove(&forwarding.req.tx);
        let Some(mut search) = forwarding.search.take() else {
            return;
        };
        match located {
            Located::Hops(hops) => search.found.extend(hops),
            Located::Nowhere => {}
            Located::Unknown => search.fault = Fault::Unknown,
        }
        if let Some(next) = search.left.pop_front() {
            forwarding.search = Some(search);
            return self.seek(*forwarding, &next);
        }
        self.set_out(now, *forwarding, *search);
    }

    /// To the places that were found.
    fn set_out(&mut self, now: Millis, forwarding: Forwarding, mut search: Search) {
        let Forwarding {
            req,
            plan,
            mut journey,
            callee,
            ..
        } = forwarding;
        let found = std::mem::take(&mut search.found);
        let nothing = found.is_empty();
        let (places, large) = self.places(&req, found);
        let mut targets = Vec::with_capacity(places.len());
        for place in places {
            if let Some(target) = self.target_there(&req, (&journey, &callee), &search, &place) {
                targets.push(target);
                search.visit.places.push(place);
            }
        }
        if !targets.is_empty() {
            let (peer, key) = (search.route.peer, Arc::clone(&search.route.key));
            journey.beyond = Some(Beyond::new(peer, key));
            journey.abroad = Some(search.visit);
            return self.pass_on(now, req, plan, targets, journey);
        }
        if large {
            return self.refuse(now, &req, 513, "too large for any way to that neighbour");
        }
        let fault = if nothing {
            search.fault
        } else {
            Fault::Connect
        };
        search.visit.settle(Err(fault));
        self.unreached(now, &req, &search.route.key, fault);
    }

    /// The places that this request may go to, large ones over streams first (RFC 3261 18.1.1),
    /// and whether any is too narrow for it.
    fn places(&self, req: &Req, found: Vec<Hop>) -> (Vec<Hop>, bool) {
        let length = req.message.as_bytes().len() + ADDED + OURS;
        let uri = req.message.uri().unwrap_or_default();
        let secure = uri
            .get(..5)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"sips:"));
        let mut large = false;
        let mut places = Vec::with_capacity(found.len());
        for place in found {
            // RFC 5630 4: sips stays on TLS.
            if secure && place.transport != Transport::Tls {
                continue;
            }
            if place.transport != Transport::Udp || length <= UDP_SAFE {
                places.push(place);
                continue;
            }
            if self.front.streams() {
                places.push(Hop {
                    transport: Transport::Tcp,
                    ..place.clone()
                });
            }
            if length <= self.front.settings.udp_max {
                places.push(place);
            } else {
                large = true;
            }
        }
        places.truncate(PLACES);
        (places, large)
    }

    fn target_there(
        &self,
        req: &Req,
        (journey, callee): (&Journey, &Address),
        search: &Search,
        place: &Hop,
    ) -> Option<Target> {
        let front = &self.front;
        let flow = self.flow_to(place)?;
        let mut lines = vec![(wire::MARK, front.neighbours.id.clone())];
        // RFC 3325 9.1: to those who believe us, and of our own people only.
        let speaker = journey
            .from
            .as_ref()
            .filter(|from| front.places.is_ours(from.domain()));
        if let Some(from) = speaker.filter(|_| front.neighbours.routes.asserts(search.route.peer)) {
            let name = HeaderId::PAssertedIdentity.name();
            lines.push((name, format!("<{}>", uri_of(from))));
        }
        let written = req.message.uri().unwrap_or_default();
        let uri = std::str::from_utf8(written).ok();
        Some(Target {
            uri: uri.map_or_else(|| uri_of(callee), str::to_owned),
            flow,
            routes: Vec::new(),
            q: 1000,
            via: format!("{}{}", self.via(flow), self.alias(flow)),
            record: self.records(req, flow, true),
            lines,
        })
    }

    /// No way leads there now: as if nobody were there, as for a message.
    fn unreached(&mut self, now: Millis, req: &Req, peer: &str, fault: Fault) {
        tracing::info!(peer, cause = %fault, "no way to a neighbour");
        let error = Error::NotReachable(Unreachable::DeliveryFailed);
        self.fail(now, req, &error, About::Person);
    }
}
