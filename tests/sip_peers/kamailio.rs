//! Kamailio from Debian as a neighbouring domain: its users on one side, our RVP and SIP users on
//! the other, messages and presence both ways.

use crate::actor::{Actor, Heard, SipActor};
use crate::calls::{connect, hang_up, offer_again};
use crate::phone::Phone;
use crate::scene::{PATIENCE, come_in, hears, ip, place, rvp, says, sees, sip, tail, until};
use crate::server::{Plan, Server};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

const OURS: &str = "a.example";
const THEIRS: &str = "k.example";

/// Whether Kamailio is there; if not, says so, or fails where peers are required.
fn have() -> bool {
    let found = Command::new("kamailio")
        .arg("-v")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let required = std::env::var_os("TRISTACK_TEST_REQUIRE_PEERS").is_some();
    assert!(
        found || !required,
        "kamailio is not installed, and peers are required"
    );
    if !found {
        println!("left out: kamailio is not installed");
    }
    found
}

/// A running Kamailio.
struct Kamailio {
    child: Option<Child>,
    folder: PathBuf,
    at: SocketAddr,
    tls: SocketAddr,
}

impl Kamailio {
    /// Not running yet; its port is known.
    fn new(here: Ipv4Addr) -> Self {
        let folder = std::env::temp_dir().join(format!("tristack-kamailio-{here}"));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        let ports = [(); 2].map(|()| TcpListener::bind((here, 0)).expect("a port"));
        let [at, tls] = ports.map(|port| port.local_addr().expect("its address"));
        Self {
            child: None,
            folder,
            at,
            tls,
        }
    }

    fn configure(&self, by: &str, ours: SocketAddr) {
        let template = Path::new(env!("CARGO_MANIFEST_DIR"));
        let template = template.join("tests/peers/kamailio/kamailio.cfg");
        let mut text = std::fs::read_to_string(template).expect("the template");
        let database = self.folder.join("kamailio.sqlite");
        for (name, value) in [
            ("@AT@", self.at.to_string()),
            ("@IP@", self.at.ip().to_string()),
            ("@BY@", by.to_owned()),
            ("@CALLED@", self.called(by).to_string()),
            ("@TLS@", self.tls.to_string()),
            (
                "@TLSCONF@",
                self.folder.join("tls.cfg").display().to_string(),
            ),
            ("@DB@", database.display().to_string()),
            ("@DOMAIN@", THEIRS.to_owned()),
            ("@OURS@", ours.ip().to_string()),
            ("@THEIRS@", OURS.to_owned()),
            ("@TO@", ours.to_string()),
        ] {
            text = text.replace(name, &value);
        }
        if by == "tls" {
            text = text.replacen("#!KAMAILIO", "#!KAMAILIO\n#!define WITH_TLS", 1);
            self.configure_tls();
        }
        std::fs::write(self.folder.join("kamailio.cfg"), text).expect("a configuration");
        let tables = "import sqlite3, sys\n\
                      base = sqlite3.connect(sys.argv[1])\n\
                      base.execute('pragma journal_mode=wal')\n\
                      for name in ('standard', 'presence'):\n\
                      \x20   base.executescript(open('/usr/share/kamailio/db_sqlite/%s-create.sql' % name).read())\n";
        let made = Command::new("/usr/bin/python3")
            .args(["-c", tables])
            .arg(&database)
            .output()
            .expect("python3 runs");
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        assert!(made.status.success(), "tables: {said}");
    }

    /// Where it is reached.
    fn called(&self, by: &str) -> SocketAddr {
        if by == "tls" { self.tls } else { self.at }
    }

    /// Both ways it shows its certificate and wants to see one.
    fn configure_tls(&self) {
        let file = |name: &str| self.folder.join(name).display().to_string();
        let both = format!(
            "method = TLSv1.2+\nverify_certificate = yes\nrequire_certificate = yes\n\
             private_key = {}\ncertificate = {}\nca_list = {}\n",
            file("k.key"),
            file("k.pem"),
            file("ca.pem"),
        );
        let text = format!("[server:default]\n{both}\n[client:default]\n{both}\n");
        std::fs::write(self.folder.join("tls.cfg"), text).expect("a configuration");
    }

