//! Issue 5 section 4: texts for people who are away.

use super::*;
use crate::core::access::{AccessEntry, Detail, Right, Rights, Subject};
use crate::core::command::Fate;
use crate::core::effect::ReplyTag;
use crate::core::error::Unreachable;
use crate::core::exercise::person;
use crate::core::message::Content;
use crate::core::port::Stay;
use crate::core::trace::Step;

fn keeping(count: usize) -> World {
    let mut world = World::new(count);
    world.rules.away = ["example.com".to_owned()].into();
    world
}

fn fate(world: &World, tag: ReplyTag) -> Option<Result<Fate, Error>> {
    world.answer(tag).map(|answer| match answer {
        Ok(Reply::Sent(sent)) => Ok(sent.fate),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    })
}

fn says(world: &mut World, body: &str) -> Option<Result<Fate, Error>> {
    let tag = say(world, 0, 1, body);
    fate(world, tag)
}

/// Texts delivered to that inbox since the last look: what they say, in order.
fn heard(world: &mut World, inbox: &str) -> Vec<String> {
    let events = std::mem::take(&mut world.events);
    let heard = |(_, event): (Stack, Event)| match event {
        Event::Deliver {
            point,
            message,
            away,
            ..
        } if &*point.inbox == inbox => match &message.content {
            Content::Text(text) if away => Some(format!("late {}", text.body)),
            Content::Text(text) => Some(text.body.to_string()),
            _ => None,
        },
        _ => None,
    };
    events.into_iter().filter_map(heard).collect()
}

fn block(world: &mut World, blocked: bool) {
    let entry = AccessEntry {
        subject: Subject::Address(address(0)),
        schemes: Vec::new(),
        grant: Rights::default(),
        deny: Rights::default().with(Right::SendTo).with(Right::Presence),
        ask: Rights::default(),
        detail: Detail::ALL,
    };
    let list = if blocked { vec![entry] } else { Vec::new() };
    let set = Command::SetAccess(list);
    world.ask(1, &caller(1, LETTERS), set).expect("set");
}

#[test]
fn a_text_waits_for_the_next_sign_in_on_any_stack_and_is_delivered_once_in_order() {
    for stack in [LETTERS, PHONES] {
        let mut world = keeping(2);
        for body in ["one", "two", "three"] {
            assert_eq!(says(&mut world, body), Some(Ok(Fate::Kept)));
        }
        assert_eq!(world.stored(1).kept.len(), 3);
        let sent = world.now;
        world.pass(secs(3600));
        signed_in(&mut world, 1, stack, "there");
        let at = |event: &(Stack, Event)| match &event.1 {
            Event::Deliver { message, .. } => Some(message.at),
            _ => None,
        };
        assert!(world.events.iter().filter_map(at).all(|at| at == sent));
        assert_eq!(
            heard(&mut world, "there"),
            ["late one", "late two", "late three"]
        );
        assert!(world.stored(1).kept.is_empty() && world.user(1).away.is_empty());
        signed_in(&mut world, 1, stack, "again");
        assert_eq!(heard(&mut world, "again"), [""; 0]);
        assert_eq!(says(&mut world, "four"), Some(Ok(Fate::Delivered)));
    }
}

#[test]
fn where_nothing_is_kept_the_sender_is_told_at_once() {
    let mut world = World::new(2);
    let nobody = Error::NotReachable(Unreachable::NobodySignedIn);
    assert_eq!(says(&mut world, "hello"), Some(Err(nobody)));
    assert!(world.stored(1).kept.is_empty());
}

#[test]
fn only_texts_are_kept() {
    let mut world = keeping(2);
    for (content, answer) in [
        (
            Content::Join,
            Err(Error::NotReachable(Unreachable::NobodySignedIn)),
        ),
        (
            Content::Typing {
                active: true,
                valid: secs(9),
            },
            Ok(Fate::Dropped),
        ),
    ] {
        let tag = world.send(
            0,
            &caller(0, LETTERS),
            submit(1, message(0, 1, LETTERS, content)),
        );
        assert_eq!(fate(&world, tag), Some(answer));
    }
}

#[test]
fn the_next_goes_out_when_the_one_before_is_through_and_live_ones_wait_behind() {
    let mut world = keeping(2);
    for body in ["one", "two"] {
        says(&mut world, body);
    }
    world.clients = silent();
    signed_in(&mut world, 1, PHONES, "phone");
    assert_eq!(heard(&mut world, "phone"), ["late one"]);
    assert_eq!(
        says(&mut world, "three"),
        Some(Ok(Fate::Kept)),
        "behind the others"
    );
    for next in ["late two", "late three"] {
        let open = world.open();
        world.outcome(open[0], Outcome::Delivered);
        assert_eq!(heard(&mut world, "phone"), [next]);
    }
    let open = world.open();
    world.outcome(open[0], Outcome::Delivered);
    assert!(world.stored(1).kept.is_empty());
}

