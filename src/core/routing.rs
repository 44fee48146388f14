//! Routing: which points of a person a message is tried on (`decisions.md` 14, 22, 28).

use crate::core::access::{Right, Verdict};
use crate::core::command::{self, Caller, Outcome, Reach, Refusal};
use crate::core::effect::Rules;
use crate::core::error::{Error, Unreachable};
use crate::core::id::{PointId, Stack};
use crate::core::message::{Fidelity, Message};
use crate::core::node::{INSIDE, member_point};
use crate::core::points::{Link, Point};
use crate::core::time::Time;
use crate::core::user::{Fx, User};
use std::sync::Arc;

/// One inbox's part in a delivery.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) stack: Stack,
    pub(super) inbox: Arc<str>,
    /// The point it is, was or will be tried on.
    pub(super) point: PointId,
    /// The device of that inbox.
    pub(super) device: PointId,
    /// Of those with the same, one has to succeed.
    pub(super) group: PointId,
    pub(super) state: Try,
}

/// Where an attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Try {
    /// The front has it and will answer.
    Open,
    /// The point waits for its client.
    Waiting,
    /// To be tried again then.
    Retry(Time),
    /// Held back until those before it in its group have failed.
    Reserve,
    /// Not needed: somebody else of its group has the message.
    Spared,
    /// Over.
    Over(Outcome),
}

impl Attempt {
    pub(super) fn delivered(&self) -> bool {
        self.state == Try::Over(Outcome::Delivered)
    }

    /// Whether no other inbox of its device is meant.
    pub(super) fn lonely(&self, all: &[Self]) -> bool {
        all.iter().filter(|a| a.device == self.device).count() < 2
    }

    /// Whether its client has given no answer at all.
    pub(super) fn unanswered(&self) -> bool {
        matches!(self.state, Try::Over(Outcome::Failed | Outcome::Unreached))
    }

    pub(super) fn over(&self) -> bool {
        matches!(self.state, Try::Over(_) | Try::Spared)
    }
}

/// Where a message can go.
pub(super) enum Route {
    /// To these inboxes.
    To(Vec<Attempt>),
    /// Accepted, but no client there would show it.
    Unshown,
    /// Nobody there understands it.
    Unsupported,
    /// Nobody to be reached.
    Nobody(Unreachable),
}

impl User {
    /// One attempt per inbox, on its newest point; of every device one is tried first.
    pub(super) fn route(&self, fx: &Fx<'_, '_>, message: &Message) -> Route {
        let mut attempts = self.members(message);
        let (mut doubted, mut send_only, mut unshown, mut refused) = (false, false, false, false);
        for point in self.inboxes() {
            let stack = point.record.stack;
            // Who lost the right after subscribing gets nothing more.
            if !self.may_receive(fx, point) {
                continue;
            }
            if point.record.spec.reach == Reach::SendOnly {
                send_only = true;
                continue;
            }
            if point.doubted.is_some() {
                doubted = true;
                continue;
            }
            // What goes to other people here is judged by their own inboxes.
            let fidelity = match stack {
                INSIDE => Fidelity::Exact,
                _ => fx.fidelity(message.original.stack, stack, message.content.kind()),
            };
            let fidelity = match fidelity {
                // A stack without the word is shown a line.
                Fidelity::Dropped if message.line().is_some() => Fidelity::Adapted,
                other => other,
            };
            match fidelity {
                Fidelity::Dropped => unshown = true,
                Fidelity::Refused => refused = true,
                Fidelity::Exact | Fidelity::Adapted => attempts.push(Attempt {
                    stack,
                    inbox: point.record.spec.inbox.clone(),
                    point: point.record.id,
                    device: point.device,
                    group: point.device,
                    state: Try::Waiting,
                }),
            }
        }
        if !attempts.is_empty() {
            self.hold_back(fx, message, &mut attempts);
            Route::To(attempts)
        } else if unshown {
            Route::Unshown
        } else if refused {
            Route::Unsupported
        } else if doubted {
            Route::Nobody(Unreachable::Doubted)
        } else if send_only {
            Route::Nobody(Unreachable::SendOnly)
        } else {
            Route::Nobody(Unreachable::NobodySignedIn)
        }
    }

