//! Conversations of more than two, whatever each protocol makes of them.
//!
//! Such a conversation is an owner of its own, with a place on a shard as a person or node has: all
//! that is said in it passes through there, which gives it one order and a roster that is kept over
//! restarts. Stacks that know conversations (RVP: `Session-Id`, every member's client sends each
//! text to every other one itself) have their copies passed on one by one; for all others it has an
//! address of its own, the *chat address*, from which texts come with the sender's name in front and
//! to which any client can write.
//!
//! It begins when somebody adds a third to a running conversation of two, or writes to the address
//! that makes one ([`FACTORY`]). A conversation of two is none: its texts come from the people
//! themselves (`decisions.md` 21).

mod owner;
mod roster;
mod speak;
mod words;

use crate::core::address::Address;
use crate::core::effect::Rules;
use crate::core::id::{ConversationId, PersonId};
use crate::core::message::Message;
use crate::core::node::Node;
use crate::core::port::{Account, Secret};
use crate::core::time::Time;
use std::sync::Arc;
use std::time::Duration;

/// Local part of the address that makes a conversation of whom the text names (the "conference
/// factory" of RFC 4579 5.4, for texts). An account of that name takes its place.
pub const FACTORY: &str = "conv";

/// Who left, remembered: they may come back by speaking.
const FORMER: usize = 64;

/// One member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Who.
    pub person: PersonId,
    /// The canonical address.
    pub address: Address,
    /// Shown to others.
    pub name: Arc<str>,
    /// Since when.
    pub since: Time,
    /// Whether he ever took something here, or said something.
    pub met: bool,
}

/// Somebody who was asked in and has not been reached yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invited {
    /// Who.
    pub member: Member,
    /// Who asked.
    pub by: PersonId,
    /// Whether the asker has to be told by a line what came of it, because no answer can.
    pub told: bool,
}

/// A conversation as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChatRecord {
    /// Its own id among people and nodes.
    pub person: PersonId,
    /// The conversation.
    pub conversation: ConversationId,
    /// The chat address.
    pub address: Address,
    /// Who made it.
    pub creator: PersonId,
    /// Since when.
    pub since: Time,
    /// Whether it ever had three members, or was made on purpose; until then it is as good as a
    /// conversation of two, and nobody is told of it.
    pub grown: bool,
    /// Who is in, by arrival.
    pub members: Vec<Member>,
    /// Who is being asked in.
    pub invited: Vec<Invited>,
    /// Who has left, oldest first.
    pub former: Vec<Member>,
}

/// A conversation, live.
#[derive(Debug)]
pub(super) struct Chat {
    pub(super) record: ChatRecord,
    /// When something was said last.
    last: Time,
    /// Addresses that the hub is looking for.
    wanted: usize,
    absences: Vec<Absence>,
}

/// Somebody who could not be reached.
#[derive(Debug)]
struct Absence {
    person: PersonId,
    /// He has not been reached since.
    lasts: bool,
    /// When he was last told anew who is in.
    told: Option<Time>,
}

/// How an operator sees it. Reply to [`ChatCommand::Show`].
#[derive(Clone, Debug)]
pub struct ChatInfo {
    /// As stored.
    pub record: ChatRecord,
    /// When something was said last.
    pub last: Time,
    /// When it ends if nothing more is said.
    pub ends: Time,
    /// Copies under way.
    pub pending: usize,
}

/// What a conversation is told.
#[derive(Clone, Debug)]
pub enum ChatCommand {
    /// It begins. Made by a person's core; the hub fills in the accounts.
    Open(Opening),
    /// A member says something (or somebody who would be one).
    Say(Say),
    /// Whom an address leads to, asked for by [`crate::core::event::Event::ChatWants`].
    Found {
        /// The address as it was given.
        who: Address,
        /// Who asked.
        by: PersonId,
        /// The account; `None` = nobody.
        account: Option<Arc<Account>>,
    },
    /// For operators. Reply: [`crate::core::command::Reply::Chat`].
    Show,
}

/// See [`ChatCommand::Open`].
#[derive(Clone, Debug)]
pub struct Opening {
    /// The conversation.
    pub conversation: ConversationId,
    /// The domain of its chat address.
    pub domain: Arc<str>,
    /// Who makes it.
    pub creator: PersonId,
    /// Who is in from the start, the creator first.
    pub people: Vec<PersonId>,
    /// Their accounts: for the hub to fill in.
    pub accounts: Vec<Arc<Account>>,
    /// Addresses to ask in.
    pub add: Vec<Address>,
    /// What is said first, and to whom.
    pub first: Option<(Message, PersonId)>,
    /// His account: for the hub to fill in.
    pub third: Option<Arc<Account>>,
}

/// See [`ChatCommand::Say`].
#[derive(Clone, Debug)]
pub struct Say {
    /// The message, with id, sender and conversation.
    pub message: Message,
    /// For whom.
    pub leg: Leg,
}

