//! What the hub puts into the archive, in which order, and what becomes of messages when it can't.

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

use std::sync::Arc;
use std::time::Duration;
use support::records::{account, address};
use support::stage::{
    Collector, Stage, body, caller, delivery, memory, one_shard, person, sign_in, text, within,
};
use tristack::archive::record::{self, About, Head, MessageHead, ResultHead, head};
use tristack::archive::verify::Verifier;
use tristack::archive::{Archivist, Asker, Commit, Retention, Selection};
use tristack::core::archive::{Archive, Held, Policy, Row};
use tristack::core::command::{Command, Outcome};
use tristack::core::error::Error;
use tristack::core::message::{Content, Message};
use tristack::core::node::Node;
use tristack::core::port::{Account, Store, Write};
use tristack::core::time::Time;
use tristack::hub::{ArchiveHealth, ArchiveRules, ReplyTo, Settings};
use tristack::storage::{Faulty, Memory};

fn archived(policy: Policy) -> Settings {
    Settings {
        archive: ArchiveRules {
            policy,
            system_local: "postmaster".to_owned(),
            ..ArchiveRules::default()
        },
        ..one_shard()
    }
}

async fn rows(store: &Faulty<Memory>) -> Vec<Row> {
    store.inner().archive_rows(0, 10_000).await.unwrap()
}

fn messages(rows: &[Row]) -> Vec<MessageHead> {
    let message = |row| match head(row).unwrap() {
        Head::Message(message) => Some(*message),
        Head::Result(_) | Head::Journal(_) => None,
    };
    rows.iter().filter_map(message).collect()
}

fn results(rows: &[Row]) -> Vec<ResultHead> {
    let result = |row| match head(row).unwrap() {
        Head::Result(result) => Some(result),
        Head::Message(_) | Head::Journal(_) => None,
    };
    rows.iter().filter_map(result).collect()
}

fn is_sound(rows: &[Row]) {
    let mut verifier = Verifier::new(Vec::new());
    for row in rows {
        verifier.row(row);
    }
    let report = verifier.end();
    assert_eq!(report.wrong, 0, "{report:?}");
}

#[tokio::test]
async fn a_message_is_there_once_with_the_result_of_every_point() {
    let store = memory(2).await;
    let mut stage = Stage::new(&store, archived(Policy::On)).await;
    stage.call(2, sign_in("sip:1")).await.unwrap();
    stage.call(2, sign_in("sip:2")).await.unwrap();
    let mut answers = Collector::new();
    answers.send(&stage.hub, 1, text(1, 2, 7, "hello"), 1);
    for _ in 0..2 {
        let (to, point, message) = stage.find(delivery).await;
        let octets = format!("hello for {}", point.0);
        stage.hub.rendered(message.id, point, octets.as_bytes());
        let outcome = Command::Outcome {
            message: message.id,
            point,
            outcome: Outcome::Delivered,
        };
        stage.hub.send(to, caller(2), outcome, ReplyTo::Nobody);
    }
    answers.next().await.1.unwrap();
    stage.hub.stop().await;
    let rows = rows(&store).await;
    is_sound(&rows);
    let messages = messages(&rows);
    assert_eq!(messages.len(), 1);
    let message = &messages[0];
    assert_eq!(message.from, "u1@example.com");
    assert_eq!(message.to, "u2@example.com");
    assert_eq!(
        (message.direction.as_str(), message.content.as_str()),
        ("inside", "text")
    );
    assert_eq!(message.text_in(&rows[0]), Some("hello"));
    let results = results(&rows);
    assert_eq!(results.len(), 2, "{results:?}");
    for result in results {
        assert_eq!(
            (result.id.as_str(), result.what.as_str()),
            (message.id.as_str(), "delivered")
        );
        let octets = format!("hello for {}", result.point.unwrap());
        let want = tristack::archive::chain::digest(octets.as_bytes());
        assert_eq!(result.rendering, tristack::archive::chain::hex(&want));
        assert_eq!(result.stack, support::stage::STACK.name());
    }
}

