//! Measures a Tristack server from outside, over real sockets on loopback, with clients written
//! here from the protocols' texts (none of the server's own code), and prints a table.
//!
//! ```text
//! cargo build --release && cargo run --release --example load -- --all
//! cargo run --release --example load -- register rvp-rvp --seconds 5
//! ```
//!
//! Starts the release binary itself, pinned to core 0 (`taskset`), with a fresh data directory
//! and free ports; runs on core 1; stops by itself. Bounded in count and time. What SIP servers
//! have in common is measured on Kamailio too, in the same run, if it is installed.

// Figures for a table: counts are far below the 52 bits that a float keeps exactly.
#![allow(clippy::cast_precision_loss)]

mod agent;
mod catalog;
mod http;
mod meter;
mod report;
mod server;
mod sip;
mod wire;
mod work;

use catalog::{WORKLOADS, Workload};
use clap::Parser;
use report::{Other, Row};
use server::tristack::Server;
use server::{Setup, kamailio};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use wire::Transport;
use work::fault::half_open::Island;
use work::{Kind, Plan};

/// Load tool: what the server does per second, what an operation and an idle client cost, and what
/// becomes of that under faults.
#[derive(Parser, Debug)]
#[command(after_help = HELP)]
struct Options {
    /// What to measure: workloads or families of them (see below).
    workloads: Vec<String>,
    /// Everything but what `--long` brings.
    #[arg(long)]
    all: bool,
    /// Seconds each rate is measured for (after one second of warm-up), 1 to 60.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Requests under way at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=200))]
    window: u64,
    /// Users signed in for `memory` (half RVP, half SIP over TCP).
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(10..=50_000))]
    users: u64,
    /// The server binary; default: `tristack` beside this example's folder.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Do not pin the servers and this tool to one core each.
    #[arg(long)]
    no_pin: bool,
    /// Measure ours only.
    #[arg(long)]
    no_kamailio: bool,
    /// Keep the server's log in this file.
    #[arg(long)]
    log: Option<PathBuf>,
    /// Also what needs minutes or root: half-open connections, churn, longer faults.
    #[arg(long)]
    long: bool,
    /// Clients that will vanish; started by the tool itself.
    #[arg(long, hide = true, num_args = 2)]
    hold: Vec<SocketAddr>,
    /// The yardstick for RVP; started by the tool itself.
    #[arg(long, hide = true)]
    echo_server: bool,
}

const HELP: &str = "\
Workloads, by family:
  sip     register sip-sip sip-sip-tcp publish notify-20x50 notify-1x500 fanout-sip
  rvp     rvp-rvp renew change-500 fanout-rvp
  bridge  sip-rvp rvp-sip
  archive archive (messages with it off, on, required) archive-1m (with --long or by name)
  memory  signed-in idle users subscriptions
  faults  dead slow slowloris restart half-open (with --long or by name)
  soak    churn (with --long or by name)

Examples:
  cargo build --release
  cargo run --release --example load -- --all
  cargo run --release --example load -- sip --seconds 10     one family
  cargo run --release --example load -- register publish     two workloads
  chrt -f 10 target/release/examples/load --all              on a busy machine (root)

Reading the table: `cpu us` is CPU time of the server, user and system, per operation; it hardly
depends on what else runs on the machine, rates and latencies do. `kamailio` is the same figure
(CPU or memory) of Kamailio, measured in this run with the same clients, `ratio` ours by its.
Install it with: apt-get install kamailio kamailio-presence-modules kamailio-tls-modules
Without it these columns are left out, and goals that need them are not judged.

Exit code: 0 all judged goals met; 1 a goal was missed or an operation failed; 2 the tool could
not do its work.";

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return trouble(&error.to_string()),
    };
    if options.echo_server {
        let ended = runtime.block_on(server::echo::serve());
        return ended.map_or_else(|error| trouble(&error), |()| ExitCode::SUCCESS);
    }
    if let [http, sip] = options.hold[..] {
        let ended = runtime.block_on(work::fault::half_open::hold(http, sip));
        return ended.map_or_else(|error| trouble(&error), |()| ExitCode::SUCCESS);
    }
    let chosen = match choose(&options) {
        Ok(chosen) => chosen,
        Err(error) => return trouble(&error),
    };
    let other = kamailio::find(&options);
    if let Err(why) = &other
        && chosen.iter().any(|workload| workload.compared)
    {
        eprintln!("load: Kamailio: {why}; its column is left out, goals against it not judged");
    }
    match runtime.block_on(run(&options, &chosen, other.as_deref().ok())) {
        Ok(rows) => {
            report::print(&rows, other.is_ok());
            if rows.iter().all(Row::is_good) {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(1)
            }
        }
        Err(error) => trouble(&error),
    }
}

fn trouble(error: &str) -> ExitCode {
    eprintln!("load: {error}");
    ExitCode::from(2)
}

/// Any failure of the tool itself, as text for a person.
pub(crate) type Failure = String;

