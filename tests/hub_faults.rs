//! The hub over real storages: planted faults, kills, panics, the end.

#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with other test programs, each uses its part"
)]
mod support {
    pub mod records;
    pub mod stage;
    pub mod temporary;
}

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::stage::{
    Collector, FIDELITY, STACK, Stage, caller, delivery, look, memory, one_shard, person,
    set_property, sign_in, text, within,
};
use tristack::core::command::{Command, Fate, Outcome, Reply};
use tristack::core::error::Error;
use tristack::core::event::{Event, Outbound};
use tristack::core::port::{Store, Write};
use tristack::hub::{ReplyTo, Settings};

#[tokio::test]
async fn a_failed_commit_is_told_and_undone() {
    let store = memory(2).await;
    let stage = Stage::new(&store, one_shard()).await;
    stage.call(1, look()).await.unwrap();
    store.fail_commit(1);
    let refused = stage.call(1, sign_in("sip:1")).await;
    assert!(matches!(refused, Err(Error::Storage)), "{refused:?}");
    assert_eq!(stage.hub.stats().commit_failures.get(), 1);
    let Reply::Standing(standing) = stage.call(1, Command::Standing).await.unwrap() else {
        panic!("not a standing");
    };
    assert!(standing.points.is_empty(), "{standing:?}");
    stage.call(1, sign_in("sip:1")).await.unwrap();
    assert_eq!(store.person(person(1)).await.unwrap().points.len(), 1);
    stage.hub.stop().await;
}

#[tokio::test]
async fn what_builds_on_a_failed_outcome_fails_with_it() {
    let store = memory(2).await;
    let stage = Stage::new(&store, one_shard()).await;
    stage.call(1, look()).await.unwrap();
    stage.call(2, look()).await.unwrap();
    store.pause();
    store.fail_commit(1);
    let mut answers = Collector::new();
    answers.send(&stage.hub, 1, sign_in("sip:1"), 1);
    // The writer is now in the commit that will fail; the next two are a batch of their own.
    while store.commits() == 0 {
        tokio::task::yield_now().await;
    }
    answers.send(&stage.hub, 1, set_property("x"), 2);
    answers.send(&stage.hub, 2, set_property("y"), 3);
    while stage.hub.stats().commands.get() < 5 {
        tokio::task::yield_now().await;
    }
    store.resume();
    let mut results = BTreeMap::new();
    for _ in 0..3 {
        let (token, answer) = answers.next().await;
        results.insert(token, answer.map(drop));
    }
    let storage = || Err(Error::Storage);
    assert_eq!(
        results,
        BTreeMap::from([(1, storage()), (2, storage()), (3, Ok(()))])
    );
    assert!(store.person(person(1)).await.unwrap().properties.is_empty());
    assert_eq!(store.person(person(2)).await.unwrap().properties.len(), 1);
    stage.hub.stop().await;
}

#[tokio::test]
async fn one_failed_batch_is_tried_one_by_one() {
    let store = memory(10).await;
    let stage = Stage::new(&store, one_shard()).await;
    for n in 1..=10 {
        stage.call(n, look()).await.unwrap();
    }
    store.pause();
    let mut answers = Collector::new();
    answers.send(&stage.hub, 1, set_property("x"), 1);
    while store.commits() == 0 {
        tokio::task::yield_now().await;
    }
    for n in 2..=10 {
        answers.send(&stage.hub, n, set_property("x"), n.into());
    }
    while stage.hub.stats().commands.get() < 20 {
        tokio::task::yield_now().await;
    }
    store.fail_commit(1);
    store.resume();
    for _ in 0..10 {
        answers.next().await.1.unwrap();
    }
    assert_eq!(stage.hub.stats().commit_failures.get(), 1);
    stage.hub.stop().await;
}

#[tokio::test]
async fn storage_that_comes_back_is_used_again() {
    let store = memory(2).await;
    let mut stage = Stage::new(&store, one_shard()).await;
    stage.call(1, sign_in("sip:1")).await.unwrap();
    store.fail_all(true);
    assert!(matches!(
        stage.call(1, set_property("x")).await,
        Err(Error::Storage)
    ));
    assert!(matches!(stage.call(2, look()).await, Err(Error::Storage)));
    store.fail_all(false);
    // By itself, after a while: person 1 has live state, nobody needs to ask.
    while stage.hub.stats().load_failures.get() < 2 {
        tokio::task::yield_now().await;
    }
    stage.clock.advance(Duration::from_secs(6));
    let restored = stage.find(|event| match event {
        Event::PointRestored { person, .. } => Some(*person),
        _ => None,
    });
    assert_eq!(restored.await, person(1));
    stage.call(2, look()).await.unwrap();
    stage.hub.stop().await;
}

#[tokio::test]
async fn every_prefix_of_commits_holds_what_was_answered() {
    let store = memory(5).await;
    let before = store.inner().snapshot();
    let stage = Stage::new(&store, Settings::default()).await;
    let mut acknowledged = Vec::new();
    for round in 0..4 {
        for n in 1..=5 {
            let inbox = format!("sip:{n}-{round}");
            stage.call(n, sign_in(&inbox)).await.unwrap();
            acknowledged.push((store.journal().len(), n, inbox));
        }
    }
    stage.hub.stop().await;
    let replay = before;
    for (length, batch) in (1..).zip(store.journal()) {
        replay.commit(batch).await.unwrap();
        let killed = Arc::new(replay.snapshot());
        let stage = Stage::new(&killed, Settings::default()).await;
        for (at, n, inbox) in &acknowledged {
            if *at > length {
                continue;
            }
            let Reply::Standing(standing) = stage.call(*n, Command::Standing).await.unwrap() else {
                panic!("not a standing");
            };
            let mut inboxes = standing.points.iter().map(|point| point.inbox.as_ref());
            assert!(
                inboxes.any(|found| found == inbox),
                "{inbox} after {length}"
            );
        }
        stage.hub.stop().await;
    }
}

