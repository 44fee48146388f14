//! A conversation of several: full mesh, everybody sends to everybody (`RVP 5 NOTIFY`).

use super::{Client, ClientError};
use crate::document::Contact;
use crate::url::NodeUrl;

/// Who talks under one `Session-Id`. Feed it joins and leaves as they are heard.
///
/// ```no_run
/// # async fn example(client: &mut rvp::client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use rvp::client::Conversation;
/// let mut lunch = Conversation::new(client.new_session());
/// for address in ["bob@example.com", "carol@example.com"] {
///     let node = client.node_of(address)?;
///     lunch.add(client, &node).await?;
/// }
/// for (who, error) in lunch.say(client, "pizza?").await {
///     eprintln!("{who}: {error}");
/// }
/// lunch.leave(client).await;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Conversation {
    session: String,
    members: Vec<NodeUrl>,
}

/// Whom something did not reach, and why.
pub type Missed = Vec<(NodeUrl, ClientError)>;

impl Conversation {
    /// Most members beside oneself.
    pub const MAX: usize = 50;

    /// One that nobody is in yet, under this id: [`Client::new_session`], or the one of a join that
    /// was heard.
    pub fn new(session: impl Into<String>) -> Self {
        Self {
            session: session.into(),
            members: Vec::new(),
        }
    }

    /// Its `Session-Id`.
    pub fn session(&self) -> &str {
        &self.session
    }

    /// The others in it.
    pub fn members(&self) -> &[NodeUrl] {
        &self.members
    }

    /// Asks somebody to join.
    ///
    /// # Errors
    /// [`ClientError`]: 412 if there is nobody; [`ClientError::Request`] if it is full.
    pub async fn add(&mut self, client: &mut Client, node: &NodeUrl) -> Result<(), ClientError> {
        if !self.has(node) && self.members.len() >= Self::MAX {
            return Err(ClientError::Request);
        }
        client.join(node, &self.session).await?;
        self.joined(node);
        Ok(())
    }

    /// Somebody was heard to join, or to speak, under this id.
    pub fn joined(&mut self, node: &NodeUrl) {
        if !self.has(node) && self.members.len() < Self::MAX {
            self.members.push(node.clone());
        }
    }

    /// Somebody was heard to leave.
    pub fn left(&mut self, contact: &Contact) {
        if let Ok(node) = NodeUrl::parse(&contact.href) {
            self.members.retain(|member| !member.same_node(&node));
        }
    }

    /// Sends a text to all; who has left (500) is taken out.
    pub async fn say(&mut self, client: &mut Client, text: &str) -> Missed {
        let mut missed = Vec::new();
        for node in self.members.clone() {
            if let Err(error) = client.text(&node, &self.session, text).await {
                if matches!(error, ClientError::Status(500)) {
                    self.members.retain(|member| !member.same_node(&node));
                }
                missed.push((node, error));
            }
        }
        missed
    }

    /// Tells all that we type.
    pub async fn typing(&self, client: &mut Client) -> Missed {
        let mut missed = Vec::new();
        for node in &self.members {
            if let Err(error) = client.typing(node, &self.session).await {
                missed.push((node.clone(), error));
            }
        }
        missed
    }

    /// Tells all that we leave.
    pub async fn leave(self, client: &mut Client) -> Missed {
        let mut missed = Vec::new();
        for node in &self.members {
            if let Err(error) = client.leave(node, &self.session).await {
                missed.push((node.clone(), error));
            }
        }
        missed
    }

    fn has(&self, node: &NodeUrl) -> bool {
        self.members.iter().any(|member| member.same_node(node))
    }
}
