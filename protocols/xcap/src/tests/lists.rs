//! What subscribers to lists are told (RFC 4662).

use crate::rls::{ListState, Notification};
use crate::usage::rlmi::State;
use proptest::prelude::*;
use xml::Limits;

const PIDF: &str = "application/pidf+xml";

/// The list element and the bodies by Content-ID.
fn open(told: &Notification) -> (xml::Element, Vec<(String, String)>) {
    let boundary = told
        .kind
        .split("boundary=\"")
        .nth(1)
        .unwrap()
        .trim_end_matches('"');
    let text = String::from_utf8(told.body.clone()).unwrap();
    let mut parts = Vec::new();
    for piece in text.split(&format!("--{boundary}")).skip(1) {
        if piece.starts_with("--") {
            continue;
        }
        let (head, body) = piece.split_once("\r\n\r\n").unwrap();
        let id = head
            .split("Content-ID: <")
            .nth(1)
            .unwrap()
            .split('>')
            .next()
            .unwrap();
        parts.push((id.to_owned(), body.trim_end_matches("\r\n").to_owned()));
    }
    let start = told
        .kind
        .split("start=\"<")
        .nth(1)
        .unwrap()
        .split('>')
        .next()
        .unwrap();
    let root = parts.remove(0);
    assert_eq!(root.0, start);
    (
        xml::parse(root.1.as_bytes(), &Limits::default()).unwrap(),
        parts,
    )
}

fn list(count: usize) -> ListState {
    let members = (0..count).map(|n| (format!("sip:m{n}@x"), Some(format!("M {n}"))));
    ListState::new("sip:l@x", members)
}

#[test]
fn the_whole_list_comes_first_then_what_changed() {
    let mut state = list(3);
    assert!(!state.is_known());
    state.set(0, State::Active, PIDF, b"<a/>");
    state.set(1, State::Pending, "", b"");
    state.set(2, State::Terminated("noresource"), "", b"");
    assert!(state.is_known());
    let (root, parts) = open(&state.take(10_000).unwrap());
    assert_eq!(root.attribute("fullState"), Some("true"));
    assert_eq!(
        (root.attribute("uri"), root.attribute("version")),
        (Some("sip:l@x"), Some("0"))
    );
    let instances: Vec<_> = root
        .elements()
        .map(|r| {
            let instance = r.elements().find(|e| e.name.local() == "instance").unwrap();
            (
                r.attribute("uri").unwrap().to_owned(),
                instance.attribute("state").unwrap().to_owned(),
                instance.attribute("cid").map(str::to_owned),
            )
        })
        .collect();
    assert_eq!(instances[0].1, "active");
    assert_eq!(instances[0].2.as_deref(), Some(parts[0].0.as_str()));
    assert_eq!(
        (instances[1].1.as_str(), instances[2].1.as_str()),
        ("pending", "terminated")
    );
    assert_eq!(parts.len(), 1);
    assert!(state.take(10_000).is_none());
    // The same again is no news.
    state.set(0, State::Active, PIDF, b"<a/>");
    assert!(!state.is_owed());
    state.set(0, State::Active, PIDF, b"<b/>");
    state.set(0, State::Active, PIDF, b"<c/>");
    let (root, parts) = open(&state.take(10_000).unwrap());
    assert_eq!(
        (root.attribute("fullState"), root.attribute("version")),
        (Some("false"), Some("1"))
    );
    assert_eq!((root.elements().count(), parts[0].1.as_str()), (1, "<c/>"));
    state.renew();
    let (root, _) = open(&state.take(10_000).unwrap());
    assert_eq!(
        (root.attribute("fullState"), root.elements().count()),
        (Some("true"), 3)
    );
}

#[test]
fn a_body_can_not_end_its_part() {
    let mut state = list(1);
    state.set(0, State::Active, PIDF, b"--list-0--");
    let told = state.take(10_000).unwrap();
    assert_eq!(open(&told).1[0].1, "--list-0--");
}

proptest! {
    /// Whatever fits into one: after the last one the subscriber knows the newest body of each,
    /// versions rise by one, and only the first is complete.
    #[test]
    fn nothing_is_lost_when_not_all_fits(
        changes in prop::collection::vec((0..6_usize, 1..400_usize), 0..30),
        limit in 500..3000_usize,
    ) {
        let mut state = list(6);
        let mut known = vec![String::new(); 6];
        let mut truth = vec![String::new(); 6];
        for (number, truth) in truth.iter_mut().enumerate() {
            *truth = format!("<first{number}/>");
            state.set(number, State::Active, PIDF, truth.as_bytes());
        }
        let mut expected = 0;
        let mut learn = |state: &mut ListState, known: &mut Vec<String>| {
            while let Some(told) = state.take(limit) {
                let (root, parts) = open(&told);
                assert_eq!(root.attribute("version"), Some(expected.to_string().as_str()));
                assert_eq!(root.attribute("fullState") == Some("true"), expected == 0);
                expected += 1;
                for resource in root.elements() {
                    let number: usize = resource.attribute("uri").unwrap()[5..6].parse().unwrap();
                    let instance = resource.elements().find(|e| e.name.local() == "instance").unwrap();
                    if let Some(cid) = instance.attribute("cid") {
                        known[number] = parts.iter().find(|(id, _)| id == cid).unwrap().1.clone();
                    }
                }
            }
        };
        learn(&mut state, &mut known);
        prop_assert_eq!(&known, &truth);
        for (turn, (number, size)) in changes.into_iter().enumerate() {
            truth[number] = format!("<c{turn}>{}</c{turn}>", "x".repeat(size));
            state.set(number, State::Active, PIDF, truth[number].as_bytes());
            if turn % 3 == 0 {
                learn(&mut state, &mut known);
            }
        }
        learn(&mut state, &mut known);
        prop_assert_eq!(known, truth);
    }
}
