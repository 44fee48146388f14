//! One contract, run on every storage.

#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with other test programs, each uses its part"
)]
mod support {
    pub mod postgres;
    pub mod records;
    pub mod temporary;
}

use std::fmt::Debug;
use std::future::Future;
use support::records::{access, account, address, chat, kept, point, property, publication, watch};
use support::temporary::Temporary;
use tristack::core::access::Scheme;
use tristack::core::address::Address;
use tristack::core::archive::Archive;
use tristack::core::contacts::ContactList;
use tristack::core::devices::{DeviceRules, Mark, Policy, Ruling, Split, SplitWhy};
use tristack::core::documents::{DocumentId, DocumentInfo};
use tristack::core::id::{MessageId, PersonId, PointId, PublicationId, Stack, WatchId};
use tristack::core::node::{Holder, Node};
use tristack::core::port::{
    BacklogRecord, HeldRecord, PersonRecords, Secret, Store, StoreError, TargetRecord, Write,
};
use tristack::core::time::Time;
use tristack::storage::{Faulty, Memory, Postgres, Sqlite, open};

#[path = "contract/archive.rs"]
mod archive;

use archive::{
    bodies_are_erased_and_rows_stay, holds_are_kept_by_case,
    rows_are_chained_in_the_order_of_commits, words_find_rows,
};

const ALICE: PersonId = PersonId(0xa11ce);
const BOB: PersonId = PersonId(u128::MAX);

/// How a test gets a storage, and the same one again after a restart.
trait Kind {
    type Store: Store + Archive;
    fn open(&self) -> impl Future<Output = Self::Store>;
    fn close(&self, store: Self::Store) -> impl Future<Output = ()>;
}

struct InSqlite(Temporary);

impl Kind for InSqlite {
    type Store = Sqlite;
    async fn open(&self) -> Sqlite {
        Sqlite::open(&self.0.path().join("test.db")).await.unwrap()
    }
    async fn close(&self, store: Sqlite) {
        store.close().await;
    }
}

struct InPostgres(String);

impl Kind for InPostgres {
    type Store = Postgres;
    async fn open(&self) -> Postgres {
        Postgres::open(&self.0).await.unwrap()
    }
    async fn close(&self, store: Postgres) {
        store.close().await;
    }
}

#[derive(Default)]
struct InMemory(std::sync::Mutex<Option<Memory>>);

impl Kind for InMemory {
    type Store = Memory;
    async fn open(&self) -> Memory {
        self.0.lock().unwrap().take().unwrap_or_default()
    }
    async fn close(&self, store: Memory) {
        *self.0.lock().unwrap() = Some(store);
    }
}

/// Debug texts compare records whose types have no equality.
fn same(a: &impl Debug, b: &impl Debug) {
    assert_eq!(format!("{a:#?}"), format!("{b:#?}"));
}

fn everything(person: PersonId) -> (Vec<Write>, PersonRecords) {
    let (name, value) = property("email");
    let records = PersonRecords {
        points: vec![point(person, 1), point(person, 2)],
        publications: vec![publication(person, 3)],
        watches: vec![watch(person, 4), watch(person, 0x7fff_ffff)],
        properties: vec![(name.clone(), value.clone())],
        access: Some(access()),
        documents: vec![
            document("lists", "index", 7),
            document("rules", "a b/ü", u64::MAX),
        ],
        contacts: Some(contacts()),
        devices: Some(devices()),
        kept: vec![kept(person, 9), kept(person, u128::MAX)],
        changed: Some(Time(1_000_000)),
        chat: Some(Box::new(chat(person))),
    };
    let mut writes = Vec::new();
    writes.extend(records.points.iter().cloned().map(Write::PutPoint));
    writes.extend(
        records
            .publications
            .iter()
            .cloned()
            .map(Write::PutPublication),
    );
    writes.extend(records.watches.iter().cloned().map(Write::PutWatch));
    writes.push(Write::PutProperty(person, name, value));
    writes.push(Write::PutAccess(person, access()));
    for info in &records.documents {
        let content = info.id.name.as_bytes().to_vec();
        writes.push(Write::PutDocument(person, info.clone(), content.into()));
    }
    writes.push(Write::PutContacts(person, contacts()));
    writes.push(Write::PutChat(Box::new(chat(person))));
    writes.push(Write::PutDevices(person, DeviceRules::default()));
    writes.push(Write::PutDevices(person, devices()));
    writes.push(Write::PutChange(person, Time(999_999)));
    writes.push(Write::PutChange(person, Time(1_000_000)));
    writes.extend(records.kept.iter().cloned().map(Write::PutKept));
    (writes, records)
}

