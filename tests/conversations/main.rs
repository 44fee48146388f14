//! Conversations of more than two over a real hub, against a simple model: random sequences of
//! adding, talking, leaving, going away, blocking and dying, with clients that know conversations
//! (a full mesh, as RVP's) and clients that know none (a chat address, as SIP pagers).

#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with other test programs, each uses its part"
)]
#[path = "../support"]
mod support {
    pub mod records;
}

mod clients;
mod house;
mod model;

use house::{House, plain};
use model::{Deed, deeds, play};
use proptest::prelude::ProptestConfig;
use proptest::test_runner::TestRunner;
use std::cell::Cell;
use tristack::core::message::Content;

/// Roster truth, each text exactly once per stack, one order, over restarts.
#[test]
fn the_roster_is_true_and_each_text_comes_once_in_one_order() {
    let cases = cases();
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let done = Cell::new(0);
    let result = TestRunner::new(config).run(&deeds(), |deeds| {
        done.set(done.get() + play(&deeds));
        Ok(())
    });
    assert!(
        result.is_ok(),
        "{}",
        result.err().map_or_else(String::new, |e| e.to_string())
    );
    // Sequences in which nothing could be done prove nothing.
    let least = usize::try_from(cases).expect("few") * 4;
    assert!(done.get() >= least, "{} deeds in {cases} cases", done.get());
}

/// More of them with `TRISTACK_CASES`.
fn cases() -> u32 {
    let wanted = std::env::var("TRISTACK_CASES").ok();
    wanted.and_then(|text| text.parse().ok()).unwrap_or(48)
}

/// The ways of the issue one by one, so that a failure names itself.
#[test]
fn the_plain_cases() {
    use Deed::{Add, Away, Back, Burst, Crash, Hang, Leave, Tell};
    for deeds in [
        vec![Add(0, 2), Tell(0), Tell(1), Tell(2)],
        vec![Add(0, 2), Add(1, 3), Tell(3), Tell(0), Leave(1), Tell(2)],
        vec![Add(0, 4), Tell(4), Tell(1), Burst],
        vec![
            Add(0, 2),
            Add(0, 3),
            Add(0, 4),
            Burst,
            Crash,
            Burst,
            Tell(2),
        ],
        vec![Add(0, 2), Hang(2), Tell(1), Tell(0)],
        vec![
            Add(0, 3),
            Away(3),
            Tell(0),
            Tell(1),
            Back(3),
            Tell(1),
            Tell(0),
        ],
        vec![Add(0, 2), Leave(2), Leave(1)],
        vec![Add(0, 2), Leave(1), Tell(0)],
        vec![
            Add(0, 2),
            Add(0, 3),
            Away(2),
            Leave(3),
            Back(2),
            Tell(2),
            Tell(0),
        ],
        vec![Add(0, 2), Add(0, 3), Leave(3), Tell(0), Tell(3), Tell(2)],
    ] {
        assert_eq!(play(&deeds), deeds.len(), "all of {deeds:?} can be done");
    }
}

/// Decision 19: what was acknowledged is not lost with the process, and comes once.
#[tokio::test]
async fn what_was_acknowledged_comes_after_a_crash() {
    let mut house = House::new().await;
    house.copy(0, 1, plain("hi")).await.expect("a text");
    house.copy(0, 2, Content::Join).await.expect("a join");
    house.settle().await;
    let chat = house.state().chat.clone().expect("a chat address");
    // Person 2's client has been reached and says nothing.
    house.state().silent.insert(2);
    let text = house.text();
    let writes = house.write(1, clients::PAGER, &chat, &text);
    let waits = async {
        // Until the copy is with the silent client.
        while house.pending(2).await == 0 {
            tokio::task::yield_now().await;
        }
        house.pass(std::time::Duration::from_secs(5));
    };
    let (told, ()) = tokio::join!(writes, waits);
    told.expect("stored, so acknowledged");
    house.state().silent.clear();
    house.crash().await;
    let heard = house
        .state()
        .heard
        .get(&(2, clients::MESH))
        .cloned()
        .unwrap_or_default();
    let copies = heard.iter().filter(|(_, shown)| *shown == text).count();
    assert_eq!(copies, 1, "{heard:?}");
    let heard = house
        .state()
        .heard
        .get(&(0, clients::MESH))
        .cloned()
        .unwrap_or_default();
    let copies = heard.iter().filter(|(_, shown)| *shown == text).count();
    assert_eq!(copies, 1, "who had it has it once: {heard:?}");
}
