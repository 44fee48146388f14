//! What all shards of the front share.

use super::event::lines::Lines;
use super::handle::{Binding, Way};
use super::inbox::Inbox;
use super::listen::{self, Inbound, Intake, Sockets, Wire};
use super::load::Load;
use super::locate::Locator;
use super::neighbour::{Neighbours, Order, Orders};
use super::notified::Notified;
use super::place::Places;
use super::proxy::Quotas;
use super::xcap::Xcap;
use crate::core::access::Scheme;
use crate::core::address::Address;
use crate::core::command::{Caller, Command, PointInfo, Route, TetherChange};
use crate::core::event::{Event, Outbound};
use crate::core::id::{PersonId, PointId};
use crate::front::SIP;
use crate::gate::{Gate, Offer};
use crate::hub::{Hub, ReplyTo};
use crate::net::{Budget, Tls};
use bytes::Bytes;
use sip::build::Response;
use sip::flow::{Flow, Millis, Transport};
use sip::subscription::Durations;
use sip::{HeaderId, Method, RawMessage};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

/// What an operator may turn, as far as this front is concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// Largest message ever sent over UDP.
    pub(super) udp_max: usize,
    /// Whether who talks through us is on-phone.
    pub(super) calls_make_on_phone: bool,
    /// Leases of bindings, publications and subscriptions.
    pub(super) leases: Durations,
    /// Octets of one published document.
    pub(super) publication: usize,
    /// Contacts of one REGISTER.
    pub(super) bindings: usize,
    /// Transactions per shard.
    pub(super) transactions: usize,
    /// Bounds of one message.
    pub(super) message: sip::Limits,
    /// Whether TCP is in use at all.
    pub(super) streams: bool,
    /// Digest algorithms.
    pub(super) offer: Offer,
    /// What one person or source may take.
    pub(super) fairness: Fairness,
}

/// Bounds that keep one person or source from taking what is for all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fairness {
    /// Answers per second to those who have proved nothing, per source.
    pub(super) rate: usize,
    /// As many of those at once.
    pub(super) burst: usize,
    /// Requests under way of one person.
    pub(super) per_person: usize,
    /// Requests under way of one source.
    pub(super) per_source: usize,
    /// Whether loopback counts as a source.
    pub(super) loopback: bool,
}

/// A point that came over a connection.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub(super) person: PersonId,
    pub(super) point: PointId,
    pub(super) inbox: Arc<str>,
    pub(super) caller: Caller,
}

type Flows = HashMap<(PersonId, Arc<str>), Vec<(PointId, Binding)>>;

/// Shared by all shards.
pub(super) struct Front {
    pub(super) hub: Hub,
    pub(super) gate: Arc<Gate>,
    pub(super) sockets: Sockets,
    pub(super) places: Places,
    pub(super) xcap: Arc<Xcap>,
    pub(super) settings: Settings,
    /// Other domains.
    pub(super) neighbours: Arc<Neighbours>,
    /// Finds servers.
    pub(super) locator: Arc<Locator>,
    /// What those get who have proved nothing.
    pub(super) unproven: Budget,
    /// Requests under way, by person and source.
    pub(super) load: Arc<Load>,
    /// Room for requests that are passed on.
    pub(super) quotas: Arc<Quotas>,
    /// Tells this run of the server from others: connection numbers start anew with each.
    pub(super) boot: u64,
    /// Telephone lines.
    pub(super) lines: Lines,
    /// What became of the last NOTIFY of each subscription.
    pub(super) notified: Arc<Notified>,
    inboxes: Vec<Arc<Inbox>>,
    /// Keys tags and the split over shards, so that nobody outside can aim at one.
    secret: RandomState,
    /// The way to each registered Contact that hangs on a connection.
    contacts: RwLock<HashMap<Arc<str>, Way>>,
    /// Points by the number of their connection.
    bound: Mutex<HashMap<u64, Vec<Bound>>>,
    /// The newest connection with a binding, by person and machine.
    connections: Mutex<HashMap<(PersonId, IpAddr), u64>>,
    /// Flows of clients that keep several (RFC 5626), by person and inbox.
    flows: Mutex<Flows>,
}

