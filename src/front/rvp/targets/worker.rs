//! One target: its backlog, and the sending of it.

use super::{ENTERING, Entering, Key, Shared, lock};
use crate::core::command::{Command, Outcome};
use crate::core::id::PointId;
use crate::core::port::{BacklogRecord, TargetRecord, Write};
use crate::core::target::TargetUrl;
use crate::core::time::Time;
use crate::front::rvp::callback::client::{Client, Patience};
use crate::front::rvp::callback::outgoing::Outgoing;
use crate::front::rvp::handle::Wire;
use crate::front::rvp::outbound::{self, Head};
use crate::hub::TargetState;
use rvp::signature;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

/// Notifications that may wait for one target.
const WAITING: usize = 1000;
/// Octets that may wait for one target.
const OCTETS: usize = 8 << 20;
/// What nobody took for so long is given up.
const AGE: Duration = Duration::from_hours(24);
/// Attempts after which a refusal that will not change is believed.
const REFUSALS: u32 = 5;
/// First and longest pause between attempts.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));
/// The resolver may take so long.
const RESOLVE: Duration = Duration::from_secs(5);
/// Addresses of one name that are tried.
const ADDRESSES: usize = 4;
/// For the connection and for the answer.
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(5),
    answer: Duration::from_secs(10),
    message: Duration::from_secs(10),
    idle: Duration::from_secs(60),
};

/// What waits, oldest first.
#[derive(Default)]
struct Queue {
    records: VecDeque<BacklogRecord>,
    octets: usize,
}

impl Queue {
    fn of(records: VecDeque<BacklogRecord>) -> Self {
        let octets = records.iter().map(|record| record.content.len()).sum();
        Self { records, octets }
    }

    fn has_room(&self, more: &[BacklogRecord], octets: usize) -> bool {
        let entering: usize = more.iter().map(|record| record.content.len()).sum();
        self.records.len() + more.len() < WAITING && self.octets + entering + octets <= OCTETS
    }
}

/// One target.
pub(super) struct Worker {
    shared: Arc<Shared>,
    key: Key,
    /// As the operator wrote it.
    named: String,
    url: TargetUrl,
    /// What notifications are signed with; empty = not signed.
    secret: Zeroizing<Vec<u8>>,
    queue: Mutex<Queue>,
    wake: Notify,
    state: Mutex<TargetState>,
}

/// What an attempt came to.
enum Verdict {
    Taken,
    Failed(String),
    /// It will not take this one, however often it is sent.
    Refused(String),
}

impl Worker {
    /// One that has this to send; the error says why there can be none.
    pub(super) fn new(
        shared: &Arc<Shared>,
        key: Key,
        target: &TargetRecord,
        queue: VecDeque<BacklogRecord>,
    ) -> Result<Self, String> {
        let url = TargetUrl::parse(&target.url).map_err(|why| why.to_string())?;
        // Never unsigned because its secret can't be read.
        let secret = shared.gate.target_secret(target);
        Ok(Self {
            shared: Arc::clone(shared),
            key,
            named: target.url.clone(),
            url,
            secret: secret.map_err(|why| why.to_string())?,
            queue: Mutex::new(Queue::of(queue)),
            wake: Notify::new(),
            state: Mutex::default(),
        })
    }

    /// Makes notifications durable, then says that they are.
    pub(super) async fn intake(
        self: Arc<Self>,
        mut entering: mpsc::Receiver<Entering>,
        mut sequence: u64,
    ) {
        let mut batch = Vec::with_capacity(ENTERING);
        while entering.recv_many(&mut batch, ENTERING).await > 0 {
            let (mut records, mut points) = (Vec::new(), Vec::new());
            for Entering { mut record, point } in batch.drain(..) {
                if !lock(&self.queue).has_room(&records, record.content.len()) {
                    self.report(&record, point, Outcome::QueueFull);
                    continue;
                }
                record.sequence = sequence;
                sequence += 1;
                records.push(record);
                points.push(point);
            }
            let writes = records.iter().cloned().map(Write::PutBacklog).collect();
            let kept = self.shared.hub.commit_targets(writes).await;
            let outcome = match &kept {
                Ok(()) => Outcome::Delivered,
                Err(error) => {
                    tracing::error!(%error, "target's backlog");
                    Outcome::QueueFull
                }
            };
            for (record, point) in records.into_iter().zip(points) {
                self.report(&record, point, outcome);
                if kept.is_ok() {
                    let mut queue = lock(&self.queue);
                    queue.octets += record.content.len();
                    queue.records.push_back(record);
                }
            }
            self.show();
            self.wake.notify_one();
        }
    }

    fn report(&self, record: &BacklogRecord, point: PointId, outcome: Outcome) {
        let command = Command::Outcome {
            message: record.message,
            point,
            outcome,
        };
        self.shared.send(self.key.0, command);
    }