async fn what_was_written_is_read(kind: &impl Kind) {
    let store = kind.open().await;
    let (writes, records) = everything(ALICE);
    store.commit(writes).await.unwrap();
    let (writes, _) = everything(BOB);
    store.commit(writes).await.unwrap();
    same(&store.person(ALICE).await.unwrap(), &records);
    kind.close(store).await;
    let store = kind.open().await;
    same(&store.person(ALICE).await.unwrap(), &records);
    let live = store.live().await.unwrap();
    assert_eq!(live.len(), 2);
    same(&live[0], &(ALICE, records));
    kind.close(store).await;
}

async fn optional_fields_may_be_absent(kind: &impl Kind) {
    let store = kind.open().await;
    let mut bare = point(ALICE, 1);
    bare.spec.key = None;
    bare.spec.implies = None;
    bare.spec.source = None;
    bare.spec.machine = None;
    bare.spec.handle = Vec::new().into();
    bare.lineage = None;
    bare.expires = Time(u64::MAX);
    let mut view = publication(ALICE, 2);
    view.point = None;
    view.source = None;
    view.presence.token = None;
    view.presence.note = None;
    view.lease = None;
    view.expires = None;
    let batch = vec![
        Write::PutPoint(bare.clone()),
        Write::PutPublication(view.clone()),
    ];
    store.commit(batch).await.unwrap();
    let found = store.person(ALICE).await.unwrap();
    // "Never" is the largest number that both databases hold.
    assert!(found.points[0].expires >= Time(i64::MAX as u64));
    bare.expires = found.points[0].expires;
    same(&found.points, &[bare]);
    same(&found.publications, &[view]);
    assert!(found.access.is_none());
    kind.close(store).await;
}

async fn deleting_is_exact(kind: &impl Kind) {
    let store = kind.open().await;
    let (writes, _) = everything(ALICE);
    store.commit(writes).await.unwrap();
    let (name, _) = property("email");
    let batch = vec![
        Write::DeletePoint(ALICE, PointId(1)),
        Write::DeletePublication(ALICE, PublicationId(3)),
        Write::DeleteWatch(ALICE, WatchId(4)),
        Write::DeleteProperty(ALICE, name),
        Write::DeleteKept(ALICE, MessageId(9)),
        Write::DeletePoint(BOB, PointId(2)),
        Write::DeleteWatch(ALICE, WatchId(2)),
    ];
    store.commit(batch).await.unwrap();
    let left = store.person(ALICE).await.unwrap();
    assert_eq!(left.points.iter().map(|p| p.id.0).collect::<Vec<_>>(), [2]);
    assert!(left.publications.is_empty() && left.properties.is_empty());
    assert_eq!(left.watches.len(), 1);
    assert_eq!(left.kept.len(), 1);
    kind.close(store).await;
}

async fn the_last_word_of_a_batch_counts(kind: &impl Kind) {
    let store = kind.open().await;
    let mut second = point(ALICE, 1);
    second.spec.inbox = "second".into();
    let batch = vec![
        Write::PutPoint(point(ALICE, 1)),
        Write::DeletePoint(ALICE, PointId(1)),
        Write::PutPoint(second),
        Write::TouchPoint(ALICE, PointId(1), Time(4_000)),
        Write::PutPoint(point(ALICE, 2)),
        Write::DeletePoint(ALICE, PointId(2)),
        Write::TouchPoint(ALICE, PointId(2), Time(4_000)),
        Write::TouchPoint(ALICE, PointId(3), Time(4_000)),
    ];
    store.commit(batch).await.unwrap();
    let found = store.person(ALICE).await.unwrap().points;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].spec.inbox.as_ref(), "second");
    assert_eq!(found[0].expires, Time(4_000));
    let batch = vec![Write::TouchPoint(ALICE, PointId(1), Time(5_000))];
    store.commit(batch).await.unwrap();
    let found = store.person(ALICE).await.unwrap().points;
    assert_eq!(found[0].expires, Time(5_000));
    kind.close(store).await;
}

