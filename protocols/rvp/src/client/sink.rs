//! Subscriptions of a set of nodes on behalf of a callback that somebody else serves.

use super::connection::{Connection, MAX_BODY};
use super::{ClientError, Settings};
use crate::callback::CallBack;
use crate::document::{Multistatus, Property};
use crate::error::UrlError;
use crate::request::{NotificationType, SubscriptionId};
use crate::url::NodeUrl;
use bytes::Bytes;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

/// A subscription to be held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Of which node.
    pub node: NodeUrl,
    /// To what: what is sent to the node, or changes of its properties.
    pub kind: NotificationType,
}

impl Wanted {
    /// What is sent to the node (`pragma/notify`).
    pub fn notifications(node: NodeUrl) -> Self {
        Self {
            node,
            kind: NotificationType::PragmaNotify,
        }
    }

    /// Changes of its properties (`update/propchange`).
    pub fn properties(node: NodeUrl) -> Self {
        Self {
            node,
            kind: NotificationType::PropChange,
        }
    }
}

/// How a subscription stands.
#[derive(Clone, Debug)]
pub struct Held {
    /// What was wanted.
    pub wanted: Wanted,
    /// Its id while it is held: NOTIFYs for it carry it.
    pub id: Option<SubscriptionId>,
    /// The node's properties as the SUBSCRIBE that won it gave them.
    pub properties: Vec<Property>,
    /// How often it was subscribed: above 1 it was lost in between.
    pub subscribed: u32,
    /// Why the last attempt failed; `None` after a success.
    pub error: Option<Arc<ClientError>>,
}

/// Why a sink cannot be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SinkError {
    /// More than [`Sink::MAX`].
    #[error("too many nodes")]
    TooMany,
    /// The own address makes no node URL.
    #[error("address: {0}")]
    Address(UrlError),
}

/// Holds subscriptions: subscribes, renews at 80 % of each lease, subscribes anew what the server
/// forgot (412), tries again what failed (1 s, doubled up to 60 s), unsubscribes at the end.
///
/// One task and one connection, requests one after the other; the callback's listener is yours (a
/// [target](crate) or anything that takes NOTIFY). Settings beyond server, host, address,
/// user, password and lease are not used. Dropped without [`Sink::close`] it stops at once and its
/// subscriptions run out by themselves.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use rvp::{CallBack, NodeUrl};
/// use rvp::client::{Settings, Sink, Wanted};
/// let settings = Settings::new("192.0.2.1:80".parse()?, "im.example.com", "desk@example.com", "secret");
/// let node = NodeUrl::parse("http://im.example.com/shipments/1Z999")?;
/// let call_back = CallBack::parse("http://198.51.100.7:8081/hook")?;
/// let sink = Sink::open(&settings, &call_back, vec![Wanted::notifications(node)])?;
/// sink.settled().await; // every node was tried once
/// for held in sink.held() {
///     println!("{} {:?}", held.wanted.node, held.id);
/// }
/// sink.close().await;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Sink {
    held: watch::Receiver<Vec<Held>>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// How long the unsubscribing at the end may take altogether.
const CLOSE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(60);

impl Sink {
    /// Most subscriptions of one sink.
    pub const MAX: usize = 10_000;

    /// Starts holding these.
    ///
    /// # Errors
    /// [`SinkError`]; failures to reach the server are no errors, they show in [`Sink::held`].
    pub fn open(
        settings: &Settings,
        call_back: &CallBack,
        wanted: Vec<Wanted>,
    ) -> Result<Self, SinkError> {
        if wanted.len() > Self::MAX {
            return Err(SinkError::TooMany);
        }
        let me = settings.node_of(&settings.address);
        let me = me.map_err(SinkError::Address)?;
        let (tell, held) = watch::channel(wanted.into_iter().map(Held::new).collect());
        let (stop, stopped) = oneshot::channel();
        let keeper = Keeper {
            connection: Connection::new(settings, me.href()),
            call_back: call_back.to_string(),
            lease: settings.lease.to_string(),
            asked: settings.lease,
            tell,
        };
        let task = tokio::spawn(keeper.run(stopped));
        let stop = Some(stop);
        Ok(Self { held, stop, task })
    }

    /// How each subscription stands now, in the order given.
    pub fn held(&self) -> Vec<Held> {
        self.held.borrow().clone()
    }

    /// Waits until the standing changed since the last call.
    pub async fn changed(&mut self) {
        let _ = self.held.changed().await;
    }

    /// Waits until every subscription is held or was tried without success.
    pub async fn settled(&self) {
        let tried = |held: &Held| held.id.is_some() || held.error.is_some();
        let mut watch = self.held.clone();
        let _ = watch.wait_for(|all| all.iter().all(tried)).await;
    }

