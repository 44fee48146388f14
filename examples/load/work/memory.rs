//! Memory per user and per subscription.

use super::{Plan, kib_each, rvp_user};
use crate::Failure;
use crate::agent::{Agent, Next, register_text, subscribe_text};
use crate::http::Callbacks;
use crate::report::{Compare, Goal, Row};
use crate::server::Peer;
use crate::server::tristack::Server;
use crate::sip::User;
use crate::wire::Transport;
use std::time::{Duration, Instant};

/// Users or subscriptions measured, after as many that only fill what both servers keep for a
/// while (transactions, caches).
pub(crate) const ITEMS: u64 = 10_000;
/// Both servers keep answered transactions for 32 s (RFC 3261 17.2.2, timer J).
const SETTLE: Duration = Duration::from_secs(34);
/// Watchers of one person; watches of one watcher.
const WATCHERS: u64 = 100;

/// 10,000 users signed in, half on each stack.
pub(crate) async fn signed_in(server: &Server, users: u64) -> Result<Vec<Row>, Failure> {
    let empty = server.memory();
    let callbacks = Callbacks::listen().await?;
    for n in 0..users / 2 {
        rvp_user(server, n, callbacks.address).await?;
    }
    let rvp = server.memory();
    let mut connections = Vec::new();
    let start = Instant::now();
    for n in users / 2..users {
        let to = server.peer.tcp;
        let mut agent = Agent::open(Transport::Tcp, to, None, n..n + 1).await?;
        agent.register().await?;
        connections.push(agent);
    }
    let (taken, sip_users) = (start.elapsed(), users - users / 2);
    let all = server.memory();
    let each_rvp = kib_each(empty, rvp, users / 2);
    let each_sip = kib_each(rvp, all, sip_users);
    let rate = sip_users as f64 / taken.as_secs_f64();
    Ok(vec![
        Row::figure("memory per RVP user", each_rvp, "KiB"),
        Row::figure("memory per SIP/TCP user", each_sip, "KiB"),
        Row::figure("sign-ins SIP/TCP, new", rate, "per s"),
        Row::figure(format!("memory, {users} signed in"), all as f64 / 1e6, "MB")
            .goal(Goal::AtMost(300.0)),
    ])
}

/// Per registered user over UDP.
pub(crate) async fn users(peer: &Peer, _: &Plan) -> Result<Vec<Row>, Failure> {
    let mut readings = Vec::new();
    for range in [0..ITEMS, ITEMS..2 * ITEMS] {
        let mut agent = Agent::udp(peer.udp, range).await?;
        agent.each("REGISTER", register_text).await?;
        tokio::time::sleep(SETTLE).await;
        readings.push(peer.process.memory());
    }
    let each = kib_each(readings[0], readings[1], ITEMS);
    let row = Row::figure("memory per registered user, UDP", each, "KiB");
    Ok(vec![row.beside(Compare::Value)])
}

/// Per subscription over UDP, of users who are known already.
pub(crate) async fn subscriptions(peer: &Peer, _: &Plan) -> Result<Vec<Row>, Failure> {
    let people = ITEMS / WATCHERS;
    let mut readings = Vec::new();
    for half in 0..2 {
        let mut agent = Agent::udp(peer.udp, 0..WATCHERS).await?;
        agent.register().await?;
        // Watched by their numbers: 100 in each half.
        for person in half * people..(half + 1) * people {
            let make = |user: &mut User, about: Next| subscribe_text(user, person, about);
            agent.each("SUBSCRIBE", make).await?;
        }
        agent.answer_for(SETTLE).await?;
        readings.push(peer.process.memory());
    }
    let each = kib_each(readings[0], readings[1], ITEMS);
    let row = Row::figure("memory per subscription, UDP", each, "KiB");
    Ok(vec![row.against(Compare::Value, 0.5)])
}
