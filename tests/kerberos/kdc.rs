//! An MIT key distribution centre from Debian, of the realm EXAMPLE.COM, in a folder and on a
//! loopback address of its own; and people with its tickets.

use crate::support::peer::said;
use crate::support::temporary::Temporary;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Whatever Debian has outside the usual path.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How far the past centre's clock is behind.
pub(crate) const PAST: &str = "-26h";

/// The centre; ends when dropped.
pub(crate) struct Kdc {
    folder: Temporary,
    centres: Vec<Child>,
}

impl Kdc {
    /// With people (password = name) and services; the keytab has `HTTP/im.example.com` and
    /// `host/im.example.com`, but not `HTTP/other.example.com`.
    pub(crate) fn start() -> Self {
        let mut kdc = Self {
            folder: Temporary::new("kdc"),
            centres: Vec::new(),
        };
        let (now, past) = (free(), free());
        kdc.configure("", now);
        kdc.configure("-past", past);
        kdc.run(
            "",
            "kdb5_util",
            &["create", "-s", "-r", "EXAMPLE.COM", "-P", "master"],
        );
        for person in ["alice", "bob", "carol", "alice/admin"] {
            let made = format!("addprinc -pw {person} {person}");
            kdc.run("", "kadmin.local", &["-q", &made]);
        }
        for service in [
            "HTTP/im.example.com",
            "host/im.example.com",
            "HTTP/other.example.com",
        ] {
            kdc.run(
                "",
                "kadmin.local",
                &["-q", &format!("addprinc -randkey {service}")],
            );
        }
        let keytab = kdc.keytab();
        let added = format!(
            "ktadd -k {} HTTP/im.example.com host/im.example.com",
            keytab.display()
        );
        kdc.run("", "kadmin.local", &["-q", &added]);
        kdc.launch("", &[]);
        kdc.launch("-past", &["faketime", "-f", PAST]);
        kdc
    }

    /// The services' keys.
    pub(crate) fn keytab(&self) -> PathBuf {
        self.path("keytab")
    }

