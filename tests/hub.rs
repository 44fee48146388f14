//! The hub over real storages: order, group commit, overload, restart, faults.

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

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use support::records::{account, address};
use support::stage::{
    Collector, Stage, body, caller, is_overloaded, look, memory, one_shard, people, person,
    set_property, sign_in, text, watch, within,
};
use support::temporary::Temporary;
use tristack::core::command::{Change, Command, Ended, Fate, Outcome, Reply};
use tristack::core::error::Error;
use tristack::core::event::Event;
use tristack::core::message::Message;
use tristack::core::port::{Store, StoreError};
use tristack::core::trace::Step;
use tristack::hub::{Admission, AdmissionHook, Resolution, Settings};
use tristack::storage::Sqlite;

fn points(reply: &Reply) -> Vec<u32> {
    match reply {
        Reply::Points(points) => points.iter().map(|point| point.id.0).collect(),
        other => panic!("not points: {other:?}"),
    }
}

#[tokio::test]
async fn nothing_gets_out_before_it_is_stored_and_nobody_else_waits() {
    let store = memory(2).await;
    let mut stage = Stage::new(&store, one_shard()).await;
    stage.call(1, sign_in("sip:1")).await.unwrap();
    within(stage.hub.call(person(1), &caller(2), watch()))
        .await
        .unwrap();
    store.pause();
    let mut answers = Collector::new();
    // Two outcomes with rows, one without: the last waits behind them, it is the same person's.
    answers.send(&stage.hub, 1, set_property("a"), 1);
    answers.send(&stage.hub, 1, sign_in("sip:2"), 2);
    answers.send(&stage.hub, 1, look(), 3);
    // Another person's outcome without rows goes out, so the shard has worked on all of them.
    stage.call(2, look()).await.unwrap();
    assert!(answers.now().is_none());
    assert!(stage.event_now().is_none());
    store.resume();
    for token in 1..=3 {
        let (found, answer) = answers.next().await;
        assert_eq!(found, token);
        answer.unwrap();
    }
    let told = stage.find(|event| match event {
        Event::Presence { change, .. } => Some(matches!(change, Change::Properties(_))),
        _ => None,
    });
    assert!(told.await);
    stage.hub.stop().await;
}

#[tokio::test]
async fn what_arrives_during_a_commit_is_the_next_batch() {
    let store = memory(50).await;
    let stage = Stage::new(&store, one_shard()).await;
    for n in 1..=50 {
        stage.call(n, look()).await.unwrap();
    }
    store.pause();
    let mut answers = Collector::new();
    for n in 1..=50 {
        answers.send(&stage.hub, n, set_property("x"), n.into());
    }
    // All fifty are with the writer, which may have begun with some.
    while stage.hub.stats().commands.get() < 100 {
        tokio::task::yield_now().await;
    }
    store.resume();
    for _ in 1..=50 {
        answers.next().await.1.unwrap();
    }
    assert!(store.commits() <= 3, "{} commits", store.commits());
    assert_eq!(stage.hub.stats().rows.get(), 50);
    stage.hub.stop().await;
}

