//! Two engines, one link each way, virtual time.

use crate::link::{Link, Weather};

/// What an engine wants next. Engines are drained until [`Step::Idle`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<E> {
    /// Put these octets on the wire to the other side.
    Send(Vec<u8>),
    /// Something the layer above would be told.
    Event(E),
    /// Nothing more until input, or until this time.
    Idle(Option<u64>),
}

/// A sans-IO engine as the pair sees it; a few lines of adapter per engine.
pub trait Endpoint {
    /// What the engine tells the layer above.
    type Event;

    /// Octets from the other side.
    fn receive(&mut self, now: u64, bytes: &[u8]);

    /// Time has come to the value named by the last [`Step::Idle`].
    fn wake(&mut self, now: u64);

    /// The next thing the engine wants.
    fn poll(&mut self, now: u64) -> Step<Self::Event>;
}

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

/// Two engines joined by a link in each direction.
pub struct Pair<A: Endpoint, B: Endpoint> {
    /// The present, in milliseconds.
    pub now: u64,
    /// The first engine. After commanding it directly, call [`Pair::settle`] or run on.
    pub a: A,
    /// The second engine.
    pub b: B,
    /// From a to b.
    pub there: Link,
    /// From b to a.
    pub back: Link,
    /// Everything `a` reported, with its time.
    pub a_events: Vec<(u64, A::Event)>,
    /// Everything `b` reported, with its time.
    pub b_events: Vec<(u64, B::Event)>,
    a_wake: Option<u64>,
    b_wake: Option<u64>,
}

impl<A: Endpoint, B: Endpoint> Pair<A, B> {
    /// A pair at time zero on links of the same weather.
    pub fn new(a: A, b: B, weather: Weather, seed: u64) -> Self {
        Self {
            now: 0,
            a,
            b,
            there: Link::new(weather, seed),
            back: Link::new(weather, seed ^ 0x5555_5555),
            a_events: Vec::new(),
            b_events: Vec::new(),
            a_wake: None,
            b_wake: None,
        }
    }

    /// Drains both engines at the present time.
    pub fn settle(&mut self) {
        drain(
            &mut self.a,
            self.now,
            &mut self.there,
            &mut self.a_events,
            &mut self.a_wake,
        );
        drain(
            &mut self.b,
            self.now,
            &mut self.back,
            &mut self.b_events,
            &mut self.b_wake,
        );
    }

    /// When the next thing happens, if anything ever does.
    pub fn next_at(&self) -> Option<u64> {
        [
            self.there.next_at(),
            self.back.next_at(),
            self.a_wake,
            self.b_wake,
        ]
        .into_iter()
        .flatten()
        .min()
        .map(|at| at.max(self.now))
    }

    /// Jumps to the next thing that happens and lets it happen; false if nothing ever will.
    pub fn step(&mut self) -> bool {
        self.settle();
        let Some(at) = self.next_at() else {
            return false;
        };
        self.now = at;
        if let Some(bytes) = self.there.land(at) {
            self.b.receive(at, &bytes);
        } else if let Some(bytes) = self.back.land(at) {
            self.a.receive(at, &bytes);
        } else if self.a_wake.is_some_and(|wake| wake <= at) {
            self.a_wake = None;
            self.a.wake(at);
        } else {
            self.b_wake = None;
            self.b.wake(at);
        }
        self.settle();
        true
    }

    /// Runs everything up to and including `deadline` and leaves the clock there.
    pub fn run_until(&mut self, deadline: u64) {
        self.settle();
        while self.next_at().is_some_and(|at| at <= deadline) {
            self.step();
        }
        self.now = self.now.max(deadline);
    }

    /// Runs until both are silent for good; false if `max_steps` did not suffice (an engine that
    /// never rests, or wakes without end).
    pub fn run_idle(&mut self, max_steps: usize) -> bool {
        for _ in 0..max_steps {
            if !self.step() {
                return true;
            }
        }
        false
    }
}

fn drain<E: Endpoint>(
    engine: &mut E,
    now: u64,
    link: &mut Link,
    events: &mut Vec<(u64, E::Event)>,
    wake: &mut Option<u64>,
) {
    loop {
        match engine.poll(now) {
            Step::Send(bytes) => link.send(now, &bytes),
            Step::Event(event) => events.push((now, event)),
            Step::Idle(at) => {
                *wake = at;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a number every second until it hears it back.
    struct Asker {
        due: Option<u64>,
        out: Vec<Step<u8>>,
    }
    impl Endpoint for Asker {
        type Event = u8;
        fn receive(&mut self, _: u64, bytes: &[u8]) {
            self.due = None;
            self.out.push(Step::Event(bytes[0]));
        }
        fn wake(&mut self, now: u64) {
            if self.due.is_some_and(|due| due <= now) {
                self.out.push(Step::Send(vec![42]));
                self.due = Some(now + 1000);
            }
        }
        fn poll(&mut self, _: u64) -> Step<u8> {
            self.out.pop().unwrap_or(Step::Idle(self.due))
        }
    }

    #[derive(Default)]
    struct Echo(Vec<Vec<u8>>);
    impl Endpoint for Echo {
        type Event = ();
        fn receive(&mut self, _: u64, bytes: &[u8]) {
            self.0.push(bytes.to_vec());
        }
        fn wake(&mut self, _: u64) {}
        fn poll(&mut self, _: u64) -> Step<()> {
            self.0.pop().map_or(Step::Idle(None), Step::Send)
        }
    }

    fn pair(weather: Weather) -> Pair<Asker, Echo> {
        let asker = Asker {
            due: Some(0),
            out: Vec::new(),
        };
        Pair::new(asker, Echo::default(), weather, 1)
    }

    #[test]
    fn time_jumps_and_stops() {
        let mut pair = pair(Weather::FAIR);
        assert!(pair.run_idle(100));
        assert_eq!(pair.a_events, vec![(20, 42)]);
        assert_eq!(pair.now, 20);
    }

    #[test]
    fn a_cut_link_never_rests_and_run_until_holds_the_deadline() {
        let mut pair = pair(Weather::CUT);
        pair.run_until(10_500);
        assert_eq!((pair.now, pair.there.sent()), (10_500, 11));
        assert!(!pair.run_idle(50));
    }
}
