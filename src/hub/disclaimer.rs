//! What people are told at the start of a conversation that is archived, in the words of the stack
//! they read it on.

use super::shared::Shared;
use super::{Envelope, ReplyTo, internal};
use crate::core::access::Scheme;
use crate::core::address::Address;
use crate::core::command::{Caller, Command, Outcome, Route};
use crate::core::event::Event;
use crate::core::id::{ConversationId, MessageId, PersonId, Stack};
use crate::core::message::{Ack, Content, Decoded, Message, Original, Text};
use crate::core::time::Time;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// By which such a notice is known; clients can't write keys like it (they have no space).
const KEY: &str = "archive disclaimer";
/// Conversations remembered; beyond that the oldest are looked for, and told again if they go on.
const REMEMBERED: usize = 65_536;

/// The words.
#[derive(Clone, Debug, Default)]
pub struct Disclaimer {
    /// For stacks that have none of their own; empty = nothing.
    pub text: String,
    /// By stack; empty = nothing there.
    pub stacks: BTreeMap<Stack, String>,
}

/// Who was told in which conversation, and when it last went on.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<HashMap<(ConversationId, PersonId), Time>>);

impl Disclaimer {
    /// Whether anybody is told anything.
    pub(super) fn is_on(&self) -> bool {
        let mut all = self.stacks.values();
        !self.text.is_empty() || all.any(|text| !text.is_empty())
    }

    fn on(&self, stack: Stack) -> &str {
        self.stacks.get(&stack).unwrap_or(&self.text)
    }
}

impl Told {
    /// Whether this person has to be told now. The conversation goes on.
    fn is_due(&self, shared: &Shared, conversation: ConversationId, who: PersonId) -> bool {
        let (now, span) = (shared.clock.now(), shared.settings.rules.conversation);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED {
            all.retain(|_, last| now.since(*last) < span);
            if all.len() >= REMEMBERED {
                all.clear();
            }
        }
        let last = all.insert((conversation, who), now);
        last.is_none_or(|last| now.since(last) >= span)
    }
}

/// Both sides of an archived message are told, once per conversation.
pub(super) fn announce(shared: &Shared, recipient: PersonId, message: &Message) {
    let rules = &shared.settings.archive;
    if !rules.disclaimer.is_on()
        || !matches!(message.content, Content::Text(_))
        || *message.from.local() == *rules.system_local
    {
        return;
    }
    let sender = message.from_person.map(|person| (person, &message.from));
    for (person, to) in [(recipient, &message.to)].into_iter().chain(sender) {
        if shared.directory.is_ours(to.domain())
            && shared.told.is_due(shared, message.conversation, person)
        {
            tell(shared, person, to, message.conversation);
        }
    }
}

fn tell(shared: &Shared, person: PersonId, to: &Address, conversation: ConversationId) {
    let rules = &shared.settings.archive;
    let Ok(from) = Address::new(&rules.system_local, to.domain()) else {
        return;
    };
    let caller = Caller {
        address: from.clone(),
        person: None,
        scheme: Scheme::Internal,
        route: Route::Internal,
    };
    let notice = Message {
        // Given by the core, like those that come from other servers.
        id: MessageId(0),
        at: shared.clock.now(),
        from,
        from_person: None,
        from_name: "".into(),
        to: to.clone(),
        conversation,
        content: words(&rules.disclaimer.text),
        original: Original {
            stack: Stack::named("system"),
            bytes: bytes::Bytes::new(),
            // The conversation in it: one notice is no duplicate of another's.
            key: Some(format!("{KEY} {conversation}").into()),
            decoded: Decoded::Characters,
        },
        ack: Ack::Any,
        hops: 1,
        wants: None,
        chat: None,
    };
    let envelope = Envelope {
        caller,
        command: Command::Deliver(Arc::new(notice)),
        reply: ReplyTo::Nobody,
    };
    shared.pass_admitted(person, envelope);
}

/// An event as the stack's front is to get it; `None`: nothing is said there.
pub(super) fn worded(shared: &Shared, stack: Stack, event: Event) -> Option<Event> {
    let Event::Deliver {
        person,
        point,
        message,
        redelivered,
        away,
    } = event
    else {
        return Some(event);
    };
    let key = message.original.key.as_deref();
    if key.is_none_or(|key| !key.starts_with(KEY)) {
        return Some(Event::Deliver {
            person,
            point,
            message,
            redelivered,
            away,
        });
    }
    let text = shared.settings.archive.disclaimer.on(stack);
    if text.is_empty() {
        said_nothing(shared, person, message.id, point.id);
        return None;
    }
    let message = Arc::new(Message {
        content: words(text),
        ..(*message).clone()
    });
    Some(Event::Deliver {
        person,
        point,
        message,
        redelivered,
        away,
    })
}

fn said_nothing(
    shared: &Shared,
    person: PersonId,
    message: MessageId,
    point: crate::core::id::PointId,
) {
    let Some(account) = shared.directory.account(person) else {
        return;
    };
    let envelope = Envelope {
        caller: internal(&account),
        command: Command::Outcome {
            message,
            point,
            outcome: Outcome::Delivered,
        },
        reply: ReplyTo::Nobody,
    };
    if let Some(mailbox) = shared.mailbox(person) {
        mailbox.post(person, envelope);
    }
}

fn words(text: &str) -> Content {
    Content::Text(Text {
        body: text.into(),
        media: "text/plain".into(),
        format: None,
    })
}
