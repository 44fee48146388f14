//! The real binary, several times, each on a loopback address of its own.

use crate::resolver::Resolver;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc;
use std::time::Duration;

const START: Duration = Duration::from_secs(60);
static WORLDS: AtomicU8 = AtomicU8::new(0);

/// One process.
pub struct Site {
    child: Option<Child>,
    pub folder: PathBuf,
    pub at: SocketAddr,
    pub sip: SocketAddr,
}

impl Site {
    /// Not running yet; its ports are known.
    pub fn new(name: &str, ip: Ipv4Addr) -> Self {
        let folder = std::env::temp_dir().join(format!("tristack-peers-{ip}-{name}"));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        // Held together, so that they differ.
        let held = [(); 2].map(|()| TcpListener::bind((ip, 0)).expect("a loopback address"));
        let [at, sip] = held.each_ref().map(|l| l.local_addr().expect("an address"));
        Self {
            child: None,
            folder,
            at,
            sip,
        }
    }

    pub fn configure(&self, domain: &str, rvp: &str, rest: &str) {
        let mut text = String::new();
        let _ = write!(
            text,
            "[server]\ndata_dir = \"data\"\ndomains = [\"{domain}\"]\n\
             [sip]\nudp = [\"{sip}\"]\ntcp = [\"{sip}\"]\n[admin]\nlisten = \"{ip}:0\"\n\
             [log]\nlevel = \"info\"\n[limits]\ncallback_answer = \"2s\"\n\
             [rvp]\nlisten = [\"{at}\"]\nhosts = [\"im.{domain}\"]\npeer_check = \"300ms\"\n{rvp}\n{rest}\n",
            sip = self.sip,
            ip = self.at.ip(),
            at = self.at,
        );
        std::fs::write(self.folder.join("tristack.toml"), text).expect("a configuration");
    }

    pub fn import(&self, domain: &str, users: &[&str]) {
        let mut csv = String::from("address,password,display_name\n");
        for user in users {
            let _ = writeln!(csv, "{user}@{domain},{user},{user}");
        }
        let file = self.folder.join("users.csv");
        std::fs::write(&file, csv).expect("a file of users");
        let file = file.to_string_lossy().into_owned();
        let output = self.command(&["user", "import", &file]).output();
        let output = output.expect("the import runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "user import: {said}");
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tristack"));
        let config = self.folder.join("tristack.toml");
        command.args(arguments).arg("--config").arg(config);
        command
    }

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
                Ok(line) if line.starts_with("tristack ready") => return,
                Ok(_) => {}
                Err(error) => panic!("no ready line ({error}):\n{}", self.log()),
            }
        }
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.kill();
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// A port of that address that nobody has; the address is this test's alone.
pub fn free(ip: Ipv4Addr) -> SocketAddr {
    let listener = TcpListener::bind((ip, 0)).expect("a loopback address");
    listener.local_addr().expect("an address")
}

/// Everything: `example.com` on a router and two homes, `b.example` on one server.
pub struct World {
    pub router: Site,
    pub home1: Site,
    pub home2: Site,
    pub b: Site,
    pub resolver: Resolver,
}

/// People of example.com: alice and dave at home1, bob at home2.
pub const OURS: [&str; 3] = ["alice", "bob", "dave"];
pub const HOST: &str = "im.example.com";
pub const HOST_B: &str = "im.b.example";

impl World {
    pub fn start() -> Self {
        let [high, low] = u16::try_from(std::process::id() % 30_000)
            .unwrap_or(1)
            .to_be_bytes();
        let world = WORLDS.fetch_add(10, Ordering::Relaxed);
        let ip = |last: u8| Ipv4Addr::new(127, 100 + high, low, world.wrapping_add(last));
        let resolver = Resolver::start(ip(1));
        let mut world = Self {
            router: Site::new("router", ip(2)),
            home1: Site::new("home1", ip(3)),
            home2: Site::new("home2", ip(4)),
            b: Site::new("b", ip(5)),
            resolver,
        };
        world.names();
        world.configure();
        for site in [&world.router, &world.home1, &world.home2] {
            site.import("example.com", &OURS);
        }
        world.b.import("b.example", &["carol", "erin"]);
        for site in world.sites() {
            site.launch();
        }
        world
    }

    fn names(&self) {
        let dns = &self.resolver;
        for (domain, site) in [("example.com", &self.router), ("b.example", &self.b)] {
            let std::net::IpAddr::V4(ip) = site.at.ip() else {
                panic!("an IPv4 address");
            };
            dns.host(&format!("im.{domain}"), ip);
            dns.service(domain, &format!("im.{domain}"), site.at.port());
        }
    }

    fn configure(&self) {
        let (home1, home2) = (self.home1.at, self.home2.at);
        let dns = self.resolver.at;
        let own = format!(
            "nameservers = [\"{dns}\"]\n\
             homes = {{ \"alice\" = \"http://{home1}\", \"dave\" = \"http://{home1}\", \"*@example.com\" = \"http://{home2}\" }}\n\
             inside_networks = [\"127.0.0.2/32\"]\n"
        );
        let servers = format!(
            "\"{}\", \"{}\", \"{}\"",
            self.router.at.ip(),
            home1.ip(),
            home2.ip()
        );
        let rest = format!(
            "[rvp.peers.\"servers\"]\ndomains = [\"example.com\"]\ntrust = [{servers}]\n\
             [rvp.peers.\"b.example\"]\ntrust = [\"{}\"]\n\
             [domain.\"example.com\"]\nforeign = [\"b.example\"]\n",
            self.b.at.ip()
        );
        let sites = [
            (&self.router, "router"),
            (&self.home1, "home"),
            (&self.home2, "home"),
        ];
        for (site, role) in sites {
            let rvp = format!("role = \"{role}\"\nhome = \"http://{}\"\n{own}", site.at);
            site.configure("example.com", &rvp, &rest);
        }
        let rvp = format!("nameservers = [\"{dns}\"]\n");
        let rest = format!(
            "[rvp.peers.\"example.com\"]\ntrust = [{servers}]\n\
             [domain.\"b.example\"]\nforeign = [\"example.com\"]\n"
        );
        self.b.configure("b.example", &rvp, &rest);
    }

    pub fn sites(&mut self) -> [&mut Site; 4] {
        [
            &mut self.router,
            &mut self.home1,
            &mut self.home2,
            &mut self.b,
        ]
    }

    /// The logs of all, for the message of a failed test.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        let all = [
            ("router", &self.router),
            ("home1", &self.home1),
            ("home2", &self.home2),
            ("b", &self.b),
        ];
        for (name, site) in all {
            let log = site.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(25)..].join("\n");
            let _ = writeln!(text, "--- {name}\n{tail}");
        }
        text
    }
}

/// A file with a password in its first line.
pub fn password_file(password: &str) -> PathBuf {
    static FILES: AtomicU8 = AtomicU8::new(0);
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let name = format!("tristack-peers-password-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, format!("{password}\n")).expect("a file");
    path
}
