//! Presence authorisation rules (RFC 5025, RFC 4745): what a document says about whom.
//!
//! Rules only ever permit (RFC 4745 section 10): what a watcher gets is the highest of what the
//! rules that match him say, and nothing without one. Because conditions on identity know single
//! addresses, domains and everybody, a document is exactly a verdict for each address and domain
//! that it names and one for all others: [`Ruleset::verdicts`]. [`mirror`] goes the other way.

mod date;
mod mirror;
mod rule;

pub use date::instant;
pub use mirror::{MirrorError, Unmirrored, Wanted, fresh, mirror};
pub use rule::{Condition, Except, Handling, Rule, Who};

use xml::{Element, Limits};

/// Namespace of RFC 4745.
pub const COMMON: &str = "urn:ietf:params:xml:ns:common-policy";
/// Namespace of RFC 5025.
pub const PRES_RULES: &str = "urn:ietf:params:xml:ns:pres-rules";
/// Namespace of OMA's additions to conditions.
pub const OMA: &str = "urn:oma:xml:xdm:common-policy";
/// Our own addition to actions: `messages`, `block` or `allow`. Presence rules say nothing about
/// messages; where the access list does, this says so in the document.
pub const OURS: &str = "urn:tristack:xml:ns:pres-rules";

/// Whom a verdict is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Subject {
    /// All that no other verdict is about.
    Everybody,
    /// All of a domain that no address's verdict is about.
    Domain(String),
    /// One address, `user@domain`.
    Address(String),
}

/// What the rules say.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Verdict {
    /// Presence.
    pub handling: Handling,
    /// Messages; `None` = nothing.
    pub messages: Option<bool>,
    /// Which presence (RFC 5025 section 3.3).
    pub provide: Provide,
}

/// Permissions to see parts of presence. What is not named is not given.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // permissions; each is one
pub struct Provide {
    /// What somebody does, not only whether he can be reached: `provide-activities` of persons
    /// that are given.
    pub activities: bool,
    /// Whether he is at his machine: `provide-user-input`, whatever its precision.
    pub user_input: bool,
    /// The note: `provide-note`.
    pub note: bool,
    /// All of it as it was published: every person, service and device with
    /// `provide-all-attributes`.
    pub whole: bool,
}

impl Provide {
    /// Everything.
    pub const ALL: Self = Self {
        activities: true,
        user_input: true,
        note: true,
        whole: true,
    };

    fn or(self, other: Self) -> Self {
        Self {
            activities: self.activities || other.activities,
            user_input: self.user_input || other.user_input,
            note: self.note || other.note,
            whole: self.whole || other.whole,
        }
    }
}

/// How URIs become addresses, and what lists hold.
pub struct Surroundings<'a> {
    /// `user@domain` in its one spelling; `None` for what is no address.
    pub address: &'a dyn Fn(&str) -> Option<String>,
    /// Members of an external list, by its URI.
    pub list: &'a dyn Fn(&str) -> Vec<String>,
}

/// A document, read.
#[derive(Clone, Debug)]
pub struct Ruleset {
    /// In document order.
    pub rules: Vec<Rule>,
}

/// Verdicts and until when they hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdicts {
    /// By subject; the one about everybody is always there, and first.
    pub about: Vec<(Subject, Verdict)>,
    /// When a rule's validity next begins or ends, ms since 1970.
    pub until: Option<u64>,
}

impl Ruleset {
    /// Reads a document that [`crate::usage::Usage::validate`] has let through.
    ///
    /// # Errors
    /// XML that the gate refuses, or another root.
    pub fn parse(
        source: &[u8],
        limits: &Limits,
        around: &Surroundings<'_>,
    ) -> Result<Self, xml::Error> {
        let root = xml::parse(source, limits)?;
        Ok(Self::of(&root, around))
    }

    pub(crate) fn of(root: &Element, around: &Surroundings<'_>) -> Self {
        let rules = root.children_named(COMMON, "rule");
        Self {
            rules: rules.map(|rule| Rule::of(rule, around)).collect(),
        }
    }

    /// What the document means at that time (ms since 1970).
    pub fn verdicts(&self, now: u64) -> Verdicts {
        let mut subjects = vec![Subject::Everybody];
        for rule in &self.rules {
            rule.mentions(&mut subjects);
        }
        subjects.sort();
        subjects.dedup();
        let about = subjects
            .into_iter()
            .map(|subject| {
                let verdict = self.verdict(&subject, now);
                (subject, verdict)
            })
            .collect();
        let until = self.rules.iter().filter_map(|r| r.boundary(now)).min();
        Verdicts { about, until }
    }

    /// What the rules say about one subject.
    pub fn verdict(&self, subject: &Subject, now: u64) -> Verdict {
        let mut verdict = Verdict {
            handling: Handling::Block,
            messages: None,
            provide: Provide::default(),
        };
        for rule in self.matching(subject, now) {
            verdict.handling = verdict.handling.max(rule.handling.unwrap_or_default());
            verdict.messages = match (verdict.messages, rule.messages) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (one, other) => one.or(other),
            };
            verdict.provide = verdict.provide.or(rule.provide);
        }
        verdict
    }

    fn matching(&self, subject: &Subject, now: u64) -> impl Iterator<Item = &Rule> {
        self.rules
            .iter()
            .filter(move |rule| rule.holds(now) && self.is_about(rule, subject))
    }

    fn is_about(&self, rule: &Rule, subject: &Subject) -> bool {
        rule.is_about(subject, || {
            // OMA: other-identity is about those whom no other rule names.
            let named = |other: &Rule| other.names_somebody() && other.is_about(subject, || false);
            !self.rules.iter().any(named)
        })
    }
}
