//! Connections that we open ourselves, or borrow (RFC 3261 18.1.1, RFC 5923).

use super::stream::{self, Connection};
use super::{Flow, Sockets, Wire};
use crate::net::Verifier;
use sip::flow::Transport;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

/// A place to open a connection to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::front::sip) struct Hop {
    /// TCP or TLS.
    pub(in crate::front::sip) transport: Transport,
    /// The address, which nothing resolves any further.
    pub(in crate::front::sip) peer: SocketAddr,
    /// For TLS, the domain that its certificate must prove (RFC 5922 7.3); without one there is no
    /// TLS.
    pub(in crate::front::sip) domain: Option<Arc<str>>,
}

impl Hop {
    /// Plain TCP.
    pub(in crate::front::sip) fn tcp(peer: SocketAddr) -> Self {
        Self {
            transport: Transport::Tcp,
            peer,
            domain: None,
        }
    }

    /// TLS with who proves to be `domain`.
    pub(in crate::front::sip) fn tls(peer: SocketAddr, domain: &str) -> Self {
        Self {
            transport: Transport::Tls,
            peer,
            domain: Some(domain.to_ascii_lowercase().into()),
        }
    }
}

/// How certificates are checked: for names with authorities of their own, and for all others.
#[derive(Default)]
pub(super) struct Trust(RwLock<Verifiers>);

#[derive(Default)]
struct Verifiers {
    common: Option<Verifier>,
    named: HashMap<Box<str>, Verifier>,
}

impl Trust {
    pub(super) fn set(&self, name: Option<&str>, verifier: Verifier) {
        let mut trust = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match name {
            None => trust.common = Some(verifier),
            Some(name) => {
                let name = name.to_ascii_lowercase().into();
                trust.named.insert(name, verifier);
            }
        }
    }

    pub(super) fn of(&self, name: &str) -> Option<Verifier> {
        let trust = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let named = trust.named.get(name);
        named.or(trust.common.as_ref()).cloned()
    }
}

impl Sockets {
    /// A connection to that place: one that is lent to us, one that we opened before, else a new
    /// one, on which octets wait until it stands. Never waits; a failure shows as
    /// [`super::Inbound::Closed`].
    pub(in crate::front::sip) fn dial(&self, hop: &Hop) -> Flow {
        let number = {
            let mut table = self
                .0
                .connections
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            let lent = table
                .lent
                .get(&hop.peer)
                .and_then(|number| table.by_number.get(number))
                .filter(|connection| may_borrow(&self.0.trust, connection, hop));
            let known = lent.or_else(|| {
                let number = table.dialled.get(hop)?;
                table.by_number.get(number)
            });
            if let Some(connection) = known.filter(|connection| connection.is_open()) {
                return connection.flow;
            }
            let number = self.number();
            table.dialled.insert(hop.clone(), number);
            number
        };
        let flow = Flow {
            transport: Wire::Stream(hop.transport, number),
            peer: hop.peer,
            local: self.home(hop.transport, hop.peer),
        };
        let connection = self.enter(flow);
        let dialled = stream::dial(self.clone(), connection, hop.domain.clone());
        self.0.tasks.spawn(dialled);
        flow
    }

    /// The other side of a connection takes requests of ours on it, too (RFC 5923 5): it said
    /// `alias` in its Via, and listens on `port` there.
    ///
    /// Only where it has proved a name: else whoever connects first would get what is meant for
    /// another at the same address (RFC 5923 9.3).
    pub(in crate::front::sip) fn lend(&self, flow: &Flow, port: u16) {
        let (Some(number), Some(tls)) = (flow.transport.number(), self.proved(flow)) else {
            return;
        };
        if tls.identities.is_none() {
            return;
        }
        let at = SocketAddr::new(flow.peer.ip(), port);
        let mut table = self
            .0
            .connections
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if table.lent.get(&at) != Some(&number) && table.by_number.contains_key(&number) {
            // One address each: the table is never larger than that of connections.
            table.lent.retain(|_, other| *other != number);
            table.lent.insert(at, number);
        }
    }

    /// Whether we opened this connection, over TLS.
    pub(in crate::front::sip) fn is_ours(&self, flow: &Flow) -> bool {
        let Wire::Stream(Transport::Tls, number) = flow.transport else {
            return false;
        };
        let table = self
            .0
            .connections
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        table.dialled.values().any(|other| *other == number)
    }

    /// Where we can be reached by such a transport: what our end of a connection of ours is called.
    fn home(&self, transport: Transport, peer: SocketAddr) -> SocketAddr {
        let fits = |at: &SocketAddr| at.is_ipv4() == peer.is_ipv4();
        let streams = &self.0.streams;
        let same = streams
            .iter()
            .find(|(kind, at)| *kind == transport && fits(at));
        let udp = || self.0.udp.iter().map(|socket| socket.local).find(fits);
        let nowhere: SocketAddr = if peer.is_ipv4() {
            ([0, 0, 0, 0], 0).into()
        } else {
            ([0_u16; 8], 0).into()
        };
        same.map(|(_, at)| *at).or_else(udp).unwrap_or(nowhere)
    }
}

/// Only what would have been believed had we called: by name, and by who vouches for it.
fn may_borrow(trust: &Trust, connection: &Connection, hop: &Hop) -> bool {
    let Some(domain) = &hop.domain else {
        return false;
    };
    let Some(verifier) = trust.of(domain) else {
        return false;
    };
    connection.tls().is_some_and(|tls| {
        let proved = tls.identities.as_ref();
        proved.is_some_and(|proved| {
            proved.speaks_for(domain) && proved.vouchers.cover(verifier.vouchers())
        })
    })
}
