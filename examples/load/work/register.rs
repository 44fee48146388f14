//! REGISTER with Digest: refreshing a registration that stands.

use super::Plan;
use crate::Failure;
use crate::agent::{Agent, Next, register_text};
use crate::meter::Meter;
use crate::report::{Compare, Row};
use crate::server::Peer;
use crate::sip::{self, User};
use std::cell::RefCell;

const USERS: u64 = 200;

/// Over UDP, from many users in turn.
pub(crate) async fn refresh(peer: &Peer, plan: &Plan) -> Result<Vec<Row>, Failure> {
    let mut agent = Agent::udp(peer.udp, 0..USERS).await?;
    agent.register().await?;
    let meter = RefCell::new(Meter::start(plan.seconds, &peer.process));
    let mut at = 0;
    let next = |users: &mut [User], about: Next| {
        at = (at + 1) % users.len();
        let text = register_text(users.get_mut(at)?, about);
        (!meter.borrow().over()).then_some((at, text))
    };
    let lost = agent
        .run(plan.window, next, |answer| {
            let good = answer.status() == 200;
            let what = || sip::head(answer.text).to_owned();
            meter.borrow_mut().add(good, answer.taken, what);
        })
        .await?;
    let mut meter = meter.into_inner();
    meter.lost(lost);
    let row = meter.row("REGISTER refresh, UDP", &peer.process);
    Ok(vec![row.against(Compare::Cpu, 1.0)])
}
