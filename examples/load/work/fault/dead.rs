//! 5,000 callbacks that worked and then die: half accept and never answer, half drop every packet
//! of a connection attempt. What trying them on costs, and whether others notice.

use super::{Pair, UNHURT, millis};
use crate::Failure;
use crate::http::{self, answer_all};
use crate::report::{Goal, Row};
use crate::server::tristack::Server;
use crate::work::{XML, rvp_user};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// People watched, each by so many with a callback that will die.
const PEOPLE: u64 = 10;
const WATCHERS: u64 = 500;
/// Between two changes of each person.
const PACE: Duration = Duration::from_secs(5);
/// First number of those who die.
const FIRST: u64 = 100;
/// Accounts needed.
pub(crate) const USERS: u64 = FIRST + PEOPLE * WATCHERS;

/// How a listener dies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Death {
    /// It takes connections and requests and never answers.
    Mute,
    /// Connection attempts are not even refused.
    Black,
}

/// A listener that answers until told to die.
struct Mortal {
    address: SocketAddr,
    die: watch::Sender<bool>,
}

/// Measures for so long after the death.
pub(crate) async fn dead(server: &Server, span: Duration) -> Result<Vec<Row>, Failure> {
    let heard = Arc::new(AtomicU64::new(0));
    let mute = Mortal::listen(Death::Mute, &heard).await?;
    let black = Mortal::listen(Death::Black, &heard).await?;
    let mut people = Vec::new();
    for n in 0..PEOPLE {
        people.push(rvp_user(server, n, mute.address).await?);
    }
    for n in 0..PEOPLE * WATCHERS {
        let at = if n % 2 == 0 { &mute } else { &black };
        let mut client = http::sign_in(server.rvp, FIRST + n, at.address).await?;
        client.watch(n % PEOPLE).await?;
    }
    let mut pair = Pair::sign_in(server).await?;
    change(&mut people, "busy").await?;
    // Each has answered once now: it gets every chance that a good client gets.
    let alive = Instant::now();
    while heard.load(Ordering::Relaxed) < PEOPLE * WATCHERS {
        if alive.elapsed() > Duration::from_secs(30) {
            let heard = heard.load(Ordering::Relaxed);
            return Err(format!(
                "only {heard} callbacks worked before they were to die"
            ));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    mute.die.send_replace(true);
    black.die.send_replace(true);
    let (cpu, start) = (server.cpu(), Instant::now());
    let changing = async {
        for round in 0u64.. {
            change(
                &mut people,
                if round.is_multiple_of(2) {
                    "online"
                } else {
                    "busy"
                },
            )
            .await?;
            tokio::time::sleep(PACE).await;
        }
        Ok::<_, Failure>(())
    };
    let mut latencies = tokio::select! {
        ended = changing => return Err(ended.err().unwrap_or_default()),
        latencies = pair.talk(span) => latencies?,
    };
    let share = (server.cpu() - cpu) / start.elapsed().as_secs_f64() * 100.0;
    let asked = Instant::now();
    // Told of a failure or that it is kept, but told.
    pair.from.text(FIRST).await?;
    let told = asked.elapsed().as_secs_f64();
    let p99 = latencies.quantile(0.99);
    let beside = Row {
        p50: latencies.quantile(0.5),
        p99,
        ..Row::figure("text beside dead callbacks, p99", millis(p99), "ms")
    };
    Ok(vec![
        Row::figure("CPU for 5000 dead callbacks", share, "%").goal(Goal::AtMost(5.0)),
        beside.goal(Goal::AtMost(UNHURT)),
        Row::figure("text to a dead callback, told", told, "s").goal(Goal::AtMost(5.0)),
    ])
}

async fn change(people: &mut [http::Client], state: &str) -> Result<(), Failure> {
    let body = http::state_document(state);
    for (n, client) in people.iter_mut().enumerate() {
        let node = format!("u{n}");
        client.expect(207, "PROPPATCH", &node, XML, &body).await?;
    }
    Ok(())
}

impl Mortal {
    async fn listen(death: Death, heard: &Arc<AtomicU64>) -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.map_err(|e| e.to_string())?;
        let address = listener.local_addr().map_err(|e| e.to_string())?;
        let (die, dead) = watch::channel(false);
        let heard = Arc::clone(heard);
        tokio::spawn(async move {
            let mut told = dead.clone();
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    _ = told.wait_for(|dead| *dead), if death == Death::Black => break,
                };
                let Ok((stream, _)) = accepted else { return };
                tokio::spawn(live(stream, death, dead.clone(), Arc::clone(&heard)));
            }
            // No room for connections that wait to be accepted: the system drops their packets.
            let _ = socket2::SockRef::from(&listener).listen(0);
            std::future::pending::<()>().await;
        });
        Ok(Self { address, die })
    }
}

async fn live(
    mut stream: TcpStream,
    death: Death,
    mut dead: watch::Receiver<bool>,
    heard: Arc<AtomicU64>,
) {
    tokio::select! {
        () = answer_all(&mut stream, &heard) => return,
        _ = dead.wait_for(|dead| *dead) => {}
    }
    // Takes all that comes, so that the server sees nothing but silence, until it has enough.
    let mut hole = vec![0u8; 4096];
    while death == Death::Mute && matches!(stream.read(&mut hole).await, Ok(1..)) {}
}
