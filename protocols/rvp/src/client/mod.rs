//! A small RVP client on tokio and hyper: sign in, publish, watch, talk. For the terminal client,
//! the demo, load and tests.
//!
//! One connection to the server is kept open; a second listener takes callbacks. Everything is
//! bounded: bodies, time, queue of events, callback connections.

mod connection;
mod event;
mod listener;
mod random;
mod sink;

use crate::callback::CallBack;
use crate::document::{
    Contact, Lease, Message, Multistatus, Notification, Property, PropertyUpdate, State, StateValue,
};
use crate::error::{ParseError, UrlError};
use crate::mime::{Block, session_id};
use crate::text::Form;
use crate::url::{Authority, NodeUrl};
use bytes::Bytes;
use connection::{Connection, Reply};
pub use event::Event;
use listener::Listener;
pub use sink::{Held, Sink, SinkError, Wanted};
use std::net::{IpAddr, SocketAddr};
use tokio::sync::mpsc;

/// Whose client, and how it speaks.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the server listens.
    pub server: SocketAddr,
    /// The host in logical URLs, `im.example.com`.
    pub host: String,
    /// Own address, `alice@example.com`.
    pub address: String,
    /// User name for Digest, as typed.
    pub user: String,
    /// Password.
    pub password: String,
    /// Address that callbacks go to; the listener binds it on a free port.
    pub callback: IpAddr,
    /// Lease of the sign-in and of watches, seconds.
    pub lease: u32,
    /// Lease of the presence, seconds.
    pub presence_lease: u32,
    /// How texts are put into XML.
    pub form: Form,
}

impl Settings {
    /// Usual values: user name = address, callbacks on loopback, leases 14400 and 1200 seconds.
    pub fn new(server: SocketAddr, host: &str, address: &str, password: &str) -> Self {
        Self {
            server,
            host: host.to_owned(),
            address: address.to_owned(),
            user: address.to_owned(),
            password: password.to_owned(),
            callback: IpAddr::from([127, 0, 0, 1]),
            lease: 14_400,
            presence_lease: 1_200,
            form: Form::Characters,
        }
    }
}

