//! Decision 18: what is still open after 4 s is kept, tried on, and its sender told.

use super::*;
use crate::core::command::{Fate, TetherChange};
use crate::core::message::Content;

fn kept(world: &World, tag: crate::core::effect::ReplyTag) -> bool {
    matches!(world.answer(tag), Some(Ok(Reply::Sent(sent))) if sent.fate == Fate::Kept)
}

/// Texts from the system address that person 0's inbox got: what they say.
fn notices(world: &mut World) -> Vec<String> {
    let mut found = Vec::new();
    for (inbox, message, _) in delivered(world) {
        if let Content::Text(text) = &message.content
            && message.from.local() == "postmaster"
        {
            assert_eq!(inbox, "sender");
            found.push(text.body.to_string());
        }
    }
    found
}

fn two(clients: Clients) -> World {
    let mut world = World::new(2);
    signed_in(&mut world, 0, LETTERS, "sender");
    signed_in(&mut world, 1, PHONES, "phone");
    world.clients = clients;
    world
}

#[test]
fn decision_18_open_after_4_s_is_stored_and_answered_success() {
    let mut world = two(silent());
    let tag = say(&mut world, 0, 1, "hello");
    world.pass(Duration::from_millis(3999));
    assert!(world.answer(tag).is_none());
    assert!(world.stored(1).kept.is_empty());
    world.pass(Duration::from_millis(1));
    assert!(kept(&world, tag));
    assert_eq!(world.stored(1).kept.len(), 1);
    let open = world.open();
    world.outcome(open[0], Outcome::Delivered);
    assert!(world.stored(1).kept.is_empty());
    world.pass(secs(100));
    assert!(notices(&mut world).is_empty());
}

#[test]
fn decision_18_after_60_s_the_attempt_is_withdrawn_and_the_sender_told() {
    let mut world = two(silent());
    let tag = say(&mut world, 0, 1, "hello <you>");
    let conversation = delivered(&mut world)[0].1.conversation;
    world.pass(secs(59));
    assert!(kept(&world, tag));
    world.clients = answering(Outcome::Delivered);
    world.pass(secs(1));
    let cancelled = |(_, e): &(Stack, Event)| matches!(e, Event::Cancel { .. });
    assert!(world.events.iter().any(cancelled));
    let told = delivered(&mut world);
    assert_eq!(told.len(), 1);
    assert_eq!(
        told[0].1.conversation, conversation,
        "in the same conversation"
    );
    assert!(world.stored(1).kept.is_empty() && world.open().is_empty());
    let Content::Text(text) = &told[0].1.content else {
        panic!("not a text");
    };
    assert!(text.body.contains("hello <you>") && text.body.contains("p1@example.com"));
}

#[test]
fn decision_18_a_kept_text_that_never_left_is_tried_again_until_it_arrives() {
    let mut world = two(silent());
    let tag = say(&mut world, 0, 1, "hello");
    world.pass(secs(4));
    assert!(kept(&world, tag));
    world.events.clear();
    let open = world.open();
    world.outcome(open[0], Outcome::Unreached);
    world.clients = answering(Outcome::Delivered);
    world.pass(secs(5));
    let again = delivered(&mut world);
    assert_eq!(again.len(), 1);
    assert!(!again[0].2, "not marked: it never left");
    assert!(world.stored(1).kept.is_empty());
}

#[test]
fn decision_19_a_kept_text_that_may_have_left_is_never_tried_again() {
    let mut world = two(silent());
    say(&mut world, 0, 1, "hello");
    world.pass(secs(4));
    world.events.clear();
    world.clients = answering(Outcome::Delivered);
    let open = world.open();
    world.outcome(open[0], Outcome::Failed);
    assert_eq!(notices(&mut world).len(), 1, "its sender is told at once");
    world.pass(secs(100));
    assert!(delivered(&mut world).is_empty());
}

#[test]
fn decision_12_texts_wait_for_a_point_whose_connection_is_lost() {
    let mut world = two(answering(Outcome::Delivered));
    let point = world.stored(1).points[0].id;
    let me = caller(1, PHONES);
    let lost = Command::Tether {
        point,
        change: TetherChange::Lost,
    };
    world.ask(1, &me, lost).expect("taken");
    let first = say(&mut world, 0, 1, "one");
    let second = say(&mut world, 0, 1, "two");
    assert!(delivered(&mut world).is_empty());
    world.pass(secs(4));
    assert!(kept(&world, first) && kept(&world, second));
    let back = Command::Tether {
        point,
        change: TetherChange::Back {
            handle: Arc::from(&b"new"[..]),
        },
    };
    world.ask(1, &me, back).expect("taken");
    let bodies: Vec<_> = delivered(&mut world)
        .into_iter()
        .map(|(_, message, _)| message.content.clone())
        .collect();
    assert_eq!(bodies, [text("one"), text("two")], "in order");
    assert!(world.stored(1).kept.is_empty());
}

#[test]
fn a_kept_text_follows_the_person_to_a_new_sign_in() {
    let mut world = two(answering(Outcome::Delivered));
    let point = world.stored(1).points[0].id;
    let lost = Command::Tether {
        point,
        change: TetherChange::Lost,
    };
    world.ask(1, &caller(1, PHONES), lost).expect("taken");
    say(&mut world, 0, 1, "hello");
    world.pass(secs(6));
    signed_in(&mut world, 1, LETTERS, "elsewhere");
    let got = delivered(&mut world);
    assert_eq!((got.len(), got[0].0.as_str()), (1, "elsewhere"));
    world.pass(secs(100));
    assert!(notices(&mut world).is_empty());
}

#[test]
fn only_texts_are_reported_late_and_reports_are_never_reported() {
    let mut world = two(silent());
    let join = message(0, 1, PHONES, Content::Join);
    world.send(0, &caller(0, PHONES), submit(1, join));
    world.pass(secs(100));
    assert!(notices(&mut world).is_empty());
    // The sender is silent, too: the report to it fails, and that is the end of it.
    say(&mut world, 0, 1, "hello");
    world.pass(secs(300));
    assert_eq!(notices(&mut world).len(), 1);
    assert!(world.user(0).deliveries.is_empty() && world.stored(0).kept.is_empty());
}
