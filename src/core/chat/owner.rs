//! At the conversation itself: what is said in it, and to whom it goes.
//!
//! Every copy is a delivery of the conversation's to the member's own person, as with a distribution
//! list, so that order, keeping and a restart are the ordinary ones; what became of it comes back as
//! the outcome of one inbox.

use super::words::{Order, opened, order};
use super::{Chat, ChatCommand, ChatInfo, ChatRecord, Leg, Member, Opening, Say, aside};
use crate::core::command::{Caller, Command, Fate, Outcome, Reply};
use crate::core::delivery::{accepted, sent};
use crate::core::effect::{Forward, ReplyTag};
use crate::core::error::{Error, Limit, Unreachable};
use crate::core::event::Event;
use crate::core::id::{ConversationId, PersonId, PointId};
use crate::core::message::{Content, Decoded, InChat, Message, Original};
use crate::core::node::{INSIDE, member_point};
use crate::core::notices::{post, text};
use crate::core::port::Account;
use crate::core::routing::{Attempt, Try};
use crate::core::user::{Fx, User};
use std::sync::Arc;

/// Whether the answer is out already, or comes with the delivery.
pub(super) type Done = Result<Option<Reply>, Error>;

impl User {
    /// Executes a command to a conversation. To others than its members it is not there.
    pub(in crate::core) fn chat_dispatch(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        command: Command,
        tag: ReplyTag,
    ) -> Done {
        match command {
            Command::Chat(command) => self.chat_command(fx, caller, *command, tag),
            // From another server, or a list that has the chat address as a member.
            Command::Deliver(message) => {
                let message = Message::clone(&message);
                self.chat_say(
                    fx,
                    caller,
                    Say {
                        message,
                        leg: Leg::All,
                    },
                    tag,
                )
            }
            Command::Outcome {
                message,
                point,
                outcome,
            } => {
                self.outcome(fx, message, point, outcome);
                Ok(Some(Reply::Done))
            }
            Command::Standing => self.standing(fx, caller).map(Some),
            Command::Erase => self.erase(fx, caller).map(Some),
            Command::Properties(names) if self.hears(caller) => {
                self.read_properties(fx, caller, names).map(Some)
            }
            _ if self.hears(caller) => Err(Error::Denied("a conversation is for talking only")),
            _ => Err(Error::UnknownUser),
        }
    }

    fn hears(&self, caller: &Caller) -> bool {
        let chat = self.chat.as_ref();
        chat.is_some_and(|chat| chat.is_member(caller.person))
    }

    fn chat_command(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        command: ChatCommand,
        tag: ReplyTag,
    ) -> Done {
        match command {
            ChatCommand::Open(opening) => self.chat_open(fx, caller, opening, tag),
            ChatCommand::Say(say) => self.chat_say(fx, caller, say, tag),
            ChatCommand::Found { who, by, account } => {
                self.chat_found(fx, &who, by, account.as_deref());
                Ok(Some(Reply::Done))
            }
            ChatCommand::Show => {
                let pending = self.deliveries.len();
                let rules = fx.rules();
                let chat = self.chat.as_ref().ok_or(Error::UnknownUser)?;
                Ok(Some(Reply::Chat(Box::new(ChatInfo {
                    record: chat.record.clone(),
                    last: chat.last,
                    ends: chat.ends(rules),
                    pending,
                }))))
            }
        }
    }

