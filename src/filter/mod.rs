//! Filters: what an operator wants done to messages before they are delivered.
//!
//! A filter is a value: a scope, a check, and what is done when the check hits. It judges one
//! message and knows nothing of protocols, connections or storage. [`hook`] makes admission hooks
//! of filters; the hub runs those in order, each on what the one before it let through.

mod hook;
mod hosts;
mod hours;
mod http;
mod rate;
mod scope;
#[cfg(test)]
mod tests;

pub use hook::FilterHook;
pub use hosts::Hosts;
pub use hours::{BadHours, Hours};
pub use http::Service;
pub use rate::Rate;
pub use scope::Scope;

use crate::core::address::Address;
use crate::core::message::{Content, Message};
use crate::core::time::Time;
use regex::Regex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Longest reason a sender is told, in characters: it stands in a status line.
const REASON: usize = 200;

/// One filter.
pub struct Filter {
    /// Its name, for traces, logs and reports.
    pub name: Arc<str>,
    /// Which messages it looks at.
    pub scope: Scope,
    /// When it looks at them; `None` = always.
    pub hours: Option<Hours>,
    /// What it looks for.
    pub check: Check,
    /// What it does then.
    pub action: Action,
    /// What the sender is told; empty = what the check found.
    pub reason: String,
    /// It only logs and counts.
    pub test: bool,
    /// What it has done.
    pub counts: Counts,
}

/// What a filter looks for.
pub enum Check {
    /// A message larger than this, in octets of its text, or of its original if it has none.
    Size(usize),
    /// More messages of one sender than this.
    Rate(Rate),
    /// A text that one of these matches.
    Patterns(Vec<Regex>),
    /// A link to a host that is not to be linked to.
    Hosts(Hosts),
    /// Any message in its scope.
    Any,
    /// What a service says.
    Http(Service),
}

/// What a filter does when its check hits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The sender is told why.
    Refuse,
    /// What was found is replaced by this.
    Replace(String),
    /// It is kept until an operator decides.
    Hold,
    /// It goes to somebody else.
    Route(Address),
    /// It goes nowhere; its sender gets this text from whom he wrote to.
    Reply(String),
}

/// What a filter says about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Allow,
    /// It passes with this text.
    Modify(String),
    /// It does not pass, for this reason.
    Refuse(String),
    /// It is kept until an operator decides, for this reason.
    Hold(String),
    /// It goes to somebody else.
    Route(Address),
    /// It goes nowhere; its sender gets this text from whom he wrote to.
    Reply(String),
}

/// Counters of a filter.
#[derive(Debug, Default)]
pub struct Counts {
    seen: AtomicU64,
    hits: AtomicU64,
}

impl Counts {
    /// Messages in its scope.
    pub fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// Of these, those that the check hit.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }
}

impl Filter {
    /// Judges a message at a time of its own, for tests and explanations.
    pub async fn judge_at(&self, message: &Message, now: Time) -> Verdict {
        let of_day = self.hours.as_ref().is_none_or(|hours| hours.cover(now));
        if !of_day || !self.scope.covers(message) {
            return Verdict::Allow;
        }
        match &self.check {
            Check::Http(service) => service.ask(self, message).await,
            _ => self.verdict(message, now),
        }
    }

    /// Judges a message, and counts it. In test mode a hit is logged and the message passes.
    pub async fn judge(&self, message: &Message, now: Time) -> Verdict {
        if !self.scope.covers(message) {
            return Verdict::Allow;
        }
        self.counts.seen.fetch_add(1, Ordering::Relaxed);
        let verdict = self.judge_at(message, now).await;
        if verdict == Verdict::Allow {
            return verdict;
        }
        self.counts.hits.fetch_add(1, Ordering::Relaxed);
        if self.test {
            let (filter, from, to) = (&self.name, &message.from, &message.to);
            tracing::info!(%filter, %from, %to, ?verdict, "a filter in test mode would act");
            return Verdict::Allow;
        }
        verdict
    }

    fn verdict(&self, message: &Message, now: Time) -> Verdict {
        let text = text(message);
        match &self.check {
            Check::Size(most) => {
                let size = text.map_or(message.original.bytes.len(), str::len);
                self.act(size > *most, || format!("larger than {most} octets"))
            }
            Check::Rate(rate) => {
                let over = !rate.take(&message.from, now);
                self.act(over, || "too many messages, wait a little".to_owned())
            }
            Check::Any => self.act(true, || "not allowed here".to_owned()),
            // Asked by `judge_at`.
            Check::Http(_) => Verdict::Allow,
            Check::Patterns(patterns) => self.patterns(patterns, text.unwrap_or_default()),
            Check::Hosts(hosts) => {
                let text = text.unwrap_or_default();
                match (hosts.refused(text), &self.action) {
                    (None, _) => Verdict::Allow,
                    (Some(_), Action::Replace(by)) => Verdict::Modify(hosts.without(text, by)),
                    (Some(host), _) => {
                        self.act(true, || format!("links to {host} are not allowed here"))
                    }
                }
            }
        }
    }

    fn patterns(&self, patterns: &[Regex], text: &str) -> Verdict {
        let Action::Replace(by) = &self.action else {
            let hit = patterns.iter().any(|pattern| pattern.is_match(text));
            return self.act(hit, || "the text is not allowed here".to_owned());
        };
        let mut changed = text.to_owned();
        for pattern in patterns {
            let replaced = pattern.replace_all(&changed, regex::NoExpand(by));
            changed = replaced.into_owned();
        }
        if changed == text {
            Verdict::Allow
        } else {
            Verdict::Modify(changed)
        }
    }

    fn act(&self, hit: bool, found: impl FnOnce() -> String) -> Verdict {
        if !hit {
            return Verdict::Allow;
        }
        let reason = if self.reason.is_empty() {
            found()
        } else {
            one_line(&self.reason)
        };
        match &self.action {
            Action::Hold => Verdict::Hold(reason),
            Action::Route(to) => Verdict::Route(to.clone()),
            Action::Reply(text) => Verdict::Reply(text.clone()),
            Action::Refuse | Action::Replace(_) => Verdict::Refuse(reason),
        }
    }
}

/// The text of a message that is one.
fn text(message: &Message) -> Option<&str> {
    match &message.content {
        Content::Text(text) => Some(&text.body),
        _ => None,
    }
}

/// A reason fit for a status line: one line, not too long.
fn one_line(text: &str) -> String {
    let tame = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().map(tame).take(REASON).collect()
}
