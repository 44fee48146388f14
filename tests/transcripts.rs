//! Plays `tests/transcripts/*.txt` against the real binary over real sockets: one requirement
//! each, in every mix of stacks that its first line names.
//!
//! ```text
//! #! alice bob: rvp sip, sip rvp
//! alice signs in
//! alice watches bob
//! alice sees bob offline
//! alice says to bob: hello
//! alice is told not reachable
//! bob hears from alice: hello
//! server is killed
//! server is asked to accept bob for alice
//! server is asked to pin bob
//! ```

#[path = "transcripts/conversation.rs"]
mod conversation;
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use support::actor::{Actor, Encoding, Heard, RvpActor, SipActor};
use support::server::Server;
use testkit::transcript::{Driver, Transcript};

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn every_transcript_holds_in_every_mix_of_stacks() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let wanted = std::env::var("TRANSCRIPT").unwrap_or_default();
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("tests/transcripts")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "txt"))
        .filter(|path| path.to_string_lossy().contains(&wanted))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no transcripts");
    let (mut played, mut faults) = (0, Vec::new());
    for file in files {
        let name = file
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        let text = std::fs::read_to_string(&file).expect("a readable transcript");
        for mix in mixes(&text) {
            if std::env::var("MIX").is_ok_and(|only| !mix.values().any(|stack| only == *stack)) {
                continue;
            }
            played += 1;
            let label: Vec<String> = mix.iter().map(|(who, on)| format!("{who}={on}")).collect();
            let label = format!("{name} [{}]", label.join(" "));
            match play(&text, &mix) {
                Ok(()) => println!("ok    {label}"),
                Err(fault) => {
                    println!("FAULT {label}: {fault}");
                    faults.push(format!("{label}: {fault}"));
                }
            }
        }
    }
    println!("{played} transcripts played, {} failed", faults.len());
    assert!(faults.is_empty(), "\n{}", faults.join("\n\n"));
}

type Mix = BTreeMap<String, String>;

/// The first line: `#! alice bob: rvp sip, sip rvp`.
fn mixes(text: &str) -> Vec<Mix> {
    let line = text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("#! "))
        .expect("a #! line");
    let (names, mixes) = line.split_once(": ").expect("names: stacks");
    let names: Vec<&str> = names.split_whitespace().collect();
    mixes
        .split(", ")
        .map(|mix| {
            let stacks: Vec<&str> = mix.split_whitespace().collect();
            assert_eq!(stacks.len(), names.len(), "{mix}");
            names
                .iter()
                .zip(stacks)
                .map(|(n, s)| ((*n).to_owned(), s.to_owned()))
                .collect()
        })
        .collect()
}

/// Lines `#= ...` are the server's configuration.
fn configuration(text: &str) -> String {
    let lines = text.lines().filter_map(|line| line.strip_prefix("#= "));
    lines.collect::<Vec<_>>().join("\n")
}

fn play(text: &str, mix: &Mix) -> Result<(), String> {
    let users = ["alice", "bob", "carol", "dave"];
    let server = Server::start_with(&users, &configuration(text));
    let mut stage = Stage {
        server,
        mix: mix.clone(),
        cast: BTreeMap::new(),
        told: 0,
    };
    let mut transcript = Transcript::parse(text).map_err(|e| e.to_string())?;
    transcript.run(&mut stage).map_err(|failure| {
        format!(
            "{failure}\n--- server log ---\n{}",
            stage.server.log_tail(40)
        )
    })
}

/// A server and its users.
struct Stage {
    server: Server,
    mix: Mix,
    cast: BTreeMap<String, Box<dyn Actor>>,
    told: u16,
}

impl Driver for Stage {
    fn send(&mut self, _: &str, _: &str) -> Result<(), String> {
        Err("these transcripts use the spoken verbs; wire texts are in the fronts' tests".into())
    }

    fn receive(&mut self, actor: &str, within: Duration) -> Result<Option<String>, String> {
        let heard = self.actor(actor)?.next(within);
        Ok(heard.map(|heard| format!("{heard:?}")))
    }

    fn wait(&mut self, span: Duration) -> Result<(), String> {
        let (_keep, nothing) = std::sync::mpsc::channel::<()>();
        let _ = nothing.recv_timeout(span);
        Ok(())
    }

