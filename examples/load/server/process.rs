//! A process under test: pinned to its core, with what it costs.

use crate::Failure;
use std::collections::HashMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A child process and all that it started; killed when dropped.
pub(crate) struct Process {
    child: Child,
}

/// The core that servers run on; the tool itself runs on [`OWN_CORE`].
const CORE: &str = "0";
const OWN_CORE: &str = "1";

/// A command for `program`, on the servers' core if `pin`.
pub(crate) fn command(program: &Path, pin: bool) -> Command {
    if !pin {
        return Command::new(program);
    }
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", CORE]).arg(program);
    pinned
}

/// Puts this process on its own core, so that it does not take the servers'.
pub(crate) fn pin_self() {
    let own = std::process::id().to_string();
    let _ = Command::new("taskset")
        .args(["-cp", OWN_CORE, &own])
        .stdout(Stdio::null())
        .status();
}

impl Process {
    /// Starts it, without standard input.
    pub(crate) fn spawn(command: &mut Command) -> Result<Self, Failure> {
        let child = command.stdin(Stdio::null()).spawn();
        let child = child.map_err(|e| format!("{}: {e}", command.get_program().display()))?;
        Ok(Self { child })
    }

    /// The child itself.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// CPU seconds used so far, user and system, of all its processes and their threads.
    pub(crate) fn cpu(&self) -> f64 {
        self.family().into_iter().map(cpu_of).sum()
    }

    /// Memory in octets: the proportional share, so that what processes share counts once.
    pub(crate) fn memory(&self) -> u64 {
        self.family().into_iter().map(memory_of).sum()
    }

    /// Connections that its processes hold: open sockets, whatever their kind.
    pub(crate) fn sockets(&self) -> usize {
        let count = |id: u32| {
            let folder = std::fs::read_dir(format!("/proc/{id}/fd"));
            let links = folder.into_iter().flatten().flatten();
            links
                .filter_map(|entry| std::fs::read_link(entry.path()).ok())
                .filter(|link| link.to_string_lossy().starts_with("socket:"))
                .count()
        };
        self.family().into_iter().map(count).sum()
    }

    /// SIGTERM, then waits.
    pub(crate) fn stop(&mut self) {
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
    }

    /// SIGKILL to it and all that it started (Kamailio's workers outlive their parent), then waits.
    pub(crate) fn kill(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let family = self.family();
            let _ = Command::new("kill")
                .arg("-9")
                .args(family.iter().map(u32::to_string))
                .status();
        }
        let _ = self.child.wait();
    }

    /// The child and its descendants.
    fn family(&self) -> Vec<u32> {
        let mut parents: HashMap<u32, Vec<u32>> = HashMap::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if let Some(parent) = fields(&stat(id)).get(1).and_then(|f| f.parse().ok()) {
                parents.entry(parent).or_default().push(id);
            }
        }
        let mut family = vec![self.child.id()];
        let mut at = 0;
        while let Some(id) = family.get(at) {
            family.extend(parents.remove(id).unwrap_or_default());
            at += 1;
        }
        family
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn stat(id: u32) -> String {
    std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default()
}

/// What follows the name in `/proc/ID/stat`.
fn fields(stat: &str) -> Vec<&str> {
    let after = stat.rsplit(')').next().unwrap_or("");
    after.split_whitespace().collect()
}

/// The scheduler's own count in nanoseconds, thread by thread; where the kernel does not keep it,
/// hundredths of a second.
fn cpu_of(id: u32) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{id}/task"));
    let exact = threads.into_iter().flatten().flatten().filter_map(|entry| {
        let text = std::fs::read_to_string(entry.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    });
    let exact: f64 = exact.sum();
    if exact > 0.0 {
        return exact / 1e9;
    }
    let stat = stat(id);
    let fields = fields(&stat);
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok());
    (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / 100.0
}

fn memory_of(id: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
