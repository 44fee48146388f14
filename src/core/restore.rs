//! Bringing a person back from storage (`decisions.md` 12, 19, 34).

use crate::core::access::{Detail, Right};
use crate::core::command::Fate;
use crate::core::command::Outcome;
use crate::core::command::{Tether, WatchState};
use crate::core::delivery::{Delivery, Phase};
use crate::core::effect::{Context, Effect, Rules};
use crate::core::event::Event;
use crate::core::fold::fold;
use crate::core::points::{Link, Point};
use crate::core::port::{Account, KeptRecord, PersonRecords, Stay, WatchRecord, Write};
use crate::core::routing::{Route, Try};
use crate::core::time::Time;
use crate::core::user::{Fx, User};
use crate::core::watchers::Happening;
use crate::core::watches::{Belief, Watching};
use std::sync::Arc;
use std::time::Duration;

impl User {
    /// A person as stored. Leases keep at least 60 s (`decisions.md` 34) and never last longer
    /// than granted, points that hung on a connection are suspended (12), kept messages are tried
    /// again (19). The effects announce restored points and watches to their fronts, then
    /// redeliver. Watchers know what was true before and are told nothing, unless a change was so
    /// close to our death that they may have missed it (`changed`): then each is told what is so.
    pub fn restore(
        account: Arc<Account>,
        records: PersonRecords,
        cx: &mut Context<'_>,
    ) -> (Self, Vec<Effect>) {
        let mut out = Vec::new();
        let mut fx = Fx::new(cx, &mut out);
        let mut user = Self::new(account);
        user.devices = records.devices.map(Box::new);
        user.restore_points(&mut fx, records.points);
        let (now, rules) = (fx.now(), fx.rules());
        user.publications = records.publications;
        user.publications.sort_by_key(|p| p.id);
        // Whatever lost its point when we died went with it.
        let points = &user.points;
        user.publications.retain(|p| {
            let there = |id| points.iter().any(|point| point.record.id == id);
            let keep = p.point.is_none_or(there);
            if !keep {
                fx.store(Write::DeletePublication(p.person, p.id));
            }
            keep
        });
        for record in &mut user.publications {
            if let (Some(lease), Some(expires)) = (record.lease, record.expires) {
                record.expires = Some(restored(now, expires, lease, rules.restored));
            }
        }
        user.properties = records.properties;
        user.access = records.access;
        user.documents = records.documents;
        user.documents.sort_by(|a, b| a.id.cmp(&b.id));
        user.contacts = records.contacts.unwrap_or_default();
        user.fold = fold(&user.points, &user.publications, now, rules);
        let mut watches = records.watches;
        watches.sort_by_key(|w| w.id);
        for mut record in watches {
            record.expires = restored(now, record.expires, record.lease, rules.restored);
            let waits = record.state == WatchState::Waiting;
            let (sees, detail) = user.restore_standing(rules, &mut record);
            let reads = user.may_record(&fx, &record, Right::Read);
            if waits {
                user.watches
                    .push(Watching::new(record, Happening::Timeout, now));
                continue;
            }
            user.acquaint_watcher(&mut fx, &record);
            fx.emit(
                record.stack,
                Event::WatchRestored {
                    person: user.person(),
                    of: record.of.clone(),
                    watcher: record.watcher.clone(),
                    watch: record.id,
                    handle: record.handle.clone(),
                    expires: record.expires,
                },
            );
            user.watches.push(Watching {
                shown: user.view_for(sees, detail, &record.watcher, now),
                belief: Belief::Restored,
                sees,
                detail,
                reads,
                ..Watching::new(record, Happening::Subscribe, now)
            });
        }
        if records.changed.is_some() {
            let waits = |watch: &&Watching| watch.record.state == WatchState::Waiting;
            // Whoever is blocked learns nothing from our restart either: that there was a change is
            // the owner's business (`decisions.md` 16). Who is being asked about knows that.
            let asked = |watch: &&Watching| watch.record.state == WatchState::Pending;
            let told = |watch: &&Watching| !waits(watch) && (watch.sees || asked(watch));
            for watch in user.watches.iter().filter(told) {
                let present = user.present(now, watch);
                user.send(&mut fx, &watch.record, present);
            }
        }
        let mut kept = records.kept;
        kept.sort_by_key(|k| (k.message.at, k.message.id));
        for record in kept {
            user.restore_kept(&fx, record);
        }
        user.knock(&mut fx);
        fx.flush();
        user.rearm(now, rules);
        (user, out)
    }

    /// What the list and the policy of now make of a stored watch; whether it sees something,
    /// and how much.
    fn restore_standing(&self, rules: &Rules, record: &mut WatchRecord) -> (bool, Detail) {
        let Ok(admitted) = self.admit_record(rules, record) else {
            return (false, Detail::NONE);
        };
        if record.state != WatchState::Waiting {
            record.state = admitted.state;
        }
        (admitted.sees, admitted.detail)
    }

    fn restore_points(
        &mut self,
        fx: &mut Fx<'_, '_>,
        mut records: Vec<crate::core::port::PointRecord>,
    ) {
        let (now, rules) = (fx.now(), fx.rules());
        records.sort_by_key(|p| p.id);
        for mut record in records {
            record.expires = restored(now, record.expires, record.spec.lease, rules.restored);
            let link = match record.spec.tether {
                Tether::Connection => Link::Suspended(now.after(rules.suspension)),
                Tether::Address => Link::Live,
            };
            let since = record.since;
            let mut point = Point::new(record, link, since);
            // Before we died.
            point.announced = true;
            fx.emit(
                point.record.stack,
                Event::PointRestored {
                    person: self.person(),
                    address: self.account().address.clone(),
                    point: point.info(),
                },
            );
            self.points.push(point);
        }
        self.group(fx, &[]);
    }

    /// A kept message: tried again on every inbox that does not have it, for as long as clients
    /// may take to come back.
    fn restore_kept(&mut self, fx: &Fx<'_, '_>, record: KeptRecord) {
        let now = fx.now();
        self.remember_as(now, &record.message, Some(Ok(Fate::Kept)));
        if record.stay != Stay::Passing {
            return self.restore_away(fx, record);
        }
        let mut attempts = match self.route(fx, &record.message) {
            Route::To(attempts) => attempts,
            _ => Vec::new(),
        };
        for attempt in &mut attempts {
            if record.delivered.contains(&attempt.point) {
                attempt.state = Try::Over(Outcome::Delivered);
            }
        }
        self.deliveries.push_back(Delivery {
            message: record.message,
            tags: Vec::new(),
            phase: Phase::Kept,
            until: record.until.max(now.after(fx.rules().suspension)),
            redelivered: true,
            away: None,
            attempts,
        });
    }
}

/// The end of a stored lease as of now: not sooner than `least`, not later than was granted.
fn restored(now: Time, expires: Time, lease: Duration, least: Duration) -> Time {
    expires.max(now.after(least)).min(now.after(lease))
}
