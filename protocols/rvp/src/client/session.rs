//! What a signed-in client holds at its server: the sign-in, its presence, its watches.

use super::connection::{self, Connection, Reply};
use super::{ClientError, Event, Settings, keeper};
use crate::document::{Contact, Lease, Multistatus, Property, PropertyUpdate, State, StateValue};
use crate::url::NodeUrl;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// What requests and the keeper share.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) settings: Settings,
    pub(super) me: NodeUrl,
    pub(super) connection: Connection,
    pub(super) call_back: String,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) sign_in: Kept,
    pub(super) watches: Vec<Kept>,
    pub(super) state: State,
    pub(super) view: Option<String>,
    pub(super) presence_due: Instant,
}

/// A subscription that is held.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) id: String,
    pub(super) node: NodeUrl,
    /// When it is to be renewed.
    pub(super) due: Instant,
}

impl Inner {
    pub(super) async fn sign_in(&mut self) -> Result<(), ClientError> {
        let (me, call_back) = (self.me.clone(), self.call_back.clone());
        let reply = self.subscribe(&me, "pragma/notify", &call_back).await?;
        let due = keeper::due(reply.lifetime.unwrap_or(self.settings.lease));
        self.sign_in = Kept {
            id: reply
                .subscription
                .ok_or(ClientError::Status(reply.status))?,
            node: me,
            due,
        };
        Ok(())
    }

    pub(super) async fn publish(&mut self, state: State) -> Result<(), ClientError> {
        let lease = Lease {
            default: State::Offline,
            seconds: Some(self.settings.presence_lease),
        };
        let value = StateValue {
            state: state.clone(),
            lease: Some(lease),
            view: self.view.clone(),
        };
        let body = PropertyUpdate::set([Property::State(value)]).to_xml();
        let target = self.me.target();
        let reply = self
            .connection
            .ask("PROPPATCH", &target, &[], body.into())
            .await?;
        let answer = Multistatus::parse(&reply.body, connection::MAX_BODY)?;
        succeeded(&answer)?;
        let values = answer.properties().filter_map(|property| match property {
            Property::State(value) => Some(value),
            _ => None,
        });
        let granted = values.last();
        let seconds = granted.and_then(|value| value.lease.as_ref()?.seconds);
        self.view = granted
            .and_then(|value| value.view.clone())
            .or(self.view.take());
        self.presence_due = keeper::due(seconds.unwrap_or(self.settings.presence_lease));
        self.state = state;
        Ok(())
    }

    pub(super) async fn watched(
        &mut self,
        node: &NodeUrl,
    ) -> Result<(Reply, Vec<Property>), ClientError> {
        let call_back = self.me.href();
        let reply = self
            .subscribe(node, "update/propchange", &call_back)
            .await?;
        if reply.body.is_empty() {
            return Ok((reply, Vec::new()));
        }
        let answer = Multistatus::parse(&reply.body, connection::MAX_BODY)?;
        let properties = answer.properties().cloned().collect();
        Ok((reply, properties))
    }

    pub(super) async fn subscribe(
        &mut self,
        node: &NodeUrl,
        kind: &str,
        call_back: &str,
    ) -> Result<Reply, ClientError> {
        let lease = self.settings.lease.to_string();
        let headers = [
            ("Notification-Type", kind),
            ("Subscription-Lifetime", &lease),
            ("Call-Back", call_back),
        ];
        self.connection
            .ask("SUBSCRIBE", &node.target(), &headers, Bytes::new())
            .await
    }

    pub(super) async fn unsubscribe(&mut self, held: &Kept) -> Result<(), ClientError> {
        let headers = [("Subscription-Id", held.id.as_str())];
        self.connection
            .ask("UNSUBSCRIBE", &held.node.target(), &headers, Bytes::new())
            .await
            .map(drop)
    }

    /// What the client has to tell by itself; if nobody reads, it is dropped.
    pub(super) fn tell(&self, event: Event) {
        let _ = self.events.try_send(event);
    }

    /// What was found on watching anew.
    pub(super) fn tell_properties(&self, node: &NodeUrl, properties: Vec<Property>) {
        for property in properties {
            if let Property::State(value) = property {
                let from = Contact::new(node.href());
                let state = value.state;
                self.tell(Event::Presence { from, state });
            }
        }
    }
}

/// The status of the first property that failed.
pub(super) fn succeeded(answer: &Multistatus) -> Result<(), ClientError> {
    let all = answer.responses.iter().flat_map(|r| &r.propstats);
    let mut failed = all.map(|part| part.status).filter(|status| *status >= 300);
    // 424: it failed with another one.
    let first = failed.clone().find(|status| *status != 424);
    first
        .or_else(|| failed.next())
        .map_or(Ok(()), |status| Err(ClientError::Status(status)))
}
