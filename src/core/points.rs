//! Points: sign-ins, their leases, their connections and how far they are trusted
//! (`decisions.md` 12, 14, 22).

use crate::core::access::{Right, Scheme, Verdict};
use crate::core::command::{
    Caller, Condition, Lineage, Outcome, PointChange, PointInfo, PointSpec, Register, Reply,
    Tether, TetherChange,
};
use crate::core::devices::Bond;
use crate::core::effect::{Notice, Rules, Why};
use crate::core::error::{Error, Limit};
use crate::core::event::Event;
use crate::core::id::{PointId, Stack};
use crate::core::node::Holder;
use crate::core::port::{PointRecord, Write};
use crate::core::time::Time;
use crate::core::user::{Fx, User};
use std::time::Duration;

/// One sign-in, live.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) record: PointRecord,
    /// When its client last did something.
    pub(super) active: Time,
    pub(super) link: Link,
    /// First of a row of failures.
    pub(super) failed: Option<Time>,
    /// Since when it is doubted.
    pub(super) doubted: Option<Time>,
    /// What the last failure was.
    pub(super) failure: Option<Outcome>,
    /// Its person knows that nothing can be sent to it.
    pub(super) announced: bool,
    /// The oldest point of its device.
    pub(super) device: PointId,
    /// Why it is of that device, if it is not alone there.
    pub(super) bond: Option<Bond>,
}

/// Whether the way to the client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// It does.
    Live,
    /// The connection is lost; the point goes at that time.
    Grace(Time),
    /// We restarted; the point goes at that time.
    Suspended(Time),
}

impl Point {
    /// A point as it was signed in, or restored: alone until [`User::regroup`].
    pub(super) fn new(record: PointRecord, link: Link, active: Time) -> Self {
        Self {
            device: record.id,
            record,
            active,
            link,
            failed: None,
            doubted: None,
            failure: None,
            announced: false,
            bond: None,
        }
    }

    /// Whether its person has given no sign of life by it for long.
    pub(super) fn is_idle(&self, now: Time, rules: &Rules) -> bool {
        !rules.idle_after.is_zero() && now >= self.active.after(rules.idle_after)
    }

    /// Whether it is out of the fold: doubted for too long (`decisions.md` 14).
    pub(super) fn hidden(&self, now: Time, rules: &Rules) -> bool {
        self.doubted
            .is_some_and(|since| now >= since.after(rules.doubt_hides))
    }

    pub(super) fn info(&self) -> PointInfo {
        let spec = &self.record.spec;
        PointInfo {
            id: self.record.id,
            stack: self.record.stack,
            key: spec.key.clone(),
            inbox: spec.inbox.clone(),
            expires: self.record.expires,
            reach: spec.reach,
            preference: spec.preference,
            source: spec.source,
            client: spec.client.clone(),
            holder: self.record.holder.clone(),
            condition: match self.link {
                _ if self.doubted.is_some() => Condition::Doubted,
                Link::Live => Condition::Live,
                Link::Grace(_) => Condition::Grace,
                Link::Suspended(_) => Condition::Suspended,
            },
            handle: spec.handle.clone(),
            active: self.active,
        }
    }

    /// When something about it is due next.
    pub(super) fn due(&self, now: Time, rules: &Rules) -> Time {
        let mut due = self.record.expires;
        if let Link::Grace(until) | Link::Suspended(until) = self.link {
            due = due.min(until);
        }
        if !rules.idle_after.is_zero() && !self.is_idle(now, rules) {
            due = due.min(self.active.after(rules.idle_after));
        }
        if let Some(since) = self.doubted {
            let hides = since.after(rules.doubt_hides);
            due = due.min(if now < hides {
                hides
            } else {
                since.after(rules.doubt_removes)
            });
        }
        due
    }