    /// It begins, or somebody begins it a second time at the same moment.
    fn chat_open(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        opening: Opening,
        tag: ReplyTag,
    ) -> Done {
        let now = fx.now();
        if self.chat.is_none() {
            let people = opening.accounts.iter();
            let member = |account: &Arc<Account>| {
                Member::of(account, now, account.person == opening.creator)
            };
            let record = ChatRecord {
                person: self.person(),
                conversation: opening.conversation,
                address: self.account().address.clone(),
                creator: opening.creator,
                since: now,
                grown: !opening.add.is_empty(),
                members: people.map(member).collect(),
                invited: Vec::new(),
                former: Vec::new(),
            };
            self.chat = Some(Box::new(Chat::new(record, now)));
            self.chat_store(fx);
        }
        if let Some(((message, _), account)) = opening.first.zip(opening.third) {
            let leg = Leg::One(account);
            return self.chat_say(fx, caller, Say { message, leg }, tag);
        }
        self.chat_tell(fx, opening.creator, opened());
        self.chat_want(fx, opening.creator, opening.add.into_iter().map(Ok));
        let (message, conversation) = (fx.message_id(), opening.conversation);
        Ok(Some(sent(message, conversation, Fate::Delivered)))
    }

    /// Something is said.
    fn chat_say(&mut self, fx: &mut Fx<'_, '_>, caller: &Caller, say: Say, tag: ReplyTag) -> Done {
        let Say { mut message, leg } = say;
        let Some(chat) = &mut self.chat else {
            // Its beginning was never stored: what is said under its name is a pair's again.
            let chat = self.person();
            fx.emit(INSIDE, Event::ChatEnded { chat });
            return Err(Error::UnknownUser);
        };
        message.conversation = chat.record.conversation;
        if message.hops > fx.rules().hops {
            return Err(Error::Loop);
        }
        if message.id.0 == 0 {
            message.id = fx.message_id();
            message.at = fx.now();
            fx.trace(message.id, accepted(&message));
        }
        if !chat.is_member(message.from_person)
            && let Some(done) = self.chat_stranger(fx, caller, (&mut message, &leg), tag)
        {
            return done;
        }
        if !message.content.ephemeral()
            && let Some(known) = self.duplicate(fx, &message, tag)
        {
            let (id, conversation) = (message.id, message.conversation);
            return known.map(|fate| fate.map(|fate| sent(id, conversation, fate)));
        }
        self.chat_heard(fx, message.from_person);
        let gist = (message.id, message.conversation);
        let fate = match leg {
            Leg::All => self.chat_to_all(fx, message, tag),
            Leg::Own => Ok(Some(self.chat_to_itself(fx, &message))),
            Leg::One(account) => self.chat_to_one(fx, message, &account, tag),
        };
        fate.map(|fate| fate.map(|fate| sent(gist.0, gist.1, fate)))
    }

    /// Who speaks is no member. `None`: now he is.
    fn chat_stranger(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        (message, leg): (&mut Message, &Leg),
        tag: ReplyTag,
    ) -> Option<Done> {
        if let Some(person) = self.chat.as_ref()?.is_invited(message.from_person) {
            // He has heard of it: his answer has only overtaken the outcome.
            self.chat_answered(fx, person, Outcome::Delivered);
            return None;
        }
        let former = self.chat.as_ref()?.was_member(message.from_person);
        let speaks = matches!(message.content, Content::Text(_) | Content::Join);
        match leg {
            _ if former && speaks => {
                self.chat_rejoin(fx, message.from_person);
                None
            }
            // The others were told of his leave at once.
            Leg::One(_) | Leg::Own if former => {
                let (id, conversation) = (message.id, message.conversation);
                Some(Ok(Some(sent(id, conversation, Fate::Dropped))))
            }
            // Knowing its name makes nobody a member: it is a talk of these two.
            Leg::One(account) => {
                let (one, other) = (message.from_person?.0, account.person.0);
                message.conversation = ConversationId(message.conversation.0 ^ one ^ other);
                fx.forward(Forward {
                    to: account.person,
                    caller: caller.clone(),
                    command: Command::Deliver(Arc::new(message.clone())),
                    reply: tag,
                });
                Some(Ok(None))
            }
            Leg::All | Leg::Own => Some(Err(Error::Denied("not a member of this conversation"))),
        }
    }

