//! Plain-text scripts of who sends what and who receives what.
//!
//! ```text
//! # A comment. Bodies are the indented lines below a step.
//! alice sends:
//!   MESSAGE sip:bob@example.com SIP/2.0
//!   Call-ID: one
//!
//!   hello
//! bob receives:
//!   MESSAGE * SIP/2.0
//!   Call-ID: {call}
//! bob receives exactly:
//!   HTTP/1.1 200 *
//!   ...
//! carol receives nothing within 2s
//! wait 500ms
//! alice signs in: rvp
//! ```
//! `receives:` wants the first pattern on the first line and every other pattern on a line of its
//! own, in any order (headers have none across implementations). `receives exactly:` goes line by
//! line; a line `...` skips any number of lines. A step with any other verb goes to
//! [`Driver::command`]. Patterns: see [`crate::pattern`].

use std::time::Duration;

use thiserror::Error;

use crate::pattern::{Captures, fill, fits};

/// How long a `receives` step waits unless told otherwise.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The world a transcript is played in: memory and virtual time, or sockets.
pub trait Driver {
    /// The actor sends this text. Lines end in `\n`; the driver makes them its protocol's.
    fn send(&mut self, actor: &str, text: &str) -> Result<(), String>;

    /// The next message to the actor, at most `within` from now; `None` if there was none.
    fn receive(&mut self, actor: &str, within: Duration) -> Result<Option<String>, String>;

    /// Lets time pass.
    fn wait(&mut self, span: Duration) -> Result<(), String>;

    /// Any other step: `actor verb...: text`.
    fn command(&mut self, actor: &str, verb: &str, text: &str) -> Result<(), String> {
        let _ = text;
        Err(format!("this driver knows no step '{actor} {verb}'"))
    }
}

/// Why a transcript does not hold, with the line of the step.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The script itself is wrong.
    #[error("line {line}: {reason}")]
    Script {
        /// Line in the script, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The driver could not do the step.
    #[error("line {line}: {reason}")]
    Driver {
        /// Line in the script, from 1.
        line: usize,
        /// What the driver said.
        reason: String,
    },
    /// Nothing came.
    #[error("line {line}: {actor} received nothing within {within:?}")]
    Silence {
        /// Line in the script, from 1.
        line: usize,
        /// Who waited.
        actor: String,
        /// How long.
        within: Duration,
    },
    /// Something came where nothing should.
    #[error("line {line}: {actor} should receive nothing, but got:\n{got}")]
    Unexpected {
        /// Line in the script, from 1.
        line: usize,
        /// Who got it.
        actor: String,
        /// What.
        got: String,
    },
    /// Something else came.
    #[error("line {line}: {actor} should receive\n{want}\nbut got\n{got}")]
    Mismatch {
        /// Line in the script, from 1.
        line: usize,
        /// Who got it.
        actor: String,
        /// The pattern that no line fitted.
        want: String,
        /// What came.
        got: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Send,
    Receive(Order),
    Nothing(Duration),
    Wait(Duration),
    Command(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Free,
    Exact,
}

#[derive(Debug, Clone)]
struct Script {
    line: usize,
    actor: String,
    action: Action,
    text: String,
}

/// A parsed script with its captures.
#[derive(Debug, Clone)]
pub struct Transcript {
    steps: Vec<Script>,
    /// What `{name}` stands for; may be set before a run and read after it.
    pub captures: Captures,
}

impl Transcript {
    /// Reads a script.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let mut steps: Vec<Script> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let blank = line.trim().is_empty();
            let indented = line.starts_with([' ', '\t']);
            if blank || indented {
                if let Some(step) = steps.last_mut() {
                    step.text.push_str(line.trim_end_matches('\r'));
                    step.text.push('\n');
                }
            } else if !line.starts_with('#') {
                steps.push(step_of(index + 1, line)?);
            }
        }
        for step in &mut steps {
            step.text = body(&step.text);
        }
        Ok(Self {
            steps,
            captures: Captures::new(),
        })
    }

    /// Gives a `{name}` its value before the run.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.captures.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Plays all steps; stops at the first that does not hold.
    pub fn run(&mut self, driver: &mut dyn Driver) -> Result<(), Failure> {
        for step in &self.steps {
            run_step(step, driver, &mut self.captures)?;
        }
        Ok(())
    }

    /// Number of steps.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// True for a script without steps.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

fn step_of(line: usize, text: &str) -> Result<Script, Failure> {
    let bad = |reason: &str| Failure::Script {
        line,
        reason: format!("{reason}: {text}"),
    };
    let (head, inline) = match text.split_once(": ") {
        Some((head, inline)) => (head, format!("  {inline}\n")),
        None => (text.trim_end().trim_end_matches(':'), String::new()),
    };
    let (actor, verb) = head
        .split_once(' ')
        .ok_or_else(|| bad("a step is 'ACTOR VERB:'"))?;
    let action = if actor == "wait" {
        Action::Wait(span(verb).ok_or_else(|| bad("no span of time"))?)
    } else if let Some(within) = verb.strip_prefix("receives nothing within ") {
        Action::Nothing(span(within).ok_or_else(|| bad("no span of time"))?)
    } else {
        match verb {
            "sends" => Action::Send,
            "receives" => Action::Receive(Order::Free),
            "receives exactly" => Action::Receive(Order::Exact),
            "receives nothing" => return Err(bad("say for how long")),
            other => Action::Command(other.to_owned()),
        }
    };
    Ok(Script {
        line,
        actor: actor.to_owned(),
        action,
        text: inline,
    })
}

/// `250ms`, `5s`, `2m`.
fn span(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let count: u64 = digits.parse().ok()?;
    match text.get(digits.len()..)? {
        "ms" => Some(Duration::from_millis(count)),
        "s" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_secs(count.checked_mul(60)?)),
        _ => None,
    }
}

