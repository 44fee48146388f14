//! The workloads.

use crate::Failure;
use crate::http::{self, Callbacks};
use crate::report::{Floor, Latencies, Row};
use crate::server::Server;
use crate::sip::{self, Request, User};
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::LocalSet;

/// A stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// SIP over UDP.
    Sip,
    /// RVP.
    Rvp,
}

/// What every workload needs.
pub(crate) struct Plan<'a> {
    pub(crate) server: &'a Server,
    pub(crate) seconds: u64,
    pub(crate) window: u64,
}

const SENDERS: u64 = 8;
const FIRST_RECIPIENT: u64 = 100;
const RETRY: Duration = Duration::from_millis(500);

/// A UDP user agent for many users: keeps requests going, one window in all.
struct Agent {
    socket: UdpSocket,
    local: SocketAddr,
    users: Vec<User>,
    /// Rises over all requests: the CSeq of each and the key it is found by.
    sequence: u32,
}

/// One request that is not answered yet.
struct Open {
    text: String,
    since: Instant,
    sent: Instant,
    user: usize,
    kind: usize,
}

impl Agent {
    async fn new(server: SocketAddr, users: std::ops::Range<u64>) -> Result<Self, Failure> {
        let socket = UdpSocket::bind("127.0.0.1:0")
            .await
            .map_err(|e| e.to_string())?;
        let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(8 << 20);
        socket.connect(server).await.map_err(|e| e.to_string())?;
        let local = socket.local_addr().map_err(|e| e.to_string())?;
        Ok(Self {
            socket,
            local,
            users: users.map(User::numbered).collect(),
            sequence: 0,
        })
    }

    /// Runs requests that `next` makes, `window` at once, until it makes no more and all are
    /// answered. `done` gets each final answer.
    async fn run(
        &mut self,
        window: usize,
        mut next: impl FnMut(&mut [User], SocketAddr, u32) -> Option<(usize, String)>,
        mut done: impl FnMut(usize, &str, Duration),
    ) -> Result<u64, Failure> {
        let mut open: HashMap<u32, Open> = HashMap::new();
        let (mut kind, mut more, mut failed) = (0usize, true, 0u64);
        let mut buffer = vec![0u8; 65536];
        loop {
            while more && open.len() < window {
                self.sequence += 1;
                let sequence = self.sequence;
                match next(&mut self.users, self.local, sequence) {
                    None => more = false,
                    Some((user, text)) => {
                        self.send(&text).await?;
                        let now = Instant::now();
                        kind += 1;
                        open.insert(
                            sequence,
                            Open {
                                text,
                                since: now,
                                sent: now,
                                user,
                                kind,
                            },
                        );
                    }
                }
            }
            if open.is_empty() {
                return Ok(failed);
            }
            match tokio::time::timeout(RETRY, self.socket.recv(&mut buffer)).await {
                Ok(Ok(count)) => {
                    let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
                    self.take(&text, &mut open, &mut done).await?;
                }
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) => failed += self.again(&mut open).await?,
            }
        }
    }

    async fn take(
        &mut self,
        text: &str,
        open: &mut HashMap<u32, Open>,
        done: &mut impl FnMut(usize, &str, Duration),
    ) -> Result<(), Failure> {
        let status = sip::status(text);
        if status == 0 {
            return self.send(&sip::ok(text)).await;
        }
        if status < 200 {
            return Ok(());
        }
        let sequence = sip::header(text, "CSeq").and_then(|v| v.split(' ').next()?.parse().ok());
        let Some(entry) = sequence.and_then(|s: u32| open.remove(&s)) else {
            return Ok(());
        };
        if (status == 401 || status == 407)
            && let Some(user) = self.users.get_mut(entry.user)
        {
            user.challenged(sip::head(text));
        }
        done(entry.kind, text, entry.since.elapsed());
        Ok(())
    }

    /// Retransmits what is overdue; gives up after 8 s.
    async fn again(&self, open: &mut HashMap<u32, Open>) -> Result<u64, Failure> {
        let mut failed = 0;
        let mut lost = Vec::new();
        for (sequence, entry) in open.iter_mut() {
            if entry.since.elapsed() > Duration::from_secs(8) {
                lost.push(*sequence);
                failed += 1;
            } else if entry.sent.elapsed() >= RETRY {
                entry.sent = Instant::now();
                self.send(&entry.text).await?;
            }
        }
        for sequence in lost {
            open.remove(&sequence);
        }
        Ok(failed)
    }

    async fn send(&self, text: &str) -> Result<(), Failure> {
        self.socket
            .send(text.as_bytes())
            .await
            .map(|_| ())
            .map_err(|e| e.to_string())
    }

    /// Makes every user know a nonce and registers him, each with a contact at this socket.
    async fn register_all(&mut self) -> Result<(), Failure> {
        for _round in 0..2 {
            let count = self.users.len();
            let mut at = 0;
            let good = Rc::new(RefCell::new(0usize));
            let counted = Rc::clone(&good);
            let make = |users: &mut [User], local: SocketAddr, sequence: u32| {
                let user = users.get_mut(at)?;
                at += 1;
                let text = register_text(user, local, sequence, "UDP");
                Some((at - 1, text))
            };
            let done = |_: usize, text: &str, _| {
                *counted.borrow_mut() += usize::from(sip::status(text) == 200);
            };
            self.run(64, make, done).await?;
            if *good.borrow() == count {
                return Ok(());
            }
        }
        Err("not every user could register".to_owned())
    }
}

