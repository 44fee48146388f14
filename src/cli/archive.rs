//! `tristack archive ...`: through the running server, else on storage itself.

mod text;

use super::args::{ArchiveCommand, ExportForm, HoldCommand};
use super::out::Out;
use super::user::connect;
use super::{Exit, Failure, archivist};
use crate::archive::export::{Bundle, Form, Title};
use crate::archive::seal::{Seal, Signer};
use crate::archive::{Archivist, Asker, Commit, Found, Selection};
use crate::config::Config;
use crate::control::{
    ArchiveDone, ArchiveRequest, Client, Done, Lock, LockError, Request, answer_archive,
};
use crate::core::port::Store;
use crate::hub::{Clock, SystemClock};
use crate::storage::{self, Database};
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use text::{found_text, holds_text, item_text, report_text};

/// Who answers.
enum Desk {
    Server(Client),
    Storage(Box<(Archivist<Database>, Arc<Database>, Lock)>),
}

impl Desk {
    async fn open(config: &Config) -> Result<Self, Failure> {
        match Lock::take(&config.lock_file()) {
            Err(LockError::Held { .. }) => Ok(Self::Server(connect(config).await?)),
            Err(error) => Err(Failure::new(Exit::Unavailable, error)),
            Ok(lock) => {
                let store = storage::open(&config.storage.url).await;
                let store = Arc::new(store.map_err(|e| Failure::new(Exit::Unavailable, e))?);
                let writer = Arc::clone(&store);
                let commit: Commit = Arc::new(move |writes| {
                    let store = Arc::clone(&writer);
                    Box::pin(async move { store.commit(writes).await })
                });
                let clock = SystemClock::new();
                let now = Arc::new(move || clock.now());
                let settings = archivist::settings(config);
                let archivist = Archivist::new(Arc::clone(&store), commit, now, settings);
                Ok(Self::Storage(Box::new((archivist, store, lock))))
            }
        }
    }

    async fn ask(&mut self, request: ArchiveRequest) -> Result<ArchiveDone, Failure> {
        match self {
            Self::Server(client) => match client.ask(&Request::Archive(request)).await? {
                Done::Archive(done) => Ok(*done),
                other => Err(unexpected(&other)),
            },
            Self::Storage(own) => answer_archive(&own.0, request)
                .await
                .map_err(|error| Failure::new(Exit::Failed, error)),
        }
    }

    async fn found(&mut self, request: ArchiveRequest) -> Result<Found, Failure> {
        match self.ask(request).await? {
            ArchiveDone::Found(found) => Ok(found),
            other => Err(unexpected(&other)),
        }
    }

    async fn close(self) {
        if let Self::Storage(own) = self {
            Database::close(&own.1).await;
        }
    }
}

fn unexpected(done: &impl std::fmt::Debug) -> Failure {
    Failure::new(Exit::Failed, format!("unexpected: {done:?}"))
}

pub(super) async fn run(
    config: Config,
    command: ArchiveCommand,
    out: &Out,
) -> Result<Exit, Failure> {
    let mut desk = Desk::open(&config).await?;
    let exit = act(&config, &mut desk, command, out).await;
    desk.close().await;
    exit
}

async fn act(
    config: &Config,
    desk: &mut Desk,
    command: ArchiveCommand,
    out: &Out,
) -> Result<Exit, Failure> {
    match command {
        ArchiveCommand::Search {
            reason,
            limit,
            below,
            query,
        } => {
            let query = joined(&query);
            let asker = asker(reason);
            let request = ArchiveRequest::Search {
                query,
                below,
                limit,
                asker,
            };
            let found = desk.found(request).await?;
            out.value(&found, || found_text(&found));
            Ok(Exit::Done)
        }
        ArchiveCommand::Show {
            conversation,
            message,
            reason,
        } => {
            let of_message = message.map(Selection::Message);
            let of_conversation = conversation.map(Selection::Conversation);
            let selection = of_message.or(of_conversation);
            let selection = selection.unwrap_or(Selection::Query(String::new()));
            show(desk, selection, asker(reason), out).await
        }
        ArchiveCommand::Export {
            query,
            conversation,
            case,
            to,
            form,
            reason,
        } => {
            let of_case = case.map(Selection::Case);
            let of_conversation = conversation.map(Selection::Conversation);
            let selection = of_case.or(of_conversation);
            let selection = selection.unwrap_or_else(|| Selection::Query(joined(&query)));
            let wish = Wish {
                selection,
                forms: forms(&form),
                to,
                asker: asker(reason),
            };
            export(config, desk, wish, out).await
        }
        ArchiveCommand::Verify { seal, reason } => verify(desk, &seal, asker(reason), out).await,
        ArchiveCommand::Seal { reason } => {
            let asker = asker(reason);
            let done = desk.ask(ArchiveRequest::Seal { asker }).await?;
            let ArchiveDone::Sealed(sealed) = done else {
                return Err(unexpected(&done));
            };
            out.value(&sealed, || match &sealed {
                Some((path, seal)) => format!(
                    "{path}\nsealed up to row {}, link {}\n",
                    seal.seq, seal.link
                ),
                None => "The archive is empty: nothing to seal.\n".to_owned(),
            });
            Ok(Exit::Done)
        }
        ArchiveCommand::Hold(command) => hold(desk, command, out).await,
    }
}

