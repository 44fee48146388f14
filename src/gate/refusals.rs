//! The last refusals of each address: what an operator asks for when somebody can't sign in.

use super::Cause;
use crate::core::id::Stack;
use crate::core::time::Time;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

/// Addresses remembered; the one that came first makes room.
const ADDRESSES: usize = 4096;
/// Refusals kept of one address.
const EACH: usize = 8;

/// One refused sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// When.
    pub at: Time,
    /// From where.
    pub peer: IpAddr,
    /// On which stack.
    pub stack: Stack,
    /// Why.
    pub cause: Cause,
}

#[derive(Debug, Default)]
pub(super) struct Refusals {
    order: VecDeque<String>,
    lists: HashMap<String, VecDeque<Refusal>>,
}

impl Refusals {
    pub(super) fn note(&mut self, address: String, refusal: Refusal) {
        if !self.lists.contains_key(&address) {
            if self.order.len() >= ADDRESSES
                && let Some(first) = self.order.pop_front()
            {
                self.lists.remove(&first);
            }
            self.order.push_back(address.clone());
        }
        let list = self.lists.entry(address).or_default();
        if list.len() >= EACH {
            list.pop_back();
        }
        list.push_front(refusal);
    }

    pub(super) fn of(&self, address: &str) -> Vec<Refusal> {
        let list = self.lists.get(address);
        list.map(|list| list.iter().cloned().collect())
            .unwrap_or_default()
    }
}