    /// Sends what waits, in order, for ever.
    pub(super) async fn deliver(&self) {
        let mut client: Option<(SocketAddr, Client)> = None;
        let (mut pause, mut attempts) = (PAUSES.0, 0);
        loop {
            let oldest = lock(&self.queue).records.front().cloned();
            let Some(record) = oldest else {
                self.wake.notified().await;
                continue;
            };
            let old = self.shared.hub.now().since(record.added) >= AGE;
            let verdict = if old {
                Verdict::Refused("too old".to_owned())
            } else {
                self.attempt(&mut client, &record).await
            };
            let why = match verdict {
                Verdict::Taken => {
                    (pause, attempts) = (PAUSES.0, 0);
                    self.done(&record, |state| state.delivered += 1).await;
                    continue;
                }
                Verdict::Refused(why) if old || attempts + 1 >= REFUSALS => {
                    tracing::warn!(url = self.named, message = %record.message, why,
                        "target: notification given up");
                    (pause, attempts) = (PAUSES.0, 0);
                    self.done(&record, |state| state.dropped += 1).await;
                    continue;
                }
                Verdict::Refused(why) | Verdict::Failed(why) => why,
            };
            attempts += 1;
            self.failed(why, pause);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// The notification is through: it leaves the backlog, durably.
    async fn done(&self, record: &BacklogRecord, count: impl FnOnce(&mut TargetState)) {
        let (person, target) = self.key;
        let write = Write::DeleteBacklog(person, target, record.sequence);
        if let Err(error) = self.shared.hub.commit_targets(vec![write]).await {
            // It is sent again after a restart.
            tracing::error!(%error, "target's backlog");
        }
        {
            let mut queue = lock(&self.queue);
            queue.records.pop_front();
            queue.octets = queue.octets.saturating_sub(record.content.len());
        }
        {
            let mut state = lock(&self.state);
            count(&mut state);
            state.failures = 0;
            state.next = None;
            "taken".clone_into(&mut state.last);
        }
        self.show();
    }

    fn failed(&self, why: String, pause: Duration) {
        tracing::info!(url = self.named, why, ?pause, "target failed");
        {
            let mut state = lock(&self.state);
            state.failures = state.failures.saturating_add(1);
            state.last = why;
            state.next = Some(self.shared.hub.now().after(pause));
        }
        self.show();
    }

    pub(super) fn show(&self) {
        let mut state = lock(&self.state).clone();
        let queue = lock(&self.queue);
        (state.waiting, state.octets) = (queue.records.len(), queue.octets);
        self.shared.hub.board().put(self.key.0, self.key.1, state);
    }

    async fn attempt(
        &self,
        client: &mut Option<(SocketAddr, Client)>,
        record: &BacklogRecord,
    ) -> Verdict {
        let Some(request) = self.request(record) else {
            return Verdict::Refused("can't be written".to_owned());
        };
        let name = (self.url.host.as_str(), self.url.port);
        let addresses: Vec<SocketAddr> = match timeout(RESOLVE, tokio::net::lookup_host(name)).await
        {
            Ok(Ok(found)) => found.take(ADDRESSES).collect(),
            Ok(Err(error)) => return Verdict::Failed(format!("name: {error}")),
            Err(_) => return Verdict::Failed("name: no answer in time".to_owned()),
        };
        let mut last = "name: no address".to_owned();
        for address in addresses {
            let mut one = match client.take() {
                Some((known, one)) if known == address => one,
                _ => Client::new(address, PATIENCE),
            };
            let started = Instant::now();
            match one.send(&request, PATIENCE.message).await {
                Ok(status) => {
                    *client = Some((address, one));
                    return verdict(status);
                }
                Err(why) => {
                    let waited = started.elapsed().as_millis();
                    last = format!("{address}: {why} ({waited} ms)");
                }
            }
        }
        Verdict::Failed(last)
    }

    fn request(&self, record: &BacklogRecord) -> Option<Outgoing> {
        let wire = Wire {
            host: self.url.authority.clone(),
            target: self.url.target.clone(),
            version: rvp::Version::default().as_str().to_owned(),
            ..Wire::default()
        };
        let head = Head {
            from: record.from.clone(),
            subscription: self.key.1,
            ack: "SingleHop",
            hops: record.hops,
        };
        let mut head = outbound::head(&wire, &head, record.content.len());
        let node = self.shared.hub.directory().account(self.key.0);
        if let Some(node) = node {
            let href = self.shared.postman.names.href(&node.address, "");
            head = head.field("Tristack-Node", href);
        }
        head = head.field("Tristack-Delivery", record.message);
        if !self.secret.is_empty() {
            let now = unix(self.shared.hub.now());
            let signed = signature::sign(&self.secret, now, &record.content);
            head = head.field("Tristack-Signature", signed);
        }
        outbound::finish(head, &record.content)
    }
}

/// What an answer means: some refusals may be over later, others say that this notification will
/// never be taken.
fn verdict(status: u16) -> Verdict {
    match status {
        200..=299 => Verdict::Taken,
        400 | 405 | 406 | 409..=417 | 422 | 501 => Verdict::Refused(format!("answered {status}")),
        _ => Verdict::Failed(format!("answered {status}")),
    }
}

/// Seconds since 1970.
fn unix(now: Time) -> u64 {
    now.0 / 1000
}
