//! Sign-ins: leases, order, limits, connections, doubt.

use super::*;
use crate::core::command::{Lineage, PointChange, PointInfo, PointSpec, Register, TetherChange};
use crate::core::error::Limit;

pub(super) fn remove(world: &mut World, who: usize, stack: Stack, id: PointId) -> Answer {
    change(world, who, stack, None, vec![PointChange::RemoveId(id)])
}

fn change(
    world: &mut World,
    who: usize,
    stack: Stack,
    lineage: Option<Lineage>,
    changes: Vec<PointChange>,
) -> Answer {
    let register = Register {
        stack,
        lineage,
        changes,
    };
    world.ask(who, &caller(who, stack), Command::Register(register))
}

fn put(spec: PointSpec) -> PointChange {
    PointChange::Put(Box::new(spec))
}

fn infos(answer: Answer) -> Vec<PointInfo> {
    match answer {
        Ok(Reply::Points(points)) => points,
        other => panic!("{other:?}"),
    }
}

fn health(world: &mut World, point: PointId, alive: bool) {
    let command = Command::Health { point, alive };
    world.ask(0, &caller(0, LETTERS), command).expect("taken");
}

#[test]
fn a_registration_changes_all_or_nothing() {
    let mut world = World::new(1);
    signed_in(&mut world, 0, PHONES, "a");
    let changes = vec![
        PointChange::RemoveAll,
        put(spec(PHONES, "b", HOUR)),
        PointChange::RemoveId(PointId(9)),
    ];
    let answer = change(&mut world, 0, PHONES, None, changes);
    assert_eq!(answer.err(), Some(Error::StaleId));
    assert_eq!(&*world.stored(0).points[0].spec.inbox, "a");
    assert_eq!(world.stored(0).points.len(), 1);
}

#[test]
fn the_same_key_refreshes_and_no_key_is_always_new() {
    let mut world = World::new(1);
    let first = signed_in(&mut world, 0, PHONES, "a");
    assert_eq!(signed_in(&mut world, 0, PHONES, "a"), first);
    let letter = signed_in(&mut world, 0, LETTERS, "a");
    assert_ne!(signed_in(&mut world, 0, LETTERS, "a"), letter);
}

#[test]
fn an_older_registration_of_the_same_lineage_is_refused() {
    let mut world = World::new(1);
    let lineage = |sequence| {
        Some(Lineage {
            name: "call".into(),
            sequence,
        })
    };
    let a = || vec![put(spec(PHONES, "a", HOUR))];
    assert!(change(&mut world, 0, PHONES, lineage(5), a()).is_ok());
    for old in [4, 5] {
        let answer = change(&mut world, 0, PHONES, lineage(old), a());
        assert_eq!(answer.err(), Some(Error::OutOfOrder), "{old}");
        let gone = change(
            &mut world,
            0,
            PHONES,
            lineage(old),
            vec![PointChange::RemoveAll],
        );
        assert_eq!(gone.err(), Some(Error::OutOfOrder), "{old}");
    }
    assert!(change(&mut world, 0, PHONES, lineage(6), a()).is_ok());
    let other = Some(Lineage {
        name: "other call".into(),
        sequence: 1,
    });
    assert!(change(&mut world, 0, PHONES, other, a()).is_ok());
}

#[test]
fn points_are_limited_but_a_client_that_signs_in_again_and_again_displaces_itself() {
    let mut world = World::new(1);
    world.rules.points = 2;
    let first = signed_in(&mut world, 0, LETTERS, "a");
    signed_in(&mut world, 0, LETTERS, "b");
    let answer = change(
        &mut world,
        0,
        LETTERS,
        None,
        vec![put(spec(LETTERS, "c", HOUR))],
    );
    assert_eq!(answer.err(), Some(Error::LimitReached(Limit::Points)));
    let again = signed_in(&mut world, 0, LETTERS, "a");
    let ids: Vec<_> = world.stored(0).points.iter().map(|p| p.id).collect();
    assert!(ids.contains(&again) && !ids.contains(&first) && ids.len() == 2);
}

#[test]
fn a_lease_of_zero_removes_and_long_leases_are_cut() {
    let mut world = World::new(1);
    signed_in(&mut world, 0, PHONES, "a");
    let long = infos(change(
        &mut world,
        0,
        PHONES,
        None,
        vec![
            put(spec(PHONES, "a", Duration::ZERO)),
            put(spec(PHONES, "b", secs(1_000_000))),
        ],
    ));
    assert_eq!(long.len(), 1);
    assert_eq!(long[0].expires, world.now.after(world.rules.lease_max));
}

