//! Issue 5 section 1: which sign-ins are one device, and what devices get.

use super::*;
use crate::core::command::{Fate, Submit, Whence};
use crate::core::devices::{Bond, DeviceChange, DeviceInfo, Policy, SplitWhy, Spread};
use crate::core::effect::ReplyTag;
use crate::core::exercise::person;
use crate::core::message::{Ack, Content};
use crate::core::presence::View;

/// Where people sign in from.
const NAT: [u8; 4] = [192, 0, 2, 7];

/// Signs person 1 in at the NAT's address, as that client on that machine.
fn client(world: &mut World, stack: Stack, inbox: &str, machine: &str, family: &str) -> PointId {
    let mut point = spec(stack, inbox, HOUR);
    point.source = Some(NAT.into());
    point.machine = (!machine.is_empty()).then(|| machine.into());
    point.family = (!family.is_empty()).then(|| family.into());
    match world.ask(1, &caller(1, stack), sign_in(stack, point)) {
        Ok(Reply::Points(points)) => points.last().expect("a point").id,
        other => panic!("{other:?}"),
    }
}

/// One client on both stacks of machine `name`: its letter box and its phone.
fn machine(world: &mut World, name: &str) -> (PointId, PointId) {
    let letters = format!("{name}-letters");
    let phone = format!("{name}-phone");
    (
        client(world, LETTERS, &letters, name, "messenger"),
        client(world, PHONES, &phone, name, "messenger"),
    )
}

fn devices(world: &mut World) -> Vec<DeviceInfo> {
    match world.ask(1, &caller(1, LETTERS), Command::Standing) {
        Ok(Reply::Standing(standing)) => standing.devices,
        other => panic!("{other:?}"),
    }
}

fn count(world: &mut World) -> usize {
    devices(world).len()
}

/// Person `from` writes on that stack, from that inbox.
fn write(
    world: &mut World,
    (from, to): (usize, usize),
    stack: Stack,
    inbox: &str,
    content: Content,
) -> ReplyTag {
    let command = Command::Submit(Submit {
        message: message(from, to, stack, content),
        conversation: None,
        to: person(to),
        whence: Whence::Inbox(inbox.into()),
    });
    world.send(from, &caller(from, stack), command)
}

/// Inboxes that a text of person 0 reaches, in order.
fn hello(world: &mut World, stack: Stack) -> Vec<String> {
    delivered(world);
    write(world, (0, 1), stack, "sender", text("hello"));
    delivered(world).into_iter().map(|d| d.0).collect()
}

fn fate(world: &World, tag: ReplyTag) -> Option<Result<Fate, Error>> {
    world.answer(tag).map(|answer| match answer {
        Ok(Reply::Sent(sent)) => Ok(sent.fate),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    })
}

fn rule(world: &mut World, change: DeviceChange) -> Result<Reply, Error> {
    world.ask(1, &caller(1, LETTERS), Command::SetDevices(vec![change]))
}

fn splits(world: &World) -> Vec<SplitWhy> {
    let devices = world.stored(1).devices.clone().unwrap_or_default();
    devices.splits.iter().map(|split| split.why).collect()
}

#[test]
fn a_client_on_two_stacks_gets_each_text_once_by_the_stack_it_came_by() {
    let mut world = World::new(2);
    machine(&mut world, "DESK");
    assert_eq!(devices(&mut world)[0].bond, Some(Bond::Machine));
    assert_eq!(hello(&mut world, LETTERS), ["DESK-letters"]);
    assert_eq!(hello(&mut world, PHONES), ["DESK-phone"]);
}

