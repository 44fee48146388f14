//! Points to devices: which sign-ins are one client program on one machine (`design.md` 5).
//!
//! A device gets one copy of a text. Taking two machines for one loses texts and taking one for two
//! doubles them, so that every doubt speaks against a pair: a third sign-in that fits as well, or
//! one that answers where the other does not, parts it again. What an operator has ruled stands.

use crate::core::command::{Caller, PointSpec, Reply, Whence};
use crate::core::conversation::Talk;
use crate::core::devices::{
    Bond, DeviceChange, DeviceInfo, Mark, PointDetail, Ruling, Split, SplitWhy, Spread,
};
use crate::core::effect::{Notice, Rules};
use crate::core::error::Error;
use crate::core::id::{PointId, Stack};
use crate::core::points::Point;
use crate::core::port::Write;
use crate::core::time::Time;
use crate::core::user::{Fx, User};

/// Rulings of operators kept per person.
const RULINGS: usize = 64;

impl Mark {
    fn of(point: &Point) -> Self {
        let spec = &point.record.spec;
        Self {
            stack: point.record.stack,
            machine: spec.machine.clone(),
            source: spec.source,
            family: spec.family.clone(),
        }
    }

    fn fits(&self, point: &Point) -> bool {
        let spec = &point.record.spec;
        let place = match &self.machine {
            Some(machine) => spec.machine.as_ref() == Some(machine),
            None => self.source == spec.source && self.family == spec.family,
        };
        place && self.stack == point.record.stack
    }
}

impl Ruling {
    fn is_about(&self, a: &Point, b: &Point) -> bool {
        (self.one.fits(a) && self.other.fits(b)) || (self.one.fits(b) && self.other.fits(a))
    }
}

impl Split {
    fn is_of(&self, a: PointId, b: PointId) -> bool {
        (self.one, self.other) == (a, b) || (self.one, self.other) == (b, a)
    }
}

impl User {
    /// Finds out anew which points are one device. A pair that is none any more because a further
    /// sign-in fits as well stays parted while both last.
    pub(super) fn regroup(&mut self, fx: &mut Fx<'_, '_>) {
        let before: Vec<(PointId, PointId)> = self
            .points
            .iter()
            .map(|p| (p.record.id, p.device))
            .collect();
        self.group(fx, &before);
        let stood = |id: PointId| before.iter().find(|(known, _)| *known == id).map(|b| b.1);
        for point in &self.points {
            let (id, device) = (point.record.id, point.device);
            let joined = device != id && stood(id) != stood(device);
            if let (true, Some(bond)) = (joined, point.bond) {
                fx.log(Notice::Paired(self.person(), device, id, bond));
            }
        }
    }

    /// The same without a word about pairs that were known `before`, or to us before a restart.
    pub(super) fn group(&mut self, fx: &mut Fx<'_, '_>, before: &[(PointId, PointId)]) {
        if self.points.len() < 2 || self.is_node() {
            for point in &mut self.points {
                (point.device, point.bond) = (point.record.id, None);
            }
            return self.forget_splits(fx);
        }
        let bonds = self.bonds(fx.rules());
        self.assign(&bonds);
        self.part_rivals(fx, before);
        self.forget_splits(fx);
    }

    /// All bonds between points, strongest first, then oldest first.
    fn bonds(&self, rules: &Rules) -> Vec<(Bond, usize, usize)> {
        let mut found = Vec::new();
        for (at, one) in self.points.iter().enumerate() {
            for (other_at, other) in self.points.iter().enumerate().skip(at + 1) {
                if let Some(bond) = self.bond(rules, one, other) {
                    found.push((bond, at, other_at));
                }
            }
        }
        found.sort_by_key(|(bond, at, other)| (std::cmp::Reverse(*bond), *at, *other));
        found
    }

