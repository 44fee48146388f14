//! Consent, watchers of watchers, calls.

use super::{HOUR, caller, publish, secs, signed_in, state};
use crate::core::access::{AccessEntry, Detail, Right, Rights, Scheme, Subject};
use crate::core::calls::{Call, CallState, Calls};
use crate::core::command::{
    Caller, Change, Command, Ended, PointHint, Publish, Reply, Topic, Via, Watch, WatchState,
};
use crate::core::error::Error;
use crate::core::event::Event;
use crate::core::exercise::{Answer, LETTERS, PHONES, World, address};
use crate::core::id::WatchId;
use crate::core::message::Content;
use crate::core::presence::State;
use crate::core::time::Time;
use crate::core::watchers::WatcherReport;
use std::sync::Arc;
use std::time::Duration;

/// A world where people are asked.
fn asking(people: usize) -> World {
    let mut world = World::new(people);
    world.rules.confirm = Arc::new(["example.com".to_owned()]);
    world
}

fn wish(topic: Topic, lease: Duration, key: &str, notify: bool) -> Command {
    Command::Watch(Watch {
        topic,
        stack: PHONES,
        lease,
        via: Via::Direct,
        notify,
        key: Some(key.into()),
        handle: Arc::from(key.as_bytes()),
    })
}

fn watch(world: &mut World, of: usize, by: usize, topic: Topic) -> WatchId {
    let key = format!("{by}");
    match world.ask(of, &caller(by, PHONES), wish(topic, HOUR, &key, true)) {
        Ok(Reply::Watching {
            watch: Some(id), ..
        }) => id,
        other => panic!("{other:?}"),
    }
}

/// What was told since the last look, by handle.
fn told(world: &mut World) -> Vec<(String, Change)> {
    let events = std::mem::take(&mut world.events);
    let one = |(_, event)| match event {
        Event::Presence { handle, change, .. } => {
            Some((String::from_utf8_lossy(&handle).into_owned(), change))
        }
        _ => None,
    };
    events.into_iter().filter_map(one).collect()
}

/// The same in short.
fn heard(world: &mut World) -> Vec<String> {
    let short = |(who, change): (String, Change)| match change {
        Change::Presence(view) => format!("{who} {:?}", view.state),
        Change::Pending(view) => format!("{who} pending {:?}", view.state),
        Change::Ended(why, _) | Change::Last(why, _) => format!("{who} {why:?}"),
        Change::Watchers(report) => format!("{who} watchers {}", list(&report)),
        Change::Calls(calls) => format!("{who} calls {}", calls.len()),
        Change::Documents(all) => format!("{who} documents {}", all.len()),
        Change::Properties(_) => format!("{who} properties"),
    };
    told(world).into_iter().map(short).collect()
}

fn list(report: &WatcherReport) -> String {
    let one = |w: &crate::core::watchers::WatcherEntry| {
        format!("{} {:?} {:?}", w.watcher.local(), w.state, w.event)
    };
    let all: Vec<_> = report.live.iter().map(one).collect();
    all.join(", ")
}

fn decide(world: &mut World, who: usize, about: usize, accept: bool) {
    let command = Command::Decide {
        watcher: address(about),
        accept,
    };
    world
        .ask(who, &caller(who, LETTERS), command)
        .expect("decided");
}

#[test]
fn rfc_3856_6_6_a_watcher_waits_until_the_owner_accepts() {
    let mut world = asking(2);
    signed_in(&mut world, 0, LETTERS, "a");
    publish(&mut world, 0, LETTERS, "a", State::Busy).expect("published");
    watch(&mut world, 0, 1, Topic::Presence);
    assert_eq!(heard(&mut world), ["1 pending Offline"]);
    // Nothing leaks while he waits.
    publish(&mut world, 0, LETTERS, "a", State::Away).expect("published");
    assert_eq!(heard(&mut world), [""; 0]);
    decide(&mut world, 0, 1, true);
    world.pass(secs(1));
    assert_eq!(heard(&mut world), ["1 Away"]);
    // Asked once: another watch of his is let in.
    watch(&mut world, 0, 1, Topic::Presence);
    assert_eq!(heard(&mut world), ["1 Replaced", "1 Away"]);
}

#[test]
fn decision_16_a_refused_watcher_is_active_and_sees_nobody() {
    let mut world = asking(2);
    signed_in(&mut world, 0, LETTERS, "a");
    publish(&mut world, 0, LETTERS, "a", State::Busy).expect("published");
    watch(&mut world, 0, 1, Topic::Presence);
    heard(&mut world);
    decide(&mut world, 0, 1, false);
    world.pass(secs(1));
    assert_eq!(heard(&mut world), ["1 Offline"], "no longer pending");
}

