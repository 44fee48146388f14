//! UDP sockets with room for bursts.

use super::BindError;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use tokio::net::UdpSocket;

/// Buffer sizes the system granted, in octets (Linux reports twice what it uses for payload).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    /// Receive buffer.
    pub receive: usize,
    /// Send buffer.
    pub send: usize,
}

/// Opens a UDP socket and asks for `buffer` octets in each direction; what was granted is logged
/// and returned (the system caps it by `net.core.rmem_max` and `wmem_max`).
///
/// # Errors
/// [`BindError`] names the purpose and the port.
pub fn bind_udp(
    purpose: &str,
    address: SocketAddr,
    buffer: usize,
) -> Result<(UdpSocket, Buffers), BindError> {
    let opened = open(address, buffer).map_err(|cause| BindError {
        purpose: purpose.to_owned(),
        address,
        cause,
    })?;
    let (_, granted) = &opened;
    tracing::info!(
        purpose,
        %address,
        asked = buffer,
        receive = granted.receive,
        send = granted.send,
        "UDP buffers"
    );
    Ok(opened)
}

fn open(address: SocketAddr, buffer: usize) -> io::Result<(UdpSocket, Buffers)> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A refusal to grow is no reason not to start; the granted size is reported.
    let _ = socket.set_recv_buffer_size(buffer);
    let _ = socket.set_send_buffer_size(buffer);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    let granted = Buffers {
        receive: socket.recv_buffer_size()?,
        send: socket.send_buffer_size()?,
    };
    Ok((UdpSocket::from_std(socket.into())?, granted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_taken_port_is_named() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (first, granted) = bind_udp("[sip] udp", any, 4 << 20).expect("a free port");
        assert!(granted.receive >= 64 * 1024, "{granted:?}");
        let taken = first.local_addr().expect("bound");
        let error = bind_udp("[sip] udp", taken, 4 << 20).expect_err("taken");
        let text = error.to_string();
        assert!(text.starts_with("[sip] udp: "), "{text}");
        assert!(text.contains(&taken.port().to_string()), "{text}");
        assert!(text.contains("is taken"), "{text}");
    }
}
