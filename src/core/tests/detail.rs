//! How much of presence a watcher sees who may see it (RFC 5025 3.3).

use super::{HOUR, secs, signed_in};
use crate::core::access::{AccessEntry, Detail, Part, Right, Rights, Subject};
use crate::core::command::{Change, Command, PointHint, Publish, Reply, Via};
use crate::core::event::Event;
use crate::core::exercise::{LETTERS, PHONES, World, address, caller, watch};
use crate::core::id::Stack;
use crate::core::presence::{Document, Presence, State, View};
use crate::core::time::Time;
use bytes::Bytes;
use proptest::prelude::*;
use std::sync::Arc;

fn says(world: &mut World, state: State, note: &str) {
    let document = Document {
        stack: PHONES,
        media: "text/x".into(),
        bytes: Bytes::from(format!("{state:?} {note}")),
    };
    let presence = Presence {
        note: Some(note.into()),
        document: Some(Arc::new(document)),
        ..Presence::of(state)
    };
    let publish = Command::Publish(Publish {
        stack: PHONES,
        target: None,
        adopt: true,
        hint: PointHint {
            inbox: Some("a".into()),
            source: None,
            client: None,
        },
        key: None,
        presence: Some(presence),
        calls: None,
        lease: Some(HOUR),
    });
    world
        .ask(0, &caller(0, PHONES), publish)
        .expect("published");
}

/// Person 1 may see that much of person 0.
fn shows(world: &mut World, detail: Detail) {
    let entry = AccessEntry {
        subject: Subject::Address(address(1)),
        schemes: Vec::new(),
        grant: Rights::default().with(Right::Presence),
        deny: Rights::default(),
        ask: Rights::default(),
        detail,
    };
    let list = Command::SetAccess(vec![entry]);
    world.ask(0, &caller(0, LETTERS), list).expect("written");
    world.pass(secs(1));
}

fn seen(view: &View) -> (State, Option<&str>, bool) {
    (view.state, view.note.as_deref(), view.documents.is_some())
}

/// What was told since the last look.
fn heard(world: &mut World) -> Vec<View> {
    let events = std::mem::take(&mut world.events);
    let views = events.into_iter().filter_map(|(_, event)| match event {
        Event::Presence {
            change: Change::Presence(view),
            ..
        } => Some(view),
        _ => None,
    });
    views.collect()
}

fn look(world: &mut World, by: usize, stack: Stack) -> View {
    match world.ask(0, &caller(by, stack), Command::Look) {
        Ok(Reply::Watching { view, .. }) => view,
        other => panic!("{other:?}"),
    }
}

/// Person 0 is busy, and person 1 watches him on both stacks.
fn watched(detail: Detail) -> World {
    let mut world = World::new(3);
    signed_in(&mut world, 0, PHONES, "a");
    says(&mut world, State::Busy, "board");
    shows(&mut world, detail);
    for stack in [PHONES, LETTERS] {
        let command = watch(stack, Via::Direct, HOUR, true);
        world.ask(0, &caller(1, stack), command).expect("watched");
    }
    world
}

#[test]
fn rfc_5025_3_3_only_what_is_permitted_is_shown_on_every_stack() {
    let note = Detail::NONE.with(Part::Note);
    let busy = Detail::NONE.with(Part::Activities);
    for (detail, expected) in [
        (Detail::NONE, (State::Online, None, false)),
        (Detail::NONE.with(Part::Idle), (State::Online, None, false)),
        (note, (State::Online, Some("board"), false)),
        (busy, (State::Busy, None, false)),
        (
            note.with(Part::Activities),
            (State::Busy, Some("board"), false),
        ),
        (Detail::ALL, (State::Busy, Some("board"), true)),
    ] {
        let mut world = watched(detail);
        let told = heard(&mut world);
        assert_eq!(told.len(), 2, "one for each stack");
        for view in &told {
            assert_eq!(seen(view), expected, "{detail:?}");
        }
        for stack in [PHONES, LETTERS] {
            assert_eq!(seen(&look(&mut world, 1, stack)), expected, "a fetch");
        }
        // It is about nobody else.
        let all = (State::Busy, Some("board"), true);
        assert_eq!(seen(&look(&mut world, 2, PHONES)), all);
        assert_eq!(seen(&look(&mut world, 0, PHONES)), all, "his own clients");
        // What can't be told from what was seen before is no news.
        says(&mut world, State::Away, "lunch");
        world.pass(secs(10));
        let changes = heard(&mut world).len();
        let tells = detail.has(Part::Activities) || detail.has(Part::Note);
        assert_eq!(changes, if tells { 2 } else { 0 }, "{detail:?}");
    }
}

