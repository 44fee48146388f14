//! One shard: transactions, subscriptions and what is under way, in one task.

use super::deliver::Again;
use super::event::Cache;
use super::event::serve::Served;
use super::event::subscribe::Subscribing;
use super::front::Front;
use super::inbox::{Batch, Inbox};
use super::listen::Inbound;
use super::load::Ticket;
use super::message::Texting;
use super::neighbour::{Errand, Pair, Upstreams};
use super::proxy::{self, Forwarding, Journey};
use super::publish::Publishing;
use super::registrar::Registering;
use crate::core::address::Address;
use crate::core::command::Change;
use crate::core::event::Event;
use crate::core::id::{MessageId, PersonId, PointId, WatchId};
use crate::hub::{Answer, ReplyTo};
use bytes::Bytes;
use sip::build::Response;
use sip::flow::{Flow, Millis};
use sip::proxy::Proxy;
use sip::transaction::{self, Engine, Failure, Input, Output, Retention, TxId};
use sip::{HeaderId, RawMessage};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) struct Req {
    pub(super) tx: TxId,
    pub(super) flow: Flow,
    pub(super) message: RawMessage,
    /// Its place under the bounds of its person and source, once those are known.
    pub(super) ticket: Option<Ticket>,
}

/// What an answer of the hub is for.
pub(super) enum Pending {
    Register(Box<Registering>),
    Message(Texting),
    Publish(Publishing),
    Subscribe(Box<Subscribing>),
    /// The callee is being asked for.
    Forward(Box<Forwarding>),
    /// A refresh or end within a dialog.
    Refresh(Req, WatchId),
    /// Whether somebody here still watches somebody at a neighbour.
    Watched(Pair),
    /// What a telephone line does is being published.
    Line(Pair),
    /// A call that runs through us is being published for one of those who talk.
    Talk {
        name: proxy::Name,
        number: usize,
        address: Address,
    },
    /// The watch behind a list's entry.
    Member {
        list: WatchId,
        person: PersonId,
        address: Address,
    },
}

/// What a request of ours is for.
pub(super) enum Started {
    /// A message to a point.
    Text(Texted),
    /// A NOTIFY of this subscription.
    Notify(WatchId),
    /// A request to a neighbour.
    Errand(u64),
}

/// A message of ours to a point.
pub(super) struct Texted {
    pub(super) person: PersonId,
    pub(super) address: Address,
    pub(super) message: MessageId,
    pub(super) point: PointId,
    /// What it takes to send it once more.
    pub(super) again: Option<Box<Again>>,
}

/// The state of one shard.
pub(super) struct Shard {
    pub(super) front: Arc<Front>,
    pub(super) engine: Engine<RawMessage>,
    pub(super) proxy: Proxy<Journey>,
    /// Requests whose callee is being asked for, by transaction: what they wait under.
    pub(super) asking: HashMap<TxId, u64>,
    pub(super) pending: HashMap<u64, Pending>,
    pub(super) started: HashMap<u64, Started>,
    pub(super) served: HashMap<WatchId, Served>,
    /// Subscriptions by Call-ID and our tag.
    pub(super) dialogs: HashMap<Box<str>, Vec<WatchId>>,
    /// What watchers could not be told because they were not connected, the newest each.
    pub(super) missed: HashMap<WatchId, Change>,
    pub(super) cache: Cache,
    pub(super) errands: HashMap<u64, Errand>,
    /// When places of errands have been silent for too long; in order of time.
    pub(super) alarms: VecDeque<(Millis, u64)>,
    /// What people here watch at neighbours.
    pub(super) upstreams: Upstreams,
    pub(super) inbox: Arc<Inbox>,
    /// Subscriptions to lists that are to be told something.
    pub(super) owed: BTreeSet<WatchId>,
    /// Answered calls that run through us.
    pub(super) talks: proxy::Talks,
    next: u64,
}

impl Shard {
    pub(super) fn new(front: Arc<Front>, inbox: Arc<Inbox>) -> Self {
        let settings = transaction::Settings {
            capacity: front.settings.transactions,
            ..transaction::Settings::default()
        };
        let mut cache = Cache::default();
        front.xcap.root().clone_into(&mut cache.root);
        Self {
            engine: Engine::new(settings, front.secrets()),
            proxy: proxy::proxy(&front),
            asking: HashMap::new(),
            front,
            pending: HashMap::new(),
            started: HashMap::new(),
            served: HashMap::new(),
            dialogs: HashMap::new(),
            missed: HashMap::new(),
            errands: HashMap::new(),
            alarms: VecDeque::new(),
            upstreams: Upstreams::default(),
            cache,
            owed: BTreeSet::new(),
            inbox,
            talks: proxy::Talks::default(),
            next: 0,
        }
    }

