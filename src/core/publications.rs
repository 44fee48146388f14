//! Publications: published views of presence, and which point each belongs to
//! (`decisions.md` 10, 11, 12).

use crate::core::access::Right;
use crate::core::calls::Calls;
use crate::core::command::{Caller, PointHint, Publish, Reply};
use crate::core::error::{Error, Limit};
use crate::core::id::{PointId, PublicationId, Stack};
use crate::core::points::Point;
use crate::core::port::{PublicationRecord, Write};
use crate::core::presence::Presence;
use crate::core::user::{Fx, User};

impl User {
    /// Executes [`crate::core::command::Command::Publish`].
    pub(super) fn publish(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        publish: &Publish,
    ) -> Result<Reply, Error> {
        self.must(fx.rules(), caller, Right::Write)?;
        let point = self.point_of(publish.stack, &publish.hint);
        let known = match publish.target {
            Some((id, version)) => Some(self.publication_at(id, version)?),
            None if publish.adopt => self.adoptable(publish.stack, point, &publish.hint),
            None => None,
        };
        let presence = match &publish.calls {
            Some(calls) => Some(calls.presence()),
            None => publish.presence.clone(),
        };
        if publish.lease.is_some_and(|lease| lease.is_zero()) {
            return self.withdraw(fx, known);
        }
        match (known, presence) {
            (Some(at), presence) => self.republish(fx, at, presence, point, publish),
            (None, Some(presence)) => self.publish_new(fx, presence, point, publish),
            (None, None) => Err(Error::StaleId),
        }
    }

    /// Executes [`crate::core::command::Command::Retract`].
    pub(super) fn retract(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        id: PublicationId,
        version: Option<u32>,
    ) -> Result<Reply, Error> {
        self.must(fx.rules(), caller, Right::Write)?;
        let at = self.publication_at(id, version)?;
        self.end_publication(fx, at);
        Ok(Reply::Done)
    }

    fn publication_at(&self, id: PublicationId, version: Option<u32>) -> Result<usize, Error> {
        self.publications
            .iter()
            .position(|p| p.id == id && version.is_none_or(|version| p.version == version))
            .ok_or(Error::StaleId)
    }

    /// A publication with a zero lease: withdrawn at once.
    fn withdraw(&mut self, fx: &mut Fx<'_, '_>, known: Option<usize>) -> Result<Reply, Error> {
        let at = known.ok_or(Error::StaleId)?;
        let (publication, version) = (self.publications[at].id, self.publications[at].version);
        self.end_publication(fx, at);
        Ok(Reply::Published {
            publication,
            version: version.wrapping_add(1),
            lease: Some(std::time::Duration::ZERO),
        })
    }

    fn publish_new(
        &mut self,
        fx: &mut Fx<'_, '_>,
        presence: Presence,
        point: Option<PointId>,
        publish: &Publish,
    ) -> Result<Reply, Error> {
        if let Some(at) = self.replaced(publish) {
            self.end_publication(fx, at);
        }
        if self.publications.len() >= fx.rules().publications {
            return Err(Error::LimitReached(Limit::Publications));
        }
        let record = PublicationRecord {
            person: self.person(),
            id: PublicationId(fx.next_number()),
            version: 0,
            stack: publish.stack,
            point,
            source: publish.hint.source,
            key: publish.key.clone(),
            presence,
            calls: publish.calls.as_ref().map(|_| Calls::default()),
            set: fx.now(),
            lease: None,
            expires: None,
        };
        self.publications.push(record);
        let at = self.publications.len() - 1;
        let done = self.republish(fx, at, None, point, publish);
        if done.is_err() {
            self.publications.pop();
        }
        done
    }

    /// The older publication that a new one takes the place of.
    fn replaced(&self, publish: &Publish) -> Option<usize> {
        publish.key.as_ref()?;
        self.publications.iter().position(|p| {
            p.stack == publish.stack
                && p.key == publish.key
                && p.calls.is_some() == publish.calls.is_some()
        })
    }

