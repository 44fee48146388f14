//! The desk as a pure state machine: event in, actions out. No clock, socket or disk.
//!
//! Everything durable is the fold of records ([`Cases`]); the rest (who is there, which customer an
//! agent turned to) is learned anew after a restart. Invariant: after each call every action's
//! record is folded in, so a desk rebuilt from the log has the same cases.

use super::case::{Case, Cases, Stage};
use super::mask::mask;
use super::vocabulary::{Action, Address, By, CaseId, Event, Record, Time, What};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What the desk is told at the start.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Who works here.
    pub(crate) agents: BTreeMap<Address, Skills>,
    /// Words in the first text that ask for a skill.
    pub(crate) skills: BTreeMap<String, Vec<String>>,
    /// Canned answers.
    pub(crate) canned: BTreeMap<String, String>,
    /// Seconds that an agent has to take an offer.
    pub(crate) offer: Time,
    /// Seconds that an agent may be gone before the customers are handed on.
    pub(crate) grace: Time,
    /// Open cases at most; further customers are told to come back.
    pub(crate) cases: usize,
}

/// An agent's part of the settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Skills {
    pub(crate) skills: Vec<String>,
    /// Customers at once.
    pub(crate) capacity: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            agents: BTreeMap::new(),
            skills: BTreeMap::new(),
            canned: BTreeMap::new(),
            offer: 30,
            grace: 60,
            cases: 1_000,
        }
    }
}

/// The desk.
pub(crate) struct Desk {
    pub(super) settings: Settings,
    pub(super) cases: Cases,
    pub(super) agents: BTreeMap<Address, Agent>,
    /// The place in the queue that each customer was last told.
    pub(super) told: BTreeMap<CaseId, usize>,
    pub(super) out: Vec<Action>,
    pub(super) now: Time,
}

/// What is known of an agent and not kept.
#[derive(Clone, Debug)]
pub(super) struct Agent {
    /// Since when gone; `None`: there.
    pub(super) gone: Option<Time>,
    /// Offers let pass in a row.
    pub(super) missed: u32,
    /// The case that plain text goes to.
    pub(super) current: Option<CaseId>,
    /// Not seen since the desk began.
    pub(super) fresh: bool,
    /// Since when without anything to do.
    pub(super) idle: Time,
}

/// After so many offers in a row that were let pass an agent gets no more until they write.
const MISSED: u32 = 2;

impl Desk {
    /// A desk with what the log says, at `now`. All agents count as gone until they are seen.
    pub(crate) fn restore(settings: Settings, records: &[Record], now: Time) -> Self {
        let mut cases = Cases::default();
        for record in records {
            cases.fold(record);
        }
        let agents = settings.agents.keys().map(|address| {
            let agent = Agent {
                gone: Some(now),
                missed: 0,
                current: None,
                fresh: true,
                idle: cases.last_work.get(address).copied().unwrap_or(0),
            };
            (address.clone(), agent)
        });
        let agents = agents.collect();
        // What the customers did not get before the restart.
        let tell =
            |(id, (to, texts)): (&CaseId, &(Address, std::collections::VecDeque<String>))| {
                let (id, to) = (*id, to.clone());
                let tell = move |text: String| Action::Tell {
                    to: to.clone(),
                    text,
                    case: Some(id),
                };
                texts.clone().into_iter().map(tell).collect::<Vec<_>>()
            };
        let out = cases.pending.iter().flat_map(tell).collect();
        Self {
            agents,
            settings,
            cases,
            told: BTreeMap::new(),
            out,
            now,
        }
    }

