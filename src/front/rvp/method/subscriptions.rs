//! SUBSCRIPTIONS: where a person is signed in, and who watches.

use super::super::RVP;
use super::super::app::{Asked, Refused, Reply};
use super::seconds_left;
use crate::core::command::{Command, PointInfo, Reply as Done, Topic, WatchState};
use crate::core::error::Error;
use crate::core::node::INSIDE;
use rvp::Status;
use rvp::document::{Subscription, Subscriptions};
use rvp::request::{NotificationType, SubscriptionId};

/// Lists the subscriptions of one type.
pub(super) async fn run(asked: &Asked<'_>, kind: &NotificationType) -> Result<Reply, Refused> {
    let Done::Standing(standing) = asked.call(Command::Standing).await? else {
        return Err(Error::Storage.into());
    };
    let now = asked.front.hub.now();
    let left = |expires| u32::try_from(seconds_left(expires, now)).unwrap_or(u32::MAX);
    let id = |number: u32| SubscriptionId::from(u64::from(number));
    let list = match kind {
        NotificationType::PragmaNotify => {
            // Sign-ins of other stacks have no RVP subscription: a client that throws out all
            // other ones it sees (`rvp.md` 8.6) must not hit them.
            let shown = |point: &&PointInfo| point.stack == RVP || point.stack == INSIDE;
            let mine = standing.points.iter().filter(shown);
            mine.map(|point| {
                let principal = match &point.holder {
                    Some(holder) => asked.front.names.href(&holder.address, &asked.spoken()),
                    None => asked.href(),
                };
                Subscription {
                    id: id(point.id.0),
                    // A client's address is shown to that client's user only.
                    href: match &point.holder {
                        None if asked.is_own() => point.inbox.to_string(),
                        Some(holder) if point.stack == RVP && holder.is(asked.caller) => {
                            call_back(&point.inbox)
                        }
                        _ => principal.clone(),
                    },
                    principal,
                    seconds: Some(left(point.expires)),
                }
            })
            .collect()
        }
        NotificationType::PropChange => standing
            .watches
            .iter()
            // Who waits for consent has no subscription, and RVP knows no others than these.
            .filter(|watch| watch.topic == Topic::Presence && watch.state != WatchState::Waiting)
            .map(|watch| {
                let href = asked.front.names.href(&watch.watcher, &asked.spoken());
                Subscription {
                    id: id(watch.id.0),
                    href: href.clone(),
                    principal: href,
                    seconds: Some(left(watch.expires)),
                }
            })
            .collect(),
        NotificationType::Other(_) => Vec::new(),
    };
    Ok(Reply::xml(
        Status::Successful,
        Subscriptions { list }.to_xml(),
    ))
}

/// The inbox of a node's subscriber is the Call-Back and his address.
fn call_back(inbox: &str) -> String {
    inbox.split(' ').next().unwrap_or_default().to_owned()
}