async fn large_batches_of_all_sizes(kind: &impl Kind) {
    let store = kind.open().await;
    for count in [1, 7, 8, 63, 64, 65, 137, 1_000] {
        let all = (1..=count).map(|id| Write::PutPoint(point(ALICE, id)));
        store.commit(all.collect()).await.unwrap();
        assert_eq!(
            store.person(ALICE).await.unwrap().points.len(),
            count as usize
        );
        let all = (1..=count).map(|id| Write::TouchPoint(ALICE, PointId(id), Time(id.into())));
        store.commit(all.collect()).await.unwrap();
        let found = store.person(ALICE).await.unwrap().points;
        assert!(
            found.iter().all(|p| p.expires == Time(p.id.0.into())),
            "{count}"
        );
        let all = (1..=count).map(|id| Write::DeletePoint(ALICE, PointId(id)));
        store.commit(all.collect()).await.unwrap();
        assert!(store.person(ALICE).await.unwrap().points.is_empty());
    }
    kind.close(store).await;
}

async fn accounts_and_their_addresses(kind: &impl Kind) {
    let store = kind.open().await;
    let alice = account(
        ALICE,
        "alice@example.com",
        &["al@example.com", "a@example.com"],
    );
    let mut bob = account(BOB, "bob@example.com", &[]);
    bob.suspended = true;
    let batch = vec![
        Write::PutAccount(alice.clone()),
        Write::PutAccount(bob.clone()),
    ];
    store.commit(batch).await.unwrap();
    same(&store.accounts().await.unwrap(), &[alice, bob.clone()]);
    // Renamed: the former address is free, the new alias is not.
    let alice = account(ALICE, "alice2@example.com", &["alice@example.com"]);
    store
        .commit(vec![Write::PutAccount(alice.clone())])
        .await
        .unwrap();
    bob.aliases = vec![address("a@example.com")];
    store
        .commit(vec![Write::PutAccount(bob.clone())])
        .await
        .unwrap();
    bob.aliases = vec![address("alice2@example.com")];
    let refused = store
        .commit(vec![
            Write::PutPoint(point(BOB, 1)),
            Write::PutAccount(bob.clone()),
        ])
        .await;
    assert!(
        matches!(&refused, Err(StoreError::Taken(taken)) if *taken == address("alice2@example.com")),
        "{refused:?}"
    );
    // All or nothing.
    assert!(store.person(BOB).await.unwrap().points.is_empty());
    bob.aliases = vec![address("a@example.com")];
    same(&store.accounts().await.unwrap(), &[alice, bob]);
    kind.close(store).await;
}

async fn a_removed_account_leaves_nothing(kind: &impl Kind) {
    let store = kind.open().await;
    let (mut writes, _) = everything(ALICE);
    writes.insert(
        0,
        Write::PutAccount(account(ALICE, "alice@example.com", &[])),
    );
    store.commit(writes).await.unwrap();
    let (writes, records) = everything(BOB);
    store.commit(writes).await.unwrap();
    store
        .commit(vec![Write::DeleteAccount(ALICE)])
        .await
        .unwrap();
    assert!(store.accounts().await.unwrap().is_empty());
    same(
        &store.person(ALICE).await.unwrap(),
        &PersonRecords::default(),
    );
    same(&store.person(BOB).await.unwrap(), &records);
    let again = account(PersonId(77), "alice@example.com", &[]);
    store.commit(vec![Write::PutAccount(again)]).await.unwrap();
    // Within one batch, what follows a removal stays.
    let batch = vec![
        Write::PutPoint(point(ALICE, 1)),
        Write::DeleteAccount(ALICE),
        Write::PutPoint(point(ALICE, 2)),
    ];
    store.commit(batch).await.unwrap();
    assert_eq!(store.person(ALICE).await.unwrap().points.len(), 1);
    kind.close(store).await;
}

