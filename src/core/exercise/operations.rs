//! Random command sequences over a few people: the body of the property test and the fuzz target.

use super::{
    Clients, LETTERS, PHONES, World, address, caller, message, person, spec, submit, text, watch,
};
use crate::core::access::{AccessEntry, Detail, Right, Rights, Subject, detail};
use crate::core::command::{
    Command, Outcome, PointChange, PointHint, PropertyName, PropertyValue, Publish, Reach, Refusal,
    Register, Reply, TetherChange, Via, Whence,
};
use crate::core::devices::{DeviceChange, Policy};
use crate::core::event::Event;
use crate::core::id::{PointId, PublicationId, Stack, WatchId};
use crate::core::message::{Ack, Content};
use crate::core::presence::{Presence, State};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

const PEOPLE: usize = 3;
const STATES: [State; 8] = [
    State::Online,
    State::Idle,
    State::Busy,
    State::Away,
    State::OnPhone,
    State::Invisible,
    State::DoNotDisturb,
    State::Offline,
];
const OUTCOMES: [Outcome; 8] = [
    Outcome::Delivered,
    Outcome::Delivered,
    Outcome::Failed,
    Outcome::Unreached,
    Outcome::QueueFull,
    Outcome::HasLeft,
    Outcome::Gone,
    Outcome::Refused(Refusal::Unsupported),
];

/// Runs the operations that the octets spell and checks what must always hold:
/// answers come exactly once and before their consequences, no inbox gets a text twice, nobody
/// watches a state that others must not see, watchers end up seeing the fold or offline, leases
/// end, and what was acknowledged survives a crash at any effect. Returns the journal of all
/// effects, for comparing runs.
///
/// # Panics
/// When an invariant does not hold; that is what it is for.
pub fn operations(data: &[u8]) -> String {
    let mut world = World::new(PEOPLE);
    world.journal = Some(String::new());
    let mut input = Input { data };
    configure(&mut world, &mut input);
    while let Some(op) = input.octet() {
        operate(&mut world, op, &mut input);
    }
    settle(&mut world);
    world.journal.unwrap_or_default()
}

/// What operators may have chosen.
fn configure(world: &mut World, input: &mut Input<'_>) {
    let choice = input.octet().unwrap_or(0);
    if choice & 1 != 0 {
        world.rules.away = ["example.com".to_owned()].into();
        world.rules.away_for = Duration::from_mins(20);
        world.rules.away_sender = 6;
    }
    if choice & 2 != 0 {
        world.rules.idle_after = Duration::from_mins(10);
    }
    world.rules.spread.policy = match choice >> 2 & 3 {
        0 | 1 => Policy::All,
        2 => Policy::MostActive,
        _ => Policy::Preferred,
    };
}

struct Input<'a> {
    data: &'a [u8],
}

impl Input<'_> {
    fn octet(&mut self) -> Option<u8> {
        let (first, rest) = self.data.split_first()?;
        self.data = rest;
        Some(*first)
    }

    /// A number below `end`; 0 when the input is used up.
    fn below(&mut self, end: usize) -> usize {
        usize::from(self.octet().unwrap_or(0)) % end
    }

    fn stack(&mut self) -> Stack {
        [LETTERS, PHONES][self.below(2)]
    }

    fn lease(&mut self) -> Duration {
        Duration::from_secs([0, 30, 100, 3600][self.below(4)])
    }

    fn inbox(&mut self) -> String {
        format!("inbox{}", self.below(3))
    }
}

fn operate(world: &mut World, op: u8, input: &mut Input<'_>) {
    match op % 16 {
        0 | 1 => register(world, input),
        2 | 3 => publish(world, input),
        4 | 5 => watch_somebody(world, input),
        6..=8 => send_message(world, input),
        9 => pass(world, input),
        10 => answer_attempts(world, input),
        11 => change_access(world, input),
        12 => change_watch(world, input),
        13 => change_point(world, input),
        14 => {
            world.clients = match input.below(3) {
                0 => Clients::Silent,
                _ => Clients::Answer(OUTCOMES[input.below(OUTCOMES.len())]),
            };
        }
        _ => match input.below(3) {
            0 => world.crash_in = Some(input.below(12)),
            1 => world.restart(),
            _ => change_property(world, input),
        },
    }
}

