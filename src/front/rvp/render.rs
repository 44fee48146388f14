//! Documents for clients.

use super::encoding::Form;
use super::handle::Wire;
use super::outbound::Postman;
use super::translate;
use crate::core::address::Address;
use crate::core::command::{Change, Ended, PropertyName, PropertyValue};
use crate::core::message::Message;
use bytes::Bytes;
use rvp::document::{
    Change as Update, Contact, Notification, PropNotification, Property, PropertyUpdate,
};

/// What a watcher is told; `None` if RVP has no word for it.
pub(super) fn change(
    postman: &Postman,
    wire: &Wire,
    of: &Address,
    watcher: &Address,
    change: &Change,
) -> Option<Bytes> {
    let update = match change {
        Change::Presence(view) => PropertyUpdate::set([translate::state_property(view)]),
        Change::Properties(changes) => PropertyUpdate {
            changes: changes.iter().filter_map(property).collect(),
        },
        Change::Ended(Ended::NoResource, view) => {
            PropertyUpdate::set([translate::state_property(view)])
        }
        // The watcher's own doing, or told by the lease.
        Change::Ended(Ended::Expired | Ended::Unwatched | Ended::Deactivated, _) => return None,
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

/// A message; `None` if RVP has no word for it.
pub(super) fn message(
    _postman: &Postman,
    _wire: &Wire,
    _message: &Message,
    _form: Form,
) -> Option<Bytes> {
    let _: Option<Property> = None;
    None
}
