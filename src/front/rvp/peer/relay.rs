//! The router: refers clients inside to the home of a person, carries the requests of all others
//! (`rvp.md` 1, `migration-practice.md` 1.1).

use super::exchange::{Fault, Got, Outgoing};
use super::{Peers, Route};
use crate::config::Role;
use crate::core::address::Address;
use crate::core::command::Caller;
use crate::front::rvp::app::{Refused, Reply};
use crate::front::rvp::listen::{Arrived, Ends, Payload};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use rvp::request::{Action, Request};
use rvp::{Host, Status};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// Our mark on requests that we carry: which servers they have passed, and for whom.
const MARK: &str = "rvp-relay";
/// Servers in one mark.
const SERVERS: usize = 10;
/// Headers that a carried request keeps.
const KEPT: [&str; 8] = [
    "rvp-notifications-version",
    "call-back",
    "notification-type",
    "subscription-lifetime",
    "subscription-id",
    "rvp-ack-type",
    "depth",
    "accept",
];
/// Headers of an answer that the asker gets.
const BACK: [&str; 2] = ["subscription-id", "subscription-lifetime"];

/// What a mark says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Mark {
    /// The client's address.
    pub(in super::super) client: Option<IpAddr>,
    passed: Vec<String>,
}

impl Mark {
    /// Reads it; an odd one says nothing.
    fn read(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(MARK)?.to_str().ok()?;
        let mut mark = Self::default();
        for part in text.split(';').map(str::trim) {
            match part.split_once('=') {
                Some(("for", ip)) => mark.client = ip.parse().ok(),
                Some(("via", ids)) => {
                    let ids = ids.split(',').take(SERVERS + 1);
                    mark.passed = ids.map(|id| id.trim().to_owned()).collect();
                }
                _ => {}
            }
        }
        Some(mark)
    }
}

/// A name for this process that tells nothing.
pub(super) fn own_id() -> String {
    let mut octets = [0u8; 8];
    let _ = getrandom::fill(&mut octets);
    format!("{:016x}", u64::from_be_bytes(octets))
}

/// What to do with a request for somebody who is held elsewhere.
pub(in super::super) enum Lead {
    /// Answer it here, for the stand-in.
    StandIn,
    /// Say where he is.
    Refer(String),
    /// Carry it there.
    Carry,
    /// Neither is ours to do.
    Nobody,
}

impl Peers {
    /// The mark of a request, if it comes from a server that may have set it.
    pub(in super::super) fn mark(&self, arrived: &Arrived) -> Option<Mark> {
        if !self
            .routes
            .is_peer(arrived.ends.peer.ip(), arrived.channel.shown())
        {
            return None;
        }
        Mark::read(&arrived.headers)
    }

    /// A request that has been here before goes round in circles, whoever says so.
    pub(in super::super) fn is_loop(&self, arrived: &Arrived) -> bool {
        let mark = Mark::read(&arrived.headers).unwrap_or_default();
        mark.passed.len() >= SERVERS || mark.passed.contains(&self.id)
    }

    /// What to do with a request about somebody held elsewhere.
    pub(in super::super) fn lead(
        &self,
        request: &Request,
        caller: &Caller,
        address: &Address,
        source: SocketAddr,
        mark: Option<&Mark>,
    ) -> Lead {
        let Some(route) = self.route(address) else {
            return Lead::Nobody;
        };
        let is_peer = matches!(caller.route, crate::core::command::Route::Peer(_));
        // Nobody is a bridge between two others. What is asked of the person's own server it
        // answers itself.
        let at_others = match (is_peer, &request.action) {
            (true, _) => Lead::Nobody,
            (_, Action::Propfind | Action::Subscriptions(_) | Action::Acl) => Lead::Carry,
            _ => Lead::StandIn,
        };
        let Some(home) = &route.home else {
            return at_others;
        };
        match self.routes.role(address.domain()) {
            Role::Home => at_others,
            Role::Router | Role::Both => {
                let inside = |net: &crate::config::Network| net.contains(source.ip());
                if mark.is_none() && self.inside.iter().any(inside) {
                    let logical = super::Authority::parse(&route.host);
                    let node = logical.map_or_else(
                        |_| request.node.clone(),
                        |host| request.node.with_authority(host),
                    );
                    return Lead::Refer(node.at_home(home.clone()).to_string());
                }
                Lead::Carry
            }
        }
    }

