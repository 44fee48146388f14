//! Leases against a model of a few lines: what was granted holds exactly as long, over renewals,
//! removals, time and restarts, for points, watches and properties.

use super::*;
use crate::core::command::{PointChange, PropertyName, PropertyValue, Register};
use crate::core::time::Time;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Point,
    Watch,
    Property,
}

/// What is leased: until when, and for how long that was granted.
type Model = BTreeMap<(Kind, u32), (Time, Duration)>;

#[derive(Clone, Debug)]
enum Op {
    Take(Kind, u64),
    Renew(usize, u64),
    End(usize),
    Pass(u64),
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let kind = prop_oneof![Just(Kind::Point), Just(Kind::Watch), Just(Kind::Property)];
    let lease = prop_oneof![
        Just(1u64),
        Just(30),
        Just(59),
        Just(100),
        Just(3_600),
        Just(90_000)
    ];
    let pass = prop_oneof![
        Just(1u64),
        Just(10),
        Just(29),
        Just(60),
        Just(500),
        Just(4_000)
    ];
    prop_oneof![
        4 => (kind, lease.clone()).prop_map(|(kind, lease)| Op::Take(kind, lease)),
        3 => (any::<usize>(), lease).prop_map(|(which, lease)| Op::Renew(which, lease)),
        1 => any::<usize>().prop_map(Op::End),
        4 => pass.prop_map(Op::Pass),
        1 => Just(Op::Restart),
    ]
}

fn name(number: u32) -> PropertyName {
    PropertyName {
        namespace: "urn:x".into(),
        local: format!("p{number}").into(),
    }
}

struct Bench {
    world: World,
    model: Model,
    next: u32,
    /// The longest lease there is.
    most: Duration,
}

impl Bench {
    fn command(&mut self, of: Kind, command: Command) -> Reply {
        let who = usize::from(of == Kind::Watch);
        let answer = self.world.ask(0, &caller(who, LETTERS), command);
        answer.expect("granted")
    }

    fn note(&mut self, kind: Kind, id: u32, lease: Duration) {
        let until = self.world.now.after(lease);
        self.model.insert((kind, id), (until, lease));
    }

    /// Sets or renews a property; its lease is its own.
    fn property(&mut self, number: u32, lease: Duration) {
        let value = PropertyValue {
            bytes: Arc::from(&b"v"[..]),
            expires: Some(self.world.now.after(lease)),
            fallback: None,
        };
        let changes = vec![(name(number), Some(value))];
        self.command(Kind::Property, Command::SetProperties { changes });
        self.note(Kind::Property, number, lease);
    }

    fn take(&mut self, kind: Kind, lease: Duration) {
        if self
            .model
            .keys()
            .filter(|(known, _)| *known == kind)
            .count()
            >= 8
        {
            return;
        }
        self.next += 1;
        let granted = lease.min(self.most);
        match kind {
            Kind::Property => self.property(self.next, lease),
            Kind::Point => {
                let inbox = format!("inbox{}", self.next);
                let reply = self.command(kind, sign_in(LETTERS, spec(LETTERS, &inbox, lease)));
                let Reply::Points(points) = reply else {
                    panic!("{reply:?}")
                };
                let made = points
                    .iter()
                    .find(|point| *point.inbox == inbox)
                    .expect("it");
                self.note(kind, made.id.0, granted);
            }
            Kind::Watch => {
                let reply = self.command(kind, watch(LETTERS, Via::Direct, lease, false));
                let Reply::Watching {
                    watch: Some(id),
                    lease,
                    ..
                } = reply
                else {
                    panic!("{reply:?}")
                };
                assert_eq!(lease, granted);
                self.note(kind, id.0, granted);
            }
        }
    }

    fn renew(&mut self, (kind, id): (Kind, u32), lease: Duration) {
        let command = match kind {
            Kind::Property => return self.property(id, lease),
            Kind::Point => Command::Renew {
                point: PointId(id),
                lease,
            },
            Kind::Watch => Command::RenewWatch {
                watch: WatchId(id),
                lease,
                handle: None,
                notify: false,
            },
        };
        self.command(kind, command);
        let granted = lease.min(self.most);
        self.note(kind, id, granted);
    }

    fn end(&mut self, (kind, id): (Kind, u32)) {
        let command = match kind {
            Kind::Property => Command::SetProperties {
                changes: vec![(name(id), None)],
            },
            Kind::Point => Command::Register(Register {
                stack: LETTERS,
                lineage: None,
                changes: vec![PointChange::RemoveId(PointId(id))],
            }),
            Kind::Watch => Command::Unwatch {
                watch: WatchId(id),
                notify: false,
            },
        };
        self.command(kind, command);
        self.model.remove(&(kind, id));
    }

    fn restart(&mut self) {
        self.world.restart();
        let now = self.world.now;
        let least = now.after(secs(60));
        for ((kind, _), (until, lease)) in &mut self.model {
            // Decision 34; what a property says about its end is a time, not a lease.
            if *kind != Kind::Property {
                *until = (*until).max(least).min(now.after(*lease));
            }
        }
    }

    /// What the person has now.
    fn held(&mut self) -> BTreeMap<(Kind, u32), Option<Time>> {
        let Reply::Standing(standing) = self.command(Kind::Point, Command::Standing) else {
            panic!("no standing")
        };
        let Reply::Properties(properties) = self.command(Kind::Property, Command::Properties(None))
        else {
            panic!("no properties")
        };
        let points = standing.points.iter();
        let points = points.map(|p| ((Kind::Point, p.id.0), Some(p.expires)));
        let watches = standing.watches.iter();
        let watches = watches.map(|w| ((Kind::Watch, w.id.0), Some(w.expires)));
        let properties = properties.iter().filter_map(|(name, value)| {
            let number = name.local.strip_prefix('p')?.parse().ok()?;
            Some(((Kind::Property, number), value.as_ref()?.expires))
        });
        points.chain(watches).chain(properties).collect()
    }

    fn play(&mut self, op: &Op) {
        let pick = |model: &Model, which: usize| {
            let keys: Vec<_> = model.keys().copied().collect();
            (!keys.is_empty()).then(|| keys[which % keys.len()])
        };
        match op {
            Op::Take(kind, lease) => self.take(*kind, secs(*lease)),
            Op::Renew(which, lease) => {
                if let Some(key) = pick(&self.model, *which) {
                    self.renew(key, secs(*lease));
                }
            }
            Op::End(which) => {
                if let Some(key) = pick(&self.model, *which) {
                    self.end(key);
                }
            }
            Op::Pass(time) => self.world.pass(secs(*time)),
            Op::Restart => self.restart(),
        }
        let now = self.world.now;
        self.model.retain(|_, (until, _)| *until > now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn rvp_5_leases_are_the_naive_ones(ops in proptest::collection::vec(op(), 1..40)) {
        let world = World::new(2);
        let most = crate::core::effect::Rules::default().lease_max;
        let mut bench = Bench { world, model: Model::new(), next: 0, most };
        for op in &ops {
            bench.play(op);
            let want: BTreeMap<_, _> = bench
                .model
                .iter()
                .map(|(key, (until, _))| (*key, Some(*until)))
                .collect();
            prop_assert_eq!(bench.held(), want, "after {:?} of {:?}", op, ops);
        }
    }
}
