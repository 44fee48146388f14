//! Kamailio from Debian, in the fastest set-up that does the same work: everything in memory
//! (registrations without database, HA1 of all users in a hash table, subscriptions and published
//! documents in memory only; its presence module wants a database all the same and gets an empty
//! folder of text tables that it does not write), no DNS, no logging, one worker process per
//! transport. Nonces are checked for their age only, which is its default.

use super::process::{Process, command};
use super::{Folder, Peer, Setup};
use crate::{Failure, Options};
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Tables that its presence modules look for at start.
const TABLES: [&str; 6] = [
    "version",
    "presentity",
    "active_watchers",
    "watchers",
    "xcap",
    "pua",
];
const SHIPPED: &str = "/usr/share/kamailio/dbtext/kamailio";
const START: Duration = Duration::from_secs(60);

/// Where it is, or why it is left out.
pub(crate) fn find(options: &Options) -> Result<PathBuf, Failure> {
    if options.no_kamailio {
        return Err("left out (--no-kamailio)".to_owned());
    }
    let places = std::env::var_os("PATH").unwrap_or_default();
    let program = std::env::split_paths(&places)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join("kamailio"))
        .find(|path| path.is_file())
        .ok_or("not installed (Debian: kamailio kamailio-presence-modules kamailio-tls-modules)")?;
    let tables = Path::new(SHIPPED).join("presentity");
    if tables.is_file() {
        return Ok(program);
    }
    Err(format!("{} is not there", tables.display()))
}

/// Starts it with users `u0 .. uN` (password `p0 .. pN`) and waits until it answers.
pub(crate) fn start(program: &Path, options: &Options, setup: Setup) -> Result<Peer, Failure> {
    let folder = Folder::new("kamailio")?;
    let tables = folder.0.join("db");
    std::fs::create_dir_all(&tables).map_err(|e| e.to_string())?;
    for table in TABLES {
        let from = Path::new(SHIPPED).join(table);
        std::fs::copy(&from, tables.join(table)).map_err(|e| format!("{}: {e}", from.display()))?;
    }
    let (plain, secure) = (free_port()?, free_port()?);
    if setup.tls {
        certificate(&folder.0)?;
    }
    let text = configuration(&folder.0, plain, setup.tls.then_some(secure), setup.users);
    let path = folder.0.join("kamailio.cfg");
    std::fs::write(&path, text).map_err(|e| e.to_string())?;
    let log = folder.0.join("log");
    let errors = std::fs::File::create(&log).map_err(|e| e.to_string())?;
    let mut command = command(program, !options.no_pin);
    // -DD: no fork into the background; -m and -M: room, which is touched only as far as used.
    command
        .args(["-DD", "-E", "-m", "1024", "-M", "16", "-f"])
        .arg(&path)
        .arg("-w")
        .arg(&folder.0)
        .stdout(Stdio::null())
        .stderr(errors);
    let mut process = Process::spawn(&mut command)?;
    wait(&mut process, plain).map_err(|why| {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        let end: Vec<&str> = log.lines().rev().take(5).collect();
        format!("{why}: {}", end.join(" | "))
    })?;
    Ok(Peer {
        udp: plain,
        tcp: plain,
        tls: setup.tls.then_some(secure),
        process,
        _folder: folder,
    })
}

/// A port that is free for UDP and TCP now.
fn free_port() -> Result<SocketAddr, Failure> {
    for _ in 0..100 {
        let tcp = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
        let at = tcp.local_addr().map_err(|e| e.to_string())?;
        if UdpSocket::bind(at).is_ok() {
            return Ok(at);
        }
    }
    Err("no free port".to_owned())
}