    /// The answer that refers to a home server.
    pub(in super::super) fn referred(location: &str) -> Result<Reply, Refused> {
        let location = HeaderValue::from_str(location)
            .map_err(|_| Refused::new(Status::NotFound, "no such node"))?;
        let mut reply = Reply::empty();
        reply.status = Status::ObjectMoved;
        reply.headers.push((LOCATION, location));
        Ok(reply)
    }

    /// Carries a request to where its node is held: sender kept, body octet for octet, and what
    /// comes back is told as ours, except what concerns us alone.
    pub(in super::super) async fn carry(
        &self,
        arrived: &Arrived,
        request: &Request,
        caller: &Caller,
        address: &Address,
        ends: Ends,
    ) -> Result<Reply, Refused> {
        let route = self
            .route(address)
            .ok_or_else(|| Refused::new(Status::NotFound, "no such node"))?;
        let headers = self.carried(arrived, request, caller, ends, &route)?;
        let Payload::Whole(body) = &arrived.body else {
            return Err(Refused::new(Status::TooLarge, "body too large"));
        };
        let host = super::Authority::parse(&route.host)
            .map_err(|_| Refused::new(Status::NotFound, "no such node"))?;
        let mut node = request.node.with_authority(host);
        node.home = None;
        let wanted = Outgoing {
            method: arrived.method.clone(),
            node,
            headers,
            body: body.clone(),
        };
        let lane = address.to_string();
        match self.links.ask(&route, &lane, wanted).await {
            Ok(got) => answered(&route, &got),
            Err(fault) => Err(quiet(
                unavailable(&fault),
                format!("{}: {fault}", route.key),
            )),
        }
    }