#[test]
fn sign_ins_are_paired_by_source_and_machine_or_by_client_within_half_a_minute() {
    for (machines, families, apart, one) in [
        (("DESK", "desk"), ("", ""), 600, true),
        (("", ""), ("messenger", "messenger"), 30, true),
        (("", ""), ("messenger", "messenger"), 31, false),
        (("", ""), ("messenger", "purple"), 0, false),
        (("", ""), ("", ""), 0, false),
        // Two names are two machines, whatever client.
        (("DESK", "LAPTOP"), ("messenger", "messenger"), 0, false),
        // An instance is no machine's name.
        (("DESK", "urn:uuid:1"), ("messenger", "messenger"), 0, true),
    ] {
        let mut world = World::new(2);
        client(&mut world, LETTERS, "a", machines.0, families.0);
        world.pass(secs(apart));
        client(&mut world, PHONES, "b", machines.1, families.1);
        let pair = count(&mut world) == 1;
        assert_eq!(pair, one, "{machines:?} {families:?} {apart}");
    }
    let mut world = World::new(2);
    client(&mut world, LETTERS, "a", "DESK", "");
    let mut elsewhere = spec(PHONES, "b", HOUR);
    elsewhere.source = Some([192, 0, 2, 8].into());
    elsewhere.machine = Some("DESK".into());
    let signed = world.ask(1, &caller(1, PHONES), sign_in(PHONES, elsewhere));
    assert!(signed.is_ok());
    assert_eq!(count(&mut world), 2, "another source is another machine");
}

#[test]
fn two_machines_behind_one_nat_both_get_every_text() {
    for (first, second) in [("DESK", "LAPTOP"), ("", "")] {
        let mut world = World::new(2);
        for (at, name) in [first, second].into_iter().enumerate() {
            client(
                &mut world,
                LETTERS,
                &format!("letters{at}"),
                name,
                "messenger",
            );
            client(&mut world, PHONES, &format!("phone{at}"), name, "messenger");
        }
        let got = hello(&mut world, LETTERS);
        for at in 0..2 {
            let own = [format!("letters{at}"), format!("phone{at}")];
            let copies = got.iter().filter(|inbox| own.contains(inbox)).count();
            // Named machines get one copy each; where nothing tells them apart, doubles.
            let wanted = if first.is_empty() { 2 } else { 1 };
            assert_eq!(copies, wanted, "machine {at}: {got:?}");
        }
    }
}

#[test]
fn a_third_sign_in_parts_a_pair_for_as_long_as_both_last() {
    let mut world = World::new(2);
    client(&mut world, LETTERS, "a", "", "messenger");
    client(&mut world, PHONES, "b", "", "messenger");
    assert_eq!(count(&mut world), 1);
    world.pass(secs(600));
    let third = client(&mut world, PHONES, "c", "", "messenger");
    assert_eq!(count(&mut world), 3);
    assert_eq!(splits(&world), [SplitWhy::Third]);
    points::remove(&mut world, 1, PHONES, third).expect("removed");
    assert_eq!(count(&mut world), 2, "it was no pair once");
    world.restart();
    assert_eq!(count(&mut world), 2, "nor after a restart");
    let first = world.stored(1).points[0].id;
    points::remove(&mut world, 1, LETTERS, first).expect("removed");
    assert!(splits(&world).is_empty(), "forgotten with the sign-in");
}

#[test]
fn a_client_that_signs_in_again_at_its_inbox_stays_with_its_device() {
    let mut world = World::new(2);
    let first = client(&mut world, LETTERS, "a", "", "messenger");
    client(&mut world, PHONES, "b", "", "messenger");
    world.pass(secs(1800));
    client(&mut world, LETTERS, "a", "", "messenger");
    points::remove(&mut world, 1, LETTERS, first).expect("removed");
    assert_eq!(count(&mut world), 1);
    assert_eq!(hello(&mut world, LETTERS), ["a"]);
}

#[test]
fn a_third_stack_of_the_same_client_is_no_third_machine() {
    const ROOMS: Stack = Stack::named("rooms");
    let mut world = World::new(2);
    machine(&mut world, "DESK");
    client(&mut world, ROOMS, "room", "DESK", "messenger");
    assert_eq!(count(&mut world), 1);
    assert_eq!(hello(&mut world, LETTERS), ["DESK-letters"]);
}

#[test]
fn a_conversation_stays_on_the_stack_it_is_held_on() {
    let mut world = World::new(2);
    signed_in(&mut world, 0, LETTERS, "sender");
    machine(&mut world, "DESK");
    assert_eq!(hello(&mut world, LETTERS), ["DESK-letters"]);
    write(&mut world, (1, 0), PHONES, "DESK-phone", text("here"));
    let first = delivered(&mut world)[0].1.conversation;
    assert_eq!(hello(&mut world, LETTERS), ["DESK-phone"]);
    write(
        &mut world,
        (1, 0),
        LETTERS,
        "DESK-letters",
        text("and here"),
    );
    assert_eq!(
        delivered(&mut world)[0].1.conversation,
        first,
        "one conversation"
    );
    assert_eq!(hello(&mut world, LETTERS), ["DESK-letters"]);
    // After ten minutes of silence it is a new one.
    world.pass(secs(601));
    assert_eq!(hello(&mut world, PHONES), ["DESK-phone"]);
}