    /// Unsubscribes all and ends; takes 10 s at most.
    pub async fn close(mut self) {
        drop(self.stop.take());
        if timeout(CLOSE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Held {
    fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            id: None,
            properties: Vec::new(),
            subscribed: 0,
            error: None,
        }
    }
}

struct Keeper {
    connection: Connection,
    call_back: String,
    lease: String,
    asked: u32,
    tell: watch::Sender<Vec<Held>>,
}

/// When which is to be done next, earliest first.
type Agenda = BinaryHeap<Reverse<(Instant, usize, Duration)>>;

impl Keeper {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let now = Instant::now();
        let count = self.tell.borrow().len();
        let mut agenda: Agenda = (0..count)
            .map(|at| Reverse((now, at, FIRST_PAUSE)))
            .collect();
        loop {
            let due = agenda.peek().map(|Reverse((due, ..))| *due);
            let work = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = &mut stopped => break,
                () = work => {}
            }
            let Some(Reverse((_, at, pause))) = agenda.pop() else {
                continue;
            };
            // A stop cuts the request short: its answer would come too late anyhow.
            let next = tokio::select! {
                biased;
                _ = &mut stopped => break,
                next = self.keep(at, pause) => next,
            };
            if let Some((after, pause)) = next {
                agenda.push(Reverse((Instant::now() + after, at, pause)));
            }
        }
        self.end().await;
    }

    /// Subscribes or renews one; the result is when it is due again and the pause if that fails.
    async fn keep(&mut self, at: usize, pause: Duration) -> Option<(Duration, Duration)> {
        let (wanted, id) = {
            let all = self.tell.borrow();
            let held = all.get(at)?;
            (held.wanted.clone(), held.id.clone())
        };
        let result = match &id {
            Some(id) => self.renew(&wanted, id).await,
            None => self.subscribe(at, &wanted).await,
        };
        let error = match result {
            Ok(granted) => {
                self.update(at, |held| held.error = None);
                let lease = Duration::from_secs(granted.max(1).into());
                // `RVP 5 SUBSCRIBE`: well before the end, and the request may take its time.
                return Some((lease.mul_f32(0.8), FIRST_PAUSE));
            }
            Err(error) => error,
        };
        // 412: the server does not know it any more; 404: nor the node, which may come back.
        let lost = id.is_some() && matches!(error, ClientError::Status(404 | 412));
        let error = Arc::new(error);
        self.update(at, |held| {
            held.error = Some(error);
            if lost {
                held.id = None;
            }
        });
        if lost {
            Some((Duration::ZERO, FIRST_PAUSE))
        } else {
            Some((pause, (pause * 2).min(LAST_PAUSE)))
        }
    }

    async fn subscribe(&mut self, at: usize, wanted: &Wanted) -> Result<u32, ClientError> {
        let headers = [
            ("Notification-Type", wanted.kind.as_str()),
            ("Subscription-Lifetime", &self.lease),
            ("Call-Back", &self.call_back),
        ];
        let target = wanted.node.target();
        let reply = self
            .connection
            .ask("SUBSCRIBE", &target, &headers, Bytes::new())
            .await?;
        let id = reply
            .subscription
            .as_deref()
            .and_then(SubscriptionId::parse);
        let id = id.ok_or(ClientError::Status(reply.status))?;
        // The subscription holds, whatever its answer's body is worth.
        let answer = Multistatus::parse(&reply.body, MAX_BODY);
        let properties = answer.map(|answer| answer.properties().cloned().collect());
        let properties: Vec<Property> = properties.unwrap_or_default();
        self.update(at, |held| {
            held.id = Some(id);
            held.properties = properties;
            held.subscribed = held.subscribed.saturating_add(1);
        });
        Ok(reply.lifetime.unwrap_or(self.asked))
    }

    async fn renew(&mut self, wanted: &Wanted, id: &SubscriptionId) -> Result<u32, ClientError> {
        let headers = [
            ("Subscription-Id", id.as_str()),
            ("Subscription-Lifetime", &self.lease),
        ];
        let target = wanted.node.target();
        let reply = self
            .connection
            .ask("SUBSCRIBE", &target, &headers, Bytes::new())
            .await?;
        Ok(reply.lifetime.unwrap_or(self.asked))
    }

    async fn end(mut self) {
        let all = self.tell.borrow().clone();
        for (at, held) in all.into_iter().enumerate() {
            let Some(id) = held.id else { continue };
            let headers = [("Subscription-Id", id.as_str())];
            let target = held.wanted.node.target();
            let ended = self
                .connection
                .ask("UNSUBSCRIBE", &target, &headers, Bytes::new())
                .await;
            // Without a connection the others fail too; they run out by themselves.
            if matches!(ended, Err(ClientError::Io(_) | ClientError::Timeout)) {
                return;
            }
            self.update(at, |held| held.id = None);
        }
    }

    fn update(&self, at: usize, change: impl FnOnce(&mut Held)) {
        self.tell.send_modify(|all| {
            if let Some(held) = all.get_mut(at) {
                change(held);
            }
        });
    }
}

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests;
