//! Branches: sent, and sent once more where their challenge is answered here.
//!
//! Challenges of a server that we pass requests on to may be none of the caller's business: he has
//! no account there, and would answer with a proof of the password that he has here. Whoever knows
//! that answers them instead ([`Proxy::again`], RFC 3261 22.3), or says that he can't
//! ([`Proxy::unproved`]).

use super::context::Cause;
use super::engine::{BRANCH_BITS, Core, Proxy, TOKEN, read};
use super::forward::{Onward, Target};
use crate::flow::{Millis, NEVER};
use crate::raw::RawMessage;
use crate::transaction::{Outgoing, TxId};

impl<T> Proxy<T> {
    /// The caller's own of the request that a branch belongs to, while that has no answer.
    pub fn held(&mut self, token: u64) -> Option<&mut T> {
        let (id, _) = read(token);
        self.contexts.get_mut(&id)?.held.as_mut()
    }

    /// What a branch was sent: the request as it came, and the Request-URI as it went.
    pub fn asked(&self, token: u64) -> Option<(&RawMessage, &str)> {
        let (id, branch) = read(token);
        let context = self.contexts.get(&id)?;
        let target = context.branches.get(branch)?.target.as_ref()?;
        Some((context.request.as_ref()?, &target.uri))
    }

    /// A branch that has its final answer once more, with one more header: as if the answer had not
    /// come. The CSeq stays, since it is the caller's. False if it can't be: nothing is kept of it,
    /// or it was stopped.
    pub fn again(
        &mut self,
        now: Millis,
        engine: &mut Core,
        token: u64,
        line: (&'static str, String),
    ) -> bool {
        let (id, branch) = read(token);
        let Some(context) = self.contexts.get_mut(&id) else {
            return false;
        };
        let breadth = context.breadth;
        let Some(target) = context.restarted(branch) else {
            return false;
        };
        // What was shown before was refused.
        target.lines.retain(|(name, _)| *name != line.0);
        target.lines.push(line);
        let target = target.clone();
        let Some(tx) = self.launch(now, engine, (id, branch), &target, breadth) else {
            return false;
        };
        let until = now.saturating_add(self.settings.ring);
        if let Some(context) = self.contexts.get_mut(&id) {
            let until = if context.invite { until } else { NEVER };
            context.sent_again(branch, tx, until);
        }
        self.arm(id);
        true
    }

    /// A branch asks for credentials that there are none of, or does not take those that it was
    /// shown: the caller is told this status instead, with this Warning.
    pub fn unproved(
        &mut self,
        now: Millis,
        engine: &mut Core,
        token: u64,
        (status, warning): (u16, String),
    ) {
        let (id, branch) = read(token);
        let Some(context) = self.contexts.get_mut(&id) else {
            return;
        };
        context.warning = Some(warning);
        context.ended(branch, status, Cause::Unproved, None);
        self.proceed(now, engine, id);
    }

    /// Sends a group of targets, each on a branch of its own.
    pub(super) fn start(&mut self, now: Millis, engine: &mut Core, id: u64, group: &[Target]) {
        let Some(context) = self.contexts.get(&id) else {
            return;
        };
        let last = context.groups.is_empty();
        let wait = match (last, context.failover) {
            (true, _) => self.settings.ring,
            (false, true) => self.settings.hop,
            (false, false) => self.settings.turn,
        };
        let until = if context.invite || (context.failover && !last) {
            now.saturating_add(wait)
        } else {
            NEVER
        };
        let (breadth, first) = (context.breadth, context.branches.len());
        let count = u32::try_from(group.len()).unwrap_or(u32::MAX).max(1);
        for (at, target) in (0_u32..).zip(group) {
            // RFC 5393 5.3.3: the shares add up to what came.
            let share = breadth / count + u32::from(at < breadth % count);
            let slot = first + usize::try_from(at).unwrap_or_default();
            let Some(tx) = self.launch(now, engine, (id, slot), target, share) else {
                return;
            };
            if let Some(context) = self.contexts.get_mut(&id) {
                let kept = context.proves.then(|| target.clone());
                context.sent(tx, until, kept);
            }
        }
    }

    fn launch(
        &mut self,
        now: Millis,
        engine: &mut Core,
        (id, slot): (u64, usize),
        target: &Target,
        share: u32,
    ) -> Option<TxId> {
        let context = self.contexts.get(&id)?;
        let request = context.request.as_ref()?;
        let branch = self.marks.branch(request);
        let onward = Onward {
            request,
            plan: &context.plan,
            source: context.source,
            realms: &self.realms,
            strip: &self.strip,
            breadth: Some(share),
        };
        let outgoing = Outgoing {
            method: request.method().map_or("", |m| m.as_str()).as_bytes(),
            branch: branch.as_bytes(),
            flow: target.flow,
            bytes: onward.to(target, &branch),
            token: TOKEN | id << BRANCH_BITS | u64::try_from(slot).unwrap_or_default(),
        };
        Some(engine.start(now, outgoing))
    }
}
