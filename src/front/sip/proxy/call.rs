//! A request to a person: authenticated by now, asked of the callee's access list, forked to his
//! SIP points.

use super::super::front::Front;
use super::super::place::Named;
use super::super::request::{Known, capabilities};
use super::super::shard::{Pending, Req, Shard};
use super::super::status::About;
use super::abroad::Search;
use super::targets::Found;
use super::{Journey, Plan};
use crate::core::address::Address;
use crate::core::command::{Command, Reply};
use crate::core::error::{Error, Unreachable};
use crate::hub::{Answer, ReplyTo, Resolution, Want};
use sip::flow::Millis;
use sip::transaction::TxId;
use sip::{HeaderId, Method};

/// A request whose callee is being asked for.
pub(in crate::front::sip) struct Forwarding {
    pub(super) req: Req,
    pub(super) plan: Plan,
    pub(super) journey: Journey,
    pub(super) callee: Address,
    /// Where his server is, is being looked up.
    pub(super) search: Option<Box<Search>>,
}

impl Shard {
    /// Towards a person.
    pub(in crate::front::sip) fn call(
        &mut self,
        now: Millis,
        mut req: Req,
        known: Known,
        target: &Named,
    ) {
        let plan = self.plan(req.flow, &req.message);
        if plan.onward > 0 {
            // We lead nobody to where a client's own Route points.
            return self.refuse(now, &req, 403, "its Route leads to another server");
        }
        let (address, account) = match self.target(target, Want::Send) {
            Ok(found) => found,
            Err(error) => return self.fail(now, &req, &error, About::Person),
        };
        let caller = known.granted.caller;
        let room = match self.front.quotas.take(caller.person, req.flow.peer.ip()) {
            Ok(room) => room,
            Err(limit) => return self.crowded(now, &req, limit),
        };
        let mut journey = Journey::of(&mut req, Some(known.from), &address.to_string(), room);
        journey.callee = Some(account.address.clone());
        let tx = req.tx;
        let reply = self.wait(Pending::Forward(Box::new(Forwarding {
            req,
            plan,
            journey,
            callee: address,
            search: None,
        })));
        if let ReplyTo::Sink(_, token) = &reply {
            self.asking.insert(tx, *token);
        }
        let person = account.person;
        self.front.hub.send(person, caller, Command::Locate, reply);
    }

    /// Where the callee is.
    pub(in crate::front::sip) fn callee_located(
        &mut self,
        now: Millis,
        forwarding: Forwarding,
        answer: Answer,
    ) {
        let Forwarding {
            req,
            plan,
            journey,
            callee,
            ..
        } = forwarding;
        self.asking.remove(&req.tx);
        let absent = Error::NotReachable(Unreachable::NobodySignedIn);
        if let Some(route) = self.front.neighbours.routes.of(callee.domain())
            && answer.as_ref().err().is_none_or(|error| *error == absent)
        {
            // The stand-in lets him through. Whether it has its point by now says nothing: that one
            // takes another way through the hub.
            return self.abroad(now, (req, plan, journey, callee), route);
        }
        let points = match answer {
            Ok(Reply::Points(points)) => points,
            Ok(_) => Vec::new(),
            Err(error) => return self.fail(now, &req, &error, About::Person),
        };
        match self.targets(&req, &points) {
            Found::Targets(targets) => self.pass_on(now, req, plan, targets, journey),
            Found::NoSip => {
                if let Some(caller) = journey.caller() {
                    self.tell_uncalled(&callee, caller);
                }
                self.no_sip(now, &req);
            }
            Found::Nobody => self.fail(now, &req, &absent, About::Person),
            Found::TooLarge => self.refuse(now, &req, 513, "too large for UDP"),
        }
    }

    /// The callee has only clients of other stacks. Those show texts and typing, so a session of
    /// any media is not acceptable there, and pager texts still arrive.
    fn no_sip(&mut self, now: Millis, req: &Req) {
        let via = self.via(req.flow);
        let place = via.rsplit(' ').next().unwrap_or_default().to_owned();
        match req.message.method() {
            Some(Method::Invite) => {
                tracing::info!(peer = %req.flow.peer, method = "INVITE", status = 488, cause = "the callee's clients take texts only", "SIP request refused");
                let warning = format!(
                    "304 {place} \"Media type not available: this user takes MESSAGE only\""
                );
                self.respond(now, req, 488, |r| r.header(HeaderId::Warning, warning));
            }
            Some(Method::Options) => self.respond(now, req, 200, capabilities),
            _ => {
                tracing::info!(peer = %req.flow.peer, status = 405, cause = "the callee's clients take texts only", "SIP request refused");
                self.respond(now, req, 405, |r| {
                    r.header(HeaderId::Allow, "MESSAGE, SUBSCRIBE, OPTIONS")
                });
            }
        }
    }

    /// The callee learns of a call that was declined for him (`decisions.md` 23).
    fn tell_uncalled(&self, callee: &Address, caller: &Address) {
        if let Resolution::Local(account) = self.front.hub.directory().resolve(callee) {
            let internal = Front::internal(account.address.clone(), account.person);
            let command = Command::Uncalled(caller.clone());
            let hub = &self.front.hub;
            hub.send(account.person, internal, command, ReplyTo::Nobody);
        }
    }

    /// Takes a request back whose callee is still being asked for.
    pub(in crate::front::sip) fn withdraw(&mut self, tx: TxId) -> Option<Req> {
        let token = self.asking.remove(&tx)?;
        match self.pending.remove(&token)? {
            Pending::Forward(forwarding) => Some(forwarding.req),
            other => {
                self.pending.insert(token, other);
                None
            }
        }
    }

    /// The request of a transaction whose callee is still being asked for.
    pub(super) fn waiting_for(&self, tx: TxId) -> Option<&Req> {
        match self.pending.get(self.asking.get(&tx)?)? {
            Pending::Forward(forwarding) => Some(&forwarding.req),
            _ => None,
        }
    }
}
