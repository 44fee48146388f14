//! Invitations that nobody can take up (`decisions.md` 23).

use super::*;
use crate::core::access::Scheme;
use crate::core::command::Caller;
use crate::core::message::{Content, Kind};

fn invitation(offer: bool) -> Content {
    Content::Invitation {
        cookie: Some("7".into()),
        offer,
    }
}

fn told(world: &mut World) -> Vec<(String, Kind)> {
    let all = delivered(world).into_iter();
    all.map(|(inbox, message, _)| (inbox, message.content.kind()))
        .collect()
}

#[test]
fn an_invitation_without_a_client_for_it_is_declined_and_both_are_told() {
    let mut world = World::new(2);
    signed_in(&mut world, 0, LETTERS, "own");
    signed_in(&mut world, 1, PHONES, "a");
    let offer = message(0, 1, LETTERS, invitation(true));
    let tag = world.send(0, &caller(0, LETTERS), submit(1, offer));
    assert!(matches!(world.answer(tag), Some(Ok(_))));
    let own = "own".to_owned();
    assert_eq!(
        told(&mut world),
        [
            (own.clone(), Kind::Invitation),
            (own, Kind::Text),
            ("a".to_owned(), Kind::Text)
        ],
        "the refusal, and a notice to both"
    );
    // The refusal of a refusal would never end.
    let answer = message(0, 1, LETTERS, invitation(false));
    let tag = world.send(0, &caller(0, LETTERS), submit(1, answer));
    assert!(matches!(world.answer(tag), Some(Ok(_))));
    assert_eq!(told(&mut world), []);
    // With a client for it, it is that client's.
    signed_in(&mut world, 1, LETTERS, "b");
    let offer = message(0, 1, LETTERS, invitation(true));
    world.send(0, &caller(0, LETTERS), submit(1, offer));
    assert_eq!(told(&mut world), [("b".to_owned(), Kind::Invitation)]);
}

#[test]
fn a_call_that_was_declined_for_somebody_is_told_to_him() {
    let mut world = World::new(2);
    signed_in(&mut world, 1, LETTERS, "b");
    let call = || Command::Uncalled(address(0));
    let stranger = world.ask(1, &caller(0, PHONES), call());
    assert!(stranger.is_err(), "only this server says so");
    let own = Caller {
        scheme: Scheme::Internal,
        ..caller(1, PHONES)
    };
    assert!(world.ask(1, &own, call()).is_ok());
    assert_eq!(told(&mut world), [("b".to_owned(), Kind::Text)]);
}
