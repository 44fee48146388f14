//! The archive's part of the contract.

use super::Kind;
use tristack::archive::chain::link;
use tristack::archive::words::{Field, of_field, of_text};
use tristack::core::archive::{Archive, Entry, Find, Held, Hold, Indexed, Row, START};
use tristack::core::port::{Store, Write};
use tristack::core::time::Time;

fn entry(n: u64) -> Write {
    Write::Archive(Box::new(Entry {
        at: Time(n * 1_000),
        head: format!("{{\"n\":{n},\"text\":\"gr\u{fc}n\\u0000\"}}"),
        body: format!("body {n}\0\u{ff}").into_bytes().into(),
    }))
}

async fn all(store: &impl Archive) -> Vec<Row> {
    store.archive_rows(0, 10_000).await.unwrap()
}

fn numbers(rows: &[Row]) -> Vec<u64> {
    rows.iter().map(|row| row.seq).collect()
}

fn is_chained(rows: &[Row]) {
    let mut previous = START;
    for (number, row) in (1..).zip(rows) {
        assert_eq!(row.seq, number);
        assert_eq!(row.link, link(&previous, row.seq, &row.head), "{number}");
        previous = row.link;
    }
}

pub(super) async fn rows_are_chained_in_the_order_of_commits(kind: &impl Kind) {
    let store = kind.open().await;
    assert_eq!(store.archive_head().await.unwrap(), (0, START));
    store.commit((1..=3).map(entry).collect()).await.unwrap();
    store.commit(vec![entry(4)]).await.unwrap();
    // A batch of which one write is refused leaves nothing, and the chain goes on behind row 4.
    let taken = super::account(super::ALICE, "taken@example.com", &[]);
    let other = super::account(super::BOB, "taken@example.com", &[]);
    let refused = vec![
        entry(99),
        Write::PutAccount(taken),
        Write::PutAccount(other),
    ];
    assert!(store.commit(refused).await.is_err());
    store.commit((5..=200).map(entry).collect()).await.unwrap();
    kind.close(store).await;
    let store = kind.open().await;
    store.commit(vec![entry(201)]).await.unwrap();
    let rows = all(&store).await;
    assert_eq!(rows.len(), 201);
    is_chained(&rows);
    assert_eq!(rows[4].at, Time(5_000));
    assert_eq!(&rows[4].body[..], "body 5\0\u{ff}".as_bytes());
    assert!(rows[4].head.contains("\"n\":5"));
    assert_eq!(store.archive_head().await.unwrap(), (201, rows[200].link));
    assert_eq!(
        numbers(&store.archive_rows(198, 2).await.unwrap()),
        [199, 200]
    );
    kind.close(store).await;
}