async fn who_is_live(kind: &impl Kind) {
    let store = kind.open().await;
    let (name, value) = property("x");
    let batch = vec![
        Write::PutProperty(ALICE, name.clone(), value.clone()),
        Write::PutAccess(ALICE, Vec::new()),
    ];
    store.commit(batch).await.unwrap();
    assert!(store.live().await.unwrap().is_empty());
    let batch = vec![
        Write::PutWatch(watch(BOB, 1)),
        Write::PutProperty(BOB, name, value),
    ];
    store.commit(batch).await.unwrap();
    let live = store.live().await.unwrap();
    assert_eq!(live.len(), 1);
    assert_eq!(live[0].0, BOB);
    assert_eq!(live[0].1.properties.len(), 1);
    // A conversation of many is live without anything else of it.
    let alone = PersonId(77);
    let batch = vec![Write::PutChat(Box::new(chat(alone)))];
    store.commit(batch).await.unwrap();
    let live = store.live().await.unwrap();
    assert!(live.iter().any(|(person, _)| *person == alone));
    store
        .commit(vec![Write::DeleteAccount(alone)])
        .await
        .unwrap();
    assert_eq!(store.live().await.unwrap().len(), 1);
    // A written list without entries is not the same as none.
    assert_eq!(store.person(ALICE).await.unwrap().access, Some(Vec::new()));
    kind.close(store).await;
}

async fn nodes_and_what_is_held_at_them(kind: &impl Kind) {
    let store = kind.open().await;
    let mut group = account(BOB, "x@example.com", &["rec@example.com"]);
    group.address = Address::of_path("/groups/Rec", "example.com").unwrap();
    group.node = Some(Node {
        owner: Some(ALICE),
        members: vec![address("m@example.com"), address("n@b.example")],
    });
    let mut bare = account(PersonId(7), "y@example.com", &[]);
    bare.address = Address::of_path("/devices/1", "example.com").unwrap();
    bare.node = Some(Node::default());
    let mut held = point(BOB, 1);
    held.holder = Some(Holder {
        address: address("alice@example.com"),
        person: Some(ALICE),
        scheme: Scheme::Digest,
    });
    let batch = vec![
        Write::PutAccount(group.clone()),
        Write::PutAccount(bare.clone()),
        Write::PutPoint(held.clone()),
    ];
    store.commit(batch).await.unwrap();
    kind.close(store).await;
    let store = kind.open().await;
    same(&store.accounts().await.unwrap(), &vec![bare, group]);
    same(&store.person(BOB).await.unwrap().points, &vec![held]);
    kind.close(store).await;
}

async fn targets_and_what_waits_for_them(kind: &impl Kind) {
    let store = kind.open().await;
    let target = |person, id| TargetRecord {
        sealed: id % 2 == 0,
        person,
        id,
        url: "http://app.example:8080/hook?x=y".to_owned(),
        secret: Secret(b"s3cret".to_vec()),
        added: Time(5),
    };
    let waits = |person, target, sequence| BacklogRecord {
        person,
        target,
        sequence,
        added: Time(9),
        message: MessageId(u128::MAX),
        from: "http://im.example.com/instmsg/aliases/alice".to_owned(),
        hops: 2,
        content: bytes::Bytes::from_static(b"<x>\xc3\xa4</x>"),
    };
    let batch = vec![
        Write::PutAccount(account(ALICE, "alice@example.com", &[])),
        Write::PutAccount(account(BOB, "bob@example.com", &[])),
        Write::PutTarget(target(ALICE, 1)),
        Write::PutTarget(target(BOB, 2)),
        Write::PutBacklog(waits(ALICE, 1, 2)),
        Write::PutBacklog(waits(ALICE, 1, 10)),
        Write::PutBacklog(waits(BOB, 2, 1)),
        Write::DeleteBacklog(ALICE, 1, 2),
    ];
    store.commit(batch).await.unwrap();
    kind.close(store).await;
    let store = kind.open().await;
    let targets = store.targets().await.unwrap();
    same(&targets, &vec![target(ALICE, 1), target(BOB, 2)]);
    let waiting = store.backlog().await.unwrap();
    same(&waiting, &vec![waits(ALICE, 1, 10), waits(BOB, 2, 1)]);
    // A target is nobody's live state.
    assert!(store.live().await.unwrap().is_empty());
    let batch = vec![Write::DeleteTarget(BOB, 2), Write::DeleteAccount(ALICE)];
    store.commit(batch).await.unwrap();
    assert!(store.targets().await.unwrap().is_empty());
    same(&store.backlog().await.unwrap(), &vec![waits(BOB, 2, 1)]);
    kind.close(store).await;
}

