//! People, points and messages for tests.

use super::PHONES;
use crate::core::access::Scheme;
use crate::core::address::Address;
use crate::core::command::{
    Caller, Command, PointChange, PointSpec, Reach, Register, Route, Submit, Tether, Topic, Via,
    Watch, Whence,
};
use crate::core::id::{ConversationId, MessageId, PersonId, Stack};
use crate::core::message::{Ack, Content, Message, Original, Text};
use crate::core::port::{Account, Secret};
use crate::core::presence::State;
use crate::core::time::Time;
use std::sync::Arc;
use std::time::Duration;

/// The id of person `at`.
pub fn person(at: usize) -> PersonId {
    PersonId(at as u128 + 1)
}

/// The address of person `at`.
pub fn address(at: usize) -> Address {
    match Address::new(&format!("p{at}"), "example.com") {
        Ok(address) => address,
        Err(error) => panic!("{error}"),
    }
}

/// Person `at`, signed in on that stack.
pub fn caller(at: usize, stack: Stack) -> Caller {
    Caller {
        address: address(at),
        person: Some(person(at)),
        scheme: Scheme::Digest,
        route: Route::Point(stack),
    }
}

/// The account of person `at`.
pub fn account(at: usize) -> Account {
    Account {
        person: person(at),
        address: address(at),
        aliases: Vec::new(),
        display_name: format!("Person {at}"),
        email: String::new(),
        secret: Secret::default(),
        suspended: false,
        node: None,
    }
}

/// A point of that stack's usual kind, with this inbox; phones have it as their key, too.
pub fn spec(stack: Stack, inbox: &str, lease: Duration) -> PointSpec {
    let phone = stack == PHONES;
    PointSpec {
        key: phone.then(|| inbox.into()),
        inbox: inbox.into(),
        lease,
        tether: if phone {
            Tether::Connection
        } else {
            Tether::Address
        },
        reach: Reach::Full,
        implies: phone.then_some(State::Registered),
        preference: 1000,
        source: None,
        client: "test".into(),
        machine: None,
        family: None,
        handle: Arc::from(inbox.as_bytes()),
    }
}

/// The command that signs that point in.
pub fn sign_in(stack: Stack, spec: PointSpec) -> Command {
    Command::Register(Register {
        stack,
        lineage: None,
        changes: vec![PointChange::Put(Box::new(spec))],
    })
}

/// The command to watch.
pub fn watch(stack: Stack, via: Via, lease: Duration, notify: bool) -> Command {
    Command::Watch(Watch {
        topic: Topic::Presence,
        stack,
        lease,
        via,
        notify,
        key: None,
        handle: Arc::from(&b"watch"[..]),
    })
}

/// A message of `from` to `to`, to be submitted on that stack.
pub fn message(from: usize, to: usize, stack: Stack, content: Content) -> Message {
    Message {
        id: MessageId(0),
        at: Time(0),
        from: address(from),
        from_person: Some(person(from)),
        from_name: "".into(),
        to: address(to),
        conversation: ConversationId(0),
        content,
        original: Original {
            stack,
            bytes: bytes::Bytes::new(),
            key: None,
            decoded: crate::core::message::Decoded::Characters,
        },
        ack: Ack::Any,
        hops: 1,
        wants: None,
        chat: None,
    }
}

/// Something to read.
pub fn text(body: &str) -> Content {
    Content::Text(Text {
        body: body.into(),
        media: "text/plain".into(),
        format: None,
    })
}

/// The command that sends the message in the pair's conversation.
pub fn submit(to: usize, message: Message) -> Command {
    Command::Submit(Submit {
        message,
        conversation: None,
        to: person(to),
        whence: Whence::Unknown,
    })
}
