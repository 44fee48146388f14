//! Decision 13: who is told what, and when.

use super::*;
use crate::core::access::Scheme;
use crate::core::command::{Caller, Ended, Watch};

#[test]
fn decision_13_a_first_change_at_once_then_250_ms_merge_and_the_newest_wins() {
    let mut world = World::new(2);
    signed_in(&mut world, 0, LETTERS, "a");
    watching(&mut world, 0, 1);
    publish(&mut world, 0, LETTERS, "a", State::Online).expect("published");
    assert_eq!(told(&mut world), [State::Online]);
    world.pass(Duration::from_millis(50));
    publish(&mut world, 0, LETTERS, "a", State::Busy).expect("published");
    publish(&mut world, 0, LETTERS, "a", State::Away).expect("published");
    world.pass(Duration::from_millis(199));
    assert_eq!(told(&mut world), []);
    world.pass(Duration::from_millis(1));
    assert_eq!(told(&mut world), [State::Away]);
}

#[test]
fn decision_13_no_change_no_notification_even_there_and_back() {
    let mut world = World::new(2);
    signed_in(&mut world, 0, LETTERS, "a");
    publish(&mut world, 0, LETTERS, "a", State::Idle).expect("published");
    watching(&mut world, 0, 1);
    publish(&mut world, 0, LETTERS, "a", State::Idle).expect("published");
    publish(&mut world, 0, LETTERS, "a", State::Busy).expect("published");
    assert_eq!(told(&mut world), [State::Busy]);
    publish(&mut world, 0, LETTERS, "a", State::Online).expect("published");
    publish(&mut world, 0, LETTERS, "a", State::Busy).expect("published");
    world.pass(secs(10));
    assert_eq!(told(&mut world), []);
}

#[test]
fn decision_13_the_echo_of_a_pair_is_not_told() {
    let mut world = World::new(2);
    for stack in [LETTERS, PHONES] {
        let mut point = spec(stack, "a", HOUR);
        point.machine = Some("desk".into());
        point.source = Some([192, 0, 2, 7].into());
        world
            .ask(0, &caller(0, stack), sign_in(stack, point))
            .expect("signed in");
        publish(&mut world, 0, stack, "a", State::Idle).expect("published");
    }
    world.pass(secs(6));
    watching(&mut world, 0, 1);
    // The client comes back from idle on one side, and a second later says something else on the
    // other; when the dust has settled both say the same.
    publish(&mut world, 0, LETTERS, "a", State::Online).expect("published");
    world.pass(secs(1));
    publish(&mut world, 0, PHONES, "a", State::Busy).expect("published");
    world.pass(secs(2));
    publish(&mut world, 0, PHONES, "a", State::Online).expect("published");
    world.pass(secs(10));
    assert_eq!(told(&mut world), [State::Online]);
}

#[test]
fn rvp_8_5_the_answer_comes_before_the_notification_it_causes() {
    // The world itself asserts the order of effects; here the person watches itself.
    let mut world = World::new(1);
    signed_in(&mut world, 0, LETTERS, "a");
    watching(&mut world, 0, 0);
    publish(&mut world, 0, LETTERS, "a", State::Online).expect("published");
    assert_eq!(told(&mut world), [State::Online]);
}

#[test]
fn rfc_6665_every_subscribe_refresh_fetch_and_end_is_notified_if_asked() {
    let mut world = World::new(2);
    let him = caller(1, PHONES);
    let answer = world.ask(0, &him, watch(PHONES, Via::Direct, HOUR, true));
    let Ok(Reply::Watching {
        watch: Some(id), ..
    }) = answer
    else {
        panic!("{answer:?}");
    };
    assert_eq!(told(&mut world), [State::Offline]);
    let renew = Command::RenewWatch {
        watch: id,
        lease: HOUR,
        handle: None,
        notify: true,
    };
    world.ask(0, &him, renew).expect("renewed");
    assert_eq!(told(&mut world), [State::Offline]);
    world
        .ask(0, &him, watch(PHONES, Via::Direct, Duration::ZERO, true))
        .expect("fetched");
    assert!(ended(&mut world, Ended::Expired));
    assert_eq!(world.stored(0).watches.len(), 1, "a fetch leaves nothing");
    let unwatch = Command::Unwatch {
        watch: id,
        notify: true,
    };
    world.ask(0, &him, unwatch).expect("ended");
    assert!(ended(&mut world, Ended::Unwatched));
    assert!(world.stored(0).watches.is_empty());
}

fn ended(world: &mut World, reason: Ended) -> bool {
    let events = std::mem::take(&mut world.events);
    let is = |(_, event): &(Stack, Event)| matches!(event, Event::Presence { change: Change::Ended(why, _), .. } if *why == reason);
    events.len() == 1 && events.iter().all(is)
}

#[test]
fn a_watch_ends_with_its_lease_and_the_watcher_is_told() {
    let mut world = World::new(2);
    watching(&mut world, 0, 1);
    world.pass(HOUR);
    assert!(ended(&mut world, Ended::Expired));
    assert!(world.stored(0).watches.is_empty());
}

