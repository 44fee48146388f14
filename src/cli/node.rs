//! `tristack node ...` and `tristack target ...`: through the running server, else on storage
//! itself.

use super::args::{MemberCommand, NodeCommand, TargetCommand};
use super::out::Out;
use super::table::Table;
use super::user::{on_storage, rows_text};
use super::{Exit, Failure, user};
use crate::config::Config;
use crate::control::{
    Done, Lock, LockError, NodeRequest, NodeRow, Request, RowState, TargetRequest, TargetRow,
};
use std::path::Path;

/// Longest secret of a target, in octets.
const SECRET_MAX: usize = 4096;

/// What is to be done; all input is read.
pub(super) enum Job {
    Node(NodeRequest),
    Members(String),
    Target(TargetRequest),
}

pub(super) fn prepare_node(command: &NodeCommand) -> Job {
    Job::Node(match command {
        NodeCommand::Add { path, owner } => NodeRequest::Add {
            path: path.clone(),
            owner: owner.clone(),
        },
        NodeCommand::List => NodeRequest::List,
        NodeCommand::Remove { path } => NodeRequest::Remove { path: path.clone() },
        NodeCommand::Members { path, command } => match command {
            MemberCommand::List => return Job::Members(path.clone()),
            MemberCommand::Add { address } => NodeRequest::AddMember {
                path: path.clone(),
                address: address.clone(),
            },
            MemberCommand::Remove { address } => NodeRequest::RemoveMember {
                path: path.clone(),
                address: address.clone(),
            },
        },
    })
}

pub(super) fn prepare_target(command: &TargetCommand) -> Result<Job, Failure> {
    Ok(Job::Target(match command {
        TargetCommand::Add {
            node,
            url,
            secret_file,
        } => TargetRequest::Add {
            node: node.clone(),
            url: url.clone(),
            secret: secret_file.as_deref().map_or(Ok(String::new()), secret)?,
        },
        TargetCommand::List => TargetRequest::List,
        TargetCommand::Remove { node, url } => TargetRequest::Remove {
            node: node.clone(),
            url: url.clone(),
        },
    }))
}

/// The first line of the file.
fn secret(file: &Path) -> Result<String, Failure> {
    let wrong = |why: &dyn std::fmt::Display| {
        Failure::new(Exit::Failed, format!("{}: {why}", file.display()))
    };
    let text = std::fs::read_to_string(file).map_err(|e| wrong(&e))?;
    let line = text.split(['\r', '\n']).next().unwrap_or_default();
    if line.is_empty() || line.len() > SECRET_MAX {
        return Err(wrong(&"the secret is its first line, 1 to 4096 octets"));
    }
    Ok(line.to_owned())
}

pub(super) async fn run(config: Config, job: Job, out: &Out) -> Result<Exit, Failure> {
    let done = match Lock::take(&config.lock_file()) {
        Ok(lock) => {
            let done = offline(&config, &job).await;
            drop(lock);
            done?
        }
        Err(LockError::Held { .. }) => online(&config, &job).await?,
        Err(error) => return Err(Failure::new(Exit::Unavailable, error)),
    };
    match (done, job) {
        (Done::Rows(rows), _) => {
            let refused = rows.iter().any(|row| row.result == RowState::Refused);
            out.value(&rows, || rows_text(&rows));
            Ok(if refused { Exit::Failed } else { Exit::Done })
        }
        (Done::Nodes(nodes), Job::Members(path)) => members(&nodes, &path, out),
        (Done::Nodes(nodes), _) => {
            out.value(&nodes, || nodes_text(&nodes));
            Ok(Exit::Done)
        }
        (Done::Targets(targets), _) => {
            out.value(&targets, || targets_text(&targets));
            Ok(Exit::Done)
        }
        (other, _) => Err(Failure::new(Exit::Failed, format!("unexpected: {other:?}"))),
    }
}

async fn online(config: &Config, job: &Job) -> Result<Done, Failure> {
    let mut client = user::connect(config).await?;
    let request = match job {
        Job::Node(request) => Request::Node(request.clone()),
        Job::Members(_) => Request::Node(NodeRequest::List),
        Job::Target(request) => Request::Target(request.clone()),
    };
    client.ask(&request).await.map_err(Into::into)
}

async fn offline(config: &Config, job: &Job) -> Result<Done, Failure> {
    let failed = |why: String| Failure::new(Exit::Failed, why);
    let (accounts, store) = on_storage(config).await?;
    let done = match job {
        Job::Node(NodeRequest::List) | Job::Members(_) => Ok(Done::Nodes(accounts.nodes())),
        Job::Node(request) => accounts.node(request.clone()).await.map(Done::Rows),
        Job::Target(TargetRequest::List) => accounts.targets().await.map(Done::Targets),
        Job::Target(request) => accounts.target(request.clone()).await.map(Done::Rows),
    };
    store.close().await;
    done.map_err(failed)
}

fn members(nodes: &[NodeRow], path: &str, out: &Out) -> Result<Exit, Failure> {
    let (wanted, domain) = path.rsplit_once('@').unwrap_or((path, ""));
    let wanted = wanted.trim_end_matches('/').to_lowercase();
    let found = nodes
        .iter()
        .find(|node| node.path == wanted && (domain.is_empty() || node.domain == domain));
    let Some(node) = found else {
        let why = "no such node; `tristack node list` shows which there are";
        return Err(Failure::new(Exit::Failed, why));
    };
    out.value(&node.members, || {
        let mut text = node.members.join("\n");
        text.extend((!text.is_empty()).then_some('\n'));
        text
    });
    Ok(Exit::Done)
}

fn nodes_text(nodes: &[NodeRow]) -> String {
    let mut table = Table::new(&["PATH", "DOMAIN", "OWNER", "MEMBERS", "ADDRESS"]);
    for node in nodes {
        table.row([
            node.path.clone(),
            node.domain.clone(),
            node.owner.clone().unwrap_or_default(),
            node.members.len().to_string(),
            node.aliases.join(" "),
        ]);
    }
    table.print()
}

fn targets_text(targets: &[TargetRow]) -> String {
    let mut table = Table::new(&["ID", "NODE", "URL", "SIGNED", "WAITING", "FAILED", "LAST"]);
    for target in targets {
        table.row([
            target.id.to_string(),
            target.node.clone(),
            target.url.clone(),
            if target.signed { "yes" } else { "no" }.to_owned(),
            format!("{} ({} octets)", target.waiting, target.octets),
            target.failures.to_string(),
            target.last.clone(),
        ]);
    }
    table.print()
}
