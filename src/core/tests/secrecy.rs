//! Decision 16: a personal block can't be told from absence.

use super::*;
use crate::core::exercise::person;
use crate::core::message::{Content, Wants};
use proptest::prelude::*;
use std::fmt::Write as _;

/// What the blocked person can know: answers and events, ids left out (they are random to him).
fn observed(world: &mut World, answer: Option<Answer>) -> String {
    let mut seen = match answer {
        None => "nothing yet".to_owned(),
        Some(Ok(Reply::Watching { lease, view, .. })) => format!("{lease:?} {view:?}"),
        Some(Ok(Reply::Sent(sent))) => format!("{:?}", sent.fate),
        Some(Ok(other)) => format!("{other:?}"),
        Some(Err(Error::NotReachable(_))) => "not reachable".to_owned(),
        Some(Err(error)) => format!("{error:?}"),
    };
    for (stack, event) in std::mem::take(&mut world.events) {
        match event {
            Event::Presence {
                watcher, change, ..
            } if watcher == address(1) => {
                let _ = write!(seen, " | {stack} {change:?}");
            }
            Event::Deliver {
                person: to,
                message,
                away,
                ..
            } if to == person(1) => {
                let said = match &message.content {
                    Content::Text(text) => text.body.to_string(),
                    Content::Receipt(Some(receipt)) => format!("{:?}", receipt.fate),
                    other => format!("{other:?}"),
                };
                let _ = write!(seen, " | {stack} {away} {said}");
            }
            _ => {}
        }
    }
    seen
}

/// What person 0 does in one of the two worlds only.
fn live(world: &mut World, op: u8) {
    match op % 8 {
        0 => drop(signed_in(world, 0, PHONES, "phone")),
        1 => drop(signed_in(world, 0, LETTERS, "letter")),
        2 => drop(publish(world, 0, LETTERS, "letter", State::Busy)),
        3 => drop(publish(world, 0, LETTERS, "letter", State::Invisible)),
        4 => drop(publish(world, 0, PHONES, "phone", State::Idle)),
        5 => drop(say(world, 0, 2, "hello")),
        6 => drop(watching(world, 0, 2)),
        _ => world.clients = silent(),
    }
}

/// What the blocked person 1 tries.
fn probe(world: &mut World, op: u8) -> String {
    let him = caller(1, PHONES);
    let answer = match op % 6 {
        0 => Some(world.ask(0, &him, watch(PHONES, Via::Direct, secs(300), true))),
        1 => Some(world.ask(0, &him, Command::Look)),
        2 => {
            let tag = say(world, 1, 0, "are you there?");
            world.answer(tag)
        }
        3 => {
            let typing = Content::Typing {
                active: true,
                valid: secs(10),
            };
            let typing = message(1, 0, PHONES, typing);
            let tag = world.send(1, &him, submit(0, typing));
            world.answer(tag)
        }
        4 => {
            let his = world.stored(0).watches.iter();
            let his: Vec<_> = his.filter(|w| w.watcher == address(1)).collect();
            let id = his.first().map_or(WatchId(1), |w| w.id);
            let renew = Command::RenewWatch {
                watch: id,
                lease: secs(300),
                handle: None,
                notify: true,
            };
            Some(world.ask(0, &him, renew))
        }
        _ => {
            world.pass(secs(7));
            None
        }
    };
    observed(world, answer)
}

proptest! {
    #[test]
    fn decision_16_a_blocked_watcher_and_sender_cannot_tell(
        ops in proptest::collection::vec((any::<bool>(), any::<u8>()), 0..40),
    ) {
        let mut lively = World::new(3);
        let mut absent = World::new(3);
        for world in [&mut lively, &mut absent] {
            delivery::block(world, 0, 1);
        }
        for (his, op) in ops {
            if his {
                prop_assert_eq!(probe(&mut lively, op), probe(&mut absent, op));
            } else {
                live(&mut lively, op);
            }
        }
    }
}

/// What he tries where texts are kept: with receipts, with a repetition, over a restart and for
/// longer than anything is kept.
fn probe_kept(world: &mut World, op: u8) -> String {
    let him = caller(1, PHONES);
    let answer = match op % 9 {
        0 | 1 => {
            let mut asked = message(1, 0, PHONES, text(&format!("number {op}")));
            asked.wants = Some(Arc::new(Wants {
                id: format!("m{op}").into(),
                delivered: true,
                failed: true,
                kept: true,
            }));
            // Every other one is a repetition of an earlier one.
            asked.original.key = (op & 16 != 0).then(|| "the same".into());
            asked.hops = if op & 32 == 0 { 1 } else { 200 };
            let tag = world.send(1, &him, submit(0, asked));
            world.answer(tag)
        }
        2 => {
            world.restart();
            None
        }
        3 => {
            world.pass(secs(60));
            None
        }
        other => return probe(world, other - 4),
    };
    observed(world, answer)
}

proptest! {
    #[test]
    fn decision_16_nor_where_texts_are_kept(
        ops in proptest::collection::vec((any::<bool>(), any::<u8>()), 0..40),
    ) {
        let mut lively = World::new(3);
        let mut absent = World::new(3);
        for world in [&mut lively, &mut absent] {
            world.rules.away = ["example.com".to_owned()].into();
            world.rules.away_for = secs(100);
            world.rules.away_sender = 3;
            signed_in(world, 1, PHONES, "his");
        }
        // One of them blocks him and lives on; the other is just not there.
        delivery::block(&mut lively, 0, 1);
        for (his, op) in ops {
            if his {
                prop_assert_eq!(probe_kept(&mut lively, op), probe_kept(&mut absent, op));
            } else {
                live(&mut lively, op % 7);
            }
        }
    }
}

#[test]
fn decision_16_a_block_written_later_looks_like_going_offline() {
    let mut world = World::new(2);
    signed_in(&mut world, 0, PHONES, "phone");
    watching(&mut world, 0, 1);
    delivery::block(&mut world, 0, 1);
    assert_eq!(told(&mut world), [State::Offline]);
    publish(&mut world, 0, PHONES, "phone", State::Busy).expect("published");
    world.pass(secs(1));
    assert_eq!(told(&mut world), []);
    world
        .ask(0, &caller(0, PHONES), Command::SetAccess(Vec::new()))
        .expect("unblocked");
    assert_eq!(told(&mut world), [State::Busy]);
}
