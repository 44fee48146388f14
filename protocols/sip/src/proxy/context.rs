//! The response context of one request (RFC 3261 16.2): its branches and what they said.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;

use super::best::best;
use super::engine::Order;
use super::forward::{self, Target};
use super::plan::Plan;
use crate::build::Response;
use crate::flow::{Millis, NEVER};
use crate::raw::{HeaderId, Method, RawMessage};
use crate::transaction::TxId;

/// Why a branch of ours, or the whole, ended as it did; for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A target answered so.
    Answered,
    /// No target answered (16.8).
    Silence,
    /// It rang too long (timer C).
    RangTooLong,
    /// No target could be reached (16.9).
    Unreached,
    /// The caller gave up.
    Cancelled,
    /// The caller's transaction ended first.
    Abandoned,
    /// A target asks for credentials, and whoever is to show them has none that it takes.
    Unproved,
}

/// Who stopped a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopped {
    No,
    /// Timer C, or the turn of others.
    Time,
    /// The caller, or another branch's answer.
    Elsewhere,
}

#[derive(Debug)]
enum State {
    Open {
        until: Millis,
        stopped: Stopped,
    },
    /// Its final answer, if one came by the wire.
    Ended {
        status: u16,
        cause: Cause,
        response: Option<RawMessage>,
    },
}

#[derive(Debug)]
pub(super) struct Branch {
    pub(super) tx: TxId,
    state: State,
    /// It has said something.
    alive: bool,
    /// Where it went, if it may go there once more.
    pub(super) target: Option<Target>,
}

/// One request under way.
#[derive(Debug)]
pub(super) struct Context<T> {
    pub(super) tx: TxId,
    pub(super) invite: bool,
    /// Until its final response is out.
    pub(super) request: Option<RawMessage>,
    pub(super) plan: Plan,
    pub(super) source: SocketAddr,
    pub(super) tag: String,
    /// Max-Breadth to share among the members of a group.
    pub(super) breadth: u32,
    pub(super) groups: VecDeque<Vec<Target>>,
    /// The groups are places of one server.
    pub(super) failover: bool,
    /// What went to the targets is kept.
    pub(super) proves: bool,
    /// What an answer of our own says besides.
    pub(super) warning: Option<String>,
    pub(super) branches: Vec<Branch>,
    pub(super) answered: bool,
    pub(super) cancelled: bool,
    pub(super) held: Option<T>,
    /// When it is forgotten, once answered.
    pub(super) ends_at: Millis,
    /// The earliest entry in the timer heap.
    pub(super) armed_at: Millis,
}

/// What to answer when all branches have ended.
pub(super) enum Final {
    /// These octets.
    Send(u16, Bytes, Cause),
    /// Nothing: RFC 4320 4.2 forbids 408 to other requests than INVITE.
    Silence,
}

impl<T> Context<T> {
    pub(super) fn new(order: Order<T>, breadth: u32, most: usize) -> Self {
        let invite = order.request.method() == Some(&Method::Invite);
        Self {
            tx: order.tx,
            invite,
            plan: order.plan,
            source: order.source,
            tag: order.tag,
            breadth,
            groups: if order.failover {
                let places = order.targets.into_iter().take(most);
                places.map(|place| vec![place]).collect()
            } else {
                groups(order.targets, breadth, most)
            },
            failover: order.failover,
            proves: order.proves,
            warning: None,
            request: Some(order.request),
            branches: Vec::new(),
            answered: false,
            cancelled: false,
            held: Some(order.held),
            ends_at: NEVER,
            armed_at: NEVER,
        }
    }

    /// A branch has been sent.
    pub(super) fn sent(&mut self, tx: TxId, until: Millis, target: Option<Target>) {
        self.branches.push(Branch {
            tx,
            state: State::Open {
                until,
                stopped: Stopped::No,
            },
            alive: false,
            target,
        });
    }

    /// Where a branch went that may go once more: nobody has stopped it.
    pub(super) fn restarted(&mut self, branch: usize) -> Option<&mut Target> {
        let wanted = !self.answered && !self.cancelled;
        let branch = self.branches.get_mut(branch).filter(|_| wanted)?;
        let running = matches!(
            branch.state,
            State::Open {
                stopped: Stopped::No,
                ..
            }
        );
        branch.target.as_mut().filter(|_| running)
    }