    /// Why it has to go by now, if it has.
    fn overdue(&self, now: Time, rules: &Rules) -> Option<Why> {
        if now >= self.record.expires {
            return Some(Why::LeaseEnded);
        }
        if let Link::Grace(until) | Link::Suspended(until) = self.link
            && now >= until
        {
            return Some(Why::ConnectionLost);
        }
        self.doubted
            .is_some_and(|since| now >= since.after(rules.doubt_removes))
            .then_some(Why::Dead)
    }
}

fn is_holder(caller: &Caller, point: &Point) -> bool {
    let holder = point.record.holder.as_ref();
    holder.is_some_and(|holder| holder.is(caller))
}

impl User {
    /// Executes [`crate::core::command::Command::Register`]: everything is checked before
    /// anything changes.
    pub(super) fn register(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        register: Register,
    ) -> Result<Reply, Error> {
        let holder = self.may_register(fx.rules(), caller, &register)?;
        let excess = self.check_register(fx.rules(), &register)?;
        self.displace(fx, excess, &register);
        let Register {
            stack,
            lineage,
            changes,
        } = register;
        for change in changes {
            match change {
                PointChange::Put(spec) if spec.lease.is_zero() => {
                    self.remove_key(fx, stack, spec.key.as_deref());
                }
                PointChange::Put(spec) => {
                    self.put_point(fx, (stack, holder.clone()), lineage.clone(), *spec);
                }
                PointChange::Remove { key } => self.remove_key(fx, stack, Some(&key)),
                PointChange::RemoveId(id) => self.end_point(fx, id, Why::Asked),
                PointChange::RemoveAll => {
                    for id in self.ids_of(stack) {
                        self.end_point(fx, id, Why::Asked);
                    }
                }
            }
        }
        self.announce_send_only(fx);
        self.announce_waiting(fx);
        let shown = |p: &&Point| p.record.stack == stack && self.holds(caller, p);
        let points = self.points.iter().filter(shown);
        Ok(Reply::Points(points.map(Point::info).collect()))
    }

    /// Who may change points: a person's are his alone; at a node, everybody who may receive from
    /// it subscribes for himself. Returns whose the new points are.
    fn may_register(
        &self,
        rules: &Rules,
        caller: &Caller,
        register: &Register,
    ) -> Result<Option<Holder>, Error> {
        if !self.is_node() || caller.scheme == Scheme::Internal {
            return self.must_own(caller).map(|()| None);
        }
        let held = self.points.iter().filter(|p| is_holder(caller, p));
        let mut held = held.count();
        for change in &register.changes {
            match change {
                PointChange::Put(_) => {
                    self.must(rules, caller, Right::ReceiveFrom)?;
                    held += 1;
                    if held > rules.points {
                        return Err(Error::LimitReached(Limit::Points));
                    }
                }
                PointChange::RemoveId(id) => {
                    let point = self.point(*id).ok_or(Error::StaleId)?;
                    if !self.handles(rules, caller, point) {
                        return Err(Error::StaleId);
                    }
                }
                PointChange::Remove { .. } | PointChange::RemoveAll => self.must_own(caller)?,
            }
        }
        Ok(Some(Holder::of(caller)))
    }

    /// Whether the point is the caller's: his own, at whatever owner, or the owner's.
    fn holds(&self, caller: &Caller, point: &Point) -> bool {
        self.owns(caller) || is_holder(caller, point)
    }

    /// Whether the caller may handle the point: it is his, or somebody else's at a node where he
    /// may subscribe others. A person's sign-ins are nobody else's.
    fn handles(&self, rules: &Rules, caller: &Caller, point: &Point) -> bool {
        self.holds(caller, point)
            || self.is_node()
                && self.verdict(rules, caller, Right::SubscribeOthers) == Verdict::Granted
    }