    /// Until the front stops.
    pub(super) async fn run(mut self) {
        let mut wake = None;
        loop {
            let batch = self.inbox.take();
            if batch.is_empty() {
                let inbox = Arc::clone(&self.inbox);
                match wake {
                    None => inbox.filled().await,
                    Some(at) => {
                        let left = Millis::saturating_sub(at, self.front.now());
                        // One more: `now` cuts fractions off, and a timer too early would spin.
                        let sleep = tokio::time::sleep(Duration::from_millis(left + 1));
                        tokio::select! {
                            () = inbox.filled() => {}
                            () = sleep => {}
                        }
                    }
                }
            }
            let more = batch.more;
            wake = self.turn(batch);
            if more {
                // The rest of the watchers, after whatever came meanwhile.
                self.inbox.again();
            }
            tokio::task::consume_budget().await;
        }
    }

    /// Handles a batch; tells when the next timer is due.
    fn turn(&mut self, batch: Batch) -> Option<Millis> {
        let now = self.front.now();
        // Answers first: what they answer may be the cause of the events behind them.
        for (token, answer) in batch.answers {
            self.answered(now, token, answer);
        }
        for person in batch.back {
            self.make_good(now, person);
        }
        for (errand, located) in batch.located {
            self.errand_located(now, errand, located);
        }
        for order in batch.orders {
            self.upstream_order(now, order);
        }
        for pair in batch.looks {
            self.upstream_look(&pair);
        }
        for event in batch.events.into_iter().chain(batch.presence) {
            self.event(now, event);
        }
        // After the events: they may have brought the subscriptions to them back.
        for owner in batch.lists {
            self.relist(now, owner);
        }
        self.flush_lists(now);
        for inbound in batch.net {
            self.inbound(now, inbound);
            self.drain(now);
        }
        self.engine.handle(now, Input::Tick);
        self.alarms(now);
        let own = self.alarms.front().map(|(at, _)| *at);
        let others = self.upstreams.due().into_iter().chain(own);
        let others = others.chain(self.talks.due()).min();
        self.drain(now);
        let calls = self.pass_time(now);
        let engine = self.drain(now);
        engine.into_iter().chain(others).chain(calls).min()
    }

    /// What is due besides transactions.
    fn alarms(&mut self, now: Millis) {
        while let Some((at, errand)) = self.alarms.front().copied() {
            if at > now {
                break;
            }
            self.alarms.pop_front();
            self.errand_alarm(now, errand);
        }
        if self.upstreams.due().is_some_and(|at| at <= now) {
            self.upstreams_due(now);
        }
        if self.talks.due().is_some_and(|at| at <= now) {
            self.calls_pass(now);
        }
    }

    fn inbound(&mut self, now: Millis, inbound: Inbound) {
        match inbound {
            Inbound::Message(wire, message) => {
                let flow = Front::flow(&wire);
                if message.is_request() {
                    self.arrived(now, flow, message);
                } else if sip::verdict::verdict(&message).is_ok() {
                    // A response that names no transaction is nobody's.
                    let _ = self.engine.receive(now, flow, message);
                }
            }
            Inbound::Refused(wire, refusal) => self.refused(now, Front::flow(&wire), &refusal),
            Inbound::Closed(wire) => {
                if let Some(number) = wire.transport.number() {
                    self.engine.handle(now, Input::FlowClosed { flow: number });
                    self.calls_lost(number);
                }
            }
        }
    }

    /// Does what the engine wants, until it wants nothing more.
    pub(super) fn drain(&mut self, now: Millis) -> Option<Millis> {
        loop {
            match self.engine.poll() {
                Output::Send { flow, bytes, tx } => {
                    if !self.front.send(flow, bytes) {
                        self.engine.handle(now, Input::SendFailed { tx });
                    }
                }
                Output::Event(event) => self.transaction(now, event),
                Output::Idle { wake_at } => return wake_at,
            }
        }
    }

    fn transaction(&mut self, now: Millis, event: transaction::Event<RawMessage>) {
        use transaction::Event as E;
        match event {
            E::Request { tx, flow, message } => {
                let ticket = None;
                let req = Req {
                    tx,
                    flow,
                    message,
                    ticket,
                };
                self.request(now, req);
            }
            E::Cancel {
                tx,
                target,
                late,
                flow,
                message,
            } => {
                let req = Req {
                    tx,
                    flow,
                    message,
                    ticket: None,
                };
                // RFC 3261 9.2: 200 as soon as it matches, whatever becomes of the INVITE.
                let status = if target.is_some() || late { 200 } else { 481 };
                self.respond(now, &req, status, |r| r);
                if let Some(tx) = target {
                    self.cancelled(now, tx);
                }
            }
            E::Overloaded { reply, message, .. } => {
                let bytes = Response::to(&message, 503)
                    .received(reply.peer)
                    .to_tag(self.front.tag(&message))
                    .header(HeaderId::RetryAfter, 5)
                    .finish();
                self.front.send(reply, bytes);
            }
            E::Response {
                token,
                status,
                flow,
                message,
                ..
            } if Proxy::<Journey>::owns(token) => {
                self.passed_back(now, token, (status, flow), message);
            }
            E::Failed { token, why, .. } if Proxy::<Journey>::owns(token) => {
                self.proxy.failed(now, &mut self.engine, token, why);
                self.tell_ended();
            }
            E::Response {
                token,
                status,
                message,
                ..
            } => {
                if status >= 200
                    && let Some(started) = self.started.remove(&token)
                {
                    self.finished(now, started, Ok((status, message)));
                }
            }
            E::Failed { token, why, .. } => {
                if let Some(started) = self.started.remove(&token) {
                    self.finished(now, started, Err(why));
                }
            }
            E::Ack { flow, message, .. } => self.acknowledge(flow, &message),
            E::TryingDue { tx } => self.trying(now, tx),
            E::Expired { tx } => {
                self.proxy.expired(now, &mut self.engine, tx);
                let _ = self.withdraw(tx);
                self.tell_ended();
            }
            // RFC 6026 7.3: without a transaction nothing is passed on.
            E::Stray { .. } | E::Unacknowledged { .. } => {}
        }
    }

