//! Transactions in one slab, found by key, by id, by flow, and by time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use bytes::Bytes;

use super::key::{Key, Ready};
use crate::flow::{Flow, Millis, NEVER};

/// A transaction; never reused, so that a late answer can't reach a stranger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TxId {
    index: u32,
    generation: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    ClientInvite,
    ClientOther,
    ServerInvite,
    ServerOther,
}

impl Machine {
    pub(super) fn is_client(self) -> bool {
        matches!(self, Self::ClientInvite | Self::ClientOther)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Calling (client INVITE), Trying (others), Proceeding without a response (server INVITE).
    Trying,
    Proceeding,
    Completed,
    /// Server INVITE: the ACK came.
    Confirmed,
    /// INVITE with a 2xx (RFC 6026).
    Accepted,
}

/// Whether the caller wants an INVITE stopped, and whether the CANCEL has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    No,
    /// Waits for a provisional response (RFC 3261 9.1).
    Wanted,
    Sent,
}

#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) key: Key,
    pub(super) machine: Machine,
    pub(super) phase: Phase,
    pub(super) stop: Stop,
    pub(super) status: u16,
    pub(super) flow: Flow,
    /// What a repeat sends. Client: the request, or the ACK of an INVITE that failed. Server: the
    /// latest response. Empty: none.
    pub(super) bytes: Bytes,
    /// The caller's own.
    pub(super) token: u64,
    pub(super) repeat_at: Millis,
    pub(super) interval: Millis,
    pub(super) ends_at: Millis,
    armed_at: Millis,
    previous: u32,
    next: u32,
}

impl Transaction {
    pub(super) fn new(key: Key, machine: Machine, flow: Flow) -> Self {
        Self {
            key,
            machine,
            phase: Phase::Trying,
            stop: Stop::No,
            status: 0,
            flow,
            bytes: Bytes::new(),
            token: 0,
            repeat_at: NEVER,
            interval: 0,
            ends_at: NEVER,
            armed_at: NEVER,
            previous: NONE,
            next: NONE,
        }
    }

    fn due_at(&self) -> Millis {
        self.repeat_at.min(self.ends_at)
    }
}

const NONE: u32 = u32::MAX;

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    transaction: Option<Transaction>,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    slots: Vec<Slot>,
    free: Vec<u32>,
    keys: HashMap<Key, TxId, Ready>,
    /// Stream connections to the first of their client transactions (a list through the slots).
    flows: HashMap<u64, u32>,
    /// Deletion is lazy: an entry whose transaction has gone or moved is skipped.
    heap: BinaryHeap<Reverse<(Millis, TxId)>>,
    /// Non-INVITE transactions that are through and only absorb repeats, oldest first.
    through: VecDeque<TxId>,
    live: usize,
}

impl Store {
    pub(super) fn live(&self) -> usize {
        self.live
    }

    #[cfg(test)]
    pub(super) fn heap_len(&self) -> usize {
        self.heap.len()
    }

    #[cfg(test)]
    pub(super) fn flows_is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    pub(super) fn find(&self, key: Key) -> Option<TxId> {
        self.keys.get(&key).copied()
    }

    pub(super) fn get(&mut self, id: TxId) -> Option<&mut Transaction> {
        self.slots
            .get_mut(id.index as usize)
            .filter(|slot| slot.generation == id.generation)?
            .transaction
            .as_mut()
    }

    fn at(&mut self, index: u32) -> Option<&mut Transaction> {
        self.slots.get_mut(index as usize)?.transaction.as_mut()
    }

