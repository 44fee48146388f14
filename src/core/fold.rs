//! The fold: publication -> point -> device -> person (`decisions.md` 10).
//!
//! Manual beats automatic and the newest manual wins, among automatic ones the most present. Both
//! rules are associative, so the device in between changes nothing here; it matters for echoes.

use crate::core::calls::Calls;
use crate::core::effect::Rules;
use crate::core::id::{PointId, PublicationId, Stack};
use crate::core::points::Point;
use crate::core::port::PublicationRecord;
use crate::core::presence::{Origin, Presence, Shown, State, View};
use crate::core::time::Time;
use std::sync::Arc;

/// What the person's points and publications add up to, as others may see it; `since` is when the
/// winning value was set.
pub(super) fn fold(
    points: &[Point],
    publications: &[PublicationRecord],
    now: Time,
    rules: &Rules,
) -> View {
    let visible = |id: Option<PointId>| match id {
        None => true,
        Some(id) => points
            .iter()
            .any(|p| p.record.id == id && !p.hidden(now, rules)),
    };
    let counts = |p: &&PublicationRecord| visible(p.point) && !superseded(p, publications);
    let said = |p: &&PublicationRecord| p.calls.is_none() && counts(p);
    let mut best: Option<Claim<'_>> = None;
    for record in publications.iter().filter(said) {
        let claim = Claim::published(record);
        if best.as_ref().is_none_or(|best| claim.beats(best)) {
            best = Some(claim);
        }
    }
    for point in points {
        let Some(state) = point.record.spec.implies else {
            continue;
        };
        if point.hidden(now, rules) || refined(point, publications) {
            continue;
        }
        // Whoever is only signed in, and silent, may have gone.
        let state = match state {
            State::Registered | State::Online if point.is_idle(now, rules) => State::Idle,
            state => state,
        };
        let claim = Claim {
            state,
            manual: false,
            set: point.record.since,
            presence: None,
            publication: None,
        };
        if best.as_ref().is_none_or(|best| claim.beats(best)) {
            best = Some(claim);
        }
    }
    // A call in progress is news like any other choice, but tells nobody of somebody who hides.
    let hides = best
        .as_ref()
        .is_some_and(|best| best.state == State::Invisible);
    let busy = |p: &&PublicationRecord| p.calls.as_ref().is_some_and(Calls::is_busy) && counts(p);
    for record in publications.iter().filter(busy).filter(|_| !hides) {
        let claim = Claim::published(record);
        if best.as_ref().is_none_or(|best| claim.beats(best)) {
            best = Some(claim);
        }
    }
    let Some(best) = best else {
        return View::offline(now);
    };
    let documents = || {
        let shown = |p: &PublicationRecord| {
            Some(Shown {
                id: p.id,
                leads: best.publication == Some(p.id),
                set: p.set,
                document: p.presence.document.clone()?,
            })
        };
        let all: Vec<_> = publications.iter().filter(said).filter_map(shown).collect();
        (!all.is_empty()).then(|| all.into())
    };
    best.view(now, documents)
}

/// Publication -> point: of several publications of one point the newest counts, so a manual state
/// ends when its point sends online.
fn superseded(record: &PublicationRecord, all: &[PublicationRecord]) -> bool {
    record.point.is_some()
        && all.iter().any(|other| {
            other.point == record.point
                && other.calls.is_some() == record.calls.is_some()
                && (other.set, other.id) > (record.set, record.id)
        })
}

/// Whether what the sign-in implies is refined by a publication: the point's own, or one of its
/// stack that belongs to no point in particular.
fn refined(point: &Point, publications: &[PublicationRecord]) -> bool {
    let mut said = publications.iter().filter(|p| p.calls.is_none());
    said.any(|p| match p.point {
        Some(id) => id == point.record.id,
        None => p.stack == point.record.stack,
    })
}

/// A candidate.
struct Claim<'a> {
    state: State,
    manual: bool,
    set: Time,
    presence: Option<&'a Presence>,
    publication: Option<PublicationId>,
}

impl<'a> Claim<'a> {
    fn published(record: &'a PublicationRecord) -> Self {
        let presence = &record.presence;
        Self {
            state: presence.state,
            // "Manually online" is what every client says by itself; it never hides a choice.
            manual: presence.origin == Origin::Manual
                && presence.state.natural_origin() == Origin::Manual,
            set: record.set,
            presence: Some(presence),
            publication: Some(record.id),
        }
    }

    fn beats(&self, other: &Self) -> bool {
        match (self.manual, other.manual) {
            (true, true) => self.set >= other.set,
            (false, false) => {
                let (mine, theirs) = (presence_of(self.state), presence_of(other.state));
                mine > theirs || (mine == theirs && self.set >= other.set)
            }
            (manual, _) => manual,
        }
    }

    fn view(&self, now: Time, documents: impl FnOnce() -> Option<Arc<[Shown]>>) -> View {
        let shown = shown(self.state);
        if shown == State::Offline {
            // Nothing that would tell "invisible" from "not there".
            return View::offline(now);
        }
        View {
            state: shown,
            token: self.presence.and_then(|p| p.token.clone()),
            note: self.presence.and_then(|p| p.note.clone()),
            since: self.set,
            documents: documents(),
        }
    }
}

/// How present an automatic state is.
fn presence_of(state: State) -> u8 {
    match state {
        State::Online | State::Registered => 5,
        State::OnPhone | State::Busy | State::DoNotDisturb => 4,
        State::Idle => 3,
        State::AtLunch | State::BackSoon | State::Away => 2,
        State::Invisible => 1,
        State::Offline => 0,
    }
}

/// What watchers are shown of a state.
fn shown(state: State) -> State {
    match state {
        State::Invisible => State::Offline,
        State::Registered => State::Online,
        other => other,
    }
}

/// What a watcher is shown of one value alone.
pub(super) fn as_shown(presence: &Presence, now: Time) -> View {
    match shown(presence.state) {
        // Nothing that would tell "invisible" from "not there".
        State::Offline => View::offline(now),
        state => View {
            state,
            token: presence.token.clone(),
            note: presence.note.clone(),
            since: now,
            documents: None,
        },
    }
}

/// Whether two views look the same; when it came about does not count.
pub(super) fn same(a: &View, b: &View) -> bool {
    looks_same(a, b) && a.documents == b.documents
}

/// The same for a watcher on that stack, who is shown no other stack's documents.
pub(super) fn same_to(stack: Stack, a: &View, b: &View) -> bool {
    let own = |view: &View| -> Vec<Shown> {
        let all = view.documents.iter().flat_map(|all| all.iter());
        all.filter(|shown| shown.document.stack == stack)
            .cloned()
            .collect()
    };
    looks_same(a, b) && (a.documents == b.documents || own(a) == own(b))
}

fn looks_same(a: &View, b: &View) -> bool {
    a.state == b.state && a.token == b.token && a.note == b.note
}