/// Removes the common indentation and trailing blank lines.
fn body(text: &str) -> String {
    let depth = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.len() - line.trim_start_matches([' ', '\t']).len())
        .min()
        .unwrap_or(0);
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.get(depth..).unwrap_or(""))
        .collect();
    lines.join("\n").trim_end_matches('\n').to_owned()
}

fn run_step(step: &Script, driver: &mut dyn Driver, known: &mut Captures) -> Result<(), Failure> {
    let line = step.line;
    let driver_says = |reason| Failure::Driver { line, reason };
    let filled = |known: &Captures| {
        fill(&step.text, known).map_err(|reason| Failure::Script { line, reason })
    };
    match &step.action {
        Action::Send => driver
            .send(&step.actor, &filled(known)?)
            .map_err(driver_says),
        Action::Wait(span) => driver.wait(*span).map_err(driver_says),
        Action::Command(verb) => driver
            .command(&step.actor, verb, &filled(known)?)
            .map_err(driver_says),
        Action::Nothing(within) => {
            match driver.receive(&step.actor, *within).map_err(driver_says)? {
                None => Ok(()),
                Some(got) => Err(Failure::Unexpected {
                    line,
                    actor: step.actor.clone(),
                    got,
                }),
            }
        }
        Action::Receive(order) => {
            let got = driver
                .receive(&step.actor, PATIENCE)
                .map_err(driver_says)?
                .ok_or_else(|| Failure::Silence {
                    line,
                    actor: step.actor.clone(),
                    within: PATIENCE,
                })?;
            compare(*order, &step.text, &got, known).map_err(|want| Failure::Mismatch {
                line,
                actor: step.actor.clone(),
                want,
                got,
            })
        }
    }
}

/// The pattern that failed is the error.
fn compare(order: Order, want: &str, got: &str, known: &mut Captures) -> Result<(), String> {
    let lines: Vec<&str> = got.lines().collect();
    let patterns: Vec<&str> = want.lines().collect();
    match order {
        Order::Exact => exact(&patterns, &lines, known),
        Order::Free => free(&patterns, &lines, known),
    }
}

fn free(patterns: &[&str], lines: &[&str], known: &mut Captures) -> Result<(), String> {
    let Some((first, rest)) = patterns.split_first() else {
        return Ok(());
    };
    let (start, others) = lines.split_first().unwrap_or((&"", &[]));
    if !fits(first, start, known) {
        return Err((*first).to_owned());
    }
    let mut left: Vec<&str> = others.to_vec();
    for pattern in rest
        .iter()
        .filter(|line| !line.is_empty() && **line != "...")
    {
        match left.iter().position(|line| fits(pattern, line, known)) {
            Some(at) => {
                left.remove(at);
            }
            None => return Err((*pattern).to_owned()),
        }
    }
    Ok(())
}