    fn carried(
        &self,
        arrived: &Arrived,
        request: &Request,
        caller: &Caller,
        ends: Ends,
        route: &Route,
    ) -> Result<HeaderMap, Refused> {
        let mut headers = HeaderMap::with_capacity(16);
        for name in KEPT {
            if let Some(value) = arrived.headers.get(name) {
                headers.insert(HeaderName::from_static(name), value.clone());
            }
        }
        for name in [CONTENT_TYPE, USER_AGENT] {
            if let Some(value) = arrived.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        let from = self.sender_claim(request, caller);
        let bad = |_| Refused::new(Status::BadRequest, "this can't be passed on");
        let from = HeaderValue::from_str(&from).map_err(bad)?;
        headers.insert(HeaderName::from_static("rvp-from-principal"), from);
        if let Action::Notify(notify) = &request.action {
            let hops = notify.hops.max(1).saturating_add(1);
            let most = self.max_hops(caller);
            if hops > most {
                let cause = format!("{hops} hops, {most} are allowed");
                return Err(Refused::new(Status::PreconditionFailed, cause));
            }
            headers.insert(HeaderName::from_static("rvp-hop-count"), hops.into());
        }
        // Only servers of our own domain may know where the client is.
        let mut mark = String::new();
        if route.home.is_some() {
            let _ = write!(mark, "for={}; ", ends.peer.ip());
        }
        let passed = Mark::read(&arrived.headers).unwrap_or_default().passed;
        mark.push_str("via=");
        for id in &passed {
            let _ = write!(mark, "{id},");
        }
        mark.push_str(&self.id);
        let mark = HeaderValue::from_str(&mark).map_err(bad)?;
        headers.insert(HeaderName::from_static(MARK), mark);
        Ok(headers)
    }

    /// The sender as it was written, unless only we could understand that.
    fn sender_claim(&self, request: &Request, caller: &Caller) -> String {
        let written = request.from.as_ref().filter(|claim| {
            let node = claim.node();
            node.is_some_and(|node| {
                node.home.is_none() && matches!(node.authority.host, Host::Name(_))
            })
        });
        written.map_or_else(|| self.href(&caller.address), ToString::to_string)
    }
}

/// What the asker is told. That a server does not let us in, is broken or sends us elsewhere is
/// our trouble, not his (and physical addresses are nobody's business).
fn answered(route: &Route, got: &Got) -> Result<Reply, Refused> {
    let trouble = |cause: String| Err(quiet(Status::Unavailable, cause));
    let Some(status) = Status::from_code(got.status) else {
        return trouble(format!("{} answered {}", route.key, got.status));
    };
    match status {
        Status::AccessDenied
        | Status::ObjectMoved
        | Status::NotImplemented
        | Status::MethodNotAllowed
        | Status::RequestTimeout
        | Status::Unavailable => trouble(format!("{} answered {}", route.key, got.status)),
        Status::Successful | Status::MultiStatus => {
            let mut reply = Reply::empty();
            reply.status = status;
            for name in BACK {
                if let Some(value) = got.headers.get(name) {
                    let name = HeaderName::from_static(name);
                    reply.headers.push((name, value.clone()));
                }
            }
            if !got.body.is_empty() {
                let text = String::from_utf8(got.body.to_vec());
                let Ok(text) = text else {
                    return trouble(format!("{} answered no text", route.key));
                };
                reply.xml = Some(text);
            }
            Ok(reply)
        }
        status => Err(quiet(
            status,
            format!("{} answered {}", route.key, got.status),
        )),
    }
}

/// A refusal whose cause is for the log: it names places that are nobody else's business.
fn quiet(status: Status, cause: String) -> Refused {
    let mut refused = Refused::new(status, cause);
    refused.told = Some(status.reason());
    refused
}

/// The status of a server that can't be asked.
fn unavailable(fault: &Fault) -> Status {
    match fault {
        Fault::Request => Status::BadRequest,
        Fault::Nowhere
        | Fault::Connect(_)
        | Fault::Untrusted(_)
        | Fault::Late
        | Fault::Broken
        | Fault::Redirected(_)
        | Fault::Denied
        | Fault::TooLarge
        | Fault::Full
        | Fault::Resting => Status::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn got(status: u16, body: &str) -> Got {
        let mut headers = HeaderMap::new();
        headers.insert("subscription-id", HeaderValue::from(7));
        headers.insert(
            "location",
            HeaderValue::from_static("http://home1/instmsg/local/x/y"),
        );
        headers.insert(
            "www-authenticate",
            HeaderValue::from_static("Digest realm=\"x\""),
        );
        Got {
            status,
            headers,
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    #[test]
    fn a_peers_401_and_5xx_are_not_our_users() {
        let text =
            "[server]\ndomains=[\"a.example\"]\n[rvp.peers.\"b.example\"]\naddress=\"127.0.0.1:9\"";
        let config =
            crate::config::Config::from_text(text, None, std::collections::BTreeMap::new());
        let routes =
            super::super::Routes::new(&config.expect("config"), std::collections::HashMap::new());
        let route = routes
            .of(&Address::parse("x@b.example").expect("address"))
            .expect("way");
        for (status, want) in [
            (401, 503),
            (302, 503),
            (501, 503),
            (503, 503),
            (502, 503),
            (418, 503),
            (500, 500),
            (404, 404),
            (412, 412),
            (413, 413),
            (403, 403),
            (200, 200),
            (207, 207),
        ] {
            let told = match answered(&route, &got(status, "<x/>")) {
                Ok(reply) => {
                    assert_eq!(reply.headers.len(), 1, "only the subscription");
                    reply.status.code()
                }
                Err(refused) => refused.status.code(),
            };
            assert_eq!(told, want, "{status}");
        }
    }

    #[test]
    fn marks_are_read_and_odd_ones_say_nothing() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(MARK, HeaderValue::from_str(text).expect("value"));
            Mark::read(&headers).expect("mark")
        };
        let mark = read("for=198.51.100.7; via=a,b");
        assert_eq!(mark.client, Some("198.51.100.7".parse().expect("ip")));
        assert_eq!(mark.passed, ["a", "b"]);
        assert_eq!(read("for=x; what; via"), Mark::default());
        let long = read(&format!("via={}", "x,".repeat(1000)));
        assert_eq!(long.passed.len(), SERVERS + 1);
    }
}