    fn finished(
        &mut self,
        now: Millis,
        started: Started,
        result: Result<(u16, RawMessage), Failure>,
    ) {
        match started {
            Started::Text(texted) => self.text_ended(now, texted, result),
            Started::Notify(watch) => self.notify_ended(now, watch, result.map(|(s, _)| s)),
            Started::Errand(errand) => self.errand_ended(now, errand, result),
        }
    }

    fn answered(&mut self, now: Millis, token: u64, answer: Answer) {
        match self.pending.remove(&token) {
            None => {}
            Some(Pending::Register(registering)) => self.registered(now, &registering, answer),
            Some(Pending::Message(texting)) => self.texted(now, &texting, answer),
            Some(Pending::Publish(publishing)) => self.published(now, &publishing, answer),
            Some(Pending::Subscribe(subscribing)) => self.subscribed(now, *subscribing, answer),
            Some(Pending::Forward(forwarding)) => self.callee_located(now, *forwarding, answer),
            Some(Pending::Refresh(req, watch)) => self.refreshed(now, &req, watch, answer),
            Some(Pending::Watched(pair)) => self.upstream_looked(now, &pair, answer),
            Some(Pending::Line(pair)) => self.line_published(&pair, answer),
            Some(Pending::Talk {
                name,
                number,
                address,
            }) => self.call_published((&name, number, address), answer),
            Some(Pending::Member {
                list,
                person,
                address,
            }) => self.member_answered(now, list, (person, address), &answer),
        }
    }

    fn event(&mut self, now: Millis, event: Event) {
        match event {
            Event::Deliver {
                person,
                point,
                message,
                redelivered,
                away,
            } => self.deliver(now, person, &point, &message, (redelivered, away)),
            Event::Presence {
                person,
                of,
                watcher,
                watch,
                handle,
                change,
            } => self.presence(now, (person, &of, watcher), watch, &handle, change),
            Event::WatchRestored {
                person,
                of,
                watcher,
                watch,
                handle,
                ..
            } => {
                self.watch_restored((person, &of, watcher), watch, &handle);
                // A list whose members were known before it was back.
                self.build_list(now, watch);
            }
            // A message under way can't be taken back; its outcome is told all the same.
            Event::Cancel { .. }
            | Event::InboxPresence { .. }
            | Event::PointEnded { .. }
            | Event::PointRestored { .. }
            | Event::ChatWants { .. }
            | Event::ChatEnded { .. }
            | Event::AccessChanged { .. }
            | Event::DocumentChanged { .. } => {}
        }
    }

    /// A fresh number for something under way.
    pub(super) fn token(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Where the hub answers to; keeps what the answer is for.
    pub(super) fn wait(&mut self, pending: Pending) -> ReplyTo {
        let token = self.token();
        self.pending.insert(token, pending);
        ReplyTo::Sink(Arc::clone(&self.inbox) as Arc<_>, token)
    }

    /// Answers a request.
    pub(super) fn respond(
        &mut self,
        now: Millis,
        req: &Req,
        status: u16,
        dress: impl for<'m> FnOnce(Response<'m>) -> Response<'m>,
    ) {
        self.respond_as(now, req, status, Retention::Transaction, dress);
    }

    pub(super) fn respond_as(
        &mut self,
        now: Millis,
        req: &Req,
        status: u16,
        retention: Retention,
        dress: impl for<'m> FnOnce(Response<'m>) -> Response<'m>,
    ) {
        let bytes = self.response(req, status, dress);
        // A late answer is absorbed (RFC 4320): nobody waits for it any more.
        let _ = self.engine.respond(now, req.tx, status, bytes, retention);
        self.drain(now);
    }

    pub(super) fn response(
        &self,
        req: &Req,
        status: u16,
        dress: impl for<'m> FnOnce(Response<'m>) -> Response<'m>,
    ) -> Bytes {
        let response = Response::to(&req.message, status)
            .received(req.flow.peer)
            .to_tag(self.front.tag(&req.message));
        dress(response).finish()
    }
}