/// The shell has taken quotes away: a word with spaces in it is a phrase.
fn joined(words: &[String]) -> String {
    let word = |word: &String| {
        let quoted = word.contains('"') || words.len() == 1 || !word.contains(char::is_whitespace);
        if quoted {
            return word.clone();
        }
        match word.split_once(':') {
            Some((field, value)) if field.chars().all(|c| c.is_ascii_alphabetic()) => {
                format!("{field}:\"{value}\"")
            }
            _ => format!("\"{word}\""),
        }
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Who asks, as far as the environment says; the running server adds what the system says.
fn asker(why: String) -> Asker {
    let name = ["SUDO_USER", "USER", "LOGNAME"];
    let name = name.into_iter().find_map(|name| std::env::var(name).ok());
    Asker {
        who: name.unwrap_or_else(|| "unknown".to_owned()),
        why,
    }
}

fn forms(wanted: &[ExportForm]) -> Vec<Form> {
    if wanted.is_empty() {
        return vec![Form::Jsonl, Form::Eml, Form::Html];
    }
    let form = |form: &ExportForm| match form {
        ExportForm::Jsonl => Form::Jsonl,
        ExportForm::Eml => Form::Eml,
        ExportForm::Html => Form::Html,
    };
    wanted.iter().map(form).collect()
}

async fn show(
    desk: &mut Desk,
    selection: Selection,
    asker: Asker,
    out: &Out,
) -> Result<Exit, Failure> {
    let begin = ArchiveRequest::Begin {
        export: false,
        selection: selection.clone(),
        asker,
    };
    desk.ask(begin).await?;
    let (mut above, mut any) = (0, false);
    loop {
        let page = ArchiveRequest::Page {
            selection: selection.clone(),
            above,
            originals: false,
        };
        let found = desk.found(page).await?;
        for item in &found.items {
            any = true;
            out.value(item, || item_text(item));
        }
        match found.next {
            Some(next) => above = next,
            None => break,
        }
    }
    if any {
        return Ok(Exit::Done);
    }
    Err(Failure::new(Exit::Failed, "nothing of that id is archived"))
}

/// What is to be exported where.
struct Wish {
    selection: Selection,
    forms: Vec<Form>,
    to: PathBuf,
    asker: Asker,
}

async fn export(config: &Config, desk: &mut Desk, wish: Wish, out: &Out) -> Result<Exit, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Failed, error);
    let signer = Signer::open(&config.archive_key()).map_err(|e| failed(&e))?;
    let begin = ArchiveRequest::Begin {
        export: true,
        selection: wish.selection.clone(),
        asker: wish.asker.clone(),
    };
    desk.ask(begin).await?;
    let title = Title {
        server: config.server.domains.first().cloned().unwrap_or_default(),
        what: wish.selection.to_string(),
        who: wish.asker.who,
        why: wish.asker.why,
        at: SystemClock::new().now().0,
    };
    let bundle = Bundle::create(&wish.to, title, &wish.forms);
    let to = wish.to.display();
    let mut bundle = bundle.map_err(|e| failed(&format!("{to}: {e}")))?;
    let mut above = 0;
    loop {
        let page = ArchiveRequest::Page {
            selection: wish.selection.clone(),
            above,
            originals: true,
        };
        let found = desk.found(page).await?;
        bundle
            .add(&found.items)
            .map_err(|e| failed(&format!("{to}: {e}")))?;
        let Some(next) = found.next else { break };
        above = next;
        progress(&bundle, above, found.last);
    }
    let messages = bundle.finish(&signer).map_err(|e| failed(&e))?;
    let value = serde_json::json!({ "messages": messages, "folder": to.to_string() });
    out.value(&value, || {
        format!("{messages} messages in {to}; README.txt there says how to check them\n")
    });
    Ok(Exit::Done)
}

/// For whoever watches; nothing where nobody does.
fn progress(bundle: &Bundle, row: u64, last: u64) {
    let mut terminal = std::io::stderr().lock();
    if !terminal.is_terminal() {
        return;
    }
    let percent = row.saturating_mul(100) / last.max(1);
    let _ = write!(
        terminal,
        "\r{} messages, {percent} % of the archive ",
        bundle.messages()
    );
    let _ = terminal.flush();
}

async fn verify(
    desk: &mut Desk,
    files: &[PathBuf],
    asker: Asker,
    out: &Out,
) -> Result<Exit, Failure> {
    let read = |file: &PathBuf| Seal::read(Path::new(file));
    let seals: Result<Vec<Seal>, String> = files.iter().map(read).collect();
    let seals = seals.map_err(|error| Failure::new(Exit::Failed, error))?;
    let done = desk.ask(ArchiveRequest::Verify { seals, asker }).await?;
    let ArchiveDone::Report(report) = done else {
        return Err(unexpected(&done));
    };
    out.value(&report, || report_text(&report));
    if report.wrong == 0 {
        return Ok(Exit::Done);
    }
    Ok(Exit::Failed)
}

async fn hold(desk: &mut Desk, command: HoldCommand, out: &Out) -> Result<Exit, Failure> {
    let held = |person: Option<String>, conversation: Option<String>| {
        let person = person.map(|value| ("person".to_owned(), value));
        person.or_else(|| conversation.map(|value| ("conversation".to_owned(), value)))
    };
    let request = match command {
        HoldCommand::Add {
            case,
            person,
            conversation,
            reason,
        } => {
            let (kind, value) = held(person, conversation).unwrap_or_default();
            let asker = asker(reason);
            ArchiveRequest::Hold {
                case,
                kind,
                value,
                asker,
            }
        }
        HoldCommand::Release {
            case,
            person,
            conversation,
            reason,
        } => ArchiveRequest::Release {
            case,
            held: held(person, conversation),
            asker: asker(reason),
        },
        HoldCommand::List => ArchiveRequest::Holds,
    };
    match desk.ask(request).await? {
        ArchiveDone::Holds(holds) => out.value(&holds, || holds_text(&holds)),
        ArchiveDone::Changed(count) => {
            let value = serde_json::json!({ "changed": count });
            out.value(&value, || format!("{count} changed\n"));
        }
        other => return Err(unexpected(&other)),
    }
    Ok(Exit::Done)
}
