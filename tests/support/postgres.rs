//! A private PostgreSQL for tests: own cluster in a temporary directory, own socket there, no
//! network port. Gone when dropped.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Users to run it as when the test runs as root (PostgreSQL refuses root).
const OTHERS: [&str; 2] = ["postgres", "nobody"];

static CLUSTERS: AtomicU32 = AtomicU32::new(0);

/// A running private cluster.
#[derive(Debug)]
pub struct PrivatePostgres {
    programs: PathBuf,
    directory: PathBuf,
    user: Option<(u32, u32)>,
}

/// Starts one. `None` (and a line on standard output) if the machine has no PostgreSQL; with
/// `TRISTACK_TEST_REQUIRE_PEERS=1` that is a failure.
pub fn start() -> Option<PrivatePostgres> {
    let Some(programs) = programs() else {
        let required = std::env::var("TRISTACK_TEST_REQUIRE_PEERS").is_ok_and(|v| v == "1");
        assert!(!required, "PostgreSQL is required but not installed");
        println!("left out: postgresql");
        return None;
    };
    let number = CLUSTERS.fetch_add(1, Ordering::Relaxed);
    let name = format!("tristack-pg-{}-{number}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir(&directory).expect("temporary directory");
    let user = is_root(&directory).then(other_user);
    if let Some((uid, gid)) = user {
        std::os::unix::fs::chown(&directory, Some(uid), Some(gid)).expect("chown");
    }
    let cluster = PrivatePostgres {
        programs,
        directory,
        user,
    };
    cluster.run(
        "initdb",
        &[
            "-U",
            "tristack",
            "-A",
            "trust",
            "-N",
            "-E",
            "UTF8",
            "--locale=C",
        ],
    );
    let socket = cluster.directory.display();
    let options = format!(
        "-c listen_addresses= -c unix_socket_directories={socket} -c fsync=off -c max_connections=50"
    );
    let log = cluster.directory.join("log");
    cluster.run(
        "pg_ctl",
        &["-w", "-l", &log.to_string_lossy(), "-o", &options, "start"],
    );
    Some(cluster)
}

impl PrivatePostgres {
    /// The URL of a new, empty database in this cluster.
    pub fn fresh_database(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let socket = self.directory.to_string_lossy();
        let mut command = self.command("createdb");
        command.args(["-h", &socket, "-U", "tristack", &name]);
        finish(&mut command);
        let socket = socket.replace('/', "%2F");
        format!("postgres://tristack@localhost/{name}?host={socket}")
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = self.command(program);
        command
            .arg("-D")
            .arg(self.directory.join("data"))
            .args(arguments);
        finish(&mut command);
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(&self.directory).stdin(Stdio::null());
        command.env_remove("PGDATA").env("LC_ALL", "C");
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        let mut command = self.command("pg_ctl");
        command.arg("-D").arg(self.directory.join("data"));
        command.args(["-w", "-m", "immediate", "stop"]);
        let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn finish(command: &mut Command) {
    // Not `output()`: the server that pg_ctl leaves behind would hold the pipes open.
    let status = command.stdout(Stdio::null()).status();
    let status = status.expect("PostgreSQL program starts");
    assert!(status.success(), "{command:?}: {status}");
}

/// The newest installed version's programs.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<(u32, PathBuf)> = versions
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_string_lossy().parse().ok()?;
            Some((number, entry.path().join("bin")))
        })
        .filter(|(_, programs)| programs.join("initdb").is_file())
        .collect();
    found.sort();
    found.pop().map(|(_, programs)| programs)
}

fn is_root(own: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(own).is_ok_and(|metadata| metadata.uid() == 0)
}

fn other_user() -> (u32, u32) {
    let users = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let find = |wanted: &str| {
        let line = users
            .lines()
            .find(|line| line.split(':').next() == Some(wanted))?;
        let mut ids = line.split(':').skip(2).map(|text| text.parse().ok());
        Some((ids.next()??, ids.next()??))
    };
    OTHERS
        .iter()
        .find_map(|name| find(name))
        .expect("a user for PostgreSQL")
}
