//! Registered targets: URLs that an administrator wants a node's notifications sent to.
//!
//! A target is a point of its node, so that routing, access and acknowledgement are those of any
//! inbox. It has a message as soon as the message is durable in the target's backlog; from there
//! it is sent on in order, again and again until it is taken. At least once, therefore: whoever
//! must not see doubles looks at `Tristack-Delivery`.

use super::callback::client::{Client, Patience};
use super::handle::Wire;
use super::outbound::{Head, Postman, request};
use super::render;
use crate::core::access::Scheme;
use crate::core::command::{
    Caller, Command, Outcome, PointChange, PointInfo, PointSpec, Reach, Register, Route, Tether,
};
use crate::core::event::{Event, Outbound};
use crate::core::id::{PersonId, PointId, Stack};
use crate::core::message::Message;
use crate::core::port::{BacklogRecord, TargetRecord, Write};
use crate::core::target::TargetUrl;
use crate::core::time::Time;
use crate::hub::{Hub, ReplyTo, TargetState};
use crate::net::Tasks;
use hyper::header::{HeaderName, HeaderValue};
use rvp::signature;
use rvp::text::Form;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};

/// The stack of points that are registered targets.
pub(super) const TARGET: Stack = Stack::named("target");

/// Notifications that may wait for one target.
const WAITING: usize = 1000;
/// Octets that may wait for one target.
const OCTETS: usize = 8 << 20;
/// Notifications on their way into the backlog.
const ENTERING: usize = 64;
/// What nobody took for so long is given up.
const AGE: Duration = Duration::from_hours(24);
/// Attempts after which a refusal that will not change is believed.
const REFUSALS: u32 = 5;
/// First and longest pause between attempts.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));
/// The lease of a target's point and how often it is renewed.
const LEASE: (Duration, Duration) = (Duration::from_hours(24), Duration::from_hours(6));
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

type Key = (PersonId, u32);

/// All targets. Cloning shares.
#[derive(Clone)]
pub(super) struct Targets(Arc<Shared>);

struct Shared {
    hub: Hub,
    postman: Arc<Postman>,
    served: Mutex<HashMap<Key, Served>>,
}

struct Served {
    entrance: mpsc::Sender<Entering>,
    gone: Arc<Notify>,
}

/// A notification in front of the backlog.
struct Entering {
    record: BacklogRecord,
    point: PointId,
}

impl Outbound for Targets {
    fn take(&self, event: Event) {
        match event {
            Event::Deliver {
                person,
                point,
                message,
                ..
            } => self.enter(person, &point, &message),
            // Its node is gone, perhaps: look.
            Event::PointEnded { .. } => self.0.hub.board().change(),
            _ => {}
        }
    }
}

impl Targets {
    pub(super) fn new(hub: Hub, postman: Arc<Postman>) -> Self {
        Self(Arc::new(Shared {
            hub,
            postman,
            served: Mutex::default(),
        }))
    }

    fn enter(&self, person: PersonId, point: &PointInfo, message: &Message) {
        if !self.queue(person, point, message) {
            let command = Command::Outcome {
                message: message.id,
                point: point.id,
                outcome: Outcome::QueueFull,
            };
            self.0.send(person, command);
        }
    }

    fn queue(&self, person: PersonId, point: &PointInfo, message: &Message) -> bool {
        let id = point.key.as_deref().and_then(|key| key.parse().ok());
        let Some(target) = id else { return false };
        let wire = Wire::default();
        let Some(content) = render::message(&self.0.postman, &wire, message, Form::Characters)
        else {
            return false;
        };
        let entering = Entering {
            record: BacklogRecord {
                person,
                target,
                sequence: 0,
                added: self.0.hub.now(),
                message: message.id,
                from: self.0.postman.names.href(&message.from, ""),
                hops: message.hops.saturating_add(1),
                content,
            },
            point: point.id,
        };
        let served = lock(&self.0.served);
        let served = served.get(&(person, target));
        served.is_some_and(|served| served.entrance.try_send(entering).is_ok())
    }

    /// Serves targets until the process stops: after [`Hub::open`].
    pub(super) async fn run(self, tasks: Tasks) {
        let mut changes = self.0.hub.board().changes();
        loop {
            changes.mark_unchanged();
            if let Err(error) = self.read(&tasks).await {
                tracing::error!(%error, "targets can't be read");
            }
            tokio::select! {
                () = tasks.stopped() => return,
                changed = changes.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(LEASE.1) => {}
            }
        }
    }