async fn answers_of_one_person_keep_their_order<S: Store>(store: Arc<S>) {
    let stage = Stage::new(&store, Settings::default()).await;
    let mut answers = Collector::new();
    let mut expected: HashMap<u64, Vec<u64>> = HashMap::new();
    for round in 0..60_u64 {
        for n in 1..=20_u32 {
            let token = u64::from(n) * 1_000 + round;
            let command = match round % 3 {
                0 => set_property(&round.to_string()),
                1 => look(),
                _ => sign_in("sip:1"),
            };
            answers.send(&stage.hub, n, command, token);
            expected.entry(n.into()).or_default().push(token);
        }
    }
    let mut found: HashMap<u64, Vec<u64>> = HashMap::new();
    for _ in 0..1_200 {
        let (token, answer) = answers.next().await;
        answer.unwrap();
        found.entry(token / 1_000).or_default().push(token);
    }
    assert_eq!(found, expected);
    stage.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn order_in_memory() {
    answers_of_one_person_keep_their_order(memory(20).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn order_on_sqlite() {
    let directory = Temporary::new("order");
    let store = Sqlite::open(&directory.path().join("t.db")).await.unwrap();
    people(&store, 20).await;
    answers_of_one_person_keep_their_order(Arc::new(store)).await;
}

#[tokio::test]
async fn a_full_mailbox_answers_overloaded_and_reports_pass() {
    let store = memory(1).await;
    let settings = Settings {
        mailbox: 4,
        ..one_shard()
    };
    let mut stage = Stage::new(&store, settings).await;
    stage.call(1, sign_in("sip:1")).await.unwrap();
    // On this runtime the shard cannot run before the test waits.
    let mut answers = Collector::new();
    for token in 0..10 {
        answers.send(&stage.hub, 1, look(), token);
    }
    let report = Command::Health {
        point: tristack::core::id::PointId(1),
        alive: true,
    };
    answers.send(&stage.hub, 1, report, 99);
    let mut refused = Vec::new();
    while let Some((token, answer)) = answers.now() {
        assert!(is_overloaded(&answer));
        refused.push(token);
    }
    assert_eq!(refused, [4, 5, 6, 7, 8, 9]);
    assert_eq!(stage.hub.stats().overloaded.get(), 6);
    let mut taken = HashSet::new();
    for _ in 0..5 {
        let (token, answer) = answers.next().await;
        answer.unwrap();
        taken.insert(token);
    }
    assert_eq!(taken, HashSet::from([0, 1, 2, 3, 99]));
    assert!(stage.event_now().is_none());
    stage.hub.stop().await;
}

#[tokio::test]
async fn a_crowd_in_front_of_a_person_being_read_is_bounded() {
    let store = memory(1).await;
    let settings = Settings {
        load_queue: 3,
        ..one_shard()
    };
    let stage = Stage::new(&store, settings).await;
    let mut answers = Collector::new();
    for token in 0..10 {
        answers.send(&stage.hub, 1, look(), token);
    }
    let mut refused = 0;
    for _ in 0..10 {
        refused += u32::from(is_overloaded(&answers.next().await.1));
    }
    assert_eq!(refused, 7);
    stage.hub.stop().await;
}

async fn a_restart_restores<S: Store>(store: Arc<S>) {
    let stage = Stage::new(&store, Settings::default()).await;
    let first = points(&stage.call(1, sign_in("sip:1")).await.unwrap());
    within(stage.hub.call(person(1), &caller(2), watch()))
        .await
        .unwrap();
    stage.call(1, set_property("kept")).await.unwrap();
    stage.hub.stop().await;
    assert!(matches!(stage.call(1, look()).await, Err(Error::Stopping)));
    let mut stage = Stage::new(&store, Settings::default()).await;
    let mut restored = Vec::new();
    for _ in 0..2 {
        match stage.event().await {
            Event::PointRestored { point, .. } => restored.push(("point", point.id.0)),
            Event::WatchRestored { person: of, .. } => {
                assert_eq!(of, person(1));
                restored.push(("watch", 0));
            }
            other => panic!("{other:?}"),
        }
    }
    restored.sort_unstable();
    assert_eq!(restored, [("point", first[0]), ("watch", 0)]);
    let Reply::Properties(found) = stage.call(1, Command::Properties(None)).await.unwrap() else {
        panic!("not properties");
    };
    assert_eq!(found[0].1.as_ref().unwrap().bytes.as_ref(), b"kept");
    // Numbers are never used again.
    let second = points(&stage.call(2, sign_in("sip:2")).await.unwrap());
    assert!(second[0] > first[0]);
    stage.hub.stop().await;
}

#[tokio::test]
async fn restart_in_memory() {
    a_restart_restores(memory(2).await).await;
}

#[tokio::test]
async fn restart_on_sqlite() {
    let directory = Temporary::new("restart");
    let store = Sqlite::open(&directory.path().join("t.db")).await.unwrap();
    people(&store, 2).await;
    a_restart_restores(Arc::new(store)).await;
}

#[tokio::test]
async fn who_is_idle_is_dropped_and_read_again() {
    let store = memory(3).await;
    let stage = Stage::new(&store, one_shard()).await;
    stage.call(1, set_property("kept")).await.unwrap();
    stage.call(3, sign_in("sip:3")).await.unwrap();
    assert_eq!(stage.hub.stats().people.get(), 2);
    stage.clock.advance(Duration::from_mins(6));
    stage.call(2, look()).await.unwrap();
    stage.clock.advance(Duration::from_mins(3));
    stage.call(2, look()).await.unwrap();
    stage.call(2, look()).await.unwrap();
    // The one who is signed in stays, and so does the one who was just asked.
    assert_eq!(stage.hub.stats().people.get(), 2);
    let loads = stage.hub.stats().loads.get();
    let Reply::Properties(found) = stage.call(1, Command::Properties(None)).await.unwrap() else {
        panic!("not properties");
    };
    assert_eq!(found[0].1.as_ref().unwrap().bytes.as_ref(), b"kept");
    assert_eq!(stage.hub.stats().loads.get(), loads + 1);
    stage.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_text_goes_from_shard_to_shard_and_its_answer_back() {
    let store = memory(8).await;
    let settings = Settings {
        shards: 4,
        ..Settings::default()
    };
    let mut stage = Stage::new(&store, settings).await;
    for n in 1..=8 {
        stage.call(n, sign_in(&format!("sip:{n}"))).await.unwrap();
    }
    let mut answers = Collector::new();
    for n in 1..=8 {
        let to = n % 8 + 1;
        answers.send(&stage.hub, n, text(n, to, n.into(), "hello"), n.into());
        let message = stage.take_delivery(Outcome::Delivered).await;
        assert_eq!(message.to, address(&format!("u{to}@example.com")));
        let (_, answer) = answers.next().await;
        let Reply::Sent(sent) = answer.unwrap() else {
            panic!("not sent");
        };
        assert_eq!(sent.fate, Fate::Delivered);
        // The answer goes out before the checkpoint of the same outcome; a second question to the
        // same shard comes after both.
        stage.call(to, look()).await.unwrap();
        let steps = stage.hub.trace().message(sent.message);
        assert!(matches!(steps[0].step, Step::Accepted { .. }), "{steps:?}");
        assert!(
            steps.iter().any(|s| matches!(s.step, Step::Delivered(_))),
            "{steps:?}"
        );
        let of_user = stage.hub.trace().user(&message.to, 10);
        assert!(of_user.iter().any(|(id, _)| *id == sent.message));
    }
    stage.hub.stop().await;
}

#[tokio::test]
async fn accounts_come_change_and_go() {
    let store = memory(2).await;
    let mut stage = Stage::new(&store, one_shard()).await;
    let new = account(person(3), "u3@example.com", &["three@example.com"]);
    stage.hub.put_account(new).await.unwrap();
    stage.call(3, sign_in("sip:3")).await.unwrap();
    let thief = account(person(4), "u4@example.com", &["three@example.com"]);
    let refused = stage.hub.put_account(thief).await;
    assert!(matches!(refused, Err(StoreError::Taken(_))), "{refused:?}");
    within(stage.hub.call(person(3), &caller(1), watch()))
        .await
        .unwrap();
    within(stage.hub.remove_account(person(3))).await.unwrap();
    let ended = stage.find(|event| match event {
        Event::Presence {
            change: Change::Ended(why, _),
            ..
        } => Some(*why),
        _ => None,
    });
    assert_eq!(ended.await, Ended::NoResource);
    assert!(matches!(
        stage.call(3, look()).await,
        Err(Error::UnknownUser)
    ));
    let found = stage.hub.directory().resolve(&address("three@example.com"));
    assert!(matches!(found, Resolution::UnknownUser), "{found:?}");
    stage.hub.stop().await;
    assert_eq!(store.accounts().await.unwrap().len(), 2);
    assert!(store.live().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_import_has_one_result_per_row() {
    let store = memory(1).await;
    let stage = Stage::closed(&store, one_shard()).await;
    let mut rows: Vec<_> = (2..=500)
        .map(|n| account(person(n), &format!("u{n}@example.com"), &[]))
        .collect();
    rows.push(account(person(501), "u7@example.com", &[]));
    rows.push(account(person(502), "u1@example.com", &[]));
    let results = within(stage.hub.put_accounts(rows)).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 499);
    assert!(
        results[499..]
            .iter()
            .all(|r| matches!(r, Err(StoreError::Taken(_))))
    );
    assert!(store.commits() < 10, "{} commits", store.commits());
    assert_eq!(stage.hub.directory().all().len(), 500);
    within(stage.hub.remove_account(person(2))).await.unwrap();
    assert_eq!(store.accounts().await.unwrap().len(), 499);
    stage.hub.stop().await;
}

/// Holds texts that begin with `slow` until told, refuses `bad`, marks what it lets pass.
struct Hook {
    open: tokio::sync::watch::Receiver<bool>,
}

impl AdmissionHook for Hook {
    fn name(&self) -> &'static str {
        "test"
    }

    fn admit(
        &self,
        message: Arc<Message>,
    ) -> std::pin::Pin<Box<dyn Future<Output = Admission> + Send + '_>> {
        Box::pin(async move {
            let text = body(&message);
            assert!(!text.starts_with("panic"), "planted");
            if text.starts_with("slow") {
                let _ = self.open.clone().wait_for(|open| *open).await;
            }
            if text.starts_with("bad") {
                return Admission::Refused(Error::Refused("bad word".to_owned()));
            }
            let mut changed = (*message).clone();
            changed.from_name = "seen".into();
            Admission::Changed(Arc::new(changed))
        })
    }
}

#[tokio::test]
async fn hooks_keep_a_conversations_order_and_hold_up_no_other() {
    let store = memory(2).await;
    let mut stage = Stage::closed(&store, one_shard()).await;
    let (gate, open) = tokio::sync::watch::channel(false);
    stage.hub.admit_with(Arc::new(Hook { open }));
    stage.hub.open().await.unwrap();
    stage.call(2, sign_in("sip:2")).await.unwrap();
    let mut answers = Collector::new();
    let texts = [
        (7, "slow"),
        (7, "fast"),
        (8, "bad"),
        (8, "panic"),
        (8, "other"),
    ];
    for (token, (conversation, body)) in (0..).zip(texts) {
        answers.send(&stage.hub, 1, text(1, 2, conversation, body), token);
    }
    let (token, answer) = answers.next().await;
    assert_eq!(
        (token, answer.map(drop)),
        (2, Err(Error::Refused("bad word".to_owned())))
    );
    let (token, answer) = answers.next().await;
    assert_eq!(token, 3);
    assert!(matches!(answer, Err(Error::Refused(_))), "{answer:?}");
    let message = stage.take_delivery(Outcome::Delivered).await;
    assert_eq!(
        (body(&message).as_str(), message.from_name.as_ref()),
        ("other", "seen")
    );
    gate.send_replace(true);
    for wanted in ["slow", "fast"] {
        let message = stage.take_delivery(Outcome::Delivered).await;
        assert_eq!(body(&message), wanted);
    }
    stage.hub.stop().await;
    assert_eq!(stage.hub.stats().refused.get(), 2);
}

#[tokio::test]
async fn ten_thousand_leases_that_end_in_one_second_keep_nobody_waiting() {
    let store = memory(10_001).await;
    let mut stage = Stage::new(&store, one_shard()).await;
    for n in 1..=10_000 {
        within(stage.hub.call(person(n), &caller(10_001), watch()))
            .await
            .unwrap();
    }
    while stage.event_now().is_some() {}
    // All leases end now, before any task gets its turn.
    stage.clock.advance(Duration::from_hours(25));
    stage.call(10_001, look()).await.unwrap();
    let mut ended = 0;
    let ends = |event: &Event| {
        matches!(
            event,
            Event::Presence {
                change: Change::Ended(Ended::Expired, _),
                ..
            }
        )
    };
    while let Some(event) = stage.event_now() {
        ended += usize::from(ends(&event));
    }
    assert!(ended < 5_000, "the answer came after {ended} ends");
    while ended < 10_000 {
        ended += usize::from(ends(&stage.event().await));
    }
    assert!(stage.event_now().is_none());
}
