//! RVP: relaying NOTIFYs compared with a bare HTTP server, renewals, one change to many callbacks.

use super::message::{listen_rvp, send_rvp};
use super::{FIRST_RECIPIENT, Plan, XML, rvp_user};
use crate::Failure;
use crate::http::{self, Callbacks};
use crate::meter::Meter;
use crate::report::{Goal, Latencies, Row};
use crate::server::echo::Echo;
use crate::server::tristack::Server;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::LocalSet;

/// NOTIFY from RVP to RVP, then the same requests to the echo server: what part of its rate per
/// core we reach.
///
/// The tool does not sleep meanwhile. On loopback a sender pays for waking whoever sleeps at the
/// other end, which a network card would do in real life; the echo keeps the tool busy anyway, a
/// relay would pay for it twice.
pub(crate) async fn against_echo(server: &Server, plan: &Plan) -> Result<Vec<Row>, Failure> {
    let local = LocalSet::new();
    let meter = local.run_until(async {
        let _awake = Awake::keep();
        let _kept = listen_rvp(server).await?;
        let meter = Meter::start(plan.seconds, &server.peer.process);
        let meter = Rc::new(RefCell::new(meter));
        send_rvp(server, plan, &meter).await?;
        Ok::<_, Failure>(meter)
    });
    let ours = take(meter.await?)?.row("NOTIFY relay, RVP", &server.peer.process);
    let echo = Echo::start(plan.pin)?;
    let meter = local.run_until(shout(&echo, plan));
    let bare = take(meter.await?)?.row("bare hyper echo", &echo.process);
    let part = match (ours.cpu, bare.cpu) {
        (Some(ours), Some(bare)) if ours > 0.0 => bare / ours,
        _ => return Err("nothing was measured".to_owned()),
    };
    let ratio = Row::figure("NOTIFY relay / echo, per core", part, "ratio");
    let ratio = ratio.goal(Goal::AtLeast(0.25));
    Ok(vec![ours.goal(Goal::AtLeast(10_000.0)), bare, ratio])
}

type Shared = Rc<RefCell<Meter>>;

fn take(meter: Shared) -> Result<Meter, Failure> {
    let meter = Rc::try_unwrap(meter).map_err(|_| "still measuring")?;
    Ok(meter.into_inner())
}

/// Keeps the tool's thread from sleeping.
struct Awake(tokio::task::JoinHandle<()>);

impl Awake {
    fn keep() -> Self {
        Self(tokio::task::spawn_local(async {
            loop {
                tokio::task::yield_now().await;
            }
        }))
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn shout(echo: &Echo, plan: &Plan) -> Result<Shared, Failure> {
    let _awake = Awake::keep();
    let meter = Rc::new(RefCell::new(Meter::start(plan.seconds, &echo.process)));
    let mut running = Vec::new();
    for n in 0..plan.window as u64 {
        let meter = Rc::clone(&meter);
        let mut client = http::Client::connect(echo.address, n).await?;
        // So that its requests are as long as those with Digest.
        client.assume_nonce("0123456789abcdef0123456789abcdef0123456789abcdef");
        running.push(tokio::task::spawn_local(async move {
            while !meter.borrow().over() {
                let start = Instant::now();
                let answer = client.text(FIRST_RECIPIENT + n).await;
                let good = answer.as_ref().is_ok_and(|a| a.status == 200);
                let what = || answer.map_or_else(|error| error, |answer| answer.head);
                meter.borrow_mut().add(good, start.elapsed(), what);
                if !good {
                    return;
                }
            }
        }));
    }
    for task in running {
        task.await.map_err(|e| e.to_string())?;
    }
    Ok(meter)
}

/// Leases renewed with Digest over kept connections.
pub(crate) async fn renew(server: &Server, plan: &Plan) -> Result<Vec<Row>, Failure> {
    let callbacks = Callbacks::listen().await?;
    let local = LocalSet::new();
    let mut leases = Vec::new();
    for n in 0..plan.window as u64 {
        let (client, id) = http::sign_in_with_lease(server.rvp, n, callbacks.address).await?;
        leases.push((client, n, id));
    }
    let meter = Rc::new(RefCell::new(Meter::start(
        plan.seconds,
        &server.peer.process,
    )));
    for (mut client, n, id) in leases {
        let meter = Rc::clone(&meter);
        local.spawn_local(async move {
            while !meter.borrow().over() {
                let start = Instant::now();
                let renewed = client.renew(n, id).await;
                let good = renewed.is_ok();
                let what = || renewed.err().unwrap_or_default();
                meter.borrow_mut().add(good, start.elapsed(), what);
                if !good {
                    return;
                }
            }
        });
    }
    local.await;
    let row = take(meter)?.row("lease renewals, RVP", &server.peer.process);
    Ok(vec![row.goal(Goal::AtLeast(10_000.0))])
}

const WATCHERS: u64 = 500;
/// Between changes: they would be merged below 250 ms.
const PACE: Duration = Duration::from_millis(300);

/// From a change of one person to the last of 500 callbacks.
pub(crate) async fn change(server: &Server, plan: &Plan) -> Result<Vec<Row>, Failure> {
    let received = Arc::new(AtomicU64::new(0));
    let callbacks = Callbacks::counting(Arc::clone(&received)).await?;
    let mut watched = rvp_user(server, 0, callbacks.address).await?;
    let mut watchers = Vec::new();
    for n in FIRST_RECIPIENT..FIRST_RECIPIENT + WATCHERS {
        let mut client = http::sign_in(server.rvp, n, callbacks.address).await?;
        client.watch(0).await?;
        watchers.push(client);
    }
    let (start, mut latencies, mut missing) = (Instant::now(), Latencies::default(), 0);
    let mut cpu = 0.0;
    let mut counted = 0u64;
    for round in 0u32.. {
        if start.elapsed() > Duration::from_secs(plan.seconds) && round > 2 {
            break;
        }
        let state = if round.is_multiple_of(2) {
            "busy"
        } else {
            "online"
        };
        let body = http::state_document(state);
        let (before, used) = (received.load(Ordering::Relaxed), server.cpu());
        let begin = Instant::now();
        watched.expect(207, "PROPPATCH", "u0", XML, &body).await?;
        let count = || received.load(Ordering::Relaxed) - before;
        while count() < WATCHERS && begin.elapsed() < Duration::from_secs(5) {
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        // The first rounds open the connections.
        if round > 1 {
            latencies.add(begin.elapsed());
            missing += WATCHERS.saturating_sub(count());
            cpu += server.cpu() - used;
            counted += count();
        }
        tokio::time::sleep(PACE.saturating_sub(begin.elapsed())).await;
    }
    let p50 = latencies.quantile(0.5);
    let value = p50.map_or(f64::INFINITY, |p50| p50.as_secs_f64() * 1e3);
    let row = Row {
        p50,
        p99: latencies.quantile(0.99),
        cpu: Some(cpu * 1e6 / counted.max(1) as f64),
        failures: missing,
        ..Row::figure("one change to 500 callbacks", value, "ms")
    };
    Ok(vec![row.goal(Goal::AtMost(25.0))])
}
