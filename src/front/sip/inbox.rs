//! The mailbox of a shard: what sockets, hub and other shards have for it. Bounded: a full one
//! answers 503 to the network and `QueueFull` to the hub.

use super::listen::Inbound;
use super::locate::Located;
use super::neighbour::{Order, Pair};
use crate::core::event::Event;
use crate::core::id::{PersonId, WatchId};
use crate::hub::{Answer, ReplySink};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Everything that waited, taken at once.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) net: VecDeque<Inbound>,
    /// Answers to commands. As many as commands were sent, so bounded by those.
    pub(super) answers: Vec<(u64, Answer)>,
    /// Deliveries and what else is no presence, in order.
    pub(super) events: VecDeque<Event>,
    /// People who registered over a new connection.
    pub(super) back: Vec<PersonId>,
    /// What was looked up for errands. As many as those, so bounded by them.
    pub(super) located: Vec<(u64, Located)>,
    /// Who at neighbours is to be watched.
    pub(super) orders: VecDeque<Order>,
    /// Whose watching may have ended.
    pub(super) looks: Vec<Pair>,
    /// People whose lists have changed.
    pub(super) lists: Vec<PersonId>,
    /// The newest event per watch, in the order the watches came up; not more than [`TURN`].
    pub(super) presence: Vec<Event>,
    /// More of them wait.
    pub(super) more: bool,
}

/// Watchers that are told in one turn: when thousands of leases end in one second, requests and
/// answers are seen to in between.
const TURN: usize = 256;

#[derive(Default)]
struct Inner {
    batch: Batch,
    /// By watch: a newer state replaces an older one that waits.
    newest: HashMap<WatchId, Event>,
    /// In the order the watches came up.
    order: VecDeque<WatchId>,
}

/// One shard's mailbox.
pub(super) struct Inbox {
    inner: Mutex<Inner>,
    wake: Notify,
    capacity: usize,
}

impl Inbox {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            inner: Mutex::default(),
            wake: Notify::new(),
            capacity,
        }
    }

    /// From the sockets; given back when full. Ends of connections always fit: there are no more
    /// of them than connections.
    pub(super) fn arrive(&self, inbound: Inbound) -> Result<(), Box<Inbound>> {
        let mut inner = self.lock();
        let bounded = !matches!(inbound, Inbound::Closed(_));
        if bounded && inner.batch.net.len() >= self.capacity {
            return Err(Box::new(inbound));
        }
        inner.batch.net.push_back(inbound);
        drop(inner);
        self.wake.notify_one();
        Ok(())
    }

    /// From the hub; given back when full.
    pub(super) fn event(&self, event: Event) -> Result<(), Box<Event>> {
        let mut inner = self.lock();
        if let Event::Presence { watch, .. } = &event {
            let watch = *watch;
            if inner.newest.insert(watch, event).is_none() {
                inner.order.push_back(watch);
            }
        } else {
            let bounded = matches!(event, Event::Deliver { .. });
            if bounded && inner.batch.events.len() >= self.capacity {
                return Err(Box::new(event));
            }
            inner.batch.events.push_back(event);
        }
        drop(inner);
        self.wake.notify_one();
        Ok(())
    }

    /// Somebody is there again: what could not be told may be told now.
    pub(super) fn back(&self, person: PersonId) {
        self.lock().batch.back.push(person);
        self.wake.notify_one();
    }

    /// Places for an errand.
    pub(super) fn located(&self, errand: u64, located: Located) {
        self.lock().batch.located.push((errand, located));
        self.wake.notify_one();
    }

    /// Somebody here watches somebody at a neighbour; false if there is no room.
    pub(super) fn order(&self, order: Order) -> bool {
        let mut inner = self.lock();
        if inner.batch.orders.len() >= self.capacity {
            return false;
        }
        inner.batch.orders.push_back(order);
        drop(inner);
        self.wake.notify_one();
        true
    }

    /// Somebody may watch no more. What finds no room is found by the next look at all.
    pub(super) fn look(&self, pair: Pair) {
        let mut inner = self.lock();
        if inner.batch.looks.len() < self.capacity {
            inner.batch.looks.push(pair);
            drop(inner);
            self.wake.notify_one();
        }
    }

    /// Somebody's lists have changed.
    pub(super) fn lists(&self, owner: PersonId) {
        let mut inner = self.lock();
        if !inner.batch.lists.contains(&owner) {
            inner.batch.lists.push(owner);
        }
        drop(inner);
        self.wake.notify_one();
    }

    /// Takes all there is, of events to watchers a turn's worth.
    pub(super) fn take(&self) -> Batch {
        let mut inner = self.lock();
        let mut batch = std::mem::take(&mut inner.batch);
        let count = TURN.min(inner.order.len());
        let turn: Vec<WatchId> = inner.order.drain(..count).collect();
        batch.presence = turn
            .iter()
            .filter_map(|watch| inner.newest.remove(watch))
            .collect();
        batch.more = !inner.order.is_empty();
        batch
    }

    /// There is more than the last turn took.
    pub(super) fn again(&self) {
        self.wake.notify_one();
    }

    /// Until something may be there.
    pub(super) async fn filled(&self) {
        self.wake.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.net.is_empty()
            && self.answers.is_empty()
            && self.back.is_empty()
            && self.lists.is_empty()
            && self.events.is_empty()
            && self.located.is_empty()
            && self.orders.is_empty()
            && self.looks.is_empty()
            && self.presence.is_empty()
    }
}

impl ReplySink for Inbox {
    fn reply(&self, token: u64, answer: Answer) {
        self.lock().batch.answers.push((token, answer));
        self.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::address::Address;
    use crate::core::command::Change;
    use crate::core::presence::View;
    use crate::core::time::Time;

    fn event(watch: u32, at: u64) -> Event {
        let address = Address::parse("a@example.com").unwrap();
        Event::Presence {
            person: PersonId(1),
            of: address.clone(),
            watcher: address,
            watch: WatchId(watch),
            handle: Vec::new().into(),
            change: Change::Presence(View::offline(Time(at))),
        }
    }

    #[test]
    fn ten_thousand_ends_are_told_in_turns_in_order_and_the_newest_each() {
        let inbox = Inbox::new(10);
        for watch in 0..10_000 {
            assert!(inbox.event(event(watch, 1)).is_ok());
        }
        assert!(inbox.event(event(9_999, 2)).is_ok());
        let mut told = Vec::new();
        let mut turns = 0;
        loop {
            let batch = inbox.take();
            assert!(batch.presence.len() <= TURN);
            turns += 1;
            told.extend(batch.presence.iter().map(|event| match event {
                Event::Presence {
                    watch,
                    change: Change::Presence(view),
                    ..
                } => (watch.0, view.since.0),
                other => panic!("{other:?}"),
            }));
            if !batch.more {
                break;
            }
        }
        assert_eq!(turns, 10_000_usize.div_ceil(TURN));
        assert!(told.iter().map(|(watch, _)| *watch).eq(0..10_000));
        assert_eq!(told.last(), Some(&(9_999, 2)));
        assert!(inbox.take().is_empty());
    }
}
