//! Conversations of many, as the hub knows them: their addresses, and which of what fronts send
//! belongs to one.

use super::directory::{Directory, Want};
use super::shared::Shared;
use super::{Envelope, ReplyTo, Resolution};
use crate::core::address::Address;
use crate::core::chat::{
    ChatCommand, ChatRecord, FACTORY, Goal, Leg, Opening, Say, Speak, chat_account, chat_local,
    owner_of,
};
use crate::core::command::{Command, Submit};
use crate::core::effect::Rules;
use crate::core::error::{Error, Limit};
use crate::core::id::{ConversationId, PersonId};
use crate::core::message::Message;
use crate::core::port::{Account, Secret};
use std::collections::HashMap;
use std::sync::Arc;

/// All conversations of many.
#[derive(Debug, Default)]
pub(super) struct Chats {
    all: HashMap<PersonId, Entry>,
    by_address: HashMap<Address, PersonId>,
    /// How many each person has made.
    made: HashMap<PersonId, usize>,
}

#[derive(Debug)]
struct Entry {
    conversation: ConversationId,
    account: Arc<Account>,
    creator: PersonId,
}

impl Chats {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn account(&self, person: PersonId) -> Option<&Arc<Account>> {
        self.all.get(&person).map(|entry| &entry.account)
    }

    pub(super) fn at(&self, address: &Address) -> Option<&Arc<Account>> {
        self.account(*self.by_address.get(address)?)
    }

    pub(super) fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.all.values().map(|entry| &entry.account)
    }

    fn conversation(&self, person: PersonId) -> Option<ConversationId> {
        self.all.get(&person).map(|entry| entry.conversation)
    }

    fn put(&mut self, conversation: ConversationId, address: Address, creator: PersonId) {
        let account = Arc::new(chat_account(conversation, address.clone()));
        self.by_address.insert(address, account.person);
        *self.made.entry(creator).or_default() += 1;
        let entry = Entry {
            conversation,
            account,
            creator,
        };
        self.all.insert(owner_of(conversation), entry);
    }

    fn remove(&mut self, person: PersonId) {
        let Some(entry) = self.all.remove(&person) else {
            return;
        };
        self.by_address.remove(&entry.account.address);
        if let Some(made) = self.made.get_mut(&entry.creator) {
            *made -= 1;
            if *made == 0 {
                self.made.remove(&entry.creator);
            }
        }
    }
}

impl Directory {
    /// All conversations of many, by address.
    pub fn chats(&self) -> Vec<Arc<Account>> {
        let mut all: Vec<_> = self.with_chats(|chats| chats.accounts().cloned().collect());
        all.sort_by(|a: &Arc<Account>, b| a.address.cmp(&b.address));
        all
    }

    /// The address that makes them, of a domain of ours. Nothing is kept of it.
    pub(super) fn factory(&self, address: &Address) -> Option<Arc<Account>> {
        (address.local() == FACTORY && self.is_ours(address.domain())).then(|| {
            Arc::new(Account {
                person: factory_id(address.domain()),
                address: address.clone(),
                aliases: Vec::new(),
                display_name: String::new(),
                email: String::new(),
                secret: Secret::default(),
                suspended: true,
                node: Some(crate::core::node::Node::default()),
            })
        })
    }

    /// Makes a place for one that begins, unless it is there, and finds the accounts.
    pub(super) fn open_chat(&self, opening: &mut Opening, rules: &Rules) -> Result<(), Error> {
        let local = chat_local(opening.conversation);
        let address = Address::new(&local, &opening.domain).map_err(|_| Error::UnknownDomain)?;
        let taken = self.resolve(&address);
        let find = |person: &PersonId| self.account(*person);
        let third = opening.first.as_ref().and_then(|(_, to)| find(to));
        opening.third = third.filter(|account| account.node.is_none());
        if opening.first.is_some() && opening.third.is_none() {
            return Err(Error::Unsupported);
        }
        self.change_chats(|chats| {
            if chats.all.contains_key(&owner_of(opening.conversation)) {
                return Ok(());
            }
            let made = chats.made.get(&opening.creator).copied().unwrap_or(0);
            let full = chats.all.len() >= rules.chats || made >= rules.chats_per_person;
            if full || matches!(taken, Resolution::Local(_)) {
                return Err(Error::LimitReached(Limit::Conversations));
            }
            chats.put(opening.conversation, address, opening.creator);
            Ok(())
        })?;
        opening.accounts = opening.people.iter().filter_map(find).collect();
        Ok(())
    }

