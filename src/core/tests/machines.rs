//! Issue 5 section 7: people with several machines on both stacks, failures and restarts, against a
//! model that knows which sign-in stands on which machine.

use super::*;
use crate::core::command::Whence;
use crate::core::exercise::person;
use crate::core::message::Content;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What can happen.
#[derive(Clone, Debug)]
enum Happening {
    /// Person 0 writes to person 1 on one of the stacks.
    Text(bool),
    /// Person 1 answers from that machine's client on one of the stacks.
    Answer(usize, bool),
    /// That client of that machine takes nothing from now on, or does again.
    Dead(usize, bool, bool),
    /// Time goes by.
    Pass(u64),
    /// The server is killed and comes back.
    Restart,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        5 => any::<bool>().prop_map(Happening::Text),
        2 => (0..3usize, any::<bool>()).prop_map(|(at, phone)| Happening::Answer(at, phone)),
        1 => (0..3usize, any::<bool>(), any::<bool>())
            .prop_map(|(at, phone, dead)| Happening::Dead(at, phone, dead)),
        2 => (0..90u64).prop_map(Happening::Pass),
        1 => Just(Happening::Restart),
    ]
}

fn stack(phone: bool) -> Stack {
    if phone { PHONES } else { LETTERS }
}

/// The true state of things.
struct Model {
    /// Names of machines; empty = its clients say none.
    machines: Vec<String>,
    /// Whether (machine, phone) takes nothing.
    dead: BTreeMap<(usize, bool), bool>,
    /// Machines one of whose clients has failed: they may have been parted.
    suspect: Vec<bool>,
    /// Texts that each inbox has, in order.
    had: BTreeMap<String, Vec<u32>>,
    written: u32,
}

fn inbox(machine: usize, phone: bool) -> String {
    format!("{machine}{}", if phone { "phone" } else { "letters" })
}

fn sign(world: &mut World, model: &Model, at: usize, phone: bool) {
    let stack = stack(phone);
    let mut point = spec(stack, &inbox(at, phone), Duration::from_hours(20));
    point.key = Some(inbox(at, phone).into());
    point.source = Some([192, 0, 2, 7].into());
    point.family = Some("messenger".into());
    let name = &model.machines[at];
    point.machine = (!name.is_empty()).then(|| name.as_str().into());
    let signed = world.ask(1, &caller(1, stack), sign_in(stack, point));
    assert!(signed.is_ok());
}

/// Answers everything that is asked of clients, until nothing is.
fn answer(world: &mut World, model: &mut Model) {
    loop {
        let open = world.open();
        let Some(attempt) = open.first().copied() else {
            return;
        };
        let points = &world.stored(1).points;
        let to = points.iter().find(|p| p.id == attempt.1);
        let to = to.map(|p| p.spec.inbox.to_string()).unwrap_or_default();
        let phone = to.ends_with("phone");
        let machine = to
            .bytes()
            .next()
            .map_or(0, |digit| usize::from(digit - b'0'));
        if to.is_empty() || !model.dead.get(&(machine, phone)).copied().unwrap_or(false) {
            world.outcome(attempt, Outcome::Delivered);
        } else {
            model.suspect[machine] = true;
            world.outcome(attempt, Outcome::Failed);
        }
    }
}

/// Notes what inboxes were told; each text says its number.
fn note(world: &mut World, model: &mut Model, taken: impl Fn(&Model, &str) -> bool) {
    for (inbox, message, _) in delivered(world) {
        if let Content::Text(text) = &message.content
            && let Ok(number) = text.body.parse()
            && taken(model, &inbox)
        {
            model.had.entry(inbox).or_default().push(number);
        }
    }
}

fn is_alive(model: &Model, inbox: &str) -> bool {
    let phone = inbox.ends_with("phone");
    let machine = inbox
        .bytes()
        .next()
        .map_or(0, |digit| usize::from(digit - b'0'));
    !model.dead.get(&(machine, phone)).copied().unwrap_or(false)
}

fn write(world: &mut World, model: &mut Model, phone: bool) {
    model.written += 1;
    let number = model.written;
    let from = message(0, 1, stack(phone), text(&number.to_string()));
    world.send(0, &caller(0, stack(phone)), submit(1, from));
    answer(world, model);
    note(world, model, is_alive);
    for machine in 0..model.machines.len() {
        let count = |phone| {
            let had = model.had.get(&inbox(machine, phone));
            had.map_or(0, |had| had.iter().filter(|n| **n == number).count())
        };
        let (letters, phones) = (count(false), count(true));
        let alive = [false, true].map(|phone| is_alive(model, &inbox(machine, phone)));
        assert!(letters <= 1 && phones <= 1, "an inbox has it twice");
        if alive.contains(&true) {
            assert!(letters + phones >= 1, "machine {machine} has lost {number}");
        }
        let named = !model.machines[machine].is_empty();
        let alone = model.machines.len() == 1;
        if (named || alone) && !model.suspect[machine] {
            assert!(
                letters + phones <= 1,
                "machine {machine} has {number} twice"
            );
        }
    }
}

fn act(world: &mut World, model: &mut Model, happening: &Happening) {
    let count = model.machines.len();
    match happening {
        Happening::Text(phone) => write(world, model, *phone),
        Happening::Answer(at, phone) => {
            let at = at % count;
            let mut reply = message(1, 0, stack(*phone), text("answer"));
            reply.from = address(1);
            let mut command = submit(0, reply);
            if let Command::Submit(submit) = &mut command {
                submit.whence = Whence::Inbox(inbox(at, *phone).into());
            }
            // Whoever writes by one stack where only the other has heard may be somebody else.
            if model.machines[at].is_empty() {
                model.suspect[at] = true;
            }
            world.send(1, &caller(1, stack(*phone)), command);
            answer(world, model);
            delivered(world);
        }
        Happening::Dead(at, phone, dead) => {
            model.dead.insert((at % count, *phone), *dead);
            if !dead {
                // It comes back by signing in again.
                sign(world, model, at % count, *phone);
                answer(world, model);
                note(world, model, is_alive);
            }
        }
        Happening::Pass(span) => {
            world.pass(secs(*span));
            answer(world, model);
            note(world, model, is_alive);
        }
        Happening::Restart => {
            world.restart();
            for at in 0..count {
                for phone in [false, true] {
                    if is_alive(model, &inbox(at, phone)) {
                        sign(world, model, at, phone);
                    }
                }
            }
            answer(world, model);
            note(world, model, is_alive);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_machine_has_every_text_once_and_in_order(
        named in proptest::collection::vec(any::<bool>(), 1..4),
        story in proptest::collection::vec(happening(), 1..40),
    ) {
        let mut world = World::new(2);
        world.clients = silent();
        let inbox_of_sender = signed_in(&mut world, 0, LETTERS, "9sender");
        prop_assert!(inbox_of_sender.0 > 0);
        let mut model = Model {
            machines: named
                .iter()
                .enumerate()
                .map(|(at, named)| if *named { format!("PC{at}") } else { String::new() })
                .collect(),
            dead: BTreeMap::new(),
            suspect: vec![false; named.len()],
            had: BTreeMap::new(),
            written: 0,
        };
        // One machine without a name among others can't be told from them.
        for at in 0..model.machines.len() {
            for phone in [false, true] {
                sign(&mut world, &model, at, phone);
            }
        }
        for happening in &story {
            act(&mut world, &mut model, happening);
        }
        for had in model.had.values() {
            prop_assert!(had.windows(2).all(|pair| pair[0] < pair[1]), "order: {:?}", had);
        }
        prop_assert_eq!(world.user(1).person(), person(1));
    }
}
