//! Tests of the core, one module per matter; each test is named after the rule it holds to.

mod away;
mod consent;
mod delivery;
mod detail;
mod devices;
mod folding;
mod invitations;
mod keeping;
mod leases;
mod locating;
mod machines;
mod matrix;
mod model;
mod points;
mod properties;
mod restoring;
mod secrecy;
mod watching;

use super::command::{Change, Command, Outcome, PointHint, Publish, Reply, Via};
use super::error::Error;
use super::event::Event;
use super::exercise::{
    Answer, Clients, LETTERS, PHONES, World, address, caller, message, person, sign_in, spec,
    submit, text, watch,
};
use super::id::{PointId, Stack, WatchId};
use super::message::Message;
use super::presence::{Presence, State, View};
use std::sync::Arc;
use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);

fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Signs person `who` in; the point's id.
fn signed_in(world: &mut World, who: usize, stack: Stack, inbox: &str) -> PointId {
    let command = sign_in(stack, spec(stack, inbox, HOUR));
    match world.ask(who, &caller(who, stack), command) {
        Ok(Reply::Points(points)) => points.last().expect("a point").id,
        other => panic!("{other:?}"),
    }
}

/// Publishes a state from the inbox's point.
fn publish(world: &mut World, who: usize, stack: Stack, inbox: &str, state: State) -> Answer {
    let command = Command::Publish(Publish {
        stack,
        target: None,
        adopt: true,
        hint: PointHint {
            inbox: Some(inbox.into()),
            source: None,
            client: None,
        },
        key: None,
        presence: Some(Presence::of(state)),
        calls: None,
        lease: Some(HOUR),
    });
    world.ask(who, &caller(who, stack), command)
}

/// Watches directly; the watch and what it shows.
fn watching(world: &mut World, of: usize, by: usize) -> (WatchId, View) {
    let command = watch(PHONES, Via::Direct, HOUR, false);
    match world.ask(of, &caller(by, PHONES), command) {
        Ok(Reply::Watching {
            watch: Some(id),
            view,
            ..
        }) => (id, view),
        other => panic!("{other:?}"),
    }
}

/// The true fold.
fn state(world: &mut World, who: usize) -> State {
    match world.ask(who, &caller(who, LETTERS), Command::Standing) {
        Ok(Reply::Standing(standing)) => standing.view.state,
        other => panic!("{other:?}"),
    }
}

/// States that watchers were told, in order; clears the events.
fn told(world: &mut World) -> Vec<State> {
    let events = std::mem::take(&mut world.events);
    let state = |(_, event): (Stack, Event)| match event {
        Event::Presence {
            change: Change::Presence(view),
            ..
        } => Some(view.state),
        _ => None,
    };
    events.into_iter().filter_map(state).collect()
}

/// Deliveries since the last look: recipient's inbox, message, mark; clears the events.
fn delivered(world: &mut World) -> Vec<(String, Arc<Message>, bool)> {
    let events = std::mem::take(&mut world.events);
    let delivery = |(_, event): (Stack, Event)| match event {
        Event::Deliver {
            point,
            message,
            redelivered,
            ..
        } => Some((point.inbox.to_string(), message, redelivered)),
        _ => None,
    };
    events.into_iter().filter_map(delivery).collect()
}

/// Sends a text; its answer may be open still.
fn say(world: &mut World, from: usize, to: usize, body: &str) -> crate::core::effect::ReplyTag {
    let message = message(from, to, LETTERS, text(body));
    world.send(from, &caller(from, LETTERS), submit(to, message))
}

fn silent() -> Clients {
    Clients::Silent
}

fn answering(outcome: Outcome) -> Clients {
    Clients::Answer(outcome)
}
