//! Decision 10: how views fold into one.

use super::*;
use crate::core::effect::Rules;
use crate::core::fold::fold;
use crate::core::id::PublicationId;
use crate::core::points::{Link, Point};
use crate::core::port::{PointRecord, PublicationRecord};
use crate::core::presence::Origin;
use crate::core::time::Time;
use proptest::prelude::*;

#[test]
fn decision_10_registered_alone_is_online_and_publishing_refines_it() {
    let mut world = World::new(1);
    signed_in(&mut world, 0, PHONES, "a");
    assert_eq!(state(&mut world, 0), State::Online);
    publish(&mut world, 0, PHONES, "a", State::Idle).expect("published");
    assert_eq!(state(&mut world, 0), State::Idle);
}

#[test]
fn decision_10_manual_beats_automatic_and_the_newest_manual_wins() {
    let mut world = World::new(1);
    for inbox in ["a", "b", "c"] {
        signed_in(&mut world, 0, LETTERS, inbox);
    }
    publish(&mut world, 0, LETTERS, "a", State::Busy).expect("published");
    world.pass(secs(1));
    publish(&mut world, 0, LETTERS, "b", State::Online).expect("published");
    assert_eq!(state(&mut world, 0), State::Busy);
    publish(&mut world, 0, LETTERS, "c", State::AtLunch).expect("published");
    assert_eq!(state(&mut world, 0), State::AtLunch);
    world.pass(secs(1));
    publish(&mut world, 0, LETTERS, "a", State::Busy).expect("a refresh, no new choice");
    assert_eq!(state(&mut world, 0), State::AtLunch);
    publish(&mut world, 0, LETTERS, "c", State::Online).expect("sends online");
    assert_eq!(state(&mut world, 0), State::Busy);
}

#[test]
fn decision_10_a_manual_state_ends_with_its_point() {
    let mut world = World::new(1);
    let first = signed_in(&mut world, 0, LETTERS, "a");
    signed_in(&mut world, 0, LETTERS, "b");
    publish(&mut world, 0, LETTERS, "b", State::Online).expect("published");
    publish(&mut world, 0, LETTERS, "a", State::Away).expect("published");
    assert_eq!(state(&mut world, 0), State::Away);
    points::remove(&mut world, 0, LETTERS, first).expect("removed");
    assert_eq!(state(&mut world, 0), State::Online);
}

#[test]
fn decision_10_idle_or_offline_of_one_view_does_not_hide_another() {
    let mut world = World::new(1);
    signed_in(&mut world, 0, LETTERS, "a");
    signed_in(&mut world, 0, LETTERS, "b");
    publish(&mut world, 0, LETTERS, "a", State::Online).expect("published");
    publish(&mut world, 0, LETTERS, "b", State::Idle).expect("published");
    assert_eq!(state(&mut world, 0), State::Online);
    publish(&mut world, 0, LETTERS, "a", State::Offline).expect("published");
    assert_eq!(state(&mut world, 0), State::Idle);
}

#[test]
fn decision_10_invisible_holds_for_the_person_and_looks_like_offline() {
    let mut world = World::new(2);
    signed_in(&mut world, 0, LETTERS, "a");
    signed_in(&mut world, 0, LETTERS, "b");
    publish(&mut world, 0, LETTERS, "a", State::Online).expect("published");
    publish(&mut world, 0, LETTERS, "b", State::Invisible).expect("published");
    let (_, view) = watching(&mut world, 0, 1);
    assert_eq!(view, View::offline(world.now));
    let tag = say(&mut world, 1, 0, "are you there?");
    assert!(
        matches!(world.answer(tag), Some(Ok(Reply::Sent(_)))),
        "texts still arrive"
    );
    world.pass(secs(1));
    publish(&mut world, 0, LETTERS, "a", State::Busy).expect("another manual state");
    assert_eq!(told(&mut world), [State::Busy]);
}

#[test]
fn decision_10_no_point_and_no_publication_is_offline_but_a_publication_alone_counts() {
    let mut world = World::new(1);
    assert_eq!(state(&mut world, 0), State::Offline);
    publish(&mut world, 0, LETTERS, "none", State::Online).expect("published");
    assert_eq!(
        state(&mut world, 0),
        State::Online,
        "a view without a point"
    );
    world.pass(HOUR);
    assert_eq!(state(&mut world, 0), State::Offline, "until its lease ends");
}

#[test]
fn decision_12_what_was_published_while_registered_dies_with_the_last_binding() {
    let mut world = World::new(1);
    let only = signed_in(&mut world, 0, PHONES, "a");
    publish(&mut world, 0, PHONES, "elsewhere", State::Busy).expect("for the person alone");
    assert_eq!(state(&mut world, 0), State::Busy);
    points::remove(&mut world, 0, PHONES, only).expect("removed");
    assert_eq!(state(&mut world, 0), State::Offline);
}

