//! 2,000 connections that send a head octet by octet and never end it: others sign in and talk as
//! before, and the server ends every one of them.

use super::{Pair, UNHURT, millis};
use crate::Failure;
use crate::http::{self, Callbacks};
use crate::report::{Goal, Row};
use crate::server::tristack::Server;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CONNECTIONS: u64 = 2_000;
/// Others who sign in meanwhile.
const OTHERS: std::ops::Range<u64> = 100..200;
/// `[limits] head_timeout` is 10 s; they must be gone soon after.
const GONE: f64 = 15.0;

/// See the module.
pub(crate) async fn slowloris(server: &Server) -> Result<Vec<Row>, Failure> {
    let ended = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(server.rvp).await;
        let stream = stream.map_err(|e| e.to_string())?;
        tokio::spawn(drip(stream, Arc::clone(&ended)));
    }
    let callbacks = Callbacks::listen().await?;
    let mut refused = 0;
    for n in OTHERS {
        refused += u64::from(sign_in(server.rvp, n, &callbacks).await.is_err());
    }
    let mut pair = Pair::sign_in(server).await?;
    let mut latencies = pair.talk(Duration::from_secs(5)).await?;
    let early = ended.load(Ordering::Relaxed);
    while ended.load(Ordering::Relaxed) < CONNECTIONS && start.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let gone = start.elapsed().as_secs_f64();
    let left = CONNECTIONS - ended.load(Ordering::Relaxed);
    let p99 = latencies.quantile(0.99);
    let beside = Row {
        p50: latencies.quantile(0.5),
        p99,
        // Refused sign-ins; and were the connections not there any more, nothing was shown.
        failures: refused + early,
        ..Row::figure("text beside 2000 slow heads, p99", millis(p99), "ms")
    };
    let ends = Row {
        failures: left,
        ..Row::figure("all 2000 slow heads ended after", gone, "s")
    };
    Ok(vec![
        beside.goal(Goal::AtMost(UNHURT)),
        ends.goal(Goal::AtMost(GONE)),
    ])
}

async fn sign_in(server: SocketAddr, n: u64, callbacks: &Callbacks) -> Result<(), Failure> {
    let signing = http::sign_in(server, n, callbacks.address);
    let signed = tokio::time::timeout(Duration::from_secs(2), signing).await;
    signed
        .map_err(|_| "not in two seconds".to_owned())?
        .map(drop)
}

/// One octet every half second until the server ends it.
async fn drip(mut stream: TcpStream, ended: Arc<AtomicU64>) {
    let head = b"SUBSCRIBE /instmsg/aliases/u1 HTTP/1.1\r\nHost: localhost\r\nX-Long: ";
    let mut octets = head.iter().chain(std::iter::repeat(&b'x'));
    let mut answer = [0u8; 512];
    loop {
        let Some(octet) = octets.next() else { return };
        if stream.write_all(&[*octet]).await.is_err() {
            break;
        }
        let wait = Duration::from_millis(500);
        match tokio::time::timeout(wait, stream.read(&mut answer)).await {
            // An answer (408 or 400) is followed by the end.
            Ok(Ok(1..)) | Err(_) => {}
            Ok(Ok(0) | Err(_)) => break,
        }
    }
    ended.fetch_add(1, Ordering::Relaxed);
}
