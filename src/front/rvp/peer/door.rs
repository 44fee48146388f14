//! Where requests meet other servers: who speaks, for whom, and where the node is held.

use super::{Claim, Lead, Peers, Vouch};
use crate::core::address::Address;
use crate::core::command::{Caller, Route};
use crate::core::port::Account;
use crate::front::rvp::app::{Front, No, Refused, Reply};
use crate::front::rvp::auth;
use crate::front::rvp::listen::{Arrived, Ends};
use crate::front::rvp::names::NotOurs;
use crate::hub::{Resolution, Want};
use rvp::Status;
use rvp::request::{Action, Request};
use std::net::SocketAddr;
use std::sync::Arc;

/// Where a request is answered.
pub(in super::super) enum Place {
    /// Here, by that account or stand-in.
    Here(Arc<Account>, Address),
    /// It is answered: referred, or by another server.
    Answered(Reply),
}

impl Front {
    /// The caller, if another server may speak for whom the request names; `None` if that is
    /// somebody who has to prove himself. `proof`: what the answer has to carry then.
    pub(in super::super) async fn vouch(
        &self,
        arrived: &Arrived,
        target: &str,
        request: &Request,
        proof: &mut Option<String>,
    ) -> Result<Option<Caller>, No> {
        let Some(claim) = &request.from else {
            return Ok(None);
        };
        let local = arrived.ends.local.ip();
        let domain = self
            .names
            .domain_of(&request.node.authority.host, Some(local));
        let domain = domain.or_else(|| self.hub.directory().domains().first().map(String::as_str));
        let values = auth::values(arrived);
        let attempt = auth::attempt(
            arrived,
            &values,
            target,
            domain.unwrap_or_default(),
            self.hub.now(),
        );
        let on = self.entrance.on(arrived);
        let who = Claim {
            principal: claim,
            local,
            shown: arrived.channel.shown(),
        };
        match self.peers.vouch(&self.gate, &attempt, &on, &who).await {
            Vouch::Stranger => Ok(None),
            Vouch::Peer(caller, answer) => {
                *proof = answer;
                Ok(Some(caller))
            }
            Vouch::Ask(decision) => auth::answer(decision).map(|granted| Some(granted.caller)),
            Vouch::Spoofed(address) => {
                let cause = format!("{} may not speak for {address}", arrived.ends.peer.ip());
                Err(No::Refused(
                    Refused::new(Status::Forbidden, cause),
                    Some(address),
                ))
            }
        }
    }

    /// The ends of the client, where a router carries his request.
    pub(in super::super) fn ends(&self, arrived: &Arrived, caller: &Caller) -> Ends {
        let mark = self.peers.mark(arrived).filter(|_| is_peer(caller));
        match mark.and_then(|mark| mark.client) {
            Some(client) => Ends {
                peer: SocketAddr::new(client, arrived.ends.peer.port()),
                ..arrived.ends
            },
            None => arrived.ends,
        }
    }

    /// Where the node of a request is held, and the answer if that is elsewhere.
    pub(in super::super) async fn place(
        &self,
        arrived: &Arrived,
        request: &Request,
        caller: &Caller,
        ends: Ends,
    ) -> Result<Place, Refused> {
        let peers = &self.peers;
        let address = match self.names.address(&request.node, Some(ends.local.ip())) {
            Ok(address) => Some(address),
            Err(NotOurs::Host) => peers.foreigner(&request.node),
            Err(NotOurs::Node) => None,
        };
        let abroad = match address {
            None => self.abroad(request),
            Some(_) => None,
        };
        if let Some(address) = abroad {
            if is_peer(caller) {
                // Nobody is a bridge between two other domains.
                let cause = format!("{address} is not held here");
                return Err(Refused::new(Status::NotFound, cause));
            }
            return self.stand_in(request, caller, address);
        }
        let Some(address) = address.filter(|address| peers.is_elsewhere(address)) else {
            let (account, address) = self.node(request, caller, ends).await?;
            return Ok(Place::Here(account, address));
        };
        if peers.is_loop(arrived) {
            let cause = format!("a request for {address} goes round in circles");
            tracing::warn!(peer = %arrived.ends.peer, %address, "a request goes round in circles");
            return Err(Refused::new(Status::PreconditionFailed, cause));
        }
        let mark = peers.mark(arrived);
        match peers.lead(request, caller, &address, ends.peer, mark.as_ref()) {
            Lead::Refer(location) => Peers::referred(&location).map(Place::Answered),
            Lead::Carry => {
                let reply = peers.carry(arrived, request, caller, &address, ends).await;
                reply.map(Place::Answered)
            }
            Lead::StandIn => self.stand_in(request, caller, address),
            Lead::Nobody => {
                let cause = format!("{address} is not held here");
                Err(Refused::new(Status::NotFound, cause))
            }
        }
    }

    /// Somebody whom another stack than ours leads to: `http://im.DOMAIN/...` or
    /// `http://DOMAIN/...` is his URL here.
    fn abroad(&self, request: &Request) -> Option<Address> {
        let node = &request.node;
        let rvp::Host::Name(name) = &node.authority.host else {
            return None;
        };
        let alias = node.alias()?.replace('%', "%25");
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let inner = name.strip_prefix("im.");
        let mut domains = inner.into_iter().chain([name.as_str()]);
        domains.find_map(|domain| {
            let address = Address::new(&alias, domain).ok()?;
            let leads = self.hub.directory().leads_to(&address);
            (leads && !self.peers.is_elsewhere(&address)).then_some(address)
        })
    }

    fn stand_in(
        &self,
        request: &Request,
        caller: &Caller,
        address: Address,
    ) -> Result<Place, Refused> {
        let want = match request.action {
            Action::Subscribe(_) | Action::Renew { .. } | Action::Propfind => {
                Want::Watch(&caller.address)
            }
            _ => Want::Send,
        };
        match self.hub.directory().reach(&address, want) {
            Resolution::Local(account) => Ok(Place::Here(account, address)),
            Resolution::UnknownUser | Resolution::Foreign => Err(Refused::new(
                Status::Unavailable,
                format!("no room for {address}"),
            )),
        }
    }
}

/// Whether another server asks.
pub(in super::super) fn is_peer(caller: &Caller) -> bool {
    matches!(caller.route, Route::Peer(_))
}