#[tokio::test]
async fn typing_and_people_who_are_not_archived_leave_nothing() {
    let store = memory(3).await;
    let mut settings = archived(Policy::Off);
    let person = address("u3@example.com");
    settings.archive.people.insert(person, Policy::On);
    let mut stage = Stage::new(&store, settings).await;
    for n in 1..=3 {
        stage.call(n, sign_in("sip:1")).await.unwrap();
    }
    let mut typing = text(1, 3, 7, "");
    if let Command::Submit(submit) = &mut typing {
        submit.message.content = Content::Typing {
            active: true,
            valid: Duration::from_secs(60),
        };
    }
    stage.call(1, typing).await.unwrap();
    stage.find(delivery).await;
    let mut answers = Collector::new();
    for (to, body) in [(2, "private"), (3, "kept")] {
        answers.send(&stage.hub, 1, text(1, to, to.into(), body), to.into());
        stage.take_delivery(Outcome::Delivered).await;
        answers.next().await.1.unwrap();
    }
    stage.hub.stop().await;
    let rows = rows(&store).await;
    let found = messages(&rows);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].to, "u3@example.com");
}

#[tokio::test]
async fn members_of_a_group_are_archived_and_its_list_once() {
    let store = memory(3).await;
    let node = Account {
        node: Some(Node {
            owner: None,
            members: vec![address("u2@example.com"), address("u3@example.com")],
        }),
        ..account(person(9), "g@example.com", &[])
    };
    let group = tristack::core::address::Address::of_path("/traders", "example.com").unwrap();
    let node = Account {
        address: group.clone(),
        ..node
    };
    store.commit(vec![Write::PutAccount(node)]).await.unwrap();
    let mut settings = archived(Policy::Off);
    settings
        .archive
        .groups
        .insert(group.clone(), Policy::Required);
    let mut stage = Stage::new(&store, settings).await;
    for n in 1..=3 {
        stage.call(n, sign_in("sip:1")).await.unwrap();
    }
    let mut answers = Collector::new();
    // A member's own message, then one to the list.
    answers.send(&stage.hub, 2, text(2, 1, 5, "from a member"), 1);
    stage.take_delivery(Outcome::Delivered).await;
    answers.next().await.1.unwrap();
    let mut to_list = text(1, 9, 6, "to all");
    if let Command::Submit(submit) = &mut to_list {
        submit.message.to = group;
    }
    answers.send(&stage.hub, 1, to_list, 2);
    let mut got = Vec::new();
    for _ in 0..2 {
        got.push(stage.take_delivery(Outcome::Delivered).await.to.to_string());
    }
    got.sort();
    assert_eq!(got, ["u2@example.com", "u3@example.com"]);
    answers.next().await.1.unwrap();
    stage.hub.stop().await;
    let rows = rows(&store).await;
    is_sound(&rows);
    let found = messages(&rows);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[1].members, ["u2@example.com", "u3@example.com"]);
    let of_list = results(&rows)
        .into_iter()
        .filter(|result| result.id == found[1].id);
    let mut told: Vec<String> = of_list.map(|result| result.to).collect();
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 3, "the list and each member: {told:?}");
}

#[tokio::test]
async fn required_means_stored_before_anybody_has_it() {
    let store = memory(2).await;
    let mut stage = Stage::new(&store, archived(Policy::Required)).await;
    stage.call(2, sign_in("sip:1")).await.unwrap();
    store.pause();
    let mut answers = Collector::new();
    answers.send(&stage.hub, 1, text(1, 2, 7, "first stored"), 1);
    // The recipient's shard has worked on it when it has refused somebody else's question.
    while stage.hub.stats().commands.get() < 3 {
        tokio::task::yield_now().await;
    }
    assert!(stage.event_now().is_none(), "let out before it was stored");
    assert!(answers.now().is_none());
    store.resume();
    let message = stage.take_delivery(Outcome::Delivered).await;
    assert_eq!(body(&message), "first stored");
    answers.next().await.1.unwrap();
    let before: Vec<_> = messages(&rows(&store).await);
    assert_eq!(before[0].id, message.id.to_string());
    stage.hub.stop().await;
}