fn certificate(folder: &Path) -> Result<(), Failure> {
    let made = rcgen::generate_simple_self_signed(vec!["example.com".to_owned()]);
    let made = made.map_err(|e| e.to_string())?;
    let files = [
        ("cert.pem", made.cert.pem()),
        ("key.pem", made.signing_key.serialize_pem()),
    ];
    for (name, text) in files {
        std::fs::write(folder.join(name), text).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// Asks until it answers.
fn wait(process: &mut Process, at: SocketAddr) -> Result<(), Failure> {
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    socket
        .set_read_timeout(Some(Duration::from_millis(200)))
        .map_err(|e| e.to_string())?;
    let local = socket.local_addr().map_err(|e| e.to_string())?;
    let start = Instant::now();
    let mut buffer = [0u8; 2048];
    for round in 0u64.. {
        let text = format!(
            "OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKup{round}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:load@example.com>;tag=up\r\nTo: <sip:example.com>\r\n\
             Call-ID: up{round}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
        // A refusal (nobody there yet) shows as an error of send or receive.
        let _ = socket.send_to(text.as_bytes(), at);
        if socket.recv(&mut buffer).is_ok() {
            return Ok(());
        }
        if let Ok(Some(status)) = process.child().try_wait() {
            return Err(format!("Kamailio ended: {status}"));
        }
        if start.elapsed() > START {
            break;
        }
    }
    Err("Kamailio does not answer".to_owned())
}

fn configuration(folder: &Path, at: SocketAddr, tls: Option<SocketAddr>, users: u64) -> String {
    let folder = folder.display();
    let (mut listen, mut module) = (format!("listen=udp:{at}\nlisten=tcp:{at}\n"), String::new());
    if let Some(tls) = tls {
        let _ = writeln!(listen, "enable_tls=yes\nlisten=tls:{tls}");
        let _ = write!(
            module,
            "loadmodule \"tls.so\"\n\
             modparam(\"tls\", \"tls_method\", \"TLSv1.2+\")\n\
             modparam(\"tls\", \"certificate\", \"{folder}/cert.pem\")\n\
             modparam(\"tls\", \"private_key\", \"{folder}/key.pem\")\n"
        );
    }
    let routes = ROUTES.replace("USERS", &users.to_string());
    format!(
        "#!KAMAILIO\n{CORE}{listen}{MODULES}{module}{PARAMETERS}\
         modparam(\"presence\", \"server_address\", \"sip:{at}\")\n\
         modparam(\"presence\", \"db_url\", \"text://{folder}/db\")\n\
         modparam(\"presence_xml\", \"db_url\", \"text://{folder}/db\")\n{routes}"
    )
}

const CORE: &str = "\
debug=0
log_stderror=yes
children=1
socket_workers=1
tcp_children=1
async_workers=0
tcp_connection_lifetime=3605
tcp_max_connections=65536
tls_max_connections=65536
tcp_accept_no_cl=no
alias=\"example.com\"
auto_aliases=no
dns=no
rev_dns=no
use_dns_cache=off
server_signature=no
max_while_loops=1000000
";

const MODULES: &str = "\
loadmodule \"tm.so\"
loadmodule \"sl.so\"
loadmodule \"siputils.so\"
loadmodule \"pv.so\"
loadmodule \"usrloc.so\"
loadmodule \"registrar.so\"
loadmodule \"textops.so\"
loadmodule \"auth.so\"
loadmodule \"htable.so\"
loadmodule \"db_text.so\"
loadmodule \"presence.so\"
loadmodule \"presence_xml.so\"
";

const PARAMETERS: &str = "\
modparam(\"usrloc\", \"db_mode\", 0)
modparam(\"usrloc\", \"hash_size\", 14)
modparam(\"auth\", \"nonce_expire\", 86400)
modparam(\"auth\", \"qop\", \"auth\")
modparam(\"htable\", \"htable\", \"ha1=>size=14;\")
modparam(\"presence\", \"subs_db_mode\", 0)
modparam(\"presence\", \"publ_cache\", 2)
modparam(\"presence\", \"clean_period\", 100)
modparam(\"presence\", \"subs_htable_size\", 14)
modparam(\"presence\", \"pres_htable_size\", 14)
modparam(\"presence\", \"send_fast_notify\", 1)
modparam(\"presence\", \"pres_subs_mode\", 0)
modparam(\"presence_xml\", \"force_active\", 1)
modparam(\"presence_xml\", \"disable_winfo\", 1)
modparam(\"presence_xml\", \"disable_bla\", 1)
modparam(\"presence_xml\", \"disable_xcapdiff\", 1)
";

const ROUTES: &str = "\
event_route[htable:mod-init] {
  $var(i) = 0;
  while ($var(i) < USERS) {
    $var(user) = \"u\" + $var(i);
    $var(secret) = $var(user) + \":example.com:p\" + $var(i);
    $sht(ha1=>$var(user)) = $(var(secret){s.md5});
    $var(i) = $var(i) + 1;
  }
}
request_route {
  if (is_method(\"REGISTER\")) {
    if (!pv_www_authenticate(\"example.com\", \"$sht(ha1=>$au)\", \"1\")) {
      www_challenge(\"example.com\", \"1\");
      exit;
    }
    if ($au != $tU) { sl_send_reply(\"403\", \"Forbidden\"); exit; }
    save(\"location\");
    exit;
  }
  if (has_totag()) {
    if (is_method(\"SUBSCRIBE\")) { handle_subscribe(); exit; }
    sl_send_reply(\"404\", \"Not Found\");
    exit;
  }
  if (is_method(\"MESSAGE|PUBLISH|SUBSCRIBE\")) {
    if (!pv_proxy_authenticate(\"example.com\", \"$sht(ha1=>$au)\", \"1\")) {
      proxy_challenge(\"example.com\", \"1\");
      exit;
    }
    if ($au != $fU) { sl_send_reply(\"403\", \"Forbidden\"); exit; }
    if (is_method(\"PUBLISH\")) { handle_publish(); exit; }
    if (is_method(\"SUBSCRIBE\")) { handle_subscribe(); exit; }
    consume_credentials();
    if (!lookup(\"location\")) { sl_send_reply(\"404\", \"Not Found\"); exit; }
    t_relay();
    exit;
  }
  sl_send_reply(\"405\", \"Method Not Allowed\");
}
";
