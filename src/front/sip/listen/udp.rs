//! Datagrams.

use super::{Flow, Inbound, SendError, Shared, Wire};
use crate::net::{BindError, bind_udp};
use bytes::Bytes;
use sip::raw::{Datagram, frame_datagram};
use sip::stun;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::UdpSocket;

/// Datagrams read before others get their turn.
const BATCH: usize = 64;

/// One UDP socket.
pub(super) struct Socket {
    inner: UdpSocket,
    pub(super) local: SocketAddr,
}

impl Socket {
    pub(super) fn bind(address: SocketAddr, buffer: usize) -> Result<Self, BindError> {
        let (inner, _) = bind_udp("[sip] udp", address, buffer)?;
        let local = inner.local_addr().map_err(|cause| BindError {
            purpose: "[sip] udp".to_owned(),
            address,
            cause,
        })?;
        Ok(Self { inner, local })
    }

    pub(super) fn send(&self, octets: &[u8], peer: SocketAddr) -> Result<(), SendError> {
        match self.inner.try_send_to(octets, peer) {
            Ok(_) => Ok(()),
            // The system's buffer is full: to the protocol a lost datagram, which is repeated.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => {
                tracing::debug!(%peer, %error, octets = octets.len(), "datagram not sent");
                Err(SendError::Refused)
            }
        }
    }
}

/// Reads one socket until the process stops.
pub(super) async fn read(shared: Arc<Shared>, number: usize) {
    let (Some(socket), Ok(index)) = (shared.udp.get(number), u16::try_from(number)) else {
        return;
    };
    // One buffer for the largest datagram; each message is copied to its own size.
    let mut buffer = vec![0u8; 65_536];
    loop {
        if let Err(error) = socket.inner.readable().await {
            tracing::error!(local = %socket.local, %error, "UDP socket failed");
            return;
        }
        for _ in 0..BATCH {
            match socket.inner.try_recv_from(&mut buffer) {
                Ok((count, peer)) => {
                    let octets = buffer.get(..count).unwrap_or_default();
                    take(&shared, index, socket.local, peer, octets);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Linux reports an ICMP error of an earlier send here: it concerns that peer.
                Err(error) => {
                    tracing::debug!(local = %socket.local, %error, "UDP receive");
                    break;
                }
            }
        }
        tokio::task::yield_now().await;
    }
}

fn take(shared: &Shared, number: u16, local: SocketAddr, peer: SocketAddr, octets: &[u8]) {
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let flow = Flow {
        transport: Wire::Udp(number),
        peer,
        local,
    };
    if stun::is_stun(octets) {
        // RFC 5626 4.4.2: the client keeps its way through a NAT open.
        let answer = stun::answer(octets, peer);
        if let (Some(answer), Some(socket)) = (answer, shared.udp.get(usize::from(number))) {
            let _ = socket.send(&answer, peer);
        }
        return;
    }
    match frame_datagram(Bytes::copy_from_slice(octets), &shared.bounds.message) {
        Ok(Datagram::Message(message)) => shared.tell(Inbound::Message(flow, message)),
        Ok(Datagram::KeepAlive) => {}
        Err(refusal) => shared.tell(Inbound::Refused(flow, refusal)),
    }
}