    async fn read(&self, tasks: &Tasks) -> Result<(), crate::core::port::StoreError> {
        let shared = &self.0;
        let (targets, backlog) = shared.hub.targets().await?;
        let wanted: HashMap<Key, TargetRecord> = targets
            .into_iter()
            .map(|target| ((target.person, target.id), target))
            .collect();
        let over: Vec<Key> = {
            let served = lock(&shared.served);
            let gone = served.keys().filter(|key| !wanted.contains_key(key));
            gone.copied().collect()
        };
        for key in over {
            if let Some(served) = lock(&shared.served).remove(&key) {
                served.gone.notify_one();
            }
            shared.hub.board().remove(key.0, key.1);
            shared.register(
                key,
                PointChange::Remove {
                    key: key.1.to_string().into(),
                },
            );
        }
        let mut waiting: HashMap<Key, VecDeque<BacklogRecord>> = HashMap::new();
        for record in backlog {
            let key = (record.person, record.target);
            waiting.entry(key).or_default().push_back(record);
        }
        for (key, target) in wanted {
            let known = lock(&shared.served).contains_key(&key);
            if !known {
                let queue = waiting.remove(&key).unwrap_or_default();
                shared.serve(key, target, queue, tasks);
            }
            shared.register(key, PointChange::Put(Box::new(spec(key.1))));
        }
        Ok(())
    }
}

/// A target as a point.
fn spec(id: u32) -> PointSpec {
    PointSpec {
        key: Some(id.to_string().into()),
        inbox: format!("target {id}").into(),
        lease: LEASE.0,
        tether: Tether::Address,
        reach: Reach::Full,
        implies: None,
        preference: 0,
        source: None,
        client: "registered target".into(),
        machine: None,
        handle: Arc::from([]),
    }
}

impl Shared {
    fn register(&self, (person, _): Key, change: PointChange) {
        let command = Command::Register(Register {
            stack: TARGET,
            lineage: None,
            changes: vec![change],
        });
        self.send(person, command);
    }

    fn send(&self, person: PersonId, command: Command) {
        let caller = Caller {
            address: self.postman.system.clone(),
            person: None,
            scheme: Scheme::Internal,
            route: Route::Internal,
        };
        self.hub.send(person, caller, command, ReplyTo::Nobody);
    }

    fn serve(
        self: &Arc<Self>,
        key: Key,
        target: TargetRecord,
        queue: VecDeque<BacklogRecord>,
        tasks: &Tasks,
    ) {
        let url = match TargetUrl::parse(&target.url) {
            Ok(url) => url,
            Err(why) => {
                tracing::error!(url = target.url, %why, "target can't be served");
                return;
            }
        };
        let (entrance, entering) = mpsc::channel(ENTERING);
        let gone = Arc::new(Notify::new());
        let next = queue.back().map_or(0, |last| last.sequence + 1);
        let worker = Arc::new(Worker {
            shared: Arc::clone(self),
            key,
            url,
            target,
            queue: Mutex::new(Queue::of(queue)),
            wake: Notify::new(),
            state: Mutex::default(),
        });
        worker.show();
        let served = Served {
            entrance,
            gone: Arc::clone(&gone),
        };
        lock(&self.served).insert(key, served);
        // Taking in never waits for a slow target.
        let intake = Arc::clone(&worker).intake(entering, next);
        tasks.spawn_until_stop(async move {
            tokio::select! {
                () = gone.notified() => {}
                () = intake => {}
                () = worker.deliver() => {}
            }
        });
    }
}

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
struct Worker {
    shared: Arc<Shared>,
    key: Key,
    url: TargetUrl,
    target: TargetRecord,
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
    /// Makes notifications durable, then says that they are.
    async fn intake(self: Arc<Self>, mut entering: mpsc::Receiver<Entering>, mut sequence: u64) {
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
    async fn deliver(&self) {
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
                    tracing::warn!(url = self.target.url, message = %record.message, why,
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
        tracing::info!(url = self.target.url, why, ?pause, "target failed");
        {
            let mut state = lock(&self.state);
            state.failures = state.failures.saturating_add(1);
            state.last = why;
            state.next = Some(self.shared.hub.now().after(pause));
        }
        self.show();
    }

    fn show(&self) {
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

    fn request(
        &self,
        record: &BacklogRecord,
    ) -> Option<hyper::Request<http_body_util::Full<bytes::Bytes>>> {
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
        let mut request = request(&wire, &head, record.content.clone())?;
        let node = self.shared.hub.directory().account(self.key.0);
        let node = node.map(|node| self.shared.postman.names.href(&node.address, ""));
        let secret = &self.target.secret.0;
        let signed = (!secret.is_empty())
            .then(|| signature::sign(secret, unix(self.shared.hub.now()), &record.content));
        let fields = [
            ("tristack-node", node),
            ("tristack-delivery", Some(record.message.to_string())),
            ("tristack-signature", signed),
        ];
        for (name, value) in fields {
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                request
                    .headers_mut()
                    .insert(HeaderName::from_static(name), value);
            }
        }
        Some(request)
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