    /// A member is there.
    fn chat_heard(&mut self, fx: &mut Fx<'_, '_>, person: Option<PersonId>) {
        let Some(chat) = &mut self.chat else {
            return;
        };
        chat.last = fx.now();
        self.chat_met(fx, person);
    }

    /// He was there once: from now on he may be away without being taken for gone.
    pub(super) fn chat_met(&mut self, fx: &mut Fx<'_, '_>, person: Option<PersonId>) {
        let Some(chat) = &mut self.chat else {
            return;
        };
        let members = &mut chat.record.members;
        let unmet = members
            .iter_mut()
            .find(|m| Some(m.person) == person && !m.met);
        if let Some(member) = unmet {
            member.met = true;
            self.chat_store(fx);
        }
    }

    /// Written to the chat address.
    fn chat_to_all(
        &mut self,
        fx: &mut Fx<'_, '_>,
        mut message: Message,
        tag: ReplyTag,
    ) -> Result<Option<Fate>, Error> {
        match &message.content {
            Content::Text(_) => {
                if let Some(fate) = self.chat_order(fx, &message) {
                    return Ok(Some(fate));
                }
            }
            Content::Leave => {
                self.chat_leave(fx, message.from_person);
                return Ok(Some(Fate::Delivered));
            }
            Content::Typing { .. } => {}
            Content::Join | Content::Receipt(_) => return Ok(Some(Fate::Dropped)),
            Content::Invitation { .. } | Content::Opaque { .. } => return Err(Error::Unsupported),
        }
        message.to = self.account().address.clone();
        self.chat_send(fx, message, tag)
    }

    /// A copy of a client that sends to each, for the chat address: commands only.
    fn chat_to_itself(&mut self, fx: &mut Fx<'_, '_>, message: &Message) -> Fate {
        if message.content == Content::Leave {
            self.chat_leave(fx, message.from_person);
        }
        self.chat_order(fx, message).unwrap_or(Fate::Dropped)
    }

    /// A copy for one.
    fn chat_to_one(
        &mut self,
        fx: &mut Fx<'_, '_>,
        mut message: Message,
        account: &Account,
        tag: ReplyTag,
    ) -> Result<Option<Fate>, Error> {
        let Some(chat) = &self.chat else {
            return Err(Error::UnknownUser);
        };
        let known = chat.everybody().any(|m| m.person == account.person);
        let by = message.from_person;
        match message.content {
            Content::Leave => {
                self.chat_leave(fx, by);
                return Ok(Some(Fate::Delivered));
            }
            Content::Join if !known => {
                return self.chat_invite(fx, account, message, tag).map(|()| None);
            }
            // A client that has missed the leave: now it is told.
            Content::Text(_) if !known && chat.was_member(Some(account.person)) => {
                return Err(Error::HasLeft);
            }
            // In a full mesh who is written to is in.
            Content::Text(_) if !known => {
                let join = word_like(fx, &message, Content::Join);
                self.chat_invite(fx, account, join, ReplyTag::NOBODY)?;
            }
            _ if !known => return Ok(Some(Fate::Dropped)),
            _ => {}
        }
        message.to = account.address.clone();
        self.chat_send(fx, message, tag)
    }

    /// Sends it to whom it is for, marked for stacks that know no conversations.
    pub(super) fn chat_send(
        &mut self,
        fx: &mut Fx<'_, '_>,
        mut message: Message,
        tag: ReplyTag,
    ) -> Result<Option<Fate>, Error> {
        let Some(chat) = &self.chat else {
            return Err(Error::UnknownUser);
        };
        let line = match (&message.chat, &message.content) {
            (Some(marked), _) => Arc::clone(&marked.line),
            (None, Content::Text(text)) => {
                let name = message.from_person.map(|person| chat.name_of(person));
                let name = name.unwrap_or_else(|| message.from.to_string());
                format!("{name}: {}", text.body).into()
            }
            (None, _) => "".into(),
        };
        message.chat = Some(Arc::new(InChat {
            address: chat.record.address.clone(),
            line,
        }));
        let attempts = self.chat_attempts(&message);
        let message = Arc::new(message);
        if message.content.ephemeral() {
            for attempt in &attempts {
                self.emit_attempt(
                    fx,
                    &message,
                    (attempt.point, &attempt.inbox),
                    (false, false),
                );
            }
            return Ok(Some(Fate::Delivered));
        }
        if attempts.is_empty() {
            return Err(Error::NotReachable(Unreachable::NobodySignedIn));
        }
        if self.deliveries.len() >= fx.rules().pending {
            return Err(Error::Overloaded);
        }
        // Here and not with the members, who get copies: it was said once.
        let members = chat.everybody().map(|member| member.address.clone());
        fx.admitted(&message, false, members.collect());
        self.begin(fx, message, attempts, tag);
        Ok(None)
    }

