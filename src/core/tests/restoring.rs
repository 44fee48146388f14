//! Decisions 12, 19, 34: what is there after we died.

use super::*;
use crate::core::command::Condition;
use crate::core::command::Fate;

fn restored_points(world: &World) -> Vec<Condition> {
    let point = |(_, event): &(Stack, Event)| match event {
        Event::PointRestored { point, .. } => Some(point.condition),
        _ => None,
    };
    world.events.iter().filter_map(point).collect()
}

#[test]
fn decision_12_stream_points_are_suspended_for_120_s_and_watchers_told_nothing() {
    let mut world = World::new(2);
    signed_in(&mut world, 0, PHONES, "phone");
    signed_in(&mut world, 0, LETTERS, "letter");
    let (watch, _) = watching(&mut world, 0, 1);
    world.events.clear();
    world.restart();
    assert_eq!(
        restored_points(&world),
        [Condition::Suspended, Condition::Live]
    );
    let again = |(_, event): &(Stack, Event)| matches!(event, Event::WatchRestored { watch: id, .. } if *id == watch);
    assert!(world.events.iter().any(again));
    world.events.clear();
    world.pass(secs(119));
    assert_eq!(told(&mut world), []);
    world.pass(secs(1));
    assert_eq!(
        told(&mut world),
        [State::Offline],
        "the phone never came back"
    );
}

#[test]
fn decision_12_a_suspended_point_that_registers_again_was_never_away() {
    let mut world = World::new(2);
    let point = signed_in(&mut world, 0, PHONES, "phone");
    watching(&mut world, 0, 1);
    world.restart();
    world.pass(secs(60));
    assert_eq!(signed_in(&mut world, 0, PHONES, "phone"), point);
    world.pass(secs(600));
    assert_eq!(told(&mut world), []);
}

#[test]
fn decision_34_restored_leases_keep_at_least_60_s_and_never_more_than_granted() {
    let mut world = World::new(2);
    for (inbox, lease) in [("short", 40), ("long", 3600)] {
        let point = spec(LETTERS, inbox, secs(lease));
        let command = sign_in(LETTERS, point);
        world
            .ask(0, &caller(0, LETTERS), command)
            .expect("signed in");
    }
    let ends = |world: &mut World| {
        let me = caller(0, LETTERS);
        match world.ask(0, &me, Command::Standing) {
            Ok(Reply::Standing(standing)) => standing
                .points
                .iter()
                .map(|p| p.expires.since(world.now).as_secs())
                .collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    // A clock that stands a day later, and one that stands a day earlier, than when we died.
    let died = world.now;
    world.now = died.after(Duration::from_hours(24));
    world.restart();
    assert_eq!(ends(&mut world), [40, 60]);
    world.now = crate::core::time::Time(died.0 / 2);
    world.restart();
    assert_eq!(ends(&mut world), [40, 3600]);
}

#[test]
fn decision_19_a_kept_text_is_tried_again_and_marked() {
    let mut world = World::new(2);
    signed_in(&mut world, 1, LETTERS, "letter");
    world.clients = silent();
    let tag = say(&mut world, 0, 1, "hello");
    world.pass(secs(5));
    assert!(matches!(world.answer(tag), Some(Ok(Reply::Sent(s))) if s.fate == Fate::Kept));
    world.events.clear();
    world.clients = answering(Outcome::Delivered);
    world.restart();
    let again = delivered(&mut world);
    assert_eq!(again.len(), 1);
    assert!(again[0].2, "it may be a double, and says so");
    assert!(world.stored(1).kept.is_empty());
}

#[test]
fn a_kept_text_without_a_point_waits_for_one() {
    let mut world = World::new(2);
    let point = signed_in(&mut world, 1, PHONES, "phone");
    world.clients = silent();
    say(&mut world, 0, 1, "hello");
    world.pass(secs(5));
    world.restart();
    world.clients = answering(Outcome::Delivered);
    points::remove(&mut world, 1, PHONES, point).expect("removed");
    world.pass(secs(1));
    assert_eq!(world.broken_promises(), 0, "delivered or told");
}

#[test]
fn a_duplicate_of_a_kept_text_is_known_after_a_restart() {
    let mut world = World::new(2);
    signed_in(&mut world, 1, LETTERS, "letter");
    world.clients = silent();
    let mut keyed = message(0, 1, PHONES, text("hello"));
    keyed.original.key = Some("key".into());
    world.send(0, &caller(0, PHONES), submit(1, keyed.clone()));
    world.pass(secs(5));
    world.clients = answering(Outcome::Delivered);
    world.restart();
    world.events.clear();
    let tag = world.send(0, &caller(0, PHONES), submit(1, keyed));
    assert!(matches!(world.answer(tag), Some(Ok(Reply::Sent(_)))));
    assert!(delivered(&mut world).is_empty());
}

#[test]
fn presence_access_and_properties_are_what_they_were() {
    let mut world = World::new(2);
    signed_in(&mut world, 0, LETTERS, "a");
    publish(&mut world, 0, LETTERS, "a", State::OnPhone).expect("published");
    delivery::block(&mut world, 0, 1);
    world.restart();
    assert_eq!(state(&mut world, 0), State::OnPhone);
    let (_, view) = watching(&mut world, 0, 1);
    assert_eq!(view.state, State::Offline);
}

#[test]
fn watchers_of_a_change_that_we_may_have_died_on_are_told_after_the_restart() {
    let mut world = World::new(2);
    signed_in(&mut world, 0, LETTERS, "letter");
    watching(&mut world, 0, 1);
    publish(&mut world, 0, LETTERS, "letter", State::Busy).expect("published");
    world.events.clear();
    world.restart();
    assert_eq!(told(&mut world), [State::Busy]);
    // What storage knows to be old is not told again: the one who restores takes the mark away.
    world.records[0].changed = None;
    world.restart();
    assert_eq!(told(&mut world), []);
}
