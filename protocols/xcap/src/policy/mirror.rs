//! Changes of the access list as minimal edits of the document.
//!
//! Since rules only permit, a denial is written by taking the person out of each rule that permits
//! more (`one` goes, `many` gets an `except`) and naming him in one that permits what he is to
//! have. From everybody to domains to addresses: a step never changes what an earlier one set.

use super::{
    COMMON, Condition, Handling, OURS, PRES_RULES, Provide, Rule, Ruleset, Subject, Surroundings,
    Who,
};
use crate::edit::{append, splice};
use crate::scope::escape;
use std::fmt::Write as _;
use xml::{Element, Limits};

/// The document can't say it: a rule permits it by a list or another condition that only the
/// owner can change. The access list holds all the same.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("rule {rule} permits {subject:?} more by a condition that can't be narrowed")]
pub struct Unmirrored {
    /// The rule.
    pub rule: String,
    /// About whom.
    pub subject: Subject,
}

/// Edits per subject: a document can name somebody in many rules.
const MOST_STEPS: usize = 64;
/// Rounds over all subjects.
const MOST_ROUNDS: usize = 8;

/// What is wanted for one subject: presence and messages.
pub type Wanted = (Subject, Handling, Option<bool>);

/// Changes the document until it says what is wanted. Octets that need no change stay.
///
/// # Errors
/// The XML gate's refusal (too large by now), or a rule that can't be narrowed; the document is
/// then left as it was.
pub fn mirror(
    source: &[u8],
    wanted: &[Wanted],
    now: u64,
    limits: &Limits,
    around: &Surroundings<'_>,
) -> Result<Vec<u8>, MirrorError> {
    let mut document = source.to_vec();
    let mut sorted: Vec<&Wanted> = wanted.iter().collect();
    sorted.sort_by(|one, other| one.0.cmp(&other.0));
    // Naming somebody may take others out of a rule about all whom no rule names: another round.
    for _ in 0..MOST_ROUNDS {
        let mut changed = false;
        for wanted in &sorted {
            changed |= settle(&mut document, wanted, now, limits, around)?;
        }
        if !changed {
            return Ok(document);
        }
    }
    let subject = sorted.first().map_or(Subject::Everybody, |w| w.0.clone());
    let rule = String::new();
    Err(Unmirrored { rule, subject }.into())
}

/// Edits until one wish holds; whether there was anything to do.
fn settle(
    document: &mut Vec<u8>,
    wanted: &Wanted,
    now: u64,
    limits: &Limits,
    around: &Surroundings<'_>,
) -> Result<bool, MirrorError> {
    for step in 0.. {
        let root = xml::parse(document, limits)?;
        let page = Page {
            source: document,
            root: &root,
            rules: Ruleset::of(&root, around),
            around,
            now,
        };
        match page.step(wanted, step > 0)? {
            None => return Ok(step > 0),
            Some(_) if step >= MOST_STEPS => {
                return Err(unmirrored("", &wanted.0).into());
            }
            Some(changed) => *document = changed,
        }
    }
    Ok(true)
}

/// Why [`mirror`] can't.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MirrorError {
    /// The gate's refusal.
    #[error("{0}")]
    Xml(#[from] xml::Error),
    /// A rule that can't be narrowed.
    #[error("{0}")]
    Unmirrored(#[from] Unmirrored),
}

/// A document that says just this. What everybody gets is nothing unless said.
pub fn fresh(wanted: &[Wanted]) -> Vec<u8> {
    let mut out =
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ruleset xmlns=\"{COMMON}\">");
    let mut number = 0;
    let mut groups: Vec<(Handling, Option<bool>, Vec<&Subject>)> = Vec::new();
    for (subject, handling, messages) in wanted {
        match groups
            .iter_mut()
            .find(|(h, m, _)| h == handling && m == messages)
        {
            Some((_, _, group)) => group.push(subject),
            None => groups.push((*handling, *messages, vec![subject])),
        }
    }
    for (handling, messages, group) in &groups {
        number += 1;
        let mut identity = String::new();
        for subject in group {
            // Denials are exceptions from what is more general.
            let except: String = wanted
                .iter()
                .filter(|(other, h, m)| (h, m) != (handling, messages) && is_within(other, subject))
                .map(|(other, ..)| except("", other))
                .collect();
            identity.push_str(&who("", subject, &except));
        }
        let _ = write!(
            out,
            "\n  {}",
            rule("", &format!("r{number}"), &identity, *handling, *messages)
        );
    }
    out.push_str("\n</ruleset>\n");
    out.into_bytes()
}