    fn bond(&self, rules: &Rules, one: &Point, other: &Point) -> Option<Bond> {
        if same_inbox(one, other) {
            return Some(Bond::Pinned);
        }
        if one.record.stack == other.record.stack {
            return None;
        }
        match self.ruling(one, other) {
            Some(true) => return Some(Bond::Pinned),
            Some(false) => return None,
            None => {}
        }
        if self.is_parted(one.record.id, other.record.id) {
            return None;
        }
        let bond = likely(rules, one, other)?;
        let rival = |third: &Point| {
            let taken = |place: &Point| {
                place.record.stack == third.record.stack && !same_inbox(place, third)
            };
            let fits = |place: &Point| alike(place, third).is_some_and(|fit| fit >= bond);
            (taken(one) && fits(other)) || (taken(other) && fits(one))
        };
        (!self.points.iter().any(rival)).then_some(bond)
    }

    fn is_parted(&self, a: PointId, b: PointId) -> bool {
        let mut splits = self.devices.iter().flat_map(|devices| &devices.splits);
        splits.any(|split| split.is_of(a, b))
    }

    fn ruling(&self, a: &Point, b: &Point) -> Option<bool> {
        let newest_first = self
            .devices
            .iter()
            .flat_map(|devices| devices.rulings.iter().rev());
        let mut about = newest_first.filter(|ruling| ruling.is_about(a, b));
        about.next().map(|ruling| ruling.together)
    }

    fn store_devices(&self, fx: &mut Fx<'_, '_>) {
        let devices = self.devices.as_deref().cloned().unwrap_or_default();
        fx.store(Write::PutDevices(self.person(), devices));
    }

    /// Gives each point its device: that of the points it is bound to, unless two inboxes of one
    /// stack would come together.
    fn assign(&mut self, bonds: &[(Bond, usize, usize)]) {
        for point in &mut self.points {
            (point.device, point.bond) = (point.record.id, None);
        }
        for (bond, one, other) in bonds {
            let (a, b) = (self.points[*one].device, self.points[*other].device);
            if a == b {
                continue;
            }
            let of = |device| self.points.iter().filter(move |p| p.device == device);
            let clash =
                of(a).any(|p| of(b).any(|q| p.record.stack == q.record.stack && !same_inbox(p, q)));
            if clash {
                continue;
            }
            let (first, bound) = (a.min(b), *bond);
            let inbox = same_inbox(&self.points[*one], &self.points[*other]);
            for point in &mut self.points {
                if point.device == a || point.device == b {
                    point.device = first;
                    if !inbox {
                        point.bond = Some(point.bond.map_or(bound, |known| known.min(bound)));
                    }
                }
            }
        }
    }

    /// Points that were one device before and are not by a third one's coming stay apart.
    fn part_rivals(&mut self, fx: &mut Fx<'_, '_>, before: &[(PointId, PointId)]) {
        let rules = fx.rules();
        let mut parted = Vec::new();
        for (at, (one, device)) in before.iter().enumerate() {
            let others = before.iter().skip(at + 1).filter(|(_, was)| was == device);
            for (other, _) in others {
                let (Some(a), Some(b)) = (self.point(*one), self.point(*other)) else {
                    continue;
                };
                let apart = a.device != b.device && a.record.stack != b.record.stack;
                if apart
                    && self.ruling(a, b).is_none()
                    && !self.is_parted(*one, *other)
                    && likely(rules, a, b).is_some()
                {
                    parted.push((*one, *other));
                }
            }
        }
        for (one, other) in parted {
            self.note_split(fx, (one, other), SplitWhy::Third);
        }
    }

    fn note_split(&mut self, fx: &mut Fx<'_, '_>, (one, other): (PointId, PointId), why: SplitWhy) {
        let at = fx.now();
        self.devices.get_or_insert_default().splits.push(Split {
            one,
            other,
            why,
            at,
        });
        self.store_devices(fx);
        fx.log(Notice::Split(self.person(), one, other, why));
    }