#[test]
fn a_change_of_the_rules_is_told_at_once() {
    let mut world = watched(Detail::NONE);
    heard(&mut world);
    shows(&mut world, Detail::ALL);
    let told = heard(&mut world);
    let states: Vec<_> = told.iter().map(|view| view.state).collect();
    assert_eq!(states, [State::Busy; 2]);
    shows(&mut world, Detail::NONE.with(Part::Note));
    let told = heard(&mut world);
    assert_eq!(told.len(), 2);
    for view in &told {
        assert_eq!(seen(view), (State::Online, Some("board"), false));
    }
    shows(&mut world, Detail::NONE.with(Part::Note));
    assert_eq!(heard(&mut world), [], "nothing has changed");
}

#[test]
fn how_much_is_seen_outlives_a_restart() {
    let mut world = watched(Detail::NONE);
    heard(&mut world);
    world.restart();
    heard(&mut world);
    assert_eq!(look(&mut world, 1, PHONES).state, State::Online);
    says(&mut world, State::Away, "lunch");
    world.pass(secs(10));
    assert_eq!(heard(&mut world), []);
}

#[test]
fn saying_yes_once_more_shows_no_more() {
    let mut world = watched(Detail::NONE);
    heard(&mut world);
    let decide = |accept| Command::Decide {
        watcher: address(1),
        accept,
    };
    let owner = caller(0, LETTERS);
    world.ask(0, &owner, decide(true)).expect("decided");
    world.pass(secs(1));
    assert_eq!(heard(&mut world), []);
    // After a no, a yes is a new one.
    world.ask(0, &owner, decide(false)).expect("decided");
    world.pass(secs(1));
    heard(&mut world);
    world.ask(0, &owner, decide(true)).expect("decided");
    world.pass(secs(1));
    let states: Vec<_> = heard(&mut world).iter().map(|v| v.state).collect();
    assert_eq!(states, [State::Busy; 2]);
}

const STATES: [State; 9] = [
    State::Online,
    State::Idle,
    State::Busy,
    State::DoNotDisturb,
    State::OnPhone,
    State::AtLunch,
    State::Away,
    State::BackSoon,
    State::Offline,
];

proptest! {
    /// Two views that differ only in what may not be seen look the same, and reachability shows.
    #[test]
    fn a_cut_view_tells_nothing_else(
        state in 0..STATES.len(),
        other in 0..STATES.len(),
        token in proptest::option::of("[a-z]{1,4}"),
        note in proptest::option::of("[a-z]{1,4}"),
        bits in 0..16u8,
    ) {
        let view = |state: State, note: &Option<String>, token: &Option<String>| View {
            token: token.as_deref().map(Into::into),
            note: note.as_deref().map(Into::into),
            state,
            ..View::offline(Time(7))
        };
        let detail = Detail(bits);
        let one = view(STATES[state], &note, &token);
        let cut = one.cut(detail).into_owned();
        prop_assert_eq!(cut.state == State::Offline, one.state == State::Offline);
        prop_assert_eq!(cut.cut(detail).into_owned(), cut.clone(), "once is enough");
        if !detail.has(Part::Note) {
            let silent = view(STATES[state], &None, &token);
            prop_assert_eq!(silent.cut(detail).into_owned(), cut.clone());
        }
        let there = |state: usize| STATES[state] != State::Offline;
        if !detail.has(Part::Activities) && !detail.has(Part::Idle) && there(state) && there(other) {
            let different = view(STATES[other], &note, &None);
            prop_assert_eq!(different.cut(detail).into_owned(), cut);
        }
    }
}