fn register_text(user: &mut User, local: SocketAddr, sequence: u32, transport: &str) -> String {
    let to = format!("sip:{}@example.com", user.name);
    let call = format!("reg{}", user.name);
    let request = Request {
        method: "REGISTER",
        uri: "sip:example.com",
        to: &to,
        call: &call,
        sequence,
        local,
        transport,
        extra: "Expires: 3600\r\n",
        body: "",
    };
    sip::write(user, &request)
}

/// Measured time with a second of warm-up.
struct Meter {
    start: Instant,
    counted: u64,
    latencies: Latencies,
    failures: u64,
    seconds: u64,
    first_failure: Option<String>,
}

impl Meter {
    fn new(seconds: u64) -> Self {
        let latencies = Latencies::default();
        let start = Instant::now();
        Self {
            start,
            counted: 0,
            latencies,
            failures: 0,
            seconds,
            first_failure: None,
        }
    }

    fn over(&self) -> bool {
        self.start.elapsed() > Duration::from_secs(self.seconds + 1)
    }

    fn add(&mut self, good: bool, taken: Duration, what: impl FnOnce() -> String) {
        if !good {
            self.failures += 1;
            self.first_failure.get_or_insert_with(what);
        } else if self.start.elapsed() > Duration::from_secs(1) && !self.over() {
            self.counted += 1;
            self.latencies.add(taken);
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn row(mut self, name: String, unit: &'static str, cpu: f64, floor: Option<Floor>) -> Row {
        if let Some(failure) = &self.first_failure {
            eprintln!("load: {name}: first failure: {failure}");
        }
        let seconds = self.seconds as f64;
        Row {
            name,
            value: self.counted as f64 / seconds,
            unit,
            p50: self.latencies.quantile(0.5),
            p99: self.latencies.quantile(0.99),
            cpu: (self.counted > 0)
                .then(|| cpu * 1e6 / self.counted as f64 * seconds / (seconds + 1.0)),
            failures: self.failures,
            floor,
        }
    }
}

/// Refreshing registrations with Digest over UDP.
pub(crate) async fn register(plan: &Plan<'_>) -> Result<Vec<Row>, Failure> {
    let mut agent = Agent::new(plan.server.udp, 0..200).await?;
    agent.register_all().await?;
    let meter = RefCell::new(Meter::new(plan.seconds));
    let before = plan.server.cpu();
    let mut at = 0;
    let next = |users: &mut [User], local: SocketAddr, sequence: u32| {
        at = (at + 1) % users.len();
        let text = register_text(users.get_mut(at)?, local, sequence, "UDP");
        (!meter.borrow().over()).then_some((at, text))
    };
    let lost = agent
        .run(plan_window(plan), next, |_, text, taken| {
            let good = sip::status(text) == 200;
            meter
                .borrow_mut()
                .add(good, taken, || sip::head(text).to_owned());
        })
        .await?;
    let cpu = plan.server.cpu() - before;
    let mut row = meter
        .into_inner()
        .row("REGISTER refresh, UDP".into(), "per second", cpu, None);
    row.failures += lost;
    Ok(vec![row])
}

fn plan_window(plan: &Plan<'_>) -> usize {
    usize::try_from(plan.window).unwrap_or(64)
}

/// Texts from one stack to another.
pub(crate) async fn messages(plan: &Plan<'_>, from: Kind, to: Kind) -> Result<Vec<Row>, Failure> {
    let _recipients = recipients(plan, to).await?;
    let meter = Rc::new(RefCell::new(Meter::new(plan.seconds)));
    let before = plan.server.cpu();
    let lost = match from {
        Kind::Sip => send_sip(plan, &meter).await?,
        Kind::Rvp => send_rvp(plan, &meter).await?,
    };
    let cpu = plan.server.cpu() - before;
    let meter = Rc::try_unwrap(meter)
        .map_err(|_| "still measuring")?
        .into_inner();
    let floor = (from == to).then_some(Floor::AtLeast(10_000.0));
    let name = match (from, to) {
        (Kind::Sip, Kind::Sip) => "MESSAGE SIP -> SIP, UDP",
        (Kind::Sip, Kind::Rvp) => "text SIP -> RVP",
        (Kind::Rvp, Kind::Sip) => "text RVP -> SIP",
        (Kind::Rvp, Kind::Rvp) => "NOTIFY RVP -> RVP",
    };
    let mut row = meter.row(name.into(), "per second", cpu, floor);
    row.failures += lost;
    Ok(vec![row])
}

/// Signs in the recipients; what is returned must be kept alive.
async fn recipients(plan: &Plan<'_>, kind: Kind) -> Result<Vec<http::Client>, Failure> {
    let range = FIRST_RECIPIENT..FIRST_RECIPIENT + SENDERS;
    if kind == Kind::Sip {
        let mut agent = Agent::new(plan.server.udp, range).await?;
        agent.register_all().await?;
        tokio::spawn(async move {
            let mut buffer = vec![0u8; 65536];
            while let Ok(count) = agent.socket.recv(&mut buffer).await {
                let text = String::from_utf8_lossy(&buffer[..count]);
                if sip::status(&text) == 0 && text.len() > 4 {
                    let _ = agent.socket.send(sip::ok(&text).as_bytes()).await;
                }
            }
        });
        return Ok(Vec::new());
    }
    let mut clients = Vec::new();
    for n in range {
        let callbacks = Callbacks::listen().await?;
        clients.push(http::sign_in(plan.server.rvp, n, callbacks.address).await?);
    }
    Ok(clients)
}

async fn send_sip(plan: &Plan<'_>, meter: &Rc<RefCell<Meter>>) -> Result<u64, Failure> {
    let mut agent = Agent::new(plan.server.udp, 0..SENDERS).await?;
    agent.register_all().await?;
    let mut at = 0usize;
    let next = |users: &mut [User], local: SocketAddr, sequence: u32| {
        at = (at + 1) % users.len();
        let to = format!("sip:u{}@example.com", FIRST_RECIPIENT + at as u64);
        let request = Request {
            method: "MESSAGE",
            uri: &to,
            to: &to,
            call: &format!("m{at}"),
            sequence,
            local,
            transport: "UDP",
            extra: "Content-Type: text/plain\r\n",
            body: "How about lunch at noon, at the usual place?",
        };
        let text = sip::write(users.get_mut(at)?, &request);
        (!meter.borrow().over()).then_some((at, text))
    };
    agent
        .run(plan_window(plan), next, |_, text, taken| {
            let good = sip::status(text) == 200;
            meter
                .borrow_mut()
                .add(good, taken, || sip::head(text).to_owned());
        })
        .await
}

async fn send_rvp(plan: &Plan<'_>, meter: &Rc<RefCell<Meter>>) -> Result<u64, Failure> {
    let local = LocalSet::new();
    for n in 0..plan.window.min(64) {
        let meter = Rc::clone(meter);
        let (user, to) = (n % SENDERS, FIRST_RECIPIENT + n % SENDERS);
        let mut client = http::Client::connect(plan.server.rvp, user).await?;
        local.spawn_local(async move {
            let body = http::text_document(
                &format!("u{user}"),
                &format!("u{to}"),
                "How about lunch at noon, at the usual place?",
            );
            let headers = "RVP-Ack-Type: DeepOr\r\nRVP-Hop-Count: 1\r\nContent-Type: text/xml\r\n";
            while !meter.borrow().over() {
                let start = Instant::now();
                let answer = client
                    .request("NOTIFY", &format!("u{to}"), headers, &body)
                    .await;
                let good = answer.as_ref().is_ok_and(|a| a.status == 200);
                meter
                    .borrow_mut()
                    .add(good, start.elapsed(), || match answer {
                        Ok(answer) => answer.head,
                        Err(error) => error,
                    });
                if !good && client.request("NOTIFY", "nobody", "", "").await.is_err() {
                    return;
                }
            }
        });
    }
    local.await;
    Ok(0)
}

const PUBLISHERS: u64 = 100;
const WATCHERS: u64 = 100;

/// Presence: 100 people change as fast as they may, 100 watchers each.
pub(crate) async fn fanout(plan: &Plan<'_>, kind: Kind) -> Result<Vec<Row>, Failure> {
    let received = Arc::new(AtomicU64::new(0));
    let mut kept = Vec::new();
    match kind {
        Kind::Sip => watch_sip(plan, &received).await?,
        Kind::Rvp => kept = watch_rvp(plan, &received).await?,
    }
    let publishing = Publishing::start(plan).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (before, cpu, start) = (
        received.load(Ordering::Relaxed),
        plan.server.cpu(),
        Instant::now(),
    );
    tokio::time::sleep(Duration::from_secs(plan.seconds)).await;
    let count = received.load(Ordering::Relaxed) - before;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), plan.server.cpu() - cpu);
    publishing.stop();
    drop(kept);
    #[allow(clippy::cast_precision_loss)]
    let count = count as f64;
    Ok(vec![Row {
        name: format!(
            "presence to {} watchers",
            if kind == Kind::Sip { "SIP" } else { "RVP" }
        ),
        value: count / seconds,
        unit: "notif./s",
        p50: None,
        p99: None,
        cpu: Some(cpu * 1e6 / count.max(1.0)),
        failures: 0,
        floor: Some(Floor::AtLeast(20_000.0)),
    }])
}

