//! The proxy: requests in, forks out, one answer each.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::SocketAddr;

use super::Settings;
use super::context::{Cause, Context, Final};
use super::forward::{self, Onward, Target};
use super::marks::Marks;
use super::plan::{Plan, Unfit};
use crate::flow::{Millis, NEVER};
use crate::raw::{HeaderId, RawMessage};
use crate::transaction::{Engine, Failure, Retention, TxId};

/// Tokens of ours have this bit; `u64::MAX` is the engine's own.
pub(super) const TOKEN: u64 = 1 << 63;
/// Low bits of a token: the branch.
pub(super) const BRANCH_BITS: u32 = 8;

/// A request to be forwarded.
#[derive(Debug)]
pub struct Order<T> {
    /// Its server transaction.
    pub tx: TxId,
    /// As it came; checked by [`super::check`].
    pub request: RawMessage,
    /// Its way, read.
    pub plan: Plan,
    /// Where it came from.
    pub source: SocketAddr,
    /// The To tag of answers of our own.
    pub tag: String,
    /// Where it goes; not empty.
    pub targets: Vec<Target>,
    /// The targets are places of one server, the first one first: the next is tried only where one
    /// is silent, out of reach or says 503 (RFC 3263 4.3), and the last one's answer counts.
    pub failover: bool,
    /// Challenges of the targets may be answered here: what went there is kept for
    /// [`Proxy::again`].
    pub proves: bool,
    /// The caller's own; comes back when it has its answer.
    pub held: T,
}

/// What became of a request: told once for each [`Proxy::open`] that succeeded.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended<T> {
    /// The status that went back; zero if none could or may.
    pub status: u16,
    /// Why.
    pub cause: Cause,
    /// Branches that were tried.
    pub branches: usize,
    /// As given.
    pub held: T,
}

/// All requests that one shard of traffic forwards.
#[derive(Debug)]
pub struct Proxy<T> {
    pub(super) settings: Settings,
    pub(super) marks: Marks,
    /// Realms whose credentials end here.
    pub(super) realms: Vec<String>,
    /// Headers that end here.
    pub(super) strip: Vec<HeaderId>,
    pub(super) contexts: HashMap<u64, Context<T>>,
    by_tx: HashMap<TxId, u64>,
    timers: BinaryHeap<Reverse<(Millis, u64)>>,
    next: u64,
    out: VecDeque<Ended<T>>,
}

pub(super) type Core = Engine<RawMessage>;

impl<T> Proxy<T> {
    /// A proxy without any request. Credentials for these realms, and these headers, go no further.
    pub fn new(
        settings: Settings,
        marks: Marks,
        realms: Vec<String>,
        strip: Vec<HeaderId>,
    ) -> Self {
        Self {
            settings,
            marks,
            realms,
            strip,
            contexts: HashMap::new(),
            by_tx: HashMap::new(),
            timers: BinaryHeap::new(),
            next: 0,
            out: VecDeque::new(),
        }
    }

    /// The keys.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    /// Requests remembered.
    pub fn len(&self) -> usize {
        self.contexts.len()
    }

    /// True if none is.
    pub fn is_empty(&self) -> bool {
        self.contexts.is_empty()
    }

    /// Whether a token of the engine's is a branch of this proxy.
    #[must_use]
    pub fn owns(token: u64) -> bool {
        token & TOKEN != 0 && token != u64::MAX
    }

    /// The next request that has its answer.
    pub fn poll(&mut self) -> Option<Ended<T>> {
        self.out.pop_front()
    }

    /// Forks a request.
    ///
    /// # Errors
    /// [`Unfit::Breadth`], with the order: nothing has been sent.
    pub fn open(
        &mut self,
        now: Millis,
        engine: &mut Core,
        order: Order<T>,
    ) -> Result<(), (Unfit, Box<Order<T>>)> {
        let breadth = breadth(&order.request).unwrap_or(self.settings.breadth);
        if breadth == 0 {
            return Err((Unfit::Breadth, Box::new(order)));
        }
        self.next += 1;
        let (id, tx) = (self.next, order.tx);
        let most = self.settings.branches.min(1 << BRANCH_BITS);
        let context = Context::new(order, breadth, most);
        self.by_tx.insert(tx, id);
        self.contexts.insert(id, context);
        self.proceed(now, engine, id);
        Ok(())
    }