#[test]
fn a_visible_block_is_said_openly() {
    let mut world = asking(3);
    world.rules.visible_block = Arc::new(["example.com".to_owned()]);
    watch(&mut world, 0, 1, Topic::Presence);
    heard(&mut world);
    decide(&mut world, 0, 1, false);
    assert_eq!(heard(&mut world), ["1 Rejected"]);
    let again = world.ask(
        0,
        &caller(1, PHONES),
        wish(Topic::Presence, HOUR, "x", true),
    );
    assert_eq!(again.err(), Some(Error::Denied("presence")));
}

#[test]
fn a_stack_that_can_not_say_pending_shows_offline_and_is_told_nothing() {
    let mut world = asking(2);
    signed_in(&mut world, 0, LETTERS, "a");
    publish(&mut world, 0, LETTERS, "a", State::Busy).expect("published");
    let quiet = wish(Topic::Presence, HOUR, "1", false);
    let Ok(Reply::Watching { view, .. }) = world.ask(0, &caller(1, PHONES), quiet) else {
        panic!("no watch");
    };
    assert_eq!(view.state, State::Offline);
    assert_eq!(heard(&mut world), [""; 0]);
    decide(&mut world, 0, 1, false);
    world.pass(secs(1));
    assert_eq!(heard(&mut world), [""; 0], "offline before and after");
    decide(&mut world, 0, 1, true);
    world.pass(secs(1));
    assert_eq!(heard(&mut world), ["1 Busy"]);
}

#[test]
fn an_owner_whose_clients_show_nobody_waiting_is_told_once_by_a_text() {
    let mut world = asking(3);
    let texts = |world: &mut World| {
        let events = std::mem::take(&mut world.events);
        let body = |(_, event)| match event {
            Event::Deliver { message, .. } => match &message.content {
                Content::Text(text) => Some(text.body.split(' ').next().unwrap().to_owned()),
                _ => None,
            },
            _ => None,
        };
        events.into_iter().filter_map(body).collect::<Vec<_>>()
    };
    // Nobody there to be told yet; then all who wait, once each.
    watch(&mut world, 0, 1, Topic::Presence);
    assert_eq!(texts(&mut world), [""; 0]);
    signed_in(&mut world, 0, LETTERS, "a");
    assert_eq!(texts(&mut world), ["p1@example.com"]);
    watch(&mut world, 0, 2, Topic::Presence);
    assert_eq!(texts(&mut world), ["p2@example.com"]);
    watch(&mut world, 0, 1, Topic::Presence);
    signed_in(&mut world, 0, LETTERS, "b");
    assert_eq!(texts(&mut world), [""; 0], "once");
    // Who can see it by himself is told nothing.
    signed_in(&mut world, 1, PHONES, "p");
    watch(&mut world, 1, 2, Topic::Presence);
    assert_eq!(texts(&mut world), [""; 0]);
    signed_in(&mut world, 2, LETTERS, "c");
    watch(&mut world, 2, 2, Topic::Watchers);
    watch(&mut world, 2, 1, Topic::Presence);
    assert_eq!(texts(&mut world), [""; 0]);
}

#[test]
fn a_question_survives_a_restart_and_a_change_of_policy() {
    let mut world = asking(2);
    watch(&mut world, 0, 1, Topic::Presence);
    assert_eq!(world.stored(0).watches[0].state, WatchState::Pending);
    world.restart();
    heard(&mut world);
    decide(&mut world, 0, 1, true);
    world.pass(secs(1));
    assert_eq!(
        heard(&mut world),
        ["1 Offline"],
        "told that the wait is over"
    );
    // The owner changes his mind: back to the question.
    let entry = AccessEntry {
        subject: Subject::Address(address(1)),
        schemes: Vec::new(),
        grant: Rights::default(),
        deny: Rights::default(),
        ask: Rights::default().with(Right::Presence),
        detail: Detail::ALL,
    };
    let list = Command::SetAccess(vec![entry]);
    world.ask(0, &caller(0, LETTERS), list).expect("written");
    world.pass(secs(1));
    assert_eq!(heard(&mut world), ["1 pending Offline"]);
}

#[test]
fn mutual_watchers_consent_to_each_other_while_they_watch() {
    let mut world = asking(2);
    world.rules.mutual = Arc::clone(&world.rules.confirm);
    watch(&mut world, 0, 1, Topic::Presence);
    assert_eq!(heard(&mut world), ["1 pending Offline"]);
    let mine = watch(&mut world, 1, 0, Topic::Presence);
    world.pass(secs(1));
    let said = heard(&mut world);
    assert!(said.contains(&"1 Offline".to_owned()), "{said:?}");
    let unwatch = Command::Unwatch {
        watch: mine,
        notify: false,
    };
    world.ask(1, &caller(0, PHONES), unwatch).expect("ended");
    world.pass(HOUR);
    let forged = Command::Acquaint {
        with: address(1),
        until: Time(u64::MAX),
    };
    assert!(world.ask(0, &caller(1, PHONES), forged).is_err());
}