    fn forget_splits(&mut self, fx: &mut Fx<'_, '_>) {
        let Some(devices) = &mut self.devices else {
            return;
        };
        let points = &self.points;
        let there = |id: PointId| points.iter().any(|p| p.record.id == id);
        let count = devices.splits.len();
        devices
            .splits
            .retain(|split| there(split.one) && there(split.other));
        if devices.splits.len() != count {
            self.store_devices(fx);
        }
    }

    /// Two points of one device have shown that they are none.
    fn part_pair(&mut self, fx: &mut Fx<'_, '_>, pair: (PointId, PointId), why: SplitWhy) {
        let both = self.point(pair.0).zip(self.point(pair.1));
        let ruled = both
            .is_none_or(|(a, b)| self.ruling(a, b).is_some() || a.record.stack == b.record.stack);
        if !ruled && !self.is_parted(pair.0, pair.1) {
            self.note_split(fx, pair, why);
            self.regroup(fx);
        }
    }

    /// A point took what another one of its device did not answer to.
    pub(super) fn answered_alone(
        &mut self,
        fx: &mut Fx<'_, '_>,
        answered: PointId,
        failed: PointId,
    ) {
        self.part_pair(fx, (failed, answered), SplitWhy::AnsweredAlone);
    }

    /// A point writes in a conversation: that of a device which has heard of it only by its other
    /// point is no part of that device.
    pub(super) fn wrote(&mut self, fx: &mut Fx<'_, '_>, writer: PointId, heard: &[PointId]) {
        let Some(point) = self.point(writer) else {
            return;
        };
        if point.bond != Some(Bond::Family) || heard.contains(&writer) {
            return;
        }
        let alone = |id: &&PointId| {
            let other = self.point(**id);
            other.is_some_and(|other| other.device == point.device && !same_inbox(other, point))
        };
        if let Some(partner) = heard.iter().find(alone).copied() {
            self.part_pair(fx, (partner, writer), SplitWhy::WroteAlone);
        }
    }

    /// The point that something was written on, where no other could have been.
    pub(super) fn writer(&self, stack: Stack, whence: &Whence) -> Option<PointId> {
        let of_stack = || self.points.iter().filter(|p| p.record.stack == stack);
        match whence {
            Whence::Unknown => None,
            Whence::Inbox(inbox) => {
                let mut there = of_stack().filter(|p| p.record.spec.inbox == *inbox);
                there.next_back().map(|p| p.record.id)
            }
            Whence::Source(source) => {
                let mut near = of_stack().filter(|p| p.record.spec.source == Some(*source));
                let newest = near.next_back()?;
                near.all(|p| same_inbox(p, newest))
                    .then_some(newest.record.id)
            }
        }
    }

    /// How texts to this person are spread.
    pub(super) fn spread(&self, rules: &Rules) -> Spread {
        let home = rules.spread_in(self.account().address.domain());
        let own = self.devices.as_deref();
        Spread {
            policy: own.and_then(|own| own.policy).unwrap_or(home.policy),
            preferred: own.and_then(|own| own.preferred).or(home.preferred),
        }
    }

    /// Executes [`crate::core::command::Command::SetDevices`].
    pub(super) fn set_devices(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        changes: Vec<DeviceChange>,
    ) -> Result<Reply, Error> {
        self.must_own(caller)?;
        let mut devices = self.devices.as_deref().cloned().unwrap_or_default();
        for change in changes {
            match change {
                DeviceChange::Policy(policy) => devices.policy = policy,
                DeviceChange::Preferred(stack) => devices.preferred = stack,
                DeviceChange::Rule(one, other, together) => {
                    let (one, other) = self.two(one, other)?;
                    devices.rulings.retain(|known| !known.is_about(one, other));
                    if devices.rulings.len() >= RULINGS {
                        devices.rulings.remove(0);
                    }
                    devices.rulings.push(Ruling {
                        one: Mark::of(one),
                        other: Mark::of(other),
                        together,
                        at: fx.now(),
                    });
                }
                DeviceChange::Free(one, other) => {
                    let (one, other) = self.two(one, other)?;
                    devices.rulings.retain(|known| !known.is_about(one, other));
                }
            }
        }
        self.devices = Some(Box::new(devices));
        self.store_devices(fx);
        self.regroup(fx);
        Ok(Reply::Done)
    }

