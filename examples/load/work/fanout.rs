//! Presence at full rate: 100 people change as fast as their watchers may be told, 100 each.

use super::{FIRST_RECIPIENT, Kind, Plan, XML};
use crate::Failure;
use crate::agent::{Agent, Next, subscribe_text};
use crate::http::{self, Callbacks};
use crate::report::{Goal, Row};
use crate::server::tristack::Server;
use crate::sip::{self, User};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const PUBLISHERS: u64 = 100;
const WATCHERS: u64 = 100;
/// Between two changes of a person: just slower than changes are merged.
const PACE: Duration = Duration::from_millis(255);

/// See the module.
pub(crate) async fn fan_out(server: &Server, plan: &Plan, kind: Kind) -> Result<Vec<Row>, Failure> {
    let received = Arc::new(AtomicU64::new(0));
    let mut kept = Vec::new();
    match kind {
        Kind::Sip => watch_sip(server, &received).await?,
        Kind::Rvp => kept = watch_rvp(server, &received).await?,
    }
    let publishing = publish(server).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let now = || received.load(Ordering::Relaxed);
    let (before, cpu, start) = (now(), server.cpu(), Instant::now());
    tokio::time::sleep(Duration::from_secs(plan.seconds)).await;
    let count = (now() - before) as f64;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), server.cpu() - cpu);
    publishing.abort();
    drop(kept);
    let stack = if kind == Kind::Sip { "SIP" } else { "RVP" };
    let row = Row {
        cpu: Some(cpu * 1e6 / count.max(1.0)),
        ..Row::figure(
            format!("presence to {stack} watchers"),
            count / seconds,
            "per s",
        )
    };
    Ok(vec![row.goal(Goal::AtLeast(20_000.0))])
}

async fn watch_sip(server: &Server, received: &Arc<AtomicU64>) -> Result<(), Failure> {
    let first = FIRST_RECIPIENT;
    let mut agent = Agent::udp(server.peer.udp, first..first + WATCHERS).await?;
    agent.register().await?;
    for person in 0..PUBLISHERS {
        let make = |user: &mut User, about: Next| subscribe_text(user, person, about);
        agent.each("SUBSCRIBE", make).await?;
    }
    let received = Arc::clone(received);
    let mut newest: HashMap<String, u32> = HashMap::new();
    tokio::spawn(agent.listen(move |text| {
        let sequence = sip::header(text, "CSeq").and_then(|v| v.split(' ').next()?.parse().ok());
        if let (Some(call), Some(sequence)) = (sip::header(text, "Call-ID"), sequence) {
            let last = newest.entry(call.to_owned()).or_insert(0);
            if sequence > *last {
                *last = sequence;
                received.fetch_add(1, Ordering::Relaxed);
            }
        }
    }));
    Ok(())
}

async fn watch_rvp(
    server: &Server,
    received: &Arc<AtomicU64>,
) -> Result<Vec<http::Client>, Failure> {
    let mut clients = Vec::new();
    for watcher in FIRST_RECIPIENT..FIRST_RECIPIENT + WATCHERS {
        let callbacks = Callbacks::counting(Arc::clone(received)).await?;
        let mut client = http::sign_in(server.rvp, watcher, callbacks.address).await?;
        for target in 0..PUBLISHERS {
            client.watch(target).await?;
        }
        clients.push(client);
    }
    Ok(clients)
}

/// RVP PROPPATCHes of all publishers, over and over.
async fn publish(server: &Server) -> Result<tokio::task::JoinHandle<()>, Failure> {
    let mut clients = Vec::new();
    for n in 0..PUBLISHERS {
        let mut client = http::Client::connect(server.rvp, n).await?;
        let body = http::state_document("online");
        client
            .expect(207, "PROPPATCH", &format!("u{n}"), XML, &body)
            .await?;
        clients.push(client);
    }
    Ok(tokio::spawn(async move {
        for round in 0u64.. {
            let start = Instant::now();
            let body = http::state_document(if round.is_multiple_of(2) {
                "busy"
            } else {
                "online"
            });
            for (n, client) in clients.iter_mut().enumerate() {
                let node = format!("u{n}");
                let _ = client.request("PROPPATCH", &node, XML, &body).await;
            }
            tokio::time::sleep(PACE.saturating_sub(start.elapsed())).await;
        }
    }))
}