#[test]
fn others_can_neither_register_nor_renew_nor_end_a_persons_points() {
    let mut world = World::new(2);
    let point = signed_in(&mut world, 0, LETTERS, "a");
    let stranger = caller(1, LETTERS);
    let sign_in = sign_in(LETTERS, spec(LETTERS, "x", HOUR));
    assert!(matches!(
        world.ask(0, &stranger, sign_in),
        Err(Error::Denied(_))
    ));
    let renew = Command::Renew { point, lease: HOUR };
    assert_eq!(world.ask(0, &stranger, renew).err(), Some(Error::StaleId));
}

#[test]
fn a_lease_ends_on_time_and_renewing_moves_it() {
    let mut world = World::new(2);
    let point = signed_in(&mut world, 0, PHONES, "a");
    watching(&mut world, 0, 1);
    world.pass(secs(3599));
    let renew = Command::Renew { point, lease: HOUR };
    world.ask(0, &caller(0, PHONES), renew).expect("renewed");
    let (id, _) = watching(&mut world, 0, 1);
    world.pass(Duration::from_millis(3_599_999));
    assert_eq!(told(&mut world), []);
    world.pass(Duration::from_millis(1));
    let last = world.events.iter().find_map(|(_, event)| match event {
        Event::Presence {
            watch,
            change: Change::Presence(view),
            ..
        } if *watch == id => Some(view.state),
        _ => None,
    });
    // The point and this watch end in the same instant: the point first.
    assert!(last.is_none() && world.stored(0).points.is_empty());
}

#[test]
fn decision_12_a_lost_connection_has_15_seconds_to_come_back() {
    let mut world = World::new(2);
    let point = signed_in(&mut world, 0, PHONES, "a");
    watching(&mut world, 0, 1);
    let me = caller(0, PHONES);
    let lost = || Command::Tether {
        point,
        change: TetherChange::Lost,
    };
    let back = Command::Tether {
        point,
        change: TetherChange::Back {
            handle: Arc::from(&b"new"[..]),
        },
    };
    world.ask(0, &me, lost()).expect("taken");
    world.pass(secs(14));
    world.ask(0, &me, back).expect("taken");
    world.pass(secs(60));
    assert_eq!(told(&mut world), []);
    assert_eq!(&*world.stored(0).points[0].spec.handle, b"new");
    world.ask(0, &me, lost()).expect("taken");
    world.pass(secs(15));
    assert_eq!(told(&mut world), [State::Offline]);
}

#[test]
fn decision_12_an_explicit_removal_has_no_grace() {
    let mut world = World::new(2);
    let point = signed_in(&mut world, 0, PHONES, "a");
    watching(&mut world, 0, 1);
    remove(&mut world, 0, PHONES, point).expect("removed");
    assert_eq!(told(&mut world), [State::Offline]);
}

#[test]
fn decision_14_two_failures_5_s_apart_raise_doubt_that_hides_then_removes() {
    let mut world = World::new(2);
    let point = signed_in(&mut world, 0, LETTERS, "a");
    publish(&mut world, 0, LETTERS, "a", State::Online).expect("published");
    watching(&mut world, 0, 1);
    health(&mut world, point, false);
    world.pass(secs(4));
    health(&mut world, point, false);
    let tag = say(&mut world, 1, 0, "not doubted yet");
    assert!(matches!(world.answer(tag), Some(Ok(_))));
    // That success wiped the slate clean.
    health(&mut world, point, false);
    world.pass(secs(5));
    health(&mut world, point, false);
    let tag = say(&mut world, 1, 0, "doubted");
    let doubted = Error::NotReachable(crate::core::error::Unreachable::Doubted);
    assert_eq!(world.answer(tag).and_then(Result::err), Some(doubted));
    world.pass(secs(59));
    assert_eq!(told(&mut world), []);
    world.pass(secs(1));
    assert_eq!(told(&mut world), [State::Offline]);
    world.pass(secs(1));
    health(&mut world, point, true);
    assert_eq!(told(&mut world), [State::Online], "one success restores");
    health(&mut world, point, false);
    world.pass(secs(5));
    health(&mut world, point, false);
    world.pass(secs(600));
    assert!(world.stored(0).points.is_empty(), "gone after 10 minutes");
}

/// A signed-in person who does nothing: below 2 KB, so that 10,000 of them are no matter
/// (issue 2, section 8).
#[test]
fn a_signed_in_idle_person_is_small() {
    use crate::core::points::Point;
    use crate::core::port::PublicationRecord;
    let live = size_of::<crate::core::user::User>()
        + size_of::<Point>()
        + size_of::<PublicationRecord>()
        + size_of::<crate::core::watches::Watching>();
    assert!(
        live < 1500,
        "{live} octets, without the texts they point to"
    );
}