    fn launch(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .expect("a log file");
        let child = Command::new("kamailio")
            .args(["-DD", "-E", "-m", "32", "-M", "4", "-f"])
            .arg(self.folder.join("kamailio.cfg"))
            .arg("-w")
            .arg(&self.folder)
            .arg("-Y")
            .arg(&self.folder)
            .arg("-P")
            .arg(self.folder.join("pid"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("kamailio runs");
        self.child = Some(child);
        self.answers();
    }

    /// Waits until it answers requests.
    fn answers(&self) {
        let socket = std::net::UdpSocket::bind((self.at.ip(), 0)).expect("a socket");
        let span = std::time::Duration::from_millis(200);
        socket.set_read_timeout(Some(span)).expect("a timeout");
        let local = socket.local_addr().expect("its address");
        let probe = format!(
            "OPTIONS sip:nobody@elsewhere.example SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKprobe\r\n\
             Max-Forwards: 0\r\nFrom: <sip:probe@{THEIRS}>;tag=1\r\nTo: <sip:{THEIRS}>\r\n\
             Call-ID: probe\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
        let end = Instant::now() + PATIENCE;
        let mut buffer = [0u8; 2048];
        while Instant::now() < end {
            let _ = socket.send_to(probe.as_bytes(), self.at);
            if socket.recv_from(&mut buffer).is_ok() {
                return;
            }
        }
        panic!("kamailio does not answer:\n{}", self.log());
    }

    /// SIGTERM, and wait for it and its children.
    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// One of its users, registered and online.
    fn user(&self, name: &str, by: &str) -> SipActor {
        let actor = if by == "tcp" {
            SipActor::tcp(name, self.at)
        } else {
            SipActor::udp(name, self.at)
        };
        come_in(actor.expect("a client").of(THEIRS))
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("--- kamailio\n{}", self.log());
        } else {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// An authority of our own, and certificates of both domains from it.
fn certificates(folder: &Path) {
    let openssl = |arguments: &str| {
        let output = Command::new("openssl")
            .current_dir(folder)
            .args(arguments.split(' '))
            .output()
            .expect("openssl runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "openssl {arguments}: {said}");
    };
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&format!(
        "req -x509 {new} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"
    ));
    for (file, domain) in [("a", OURS), ("k", THEIRS)] {
        openssl(&format!(
            "req {new} -keyout {file}.key -out {file}.csr -subj /CN=server -addext subjectAltName=DNS:{domain}"
        ));
        openssl(&format!(
            "x509 -req -in {file}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {file}.pem -days 2 -copy_extensions copy"
        ));
    }
}

/// Ours and theirs.
struct Border {
    ours: Server,
    theirs: Kamailio,
}

impl Border {
    fn start(by: &str) -> Self {
        let (here, there) = (place(), place());
        let mut theirs = Kamailio::new(there);
        let trust = if by == "tls" { "tls" } else { "address" };
        let mut rest = format!(
            "[sip.peers.\"{THEIRS}\"]\nroute = \"sip:{};transport={by}\"\ntrust = \"{trust}\"\n\
             [domain.\"{OURS}\"]\nforeign = [\"{THEIRS}\"]\n",
            theirs.called(by)
        );
        let mut sip = "peer_check = \"500ms\"\n".to_owned();
        let tls = SocketAddr::new(ip(here), 0);
        let tls = TcpListener::bind(tls).and_then(|port| port.local_addr());
        let tls = tls.expect("a free port");
        if by == "tls" {
            certificates(&theirs.folder);
            sip += &format!("tls = [\"{tls}\"]\nclient_certificates = \"ask\"\n");
            let file = |name: &str| theirs.folder.join(name).display().to_string();
            rest += &format!(
                "[tls]\ncertificate = \"{}\"\nkey = \"{}\"\nauthorities = [\"{}\"]\n",
                file("a.pem"),
                file("a.key"),
                file("ca.pem")
            );
        }
        let ours = Server::planned(&Plan {
            domain: OURS,
            ip: ip(here),
            users: &["alice", "bob"],
            rvp: crate::scene::NEAR,
            sip: &sip,
            rest: &rest,
        });
        let to = match by {
            "tls" => tls,
            "tcp" => ours.sip_tcp,
            _ => ours.sip_udp,
        };
        theirs.configure(by, to);
        theirs.launch();
        Self { ours, theirs }
    }
}

impl Drop for Border {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- ours\n{}", tail(&self.ours));
        }
    }
}

fn talk_and_see(by: &str) {
    if !have() {
        return;
    }
    let border = Border::start(by);
    let mut alice = rvp("alice", &border.ours);
    let mut bob = sip("bob", &border.ours, OURS);
    let mut carol = border.theirs.user("carol", by);

    // Messages both ways, to either kind of ours.
    for (who, name) in [(&mut alice as &mut dyn Actor, "alice"), (&mut bob, "bob")] {
        says(
            who,
            "carol@k.example",
            &format!("from {name} \u{e4}\u{4e2d}"),
        );
        hears(&carol, name, &format!("from {name} \u{e4}\u{4e2d}"));
    }
    for (who, name) in [(&alice as &dyn Actor, "alice"), (&bob, "bob")] {
        says(
            &mut carol,
            &format!("{name}@a.example"),
            &format!("to {name}"),
        );
        hears(who, "carol", &format!("to {name}"));
    }

    // Typing.
    assert_eq!(alice.typing("carol@k.example").unwrap() / 100, 2);
    let typing = |from: &str| Heard::Typing {
        from: from.to_owned(),
        active: true,
    };
    crate::scene::waits(&carol, &typing("alice"));
    assert_eq!(carol.typing("alice@a.example").unwrap() / 100, 2);
    crate::scene::waits(&alice, &typing("carol"));

    // They are seen.
    for who in [&mut alice as &mut dyn Actor, &mut bob] {
        who.watch("carol@k.example").expect("watching");
        sees(who, "carol", "online");
    }
    carol.set_state("busy").expect("published");
    for who in [&alice as &dyn Actor, &bob] {
        sees(who, "carol", "busy");
    }

    // They see.
    for name in ["alice", "bob"] {
        carol.watch(&format!("{name}@a.example")).expect("watching");
        sees(&carol, name, "online");
    }
    alice.set_state("at-lunch").expect("set");
    sees(&carol, "alice", "at-lunch");
    bob.set_state("on-phone").expect("set");
    sees(&carol, "bob", "on-phone");
}

#[test]
fn kamailio_users_and_ours_call_each_other() {
    if !have() {
        return;
    }
    for by in ["udp", "tcp"] {
        let border = Border::start(by);
        let mut alice = Phone::of("alice", OURS, border.ours.sip_udp);
        let mut carol = Phone::of("carol", THEIRS, border.theirs.at);
        let (call, theirs) = connect(&mut alice, &mut carol, "carol@k.example");
        offer_again(&mut carol, &theirs, &alice);
        hang_up(&mut alice, &call, &carol);
        let (call, theirs) = connect(&mut carol, &mut alice, "alice@a.example");
        offer_again(&mut carol, &call, &alice);
        hang_up(&mut alice, &theirs, &carol);
    }
}

#[test]
fn kamailio_users_and_ours_talk_and_see_each_other_over_udp() {
    talk_and_see("udp");
}

#[test]
fn kamailio_users_and_ours_talk_and_see_each_other_over_tcp() {
    talk_and_see("tcp");
}

#[test]
fn rfc_5922_kamailio_and_we_prove_who_we_are_by_certificates() {
    talk_and_see("tls");
}

#[test]
fn kamailio_dies_and_comes_back_and_so_do_we() {
    if !have() {
        return;
    }
    let mut border = Border::start("tcp");
    let mut alice = rvp("alice", &border.ours);
    let mut bob = sip("bob", &border.ours, OURS);
    let carol = border.theirs.user("carol", "udp");
    for who in [&mut alice as &mut dyn Actor, &mut bob] {
        who.watch("carol@k.example").expect("watching");
        sees(who, "carol", "online");
    }

    // It is gone: its people are shown offline, senders are told.
    border.theirs.stop();
    for who in [&alice as &dyn Actor, &bob] {
        sees(who, "carol", "offline");
    }
    until(
        || alice.say("carol@k.example", "?").unwrap(),
        |told| told == 412,
    );
    until(
        || bob.say("carol@k.example", "?").unwrap(),
        |told| told == 480,
    );

    // It is there again, with nothing but its users' publications left.
    border.theirs.launch();
    drop(carol);
    let mut carol = border.theirs.user("carol", "udp");
    for who in [&alice as &dyn Actor, &bob] {
        sees(who, "carol", "online");
    }
    until(
        || alice.say("carol@k.example", "back").unwrap(),
        |told| told == 200,
    );
    hears(&carol, "alice", "back");

    // We are gone and there again: watches go on.
    border.ours.kill_and_restart();
    carol.set_state("away").expect("published");
    for who in [&alice as &dyn Actor, &bob] {
        sees(who, "carol", "away");
    }
    says(&mut carol, "alice@a.example", "still there?");
    hears(&alice, "carol", "still there?");
}
