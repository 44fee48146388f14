//! `tristack chat`: a small terminal client on either stack.

use super::out::print;
use super::peer::{Heard, Peer, SignIn, StackChoice};
use super::{Exit, Failure};
use crate::config::Config;
use crate::core::address::Address;
use crate::telemetry::tame;
use std::io::{BufRead as _, IsTerminal as _};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use tokio::sync::mpsc;

const HELP: &str = "\
/to ADDRESS      talk to somebody; lines go there from now on
/watch ADDRESS   see somebody's state
/status WORD     online, busy, away, on-phone, at-lunch, offline
/quit            sign out and leave
";
/// Lines typed ahead.
const LINES: usize = 64;

/// What the command line said.
pub(super) struct Wish {
    pub(super) address: Address,
    pub(super) stack: StackChoice,
    pub(super) server: SocketAddr,
    pub(super) host: String,
    pub(super) password: String,
}

/// Completes the command line from the configuration and asks for the password.
pub(super) fn prepare(
    config: &Config,
    address: &str,
    stack: StackChoice,
    server: Option<&str>,
    password_file: Option<&Path>,
) -> Result<Wish, Failure> {
    let fail = |text: String| Failure::new(Exit::Failed, text);
    let address = Address::parse(address).map_err(|why| fail(format!("{address:?}: {why}")))?;
    let configured = match stack {
        StackChoice::Rvp => config.rvp.listen.first(),
        StackChoice::Sip => config.sip.tcp.first(),
    };
    let server = match (server, &config.file, configured) {
        (Some(text), _, _) => {
            let found = text.to_socket_addrs().ok().and_then(|mut all| all.next());
            found.ok_or_else(|| fail(format!("--server {text}: no such HOST:PORT")))?
        }
        (None, Some(_), Some(configured)) => *configured,
        // Without a configuration it is the demo that one talks to.
        (None, _, _) => match stack {
            StackChoice::Rvp => ([127, 0, 0, 1], 8080).into(),
            StackChoice::Sip => ([127, 0, 0, 1], 5060).into(),
        },
    };
    let own = config.server.domains.iter().any(|d| d == address.domain());
    let host = match config.rvp.hosts.first() {
        Some(host) if own => host.clone(),
        _ => format!("im.{}", address.domain()),
    };
    let password = match password_file {
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .map_err(|error| fail(format!("{}: {error}", file.display())))?;
            text.lines().next().unwrap_or_default().to_owned()
        }
        None => ask_password(&address)?,
    };
    Ok(Wish {
        address,
        stack,
        server,
        host,
        password,
    })
}

/// Asks on the terminal without echo; an empty answer is the demo's password, the user name.
fn ask_password(address: &Address) -> Result<String, Failure> {
    let terminal = std::io::stdin().is_terminal();
    if !terminal {
        return Ok(address.local().to_owned());
    }
    print(&format!(
        "Password of {address} (empty: {}): ",
        address.local()
    ));
    let echo = |how| {
        let _ = std::process::Command::new("stty").arg(how).status();
    };
    echo("-echo");
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    echo("echo");
    print("\n");
    read.map_err(|error| Failure::new(Exit::Failed, error))?;
    let typed = line.trim_end_matches(['\r', '\n']);
    Ok(if typed.is_empty() {
        address.local()
    } else {
        typed
    }
    .to_owned())
}

/// Signs in and talks until /quit or the end of input.
pub(super) async fn run(wish: Wish) -> Result<Exit, Failure> {
    let address = wish.address.to_string();
    let who = SignIn {
        address: &address,
        password: &wish.password,
        server: wish.server,
        host: &wish.host,
    };
    let signed_in = Peer::sign_in(wish.stack, &who).await;
    let mut peer = signed_in.map_err(|why| {
        Failure::new(
            Exit::NotRunning,
            format!("{address} can't sign in at {}: {why}", wish.server),
        )
    })?;
    print(&format!(
        "Signed in as {address}. /to somebody, /help for more.\n"
    ));
    let mut lines = typed_lines();
    let mut talk = Talk {
        domain: wish.address.domain().to_owned(),
        to: None,
    };
    loop {
        tokio::select! {
            line = lines.recv() => match line {
                Some(line) => {
                    if !talk.line(&mut peer, line.trim_end()).await {
                        break;
                    }
                }
                None => break,
            },
            heard = peer.hear() => match heard {
                Some(heard) => talk.heard(heard),
                None => return Err(Failure::new(Exit::NotRunning, "the server is gone")),
            },
        }
    }
    peer.sign_out()
        .await
        .map_err(|why| Failure::new(Exit::Failed, why))?;
    Ok(Exit::Done)
}

/// Lines of standard input; reading blocks, so it has a thread.
fn typed_lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(LINES);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

struct Talk {
    domain: String,
    to: Option<String>,
}

impl Talk {
    /// One typed line; false ends the chat.
    async fn line(&mut self, peer: &mut Peer, line: &str) -> bool {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        let done = match word {
            "" => Ok(()),
            "/quit" => return false,
            "/help" => {
                print(HELP);
                Ok(())
            }
            "/to" => self.full(rest).map(|to| {
                print(&format!("* talking to {to}\n"));
                self.to = Some(to);
            }),
            "/watch" => match self.full(rest) {
                Ok(who) => peer.watch(&who).await.map(|now| {
                    if let Some(now) = now {
                        self.heard(now);
                    }
                }),
                Err(why) => Err(why),
            },
            "/status" => peer.show(rest).await,
            _ if word.starts_with('/') => Err(format!("no command {word}; /help")),
            _ => self.say(peer, line).await,
        };
        if let Err(why) = done {
            print(&format!("! {why}\n"));
        }
        true
    }

    async fn say(&self, peer: &mut Peer, text: &str) -> Result<(), String> {
        let to = self.to.as_deref().ok_or("to whom? /to ADDRESS")?;
        // The terminal gives whole lines: the notice comes late, but it comes.
        let _ = peer.typing(to).await;
        match peer.text(to, text).await? {
            "delivered" => {}
            fate => print(&format!("* {fate}\n")),
        }
        Ok(())
    }

    fn full(&self, typed: &str) -> Result<String, String> {
        let whole = if typed.contains('@') {
            typed.to_owned()
        } else {
            format!("{typed}@{}", self.domain)
        };
        Address::parse(&whole)
            .map(|address| address.to_string())
            .map_err(|why| format!("{typed:?}: {why}"))
    }

    fn heard(&mut self, heard: Heard) {
        let line = match heard {
            Heard::Presence { who, state } => format!("* {} is {}", tame(&who), tame(&state)),
            Heard::Typing { from, active: true } => format!("* {} is typing", tame(&from)),
            Heard::Typing {
                from,
                active: false,
            } => format!("* {} stopped typing", tame(&from)),
            Heard::Note(note) => format!("* {}", tame(&note)),
            Heard::Text { from, text } => {
                let lines: Vec<_> = text.lines().map(tame).collect();
                let line = format!("{}> {}", tame(&from), lines.join("\n    "));
                // Answering needs no /to.
                self.to.get_or_insert(from);
                line
            }
        };
        print(&format!("{line}\n"));
    }
}