async fn what_filters_hold(kind: &impl Kind) {
    let store = kind.open().await;
    let holds = |person, id: u128, scheme| HeldRecord {
        person,
        message: kept(person, id).message,
        scheme,
        since: Time(77),
        filter: "links \u{e4}".to_owned(),
        reason: "links to evil.test".to_owned(),
    };
    let batch = vec![
        Write::PutAccount(account(ALICE, "alice@example.com", &[])),
        Write::PutAccount(account(BOB, "bob@example.com", &[])),
        Write::PutHeld(holds(BOB, 3, Scheme::Peer)),
        Write::PutHeld(holds(ALICE, 2, Scheme::Digest)),
        Write::PutHeld(holds(ALICE, 1, Scheme::Ntlm)),
        Write::PutHeld(holds(ALICE, u128::MAX, Scheme::Digest)),
        Write::DeleteHeld(ALICE, MessageId(2)),
    ];
    store.commit(batch).await.unwrap();
    kind.close(store).await;
    let store = kind.open().await;
    let wanted = vec![
        holds(ALICE, 1, Scheme::Ntlm),
        holds(ALICE, u128::MAX, Scheme::Digest),
        holds(BOB, 3, Scheme::Peer),
    ];
    same(&store.held().await.unwrap(), &wanted);
    // It is nobody's live state, and no kept message.
    assert!(store.live().await.unwrap().is_empty());
    let gone = vec![Write::DeleteAccount(ALICE)];
    store.commit(gone).await.unwrap();
    same(
        &store.held().await.unwrap(),
        &vec![holds(BOB, 3, Scheme::Peer)],
    );
    kind.close(store).await;
}

fn document(usage: &str, name: &str, tag: u64) -> DocumentInfo {
    DocumentInfo {
        id: DocumentId {
            usage: usage.into(),
            name: name.into(),
        },
        tag,
        size: name.len(),
        modified: Time(1_234),
        due: (tag == 7).then_some(Time(5_678)),
    }
}

fn contacts() -> ContactList {
    let mut list = ContactList {
        version: 3,
        ..ContactList::default()
    };
    list.add(address("bob@example.com"), "B\u{f6}b", "Friends/\u{fc}");
    list.add(address("carol@example.com"), "", "");
    list
}

fn devices() -> DeviceRules {
    let mark = |stack: &str, machine: Option<&str>| Mark {
        stack: Stack::named(stack),
        machine: machine.map(Into::into),
        source: machine.is_none().then(|| [192, 0, 2, 7].into()),
        family: Some("messenger".into()),
    };
    DeviceRules {
        policy: Some(Policy::MostActive),
        preferred: Some(Stack::named("sip")),
        rulings: vec![Ruling {
            one: mark("rvp", Some("DESK-7")),
            other: mark("sip", None),
            together: true,
            at: Time(7),
        }],
        splits: vec![Split {
            one: PointId(1),
            other: PointId(0x7fff_ffff),
            why: SplitWhy::WroteAlone,
            at: Time(8),
        }],
    }
}

