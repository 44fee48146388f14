//! A day of coming and going on virtual time: what has ended leaves nothing behind.

use crate::support::stage::{STACK, within};
use crate::support::stage::{Stage, body, caller, memory, person, set_property, sign_in, text};
use std::sync::Arc;
use std::time::Duration;
use tristack::core::command::{Command, Outcome, PointHint, Publish, Topic, Via, Watch};
use tristack::core::event::Event;
use tristack::core::port::Store;
use tristack::core::presence::{Origin, Presence, State};
use tristack::hub::Settings;
use tristack::storage::{Faulty, Memory};

const PEOPLE: u32 = 60;
/// Steps of the day; leases are an hour (points) and ten minutes (watches, publications).
const STEP: Duration = Duration::from_mins(5);
const STEPS: u32 = 24 * 12;

/// Live rows of all kinds, as a restart would find them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Rows {
    points: usize,
    publications: usize,
    watches: usize,
    kept: usize,
}

async fn rows(store: &Arc<Faulty<Memory>>) -> Rows {
    let mut all = Rows::default();
    for (_, records) in store.live().await.unwrap() {
        all.points += records.points.len();
        all.publications += records.publications.len();
        all.watches += records.watches.len();
        all.kept += records.kept.len();
    }
    all
}

fn publish(busy: bool) -> Command {
    let presence = Presence {
        state: if busy { State::Busy } else { State::Online },
        origin: Origin::Manual,
        token: None,
        note: None,
        document: None,
    };
    Command::Publish(Publish {
        stack: STACK,
        target: None,
        adopt: false,
        hint: PointHint::default(),
        key: None,
        presence: Some(presence),
        calls: None,
        lease: Some(Duration::from_mins(10)),
    })
}

fn watch(step: u32) -> Command {
    Command::Watch(Watch {
        stack: STACK,
        lease: Duration::from_mins(10),
        via: Via::Direct,
        notify: true,
        // A new dialog each time, as of a client that was started anew.
        key: Some(format!("dialog{step}").into()),
        topic: Topic::Presence,
        handle: vec![7; 300].into(),
    })
}

/// What a third of the people do in a step: come, watch, publish, write, change a property. Nobody
/// ever says goodbye; everything ends by its lease.
async fn work(stage: &mut Stage, step: u32) {
    for n in (1..=PEOPLE).filter(|n| n % 3 == step % 3) {
        let other = n % PEOPLE + 1;
        // Another machine each time.
        let inbox = format!("sip:{n}-{step}");
        stage.call(n, sign_in(&inbox)).await.unwrap();
        within(stage.hub.call(person(other), &caller(n), watch(step)))
            .await
            .unwrap();
        stage
            .call(n, publish(step.is_multiple_of(2)))
            .await
            .unwrap();
        stage
            .call(n, set_property(&format!("{step}")))
            .await
            .unwrap();
        let to = (n + 2) % PEOPLE + 1;
        let said = text(n, to, u128::from(step), &inbox);
        stage
            .hub
            .send(person(n), caller(n), said, tristack::hub::ReplyTo::Nobody);
    }
    answer(stage).await;
}

/// Takes all events there are: deliveries succeed.
async fn answer(stage: &mut Stage) {
    loop {
        // Until a look at everybody finds no more events.
        for n in 1..=PEOPLE {
            stage.call(n, crate::support::stage::look()).await.unwrap();
        }
        let mut found = false;
        while let Some(event) = stage.event_now() {
            found = true;
            if let Event::Deliver {
                person: to,
                point,
                message,
                ..
            } = event
            {
                assert!(!body(&message).is_empty());
                let command = Command::Outcome {
                    message: message.id,
                    point: point.id,
                    outcome: Outcome::Delivered,
                };
                let mut on_behalf = caller(1);
                on_behalf.person = Some(to);
                on_behalf.address = message.to.clone();
                on_behalf.scheme = tristack::core::access::Scheme::Internal;
                stage
                    .hub
                    .send(to, on_behalf, command, tristack::hub::ReplyTo::Nobody);
            }
        }
        if !found {
            return;
        }
    }
}

/// Lets the shards do what is due.
async fn quiet(stage: &Stage) {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert!(stage.hub.stats().panics.get() == 0);
}

/// Lets a step pass in pieces, so that every timer goes off in its own time.
async fn pass(stage: &mut Stage) {
    for _ in 0..5 {
        stage.clock.advance(STEP / 5);
        answer(stage).await;
    }
}

/// Issue 4 section 6: a day of churn piles nothing up, expired subscriptions leave the table. (What
/// the process needs for it is measured by the load tool's `churn`.)
#[tokio::test]
async fn a_day_of_churn_leaves_nothing_behind() {
    let store = memory(PEOPLE).await;
    let mut stage = Stage::new(&store, Settings::default()).await;
    let mut morning = Rows::default();
    for step in 0..STEPS {
        work(&mut stage, step).await;
        pass(&mut stage).await;
        // By then leases of an hour have ended once.
        if step == STEPS / 8 {
            morning = rows(&store).await;
        }
    }
    let evening = rows(&store).await;
    assert!(morning.points > 0 && morning.watches > 0 && morning.publications > 0);
    assert_eq!(evening, morning, "evening and morning");
    // An hour without anybody ends it all, in storage and in memory.
    for _ in 0..24 {
        pass(&mut stage).await;
    }
    // Who is idle is dropped, at the latest the second time that is looked at.
    for _ in 0..2 {
        stage.clock.advance(STEP);
        quiet(&stage).await;
    }
    assert_eq!(rows(&store).await, Rows::default());
    assert_eq!(stage.hub.stats().people.get(), 0, "people in memory");
    stage.hub.stop().await;
}