    /// Checks every change against what the earlier ones leave; returns by how many points the
    /// limit would be passed (all of them can be displaced).
    fn check_register(&self, rules: &Rules, register: &Register) -> Result<usize, Error> {
        let stack = register.stack;
        // (existing point, its key): what is there after the changes so far.
        let mut after: Vec<(Option<PointId>, Option<&str>)> = self
            .points
            .iter()
            .filter(|p| p.record.stack == stack)
            .map(|p| (Some(p.record.id), p.record.spec.key.as_deref()))
            .collect();
        let others = self.points.len() - after.len();
        for change in &register.changes {
            match change {
                PointChange::Put(spec) => {
                    let key = spec.key.as_deref();
                    let same = key.and_then(|_| after.iter().position(|(_, k)| *k == key));
                    self.check_order(same.and_then(|at| after[at].0), register)?;
                    match (same, spec.lease.is_zero()) {
                        (Some(at), true) => drop(after.remove(at)),
                        (None, true) if key.is_none() => {
                            return Err(Error::TooBrief(Duration::from_secs(1)));
                        }
                        (None, false) => after.push((None, key)),
                        _ => {}
                    }
                }
                PointChange::Remove { key } => {
                    if let Some(at) = after.iter().position(|(_, k)| *k == Some(&**key)) {
                        self.check_order(after[at].0, register)?;
                        after.remove(at);
                    }
                }
                PointChange::RemoveId(id) => {
                    let at = after.iter().position(|(found, _)| *found == Some(*id));
                    let at = at.ok_or(Error::StaleId)?;
                    self.check_order(Some(*id), register)?;
                    after.remove(at);
                }
                PointChange::RemoveAll => {
                    for (id, _) in &after {
                        self.check_order(*id, register)?;
                    }
                    after.clear();
                }
            }
        }
        let most = if self.is_node() {
            rules.subscribers
        } else {
            rules.points
        };
        let excess = (others + after.len()).saturating_sub(most);
        let evictable = self.evictable(register).count();
        if excess > evictable {
            return Err(Error::LimitReached(Limit::Points));
        }
        Ok(excess)
    }

    /// The order guard (RFC 3261 10.3): same lineage, not newer = refused.
    fn check_order(&self, point: Option<PointId>, register: &Register) -> Result<(), Error> {
        let (Some(id), Some(new)) = (point, &register.lineage) else {
            return Ok(());
        };
        let old = self.point(id).and_then(|p| p.record.lineage.as_ref());
        match old {
            Some(old) if old.name == new.name && old.sequence >= new.sequence => {
                Err(Error::OutOfOrder)
            }
            _ => Ok(()),
        }
    }

    /// Points that may make room: doubted ones, and keyless ones whose inbox signs in anew.
    fn evictable<'a>(&'a self, register: &'a Register) -> impl Iterator<Item = PointId> + 'a {
        let named = |id: PointId, key: Option<&str>| {
            register.changes.iter().any(|change| match change {
                PointChange::Put(spec) => key.is_some() && spec.key.as_deref() == key,
                PointChange::Remove { key: gone } => key == Some(&**gone),
                PointChange::RemoveId(gone) => *gone == id,
                PointChange::RemoveAll => true,
            })
        };
        let again = |point: &Point| {
            point.record.stack == register.stack
                && point.record.spec.key.is_none()
                && register.changes.iter().any(|change| {
                    matches!(change, PointChange::Put(spec) if spec.inbox == point.record.spec.inbox)
                })
        };
        self.points
            .iter()
            .filter(move |p| p.doubted.is_some() || again(p))
            .filter(move |p| {
                p.record.stack != register.stack
                    || !named(p.record.id, p.record.spec.key.as_deref())
            })
            .map(|p| p.record.id)
    }

    fn displace(&mut self, fx: &mut Fx<'_, '_>, excess: usize, register: &Register) {
        if excess == 0 {
            return;
        }
        let gone: Vec<_> = self.evictable(register).take(excess).collect();
        for id in gone {
            self.end_point(fx, id, Why::Displaced);
        }
    }

