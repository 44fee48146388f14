//! `tristack user ...`: through the running server, else on storage itself.

use super::args::{DeviceCommand, UserCommand};
use super::out::Out;
use super::table::Table;
use super::{Exit, Failure, compose};
use crate::config::Config;
use crate::control::{
    Accounts, Backend, Client, ClientError, DeviceRequest, Done, Lock, LockError, Request,
    RowResult, RowState, UserRow,
};
use crate::core::port::Store;
use crate::hub::Directory;
use crate::storage::{self, Database};
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

/// Accounts per request of an import.
const BATCH: usize = 1000;
/// Longest password read from standard input.
const PASSWORD_MAX: u64 = 4096;

/// What is to be done; all input is read.
pub(super) enum Job {
    Put { rows: Vec<UserRow>, update: bool },
    Remove(String),
    Password(String, String),
    Rename(String, String),
    Device(DeviceRequest),
    List,
}

/// Reads passwords and files.
pub(super) fn prepare(command: &UserCommand) -> Result<Job, Failure> {
    Ok(match command {
        UserCommand::Add {
            address,
            display_name,
            ..
        } => Job::Put {
            rows: vec![UserRow {
                address: address.clone(),
                password: password()?,
                display_name: display_name.clone().unwrap_or_default(),
            }],
            update: false,
        },
        UserCommand::List => Job::List,
        UserCommand::Remove { address } => Job::Remove(address.clone()),
        UserCommand::Passwd { address, .. } => Job::Password(address.clone(), password()?),
        UserCommand::Rename { address, to } => Job::Rename(address.clone(), to.clone()),
        UserCommand::Set {
            address,
            delivery,
            prefer,
        } => Job::Device(DeviceRequest::Set {
            address: address.clone(),
            delivery: delivery.clone(),
            prefer: prefer.clone(),
        }),
        UserCommand::Import { file } => Job::Put {
            rows: read_csv(file)?,
            update: true,
        },
    })
}

/// What is to be ruled about two sign-ins.
pub(super) fn ruling(command: &DeviceCommand) -> Job {
    let (address, one, other, together) = match command {
        DeviceCommand::Pin {
            address,
            one,
            other,
        } => (address, one, other, Some(true)),
        DeviceCommand::Split {
            address,
            one,
            other,
        } => (address, one, other, Some(false)),
        DeviceCommand::Free {
            address,
            one,
            other,
        } => (address, one, other, None),
    };
    Job::Device(DeviceRequest::Rule {
        address: address.clone(),
        one: *one,
        other: *other,
        together,
    })
}

/// The first line of standard input.
fn password() -> Result<String, Failure> {
    let mut octets = Vec::new();
    let read = std::io::stdin().take(PASSWORD_MAX).read_to_end(&mut octets);
    read.map_err(|e| Failure::new(Exit::Failed, format!("standard input: {e}")))?;
    let text = String::from_utf8(octets)
        .map_err(|_| Failure::new(Exit::Failed, "the password is not UTF-8"))?;
    let line = text.split(['\r', '\n']).next().unwrap_or_default();
    Ok(line.to_owned())
}

fn read_csv(file: &Path) -> Result<Vec<UserRow>, Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Failed, format!("{}: {error}", file.display()))
    };
    let octets = std::fs::read(file).map_err(|e| wrong(&e))?;
    // Excel writes a byte order mark.
    let text = octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&octets);
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text);
    let headers = reader.headers().map_err(|e| wrong(&e))?;
    let column = |name: &str| {
        headers
            .iter()
            .position(|h| h.trim().eq_ignore_ascii_case(name))
    };
    let (Some(address), Some(password)) = (column("address"), column("password")) else {
        return Err(wrong(
            &"the first line must be address,password,display_name",
        ));
    };
    let name = column("display_name");
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| wrong(&e))?;
        let field = |at: Option<usize>| at.and_then(|at| record.get(at)).unwrap_or_default();
        rows.push(UserRow {
            address: field(Some(address)).trim().to_owned(),
            password: field(Some(password)).to_owned(),
            display_name: field(name).to_owned(),
        });
    }
    Ok(rows)
}

/// Does it, wherever it can be done, and prints what came of it.
pub(super) async fn run(config: Config, job: Job, out: &Out) -> Result<Exit, Failure> {
    match Lock::take(&config.lock_file()) {
        Ok(lock) => {
            let done = offline(&config, job).await;
            drop(lock);
            report(done?, out)
        }
        Err(LockError::Held { .. }) => report(online(&config, job).await?, out),
        Err(error) => Err(Failure::new(Exit::Unavailable, error)),
    }
}