    /// Takes an event. `now` never goes back.
    pub(crate) fn apply(&mut self, now: Time, event: Event) -> Vec<Action> {
        self.now = self.now.max(now);
        match event {
            Event::Said { from, text } if self.agents.contains_key(&from) => {
                self.agent_said(&from, &text);
            }
            Event::Said { from, text } => self.customer_said(&from, &text),
            Event::Left { from } => self.left(&from),
            Event::Presence { agent, there } => self.presence(&agent, there),
            Event::Delivered { case } => self.delivered(case),
            Event::Failed { to, case } => {
                if let Some(case) = case {
                    self.delivered(case);
                }
                self.failed(&to);
            }
            Event::Tick => {}
        }
        self.timers();
        self.offer();
        self.positions();
        std::mem::take(&mut self.out)
    }

    /// When [`Event::Tick`] is due.
    pub(crate) fn wake_at(&self) -> Option<Time> {
        let offers = self
            .cases
            .open
            .values()
            .filter_map(|case| match case.stage {
                Stage::Offered { until, .. } => Some(until),
                _ => None,
            });
        let gone = self.agents.iter().filter_map(|(address, agent)| {
            self.cases.of_agent(address).next()?;
            Some(agent.gone? + self.settings.grace)
        });
        offers.chain(gone).min()
    }

    /// The durable part.
    pub(crate) fn cases(&self) -> &Cases {
        &self.cases
    }

    pub(super) fn keep(&mut self, case: CaseId, what: What) {
        let at = self.now;
        let record = Record { at, case, what };
        self.cases.fold(&record);
        self.out.push(Action::Keep(record));
    }

    pub(super) fn tell(&mut self, to: &str, text: impl Into<String>) {
        let (to, text, case) = (to.to_owned(), text.into(), None);
        self.out.push(Action::Tell { to, text, case });
    }

    /// A line of the transcript that goes to the customer.
    pub(super) fn answer(&mut self, id: CaseId, by: By, text: &str) {
        let Some(case) = self.cases.open.get(&id) else {
            return;
        };
        let (to, text, case) = (case.customer.clone(), text.to_owned(), Some(id));
        self.line(id, by, &text);
        self.out.push(Action::Tell { to, text, case });
    }

    fn delivered(&mut self, id: CaseId) {
        if self.cases.pending.contains_key(&id) {
            self.keep(id, What::Delivered);
        }
    }

    pub(super) fn line(&mut self, case: CaseId, by: By, text: &str) {
        let text = mask(text);
        self.keep(case, What::Line { by, text });
    }

    /// A text from the desk to the customer, part of the transcript.
    pub(super) fn desk_says(&mut self, id: CaseId, text: &str) {
        self.answer(id, By::Desk, text);
    }

    fn customer_said(&mut self, from: &str, text: &str) {
        let id = match self.cases.of_customer(from) {
            Some(id) => id,
            None if self.cases.open.len() >= self.settings.cases => {
                return self.tell(from, "We are very busy. Please write again later.");
            }
            None => {
                let id = self.cases.next();
                let (customer, skill) = (from.to_owned(), self.skill(text));
                self.keep(id, What::Opened { customer, skill });
                id
            }
        };
        self.line(id, By::Customer, text);
        let Some(case) = self.cases.open.get(&id) else {
            return;
        };
        if let Stage::Active(agent) | Stage::Held(agent) = &case.stage {
            let agent = agent.clone();
            // To the agent as it was written; only what is kept is masked.
            self.tell(&agent, format!("[#{id} {from}] {text}"));
        }
    }

    /// The skill that the first text asks for.
    fn skill(&self, text: &str) -> String {
        let lower = text.to_lowercase();
        let asks = |words: &Vec<String>| words.iter().any(|word| lower.contains(word.as_str()));
        let found = self.settings.skills.iter().find(|(_, words)| asks(words));
        found.map_or_else(|| "general".to_owned(), |(skill, _)| skill.clone())
    }

    fn left(&mut self, from: &str) {
        let Some(id) = self.cases.of_customer(from) else {
            return;
        };
        let case = self.cases.open.get(&id);
        if let Some(Stage::Active(agent) | Stage::Held(agent)) = case.map(|case| &case.stage) {
            let agent = agent.clone();
            self.tell(
                &agent,
                format!("[#{id}] {from} closed the window; /close {id} when done"),
            );
        }
    }

