//! One watcher of a hundred reads one octet per second: what the other 99 notice. Spans with and
//! without it alternate, so that what else happens on the machine falls on both.

use super::millis;
use crate::Failure;
use crate::http::{self, answer_all};
use crate::report::{Goal, Latencies, Row};
use crate::server::tristack::Server;
use crate::work::{FIRST_RECIPIENT, XML, rvp_user};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::LocalSet;

const WATCHERS: u64 = 100;
/// Pairs of spans.
const SPANS: u32 = 6;
const SPAN: Duration = Duration::from_secs(4);
const PACE: Duration = Duration::from_millis(270);

/// When the last change was made, and how long each of the 99 took to hear of it.
struct Clock {
    changed: Instant,
    latencies: [Latencies; 2],
    slow: usize,
}

/// See the module.
pub(crate) async fn slow(server: &Server) -> Result<Vec<Row>, Failure> {
    LocalSet::new().run_until(measure(server)).await
}

async fn measure(server: &Server) -> Result<Vec<Row>, Failure> {
    let clock = Rc::new(RefCell::new(Clock {
        changed: Instant::now(),
        latencies: [Latencies::default(), Latencies::default()],
        slow: 0,
    }));
    let (slow, is_slow) = watch::channel(false);
    let mut watchers = Vec::new();
    for n in 0..WATCHERS {
        let callback = if n == 0 {
            creep(is_slow.clone()).await?
        } else {
            stopwatch(&clock).await?
        };
        let mut client = http::sign_in(server.rvp, FIRST_RECIPIENT + n, callback).await?;
        client.watch(0).await?;
        watchers.push(client);
    }
    let own = http::Callbacks::listen().await?;
    let mut watched = rvp_user(server, 0, own.address).await?;
    let mut round = 0u64;
    for span in 0..2 * SPANS {
        let with = span % 2 == 1;
        slow.send_replace(with);
        let start = Instant::now();
        while start.elapsed() < SPAN {
            let state = if round.is_multiple_of(2) {
                "busy"
            } else {
                "online"
            };
            let body = http::state_document(state);
            // The first span opens the connections.
            let place = if span < 2 {
                usize::MAX
            } else {
                usize::from(with)
            };
            (clock.borrow_mut().changed, clock.borrow_mut().slow) = (Instant::now(), place);
            watched.expect(207, "PROPPATCH", "u0", XML, &body).await?;
            round += 1;
            tokio::time::sleep(PACE).await;
        }
    }
    let mut clock = clock.borrow_mut();
    let [without, with] = &mut clock.latencies;
    let (without, with) = (without.quantile(0.99), with.quantile(0.99));
    let rise = (millis(with) / millis(without) - 1.0) * 100.0;
    let row = Row {
        p99: with,
        ..Row::figure("p99 of 99 beside one slow, rise", rise, "%")
    };
    Ok(vec![
        Row {
            p99: without,
            ..Row::figure("p99 of 99 watchers, all fast", millis(without), "ms")
        },
        row.goal(Goal::AtMost(10.0)),
    ])
}

/// A listener that notes when it hears.
async fn stopwatch(clock: &Rc<RefCell<Clock>>) -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.map_err(|e| e.to_string())?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    let clock = Rc::clone(clock);
    tokio::task::spawn_local(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let clock = Rc::clone(&clock);
            tokio::task::spawn_local(async move {
                let heard = || {
                    let mut clock = clock.borrow_mut();
                    let (place, taken) = (clock.slow, clock.changed.elapsed());
                    if let Some(latencies) = clock.latencies.get_mut(place) {
                        latencies.add(taken);
                    }
                };
                http::answer_each(&mut stream, heard).await;
            });
        }
    });
    Ok(address)
}

/// A listener that reads one octet per second while told to.
async fn creep(slow: watch::Receiver<bool>) -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.map_err(|e| e.to_string())?;
    // So small that the server's own writes wait.
    let _ = socket2::SockRef::from(&listener).set_recv_buffer_size(1024);
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::task::spawn_local(crawl(stream, slow.clone()));
        }
    });
    Ok(address)
}

async fn crawl(mut stream: TcpStream, mut slow: watch::Receiver<bool>) {
    let nobody = AtomicU64::new(0);
    if !*slow.borrow() {
        tokio::select! {
            () = answer_all(&mut stream, &nobody) => return,
            _ = slow.wait_for(|slow| *slow) => {}
        }
    }
    // Once slow, this connection stays so; the next one is judged anew.
    let mut one = [0u8; 1];
    while matches!(stream.read(&mut one).await, Ok(1)) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
