//! One request to a neighbour: every place of its server in turn, each in a transaction of its own
//! (RFC 3263 4.3), its challenge answered where that is configured.

use super::prove::Proofs;
use super::upstream::Pair;
use super::{Fault, Neighbours, Route, Server};
use crate::core::address::Address;
use crate::core::id::{MessageId, PersonId, PointId, WatchId};
use crate::front::sip::front::Front;
use crate::front::sip::listen;
use crate::front::sip::locate::Located;
use crate::front::sip::shard::{Shard, Started};
use bytes::{BufMut, Bytes, BytesMut};
use sip::edit::Edit;
use sip::flow::{Flow, Millis, Transport};
use sip::locate::{Hop, Target};
use sip::raw::{Datagram, frame_datagram};
use sip::transaction::{Failure, Outgoing, TxId};
use sip::{HeaderId, RawMessage};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

/// How long a place may say nothing while there are others to try.
const SILENCE: Millis = 5_000;
/// Above this a datagram is at risk of being fragmented (RFC 3261 18.1.1).
const UDP_SAFE: usize = 1300;

/// What a request is for.
#[derive(Debug)]
pub(in super::super) enum Purpose {
    /// A message to somebody there.
    Text {
        person: PersonId,
        address: Address,
        message: MessageId,
        point: PointId,
    },
    /// A SUBSCRIBE for somebody here.
    Subscribe(Pair),
    /// A NOTIFY to somebody there.
    Notify(WatchId),
}

/// A request under way.
#[derive(Debug)]
pub(in super::super) struct Errand {
    purpose: Purpose,
    key: Arc<str>,
    peer: Option<usize>,
    server: Arc<Server>,
    method: &'static str,
    /// Who speaks, for a neighbour that believes us.
    speaker: Option<Address>,
    /// Without our Via; `None` = to be written when the way is known.
    request: Option<Bytes>,
    targets: VecDeque<Target>,
    places: VecDeque<Hop>,
    place: Option<Hop>,
    tx: Option<TxId>,
    silent: Option<Millis>,
    /// Where a stream was tried instead of UDP.
    streamed: Option<SocketAddr>,
    proofs: Proofs,
    fault: Fault,
}

/// What is to be sent.
pub(in super::super) struct Draft {
    pub(in super::super) purpose: Purpose,
    pub(in super::super) method: &'static str,
    pub(in super::super) speaker: Option<Address>,
    /// As for [`Errand::request`].
    pub(in super::super) request: Option<Bytes>,
    /// Where to, if not to the domain's server.
    pub(in super::super) target: Option<Target>,
}

/// What it came to.
pub(in super::super) type Ending = Result<(u16, RawMessage), Fault>;

impl Shard {
    /// Starts a request; its ending comes to `errand_over`, perhaps at once.
    pub(in super::super) fn errand(&mut self, now: Millis, route: &Route, draft: Draft) {
        let front = Arc::clone(&self.front);
        let share = match draft.purpose {
            Purpose::Subscribe(_) => 4,
            Purpose::Text { .. } | Purpose::Notify(_) => 1,
        };
        let server = match front.neighbours.enter(&route.key, share) {
            Ok(server) => server,
            Err(fault) => return self.errand_over(now, draft.purpose, Err(fault)),
        };
        let mut targets: VecDeque<Target> = match draft.target {
            Some(target) => VecDeque::from([target]),
            None => route.targets.iter().cloned().collect(),
        };
        let first = targets.pop_front();
        let id = self.token();
        self.errands.insert(
            id,
            Errand {
                purpose: draft.purpose,
                key: Arc::clone(&route.key),
                peer: route.peer,
                server,
                method: draft.method,
                speaker: draft.speaker,
                request: draft.request,
                targets,
                places: VecDeque::new(),
                place: None,
                tx: None,
                silent: None,
                streamed: None,
                proofs: Proofs::default(),
                fault: Fault::Nowhere,
            },
        );
        match first {
            Some(target) => self.look_for(id, &target),
            None => self.end_errand(now, id, Err(Fault::Nowhere)),
        }
    }

