//! One rule: conditions, actions, transformations.

use super::{COMMON, OMA, OURS, PRES_RULES, Provide, Subject, Surroundings, date};
use xml::Element;

/// What a subscription gets (RFC 5025 3.2.1). The order is that of permission: higher wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Handling {
    /// Refused.
    #[default]
    Block,
    /// The person is asked.
    Confirm,
    /// Shown somebody who is offline.
    PoliteBlock,
    /// Shown presence.
    Allow,
}

impl Handling {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Confirm => "confirm",
            Self::PoliteBlock => "polite-block",
            Self::Allow => "allow",
        }
    }

    /// The handling a word means.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Block, Self::Confirm, Self::PoliteBlock, Self::Allow]
            .into_iter()
            .find(|handling| handling.word() == word)
    }

    /// Whether nothing true is shown and nobody is asked.
    pub fn is_denial(self) -> bool {
        matches!(self, Self::Block | Self::PoliteBlock)
    }
}

/// A condition; a rule holds if all of its conditions do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Condition {
    /// Any of these (RFC 4745 7.1).
    Identity(Vec<Who>),
    /// Members of these lists, addresses already (OMA `external-list`).
    External(Vec<String>),
    /// Nobody whom another rule names (OMA `other-identity`).
    OtherIdentity,
    /// Within any of these intervals, ms since 1970 (RFC 4745 7.3).
    Validity(Vec<(u64, u64)>),
    /// Never: `sphere` and `anonymous-request`, which are never known of a watcher here, and
    /// whatever else is unknown (RFC 4745 section 7: what can't be evaluated is false).
    Never(String),
}

/// Part of an identity condition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Who {
    /// `one`; `None` for a URI that is nobody's address.
    One(Option<String>),
    /// `many`
    Many {
        /// Only of this domain.
        domain: Option<String>,
        /// But not these.
        except: Vec<Except>,
    },
}

/// `except`
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Except {
    /// An address.
    Address(String),
    /// A domain.
    Domain(String),
}

/// A rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Its id.
    pub id: String,
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// `sub-handling`
    pub handling: Option<Handling>,
    /// Our `messages`.
    pub messages: Option<bool>,
    /// `provide-*`
    pub provide: Provide,
}

impl Rule {
    pub(super) fn of(rule: &Element, around: &Surroundings<'_>) -> Self {
        let conditions = rule.child(COMMON, "conditions");
        let actions = rule.child(COMMON, "actions");
        let word = |namespace, name| {
            let found = actions.and_then(|actions| actions.child(namespace, name));
            found.map(|found| found.trimmed().into_owned())
        };
        Self {
            id: rule.attribute("id").unwrap_or_default().to_owned(),
            conditions: conditions
                .iter()
                .flat_map(|all| all.elements())
                .map(|condition| Condition::of(condition, around))
                .collect(),
            handling: word(PRES_RULES, "sub-handling").and_then(|word| Handling::of(&word)),
            messages: match word(OURS, "messages").as_deref() {
                Some("allow") => Some(true),
                Some("block") => Some(false),
                _ => None,
            },
            provide: rule
                .child(COMMON, "transformations")
                .map_or(Provide::default(), provide),
        }
    }

    /// The addresses and domains it names.
    pub(super) fn mentions(&self, subjects: &mut Vec<Subject>) {
        for condition in &self.conditions {
            match condition {
                Condition::Identity(all) => all.iter().for_each(|who| who.mentions(subjects)),
                Condition::External(all) => {
                    subjects.extend(all.iter().cloned().map(Subject::Address));
                }
                Condition::OtherIdentity | Condition::Validity(_) | Condition::Never(_) => {}
            }
        }
    }

    /// Whether its conditions on identity are about that subject. `other` says whether no other
    /// rule is.
    pub(super) fn is_about(&self, subject: &Subject, other: impl Fn() -> bool) -> bool {
        self.conditions.iter().all(|condition| match condition {
            Condition::Identity(all) => all.iter().any(|who| who.is_about(subject)),
            Condition::External(all) => {
                matches!(subject, Subject::Address(address) if all.contains(address))
            }
            Condition::OtherIdentity => other(),
            Condition::Validity(_) => true,
            Condition::Never(_) => false,
        })
    }

    /// Whether it is about certain people rather than all.
    pub(super) fn names_somebody(&self) -> bool {
        self.conditions
            .iter()
            .any(|c| matches!(c, Condition::Identity(_) | Condition::External(_)))
    }

    /// Whether it is valid at that time.
    pub(super) fn holds(&self, now: u64) -> bool {
        self.conditions.iter().all(|condition| match condition {
            Condition::Validity(all) => {
                all.iter().any(|(from, until)| *from <= now && now < *until)
            }
            _ => true,
        })
    }

