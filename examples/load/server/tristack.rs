//! Tristack: the release binary with generated users and a fresh data directory.

use super::process::{Process, command};
use super::{Folder, Peer, Setup};
use crate::{Failure, Options};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A running server of ours.
pub(crate) struct Server {
    pub(crate) peer: Peer,
    /// RVP over HTTP.
    pub(crate) rvp: SocketAddr,
    pub(crate) binary: PathBuf,
    pub(crate) config: PathBuf,
    pin: bool,
}

/// Addresses of its listeners.
struct Listeners {
    rvp: SocketAddr,
    udp: SocketAddr,
    tcp: SocketAddr,
    tls: Option<SocketAddr>,
}

impl Server {
    /// Imports users `u0 .. uN` (password `p0 .. pN`) and starts the server.
    pub(crate) fn start(options: &Options, setup: Setup) -> Result<Self, Failure> {
        let binary = options.binary.clone().map_or_else(beside, Ok)?;
        let folder = Folder::new("load")?;
        let config = folder.0.join("tristack.toml");
        let at = free(setup)?;
        std::fs::write(&config, configuration(&at, setup)).map_err(|e| e.to_string())?;
        import(&binary, &config, &folder.0, setup.users)?;
        let log = options.log.as_ref().map_or_else(
            || Ok(Stdio::null()),
            |path| {
                std::fs::File::create(path)
                    .map(Stdio::from)
                    .map_err(|e| e.to_string())
            },
        )?;
        let pin = !options.no_pin;
        let process = launch(&binary, &config, pin, log)?;
        Ok(Self {
            peer: Peer {
                udp: at.udp,
                tcp: at.tcp,
                tls: at.tls,
                process,
                _folder: folder,
            },
            rvp: at.rvp,
            binary,
            config,
            pin,
        })
    }

    /// CPU seconds used so far.
    pub(crate) fn cpu(&self) -> f64 {
        self.peer.process.cpu()
    }

    /// Memory in octets.
    pub(crate) fn memory(&self) -> u64 {
        self.peer.process.memory()
    }

    /// kill -9, then starts again on the same data and ports; how long that took until it was
    /// ready.
    pub(crate) fn crash_and_restart(&mut self) -> Result<Duration, Failure> {
        self.peer.process.kill();
        let start = Instant::now();
        let process = launch(&self.binary, &self.config, self.pin, Stdio::null())?;
        self.peer.process = process;
        Ok(start.elapsed())
    }

    /// Stops the server and removes its data.
    pub(crate) fn stop(mut self) {
        self.peer.process.stop();
    }
}

/// Starts it and waits for its ready line.
fn launch(binary: &Path, config: &Path, pin: bool, log: Stdio) -> Result<Process, Failure> {
    let mut command = command(binary, pin);
    command.args(["serve", "--config"]).arg(config);
    let mut process = Process::spawn(command.stdout(Stdio::piped()).stderr(log))?;
    let stdout = process.child().stdout.take().ok_or("no standard output")?;
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
    if lines.any(|line| line.starts_with("tristack ready")) {
        return Ok(process);
    }
    Err("the server ended before it was ready; --log FILE shows why".to_owned())
}

fn beside() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let release = own
        .parent()
        .and_then(Path::parent)
        .ok_or("no target folder")?;
    let binary = release.join("tristack");
    if binary.exists() {
        return Ok(binary);
    }
    Err(format!(
        "{} is not there: run `cargo build --release` first",
        binary.display()
    ))
}

fn configuration(at: &Listeners, setup: Setup) -> String {
    let list = |at: SocketAddr| match setup.also {
        Some(also) => format!("[\"{at}\", \"{}\"]", SocketAddr::new(also, at.port())),
        None => format!("[\"{at}\"]"),
    };
    let tls = at
        .tls
        .map_or_else(String::new, |tls| format!("tls = [\"{tls}\"]\n"));
    let archive = setup.archive.map_or_else(String::new, |policy| {
        format!("[archive]\npolicy = \"{policy}\"\n")
    });
    format!(
        "[server]\ndata_dir = \"data\"\ndomains = [\"example.com\"]\n\
         [rvp]\nlisten = {}\n[sip]\nudp = [\"{}\"]\ntcp = {}\n{tls}\
         [admin]\nlisten = \"127.0.0.1:0\"\n[log]\nlevel = \"warn\"\n{archive}",
        list(at.rvp),
        at.udp,
        list(at.tcp),
    )
}

/// Ports that are free now: known before the start, they are the same after a restart.
fn free(setup: Setup) -> Result<Listeners, Failure> {
    // Held together, so that they differ.
    let hold = || TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string());
    let (rvp, sip, tls) = (hold()?, hold()?, hold()?);
    let at = |held: &TcpListener| held.local_addr().map_err(|e| e.to_string());
    Ok(Listeners {
        rvp: at(&rvp)?,
        udp: at(&sip)?,
        tcp: at(&sip)?,
        tls: if setup.tls { Some(at(&tls)?) } else { None },
    })
}

fn import(binary: &Path, config: &Path, dir: &Path, users: u64) -> Result<(), Failure> {
    let mut csv = String::from("address,password,display_name\n");
    for n in 0..users {
        let _ = writeln!(csv, "u{n}@example.com,p{n},User {n}");
    }
    let file = dir.join("users.csv");
    std::fs::write(&file, csv).map_err(|e| e.to_string())?;
    let output = Command::new(binary)
        .args(["user", "import"])
        .arg(&file)
        .arg("--config")
        .arg(config)
        .output()
        .map_err(|e| format!("{}: {e}", binary.display()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "user import failed: {}",
        String::from_utf8_lossy(&output.stderr)
    ))
}
