//! The desk's mouth: one task that owns the account's connection and sends in order.

use super::card::Sources;
use super::vocabulary::{CaseId, Event};
use rvp::NodeUrl;
use rvp::client::{Client, ClientError, Events};
use rvp::document::State;
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// What to send.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) to: String,
    pub(crate) text: String,
    pub(crate) case: Option<CaseId>,
    /// Of an offer: the customer and the card so far, to stand above the text.
    pub(crate) card: Option<(String, String)>,
}

/// Conversations whose id is remembered.
const SESSIONS: usize = 10_000;

pub(crate) struct Sender {
    client: Client,
    sessions: BTreeMap<String, String>,
    sources: Sources,
    results: mpsc::Sender<Event>,
}

impl Sender {
    /// Publishes online and watches the agents; their states are the first results.
    pub(crate) async fn start(
        mut client: Client,
        agents: impl Iterator<Item = String>,
        sources: Sources,
        results: mpsc::Sender<Event>,
    ) -> Result<Self, ClientError> {
        client.publish(State::Online).await?;
        for agent in agents {
            let node = client.node_of(&agent)?;
            let properties = client.watch(&node).await?;
            let state = properties.iter().find_map(|property| match property {
                rvp::document::Property::State(value) => Some(&value.state),
                _ => None,
            });
            let there = state.is_some_and(is_there);
            let _ = results.send(Event::Presence { agent, there }).await;
        }
        let sessions = BTreeMap::new();
        Ok(Self {
            client,
            sessions,
            sources,
            results,
        })
    }

    /// Sends until the desk ends, then signs out.
    pub(crate) async fn run(mut self, mut outgoing: mpsc::Receiver<Outgoing>) {
        let mut told = self.client.events();
        loop {
            let result = tokio::select! {
                biased;
                next = outgoing.recv() => match next {
                    Some(next) => self.send(next).await,
                    None => break,
                },
                Some(told) = hear(told.as_mut()) => self.told(told),
            };
            if let Some(result) = result
                && self.results.send(result).await.is_err()
            {
                break;
            }
        }
        let _ = self.client.sign_out().await;
    }

    /// What the client found by itself, when the server had forgotten us.
    fn told(&self, told: rvp::client::Event) -> Option<Event> {
        match told {
            rvp::client::Event::Presence { from, state } => Some(Event::Presence {
                agent: self.client.address_of(&from),
                there: is_there(&state),
            }),
            rvp::client::Event::Interrupted { why } => {
                eprintln!("the server is gone: {why}");
                None
            }
            _ => None,
        }
    }

    async fn send(&mut self, out: Outgoing) -> Option<Event> {
        let Outgoing {
            to,
            mut text,
            case,
            card,
        } = out;
        if let Some((customer, card)) = card {
            let more = self.sources.look_up(&customer).await.unwrap_or_default();
            text = format!("{card}{more}\n{text}");
        }
        let sent = match self.client.node_of(&to) {
            Ok(node) => self.text(&node, &to, &text).await,
            Err(error) => Err(error),
        };
        match sent {
            Ok(()) => case.map(|case| Event::Delivered { case }),
            Err(error) => {
                eprintln!("to {to}: {error}");
                Some(Event::Failed { to, case })
            }
        }
    }

    async fn text(&mut self, node: &NodeUrl, to: &str, text: &str) -> Result<(), ClientError> {
        if self.sessions.len() >= SESSIONS && !self.sessions.contains_key(to) {
            self.sessions.clear();
        }
        let fresh = || self.client.new_session();
        let session = self
            .sessions
            .entry(to.to_owned())
            .or_insert_with(fresh)
            .clone();
        self.client.text(node, &session, text).await
    }
}

async fn hear(told: Option<&mut Events>) -> Option<rvp::client::Event> {
    told?.recv().await
}

/// Whether an agent in that state takes customers.
pub(crate) fn is_there(state: &State) -> bool {
    matches!(state, State::Online | State::Busy | State::OnPhone)
}
