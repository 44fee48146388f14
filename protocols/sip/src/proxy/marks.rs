//! What a proxy writes into messages to know it again: branches that tell a loop from a spiral
//! (RFC 5393 4.2), and tokens in Record-Route that let in-dialog requests through and name their
//! next hop (RFC 5626 5.2 in spirit). All are keyed: nobody else can make one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use auth::seal::{holds, mark};

use super::text64;
use crate::flow::{Flow, Transport};
use crate::header::Via;
use crate::raw::{HeaderId, RawMessage};

/// Octets of a token's mark: 80 bits, guessed by nobody within the life of a call.
const TOKEN_MARK: usize = 10;
/// Letters of the shortest token: two ways over UDP and IPv4.
const SHORTEST: usize = 38;
/// RFC 3261 8.1.1.7, and what tells our proxied requests from others of ours.
const BRANCH: &str = "z9hG4bKp";

/// The two ends of a dialog that runs through us: where its requests go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The way to who sent the first request.
    pub caller: Flow,
    /// The way to who got it.
    pub callee: Flow,
    /// Which run of the server the numbers of connections are from.
    pub boot: u64,
    /// Who sent it is at a neighbouring server.
    pub caller_abroad: bool,
    /// Who got it is.
    pub callee_abroad: bool,
}

/// Which way a request within a dialog goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toward {
    /// To who got the first request.
    Callee,
    /// To who sent it.
    Caller,
}

impl Ends {
    /// The way to one of them.
    #[must_use]
    pub fn way(&self, toward: Toward) -> Flow {
        match toward {
            Toward::Callee => self.callee,
            Toward::Caller => self.caller,
        }
    }

    /// Whether that way leads to a neighbouring server.
    #[must_use]
    pub fn is_abroad(&self, toward: Toward) -> bool {
        match toward {
            Toward::Callee => self.callee_abroad,
            Toward::Caller => self.caller_abroad,
        }
    }
}

/// The keys of one proxy.
#[derive(Debug, Clone)]
pub struct Marks {
    key: [u8; 32],
    /// Tells this proxy's branches from those of others with the same key.
    seed: u64,
    count: u64,
}

impl Marks {
    /// The key should outlive restarts, because dialogs do; the seed is random.
    #[must_use]
    pub fn new(key: [u8; 32], seed: u64) -> Self {
        Self {
            key,
            seed,
            count: 0,
        }
    }

    /// A branch that nobody has had, with the routing facts of the request as it came.
    pub fn branch(&mut self, request: &RawMessage) -> String {
        self.count += 1;
        let unique = mark(
            &self.key,
            "branch",
            &[&self.seed.to_be_bytes(), &self.count.to_be_bytes()],
        );
        self.written(number(&unique), self.facts(request))
    }

    /// The branch of a request that is forwarded without a transaction: the same for each repeat
    /// (RFC 3261 16.11).
    #[must_use]
    pub fn stateless_branch(&self, request: &RawMessage) -> String {
        let via = request.values(HeaderId::Via).next().unwrap_or_default();
        let unique = mark(&self.key, "stateless", &[via]);
        self.written(number(&unique), self.facts(request))
    }

    fn written(&self, unique: u64, facts: u64) -> String {
        let check = self.check(unique, facts);
        format!("{BRANCH}{unique:016x}.{facts:016x}.{check:016x}")
    }

    fn check(&self, unique: u64, facts: u64) -> u64 {
        let parts = [&unique.to_be_bytes()[..], &facts.to_be_bytes()[..]];
        number(&mark(&self.key, "check", &parts))
    }

    /// Whether the request has been here before with the same routing facts (RFC 5393 4.2.2): one
    /// of its Vias is ours and says so. Another target, as after a change of the Request-URI, is a
    /// spiral and goes on.
    #[must_use]
    pub fn loops(&self, request: &RawMessage) -> bool {
        let mut facts = None;
        request.values(HeaderId::Via).any(|value| {
            let branch = Via::parse(value).ok().and_then(|via| via.branch());
            let Some(then) = branch.and_then(|branch| self.ours(branch)) else {
                return false;
            };
            then == *facts.get_or_insert_with(|| self.facts(request))
        })
    }

    /// The routing facts in a branch of ours; `None` if it is not ours.
    fn ours(&self, branch: &str) -> Option<u64> {
        let mut parts = branch.strip_prefix(BRANCH)?.splitn(3, '.');
        let mut next = || u64::from_str_radix(parts.next()?, 16).ok();
        let (unique, facts, check) = (next()?, next()?, next()?);
        (self.check(unique, facts) == check).then_some(facts)
    }

    /// RFC 5393 4.2.1: everything that decides where the request goes. Credentials do not here.
    fn facts(&self, request: &RawMessage) -> u64 {
        let tag = |id| {
            let value = request.first(id).unwrap_or_default();
            crate::scan::tag(value).unwrap_or_default()
        };
        let cseq = crate::scan::cseq(request.first(HeaderId::CSeq).unwrap_or_default());
        let cseq = cseq.map_or(0, |(number, _)| number).to_be_bytes();
        let mut parts: Vec<&[u8]> = vec![
            request.uri().unwrap_or_default(),
            tag(HeaderId::From),
            tag(HeaderId::To),
            request.first(HeaderId::CallId).unwrap_or_default(),
            &cseq,
        ];
        parts.extend(request.all(HeaderId::ProxyRequire));
        parts.extend(request.all(HeaderId::Route));
        number(&mark(&self.key, "loop", &parts))
    }

