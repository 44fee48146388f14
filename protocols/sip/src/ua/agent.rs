//! The agent: its state, its requests, its clock.

use std::collections::{BTreeMap, HashMap, VecDeque};

use auth::digest::Client;
use bytes::Bytes;

use super::body::Status;
use super::{Account, Event, Input, Link, Output, RequestId};
use crate::flow::{Millis, NEVER};
use crate::raw::RawMessage;
use crate::subscription::Subscriber;
use crate::transaction::{self, Engine, Outgoing, Settings};

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    Register,
    Unregister,
    Publish,
    Unpublish,
    Text,
    Typing,
    Options,
    Watch(String),
    Unwatch(String),
}

/// A request that can be sent again, with credentials or another duration.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) purpose: Purpose,
    pub(super) method: &'static str,
    pub(super) uri: String,
    pub(super) to: String,
    pub(super) call_id: String,
    pub(super) cseq: u32,
    pub(super) extra: Vec<(&'static str, String)>,
    pub(super) body: Option<(&'static str, Bytes)>,
    /// How often it was challenged.
    pub(super) challenged: u8,
}

/// Publication and registration: what is refreshed on its own.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) call_id: String,
    pub(super) cseq: u32,
    pub(super) refresh_at: Option<Millis>,
}

/// A user agent for one account on one way to its server.
pub struct Ua {
    pub(super) account: Account,
    pub(super) link: Link,
    pub(super) engine: Engine<RawMessage>,
    random: Box<dyn FnMut() -> u64 + Send>,
    pub(super) events: VecDeque<Event>,
    /// For REGISTER (401), and for all others (407).
    pub(super) origin: Client,
    pub(super) proxy: Client,
    pub(super) tag: String,
    pub(super) registration: Kept,
    pub(super) publication: Kept,
    pub(super) etag: Option<String>,
    pub(super) status: Option<Status>,
    pub(super) publishing: bool,
    pub(super) publish_waiting: bool,
    pub(super) watches: BTreeMap<String, Subscriber>,
    pub(super) pending: HashMap<RequestId, Draft>,
    last_id: RequestId,
    pub(super) expires: u32,
}

impl std::fmt::Debug for Ua {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the account: it has the password.
        f.debug_struct("Ua")
            .field("address", &self.account.address)
            .field("link", &self.link)
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}

impl Ua {
    /// An agent that is not signed in. `random` yields unpredictable values for tags, branches and
    /// Call-IDs.
    pub fn new(
        account: Account,
        link: Link,
        mut random: impl FnMut() -> u64 + Send + 'static,
    ) -> Self {
        let secret = [random(), random()];
        let client = || Client::new(&account.user, &account.password);
        let mut agent = Self {
            origin: client(),
            proxy: client(),
            expires: account.expires,
            account,
            link,
            engine: Engine::new(
                Settings {
                    capacity: 4_096,
                    ..Settings::default()
                },
                secret,
            ),
            random: Box::new(random),
            events: VecDeque::new(),
            tag: String::new(),
            registration: Kept::default(),
            publication: Kept::default(),
            etag: None,
            status: None,
            publishing: false,
            publish_waiting: false,
            watches: BTreeMap::new(),
            pending: HashMap::new(),
            last_id: 0,
        };
        agent.tag = agent.word();
        agent.registration.call_id = agent.word();
        agent.publication.call_id = agent.word();
        agent
    }

    /// Our address, as `alice@example.com`.
    pub fn address(&self) -> &str {
        &self.account.address
    }

    /// Takes what happened.
    pub fn handle(&mut self, now: Millis, input: Input) {
        match input {
            Input::Message(message) => {
                // A message without names is nobody's: our server does not send such.
                let _ = self.engine.receive(now, self.link.flow, message);
            }
            Input::Closed => {
                let flow = self.link.flow.id;
                self.engine
                    .handle(now, transaction::Input::FlowClosed { flow });
                self.events.push_back(Event::Disconnected);
            }
            Input::Tick => {
                self.engine.handle(now, transaction::Input::Tick);
                self.refresh(now);
            }
        }
        self.now_work(now);
    }

    /// The next thing to do; call until [`Output::Idle`].
    pub fn poll(&mut self, now: Millis) -> Output {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Output::Event(event);
            }
            match self.engine.poll() {
                transaction::Output::Send { bytes, .. } => return Output::Send(bytes),
                transaction::Output::Event(event) => self.transaction_event(now, event),
                transaction::Output::Idle { wake_at } => {
                    let wake_at = wake_at.into_iter().chain(self.next_refresh()).min();
                    return Output::Idle { wake_at };
                }
            }
        }
    }

    /// Publishing waits for the ETag of the one before.
    fn now_work(&mut self, now: Millis) {
        if self.publish_waiting && !self.publishing {
            self.publish_waiting = false;
            self.send_publish(now);
        }
    }

    fn next_refresh(&self) -> Option<Millis> {
        let kept = [self.registration.refresh_at, self.publication.refresh_at];
        let watches = self.watches.values().map(Subscriber::refresh_at);
        kept.into_iter()
            .flatten()
            .chain(watches.filter(|at| *at != NEVER))
            .min()
    }

    fn refresh(&mut self, now: Millis) {
        if self.registration.refresh_at.is_some_and(|at| at <= now) {
            self.registration.refresh_at = None;
            self.register(now);
        }
        if self.publication.refresh_at.is_some_and(|at| at <= now) {
            self.publication.refresh_at = None;
            self.send_publish(now);
        }
        let due: Vec<String> = self
            .watches
            .iter()
            .filter(|(_, watch)| watch.refresh_at() <= now)
            .map(|(who, _)| who.clone())
            .collect();
        for who in due {
            self.send_watch(now, who);
        }
    }

    /// When something that was granted for a while is asked for again.
    pub(super) fn ahead(now: Millis, seconds: u32) -> Millis {
        let span = u64::from(seconds) * 1_000;
        let margin = (span / 10).max(5_000).min(span / 2);
        now.saturating_add(span - margin)
    }

    /// A fresh word for tags, branches and Call-IDs.
    pub(super) fn word(&mut self) -> String {
        format!("{:016x}", (self.random)())
    }

    pub(super) fn via(&self) -> String {
        let token = self.link.flow.transport.via_token();
        format!("SIP/2.0/{token} {}", self.link.local)
    }

    pub(super) fn uri(&self) -> String {
        format!("sip:{}", self.account.address)
    }

    /// From without a tag.
    pub(super) fn local(&self) -> String {
        match &self.account.display_name {
            Some(name) => {
                let name = name.replace(['"', '\\'], "'");
                format!("\"{name}\" <{}>", self.uri())
            }
            None => format!("<{}>", self.uri()),
        }
    }

    pub(super) fn contact(&self) -> String {
        let user = self.account.address.split('@').next().unwrap_or_default();
        let host = self.link.local;
        match self.link.flow.transport {
            crate::flow::Transport::Udp => format!("sip:{user}@{host}"),
            other => {
                let token = other.via_token().to_ascii_lowercase();
                format!("sip:{user}@{host};transport={token}")
            }
        }
    }

    pub(super) fn start(
        &mut self,
        now: Millis,
        id: RequestId,
        method: &str,
        branch: &str,
        bytes: Bytes,
    ) {
        let flow = self.link.flow;
        self.engine.start(
            now,
            Outgoing {
                method: method.as_bytes(),
                branch: branch.as_bytes(),
                flow,
                bytes,
                token: id,
            },
        );
    }

    pub(super) fn new_id(&mut self) -> RequestId {
        self.last_id += 1;
        self.last_id
    }
}
