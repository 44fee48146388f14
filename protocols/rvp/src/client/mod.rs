//! An RVP client on tokio and hyper: sign in, publish, watch, talk, properties and access lists.
//!
//! One connection to the server is kept open and made again when it is gone; a listener takes
//! callbacks. Leases are kept by themselves: renewed at four fifths, and what the server has
//! forgotten (412) is signed in, watched and published anew. Digest and NTLM are answered,
//! redirects followed within the own domain; https with the feature `tls`. Everything is bounded:
//! bodies, time, queue of events, callback connections.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use rvp::client::{Client, Event, Settings};
//! use rvp::document::State;
//!
//! let server = "192.0.2.1:80".parse()?;
//! let settings = Settings::new(server, "im.example.com", "alice@example.com", "secret");
//! let (mut client, mut events) = Client::sign_in(settings).await?;
//! client.publish(State::Online).await?;
//! let bob = client.node_of("bob@example.com")?;
//! println!("bob: {:?}", client.watch(&bob).await?);
//! let session = client.new_session();
//! client.text(&bob, &session, "hello").await?;
//! while let Some(event) = events.recv().await {
//!     match event {
//!         Event::Text { from, text, .. } => println!("{}: {text}", from.href),
//!         Event::Presence { from, state } => println!("{} is {state:?}", from.href),
//!         Event::Interrupted { why } => eprintln!("trying again: {why}"),
//!         _ => {}
//!     }
//! }
//! client.sign_out().await?;
//! # Ok(()) }
//! ```

mod connection;
mod conversation;
mod error;
mod event;
mod keeper;
mod listener;
mod random;
mod session;
mod settings;
mod sink;
#[cfg(feature = "tls")]
mod tls;

use crate::callback::CallBack;
use crate::document::{
    Acl, Contact, Message, Multistatus, Notification, Property, PropertyName, PropertyUpdate,
    Propfind, Propstat, State,
};
use crate::mime::{Block, session_id};
use crate::url::NodeUrl;
pub use auth::login::Scheme;
use bytes::Bytes;
use connection::Connection;
pub use conversation::{Conversation, Missed};
pub use error::ClientError;
pub use event::{Event, Events};
use listener::Listener;
use session::{Inner, Kept, succeeded};
pub use settings::Settings;
pub use sink::{Held, Sink, SinkError, Wanted};
use std::net::SocketAddr;
use std::sync::Arc;
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsError};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A signed-in user. Dropped, it stops at once and its leases run out by themselves;
/// [`Client::sign_out`] is the polite way.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    me: NodeUrl,
    inner: Arc<Mutex<Inner>>,
    keeper: JoinHandle<()>,
    /// None if the callback is somebody else's.
    listener: Option<Listener>,
    /// Of a client without a listener, until they are asked for.
    events: Option<Events>,
}

/// Events waiting at most; more are answered 503 at the callback.
const EVENTS: usize = 1_024;

impl Drop for Client {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Client {
    /// Opens the listener and signs in; state is not yet published.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn sign_in(settings: Settings) -> Result<(Self, Events), ClientError> {
        let (sender, events) = mpsc::channel(EVENTS);
        let listener = Listener::open(settings.callback, sender.clone()).await?;
        let call_back = format!("http://{}", listener.address());
        let client = Self::enter(settings, Some(listener), call_back, sender).await?;
        Ok((client, Events(events)))
    }

