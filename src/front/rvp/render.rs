//! Documents for clients.

use super::RVP;
use super::content;
use super::handle::Wire;
use super::outbound::Postman;
use super::translate;
use crate::core::address::Address;
use crate::core::command::{Change, Ended, PropertyName, PropertyValue};
use crate::core::message::{Content, Message, Text};
use bytes::Bytes;
use rvp::document::{
    self, Change as Update, Contact, Notification, PropNotification, PropertyUpdate,
};
use rvp::mime::{Block, session_id};
use rvp::text::Form;
use std::borrow::Cow;

/// What a watcher is told; `None` if RVP has no word for it.
pub(super) fn change(
    postman: &Postman,
    wire: &Wire,
    of: &Address,
    watcher: &Address,
    change: &Change,
) -> Option<Bytes> {
    let update = match change {
        Change::Presence(view) | Change::Pending(view) | Change::Ended(Ended::NoResource, view) => {
            PropertyUpdate::set([translate::state_property(view)])
        }
        Change::Properties(changes) => PropertyUpdate {
            changes: changes.iter().filter_map(property).collect(),
        },
        // The watcher's own doing, or told by the lease; and of what is not presence RVP has no
        // words, and nobody asks for it.
        Change::Ended(
            Ended::Expired
            | Ended::Unwatched
            | Ended::Deactivated
            | Ended::Rejected
            | Ended::GaveUp
            | Ended::Replaced,
            _,
        )
        | Change::Watchers(_)
        | Change::Calls(_)
        | Change::Documents(_)
        | Change::Last(..) => return None,
    };
    if update.changes.is_empty() {
        return None;
    }
    let href = |address| postman.names.href(address, &wire.spoken);
    let notification = PropNotification {
        from: Contact::named(href(of), postman.display_name(of)),
        to: vec![Contact::named(href(watcher), postman.display_name(watcher))],
        update,
    };
    Some(Notification::Properties(notification).to_xml())
}

fn property((name, value): &(PropertyName, Option<PropertyValue>)) -> Option<Update> {
    let name = translate::wire_name(name)?;
    match value {
        Some(value) => translate::property(&name, value).map(Update::Set),
        None => Some(Update::Remove(name)),
    }
}

/// A text that was kept while its recipient was away. RVP has no word for when it was sent, so that
/// the text itself says it.
pub(super) fn late(postman: &Postman, wire: &Wire, message: &Message, form: Form) -> Option<Bytes> {
    let stamp = content::stamp(message.at);
    let mime = if message.original.is_of(RVP) {
        let text = std::str::from_utf8(&message.original.bytes).ok()?;
        let mut block = Block::parse(text).ok()?;
        block.body.insert_str(0, &stamp);
        let session = session_id(message.conversation.0);
        let block = match block.session() {
            Some(_) => block,
            None => block.with("Session-Id", &session),
        };
        block.to_string()
    } else {
        let Content::Text(text) = &message.content else {
            return None;
        };
        let session = session_id(message.conversation.0);
        let stamped = Content::Text(Text {
            body: format!("{stamp}{}", text.body).into(),
            ..text.clone()
        });
        content::block(&stamped, &message.from.to_string(), &session)?.to_string()
    };
    Some(notification(postman, wire, message, form.write(&mime)))
}

/// A message; `None` if RVP has no word for it.
pub(super) fn message(
    postman: &Postman,
    wire: &Wire,
    message: &Message,
    form: Form,
) -> Option<Bytes> {
    let mime = match (&message.content, message.original.is_of(RVP)) {
        // An application's own document, byte for byte.
        (Content::Opaque { what }, true) if &**what == content::DOCUMENT => {
            return Some(message.original.bytes.clone());
        }
        (_, true) => original(message)?,
        (content, false) => {
            let session = session_id(message.conversation.0);
            let block = match content {
                Content::Invitation { offer: false, .. } => refusal(message, &session)?,
                _ => content::block(content, &message.from.to_string(), &session)?,
            };
            Cow::Owned(block.to_string())
        }
    };
    Some(notification(postman, wire, message, form.write(&mime)))
}

fn notification(postman: &Postman, wire: &Wire, message: &Message, mime: String) -> Bytes {
    let href = |address| postman.names.href(address, &wire.spoken);
    let name = if message.from_name.is_empty() {
        postman.display_name(&message.from)
    } else {
        message.from_name.to_string()
    };
    let document = document::Message {
        from: Contact::named(href(&message.from), name),
        to: vec![Contact::named(
            href(&message.to),
            postman.display_name(&message.to),
        )],
        mime,
    };
    Notification::Message(document).to_xml()
}

/// The sender's own block, with a Session-Id in any case (`rvp.md` 8.11).
fn original(message: &Message) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(&message.original.bytes).ok()?;
    // Mended when it came in, if it named its conversation then.
    let same = |named| content::conversation(named) == message.conversation;
    if content::whole_session(text).is_some_and(same) {
        return Some(Cow::Borrowed(text));
    }
    let block = Block::parse(text).ok()?;
    let session = session_id(message.conversation.0);
    // What was written under another name may belong to a conversation all the same: a text to its
    // chat address does, and a stranger's does not, whatever name he gives it.
    let other = |named: &str| content::conversation(named) != message.conversation;
    if block.session().is_some_and(other) {
        return Some(Cow::Owned(block.renamed(&session).to_string()));
    }
    Some(Cow::Owned(content::passed_on(block, text, &session)))
}

/// The refusal of an invitation that nobody could take up, made of the invitation.
fn refusal(message: &Message, session: &str) -> Option<Block> {
    let text = std::str::from_utf8(&message.original.bytes).ok()?;
    Block::reject(&Block::parse(text).ok()?, session)
}