#[test]
fn rfc_3857_the_owner_is_told_of_watchers_and_nobody_else() {
    let mut world = asking(3);
    let stranger = world.ask(
        0,
        &caller(1, PHONES),
        wish(Topic::Watchers, HOUR, "x", true),
    );
    assert_eq!(stranger.err(), Some(Error::Denied("subscriptions")));
    watch(&mut world, 0, 0, Topic::Watchers);
    assert_eq!(heard(&mut world), ["0 watchers "]);
    watch(&mut world, 0, 1, Topic::Presence);
    assert_eq!(
        heard(&mut world),
        ["1 pending Offline", "0 watchers p1 Pending Subscribe"]
    );
    // RFC 3857 4.10: not more often than every five seconds.
    watch(&mut world, 0, 2, Topic::Presence);
    assert_eq!(heard(&mut world), ["2 pending Offline"]);
    decide(&mut world, 0, 1, true);
    world.pass(secs(5));
    let said = heard(&mut world);
    assert!(
        said.contains(&"0 watchers p1 Active Approved, p2 Pending Subscribe".to_owned()),
        "{said:?}"
    );
}

#[test]
fn rfc_3857_who_came_in_vain_is_waiting_bounded_and_for_a_while() {
    let mut world = asking(4);
    world.rules.waiting = 2;
    for by in 1..4 {
        let brief = wish(Topic::Presence, secs(60), "k", true);
        world.ask(0, &caller(by, PHONES), brief).expect("watching");
        world.pass(secs(61));
    }
    // A fetch leaves its maker waiting, too, once.
    let fetch = wish(Topic::Presence, Duration::ZERO, "k", true);
    world.ask(0, &caller(3, PHONES), fetch).expect("fetched");
    heard(&mut world);
    watch(&mut world, 0, 0, Topic::Watchers);
    assert_eq!(
        heard(&mut world),
        ["0 watchers p2 Waiting Timeout, p3 Waiting Timeout"]
    );
    world.restart();
    heard(&mut world);
    // He comes again: the same one, pending.
    watch(&mut world, 0, 2, Topic::Presence);
    world.pass(secs(5));
    let said = heard(&mut world);
    let last = said.last().expect("told");
    assert!(
        last.contains("p2 Pending Subscribe") && last.contains("p3 Waiting"),
        "{last}"
    );
    // Accepting one who waits needs no watch.
    decide(&mut world, 0, 3, true);
    world.pass(secs(6));
    let states: Vec<_> = world.stored(0).watches.iter().map(|w| w.state).collect();
    assert!(!states.contains(&WatchState::Waiting), "{states:?}");
}

#[test]
fn a_question_that_nobody_answers_is_given_up() {
    let mut world = asking(2);
    world.rules.waiting_for = Duration::from_secs(100);
    watch(&mut world, 0, 1, Topic::Presence);
    heard(&mut world);
    world.pass(secs(101));
    assert_eq!(heard(&mut world), ["1 GaveUp"]);
    assert!(world.stored(0).watches.is_empty());
    let brief = wish(Topic::Presence, secs(60), "k", true);
    world.ask(0, &caller(1, PHONES), brief).expect("watching");
    world.pass(secs(61));
    assert_eq!(world.stored(0).watches.len(), 1, "waiting");
    world.pass(secs(101));
    assert!(world.stored(0).watches.is_empty() && world.user(0).is_idle());
}

fn calls(version: u32, full: bool, list: &[(&str, CallState)]) -> Calls {
    let call = |(id, state): &(&str, CallState)| Call {
        id: (*id).into(),
        state: *state,
        detail: "<dialog/>".into(),
    };
    Calls {
        full,
        version,
        list: list.iter().map(call).collect(),
    }
}

fn report(world: &mut World, calls: Calls) -> Answer {
    let system = Caller {
        scheme: Scheme::Internal,
        ..caller(0, PHONES)
    };
    let command = Command::Publish(Publish {
        stack: PHONES,
        target: None,
        adopt: false,
        hint: PointHint::default(),
        key: None,
        presence: None,
        calls: Some(calls),
        lease: Some(HOUR),
    });
    let known = world
        .stored(0)
        .publications
        .iter()
        .find(|p| p.calls.is_some())
        .map(|p| p.id);
    let command = match (known, command) {
        (Some(id), Command::Publish(publish)) => Command::Publish(Publish {
            target: Some((id, None)),
            ..publish
        }),
        (_, command) => command,
    };
    world.ask(0, &system, command)
}

