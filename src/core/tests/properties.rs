//! Properties and rights.

use super::*;
use crate::core::access::{Right, Scheme};
use crate::core::command::{PropertyName, PropertyValue};
use crate::core::error::Limit;
use crate::core::time::Time;

type Property = (PropertyName, Option<PropertyValue>);

fn name(local: &str) -> PropertyName {
    PropertyName {
        namespace: "urn:x".into(),
        local: local.into(),
    }
}

fn value(octets: usize, expires: Option<Time>) -> PropertyValue {
    PropertyValue {
        bytes: vec![b'x'; octets].into(),
        expires,
        fallback: None,
    }
}

fn set(world: &mut World, by: usize, changes: Vec<Property>) -> Answer {
    let command = Command::SetProperties { changes };
    world.ask(0, &caller(by, LETTERS), command)
}

fn all(world: &mut World) -> Vec<Property> {
    match world.ask(0, &caller(1, LETTERS), Command::Properties(None)) {
        Ok(Reply::Properties(found)) => found,
        other => panic!("{other:?}"),
    }
}

fn told_properties(world: &mut World) -> Vec<Vec<Property>> {
    let events = std::mem::take(&mut world.events);
    let properties = |(_, event)| match event {
        Event::Presence {
            change: Change::Properties(changes),
            ..
        } => Some(changes),
        _ => None,
    };
    events.into_iter().filter_map(properties).collect()
}

#[test]
fn rvp_5_properties_change_all_or_nothing_within_limits() {
    let mut world = World::new(2);
    let good = (name("a"), Some(value(10, None)));
    let large = (name("b"), Some(value(16 * 1024 + 1, None)));
    let answer = set(&mut world, 0, vec![good.clone(), large]);
    assert_eq!(answer.err(), Some(Error::TooLarge));
    assert!(all(&mut world).is_empty());
    set(&mut world, 0, vec![good.clone()]).expect("set");
    assert_eq!(all(&mut world), [good]);
    let many: Vec<_> = (0..17)
        .map(|at| (name(&format!("n{at}")), Some(value(16 * 1024, None))))
        .collect();
    let answer = set(&mut world, 0, many);
    assert_eq!(answer.err(), Some(Error::LimitReached(Limit::Properties)));
    assert_eq!(all(&mut world).len(), 1);
}

#[test]
fn watchers_are_told_of_real_changes_only_and_leased_values_end() {
    let mut world = World::new(2);
    watching(&mut world, 0, 1);
    let expires = Some(world.now.after(secs(30)));
    let leased = (name("a"), Some(value(3, expires)));
    set(&mut world, 0, vec![leased.clone()]).expect("set");
    set(&mut world, 0, vec![leased.clone(), (name("none"), None)]).expect("set again");
    assert_eq!(told_properties(&mut world), [vec![leased]]);
    world.pass(secs(30));
    assert_eq!(told_properties(&mut world), [vec![(name("a"), None)]]);
    assert!(world.stored(0).properties.is_empty());
}

#[test]
fn decision_15_defaults_let_others_read_and_the_owner_write() {
    let mut world = World::new(2);
    let answer = set(&mut world, 1, vec![(name("a"), Some(value(1, None)))]);
    assert!(matches!(answer, Err(Error::Denied(_))));
    for (right, allowed) in [
        (Right::List, true),
        (Right::Read, true),
        (Right::Presence, true),
        (Right::SendTo, true),
        (Right::ReceiveFrom, true),
        (Right::Write, false),
        (Right::ReadAcl, false),
        (Right::WriteAcl, false),
        (Right::Subscriptions, false),
        (Right::SubscribeOthers, false),
    ] {
        let other = world.ask(0, &caller(1, LETTERS), Command::Check(right));
        assert_eq!(other.is_ok(), allowed, "{right:?}");
        let owner = world.ask(0, &caller(0, LETTERS), Command::Check(right));
        assert!(owner.is_ok(), "{right:?}");
        let mut unproved = caller(1, LETTERS);
        unproved.scheme = Scheme::Assertion;
        assert!(world.ask(0, &unproved, Command::Check(right)).is_err());
    }
    for command in [Command::Standing, Command::Access] {
        let answer = world.ask(0, &caller(1, LETTERS), command);
        assert!(matches!(answer, Err(Error::Denied(_))));
    }
}

#[test]
fn an_access_list_has_an_end() {
    let mut world = World::new(2);
    world.rules.access_entries = 0;
    let entry = crate::core::access::AccessEntry {
        subject: crate::core::access::Subject::Everybody,
        schemes: Vec::new(),
        grant: crate::core::access::Rights::default(),
        deny: crate::core::access::Rights::default(),
        ask: crate::core::access::Rights::default(),
        detail: crate::core::access::Detail::ALL,
    };
    let answer = world.ask(0, &caller(0, LETTERS), Command::SetAccess(vec![entry]));
    assert_eq!(
        answer.err(),
        Some(Error::LimitReached(Limit::AccessEntries))
    );
}
