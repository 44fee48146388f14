//! The durable part: cases as the fold of the records.

use super::vocabulary::{Address, By, CaseId, Line, Record, Time, What};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A customer's concern, from the first text to the close.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Case {
    pub(crate) customer: Address,
    pub(crate) skill: String,
    pub(crate) stage: Stage,
    /// The last ones; all are in the log.
    pub(crate) lines: VecDeque<Line>,
    /// Who let an offer pass or handed it over: asked last.
    pub(crate) passed: BTreeSet<Address>,
    /// Who is to be asked first.
    pub(crate) prefer: Option<Address>,
}

/// Where a case stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    Waiting,
    Offered { agent: Address, until: Time },
    Active(Address),
    Held(Address),
}

/// All cases.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Cases {
    pub(crate) open: BTreeMap<CaseId, Case>,
    /// Waiting cases, next first.
    pub(crate) queue: VecDeque<CaseId>,
    /// When an agent last finished or let go of a case.
    pub(crate) last_work: BTreeMap<Address, Time>,
    /// Texts that did not yet reach the customer; they outlive the case.
    pub(crate) pending: BTreeMap<CaseId, (Address, VecDeque<String>)>,
    by_customer: BTreeMap<Address, CaseId>,
    /// Transcripts of closed cases, newest last.
    history: BTreeMap<Address, VecDeque<Vec<Line>>>,
    last: CaseId,
}

const LINES: usize = 200;
const TRANSCRIPTS: usize = 3;
const CUSTOMERS: usize = 10_000;

impl Cases {
    /// Takes a record in.
    pub(crate) fn fold(&mut self, record: &Record) {
        let id = record.case;
        if let What::Opened { customer, skill } = &record.what {
            let case = Case {
                customer: customer.clone(),
                skill: skill.clone(),
                stage: Stage::Waiting,
                lines: VecDeque::new(),
                passed: BTreeSet::new(),
                prefer: None,
            };
            self.last = self.last.max(id);
            self.by_customer.insert(customer.clone(), id);
            self.open.insert(id, case);
            self.queue.push_back(id);
            return;
        }
        if record.what == What::Delivered {
            return self.delivered(id);
        }
        let Some(case) = self.open.get_mut(&id) else {
            return;
        };
        match &record.what {
            What::Opened { .. } | What::Delivered => {}
            What::Line { by, text } => {
                if case.lines.len() >= LINES {
                    case.lines.pop_front();
                }
                if matches!(by, By::Agent(_) | By::Desk) {
                    let pending = self.pending.entry(id).or_default();
                    pending.0.clone_from(&case.customer);
                    pending.1.push_back(text.clone());
                }
                let (by, text) = (by.clone(), text.clone());
                case.lines.push_back(Line { by, text });
            }
            What::Offered { agent, until } => {
                let (agent, until) = (agent.clone(), *until);
                case.stage = Stage::Offered { agent, until };
                self.queue.retain(|waiting| *waiting != id);
            }
            What::Withdrawn { agent } => {
                case.passed.insert(agent.clone());
                case.prefer = None;
                case.stage = Stage::Waiting;
                self.queue.push_front(id);
            }
            What::Taken { agent } => {
                case.stage = Stage::Active(agent.clone());
                case.passed.clear();
                case.prefer = None;
                self.queue.retain(|waiting| *waiting != id);
            }
            What::Held | What::Resumed => {
                if let Stage::Active(agent) | Stage::Held(agent) = &case.stage {
                    case.stage = match record.what {
                        What::Held => Stage::Held(agent.clone()),
                        _ => Stage::Active(agent.clone()),
                    };
                }
            }
            What::Returned {
                from,
                prefer,
                skill,
            } => {
                case.passed.insert(from.clone());
                case.prefer.clone_from(prefer);
                if let Some(skill) = skill {
                    case.skill.clone_from(skill);
                }
                case.stage = Stage::Waiting;
                self.queue.retain(|waiting| *waiting != id);
                self.queue.push_front(id);
                self.last_work.insert(from.clone(), record.at);
            }
            What::Closed => self.close(id, record.at),
        }
    }

    fn delivered(&mut self, id: CaseId) {
        if let Some((_, texts)) = self.pending.get_mut(&id) {
            texts.pop_front();
            if texts.is_empty() {
                self.pending.remove(&id);
            }
        }
    }

    fn close(&mut self, id: CaseId, at: Time) {
        let Some(case) = self.open.remove(&id) else {
            return;
        };
        self.queue.retain(|waiting| *waiting != id);
        self.by_customer.remove(&case.customer);
        if let Some(agent) = case.stage.agent() {
            self.last_work.insert(agent.clone(), at);
        }
        if self.history.len() >= CUSTOMERS && !self.history.contains_key(&case.customer) {
            self.history.pop_first();
        }
        let kept = self.history.entry(case.customer).or_default();
        if kept.len() >= TRANSCRIPTS {
            kept.pop_front();
        }
        kept.push_back(case.lines.into());
    }

    /// The number of the next case.
    pub(crate) fn next(&self) -> CaseId {
        self.last + 1
    }

    /// The open case of a customer.
    pub(crate) fn of_customer(&self, customer: &str) -> Option<CaseId> {
        self.by_customer.get(customer).copied()
    }

    /// What the customer wrote about before, oldest first.
    pub(crate) fn history(&self, customer: &str) -> impl Iterator<Item = &Vec<Line>> {
        self.history.get(customer).into_iter().flatten()
    }

    /// The cases that an agent has or is offered.
    pub(crate) fn of_agent<'a>(&'a self, agent: &'a str) -> impl Iterator<Item = CaseId> + 'a {
        let theirs = self
            .open
            .iter()
            .filter(move |(_, case)| case.stage.agent().is_some_and(|a| a == agent));
        theirs.map(|(id, _)| *id)
    }
}

impl Stage {
    /// Who has it or is asked.
    pub(crate) fn agent(&self) -> Option<&Address> {
        match self {
            Self::Waiting => None,
            Self::Offered { agent, .. } | Self::Active(agent) | Self::Held(agent) => Some(agent),
        }
    }
}
