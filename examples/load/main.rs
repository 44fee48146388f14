//! Measures a Tristack server from outside, over real sockets on loopback, with clients written
//! here from the protocols' texts (none of the server's own code), and prints a table.
//!
//! ```text
//! cargo build --release && cargo run --release --example load -- --all
//! cargo run --release --example load -- sip-sip rvp-rvp --seconds 5
//! ```
//!
//! Starts the release binary itself, pinned to core 0 (`taskset`), with a fresh data directory
//! and free ports; runs on core 1; stops by itself. Bounded in count and time.

mod http;
mod report;
mod server;
mod sip;
mod work;

use clap::Parser;
use report::Row;
use std::process::ExitCode;

/// Load tool: message rates, registrations, presence fan-out, memory per user.
#[derive(Parser, Debug)]
struct Options {
    /// What to measure: register sip-sip sip-rvp rvp-sip rvp-rvp fanout-sip fanout-rvp memory.
    #[arg(value_parser = WORKLOADS.to_vec())]
    workloads: Vec<String>,
    /// All of them.
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
    binary: Option<std::path::PathBuf>,
    /// Do not pin the server and this tool to one core each.
    #[arg(long)]
    no_pin: bool,
    /// Keep the server's log in this file.
    #[arg(long)]
    log: Option<std::path::PathBuf>,
}

const WORKLOADS: [&str; 8] = [
    "register",
    "sip-sip",
    "sip-rvp",
    "rvp-sip",
    "rvp-rvp",
    "fanout-sip",
    "fanout-rvp",
    "memory",
];

fn main() -> ExitCode {
    let options = Options::parse();
    let chosen: Vec<&str> = WORKLOADS
        .into_iter()
        .filter(|name| options.all || options.workloads.iter().any(|wanted| wanted == name))
        .collect();
    if chosen.is_empty() {
        eprintln!("load: name a workload or say --all (see --help)");
        return ExitCode::from(2);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = runtime
        .map_err(anyhow)
        .and_then(|rt| rt.block_on(run(&options, &chosen)));
    match result {
        Ok(rows) => {
            report::print(&rows);
            if rows.iter().all(Row::meets_floor) {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(1)
            }
        }
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::from(2)
        }
    }
}

/// Any failure of the tool itself, as text for a person.
pub(crate) type Failure = String;

fn anyhow(error: impl std::fmt::Display) -> Failure {
    error.to_string()
}

async fn run(options: &Options, chosen: &[&str]) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for name in chosen {
        eprintln!("load: {name} ...");
        let users = if *name == "memory" {
            options.users
        } else {
            400
        };
        let server = server::Server::start(options, users)?;
        let plan = work::Plan {
            server: &server,
            seconds: options.seconds,
            window: options.window,
        };
        let mut result = match *name {
            "register" => work::register(&plan).await,
            "sip-sip" => work::messages(&plan, work::Kind::Sip, work::Kind::Sip).await,
            "sip-rvp" => work::messages(&plan, work::Kind::Sip, work::Kind::Rvp).await,
            "rvp-sip" => work::messages(&plan, work::Kind::Rvp, work::Kind::Sip).await,
            "rvp-rvp" => work::messages(&plan, work::Kind::Rvp, work::Kind::Rvp).await,
            "fanout-sip" => work::fanout(&plan, work::Kind::Sip).await,
            "fanout-rvp" => work::fanout(&plan, work::Kind::Rvp).await,
            _ => work::memory(&plan, users).await,
        }
        .map_err(|error| format!("{name}: {error}"))?;
        rows.append(&mut result);
        server.stop();
    }
    Ok(rows)
}