/// Panics once.
struct Clumsy(AtomicBool, Mutex<u32>);

impl Outbound for Clumsy {
    fn take(&self, _: Event) {
        *self.1.lock().unwrap() += 1;
        assert!(self.0.swap(true, Ordering::SeqCst), "planted");
    }
}

#[tokio::test]
async fn a_panicking_front_does_not_take_the_shard_along() {
    let store = memory(2).await;
    let stage = Stage::closed(&store, one_shard()).await;
    let front = Arc::new(Clumsy(AtomicBool::new(false), Mutex::new(0)));
    let outbound = Arc::clone(&front) as Arc<dyn Outbound>;
    stage.hub.attach(STACK, outbound, FIDELITY);
    stage.hub.open().await.unwrap();
    stage.call(2, sign_in("sip:2")).await.unwrap();
    for conversation in [1, 2] {
        let command = text(1, 2, conversation, "x");
        stage
            .hub
            .send(person(1), caller(1), command, ReplyTo::Nobody);
    }
    stage.call(1, look()).await.unwrap();
    stage.call(2, look()).await.unwrap();
    stage.call(2, look()).await.unwrap();
    assert_eq!(*front.1.lock().unwrap(), 2);
    assert_eq!(stage.hub.stats().panics.get(), 1);
}

#[tokio::test]
async fn stopping_answers_what_is_open_and_refuses_what_is_new() {
    let store = memory(2).await;
    let mut stage = Stage::new(&store, one_shard()).await;
    stage.call(2, sign_in("sip:2")).await.unwrap();
    let mut answers = Collector::new();
    answers.send(&stage.hub, 1, text(1, 2, 1, "last"), 1);
    let (to, point, message) = stage.find(delivery).await;
    let hub = stage.hub.clone();
    let stopping = tokio::spawn(async move { hub.stop().await });
    tokio::task::yield_now().await;
    assert!(matches!(stage.call(1, look()).await, Err(Error::Stopping)));
    // The open text is still answered honestly.
    let command = Command::Outcome {
        message: message.id,
        point,
        outcome: Outcome::Delivered,
    };
    stage.hub.send(to, caller(2), command, ReplyTo::Nobody);
    let (_, answer) = answers.next().await;
    assert!(matches!(answer, Ok(Reply::Sent(_))), "{answer:?}");
    within(stopping).await.unwrap();
    assert_eq!(stage.hub.stats().commit_failures.get(), 0);
}

/// Issue 5 section 4: what was acknowledged is in every prefix of the log that holds its commit.
#[tokio::test]
async fn a_write_log_replayed_to_every_prefix_loses_nothing_acknowledged() {
    let keeping = || {
        let mut settings = one_shard();
        settings.rules.away = ["example.com".to_owned()].into();
        settings
    };
    let store = memory(2).await;
    let mut stage = Stage::new(&store, keeping()).await;
    // When each text was acknowledged, in commits.
    let mut acknowledged = Vec::new();
    for body in ["one", "two", "three", "four"] {
        let kept = stage.call(1, text(1, 2, 1, body)).await;
        let Ok(Reply::Sent(sent)) = kept else {
            panic!("{kept:?}");
        };
        assert_eq!(sent.fate, Fate::Kept);
        acknowledged.push((store.journal().len(), sent.message));
    }
    stage.call(2, sign_in("sip:2")).await.unwrap();
    let mut taken = Vec::new();
    for _ in 0..3 {
        taken.push(stage.take_delivery(Outcome::Delivered).await.id);
    }
    stage.hub.stop().await;
    let log = store.journal();
    assert!(log.len() > 8, "each step is a commit: {}", log.len());
    for prefix in 0..=log.len() {
        let again = memory(2).await;
        // Numbers are reserved beside the log.
        again.reserve(100_000).await.unwrap();
        let (mut there, mut done) = (Vec::new(), Vec::new());
        for batch in &log[..prefix] {
            for write in batch {
                match write {
                    Write::PutKept(record) => there.push(record.message.id),
                    Write::DeleteKept(_, id) => done.push(*id),
                    _ => {}
                }
            }
            again.commit(batch.clone()).await.unwrap();
        }
        assert!(
            done.iter().all(|id| taken.contains(id)),
            "deleted, not taken"
        );
        there.retain(|id| !done.contains(id));
        there.sort_unstable();
        there.dedup();
        let held = |(at, id): &(usize, _)| *at > prefix || there.contains(id) || done.contains(id);
        assert!(acknowledged.iter().all(held), "lost at {prefix}");
        let mut stage = Stage::new(&again, keeping()).await;
        stage.call(2, sign_in("sip:2")).await.unwrap();
        let mut delivered = Vec::new();
        for _ in 0..there.len() {
            delivered.push(stage.take_delivery(Outcome::Delivered).await.id);
        }
        assert_eq!(delivered, there, "once and in order, at {prefix}");
        stage.hub.stop().await;
        while let Some(event) = stage.event_now() {
            assert!(delivery(&event).is_none(), "once more at {prefix}");
        }
        assert!(again.person(person(2)).await.unwrap().kept.is_empty());
    }
}