pub(super) async fn words_find_rows(kind: &impl Kind) {
    let store = kind.open().await;
    let texts = [
        "Lunch at noon?",
        "noon at the caf\u{e9}, Lunch",
        "\u{6771}\u{4eac} at nine; it's 'quoted' \\ & | ! <-> :*",
        "AND OR NOT NEAR lunch",
    ];
    store.commit((1..=4).map(entry).collect()).await.unwrap();
    let words = |(seq, text): (u64, &&str)| {
        let mut words = of_text(text);
        words.push(of_field(Field::From, "o'brien@example.com"));
        words.push(of_field(Field::Message, &seq.to_string()));
        Indexed { seq, words }
    };
    let rows = (1..).zip(&texts).map(words).collect();
    assert_eq!(store.archive_indexed().await.unwrap(), 0);
    store.archive_index(rows, 4).await.unwrap();
    kind.close(store).await;
    let store = kind.open().await;
    assert_eq!(store.archive_indexed().await.unwrap(), 4);
    let find = |phrases: &[&str]| Find {
        phrases: phrases.iter().map(|phrase| of_text(phrase)).collect(),
        limit: 10,
        ..Find::default()
    };
    for (phrases, want) in [
        (&["lunch"][..], &[1, 2, 4][..]),
        (&["LUNCH", "cafe"], &[2]),
        (&["at noon"], &[1]),
        (&["noon at"], &[2]),
        (&["\u{6771}\u{4eac}"], &[3]),
        (&["\u{4eac}\u{6771}"], &[]),
        (&["it's 'quoted'"], &[3]),
        (&["and or not near"], &[4]),
        (&["missing"], &[]),
        (&[], &[1, 2, 3, 4]),
    ] {
        let found = store.archive_find(find(phrases)).await.unwrap();
        assert_eq!(numbers(&found), want, "{phrases:?}");
    }
    let mut of_person = find(&["at"]);
    of_person
        .phrases
        .push(vec![of_field(Field::From, "O'Brien@example.com")]);
    assert_eq!(
        numbers(&store.archive_find(of_person.clone()).await.unwrap()),
        [1, 2, 3]
    );
    of_person.newest_first = true;
    of_person.limit = 2;
    assert_eq!(
        numbers(&store.archive_find(of_person.clone()).await.unwrap()),
        [3, 2]
    );
    of_person.below = Some(2);
    assert_eq!(numbers(&store.archive_find(of_person).await.unwrap()), [1]);
    let bounded = Find {
        above: 1,
        since: Some(Time(2_000)),
        until: Some(Time(4_000)),
        ..find(&[])
    };
    assert_eq!(
        numbers(&store.archive_find(bounded.clone()).await.unwrap()),
        [2, 3]
    );
    let newest = Find {
        newest_first: true,
        ..bounded
    };
    assert_eq!(numbers(&store.archive_find(newest).await.unwrap()), [3, 2]);
    let any = Find {
        any: ["2", "4", "9"]
            .map(|id| of_field(Field::Message, id))
            .into(),
        ..find(&["lunch"])
    };
    assert_eq!(numbers(&store.archive_find(any).await.unwrap()), [2, 4]);
    kind.close(store).await;
}

pub(super) async fn bodies_are_erased_and_rows_stay(kind: &impl Kind) {
    let store = kind.open().await;
    store.commit((1..=3).map(entry).collect()).await.unwrap();
    let indexed = |seq, words: &[&str]| Indexed {
        seq,
        words: words.iter().map(|word| (*word).to_owned()).collect(),
    };
    let rows = (1..=3)
        .map(|seq| indexed(seq, &["secret", "stub"]))
        .collect();
    store.archive_index(rows, 3).await.unwrap();
    let erased = Write::EraseArchive(vec![indexed(2, &["stub"])]);
    store.commit(vec![erased, entry(4)]).await.unwrap();
    let rows = all(&store).await;
    is_chained(&rows);
    let empty: Vec<bool> = rows.iter().map(|row| row.body.is_empty()).collect();
    assert_eq!(empty, [false, true, false, false]);
    for (word, want) in [("secret", vec![1, 3]), ("stub", vec![1, 2, 3])] {
        let find = Find {
            phrases: vec![vec![word.to_owned()]],
            limit: 10,
            ..Find::default()
        };
        assert_eq!(
            numbers(&store.archive_find(find).await.unwrap()),
            want,
            "{word}"
        );
    }
    kind.close(store).await;
}

pub(super) async fn holds_are_kept_by_case(kind: &impl Kind) {
    let store = kind.open().await;
    let hold = |case: &str, held, why: &str| Hold {
        case: case.to_owned(),
        held,
        since: Time(7),
        who: "root".to_owned(),
        why: why.to_owned(),
    };
    let person = || Held::Person("alice@example.com".to_owned());
    let talk = || Held::Conversation("0".repeat(32));
    let first = hold("b", person(), "first");
    let all = [hold("b", talk(), "x"), first, hold("a", person(), "y")];
    store.commit(all.map(Write::PutHold).into()).await.unwrap();
    // The same hold once more replaces it.
    let again = Write::PutHold(hold("b", person(), "second"));
    let gone = Write::DeleteHold("b".to_owned(), talk());
    store.commit(vec![again, gone]).await.unwrap();
    kind.close(store).await;
    let store = kind.open().await;
    let want = vec![hold("a", person(), "y"), hold("b", person(), "second")];
    assert_eq!(store.archive_holds().await.unwrap(), want);
    kind.close(store).await;
}