    fn put_point(
        &mut self,
        fx: &mut Fx<'_, '_>,
        (stack, holder): (Stack, Option<Holder>),
        lineage: Option<Lineage>,
        mut spec: PointSpec,
    ) {
        spec.lease = spec.lease.min(fx.rules().lease_max);
        let now = fx.now();
        let expires = now.after(spec.lease);
        let known = spec
            .key
            .as_deref()
            .and_then(|key| self.point_by_key(stack, key));
        let id = match known {
            Some(at) => {
                let point = &mut self.points[at];
                point.record.spec = spec;
                point.record.lineage = lineage;
                point.record.expires = expires;
                point.link = Link::Live;
                // A client that registers again is worth another try.
                point.failed = None;
                point.doubted = None;
                point.record.id
            }
            None => {
                let id = PointId(fx.next_number());
                // A client that signs in again at its own inbox has been there before.
                let here =
                    |p: &&Point| p.record.stack == stack && p.record.spec.inbox == spec.inbox;
                let earlier = self.points.iter().filter(here).map(|p| p.record.since);
                let record = PointRecord {
                    person: self.person(),
                    id,
                    stack,
                    since: earlier.min().unwrap_or(now),
                    spec,
                    holder,
                    lineage,
                    expires,
                };
                self.points.push(Point::new(record, Link::Live, now));
                id
            }
        };
        if let Some(point) = self.point(id) {
            fx.store(Write::PutPoint(point.record.clone()));
        }
        if known.is_none() {
            self.adopt_orphans(fx, id);
        }
        self.regroup(fx);
        self.arm(expires);
        self.arm_idle(fx, id);
        self.changed(Some(id));
        self.knock(fx);
    }

    /// The point turns idle if nothing is heard of it.
    fn arm_idle(&mut self, fx: &Fx<'_, '_>, id: PointId) {
        let span = fx.rules().idle_after;
        if let (false, Some(point)) = (span.is_zero(), self.point(id)) {
            self.arm(point.active.after(span));
        }
    }

    pub(super) fn renew_point(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        id: PointId,
        lease: Duration,
    ) -> Result<Reply, Error> {
        let known = self.point(id);
        if !known.is_some_and(|point| self.handles(fx.rules(), caller, point)) {
            return Err(Error::StaleId);
        }
        if lease.is_zero() {
            return Err(Error::TooBrief(Duration::from_secs(1)));
        }
        let lease = lease.min(fx.rules().lease_max);
        let (now, person) = (fx.now(), self.person());
        let point = self.point_mut(id).ok_or(Error::StaleId)?;
        let expires = now.after(lease);
        // A longer grant has to be stored whole: restoring never goes beyond what was granted.
        let grew = point.record.spec.lease != lease;
        point.record.spec.lease = lease;
        point.record.expires = expires;
        fx.store(if grew {
            Write::PutPoint(point.record.clone())
        } else {
            Write::TouchPoint(person, id, expires)
        });
        let info = point.info();
        self.arm(expires);
        Ok(Reply::Points(vec![info]))
    }

    pub(super) fn tether(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        id: PointId,
        change: TetherChange,
    ) -> Result<Reply, Error> {
        self.must_own(caller)?;
        let now = fx.now();
        let until = now.after(fx.rules().grace);
        let point = self.point_mut(id).ok_or(Error::StaleId)?;
        match change {
            TetherChange::Lost => {
                if point.link == Link::Live && point.record.spec.tether == Tether::Connection {
                    point.link = Link::Grace(until);
                    self.arm(until);
                }
            }
            TetherChange::Back { handle } => {
                point.link = Link::Live;
                point.active = now;
                if point.record.spec.handle != handle {
                    point.record.spec.handle = handle;
                    fx.store(Write::PutPoint(point.record.clone()));
                }
                self.changed(Some(id));
                self.knock(fx);
            }
        }
        Ok(Reply::Done)
    }

