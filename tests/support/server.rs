//! The real binary with a configuration of its own on free loopback ports.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

static COUNT: AtomicU32 = AtomicU32::new(0);
/// Debug builds on a busy machine take their time.
const START: Duration = Duration::from_secs(60);

/// What a GET without credentials is answered, head and body.
pub fn get(at: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(at).expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// A running server; killed (by pid) and its folder removed when dropped.
pub struct Server {
    child: Option<Child>,
    folder: PathBuf,
    /// RVP over HTTP.
    pub rvp: SocketAddr,
    /// SIP over UDP.
    pub sip_udp: SocketAddr,
    /// SIP over TCP.
    pub sip_tcp: SocketAddr,
    /// Health.
    pub admin: SocketAddr,
    /// RVP over HTTPS, if it listens.
    pub rvps: Option<SocketAddr>,
    /// The portal's URL, if there is one.
    pub portal: Option<String>,
    /// SIP over TLS, WebSocket and secure WebSocket, where it listens so.
    pub sip_tls: Option<SocketAddr>,
    /// SIP over WebSocket.
    pub sip_ws: Option<SocketAddr>,
    /// SIP over secure WebSocket.
    pub sip_wss: Option<SocketAddr>,
    /// Further lines of `[rvp]`.
    rvp_lines: String,
    /// Further lines of `[sip]`.
    sip_lines: String,
    domain: String,
    /// What is set in its environment.
    environment: Vec<(String, String)>,
}

/// A server that is not for `example.com` on 127.0.0.1.
pub struct Plan<'a> {
    /// Its domain.
    pub domain: &'a str,
    /// Where it listens, on free ports.
    pub ip: std::net::IpAddr,
    /// Its users (password = name).
    pub users: &'a [&'a str],
    /// Further lines of `[rvp]`, `[sip]`, and further sections.
    pub rvp: &'a str,
    /// See there.
    pub sip: &'a str,
    /// See there.
    pub rest: &'a str,
}

impl Server {
    /// A server for `example.com` with these users (password = name) on SQLite.
    pub fn start(users: &[&str]) -> Self {
        Self::start_with(users, "")
    }

    /// The same with further lines of configuration.
    pub fn start_with(users: &[&str], configuration: &str) -> Self {
        Self::start_rvp(users, "", configuration)
    }

    /// The same with further lines of `[rvp]`, too.
    pub fn start_rvp(users: &[&str], rvp_lines: &str, configuration: &str) -> Self {
        Self::start_in(&[], users, rvp_lines, configuration)
    }

    /// The same with further lines of `[sip]`, too.
    pub fn start_sip(users: &[&str], sip_lines: &str, configuration: &str) -> Self {
        Self::planned(&Plan {
            domain: "example.com",
            ip: std::net::Ipv4Addr::LOCALHOST.into(),
            users,
            rvp: "",
            sip: sip_lines,
            rest: configuration,
        })
    }

    /// The same with these variables in its environment, too.
    pub fn start_in(
        environment: &[(&str, &str)],
        users: &[&str],
        rvp_lines: &str,
        configuration: &str,
    ) -> Self {
        let plan = Plan {
            domain: "example.com",
            ip: std::net::Ipv4Addr::LOCALHOST.into(),
            users,
            rvp: rvp_lines,
            sip: "",
            rest: configuration,
        };
        Self::planned_in(&plan, environment)
    }

    /// A server of any domain, on any address of this machine.
    pub fn planned(plan: &Plan<'_>) -> Self {
        Self::planned_in(plan, &[])
    }

    fn planned_in(plan: &Plan<'_>, environment: &[(&str, &str)]) -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tristack-test-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let any = SocketAddr::new(plan.ip, 0);
        let mut server = Self {
            child: None,
            folder,
            rvp: any,
            sip_udp: any,
            sip_tcp: any,
            admin: any,
            rvps: None,
            portal: None,
            sip_tls: None,
            sip_ws: None,
            sip_wss: None,
            rvp_lines: plan.rvp.to_owned(),
            sip_lines: plan.sip.to_owned(),
            domain: plan.domain.to_owned(),
            environment: environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        server.configure(plan.rest);
        server.import(plan.users);
        server.launch();
        // From now on the same ports, so that clients find it again after a restart.
        server.configure(plan.rest);
        server
    }

    /// Command line of this server's binary with its configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tristack"));
        command
            .envs(self.environment.iter().cloned())
            .args(arguments)
            .arg("--config")
            .arg(self.folder.join("tristack.toml"));
        command
    }

