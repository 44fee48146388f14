//! Connections whose client vanishes without a word (a cable pulled): how long the server keeps
//! them. The clients live in a network namespace of their own whose link is then cut; needs root.

use crate::Failure;
use crate::report::{Goal, Row};
use crate::server::process::Process;
use crate::server::tristack::Server;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Connections of each kind: HTTP between two requests, SIP between two keep-alives.
const COUNT: usize = 100;
/// They are freed within this.
const GONE: f64 = 120.0;

/// A namespace with one link to us; removed when dropped.
pub(crate) struct Island {
    name: String,
    /// Our end of the link.
    pub(crate) address: IpAddr,
}

impl Island {
    pub(crate) fn new() -> Result<Self, Failure> {
        let id = std::process::id();
        // A network of its own for each run, of those kept for benchmarks (RFC 2544).
        let (high, low) = (id / 256 % 256, id % 256 / 4 * 4);
        let island = Self {
            name: format!("tsload{id}"),
            address: format!("198.18.{high}.{}", low + 1)
                .parse()
                .map_err(|e| format!("{e}"))?,
        };
        let (name, link) = (&island.name, format!("tl{id}"));
        for line in [
            format!("netns add {name}"),
            format!("link add {link} type veth peer name wire netns {name}"),
            format!("addr add {}/30 dev {link}", island.address),
            format!("link set {link} up"),
            format!("-n {name} addr add 198.18.{high}.{}/30 dev wire", low + 2),
            format!("-n {name} link set wire up"),
        ] {
            ip(&line)?;
        }
        Ok(island)
    }
}

impl Drop for Island {
    fn drop(&mut self) {
        // The link goes with it.
        let _ = ip(&format!("netns del {}", self.name));
    }
}

fn ip(line: &str) -> Result<(), Failure> {
    let output = Command::new("ip").args(line.split(' ')).output();
    let output = output.map_err(|e| format!("ip {line}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(format!("ip {line}: {why} (this needs root and iproute2)"))
}

/// See the module. The server listens on the island's address, too.
pub(crate) async fn half_open(server: &Server, island: &Island) -> Result<Vec<Row>, Failure> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let before = server.peer.process.sockets();
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", &island.name])
        .arg(own)
        .arg("--hold");
    for port in [server.rvp.port(), server.peer.tcp.port()] {
        command.arg(SocketAddr::new(island.address, port).to_string());
    }
    let mut clients = Process::spawn(command.stdout(Stdio::piped()))?;
    let stdout = clients.child().stdout.take().ok_or("no output")?;
    let mut line = String::new();
    BufReader::new(stdout)
        .read_line(&mut line)
        .map_err(|e| e.to_string())?;
    let held = server.peer.process.sockets().saturating_sub(before);
    if line.trim() != "held" || held < 2 * COUNT {
        return Err(format!("only {held} connections stood ({})", line.trim()));
    }
    ip(&format!("-n {} link set wire down", island.name))?;
    clients.kill();
    let start = Instant::now();
    let limit = Duration::from_secs(180);
    while server.peer.process.sockets() > before && start.elapsed() < limit {
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let left = server.peer.process.sockets().saturating_sub(before);
    let row = Row {
        failures: left as u64,
        ..Row::figure(
            "200 vanished clients freed after",
            start.elapsed().as_secs_f64(),
            "s",
        )
    };
    Ok(vec![row.goal(Goal::AtMost(GONE))])
}

/// The clients: opens the connections, uses each once, says so and stays until killed.
pub(crate) async fn hold(http: SocketAddr, sip: SocketAddr) -> Result<(), Failure> {
    let mut open = Vec::new();
    let request = "SUBSCRIPTIONS /instmsg/aliases/u1 HTTP/1.1\r\nHost: localhost\r\n\
                   RVP-Notifications-Version: 0.2\r\nContent-Length: 0\r\n\r\n";
    for (at, text) in [(http, request), (sip, "\r\n\r\n")] {
        for _ in 0..COUNT {
            let stream = TcpStream::connect(at).await;
            let mut stream = stream.map_err(|e| format!("{at}: {e}"))?;
            let sent = stream.write_all(text.as_bytes()).await;
            sent.map_err(|e| e.to_string())?;
            let mut answer = [0u8; 2048];
            if !matches!(stream.read(&mut answer).await, Ok(1..)) {
                return Err(format!("{at} does not answer"));
            }
            open.push(stream);
        }
    }
    println!("held");
    std::io::stdout().flush().map_err(|e| e.to_string())?;
    std::future::pending::<()>().await;
    Ok(())
}