fn register(world: &mut World, input: &mut Input<'_>) {
    let (who, stack) = (input.below(PEOPLE), input.stack());
    let mut changes = Vec::new();
    for _ in 0..=input.below(3) {
        let inbox = input.inbox();
        changes.push(match input.below(6) {
            0 => PointChange::Remove { key: inbox.into() },
            1 => PointChange::RemoveAll,
            2 => PointChange::RemoveId(some_point(world, who, input)),
            3 => {
                let mut spec = spec(stack, &inbox, Duration::from_mins(1));
                spec.reach = Reach::SendOnly;
                PointChange::Put(Box::new(spec))
            }
            _ => {
                let mut spec = spec(stack, &inbox, input.lease());
                spec.source = source(input);
                spec.machine = (input.below(3) == 0).then(|| "DESK".into());
                spec.family = (input.below(2) == 0).then(|| "messenger".into());
                PointChange::Put(Box::new(spec))
            }
        });
    }
    let before: Vec<_> = world.stored(who).points.iter().map(|p| p.id).collect();
    let crashes = world.crashes;
    let answer = world.ask(
        who,
        &caller(who, stack),
        Command::Register(Register {
            stack,
            lineage: None,
            changes,
        }),
    );
    if crashes != world.crashes {
        return;
    }
    if answer.is_err() {
        let after: Vec<_> = world.stored(who).points.iter().map(|p| p.id).collect();
        assert_eq!(before, after, "refused, and yet something changed");
    }
}

fn some_point(world: &World, who: usize, input: &mut Input<'_>) -> PointId {
    let points = &world.stored(who).points;
    if points.is_empty() {
        return PointId(7);
    }
    points[input.below(points.len())].id
}

fn source(input: &mut Input<'_>) -> Option<IpAddr> {
    match input.below(3) {
        0 => None,
        last => Some(IpAddr::from([192, 0, 2, u8::try_from(last).unwrap_or(9)])),
    }
}

fn publish(world: &mut World, input: &mut Input<'_>) {
    let (who, stack) = (input.below(PEOPLE), input.stack());
    let known = world.stored(who).publications.first().map(|p| p.id);
    let target = match input.below(4) {
        0 => Some((known.unwrap_or(PublicationId(5)), None)),
        1 => Some((PublicationId(6), Some(1))),
        _ => None,
    };
    if input.below(8) == 0 {
        let publication = known.unwrap_or(PublicationId(5));
        let command = Command::Retract {
            publication,
            version: None,
        };
        let _ = world.ask(who, &caller(who, stack), command);
        return;
    }
    let command = Command::Publish(Publish {
        stack,
        target,
        adopt: input.below(2) == 0,
        hint: PointHint {
            inbox: (input.below(2) == 0).then(|| input.inbox().into()),
            source: source(input),
            client: None,
        },
        key: None,
        presence: (input.below(5) > 0).then(|| Presence::of(STATES[input.below(STATES.len())])),
        calls: None,
        lease: (input.below(2) == 0).then(|| input.lease()),
    });
    let _ = world.ask(who, &caller(who, stack), command);
}

fn watch_somebody(world: &mut World, input: &mut Input<'_>) {
    let (of, by, stack) = (input.below(PEOPLE), input.below(PEOPLE), input.stack());
    let command = watch(stack, Via::Direct, input.lease(), input.below(2) == 0);
    let _ = world.ask(of, &caller(by, stack), command);
}