#[test]
fn the_other_point_gets_it_when_one_fails_and_that_parts_them() {
    let mut world = World::new(2);
    let (letters, phone) = machine(&mut world, "DESK");
    world.clients = silent();
    let tag = write(&mut world, (0, 1), LETTERS, "sender", text("hello"));
    let open = world.open();
    assert_eq!(open.iter().map(|o| o.1).collect::<Vec<_>>(), [letters]);
    world.outcome(open[0], Outcome::Failed);
    let open = world.open();
    assert_eq!(open.iter().map(|o| o.1).collect::<Vec<_>>(), [phone]);
    assert_eq!(fate(&world, tag), None);
    world.outcome(open[0], Outcome::Delivered);
    assert_eq!(fate(&world, tag), Some(Ok(Fate::Delivered)));
    assert_eq!(splits(&world), [SplitWhy::AnsweredAlone]);
    world.clients = answering(Outcome::Delivered);
    assert_eq!(
        hello(&mut world, LETTERS).len(),
        2,
        "a double is better than a loss"
    );
}

#[test]
fn the_other_point_gets_it_when_one_says_nothing_for_four_seconds() {
    let mut world = World::new(2);
    let (_, phone) = machine(&mut world, "DESK");
    world.clients = silent();
    let tag = write(&mut world, (0, 1), LETTERS, "sender", text("hello"));
    world.pass(secs(4));
    assert_eq!(fate(&world, tag), Some(Ok(Fate::Kept)));
    let open = world.open();
    assert_eq!(open.len(), 2);
    world.outcome((open[0].0, phone), Outcome::Delivered);
    assert!(world.stored(1).kept.is_empty());
    world.pass(secs(100));
    assert!(world.user(1).deliveries.is_empty());
}

#[test]
fn a_client_that_has_left_has_left_on_all_its_stacks() {
    let mut world = World::new(2);
    machine(&mut world, "DESK");
    world.clients = answering(Outcome::HasLeft);
    let tag = write(&mut world, (0, 1), LETTERS, "sender", text("hello"));
    assert_eq!(fate(&world, tag), Some(Err(Error::HasLeft)));
    assert_eq!(delivered(&mut world).len(), 1);
}

#[test]
fn notify_ack_all_wants_every_device_not_every_point() {
    let mut world = World::new(2);
    machine(&mut world, "DESK");
    machine(&mut world, "LAPTOP");
    let mut all = message(0, 1, LETTERS, text("hello"));
    all.ack = Ack::All;
    let tag = world.send(0, &caller(0, LETTERS), submit(1, all));
    assert_eq!(fate(&world, tag), Some(Ok(Fate::Delivered)));
    assert_eq!(delivered(&mut world).len(), 2);
}

#[test]
fn who_writes_where_only_the_other_has_heard_is_another_machine() {
    let mut world = World::new(2);
    signed_in(&mut world, 0, LETTERS, "sender");
    client(&mut world, LETTERS, "a", "", "messenger");
    client(&mut world, PHONES, "b", "", "messenger");
    assert_eq!(hello(&mut world, LETTERS), ["a"]);
    write(&mut world, (1, 0), PHONES, "b", text("anybody?"));
    assert_eq!(splits(&world), [SplitWhy::WroteAlone]);
    assert_eq!(hello(&mut world, LETTERS).len(), 2);
}

fn two_machines(policy: Policy, preferred: Option<Stack>) -> World {
    let mut world = World::new(2);
    world.rules.spread = Spread { policy, preferred };
    signed_in(&mut world, 0, LETTERS, "sender");
    machine(&mut world, "HOME");
    world.pass(secs(60));
    machine(&mut world, "WORK");
    world
}