    /// Signs in with a callback that somebody else serves, a notification target for example:
    /// notifications arrive there. What the client itself has to tell is in [`Client::events`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn sign_in_at(settings: Settings, call_back: &CallBack) -> Result<Self, ClientError> {
        let (sender, events) = mpsc::channel(EVENTS);
        let mut client = Self::enter(settings, None, call_back.to_string(), sender).await?;
        client.events = Some(Events(events));
        Ok(client)
    }

    async fn enter(
        settings: Settings,
        listener: Option<Listener>,
        call_back: String,
        events: mpsc::Sender<Event>,
    ) -> Result<Self, ClientError> {
        let me = settings.node_of(&settings.address)?;
        let mut inner = Inner {
            connection: Connection::new(&settings, me.href()),
            settings: settings.clone(),
            me: me.clone(),
            call_back,
            events,
            sign_in: Kept {
                id: String::new(),
                node: me.clone(),
                due: Instant::now(),
            },
            watches: Vec::new(),
            state: State::Offline,
            view: None,
            presence_due: Instant::now(),
        };
        inner.sign_in().await?;
        let inner = Arc::new(Mutex::new(inner));
        let keeper = tokio::spawn(keeper::run(Arc::clone(&inner)));
        Ok(Self {
            settings,
            me,
            inner,
            keeper,
            listener,
            events: None,
        })
    }

    /// Own node.
    pub fn node(&self) -> &NodeUrl {
        &self.me
    }

    /// The address of the own callback; none after [`Client::sign_in_at`].
    pub fn callback(&self) -> Option<SocketAddr> {
        self.listener.as_ref().map(Listener::address)
    }

    /// After [`Client::sign_in_at`], once: interruptions, and what was found on watching anew.
    pub fn events(&mut self) -> Option<Events> {
        self.events.take()
    }

    /// Id of the sign-in subscription.
    pub async fn subscription(&self) -> String {
        self.inner.lock().await.sign_in.id.clone()
    }

    /// The node of `user@domain`: own domain at the configured host, others at `im.DOMAIN`.
    ///
    /// # Errors
    /// [`ClientError::Address`].
    pub fn node_of(&self, address: &str) -> Result<NodeUrl, ClientError> {
        Ok(self.settings.node_of(address)?)
    }

    /// `user@domain` of a contact at the configured host; other contacts' URL as it is.
    pub fn address_of(&self, contact: &Contact) -> String {
        let principal = contact.principal().ok();
        let node = principal.as_ref().and_then(|principal| principal.node());
        let domain = self.settings.domain();
        match node.and_then(|node| Some((node, node.alias()?))) {
            Some((node, alias)) if node.authority.same_host(&self.me.authority) => {
                format!("{alias}@{domain}")
            }
            _ => contact.href.clone(),
        }
    }

    /// Publishes a state, leased and kept; the view id given by the server is used from then on.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn publish(&mut self, state: State) -> Result<(), ClientError> {
        self.inner.lock().await.publish(state).await
    }

    /// Watches a node through the own logical URL; its properties now are the result.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn watch(&mut self, node: &NodeUrl) -> Result<Vec<Property>, ClientError> {
        let mut inner = self.inner.lock().await;
        let (reply, properties) = inner.watched(node).await?;
        if let Some(id) = reply.subscription {
            let due = keeper::due(reply.lifetime.unwrap_or(self.settings.lease));
            let node = node.clone();
            inner.watches.push(Kept { id, node, due });
        }
        Ok(properties)
    }

    /// Stops watching a node.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn unwatch(&mut self, node: &NodeUrl) -> Result<(), ClientError> {
        let mut inner = self.inner.lock().await;
        let (gone, kept) = std::mem::take(&mut inner.watches)
            .into_iter()
            .partition(|held| held.node.same_node(node));
        inner.watches = kept;
        let gone: Vec<Kept> = gone;
        for held in gone {
            inner.unsubscribe(&held).await?;
        }
        Ok(())
    }

    /// Renews the sign-in, all watches and the presence at once. Nobody has to: they are kept.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn renew(&mut self) -> Result<(), ClientError> {
        self.inner.lock().await.keep_all().await
    }

    /// Reads properties of a node, or all of them: one part per status, as the server tells.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn properties(
        &mut self,
        node: &NodeUrl,
        names: Option<&[PropertyName]>,
    ) -> Result<Vec<Propstat>, ClientError> {
        let wanted = match names {
            Some(names) => Propfind::Properties(names.to_vec()),
            None => Propfind::All,
        };
        let body = wanted.to_xml();
        let depth = [("Depth", "0")];
        let (_, body) = self.ask("PROPFIND", node, &depth, body.into()).await?;
        let answer = Multistatus::parse(&body, connection::MAX_BODY)?;
        Ok(answer
            .responses
            .into_iter()
            .flat_map(|response| response.propstats)
            .collect())
    }

    /// Sets and removes properties of a node: all of them, or none.
    ///
    /// # Errors
    /// [`ClientError::Status`] is that of the first property that failed by itself.
    pub async fn change(
        &mut self,
        node: &NodeUrl,
        update: &PropertyUpdate,
    ) -> Result<(), ClientError> {
        let body = update.to_xml();
        let (_, body) = self.ask("PROPPATCH", node, &[], body.into()).await?;
        succeeded(&Multistatus::parse(&body, connection::MAX_BODY)?)
    }

    /// Reads the access list of a node.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn access(&mut self, node: &NodeUrl) -> Result<Acl, ClientError> {
        let (_, body) = self.ask("ACL", node, &[], Bytes::new()).await?;
        Ok(Acl::parse(&body, connection::MAX_BODY)?)
    }

    /// Replaces the access list of a node.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_access(&mut self, node: &NodeUrl, list: &Acl) -> Result<(), ClientError> {
        self.ask("ACL", node, &[], list.to_xml().into())
            .await
            .map(drop)
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
        self.notify(to, body).await
    }

    /// Sends a document of an application's own to a node.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn notify(&mut self, to: &NodeUrl, document: Bytes) -> Result<(), ClientError> {
        let headers = [("RVP-Ack-Type", "DeepOr"), ("RVP-Hop-Count", "1")];
        self.ask("NOTIFY", to, &headers, document).await.map(drop)
    }

    /// Any request on the signed-in connection: status and body.
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
        let mut inner = self.inner.lock().await;
        let target = node.target();
        let reply = inner.connection.ask(method, &target, headers, body).await?;
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
    pub async fn sign_out(self) -> Result<(), ClientError> {
        self.keeper.abort();
        let mut inner = self.inner.lock().await;
        let mut first = inner.publish(State::Offline).await;
        let mut all = std::mem::take(&mut inner.watches);
        all.push(inner.sign_in.clone());
        for held in all {
            first = first.and(inner.unsubscribe(&held).await);
        }
        first
    }
}

#[cfg(test)]
mod keeping_tests;
#[cfg(test)]
mod tests;