async fn watch_sip(plan: &Plan<'_>, received: &Arc<AtomicU64>) -> Result<(), Failure> {
    let first = FIRST_RECIPIENT;
    let mut agent = Agent::new(plan.server.udp, first..first + WATCHERS).await?;
    agent.register_all().await?;
    let total = u32::try_from(PUBLISHERS * WATCHERS).unwrap_or(0);
    let mut made = 0u32;
    let good = Rc::new(RefCell::new(0u32));
    let counted = Rc::clone(&good);
    let next = |users: &mut [User], local: SocketAddr, sequence: u32| {
        if made == total {
            return None;
        }
        let who = usize::try_from(u64::from(made) % WATCHERS).unwrap_or(0);
        let target = u64::from(made) / WATCHERS;
        made += 1;
        let to = format!("sip:u{target}@example.com");
        let request = Request {
            method: "SUBSCRIBE",
            uri: &to,
            to: &to,
            call: &format!("w{made}"),
            sequence,
            local,
            transport: "UDP",
            extra: "Event: presence\r\nAccept: application/pidf+xml\r\nExpires: 3600\r\n",
            body: "",
        };
        let text = sip::write(users.get_mut(who)?, &request);
        Some((who, text))
    };
    agent
        .run(64, next, |_, text, _| {
            *counted.borrow_mut() += u32::from(sip::status(text) / 100 == 2);
        })
        .await?;
    if *good.borrow() != total {
        return Err(format!("{} of {total} watches were granted", good.borrow()));
    }
    let received = Arc::clone(received);
    tokio::spawn(async move {
        let mut buffer = vec![0u8; 65536];
        let mut newest: HashMap<String, u32> = HashMap::new();
        while let Ok(count) = agent.socket.recv(&mut buffer).await {
            let text = String::from_utf8_lossy(&buffer[..count]);
            if sip::status(&text) != 0 || text.len() < 5 {
                continue;
            }
            let _ = agent.socket.send(sip::ok(&text).as_bytes()).await;
            let sequence =
                sip::header(&text, "CSeq").and_then(|v| v.split(' ').next()?.parse().ok());
            if let (Some(call), Some(sequence)) = (sip::header(&text, "Call-ID"), sequence) {
                let last = newest.entry(call.to_owned()).or_insert(0);
                if sequence > *last {
                    *last = sequence;
                    received.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    });
    Ok(())
}

async fn watch_rvp(
    plan: &Plan<'_>,
    received: &Arc<AtomicU64>,
) -> Result<Vec<http::Client>, Failure> {
    let mut clients = Vec::new();
    for watcher in FIRST_RECIPIENT..FIRST_RECIPIENT + WATCHERS {
        let callbacks = Callbacks::listen().await?;
        let mut client = http::sign_in(plan.server.rvp, watcher, callbacks.address).await?;
        let headers = format!(
            "Notification-Type: update/propchange\r\nSubscription-Lifetime: 14400\r\n\
             Call-Back: http://localhost/instmsg/aliases/u{watcher}\r\n"
        );
        for target in 0..PUBLISHERS {
            let answer = client
                .request("SUBSCRIBE", &format!("u{target}"), &headers, "")
                .await?;
            if answer.status != 207 {
                return Err(format!("watch: {}", answer.head));
            }
        }
        let (from, into) = (callbacks.count, Arc::clone(received));
        tokio::spawn(async move {
            let mut seen = 0;
            loop {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let now = from.load(Ordering::Relaxed);
                into.fetch_add(now - seen, Ordering::Relaxed);
                seen = now;
            }
        });
        clients.push(client);
    }
    Ok(clients)
}

/// Publishers: RVP PROPPATCH, each every 250 ms, as fast as watchers may be told.
struct Publishing(tokio::task::JoinHandle<()>);

impl Publishing {
    async fn start(plan: &Plan<'_>) -> Result<Self, Failure> {
        let mut clients = Vec::new();
        for n in 0..PUBLISHERS {
            let mut client = http::Client::connect(plan.server.rvp, n).await?;
            let body = http::state_document("online");
            let answer = client
                .request("PROPPATCH", &format!("u{n}"), TYPE, &body)
                .await?;
            if answer.status != 207 {
                return Err(format!("PROPPATCH: {}", answer.head));
            }
            clients.push(client);
        }
        Ok(Self(tokio::spawn(async move {
            for round in 0u64.. {
                let start = Instant::now();
                let body = http::state_document(if round % 2 == 0 { "busy" } else { "online" });
                for (n, client) in clients.iter_mut().enumerate() {
                    let _ = client
                        .request("PROPPATCH", &format!("u{n}"), TYPE, &body)
                        .await;
                }
                tokio::time::sleep(Duration::from_millis(255).saturating_sub(start.elapsed()))
                    .await;
            }
        })))
    }

    fn stop(self) {
        self.0.abort();
    }
}

const TYPE: &str = "Content-Type: text/xml\r\n";

/// Memory of signed-in users, half on each stack.
pub(crate) async fn memory(plan: &Plan<'_>, users: u64) -> Result<Vec<Row>, Failure> {
    let empty = plan.server.memory();
    let callbacks = Callbacks::listen().await?;
    for n in 0..users / 2 {
        let mut client = http::sign_in(plan.server.rvp, n, callbacks.address).await?;
        let body = http::state_document("online");
        let answer = client
            .request("PROPPATCH", &format!("u{n}"), TYPE, &body)
            .await?;
        if answer.status != 207 {
            return Err(format!("PROPPATCH: {}", answer.head));
        }
    }
    let rvp = plan.server.memory();
    let mut connections = Vec::new();
    let start = Instant::now();
    for n in users / 2..users {
        connections.push(register_tcp(plan.server.tcp, n).await?);
    }
    let taken = start.elapsed();
    let all = plan.server.memory();
    #[allow(clippy::cast_precision_loss)]
    let (each_rvp, each_sip, total) = (
        rvp.saturating_sub(empty) as f64 / (users / 2) as f64 / 1024.0,
        all.saturating_sub(rvp) as f64 / (users - users / 2) as f64 / 1024.0,
        all as f64 / 1e6,
    );
    #[allow(clippy::cast_precision_loss)]
    let rate = (users - users / 2) as f64 / taken.as_secs_f64();
    let row = |name: String, value, unit, floor| Row {
        name,
        value,
        unit,
        p50: None,
        p99: None,
        cpu: None,
        failures: 0,
        floor,
    };
    Ok(vec![
        row("memory per RVP user".into(), each_rvp, "KiB", None),
        row("memory per SIP/TCP user".into(), each_sip, "KiB", None),
        row("sign-ins SIP/TCP, new".into(), rate, "per second", None),
        row(
            format!("memory, {users} signed in"),
            total,
            "MB",
            Some(Floor::AtMost(300.0)),
        ),
    ])
}

async fn register_tcp(server: SocketAddr, n: u64) -> Result<TcpStream, Failure> {
    let mut stream = TcpStream::connect(server)
        .await
        .map_err(|e| e.to_string())?;
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    let local = stream.local_addr().map_err(|e| e.to_string())?;
    let mut user = User::numbered(n);
    for sequence in 1..=2 {
        let text = register_text(&mut user, local, sequence, "TCP");
        stream
            .write_all(text.as_bytes())
            .await
            .map_err(|e| e.to_string())?;
        let mut buffer = vec![0u8; 4096];
        let mut have = 0;
        while !buffer[..have].windows(4).any(|w| w == b"\r\n\r\n") {
            let count = stream
                .read(&mut buffer[have..])
                .await
                .map_err(|e| e.to_string())?;
            if count == 0 {
                return Err(format!("u{n}: connection closed"));
            }
            have += count;
        }
        let text = String::from_utf8_lossy(&buffer[..have]).into_owned();
        match sip::status(&text) {
            200 => return Ok(stream),
            401 => user.challenged(sip::head(&text)),
            other => return Err(format!("u{n}: {other}")),
        }
    }
    Err(format!("u{n}: still challenged"))
}
