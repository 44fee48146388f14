//! Messages that a filter sends elsewhere, and what is said in their place.

use super::shared::Shared;
use super::{Envelope, ReplyTo, Resolution};
use crate::core::access::Scheme;
use crate::core::address::Address;
use crate::core::command::{Caller, Command, Route};
use crate::core::id::{ConversationId, MessageId, PersonId, Stack};
use crate::core::message::{Ack, Content, Decoded, Message, Original, Text};
use std::sync::Arc;

/// Whose address that is, here.
pub(super) fn person(shared: &Shared, address: &Address) -> Option<PersonId> {
    match shared.directory.resolve(address) {
        Resolution::Local(account) => Some(account.person),
        Resolution::UnknownUser | Resolution::Foreign => None,
    }
}

/// The message to somebody else. What came in names the first recipient, so that every stack
/// writes a text anew.
pub(super) fn addressed(message: &Message, to: Address) -> Message {
    let mut routed = message.clone();
    routed.to = to;
    if matches!(routed.content, Content::Text(_)) {
        routed.original.bytes = bytes::Bytes::new();
    }
    routed
}

/// Answers a sender here in the name of whom he wrote to.
pub(super) fn answer(shared: &Shared, message: &Message, text: String) {
    let Some(person) = message.from_person else {
        let (from, to) = (&message.from, &message.to);
        tracing::info!(%from, %to, "a filter's answer has no way to its reader's server");
        return;
    };
    let names = (message.to.clone(), message.from.clone());
    say(shared, person, names, Some(message.conversation), text);
}

/// Says something to somebody here, past all filters and lists.
pub(super) fn say(
    shared: &Shared,
    person: PersonId,
    (from, to): (Address, Address),
    conversation: Option<ConversationId>,
    text: String,
) {
    let caller = Caller {
        address: from.clone(),
        person: None,
        scheme: Scheme::Internal,
        route: Route::Internal,
    };
    let message = Message {
        // Given by the core, like those that come from other servers.
        id: MessageId(0),
        at: shared.clock.now(),
        from,
        from_person: None,
        from_name: "".into(),
        to,
        conversation: conversation.unwrap_or(ConversationId(0)),
        content: Content::Text(Text {
            body: text.into(),
            media: "text/plain".into(),
            format: None,
        }),
        original: Original {
            stack: Stack::named("system"),
            bytes: bytes::Bytes::new(),
            key: None,
            decoded: Decoded::Characters,
        },
        ack: Ack::Any,
        hops: 1,
        wants: None,
        chat: None,
    };
    let envelope = Envelope {
        caller,
        command: Command::Deliver(Arc::new(message)),
        reply: ReplyTo::Nobody,
    };
    shared.pass_admitted(person, envelope);
}
