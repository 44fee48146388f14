//! Churn: people register, subscribe, publish and leave, over and over; memory must not grow.

use crate::Failure;
use crate::agent::{Agent, Next, publish_text, register_text, subscribe_text, unregister_text};
use crate::report::{Goal, Row};
use crate::server::Peer;
use crate::sip::User;
use std::time::{Duration, Instant};

/// People of one round. Each watches a neighbour.
const PEOPLE: u64 = 200;
/// Between the starts of two rounds: so that what is kept for 32 s (RFC 3261 17) stays far below
/// its limit and has its steady size soon.
const ROUND: Duration = Duration::from_millis(1000);
/// Until everything that is kept for a while has been there once.
const FILL: Duration = Duration::from_secs(45);

/// For so long after the first 45 s.
pub(crate) async fn churn(peer: &Peer, span: Duration) -> Result<Vec<Row>, Failure> {
    let mut agent = Agent::udp(peer.udp, 0..PEOPLE).await?;
    let start = Instant::now();
    let (mut before, mut rounds) = (None, 0u64);
    while start.elapsed() < FILL + span {
        let begin = Instant::now();
        if begin - start > FILL && before.is_none() {
            before = Some(peer.process.memory());
        }
        one(&mut agent).await?;
        rounds += 1;
        agent
            .answer_for(ROUND.saturating_sub(begin.elapsed()))
            .await?;
    }
    let before = before.ok_or("too short")?;
    let grown = (peer.process.memory() as f64 / before as f64 - 1.0) * 100.0;
    let done = Row::figure("churn: people in and out", (rounds * PEOPLE) as f64, "");
    let memory = Row::figure("churn: growth of memory", grown, "%");
    Ok(vec![done, memory.goal(Goal::AtMost(5.0))])
}

/// Everybody comes, watches, changes state and leaves.
async fn one(agent: &mut Agent) -> Result<(), Failure> {
    agent.each("REGISTER", register_text).await?;
    let watch = |user: &mut User, about: Next| {
        let own: u64 = user.name[1..].parse().unwrap_or(0);
        subscribe_text(user, (own + 1) % PEOPLE, about)
    };
    agent.each("SUBSCRIBE", watch).await?;
    agent
        .each("PUBLISH", |user, about| publish_text(user, true, "", about))
        .await?;
    agent.each("unregister", unregister_text).await
}