#[test]
fn most_active_gives_it_to_the_device_used_last_and_to_others_when_that_fails() {
    let mut world = two_machines(Policy::MostActive, None);
    assert_eq!(hello(&mut world, LETTERS), ["WORK-letters"]);
    world.pass(secs(60));
    publish(&mut world, 1, PHONES, "HOME-phone", State::Online).expect("published");
    assert_eq!(hello(&mut world, LETTERS), ["HOME-letters"]);
    // Whoever answers holds the conversation, whatever is used elsewhere.
    write(&mut world, (1, 0), PHONES, "WORK-phone", text("at work"));
    world.pass(secs(60));
    publish(&mut world, 1, PHONES, "HOME-phone", State::Busy).expect("published");
    assert_eq!(hello(&mut world, LETTERS), ["WORK-phone"]);
    world.clients = answering(Outcome::Unreached);
    let tried = hello(&mut world, LETTERS);
    assert_eq!(tried.len(), 4, "in the end everything is tried: {tried:?}");
    assert_eq!(tried[0], "WORK-phone");
}

#[test]
fn preferred_gives_it_to_the_preferred_stack_then_by_the_clients_wish() {
    let mut world = World::new(2);
    world.rules.spread.policy = Policy::Preferred;
    for (inbox, q) in [("low", 300), ("high", 900), ("mid", 500)] {
        let mut point = spec(PHONES, inbox, HOUR);
        point.preference = q;
        let signed = world.ask(1, &caller(1, PHONES), sign_in(PHONES, point));
        assert!(signed.is_ok());
    }
    assert_eq!(hello(&mut world, LETTERS), ["high"]);
    signed_in(&mut world, 1, LETTERS, "letters");
    rule(&mut world, DeviceChange::Preferred(Some(PHONES))).expect("set");
    assert_eq!(hello(&mut world, LETTERS), ["high"]);
    rule(&mut world, DeviceChange::Preferred(Some(LETTERS))).expect("set");
    assert_eq!(hello(&mut world, LETTERS), ["letters"]);
    world.restart();
    assert_eq!(hello(&mut world, LETTERS), ["letters"], "kept");
}

#[test]
fn a_persons_own_policy_beats_the_domains_and_that_the_servers() {
    let mut world = two_machines(Policy::All, None);
    assert_eq!(hello(&mut world, LETTERS).len(), 2);
    let own = Spread {
        policy: Policy::MostActive,
        preferred: Some(PHONES),
    };
    world.rules.spreads = [("example.com".to_owned(), own)].into();
    assert_eq!(hello(&mut world, LETTERS), ["WORK-letters"]);
    rule(&mut world, DeviceChange::Policy(Some(Policy::All))).expect("set");
    assert_eq!(hello(&mut world, LETTERS).len(), 2);
    rule(&mut world, DeviceChange::Policy(None)).expect("set");
    assert_eq!(hello(&mut world, LETTERS), ["WORK-letters"]);
}

fn typing(active: bool) -> Content {
    Content::Typing {
        active,
        valid: secs(60),
    }
}

#[test]
fn typing_goes_to_whoever_wrote_last_and_is_ended_by_nobody_else() {
    let mut world = two_machines(Policy::All, None);
    write(&mut world, (1, 0), PHONES, "HOME-phone", text("hello"));
    delivered(&mut world);
    write(&mut world, (0, 1), LETTERS, "sender", typing(true));
    let shown: Vec<_> = delivered(&mut world).into_iter().map(|d| d.0).collect();
    assert_eq!(shown, ["HOME-phone"]);
    // The other way: one device types, another has stopped.
    write(&mut world, (1, 0), PHONES, "HOME-phone", typing(true));
    assert_eq!(delivered(&mut world).len(), 1);
    let tag = write(&mut world, (1, 0), PHONES, "WORK-phone", typing(false));
    assert_eq!(fate(&world, tag), Some(Ok(Fate::Dropped)));
    assert!(delivered(&mut world).is_empty());
}

#[test]
fn a_leave_of_one_device_ends_nothing_for_the_others() {
    let mut world = two_machines(Policy::All, None);
    assert_eq!(hello(&mut world, LETTERS).len(), 2);
    let tag = write(&mut world, (1, 0), LETTERS, "WORK-letters", Content::Leave);
    assert_eq!(fate(&world, tag), Some(Ok(Fate::Dropped)));
    assert!(
        delivered(&mut world).is_empty(),
        "home still has its window"
    );
    write(&mut world, (1, 0), LETTERS, "HOME-letters", Content::Leave);
    let told = delivered(&mut world);
    assert_eq!(told[0].1.content, Content::Leave, "the last one is told");
}