/// Everything delivered until the hub is asked for the answer of `token`.
async fn answer(answers: &mut Collector) -> Result<(), Error> {
    answers.next().await.1.map(|_| ())
}

#[tokio::test]
async fn required_and_not_stored_is_not_delivered_and_both_are_told() {
    let store = memory(2).await;
    let mut stage = Stage::new(&store, archived(Policy::Required)).await;
    stage.call(2, sign_in("sip:1")).await.unwrap();
    store.fail_archive(true);
    let mut answers = Collector::new();
    for token in 1..=3 {
        let secret = format!("secret {token}");
        answers.send(&stage.hub, 1, text(1, 2, 7, &secret), token);
        assert_eq!(answer(&mut answers).await, Err(Error::Storage));
        assert_eq!(stage.hub.archive_health(), ArchiveHealth::Refusing);
    }
    // The recipient is told once, by a notice that waits for no archive.
    let notice: Arc<Message> = stage.take_delivery(Outcome::Delivered).await;
    assert_eq!(notice.from.to_string(), "postmaster@example.com");
    assert!(
        body(&notice).contains("u1@example.com"),
        "{}",
        body(&notice)
    );
    assert!(!body(&notice).contains("secret"));
    // His sign-in is still there: what can be stored again is delivered again.
    store.fail_archive(false);
    answers.send(&stage.hub, 1, text(1, 2, 7, "open"), 9);
    let message = stage.take_delivery(Outcome::Delivered).await;
    assert_eq!(body(&message), "open");
    answer(&mut answers).await.unwrap();
    assert_eq!(stage.hub.archive_health(), ArchiveHealth::Good);
    stage.hub.stop().await;
    let rows = rows(&store).await;
    is_sound(&rows);
    let texts: Vec<String> = messages(&rows).into_iter().map(|head| head.from).collect();
    assert_eq!(texts, ["u1@example.com"], "nothing of what failed");
    let told = results(&rows);
    assert!(
        told.iter().all(|result| result.what == "delivered"),
        "{told:?}"
    );
}

