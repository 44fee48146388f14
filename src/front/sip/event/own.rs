//! How we name ourselves in requests of ours: Via and Contact.

use crate::front::sip::shard::Shard;
use sip::flow::{Flow, Transport};

impl Shard {
    /// Our Via without parameters.
    pub(in crate::front::sip) fn via(&self, flow: Flow) -> String {
        let place = self.sent_by(flow);
        format!("SIP/2.0/{} {place}", flow.transport.via_token())
    }

    /// What a Via of ours says behind its place: over TLS, what we opened may be used both ways
    /// (RFC 5923 5).
    pub(in super::super) fn alias(&self, flow: Flow) -> &'static str {
        let wire = self.front.wire(flow);
        let ours = wire.is_some_and(|wire| self.front.sockets.is_ours(&wire));
        if ours { ";alias" } else { "" }
    }

    /// Our Contact on this flow.
    pub(in crate::front::sip) fn contact(&self, flow: Flow) -> String {
        let place = self.sent_by(flow);
        match flow.transport {
            Transport::Udp => format!("sip:{place}"),
            Transport::Tcp => format!("sip:{place};transport=tcp"),
            Transport::Tls => format!("sip:{place};transport=tls"),
            // RFC 7118 5.2.4: the scheme and the flow tell WSS from WS.
            Transport::Ws | Transport::Wss => format!("sip:{place};transport=ws"),
        }
    }

    fn sent_by(&self, flow: Flow) -> String {
        let wire = self.front.wire(flow);
        wire.map_or_else(
            || self.front.places.default_domain().to_owned(),
            |wire| self.front.sent_by(&wire),
        )
    }
}