async fn documents_and_their_octets(kind: &impl Kind) {
    let store = kind.open().await;
    let info = document("lists", "index", 1);
    let octets = vec![0, 255, b'<', 10];
    let put = |person, info: &DocumentInfo, octets: &[u8]| {
        Write::PutDocument(person, info.clone(), octets.to_vec().into())
    };
    let batch = vec![
        put(ALICE, &info, b"first"),
        put(ALICE, &info, &octets),
        put(BOB, &document("lists", "other", 2), b""),
        put(BOB, &document("rules", "index", 3), b"rules"),
    ];
    store.commit(batch).await.unwrap();
    kind.close(store).await;
    let store = kind.open().await;
    let found = store.document(ALICE, info.id.clone()).await.unwrap();
    assert_eq!(found, Some((info.clone(), octets.clone().into())));
    let missing = store.document(BOB, info.id.clone()).await.unwrap();
    assert_eq!(missing, None);
    let all = store.documents("lists".into()).await.unwrap();
    let all: Vec<_> = all
        .iter()
        .map(|(p, i, c)| (*p, &*i.id.name, c.len()))
        .collect();
    assert_eq!(all, [(ALICE, "index", 4), (BOB, "other", 0)]);
    // Within one batch the last word counts, for both tables.
    let newer = document("lists", "index", 9);
    let batch = vec![
        Write::DeleteDocument(ALICE, info.id.clone()),
        put(ALICE, &newer, b"new"),
        Write::DeleteDocument(BOB, document("lists", "other", 2).id),
    ];
    store.commit(batch).await.unwrap();
    let found = store.document(ALICE, info.id.clone()).await.unwrap();
    assert_eq!(found, Some((newer, b"new".as_slice().into())));
    assert_eq!(store.person(BOB).await.unwrap().documents.len(), 1);
    // Documents alone are no live state, and a removed account leaves no octets.
    assert!(store.live().await.unwrap().is_empty());
    store
        .commit(vec![Write::DeleteAccount(ALICE)])
        .await
        .unwrap();
    assert_eq!(store.document(ALICE, info.id).await.unwrap(), None);
    assert!(store.documents("lists".into()).await.unwrap().is_empty());
    kind.close(store).await;
}

async fn numbers_are_never_given_twice(kind: &impl Kind) {
    let store = kind.open().await;
    assert_eq!(store.reserve(10_000).await.unwrap(), 1001);
    assert_eq!(store.reserve(1).await.unwrap(), 11_001);
    kind.close(store).await;
    let store = kind.open().await;
    assert_eq!(store.reserve(10).await.unwrap(), 11_002);
    assert!(store.reserve(i32::MAX as u32).await.is_err());
    kind.close(store).await;
}

/// Every recorded batch prefix is a state that a kill could leave: nothing that was acknowledged
/// (that is, committed) before is missing in it, and it opens.
async fn every_prefix_holds_what_was_acknowledged(kind: &impl Kind) {
    let recorder = Faulty::new(Memory::new());
    let mut expected = Vec::new();
    for id in 1..=12_u32 {
        let mut batch = vec![
            Write::PutPoint(point(ALICE, id)),
            Write::PutKept(kept(ALICE, id.into())),
        ];
        if id % 3 == 0 {
            batch.push(Write::DeletePoint(ALICE, PointId(id - 1)));
        }
        if id % 4 == 0 {
            batch.push(Write::DeleteKept(ALICE, MessageId(id.into())));
        }
        recorder.commit(batch).await.unwrap();
        expected.push(recorder.person(ALICE).await.unwrap());
    }
    let mut store = kind.open().await;
    for (batch, expected) in recorder.journal().into_iter().zip(expected) {
        store.commit(batch).await.unwrap();
        kind.close(store).await;
        store = kind.open().await;
        same(&store.person(ALICE).await.unwrap(), &expected);
    }
    kind.close(store).await;
}

macro_rules! contract {
    ($($test:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $test() {
                super::$test(&new()).await;
            }
        )+
    };
}

macro_rules! suites {
    ($($list:tt)+) => {
        mod memory {
            fn new() -> super::InMemory {
                super::InMemory::default()
            }
            contract!($($list)+);
        }
        mod sqlite {
            fn new() -> super::InSqlite {
                super::InSqlite(super::Temporary::new("contract"))
            }
            contract!($($list)+);
        }
        /// One test, so that one cluster serves all of them and is stopped at the end.
        #[tokio::test]
        async fn postgres() {
            let Some(cluster) = support::postgres::start() else { return };
            contract_on!(cluster: $($list)+);
        }
    };
}

macro_rules! contract_on {
    ($cluster:ident: $($test:ident),+ $(,)?) => {
        $(
            println!("postgres: {}", stringify!($test));
            $test(&InPostgres($cluster.fresh_database())).await;
        )+
        postgres_refuses_a_newer_schema(&$cluster.fresh_database()).await;
    };
}