#[tokio::test]
async fn on_and_not_stored_is_delivered_and_counted() {
    let store = memory(2).await;
    let mut stage = Stage::new(&store, archived(Policy::On)).await;
    stage.call(2, sign_in("sip:1")).await.unwrap();
    store.fail_archive(true);
    let mut answers = Collector::new();
    answers.send(&stage.hub, 1, text(1, 2, 7, "all the same"), 1);
    let message = stage.take_delivery(Outcome::Delivered).await;
    assert_eq!(body(&message), "all the same");
    answer(&mut answers).await.unwrap();
    // The message and its result.
    let failures = &stage.hub.stats().archive_failures;
    within(async {
        while failures.get() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(stage.hub.archive_health(), ArchiveHealth::Failing);
    assert_eq!(stage.hub.take_archive_lost(), 2);
    store.fail_archive(false);
    answers.send(&stage.hub, 1, text(1, 2, 7, "again"), 2);
    stage.take_delivery(Outcome::Delivered).await;
    answer(&mut answers).await.unwrap();
    stage.hub.stop().await;
    let rows = rows(&store).await;
    is_sound(&rows);
    assert_eq!(messages(&rows).len(), 1);
    assert_eq!(stage.hub.archive_health(), ArchiveHealth::Good);
}

#[tokio::test]
async fn another_persons_row_does_not_fail_with_the_archives() {
    let store = memory(3).await;
    let mut stage = Stage::new(&store, archived(Policy::Required)).await;
    stage.call(2, sign_in("sip:1")).await.unwrap();
    store.fail_archive(true);
    store.pause();
    let mut answers = Collector::new();
    answers.send(&stage.hub, 1, text(1, 2, 7, "x"), 1);
    answers.send(&stage.hub, 3, support::stage::set_property("y"), 2);
    store.resume();
    let mut told = [answers.next().await, answers.next().await];
    told.sort_by_key(|(token, _)| *token);
    assert!(matches!(told[0].1, Err(Error::Storage)));
    assert!(told[1].1.is_ok());
    let _ = stage.event_now();
    stage.hub.stop().await;
}

#[tokio::test]
async fn a_conversation_that_is_archived_begins_with_a_word_about_it() {
    let store = memory(2).await;
    let mut settings = archived(Policy::On);
    settings.archive.disclaimer.text = "for all".to_owned();
    let own = "for this stack".to_owned();
    settings
        .archive
        .disclaimer
        .stacks
        .insert(support::stage::STACK, own);
    let mut stage = Stage::new(&store, settings).await;
    for n in 1..=2 {
        stage.call(n, sign_in("sip:1")).await.unwrap();
    }
    let mut answers = Collector::new();
    answers.send(&stage.hub, 1, text(1, 2, 7, "first"), 1);
    let mut told = Vec::new();
    for _ in 0..3 {
        let message = stage.take_delivery(Outcome::Delivered).await;
        told.push(format!("{}: {}", message.to, body(&message)));
    }
    told.sort();
    let want = [
        "u1@example.com: for this stack",
        "u2@example.com: first",
        "u2@example.com: for this stack",
    ];
    assert_eq!(told, want);
    answer(&mut answers).await.unwrap();
    // It goes on, either way: nothing more is said.
    for (from, to) in [(2, 1), (1, 2)] {
        answers.send(&stage.hub, from, text(from, to, 7, "more"), 2);
        let message = stage.take_delivery(Outcome::Delivered).await;
        assert_eq!(body(&message), "more");
        answer(&mut answers).await.unwrap();
    }
    assert!(stage.event_now().is_none());
    stage.hub.stop().await;
}

#[tokio::test]
async fn a_stack_without_words_is_told_nothing() {
    let store = memory(2).await;
    let mut settings = archived(Policy::On);
    settings.archive.disclaimer.text = "for all".to_owned();
    let stacks = &mut settings.archive.disclaimer.stacks;
    stacks.insert(support::stage::STACK, String::new());
    let mut stage = Stage::new(&store, settings).await;
    for n in 1..=2 {
        stage.call(n, sign_in("sip:1")).await.unwrap();
    }
    let mut answers = Collector::new();
    answers.send(&stage.hub, 1, text(1, 2, 7, "first"), 1);
    let message = stage.take_delivery(Outcome::Delivered).await;
    assert_eq!(body(&message), "first");
    answer(&mut answers).await.unwrap();
    // Stops at once: nothing waits for an outcome that nobody reports.
    stage.hub.stop().await;
    assert!(stage.event_now().is_none());
}

/// An archivist over that storage at that time.
fn archivist(
    store: &Arc<Faulty<Memory>>,
    now: Time,
    retention: Retention,
) -> Archivist<Faulty<Memory>> {
    let writer = Arc::clone(store);
    let commit: Commit = Arc::new(move |writes| {
        let store = Arc::clone(&writer);
        Box::pin(async move { store.commit(writes).await })
    });
    let settings = tristack::archive::Settings {
        retention,
        ..tristack::archive::Settings::default()
    };
    Archivist::new(Arc::clone(store), commit, Arc::new(move || now), settings)
}

fn asker() -> Asker {
    Asker {
        who: "root".to_owned(),
        why: "test".to_owned(),
    }
}

fn sample(n: u64, from: &str, day: u64) -> Write {
    let Command::Submit(submit) = text(1, 2, n.into(), &format!("secret {n}")) else {
        panic!("no message");
    };
    let sent = Message {
        id: tristack::core::id::MessageId(n.into()),
        at: Time(day * DAY),
        from: address(from),
        to: address("b@other.example"),
        conversation: tristack::core::id::ConversationId(n.into()),
        ..submit.message
    };
    let about = About {
        direction: "inside",
        members: &[],
    };
    Write::Archive(Box::new(record::message(&sent, about)))
}

const DAY: u64 = 86_400_000;

#[tokio::test]
async fn retention_erases_bodies_but_not_what_is_held() {
    let store = memory(1).await;
    let all = [
        sample(1, "a@short.example", 10),
        sample(2, "a@short.example", 80),
        sample(3, "held@short.example", 10),
        sample(4, "a@short.example", 11),
        sample(5, "a@ever.example", 10),
        sample(6, "a@short.example", 12),
        sample(7, "a@short.example", 99),
    ];
    store.commit(all.into()).await.unwrap();
    let retention = Retention {
        days: 30,
        domains: [("ever.example".to_owned(), 0)].into(),
    };
    let archivist = archivist(&store, Time(100 * DAY), retention);
    archivist.index_all().await.unwrap();
    let person = Held::Person("held@short.example".to_owned());
    archivist.hold(&asker(), "case", person).await.unwrap();
    let talk = Held::Conversation(tristack::core::id::ConversationId(4).to_string());
    archivist.hold(&asker(), "other", talk).await.unwrap();
    assert_eq!(archivist.retain().await.unwrap(), 2);
    let erased = |rows: &[Row]| -> Vec<u64> {
        let gone = rows.iter().filter(|row| row.body.is_empty());
        let gone = gone.filter(|row| row.head.contains("\"row\":\"message\""));
        gone.map(|row| row.seq).collect()
    };
    assert_eq!(erased(&rows(&store).await), [1, 6]);
    // Nothing is left of them but that they were.
    let found = archivist
        .search(&asker(), "secret", None, 100)
        .await
        .unwrap();
    let seqs: Vec<u64> = found.items.iter().map(|item| item.seq).collect();
    assert_eq!(seqs, [7, 5, 4, 3, 2]);
    let stub = archivist
        .search(
            &asker(),
            "from:a@short.example before:1970-01-13",
            None,
            100,
        )
        .await
        .unwrap();
    let seqs: Vec<(u64, bool)> = stub
        .items
        .iter()
        .map(|item| (item.seq, item.erased))
        .collect();
    assert_eq!(seqs, [(4, false), (1, true)]);
    // Released, they go as well; again there is nothing to do.
    assert_eq!(archivist.release(&asker(), "case", None).await.unwrap(), 1);
    assert_eq!(archivist.retain().await.unwrap(), 1);
    assert_eq!(archivist.retain().await.unwrap(), 0);
    assert_eq!(erased(&rows(&store).await), [1, 3, 6]);
    let report = archivist.verify(&asker(), Vec::new()).await.unwrap();
    assert_eq!((report.wrong, report.erased), (0, 3), "{report:?}");
    assert!(archivist.release(&asker(), "case", None).await.is_err());
}

#[tokio::test]
async fn pages_of_a_case_come_in_order_and_once() {
    let store = memory(1).await;
    let mut all = Vec::new();
    for n in 1..=500 {
        let from = ["a@x.example", "c@x.example", "d@x.example"];
        let which = usize::try_from(n % 3).unwrap();
        all.push(sample(n, from[which], n));
    }
    store.commit(all).await.unwrap();
    let archivist = archivist(&store, Time(DAY), Retention::default());
    archivist.index_all().await.unwrap();
    for who in ["a@x.example", "c@x.example"] {
        let held = Held::Person(who.to_owned());
        archivist.hold(&asker(), "case", held).await.unwrap();
    }
    let conversation = tristack::core::id::ConversationId(2).to_string();
    let held = Held::Conversation(conversation);
    archivist.hold(&asker(), "case", held).await.unwrap();
    let selection = Selection::Case("case".to_owned());
    let (mut above, mut found) = (0, Vec::new());
    loop {
        let page = archivist.page(&selection, above, false).await.unwrap();
        found.extend(page.items.iter().map(|item| item.seq));
        match page.next {
            Some(next) => above = next,
            None => break,
        }
    }
    let want: Vec<u64> = (1..=500).filter(|n| n % 3 != 2 || *n == 2).collect();
    assert_eq!(found, want);
    let missing = Selection::Case("nobody".to_owned());
    assert!(archivist.page(&missing, 0, false).await.is_err());
    // A search goes on where a page ends.
    let (mut below, mut found) = (None, Vec::new());
    loop {
        let page = archivist
            .search(&asker(), "secret", below, 90)
            .await
            .unwrap();
        found.extend(page.items.iter().map(|item| item.seq));
        below = page.next;
        if below.is_none() {
            break;
        }
    }
    let want: Vec<u64> = (1..=500).rev().collect();
    assert_eq!(found, want);
}