#[test]
fn what_was_not_taken_waits_on_and_what_may_have_been_is_told() {
    let mut world = keeping(2);
    signed_in(&mut world, 0, LETTERS, "sender");
    says(&mut world, "hello");
    world.clients = answering(Outcome::Unreached);
    let phone = signed_in(&mut world, 1, PHONES, "phone");
    world.pass(secs(100));
    assert_eq!(world.stored(1).kept.len(), 1, "not a byte has left us");
    assert_eq!(world.stored(1).kept[0].stay, Stay::Away);
    points::remove(&mut world, 1, PHONES, phone).expect("removed");
    heard(&mut world, "sender");
    world.clients = answering(Outcome::Failed);
    signed_in(&mut world, 1, PHONES, "phone");
    assert!(
        world.stored(1).kept.is_empty(),
        "another try could be a double"
    );
    let notices = heard(&mut world, "sender");
    assert_eq!(notices.len(), 1);
    assert!(
        notices[0].contains("could not be delivered: hello"),
        "{notices:?}"
    );
}

#[test]
fn a_text_that_no_client_took_is_kept_instead_of_refused() {
    let mut world = keeping(2);
    signed_in(&mut world, 1, PHONES, "phone");
    world.clients = answering(Outcome::Unreached);
    assert_eq!(says(&mut world, "hello"), Some(Ok(Fate::Kept)));
    world.clients = answering(Outcome::Delivered);
    heard(&mut world, "phone");
    signed_in(&mut world, 1, PHONES, "phone");
    assert_eq!(heard(&mut world, "phone"), ["late hello"]);
}

#[test]
fn after_its_time_the_sender_is_told_even_if_he_is_away_himself() {
    let mut world = keeping(2);
    world.rules.away_for = secs(3600);
    says(&mut world, "hello");
    world.pass(secs(3599));
    assert_eq!(world.stored(1).kept.len(), 1);
    world.pass(secs(1));
    assert!(world.stored(1).kept.is_empty());
    signed_in(&mut world, 0, PHONES, "sender");
    let notices = heard(&mut world, "sender");
    assert_eq!(notices.len(), 1, "the notice was kept for him");
    assert!(
        notices[0].contains("could not be delivered: hello"),
        "{notices:?}"
    );
    world.pass(secs(4000));
    assert!(
        world.stored(0).kept.is_empty(),
        "and no notice about a notice"
    );
}

#[test]
fn limits_are_per_person_and_sender_and_the_sender_is_told() {
    let mut world = keeping(4);
    world.rules.away_texts = 3;
    world.rules.away_sender = 2;
    let full = Some(Err(Error::NotReachable(Unreachable::BoxFull)));
    let to_one = |world: &mut World, from| {
        let tag = say(world, from, 1, "hello");
        fate(world, tag)
    };
    assert_eq!(to_one(&mut world, 0), Some(Ok(Fate::Kept)));
    assert_eq!(to_one(&mut world, 0), Some(Ok(Fate::Kept)));
    assert_eq!(to_one(&mut world, 0), full);
    assert_eq!(to_one(&mut world, 2), Some(Ok(Fate::Kept)));
    assert_eq!(to_one(&mut world, 3), full);
    world.rules.away_texts = 9;
    world.rules.away_octets = 16;
    assert_eq!(to_one(&mut world, 3), full);
    assert_eq!(world.stored(1).kept.len(), 3);
}

#[test]
fn a_duplicate_is_kept_once() {
    let mut world = keeping(2);
    for _ in 0..2 {
        let mut text = message(0, 1, PHONES, text("hello"));
        text.original.key = Some("call 1".into());
        let tag = world.send(0, &caller(0, PHONES), submit(1, text));
        assert_eq!(fate(&world, tag), Some(Ok(Fate::Kept)));
    }
    assert_eq!(world.stored(1).kept.len(), 1);
}

