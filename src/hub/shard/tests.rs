//! What only planted bugs can show; everything else is tested through the hub (`tests/hub.rs`).

use super::*;
use crate::core::address::Address;
use crate::core::command::Reply;
use crate::core::port::{Account, Secret};
use crate::hub::mailbox::Mailbox;
use crate::hub::numbers::Pool;
use crate::hub::{Directory, ManualClock, Settings, Stats, TraceLog};
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use tokio::sync::oneshot;

const PERSON: PersonId = PersonId(7);

struct Stage {
    shard: Shard,
    jobs: mpsc::UnboundedReceiver<Job>,
    loads: mpsc::UnboundedReceiver<Load>,
}

fn stage() -> Stage {
    let settings = Settings::default();
    let account = Account {
        person: PERSON,
        address: Address::parse("a@example.com").unwrap(),
        aliases: Vec::new(),
        display_name: String::new(),
        email: String::new(),
        secret: Secret::default(),
        suspended: false,
        node: None,
    };
    let shared = Arc::new(Shared {
        directory: Directory::new(vec!["example.com".to_owned()], vec![account]),
        clock: Arc::new(ManualClock::new(Time(1_000))),
        trace: TraceLog::new(10),
        stats: Stats::default(),
        board: crate::hub::TargetBoard::default(),
        archive: crate::hub::archive::ArchiveState::default(),
        told: crate::hub::disclaimer::Told::default(),
        held: crate::hub::held::Count::default(),
        mailboxes: vec![Mailbox::new(4, 4).0],
        settings,
        attached: OnceLock::new(),
        closing: AtomicBool::new(false),
    });
    let (writer, jobs) = mpsc::unbounded_channel();
    let (loader, loads) = mpsc::unbounded_channel();
    let ids = Fresh::new(Arc::<Pool>::default());
    let shard = Shard::new(0, shared, ids, writer, loader);
    Stage { shard, jobs, loads }
}

#[test]
fn a_panic_in_one_persons_state_drops_that_state_alone() {
    let mut stage = stage();
    let shard = &mut stage.shard;
    shard.restore_all(vec![(PERSON, PersonRecords::default())]);
    let (sender, mut answer) = oneshot::channel();
    let tag = shard.tag(&ReplyTo::Nobody);
    assert_eq!(tag, ReplyTag::NOBODY);
    let slot = shard.slots.get_mut(&PERSON).unwrap();
    let doomed = Arc::clone(&slot.doomed);
    slot.replies.insert(ReplyTag(1), ReplyTo::Once(sender));
    let State::Ready(user) = slot.take_user() else {
        panic!("not restored");
    };
    let done = shard.guarded(|_| -> Reply { panic!("planted") });
    assert!(done.is_none());
    shard.put_back(PERSON, user, Vec::new(), done.is_some());
    assert!(matches!(answer.try_recv(), Ok(Err(Error::Storage))));
    assert!(doomed.load(Ordering::Acquire));
    assert_eq!(shard.shared.stats.panics.get(), 1);
    // The durable state is asked for, and commands wait for it.
    assert_eq!(stage.loads.try_recv().unwrap().person, PERSON);
    assert!(stage.jobs.try_recv().is_err());
    let slot = shard.slots.get(&PERSON).unwrap();
    assert!(matches!(slot.state, State::Loading(_)));
    assert_eq!(shard.shared.stats.people.get(), 1);
}

#[test]
fn without_numbers_a_command_is_refused_and_nothing_is_made_up() {
    let mut stage = stage();
    let shard = &mut stage.shard;
    shard.restore_all(vec![(PERSON, PersonRecords::default())]);
    let (sender, mut answer) = oneshot::channel();
    let account = shard.shared.directory.account(PERSON).unwrap();
    let envelope = Envelope {
        caller: crate::hub::internal(&account),
        command: Command::Look,
        reply: ReplyTo::Once(sender),
    };
    shard.command(PERSON, envelope);
    assert!(matches!(answer.try_recv(), Ok(Err(Error::Overloaded))));
}

#[test]
fn timers_are_armed_once_and_stale_ones_are_skipped() {
    let mut stage = stage();
    let shard = &mut stage.shard;
    shard.restore_all(vec![(PERSON, PersonRecords::default())]);
    for at in [5_000, 9_000, 4_000, 6_000] {
        shard.arm(PERSON, Time(at));
    }
    // Only what is earlier than the earliest is a new entry.
    assert_eq!(shard.timers.len(), 2);
    assert_eq!(shard.next_timer(), Time(4_000));
    shard.fire_one(PERSON, Time(5_000), Time(5_000));
    let scheduled = |shard: &Shard| shard.slots.get(&PERSON).unwrap().scheduled;
    assert_eq!(scheduled(shard), Some(Time(4_000)));
    shard.fire_one(PERSON, Time(4_000), Time(5_000));
    assert_eq!(scheduled(shard), None);
}