    /// A file of this centre's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the server needs to know of it.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let caches = self.path("replays");
        std::fs::create_dir_all(&caches).expect("a folder");
        vec![
            ("KRB5_CONFIG".into(), text(self.path("krb5.conf"))),
            ("KRB5RCACHEDIR".into(), text(caches)),
        ]
    }

    /// Somebody with a ticket.
    pub(crate) fn person(&self, principal: &str) -> Person {
        self.sign_in(principal, "", &[])
    }

    /// Somebody whose ticket was given, and has expired, long ago, and whose clock stands there.
    pub(crate) fn person_of_the_past(&self, principal: &str) -> Person {
        self.sign_in(principal, "-past", &["faketime", "-f", PAST])
    }

    fn sign_in(&self, principal: &str, which: &str, before: &[&str]) -> Person {
        let cache = format!("cache{which}-{}", principal.replace('/', "-"));
        let person = Person {
            configuration: self.path(&format!("krb5{which}.conf")),
            cache: self.path(&cache),
        };
        let mut kinit = person.command(before, "kinit");
        let mut child = kinit
            .arg(principal)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kinit runs");
        let mut input = child.stdin.take().expect("its input");
        writeln!(input, "{principal}").expect("written");
        drop(input);
        let ended = child.wait_with_output().expect("kinit ends");
        assert!(ended.status.success(), "{}", said(&ended));
        person
    }

    fn configure(&self, which: &str, at: SocketAddr) {
        let folder = self.folder.path().display();
        let client = format!(
            "[libdefaults]\ndefault_realm = EXAMPLE.COM\ndns_lookup_kdc = false\n\
             dns_lookup_realm = false\ndns_canonicalize_hostname = false\nrdns = false\n\
             kdc_timesync = 0\nudp_preference_limit = 1\n\
             [realms]\nEXAMPLE.COM = {{\nkdc = {at}\n}}\n\
             [domain_realm]\n.example.com = EXAMPLE.COM\n[logging]\nkdc = STDERR\n"
        );
        let centre = format!(
            "[kdcdefaults]\nkdc_listen = {at}\nkdc_tcp_listen = {at}\n\
             [realms]\nEXAMPLE.COM = {{\ndatabase_name = {folder}/principal\n\
             key_stash_file = {folder}/stash\nacl_file = {folder}/acl\nmax_life = 10h\n}}\n"
        );
        for (name, text) in [("krb5", client), ("kdc", centre)] {
            let file = self.path(&format!("{name}{which}.conf"));
            std::fs::write(file, text).expect("written");
        }
    }

    fn command(&self, which: &str, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("PATH", PATH)
            .env("KRB5_CONFIG", self.path(&format!("krb5{which}.conf")))
            .env("KRB5_KDC_PROFILE", self.path(&format!("kdc{which}.conf")));
        command
    }

    fn run(&self, which: &str, program: &str, arguments: &[&str]) {
        let output = self.command(which, program).args(arguments).output();
        let output = output.expect("it runs");
        assert!(output.status.success(), "{program}: {}", said(&output));
    }

    /// Runs until dropped; ready when it says so.
    fn launch(&mut self, which: &str, before: &[&str]) {
        let words = [before, &["krb5kdc", "-n", "-r", "EXAMPLE.COM", "-P"]].concat();
        let mut command = self.command(which, words[0]);
        let mut child = command
            .args(&words[1..])
            .arg(self.path(&format!("pid{which}")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("krb5kdc runs");
        let mut heard = String::new();
        let mut lines = BufReader::new(child.stderr.take().expect("its log"));
        self.centres.push(child);
        while !heard.contains("commencing operation") {
            let count = lines.read_line(&mut heard).expect("its log");
            assert!(count > 0, "the centre does not start:\n{heard}");
        }
        // Read on, so that it never waits for us.
        std::thread::spawn(move || for _ in lines.lines() {});
    }
}

impl Drop for Kdc {
    fn drop(&mut self) {
        // `faketime` stays in front of what it runs: the centre itself says which process it is.
        for which in ["", "-past"] {
            let id = std::fs::read_to_string(self.path(&format!("pid{which}")));
            if let Ok(id) = id {
                let _ = Command::new("kill").arg(id.trim()).status();
            }
        }
        for centre in &mut self.centres {
            let _ = centre.wait();
        }
    }
}

/// A port that nobody has, at an address that only this process uses.
fn free() -> SocketAddr {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let address = IpAddr::from([127, 88, high, low.max(1)]);
    let listener = TcpListener::bind((address, 0)).expect("a port");
    listener.local_addr().expect("its address")
}

/// Somebody's tickets.
pub(crate) struct Person {
    configuration: PathBuf,
    cache: PathBuf,
}

impl Person {
    /// A program that finds them, behind others (`faketime`).
    pub(crate) fn command(&self, before: &[&str], program: impl AsRef<Path>) -> Command {
        let program = program.as_ref().as_os_str();
        let mut command = match before.split_first() {
            None => Command::new(program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        command
            .env("KRB5_CONFIG", &self.configuration)
            .env("KRB5CCNAME", format!("FILE:{}", self.cache.display()));
        command
    }

    /// Gets the ticket of a service.
    pub(crate) fn fetch(&self, service: &str) {
        let output = self.command(&[], "kvno").arg(service).output();
        let output = output.expect("kvno runs");
        assert!(output.status.success(), "{}", said(&output));
    }

    /// A client with these tickets, at the real time or another.
    pub(crate) fn client(&self, before: &[&str]) -> Client {
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/peers/kerberos/tokens.py"
        );
        let mut child = self
            .command(before, "/usr/bin/python3")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python runs");
        Client {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().expect("its output")),
            child,
        }
    }

    /// A first token for that service.
    pub(crate) fn ticket(&self, service: &str) -> Vec<u8> {
        self.client(&[]).ticket(service)
    }
}

/// MIT's library, played by `tokens.py`.
pub(crate) struct Client {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Client {
    /// One line and its answer.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        let input = self.input.as_mut().expect("its input");
        writeln!(input, "{line}").expect("written");
        let mut answer = String::new();
        self.output.read_line(&mut answer).expect("an answer");
        answer.trim().to_owned()
    }

    /// A first token for that service.
    pub(crate) fn ticket(&mut self, service: &str) -> Vec<u8> {
        let answer = self.ask(&format!("ticket {service}"));
        STANDARD
            .decode(&answer)
            .unwrap_or_else(|_| panic!("{answer}"))
    }

    /// Whether that token proves the server.
    pub(crate) fn believes(&mut self, token: &[u8]) -> bool {
        self.ask(&format!("answer {}", STANDARD.encode(token))) == "complete"
    }

    /// Our code.
    pub(crate) fn sign(&mut self, octets: &[u8]) -> Vec<u8> {
        let answer = self.ask(&format!("sign {}", STANDARD.encode(octets)));
        STANDARD
            .decode(&answer)
            .unwrap_or_else(|_| panic!("{answer}"))
    }

    /// Whether that is the server's.
    pub(crate) fn verify(&mut self, octets: &[u8], code: &[u8]) -> bool {
        let line = format!(
            "verify {} {}",
            STANDARD.encode(octets),
            STANDARD.encode(code)
        );
        self.ask(&line) == "right"
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}
