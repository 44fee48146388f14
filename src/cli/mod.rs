//! The command line, and the only place that knows all parts and puts them together.

mod archive;
mod archivist;
mod args;
mod chat;
mod check;
mod compose;
mod conversation;
mod demo;
mod filters;
mod fronts;
mod node;
mod out;
mod peer;
mod rule;
mod serve;
mod table;
mod user;
mod view;
mod who;

use crate::config::{Config, ConfigError};
use args::{Arguments, Command, ConsentAnswer, PortalCommand};
use clap::Parser;
use out::Out;
use std::process::ExitCode;

/// How a command ends; the numbers are promised in `--help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: done.
    Done = 0,
    /// 1: refused or failed; the reason was printed.
    Failed = 1,
    // 2: clap's, for a wrong command line.
    /// 3: the configuration is wrong.
    Configuration = 3,
    /// 4: a port, the data directory or the database is not to be had.
    Unavailable = 4,
    /// 5: no server is running.
    NotRunning = 5,
    /// 6: stopped hard, before everything was drained.
    Hard = 6,
}

/// A command that did not succeed: how it ends, and what the operator should read.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    text: String,
}

impl Failure {
    fn new(exit: Exit, text: impl std::fmt::Display) -> Self {
        Self {
            exit,
            text: text.to_string(),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Configuration, error)
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let out = Out::new(arguments.json);
    let exit = match run(&arguments, &out) {
        Ok(exit) => exit,
        Err(failure) => {
            out.failure(&failure.text);
            failure.exit
        }
    };
    ExitCode::from(exit as u8)
}

fn run(arguments: &Arguments, out: &Out) -> Result<Exit, Failure> {
    let config = || Config::load(arguments.config.as_deref());
    match &arguments.command {
        Command::Version => {
            let version = env!("CARGO_PKG_VERSION");
            let kerberos = cfg!(feature = "gssapi");
            let value = serde_json::json!({ "version": version, "kerberos": kerberos });
            out.value(&value, || {
                let with = if kerberos { " (with Kerberos)" } else { "" };
                format!("tristack {version}{with}\n")
            });
            Ok(Exit::Done)
        }
        Command::Check => Ok(check::run(&config()?, out)),
        Command::Serve => block_on(serve::run(config()?)),
        Command::Demo(demo) => block_on(demo::run(demo)),
        Command::Chat {
            address,
            stack,
            server,
            password_file,
        } => {
            let (server, file) = (server.as_deref(), password_file.as_deref());
            let wish = chat::prepare(&config()?, address, *stack, server, file)?;
            block_on(chat::run(wish))
        }
        Command::User(command) => {
            // Read before the runtime starts: standard input blocks.
            let job = user::prepare(command)?;
            block_on(user::run(config()?, job, out))
        }
        Command::Device(command) => block_on(user::run(config()?, user::ruling(command), out)),
        Command::Node(command) => {
            let job = node::prepare_node(command);
            block_on(node::run(config()?, job, out))
        }
        Command::Target(command) => {
            let job = node::prepare_target(command)?;
            block_on(node::run(config()?, job, out))
        }
        Command::Archive(command) => block_on(archive::run(config()?, command.clone(), out)),
        Command::Portal(PortalCommand::Code { address }) => {
            block_on(view::portal_code(config()?, address.clone(), out))
        }
        Command::Who {
            address,
            subscriptions: true,
        } => block_on(view::subscriptions(config()?, address.clone(), out)),
        Command::Who { address, .. } => block_on(who::run(config()?, address.clone(), out)),
        Command::Conversation(command) => block_on(conversation::run(config()?, command, out)),
        Command::Consent {
            address,
            answer,
            watcher,
        } => {
            let accept = *answer == ConsentAnswer::Accept;
            let (address, watcher) = (address.clone(), watcher.clone());
            block_on(view::consent(config()?, (address, watcher, accept), out))
        }
        Command::Callbacks => block_on(view::callbacks(config()?, out)),
        Command::Filter(command) => block_on(filters::run(config()?, command.clone(), out)),
        Command::Rule(command) => block_on(rule::run(config()?, command.clone(), out)),
        Command::Peers => block_on(view::peers(config()?, out)),
        Command::Explain { address } => block_on(view::explain(config()?, address.clone(), out)),
        Command::Trace { message, user } => {
            block_on(view::trace(config()?, message.clone(), user.clone(), out))
        }
    }
}

fn block_on<F>(work: F) -> Result<Exit, Failure>
where
    F: Future<Output = Result<Exit, Failure>>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Unavailable, error))?;
    let ended = runtime.block_on(work);
    // Whatever hangs must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    ended
}