fn exact(patterns: &[&str], lines: &[&str], known: &mut Captures) -> Result<(), String> {
    let Some((pattern, rest)) = patterns.split_first() else {
        return match lines.first() {
            None => Ok(()),
            Some(extra) => Err(format!("the end, not: {extra}")),
        };
    };
    if *pattern == "..." {
        for skip in 0..=lines.len() {
            let mut trial = known.clone();
            if exact(rest, lines.get(skip..).unwrap_or(&[]), &mut trial).is_ok() {
                *known = trial;
                return Ok(());
            }
        }
        return Err(rest.first().copied().unwrap_or("...").to_owned());
    }
    match lines.split_first() {
        Some((line, tail)) if fits(pattern, line, known) => exact(rest, tail, known),
        _ => Err((*pattern).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// Bob receives what alice sends; "says" is a command.
    #[derive(Default)]
    struct Loop {
        queue: VecDeque<String>,
        waited: Duration,
        said: Vec<String>,
    }
    impl Driver for Loop {
        fn send(&mut self, _: &str, text: &str) -> Result<(), String> {
            self.queue.push_back(text.to_owned());
            Ok(())
        }
        fn receive(&mut self, _: &str, _: Duration) -> Result<Option<String>, String> {
            Ok(self.queue.pop_front())
        }
        fn wait(&mut self, span: Duration) -> Result<(), String> {
            self.waited += span;
            Ok(())
        }
        fn command(&mut self, actor: &str, verb: &str, text: &str) -> Result<(), String> {
            self.said.push(format!("{actor}/{verb}/{text}"));
            Ok(())
        }
    }

    fn run(script: &str) -> (Result<(), Failure>, Loop) {
        let mut world = Loop::default();
        let result = Transcript::parse(script).and_then(|mut t| t.run(&mut world));
        (result, world)
    }

    #[test]
    fn a_whole_script() {
        let (result, world) = run("# greeting\nalice sends:\n  MESSAGE sip:bob SIP/2.0\n  \
            CSeq: 1 MESSAGE\n  Call-ID: x1\n\n  hello\nbob receives:\n  MESSAGE * SIP/2.0\n  \
            Call-ID: {id}\n  CSeq: 1 *\n  hello\nwait 250ms\nalice signs in: as {id}\n\
            bob receives nothing within 1s\n");
        assert_eq!(result, Ok(()));
        assert_eq!(world.waited, Duration::from_millis(250));
        assert_eq!(world.said, vec!["alice/signs in/as x1"]);
    }

    #[test]
    fn failures_name_line_and_pattern() {
        let (result, _) = run("a sends: x\nb receives: y\n");
        let failure = result.unwrap_err();
        assert!(matches!(&failure, Failure::Mismatch { line: 2, want, .. } if want == "y"));
        let (result, _) = run("b receives: y\n");
        assert!(matches!(result, Err(Failure::Silence { line: 1, .. })));
        let (result, _) = run("a sends: x\nb receives nothing within 2s\n");
        assert!(matches!(result, Err(Failure::Unexpected { line: 2, .. })));
        let (result, _) = run("a sends: {nope}\n");
        assert!(matches!(result, Err(Failure::Script { line: 1, .. })));
        let (result, _) = run("nonsense\n");
        assert!(matches!(result, Err(Failure::Script { line: 1, .. })));
    }

    #[test]
    fn exact_order_and_skips() {
        let sent = "a sends:\n  one\n  two\n  three\n";
        let holds = |want: &str| run(&format!("{sent}b receives exactly:\n{want}")).0.is_ok();
        assert!(holds("  one\n  ...\n  three\n"));
        assert!(holds("  one\n  two\n  three\n  ...\n"));
        assert!(!holds("  one\n  three\n"));
        assert!(!holds("  one\n  two\n"));
    }

    #[test]
    fn each_pattern_needs_its_own_line() {
        let (result, _) = run("a sends:\n  s\n  h: 1\nb receives:\n  s\n  h: *\n  h: *\n");
        assert!(matches!(result, Err(Failure::Mismatch { .. })));
    }
}