/// Why something did not work.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Connecting or listening.
    #[error("network: {0}")]
    Io(#[from] std::io::Error),
    /// HTTP itself.
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The server refused.
    #[error("answered {0}")]
    Status(u16),
    /// Credentials refused, or no challenge that we can answer.
    #[error("credentials refused")]
    Denied,
    /// An answer that is none.
    #[error("answer: {0}")]
    Parse(#[from] ParseError),
    /// An address or host that makes no URL.
    #[error("address: {0}")]
    Address(#[from] UrlError),
    /// A header of the request cannot be written.
    #[error("request cannot be written")]
    Request,
    /// A body over the limit.
    #[error("answer too large")]
    TooLarge,
}

/// A signed-in user.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    me: NodeUrl,
    connection: Connection,
    /// None if the callback is somebody else's.
    listener: Option<Listener>,
    sign_in: String,
    watches: Vec<(String, NodeUrl)>,
    state: State,
    view: Option<String>,
}

/// Events waiting at most; more are answered 503 at the callback.
const EVENTS: usize = 1_024;

impl Client {
    /// Opens the listener and signs in; state is not yet published.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn sign_in(settings: Settings) -> Result<(Self, mpsc::Receiver<Event>), ClientError> {
        let (sender, events) = mpsc::channel(EVENTS);
        let listener = Listener::open(settings.callback, sender).await?;
        let call_back = format!("http://{}", listener.address());
        let client = Self::enter(settings, Some(listener), &call_back).await?;
        Ok((client, events))
    }

    /// Signs in with a callback that somebody else serves, a notification target for example:
    /// events arrive there.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn sign_in_at(settings: Settings, call_back: &CallBack) -> Result<Self, ClientError> {
        Self::enter(settings, None, &call_back.to_string()).await
    }

    async fn enter(
        settings: Settings,
        listener: Option<Listener>,
        call_back: &str,
    ) -> Result<Self, ClientError> {
        let me = node_of(&settings, &settings.address)?;
        let connection = Connection::new(&settings, me.href());
        let mut client = Self {
            settings,
            me,
            connection,
            listener,
            sign_in: String::new(),
            watches: Vec::new(),
            state: State::Offline,
            view: None,
        };
        let me = client.me.clone();
        let reply = client.subscribe(&me, "pragma/notify", call_back).await?;
        client.sign_in = reply
            .subscription
            .ok_or(ClientError::Status(reply.status))?;
        Ok(client)
    }

    /// Own node.
    pub fn node(&self) -> &NodeUrl {
        &self.me
    }

    /// The address of the own callback; none after [`Client::sign_in_at`].
    pub fn callback(&self) -> Option<SocketAddr> {
        self.listener.as_ref().map(Listener::address)
    }

    /// Id of the sign-in subscription.
    pub fn subscription(&self) -> &str {
        &self.sign_in
    }

    /// The node of `user@domain`: own domain at the configured host, others at `im.DOMAIN`.
    ///
    /// # Errors
    /// [`ClientError::Address`].
    pub fn node_of(&self, address: &str) -> Result<NodeUrl, ClientError> {
        node_of(&self.settings, address)
    }

    /// `user@domain` of a contact at the configured host; other contacts' URL as it is.
    pub fn address_of(&self, contact: &Contact) -> String {
        let principal = contact.principal().ok();
        let node = principal.as_ref().and_then(|principal| principal.node());
        let domain = self
            .settings
            .address
            .split_once('@')
            .map_or("", |(_, domain)| domain);
        match node.and_then(|node| Some((node, node.alias()?))) {
            Some((node, alias)) if node.authority.same_host(&self.me.authority) => {
                format!("{alias}@{domain}")
            }
            _ => contact.href.clone(),
        }
    }

    /// Publishes a state, leased; the view id given by the server is used from then on.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn publish(&mut self, state: State) -> Result<(), ClientError> {
        let lease = Lease {
            default: State::Offline,
            seconds: Some(self.settings.presence_lease),
        };
        let view = self.view.clone();
        let value = StateValue {
            state: state.clone(),
            lease: Some(lease),
            view,
        };
        let body = PropertyUpdate::set([Property::State(value)]).to_xml();
        let target = self.me.target();
        let reply = self
            .connection
            .ask("PROPPATCH", &target, &[], body.into())
            .await?;
        let answer = Multistatus::parse(&reply.body, connection::MAX_BODY)?;
        let states = answer.properties().filter_map(|property| match property {
            Property::State(value) => value.view.clone(),
            _ => None,
        });
        let failed = answer
            .responses
            .iter()
            .flat_map(|r| &r.propstats)
            .find(|p| p.status >= 300);
        if let Some(failed) = failed {
            return Err(ClientError::Status(failed.status));
        }
        self.view = states.last().or(self.view.take());
        self.state = state;
        Ok(())
    }

    /// Watches a node through the own logical URL; its properties now are the result.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn watch(&mut self, node: &NodeUrl) -> Result<Vec<Property>, ClientError> {
        let call_back = self.me.href();
        let reply = self
            .subscribe(node, "update/propchange", &call_back)
            .await?;
        if let Some(id) = reply.subscription {
            self.watches.push((id, node.clone()));
        }
        if reply.body.is_empty() {
            return Ok(Vec::new());
        }
        let answer = Multistatus::parse(&reply.body, connection::MAX_BODY)?;
        Ok(answer.properties().cloned().collect())
    }

    /// Stops watching a node.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn unwatch(&mut self, node: &NodeUrl) -> Result<(), ClientError> {
        let (gone, kept) = std::mem::take(&mut self.watches)
            .into_iter()
            .partition(|(_, n)| n.same_node(node));
        self.watches = kept;
        let gone: Vec<(String, NodeUrl)> = gone;
        for (id, node) in gone {
            self.unsubscribe(&id, &node).await?;
        }
        Ok(())
    }

    /// Renews the sign-in, all watches and the presence; call it well before the leases end.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn renew(&mut self) -> Result<(), ClientError> {
        let lease = self.settings.lease.to_string();
        let mut all = self.watches.clone();
        all.push((self.sign_in.clone(), self.me.clone()));
        for (id, node) in all {
            let headers = [
                ("Subscription-Id", id.as_str()),
                ("Subscription-Lifetime", &lease),
            ];
            self.connection
                .ask("SUBSCRIBE", &node.target(), &headers, Bytes::new())
                .await?;
        }
        self.publish(self.state.clone()).await
    }

    /// Sends a text.
    ///
    /// # Errors
    /// [`ClientError`]: 412 if nobody is there to take it.
    pub async fn text(
        &mut self,
        to: &NodeUrl,
        session: &str,
        text: &str,
    ) -> Result<(), ClientError> {
        self.send(to, &Block::text(text, session, None)).await
    }

    /// Tells that we type.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn typing(&mut self, to: &NodeUrl, session: &str) -> Result<(), ClientError> {
        let block = Block::typing(&self.settings.address, session);
        self.send(to, &block).await
    }

    /// Opens a conversation with somebody.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn join(&mut self, to: &NodeUrl, session: &str) -> Result<(), ClientError> {
        self.send(to, &Block::join(session)).await
    }

    /// Leaves a conversation.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn leave(&mut self, to: &NodeUrl, session: &str) -> Result<(), ClientError> {
        self.send(to, &Block::leave(session)).await
    }

    /// Sends any MIME block.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn send(&mut self, to: &NodeUrl, block: &Block) -> Result<(), ClientError> {
        let message = Message {
            from: Contact::new(self.me.href()),
            to: vec![Contact::new(to.href())],
            mime: self.settings.form.write(&block.to_string()),
        };
        let body = Notification::Message(message).to_xml();
        let headers = [("RVP-Ack-Type", "DeepOr"), ("RVP-Hop-Count", "1")];
        self.connection
            .ask("NOTIFY", &to.target(), &headers, body)
            .await
            .map(drop)
    }

    /// Any request on the signed-in connection, for tests: status and body.
    ///
    /// # Errors
    /// [`ClientError`], also for every status that is no success.
    pub async fn ask(
        &mut self,
        method: &str,
        node: &NodeUrl,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<(u16, Bytes), ClientError> {
        let reply = self
            .connection
            .ask(method, &node.target(), headers, body)
            .await?;
        Ok((reply.status, reply.body))
    }

    /// A fresh conversation id.
    pub fn new_session(&self) -> String {
        session_id(random::bits())
    }

    /// Publishes offline and ends all subscriptions; the listener closes with the client.
    ///
    /// # Errors
    /// The first [`ClientError`]; the rest is still tried.
    pub async fn sign_out(mut self) -> Result<(), ClientError> {
        let mut first = self.publish(State::Offline).await;
        let mut all = std::mem::take(&mut self.watches);
        all.push((self.sign_in.clone(), self.me.clone()));
        for (id, node) in all {
            first = first.and(self.unsubscribe(&id, &node).await);
        }
        first
    }

    async fn subscribe(
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

    async fn unsubscribe(&mut self, id: &str, node: &NodeUrl) -> Result<(), ClientError> {
        let headers = [("Subscription-Id", id)];
        self.connection
            .ask("UNSUBSCRIBE", &node.target(), &headers, Bytes::new())
            .await
            .map(drop)
    }
}

fn node_of(settings: &Settings, address: &str) -> Result<NodeUrl, ClientError> {
    let (local, domain) = address.split_once('@').unwrap_or((address, ""));
    let own = settings
        .address
        .split_once('@')
        .map_or("", |(_, domain)| domain);
    let host = if domain.is_empty() || domain.eq_ignore_ascii_case(own) {
        settings.host.clone()
    } else {
        format!("im.{domain}")
    };
    Ok(NodeUrl::of_alias(Authority::parse(&host)?, local)?)
}

#[cfg(test)]
mod tests;