    fn command(&mut self, actor: &str, verb: &str, text: &str) -> Result<(), String> {
        if actor == "server" {
            return self.server_does(verb);
        }
        let words: Vec<&str> = verb.split_whitespace().collect();
        match words.as_slice() {
            ["signs", "in"] => self.actor(actor)?.sign_in(),
            ["signs", "out"] => self.actor(actor)?.sign_out(),
            ["vanishes"] => {
                self.actor(actor)?.vanish();
                Ok(())
            }
            ["is", "in", "a", "call"] => self.actor(actor)?.on_phone(true),
            ["hangs", "up"] => self.actor(actor)?.on_phone(false),
            ["is", "told", what @ ..] => self.told(&what.join(" ")),
            ["is", state] => self.actor(actor)?.set_state(state),
            ["watches", whom] => {
                let whom = account(whom);
                self.actor(actor)?.watch(whom)
            }
            ["sees", "nothing", "within", span] => self.silence(actor, true, span),
            ["sees", whom, state, "within", within] => {
                let within = span(within)?;
                self.sees_within(actor, account(whom), state, within)
            }
            ["sees", whom, state] => self.sees(actor, account(whom), state),
            ["says", "8", "KiB", "to", whom] => {
                let long = "0123456789abcde\n".repeat(512);
                self.says(actor, account(whom), &long)
            }
            ["says", "to", whom] => self.says(actor, account(whom), &spoken(text)),
            ["types", "to", whom] if *whom != "all" => {
                self.told = self.actor(actor)?.typing(account(whom))?;
                Ok(())
            }
            ["blocks", whom] => self.actor(actor)?.block(account(whom), true),
            ["unblocks", whom] => self.actor(actor)?.block(account(whom), false),
            ["answers", status] => {
                let status = status.parse().map_err(|_| "no status")?;
                self.actor(actor)?.answer_with(status);
                Ok(())
            }
            ["hears", "nothing", "within", span] => self.silence(actor, false, span),
            ["hears", "8", "KiB", "from", whom] => {
                let text = "0123456789abcde\n".repeat(512);
                self.hears(
                    actor,
                    &Heard::Text {
                        from: account(whom).to_owned(),
                        text,
                    },
                )
            }
            ["hears", "from", whom] => {
                let text = spoken(text);
                self.hears(
                    actor,
                    &Heard::Text {
                        from: account(whom).to_owned(),
                        text,
                    },
                )
            }
            ["hears", "late", "from", whom] => self.hears_late(actor, account(whom), &spoken(text)),
            ["hears", whom, "typing"] => self.hears(
                actor,
                &Heard::Typing {
                    from: account(whom).to_owned(),
                    active: true,
                },
            ),
            ["hears", whom, "stop", "typing"] => self.hears(
                actor,
                &Heard::Typing {
                    from: account(whom).to_owned(),
                    active: false,
                },
            ),
            ["hears", "a", "notice"] => self.notice(actor),
            words => self.converse(actor, words, text),
        }
    }
}

/// `alice2` is another sign-in of alice.
fn account(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit())
}

/// `\n` in a script stands for a line end.
fn spoken(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\u0301", "\u{301}")
}

fn span(text: &str) -> Result<Duration, String> {
    let seconds = text.strip_suffix('s').and_then(|n| n.parse().ok());
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| format!("no span: {text}"))
}

impl Stage {
    fn actor(&mut self, name: &str) -> Result<&mut Box<dyn Actor>, String> {
        if !self.cast.contains_key(name) {
            let stack = self
                .mix
                .get(name)
                .ok_or_else(|| format!("{name} is not on the #! line"))?;
            let user = account(name);
            let actor: Box<dyn Actor> = match stack.as_str() {
                "rvp" => Box::new(RvpActor::new(user, self.server.rvp, Encoding::Characters)?),
                "msmsgs" => Box::new(RvpActor::new(user, self.server.rvp, Encoding::Octets)?),
                "octets" => {
                    let encoding = Encoding::OctetsUnnamed;
                    Box::new(RvpActor::new(user, self.server.rvp, encoding)?)
                }
                "sip" => Box::new(SipActor::udp(user, self.server.sip_udp)?),
                "tcp" => Box::new(SipActor::tcp(user, self.server.sip_tcp)?),
                // COMPAT(Windows Messenger): both its services.
                "messenger" => {
                    let actor = SipActor::udp(user, self.server.sip_udp)?;
                    Box::new(actor.with("RTC/1.3.5470 (Messenger 5.1.0680)"))
                }
                other => return Err(format!("no such stack: {other}")),
            };
            self.cast.insert(name.to_owned(), actor);
        }
        self.cast
            .get_mut(name)
            .ok_or_else(|| format!("nobody: {name}"))
    }

    fn says(&mut self, actor: &str, to: &str, text: &str) -> Result<(), String> {
        self.told = self.actor(actor)?.say(to, text)?;
        Ok(())
    }

