//! What agents do: their commands.

use super::case::Stage;
use super::desk::Desk;
use super::vocabulary::{By, CaseId, Command, HELP, What};
use std::fmt::Write as _;

/// Lines of the transcript that an agent gets when taking a case.
const SHOWN: usize = 20;

impl Desk {
    pub(super) fn agent_said(&mut self, from: &str, text: &str) {
        let now = self.now;
        if let Some(agent) = self.agents.get_mut(from) {
            agent.missed = 0;
            if agent.gone.is_some() {
                agent.came(now);
            }
        }
        self.remind(from);
        match Command::parse(text) {
            Command::Say(text) => self.say(from, &text),
            Command::Take(id) => self.take(from, id),
            Command::Hold(id) => self.hold(from, id),
            Command::Transfer { to, note } => self.transfer(from, &to, &note),
            Command::Switch(id, text) => self.switch(from, id, &text),
            Command::Canned(name) => self.canned(from, &name),
            Command::Close(id) => self.close(from, id),
            Command::Queue => self.show_queue(from),
            Command::Help => self.tell(from, HELP),
        }
    }

    /// The case that a command means: the number, else the current one; it must be theirs.
    fn own(&mut self, agent: &str, id: Option<CaseId>) -> Option<CaseId> {
        let current = self.agents.get(agent).and_then(|agent| agent.current);
        let Some(id) = id.or(current) else {
            self.tell(agent, "You have no customer now. /take or /queue");
            return None;
        };
        let case = self.cases.open.get(&id);
        let theirs = case.is_some_and(|case| match &case.stage {
            Stage::Active(who) | Stage::Held(who) => who == agent,
            Stage::Waiting | Stage::Offered { .. } => false,
        });
        if !theirs {
            self.tell(agent, format!("[#{id}] is not yours."));
        }
        theirs.then_some(id)
    }

    fn say(&mut self, agent: &str, text: &str) {
        if let Some(id) = self.own(agent, None).filter(|_| !text.is_empty()) {
            self.say_to(agent, id, text);
        }
    }

    fn say_to(&mut self, agent: &str, id: CaseId, text: &str) {
        let Some(case) = self.cases.open.get(&id) else {
            return;
        };
        if matches!(case.stage, Stage::Held(_)) {
            self.keep(id, What::Resumed);
        }
        // From the desk's account and without a name: customers see only the desk.
        self.answer(id, By::Agent(agent.to_owned()), text);
    }

    fn take(&mut self, agent: &str, id: Option<CaseId>) {
        let offered = self.cases.of_agent(agent).find(|id| {
            let case = self.cases.open.get(id);
            case.is_some_and(|case| matches!(case.stage, Stage::Offered { .. }))
        });
        let Some(id) = id.or(offered).or(self.cases.queue.front().copied()) else {
            return self.tell(agent, "Nobody waits.");
        };
        let Some(case) = self.cases.open.get(&id) else {
            return self.tell(agent, format!("[#{id}] There is no such case."));
        };
        match &case.stage {
            Stage::Offered { agent: other, .. } | Stage::Active(other) | Stage::Held(other)
                if other != agent =>
            {
                return self.tell(agent, format!("[#{id}] A colleague has it."));
            }
            Stage::Active(_) | Stage::Held(_) => {
                return self.tell(agent, format!("[#{id}] You have it already."));
            }
            // One's own hand may go beyond the capacity: it was asked for.
            Stage::Offered { .. } | Stage::Waiting => {}
        }
        let customer = case.customer.clone();
        let from = case.lines.len().saturating_sub(SHOWN);
        let mut text = format!("[#{id}] {customer} is yours.");
        for line in case.lines.iter().skip(from) {
            let _ = write!(text, "\n{}", line.shown());
        }
        let agent = agent.to_owned();
        self.keep(
            id,
            What::Taken {
                agent: agent.clone(),
            },
        );
        if let Some(agent) = self.agents.get_mut(&agent) {
            agent.current = Some(id);
        }
        self.told.remove(&id);
        self.tell(&agent, text);
    }