#[test]
fn decision_11_a_view_that_precedes_the_sign_in_belongs_to_it_afterwards() {
    let mut world = World::new(1);
    let source = Some("192.0.2.7".parse().expect("an address"));
    let command = Command::Publish(Publish {
        stack: LETTERS,
        target: None,
        adopt: true,
        hint: PointHint {
            source,
            ..PointHint::default()
        },
        key: None,
        presence: Some(Presence::of(State::Online)),
        calls: None,
        lease: Some(HOUR),
    });
    world
        .ask(0, &caller(0, LETTERS), command)
        .expect("published");
    let mut point = spec(LETTERS, "a", HOUR);
    point.source = source;
    world
        .ask(0, &caller(0, LETTERS), sign_in(LETTERS, point))
        .expect("signed in");
    let id = world.stored(0).points[0].id;
    assert_eq!(world.stored(0).publications[0].point, Some(id));
    points::remove(&mut world, 0, LETTERS, id).expect("removed");
    assert_eq!(state(&mut world, 0), State::Offline);
}

#[test]
fn an_old_version_of_a_publication_is_stale() {
    let mut world = World::new(1);
    let Ok(Reply::Published {
        publication,
        version,
        ..
    }) = publish(&mut world, 0, PHONES, "none", State::Online)
    else {
        panic!("not published");
    };
    let at = |version| {
        Command::Publish(Publish {
            stack: PHONES,
            target: Some((publication, Some(version))),
            adopt: false,
            hint: PointHint::default(),
            key: None,
            presence: None,
            calls: None,
            lease: Some(HOUR),
        })
    };
    let me = caller(0, PHONES);
    assert!(world.ask(0, &me, at(version)).is_ok());
    assert_eq!(world.ask(0, &me, at(version)).err(), Some(Error::StaleId));
}

const ALL: [State; 10] = [
    State::Online,
    State::Idle,
    State::Busy,
    State::DoNotDisturb,
    State::OnPhone,
    State::AtLunch,
    State::Away,
    State::BackSoon,
    State::Invisible,
    State::Offline,
];

/// Decision 10 in other words: sort the choices, look at the newest; else take what is there most.
fn naive(points: &[Point], publications: &[PublicationRecord]) -> State {
    let mut by_point: Vec<(Option<u32>, Vec<&PublicationRecord>)> = Vec::new();
    for record in publications {
        match record.point {
            Some(id) if !points.iter().any(|p| p.record.id == id) => {}
            Some(id) => match by_point.iter_mut().find(|(known, _)| *known == Some(id.0)) {
                Some((_, list)) => list.push(record),
                None => by_point.push((Some(id.0), vec![record])),
            },
            None => by_point.push((None, vec![record])),
        }
    }
    let mut valid = Vec::new();
    for (_, mut list) in by_point {
        list.sort_by_key(|r| (r.set, r.id));
        valid.extend(list.pop());
    }
    let chosen = |r: &&&PublicationRecord| {
        r.presence.origin == Origin::Manual && r.presence.state.natural_origin() == Origin::Manual
    };
    let mut choices: Vec<_> = valid.iter().filter(chosen).collect();
    choices.sort_by_key(|r| r.set);
    if let Some(newest) = choices.last() {
        return match newest.presence.state {
            State::Invisible => State::Offline,
            other => other,
        };
    }
    let states: Vec<_> = valid.iter().map(|r| r.presence.state).collect();
    let implied = points.iter().any(|p| {
        p.record.spec.implies.is_some()
            && !publications.iter().any(|r| {
                r.point == Some(p.record.id) || (r.point.is_none() && r.stack == p.record.stack)
            })
    });
    if implied || states.contains(&State::Online) {
        return State::Online;
    }
    if states.contains(&State::Idle) {
        return State::Idle;
    }
    if states.contains(&State::Away) {
        return State::Away;
    }
    State::Offline
}

proptest! {
    #[test]
    fn decision_10_the_fold_is_the_naive_one(
        stacks in proptest::collection::vec(any::<bool>(), 0..4),
        published in proptest::collection::vec((any::<bool>(), 0..6u32, 0..10usize), 0..6),
    ) {
        let points: Vec<_> = stacks
            .iter()
            .zip(0..)
            .map(|(phone, id)| {
                let stack = if *phone { PHONES } else { LETTERS };
                let record = PointRecord {
                    person: person(0),
                    id: PointId(id),
                    stack,
                    spec: spec(stack, "x", HOUR),
                    holder: None,
                    lineage: None,
                    since: Time(0),
                    expires: Time(u64::MAX),
                };
                Point::new(record, Link::Live, Time(0))
            })
            .collect();
        let publications: Vec<_> = published
            .iter()
            .zip(0..)
            .map(|((phone, point, state), at)| {
                let mut presence = Presence::of(ALL[*state]);
                // What a machine says by itself, `away` among it.
                if *state == 6 && at % 2 == 0 {
                    presence.origin = Origin::Automatic;
                }
                PublicationRecord {
                    person: person(0),
                    id: PublicationId(at),
                    version: 1,
                    stack: if *phone { PHONES } else { LETTERS },
                    point: (*point > 0).then(|| PointId(*point - 1)),
                    source: None,
                    key: None,
                    presence,
                    calls: None,
                    set: Time(u64::from(at)),
                    lease: None,
                    expires: None,
                }
            })
            .collect();
        let view = fold(&points, &publications, Time(10), &Rules::default());
        prop_assert_eq!(view.state, naive(&points, &publications));
    }
}