    /// Two points that something can be ruled about.
    fn two(&self, one: PointId, other: PointId) -> Result<(&Point, &Point), Error> {
        let found = self.point(one).zip(self.point(other));
        let (one, other) = found.ok_or(Error::StaleId)?;
        if one.record.stack == other.record.stack {
            // Each inbox of a stack is a client of its own.
            return Err(Error::Denied("both points are on the same stack"));
        }
        Ok((one, other))
    }

    pub(super) fn device_infos(&self, now: Time, rules: &Rules) -> Vec<DeviceInfo> {
        let mut devices: Vec<DeviceInfo> = Vec::new();
        for point in &self.points {
            let detail = PointDetail {
                id: point.record.id,
                since: point.record.since,
                machine: point.record.spec.machine.clone(),
                family: point.record.spec.family.clone(),
                idle: point.is_idle(now, rules),
                doubted: point.doubted,
                failure: point.failure,
            };
            match devices.iter_mut().find(|device| device.id == point.device) {
                Some(device) => {
                    device.bond = device.bond.max(point.bond);
                    device.points.push(detail);
                }
                None => devices.push(DeviceInfo {
                    id: point.device,
                    bond: point.bond,
                    points: vec![detail],
                }),
            }
        }
        devices
    }

    /// Whether another device than that of `point` takes part in the conversation.
    pub(super) fn others_take_part(&self, talk: &Talk, point: Option<PointId>) -> bool {
        let device = point.and_then(|id| self.point(id)).map(|p| p.device);
        let there = |id: &PointId| {
            let found = self.point(*id);
            found.is_some_and(|p| Some(p.device) != device && p.doubted.is_none())
        };
        device.is_some() && talk.here.iter().any(there)
    }
}

/// Whether two points change presence twice for one cause: those of one device, on two stacks
/// (`decisions.md` 13).
pub(super) fn echo(points: &[Point], a: PointId, b: PointId) -> bool {
    let find = |id| points.iter().find(|p| p.record.id == id);
    let (Some(a), Some(b)) = (find(a), find(b)) else {
        return false;
    };
    a.record.stack != b.record.stack && a.device == b.device
}

fn same_inbox(a: &Point, b: &Point) -> bool {
    a.record.stack == b.record.stack && a.record.spec.inbox == b.record.spec.inbox
}

/// How far apart the first sign-ins were.
fn signed_in_apart(a: &Point, b: &Point) -> std::time::Duration {
    let (first, second) = (
        a.record.since.min(b.record.since),
        a.record.since.max(b.record.since),
    );
    second.since(first)
}

/// What makes one device of two sign-ins, if nothing else is there.
fn likely(rules: &Rules, a: &Point, b: &Point) -> Option<Bond> {
    let bond = alike(a, b)?;
    (bond != Bond::Family || signed_in_apart(a, b) <= rules.pair_within).then_some(bond)
}

/// What two sign-ins have in common, whenever they came.
fn alike(a: &Point, b: &Point) -> Option<Bond> {
    let (one, other): (&PointSpec, &PointSpec) = (&a.record.spec, &b.record.spec);
    let near = |spec: &PointSpec| spec.source.map(|source| source.to_canonical());
    if near(one).is_none() || near(one) != near(other) {
        return None;
    }
    match (&one.machine, &other.machine) {
        (Some(one), Some(other)) if one.eq_ignore_ascii_case(other) => return Some(Bond::Machine),
        // Two names, two machines; what is no name (an instance, an endpoint) says nothing of that.
        (Some(one), Some(other)) if is_name(one) && is_name(other) => return None,
        _ => {}
    }
    let same = one.family.is_some() && one.family == other.family;
    same.then_some(Bond::Family)
}

/// A NetBIOS name has no colon, what identifies instances has one.
fn is_name(machine: &str) -> bool {
    !machine.contains(':')
}