    /// The token for a dialog: for the user part of our Record-Route.
    #[must_use]
    pub fn token(&self, ends: &Ends, call_id: &[u8], caller_tag: &[u8]) -> String {
        let mut octets = Vec::with_capacity(64);
        put(&mut octets, ends.caller, ends.caller_abroad);
        put(&mut octets, ends.callee, ends.callee_abroad);
        if ends.caller.transport.is_reliable() || ends.callee.transport.is_reliable() {
            octets.extend_from_slice(&ends.boot.to_be_bytes());
        }
        let proof = self.token_mark(&octets, call_id, caller_tag);
        octets.extend(proof.iter().take(TOKEN_MARK));
        text64::encode(&octets)
    }

    /// Whether a user part looks like a token, and like nobody's name.
    #[must_use]
    pub fn is_shaped(user: &str) -> bool {
        user.len() >= SHORTEST && user.bytes().all(text64::is_letter)
    }

    fn token_mark(&self, ends: &[u8], call_id: &[u8], caller_tag: &[u8]) -> [u8; 32] {
        mark(&self.key, "dialog", &[ends, call_id, caller_tag])
    }

    /// What a token says about a request within its dialog; `None` if it is none of ours, or of
    /// another dialog. Who has the caller's tag in From goes to the callee.
    #[must_use]
    pub fn dialog(&self, token: &str, request: &RawMessage) -> Option<(Ends, Toward)> {
        let octets = text64::decode(token)?;
        let (ends, proof) = octets.split_at_checked(octets.len().checked_sub(TOKEN_MARK)?)?;
        let call_id = request.first(HeaderId::CallId)?;
        let tag = |id| crate::scan::tag(request.first(id)?);
        let proves = |tag: Option<&[u8]>| {
            tag.is_some_and(|tag| holds(&self.token_mark(ends, call_id, tag), proof))
        };
        let toward = if proves(tag(HeaderId::From)) {
            Toward::Callee
        } else if proves(tag(HeaderId::To)) {
            Toward::Caller
        } else {
            return None;
        };
        Some((read_ends(ends)?, toward))
    }
}

fn number(mark: &[u8; 32]) -> u64 {
    mark.iter()
        .take(8)
        .fold(0, |sum, octet| sum << 8 | u64::from(*octet))
}

const TRANSPORTS: [Transport; 5] = [
    Transport::Udp,
    Transport::Tcp,
    Transport::Tls,
    Transport::Ws,
    Transport::Wss,
];

/// Of the octet that a flow begins with: an IPv6 address follows; it leads to a neighbour.
const V6: u8 = 0x80;
const ABROAD: u8 = 0x40;

fn put(out: &mut Vec<u8>, flow: Flow, abroad: bool) {
    let kind = TRANSPORTS.iter().position(|kind| *kind == flow.transport);
    let kind = kind.and_then(|kind| u8::try_from(kind).ok()).unwrap_or(0);
    let kind = if abroad { kind | ABROAD } else { kind };
    match flow.peer.ip() {
        IpAddr::V4(ip) => {
            out.push(kind);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(kind | V6);
            out.extend_from_slice(&ip.octets());
        }
    }
    out.extend_from_slice(&flow.peer.port().to_be_bytes());
    if flow.transport.is_reliable() {
        out.extend_from_slice(&flow.id.to_be_bytes());
    } else {
        out.extend_from_slice(&u16::try_from(flow.id).unwrap_or(0).to_be_bytes());
    }
}

fn read_ends(mut octets: &[u8]) -> Option<Ends> {
    let (caller, caller_abroad) = take_flow(&mut octets)?;
    let (callee, callee_abroad) = take_flow(&mut octets)?;
    let boot = match octets {
        [] => 0,
        rest => u64::from_be_bytes(rest.try_into().ok()?),
    };
    Some(Ends {
        caller,
        callee,
        boot,
        caller_abroad,
        callee_abroad,
    })
}

fn take_flow(octets: &mut &[u8]) -> Option<(Flow, bool)> {
    let kind = take::<1>(octets)?[0];
    let transport = *TRANSPORTS.get(usize::from(kind & !(V6 | ABROAD)))?;
    let ip = if kind & V6 == 0 {
        IpAddr::V4(Ipv4Addr::from(take::<4>(octets)?))
    } else {
        IpAddr::V6(Ipv6Addr::from(take::<16>(octets)?))
    };
    let port = u16::from_be_bytes(take::<2>(octets)?);
    let id = if transport.is_reliable() {
        u64::from_be_bytes(take::<8>(octets)?)
    } else {
        u64::from(u16::from_be_bytes(take::<2>(octets)?))
    };
    let flow = Flow {
        transport,
        peer: SocketAddr::new(ip, port),
        id,
    };
    Some((flow, kind & ABROAD != 0))
}

fn take<const N: usize>(octets: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = octets.split_first_chunk::<N>()?;
    *octets = rest;
    Some(*first)
}
