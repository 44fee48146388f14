//! `tristack demo`: a server with four users, at once, on an empty machine.

mod lan;
mod page;
mod script;

use super::out::print;
use super::serve::{Server, Signals};
use super::{Exit, Failure};
use crate::config::Config;
use crate::control::{RowState, UserRow};
use crate::core::address::normal_domain;
use crate::telemetry;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// What the command line said.
#[derive(clap::Args, Debug)]
pub(super) struct DemoArguments {
    /// Listen on this machine's LAN address with RVP on port 80, generate passwords, and print
    /// what old clients need
    #[arg(long, value_name = "DOMAIN", num_args = 0..=1, default_missing_value = "example.com")]
    lan: Option<String>,
    /// Play a conversation between built-in clients over real sockets, print it, stop
    #[arg(long, conflicts_with = "lan")]
    script: bool,
    /// RVP port [default: 8080; 80 with --lan]
    #[arg(long, value_name = "PORT")]
    rvp_port: Option<u16>,
    /// SIP port, UDP and TCP [default: 5060]
    #[arg(long, value_name = "PORT")]
    sip_port: Option<u16>,
    /// Administration port [default: 8090]
    #[arg(long, value_name = "PORT")]
    admin_port: Option<u16>,
    /// Address for --lan, if the one found is not the right one
    #[arg(long, value_name = "IP", requires = "lan")]
    address: Option<IpAddr>,
}

/// A user of the demo.
pub(super) struct DemoUser {
    pub(super) name: &'static str,
    pub(super) password: String,
}

/// A fresh data directory, removed when the demo ends.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) async fn run(arguments: &DemoArguments) -> Result<Exit, Failure> {
    let fail = |error: &dyn std::fmt::Display| Failure::new(Exit::Failed, error);
    let domain = arguments.lan.as_deref().unwrap_or("example.com");
    let domain = normal_domain(domain).map_err(|why| fail(&format!("{domain:?}: {why}")))?;
    let ip = match (&arguments.lan, arguments.address) {
        (None, _) => IpAddr::from([127, 0, 0, 1]),
        (Some(_), Some(address)) => address,
        (Some(_), None) => lan::own_address()
            .ok_or_else(|| fail(&"no LAN address found; name it with --address IP"))?,
    };
    let scratch = scratch().map_err(|e| fail(&e))?;
    let config = configuration(arguments, &domain, ip, &scratch.0)?;
    telemetry::start(&config.log);
    let mut users = Vec::new();
    for name in USERS {
        let password = match &arguments.lan {
            Some(_) => lan::password().map_err(|e| fail(&e))?,
            None => name.to_owned(),
        };
        users.push(DemoUser { name, password });
    }
    let mut signals = Signals::new()?;
    let server = tokio::select! {
        started = Server::start(config) => started.map_err(|failure| with_hint(failure, arguments))?,
        () = signals.next() => return Ok(Exit::Done),
    };
    add_users(&server, &users, &domain).await?;
    if arguments.script {
        let played = script::play(&server).await;
        server.drain().await;
        return played;
    }
    let text = match &arguments.lan {
        Some(_) => lan::page(&server, &users, &domain, ip),
        None => page::page(&server, &users, &domain),
    };
    print(&text);
    print(&format!("{}\n", server.ready_line()));
    let ended = server.until_stopped(signals).await;
    drop(scratch);
    ended
}

async fn add_users(server: &Server, users: &[DemoUser], domain: &str) -> Result<(), Failure> {
    let rows = users
        .iter()
        .map(|user| UserRow {
            address: format!("{}@{domain}", user.name),
            password: user.password.clone(),
            display_name: capital(user.name),
        })
        .collect();
    let results = server.accounts.put(rows, true).await;
    match results.iter().find(|row| row.result == RowState::Refused) {
        Some(row) => Err(Failure::new(
            Exit::Failed,
            format!("{}: {}", row.address, row.why),
        )),
        None => Ok(()),
    }
}

/// `alice` as a display name.
pub(super) fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

fn scratch() -> std::io::Result<Scratch> {
    let mut random = [0u8; 6];
    getrandom::fill(&mut random).map_err(std::io::Error::other)?;
    let name = random
        .iter()
        .fold("tristack-demo-".to_owned(), |mut name, octet| {
            let _ = write!(name, "{octet:02x}");
            name
        });
    let path = std::env::temp_dir().join(name);
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(&path)?;
    Ok(Scratch(path))
}

/// The demo has its own configuration and takes none from outside.
fn configuration(
    arguments: &DemoArguments,
    domain: &str,
    ip: IpAddr,
    data: &Path,
) -> Result<Config, Failure> {
    let port = |given: Option<u16>, usual| match given {
        Some(port) => port,
        // The script needs no known ports and must not meet a running demo.
        None if arguments.script => 0,
        None => usual,
    };
    let rvp = port(
        arguments.rvp_port,
        if arguments.lan.is_some() { 80 } else { 8080 },
    );
    let sip = port(arguments.sip_port, 5060);
    // Who chooses the SIP port gets free ones for its companions.
    let beside = |usual| match arguments.sip_port {
        Some(_) => 0,
        None => port(None, usual),
    };
    let (tls, ws) = (beside(5061), beside(8081));
    let admin = port(arguments.admin_port, 8090);
    let bracketed = |port| std::net::SocketAddr::new(ip, port);
    let mut hosts = vec![
        format!("im.{domain}"),
        "localhost".into(),
        "127.0.0.1".into(),
    ];
    if arguments.lan.is_some() {
        hosts.extend([domain.to_owned(), ip.to_string()]);
    }
    let text = format!(
        "[server]\ndata_dir = {data:?}\ndomains = [\"{domain}\"]\n\
         [rvp]\nlisten = [\"{rvp}\"]\nhosts = {hosts:?}\n\
         [sip]\nudp = [\"{sip}\"]\ntcp = [\"{sip}\"]\ntls = [\"{tls}\"]\nws = [\"{ws}\"]\n\
         [admin]\nlisten = \"127.0.0.1:{admin}\"\n[log]\nlevel = \"warn\"\n",
        data = data.display().to_string(),
        rvp = bracketed(rvp),
        sip = bracketed(sip),
        tls = bracketed(tls),
        ws = bracketed(ws),
    );
    Ok(Config::from_text(&text, None, BTreeMap::new())?)
}

fn with_hint(failure: Failure, arguments: &DemoArguments) -> Failure {
    if failure.exit != Exit::Unavailable {
        return failure;
    }
    let mut text = failure.text;
    if arguments.lan.is_some() && text.contains("may not open") {
        text.push_str(
            "\nOld RVP clients dial port 80 and nothing else. Either run this as root, or allow it once:\n  \
             sudo setcap cap_net_bind_service=+ep $(command -v tristack)\n  \
             sudo sysctl net.ipv4.ip_unprivileged_port_start=80",
        );
    } else if text.contains("is taken") {
        text.push_str("\nOther ports: --rvp-port, --sip-port, --admin-port.");
    }
    Failure {
        exit: failure.exit,
        text,
    }
}