    /// Forwards an ACK of a 2xx: without state, the same octets for each repeat (16.11).
    #[must_use]
    pub fn acknowledge(
        &self,
        ack: &RawMessage,
        plan: &Plan,
        source: SocketAddr,
        target: &Target,
    ) -> bytes::Bytes {
        let onward = Onward {
            request: ack,
            plan,
            source,
            realms: &self.realms,
            strip: &self.strip,
            breadth: None,
        };
        onward.to(target, &self.marks.stateless_branch(ack))
    }

    /// A response on a branch of ours.
    pub fn response(
        &mut self,
        now: Millis,
        engine: &mut Core,
        token: u64,
        status: u16,
        response: RawMessage,
    ) {
        let (id, branch) = read(token);
        let Some(context) = self.contexts.get_mut(&id) else {
            return;
        };
        match status {
            // 16.7 step 4: a 100 is for one hop.
            ..=100 => context.alive(branch, now.saturating_add(self.settings.ring)),
            // RFC 4320 4.1: no other provisional on other requests than INVITE.
            101..=199 if !context.invite => context.alive(branch, NEVER),
            101..=199 => {
                context.rings(branch, now.saturating_add(self.settings.ring));
                if !context.answered
                    && let Some(octets) = forward::back(&response)
                {
                    let _ = engine.respond(now, context.tx, status, octets, Retention::Transaction);
                }
                self.arm(id);
            }
            200..=299 => self.accepted(now, engine, (id, branch), status, &response),
            _ => {
                let fresh = context.ended(branch, status, Cause::Answered, Some(response));
                if fresh && status >= 600 {
                    // 16.7 step 5: nobody else is asked, and who rings stops.
                    self.stop(now, engine, id);
                }
                self.proceed(now, engine, id);
            }
        }
    }

    /// A branch of ours got no answer (16.8, 16.9).
    pub fn failed(&mut self, now: Millis, engine: &mut Core, token: u64, why: Failure) {
        let (id, branch) = read(token);
        let Some(context) = self.contexts.get_mut(&id) else {
            return;
        };
        let (status, cause) = match why {
            Failure::Timeout => (408, Cause::Silence),
            Failure::Transport => (503, Cause::Unreached),
        };
        context.ended(branch, status, cause, None);
        self.proceed(now, engine, id);
    }

    /// The caller cancelled an INVITE (16.10): false if it is none of ours, or has its answer.
    pub fn cancel(&mut self, now: Millis, engine: &mut Core, tx: TxId) -> bool {
        let Some(id) = self.by_tx.get(&tx).copied() else {
            return false;
        };
        if let Some(context) = self.contexts.get_mut(&id) {
            context.cancelled = true;
        }
        self.stop(now, engine, id);
        self.proceed(now, engine, id);
        true
    }

    /// It is time for a 100: false if the request is none of ours.
    pub fn trying(&mut self, now: Millis, engine: &mut Core, tx: TxId) -> bool {
        let context = self.by_tx.get(&tx).and_then(|id| self.contexts.get(id));
        let Some((context, request)) = context.and_then(|c| Some((c, c.request.as_ref()?))) else {
            return false;
        };
        let octets = context.write(request, 100);
        let _ = engine.respond(now, tx, 100, octets, Retention::Transaction);
        true
    }

    /// A server transaction has ended without an answer: whoever rings stops.
    pub fn expired(&mut self, now: Millis, engine: &mut Core, tx: TxId) {
        let Some(id) = self.by_tx.get(&tx).copied() else {
            return;
        };
        self.stop(now, engine, id);
        self.tell(id, 0, Cause::Abandoned);
        self.forget(id);
    }

    /// When [`Proxy::tick`] is due.
    pub fn wake_at(&mut self) -> Option<Millis> {
        loop {
            let Reverse((at, id)) = *self.timers.peek()?;
            if let Some(context) = self.contexts.get_mut(&id)
                && context.armed_at == at
            {
                if context.due_at() == at {
                    return Some(at);
                }
                // The time moved on.
                context.armed_at = NEVER;
                self.timers.pop();
                self.arm(id);
            } else {
                self.timers.pop();
            }
        }
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Millis, engine: &mut Core) {
        while self.wake_at().is_some_and(|at| at <= now) {
            let Some(Reverse((_, id))) = self.timers.pop() else {
                return;
            };
            let Some(context) = self.contexts.get_mut(&id) else {
                continue;
            };
            context.armed_at = NEVER;
            if context.ends_at <= now {
                self.forget(id);
                continue;
            }
            let silent = context.silent(now);
            if !silent.is_empty() {
                for tx in silent {
                    if context.invite {
                        // Should it speak all the same, it is stopped.
                        engine.cancel(now, tx);
                    } else {
                        engine.forget(tx);
                    }
                }
                self.proceed(now, engine, id);
                continue;
            }
            for tx in context.overdue(now) {
                engine.cancel(now, tx);
            }
            self.arm(id);
        }
    }