    /// One as it was stored.
    pub(super) fn restore_chat(&self, record: &ChatRecord) {
        let (conversation, address) = (record.conversation, record.address.clone());
        self.change_chats(|chats| chats.put(conversation, address, record.creator));
    }

    /// One is over.
    pub(super) fn close_chat(&self, person: PersonId) {
        self.change_chats(|chats| chats.remove(person));
    }

    /// Whether what a person submits is said in a conversation of many, and how.
    fn goal(&self, submit: &Submit) -> Option<Goal> {
        if submit.message.to.local() == FACTORY
            && submit.to == factory_id(submit.message.to.domain())
        {
            return Some(Goal::Factory);
        }
        let to = submit.to;
        let named = submit.conversation.map(|named| (owner_of(named), named));
        let (chat, conversation) = self.with_chats(|chats| {
            if chats.is_empty() {
                return None;
            }
            let known = named.filter(|(chat, _)| chats.all.contains_key(chat));
            known.or_else(|| Some((to, chats.conversation(to)?)))
        })?;
        let leg = match submit.conversation {
            Some(_) if chat == to && named.is_some_and(|(named, _)| named == to) => Leg::Own,
            _ if chat == to => Leg::All,
            // A list or a device is nobody to talk to: what it gets is its own.
            _ => Leg::One(self.account(to).filter(|account| account.node.is_none())?),
        };
        Some(Goal::Chat(chat, conversation, leg))
    }

    /// The same for what another server delivers.
    fn foreign_goal(&self, message: &Message, to: PersonId) -> Option<(PersonId, Leg)> {
        let chat = owner_of(message.conversation);
        let known = self.with_chats(|chats| chats.all.contains_key(&chat));
        let leg = known.then(|| self.account(to)).flatten()?;
        Some((chat, Leg::One(leg)))
    }
}

/// Leads what a front sends to the conversation of many that it belongs to.
pub(super) fn redirect(
    directory: &Directory,
    to: PersonId,
    mut envelope: Envelope,
) -> (PersonId, Envelope) {
    match envelope.command {
        Command::Submit(submit) => {
            envelope.command = match directory.goal(&submit) {
                Some(goal) => Command::Speak(Box::new(Speak { submit, goal })),
                None => Command::Submit(submit),
            };
            (to, envelope)
        }
        Command::Deliver(message) => match directory.foreign_goal(&message, to) {
            Some((chat, leg)) => {
                let message = Message::clone(&message);
                let say = ChatCommand::Say(Say { message, leg });
                envelope.command = Command::Chat(Box::new(say));
                (chat, envelope)
            }
            None => {
                envelope.command = Command::Deliver(message);
                (to, envelope)
            }
        },
        command => {
            envelope.command = command;
            (to, envelope)
        }
    }
}

/// A conversation asks whom an address leads to.
pub(super) fn find(shared: &Arc<Shared>, chat: PersonId, who: Address, by: PersonId) {
    let Some(own) = shared.directory.account(chat) else {
        return;
    };
    let account = match shared.directory.reach(&who, Want::Send) {
        Resolution::Local(account) => Some(account),
        Resolution::UnknownUser | Resolution::Foreign => None,
    };
    let found = ChatCommand::Found { who, by, account };
    let envelope = Envelope {
        caller: super::internal(&own),
        command: Command::Chat(Box::new(found)),
        reply: ReplyTo::Nobody,
    };
    shared.pass(chat, envelope);
}

/// The identity of [`FACTORY`] of a domain, which nobody ever has (FNV-1a).
fn factory_id(domain: &str) -> PersonId {
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for octet in "factory:".bytes().chain(domain.bytes()) {
        hash = (hash ^ u128::from(octet)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
    }
    PersonId(hash)
}