    fn look_for(&self, id: u64, target: &Target) {
        let inbox = Arc::clone(&self.inbox);
        let done = Box::new(move |located| inbox.located(id, located));
        self.front.locator.find(target, done);
    }

    /// The places of a target are known.
    pub(in super::super) fn errand_located(&mut self, now: Millis, id: u64, located: Located) {
        let Some(errand) = self.errands.get_mut(&id) else {
            return self.server_located(now, id, located);
        };
        match located {
            Located::Hops(hops) => errand.places.extend(hops),
            Located::Nowhere => errand.fault = Fault::Nowhere,
            Located::Unknown => errand.fault = Fault::Unknown,
        }
        self.next_place(now, id);
    }

    /// Tries the next place; looks for the next target where there is none.
    fn next_place(&mut self, now: Millis, id: u64) {
        loop {
            let Some(errand) = self.errands.get_mut(&id) else {
                return;
            };
            errand.silent = None;
            let Some(place) = errand.places.pop_front() else {
                let Some(target) = errand.targets.pop_front() else {
                    let fault = errand.fault;
                    return self.end_errand(now, id, Err(fault));
                };
                return self.look_for(id, &target);
            };
            errand.place = Some(place);
            if self.try_place(now, id) {
                return;
            }
        }
    }

    /// Sends to the place at hand; false if that can't be.
    fn try_place(&mut self, now: Millis, id: u64) -> bool {
        let Some(place) = self
            .errands
            .get(&id)
            .and_then(|errand| errand.place.clone())
        else {
            return false;
        };
        let Some(flow) = self.flow_to(&place) else {
            self.blame(id, Fault::Connect);
            return false;
        };
        let Some(length) = self.write_errand(id, flow) else {
            self.blame(id, Fault::Unwritable);
            return false;
        };
        let front = Arc::clone(&self.front);
        let Some(errand) = self.errands.get_mut(&id) else {
            return false;
        };
        if place.transport == Transport::Udp && length > UDP_SAFE {
            let stream = Hop {
                transport: Transport::Tcp,
                ..place.clone()
            };
            // RFC 3261 18.1.1: a stream for what is large, and UDP only if there is none.
            if front.streams() && errand.streamed != Some(place.address) {
                errand.streamed = Some(place.address);
                errand.places.push_front(place);
                errand.places.push_front(stream);
                return false;
            }
            if length > front.settings.udp_max {
                errand.fault = Fault::TooLarge;
                return false;
            }
        }
        self.send_errand(now, id, flow)
    }

    fn blame(&mut self, id: u64, fault: Fault) {
        if let Some(errand) = self.errands.get_mut(&id) {
            errand.fault = fault;
        }
    }

    /// A way to a place.
    pub(in super::super) fn flow_to(&self, place: &Hop) -> Option<Flow> {
        let sockets = &self.front.sockets;
        match place.transport {
            Transport::Udp => {
                let wire = sockets.udp_flow(place.address, None)?;
                Some(Front::flow(&wire))
            }
            Transport::Tcp => {
                let hop = listen::Hop::tcp(place.address);
                Some(Front::flow(&sockets.dial(&hop)))
            }
            Transport::Tls => {
                let hop = listen::Hop::tls(place.address, &place.name);
                Some(Front::flow(&sockets.dial(&hop)))
            }
            Transport::Ws | Transport::Wss => None,
        }
    }

    /// Makes sure that the request is written; its length without Via.
    fn write_errand(&mut self, id: u64, flow: Flow) -> Option<usize> {
        let errand = self.errands.get(&id)?;
        if let Some(request) = &errand.request {
            return Some(request.len());
        }
        let Purpose::Subscribe(pair) = &errand.purpose else {
            return None;
        };
        let pair = pair.clone();
        let request = self.write_subscribe(&pair, flow, None)?;
        let length = request.len();
        self.errands.get_mut(&id)?.request = Some(request);
        Some(length)
    }