    fn hold(&mut self, agent: &str, id: Option<CaseId>) {
        let Some(id) = self.own(agent, id) else {
            return;
        };
        let held = matches!(
            self.cases.open.get(&id).map(|c| &c.stage),
            Some(Stage::Held(_))
        );
        if held {
            self.keep(id, What::Resumed);
            self.desk_says(id, "Thank you for waiting.");
            self.tell(agent, format!("[#{id}] is active again."));
        } else {
            self.keep(id, What::Held);
            self.desk_says(id, "One moment please.");
            self.tell(agent, format!("[#{id}] is on hold; /hold {id} to go on."));
        }
        self.turn(agent, if held { Some(id) } else { None }, id);
    }

    /// Turns to a case, or away from `from` to another active one.
    fn turn(&mut self, agent: &str, to: Option<CaseId>, from: CaseId) {
        match to {
            Some(id) => {
                if let Some(agent) = self.agents.get_mut(agent) {
                    agent.current = Some(id);
                }
            }
            None => {
                // On hold is still theirs, so there is no idle time to start.
                let idle = self.agents.get(agent).map(|agent| agent.idle);
                self.free(agent, from);
                if let (Some(agent), Some(idle)) = (self.agents.get_mut(agent), idle) {
                    agent.idle = idle;
                }
            }
        }
    }

    fn switch(&mut self, agent: &str, id: CaseId, text: &str) {
        let Some(id) = self.own(agent, Some(id)) else {
            return;
        };
        self.turn(agent, Some(id), id);
        if text.is_empty() {
            let customer = self.cases.open.get(&id).map(|case| case.customer.clone());
            let customer = customer.unwrap_or_default();
            self.tell(agent, format!("[#{id}] {customer}"));
        } else {
            self.say_to(agent, id, text);
        }
    }

    fn canned(&mut self, agent: &str, name: &str) {
        let Some(text) = self.settings.canned.get(name).cloned() else {
            let names: Vec<&str> = self.settings.canned.keys().map(String::as_str).collect();
            let names = format!("Canned answers: {}", names.join(", "));
            return self.tell(agent, names);
        };
        self.say(agent, &text);
    }

    fn transfer(&mut self, agent: &str, to: &str, note: &str) {
        let Some(id) = self.own(agent, None) else {
            return;
        };
        let agents = &self.settings.agents;
        let local = |address: &str| address.split('@').next() == Some(to);
        let whom = agents
            .keys()
            .find(|a| a.as_str() == to || local(a))
            .cloned();
        let skill = agents
            .values()
            .any(|s| s.skills.iter().any(|skill| skill == to));
        if whom.as_deref() == Some(agent) || (whom.is_none() && !skill) {
            return self.tell(agent, format!("Nobody else is or has {to}."));
        }
        if !note.is_empty() {
            self.line(id, By::Note(agent.to_owned()), note);
        }
        let skill = whom.is_none().then(|| to.to_owned());
        self.desk_says(
            id,
            "One moment please, I am handing you over to a colleague.",
        );
        self.told.insert(id, 1); // They were served already: no place in a queue is told.
        self.give_back(id, agent, whom, skill);
        self.tell(agent, format!("[#{id}] handed over."));
    }

    fn close(&mut self, agent: &str, id: Option<CaseId>) {
        let Some(id) = self.own(agent, id) else {
            return;
        };
        self.desk_says(id, "Thank you for writing. Goodbye!");
        self.keep(id, What::Closed);
        self.free(agent, id);
        self.tell(agent, format!("[#{id}] closed."));
    }

    fn show_queue(&mut self, agent: &str) {
        let mut text = format!("{} waiting", self.cases.queue.len());
        for id in self.cases.queue.iter().take(SHOWN) {
            if let Some(case) = self.cases.open.get(id) {
                let _ = write!(text, "\n#{id} {} ({})", case.customer, case.skill);
            }
        }
        let current = self.agents.get(agent).and_then(|agent| agent.current);
        for id in self.cases.of_agent(agent) {
            let Some(case) = self.cases.open.get(&id) else {
                continue;
            };
            let stage = match &case.stage {
                Stage::Offered { .. } => "offered",
                Stage::Held(_) => "on hold",
                Stage::Active(_) if current == Some(id) => "current",
                Stage::Active(_) | Stage::Waiting => "active",
            };
            let _ = write!(text, "\nyours: #{id} {} ({stage})", case.customer);
        }
        self.tell(agent, text);
    }
}