struct Page<'p> {
    source: &'p [u8],
    root: &'p Element,
    rules: Ruleset,
    around: &'p Surroundings<'p>,
    now: u64,
}

impl Page<'_> {
    /// The next edit for one subject; `None` when all is as wanted.
    /// `spelt`: somebody who is denied is to be named, not only left out, so that his owner's
    /// client shows him.
    fn step(&self, wanted: &Wanted, spelt: bool) -> Result<Option<Vec<u8>>, Unmirrored> {
        let (subject, handling, messages) = wanted;
        let is = self.rules.verdict(subject, self.now);
        let alike = is.handling == *handling || is.handling.is_denial() && handling.is_denial();
        let elements: Vec<&Element> = self.root.children_named(COMMON, "rule").collect();
        if alike && is.messages == *messages {
            let silent = spelt
                && matches!(subject, Subject::Address(_))
                && is.handling == Handling::Block
                && !self.names(subject);
            return Ok(silent.then(|| self.attach(&elements, subject, *handling, *messages)));
        }
        for (rule, element) in self.rules.rules.iter().zip(&elements) {
            let excess = rule.handling.unwrap_or_default() > *handling && !alike
                || is.messages != *messages
                    && rule.messages.is_some()
                    && rule.messages != *messages;
            if excess
                && rule.holds(self.now)
                && self.rules.is_about(rule, subject)
                && let Some(changed) = self.detach(rule, element, subject)?
            {
                return Ok(Some(changed));
            }
        }
        let handling = if alike { is.handling } else { *handling };
        Ok(Some(self.attach(&elements, subject, handling, *messages)))
    }

    /// Whether a rule says what that subject gets.
    fn names(&self, subject: &Subject) -> bool {
        let all = self.rules.rules.iter();
        all.filter(|rule| rule.handling.is_some())
            .any(|rule| rule.holds(self.now) && self.rules.is_about(rule, subject))
    }

    /// Takes somebody out of a rule; `None` if naming him elsewhere does it.
    fn detach(
        &self,
        rule: &Rule,
        element: &Element,
        subject: &Subject,
    ) -> Result<Option<Vec<u8>>, Unmirrored> {
        if rule.conditions.contains(&Condition::OtherIdentity) && !rule.names_somebody() {
            return Ok(match subject {
                Subject::Everybody => Some(splice(self.source, element.span.clone(), b"")),
                _ => None,
            });
        }
        let conditions = element.child(COMMON, "conditions");
        let identity = conditions.and_then(|c| c.child(COMMON, "identity"));
        let Some(identity) = identity else {
            if rule.names_somebody() {
                return Err(unmirrored(&rule.id, subject));
            }
            return Ok(Some(self.narrow(element, conditions, subject)));
        };
        for who in identity.elements() {
            let about = Who::of(who, self.around).is_some_and(|who| who.is_about(subject));
            if !about {
                continue;
            }
            let narrower = is_one(who) || domain_of(who).is_some();
            let exact = match subject {
                Subject::Address(_) => is_one(who),
                Subject::Domain(_) => domain_of(who).is_some(),
                Subject::Everybody => !narrower,
            };
            if !exact {
                let prefix = self.prefix(who);
                let except = except(prefix, subject);
                return self
                    .inside(who, &except)
                    .map(Some)
                    .ok_or(unmirrored(&rule.id, subject));
            }
            let alone = identity.elements().count() == 1;
            let gone = if alone { element } else { who };
            return Ok(Some(splice(self.source, gone.span.clone(), b"")));
        }
        Err(unmirrored(&rule.id, subject))
    }

    /// Narrows a rule about all: it gets a condition.
    fn narrow(&self, rule: &Element, conditions: Option<&Element>, subject: &Subject) -> Vec<u8> {
        if *subject == Subject::Everybody {
            return splice(self.source, rule.span.clone(), b"");
        }
        let p = self.prefix(rule);
        let except = except(p, subject);
        let identity = format!("<{p}identity><{p}many>{except}</{p}many></{p}identity>");
        if let Some(changed) = conditions.and_then(|c| self.inside(c, &identity)) {
            return changed;
        }
        let conditions = format!("<{p}conditions>{identity}</{p}conditions>");
        // The schema wants conditions first.
        match rule.elements().next() {
            Some(first) => splice(
                self.source,
                first.span.start..first.span.start,
                conditions.as_bytes(),
            ),
            None => self.inside(rule, &conditions).unwrap_or_default(),
        }
    }

    /// Names somebody in a rule that permits just that, or in a new one.
    fn attach(
        &self,
        elements: &[&Element],
        subject: &Subject,
        handling: Handling,
        messages: Option<bool>,
    ) -> Vec<u8> {
        for (rule, element) in self.rules.rules.iter().zip(elements) {
            // Lists of other protocols can't say less than everything.
            let shows = handling.is_denial() || rule.provide == Provide::ALL;
            let fits = rule.is_plain()
                && rule.handling == Some(handling)
                && rule.messages == messages
                && shows;
            let identity = element
                .child(COMMON, "conditions")
                .and_then(|c| c.child(COMMON, "identity"));
            if let (true, Some(identity)) = (fits, identity) {
                let who = who(self.prefix(identity), subject, "");
                if let Some(changed) = self.inside(identity, &who) {
                    return changed;
                }
            }
        }
        let p = self.prefix(self.root);
        let taken = |id: &String| self.rules.rules.iter().any(|rule| rule.id == *id);
        let id = (1..=u16::MAX)
            .map(|n| format!("t{n}"))
            .find(|id| !taken(id));
        let rule = rule(
            p,
            &id.unwrap_or_default(),
            &who(p, subject, ""),
            handling,
            messages,
        );
        self.inside(self.root, &rule)
            .unwrap_or_else(|| self.source.to_vec())
    }

    /// With something after the last element in another.
    fn inside(&self, parent: &Element, what: &str) -> Option<Vec<u8>> {
        let layout = xml::layout(self.source, parent)?;
        let last = parent.elements().last();
        Some(append(self.source, parent, &layout, last, what.as_bytes()))
    }

    /// The prefix that element is written with, colon included; all of ours are in its namespace.
    fn prefix(&self, element: &Element) -> &str {
        xml::layout(self.source, element)
            .and_then(|layout| self.source.get(layout.name))
            .and_then(|name| std::str::from_utf8(name).ok())
            .and_then(|name| name.get(..=name.find(':')?))
            .unwrap_or_default()
    }
}