    /// A branch has been sent once more.
    pub(super) fn sent_again(&mut self, branch: usize, tx: TxId, until: Millis) {
        if let Some(branch) = self.branches.get_mut(branch) {
            branch.tx = tx;
            branch.alive = true;
            branch.state = State::Open {
                until,
                stopped: Stopped::No,
            };
        }
    }

    /// A provisional response came on a branch: timer C begins anew, unless others wait.
    pub(super) fn rings(&mut self, branch: usize, until: Millis) {
        self.alive(branch, until);
        let waiting = !self.failover && !self.groups.is_empty();
        if let Some(State::Open {
            until: own,
            stopped: Stopped::No,
        }) = self.branches.get_mut(branch).map(|b| &mut b.state)
            && !waiting
        {
            *own = until;
        }
    }

    /// A place has said something: from now on it has the time that a last one has.
    pub(super) fn alive(&mut self, branch: usize, until: Millis) {
        let until = if self.invite { until } else { NEVER };
        let failover = self.failover;
        let Some(branch) = self.branches.get_mut(branch).filter(|_| failover) else {
            return;
        };
        if let State::Open {
            until: own,
            stopped: Stopped::No,
        } = &mut branch.state
            && !branch.alive
        {
            (branch.alive, *own) = (true, until);
        }
    }

    /// Places that have said nothing for too long while others wait: they have ended.
    pub(super) fn silent(&mut self, now: Millis) -> Vec<TxId> {
        if !self.failover || self.groups.is_empty() {
            return Vec::new();
        }
        let late = self.branches.iter_mut().filter(|branch| {
            let late = matches!(
                branch.state,
                State::Open { until, stopped: Stopped::No } if until <= now
            );
            late && !branch.alive
        });
        let ended = late.map(|branch| {
            branch.state = State::Ended {
                status: 408,
                cause: Cause::Silence,
                response: None,
            };
            branch.tx
        });
        ended.collect()
    }

    /// Whether those that wait have their turn: other places of a server only where the last one
    /// failed as a place.
    pub(super) fn goes_on(&self) -> bool {
        let last = self.branches.last().and_then(ending);
        !self.failover
            || last.is_none_or(|(status, cause, _)| {
                status == 503 || matches!(cause, Cause::Silence | Cause::Unreached)
            })
    }

    /// A branch has ended; false if it had before.
    pub(super) fn ended(
        &mut self,
        branch: usize,
        mut status: u16,
        mut cause: Cause,
        response: Option<RawMessage>,
    ) -> bool {
        let Some(state) = self.branches.get_mut(branch).map(|b| &mut b.state) else {
            return false;
        };
        let State::Open { stopped, .. } = state else {
            return false;
        };
        let mut response = response;
        // A 487 that our own patience caused is a time-out to the caller.
        if *stopped == Stopped::Time && matches!(status, 487 | 408) {
            (status, cause, response) = (408, Cause::RangTooLong, None);
        }
        *state = State::Ended {
            status,
            cause,
            response,
        };
        true
    }

    /// Branches that are to be cancelled now, each once.
    pub(super) fn stop_all(&mut self) -> Vec<TxId> {
        self.groups.clear();
        let open = self.branches.iter_mut().filter_map(|branch| {
            let State::Open { until, stopped } = &mut branch.state else {
                return None;
            };
            let first = *stopped == Stopped::No;
            (*stopped, *until) = (Stopped::Elsewhere, NEVER);
            first.then_some(branch.tx)
        });
        open.collect()
    }

    /// Branches that have rung too long.
    pub(super) fn overdue(&mut self, now: Millis) -> Vec<TxId> {
        let late = self.branches.iter_mut().filter_map(|branch| {
            let State::Open { until, stopped } = &mut branch.state else {
                return None;
            };
            if *until > now || *stopped != Stopped::No {
                return None;
            }
            (*stopped, *until) = (Stopped::Time, NEVER);
            Some(branch.tx)
        });
        late.collect()
    }

