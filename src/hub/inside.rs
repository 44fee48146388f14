//! Deliveries that never leave this server: to members of a distribution list and to subscribers
//! who named their own logical URL (`decisions.md` 28).
//!
//! The copy goes to the other person's shard like any message, in the sender's name, so that a
//! block of the sender binds there too; what becomes of it is reported to the node as the outcome
//! of one inbox.

use super::shared::Shared;
use super::{Answer, Envelope, ReplySink, ReplyTo, Resolution, Want};
use crate::core::access::Scheme;
use crate::core::address::Address;
use crate::core::command::{Caller, Command, Outcome, Refusal, Route};
use crate::core::error::Error;
use crate::core::event::Event;
use crate::core::id::{MessageId, PersonId, PointId};
use crate::core::message::Message;
use crate::core::node::copy_for;
use std::sync::{Arc, Weak};

/// Where the outcome of a copy is reported to.
pub(super) struct Origin {
    pub(super) node: PersonId,
    pub(super) point: PointId,
    pub(super) message: MessageId,
}

/// Takes an event for [`crate::core::node::INSIDE`].
pub(super) fn take(shared: &Arc<Shared>, event: Event) {
    let (person, point, message) = match event {
        Event::Deliver {
            person,
            point,
            message,
            ..
        } => (person, point, message),
        Event::ChatWants { chat, who, by } => return super::chats::find(shared, chat, who, by),
        Event::ChatEnded { chat } => {
            shared.directory.close_chat(chat);
            if let Some(mailbox) = shared.mailbox(chat) {
                mailbox.tell(super::mailbox::Inside::Account(chat));
            }
            return;
        }
        _ => return,
    };
    let origin = Origin {
        node: person,
        point: point.id,
        message: message.id,
    };
    match Address::from_normal(&point.inbox) {
        Ok(to) => pass_on(shared, &to, &message, origin),
        Err(_) => report(shared, &origin, Outcome::Gone),
    }
}

/// Passes a copy on to whoever `to` leads to; the outcome is reported exactly once.
pub(super) fn pass_on(shared: &Arc<Shared>, to: &Address, message: &Message, origin: Origin) {
    let Resolution::Local(account) = shared.directory.reach(to, Want::Send) else {
        return report(shared, &origin, Outcome::Refused(Refusal::UnknownUser));
    };
    let caller = Caller {
        address: message.from.clone(),
        person: message.from_person,
        // The copy is the sender's word, proved when it came in; by which scheme is not kept.
        scheme: match message.from_person {
            Some(_) => Scheme::Digest,
            None => Scheme::Peer,
        },
        route: Route::Internal,
    };
    let sink = Reporter {
        shared: Arc::downgrade(shared),
        origin,
    };
    let envelope = Envelope {
        caller,
        command: Command::Deliver(Arc::new(copy_for(message, &account))),
        reply: ReplyTo::Sink(Arc::new(sink), 0),
    };
    shared.pass(account.person, envelope);
}

struct Reporter {
    shared: Weak<Shared>,
    origin: Origin,
}

impl ReplySink for Reporter {
    fn reply(&self, _token: u64, answer: Answer) {
        if let Some(shared) = self.shared.upgrade() {
            report(&shared, &self.origin, outcome(&answer));
        }
    }
}

/// What a person's answer means to the node. Nothing counts towards doubt: a member who is away
/// is no dead inbox.
fn outcome(answer: &Answer) -> Outcome {
    Outcome::Refused(match answer {
        Ok(_) => return Outcome::Delivered,
        Err(Error::HasLeft) => return Outcome::HasLeft,
        Err(Error::UnknownUser | Error::UnknownDomain) => Refusal::UnknownUser,
        Err(Error::Denied(_) | Error::Spoofed | Error::Refused(_)) => Refusal::Denied,
        Err(Error::TooLarge) => Refusal::TooLarge,
        Err(Error::Unsupported) => Refusal::Unsupported,
        Err(Error::Overloaded | Error::Storage | Error::Stopping) => Refusal::Overloaded,
        Err(_) => Refusal::Unavailable,
    })
}

fn report(shared: &Shared, origin: &Origin, outcome: Outcome) {
    let Some(node) = shared.directory.account(origin.node) else {
        return;
    };
    let envelope = Envelope {
        caller: super::internal(&node),
        command: Command::Outcome {
            message: origin.message,
            point: origin.point,
            outcome,
        },
        reply: ReplyTo::Nobody,
    };
    if let Some(mailbox) = shared.mailbox(origin.node) {
        mailbox.post(origin.node, envelope);
    }
}