    fn send_errand(&mut self, now: Millis, id: u64, flow: Flow) -> bool {
        let token = self.token();
        let branch = format!("z9hG4bKp{:x}.{token:x}", self.front.boot);
        let via = self.via(flow);
        let front = Arc::clone(&self.front);
        let Some(errand) = self.errands.get_mut(&id) else {
            return false;
        };
        let Some(request) = &errand.request else {
            return false;
        };
        let mut lines = format!("Via: {via};branch={branch};rport\r\n");
        if let Some(speaker) = &errand.speaker
            && front.neighbours.routes.asserts(errand.peer)
        {
            // RFC 3325 9.1.
            let user = sip::build::escape_user(speaker.local());
            let domain = speaker.domain();
            let _ = write!(lines, "P-Asserted-Identity: <sip:{user}@{domain}>\r\n");
        }
        let bytes = stamped(request, &lines);
        // RFC 4321 2: who waits the whole time for one silent place has none left for others.
        let others = !errand.places.is_empty() || !errand.targets.is_empty();
        errand.silent = others.then_some(now + SILENCE);
        let silent = errand.silent;
        self.started.insert(token, Started::Errand(id));
        let request = Outgoing {
            method: errand.method.as_bytes(),
            branch: branch.as_bytes(),
            flow,
            bytes,
            token,
        };
        errand.tx = Some(self.engine.start(now, request));
        if let Some(at) = silent {
            self.alarms.push_back((at, id));
        }
        self.drain(now);
        true
    }

    /// A place that has been silent for too long.
    pub(in super::super) fn errand_alarm(&mut self, now: Millis, id: u64) {
        let Some(errand) = self.errands.get_mut(&id) else {
            return;
        };
        if errand.silent.is_none_or(|at| at > now) {
            return;
        }
        if let Some(tx) = errand.tx.take() {
            self.engine.forget(tx);
        }
        self.place_failed(now, id, Fault::Late);
    }

    fn place_failed(&mut self, now: Millis, id: u64, fault: Fault) {
        if let Some(errand) = self.errands.get_mut(&id) {
            errand.fault = fault;
            if let Some(place) = &errand.place {
                tracing::info!(peer = %errand.key, at = %place.address, method = errand.method, cause = %fault, "place of a neighbour failed");
                self.front.locator.failed(place);
            }
        }
        self.next_place(now, id);
    }

    /// The transaction of an errand has ended.
    pub(in super::super) fn errand_ended(
        &mut self,
        now: Millis,
        id: u64,
        result: Result<(u16, RawMessage), Failure>,
    ) {
        let Some(errand) = self.errands.get_mut(&id) else {
            return;
        };
        errand.silent = None;
        let (status, message) = match result {
            Ok(answer) => answer,
            Err(Failure::Timeout) => return self.place_failed(now, id, Fault::Late),
            Err(Failure::Transport) => return self.place_failed(now, id, Fault::Connect),
        };
        let others = !errand.places.is_empty() || !errand.targets.is_empty();
        if status == 503 && others {
            return self.place_failed(now, id, Fault::Late);
        }
        if let Some(place) = &errand.place {
            self.front.locator.worked(place);
        }
        if matches!(status, 401 | 407) {
            if self.prove(id, &message) && self.try_place(now, id) {
                return;
            }
            return self.end_errand(now, id, Err(Fault::Denied));
        }
        self.end_errand(now, id, Ok((status, message)));
    }

    /// Answers a challenge, if it is in the realm of the neighbour that we have credentials for.
    fn prove(&mut self, id: u64, answer: &RawMessage) -> bool {
        let front = Arc::clone(&self.front);
        let Some(errand) = self.errands.get_mut(&id) else {
            return false;
        };
        let known = errand
            .peer
            .and_then(|at| front.neighbours.routes.known.get(at));
        let (Some(proof), Some(request)) = (known.and_then(|k| k.proof.as_ref()), &errand.request)
        else {
            return false;
        };
        let limits = &front.settings.message;
        let Ok(Datagram::Message(original)) = frame_datagram(request.clone(), limits) else {
            return false;
        };
        let uri = original.uri().and_then(|uri| std::str::from_utf8(uri).ok());
        let asked = (errand.method, uri.unwrap_or_default(), original.body());
        let Some((name, value)) = errand.proofs.answer(proof, answer, asked) else {
            return false;
        };
        self.rewrite(id, &original, (name, &value))
    }

