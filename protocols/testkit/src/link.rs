//! A one-way link with weather: what is sent arrives late, twice, out of order or never.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::rng::Rng;

/// How bad the link is. Rates are per mille, spans are milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weather {
    /// Packets that vanish.
    pub loss: u16,
    /// Packets that arrive twice.
    pub duplicate: u16,
    /// Shortest time on the way.
    pub delay_min: u64,
    /// Longest time on the way; more than the minimum reorders packets.
    pub delay_max: u64,
}

impl Weather {
    /// Every packet arrives once, in order, after 10 ms.
    pub const FAIR: Self = Self {
        loss: 0,
        duplicate: 0,
        delay_min: 10,
        delay_max: 10,
    };

    /// Loses a fifth, doubles a tenth and mixes the order within 300 ms.
    pub const FOUL: Self = Self {
        loss: 200,
        duplicate: 100,
        delay_min: 1,
        delay_max: 300,
    };

    /// Nothing ever arrives.
    pub const CUT: Self = Self {
        loss: 1000,
        ..Self::FAIR
    };
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    at: u64,
    order: u64,
    bytes: Vec<u8>,
}

/// Packets on their way in one direction.
#[derive(Debug)]
pub struct Link {
    weather: Weather,
    rng: Rng,
    order: u64,
    flying: BinaryHeap<Reverse<Packet>>,
    sent: u64,
}

impl Link {
    /// An empty link; the seed decides every later accident.
    pub fn new(weather: Weather, seed: u64) -> Self {
        Self {
            weather,
            rng: Rng::new(seed),
            order: 0,
            flying: BinaryHeap::new(),
            sent: 0,
        }
    }

    /// Changes the weather for packets sent from now on.
    pub fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// Packets ever put on the link, lost ones included, doubles not.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Puts a packet on its way.
    pub fn send(&mut self, now: u64, bytes: &[u8]) {
        self.sent += 1;
        if self.rng.chance(self.weather.loss) {
            return;
        }
        self.launch(now, bytes);
        if self.rng.chance(self.weather.duplicate) {
            self.launch(now, bytes);
        }
    }

    fn launch(&mut self, now: u64, bytes: &[u8]) {
        let spread = self
            .weather
            .delay_max
            .saturating_sub(self.weather.delay_min);
        let delay = self.weather.delay_min + self.rng.below(spread + 1);
        self.order += 1;
        self.flying.push(Reverse(Packet {
            at: now.saturating_add(delay),
            order: self.order,
            bytes: bytes.to_vec(),
        }));
    }

    /// When the next packet lands.
    pub fn next_at(&self) -> Option<u64> {
        self.flying.peek().map(|packet| packet.0.at)
    }

    /// Takes the next packet that has landed by `now`.
    pub fn land(&mut self, now: u64) -> Option<Vec<u8>> {
        if self.next_at()? > now {
            return None;
        }
        self.flying.pop().map(|packet| packet.0.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(link: &mut Link) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| link.land(u64::MAX)).collect()
    }

    #[test]
    fn fair_weather_keeps_order_and_time() {
        let mut link = Link::new(Weather::FAIR, 1);
        link.send(0, b"a");
        link.send(0, b"b");
        assert_eq!(link.next_at(), Some(10));
        assert_eq!(link.land(9), None);
        assert_eq!(drain(&mut link), vec![b"a".to_vec(), b"b".to_vec()]);
    }

    #[test]
    fn foul_weather_loses_doubles_and_reorders() {
        let mut link = Link::new(Weather::FOUL, 3);
        for n in 0..200_u8 {
            link.send(0, &[n]);
        }
        let landed = drain(&mut link);
        let distinct: std::collections::BTreeSet<_> = landed.iter().cloned().collect();
        assert!(distinct.len() < 190, "some are lost");
        assert!(landed.len() > distinct.len(), "some come twice");
        assert!(!landed.is_sorted(), "some overtake");
    }

    #[test]
    fn cut_link_delivers_nothing() {
        let mut link = Link::new(Weather::CUT, 3);
        link.send(0, b"x");
        assert_eq!((link.next_at(), link.sent()), (None, 1));
    }
}
