//! NOTIFY: a message to a person (`rvp.md` 5).

use super::super::app::{Asked, Refused, Reply};
use super::super::peer::is_peer;
use super::super::{RVP, content};
use crate::core::address::Address;
use crate::core::command::{Command, Reply as Done, Submit, Whence};
use crate::core::error::Error;
use crate::core::id::{ConversationId, MessageId, PersonId};
use crate::core::message::{Ack, Content, Decoded, Message, Original};
use bytes::Bytes;
use rvp::Status;
use rvp::document::{Contact, Message as WireMessage, Notification};
use rvp::mime::{Block, session_id};
use rvp::request::{AckType, Notify, SubscriptionId};
use std::sync::Arc;

/// Sends what the body holds.
pub(super) async fn run(
    asked: &Asked<'_>,
    head: &Notify,
    body: &Notification,
) -> Result<Reply, Refused> {
    if is_peer(asked.caller) && head.hops > asked.front.peers.max_hops(asked.caller) {
        return Err(Error::Loop.into());
    }
    match body {
        Notification::Message(message) => {
            bind(asked, &message.from)?;
            let parts = parts(asked, message)?;
            let name = message.from.description.as_str();
            submit(asked, head, parts, name).await
        }
        Notification::Properties(change) if is_peer(asked.caller) => {
            let from = &spoken_for(asked, &change.from)?;
            let id = head.subscription.as_ref().map(SubscriptionId::as_str);
            let to = asked.address;
            if asked.front.peers.notified(from, to, id, &change.update) {
                return Ok(Reply::empty());
            }
            // A client subscribed there by itself: it knows what this is about.
            let parts = Parts {
                content: Content::Opaque {
                    what: content::DOCUMENT.into(),
                },
                bytes: body.to_xml(),
                conversation: None,
                decoded: Decoded::Characters,
            };
            submit(asked, head, parts, "").await
        }
        // Only the node itself, that is its server, says that it has changed.
        Notification::Properties(_) => Err(Refused::new(
            Status::Forbidden,
            "property notifications are made by the server; use PROPPATCH",
        )),
        Notification::Other(document) => {
            let parts = Parts {
                content: Content::Opaque {
                    what: content::DOCUMENT.into(),
                },
                bytes: document.clone(),
                conversation: None,
                decoded: Decoded::Characters,
            };
            submit(asked, head, parts, "").await
        }
    }
}

/// The sender's person or stand-in.
fn sender(asked: &Asked<'_>) -> Result<PersonId, Refused> {
    let person = if is_peer(asked.caller) {
        asked.front.peers.sender(asked.caller)
    } else {
        asked.caller.person
    };
    person.ok_or_else(|| Error::Denied("no person").into())
}

struct Parts {
    content: Content,
    bytes: Bytes,
    conversation: Option<ConversationId>,
    decoded: Decoded,
}

/// The sender named in the document must be the authenticated one.
fn bind(asked: &Asked<'_>, from: &Contact) -> Result<(), Refused> {
    let front = asked.front;
    let claimed = from
        .principal()
        .ok()
        .and_then(|principal| front.peers.claimed(&principal, asked.ends.local.ip()));
    let bound =
        claimed.is_some_and(|address| front.gate.bind(asked.caller, Some(&address)).is_ok());
    if bound {
        return Ok(());
    }
    let cause = format!(
        "notification-from {} is not the authenticated user",
        from.href
    );
    Err(Refused::new(Status::Forbidden, cause))
}

/// Whose properties another server tells: those of whom it speaks for, or, when it speaks for
/// itself, of one of its domain (`rvp.md` 2: servers name themselves on what they make).
fn spoken_for(asked: &Asked<'_>, from: &Contact) -> Result<Address, Refused> {
    let peers = &asked.front.peers;
    let named = from.principal().ok();
    let named = named.and_then(|named| peers.claimed(&named, asked.ends.local.ip()));
    let server = &asked.caller.address;
    let of_its_own = named.filter(|named| {
        server.path().is_some() && server.domain() == named.domain() && named.path().is_none()
    });
    match of_its_own {
        Some(named) => Ok(named),
        None => bind(asked, from).map(|()| server.clone()),
    }
}

fn parts(asked: &Asked<'_>, message: &WireMessage) -> Result<Parts, Refused> {
    let person = sender(asked)?;
    let dialects = &asked.front.dialects;
    let text = dialects.read(person, asked.ends.peer.ip(), &message.mime);
    let decoded = if text == message.mime {
        Decoded::Characters
    } else {
        Decoded::Octets
    };
    let block = Block::parse(&text)?;
    let content = content::neutral(&block);
    let conversation = block.session().map(content::conversation);
    // Without a Session-Id the core finds the running conversation, and the name of that is
    // written when the message goes out.
    let bytes = match conversation {
        Some(conversation) if !content::is_whole(&text) => {
            content::passed_on(block, &text, &session_id(conversation.0))
        }
        Some(_) | None => text,
    };
    Ok(Parts {
        content,
        bytes: bytes.into(),
        conversation,
        decoded,
    })
}

async fn submit(
    asked: &Asked<'_>,
    head: &Notify,
    parts: Parts,
    name: &str,
) -> Result<Reply, Refused> {
    let person = sender(asked)?;
    let message = Message {
        // Given by the core.
        id: MessageId(0),
        at: asked.front.hub.now(),
        from: asked.caller.address.clone(),
        from_person: Some(person),
        from_name: name.into(),
        to: asked.address.clone(),
        conversation: parts.conversation.unwrap_or(ConversationId(0)),
        content: parts.content,
        original: Original {
            stack: RVP,
            bytes: parts.bytes,
            key: None,
            decoded: parts.decoded,
        },
        ack: match AckType::or_default_for_message(head.ack) {
            AckType::SingleHop => Ack::Hop,
            AckType::DeepOr => Ack::Any,
            AckType::DeepAnd => Ack::All,
        },
        hops: u8::try_from(head.hops).unwrap_or(u8::MAX),
        wants: None,
        chat: None,
    };
    if is_peer(asked.caller) {
        // Its own server has submitted it: what is left is to deliver it.
        let deliver = Command::Deliver(Arc::new(message));
        return match asked.call(deliver).await? {
            Done::Sent(_) => Ok(Reply::empty()),
            _ => Err(Error::Storage.into()),
        };
    }
    let command = Command::Submit(Submit {
        message,
        conversation: parts.conversation,
        to: asked.account.person,
        whence: Whence::Source(asked.ends.peer.ip()),
    });
    let answer = asked.front.hub.call(person, asked.caller, command).await?;
    match answer {
        Done::Sent(_) => Ok(Reply::empty()),
        _ => Err(Error::Storage.into()),
    }
}
