//! REGISTER (RFC 3261 10.3; RFC 5626 for the identity of a binding): bindings are points.

use super::front::{Bound, Front};
use super::handle::{Binding, Way};
use super::place::Named;
use super::request::{Known, SUPPORTED};
use super::shard::{Pending, Req, Shard};
use super::status::About;
use super::translate::shared;
use crate::core::command::{
    Command, Lineage, PointChange, PointInfo, PointSpec, Reach, Register, Reply, Tether,
};
use crate::core::error::Error;
use crate::core::id::PersonId;
use crate::core::presence::State;
use crate::front::SIP;
use crate::front::family::family;
use crate::hub::Answer;
use sip::flow::{Flow, Millis};
use sip::header::{Contact, Contacts, Host, NameAddr, Uri};
use sip::subscription::TooBrief;
use sip::{HeaderId, RawMessage};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Seconds between keep-alives that are asked for (`decisions.md` 12).
const KEEP_ALIVE: u32 = 25;

/// A REGISTER under way.
pub(super) struct Registering {
    req: Req,
    person: PersonId,
    caller: crate::core::command::Caller,
    /// Keys of the bindings that it put.
    put: Vec<Arc<str>>,
    outbound: Outbound,
}

/// What a REGISTER wants of RFC 5626.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outbound {
    /// Nothing: its Contacts are addresses.
    Not,
    /// One of several flows of its client, which ends here and is kept alive.
    Direct,
    /// The same, but the flow ends at a proxy that says that it keeps it (`ob` in its Path).
    Behind,
    /// It is behind a proxy that does not: 439.
    Lacking,
}

impl Shard {
    pub(super) fn register(&mut self, now: Millis, req: Req, known: &Known, local: IpAddr) {
        let caller = known.granted.caller.clone();
        let own = req.message.to().is_ok_and(|to| {
            let Named::Person(address) = self.front.places.named(&to.uri, local) else {
                return false;
            };
            self.front.gate.bind(&caller, Some(&address)).is_ok()
        });
        if !own {
            // RFC 3261 10.3 step 3: nobody registers for another.
            return self.fail(now, &req, &Error::Spoofed, About::Person);
        }
        let Some(person) = caller.person else {
            return self.fail(now, &req, &Error::UnknownUser, About::Person);
        };
        let Ok(path) = path(&req.message) else {
            return self.respond(now, &req, 400, |r| r.reason("Bad Path"));
        };
        let outbound = outbound(&req.message, &path);
        if outbound == Outbound::Lacking {
            tracing::info!(peer = %req.flow.peer, status = 439, "SIP request refused: reg-id behind a proxy without outbound");
            return self.respond(now, &req, 439, |r| r);
        }
        let (changes, put) = match self.changes(&req, &path, outbound) {
            Ok(Some(changes)) => changes,
            Ok(None) => return self.respond(now, &req, 400, |r| r.reason("Several reg-ids")),
            Err(error) => return self.fail(now, &req, &error, About::Person),
        };
        let message = &req.message;
        let lineage = message
            .call_id()
            .ok()
            .zip(message.cseq().ok())
            .filter(|_| !changes.is_empty())
            .map(|(call_id, cseq)| Lineage {
                name: call_id.into(),
                sequence: cseq.number,
            });
        let command = Command::Register(Register {
            stack: SIP,
            lineage,
            changes,
        });
        let reply = self.wait(Pending::Register(Box::new(Registering {
            req,
            person,
            caller: caller.clone(),
            put,
            outbound,
        })));
        self.front.hub.send(person, caller, command, reply);
    }

    /// `None`: several flows in one request, which RFC 5626 6 forbids.
    fn changes(
        &self,
        req: &Req,
        path: &[String],
        outbound: Outbound,
    ) -> Result<Option<Changes>, Error> {
        let message = &req.message;
        let contacts = match message.contacts() {
            Ok(Contacts::Star) => return Ok(Some((vec![PointChange::RemoveAll], Vec::new()))),
            Ok(Contacts::List(list)) => list,
            Err(_) => return Err(Error::UnknownUser),
        };
        if contacts.len() > self.front.settings.bindings {
            return Err(Error::LimitReached(crate::core::error::Limit::Points));
        }
        let header = message.expires().unwrap_or(None);
        let (mut changes, mut put) = (Vec::new(), Vec::new());
        for contact in &contacts {
            let key = key(contact);
            let asked = contact.expires().or(header);
            let lease = self.front.settings.leases.grant(asked);
            let lease = lease
                .map_err(|TooBrief { min }| Error::TooBrief(Duration::from_secs(u64::from(min))))?;
            if lease == 0 {
                changes.push(PointChange::Remove { key });
                continue;
            }
            put.push(Arc::clone(&key));
            let mut spec = self.spec(req, contact, (key, path), lease);
            if outbound != Outbound::Not
                && let Some(instance) = contact.instance()
            {
                // All flows of a client lead to one place: tried in turn, never forked to.
                spec.inbox = shared(&instance);
            }
            changes.push(PointChange::Put(Box::new(spec)));
        }
        if outbound != Outbound::Not && put.len() > 1 {
            return Ok(None);
        }
        Ok(Some((changes, put)))
    }