    /// kill -9, then start again on the same data and ports.
    pub fn kill_and_restart(&mut self) {
        self.kill();
        self.launch();
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, wait, start again.
    pub fn stop_and_restart(&mut self) {
        self.stop();
        self.launch();
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let id = self.child.as_ref().map(Child::id).expect("it runs");
        let sent = Command::new("kill")
            .args(["-s", name])
            .arg(id.to_string())
            .status();
        assert!(sent.is_ok_and(|status| status.success()), "SIG{name}");
    }

    /// SIGTERM and wait; the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let mut child = self.child.take()?;
        let kill = Command::new("kill").arg(child.id().to_string()).status();
        assert!(kill.is_ok_and(|status| status.success()), "SIGTERM");
        child.wait().ok()?.code()
    }

    /// Starts it (again).
    pub fn launch(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .expect("a log file");
        let mut child = self
            .command(&["serve"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        let stdout = child.stdout.take().expect("its output");
        self.child = Some(child);
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        loop {
            match told.recv_timeout(START) {
                Ok(line) if line.starts_with("tristack ready") => return self.learn(&line),
                Ok(_) => {}
                Err(error) => panic!("no ready line ({error}):\n{}", self.log_tail(40)),
            }
        }
    }

    /// Sockets that it has open.
    pub fn sockets(&self) -> usize {
        let Some(child) = &self.child else { return 0 };
        let open = std::fs::read_dir(format!("/proc/{}/fd", child.id()));
        let links = open.expect("its files").flatten();
        links
            .filter_map(|entry| std::fs::read_link(entry.path()).ok())
            .filter(|link| link.to_string_lossy().starts_with("socket:"))
            .count()
    }

    /// Resident memory in octets.
    pub fn memory(&self) -> u64 {
        let Some(child) = &self.child else { return 0 };
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    }

    /// The certificate that it made for itself.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("data/tls-certificate.pem")
    }

    /// A folder below the server's own, removed with it.
    pub fn scratch(&self, name: &str) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::create_dir_all(&path).expect("a folder");
        path
    }

    /// The last lines of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    fn configure(&self, more: &str) {
        let mut text = String::new();
        let _ = write!(
            text,
            "[server]\ndata_dir = \"data\"\ndomains = [\"{domain}\"]\n\
             [rvp]\nlisten = [\"{}\"]\nhosts = [\"im.{domain}\", \"localhost\", \"127.0.0.1\"]\n{}\n\
             [sip]\nudp = [\"{}\"]\ntcp = [\"{}\"]\n{}\n[admin]\nlisten = \"{}\"\n\
             [log]\nlevel = \"debug\"\n{more}",
            self.rvp,
            self.rvp_lines,
            self.sip_udp,
            self.sip_tcp,
            self.sip_lines,
            self.admin,
            domain = self.domain
        );
        std::fs::write(self.folder.join("tristack.toml"), text).expect("a configuration");
    }

    fn import(&self, users: &[&str]) {
        let mut csv = String::from("address,password,display_name\n");
        for user in users {
            let _ = writeln!(csv, "{user}@{},{user},{user}", self.domain);
        }
        let file = self.folder.join("users.csv");
        std::fs::write(&file, csv).expect("a file of users");
        let file = file.to_string_lossy().into_owned();
        let output = self
            .command(&["user", "import", &file])
            .output()
            .expect("the import runs");
        assert!(
            output.status.success(),
            "user import: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn learn(&mut self, ready: &str) {
        let address = |start: &str| -> SocketAddr {
            let at = ready
                .find(start)
                .unwrap_or_else(|| panic!("no {start} in: {ready}"));
            let rest = &ready[at + start.len()..];
            let end = rest.find([' ', ',']).unwrap_or(rest.len());
            rest[..end]
                .parse()
                .unwrap_or_else(|error| panic!("{ready}: {error}"))
        };
        self.rvp = address("rvp=http://");
        self.sip_udp = address("udp:");
        self.sip_tcp = address("tcp:");
        self.admin = address("admin=http://");
        let portal = ready
            .split(' ')
            .find_map(|word| word.strip_prefix("portal="));
        self.portal = portal.map(str::to_owned);
        self.rvps = ready.contains("rvps=").then(|| address("rvps=https://"));
        let maybe = |start: &str| ready.contains(start).then(|| address(start));
        self.sip_tls = maybe(",tls:");
        self.sip_ws = maybe(",ws:");
        self.sip_wss = maybe(",wss:");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}
