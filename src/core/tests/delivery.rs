//! Decisions 14-22: from the sender to every inbox, and an honest answer.

use super::*;
use crate::core::access::{AccessEntry, Detail, Rights, Scheme, Subject};
use crate::core::command::{Caller, Fate, Reach, Refusal, Route, Sent};
use crate::core::error::Unreachable;
use crate::core::message::{Ack, Content};
use crate::core::outcomes::outcomes;
use crate::core::trace::Step;

fn fate(world: &World, tag: crate::core::effect::ReplyTag) -> Option<Result<Fate, Error>> {
    world.answer(tag).map(|answer| match answer {
        Ok(Reply::Sent(Sent { fate, .. })) => Ok(fate),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    })
}

fn unreachable(why: Unreachable) -> Result<Fate, Error> {
    Err(Error::NotReachable(why))
}

fn send(
    world: &mut World,
    content: Content,
    stack: Stack,
    change: impl FnOnce(&mut Message),
) -> Option<Result<Fate, Error>> {
    let mut message = message(0, 1, stack, content);
    change(&mut message);
    let tag = world.send(0, &caller(0, stack), submit(1, message));
    fate(world, tag)
}

fn hello(world: &mut World) -> Option<Result<Fate, Error>> {
    send(world, text("hello"), LETTERS, |_| {})
}

fn typing() -> Content {
    Content::Typing {
        active: true,
        valid: secs(10),
    }
}

#[test]
fn decision_22_each_inbox_gets_one_copy_on_its_newest_point() {
    let mut world = World::new(2);
    for inbox in ["x", "x", "y"] {
        signed_in(&mut world, 1, LETTERS, inbox);
    }
    signed_in(&mut world, 1, PHONES, "x");
    assert_eq!(hello(&mut world), Some(Ok(Fate::Delivered)));
    let inboxes: Vec<_> = delivered(&mut world).into_iter().map(|d| d.0).collect();
    assert_eq!(inboxes, ["x", "y", "x"], "two letter boxes and a phone");
    let routed = world.traces.iter().find_map(|trace| match &trace.step {
        Step::Routed(points) => Some(points[0].0),
        _ => None,
    });
    assert_eq!(
        routed,
        Some(world.stored(1).points[1].id),
        "the newest sign-in"
    );
}

#[test]
fn decision_18_the_first_success_answers_and_the_others_still_get_it() {
    let mut world = World::new(2);
    signed_in(&mut world, 1, LETTERS, "x");
    signed_in(&mut world, 1, LETTERS, "y");
    world.clients = silent();
    let tag = say(&mut world, 0, 1, "hello");
    let open = world.open();
    assert_eq!((open.len(), fate(&world, tag)), (2, None));
    world.outcome(open[0], Outcome::Failed);
    assert_eq!(fate(&world, tag), None);
    world.outcome(open[1], Outcome::Delivered);
    assert_eq!(fate(&world, tag), Some(Ok(Fate::Delivered)));
    world.pass(secs(100));
    assert!(world.stored(1).kept.is_empty() && world.user(1).deliveries.is_empty());
}

#[test]
fn decision_18_all_failed_is_the_answer_that_says_most() {
    for (outcomes, error) in [
        (
            [Outcome::Failed, Outcome::Unreached],
            Error::NotReachable(Unreachable::DeliveryFailed),
        ),
        ([Outcome::Failed, Outcome::HasLeft], Error::HasLeft),
        ([Outcome::QueueFull, Outcome::Gone], Error::Overloaded),
        (
            [Outcome::Refused(Refusal::TooLarge), Outcome::HasLeft],
            Error::TooLarge,
        ),
        (
            [Outcome::Refused(Refusal::UnknownUser), Outcome::Failed],
            Error::UnknownUser,
        ),
        (
            [Outcome::Refused(Refusal::Unsupported), Outcome::Failed],
            Error::Unsupported,
        ),
    ] {
        let mut world = World::new(2);
        signed_in(&mut world, 1, LETTERS, "x");
        signed_in(&mut world, 1, LETTERS, "y");
        world.clients = silent();
        let tag = say(&mut world, 0, 1, "hello");
        for (attempt, outcome) in world.open().into_iter().zip(outcomes) {
            assert_eq!(fate(&world, tag), None);
            world.outcome(attempt, outcome);
        }
        assert_eq!(fate(&world, tag), Some(Err(error)), "{outcomes:?}");
    }
}

