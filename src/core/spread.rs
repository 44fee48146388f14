//! Spreading: which of a person's inboxes get a text at once, and which only when those fail.
//!
//! A device gets one copy, by the stack that the conversation is held on; which devices get one at
//! all is policy. What is held back stands behind what is tried, and takes its turn when that fails.

use crate::core::command::Outcome;
use crate::core::conversation::Peer;
use crate::core::delivery::Delivery;
use crate::core::devices::{Policy, Spread};
use crate::core::id::{PointId, Stack};
use crate::core::message::{Content, Message};
use crate::core::points::{Link, Point};
use crate::core::routing::{Attempt, Try};
use crate::core::time::Time;
use crate::core::user::{Fx, User};
use std::cmp::Reverse;

/// The group of everything where one device is enough.
const ONE_OF_ALL: PointId = PointId(0);

/// How much speaks for an inbox or a device: the first that differs decides, more is more.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// Its client is there now.
    live: bool,
    /// The conversation is held there.
    held: bool,
    /// By the stack that the conversation is held on.
    talked: bool,
    /// By the preferred stack.
    preferred: bool,
    /// What its client asks for.
    asked: u16,
    /// When its person last did something there.
    active: Time,
    /// The newest sign-in.
    newest: PointId,
}

/// What the ranks of one message depend on.
struct View<'a> {
    spread: Spread,
    /// The stack the message came by.
    stack: Stack,
    /// Where the conversation is held.
    held: Option<&'a Point>,
}

impl User {
    /// Puts attempts in groups of which one has to succeed, best first, and holds the others back.
    pub(super) fn hold_back(
        &self,
        fx: &Fx<'_, '_>,
        message: &Message,
        attempts: &mut Vec<Attempt>,
    ) {
        if attempts.len() < 2 || self.is_node() {
            return;
        }
        let talk = self.talk(&Peer::sender(message));
        let held = talk.and_then(|talk| talk.held);
        let view = View {
            spread: self.spread(fx.rules()),
            stack: message.original.stack,
            held: held.and_then(|id| self.point(id)),
        };
        if let (Content::Typing { .. }, Some(held)) = (&message.content, view.held)
            && held.link == Link::Live
            && let Some(at) = attempts.iter().position(|a| is_at(a, held))
        {
            // Whoever wrote last is who waits for an answer.
            attempts.swap(0, at);
            attempts.truncate(1);
            return;
        }
        let lonely = |a: &Attempt| a.lonely(attempts);
        if view.spread.policy != Policy::All {
            attempts.sort_by_cached_key(|a| {
                Reverse((self.device_rank(a, &view), self.inbox_rank(a, &view)))
            });
            for attempt in attempts.iter_mut() {
                attempt.group = ONE_OF_ALL;
            }
        } else if !attempts.iter().all(lonely) {
            let order: Vec<PointId> = attempts.iter().map(|a| a.device).collect();
            let place = |a: &Attempt| order.iter().position(|device| *device == a.device);
            attempts.sort_by_cached_key(|a| (place(a), Reverse(self.inbox_rank(a, &view))));
        }
        for at in (1..attempts.len()).rev() {
            if attempts[at].group == attempts[at - 1].group {
                attempts[at].state = Try::Reserve;
            }
        }
    }

    /// What speaks for an inbox within its device.
    fn inbox_rank(&self, attempt: &Attempt, view: &View<'_>) -> Rank {
        let point = self.point(attempt.point);
        let of_device = view.held.filter(|held| held.device == attempt.device);
        let talked = of_device.map_or(view.stack, |held| held.record.stack);
        Rank {
            live: point.is_some_and(|p| p.link == Link::Live),
            held: of_device.is_some_and(|held| is_at(attempt, held)),
            talked: attempt.stack == talked,
            preferred: Some(attempt.stack) == view.spread.preferred,
            asked: point.map_or(0, |p| p.record.spec.preference),
            active: point.map_or(Time(0), |p| p.active),
            newest: attempt.point,
        }
    }

    /// What speaks for the device of an inbox among others.
    fn device_rank(&self, attempt: &Attempt, view: &View<'_>) -> Rank {
        let of = || self.points.iter().filter(|p| p.device == attempt.device);
        let by_wish = view.spread.policy == Policy::Preferred;
        let preferred = |p: &Point| Some(p.record.stack) == view.spread.preferred;
        let asked = of().map(|p| p.record.spec.preference).max();
        Rank {
            live: of().any(|p| p.link == Link::Live),
            held: view.held.is_some_and(|held| held.device == attempt.device),
            talked: false,
            preferred: by_wish && of().any(preferred),
            asked: asked.filter(|_| by_wish).unwrap_or(0),
            active: of().map(|p| p.active).max().unwrap_or(Time(0)),
            newest: attempt.device,
        }
    }

    /// What was held back takes its turn where everything before it has failed, or, `impatient`,
    /// has not answered; what is not needed any more is spared.
    pub(super) fn fall_back(&mut self, fx: &mut Fx<'_, '_>, at: usize, impatient: bool) {
        let held = |delivery: &Delivery| delivery.attempts.iter().any(|a| a.state == Try::Reserve);
        if !self.deliveries.get(at).is_some_and(held) {
            return;
        }
        let mut deliveries = std::mem::take(&mut self.deliveries);
        let delivery = &mut deliveries[at];
        spare(&mut delivery.attempts);
        let mut impatient = impatient;
        while let Some(next) = turn(&delivery.attempts, impatient) {
            let attempt = &mut delivery.attempts[next];
            attempt.state = match self.point_for(attempt.stack, &attempt.inbox) {
                Some(_) => Try::Waiting,
                None => Try::Over(Outcome::Gone),
            };
            self.open_waiting(fx, delivery);
            impatient = false;
        }
        self.deliveries = deliveries;
    }
}

/// Holds no more back what somebody of the group has, and what a device has left with its whole
/// client.
fn spare(attempts: &mut [Attempt]) {
    for at in 0..attempts.len() {
        let (group, device) = (attempts[at].group, attempts[at].device);
        let needless = attempts.iter().any(|other| {
            (other.group == group && other.delivered())
                || (other.device == device && other.state == Try::Over(Outcome::HasLeft))
        });
        if attempts[at].state == Try::Reserve && needless {
            attempts[at].state = Try::Spared;
        }
    }
}

/// The next that is held back in a group where nothing is under way.
fn turn(attempts: &[Attempt], impatient: bool) -> Option<usize> {
    let waits = |attempt: &Attempt| {
        let mut group = attempts.iter().filter(|a| a.group == attempt.group);
        impatient || group.all(|a| a.over() || a.state == Try::Reserve)
    };
    let mut all = attempts.iter();
    all.position(|attempt| attempt.state == Try::Reserve && waits(attempt))
}

fn is_at(attempt: &Attempt, point: &Point) -> bool {
    attempt.stack == point.record.stack && attempt.inbox == point.record.spec.inbox
}