#[test]
fn decision_16_a_blocked_sender_is_told_what_absence_would_tell_him_to_the_end() {
    // Whether blocked or not, there or not: all that the sender learns, over a week.
    let story = |blocked: bool, there: bool, same: bool| {
        let mut world = keeping(3);
        world.rules.away_for = secs(7200);
        world.rules.away_sender = 2;
        signed_in(&mut world, 0, LETTERS, "sender");
        block(&mut world, blocked);
        if there {
            signed_in(&mut world, 1, PHONES, "phone");
        }
        let mut learnt = Vec::new();
        for at in 0..4 {
            let mut text = message(0, 1, LETTERS, text(&format!("text {at}")));
            if same {
                text.original.key = Some("one".into());
            }
            if at == 3 {
                text.hops = 200;
            }
            let tag = world.send(0, &caller(0, LETTERS), submit(1, text));
            learnt.push(format!("{:?}", fate(&world, tag)));
        }
        world.pass(secs(7300));
        learnt.extend(heard(&mut world, "sender"));
        let got = heard(&mut world, "phone");
        assert!(got.is_empty());
        assert!(world.stored(1).kept.is_empty(), "nothing is left of it");
        learnt
    };
    for same in [false, true] {
        let absent = story(false, false, same);
        assert_eq!(story(true, false, same), absent);
        assert_eq!(story(true, true, same), absent);
    }
}

#[test]
fn decision_16_a_block_is_stored_as_any_other_before_the_answer_and_seen_by_operators_only() {
    let mut world = keeping(2);
    block(&mut world, true);
    assert_eq!(says(&mut world, "psst"), Some(Ok(Fate::Kept)));
    assert_eq!(world.stored(1).kept[0].stay, Stay::Withheld);
    let blocked = |trace: &crate::core::trace::Checkpoint| matches!(trace.step, Step::Dropped(why) if why.starts_with("blocked"));
    assert!(world.traces.iter().any(blocked));
    signed_in(&mut world, 1, PHONES, "phone");
    assert_eq!(heard(&mut world, "phone"), [""; 0]);
    // Forgiven later: what came before stays unheard, what comes is heard.
    block(&mut world, false);
    world.restart();
    signed_in(&mut world, 1, PHONES, "phone");
    assert_eq!(heard(&mut world, "phone"), [""; 0]);
    assert_eq!(says(&mut world, "hello"), Some(Ok(Fate::Delivered)));
}

#[test]
fn decision_16_blocked_after_writing_is_blocked_all_the_same() {
    let mut world = keeping(2);
    says(&mut world, "hello");
    block(&mut world, true);
    signed_in(&mut world, 1, PHONES, "phone");
    assert_eq!(heard(&mut world, "phone"), [""; 0]);
    assert_eq!(world.stored(1).kept[0].stay, Stay::Withheld);
}

#[test]
fn decision_19_a_fault_at_any_step_loses_nothing_that_was_acknowledged() {
    // The whole life of three texts: kept, delivered on the way back in, one expired; the process
    // dies after every effect in turn, and once more after every other.
    let life = |first: usize, second: Option<usize>| {
        let mut world = keeping(2);
        world.rules.away_for = secs(7200);
        signed_in(&mut world, 0, LETTERS, "sender");
        world.crash_in = Some(first);
        let mut acknowledged = 0;
        for body in ["one", "two", "three"] {
            let tag = say(&mut world, 0, 1, body);
            acknowledged += usize::from(fate(&world, tag) == Some(Ok(Fate::Kept)));
        }
        let early = world.crashes;
        if let Some(second) = second {
            world.crash_in = Some(second);
        }
        let command = sign_in(PHONES, spec(PHONES, "phone", HOUR));
        let _ = world.ask(1, &caller(1, PHONES), command);
        world.crash_in = None;
        // The client comes back in any case, as clients do.
        signed_in(&mut world, 1, PHONES, "phone");
        world.pass(secs(300));
        assert_eq!(world.broken_promises(), 0, "{first} {second:?}");
        let texts: Vec<_> = heard(&mut world, "phone");
        let mut distinct = texts.clone();
        distinct.dedup();
        assert!(
            distinct.len() >= acknowledged,
            "{first} {second:?}: {texts:?}"
        );
        let order: Vec<_> = ["late one", "late two", "late three"]
            .into_iter()
            .filter(|body| distinct.iter().any(|d| d == body))
            .collect();
        assert_eq!(distinct, order, "{first} {second:?}: in order");
        assert!(world.stored(1).kept.is_empty(), "{first} {second:?}");
        (early > 0, world.crashes)
    };
    let mut first = 0;
    while life(first, None).0 {
        first += 1;
    }
    assert!(first > 8, "it walks: {first}");
    let mut second = 0;
    let none = 10_000;
    while life(none, Some(second)).1 > 0 {
        for at in 0..first {
            life(at, Some(second));
        }
        second += 1;
    }
    assert!(second > 8, "it walks: {second}");
    assert_eq!(person(1), keeping(2).user(1).person());
}