#[test]
fn writing_to_oneself_across_stacks_is_refused_and_explained_once() {
    let mut world = World::new(2);
    signed_in(&mut world, 1, PHONES, "phone");
    let tag = write(&mut world, (1, 1), PHONES, "phone", text("note"));
    assert_eq!(
        fate(&world, tag),
        Some(Ok(Fate::Delivered)),
        "on one stack it is a note"
    );
    delivered(&mut world);
    world.pass(secs(700));
    signed_in(&mut world, 1, LETTERS, "letters");
    for told in [1, 0] {
        let tag = write(&mut world, (1, 1), PHONES, "phone", text("hello?"));
        assert!(matches!(fate(&world, tag), Some(Err(Error::Denied(_)))));
        let notices = delivered(&mut world);
        let explained = notices
            .iter()
            .filter(|(inbox, message, _)| inbox == "phone" && message.from.local() == "postmaster");
        assert_eq!(explained.count(), told);
    }
}

#[test]
fn an_operators_word_outlasts_sign_ins_and_restarts() {
    let mut world = World::new(2);
    let a = client(&mut world, LETTERS, "a", "", "messenger");
    world.pass(secs(60));
    let b = client(&mut world, PHONES, "b", "urn:uuid:1", "softphone");
    assert_eq!(count(&mut world), 2);
    rule(&mut world, DeviceChange::Rule(a, b, true)).expect("pinned");
    assert_eq!(devices(&mut world)[0].bond, Some(Bond::Pinned));
    points::remove(&mut world, 1, LETTERS, a).expect("removed");
    world.restart();
    world.pass(secs(60));
    let a = client(&mut world, LETTERS, "another", "", "messenger");
    let known = devices(&mut world);
    assert_eq!((known.len(), known[0].points.len()), (1, 2));
    rule(&mut world, DeviceChange::Rule(b, a, false)).expect("split");
    assert_eq!(count(&mut world), 2);
    rule(&mut world, DeviceChange::Free(a, b)).expect("freed");
    let kept = world.stored(1).devices.clone().expect("stored");
    assert!(kept.rulings.is_empty());
    let same = DeviceChange::Rule(a, a, true);
    assert!(matches!(rule(&mut world, same), Err(Error::Denied(_))));
    let unknown = DeviceChange::Rule(a, PointId(9), true);
    assert_eq!(rule(&mut world, unknown).err(), Some(Error::StaleId));
    let stranger = Command::SetDevices(vec![DeviceChange::Policy(None)]);
    let refused = world.ask(1, &caller(0, LETTERS), stranger);
    assert!(matches!(refused, Err(Error::Denied(_))));
}

#[test]
fn a_split_pair_stays_split_whatever_it_has_in_common() {
    let mut world = World::new(2);
    let (a, b) = machine(&mut world, "DESK");
    rule(&mut world, DeviceChange::Rule(a, b, false)).expect("split");
    assert_eq!(hello(&mut world, LETTERS).len(), 2);
}

#[test]
fn a_silent_sign_in_turns_idle_and_its_person_wakes_it() {
    let mut world = World::new(2);
    world.rules.idle_after = secs(600);
    signed_in(&mut world, 1, PHONES, "phone");
    let (_, View { state: seen, .. }) = watching(&mut world, 1, 0);
    assert_eq!(seen, State::Online);
    world.pass(secs(599));
    assert_eq!(told(&mut world), []);
    // A lease renewed by the client is no sign of its person.
    signed_in(&mut world, 1, PHONES, "phone");
    world.pass(secs(1));
    assert_eq!(told(&mut world), [State::Idle]);
    assert!(devices(&mut world)[0].points[0].idle);
    write(&mut world, (1, 0), PHONES, "phone", text("back"));
    world.pass(secs(1));
    assert_eq!(told(&mut world), [State::Online]);
    world.pass(secs(601));
    assert_eq!(told(&mut world), [State::Idle]);
}
