//! A help desk: one screen name for a department.
//!
//! Customers on RVP or SIP write to the desk's account, an ordinary one. Agents are ordinary users
//! and work in their ordinary client: an offer shows the customer's card first, `/take` takes it,
//! `/help` lists the rest. Customers see only the desk's name. `desk.rs` is the pure machine (event
//! in, actions out), this file the thin shell: disk, account, clock.
//!
//! ```text
//! helpdesk desk.toml
//! ```
//! ```toml
//! server = "127.0.0.1:80"            # the RVP listener
//! host = "im.example.com"            # in node URLs
//! address = "desk@example.com"
//! password_file = "desk.password"
//! log = "desk.jsonl"                 # append-only; the state is rebuilt from it
//! [desk.agents]
//! "ann@example.com" = { skills = ["general", "billing"], capacity = 3 }
//! [desk.skills]
//! billing = ["invoice", "refund"]    # words in the first text
//! [desk.canned]
//! hello = "Good day! How may I help you?"
//! [card]
//! lookup = "http://127.0.0.1:9000/customer?address={}"
//! [card.directory."carol@example.com"]
//! name = "Carol"
//! ```
//!
//! A text is answered 200 when it is on disk, not before. The callback listens on loopback under an
//! unguessable path, since the sender of a notification is a claim.

mod agent;
mod card;
mod case;
mod desk;
#[cfg(test)]
mod desk_tests;
mod log;
mod mask;
mod sender;
mod vocabulary;

use card::Sources;
use desk::Desk;
use log::{Log, LogError};
use rvp::client::{Client, ClientError, Settings};
use rvp::target::{self, Answer, Limits, Notification, Received, Target, unix_time};
use rvp::{CallBack, NodeUrl};
use sender::{Outgoing, Sender, is_there};
use serde::Deserialize;
use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use vocabulary::{Action, Event, Record};

/// The configuration file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) server: SocketAddr,
    pub(crate) host: String,
    pub(crate) address: String,
    pub(crate) password_file: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) desk: desk::Settings,
    #[serde(default)]
    pub(crate) card: Sources,
}

/// Why the desk does not run.
#[derive(Debug)]
#[allow(dead_code)] // Read by Debug.
pub(crate) enum DeskError {
    Io(std::io::Error),
    Log(LogError),
    Client(ClientError),
}

/// An event from the wire and who waits for it to be kept.
type Incoming = (Event, oneshot::Sender<()>);

/// Events that wait at most; above, senders are told to come again.
const QUEUE: usize = 256;

/// Runs a desk until `stop`; `ready` is called when it takes customers.
pub(crate) async fn run(
    config: Config,
    ready: impl FnOnce(),
    stop: impl Future<Output = ()>,
) -> Result<(), DeskError> {
    let password = std::fs::read_to_string(&config.password_file).map_err(DeskError::Io)?;
    let (log, records) = Log::open(&config.log).map_err(DeskError::Log)?;
    let desk = Desk::restore(config.desk.clone(), &records, unix_time());
    drop(records);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.map_err(DeskError::Io)?;
    let address = listener.local_addr().map_err(DeskError::Io)?;
    let path = format!("/{:032x}", secret());
    let (tell, incoming) = mpsc::channel::<Incoming>(QUEUE);
    let domain = config.address.split('@').nth(1).unwrap_or_default();
    let names = (config.host.clone(), domain.to_owned());
    let target = Target::new(callback(path.clone(), names, tell));
    let (end, ended) = oneshot::channel::<()>();
    let ended = async {
        let _ = ended.await;
    };
    let served = tokio::spawn(target::serve(listener, target, Limits::default(), ended));
    let call_back = CallBack::parse(&format!("http://{address}{path}"));
    let call_back = call_back.map_err(|error| DeskError::Client(error.into()))?;
    let settings = Settings::new(
        config.server,
        &config.host,
        &config.address,
        password.trim(),
    );
    let (results, told) = mpsc::channel(QUEUE);
    let (outgoing, outbox) = mpsc::channel(QUEUE);
    let shell = Shell {
        desk,
        log,
        sources: config.card.clone(),
        outgoing,
        later: VecDeque::new(),
    };
    // The shell runs before the account is signed in, so that nothing has to wait for it.
    let start = async {
        let client = Client::sign_in_at(settings, &call_back).await?;
        let agents = config.desk.agents.into_keys();
        let sender = Sender::start(client, agents, config.card, results).await?;
        ready();
        sender.run(outbox).await;
        Ok(())
    };
    let stopped = shell.run(incoming, told, stop);
    let (mut start, mut stopped) = (pin!(start), pin!(stopped));
    let result = tokio::select! {
        started = start.as_mut() => match started {
            // It ends only with the shell, which keeps the last results.
            Ok(()) => stopped.await,
            Err(error) => Err(DeskError::Client(error)),
        },
        stopped = stopped.as_mut() => stopped,
    };
    drop(end);
    let _ = served.await;
    result
}

/// 128 bits from the system.
fn secret() -> u128 {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).map_or(0, |()| u128::from_ne_bytes(bits))
}