/// For whom something is that is said in a conversation.
#[derive(Clone, Debug)]
pub enum Leg {
    /// For all others: it was written to the chat address.
    All,
    /// A copy for one, of a sender whose client sends to each.
    One(Arc<Account>),
    /// A copy of such a client for the chat address itself: the members have theirs.
    Own,
}

/// See [`crate::core::command::Command::Speak`].
#[derive(Clone, Debug)]
pub struct Speak {
    /// As the front submitted it.
    pub submit: crate::core::command::Submit,
    /// Where it goes.
    pub goal: Goal,
}

/// Where it goes.
#[derive(Clone, Debug)]
pub enum Goal {
    /// To that conversation.
    Chat(PersonId, ConversationId, Leg),
    /// To [`FACTORY`].
    Factory,
}

/// The id among people and nodes of a conversation: follows from its name alone, so that everybody
/// finds it (FNV-1a, 128 bits, which must never change).
pub fn owner_of(conversation: ConversationId) -> PersonId {
    PersonId(fnv("chat:", conversation))
}

/// The name of the window in which the chat address itself speaks to a member on a stack that knows
/// conversations: another one than the conversation, or it would be taken for a member.
fn aside(conversation: ConversationId) -> ConversationId {
    ConversationId(fnv("aside:", conversation))
}

fn fnv(salt: &str, conversation: ConversationId) -> u128 {
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for octet in salt.bytes().chain(conversation.0.to_be_bytes()) {
        hash = (hash ^ u128::from(octet)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
    }
    hash
}

/// The account of a conversation: nobody can sign in as it.
pub fn chat_account(conversation: ConversationId, address: Address) -> Account {
    Account {
        person: owner_of(conversation),
        address,
        aliases: Vec::new(),
        display_name: String::new(),
        email: String::new(),
        secret: Secret::default(),
        suspended: true,
        node: Some(Node::default()),
    }
}

/// The local part of a chat address: `conv-` and 60 bits of the conversation's name, without
/// characters that look alike.
pub fn chat_local(conversation: ConversationId) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bits = fnv("address:", conversation) >> 64;
    let mut local = format!("{FACTORY}-");
    for _ in 0..12 {
        let at = usize::try_from(bits & 31).unwrap_or(0);
        local.push(LETTERS.get(at).map_or('a', |letter| char::from(*letter)));
        bits >>= 5;
    }
    local
}

impl Member {
    pub(super) fn of(account: &Account, since: Time, met: bool) -> Self {
        let name = match account.display_name.as_str() {
            "" => account.address.local(),
            name => name,
        };
        Self {
            person: account.person,
            address: account.address.clone(),
            name: name.into(),
            since,
            met,
        }
    }
}

impl Chat {
    pub(super) fn new(record: ChatRecord, last: Time) -> Self {
        Self {
            record,
            last,
            wanted: 0,
            absences: Vec::new(),
        }
    }

    /// When it ends if nothing more is said.
    pub(super) fn ends(&self, rules: &Rules) -> Time {
        self.last.after(rules.chat_idle)
    }

    pub(super) fn member(&self, person: PersonId) -> Option<&Member> {
        self.record.members.iter().find(|m| m.person == person)
    }

    fn is_member(&self, person: Option<PersonId>) -> bool {
        person.is_some_and(|person| self.member(person).is_some())
    }

    fn is_invited(&self, person: Option<PersonId>) -> Option<PersonId> {
        let mut invited = self.record.invited.iter();
        let found = invited.find(|invited| Some(invited.member.person) == person)?;
        Some(found.member.person)
    }

    fn was_member(&self, person: Option<PersonId>) -> bool {
        let mut former = self.record.former.iter();
        former.any(|member| Some(member.person) == person)
    }

    /// Members and those who are being asked in.
    pub(super) fn everybody(&self) -> impl Iterator<Item = &Member> {
        let invited = self.record.invited.iter().map(|invited| &invited.member);
        self.record.members.iter().chain(invited)
    }

    /// Whether there is nothing left of it.
    fn is_over(&self) -> bool {
        let left = self.record.members.len();
        let least = if self.record.grown { 2 } else { 3 };
        self.wanted == 0 && self.record.invited.is_empty() && left < least
    }

    /// He took something: whether he was away and is to be told anew who is in. Not more often than
    /// every minute, because who blocks one member looks absent to him and there to all others.
    fn returns(&mut self, person: PersonId, now: Time) -> bool {
        const PAUSE: Duration = Duration::from_mins(1);
        let mut all = self.absences.iter_mut();
        let Some(absence) = all.find(|absence| absence.person == person && absence.lasts) else {
            return false;
        };
        absence.lasts = false;
        let due = absence.told.is_none_or(|told| now.since(told) >= PAUSE);
        if due {
            absence.told = Some(now);
        }
        due
    }

    fn is_absent(&mut self, person: PersonId) {
        match self.absences.iter_mut().find(|a| a.person == person) {
            Some(absence) => absence.lasts = true,
            None => self.absences.push(Absence {
                person,
                lasts: true,
                told: None,
            }),
        }
    }
}
