//! The order of records: NAPTR by order and preference, SRV by priority and weight.

use super::{Naptr, Srv};
use crate::flow::Transport;
use std::sync::Arc;

/// SRV records of one name that are looked at.
const SRVS: usize = 32;

/// Numbers that look random, from a seed of the caller (SplitMix64).
#[derive(Debug, Clone)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// From zero to `most`, both included.
    fn throw(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        // A little unfair above 2^32 records; weights are 16 bits.
        z % most.saturating_add(1)
    }
}

/// What a NAPTR record leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lead {
    /// SRV records.
    Service(Transport, Arc<str>),
    /// A host.
    Host(Transport, Arc<str>),
}

/// The records that mean something to SIP, in order (RFC 3263 4.1).
pub(super) fn leads(mut records: Vec<Naptr>, secure: bool) -> impl Iterator<Item = Lead> {
    records.sort_by_key(|record| (record.order, record.preference));
    records.into_iter().filter_map(move |record| {
        let service = record.service.to_ascii_uppercase();
        let transport = match service.as_str() {
            "SIP+D2U" if !secure => Transport::Udp,
            "SIP+D2T" if !secure => Transport::Tcp,
            "SIPS+D2T" => Transport::Tls,
            _ => return None,
        };
        let to = super::lower(&record.replacement);
        if to.is_empty() || !record.regexp.is_empty() {
            return None;
        }
        match record.flags.as_str() {
            "s" | "S" => Some(Lead::Service(transport, to)),
            "a" | "A" => Some(Lead::Host(transport, to)),
            _ => None,
        }
    })
}

/// The order in which to try SRV records (RFC 2782): by priority; within one at random, each first
/// as often as its weight says.
pub(super) fn srv(mut records: Vec<Srv>, dice: &mut Dice) -> Vec<Srv> {
    // Zero weights first, so that they have a small chance at all.
    records.sort_by(|a, b| {
        let key = |r: &Srv| (r.priority, r.weight != 0, r.port);
        key(a).cmp(&key(b)).then_with(|| a.target.cmp(&b.target))
    });
    records.truncate(SRVS);
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(priority) = records.first().map(|record| record.priority) {
        let end = records.partition_point(|record| record.priority == priority);
        let sum = records
            .iter()
            .take(end)
            .map(|record| u64::from(record.weight))
            .sum();
        let number = dice.throw(sum);
        let mut running = 0;
        let chosen = records.iter().take(end).position(|record| {
            running += u64::from(record.weight);
            running >= number
        });
        ordered.push(records.remove(chosen.unwrap_or(0)));
    }
    ordered
}
