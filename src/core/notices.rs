//! Texts from the system address: what people have to be told that no answer can tell them.

use crate::core::access::Scheme;
use crate::core::address::Address;
use crate::core::command::{Caller, Command, Reach, Route, Topic, WatchState};
use crate::core::effect::{Forward, ReplyTag};
use crate::core::id::{ConversationId, PersonId, Stack};
use crate::core::message::{Ack, Content, Decoded, Message, Original, Text};
use crate::core::points::Point;
use crate::core::user::{Fx, User};
use crate::core::watches::Watching;
use std::sync::Arc;

/// Where what this server itself says enters.
pub(super) const SYSTEM: Stack = Stack::named("system");

/// Watchers whose waiting the owner was told of; few people have any.
#[derive(Debug, Default)]
pub(super) struct WaitingTold(Vec<Address>);

impl User {
    /// Somebody can be reached now: he is told which of his sign-ins can't be
    /// (`decisions.md` 28), once each.
    pub(super) fn announce_send_only(&mut self, fx: &mut Fx<'_, '_>) {
        let reached = |p: &Point| p.record.spec.reach == Reach::Full && p.doubted.is_none();
        if self.is_node() || !self.points.iter().any(reached) {
            return;
        }
        let system = Address::new(&fx.rules().system_local, self.account().address.domain());
        let Ok(from) = system else { return };
        let person = self.person();
        let to = self.account().address.clone();
        for point in &mut self.points {
            let spec = &point.record.spec;
            if point.announced || spec.reach != Reach::SendOnly {
                continue;
            }
            point.announced = true;
            let body = format!(
                "One of your sign-ins ({}) can send, but nothing can be sent to it: this server may \
                 not connect to that address. Your administrator sees why with `tristack explain {to}`.",
                spec.inbox
            );
            let conversation = ConversationId(fx.random());
            let ends = (from.clone(), to.clone());
            post(fx, person, ends, conversation, text(body));
        }
    }

    /// Somebody waits for consent, or the owner is there now: he is told once per watcher, unless
    /// his clients can see it by themselves. A restart forgets who was told of; who still waits
    /// then is named once more.
    pub(super) fn announce_waiting(&mut self, fx: &mut Fx<'_, '_>) {
        let hears = |p: &Point| {
            let spec = &p.record.spec;
            let reached = spec.reach == Reach::Full && p.doubted.is_none();
            reached && !fx.shows_waiting(p.record.stack)
        };
        if self.is_node() || !self.points.iter().any(hears) || self.watches_watchers() {
            return;
        }
        let waits = |w: &&Watching| {
            let waiting = matches!(w.record.state, WatchState::Pending | WatchState::Waiting);
            waiting && w.record.topic == Topic::Presence
        };
        let all = self.watches.iter().filter(waits);
        let waiting: Vec<Address> = all.map(|w| w.record.watcher.clone()).collect();
        let system = Address::new(&fx.rules().system_local, self.account().address.domain());
        let Ok(from) = system else { return };
        let person = self.person();
        let to = self.account().address.clone();
        let mut told = self.waiting_told.take().unwrap_or_default();
        told.0.retain(|known| waiting.contains(known));
        for watcher in waiting {
            if told.0.contains(&watcher) {
                continue;
            }
            let body = format!(
                "{watcher} wants to see your presence and waits for your answer. Allow or block \
                 {watcher} in your client's list of who may see you, or ask your administrator \
                 (`tristack consent {to} accept {watcher}`)."
            );
            told.0.push(watcher);
            let conversation = ConversationId(fx.random());
            post(
                fx,
                person,
                (from.clone(), to.clone()),
                conversation,
                text(body),
            );
        }
        self.waiting_told = (!told.0.is_empty()).then_some(told);
    }

    /// Whether one of the owner's clients has asked who watches him.
    fn watches_watchers(&self) -> bool {
        let mut all = self.watches.iter();
        all.any(|w| {
            w.record.topic == Topic::Watchers && w.record.watcher_person == Some(self.person())
        })
    }
}

/// Plain text.
pub(super) fn text(body: String) -> Content {
    Content::Text(Text {
        body: body.into(),
        media: "text/plain".into(),
        format: None,
    })
}

/// Sends somebody here what this server itself has to say.
pub(super) fn post(
    fx: &mut Fx<'_, '_>,
    person: PersonId,
    (from, to): (Address, Address),
    conversation: ConversationId,
    content: Content,
) {
    let original = Original {
        stack: SYSTEM,
        bytes: bytes::Bytes::new(),
        key: None,
        decoded: Decoded::default(),
    };
    post_as(fx, person, (from, to), conversation, content, original);
}

/// The same, made from something that a client wrote.
pub(super) fn post_as(
    fx: &mut Fx<'_, '_>,
    person: PersonId,
    (from, to): (Address, Address),
    conversation: ConversationId,
    content: Content,
    original: Original,
) {
    let caller = Caller {
        address: from.clone(),
        person: None,
        scheme: Scheme::Internal,
        route: Route::Internal,
    };
    let notice = Message {
        id: fx.message_id(),
        at: fx.now(),
        from,
        from_person: None,
        from_name: "".into(),
        to,
        conversation,
        content,
        original,
        ack: Ack::Any,
        hops: 1,
        wants: None,
        chat: None,
    };
    fx.forward(Forward {
        to: person,
        caller,
        command: Command::Deliver(Arc::new(notice)),
        reply: ReplyTag::NOBODY,
    });
}
