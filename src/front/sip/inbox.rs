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
    /// The newest event per watch, in the order the watches came up.
    pub(super) presence: Vec<Event>,
}

#[derive(Default)]
struct Inner {
    batch: Batch,
    /// Place in `batch.presence` by watch: a newer state replaces an older one that waits.
    places: HashMap<WatchId, usize>,
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
            match inner.places.get(&watch).copied() {
                Some(at) => {
                    if let Some(slot) = inner.batch.presence.get_mut(at) {
                        *slot = event;
                    }
                }
                None => {
                    let at = inner.batch.presence.len();
                    inner.places.insert(watch, at);
                    inner.batch.presence.push(event);
                }
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

    /// Takes all there is.
    pub(super) fn take(&self) -> Batch {
        let mut inner = self.lock();
        inner.places.clear();
        std::mem::take(&mut inner.batch)
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