    fn presence(&mut self, address: &str, there: bool) {
        let now = self.now;
        let Some(agent) = self.agents.get_mut(address) else {
            return;
        };
        match (there, agent.gone) {
            (true, Some(_)) => {
                agent.came(now);
                self.remind(address);
            }
            (false, None) => agent.gone = Some(now),
            _ => {}
        }
    }

    /// After a restart an agent sees their customers' last lines: some may not have arrived.
    pub(super) fn remind(&mut self, address: &str) {
        let agent = self.agents.get_mut(address);
        if !agent.is_some_and(|agent| std::mem::take(&mut agent.fresh)) {
            return;
        }
        for id in self.cases.of_agent(address).collect::<Vec<_>>() {
            let Some(case) = self.cases.open.get(&id) else {
                continue;
            };
            let from = case.lines.len().saturating_sub(5);
            let mut text = format!("[#{id}] {} (the desk was restarted)", case.customer);
            for line in case.lines.iter().skip(from) {
                text.push('\n');
                text.push_str(&line.shown());
            }
            self.tell(address, text);
            if let Some(agent) = self.agents.get_mut(address) {
                agent.current = Some(id);
            }
        }
    }

    /// To an agent: they are gone, whatever their state says, and their customers are handed on at
    /// once. What they did not get is in the transcript that the next agent sees.
    fn failed(&mut self, to: &str) {
        if let Some(agent) = self.agents.get_mut(to) {
            agent.gone.get_or_insert(self.now);
            self.hand_on(to);
        } else if let Some(id) = self.cases.of_customer(to) {
            let case = self.cases.open.get(&id);
            if let Some(Stage::Active(agent) | Stage::Held(agent)) = case.map(|case| &case.stage) {
                let agent = agent.clone();
                self.tell(
                    &agent,
                    format!("[#{id}] {to} cannot be reached; the text is kept"),
                );
            }
        }
    }

    fn timers(&mut self) {
        let now = self.now;
        let due = self
            .cases
            .open
            .iter()
            .filter_map(|(id, case)| match &case.stage {
                Stage::Offered { agent, until } if *until <= now => Some((*id, agent.clone())),
                _ => None,
            });
        for (id, agent) in due.collect::<Vec<_>>() {
            self.withdraw(id, &agent);
            self.tell(&agent, format!("[#{id}] The offer was withdrawn."));
            if let Some(agent) = self.agents.get_mut(&agent) {
                agent.missed += 1;
            }
        }
        let grace = self.settings.grace;
        let gone = self.agents.iter().filter(|(_, agent)| {
            let since = agent.gone;
            since.is_some_and(|since| since + grace <= now)
        });
        for address in gone.map(|(address, _)| address.clone()).collect::<Vec<_>>() {
            self.hand_on(&address);
        }
        // Agents who were removed from the settings do not come back.
        let mut lost: Vec<(CaseId, Address)> = Vec::new();
        for (id, case) in &self.cases.open {
            let agent = case.stage.agent();
            if let Some(agent) = agent.filter(|agent| !self.agents.contains_key(*agent)) {
                lost.push((*id, agent.clone()));
            }
        }
        for (id, agent) in lost {
            self.give_back(id, &agent, None, None);
        }
    }

    fn withdraw(&mut self, id: CaseId, agent: &str) {
        let agent = agent.to_owned();
        self.keep(id, What::Withdrawn { agent });
    }