/// Accounts on storage itself, while no server runs; the caller holds the lock.
pub(super) async fn on_storage(config: &Config) -> Result<(Accounts, Arc<Database>), Failure> {
    let unavailable = |error| Failure::new(Exit::Unavailable, error);
    let store = Arc::new(
        storage::open(&config.storage.url)
            .await
            .map_err(unavailable)?,
    );
    let known = store.accounts().await.map_err(unavailable)?;
    let directory = Arc::new(Directory::new(config.server.domains.clone(), known));
    let credentials = compose::credentials(config)?;
    let seal = compose::seal(config, &credentials);
    let backend = Backend::Store(directory, Arc::clone(&store));
    let accounts = Accounts::new(backend, seal, credentials);
    Ok((accounts, store))
}

async fn offline(config: &Config, job: Job) -> Result<Done, Failure> {
    let (accounts, store) = on_storage(config).await?;
    let done = match job {
        Job::Put { rows, update } => Done::Rows(accounts.put(rows, update).await),
        Job::Remove(address) => Done::Rows(vec![accounts.remove(&address).await]),
        Job::Password(address, password) => {
            Done::Rows(vec![accounts.password(&address, &password).await])
        }
        Job::Rename(address, to) => Done::Rows(vec![accounts.rename(&address, &to).await]),
        Job::Device(request) => {
            let row = accounts.device(request).await;
            Done::Rows(vec![row.map_err(|why| Failure::new(Exit::Failed, why))?])
        }
        Job::List => Done::Users(accounts.list()),
    };
    Database::close(&store).await;
    Ok(done)
}

async fn online(config: &Config, job: Job) -> Result<Done, Failure> {
    let mut client = connect(config).await?;
    let request = match job {
        Job::Put { rows, update } => return put(&mut client, rows, update).await,
        Job::Remove(address) => Request::Remove { address },
        Job::Password(address, password) => Request::Password { address, password },
        Job::Rename(address, to) => Request::Rename { address, to },
        Job::Device(request) => Request::Device(request),
        Job::List => Request::List,
    };
    client.ask(&request).await.map_err(Into::into)
}

async fn put(client: &mut Client, rows: Vec<UserRow>, update: bool) -> Result<Done, Failure> {
    let mut results: Vec<RowResult> = Vec::with_capacity(rows.len());
    for batch in rows.chunks(BATCH) {
        let rows = batch.to_vec();
        match client.ask(&Request::Put { rows, update }).await? {
            Done::Rows(part) => results.extend(part),
            other => return Err(Failure::new(Exit::Failed, format!("unexpected: {other:?}"))),
        }
    }
    Ok(Done::Rows(results))
}

/// A connection to the running server.
pub(super) async fn connect(config: &Config) -> Result<Client, Failure> {
    Client::connect(&config.control_socket())
        .await
        .map_err(Into::into)
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match error {
            ClientError::NotRunning { .. } | ClientError::Gone(_) => Exit::NotRunning,
            ClientError::Answer(_) | ClientError::Refused(_) => Exit::Failed,
        };
        Self::new(exit, error)
    }
}

fn report(done: Done, out: &Out) -> Result<Exit, Failure> {
    match done {
        Done::Rows(rows) => {
            let refused = rows.iter().any(|row| row.result == RowState::Refused);
            out.value(&rows, || rows_text(&rows));
            Ok(if refused { Exit::Failed } else { Exit::Done })
        }
        Done::Users(users) => {
            out.value(&users, || {
                let mut table = Table::new(&["ADDRESS", "DISPLAY NAME"]);
                for user in &users {
                    table.row([user.address.clone(), user.display_name.clone()]);
                }
                table.print()
            });
            Ok(Exit::Done)
        }
        other => Err(Failure::new(Exit::Failed, format!("unexpected: {other:?}"))),
    }
}

pub(super) fn rows_text(rows: &[RowResult]) -> String {
    let mut text = String::new();
    for row in rows {
        let state = match row.result {
            RowState::Added => "added",
            RowState::Updated => "updated",
            RowState::Removed => "removed",
            RowState::Refused => "refused",
        };
        let _ = write!(text, "{state}  {}", row.address);
        if !row.why.is_empty() {
            let _ = write!(text, ": {}", row.why);
        }
        text.push('\n');
    }
    if rows.len() > 1 {
        let refused = rows
            .iter()
            .filter(|row| row.result == RowState::Refused)
            .count();
        let _ = writeln!(text, "{} rows, {refused} refused", rows.len());
    }
    text
}