    fn spec(
        &self,
        req: &Req,
        contact: &Contact<'_>,
        (key, path): (Arc<str>, &[String]),
        lease: u32,
    ) -> PointSpec {
        let flow = Flow {
            peer: destination(req, contact),
            ..req.flow
        };
        let stream = req.flow.transport.is_reliable();
        let binding = Binding::new(contact.uri().text, Way::of(flow, self.front.boot))
            .with_path(path.to_vec());
        PointSpec {
            inbox: Arc::clone(&key),
            key: Some(key),
            lease: Duration::from_secs(u64::from(lease)),
            tether: if stream {
                Tether::Connection
            } else {
                Tether::Address
            },
            reach: Reach::Full,
            implies: Some(State::Registered),
            preference: contact.q(),
            source: Some(req.flow.peer.ip()),
            client: agent(&req.message).into(),
            machine: machine(req, contact),
            family: family(agent(&req.message)),
            handle: binding.save(),
        }
    }

    pub(super) fn registered(&mut self, now: Millis, done: &Registering, answer: Answer) {
        let points = match answer {
            Ok(Reply::Points(points)) => points,
            Ok(_) => Vec::new(),
            Err(error) => return self.fail(now, &done.req, &error, About::Person),
        };
        let mut lines = Vec::with_capacity(points.len());
        for point in points.iter().filter(|point| point.stack == SIP) {
            let Some(binding) = Binding::restore(&point.handle) else {
                continue;
            };
            let put = point.key.as_ref().is_some_and(|key| done.put.contains(key));
            if put {
                self.taken_up(done, point, &binding);
            }
            lines.push(contact_line(point, &binding, now));
        }
        let outbound = done.outbound;
        self.respond(now, &done.req, 200, |r| {
            // RFC 5626 6: `Require` tells the client that its flows count.
            let r = match outbound {
                Outbound::Direct => r
                    .header(HeaderId::Require, "outbound")
                    .header(HeaderId::FlowTimer, KEEP_ALIVE),
                Outbound::Behind => r.header(HeaderId::Require, "outbound"),
                Outbound::Not | Outbound::Lacking => r,
            };
            // RFC 3327 5.3: the client learns which way it is reached.
            let r = r
                .header(HeaderId::Supported, SUPPORTED)
                .copy(HeaderId::Path);
            lines
                .iter()
                .fold(r, |r, line| r.header(HeaderId::Contact, line))
        });
    }

    /// The binding stands: its connection is held, and known by its Contact.
    fn taken_up(&self, done: &Registering, point: &PointInfo, binding: &Binding) {
        let flow = done.req.flow;
        if done.outbound != Outbound::Not {
            self.front.add_flow(done.person, point, binding);
        }
        if !flow.transport.is_reliable() {
            return;
        }
        let bound = Bound {
            person: done.person,
            point: point.id,
            inbox: Arc::clone(&point.inbox),
            caller: done.caller.clone(),
        };
        self.front
            .bind_connection(flow.id, bound, &binding.contact, binding.way);
        let Some(wire) = self.front.wire(flow) else {
            return;
        };
        let kept_alive = done.outbound == Outbound::Direct;
        self.front.sockets.hold(&wire, kept_alive);
        let agent = agent(&done.req.message).to_ascii_lowercase();
        if agent.contains("purple") || agent.contains("pidgin") {
            self.front.sockets.pace(&wire);
        }
    }
}

/// Changes, and the keys of the bindings that they put.
type Changes = (Vec<PointChange>, Vec<Arc<str>>);

/// Proxies that one REGISTER may have passed.
const PATHS: usize = 10;

/// The Path of a REGISTER, each value as written (RFC 3327 5.3).
fn path(message: &RawMessage) -> Result<Vec<String>, ()> {
    let read = |value: &[u8]| {
        NameAddr::parse(value).map_err(|_| ())?;
        String::from_utf8(value.to_vec()).map_err(|_| ())
    };
    let values = message.values(HeaderId::Path).take(PATHS + 1);
    let path = values.map(read).collect::<Result<Vec<_>, _>>()?;
    if path.len() > PATHS {
        return Err(());
    }
    Ok(path)
}