#[test]
fn rvp_5_notify_ack_all_needs_every_inbox() {
    let mut world = World::new(2);
    signed_in(&mut world, 1, LETTERS, "x");
    signed_in(&mut world, 1, LETTERS, "y");
    world.clients = silent();
    let mut all = message(0, 1, LETTERS, text("hello"));
    all.ack = Ack::All;
    for last in [Outcome::Delivered, Outcome::Refused(Refusal::Unsupported)] {
        let tag = world.send(0, &caller(0, LETTERS), submit(1, all.clone()));
        let open = world.open();
        world.outcome(open[0], Outcome::Delivered);
        assert_eq!(fate(&world, tag), None);
        world.outcome(open[1], last);
        let expected = match last {
            Outcome::Delivered => Ok(Fate::Delivered),
            _ => Err(Error::Unsupported),
        };
        assert_eq!(fate(&world, tag), Some(expected));
    }
}

#[test]
fn rvp_5_notify_ack_hop_is_answered_at_once_and_stored() {
    let mut world = World::new(2);
    signed_in(&mut world, 1, LETTERS, "x");
    world.clients = silent();
    let got = send(&mut world, text("hello"), LETTERS, |m| m.ack = Ack::Hop);
    assert_eq!(got, Some(Ok(Fate::Kept)));
    assert_eq!(world.stored(1).kept.len(), 1);
    let open = world.open();
    world.outcome(open[0], Outcome::Delivered);
    assert!(world.stored(1).kept.is_empty());
}

#[test]
fn typing_to_nobody_is_success_and_dropped() {
    let mut world = World::new(2);
    assert_eq!(
        send(&mut world, typing(), LETTERS, |_| {}),
        Some(Ok(Fate::Dropped))
    );
    signed_in(&mut world, 1, PHONES, "a");
    assert_eq!(
        send(&mut world, typing(), LETTERS, |_| {}),
        Some(Ok(Fate::Delivered))
    );
    assert_eq!(delivered(&mut world).len(), 1);
    assert!(world.stored(1).kept.is_empty());
    assert_eq!(
        world.user(1).deliveries.len(),
        0,
        "nobody waits for a typing notice"
    );
}

const SILENCE: &[bool] = &[];

fn shown(world: &mut World) -> Vec<bool> {
    let active = |(_, message, _): (String, Arc<Message>, bool)| match message.content {
        Content::Typing { active, .. } => Some(active),
        _ => None,
    };
    delivered(world).into_iter().filter_map(active).collect()
}

#[test]
fn issue_2_6_a_beat_becomes_one_notice_and_its_end() {
    let mut world = World::new(2);
    signed_in(&mut world, 1, PHONES, "a");
    for _ in 0..3 {
        send(&mut world, typing(), LETTERS, |_| {});
        world.pass(secs(4));
    }
    assert_eq!(shown(&mut world), [true], "the others hold for a minute");
    world.pass(secs(5));
    assert_eq!(
        shown(&mut world),
        SILENCE,
        "the last beat holds for ten seconds"
    );
    world.pass(secs(2));
    assert_eq!(shown(&mut world), [false], "nobody beats any more");
    world.pass(secs(60));
    assert_eq!(shown(&mut world), SILENCE);
    for _ in 0..20 {
        send(&mut world, typing(), LETTERS, |_| {});
        world.pass(secs(4));
    }
    assert_eq!(
        shown(&mut world),
        [true, true],
        "refreshed within its minute"
    );
    send(&mut world, text("done"), LETTERS, |_| {});
    world.pass(secs(60));
    assert_eq!(shown(&mut world), SILENCE, "the message is the end");
}

#[test]
fn issue_2_6_a_notice_becomes_a_beat() {
    let mut world = World::new(2);
    signed_in(&mut world, 1, LETTERS, "a");
    let long = |active| Content::Typing {
        active,
        valid: secs(60),
    };
    send(&mut world, long(true), PHONES, |_| {});
    for _ in 0..5 {
        world.pass(secs(4));
    }
    assert_eq!(shown(&mut world), [true; 6]);
    send(&mut world, long(false), PHONES, |_| {});
    assert_eq!(shown(&mut world), [false]);
    world.pass(secs(30));
    assert_eq!(shown(&mut world), SILENCE, "told to stop");
    send(&mut world, long(true), PHONES, |_| {});
    send(&mut world, text("done"), PHONES, |_| {});
    world.pass(secs(30));
    assert_eq!(shown(&mut world), [true], "the message ends it");
    send(&mut world, long(true), PHONES, |_| {});
    for _ in 0..30 {
        world.pass(secs(4));
    }
    assert_eq!(shown(&mut world), [true; 15], "sixty seconds, no more");
}

