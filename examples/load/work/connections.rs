//! What a connection costs that only stays open: no registration hangs on it.

use super::{Plan, kib_each};
use crate::Failure;
use crate::report::{Compare, Goal, Row};
use crate::server::Peer;
use crate::wire::{Transport, Wire};

/// Connections of each kind; the first thousand are not counted, they fill what is allocated once.
const COUNT: u64 = 4_000;
const FIRST: u64 = 1_000;

/// TCP, and TLS where the server has it.
pub(crate) async fn idle(peer: &Peer, plan: &Plan) -> Result<Vec<Row>, Failure> {
    let tcp = cost(peer, plan, Transport::Tcp, peer.tcp).await?;
    let row = Row::figure("memory per idle TCP connection", tcp, "KiB");
    let mut rows = vec![row.goal(Goal::AtMost(3.0)).beside(Compare::Value)];
    if let Some(at) = peer.tls {
        let tls = cost(peer, plan, Transport::Tls, at).await?;
        let row = Row::figure("memory per idle TLS connection", tls, "KiB");
        rows.push(row.goal(Goal::AtMost(10.0)).beside(Compare::Value));
    }
    Ok(rows)
}

async fn cost(
    peer: &Peer,
    plan: &Plan,
    transport: Transport,
    at: std::net::SocketAddr,
) -> Result<f64, Failure> {
    let mut open = Vec::new();
    let mut before = 0;
    for n in 0..FIRST + COUNT {
        if n == FIRST {
            before = peer.process.memory();
        }
        let mut wire = Wire::open(transport, at, Some(&plan.tls)).await?;
        // A keep-alive both ways (RFC 5626 4.4.1): the connection has been used.
        wire.send("\r\n\r\n").await?;
        wire.receive().await?;
        wire.rest();
        open.push(wire);
    }
    let after = peer.process.memory();
    drop(open);
    Ok(kib_each(before, after, COUNT))
}
