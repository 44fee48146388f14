//! What the clients of the test know and have heard.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tristack::core::access::Scheme;
use tristack::core::command::{Caller, Command, Outcome, Route};
use tristack::core::event::{Event, Outbound};
use tristack::core::id::{PersonId, Stack};
use tristack::core::message::{Content, Message};
use tristack::hub::{Hub, ReplyTo};

/// A stack whose clients know conversations.
pub(crate) const MESH: Stack = Stack::named("mesh");
/// One whose clients know none.
pub(crate) const PAGER: Stack = Stack::named("pager");

/// What one client has heard: texts as they are shown, with who is shown as their sender.
pub(crate) type Heard = Vec<(String, String)>;

#[derive(Default)]
pub(crate) struct State {
    /// Texts by person and stack.
    pub(crate) heard: BTreeMap<(usize, Stack), Heard>,
    /// Whom a mesh client takes for members.
    pub(crate) mesh: BTreeMap<usize, BTreeSet<usize>>,
    /// The chat address, as pager clients have seen it.
    pub(crate) chat: Option<String>,
    /// The next thing that comes to this person's mesh client is answered "has left".
    pub(crate) hanging: BTreeSet<usize>,
    /// Who takes nothing and says nothing.
    pub(crate) silent: BTreeSet<usize>,
    /// Events so far.
    pub(crate) events: usize,
}

/// Takes the deliveries of one stack and answers them at once.
pub(crate) struct Front {
    pub(crate) stack: Stack,
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) hub: Arc<OnceLock<Hub>>,
}

impl Outbound for Front {
    fn take(&self, event: Event) {
        let Event::Deliver {
            person,
            point,
            message,
            ..
        } = event
        else {
            return;
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.events += 1;
        if state.silent.contains(&number(person)) {
            return;
        }
        let outcome = take(&mut state, self.stack, number(person), &message);
        drop(state);
        let command = Command::Outcome {
            message: message.id,
            point: point.id,
            outcome,
        };
        let caller = Caller {
            address: message.to.clone(),
            person: Some(person),
            scheme: Scheme::Internal,
            route: Route::Internal,
        };
        let hub = self.hub.get().expect("the hub is set before it is opened");
        hub.send(person, caller, command, ReplyTo::Nobody);
    }
}

fn take(state: &mut State, stack: Stack, who: usize, message: &Message) -> Outcome {
    if stack == MESH {
        return take_mesh(state, who, message);
    }
    let shown = match (message.line(), &message.content) {
        (Some(line), _) => line.to_string(),
        (None, Content::Text(text)) => text.body.to_string(),
        (None, _) => return Outcome::Delivered,
    };
    let from = message.speaker().local().to_owned();
    if from.starts_with("conv-") {
        state.chat = Some(message.speaker().to_string());
    }
    state
        .heard
        .entry((who, stack))
        .or_default()
        .push((from, shown));
    Outcome::Delivered
}

fn take_mesh(state: &mut State, who: usize, message: &Message) -> Outcome {
    if state.hanging.contains(&who) {
        state.mesh.remove(&who);
        return Outcome::HasLeft;
    }
    let from = message.from.local().to_owned();
    // The chat address speaks beside the conversation.
    let sender = from.strip_prefix('p').and_then(|digit| digit.parse().ok());
    if let Some(sender) = sender {
        let known = state.mesh.entry(who).or_default();
        match message.content {
            Content::Leave => known.remove(&sender),
            _ => known.insert(sender),
        };
    }
    if let Content::Text(text) = &message.content {
        let heard = state.heard.entry((who, MESH)).or_default();
        heard.push((from, text.body.to_string()));
    }
    Outcome::Delivered
}

/// Person 0 has id 1, and so on.
pub(crate) fn person(at: usize) -> PersonId {
    PersonId(at as u128 + 1)
}

pub(crate) fn number(person: PersonId) -> usize {
    usize::try_from(person.0 - 1).expect("one of the few")
}