    /// Changes or refreshes the publication there.
    fn republish(
        &mut self,
        fx: &mut Fx<'_, '_>,
        at: usize,
        presence: Option<Presence>,
        point: Option<PointId>,
        publish: &Publish,
    ) -> Result<Reply, Error> {
        let (now, rules) = (fx.now(), fx.rules());
        let record = &mut self.publications[at];
        let mut presence = presence;
        match (&mut record.calls, &publish.calls) {
            (Some(known), Some(report)) => {
                known.take(report.clone())?;
                presence = Some(known.presence());
                self.calls_changed = true;
            }
            // Its tag is one of another kind of publication.
            (None, Some(_)) => return Err(Error::StaleId),
            (Some(_), None) if presence.is_some() => return Err(Error::StaleId),
            (_, None) => {}
        }
        // A repeated value is a refresh, not a newer choice: the newest manual state wins.
        if let Some(presence) = presence {
            if !presence.says_the_same(&record.presence) {
                record.set = now;
            }
            record.presence = presence;
        }
        record.point = point.or(record.point);
        record.source = publish.hint.source.or(record.source);
        record.version = record.version.wrapping_add(1);
        record.lease = match publish.lease {
            Some(lease) => Some(lease.min(rules.lease_max)),
            None if record.point.is_none() => Some(rules.lease_default),
            None => None,
        };
        record.expires = record.lease.map(|lease| now.after(lease));
        let record = record.clone();
        if let Some(expires) = record.expires {
            self.arm(expires);
        }
        self.changed(record.point);
        // A refresh is its client's doing, a new value the person's.
        if let (Some(id), true) = (record.point, record.set == now) {
            self.touch(fx, id);
        }
        let reply = Reply::Published {
            publication: record.id,
            version: record.version,
            lease: record.lease,
        };
        fx.store(Write::PutPublication(record));
        Ok(reply)
    }

    /// The point a publication comes from: same flow, else same source and client, else same
    /// source where no client is named; the newest sign-in of several (`decisions.md` 11, 12).
    fn point_of(&self, stack: Stack, hint: &PointHint) -> Option<PointId> {
        let newest = |fits: &dyn Fn(&Point) -> bool| {
            let mut of_stack = self.points.iter().rev().filter(|p| p.record.stack == stack);
            of_stack.find(|p| fits(p)).map(|p| p.record.id)
        };
        if let Some(inbox) = &hint.inbox
            && let Some(id) = newest(&|p| p.record.spec.inbox == *inbox)
        {
            return Some(id);
        }
        let source = hint.source?;
        newest(&|p| {
            p.record.spec.source == Some(source)
                && hint
                    .client
                    .as_ref()
                    .is_none_or(|client| p.record.spec.client == *client)
        })
    }

    /// The caller's existing publication of the same point or source (clients without view-ids).
    fn adoptable(&self, stack: Stack, point: Option<PointId>, hint: &PointHint) -> Option<usize> {
        let newest = |fits: &dyn Fn(&PublicationRecord) -> bool| {
            self.publications
                .iter()
                .rposition(|p| p.stack == stack && p.calls.is_none() && fits(p))
        };
        point
            .and_then(|id| newest(&|p| p.point == Some(id)))
            .or_else(|| hint.source.and_then(|s| newest(&|p| p.source == Some(s))))
    }

    /// A new point takes over what its client published before it signed in (`decisions.md` 11).
    pub(super) fn adopt_orphans(&mut self, fx: &mut Fx<'_, '_>, id: PointId) {
        let Some(point) = self.point(id) else {
            return;
        };
        let (stack, source) = (point.record.stack, point.record.spec.source);
        if source.is_none() {
            return;
        }
        for record in &mut self.publications {
            let orphan = record.point.is_none() && record.calls.is_none();
            if record.stack == stack && orphan && record.source == source {
                record.point = Some(id);
                fx.store(Write::PutPublication(record.clone()));
            }
        }
    }

    /// What a removed point takes along: its own publications, and with the last point of a stack
    /// whatever else was published there while it was signed in (`decisions.md` 12).
    pub(super) fn end_publications_of(&mut self, fx: &mut Fx<'_, '_>, gone: &Point) {
        let stack = gone.record.stack;
        let last = !self.points.iter().any(|p| p.record.stack == stack);
        let mut at = 0;
        while let Some(record) = self.publications.get(at) {
            let own = record.point == Some(gone.record.id);
            let loose = last
                && record.stack == stack
                && record.point.is_none()
                && record.calls.is_none()
                && record.set >= gone.record.since;
            if own || loose {
                self.end_publication(fx, at);
            } else {
                at += 1;
            }
        }
    }

    pub(super) fn end_publication(&mut self, fx: &mut Fx<'_, '_>, at: usize) {
        let record = self.publications.remove(at);
        self.calls_changed |= record.calls.is_some();
        fx.store(Write::DeletePublication(self.person(), record.id));
        self.changed(record.point);
    }

    pub(super) fn expire_publications(&mut self, fx: &mut Fx<'_, '_>) {
        let now = fx.now();
        let mut at = 0;
        while let Some(record) = self.publications.get(at) {
            if record.expires.is_some_and(|expires| now >= expires) {
                self.end_publication(fx, at);
            } else {
                at += 1;
            }
        }
    }
}