    /// A 2xx: out at once, each (16.7 step 5); who else rings stops (step 10).
    fn accepted(
        &mut self,
        now: Millis,
        engine: &mut Core,
        (id, branch): (u64, usize),
        status: u16,
        response: &RawMessage,
    ) {
        let Some(context) = self.contexts.get_mut(&id) else {
            return;
        };
        context.ended(branch, status, Cause::Answered, None);
        let (tx, invite, first) = (context.tx, context.invite, !context.answered);
        let Some(octets) = forward::back(response) else {
            return;
        };
        if invite || first {
            // Further ones find the transaction in its Accepted state (RFC 6026 7.1), or gone.
            let _ = engine.respond(now, tx, status, octets, Retention::Transaction);
        }
        if first {
            self.answer(now, id, status, Cause::Answered);
        }
        if invite {
            self.stop(now, engine, id);
            self.arm(id);
        } else {
            self.forget(id);
        }
    }

    /// Starts the next group if the last one is through, or answers if there is none.
    pub(super) fn proceed(&mut self, now: Millis, engine: &mut Core, id: u64) {
        let Some(context) = self.contexts.get_mut(&id) else {
            return;
        };
        if context.answered || context.is_open() {
            return self.arm(id);
        }
        if !context.goes_on() {
            context.groups.clear();
        }
        if let Some(group) = context.groups.pop_front() {
            self.start(now, engine, id, &group);
            return self.arm(id);
        }
        let tx = context.tx;
        match context.verdict() {
            Final::Send(status, octets, cause) => {
                let _ = engine.respond(now, tx, status, octets, Retention::Transaction);
                self.answer(now, id, status, cause);
            }
            // The server transaction ends by itself; until then it absorbs repeats.
            Final::Silence => self.tell(id, 0, Cause::Silence),
        }
        self.forget(id);
    }

    fn stop(&mut self, now: Millis, engine: &mut Core, id: u64) {
        let Some(context) = self.contexts.get_mut(&id) else {
            return;
        };
        let invite = context.invite;
        let open = context.stop_all();
        // Only an INVITE can be cancelled (9.1).
        for tx in open.into_iter().filter(|_| invite) {
            engine.cancel(now, tx);
        }
    }

    /// The final response is out: only what further 2xx need is kept.
    fn answer(&mut self, now: Millis, id: u64, status: u16, cause: Cause) {
        if let Some(context) = self.contexts.get_mut(&id) {
            context.answered = true;
            context.request = None;
            context.ends_at = now.saturating_add(self.settings.linger);
        }
        self.tell(id, status, cause);
    }

    fn tell(&mut self, id: u64, status: u16, cause: Cause) {
        if let Some(context) = self.contexts.get_mut(&id)
            && let Some(held) = context.held.take()
        {
            let branches = context.branches.len();
            self.out.push_back(Ended {
                status,
                cause,
                branches,
                held,
            });
        }
    }

    fn forget(&mut self, id: u64) {
        if let Some(context) = self.contexts.remove(&id)
            && self.by_tx.get(&context.tx) == Some(&id)
        {
            self.by_tx.remove(&context.tx);
        }
        // Timers are dropped when they come up; of those that never do there are few.
        if self.timers.len() > 4 * self.contexts.len() + 1024 {
            let contexts = &self.contexts;
            let live = |Reverse((at, id)): &Reverse<(Millis, u64)>| {
                contexts.get(id).is_some_and(|c| c.armed_at == *at)
            };
            self.timers.retain(live);
        }
    }

    pub(super) fn arm(&mut self, id: u64) {
        if let Some(context) = self.contexts.get_mut(&id) {
            let due = context.due_at();
            if due < context.armed_at {
                context.armed_at = due;
                self.timers.push(Reverse((due, id)));
            }
        }
    }
}

pub(super) fn read(token: u64) -> (u64, usize) {
    let rest = token & !TOKEN;
    let branch = rest & ((1 << BRANCH_BITS) - 1);
    (rest >> BRANCH_BITS, usize::try_from(branch).unwrap_or(0))
}

/// Max-Breadth as it came; nonsense counts as none.
fn breadth(request: &RawMessage) -> Option<u32> {
    request.text(HeaderId::MaxBreadth)?.trim().parse().ok()
}
