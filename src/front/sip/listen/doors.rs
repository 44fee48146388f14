//! The listeners of the front: plain and with TLS, for SIP and for HTTP.

use super::{Sockets, stream, ws};
use crate::config::{Advertise, Config, Place};
use crate::front::sip::neighbour;
use crate::net::http::{self, Routes};
use crate::net::{Caps, Certificates, Conn, Layers, Listener, OpenError};
use sip::flow::Transport;
use std::net::SocketAddr;
use std::sync::Arc;

/// Listening sockets that nobody serves yet.
#[derive(Default)]
pub(in crate::front::sip) struct Doors {
    /// With the address as configured.
    list: Vec<(Transport, SocketAddr, Listener)>,
    certificates: Vec<Certificates>,
    /// What we show other servers that we call.
    own: Option<Certificates>,
    /// Web origins that may open a WebSocket.
    origins: Arc<[String]>,
}

/// The word for a transport in the configuration.
pub(in crate::front::sip) fn word(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
        Transport::Tls => "tls",
        Transport::Ws => "ws",
        Transport::Wss => "wss",
    }
}

impl Doors {
    /// Opens what `[sip]` says.
    pub(in crate::front::sip) fn of(config: &Config, caps: &Caps) -> Result<Self, OpenError> {
        let sip = &config.sip;
        let plain = Layers::within(config.limits.head_timeout).proxies(&sip.proxy_protocol_from);
        let mut doors = Self {
            origins: sip.ws_origins.clone().into(),
            ..Self::default()
        };
        doors.add(Transport::Tcp, &sip.tcp, &plain, caps)?;
        doors.add(Transport::Ws, &sip.ws, &plain, caps)?;
        if !sip.tls.is_empty() || !sip.wss.is_empty() {
            let for_http = Certificates::of(config)?;
            let authorities = neighbour::authorities(config)?;
            let for_sip = for_http.for_sip(&authorities, sip.client_certificates)?;
            let layers = plain.clone().tls(for_sip.clone());
            doors.add(Transport::Tls, &sip.tls, &layers, caps)?;
            let layers = plain.clone().tls(for_http.clone());
            doors.add(Transport::Wss, &sip.wss, &layers, caps)?;
            doors.own = Some(for_sip.clone());
            doors.certificates = vec![for_sip, for_http];
        }
        Ok(doors)
    }

    fn add(
        &mut self,
        transport: Transport,
        addresses: &[SocketAddr],
        layers: &Layers,
        caps: &Caps,
    ) -> Result<(), OpenError> {
        for address in addresses {
            let purpose = format!("[sip] {}", word(transport));
            let listener = Listener::bind(&purpose, *address, caps.clone())?;
            let listener = listener.with(layers.clone());
            self.list.push((transport, *address, listener));
        }
        Ok(())
    }

    /// Our certificate, if we listen with one.
    pub(in crate::front::sip) fn own(&self) -> Option<Certificates> {
        self.own.clone()
    }

    /// Where connections are accepted, with real ports.
    pub(in crate::front::sip) fn addresses(&self) -> Vec<(Transport, SocketAddr)> {
        let list = self.list.iter();
        list.map(|(transport, _, listener)| (*transport, listener.local()))
            .collect()
    }

    /// What they are called outside.
    pub(super) fn called(&self, advertise: &Advertise) -> Vec<(Transport, SocketAddr, Place)> {
        let named = |(transport, configured, listener): &(Transport, SocketAddr, Listener)| {
            let place = advertise.of(word(*transport), *configured)?;
            Some((*transport, listener.local(), place.clone()))
        };
        self.list.iter().filter_map(named).collect()
    }

    /// Serves until the process stops.
    pub(super) fn open(self, sockets: &Sockets, mut routes: Routes) {
        let tasks = &sockets.0.tasks;
        for certificates in self.certificates {
            tasks.spawn_until_stop(certificates.follow());
        }
        routes.add("/ws", ws::service(sockets.clone(), self.origins));
        let routes = Arc::new(routes);
        for (transport, _, listener) in self.list {
            let sockets = sockets.clone();
            match transport {
                Transport::Udp => {}
                Transport::Tcp | Transport::Tls => {
                    let front = move |conn: Conn| stream::accept(sockets.clone(), transport, conn);
                    tasks.spawn(listener.serve(tasks.clone(), front));
                }
                Transport::Ws | Transport::Wss => {
                    let routes = Arc::clone(&routes);
                    let front = move |conn: Conn| {
                        let (routes, shared) = (Arc::clone(&routes), Arc::clone(&sockets.0));
                        async move {
                            let stopped = shared.tasks.stopped();
                            http::serve(conn, routes, shared.bounds.http, stopped).await;
                        }
                    };
                    tasks.spawn(listener.serve(tasks.clone(), front));
                }
            }
        }
    }
}