    /// Removes a point and what hangs on it.
    pub(super) fn end_point(&mut self, fx: &mut Fx<'_, '_>, id: PointId, why: Why) {
        let Some(at) = self.points.iter().position(|p| p.record.id == id) else {
            return;
        };
        let point = self.points.remove(at);
        let stack = point.record.stack;
        fx.store(Write::DeletePoint(self.person(), id));
        fx.emit(
            stack,
            Event::PointEnded {
                person: self.person(),
                point: point.info(),
            },
        );
        if why != Why::Asked {
            fx.log(Notice::PointEnded(self.person(), id, why));
        }
        self.end_publications_of(fx, &point);
        self.regroup(fx);
        self.changed(Some(id));
        self.point_lost(fx, id);
    }

    fn remove_key(&mut self, fx: &mut Fx<'_, '_>, stack: Stack, key: Option<&str>) {
        if let Some(at) = key.and_then(|key| self.point_by_key(stack, key)) {
            let id = self.points[at].record.id;
            self.end_point(fx, id, Why::Asked);
        }
    }

    /// The point answered: no doubt is left (`decisions.md` 14).
    pub(super) fn point_answered(&mut self, fx: &mut Fx<'_, '_>, id: PointId) {
        let person = self.person();
        let Some(point) = self.point_mut(id) else {
            return;
        };
        point.failed = None;
        if point.doubted.take().is_some() {
            fx.log(Notice::Trusted(person, id));
            self.changed(Some(id));
            self.drain(fx);
        }
    }

    /// The point did not answer: the second time, some seconds later, it is doubted.
    pub(super) fn point_failed(
        &mut self,
        fx: &mut Fx<'_, '_>,
        id: PointId,
        failure: Option<Outcome>,
    ) {
        let (now, person, rules) = (fx.now(), self.person(), fx.rules());
        let Some(point) = self.point_mut(id) else {
            return;
        };
        point.failure = failure;
        let first = *point.failed.get_or_insert(now);
        if point.doubted.is_some() || now.since(first) < rules.doubt_after {
            return;
        }
        point.doubted = Some(now);
        fx.log(Notice::Doubted(person, id));
        self.arm(now.after(rules.doubt_hides));
        self.point_lost(fx, id);
    }

    /// Ends points whose time is over.
    pub(super) fn expire_points(&mut self, fx: &mut Fx<'_, '_>) {
        let (now, rules) = (fx.now(), fx.rules());
        let over: Vec<_> = self
            .points
            .iter()
            .filter_map(|p| Some((p.record.id, p.overdue(now, rules)?)))
            .collect();
        for (id, why) in over {
            self.end_point(fx, id, why);
        }
    }

    pub(super) fn point(&self, id: PointId) -> Option<&Point> {
        self.points.iter().find(|p| p.record.id == id)
    }

    fn point_mut(&mut self, id: PointId) -> Option<&mut Point> {
        self.points.iter_mut().find(|p| p.record.id == id)
    }

    fn point_by_key(&self, stack: Stack, key: &str) -> Option<usize> {
        self.points
            .iter()
            .position(|p| p.record.stack == stack && p.record.spec.key.as_deref() == Some(key))
    }

    fn ids_of(&self, stack: Stack) -> Vec<PointId> {
        let of_stack = self.points.iter().filter(|p| p.record.stack == stack);
        of_stack.map(|p| p.record.id).collect()
    }

    /// The newest point of every inbox, oldest inbox first (`decisions.md` 22); where a client has
    /// several ways to it (RFC 5626), the newest that stands.
    pub(super) fn inboxes(&self) -> impl Iterator<Item = &Point> {
        self.points.iter().enumerate().filter_map(|(at, point)| {
            let stands = point.link == Link::Live;
            let better = self.points.iter().enumerate().any(|(other_at, other)| {
                let other_stands = other.link == Link::Live;
                (other_stands, other_at) > (stands, at)
                    && other.record.stack == point.record.stack
                    && other.record.spec.inbox == point.record.spec.inbox
            });
            (!better).then_some(point)
        })
    }
}
