//! Wire state of bindings and subscriptions as the core keeps it: it must outlive a restart, so it
//! carries a version.

use crate::core::id::Handle;
use serde::{Deserialize, Serialize};
use sip::flow::{Flow, Transport};
use sip::subscription::Notifier;
use std::net::SocketAddr;

const VERSION: u8 = 1;

/// A way to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Way {
    /// A connection, not an address.
    pub(super) stream: bool,
    /// Where packets go.
    pub(super) peer: SocketAddr,
    /// Number of the connection or UDP socket.
    pub(super) id: u64,
    /// Which run of the server the number is from: connections die with it.
    pub(super) boot: u64,
    /// What carries it, if it is a stream.
    #[serde(default)]
    over: Over,
}

/// Kinds of streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Over {
    #[default]
    Tcp,
    Tls,
    Ws,
    Wss,
}

impl Way {
    pub(super) fn of(flow: Flow, boot: u64) -> Self {
        Self {
            stream: flow.transport.is_reliable(),
            peer: flow.peer,
            id: flow.id,
            boot,
            over: match flow.transport {
                Transport::Udp | Transport::Tcp => Over::Tcp,
                Transport::Tls => Over::Tls,
                Transport::Ws => Over::Ws,
                Transport::Wss => Over::Wss,
            },
        }
    }

    /// The flow, if it can exist in this run.
    pub(super) fn flow(&self, boot: u64) -> Option<Flow> {
        let transport = match self.over {
            _ if !self.stream => Transport::Udp,
            Over::Tcp => Transport::Tcp,
            Over::Tls => Transport::Tls,
            Over::Ws => Transport::Ws,
            Over::Wss => Transport::Wss,
        };
        (!self.stream || self.boot == boot).then_some(Flow {
            transport,
            peer: self.peer,
            id: self.id,
        })
    }
}

/// A binding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Binding {
    v: u8,
    /// The URI of its Contact, as written.
    pub(super) contact: String,
    /// Where requests go.
    pub(super) way: Way,
    /// Proxies on the way, the first one to be passed first (RFC 3327): values of Route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) path: Vec<String>,
}

impl Binding {
    pub(super) fn new(contact: &str, way: Way) -> Self {
        Self {
            v: VERSION,
            contact: contact.to_owned(),
            way,
            path: Vec::new(),
        }
    }

    /// By way of these proxies.
    #[must_use]
    pub(super) fn with_path(self, path: Vec<String>) -> Self {
        Self { path, ..self }
    }

    /// The route set of requests to it, as one header value.
    pub(super) fn route(&self) -> Option<String> {
        (!self.path.is_empty()).then(|| self.path.join(", "))
    }

    pub(super) fn save(&self) -> Handle {
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    pub(super) fn restore(handle: &[u8]) -> Option<Self> {
        serde_json::from_slice(handle)
            .ok()
            .filter(|binding: &Self| binding.v == VERSION)
    }
}

#[derive(Serialize, Deserialize)]
struct WatchHead {
    v: u8,
    way: Way,
    /// The media type of its bodies; missing in states of older versions.
    #[serde(default)]
    kind: String,
}

/// A subscription: its Call-ID in a line of its own (it is looked at for every event), the way its
/// SUBSCRIBE came, then the engine's own form.
pub(super) fn save_watch(way: Way, notifier: &Notifier, kind: &str) -> Handle {
    let head = WatchHead {
        v: VERSION,
        way,
        kind: kind.to_owned(),
    };
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(notifier.dialog().call_id.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(&serde_json::to_vec(&head).unwrap_or_default());
    out.push(b'\n');
    out.extend_from_slice(&notifier.save());
    out.into()
}

/// The Call-ID of a subscription.
pub(super) fn watch_call_id(handle: &[u8]) -> &[u8] {
    let cut = memchr::memchr(b'\n', handle).unwrap_or(0);
    handle.get(..cut).unwrap_or_default()
}

/// What [`save_watch`] wrote.
pub(super) fn restore_watch(handle: &[u8]) -> Option<(Way, Notifier, String)> {
    let mut parts = handle.splitn(3, |octet| *octet == b'\n').skip(1);
    let head: WatchHead = serde_json::from_slice(parts.next()?).ok()?;
    let notifier = Notifier::restore(parts.next()?).ok()?;
    (head.v == VERSION).then_some((head.way, notifier, head.kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_survives_a_restart_but_its_connection_does_not() {
        let flow = Flow {
            transport: Transport::Tcp,
            peer: "[2001:db8::1]:5070".parse().unwrap(),
            id: 9,
        };
        let binding = Binding::new("sip:a@h;transport=tcp", Way::of(flow, 7));
        let read = Binding::restore(&binding.save()).unwrap();
        assert_eq!(read, binding);
        assert_eq!(read.way.flow(7), Some(flow));
        assert_eq!(read.way.flow(8), None);
        let udp = Flow {
            transport: Transport::Udp,
            ..flow
        };
        assert_eq!(Way::of(udp, 7).flow(8), Some(udp));
    }

    proptest::proptest! {
        #[test]
        fn broken_handles_are_none(octets in proptest::collection::vec(0_u8.., 0..200)) {
            proptest::prop_assert!(Binding::restore(&octets).is_none());
            let _ = restore_watch(&octets);
        }
    }
}