/// RFC 5626 6: what counts is an instance with a number, from a client that knows what it does.
fn outbound(message: &RawMessage, path: &[String]) -> Outbound {
    let knows = |tag: &str| tag.eq_ignore_ascii_case("outbound");
    let numbered = message.contact().ok().flatten().is_some_and(|contact| {
        contact.instance().is_some() && contact.reg_id().is_some_and(|number| number > 0)
    });
    if !numbered || !message.tokens(HeaderId::Supported).any(knows) {
        return Outbound::Not;
    }
    let first = path
        .first()
        .and_then(|value| NameAddr::parse(value.as_bytes()).ok());
    if message.values(HeaderId::Via).count() == 1 {
        Outbound::Direct
    } else if first.is_some_and(|first| first.uri.param("ob").is_some()) {
        Outbound::Behind
    } else {
        Outbound::Lacking
    }
}

/// What tells this client from others of its person: its instance, else the endpoint that it
/// names (microsoft-sip.md 1.2), marked as what it is.
fn machine(req: &Req, contact: &Contact<'_>) -> Option<Arc<str>> {
    if let Some(instance) = contact.instance() {
        return Some(shared(&instance));
    }
    let from = req.message.from().ok()?;
    let endpoint = from.params.value("epid")?;
    Some(format!("epid:{endpoint}").into())
}

/// User-Agent as text, cut to what is worth keeping.
pub(super) fn agent(message: &RawMessage) -> &str {
    let text = message.text(HeaderId::UserAgent).unwrap_or_default();
    text.get(..text.floor_char_boundary(128.min(text.len())))
        .unwrap_or_default()
}

/// What makes two Contacts one binding: instance and reg-id where given (RFC 5626 6), else the
/// URI by the parts that count in RFC 3261 19.1.4.
fn key(contact: &Contact<'_>) -> Arc<str> {
    if let Some(instance) = contact.instance() {
        return format!("{instance}#{}", contact.reg_id().unwrap_or(0)).into();
    }
    uri_key(&contact.uri()).into()
}

fn uri_key(uri: &Uri<'_>) -> String {
    let mut key = String::with_capacity(uri.text.len());
    if let Some(user) = uri.user_decoded() {
        key.push_str(&user);
        key.push('@');
    }
    key.push_str(&uri.host_text().to_ascii_lowercase());
    if let Some(port) = uri.port() {
        let _ = write!(key, ":{port}");
    }
    if let Some(Some(transport)) = uri.param("transport") {
        let _ = write!(key, ";{}", transport.to_ascii_lowercase());
    }
    key
}

/// Where requests to a binding go (`decisions.md` 12): to where the REGISTER came from, unless its
/// Via and its Contact agree on another port of the same address.
fn destination(req: &Req, contact: &Contact<'_>) -> std::net::SocketAddr {
    let source = req.flow.peer;
    let uri = contact.uri();
    let port = uri.port().unwrap_or(5060);
    let same_ip = uri.host.is_some_and(
        |place| matches!(place.host, Host::Ip(ip) if ip.to_canonical() == source.ip()),
    );
    let via_agrees = req
        .message
        .top_via()
        .is_ok_and(|via| via.rport().is_none() && via.sent_by.port.unwrap_or(5060) == port);
    if same_ip && via_agrees && !req.flow.transport.is_reliable() {
        std::net::SocketAddr::new(source.ip(), port)
    } else {
        source
    }
}

fn contact_line(point: &PointInfo, binding: &Binding, now: Millis) -> String {
    let left = point.expires.0.saturating_sub(now).div_ceil(1000);
    let mut line = format!("<{}>;expires={left}", binding.contact);
    if point.preference != 1000 {
        let _ = write!(line, ";q=0.{:03}", point.preference.min(999));
    }
    if let Some((instance, reg_id)) = point.key.as_deref().and_then(|key| key.rsplit_once('#')) {
        let _ = write!(line, ";+sip.instance=\"{instance}\"");
        if reg_id != "0" {
            let _ = write!(line, ";reg-id={reg_id}");
        }
    }
    line
}

impl Front {
    /// A binding has ended.
    pub(super) fn forget_point(&self, person: PersonId, point: &PointInfo) {
        if let Some(address) = super::neighbour::wire::read(&point.handle) {
            return self.neighbours.ended(&address);
        }
        if let Some(binding) = Binding::restore(&point.handle) {
            self.unbind(person, point, &binding);
        }
    }
}