suites!(
    what_was_written_is_read,
    nodes_and_what_is_held_at_them,
    targets_and_what_waits_for_them,
    what_filters_hold,
    optional_fields_may_be_absent,
    deleting_is_exact,
    the_last_word_of_a_batch_counts,
    large_batches_of_all_sizes,
    accounts_and_their_addresses,
    a_removed_account_leaves_nothing,
    who_is_live,
    documents_and_their_octets,
    rows_are_chained_in_the_order_of_commits,
    words_find_rows,
    bodies_are_erased_and_rows_stay,
    holds_are_kept_by_case,
    numbers_are_never_given_twice,
    every_prefix_holds_what_was_acknowledged,
);

async fn postgres_refuses_a_newer_schema(url: &str) {
    Postgres::open(url).await.unwrap().close().await;
    let pool = sqlx::PgPool::connect(url).await.unwrap();
    sqlx::query("INSERT INTO schema_migration VALUES (99, 'CREATE')")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    let error = Postgres::open(url).await.unwrap_err().to_string();
    assert!(error.contains("newer than this program"), "{error}");
}

async fn tamper(directory: &Temporary, sql: &'static str) -> String {
    let file = directory.path().join("test.db");
    let url = format!("sqlite:{}", file.display());
    let store = open(&url).await.unwrap();
    let batch = vec![Write::PutPoint(point(ALICE, 5))];
    store.commit(batch).await.unwrap();
    store.close().await;
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::raw_sql(sql).execute(&pool).await.unwrap();
    pool.close().await;
    url
}

#[tokio::test]
async fn sqlite_refuses_a_newer_schema() {
    let directory = Temporary::new("newer");
    let url = tamper(
        &directory,
        "INSERT INTO schema_migration VALUES (99, 'CREATE')",
    )
    .await;
    let error = open(&url).await.unwrap_err().to_string();
    assert!(error.contains("newer than this program"), "{error}");
}

#[tokio::test]
async fn sqlite_refuses_a_changed_migration() {
    let directory = Temporary::new("changed");
    let url = tamper(&directory, "UPDATE schema_migration SET text = 'x'").await;
    let error = open(&url).await.unwrap_err().to_string();
    assert!(error.contains("another text"), "{error}");
}

#[tokio::test]
async fn a_broken_row_is_named() {
    for (sql, column) in [
        ("UPDATE point SET body = '{'", "body"),
        (
            "UPDATE point SET body = replace(body, 'connection', 'string')",
            "body",
        ),
        (
            "UPDATE point SET body = replace(body, '\"v\":1', '\"v\":2')",
            "body",
        ),
        ("UPDATE point SET expires = -1", "expires"),
        ("UPDATE point SET stack = 'far too long'", "stack"),
    ] {
        let directory = Temporary::new("broken");
        let url = tamper(&directory, sql).await;
        let store = open(&url).await.unwrap();
        let error = store.live().await.unwrap_err();
        let StoreError::Broken {
            table,
            column: named,
            key,
            ..
        } = &error
        else {
            panic!("{sql}: {error}");
        };
        assert_eq!((*table, *named), ("point", column), "{sql}");
        assert_eq!(key, &format!("{:032x}/5", ALICE.0), "{sql}");
        store.close().await;
    }
}

#[tokio::test]
async fn an_unknown_url_is_refused_without_showing_it() {
    let error = open("mysql://u:geheim@h/d").await.unwrap_err().to_string();
    assert!(!error.contains("geheim"), "{error}");
}

#[tokio::test]
async fn a_planted_fault_stores_nothing() {
    let store = Faulty::new(Memory::new());
    store.fail_commit(2);
    let put = |id| vec![Write::PutPoint(point(ALICE, id))];
    store.commit(put(1)).await.unwrap();
    assert!(matches!(store.commit(put(2)).await, Err(StoreError::Fault)));
    store.commit(put(3)).await.unwrap();
    let found = store.person(ALICE).await.unwrap().points;
    assert_eq!(found.iter().map(|p| p.id.0).collect::<Vec<_>>(), [1, 3]);
}