    pub(super) fn due_at(&self) -> Millis {
        let branches = self.branches.iter().map(|branch| match branch.state {
            State::Open { until, .. } => until,
            State::Ended { .. } => NEVER,
        });
        branches.min().unwrap_or(NEVER).min(self.ends_at)
    }

    pub(super) fn is_open(&self) -> bool {
        let open = |branch: &Branch| matches!(branch.state, State::Open { .. });
        self.branches.iter().any(open)
    }

    /// The answer, now that no branch is open and none waits (16.7 steps 6 to 8).
    pub(super) fn verdict(&self) -> Final {
        let passed = if self.failover {
            self.branches.len().saturating_sub(1)
        } else {
            0
        };
        let ended = self.branches.iter().skip(passed).filter_map(ending);
        let ended: Vec<_> = ended.collect();
        // What was silent, or stopped by us, has nothing to say to other requests than INVITE.
        let heard = |status: u16| self.invite || status != 408;
        let heard: Vec<_> = ended.iter().filter(|(s, ..)| heard(*s)).collect();
        let Some((status, cause, response)) =
            best(heard.iter().map(|(status, ..)| *status)).and_then(|at| heard.get(at).copied())
        else {
            return Final::Silence;
        };
        let cause = if self.cancelled {
            &Cause::Cancelled
        } else {
            cause
        };
        match response {
            // Who was cancelled and said no more is as good as terminated (9.1).
            None if self.cancelled && *status == 408 => self.own(487, *cause),
            // 16.7 step 6: to whom we answer, 503 would say that we are overloaded.
            _ if *status == 503 => self.own(500, *cause),
            Some(best) => {
                let octets = if matches!(status, 401 | 407) {
                    let others: Vec<_> = self.challenges(best).collect();
                    forward::back_with(best, &others)
                } else {
                    forward::back(best)
                };
                match octets {
                    Some(octets) => Final::Send(*status, octets, *cause),
                    None => self.own(500, *cause),
                }
            }
            None => self.own(*status, *cause),
        }
    }

    /// 16.7 step 7: a client must see what each branch asks for.
    fn challenges<'a>(&'a self, best: &'a RawMessage) -> impl Iterator<Item = &'a RawMessage> {
        self.branches
            .iter()
            .filter_map(ending)
            .filter(|(status, ..)| matches!(status, 401 | 407))
            .filter_map(|(.., response)| response)
            .filter(move |response| !std::ptr::eq(*response, best))
    }

    /// An answer of our own.
    pub(super) fn own(&self, status: u16, cause: Cause) -> Final {
        match &self.request {
            Some(request) => Final::Send(status, self.write(request, status), cause),
            None => Final::Silence,
        }
    }

    pub(super) fn write(&self, request: &RawMessage, status: u16) -> Bytes {
        let response = Response::to(request, status)
            .received(self.source)
            .to_tag(&self.tag);
        // RFC 3261 8.2.6.1: a 100 repeats the Timestamp.
        let response = if status == 100 {
            response.copy(HeaderId::Timestamp)
        } else {
            response
        };
        let response = match &self.warning {
            Some(warning) if status >= 300 => response.header(HeaderId::Warning, warning),
            _ => response,
        };
        response.finish()
    }
}

fn ending(branch: &Branch) -> Option<(u16, Cause, Option<&RawMessage>)> {
    match &branch.state {
        State::Open { .. } => None,
        State::Ended {
            status,
            cause,
            response,
        } => Some((*status, *cause, response.as_ref())),
    }
}

/// Targets by preference, highest first, equal ones together; no group larger than the breadth
/// that came with the request: what does not fit is tried after it (RFC 5393 5.3.3).
fn groups(mut targets: Vec<Target>, breadth: u32, most: usize) -> VecDeque<Vec<Target>> {
    targets.sort_by_key(|target| std::cmp::Reverse(target.q));
    targets.truncate(most);
    let widest = usize::try_from(breadth).unwrap_or(usize::MAX);
    let mut groups: VecDeque<Vec<Target>> = VecDeque::new();
    for target in targets {
        match groups.back_mut() {
            Some(group)
                if group.len() < widest && group.first().is_some_and(|f| f.q == target.q) =>
            {
                group.push(target);
            }
            _ => groups.push_back(vec![target]),
        }
    }
    groups
}