    /// When its validity next changes.
    pub(super) fn boundary(&self, now: u64) -> Option<u64> {
        let intervals = self.conditions.iter().flat_map(|c| match c {
            Condition::Validity(all) => all.as_slice(),
            _ => &[],
        });
        intervals
            .flat_map(|(from, until)| [*from, *until])
            .filter(|at| *at > now)
            .min()
    }

    /// Whether nothing but identity decides.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.conditions.as_slice(), [Condition::Identity(_)])
    }
}

impl Condition {
    fn of(condition: &Element, around: &Surroundings<'_>) -> Self {
        if condition.is(COMMON, "identity") {
            let all = condition.elements().filter_map(|who| Who::of(who, around));
            return Self::Identity(all.collect());
        }
        if condition.is(COMMON, "validity") {
            return Self::Validity(validity(condition));
        }
        if condition.is(OMA, "external-list") {
            let mut members = Vec::new();
            for entry in condition.elements() {
                // OMA: `entry` with `anc`; older clients write `item` or `uri`.
                let uri = entry.attribute("anc").or(entry.attribute("uri"));
                let text = entry.trimmed();
                let uri = uri.unwrap_or(&text);
                members.extend((around.list)(uri));
            }
            return Self::External(members);
        }
        if condition.is(OMA, "other-identity") {
            return Self::OtherIdentity;
        }
        Self::Never(condition.name.local().to_owned())
    }
}

impl Who {
    pub(super) fn of(who: &Element, around: &Surroundings<'_>) -> Option<Self> {
        if who.is(COMMON, "one") {
            return Some(Self::One((around.address)(who.attribute("id")?)));
        }
        if !who.is(COMMON, "many") {
            return None;
        }
        let domain = |text: &str| text.to_ascii_lowercase();
        let except = who.children_named(COMMON, "except").filter_map(|except| {
            match (except.attribute("id"), except.attribute("domain")) {
                (Some(id), _) => (around.address)(id).map(Except::Address),
                (None, Some(of)) => Some(Except::Domain(domain(of))),
                (None, None) => None,
            }
        });
        Some(Self::Many {
            domain: who.attribute("domain").map(domain),
            except: except.collect(),
        })
    }

    fn mentions(&self, subjects: &mut Vec<Subject>) {
        match self {
            Self::One(address) => subjects.extend(address.clone().map(Subject::Address)),
            Self::Many { domain, except } => {
                subjects.extend(domain.clone().map(Subject::Domain));
                subjects.extend(except.iter().map(|except| match except {
                    Except::Address(address) => Subject::Address(address.clone()),
                    Except::Domain(domain) => Subject::Domain(domain.clone()),
                }));
            }
        }
    }

    pub(super) fn is_about(&self, subject: &Subject) -> bool {
        match self {
            Self::One(one) => {
                matches!(subject, Subject::Address(address) if one.as_ref() == Some(address))
            }
            Self::Many { domain, except } => {
                let of = match subject {
                    Subject::Everybody => None,
                    Subject::Domain(domain) => Some(domain.as_str()),
                    Subject::Address(address) => address.rsplit_once('@').map(|(_, d)| d),
                };
                domain.as_deref().is_none_or(|domain| Some(domain) == of)
                    && !except.iter().any(|except| match except {
                        Except::Address(one) => {
                            matches!(subject, Subject::Address(address) if one == address)
                        }
                        Except::Domain(domain) => Some(domain.as_str()) == of,
                    })
            }
        }
    }
}

fn validity(condition: &Element) -> Vec<(u64, u64)> {
    let mut intervals = Vec::new();
    let mut from = None;
    // RFC 4745 7.3: pairs of from and until, one after the other.
    for bound in condition.elements() {
        let at = date::instant(&bound.trimmed());
        if bound.is(COMMON, "from") {
            from = at;
        } else if bound.is(COMMON, "until")
            && let (Some(from), Some(until)) = (from.take(), at)
        {
            intervals.push((from, until));
        }
    }
    intervals
}

/// RFC 5025 3.3: a person's activities need the person and his activities; a note likewise.
fn provide(transformations: &Element) -> Provide {
    let has = |name| transformations.child(PRES_RULES, name);
    let yes = |name| has(name).is_some_and(|e| matches!(&*e.trimmed(), "true" | "1"));
    let all = has("provide-all-attributes").is_some();
    let given = |name| has(name).is_some_and(|given| given.elements().next().is_some());
    let every = |name, all| has(name).is_some_and(|given| given.child(PRES_RULES, all).is_some());
    let input = has("provide-user-input").is_some_and(|e| e.trimmed() != "false");
    let somebody = given("provide-persons") || given("provide-services");
    Provide {
        activities: somebody && (all || yes("provide-activities")),
        user_input: somebody && (all || input),
        note: somebody && (all || yes("provide-note")),
        whole: all
            && every("provide-persons", "all-persons")
            && every("provide-services", "all-services")
            && every("provide-devices", "all-devices"),
    }
}