fn send_message(world: &mut World, input: &mut Input<'_>) {
    let (from, to, stack) = (input.below(PEOPLE), input.below(PEOPLE), input.stack());
    let content = match input.below(8) {
        0 => Content::Typing {
            active: true,
            valid: Duration::from_secs(10),
        },
        1 => Content::Join,
        2 => Content::Leave,
        3 => Content::Receipt(None),
        _ => text("hello"),
    };
    let mut message = message(from, to, stack, content);
    message.ack = [Ack::Any, Ack::Any, Ack::All, Ack::Hop][input.below(4)];
    if input.below(2) == 0 {
        message.original.key = Some(format!("key{}", input.below(8)).into());
    }
    let mut command = submit(to, message);
    if let Command::Submit(submit) = &mut command
        && input.below(2) == 0
    {
        submit.whence = Whence::Inbox(input.inbox().into());
    }
    world.send(from, &caller(from, stack), command);
}

fn pass(world: &mut World, input: &mut Input<'_>) {
    let spans = [10, 100, 250, 1000, 4000, 6000, 20_000, 61_000, 700_000];
    world.pass(Duration::from_millis(spans[input.below(spans.len())]));
}

fn answer_attempts(world: &mut World, input: &mut Input<'_>) {
    for attempt in world.open() {
        match input.below(OUTCOMES.len() + 1) {
            0 => {}
            which => world.outcome(attempt, OUTCOMES[which - 1]),
        }
    }
}

fn change_access(world: &mut World, input: &mut Input<'_>) {
    let (who, whom) = (input.below(PEOPLE), input.below(PEOPLE));
    let presence = Rights::default().with(Right::Presence);
    let both = presence.with(Right::SendTo);
    let entry = |grant, deny| AccessEntry {
        subject: Subject::Address(address(whom)),
        schemes: Vec::new(),
        grant,
        deny,
        ask: Rights::default(),
        detail: Detail::ALL,
    };
    let list = match input.below(5) {
        0 => Vec::new(),
        3 => vec![AccessEntry {
            detail: Detail(u8::try_from(input.below(16)).unwrap_or_default()),
            ..entry(presence, Rights::default())
        }],
        1 => vec![entry(Rights::default(), presence)],
        2 => vec![entry(Rights::default(), both)],
        _ => vec![entry(Rights::ALL, Rights::default())],
    };
    let _ = world.ask(who, &caller(who, LETTERS), Command::SetAccess(list));
}

fn change_watch(world: &mut World, input: &mut Input<'_>) {
    let (of, by) = (input.below(PEOPLE), input.below(PEOPLE));
    let watches = &world.stored(of).watches;
    let watch = if watches.is_empty() {
        WatchId(3)
    } else {
        watches[input.below(watches.len())].id
    };
    let notify = input.below(2) == 0;
    let command = match input.below(4) {
        0 => Command::Unwatch { watch, notify },
        1 => Command::SaveWatch {
            watch,
            handle: Arc::from(&b"saved"[..]),
        },
        2 => Command::Look,
        _ => Command::RenewWatch {
            watch,
            lease: input.lease(),
            handle: None,
            notify,
        },
    };
    let ends = matches!(command, Command::Unwatch { .. });
    let crashes = world.crashes;
    let answer = world.ask(of, &caller(by, PHONES), command);
    if (ends && answer.is_ok()) || (crashes != world.crashes) {
        world.believes.remove(&watch);
    }
    if let Ok(Reply::Watching {
        watch: Some(_),
        lease,
        ..
    }) = answer
        && lease.is_zero()
    {
        world.believes.remove(&watch);
    }
}

