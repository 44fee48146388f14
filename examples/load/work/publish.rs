//! PUBLISH with Digest: a publication that changes state each time, with nobody watching.

use super::Plan;
use crate::Failure;
use crate::agent::{Agent, Answer, Next, publish_text};
use crate::meter::Meter;
use crate::report::{Compare, Row};
use crate::server::Peer;
use crate::sip::{self, User};
use std::cell::RefCell;
use std::collections::VecDeque;

/// What the publisher of each user remembers.
pub(crate) struct Publications {
    tags: Vec<String>,
    busy: Vec<bool>,
    /// Users without a request under way.
    free: VecDeque<usize>,
}

impl Publications {
    pub(crate) fn of(users: usize) -> Self {
        Self {
            tags: vec![String::new(); users],
            busy: vec![false; users],
            free: (0..users).collect(),
        }
    }

    /// The next change of the user who has waited longest.
    pub(crate) fn next(&mut self, users: &mut [User], about: Next) -> Option<(usize, String)> {
        let at = self.free.pop_front()?;
        let busy = self.busy.get_mut(at)?;
        *busy = !*busy;
        let text = publish_text(users.get_mut(at)?, *busy, self.tags.get(at)?, about);
        Some((at, text))
    }

    /// Takes the new tag; true if the change was made.
    pub(crate) fn done(&mut self, answer: &Answer<'_>) -> bool {
        self.free.push_back(answer.user);
        let tag = sip::header(answer.text, "SIP-ETag");
        if let (Some(slot), Some(tag)) = (self.tags.get_mut(answer.user), tag) {
            tag.clone_into(slot);
        }
        answer.status() == 200 && tag.is_some()
    }
}

/// Changes of many users in turn, each after its last was answered.
pub(crate) async fn change(peer: &Peer, plan: &Plan) -> Result<Vec<Row>, Failure> {
    let users = plan.window * 2;
    let mut agent = Agent::udp(peer.udp, 0..users as u64).await?;
    agent.register().await?;
    let publications = RefCell::new(Publications::of(users));
    // Until each user has a nonce and a publication.
    let mut left = users * 2;
    let first = |users: &mut [User], about: Next| {
        left = left.checked_sub(1)?;
        publications.borrow_mut().next(users, about)
    };
    agent
        .run(plan.window, first, |answer| {
            publications.borrow_mut().done(answer);
        })
        .await?;
    let meter = RefCell::new(Meter::start(plan.seconds, &peer.process));
    let next = |users: &mut [User], about: Next| {
        if meter.borrow().over() {
            return None;
        }
        publications.borrow_mut().next(users, about)
    };
    let lost = agent
        .run(plan.window, next, |answer| {
            let good = publications.borrow_mut().done(answer);
            let what = || sip::head(answer.text).to_owned();
            meter.borrow_mut().add(good, answer.taken, what);
        })
        .await?;
    let mut meter = meter.into_inner();
    meter.lost(lost);
    let row = meter.row("PUBLISH change, UDP", &peer.process);
    Ok(vec![row.against(Compare::Cpu, 0.5)])
}
