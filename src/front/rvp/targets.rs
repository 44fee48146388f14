//! Registered targets: URLs that an administrator wants a node's notifications sent to.
//!
//! A target is a point of its node, so that routing, access and acknowledgement are those of any
//! inbox. It has a message as soon as the message is durable in the target's backlog; from there
//! it is sent on in order, again and again until it is taken. At least once, therefore: whoever
//! must not see doubles looks at `Tristack-Delivery`.

mod worker;

use super::handle::Wire;
use super::outbound::Postman;
use super::render;
use crate::core::access::Scheme;
use crate::core::command::{
    Caller, Command, Outcome, PointChange, PointInfo, PointSpec, Reach, Register, Route, Tether,
};
use crate::core::event::{Event, Outbound};
use crate::core::id::{PersonId, PointId, Stack};
use crate::core::message::Message;
use crate::core::port::{BacklogRecord, TargetRecord};
use crate::gate::Gate;
use crate::hub::{Hub, ReplyTo};
use crate::net::Tasks;
use rvp::text::Form;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use worker::Worker;

/// The stack of points that are registered targets.
pub(super) const TARGET: Stack = Stack::named("target");

/// Notifications on their way into the backlog.
const ENTERING: usize = 64;
/// The lease of a target's point and how often it is renewed.
const LEASE: (Duration, Duration) = (Duration::from_hours(24), Duration::from_hours(6));
type Key = (PersonId, u32);

/// All targets. Cloning shares.
#[derive(Clone)]
pub(super) struct Targets(Arc<Shared>);

struct Shared {
    hub: Hub,
    postman: Arc<Postman>,
    gate: Arc<Gate>,
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
    pub(super) fn new(hub: Hub, postman: Arc<Postman>, gate: Arc<Gate>) -> Self {
        Self(Arc::new(Shared {
            hub,
            postman,
            gate,
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
        self.0.hub.rendered(message.id, point.id, &content);
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
                shared.serve(key, &target, queue, tasks);
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
        family: None,
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
        target: &TargetRecord,
        queue: VecDeque<BacklogRecord>,
        tasks: &Tasks,
    ) {
        let (entrance, entering) = mpsc::channel(ENTERING);
        let gone = Arc::new(Notify::new());
        let next = queue.back().map_or(0, |last| last.sequence + 1);
        let worker = match Worker::new(self, key, target, queue) {
            Ok(worker) => Arc::new(worker),
            Err(why) => {
                tracing::error!(url = target.url, why, "target can't be served");
                return;
            }
        };
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