fn unmirrored(rule: &str, subject: &Subject) -> Unmirrored {
    Unmirrored {
        rule: rule.to_owned(),
        subject: subject.clone(),
    }
}

fn is_one(who: &Element) -> bool {
    who.is(COMMON, "one")
}

fn domain_of(who: &Element) -> Option<&str> {
    who.attribute("domain")
}

/// Whether the first is part of the second.
fn is_within(inner: &Subject, outer: &Subject) -> bool {
    match (inner, outer) {
        (Subject::Address(_) | Subject::Domain(_), Subject::Everybody) => true,
        (Subject::Address(address), Subject::Domain(domain)) => {
            address.rsplit_once('@').is_some_and(|(_, of)| of == domain)
        }
        _ => false,
    }
}

fn who(p: &str, subject: &Subject, except: &str) -> String {
    let domain = match subject {
        Subject::Address(address) => return format!("<{p}one id=\"sip:{}\"/>", escape(address)),
        Subject::Domain(domain) => format!(" domain=\"{}\"", escape(domain)),
        Subject::Everybody => String::new(),
    };
    if except.is_empty() {
        format!("<{p}many{domain}/>")
    } else {
        format!("<{p}many{domain}>{except}</{p}many>")
    }
}

fn except(p: &str, subject: &Subject) -> String {
    match subject {
        Subject::Address(address) => format!("<{p}except id=\"sip:{}\"/>", escape(address)),
        Subject::Domain(domain) => format!("<{p}except domain=\"{}\"/>", escape(domain)),
        Subject::Everybody => String::new(),
    }
}

fn rule(p: &str, id: &str, identity: &str, handling: Handling, messages: Option<bool>) -> String {
    let messages = match messages {
        None => String::new(),
        Some(allow) => format!(
            "<messages xmlns=\"{OURS}\">{}</messages>",
            if allow { "allow" } else { "block" }
        ),
    };
    let provide = if handling.is_denial() {
        format!("<{p}transformations/>")
    } else {
        format!(
            "<{p}transformations><provide-services xmlns=\"{PRES_RULES}\"><all-services/></provide-services><provide-persons xmlns=\"{PRES_RULES}\"><all-persons/></provide-persons><provide-devices xmlns=\"{PRES_RULES}\"><all-devices/></provide-devices><provide-all-attributes xmlns=\"{PRES_RULES}\"/></{p}transformations>"
        )
    };
    format!(
        "<{p}rule id=\"{id}\"><{p}conditions><{p}identity>{identity}</{p}identity></{p}conditions><{p}actions><sub-handling xmlns=\"{PRES_RULES}\">{}</sub-handling>{messages}</{p}actions>{provide}</{p}rule>",
        handling.word()
    )
}
