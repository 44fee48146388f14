//! NOTIFY fan-out to SIP watchers: people publish at a steady pace, each watched by many.

use super::publish::Publications;
use super::{FIRST_RECIPIENT, Plan};
use crate::Failure;
use crate::agent::{Agent, Next, subscribe_text};
use crate::report::{Compare, Latencies, Row};
use crate::server::Peer;
use crate::sip::{self, User};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::LocalSet;

/// Between two changes of a person: slower than Tristack merges them (250 ms), so that both
/// servers send a NOTIFY for each.
const PACE: Duration = Duration::from_millis(300);
/// Rounds before counting starts.
const WARM_UP: u32 = 3;
/// For all NOTIFYs of a round to arrive.
const PATIENCE: Duration = Duration::from_secs(5);

/// `people` publish, each watched by `watchers`.
pub(crate) async fn fan_out(
    peer: &Peer,
    plan: &Plan,
    people: u64,
    watchers: u64,
) -> Result<Vec<Row>, Failure> {
    let local = LocalSet::new();
    let row = local.run_until(async {
        let received = Rc::new(Cell::new(0u64));
        watch(peer, people, watchers, &received).await?;
        publish(peer, plan, people, watchers, &received).await
    });
    let row = row.await?;
    Ok(vec![row.against(Compare::Cpu, 0.5)])
}

/// Subscribes and counts what comes, each NOTIFY once.
async fn watch(
    peer: &Peer,
    people: u64,
    watchers: u64,
    received: &Rc<Cell<u64>>,
) -> Result<(), Failure> {
    let range = FIRST_RECIPIENT..FIRST_RECIPIENT + watchers;
    let mut agent = Agent::udp(peer.udp, range).await?;
    agent.register().await?;
    for person in 0..people {
        let make = |user: &mut User, about: Next| subscribe_text(user, person, about);
        agent.each("SUBSCRIBE", make).await?;
    }
    let received = Rc::clone(received);
    let mut newest: HashMap<String, u32> = HashMap::new();
    tokio::task::spawn_local(agent.listen(move |text| {
        let sequence = sip::header(text, "CSeq").and_then(|v| v.split(' ').next()?.parse().ok());
        if let (Some(call), Some(sequence)) = (sip::header(text, "Call-ID"), sequence) {
            let last = newest.entry(call.to_owned()).or_insert(0);
            if sequence > *last {
                *last = sequence;
                received.set(received.get() + 1);
            }
        }
    }));
    Ok(())
}

async fn publish(
    peer: &Peer,
    plan: &Plan,
    people: u64,
    watchers: u64,
    received: &Rc<Cell<u64>>,
) -> Result<Row, Failure> {
    let count = usize::try_from(people).map_err(|e| e.to_string())?;
    let mut agent = Agent::udp(peer.udp, 0..people).await?;
    agent.register().await?;
    let publications = RefCell::new(Publications::of(count));
    let mut latencies = Latencies::default();
    let (mut from, mut refused, mut missing, mut before) = (0, 0, 0, peer.process.cpu());
    let mut start = Instant::now();
    for round in 0u32.. {
        if round == WARM_UP {
            from = received.get();
            before = peer.process.cpu();
            start = Instant::now();
        } else if round > WARM_UP && start.elapsed() > Duration::from_secs(plan.seconds) {
            break;
        }
        let (begin, target) = (Instant::now(), received.get() + people * watchers);
        let mut left = count;
        let next = |users: &mut [User], about: Next| {
            left = left.checked_sub(1)?;
            publications.borrow_mut().next(users, about)
        };
        let lost = agent
            .run(count, next, |answer| {
                let good = publications.borrow_mut().done(answer);
                refused += u64::from(!good && round >= WARM_UP);
            })
            .await?;
        // The first round only fetches nonces.
        while round > 0 && received.get() < target && begin.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        if round >= WARM_UP {
            missing += lost + target.saturating_sub(received.get());
            latencies.add(begin.elapsed());
        }
        tokio::time::sleep(PACE.saturating_sub(begin.elapsed())).await;
    }
    let got = (received.get() - from) as f64;
    Ok(Row {
        name: format!("NOTIFY fan-out {people} x {watchers}"),
        value: got / start.elapsed().as_secs_f64(),
        unit: "per s",
        p50: latencies.quantile(0.5),
        p99: latencies.quantile(0.99),
        cpu: Some((peer.process.cpu() - before) * 1e6 / got.max(1.0)),
        failures: refused + missing,
        ..Row::default()
    })
}
