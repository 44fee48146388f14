//! The server under test: its own process, pinned, with generated users.

use crate::{Failure, Options};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running server.
pub(crate) struct Server {
    child: Child,
    dir: PathBuf,
    /// RVP over HTTP.
    pub(crate) rvp: SocketAddr,
    /// SIP over UDP.
    pub(crate) udp: SocketAddr,
    /// SIP over TCP.
    pub(crate) tcp: SocketAddr,
}

impl Server {
    /// Imports users `u0 .. uN` (password `p0 .. pN`) and starts the server.
    pub(crate) fn start(options: &Options, users: u64) -> Result<Self, Failure> {
        let binary = options.binary.clone().map_or_else(beside, Ok)?;
        let dir = std::env::temp_dir().join(format!("tristack-load-{}", std::process::id()));
        std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let config = write_config(&dir)?;
        import(&binary, &config, &dir, users)?;
        let mut command = if options.no_pin {
            Command::new(&binary)
        } else {
            let mut pinned = Command::new("taskset");
            pinned.args(["-c", "0"]).arg(&binary);
            pin_self();
            pinned
        };
        let log = options.log.as_ref().map_or_else(
            || Ok(Stdio::null()),
            |path| {
                std::fs::File::create(path)
                    .map(Stdio::from)
                    .map_err(|e| e.to_string())
            },
        )?;
        let mut child = command
            .args(["serve", "--config"])
            .arg(&config)
            .stdout(Stdio::piped())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|e| format!("{}: {e}", binary.display()))?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let ready = BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
            .find(|line| line.starts_with("tristack ready"))
            .ok_or("the server ended before it was ready")?;
        let address = |start: &str| -> Result<SocketAddr, Failure> {
            let at = ready
                .find(start)
                .ok_or_else(|| format!("no {start} in: {ready}"))?;
            let rest = &ready[at + start.len()..];
            let end = rest.find([' ', ',']).unwrap_or(rest.len());
            rest[..end].parse().map_err(|e| format!("{ready}: {e}"))
        };
        let (rvp, udp, tcp) = (address("rvp=http://")?, address("udp:")?, address("tcp:")?);
        Ok(Self {
            child,
            dir,
            rvp,
            udp,
            tcp,
        })
    }

    /// Resident memory in octets.
    pub(crate) fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    }

    /// CPU seconds used so far.
    pub(crate) fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.unwrap_or_default();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or("")
            .split_whitespace()
            .collect();
        let ticks = |at: usize| {
            fields
                .get(at)
                .and_then(|f| f.parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        (ticks(11) + ticks(12)) / 100.0
    }

    /// Stops the server and removes its data.
    pub(crate) fn stop(mut self) {
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
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

fn write_config(dir: &Path) -> Result<PathBuf, Failure> {
    let path = dir.join("tristack.toml");
    let text = "[server]\ndata_dir = \"data\"\ndomains = [\"example.com\"]\n\
                [rvp]\nlisten = [\"127.0.0.1:0\"]\n\
                [sip]\nudp = [\"127.0.0.1:0\"]\ntcp = [\"127.0.0.1:0\"]\n\
                [admin]\nlisten = \"127.0.0.1:0\"\n[log]\nlevel = \"warn\"\n";
    std::fs::write(&path, text).map_err(|e| e.to_string())?;
    Ok(path)
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

/// Puts this process on core 1, so that it does not take the server's.
fn pin_self() {
    let own = std::process::id().to_string();
    let _ = Command::new("taskset")
        .args(["-cp", "1", &own])
        .stdout(Stdio::null())
        .status();
}
