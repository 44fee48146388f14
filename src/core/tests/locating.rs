//! Where a person may be called: judged like a message (`decisions.md` 16).

use super::*;
use crate::core::access::{AccessEntry, Detail, Right, Rights, Subject};
use crate::core::command::{PointInfo, PointSpec, Tether, TetherChange};
use crate::core::error::Unreachable;

fn locate(world: &mut World, by: usize) -> Result<Vec<PointInfo>, Error> {
    match world.ask(0, &caller(by, PHONES), Command::Locate) {
        Ok(Reply::Points(points)) => Ok(points),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    }
}

#[test]
fn the_points_of_every_stack_that_can_be_reached_now() {
    let mut world = World::new(2);
    let nobody = Error::NotReachable(Unreachable::NobodySignedIn);
    assert_eq!(locate(&mut world, 1).err(), Some(nobody.clone()));
    let desk = PointSpec {
        tether: Tether::Connection,
        ..spec(PHONES, "desk", HOUR)
    };
    let phone = match world.ask(0, &caller(0, PHONES), sign_in(PHONES, desk)) {
        Ok(Reply::Points(points)) => points[0].id,
        other => panic!("{other:?}"),
    };
    signed_in(&mut world, 0, LETTERS, "mail");
    let stacks = |points: Vec<PointInfo>| points.iter().map(|p| p.stack).collect::<Vec<_>>();
    assert_eq!(locate(&mut world, 1).map(stacks), Ok(vec![PHONES, LETTERS]));
    // A lost connection rings nowhere, though its point is still there.
    let lost = Command::Tether {
        point: phone,
        change: TetherChange::Lost,
    };
    assert!(world.ask(0, &caller(0, PHONES), lost).is_ok());
    assert_eq!(locate(&mut world, 1).map(stacks), Ok(vec![LETTERS]));
}

#[test]
fn decision_16_who_is_blocked_may_not_call_and_does_not_see_why() {
    let mut world = World::new(2);
    signed_in(&mut world, 0, PHONES, "desk");
    let entry = AccessEntry {
        subject: Subject::Address(address(1)),
        schemes: Vec::new(),
        grant: Rights::default(),
        deny: Rights::default().with(Right::SendTo),
        ask: Rights::default(),
        detail: Detail::ALL,
    };
    let list = Command::SetAccess(vec![entry]);
    assert!(world.ask(0, &caller(0, PHONES), list).is_ok());
    let blocked = Error::NotReachable(Unreachable::Blocked);
    assert_eq!(locate(&mut world, 1).err(), Some(blocked));
    assert_eq!(locate(&mut world, 0).map(|points| points.len()), Ok(1));
}