/// What a front is made of.
pub(super) struct Parts {
    pub(super) hub: Hub,
    pub(super) gate: Arc<Gate>,
    pub(super) sockets: Sockets,
    pub(super) places: Places,
    pub(super) xcap: Arc<Xcap>,
    pub(super) inboxes: Vec<Arc<Inbox>>,
    pub(super) settings: Settings,
    pub(super) neighbours: Arc<Neighbours>,
    pub(super) locator: Arc<Locator>,
    pub(super) quotas: Arc<Quotas>,
    pub(super) lines: Lines,
}

impl Front {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts {
            hub,
            gate,
            sockets,
            places,
            xcap,
            inboxes,
            settings,
            neighbours,
            locator,
            quotas,
            lines,
        } = parts;
        xcap.registry.tell(&inboxes);
        let bounds = settings.fairness;
        Self {
            boot: hub.now().0,
            unproven: Budget::new(bounds.rate, bounds.burst, bounds.loopback),
            load: Arc::new(Load::new(
                bounds.per_person,
                bounds.per_source,
                bounds.loopback,
            )),
            hub,
            gate,
            sockets,
            places,
            xcap,
            settings,
            neighbours,
            locator,
            lines,
            notified: Arc::default(),
            quotas,
            inboxes,
            secret: RandomState::new(),
            contacts: RwLock::default(),
            bound: Mutex::default(),
            connections: Mutex::default(),
            flows: Mutex::default(),
        }
    }

    /// This point is one of several flows of a client.
    pub(super) fn add_flow(&self, person: PersonId, point: &PointInfo, binding: &Binding) {
        let mut flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (person, Arc::clone(&point.inbox));
        let list = flows.entry(key).or_default();
        list.retain(|(other, _)| *other != point.id);
        list.push((point.id, binding.clone()));
    }

    /// The newest other flow of the same client that stands and was not tried.
    pub(super) fn sibling(
        &self,
        person: PersonId,
        inbox: &Arc<str>,
        tried: &[PointId],
    ) -> Option<(PointId, Binding, Flow)> {
        let flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        let list = flows.get(&(person, Arc::clone(inbox)))?;
        let usable = |(point, binding): &(PointId, Binding)| {
            let flow = binding.way.flow(self.boot)?;
            let fresh = !tried.contains(point) && self.is_open(flow);
            fresh.then(|| (*point, binding.clone(), flow))
        };
        list.iter().rev().find_map(usable)
    }

    fn forget_flow(&self, person: PersonId, point: &PointInfo) {
        let mut flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (person, Arc::clone(&point.inbox));
        if let Some(list) = flows.get_mut(&key) {
            list.retain(|(other, _)| *other != point.id);
            if list.is_empty() {
                flows.remove(&key);
            }
        }
    }

    pub(super) fn inboxes(&self) -> &[Arc<Inbox>] {
        &self.inboxes
    }

    /// Now, as the engines count.
    pub(super) fn now(&self) -> Millis {
        self.hub.now().0
    }

    /// The shard that owns everything with this Call-ID.
    pub(super) fn inbox_of(&self, call_id: &[u8]) -> Option<&Arc<Inbox>> {
        let hash = self.secret.hash_one(call_id);
        let count = u64::try_from(self.inboxes.len()).unwrap_or(1).max(1);
        self.inboxes.get(usize::try_from(hash % count).unwrap_or(0))
    }

    /// The To tag of all our answers to a request and its repeats (RFC 3261 8.2.7): stateless.
    pub(super) fn tag(&self, request: &RawMessage) -> String {
        let part = |id| request.first(id).unwrap_or_default();
        let hash = self
            .secret
            .hash_one((part(HeaderId::CallId), part(HeaderId::From)));
        format!("{hash:016x}")
    }

    /// Two secrets for an engine.
    pub(super) fn secrets(&self) -> [u64; 2] {
        [self.secret.hash_one(1_u8), self.secret.hash_one(2_u8)]
    }

    /// The engine's flow of a socket's.
    pub(super) fn flow(wire: &listen::Flow) -> Flow {
        let (transport, id) = match wire.transport {
            Wire::Udp(number) => (Transport::Udp, u64::from(number)),
            Wire::Stream(transport, number) => (transport, number),
        };
        Flow {
            transport,
            peer: wire.peer,
            id,
        }
    }

    /// The socket's flow of an engine's; `None` if it is gone.
    pub(super) fn wire(&self, flow: Flow) -> Option<listen::Flow> {
        if flow.transport.is_reliable() {
            self.sockets.connection_flow(flow.id)
        } else {
            self.sockets
                .udp_flow(flow.peer, u16::try_from(flow.id).ok())
        }
    }

    /// Sends; false if the way is gone.
    pub(super) fn send(&self, flow: Flow, octets: Bytes) -> bool {
        self.wire(flow)
            .is_some_and(|wire| self.sockets.send(&wire, octets).is_ok())
    }

    /// Whether we can open streams.
    pub(super) fn streams(&self) -> bool {
        self.settings.streams
    }

    /// Our host and port as this peer can reach it, for Via, Contact and Record-Route: what
    /// `[sip] advertise` says, else the address of our end.
    pub(super) fn sent_by(&self, wire: &listen::Flow) -> String {
        if let Some((place, port)) = self.sockets.called(wire) {
            return format!("{}:{}", place.host, place.port.unwrap_or(port));
        }
        let ip = if wire.local.ip().is_unspecified() {
            route_to(wire.peer).unwrap_or(wire.local.ip())
        } else {
            wire.local.ip()
        };
        SocketAddr::new(ip, wire.local.port()).to_string()
    }

    /// What TLS negotiated on a flow, with the names that the other side has proved by a verified
    /// certificate (RFC 5922), if it showed one.
    pub(super) fn proved(&self, flow: Flow) -> Option<Arc<Tls>> {
        self.sockets.proved(&self.wire(flow)?)
    }

    /// A way that works now: the one that was saved, else that of the binding with this Contact.
    pub(super) fn way(&self, saved: &Way, contact: &str) -> Option<Flow> {
        let direct = saved.flow(self.boot).filter(|flow| self.is_open(*flow));
        if direct.is_some() {
            return direct;
        }
        let contacts = self.contacts.read().unwrap_or_else(PoisonError::into_inner);
        let way = contacts.get(contact)?;
        way.flow(self.boot).filter(|flow| self.is_open(*flow))
    }

    /// The connection that the same person has from the same machine by now: a client that came
    /// back has another port, and its Contact with it.
    pub(super) fn way_of(&self, saved: &Way, person: PersonId) -> Option<Flow> {
        if !saved.stream {
            return None;
        }
        let number = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&(person, saved.peer.ip()))
            .copied();
        let wire = self.sockets.connection_flow(number?)?;
        Some(Self::flow(&wire))
    }

    fn is_open(&self, flow: Flow) -> bool {
        self.wire(flow)
            .is_some_and(|wire| self.sockets.is_open(&wire))
    }

    /// A binding hangs on this connection from now on.
    pub(super) fn bind_connection(&self, number: u64, bound: Bound, contact: &str, way: Way) {
        self.contacts
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(contact.into(), way);
        let person = bound.person;
        let mut table = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        let list = table.entry(number).or_default();
        list.retain(|other| other.point != bound.point);
        list.push(bound);
        drop(table);
        let known = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((person, way.peer.ip()), number);
        if known != Some(number) {
            for inbox in &self.inboxes {
                inbox.back(person);
            }
        }
    }

    /// The inbox of the binding that came over this connection.
    pub(super) fn inbox_on(&self, flow: Flow, person: PersonId) -> Option<Arc<str>> {
        if !flow.transport.is_reliable() {
            return None;
        }
        let table = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        let list = table.get(&flow.id)?;
        let own = list.iter().rev().find(|bound| bound.person == person)?;
        Some(Arc::clone(&own.inbox))
    }

    /// A point is gone.
    pub(super) fn unbind(&self, person: PersonId, info: &PointInfo, binding: &Binding) {
        self.forget_flow(person, info);
        let (point, contact, way) = (info.id, &*binding.contact, &binding.way);
        let mut contacts = self
            .contacts
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if contacts.get(contact) == Some(way) {
            contacts.remove(contact);
        }
        drop(contacts);
        if way.stream && way.boot == self.boot {
            let mut table = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(list) = table.get_mut(&way.id) {
                list.retain(|bound| bound.point != point);
                if list.is_empty() {
                    table.remove(&way.id);
                }
            }
            drop(table);
            self.leave(person, way.peer.ip(), way.id);
        }
    }

    fn leave(&self, person: PersonId, ip: IpAddr, number: u64) {
        let mut connections = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if connections.get(&(person, ip)) == Some(&number) {
            connections.remove(&(person, ip));
        }
    }

    /// A connection has ended: its points start their grace (`decisions.md` 12).
    fn lost(&self, number: u64, ip: IpAddr) {
        let lost = self
            .bound
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&number);
        for bound in lost.unwrap_or_default() {
            self.leave(bound.person, ip, number);
            let command = Command::Tether {
                point: bound.point,
                change: TetherChange::Lost,
            };
            self.hub
                .send(bound.person, bound.caller, command, ReplyTo::Nobody);
        }
    }

    /// On whose behalf the front reports what became of something.
    pub(super) fn internal(address: Address, person: PersonId) -> Caller {
        Caller {
            address,
            person: Some(person),
            scheme: Scheme::Internal,
            route: Route::Point(SIP),
        }
    }

    /// 503 without a transaction.
    fn overloaded(&self, wire: &listen::Flow, request: &RawMessage) {
        if !request.is_request() || request.method() == Some(&Method::Ack) {
            return;
        }
        let bytes = Response::to(request, 503)
            .received(wire.peer)
            .to_tag(self.tag(request))
            .header(HeaderId::RetryAfter, 5)
            .finish();
        let reply = sip::transaction::reply_flow(request, Self::flow(wire));
        self.send(reply, bytes);
    }
}