    /// The request once more, with credentials and the next CSeq (RFC 3261 22.1).
    fn rewrite(&mut self, id: u64, original: &RawMessage, proof: (&str, &str)) -> bool {
        let Some(errand) = self.errands.get(&id) else {
            return false;
        };
        let request = match &errand.purpose {
            Purpose::Subscribe(pair) => {
                let pair = pair.clone();
                let place = errand.place.clone();
                let flow = place.and_then(|place| self.flow_to(&place));
                flow.and_then(|flow| self.write_subscribe(&pair, flow, Some(proof)))
            }
            Purpose::Text { .. } => original.cseq().ok().map(|cseq| {
                let number = cseq.number.saturating_add(1);
                let mut edit = Edit::new(original);
                edit.set(HeaderId::CSeq, format_args!("{number} {}", errand.method))
                    .remove_all(HeaderId::Authorization)
                    .remove_all(HeaderId::ProxyAuthorization)
                    .append(proof.0, proof.1);
                edit.write()
            }),
            // Its CSeq is the dialog's.
            Purpose::Notify(_) => None,
        };
        let written = request.is_some();
        if let Some(errand) = self.errands.get_mut(&id) {
            errand.request = request;
        }
        written
    }

    fn end_errand(&mut self, now: Millis, id: u64, ending: Ending) {
        let Some(errand) = self.errands.remove(&id) else {
            return;
        };
        let result = match &ending {
            Ok(_) => Ok(()),
            Err(fault) => Err(*fault),
        };
        if let Err(fault) = result {
            tracing::info!(peer = %errand.key, method = errand.method, cause = %fault, "request to a neighbour failed");
        }
        Neighbours::answered(&errand.key, &errand.server, result);
        self.errand_over(now, errand.purpose, ending);
    }

    fn errand_over(&mut self, now: Millis, purpose: Purpose, ending: Ending) {
        match purpose {
            Purpose::Text {
                person,
                address,
                message,
                point,
            } => self.posted(person, address, message, point, &ending),
            Purpose::Subscribe(pair) => self.upstream_answered(now, &pair, ending),
            Purpose::Notify(watch) => {
                let result = match ending {
                    Ok((status, _)) => Ok(status),
                    Err(Fault::Late) => Err(Failure::Timeout),
                    Err(_) => Err(Failure::Transport),
                };
                self.notify_ended(now, watch, result);
            }
        }
    }
}

/// A request with these lines behind its first one.
fn stamped(request: &Bytes, lines: &str) -> Bytes {
    let cut = memchr::memmem::find(request, b"\r\n").map_or(0, |at| at + 2);
    let (first, rest) = request.split_at_checked(cut).unwrap_or((&[], request));
    let mut out = BytesMut::with_capacity(request.len() + lines.len());
    out.put_slice(first);
    out.put_slice(lines.as_bytes());
    out.put_slice(rest);
    out.freeze()
}

/// A request without its first Via, which [`stamped`] puts in anew for each place.
pub(super) fn bare(request: &Bytes) -> Bytes {
    const VIA: &[u8] = b"\r\nVia: ";
    let Some(at) = memchr::memmem::find(request, VIA) else {
        return request.clone();
    };
    let line = request.get(at + 2..).unwrap_or_default();
    let end = memchr::memmem::find(line, b"\r\n").map_or(line.len(), |end| end + 2);
    let mut out = BytesMut::with_capacity(request.len());
    out.put_slice(request.get(..at + 2).unwrap_or_default());
    out.put_slice(line.get(end..).unwrap_or_default());
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_gets_a_via_of_its_own() {
        let text = "MESSAGE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=1\r\nVia: SIP/2.0/UDP y\r\nTo: z\r\n\r\nVia: no";
        let bare = bare(&Bytes::from_static(text.as_bytes()));
        let again = stamped(&bare, "Via: SIP/2.0/TCP n\r\n");
        assert_eq!(
            again,
            "MESSAGE sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP n\r\nVia: SIP/2.0/UDP y\r\nTo: z\r\n\r\nVia: no"
        );
    }
}