    /// All that somebody has goes back to the front of the queue, oldest first.
    fn hand_on(&mut self, address: &str) {
        let theirs: Vec<CaseId> = self.cases.of_agent(address).collect();
        for id in theirs.into_iter().rev() {
            let stage = self.cases.open.get(&id).map(|case| &case.stage);
            if matches!(stage, Some(Stage::Offered { .. })) {
                self.withdraw(id, address);
            } else {
                self.give_back(id, address, None, None);
                self.desk_says(id, "One moment please, a colleague will go on with you.");
            }
        }
        if let Some(agent) = self.agents.get_mut(address) {
            agent.current = None;
        }
    }

    pub(super) fn give_back(
        &mut self,
        id: CaseId,
        from: &str,
        prefer: Option<Address>,
        skill: Option<String>,
    ) {
        let from = from.to_owned();
        let what = What::Returned {
            from: from.clone(),
            prefer,
            skill,
        };
        self.keep(id, what);
        self.free(&from, id);
    }

    /// The agent has one case less.
    pub(super) fn free(&mut self, address: &str, id: CaseId) {
        let next = self.cases.of_agent(address).find(|other| {
            let case = self.cases.open.get(other);
            case.is_some_and(|case| matches!(case.stage, Stage::Active(_)))
        });
        let now = self.now;
        let Some(agent) = self.agents.get_mut(address) else {
            return;
        };
        if agent.current == Some(id) {
            agent.current = next;
        }
        if next.is_none() {
            agent.idle = now;
        }
    }

    /// Offers what waits to whom it suits: skill, room, longest idle.
    fn offer(&mut self) {
        for id in self.cases.queue.iter().copied().collect::<Vec<_>>() {
            let Some(case) = self.cases.open.get(&id) else {
                continue;
            };
            let Some(agent) = self.best(case) else {
                continue;
            };
            let (customer, until) = (case.customer.clone(), self.now + self.settings.offer);
            let what = What::Offered {
                agent: agent.clone(),
                until,
            };
            self.keep(id, what);
            let text = format!(
                "[#{id}] {customer} is waiting. /take {id} within {} s",
                self.settings.offer
            );
            self.out.push(Action::Offer {
                agent,
                customer,
                text,
            });
        }
    }

    fn best(&self, case: &Case) -> Option<Address> {
        let free = |address: &&Address| self.has_room(address);
        if let Some(wanted) = case.prefer.as_ref().filter(free) {
            return Some(wanted.clone());
        }
        let skilled = |skills: &Skills| skills.skills.contains(&case.skill);
        let nobody = !self.settings.agents.values().any(skilled);
        let fitting = self.settings.agents.iter();
        let fitting = fitting
            .filter(|(address, skills)| (nobody || skilled(skills)) && self.has_room(address));
        // Who let it pass is asked again when all others did.
        let order = fitting.map(|(address, _)| {
            let idle = self.agents.get(address).map_or(0, |agent| agent.idle);
            (
                case.passed.contains(address),
                self.load(address),
                idle,
                address,
            )
        });
        order.min().map(|(.., address)| address.clone())
    }

    fn has_room(&self, address: &str) -> bool {
        let there = self.agents.get(address);
        let there = there.is_some_and(|agent| agent.gone.is_none() && agent.missed < MISSED);
        let capacity = self.settings.agents.get(address).map_or(0, |s| s.capacity);
        there && self.load(address) < capacity
    }

    pub(super) fn load(&self, address: &str) -> usize {
        self.cases.of_agent(address).count()
    }

    /// Tells customers their place when it became a better one.
    fn positions(&mut self) {
        let cases = &self.cases;
        self.told.retain(|id, _| cases.open.contains_key(id));
        let queue: Vec<CaseId> = self.cases.queue.iter().copied().collect();
        for (place, id) in (1..).zip(queue) {
            if self.told.get(&id).is_none_or(|told| place < *told) {
                self.told.insert(id, place);
                self.desk_says(id, &format!("You are number {place} in the queue."));
            }
        }
    }
}

impl Agent {
    pub(super) fn came(&mut self, now: Time) {
        self.gone = None;
        self.missed = 0;
        self.idle = self.idle.max(now);
    }
}