#[test]
fn the_fidelity_table_decides_what_other_stacks_get() {
    let mut world = World::new(2);
    let nobody = Some(unreachable(Unreachable::NobodySignedIn));
    assert_eq!(send(&mut world, Content::Join, LETTERS, |_| {}), nobody);
    signed_in(&mut world, 1, PHONES, "a");
    let join = send(&mut world, Content::Join, LETTERS, |_| {});
    assert_eq!(
        join,
        Some(Ok(Fate::Dropped)),
        "answered by us (decision 21)"
    );
    let invitation = || Content::Invitation {
        cookie: None,
        offer: true,
    };
    let opaque = Content::Opaque { what: "x".into() };
    let refused = send(&mut world, opaque, LETTERS, |_| {});
    assert_eq!(refused, Some(Err(Error::Unsupported)));
    assert!(delivered(&mut world).is_empty());
    let own = send(&mut world, invitation(), PHONES, |_| {});
    assert_eq!(
        own,
        Some(Ok(Fate::Delivered)),
        "its own stack takes everything"
    );
    signed_in(&mut world, 1, LETTERS, "b");
    let mixed = send(&mut world, Content::Join, LETTERS, |_| {});
    assert_eq!(mixed, Some(Ok(Fate::Delivered)));
    let stacks: Vec<_> = delivered(&mut world).into_iter().map(|d| d.0).collect();
    assert_eq!(
        stacks,
        ["a", "b"],
        "the phone's invitation, then the letter box's join"
    );
}

#[test]
fn issue_2_6_every_dead_end_has_its_one_answer_and_stands_in_the_table() {
    let table: Vec<_> = outcomes().into_iter().map(|row| row.1).collect();
    let mut world = World::new(2);
    let check = |world: &mut World, why| {
        let got = hello(world);
        assert_eq!(got, Some(unreachable(why)));
        assert!(table.contains(&Error::NotReachable(why)), "{why:?}");
    };
    check(&mut world, Unreachable::NobodySignedIn);
    let mut only = spec(LETTERS, "a", HOUR);
    only.reach = Reach::SendOnly;
    world
        .ask(1, &caller(1, LETTERS), sign_in(LETTERS, only))
        .expect("in");
    check(&mut world, Unreachable::SendOnly);
    signed_in(&mut world, 1, LETTERS, "b");
    world.clients = answering(Outcome::Failed);
    check(&mut world, Unreachable::DeliveryFailed);
    world.pass(secs(5));
    check(&mut world, Unreachable::DeliveryFailed);
    check(&mut world, Unreachable::Doubted);
    block(&mut world, 1, 0);
    check(&mut world, Unreachable::Blocked);
    let mut world = World::new(2);
    signed_in(&mut world, 1, LETTERS, "b");
    world.clients = answering(Outcome::QueueFull);
    assert_eq!(hello(&mut world), Some(Err(Error::Overloaded)));
    assert!(table.contains(&Error::Overloaded));
}

pub(super) fn block(world: &mut World, who: usize, whom: usize) {
    use crate::core::access::Right;
    let deny = Rights::default().with(Right::SendTo).with(Right::Presence);
    let list = vec![AccessEntry {
        subject: Subject::Address(address(whom)),
        schemes: Vec::new(),
        grant: Rights::default(),
        deny,
        ask: Rights::default(),
        detail: Detail::ALL,
    }];
    world
        .ask(who, &caller(who, LETTERS), Command::SetAccess(list))
        .expect("written");
}

#[test]
fn decision_15_foreign_and_unproved_senders_are_refused_openly() {
    let mut world = World::new(1);
    signed_in(&mut world, 0, LETTERS, "a");
    let mut foreign = message(1, 0, PHONES, text("hello"));
    foreign.from_person = None;
    for scheme in [Scheme::Peer, Scheme::Assertion] {
        let stranger = Caller {
            person: None,
            scheme,
            route: Route::Peer(PHONES),
            ..caller(1, PHONES)
        };
        let command = Command::Deliver(Arc::new(foreign.clone()));
        let answer = world.ask(0, &stranger, command);
        assert!(matches!(answer, Err(Error::Denied(_))), "{answer:?}");
    }
}

#[test]
fn a_foreign_message_gets_its_id_and_conversation_here() {
    let mut world = World::new(1);
    world.rules.foreign = Rights::ALL;
    world.rules.welcome = Arc::new([("example.com".to_owned(), "*".to_owned())]);
    signed_in(&mut world, 0, LETTERS, "a");
    let mut foreign = message(1, 0, PHONES, text("hello"));
    foreign.from_person = None;
    let peer = Caller {
        person: None,
        scheme: Scheme::Peer,
        route: Route::Peer(PHONES),
        ..caller(1, PHONES)
    };
    let tag = world.send(0, &peer, Command::Deliver(Arc::new(foreign)));
    assert_eq!(fate(&world, tag), Some(Ok(Fate::Delivered)));
    let got = delivered(&mut world).remove(0).1;
    assert!(got.id.0 != 0 && got.conversation.0 != 0 && got.at == world.now);
}