fn change_point(world: &mut World, input: &mut Input<'_>) {
    let who = input.below(PEOPLE);
    let point = some_point(world, who, input);
    let command = match input.below(6) {
        5 => {
            let other = some_point(world, who, input);
            let change = match input.below(3) {
                0 => DeviceChange::Free(point, other),
                which => DeviceChange::Rule(point, other, which == 1),
            };
            Command::SetDevices(vec![change])
        }
        0 => Command::Renew {
            point,
            lease: input.lease(),
        },
        1 => Command::Tether {
            point,
            change: TetherChange::Lost,
        },
        2 => Command::Tether {
            point,
            change: TetherChange::Back {
                handle: Arc::from(&b"back"[..]),
            },
        },
        3 => Command::Health { point, alive: true },
        _ => Command::Health {
            point,
            alive: false,
        },
    };
    let _ = world.ask(who, &caller(who, PHONES), command);
}

fn change_property(world: &mut World, input: &mut Input<'_>) {
    let who = input.below(PEOPLE);
    let name = PropertyName {
        namespace: "urn:test".into(),
        local: format!("p{}", input.below(3)).into(),
    };
    let value = (input.below(3) > 0).then(|| PropertyValue {
        bytes: Arc::from(&b"value"[..]),
        expires: (input.below(2) == 0).then(|| world.now.after(Duration::from_secs(50))),
        fallback: None,
    });
    let changes = vec![(name, value)];
    let _ = world.ask(
        who,
        &caller(who, LETTERS),
        Command::SetProperties { changes },
    );
}

/// Lets everything come to rest and looks at what is left.
fn settle(world: &mut World) {
    world.crash_in = None;
    world.pass(Duration::from_secs(6));
    for of in 0..PEOPLE {
        beliefs_are_true(world, of);
    }
    world.clients = Clients::Answer(Outcome::Delivered);
    for attempt in world.open() {
        world.outcome(attempt, Outcome::Delivered);
    }
    world.pass(Duration::from_mins(3));
    assert!(world.all_answered(), "somebody waits for ever");
    if !world.rules.away.is_empty() {
        // The texts, and then what is said of their end, which may be kept as well.
        world.pass(Duration::from_mins(45));
    }
    assert_eq!(
        world.broken_promises(),
        0,
        "kept, then neither delivered nor told"
    );
    world.events.clear();
    world.pass(Duration::from_hours(30));
    for who in 0..PEOPLE {
        assert!(world.user(who).points.is_empty(), "leases end");
        assert!(world.user(who).watches.is_empty(), "leases end");
        let standing = world.stored(who);
        assert!(
            standing.points.is_empty() && standing.watches.is_empty() && standing.kept.is_empty()
        );
        assert!(world.user(who).is_idle() && world.user(who).wake_at().is_none());
    }
    let delivers = |(_, event): &(Stack, Event)| matches!(event, Event::Deliver { .. });
    assert!(
        !world.events.iter().any(delivers),
        "delivered after its time"
    );
}

/// Whoever may see somebody believes what is so; whoever may not believes "offline".
fn beliefs_are_true(world: &mut World, of: usize) {
    let standing = match world.ask(of, &caller(of, LETTERS), Command::Standing) {
        Ok(Reply::Standing(standing)) => standing,
        other => panic!("{other:?}"),
    };
    for watch in &world.stored(of).watches.clone() {
        let by = caller(0, PHONES);
        let by = crate::core::command::Caller {
            address: watch.watcher.clone(),
            person: watch.watcher_person,
            ..by
        };
        let sees = world.ask(of, &by, Command::Check(Right::Presence)).is_ok();
        let true_state = if sees {
            // The owner's own clients are kept from nothing.
            let shown = if by.person == Some(person(of)) {
                Detail::ALL
            } else {
                let user = world.user(of);
                let list = user.access.as_deref().unwrap_or_default();
                detail(list, &by.address, by.scheme)
            };
            standing.view.cut(shown).state
        } else {
            State::Offline
        };
        // A watch whose last events were lost in a crash knows nothing new.
        if world.crashes == 0 {
            let believed = world.believes.get(&watch.id).map(|view| view.state);
            assert_eq!(believed, Some(true_state), "of {of} by {}", watch.watcher);
        }
    }
    assert_eq!(person(of), world.user(of).person());
}