struct Shell {
    desk: Desk,
    log: Log,
    sources: Sources,
    outgoing: mpsc::Sender<Outgoing>,
    /// Results that came while an action waited for a place in the outbox.
    later: VecDeque<Event>,
}

impl Shell {
    async fn run(
        mut self,
        mut incoming: mpsc::Receiver<Incoming>,
        mut results: mpsc::Receiver<Event>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), DeskError> {
        let mut stop = pin!(stop);
        loop {
            let wake = self.desk.wake_at().unwrap_or(u64::MAX);
            let wait = Duration::from_secs(wake.saturating_sub(unix_time()).min(3_600));
            let (event, waiting) = tokio::select! {
                biased;
                () = &mut stop => break,
                () = std::future::ready(()), if !self.later.is_empty() => {
                    (self.later.pop_front().unwrap_or(Event::Tick), None)
                }
                Some(result) = results.recv() => (result, None),
                Some((event, waiting)) = incoming.recv() => (event, Some(waiting)),
                () = tokio::time::sleep(wait) => (Event::Tick, None),
            };
            let actions = self.take(event)?;
            if let Some(waiting) = waiting {
                let _ = waiting.send(());
            }
            for action in actions {
                self.act(action, &mut results).await;
            }
        }
        // No more texts; those in the outbox still go, and what came of them is kept.
        self.outgoing = mpsc::channel(1).0;
        while let Some(result) = results.recv().await {
            self.take(result)?;
        }
        Ok(())
    }

    /// Applies an event and keeps what is to be kept. A disk that fails ends the desk: what cannot
    /// be kept must not be answered.
    fn take(&mut self, event: Event) -> Result<Vec<Action>, DeskError> {
        let actions = self.desk.apply(unix_time(), event);
        let records: Vec<Record> = actions.iter().filter_map(record).cloned().collect();
        self.log.keep(&records).map_err(DeskError::Io)?;
        Ok(actions)
    }

    async fn act(&mut self, action: Action, results: &mut mpsc::Receiver<Event>) {
        let outgoing = match action {
            Action::Keep(_) => return,
            Action::Tell { to, text, case } => {
                let card = None;
                Outgoing {
                    to,
                    text,
                    case,
                    card,
                }
            }
            Action::Offer {
                agent,
                customer,
                text,
            } => {
                let card = self.sources.card(&customer, self.desk.cases());
                Outgoing {
                    to: agent,
                    text,
                    case: None,
                    card: Some((customer, card)),
                }
            }
        };
        // The sender must be able to tell results while its outbox is full.
        loop {
            tokio::select! {
                biased;
                place = self.outgoing.reserve() => {
                    if let Ok(place) = place {
                        place.send(outgoing);
                    }
                    return;
                }
                Some(result) = results.recv() => self.later.push_back(result),
            }
        }
    }
}

fn record(action: &Action) -> Option<&Record> {
    match action {
        Action::Keep(record) => Some(record),
        Action::Tell { .. } | Action::Offer { .. } => None,
    }
}

/// The handler of the desk's callback: answered when the desk has it on disk.
fn callback(
    path: String,
    names: (String, String),
    tell: mpsc::Sender<Incoming>,
) -> impl Fn(Received) -> std::pin::Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync {
    move |received| {
        let known = received.node.path() == path;
        let event = event(&received, &names.0, &names.1);
        let tell = tell.clone();
        Box::pin(async move {
            if !known {
                return Answer::Denied;
            }
            // Typing and the like need no desk.
            let Some(event) = event else {
                return Answer::Accepted;
            };
            let (waiting, kept) = oneshot::channel();
            if tell.try_send((event, waiting)).is_err() {
                return Answer::Busy;
            }
            kept.await.map_or(Answer::Busy, |()| Answer::Accepted)
        })
    }
}

/// `host` is what node URLs of `domain` name; a foreign domain's is `im.DOMAIN` by custom.
fn event(received: &Received, host: &str, domain: &str) -> Option<Event> {
    let node = NodeUrl::parse(&received.sender.href()?).ok()?;
    let theirs = node.authority.host.to_string().to_lowercase();
    let foreign = theirs.strip_prefix("im.").unwrap_or(&theirs);
    let own = theirs.eq_ignore_ascii_case(host);
    let from = format!("{}@{}", node.alias()?, if own { domain } else { foreign });
    match &received.notification {
        Notification::Message(message) => {
            let text = message.text.clone();
            Some(Event::Said { from, text })
        }
        Notification::Leave(_) => Some(Event::Left { from }),
        Notification::PropertyChange(_) => {
            let there = is_there(received.notification.state()?);
            let agent = from;
            Some(Event::Presence { agent, there })
        }
        _ => None,
    }
}

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code)] // The tests use the parts above.
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args()
        .nth(1)
        .ok_or("usage: helpdesk CONFIG.toml")?;
    let config: Config = toml::from_str(&std::fs::read_to_string(path)?)?;
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    let ready = || println!("the desk is open");
    run(config, ready, stop)
        .await
        .map_err(|error| format!("{error:?}").into())
}