    /// One attempt per member of a distribution list, except for who wrote the message.
    fn members(&self, message: &Message) -> Vec<Attempt> {
        if self.chat.is_some() {
            return self.chat_attempts(message);
        }
        let Some(node) = &self.account().node else {
            return Vec::new();
        };
        let others = node.members.iter().filter(|who| **who != message.from);
        others
            .map(|member| {
                let point = member_point(member);
                Attempt {
                    stack: INSIDE,
                    inbox: member.to_string().into(),
                    point,
                    device: point,
                    group: point,
                    state: Try::Waiting,
                }
            })
            .collect()
    }

    /// Executes [`command::Command::Locate`].
    pub(super) fn locate(&self, rules: &Rules, caller: &Caller) -> Result<command::Reply, Error> {
        match self.verdict(rules, caller, Right::SendTo) {
            Verdict::Granted => {}
            Verdict::Blocked if !self.is_node() => {
                return Err(Error::NotReachable(Unreachable::Blocked));
            }
            Verdict::Blocked | Verdict::Asked | Verdict::Withheld => {
                return Err(Error::Denied("send-to"));
            }
        }
        // Points of a node are others' inboxes: nobody is called there.
        let reached = |point: &&Point| {
            point.record.holder.is_none()
                && point.record.spec.reach == Reach::Full
                && point.doubted.is_none()
                && point.link == Link::Live
        };
        let points: Vec<_> = self.inboxes().filter(reached).map(Point::info).collect();
        if points.is_empty() {
            return Err(Error::NotReachable(Unreachable::NobodySignedIn));
        }
        Ok(command::Reply::Points(points))
    }

    fn may_receive(&self, fx: &Fx<'_, '_>, point: &Point) -> bool {
        let Some(holder) = &point.record.holder else {
            return true;
        };
        let caller = Caller {
            address: holder.address.clone(),
            person: holder.person,
            scheme: holder.scheme,
            route: command::Route::Point(point.record.stack),
        };
        self.verdict(fx.rules(), &caller, Right::ReceiveFrom) == Verdict::Granted
    }

    /// The newest point of an inbox that can be delivered to, and whether it can be right now.
    pub(super) fn point_for(&self, stack: Stack, inbox: &str) -> Option<(PointId, bool)> {
        if stack == INSIDE
            && let Some(member) = self.chat_point(inbox)
        {
            return Some((member, true));
        }
        if stack == INSIDE
            && let Some(node) = &self.account().node
            && let Some(member) = node.members.iter().find(|who| who.to_string() == inbox)
        {
            return Some((member_point(member), true));
        }
        let here = |p: &&Point| p.record.stack == stack && *p.record.spec.inbox == *inbox;
        let mut newest_first = self.points.iter().rev().filter(here);
        let newest = newest_first.next()?;
        // A client may have several ways to its inbox: the newest that stands.
        let newest = if newest.link == Link::Live {
            newest
        } else {
            let standing = newest_first.find(|p| p.link == Link::Live);
            standing.unwrap_or(newest)
        };
        let usable = newest.doubted.is_none() && newest.record.spec.reach == Reach::Full;
        usable.then(|| (newest.record.id, newest.link == Link::Live))
    }
}

/// What the sender is told when every attempt failed: the answer that says most.
pub(super) fn verdict_of(attempts: &[Attempt]) -> Error {
    let failures = attempts.iter().filter_map(|attempt| match attempt.state {
        Try::Over(Outcome::Delivered) | Try::Spared => None,
        Try::Over(outcome) => Some(outcome),
        _ => Some(Outcome::Failed),
    });
    failures
        .map(failure)
        .max_by_key(|(weight, _)| *weight)
        .map_or(Error::NotReachable(Unreachable::DeliveryFailed), |f| f.1)
}

/// How much a failure says, and the error it is told as.
fn failure(outcome: Outcome) -> (u8, Error) {
    match outcome {
        Outcome::Refused(Refusal::TooLarge) => (8, Error::TooLarge),
        Outcome::Refused(Refusal::Unsupported) => (7, Error::Unsupported),
        Outcome::Refused(Refusal::Denied) => (6, Error::Denied("refused by the client")),
        Outcome::HasLeft => (5, Error::HasLeft),
        Outcome::Refused(Refusal::UnknownUser) => (4, Error::UnknownUser),
        Outcome::Refused(Refusal::Overloaded) | Outcome::QueueFull => (3, Error::Overloaded),
        Outcome::Refused(Refusal::Unavailable)
        | Outcome::Failed
        | Outcome::Unreached
        | Outcome::Gone
        | Outcome::Delivered => (1, Error::NotReachable(Unreachable::DeliveryFailed)),
    }
}
