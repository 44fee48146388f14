//! Events of the core on their way to the shard that owns their Call-ID.

use super::deliver::{as_it_came, report};
use super::front::Front;
use super::handle::watch_call_id;
use crate::core::command::{Change, Outcome};
use crate::core::event::Event;

impl Front {
    /// From the hub.
    pub(super) fn emit(&self, event: Event) {
        let inbox = match &event {
            Event::Deliver { message, .. } if as_it_came(message) => {
                // A forwarded message keeps its Call-ID; which shard that is depends on it only
                // for an even spread, so a hash of the key does as well and reads nothing.
                let key = message.original.key.as_deref().unwrap_or_default();
                let call_id = key.split(' ').next().unwrap_or_default();
                self.inbox_of(call_id.as_bytes())
            }
            Event::Deliver { message, point, .. } => {
                let domain = message.from.domain();
                let call_id = format!("{}-{:x}@{domain}", message.id, point.id.0);
                self.inbox_of(call_id.as_bytes())
            }
            // Profile fields have no place in PIDF, and must not replace a state that waits.
            Event::Presence {
                change: Change::Properties(_),
                ..
            } => return,
            Event::Presence { handle, .. } | Event::WatchRestored { handle, .. } => {
                self.inbox_of(watch_call_id(handle))
            }
            Event::PointEnded { person, point } => return self.forget_point(*person, point),
            // Nothing is held for a binding until its client comes back.
            Event::PointRestored { .. }
            | Event::Cancel { .. }
            | Event::InboxPresence { .. }
            | Event::ChatWants { .. }
            | Event::ChatEnded { .. }
            | Event::AccessChanged { .. }
            | Event::DocumentChanged { .. } => {
                return;
            }
        };
        let Some(inbox) = inbox else {
            return;
        };
        if let Err(event) = inbox.event(event)
            && let Event::Deliver {
                person,
                point,
                message,
                ..
            } = *event
        {
            let outcome = Outcome::QueueFull;
            report(
                self,
                person,
                message.to.clone(),
                message.id,
                point.id,
                outcome,
            );
        }
    }
}