#[test]
fn decision_10_a_call_makes_on_phone_and_its_end_gives_back_what_was() {
    use CallState::{Confirmed, Early, Terminated};
    let mut world = World::new(2);
    signed_in(&mut world, 0, LETTERS, "a");
    publish(&mut world, 0, LETTERS, "a", State::Away).expect("published");
    world.pass(secs(1));
    report(&mut world, calls(0, true, &[("1", Early)])).expect("taken");
    assert_eq!(state(&mut world, 0), State::Away, "it only rings");
    report(&mut world, calls(1, false, &[("1", Confirmed)])).expect("taken");
    assert_eq!(state(&mut world, 0), State::OnPhone);
    report(&mut world, calls(2, false, &[("2", Confirmed)])).expect("taken");
    report(&mut world, calls(3, false, &[("1", Terminated)])).expect("taken");
    assert_eq!(state(&mut world, 0), State::OnPhone, "one call goes on");
    let old = report(&mut world, calls(3, false, &[("2", Terminated)]));
    assert_eq!(old.err(), Some(Error::OutOfOrder));
    report(&mut world, calls(9, true, &[])).expect("taken");
    assert_eq!(state(&mut world, 0), State::Away);
    // The lease ends a call whose end nobody reported.
    report(&mut world, calls(1, true, &[("3", Confirmed)])).expect("taken");
    assert_eq!(state(&mut world, 0), State::OnPhone);
    world.pass(secs(1));
    publish(&mut world, 0, LETTERS, "a", State::Busy).expect("published");
    assert_eq!(state(&mut world, 0), State::Busy, "the newest choice");
    publish(&mut world, 0, LETTERS, "a", State::Invisible).expect("published");
    assert_eq!(
        state(&mut world, 0),
        State::Offline,
        "no call betrays who hides"
    );
}

#[test]
fn calls_are_the_owners_unless_he_names_somebody() {
    let mut world = World::new(3);
    let stranger = world.ask(0, &caller(1, PHONES), wish(Topic::Calls, HOUR, "1", true));
    assert_eq!(stranger.err(), Some(Error::Denied("calls")));
    watch(&mut world, 0, 0, Topic::Calls);
    decide(&mut world, 0, 2, true);
    watch(&mut world, 0, 2, Topic::Calls);
    assert_eq!(heard(&mut world), ["0 calls 0", "2 calls 0"]);
    report(&mut world, calls(0, true, &[("1", CallState::Confirmed)])).expect("taken");
    assert_eq!(heard(&mut world), ["0 calls 1", "2 calls 1"]);
    let fetch = wish(Topic::Calls, Duration::ZERO, "f", true);
    world.ask(0, &caller(0, PHONES), fetch).expect("fetched");
    let last = told(&mut world);
    let is_last = |(_, change): &(String, Change)| {
        matches!(change, Change::Last(Ended::Expired, inner)
            if matches!(&**inner, Change::Calls(calls) if calls.len() == 1))
    };
    assert!(last.iter().any(is_last), "{last:?}");
    decide(&mut world, 0, 2, false);
    world.pass(secs(1));
    report(&mut world, calls(1, true, &[])).expect("taken");
    assert_eq!(
        heard(&mut world),
        ["0 calls 0"],
        "who is blocked hears no more"
    );
    world.pass(HOUR);
    assert_eq!(world.stored(0).publications.len(), 0, "its lease is over");
}

#[test]
fn a_device_that_comes_again_takes_the_place_of_itself() {
    let mut world = World::new(2);
    for _ in 0..5 {
        watch(&mut world, 0, 1, Topic::Presence);
    }
    assert_eq!(world.stored(0).watches.len(), 1);
    let said = heard(&mut world);
    assert_eq!(said.iter().filter(|text| *text == "1 Replaced").count(), 4);
    let publish = |world: &mut World, key: &str| {
        let command = Command::Publish(Publish {
            stack: PHONES,
            target: None,
            adopt: false,
            hint: PointHint::default(),
            key: Some(key.into()),
            presence: Some(crate::core::presence::Presence::of(State::Busy)),
            calls: None,
            lease: Some(HOUR),
        });
        world
            .ask(0, &caller(0, PHONES), command)
            .expect("published")
    };
    for key in ["a", "a", "b", "a"] {
        publish(&mut world, key);
    }
    assert_eq!(world.stored(0).publications.len(), 2);
}

#[test]
fn a_thousand_watches_end_at_once() {
    let mut world = World::new(2);
    for at in 0..1000 {
        let command = wish(Topic::Presence, secs(60), &format!("{at}"), true);
        world.ask(0, &caller(1, PHONES), command).expect("watching");
    }
    heard(&mut world);
    world.pass(secs(60));
    let said = heard(&mut world);
    assert_eq!(said.len(), 1000);
    assert!(said.iter().all(|text| text.ends_with("Expired")));
    assert!(world.stored(0).watches.is_empty() && world.user(0).is_idle());
}