    pub(super) fn insert(&mut self, mut transaction: Transaction) -> TxId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).unwrap_or(NONE)
        });
        let linked = transaction.machine.is_client() && transaction.flow.transport.is_reliable();
        if linked {
            let head = self.flows.insert(transaction.flow.id, index);
            transaction.next = head.unwrap_or(NONE);
            if let Some(second) = head.and_then(|head| self.at(head)) {
                second.previous = index;
            }
        }
        let key = transaction.key;
        let mut id = TxId {
            index,
            generation: 0,
        };
        if let Some(slot) = self.slots.get_mut(index as usize) {
            id.generation = slot.generation;
            slot.transaction = Some(transaction);
        }
        self.keys.insert(key, id);
        self.live += 1;
        self.arm(id);
        id
    }

    pub(super) fn remove(&mut self, id: TxId) {
        let Some(slot) = self
            .slots
            .get_mut(id.index as usize)
            .filter(|slot| slot.generation == id.generation)
        else {
            return;
        };
        let Some(gone) = slot.transaction.take() else {
            return;
        };
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.index);
        self.live -= 1;
        // A later transaction may have taken over the key.
        if self.keys.get(&gone.key) == Some(&id) {
            self.keys.remove(&gone.key);
        }
        self.unlink(id.index, &gone);
    }

    fn unlink(&mut self, index: u32, gone: &Transaction) {
        if let Some(next) = self.at(gone.next) {
            next.previous = gone.previous;
        }
        if let Some(previous) = self.at(gone.previous) {
            previous.next = gone.next;
        } else if self.flows.get(&gone.flow.id) == Some(&index)
            && gone.machine.is_client()
            && gone.flow.transport.is_reliable()
        {
            if gone.next == NONE {
                self.flows.remove(&gone.flow.id);
            } else {
                self.flows.insert(gone.flow.id, gone.next);
            }
        }
    }

    /// The transaction has its final response and stays only to absorb repeats.
    pub(super) fn through(&mut self, id: TxId) {
        while let Some(oldest) = self.through.front().copied()
            && self.get(oldest).is_none()
        {
            self.through.pop_front();
        }
        if self.through.len() > 2 * self.live + 4096 {
            let mut all = std::mem::take(&mut self.through);
            all.retain(|id| self.get(*id).is_some());
            self.through = all;
        }
        self.through.push_back(id);
    }

    /// Makes room by ending the oldest transaction that is through; false if there is none.
    pub(super) fn make_room(&mut self) -> bool {
        while let Some(oldest) = self.through.pop_front() {
            if self.get(oldest).is_some() {
                self.remove(oldest);
                return true;
            }
        }
        false
    }

    /// The client transactions of a stream connection.
    pub(super) fn on_flow(&mut self, flow: u64) -> Vec<TxId> {
        let mut found = Vec::new();
        let mut index = self.flows.get(&flow).copied().unwrap_or(NONE);
        while let Some(slot) = self.slots.get(index as usize) {
            let Some(transaction) = &slot.transaction else {
                break;
            };
            found.push(TxId {
                index,
                generation: slot.generation,
            });
            index = transaction.next;
        }
        found
    }

    /// To be called after the times of a transaction changed.
    pub(super) fn arm(&mut self, id: TxId) {
        let Some(transaction) = self.get(id) else {
            return;
        };
        let due = transaction.due_at();
        if due < transaction.armed_at {
            transaction.armed_at = due;
            self.heap.push(Reverse((due, id)));
        }
        if self.heap.len() > 4 * self.live + 4096 {
            self.compact();
        }
    }

    fn compact(&mut self) {
        let entries = std::mem::take(&mut self.heap).into_vec();
        let kept = entries
            .into_iter()
            .filter(|Reverse((at, id))| self.get(*id).is_some_and(|t| t.armed_at == *at))
            .collect::<Vec<_>>();
        self.heap = kept.into();
    }

    /// The earliest time at which anything is due; skips what has gone.
    pub(super) fn wake_at(&mut self) -> Option<Millis> {
        loop {
            let Reverse((at, id)) = *self.heap.peek()?;
            match self.get(id) {
                Some(transaction) if transaction.armed_at == at => {
                    let due = transaction.due_at();
                    if due == at {
                        return Some(at);
                    }
                    // The time moved on: put the entry where it belongs.
                    transaction.armed_at = NEVER;
                    self.heap.pop();
                    if due != NEVER {
                        self.arm(id);
                    }
                }
                _ => {
                    self.heap.pop();
                }
            }
        }
    }

    /// Takes a transaction that is due; the caller handles it and arms it again.
    pub(super) fn due(&mut self, now: Millis) -> Option<TxId> {
        if self.wake_at()? > now {
            return None;
        }
        let Reverse((_, id)) = self.heap.pop()?;
        if let Some(transaction) = self.get(id) {
            transaction.armed_at = NEVER;
        }
        Some(id)
    }
}