/// The front as its sockets and the hub know it. It knows both of them: were this no weak
/// reference, neither would ever be dropped.
pub(super) struct Door(pub(super) Weak<Front>);

impl Intake for Door {
    fn take(&self, inbound: Inbound) {
        if let Some(front) = self.0.upgrade() {
            front.arrive(inbound);
        }
    }
}

impl Orders for Front {
    fn order(&self, order: Order) -> bool {
        let inbox = self.keeper(order.person, &order.by);
        inbox.is_some_and(|inbox| inbox.order(order))
    }
}

impl Outbound for Door {
    fn take(&self, event: Event) {
        if let Some(front) = self.0.upgrade() {
            front.emit(event);
        }
    }
}

impl Front {
    /// From the sockets.
    fn arrive(&self, inbound: Inbound) {
        let call_id = match &inbound {
            Inbound::Message(_, message) => message.first(HeaderId::CallId),
            Inbound::Refused(_, refusal) => refusal
                .salvage
                .as_ref()
                .and_then(|message| message.first(HeaderId::CallId)),
            Inbound::Closed(flow) => {
                if let Some(number) = flow.transport.number() {
                    self.lost(number, flow.peer.ip());
                }
                for inbox in &self.inboxes {
                    let _ = inbox.arrive(Inbound::Closed(*flow));
                }
                return;
            }
        };
        let Some(inbox) = self.inbox_of(call_id.unwrap_or_default()) else {
            return;
        };
        if let Err(refused) = inbox.arrive(inbound)
            && let Inbound::Message(wire, message) = *refused
        {
            self.hub.stats().overloaded.add(1);
            self.overloaded(&wire, &message);
        }
    }
}

/// The address of ours that packets to this peer leave from. No packet is sent.
fn route_to(peer: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = if peer.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0_u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(peer).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}
