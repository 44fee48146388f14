//! `presence.winfo` (RFC 3857): the owner's view of those who watch.

use super::{Package, Subject, uri};
use crate::core::command::{Topic, WatchState};
use crate::core::id::WatchId;
use crate::core::watchers::{Happening, WatcherEntry, WatcherReport};
use sip::body::winfo::{CONTENT_TYPE, Event, Status, Watcher, WatcherInfo};
use sip::subscription::Content;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) const PACKAGE: Package = Package {
    name: "presence.winfo",
    topic: Topic::Watchers,
    types: &[CONTENT_TYPE],
    published: None,
};

/// What a subscriber knows, so that it is told only what changed; `None` = nothing yet.
#[derive(Debug, Default)]
pub(super) struct Told(Option<BTreeMap<WatchId, WatcherEntry>>);

/// The complete list the first time, then what changed since. The core says the whole each time,
/// so a list that waited behind another one loses nothing by being replaced.
pub(super) fn write(subject: Subject<'_>, report: &WatcherReport, told: &mut Told) -> Content {
    let full = told.0.is_none();
    let known = told.0.take().unwrap_or_default();
    let live: BTreeMap<WatchId, WatcherEntry> = report
        .live
        .iter()
        .map(|entry| (entry.id, entry.clone()))
        .collect();
    let same = |a: &WatcherEntry, b: &WatcherEntry| a.state == b.state && a.event == b.event;
    let mut watchers = Vec::new();
    for entry in &report.live {
        if full || !known.get(&entry.id).is_some_and(|old| same(old, entry)) {
            watchers.push(watcher(entry, report, status(entry.state)));
        }
    }
    for (id, old) in &known {
        if live.contains_key(id) {
            continue;
        }
        let gone = report.gone.iter().rev().find(|gone| gone.id == *id);
        let last = gone.cloned().unwrap_or_else(|| WatcherEntry {
            event: Happening::Timeout,
            ..old.clone()
        });
        watchers.push(watcher(&last, report, Status::Terminated));
    }
    told.0 = Some(live);
    let info = WatcherInfo {
        version: subject.version,
        full,
        resource: subject.uri(),
        package: "presence".to_owned(),
        watchers,
    };
    Content::new(Arc::<str>::from(CONTENT_TYPE), info.write())
}

fn status(state: WatchState) -> Status {
    match state {
        WatchState::Active => Status::Active,
        WatchState::Pending => Status::Pending,
        WatchState::Waiting => Status::Waiting,
    }
}

fn watcher(entry: &WatcherEntry, report: &WatcherReport, status: Status) -> Watcher {
    Watcher {
        id: format!("w{}", entry.id.0),
        status,
        event: event(entry.event),
        uri: uri(&entry.watcher),
        display_name: None,
        subscribed: Some(report.at.since(entry.since).as_secs()),
        expiration: (status != Status::Terminated)
            .then(|| entry.expires.since(report.at).as_secs()),
    }
}

fn event(happening: Happening) -> Event {
    match happening {
        Happening::Subscribe => Event::Subscribe,
        Happening::Approved => Event::Approved,
        Happening::Deactivated => Event::Deactivated,
        Happening::Rejected => Event::Rejected,
        Happening::Timeout => Event::Timeout,
        Happening::GiveUp => Event::GiveUp,
        Happening::NoResource => Event::NoResource,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::address::Address;
    use crate::core::time::Time;

    fn entry(id: u32, state: WatchState, event: Happening) -> WatcherEntry {
        WatcherEntry {
            id: WatchId(id),
            watcher: Address::parse(&format!("w{id}@example.com")).unwrap(),
            state,
            event,
            since: Time(1_000),
            expires: Time(61_000),
        }
    }

    fn tell(
        version: u32,
        live: Vec<WatcherEntry>,
        gone: Vec<WatcherEntry>,
        told: &mut Told,
    ) -> WatcherInfo {
        let of = Address::parse("alice@example.com").unwrap();
        let subject = Subject {
            of: &of,
            version,
            limit: 0,
            name: "",
        };
        let report = WatcherReport {
            of: of.clone(),
            at: Time(11_000),
            live,
            gone,
        };
        let content = write(subject, &report, told);
        let (_, body) = content.body.expect("a body");
        WatcherInfo::parse(&body).expect("watcherinfo")
    }

    #[test]
    fn the_first_is_complete_and_the_next_ones_say_what_changed() {
        use Happening::{Approved, GiveUp, Rejected, Subscribe};
        let mut told = Told::default();
        let pending = entry(1, WatchState::Pending, Subscribe);
        let other = entry(2, WatchState::Active, Subscribe);
        let first = tell(0, vec![pending, other.clone()], Vec::new(), &mut told);
        assert!(first.full && first.watchers.len() == 2);
        assert_eq!(first.watchers[0].status, Status::Pending);
        assert_eq!(first.watchers[0].subscribed, Some(10));
        assert_eq!(first.watchers[0].expiration, Some(50));
        let approved = entry(1, WatchState::Active, Approved);
        let second = tell(1, vec![approved.clone(), other], Vec::new(), &mut told);
        assert!(!second.full && second.watchers.len() == 1);
        assert_eq!(second.watchers[0].event, Event::Approved);
        let gone = vec![entry(2, WatchState::Active, Rejected)];
        let third = tell(2, vec![approved], gone, &mut told);
        assert_eq!(third.watchers.len(), 1);
        assert_eq!(
            (third.watchers[0].status, third.watchers[0].event),
            (Status::Terminated, Event::Rejected)
        );
        // Several ends at once, one of them too long ago to be remembered.
        let fourth = tell(
            3,
            Vec::new(),
            vec![entry(9, WatchState::Waiting, GiveUp)],
            &mut told,
        );
        assert_eq!(fourth.watchers[0].event, Event::Timeout);
        assert!(
            tell(4, Vec::new(), Vec::new(), &mut told)
                .watchers
                .is_empty()
        );
    }
}
