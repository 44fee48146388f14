//! What goes into the desk, what comes out of it, and what is kept.

use serde::{Deserialize, Serialize};

/// `user@domain`, lower-case.
pub(crate) type Address = String;
/// Seconds since 1970, always passed in.
pub(crate) type Time = u64;
/// The number of a case, as agents see it.
pub(crate) type CaseId = u64;

/// Something happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// Somebody wrote: a customer, or an agent (text or command).
    Said { from: Address, text: String },
    /// A customer closed the window.
    Left { from: Address },
    /// An agent came or went.
    Presence { agent: Address, there: bool },
    /// A text of that case reached the customer.
    Delivered { case: CaseId },
    /// A text could not be delivered; `case` as in [`Action::Tell`].
    Failed { to: Address, case: Option<CaseId> },
    /// `wake_at` has come.
    Tick,
}

/// Something is to be done, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// On disk before anything that follows, and before the event's sender is answered.
    Keep(Record),
    /// Send a text from the desk's account; with a case it is one that the customer must get.
    Tell {
        to: Address,
        text: String,
        case: Option<CaseId>,
    },
    /// Show the agent the customer's card, then this text.
    Offer {
        agent: Address,
        customer: Address,
        text: String,
    },
}

/// A line of the log: the state is the fold of all records, nothing else.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) at: Time,
    pub(crate) case: CaseId,
    pub(crate) what: What,
}

/// What happened to a case.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    /// A customer wrote the first text.
    Opened { customer: Address, skill: String },
    /// A line of the transcript, masked.
    Line { by: By, text: String },
    /// Offered to an agent until then.
    Offered { agent: Address, until: Time },
    /// The offer was not taken in time.
    Withdrawn { agent: Address },
    /// An agent took it.
    Taken { agent: Address },
    /// The agent put the customer on hold.
    Held,
    /// The agent came back to the customer.
    Resumed,
    /// Waits again, in front: handed over, or the agent vanished.
    Returned {
        from: Address,
        /// Who is to have it next, if they are there.
        prefer: Option<Address>,
        /// Another skill is asked for.
        skill: Option<String>,
    },
    /// The oldest text that was still to reach the customer did, or never will.
    Delivered,
    /// Done.
    Closed,
}

/// Who wrote a line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum By {
    Customer,
    Agent(Address),
    /// The desk itself, to the customer.
    Desk,
    /// Between agents; customers never see it.
    Note(Address),
}

/// A line of a transcript.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    pub(crate) by: By,
    pub(crate) text: String,
}

impl Line {
    /// As agents see it.
    pub(crate) fn shown(&self) -> String {
        let by = match &self.by {
            By::Customer => "customer",
            By::Agent(agent) | By::Note(agent) => agent,
            By::Desk => "desk",
        };
        let note = if matches!(self.by, By::Note(_)) {
            " (note)"
        } else {
            ""
        };
        format!("{by}{note}: {}", self.text)
    }
}

/// What an agent wrote.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Command {
    /// Text for the current customer.
    Say(String),
    /// `/take [N]`
    Take(Option<CaseId>),
    /// `/hold [N]`: and again to come back.
    Hold(Option<CaseId>),
    /// `/transfer WHOM [note]`: an agent or a skill.
    Transfer { to: String, note: String },
    /// `/c N [text]`: from now on the current customer; the text goes to them.
    Switch(CaseId, String),
    /// `/a NAME`: a canned answer.
    Canned(String),
    /// `/close [N]`
    Close(Option<CaseId>),
    /// `/queue`: who waits, whom I have.
    Queue,
    /// `/help`, and everything that is no command: never sent to a customer.
    Help,
}

pub(crate) const HELP: &str = "/take [N]  take an offer or the first who waits\n\
/c N [text]  turn to case N\n/hold [N]  hold, and again to come back\n\
/transfer AGENT|SKILL [note]  hand over\n/a NAME  canned answer\n/queue  who waits\n\
/close [N]  done\nAnything without a slash goes to the current customer.";

impl Command {
    /// Reads what an agent wrote.
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.trim();
        let Some(rest) = text.strip_prefix('/') else {
            return Self::Say(text.to_owned());
        };
        let (verb, rest) = split(rest);
        let number = || match rest {
            "" => Some(None),
            _ => rest.trim_start_matches('#').parse().ok().map(Some),
        };
        match verb.to_ascii_lowercase().as_str() {
            "take" => number().map_or(Self::Help, Self::Take),
            "hold" => number().map_or(Self::Help, Self::Hold),
            "close" => number().map_or(Self::Help, Self::Close),
            "queue" if rest.is_empty() => Self::Queue,
            "a" if !rest.is_empty() => Self::Canned(rest.to_owned()),
            "c" => {
                let (number, text) = split(rest);
                let number = number.trim_start_matches('#').parse();
                number.map_or(Self::Help, |n| Self::Switch(n, text.to_owned()))
            }
            "transfer" if !rest.is_empty() => {
                let (to, note) = split(rest);
                Self::Transfer {
                    to: to.to_lowercase(),
                    note: note.to_owned(),
                }
            }
            _ => Self::Help,
        }
    }
}

fn split(text: &str) -> (&str, &str) {
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (first, rest.trim())
}
