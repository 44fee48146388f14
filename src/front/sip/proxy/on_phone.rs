//! What is published about answered calls, and the messages by which they begin and end.

use super::super::front::Front;
use super::super::place::Named;
use super::super::shard::{Pending, Shard};
use super::talks::{LEASE, Name, Party, Step, names, session};
use crate::core::address::Address;
use crate::core::calls::{Call, CallState, Calls};
use crate::core::command::{Command, PointHint, Publish, Reply};
use crate::core::error::Error;
use crate::core::id::PublicationId;
use crate::front::SIP;
use crate::hub::{Answer, ReplyTo, Want};
use sip::body::dialog_info::{Dialog, State};
use sip::flow::{Flow, Millis};
use sip::{Method, RawMessage};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

impl Shard {
    /// A final answer to a request that was passed on, before it goes back.
    pub(super) fn overheard(
        &mut self,
        now: Millis,
        token: u64,
        (status, flow): (u16, Flow),
        answer: &RawMessage,
    ) {
        if !self.front.settings.calls_make_on_phone || status < 200 {
            return;
        }
        let Some(journey) = self.proxy.held(token) else {
            return;
        };
        let Some([from, to]) = names(answer) else {
            return;
        };
        let timed = matches!(journey.method, Method::Invite | Method::Update);
        let Some(caller) = journey.from.clone() else {
            // Within a call: whichever side sent it.
            for name in [from, to] {
                if status == 481 {
                    let steps = self.talks.end(&name);
                    self.step(steps);
                } else if status < 300 && timed {
                    self.talks.lives(now, &name, session(answer));
                }
            }
            return;
        };
        if journey.method != Method::Invite || status >= 300 {
            return;
        }
        let sides = [(Some(caller), journey.flow), (journey.callee.clone(), flow)];
        let steps = self.begins(now, from, sides, session(answer));
        self.step(steps);
    }

    /// A call is answered.
    fn begins(
        &mut self,
        now: Millis,
        name: Name,
        sides: [(Option<Address>, Flow); 2],
        session: Option<u64>,
    ) -> Vec<Step> {
        let (mut parties, mut flows) = (Vec::new(), Vec::new());
        for (side, flow) in sides {
            let ours = |address: &Address| self.front.places.is_ours(address.domain());
            let Some(address) = side.filter(ours) else {
                continue;
            };
            flows.push(flow);
            parties.push(Party {
                address,
                published: None,
                under_way: false,
            });
        }
        self.talks.begin(now, name, (parties, &flows), session)
    }

    /// A request within a call that is passed on, or can't be.
    pub(super) fn call_ends(&mut self, request: &RawMessage) {
        if !self.front.settings.calls_make_on_phone {
            return;
        }
        for name in names(request).into_iter().flatten() {
            let steps = self.talks.end(&name);
            self.step(steps);
        }
    }

    /// A connection is gone.
    pub(in crate::front::sip) fn calls_lost(&mut self, connection: u64) {
        let steps = self.talks.lost(connection);
        self.step(steps);
    }

    /// Time passes for answered calls.
    pub(in crate::front::sip) fn calls_pass(&mut self, now: Millis) {
        let steps = self.talks.pass(now);
        self.step(steps);
    }

    fn step(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Publish(name, party) => self.publish_call(&name, party),
                Step::Retract(address, publication) => self.retract_call(address, publication),
            }
        }
    }

    fn publish_call(&mut self, name: &Name, number: usize) {
        let Some(party) = self.talks.party(name, number).filter(|p| !p.under_way) else {
            return;
        };
        party.under_way = true;
        let (known, address) = (party.published, party.address.clone());
        // A renewal leaves the calls alone: who watches them is told nothing.
        let calls = known.is_none().then(|| shown(name));
        let Ok((_, account)) = self.target(&Named::Person(address.clone()), Want::Send) else {
            return;
        };
        let command = Command::Publish(Publish {
            stack: SIP,
            target: known.map(|id| (id, None)),
            adopt: false,
            // A call is nobody's sign-in.
            hint: PointHint::default(),
            key: Some(format!("call through us {} {number}", hashed(name)).into()),
            presence: None,
            calls,
            lease: Some(LEASE),
        });
        let reply = self.wait(Pending::Talk {
            name: Name::clone(name),
            number,
            address: address.clone(),
        });
        let caller = Front::internal(address, account.person);
        self.front.hub.send(account.person, caller, command, reply);
    }

    fn retract_call(&self, address: Address, publication: PublicationId) {
        let Ok((_, account)) = self.target(&Named::Person(address.clone()), Want::Send) else {
            return;
        };
        let command = Command::Retract {
            publication,
            version: None,
        };
        let caller = Front::internal(address, account.person);
        let hub = &self.front.hub;
        hub.send(account.person, caller, command, ReplyTo::Nobody);
    }

    /// The answer to what was published.
    pub(in crate::front::sip) fn call_published(
        &mut self,
        (name, number, address): (&Name, usize, Address),
        answer: Answer,
    ) {
        let party = self.talks.party(name, number);
        let published = match answer {
            Ok(Reply::Published { publication, .. }) => Some(publication),
            Ok(_) => None,
            Err(error) => {
                let Some(party) = party else { return };
                party.under_way = false;
                let stale = error == Error::StaleId && party.published.take().is_some();
                if stale {
                    // Its lease has ended meanwhile.
                    return self.publish_call(name, number);
                }
                return tracing::warn!(%address, cause = %error, "a call can't be shown as presence");
            }
        };
        match (party, published) {
            (Some(party), published) => (party.under_way, party.published) = (false, published),
            // It was over before we knew.
            (None, Some(publication)) => self.retract_call(address, publication),
            (None, None) => {}
        }
    }
}

/// What watchers of calls are shown (RFC 4235): that there is one, not with whom.
fn shown(name: &Name) -> Calls {
    let id = hashed(name);
    Calls {
        full: true,
        version: 0,
        list: vec![Call {
            detail: Dialog::new(&id, State::Confirmed).detail().into(),
            id: id.into(),
            state: CallState::Confirmed,
        }],
    }
}

/// Names are the clients' own, and may be long.
fn hashed(name: &Name) -> String {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
