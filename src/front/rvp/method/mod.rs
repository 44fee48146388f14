//! The methods (`rvp.md` 5), one file each.

mod acl;
mod notify;
mod propfind;
mod proppatch;
mod subscribe;
mod subscriptions;
mod unsubscribe;

use super::app::{Asked, Refused, Reply};
use crate::core::time::Time;
use bytes::Bytes;
use rvp::ParseError;
use rvp::document::{Acl, Notification, PropertyUpdate, Propfind};
use rvp::request::{Action, Request};

/// The body, by method.
pub(super) enum Body {
    /// Methods that have none; what is there is ignored.
    None,
    /// PROPFIND.
    Propfind(Propfind),
    /// PROPPATCH.
    Update(PropertyUpdate),
    /// NOTIFY.
    Notification(Box<Notification>),
    /// ACL; empty = a question.
    Acl(Option<Acl>),
}

impl Body {
    /// Reads the body that the method needs.
    pub(super) fn read(
        request: &Request,
        octets: &Bytes,
        limit: usize,
    ) -> Result<Self, ParseError> {
        match request.action {
            Action::Subscribe(_)
            | Action::Renew { .. }
            | Action::Unsubscribe(_)
            | Action::Subscriptions(_) => Ok(Self::None),
            Action::Propfind => Propfind::parse(octets, limit).map(Self::Propfind),
            Action::Proppatch => PropertyUpdate::parse(octets, limit).map(Self::Update),
            Action::Notify(_) => {
                let parsed = Notification::parse(octets, limit)?;
                Ok(Self::Notification(Box::new(parsed)))
            }
            Action::Acl => match Acl::parse(octets, limit) {
                Ok(list) => Ok(Self::Acl(Some(list))),
                Err(ParseError::NoBody) => Ok(Self::Acl(None)),
                Err(error) => Err(error),
            },
        }
    }
}

/// Does what is asked.
pub(super) async fn run(asked: &Asked<'_>) -> Result<Reply, Refused> {
    match (&asked.request.action, asked.body) {
        (Action::Subscribe(wish), _) => subscribe::new(asked, wish).await,
        (Action::Renew { id, lifetime }, _) => subscribe::renew(asked, id, *lifetime).await,
        (Action::Unsubscribe(id), _) => unsubscribe::run(asked, id).await,
        (Action::Subscriptions(kind), _) => subscriptions::run(asked, kind).await,
        (Action::Propfind, Body::Propfind(wish)) => propfind::run(asked, wish).await,
        (Action::Proppatch, Body::Update(update)) => proppatch::run(asked, update).await,
        (Action::Notify(head), Body::Notification(body)) => notify::run(asked, head, body).await,
        (Action::Acl, Body::Acl(None)) => acl::read(asked).await,
        (Action::Acl, Body::Acl(Some(list))) => acl::write(asked, list).await,
        // Body::read pairs them; a request that slipped through has no body it needs.
        _ => Err(ParseError::NoBody.into()),
    }
}

/// Whole seconds of a lease that ends then: rounded, because a few milliseconds have passed since
/// it was granted and clients expect the number they asked for.
fn seconds_left(expires: Time, now: Time) -> u64 {
    seconds(expires.since(now))
}

fn seconds(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis().div_ceil(1000)).unwrap_or(u64::MAX)
}