fn choose(options: &Options) -> Result<Vec<&'static Workload>, Failure> {
    let known = |wanted: &String| {
        let mut all = WORKLOADS.iter();
        all.any(|w| w.name == wanted || w.family == wanted)
    };
    if let Some(unknown) = options.workloads.iter().find(|wanted| !known(wanted)) {
        return Err(format!("there is no workload {unknown:?} (see --help)"));
    }
    let wanted = |w: &&Workload| {
        let mut wanted = options.workloads.iter();
        let named = wanted.any(|wanted| w.name == wanted || (w.family == wanted && !w.long));
        named || (w.long && options.long) || (options.all && !w.long)
    };
    let chosen: Vec<_> = WORKLOADS.iter().filter(wanted).collect();
    if chosen.is_empty() {
        return Err("name a workload or say --all (see --help)".to_owned());
    }
    Ok(chosen)
}

async fn run(
    options: &Options,
    chosen: &[&Workload],
    other: Option<&std::path::Path>,
) -> Result<Vec<Row>, Failure> {
    if !options.no_pin {
        server::process::pin_self();
    }
    let plan = Plan {
        seconds: options.seconds,
        window: usize::try_from(options.window).unwrap_or(64),
        pin: !options.no_pin,
        long: options.long,
        tls: wire::connector()?,
    };
    let mut rows = Vec::new();
    for workload in chosen {
        eprintln!("load: {} ({}) ...", workload.name, workload.about);
        let named = |error: Failure| format!("{}: {error}", workload.name);
        let users = if workload.users == 0 {
            options.users
        } else {
            workload.users
        };
        let island = match workload.name {
            "half-open" => Some(Island::new().map_err(named)?),
            _ => None,
        };
        let setup = Setup {
            users,
            tls: workload.name == "idle",
            archive: None,
            also: island.as_ref().map(|island| island.address),
        };
        let mut server = Server::start(options, setup)?;
        let result = match &island {
            Some(island) => work::fault::half_open::half_open(&server, island).await,
            None => ours(workload, &mut server, &plan, users).await,
        };
        let mut result = result.map_err(named)?;
        server.stop();
        if workload.name == "archive" {
            let cost = work::archive::cost(options, setup, &plan, &result).await;
            result.extend(cost.map_err(named)?);
        }
        if let Some(program) = other.filter(|_| workload.compared) {
            eprintln!("load: {} on Kamailio ...", workload.name);
            let peer = kamailio::start(program, options, setup)?;
            // The other server's failure is a line in the table, not the end of the run.
            let theirs = compared(workload, &peer, &plan).await;
            beside(&mut result, theirs);
        }
        rows.append(&mut result);
    }
    Ok(rows)
}

async fn ours(
    workload: &Workload,
    server: &mut Server,
    plan: &Plan,
    users: u64,
) -> Result<Vec<Row>, Failure> {
    if workload.compared {
        return compared(workload, &server.peer, plan).await;
    }
    match workload.name {
        "sip-rvp" => work::message::cross(server, plan, Kind::Sip, Kind::Rvp).await,
        "rvp-sip" => work::message::cross(server, plan, Kind::Rvp, Kind::Sip).await,
        "rvp-rvp" => work::relay::against_echo(server, plan).await,
        "renew" => work::relay::renew(server, plan).await,
        "change-500" => work::relay::change(server, plan).await,
        "archive-1m" => work::archived::million(server).await,
        "archive" => work::archive::without(server, plan).await,
        "fanout-sip" => work::fanout::fan_out(server, plan, Kind::Sip).await,
        "fanout-rvp" => work::fanout::fan_out(server, plan, Kind::Rvp).await,
        "signed-in" => work::memory::signed_in(server, users).await,
        "dead" => work::fault::dead::dead(server, plan.span(60, 180)).await,
        "slow" => work::fault::slow::slow(server).await,
        "slowloris" => work::fault::slowloris::slowloris(server).await,
        "restart" => work::fault::restart::restart(server).await,
        other => Err(format!("{other} is not written")),
    }
}

/// What every SIP server can do.
async fn compared(
    workload: &Workload,
    peer: &server::Peer,
    plan: &Plan,
) -> Result<Vec<Row>, Failure> {
    match workload.name {
        "register" => work::register::refresh(peer, plan).await,
        "sip-sip" => work::message::relay(peer, plan, Transport::Udp).await,
        "sip-sip-tcp" => work::message::relay(peer, plan, Transport::Tcp).await,
        "publish" => work::publish::change(peer, plan).await,
        "notify-20x50" => work::notify::fan_out(peer, plan, 20, 50).await,
        "notify-1x500" => work::notify::fan_out(peer, plan, 1, 500).await,
        "idle" => work::connections::idle(peer, plan).await,
        "users" => work::memory::users(peer, plan).await,
        "subscriptions" => work::memory::subscriptions(peer, plan).await,
        "churn" => work::soak::churn(peer, plan.span(60, 240)).await,
        other => Err(format!("{other} is not written")),
    }
}

/// Puts the other server's figures beside ours.
fn beside(ours: &mut [Row], theirs: Result<Vec<Row>, Failure>) {
    let theirs = theirs.unwrap_or_else(|error| {
        eprintln!("load: Kamailio failed: {error}");
        Vec::new()
    });
    for row in ours.iter_mut().filter(|row| row.compare.is_some()) {
        let same = theirs.iter().find(|other| other.name == row.name);
        // A figure with failures in it is no measure.
        let figure = same.filter(|other| other.failures == 0);
        row.other = match figure.and_then(Row::compared) {
            Some(figure) => Other::Figure(figure),
            None => Other::Failed,
        };
        if let Some(same) = same.filter(|same| same.failures > 0) {
            eprintln!("load: Kamailio: {}: {} failures", same.name, same.failures);
        }
    }
}