#[test]
fn decision_8_a_sender_can_only_be_itself() {
    let mut world = World::new(3);
    let forged = message(2, 1, LETTERS, text("hello"));
    let answer = world.ask(0, &caller(0, LETTERS), submit(1, forged));
    assert_eq!(answer.err(), Some(Error::Spoofed));
    let own = message(0, 1, LETTERS, text("hello"));
    let answer = world.ask(0, &caller(2, LETTERS), submit(1, own));
    assert!(matches!(answer, Err(Error::Denied(_))));
}

#[test]
fn too_many_hops_are_a_loop() {
    let mut world = World::new(2);
    signed_in(&mut world, 1, LETTERS, "a");
    let got = send(&mut world, text("x"), LETTERS, |m| m.hops = 200);
    assert_eq!(got, Some(Err(Error::Loop)));
}

#[test]
fn decision_19_a_duplicate_key_gets_the_first_ones_answer_and_is_not_delivered_again() {
    let mut world = World::new(2);
    signed_in(&mut world, 1, LETTERS, "a");
    world.clients = silent();
    let mut keyed = message(0, 1, PHONES, text("hello"));
    keyed.original.key = Some("call 1 tag".into());
    let first = world.send(0, &caller(0, PHONES), submit(1, keyed.clone()));
    let second = world.send(0, &caller(0, PHONES), submit(1, keyed.clone()));
    assert_eq!(world.open().len(), 1);
    let attempt = world.open()[0];
    world.outcome(attempt, Outcome::Delivered);
    let third = world.send(0, &caller(0, PHONES), submit(1, keyed.clone()));
    let id = |tag| match world.answer(tag) {
        Some(Ok(Reply::Sent(sent))) => (sent.message, sent.fate),
        other => panic!("{other:?}"),
    };
    assert_eq!(id(first), (attempt.0, Fate::Delivered));
    assert_eq!((id(second), id(third)), (id(first), id(first)));
    assert_eq!(delivered(&mut world).len(), 1);
    world.pass(secs(600));
    world.send(0, &caller(0, PHONES), submit(1, keyed));
    assert_eq!(
        delivered(&mut world).len(),
        1,
        "after 10 minutes it is another text"
    );
}

#[test]
fn decision_19_equal_content_is_no_duplicate() {
    let mut world = World::new(2);
    signed_in(&mut world, 1, LETTERS, "a");
    for _ in 0..3 {
        assert_eq!(hello(&mut world), Some(Ok(Fate::Delivered)));
    }
    assert_eq!(delivered(&mut world).len(), 3);
}

#[test]
fn decision_21_a_pair_has_one_conversation_until_10_minutes_or_a_leave() {
    let mut world = World::new(2);
    signed_in(&mut world, 0, LETTERS, "a");
    signed_in(&mut world, 1, LETTERS, "b");
    let talk = |world: &mut World, from, to| {
        say(world, from, to, "x");
        delivered(world).remove(0).1.conversation
    };
    let first = talk(&mut world, 0, 1);
    assert_eq!(talk(&mut world, 1, 0), first, "the answer belongs to it");
    world.pass(secs(599));
    assert_eq!(talk(&mut world, 0, 1), first);
    world.pass(secs(600));
    let second = talk(&mut world, 0, 1);
    assert_ne!(second, first);
    send(&mut world, Content::Leave, LETTERS, |_| {});
    world.events.clear();
    assert_ne!(talk(&mut world, 1, 0), second);
}

#[test]
fn an_inbox_queue_of_a_person_is_bounded() {
    let mut world = World::new(2);
    world.rules.pending = 2;
    signed_in(&mut world, 1, LETTERS, "a");
    world.clients = silent();
    assert_eq!(hello(&mut world), None);
    assert_eq!(hello(&mut world), None);
    assert_eq!(hello(&mut world), Some(Err(Error::Overloaded)));
}

#[test]
fn a_point_that_is_gone_at_the_client_is_removed() {
    let mut world = World::new(2);
    signed_in(&mut world, 1, LETTERS, "a");
    world.clients = answering(Outcome::Gone);
    assert_eq!(
        hello(&mut world),
        Some(unreachable(Unreachable::DeliveryFailed))
    );
    assert!(world.stored(1).points.is_empty());
    assert_eq!(
        hello(&mut world),
        Some(unreachable(Unreachable::NobodySignedIn))
    );
}