    fn told(&self, what: &str) -> Result<(), String> {
        let fits = match what {
            "success" => (200..300).contains(&self.told),
            "not reachable" => matches!(self.told, 412 | 480),
            "unknown" => self.told == 404,
            "too large" => self.told == 413,
            // RVP passes 500 on, SIP hears 480 (decisions 23).
            "has left" => matches!(self.told, 500 | 480),
            other => other.parse() == Ok(self.told),
        };
        if fits {
            Ok(())
        } else {
            Err(format!("{what} expected, told {}", self.told))
        }
    }

    fn hears(&mut self, actor: &str, wanted: &Heard) -> Result<(), String> {
        let heard = self.actor(actor)?.next_kind(false, PATIENCE);
        match heard {
            Some(heard) if heard == *wanted => Ok(()),
            other => Err(format!("{actor} should hear {wanted:?}, heard {other:?}")),
        }
    }

    /// A text that was kept: RVP shows when it was sent, SIP has a header for that.
    fn hears_late(&mut self, actor: &str, whom: &str, wanted: &str) -> Result<(), String> {
        match self.actor(actor)?.next_kind(false, PATIENCE) {
            Some(Heard::Text { from, text }) if from == whom => {
                let sip = matches!(self.mix.get(actor).map(String::as_str), Some("sip" | "tcp"));
                let rest = match text.split_once(" UTC] ") {
                    Some((stamp, rest)) if !sip && stamp.starts_with("[20") => Some(rest),
                    None if sip => Some(&*text),
                    _ => None,
                };
                if rest == Some(wanted) {
                    return Ok(());
                }
                Err(format!(
                    "{actor} should hear late {wanted:?}, heard {text:?}"
                ))
            }
            other => Err(format!(
                "{actor} should hear late {wanted:?}, heard {other:?}"
            )),
        }
    }

    /// The operator says that a person's two sign-ins are one device, or two.
    fn rules(&self, what: &str, whom: &str) -> Result<(), String> {
        let whom = format!("{}@example.com", account(whom));
        let mut who = self.server.command(&["who", &whom, "--json"]);
        let output = who.output().map_err(|error| error.to_string())?;
        let people: serde_json::Value =
            serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        let points: Vec<String> = people
            .pointer("/0/points")
            .and_then(|points| points.as_array())
            .into_iter()
            .flatten()
            .map(|point| point["id"].to_string())
            .collect();
        let [one, other] = points.as_slice() else {
            return Err(format!("two points expected: {people}"));
        };
        let mut command = self.server.command(&["device", what, &whom, one, other]);
        let output = command.output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn notice(&mut self, actor: &str) -> Result<(), String> {
        match self.actor(actor)?.next_kind(false, Duration::from_secs(75)) {
            Some(Heard::Text { .. }) => Ok(()),
            other => Err(format!("{actor} should hear a notice, heard {other:?}")),
        }
    }

    fn sees(&mut self, actor: &str, whom: &str, state: &str) -> Result<(), String> {
        self.sees_within(actor, whom, state, PATIENCE)
    }

    fn sees_within(
        &mut self,
        actor: &str,
        whom: &str,
        state: &str,
        within: Duration,
    ) -> Result<(), String> {
        let wanted = Heard::Presence {
            of: whom.to_owned(),
            state: state.to_owned(),
        };
        match self.actor(actor)?.next_kind(true, within) {
            Some(seen) if seen == wanted => Ok(()),
            other => Err(format!("{actor} should see {wanted:?}, saw {other:?}")),
        }
    }

    fn silence(&mut self, actor: &str, presence: bool, within: &str) -> Result<(), String> {
        let within = span(within)?;
        match self.actor(actor)?.next_kind(presence, within) {
            None => Ok(()),
            Some(heard) => Err(format!("{actor} should notice nothing, but: {heard:?}")),
        }
    }

    /// The operator's command.
    fn consents(&self, owner: &str, answer: &str, watcher: &str) -> Result<(), String> {
        let (owner, watcher) = (account(owner), account(watcher));
        let (owner, watcher) = (
            format!("{owner}@example.com"),
            format!("{watcher}@example.com"),
        );
        let mut command = self.server.command(&["consent", &owner, answer, &watcher]);
        let output = command.output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn server_does(&mut self, verb: &str) -> Result<(), String> {
        let words: Vec<&str> = verb.split_whitespace().collect();
        if let ["is", "asked", "to", answer, watcher, "for", owner] = words.as_slice() {
            return self.consents(owner, answer, watcher);
        }
        if let ["lists", members @ ..] = words.as_slice() {
            return self.lists(members);
        }
        if let ["is", "asked", "to", what @ ("pin" | "split"), whom] = words.as_slice() {
            return self.rules(what, whom);
        }
        match verb {
            "is killed" => self.server.kill_and_restart(),
            "restarts" => self.server.stop_and_restart(),
            other => return Err(format!("the server can't: {other}")),
        }
        Ok(())
    }
}