#[test]
fn the_same_key_replaces_a_watch() {
    let mut world = World::new(2);
    let keyed = || {
        Command::Watch(Watch {
            topic: crate::core::command::Topic::Presence,
            stack: PHONES,
            lease: HOUR,
            via: Via::Direct,
            notify: false,
            key: Some("dialog".into()),
            handle: Arc::from(&b"h"[..]),
        })
    };
    for _ in 0..3 {
        world.ask(0, &caller(1, PHONES), keyed()).expect("watching");
    }
    assert_eq!(world.stored(0).watches.len(), 1);
}

#[test]
fn rvp_5_unsubscribe_only_the_watcher_and_the_owner_handle_a_watch() {
    let mut world = World::new(3);
    let (watch, _) = watching(&mut world, 0, 1);
    let unwatch = || Command::Unwatch {
        watch,
        notify: false,
    };
    let stranger = world.ask(0, &caller(2, PHONES), unwatch());
    assert_eq!(stranger.err(), Some(Error::StaleId));
    assert!(world.ask(0, &caller(0, PHONES), unwatch()).is_ok());
}

#[test]
fn a_logical_callback_reaches_each_inbox_of_the_watcher_once() {
    let mut world = World::new(2);
    for inbox in ["x", "x", "y"] {
        signed_in(&mut world, 1, LETTERS, inbox);
    }
    let command = watch(LETTERS, Via::Inboxes, HOUR, false);
    world
        .ask(0, &caller(1, LETTERS), command)
        .expect("watching");
    signed_in(&mut world, 0, PHONES, "a");
    let inboxes: Vec<_> = world
        .events
        .iter()
        .filter_map(|(stack, event)| match event {
            Event::InboxPresence { point, of, .. } if *of == address(0) => {
                assert_eq!(*stack, LETTERS);
                Some(point.inbox.to_string())
            }
            _ => None,
        })
        .collect();
    assert_eq!(inboxes, ["x", "y"]);
}

#[test]
fn watches_are_limited() {
    let mut world = World::new(2);
    world.rules.watches = 1;
    watching(&mut world, 0, 1);
    let more = watch(PHONES, Via::Direct, HOUR, false);
    let limit = Error::LimitReached(crate::core::error::Limit::Watches);
    assert_eq!(world.ask(0, &caller(1, PHONES), more).err(), Some(limit));
}

#[test]
fn erasing_ends_everything_and_tells_everybody() {
    let mut world = World::new(2);
    world.clients = silent();
    signed_in(&mut world, 0, LETTERS, "a");
    watching(&mut world, 0, 1);
    let tag = say(&mut world, 1, 0, "too late");
    world.events.clear();
    world
        .ask(0, &caller(0, LETTERS), Command::Erase)
        .expect("erased");
    assert_eq!(
        world.answer(tag).and_then(Result::err),
        Some(Error::UnknownUser)
    );
    let kinds: Vec<_> = world
        .events
        .iter()
        .map(|(_, event)| match event {
            Event::PointEnded { .. } => "point",
            Event::Presence {
                change: Change::Ended(Ended::NoResource, view),
                ..
            } if view.state == State::Offline => "watch",
            _ => "?",
        })
        .collect();
    assert_eq!(kinds, ["point", "watch"]);
    assert!(world.user(0).is_idle() && world.stored(0).points.is_empty());
}

fn show(world: &mut World, to: usize, state: Option<State>) {
    let command = Command::ShowTo {
        watcher: address(to),
        presence: state.map(Presence::of),
    };
    let server = Caller {
        scheme: Scheme::Internal,
        ..caller(0, LETTERS)
    };
    world.ask(0, &server, command).expect("shown");
    world.pass(Duration::from_millis(250));
}

fn looks(world: &mut World, who: usize) -> State {
    match world.ask(0, &caller(who, LETTERS), Command::Look) {
        Ok(Reply::Watching { view, .. }) => view.state,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_watcher_is_shown_what_is_meant_for_him_alone() {
    let mut world = World::new(3);
    watching(&mut world, 0, 1);
    watching(&mut world, 0, 2);
    show(&mut world, 1, Some(State::Busy));
    assert_eq!(
        told(&mut world),
        [State::Busy],
        "the other one hears nothing"
    );
    assert_eq!(
        [looks(&mut world, 1), looks(&mut world, 2)],
        [State::Busy, State::Offline]
    );
    show(&mut world, 1, Some(State::Busy));
    show(&mut world, 2, Some(State::Offline));
    assert_eq!(told(&mut world), []);
    show(&mut world, 2, Some(State::Invisible));
    assert_eq!(told(&mut world), []);
    show(&mut world, 1, None);
    assert_eq!(told(&mut world), [State::Offline]);
    // Nobody but this server says what others see.
    let forged = Command::ShowTo {
        watcher: address(2),
        presence: Some(Presence::of(State::Online)),
    };
    assert!(world.ask(0, &caller(1, LETTERS), forged).is_err());
}

#[test]
fn after_a_restart_the_first_word_is_passed_on_whatever_it_is() {
    let mut world = World::new(2);
    watching(&mut world, 0, 1);
    show(&mut world, 1, Some(State::Busy));
    assert_eq!(told(&mut world), [State::Busy]);
    world.restart();
    // The last change is long ago.
    told(&mut world);
    show(&mut world, 1, Some(State::Offline));
    assert_eq!(told(&mut world), [State::Offline], "he believed busy");
    show(&mut world, 1, Some(State::Offline));
    assert_eq!(told(&mut world), []);
}