    /// One attempt for each member it is for.
    pub(in crate::core) fn chat_attempts(&self, message: &Message) -> Vec<Attempt> {
        let Some(chat) = &self.chat else {
            return Vec::new();
        };
        let attempt = |member: &Member| Attempt {
            stack: INSIDE,
            inbox: member.address.to_string().into(),
            point: member_point(&member.address),
            device: member_point(&member.address),
            group: member_point(&member.address),
            state: Try::Waiting,
        };
        if message.to == chat.record.address {
            let others = chat.record.members.iter();
            let others = others.filter(|m| Some(m.person) != message.from_person);
            return others.map(attempt).collect();
        }
        let one = chat.everybody().filter(|m| m.address == message.to);
        one.take(1).map(attempt).collect()
    }

    /// Whether an inbox is a member's.
    pub(in crate::core) fn chat_point(&self, inbox: &str) -> Option<PointId> {
        let chat = self.chat.as_ref()?;
        let mut all = chat.everybody();
        let member = all.find(|m| m.address.to_string() == inbox)?;
        Some(member_point(&member.address))
    }

    /// A line from the chat address to one.
    pub(super) fn chat_tell(&self, fx: &mut Fx<'_, '_>, person: PersonId, line: String) {
        let Some(chat) = &self.chat else {
            return;
        };
        let known = chat.everybody().find(|member| member.person == person);
        if let Some(member) = known {
            let ends = (chat.record.address.clone(), member.address.clone());
            post(
                fx,
                person,
                ends,
                aside(chat.record.conversation),
                text(line),
            );
        }
    }

    /// A command given as text; `None` if it is none.
    fn chat_order(&mut self, fx: &mut Fx<'_, '_>, message: &Message) -> Option<Fate> {
        let person = message.from_person?;
        match order(&message.content, message.from.domain())? {
            Order::Who => {
                let line = self.chat.as_ref()?.who();
                self.chat_tell(fx, person, line);
            }
            Order::Leave => {
                self.chat_tell(
                    fx,
                    person,
                    "You have left. What you write brings you back.".into(),
                );
                self.chat_leave(fx, Some(person));
            }
            Order::Add(named) => self.chat_want(fx, person, named),
        }
        Some(Fate::Delivered)
    }

    /// Whether there is room for one more.
    pub(super) fn chat_room(&self, fx: &Fx<'_, '_>) -> Result<(), Error> {
        let many = self
            .chat
            .as_ref()
            .map_or(0, |chat| chat.everybody().count());
        if many >= fx.rules().chat_members {
            return Err(Error::LimitReached(Limit::Members));
        }
        Ok(())
    }
}

/// Something that the conversation tells in the name of whoever sent `like`.
fn word_like(fx: &mut Fx<'_, '_>, like: &Message, content: Content) -> Message {
    Message {
        id: fx.message_id(),
        at: fx.now(),
        content,
        wants: None,
        chat: None,
        original: Original {
            stack: INSIDE,
            bytes: bytes::Bytes::new(),
            key: None,
            decoded: Decoded::default(),
        },
        ..like.clone()
    }
}
